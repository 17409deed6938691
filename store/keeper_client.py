"""The worker's end: the keeper's interface over a connection that comes back by itself."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from engine.records import (
    AdaptationRecord,
    MarketUpdate,
    OperationRecord,
    OutcomeRecord,
    Record,
    SelectionRecord,
)
from engine.throttle import Counted
from engine.values import MarketState
from store.backoff import Backoff
from store.controls_port import ControlAnswer, ControlCallback, ControlView, CountCall
from store.ending import end
from store.errors import KeeperUnavailable, RecordInvalid
from store.frames import FrameProtocol
from store.keeper_metrics import KeeperMetrics
from store.keeper_wire import (
    PROTOCOL_VERSION,
    AdviseCall,
    Call,
    ControlPush,
    ControlTaken,
    CountRequest,
    Failure,
    FiguresCall,
    FindCall,
    Hello,
    LeasePush,
    MarketCall,
    MarketPush,
    MarketRestore,
    OperateCall,
    OrderCall,
    OrderRecordsCall,
    OrdersCall,
    RecordCall,
    ReportCall,
    StatePush,
    decode_from_keeper,
    encode,
    error_of,
    order_update,
    submit_call,
)
from store.market import MarketVerdict
from store.market_board import tell
from store.order_list import OrderPage, OrderQuery
from store.order_port import KeptOrder, OrderRecords, OutcomeAnswer, UpdateAnswer
from store.payload import encode as encode_record
from store.payload import kind_of
from store.state_board import StateBoard
from store.submission import (
    Acknowledgement,
    Condition,
    KeeperState,
    MarketCallback,
    StateCallback,
    StoredSelection,
    Submission,
    Unsubscribe,
    UpdateCall,
    selection_of,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """A call waits at most this long for its answer; one that finds no connection does not wait at all."""

    call_timeout_s: float = 2.0
    journal_timeout_s: float = 10.0
    commit_timeout_s: float = 30.0
    max_in_flight: int = 10_000
    # Short at its longest too: the keeper is back in well under a second, and a try costs nothing on this host.
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.005, last_s=0.05))

    def timeout_s(self, acknowledgement: Acknowledgement) -> float:
        if acknowledgement is Acknowledgement.COMMITTED:
            return self.commit_timeout_s
        return self.journal_timeout_s if acknowledgement is Acknowledgement.JOURNALED else self.call_timeout_s


class RemoteKeeper:
    """See KeeperPort. A call that fails with KeeperUnavailable may have been taken: send the same record again,
    and the answer is DUPLICATE with what was stored."""

    def __init__(
        self,
        path: Path | str,
        settings: RemoteSettings | None = None,
        *,
        uniform: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path = str(path)
        self._settings = settings or RemoteSettings()
        self._uniform = uniform
        self._sleep = sleep
        self._protocol: FrameProtocol | None = None
        self._connected = asyncio.Event()
        self._closed = asyncio.Event()
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._next_call = 0
        self._market: dict[str, MarketState] = {}
        self._subscribers: dict[int, MarketCallback] = {}
        self._next_subscriber = 0
        self._controls = ControlView(is_known=False)
        self._control_watchers: dict[int, ControlCallback] = {}
        self._states = StateBoard(KeeperState(Condition.AWAY, "the keeper was not reached yet"))
        self._task: asyncio.Task[None] | None = None

    async def start(self, wait_s: float = 5.0) -> None:
        """Starts connecting, and waits so long for the first connection; it goes on trying after that too."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._stay_connected(), name="keeper-client")
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._connected.wait()

    async def close(self) -> None:
        task, self._task = self._task, None
        await end(task)
        if self._protocol is not None:
            self._protocol.abort()
            await self._closed.wait()

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    async def submit(self, record: SelectionRecord, acknowledgement: Acknowledgement) -> Submission:
        self._next_call += 1
        message = submit_call(self._next_call, acknowledgement, selection_of(record), encode_record(record))
        answer: Submission = await self._ask(message, self._settings.timeout_s(acknowledgement))
        return answer

    async def record(self, record: Record, acknowledgement: Acknowledgement) -> None:
        self._next_call += 1
        message = RecordCall(self._next_call, acknowledgement, kind_of(record), encode_record(record))
        await self._ask(message, self._settings.timeout_s(acknowledgement))

    async def find(self, order_id: str) -> tuple[StoredSelection, ...]:
        self._next_call += 1
        message = FindCall(self._next_call, order_id)
        answer: tuple[StoredSelection, ...] = await self._ask(message, self._settings.call_timeout_s)
        return answer

    async def order(self, order_id: str) -> KeptOrder | None:
        self._next_call += 1
        message = OrderCall(self._next_call, order_id)
        # PostgreSQL may have to be read, for many at once.
        answer: KeptOrder | None = await self._ask(message, self._settings.journal_timeout_s)
        return answer

    async def orders(self, query: OrderQuery) -> OrderPage:
        self._next_call += 1
        message = OrdersCall(self._next_call, query)
        answer: OrderPage = await self._ask(message, self._settings.call_timeout_s)
        return answer

    async def order_records(self, order_id: str) -> OrderRecords | None:
        self._next_call += 1
        message = OrderRecordsCall(self._next_call, order_id)
        answer: OrderRecords | None = await self._ask(message, self._settings.call_timeout_s)
        return answer

    async def figures(self) -> KeeperMetrics:
        self._next_call += 1
        answer: KeeperMetrics = await self._ask(FiguresCall(self._next_call), self._settings.call_timeout_s)
        return answer

    async def update(self, call: UpdateCall, acknowledgement: Acknowledgement) -> UpdateAnswer:
        self._next_call += 1
        message = order_update(self._next_call, acknowledgement, call)
        answer: UpdateAnswer = await self._ask(message, self._settings.timeout_s(acknowledgement))
        return answer

    def begin_update(self, call: UpdateCall, acknowledgement: Acknowledgement) -> asyncio.Future[UpdateAnswer] | None:
        self._next_call += 1
        message = order_update(self._next_call, acknowledgement, call)
        return self._begin(message, self._settings.timeout_s(acknowledgement))

    async def advise(self, record: AdaptationRecord, acknowledgement: Acknowledgement) -> bool:
        self._next_call += 1
        message = AdviseCall(self._next_call, acknowledgement, encode_record(record))
        answer: bool = await self._ask(message, self._settings.timeout_s(acknowledgement))
        return answer

    async def report(self, record: OutcomeRecord, acknowledgement: Acknowledgement) -> OutcomeAnswer:
        self._next_call += 1
        message = ReportCall(self._next_call, acknowledgement, encode_record(record))
        answer: OutcomeAnswer = await self._ask(message, self._settings.timeout_s(acknowledgement))
        return answer

    async def apply_market(self, update: MarketUpdate) -> MarketVerdict:
        self._next_call += 1
        message = MarketCall(self._next_call, update)
        answer: MarketVerdict = await self._ask(message, self._settings.call_timeout_s)
        return answer

    def subscribe(self, callback: MarketCallback) -> Unsubscribe:
        number = self._next_subscriber
        self._next_subscriber += 1
        self._subscribers[number] = callback
        for instrument_id, state in tuple(self._market.items()):
            tell(callback, instrument_id, state)

        def unsubscribe() -> None:
            self._subscribers.pop(number, None)

        return unsubscribe

    def watch_state(self, callback: StateCallback) -> Unsubscribe:
        return self._states.watch(callback)

    async def operate(self, record: OperationRecord, wait_s: float) -> ControlAnswer:
        self._next_call += 1
        message = OperateCall(self._next_call, encode_record(record), wait_s)
        answer: ControlAnswer = await self._ask(message, self._settings.journal_timeout_s + wait_s)
        return answer

    async def count(self, call: CountCall) -> Counted:
        self._next_call += 1
        answer: Counted = await self._ask(CountRequest(self._next_call, call), self._settings.call_timeout_s)
        return answer

    def watch_controls(self, callback: ControlCallback) -> Unsubscribe:
        """Nothing is known before the keeper has told it, so nothing is allowed."""
        number = self._next_subscriber
        self._next_subscriber += 1
        self._control_watchers[number] = callback
        callback(self._controls)

        def unsubscribe() -> None:
            self._control_watchers.pop(number, None)

        return unsubscribe

    def _on_controls(self, protocol: FrameProtocol, view: ControlView) -> None:
        """Taken as soon as every watcher returns: what is sent from here on was decided with it."""
        self._controls = view
        try:
            for callback in tuple(self._control_watchers.values()):
                callback(view)
        except Exception:
            _log.exception("halts and limits could not be taken; the keeper will cut this worker off")
            return
        with suppress(ConnectionError):
            protocol.send(encode(ControlTaken(view.number)))

    async def _ask(self, message: Call, timeout_s: float) -> Any:
        return await self._begin(message, timeout_s)

    def _begin(self, message: Call, timeout_s: float) -> asyncio.Future[Any]:
        """Sends a call; its answer."""
        protocol = self._protocol
        if protocol is None or not self._connected.is_set():
            raise KeeperUnavailable("the keeper cannot be reached now")
        if len(self._calls) >= self._settings.max_in_flight:
            raise KeeperUnavailable(f"{len(self._calls)} calls to the keeper are in flight, the bound")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        try:
            protocol.send(encode(message))
        except ConnectionError as error:
            raise KeeperUnavailable(f"the keeper cannot be reached now: {error}") from error
        except (TypeError, ValueError, OverflowError) as error:  # FrameTooLarge is a ValueError
            raise RecordInvalid(f"cannot be sent to the keeper: {error}") from error
        self._calls[message.call] = future
        timer = loop.call_later(timeout_s, _time_out, future, timeout_s)
        future.add_done_callback(partial(self._ended, message.call, timer))
        return future

    def _ended(self, call: int, timer: asyncio.TimerHandle, _: asyncio.Future[Any]) -> None:
        timer.cancel()
        self._calls.pop(call, None)

    def _on_frame(self, protocol: FrameProtocol, frame: memoryview) -> None:
        try:
            message = decode_from_keeper(frame)
        except (msgspec.DecodeError, ValueError) as error:
            _log.error("the keeper sent what cannot be read: %s", error)
            protocol.abort()
            return
        if isinstance(message, MarketPush):
            self._on_market(protocol, message)
        elif isinstance(message, ControlPush):
            self._on_controls(protocol, message.view)
        elif isinstance(message, LeasePush):
            self._on_controls(protocol, replace(self._controls, lease_until_ns=message.lease_until_ns))
        elif isinstance(message, StatePush):
            self._states.set(message.condition, message.reason)
        elif isinstance(message, Hello):
            self._on_hello(protocol, message)
        else:
            future = self._calls.get(message.call)
            if future is None or future.done():
                return  # whoever asked gave up
            if isinstance(message, Failure):
                future.set_exception(error_of(message))
            else:
                future.set_result(message.answer)

    def _on_market(self, protocol: FrameProtocol, push: MarketPush) -> None:
        """A keeper that was started anew knows less than what its forerunner told: it is told that."""
        held = self._market.get(push.instrument_id)
        if held is not None and held.as_of_ns > push.state.as_of_ns:
            with suppress(ConnectionError):
                protocol.send(encode(MarketRestore(push.instrument_id, held)))
            return
        self._market[push.instrument_id] = push.state
        for callback in tuple(self._subscribers.values()):
            tell(callback, push.instrument_id, push.state)

    def _on_hello(self, protocol: FrameProtocol, hello: Hello) -> None:
        if hello.version != PROTOCOL_VERSION:
            _log.error("the keeper speaks version %d, this worker %d", hello.version, PROTOCOL_VERSION)
            protocol.abort()
            return
        self._connected.set()

    def _on_closed(self, protocol: FrameProtocol) -> None:
        self._protocol = None
        self._connected.clear()
        self._closed.set()
        self._states.set(Condition.AWAY, "the connection to the keeper broke")
        for future in tuple(self._calls.values()):
            if not future.done():
                future.set_exception(KeeperUnavailable("the connection to the keeper broke"))

    async def _stay_connected(self) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            self._closed.clear()
            try:
                _, self._protocol = await loop.create_unix_connection(
                    lambda: FrameProtocol(self._on_frame, self._on_closed), self._path
                )
                await self._closed.wait()
                failures = 1
            except OSError:
                failures += 1
            await self._sleep(self._settings.backoff.delay_s(failures, self._uniform()))


def _time_out(future: asyncio.Future[Any], timeout_s: float) -> None:
    if not future.done():
        future.set_exception(KeeperUnavailable(f"the keeper did not answer within {timeout_s} s"))
