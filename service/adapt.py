"""`Adapt` and `AdaptOnce`: streams of updates in, acknowledgements and advices out.

A stream may carry one order or thousands. Updates are worked on as they come, many at a time; answers wait for a slow
reader in one place an order: the newest state, the newest advice (with the number of those it replaced), every error.
So a stream holds no more than its orders do. What is wrong with one update is in its answer, and the stream goes on.

Nearly every update needs nothing but the disk: it is begun without a task, and answered from the disk's callback.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import grpc
import structlog

from engine.decision import Fault
from service.errors import RpcError, exhausted, invalid, not_yours, precondition, summary
from service.mapping.adaptation import Answer, MappedUpdate, map_update, merged, read_update, refused_update
from service.mapping.responses import with_acknowledgement
from service.mapping.validation import MalformedMessageError
from service.order_desk import (
    NotYourOrderError,
    OrderDesk,
    Taken,
    Taking,
    UnknownOrderError,
    UpdateRefusedError,
)
from service.stream_writer import StreamWriter, Write
from store.errors import JournalFull, StoreError
from store.order_port import UpdateAnswer, UpdateVerdict
from store.submission import Acknowledgement

# Updates of one stream that are worked on at a time; above it, it is not read.
MOST_IN_FLIGHT: Final = 512
# Orders that the sweep looks at before it lets others have their turn, and its part of one core at most: a hundred
# thousand orders are then looked at less often than `sweep_s` says, and updates do not feel it.
SWEEP_STEP: Final = 20
SWEEP_SHARE: Final = 0.1
# How often a stream looks whether it is idle, or an update has waited too long for the disk.
WATCH_S: Final = 1.0

log = structlog.get_logger(__name__)


class Call(Protocol):
    """What a handler may know of its call."""

    def time_remaining(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class AdaptSettings:
    """idle_s: a stream that brings nothing for so long is ended. sweep_s: how often its orders are looked at without
    an update."""

    max_streams: int = 256
    idle_s: float = 600.0
    sweep_s: float = 5.0
    commit_wait_s: float = 30.0


class Adaptations:
    """The two calls of one worker."""

    def __init__(
        self, desk: OrderDesk, acknowledgement: Acknowledgement, number: int, clock_ns: Callable[[], int],
        settings: AdaptSettings,
    ) -> None:  # fmt: skip
        self._desk = desk
        self._acknowledgement = acknowledgement
        self._number = number
        self._clock_ns = clock_ns
        self._settings = settings
        self._streams: set[_Stream] = set()
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def streams(self) -> int:
        return len(self._streams)

    def stop(self) -> None:
        """Ends every stream after what it has in hand; gateways resume elsewhere."""
        for stream in tuple(self._streams):
            stream.end("the service is stopping; resume the orders on a new stream")

    async def adapt(self, messages: AsyncIterator[bytes], write: Write) -> None:
        """One stream, until the client ends it."""
        if len(self._streams) >= self._settings.max_streams:
            raise exhausted(f"{self._settings.max_streams} Adapt streams are open on this worker", 1_000)
        stream = _Stream(self, write)
        self._streams.add(stream)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep(), name="adapt-sweep")
        try:
            await stream.run(messages)
        finally:
            self._streams.discard(stream)
            if not self._streams:
                self._sweeper.cancel()
                self._sweeper = None

    async def adapt_once(self, data: bytes, call: Call) -> bytes:
        """One update, and the decision in force after it."""
        mapped = self.mapped(data, once=True)
        if not isinstance(mapped, MappedUpdate):
            raise invalid(mapped[1])
        try:
            async with asyncio.timeout(self._limit_s(call.time_remaining())):
                taken, in_force = await self._desk.take_once(mapped, self._acknowledgement, self._number, "")
        except UnknownOrderError as error:
            raise RpcError(grpc.StatusCode.NOT_FOUND, str(error)) from error
        except NotYourOrderError as error:
            raise not_yours(mapped.order_id) from error
        except UpdateRefusedError as error:
            raise precondition([Fault("update", str(error))]) from error
        except JournalFull as error:
            raise exhausted(f"the update cannot be taken: {error}", 1_000) from error
        except (StoreError, TimeoutError) as error:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, _unknown(mapped, error)) from error
        if taken.verdict is UpdateVerdict.REFUSED:
            raise precondition([Fault("update", taken.message.error)])
        if taken.verdict is UpdateVerdict.HELD:
            text = f"an update before it is missing: {taken.message.acknowledged_sequence + 1} comes next"
            raise precondition([Fault("sequence", text)])
        return with_acknowledgement(in_force, self._number)

    def mapped(self, data: bytes, once: bool) -> MappedUpdate | tuple[str, list[Fault]]:
        """The update, or (order id as far as it could be read, everything that is wrong)."""
        try:
            message = read_update(data)
        except MalformedMessageError as error:
            return "", [Fault("", str(error))]
        found = map_update(message, self._desk.naming.directory, self._clock_ns(), once)
        return (message.order_id[:100], found) if isinstance(found, list) else found

    def _limit_s(self, remaining_s: float | None) -> float:
        limit_s = self._settings.commit_wait_s
        return limit_s if remaining_s is None else min(limit_s, 0.9 * remaining_s)

    async def take(self, mapped: MappedUpdate, epoch: int) -> Taken:
        async with asyncio.timeout(self._settings.commit_wait_s):
            return await self._desk.take(mapped, self._acknowledgement, self._number, "", epoch)

    def begin(self, mapped: MappedUpdate, epoch: int) -> tuple[Taking, asyncio.Future[UpdateAnswer]] | None:
        return self._desk.begin(mapped, self._acknowledgement, self._number, "", epoch)

    def settle(self, taking: Taking, answer: UpdateAnswer) -> Taken | Awaitable[Taken]:
        return self._desk.settle(taking, answer)

    async def _sweep(self) -> None:
        """Time alone brings deadlines near, and the market moves without updates."""
        while True:
            await asyncio.sleep(self._settings.sweep_s)
            begun_s = time.perf_counter()
            for position, (stream, order_id, epoch) in enumerate(tuple(self._owned()), start=1):
                await self._look(stream, order_id, epoch)
                if position % SWEEP_STEP == 0:
                    await asyncio.sleep((time.perf_counter() - begun_s) * (1.0 / SWEEP_SHARE - 1.0))
                    begun_s = time.perf_counter()

    def _owned(self) -> Iterator[tuple[_Stream, str, int]]:
        for stream in self._streams:
            for order_id, epoch in stream.owned():
                yield stream, order_id, epoch

    async def _look(self, stream: _Stream, order_id: str, epoch: int) -> None:
        try:
            message = await self._desk.look(order_id, epoch, self._number)
        except (StoreError, TimeoutError) as error:
            log.warning("an advice could not be recorded", order_id=order_id, error=str(error))
            return
        if message is not None:
            stream.tell(message)

    def controls_changed(self) -> None:
        """Halts or limits changed: every open stream is told of its orders at once."""
        for stream in self._streams:
            stream.controls_changed()

    def is_halted(self, order_id: str) -> bool:
        return self._desk.is_halted(order_id)

    def notice(self, order_id: str) -> Answer | None:
        return self._desk.notice(order_id, self._number)

    @property
    def settings(self) -> AdaptSettings:
        return self._settings


@dataclass(frozen=True, slots=True)
class _InHand:
    """An update that is not answered yet."""

    order_id: str
    begun_s: float


def _unknown(mapped: MappedUpdate, error: Exception) -> str:
    """What is said of an update that was sent to the keeper and not confirmed: it may be on the disk or not."""
    reason = str(error) or "the deadline came first"
    text = f"it is not known whether the update was recorded ({reason}); "
    if mapped.update.sequence:
        return text + "the same update again changes nothing twice"
    return text + "look at Status before you send it again: without a sequence it would count twice"



class _Stream:
    """One `Adapt` call. `_epochs`: the owner's epoch of every open order that it serves, as its client was told."""

    def __init__(self, calls: Adaptations, write: Write) -> None:
        self._calls = calls
        self._waiting: dict[str, Answer] = {}
        self._writer = StreamWriter(write, self._next_answer)
        self._epochs: dict[str, int] = {}
        self._in_hand: dict[int, _InHand] = {}
        self._next = 0
        self._halted: set[str] = set()
        self._controls = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_room, self._is_free = asyncio.Event(), asyncio.Event()
        self._has_room.set()
        self._is_free.set()
        self._read_s = time.monotonic()
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def controls_changed(self) -> None:
        self._controls.set()

    async def _tell_halts(self) -> None:
        """A notice for every order of the stream that is halted now and was not, or was and is not."""
        while True:
            await self._controls.wait()
            self._controls.clear()
            for position, order_id in enumerate(tuple(self._epochs)):
                if self._calls.is_halted(order_id) != (order_id in self._halted):
                    self._halted ^= {order_id}
                    message = self._calls.notice(order_id)
                    if message is not None:
                        self._answer(message)
                if position % SWEEP_STEP == SWEEP_STEP - 1:
                    await asyncio.sleep(0)

    def end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)

    def owned(self) -> Iterator[tuple[str, int]]:
        """(order, epoch) of what it serves; 0 for one whose resume is not answered yet."""
        return iter(tuple(self._epochs.items()))

    def tell(self, message: Answer) -> None:
        """An advice that no update asked for."""
        if message.epoch == self._epochs.get(message.order_id):
            self._answer(message)

    async def run(self, messages: AsyncIterator[bytes]) -> None:
        loop = asyncio.get_running_loop()
        reader = loop.create_task(self._read(messages), name="adapt-read")
        watcher = loop.create_task(self._watch(), name="adapt-watch")
        teller = loop.create_task(self._tell_halts(), name="adapt-halts")
        try:
            first: set[asyncio.Future[Any]] = {reader, self._writer.broken, self._ended}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            reader.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._calls.settings.commit_wait_s):
                    await self._is_free.wait()
            await self._flush()
            if self._ended.done():
                raise RpcError(grpc.StatusCode.UNAVAILABLE, self._ended.result())
            if reader.done():
                reader.result()  # the connection is gone
        finally:
            self._in_hand.clear()  # answers that come later find nobody
            self._writer.close()
            for task in (reader, watcher, teller, *self._tasks):
                task.cancel()
            for task in (reader, watcher, teller):
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def _flush(self) -> None:
        """Lets the writer take what waits; a reader that takes nothing is not waited for."""
        sent = asyncio.ensure_future(self._writer.idle())
        waited: set[asyncio.Future[Any]] = {sent, self._writer.broken}
        limit_s = self._calls.settings.commit_wait_s
        await asyncio.wait(waited, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        sent.cancel()
        if self._writer.broken.done():
            self._writer.broken.result()  # the connection is gone

    async def _read(self, messages: AsyncIterator[bytes]) -> None:
        async for data in messages:
            self._read_s = time.monotonic()
            self._serve(data)
            if len(self._in_hand) >= MOST_IN_FLIGHT:
                self._has_room.clear()
                await self._has_room.wait()

    async def _watch(self) -> None:
        """Ends a stream that brings nothing, and answers what the disk or another worker leaves waiting."""
        settings = self._calls.settings
        while True:
            await asyncio.sleep(min(WATCH_S, settings.idle_s / 2))
            now_s = time.monotonic()
            if not self._in_hand and now_s - self._read_s >= settings.idle_s:
                self.end(f"nothing came for {settings.idle_s:g} s; resume the orders on a new stream")
            # By number, so the oldest come first.
            late = [n for n, update in self._in_hand.items() if now_s - update.begun_s > settings.commit_wait_s]
            for number in late:
                self._failed(number, TimeoutError())

    def _serve(self, data: bytes) -> None:
        """Takes one update as far as it goes without waiting."""
        mapped = self._calls.mapped(data, once=False)
        if not isinstance(mapped, MappedUpdate):
            order_id, faults = mapped
            self._answer(refused_update(order_id, summary(faults)))
            return
        if mapped.is_resume:
            self._epochs[mapped.order_id] = 0  # what follows belongs to the epoch that this one begins
        order_id = mapped.order_id
        epoch = self._epochs.get(order_id, 0)
        try:
            begun = self._calls.begin(mapped, epoch)
            if begun is None:
                self._wait_for(self._take_in_hand(order_id), self._calls.take(mapped, epoch))
                return
            taking, answer = begun
            if not answer.done():
                answer.add_done_callback(partial(self._settle, self._take_in_hand(order_id), taking))
                return
            # Nothing to wait for, in the class asked for: it is answered in this very turn.
            taken = self._calls.settle(taking, answer.result())
        except Exception as error:
            self._answer_failure(order_id, error)
            return
        if isinstance(taken, Taken):
            self._answer_taken(order_id, taken)
        else:
            self._wait_for(self._take_in_hand(order_id), taken)

    def _settle(self, number: int, taking: Taking, answer: asyncio.Future[UpdateAnswer]) -> None:
        """The keeper has answered."""
        error = TimeoutError() if answer.cancelled() else answer.exception()
        if number not in self._in_hand:
            return
        try:
            if error is not None:
                raise error
            taken = self._calls.settle(taking, answer.result())
        except Exception as failure:
            self._failed(number, failure)
            return
        if isinstance(taken, Taken):
            self._taken(number, taken)
        else:
            self._wait_for(number, taken)

    def _wait_for(self, number: int, taking: Awaitable[Taken]) -> None:
        task = asyncio.get_running_loop().create_task(self._finish(number, taking))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, number: int, taking: Awaitable[Taken]) -> None:
        try:
            taken = await taking
        except Exception as error:
            self._failed(number, error)
        else:
            self._taken(number, taken)

    def _take_in_hand(self, order_id: str) -> int:
        self._next += 1
        self._in_hand[self._next] = _InHand(order_id, time.monotonic())
        self._is_free.clear()
        return self._next

    def _put_away(self, number: int) -> str | None:
        """The order of an update that was in hand; None where it was answered before."""
        update = self._in_hand.pop(number, None)
        if len(self._in_hand) < MOST_IN_FLIGHT:
            self._has_room.set()
        if not self._in_hand:
            self._is_free.set()
        return None if update is None else update.order_id

    def _taken(self, number: int, taken: Taken) -> None:
        order_id = self._put_away(number)
        if order_id is not None:
            self._answer_taken(order_id, taken)

    def _answer_taken(self, order_id: str, taken: Taken) -> None:
        if taken.has_ended:
            self._epochs.pop(order_id, None)
            self._halted.discard(order_id)
        elif taken.verdict is not UpdateVerdict.REFUSED:  # a stream that was fenced stays fenced
            self._epochs[order_id] = taken.message.epoch
        if taken.is_halted:
            self._halted.add(order_id)  # told with this answer
        elif self._calls.is_halted(order_id):
            self._controls.set()  # halted while its update was on the way
        self._answer(taken.message)

    def _failed(self, number: int, error: Exception) -> None:
        order_id = self._put_away(number)
        if order_id is not None:
            self._answer_failure(order_id, error)

    def _answer_failure(self, order_id: str, error: Exception) -> None:
        if isinstance(error, UnknownOrderError | UpdateRefusedError):
            text = str(error)
        elif isinstance(error, RpcError):  # a resume's request was refused
            text = error.text
        elif isinstance(error, StoreError | TimeoutError):
            text = f"the update could not be recorded: {str(error) or 'too late'}; send it again"
        else:
            log.error("an update failed", order_id=order_id, exc_info=error)
            text = "the service failed; its log says why. Send it again"
        self._answer(refused_update(order_id, text))

    def _answer(self, message: Answer) -> None:
        waiting = self._waiting.get(message.order_id)
        self._waiting[message.order_id] = message if waiting is None else merged(waiting, message)
        self._writer.wake()

    def _next_answer(self) -> bytes | None:
        """Of what waits, the oldest order's."""
        if not self._waiting:
            return None
        return self._waiting.pop(next(iter(self._waiting))).SerializeToString()
