"""An `Adapt` stream that outlives its connections: updates in, advices out, resumed after every cut."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import grpc

from clients.python.adapt_state import Checkpoint, RefusedUpdate, SessionState
from clients.python.channel import Backoff
from clients.python.errors import ServiceError, channel_closed, error_of, is_worth_resuming
from clients.python.messages import Adaptation, Order, Update

# Updates that may wait for their acknowledgement; then `send` waits.
MOST_PENDING = 10_000


class AdaptSession:
    """For any thread. The stream is read by a thread of its own.

    Advices and refusals are taken with `answers` or `wait_answer`; of several advices for an order that nobody
    took, the newest is kept. A refusal is an answer with `refusals`; it does not end the session. Whatever ends it for
    good (a status that is not worth another try, or its client's end) is raised by every method from then on.
    """

    def __init__(self, stub: Any, backoff: Backoff, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self._stub = stub
        self._backoff = backoff
        self._metadata = metadata
        self._state = SessionState()
        self._changed = threading.Condition()
        self._outbox: queue.SimpleQueue[Update | None] | None = None
        self._call: Any = None
        self._closing = False
        self._failure: ServiceError | None = None
        self.connections = 0
        self._thread = threading.Thread(target=self._run, name="ess-adapt", daemon=True)
        self._thread.start()

    def __enter__(self) -> AdaptSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def follow(self, order_id: str, request: Order | None = None, checkpoint: Checkpoint | None = None) -> None:
        """An order of before: its request lets a host that never saw it go on, its checkpoint is where it goes on."""
        with self._changed:
            is_new = not self._state.follows(order_id)
            order = self._state.follow(order_id, request, checkpoint)
            if self._outbox is not None and is_new:
                for message in order.resumption():
                    self._outbox.put(message)

    def forget(self, order_id: str) -> None:
        """Of an order that has ended."""
        with self._changed:
            self._state.forget(order_id)
            self._changed.notify_all()

    def send(self, order_id: str, update: dict[str, Any], timeout_s: float = 30.0) -> int:
        """Sends an update (`messages.fill` and the like), now or when there is a connection; its number. Raises
        TimeoutError where too many wait for acknowledgement, RuntimeError where the session is closed."""
        with self._changed:
            if self._closing:
                raise RuntimeError("the session is closed")
            self._wait(lambda: self._state.pending < MOST_PENDING, timeout_s)
            message = self._state.update(order_id, update)
            if self._outbox is not None:
                self._outbox.put(message)
            return int(message.sequence)

    def wait_acknowledged(self, order_id: str, sequence: int, timeout_s: float = 10.0) -> None:
        """Until the update is safe in the service's acknowledgement class. Raises UpdateRefused, TimeoutError."""
        with self._changed:
            self._wait(lambda: self._state.is_settled(order_id, sequence), timeout_s)
            self._state.raise_refused(order_id, sequence)

    def refused(self, order_id: str) -> tuple[RefusedUpdate, ...]:
        """The order's updates that had no effect: what `wait_acknowledged` raises for, for those who do not wait."""
        with self._changed:
            return self._state.refused(order_id)

    def answers(self) -> list[Adaptation]:
        """Advices and refusals that came since the last time."""
        with self._changed:
            self._raise_failure()
            return self._state.take()

    def wait_answer(self, timeout_s: float = 10.0) -> list[Adaptation]:
        """At least one of them. Raises TimeoutError."""
        with self._changed:
            self._wait(lambda: self._state.has_answers, timeout_s)
            return self._state.take()

    def checkpoint(self, order_id: str) -> Checkpoint:
        """What to save, so that another process can go on with the order."""
        with self._changed:
            return self._state.checkpoint(order_id)

    def close(self, timeout_s: float = 5.0) -> None:
        """Ends the stream. What was not acknowledged is not waited for."""
        with self._changed:
            self._closing = True
            if self._outbox is not None:
                self._outbox.put(None)
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if self._thread.is_alive() and self._call is not None:
            self._call.cancel()

    def _wait(self, holds: Callable[[], bool], timeout_s: float) -> None:
        """Under the lock, until it holds."""
        end_s = time.monotonic() + timeout_s
        while not holds():
            self._raise_failure()
            if self._closing:
                raise RuntimeError("the session is closed")
            left_s = end_s - time.monotonic()
            if left_s <= 0.0:
                raise TimeoutError(f"the service did not answer within {timeout_s} s")
            self._changed.wait(left_s)
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # ---- the thread

    def _run(self) -> None:
        failures = 0
        while not self._closing:
            try:
                brought = self._connection()
                failures = 0 if brought else failures + self._state.must_reconnect
            except grpc.RpcError as error:
                failures += 1
                if not is_worth_resuming(error) and not self._closing:
                    self._fail(error_of(error))
                    return
            except ServiceError as error:
                self._fail(error)
                return
            finally:
                self._cut()
            with self._changed:
                if not self._closing:
                    self._changed.wait_for(lambda: self._closing, self._backoff.delay_s(failures + 1, random.random()))

    def _connection(self) -> bool:
        """One stream, until it ends; whether it brought anything and is not to be made anew."""
        outbox: queue.SimpleQueue[Update | None] = queue.SimpleQueue()
        with self._changed:
            for message in self._state.resumption():
                outbox.put(message)
            self._outbox = outbox
            if self._closing:
                outbox.put(None)
        try:
            self._call = self._stub.Adapt(_sent(outbox), metadata=self._metadata, wait_for_ready=True)
        except ValueError as error:  # the client was closed between two connections
            raise channel_closed() from error
        self.connections += 1
        brought = False
        for answer in self._call:
            brought = True
            with self._changed:
                for message in self._state.came(answer):
                    outbox.put(message)
                self._changed.notify_all()
                must_reconnect = self._state.must_reconnect
            if must_reconnect:
                self._call.cancel()
                return False
        return brought

    def _cut(self) -> None:
        with self._changed:
            outbox, self._outbox = self._outbox, None
        if outbox is not None:
            # The iterator of the call that is gone waits on it.
            outbox.put(None)

    def _fail(self, failure: ServiceError) -> None:
        with self._changed:
            self._failure = failure
            self._changed.notify_all()


def _sent(outbox: queue.SimpleQueue[Update | None]) -> Iterator[Update]:
    while (message := outbox.get()) is not None:
        yield message
