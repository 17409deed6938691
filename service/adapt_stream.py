"""One `Adapt` call: what comes in on it, and what goes out.

A stream may carry one order or thousands. Updates are worked on as they come, many at a time; answers wait for a slow
reader in one place an order: the newest state, the newest advice (with the number of those it replaced), every error.
So a stream holds no more than its orders do. What is wrong with one update is in its answer, and the stream goes on.

Nearly every update needs nothing but the disk: it is begun without a task, and answered from the disk's callback.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import grpc
import structlog

from engine.order_life.updates import Resume
from service.errors import RpcError, summary
from service.followed import Taken, Taking
from service.mapping.adaptation import Answer, MappedUpdate, RefusedUpdate, merged
from service.mapping.refusals import FREE, UNCERTAIN, refused_update
from service.order_desk import UnknownOrderError, UpdateRefusedError
from service.stream_writer import StreamWriter, Write
from store.errors import StoreError
from store.order_port import UpdateAnswer, UpdateVerdict

# Updates of one stream that are worked on at a time; above it, it is not read.
MOST_IN_FLIGHT: Final = 512
# Refusals of one order that nobody takes; with more its stream is ended, since none may be dropped.
MOST_REFUSALS: Final = 2_000
# Orders that have ended of which a stream remembers the epoch.
MOST_ENDED: Final = 4_096
# Orders that are looked at before others have their turn.
STEP: Final = 20
# How often a stream looks whether it is idle, or an update has waited too long for the disk.
WATCH_S: Final = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AdaptSettings:
    """idle_s: a stream that brings nothing for so long is ended. sweep_s: how often its orders are looked at without
    an update."""

    max_streams: int = 256
    idle_s: float = 600.0
    sweep_s: float = 5.0
    commit_wait_s: float = 30.0


class Calls(Protocol):
    """What a stream asks of the service (`service.adapt.Adaptations`)."""

    @property
    def settings(self) -> AdaptSettings: ...

    def mapped(self, data: bytes, once: bool) -> MappedUpdate | RefusedUpdate: ...

    async def follow(self, mapped: MappedUpdate) -> None: ...

    async def take(self, mapped: MappedUpdate, epoch: int) -> Taken: ...

    def begin(self, mapped: MappedUpdate, epoch: int) -> tuple[Taking, asyncio.Future[UpdateAnswer]] | None: ...

    def settle(self, taking: Taking, answer: UpdateAnswer) -> Taken | Awaitable[Taken]: ...

    def is_halted(self, order_id: str) -> bool: ...

    def notice(self, order_id: str) -> Answer | None: ...


@dataclass(frozen=True, slots=True)
class _InHand:
    """An update that is not answered yet."""

    order_id: str
    sequence: int
    begun_s: float


@dataclass(frozen=True, slots=True)
class _Held:
    """An update in hand that waits for its turn."""

    number: int
    mapped: MappedUpdate


class Stream:
    """One `Adapt` call. `_epochs`: the owner's epoch of every open order that it serves, as its client was told; 0
    while a resume is on its way, and what it claimed where it was refused. `_ended_epochs`: that of orders that ended
    last, whose late fills belong to it."""

    def __init__(self, calls: Calls, write: Write) -> None:
        self._calls = calls
        self._waiting: dict[str, Answer] = {}
        self._writer = StreamWriter(write, self._next_answer)
        self._epochs: dict[str, int] = {}
        self._ended_epochs: OrderedDict[str, int] = OrderedDict()
        self._in_hand: dict[int, _InHand] = {}
        self._next = 0
        self._halted: set[str] = set()
        self._controls = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        # What came of orders that are being read from the keeper, or behind a resume that is not answered yet and says
        # which epoch it belongs to: it is taken in its order.
        self._held: dict[str, deque[_Held]] = {}
        self._resuming: dict[str, _Held] = {}
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
                if position % STEP == STEP - 1:
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
            self._answer(refused_update(mapped.order_id, summary(mapped.faults), mapped.sequence, FREE))
            return
        order_id = mapped.order_id
        if order_id in self._held:
            self._held[order_id].append(_Held(self._take_in_hand(mapped), mapped))
            return
        try:
            begun = self._calls.begin(mapped, self._epoch_of(mapped))
            if begun is None:
                self._held[order_id] = deque([_Held(self._take_in_hand(mapped), mapped)])
                self._start(self._read_order(mapped))
                return
            taking, answer = begun
            if not answer.done():
                answer.add_done_callback(partial(self._settle, self._begun(mapped), taking))
                return
            # Nothing to wait for, in the class asked for: it is answered in this very turn.
            taken = self._calls.settle(taking, answer.result())
        except Exception as error:
            self._answer_failure(order_id, mapped.update.sequence, error)
            self._claim(mapped)
            return
        if isinstance(taken, Taken):
            self._answer_taken(order_id, taken)
            self._claim(mapped)
        else:
            self._wait_for(self._begun(mapped), taken)

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

    def _epoch_of(self, mapped: MappedUpdate) -> int:
        """The one that an update belongs to as it is taken; with a resume none is known until its answer."""
        order_id = mapped.order_id
        if mapped.is_resume:
            self._epochs[order_id] = 0
        return self._epochs.get(order_id, self._ended_epochs.get(order_id, 0))

    async def _read_order(self, mapped: MappedUpdate) -> None:
        """What cannot be read is told to each update that waits for it, by its own try."""
        with suppress(Exception):
            await self._calls.follow(mapped)
        self._take_held(mapped.order_id)

    def _take_held(self, order_id: str) -> None:
        """Takes what waits, up to a resume that is not answered at once. In one turn: nothing comes in between."""
        held = self._held[order_id]
        while held:
            waiting = held.popleft()
            if waiting.number not in self._in_hand:
                continue
            self._take_read(waiting)
            if waiting.mapped.is_resume and waiting.number in self._in_hand:
                self._resuming[order_id] = waiting
                return
            self._claim(waiting.mapped)
        del self._held[order_id]

    def _begun(self, mapped: MappedUpdate) -> int:
        """Takes in hand what was begun and is not answered; what follows a resume waits for it."""
        number = self._take_in_hand(mapped)
        if mapped.is_resume:
            self._held[mapped.order_id], self._resuming[mapped.order_id] = deque(), _Held(number, mapped)
        return number

    def _go_on(self, number: int, order_id: str) -> None:
        """What waits for a resume goes on, whatever became of that."""
        resume = self._resuming.get(order_id)
        if resume is not None and resume.number == number:
            del self._resuming[order_id]
            self._claim(resume.mapped)
            self._take_held(order_id)

    def _claim(self, mapped: MappedUpdate) -> None:
        """What follows a resume that was refused belongs to the epoch that it claimed: if another session has taken
        over, that is refused too."""
        change = mapped.update.change
        if isinstance(change, Resume) and self._epochs.get(mapped.order_id) == 0:
            self._epochs[mapped.order_id] = change.epoch

    def _take_read(self, waiting: _Held) -> None:
        epoch = self._epoch_of(waiting.mapped)
        try:
            begun = self._calls.begin(waiting.mapped, epoch)
        except Exception as error:
            self._failed(waiting.number, error)
            return
        if begun is None:
            self._wait_for(waiting.number, self._calls.take(waiting.mapped, epoch))
            return
        taking, answer = begun
        if answer.done():
            self._settle(waiting.number, taking, answer)
        else:
            answer.add_done_callback(partial(self._settle, waiting.number, taking))

    def _wait_for(self, number: int, taking: Awaitable[Taken]) -> None:
        self._start(self._finish(number, taking))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, number: int, taking: Awaitable[Taken]) -> None:
        try:
            taken = await taking
        except Exception as error:
            self._failed(number, error)
        else:
            self._taken(number, taken)

    def _take_in_hand(self, mapped: MappedUpdate) -> int:
        self._next += 1
        self._in_hand[self._next] = _InHand(mapped.order_id, mapped.update.sequence, time.monotonic())
        self._is_free.clear()
        return self._next

    def _put_away(self, number: int) -> _InHand | None:
        """An update that was in hand; None where it was answered before."""
        update = self._in_hand.pop(number, None)
        if len(self._in_hand) < MOST_IN_FLIGHT:
            self._has_room.set()
        if not self._in_hand:
            self._is_free.set()
        return update

    def _taken(self, number: int, taken: Taken) -> None:
        update = self._put_away(number)
        if update is not None:
            self._answer_taken(update.order_id, taken)
            self._go_on(number, update.order_id)

    def _answer_taken(self, order_id: str, taken: Taken) -> None:
        is_owner = taken.verdict is not UpdateVerdict.REFUSED  # a stream that was fenced stays fenced
        if taken.has_ended:
            self._let_go(order_id, taken.message.epoch if is_owner else None)
        elif is_owner:
            self._epochs[order_id] = taken.message.epoch
        if taken.is_halted:
            self._halted.add(order_id)  # told with this answer
        elif self._calls.is_halted(order_id):
            self._controls.set()  # halted while its update was on the way
        self._answer(taken.message)

    def _let_go(self, order_id: str, epoch: int | None) -> None:
        """Of an order that has ended. `epoch` None: the one that this stream had."""
        before = self._epochs.pop(order_id, None)
        kept = before if epoch is None else epoch
        if kept:
            self._ended_epochs[order_id] = kept
            self._ended_epochs.move_to_end(order_id)
            if len(self._ended_epochs) > MOST_ENDED:
                self._ended_epochs.popitem(last=False)
        self._halted.discard(order_id)

    def _failed(self, number: int, error: Exception) -> None:
        update = self._put_away(number)
        if update is not None:
            self._answer_failure(update.order_id, update.sequence, error)
            self._go_on(number, update.order_id)

    def _answer_failure(self, order_id: str, sequence: int, error: Exception) -> None:
        becomes = FREE
        if isinstance(error, UnknownOrderError | UpdateRefusedError):
            text = str(error)
        elif isinstance(error, RpcError):  # a resume's request was refused
            text = error.text
        elif isinstance(error, StoreError | TimeoutError):
            becomes = UNCERTAIN
            text = f"the update could not be recorded: {str(error) or 'too late'}; send it again"
        else:
            becomes = UNCERTAIN
            log.error("an update failed", order_id=order_id, exc_info=error)
            text = "the service failed; its log says why. Send it again"
        self._answer(refused_update(order_id, text, sequence, becomes))

    def _answer(self, message: Answer) -> None:
        waiting = self._waiting.get(message.order_id)
        if waiting is not None:
            message = merged(waiting, message)
            if len(message.refusals) >= MOST_REFUSALS:
                self.end(f"{len(message.refusals)} refusals of an order were not taken; resume it on a new stream")
        self._waiting[message.order_id] = message
        self._writer.wake()

    def _next_answer(self) -> bytes | None:
        """Of what waits, the oldest order's."""
        if not self._waiting:
            return None
        return self._waiting.pop(next(iter(self._waiting))).SerializeToString()
