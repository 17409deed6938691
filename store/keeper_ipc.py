"""One keeper for several worker processes of a host, behind a Unix socket.

Calls are pipelined: many in flight on one connection, answered in whatever order they are ready. Market states are
pushed to every worker, the newest of each instrument: a worker that reads slowly skips the ones between, and one
that connects again gets them all. Whether records are taken is pushed too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from engine.records import AdaptationRecord, OperationRecord, OutcomeRecord, RecordKind
from engine.values import MarketState
from store.controls_port import ControlView
from store.errors import JournalFailed, StoreError
from store.frames import FrameProtocol, FrameTooLarge
from store.keeper import Keeper
from store.keeper_wire import (
    PROTOCOL_VERSION,
    AdviseCall,
    AdviseReply,
    Call,
    ControlPush,
    ControlTaken,
    CountReply,
    CountRequest,
    Failure,
    FiguresCall,
    FiguresReply,
    FindCall,
    FindReply,
    Hello,
    LeasePush,
    MarketCall,
    MarketPush,
    MarketReply,
    MarketRestore,
    OperateCall,
    OperateReply,
    OrderCall,
    OrderRecordsCall,
    OrderRecordsReply,
    OrderReply,
    OrdersCall,
    OrdersReply,
    OrderUpdate,
    OrderUpdateReply,
    RecordCall,
    RecordReply,
    Reply,
    ReportCall,
    ReportReply,
    StatePush,
    SubmitCall,
    SubmitReply,
    decode_to_keeper,
    encode,
    failure_of,
    selection_in,
    update_in,
)
from store.order_port import UpdateAnswer
from store.payload import decode as decode_record
from store.submission import KeeperState, Submission

_log = logging.getLogger(__name__)

_MAX_IN_FLIGHT = 20_000  # of one worker; above it the keeper stops reading from that worker


async def serve_keeper(keeper: Keeper, path: Path | str) -> KeeperServer:
    """Listens at the path, for this user only. A socket file that nobody listens at any more is replaced."""
    server = KeeperServer(keeper, Path(path))
    await server.start()
    return server


class KeeperServer:
    """The listening end. Ends with `close()`, which answers what is in flight for a moment first."""

    def __init__(self, keeper: Keeper, path: Path) -> None:
        self._keeper = keeper
        self._path = path
        self._workers: set[_Worker] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        listener = _listen(self._path)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._accept, sock=listener, backlog=128)

    async def close(self, deadline_s: float = 2.0) -> None:
        if self._server is None:
            return
        self._server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await asyncio.gather(*(worker.finish() for worker in tuple(self._workers)))
        for worker in tuple(self._workers):
            worker.abort()
        self._path.unlink(missing_ok=True)
        self._server = None

    @property
    def connections(self) -> int:
        return len(self._workers)

    def _accept(self) -> FrameProtocol:
        return _Worker(self._keeper, self._workers).protocol


class _Worker:
    """One connected worker."""

    def __init__(self, keeper: Keeper, workers: set[_Worker]) -> None:
        self._keeper = keeper
        self._workers = workers
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight = 0  # calls that wait for something
        self._idle = asyncio.Event()
        self._idle.set()
        self._changed: dict[str, MarketState] = {}
        self._has_changes = asyncio.Event()
        self._pusher: asyncio.Task[None] | None = None
        self._told_controls = -1
        self.protocol = FrameProtocol(self._on_frame, self._on_closed, self._on_open)

    async def finish(self) -> None:
        """Waits for the calls in flight, then closes."""
        self.protocol.pause_reading()
        await self._idle.wait()
        self.protocol.close()

    def abort(self) -> None:
        self.protocol.abort()

    def _on_open(self, protocol: FrameProtocol) -> None:
        self._workers.add(self)
        protocol.send(encode(Hello(PROTOCOL_VERSION)))
        self._unwatch = self._keeper.watch_state(self._on_state)
        board = self._keeper.controls
        self._watcher, self._unwatch_controls = board.watch_acknowledged(self._on_controls, protocol.abort)
        self._unsubscribe = self._keeper.subscribe(self._on_market)
        self._pusher = asyncio.get_running_loop().create_task(self._push(), name="keeper-push")

    def _on_closed(self, protocol: FrameProtocol) -> None:
        self._workers.discard(self)
        self._unwatch()
        self._unwatch_controls()
        self._unsubscribe()
        if self._pusher is not None:
            self._pusher.cancel()
        # The calls go on: what was taken is kept, whether or not the worker lives to hear of it.

    def _on_frame(self, protocol: FrameProtocol, frame: memoryview) -> None:
        try:
            message = decode_to_keeper(frame)
        except Exception as error:  # not one of ours: nothing that follows can be trusted
            _log.error("a worker sent a frame that is no call, and was disconnected: %s", error)
            protocol.abort()
            return
        if isinstance(message, MarketRestore):
            self._keeper.board.restore(message.instrument_id, message.state)
            return
        if isinstance(message, ControlTaken):
            self._keeper.controls.took(self._watcher, message.number)
            return
        if isinstance(message, SubmitCall) and self._begin(message):
            return
        if isinstance(message, OrderUpdate) and self._begin_update(message):
            return
        self._count(1)
        task = asyncio.get_running_loop().create_task(self._serve(message, self._watcher.taken))
        self._tasks.add(task)
        task.add_done_callback(self._on_served)

    def _on_served(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._count(-1)

    def _count(self, change: int) -> None:
        self._in_flight += change
        if self._in_flight == 0:
            self._idle.set()
        elif self._in_flight == 1:
            self._idle.clear()
        if change > 0 and self._in_flight >= _MAX_IN_FLIGHT:
            self.protocol.pause_reading()
        elif change < 0 and self._in_flight == _MAX_IN_FLIGHT // 2:
            self.protocol.resume_reading()

    def _begin(self, call: SubmitCall) -> bool:
        """Takes the record without a task, which costs more than all the rest; the answer goes when it is durable."""
        try:
            begun = self._keeper.desk.begin(selection_in(call), call.payload, call.acknowledgement)
        except Exception as error:
            self._reply(_failure(call, error))
            return True
        if begun is None:
            return False
        if begun.durable is None:
            self._reply(SubmitReply(call.call, begun.submission))
        else:
            self._count(1)
            begun.durable.add_done_callback(partial(self._on_durable, call, begun.submission))
        return True

    def _begin_update(self, call: OrderUpdate) -> bool:
        """As `_begin`, of an update."""
        try:
            begun = self._keeper.begin_update(update_in(call), call.acknowledgement)
        except Exception as error:
            self._reply(_failure(call, error))
            return True
        if begun is None:
            return False
        self._count(1)
        begun.add_done_callback(partial(self._on_updated, call))
        return True

    def _on_updated(self, call: OrderUpdate, done: asyncio.Future[UpdateAnswer]) -> None:
        self._count(-1)
        error = done.exception()
        self._reply(OrderUpdateReply(call.call, done.result()) if error is None else _failure(call, error))

    def _on_durable(self, call: SubmitCall, answer: Submission, done: asyncio.Future[Any]) -> None:
        self._count(-1)
        error = JournalFailed("the journal was closed") if done.cancelled() else done.exception()
        self._reply(SubmitReply(call.call, answer) if error is None else _failure(call, error))

    async def _serve(self, call: Call, controls_number: int) -> None:
        """`controls_number`: of the halts and limits that the worker had when it sent this."""
        try:
            reply = await self._answer(call, controls_number)
        except Exception as error:
            reply = _failure(call, error)
        self._reply(reply)

    def _reply(self, reply: Reply) -> None:
        with suppress(ConnectionError):
            try:
                self.protocol.send(encode(reply))
            except FrameTooLarge as error:
                self.protocol.send(encode(failure_of(reply.call, error)))

    async def _answer(self, call: Call, controls_number: int) -> Reply:
        keeper = self._keeper
        if isinstance(call, SubmitCall):
            answer = await keeper.desk.submit(
                selection_in(call), call.payload, call.acknowledgement, controls_number
            )
            return SubmitReply(call.call, answer)
        if isinstance(call, RecordCall):
            await keeper.record_encoded(call.kind, call.payload, call.acknowledgement)
            return RecordReply(call.call)
        if isinstance(call, FindCall):
            return FindReply(call.call, await keeper.find(call.order_id))
        if isinstance(call, MarketCall):
            return MarketReply(call.call, await keeper.apply_market(call.update))
        if isinstance(call, OrdersCall):
            return OrdersReply(call.call, await keeper.orders(call.query))
        if isinstance(call, OrderRecordsCall):
            return OrderRecordsReply(call.call, await keeper.order_records(call.order_id))
        if isinstance(call, FiguresCall):
            return FiguresReply(call.call, await keeper.figures())
        if isinstance(call, CountRequest):
            return CountReply(call.call, await keeper.count(call.message))
        if isinstance(call, OperateCall):
            operation = cast(OperationRecord, decode_record(RecordKind.OPERATION, call.payload))
            return OperateReply(call.call, await keeper.operate_encoded(operation, call.payload, call.wait_s))
        return await self._answer_of_orders(call)

    async def _answer_of_orders(self, call: OrderCall | OrderUpdate | AdviseCall | ReportCall) -> Reply:
        keeper = self._keeper
        if isinstance(call, OrderUpdate):
            return OrderUpdateReply(call.call, await keeper.update(update_in(call), call.acknowledgement))
        if isinstance(call, OrderCall):
            return OrderReply(call.call, await keeper.order(call.order_id))
        if isinstance(call, AdviseCall):
            advice = cast(AdaptationRecord, decode_record(RecordKind.ADAPTATION, call.payload))
            return AdviseReply(call.call, await keeper.advise_encoded(advice, call.payload, call.acknowledgement))
        outcome = cast(OutcomeRecord, decode_record(RecordKind.OUTCOME, call.payload))
        return ReportReply(call.call, await keeper.report_encoded(outcome, call.payload, call.acknowledgement))

    def _on_state(self, state: KeeperState) -> None:
        with suppress(ConnectionError):
            self.protocol.send(encode(StatePush(state.condition, state.reason)))

    def _on_controls(self, view: ControlView) -> None:
        message = LeasePush(view.lease_until_ns) if view.number == self._told_controls else ControlPush(view)
        self._told_controls = view.number
        with suppress(ConnectionError):
            self.protocol.send(encode(message))

    def _on_market(self, instrument_id: str, state: MarketState) -> None:
        self._changed[instrument_id] = state
        self._has_changes.set()

    async def _push(self) -> None:
        """Sends the newest state of each changed instrument, at the pace at which the worker reads."""
        while True:
            await self._has_changes.wait()
            await self.protocol.may_write.wait()
            if not self._changed:
                self._has_changes.clear()
                continue
            instrument_id = next(iter(self._changed))
            push = MarketPush(instrument_id, self._changed.pop(instrument_id))
            with suppress(ConnectionError):
                self.protocol.send(encode(push))


def _failure(call: Call, error: BaseException) -> Failure:
    if not isinstance(error, StoreError):
        _log.error("a call to the keeper failed", exc_info=error)
    return failure_of(call.call, error)


def _listen(path: Path) -> socket.socket:
    """A bound socket that nobody else may connect to, even for a moment."""
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        os.chmod(path, 0o600)  # nobody can connect before listen()
    except OSError as error:
        listener.close()
        raise StoreError(f"the keeper cannot listen at {path}: {error}") from error
    listener.setblocking(False)
    return listener


def _remove_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise StoreError(f"{path} is there and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise StoreError(f"another keeper listens at {path}")
