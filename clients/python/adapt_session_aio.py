"""The same session on an event loop: see `adapt_session`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any

import grpc

from clients.python.adapt_session import MOST_PENDING
from clients.python.adapt_state import Checkpoint, RefusedUpdate, SessionState
from clients.python.channel import Backoff
from clients.python.errors import ServiceError, channel_closed, error_of, is_worth_resuming
from clients.python.messages import Adaptation, Order, Update


class AsyncAdaptSession:
    """Belongs to one event loop. Use it as a context manager, or `start` and `close` it."""

    def __init__(self, stub: Any, backoff: Backoff, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self._stub = stub
        self._backoff = backoff
        self._metadata = metadata
        self._state = SessionState()
        self._changed = asyncio.Condition()
        self._outbox: asyncio.Queue[Update | None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: ServiceError | None = None
        self._is_closed = False
        self.connections = 0

    async def __aenter__(self) -> AsyncAdaptSession:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def start(self) -> None:
        if self._task is None:
            self._is_closed = False
            self._task = asyncio.get_running_loop().create_task(self._run(), name="ess-adapt")

    def follow(self, order_id: str, request: Order | None = None, checkpoint: Checkpoint | None = None) -> None:
        """An order of before: its request lets a host that never saw it go on, its checkpoint is where it goes on."""
        is_new = not self._state.follows(order_id)
        order = self._state.follow(order_id, request, checkpoint)
        if self._outbox is not None and is_new:
            for message in order.resumption():
                self._outbox.put_nowait(message)

    def forget(self, order_id: str) -> None:
        """Of an order that has ended."""
        self._state.forget(order_id)

    async def send(self, order_id: str, update: dict[str, Any], timeout_s: float = 30.0) -> int:
        """Sends an update (`messages.fill` and the like), now or when there is a connection; its number. Raises
        TimeoutError where too many wait for acknowledgement, RuntimeError where the session is closed."""
        if self._is_closed:
            raise RuntimeError("the session is closed")
        await self._wait(lambda: self._state.pending < MOST_PENDING, timeout_s)
        message = self._state.update(order_id, update)
        if self._outbox is not None:
            self._outbox.put_nowait(message)
        return int(message.sequence)

    async def wait_acknowledged(self, order_id: str, sequence: int, timeout_s: float = 10.0) -> None:
        """Until the update is safe in the service's acknowledgement class. Raises UpdateRefused, TimeoutError."""
        await self._wait(lambda: self._state.is_settled(order_id, sequence), timeout_s)
        self._state.raise_refused(order_id, sequence)

    def refused(self, order_id: str) -> tuple[RefusedUpdate, ...]:
        """The order's updates that had no effect: what `wait_acknowledged` raises for, for those who do not wait."""
        return self._state.refused(order_id)

    def answers(self) -> list[Adaptation]:
        """Advices and refusals that came since the last time."""
        self._raise_failure()
        return self._state.take()

    async def wait_answer(self, timeout_s: float = 10.0) -> list[Adaptation]:
        """At least one of them. Raises TimeoutError."""
        await self._wait(lambda: self._state.has_answers, timeout_s)
        return self._state.take()

    def checkpoint(self, order_id: str) -> Checkpoint:
        """What to save, so that another process can go on with the order."""
        return self._state.checkpoint(order_id)

    async def close(self) -> None:
        """Ends the stream. What was not acknowledged is not waited for."""
        task, self._task = self._task, None
        self._is_closed = True
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=5.0)
        await self._tell()

    async def _wait(self, holds: Callable[[], bool], timeout_s: float) -> None:
        self._raise_failure()
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: self._failure is not None or self._is_closed or holds())
        self._raise_failure()
        if not holds():
            raise RuntimeError("the session is closed")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                brought = await self._connection()
                failures = 0 if brought else failures + self._state.must_reconnect
            except grpc.aio.AioRpcError as error:
                failures += 1
                if not is_worth_resuming(error):
                    await self._fail(error_of(error))
                    return
            except ServiceError as error:
                await self._fail(error)
                return
            except asyncio.CancelledError:
                if not self._is_closed:  # so gRPC ends a call whose channel is closed
                    await self._fail(channel_closed())
                raise
            finally:
                outbox, self._outbox = self._outbox, None
                if outbox is not None:
                    outbox.put_nowait(None)
            await asyncio.sleep(self._backoff.delay_s(failures + 1, random.random()))

    async def _connection(self) -> bool:
        """One stream, until it ends; whether it brought anything and is not to be made anew."""
        outbox: asyncio.Queue[Update | None] = asyncio.Queue()
        for message in self._state.resumption():
            outbox.put_nowait(message)
        self._outbox = outbox
        try:
            call = self._stub.Adapt(_sent(outbox), metadata=self._metadata, wait_for_ready=True)
        except grpc.aio.UsageError as error:  # the client was closed between two connections
            raise channel_closed() from error
        self.connections += 1
        brought = False
        async for answer in call:
            brought = True
            for message in self._state.came(answer):
                outbox.put_nowait(message)
            await self._tell()
            if self._state.must_reconnect:
                call.cancel()
                return False
        return brought

    async def _fail(self, failure: ServiceError) -> None:
        self._failure = failure
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def _sent(outbox: asyncio.Queue[Update | None]) -> AsyncIterator[Update]:
    while (message := await outbox.get()) is not None:
        yield message
