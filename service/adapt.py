"""`Adapt` and `AdaptOnce`: streams of updates in, acknowledgements and advices out.

A stream may carry one order or thousands. Updates are worked on as they come, many at a time; answers wait for a slow
reader in one place an order: the newest state, the newest advice (with the number of those it replaced), every error.
So a stream holds no more than its orders do. What is wrong with one update is in its answer, and the stream goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc
import structlog

from engine.decision import Fault
from service.errors import RpcError, exhausted, invalid, not_yours, precondition, summary
from service.mapping.adaptation import Answer, MappedUpdate, map_update, merged, read_update, refused_update
from service.mapping.responses import with_acknowledgement
from service.mapping.validation import MalformedMessageError
from service.order_desk import NotYourOrderError, OrderDesk, Taken, UnknownOrderError, UpdateRefusedError
from store.errors import JournalFull, StoreError
from store.order_port import UpdateVerdict
from store.submission import Acknowledgement

Write = Callable[[bytes], Awaitable[None]]
# Updates of one stream that are worked on at a time; above it, it is not read.
MOST_IN_FLIGHT: Final = 512
# Orders that a sweep looks at before it lets others have their turn.
SWEEP_STEP: Final = 20

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
        try:
            await stream.run(messages)
        finally:
            self._streams.discard(stream)

    async def adapt_once(self, data: bytes, call: Call) -> bytes:
        """One update, and the decision in force after it."""
        mapped = self.mapped(data, once=True)
        if not isinstance(mapped, MappedUpdate):
            raise invalid(mapped[1])
        try:
            taken = await self.take(mapped, 0, call.time_remaining())
        except UnknownOrderError as error:
            raise RpcError(grpc.StatusCode.NOT_FOUND, str(error)) from error
        except NotYourOrderError as error:
            raise not_yours(mapped.order_id) from error
        except UpdateRefusedError as error:
            raise precondition([Fault("update", str(error))]) from error
        except JournalFull as error:
            raise exhausted(f"the update cannot be taken: {error}", 1_000) from error
        except (StoreError, TimeoutError) as error:
            text = f"the update could not be recorded: {error}; the same update again changes nothing twice"
            raise RpcError(grpc.StatusCode.UNAVAILABLE, text) from error
        if taken.verdict is UpdateVerdict.REFUSED:
            raise precondition([Fault("update", taken.message.error)])
        if taken.verdict is UpdateVerdict.HELD:
            text = f"an update before it is missing: {taken.message.acknowledged_sequence + 1} comes next"
            raise precondition([Fault("sequence", text)])
        return with_acknowledgement(self._desk.in_force(taken.followed), self._number)

    def mapped(self, data: bytes, once: bool) -> MappedUpdate | tuple[str, list[Fault]]:
        """The update, or (order id as far as it could be read, everything that is wrong)."""
        try:
            message = read_update(data)
        except MalformedMessageError as error:
            return "", [Fault("", str(error))]
        found = map_update(message, self._desk.naming.directory, self._clock_ns(), once)
        return (message.order_id[:100], found) if isinstance(found, list) else found

    async def take(self, mapped: MappedUpdate, epoch: int, remaining_s: float | None = None) -> Taken:
        limit_s = self._settings.commit_wait_s
        if remaining_s is not None:
            limit_s = min(limit_s, 0.9 * remaining_s)
        async with asyncio.timeout(limit_s):
            return await self._desk.take(mapped, self._acknowledgement, self._number, "", epoch)

    async def look(self, order_id: str) -> Answer | None:
        return await self._desk.look(order_id, self._number)

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


class _Stream:
    """One `Adapt` call. `_epochs`: the owner's epoch of every order that it serves, as its client was told."""

    def __init__(self, calls: Adaptations, write: Write) -> None:
        self._calls = calls
        self._write = write
        self._waiting: dict[str, Answer] = {}
        self._has_waiting = asyncio.Event()
        self._all_sent = asyncio.Event()
        self._all_sent.set()
        self._epochs: dict[str, int] = {}
        self._halted: set[str] = set()
        self._controls = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MOST_IN_FLIGHT)
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

    async def run(self, messages: AsyncIterator[bytes]) -> None:
        loop = asyncio.get_running_loop()
        reader = loop.create_task(self._read(messages), name="adapt-read")
        writer = loop.create_task(self._send(), name="adapt-write")
        sweeper = loop.create_task(self._sweep(), name="adapt-sweep")
        teller = loop.create_task(self._tell_halts(), name="adapt-halts")
        try:
            first: set[asyncio.Future[Any]] = {reader, writer, self._ended}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            reader.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._calls.settings.commit_wait_s)
            sweeper.cancel()
            await self._flush(writer)
            if self._ended.done():
                raise RpcError(grpc.StatusCode.UNAVAILABLE, self._ended.result())
        finally:
            for task in (reader, writer, sweeper, teller, *self._tasks):
                task.cancel()
            for task in (reader, writer, sweeper, teller):
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def _flush(self, writer: asyncio.Task[None]) -> None:
        """Lets the writer take what waits; a reader that takes nothing is not waited for."""
        sent = asyncio.ensure_future(self._all_sent.wait())
        waited: set[asyncio.Future[Any]] = {sent, writer}
        limit_s = self._calls.settings.commit_wait_s
        await asyncio.wait(waited, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        sent.cancel()
        if writer.done():
            writer.result()  # the connection is gone

    async def _read(self, messages: AsyncIterator[bytes]) -> None:
        idle_s = self._calls.settings.idle_s
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                async with asyncio.timeout(idle_s):
                    data = await anext(messages)
            except StopAsyncIteration:
                return
            except TimeoutError:
                self.end(f"nothing came for {idle_s:g} s; resume the orders on a new stream")
                return
            task = loop.create_task(self._serve(data))
            self._tasks.add(task)
            task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    async def _serve(self, data: bytes) -> None:
        mapped = self._calls.mapped(data, once=False)
        if not isinstance(mapped, MappedUpdate):
            order_id, faults = mapped
            self._answer(refused_update(order_id, summary(faults)))
            return
        if mapped.is_resume:
            self._epochs[mapped.order_id] = 0  # what follows belongs to the epoch that this one begins
        try:
            taken = await self._calls.take(mapped, self._epochs.get(mapped.order_id, 0))
        except (UnknownOrderError, UpdateRefusedError) as error:
            self._answer(refused_update(mapped.order_id, str(error)))
        except (StoreError, TimeoutError) as error:
            text = f"the update could not be recorded: {str(error) or 'too late'}; send it again"
            self._answer(refused_update(mapped.order_id, text))
        except Exception:
            log.exception("an update failed", order_id=mapped.order_id)
            self._answer(refused_update(mapped.order_id, "the service failed; its log says why. Send it again"))
        else:
            if taken.verdict is not UpdateVerdict.REFUSED:  # a stream that was fenced stays fenced
                self._epochs[mapped.order_id] = taken.message.epoch
            if taken.is_halted:
                self._halted.add(mapped.order_id)  # told with this answer
            elif self._calls.is_halted(mapped.order_id):
                self._controls.set()  # halted while its update was on the way
            self._answer(taken.message)

    def _answer(self, message: Answer) -> None:
        waiting = self._waiting.get(message.order_id)
        self._waiting[message.order_id] = message if waiting is None else merged(waiting, message)
        self._has_waiting.set()
        self._all_sent.clear()

    async def _send(self) -> None:
        while True:
            await self._has_waiting.wait()
            if not self._waiting:
                self._has_waiting.clear()
                continue
            message = self._waiting.pop(next(iter(self._waiting)))
            await self._write(message.SerializeToString())
            if not self._waiting:
                self._all_sent.set()

    async def _sweep(self) -> None:
        """Time alone brings deadlines near, and the market moves without updates."""
        while True:
            await asyncio.sleep(self._calls.settings.sweep_s)
            for position, order_id in enumerate(tuple(self._epochs)):
                try:
                    message = await self._calls.look(order_id)
                except (StoreError, TimeoutError) as error:
                    log.warning("an advice could not be recorded", order_id=order_id, error=str(error))
                    continue
                if message is not None and message.epoch == self._epochs.get(order_id):
                    self._answer(message)
                if position % SWEEP_STEP == SWEEP_STEP - 1:
                    await asyncio.sleep(0)
