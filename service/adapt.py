"""`Adapt` and `AdaptOnce`: streams of updates in, acknowledgements and advices out; service.adapt_stream is one stream.

Orders of open streams are also looked at without an update, since time passes and the market moves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final, Protocol

import grpc
import structlog

from engine.decision import Fault
from service.adapt_stream import STEP, Stream
from service.adapt_stream import AdaptSettings as AdaptSettings
from service.errors import RpcError, exhausted, invalid, not_yours, precondition
from service.followed import Taken, Taking
from service.mapping.adaptation import Answer, MappedUpdate, RefusedUpdate, map_update, read_update
from service.mapping.responses import with_acknowledgement
from service.mapping.validation import MalformedMessageError
from service.order_desk import (
    NotYourOrderError,
    OrderDesk,
    UnknownOrderError,
    UpdateRefusedError,
)
from service.stream_writer import Write
from store.errors import JournalFull, StoreError
from store.order_port import UpdateAnswer, UpdateVerdict
from store.submission import Acknowledgement

# The sweep's part of one core at most: a hundred thousand orders are then looked at less often than `sweep_s` says, and
# updates do not feel it.
SWEEP_SHARE: Final = 0.1

log = structlog.get_logger(__name__)


class Call(Protocol):
    """What a handler may know of its call."""

    def time_remaining(self) -> float | None: ...


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
        self._streams: set[Stream] = set()
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
        stream = Stream(self, write)
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
            raise invalid(mapped.faults)
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

    def mapped(self, data: bytes, once: bool) -> MappedUpdate | RefusedUpdate:
        """The update, or everything that is wrong with it."""
        try:
            message = read_update(data)
        except MalformedMessageError as error:
            return RefusedUpdate("", 0, [Fault("", str(error))])
        found = map_update(message, self._desk.naming.directory, self._clock_ns(), once)
        return RefusedUpdate(message.order_id[:100], message.sequence, found) if isinstance(found, list) else found

    def _limit_s(self, remaining_s: float | None) -> float:
        limit_s = self._settings.commit_wait_s
        return limit_s if remaining_s is None else min(limit_s, 0.9 * remaining_s)

    async def follow(self, mapped: MappedUpdate) -> None:
        """Reads the order that an update is of."""
        async with asyncio.timeout(self._settings.commit_wait_s):
            await self._desk.follow(mapped)

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
                if position % STEP == 0:
                    await asyncio.sleep((time.perf_counter() - begun_s) * (1.0 / SWEEP_SHARE - 1.0))
                    begun_s = time.perf_counter()

    def _owned(self) -> Iterator[tuple[Stream, str, int]]:
        for stream in self._streams:
            for order_id, epoch in stream.owned():
                yield stream, order_id, epoch

    async def _look(self, stream: Stream, order_id: str, epoch: int) -> None:
        try:
            message = await self._desk.look(order_id, epoch, self._number)
        except (StoreError, TimeoutError) as error:
            log.warning("an advice could not be recorded", order_id=order_id, error=str(error))
            return
        except Exception as error:  # a fault at one order keeps no other from being looked at
            log.error("an order could not be looked at", order_id=order_id, exc_info=error)
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


def _unknown(mapped: MappedUpdate, error: Exception) -> str:
    """What is said of an update that was sent to the keeper and not confirmed: it may be on the disk or not."""
    reason = str(error) or "the deadline came first"
    text = f"it is not known whether the update was recorded ({reason}); "
    if mapped.update.sequence:
        return text + "the same update again changes nothing twice"
    return text + "look at Status before you send it again: without a sequence it would count twice"
