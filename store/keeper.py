"""The keeper: takes records into the journal, says which order ids are taken, and holds the market states of a host.

It runs on one event loop and knows no transport; `store.keeper_ipc` puts it behind a socket for several workers.
What it takes goes through one line (`store.journal_line`), decisions by their desk (`store.decision_desk`). Here is
what holds the parts together: start, stop, and going on with a journal that had to be opened anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from engine.records import (
    AdaptationRecord,
    MarketUpdate,
    OperationRecord,
    OutcomeRecord,
    Record,
    RecordKind,
    SelectionRecord,
)
from engine.throttle import Counted
from engine.values import MarketState
from store.control_desk import ControlDesk
from store.controls_board import ControlBoard
from store.controls_port import ControlAnswer, ControlCallback, CountCall
from store.decision_desk import DecisionDesk
from store.decisions import Decisions, JournaledOrder, KeeperSettings
from store.drainer import Drainer, DrainStep
from store.ending import end
from store.errors import JournalError, JournalFailed, StoreUnavailable
from store.journal.port import Entry, JournalPort
from store.journal_health import JournalHealth
from store.journal_line import JournalLine
from store.keeper_metrics import KeeperMetrics
from store.market import MarketVerdict
from store.market_board import MarketBoard
from store.order_list import OrderList, OrderPage, OrderQuery, page_of
from store.order_port import KeptOrder, OrderRecords, OutcomeAnswer, UpdateAnswer
from store.order_reader import OrderSource
from store.orders import OpenOrders
from store.payload import encode, kind_of
from store.selection_reader import SelectionSource
from store.submission import (
    Acknowledgement,
    MarketCallback,
    StateCallback,
    StoredSelection,
    Submission,
    Unsubscribe,
    UpdateCall,
    selection_of,
)
from store.taken import TakenOrders

_log = logging.getLogger(__name__)


class Keeper:
    """See KeeperPort for the interface; who has a record encoded brings a decision to `desk`.

    With `reopen`, a journal that failed is opened anew within this process. Without it the keeper is of no use any
    more: `broken` is done, and whoever owns the process ends it (`store.journal_health`).
    """

    def __init__(
        self,
        journal: JournalPort,
        make_drainer: Callable[[JournalPort], Drainer],
        source: SelectionSource,
        board: MarketBoard,
        order_source: OrderSource,
        *,
        settings: KeeperSettings | None = None,
        reopen: Callable[[], Awaitable[JournalPort]] | None = None,
        taken: TakenOrders | None = None,
        controls: ControlDesk | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        uniform: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings or KeeperSettings()
        self._make_drainer = make_drainer
        self._board = board
        self._reopen = reopen
        self._uniform = uniform
        self._sleep = sleep
        self._taken = taken
        self._decisions = Decisions(
            journal, source, self._settings, clock_s, *(() if taken is None else (taken.knows,))
        )
        self._claims = self._decisions.claims
        self._health = JournalHealth(
            lambda: self._line.journal.metrics.is_full, self if reopen is not None else None, self._settings.backoff,
            uniform, sleep,
        )  # fmt: skip
        self._line = JournalLine(journal, make_drainer(journal), self._health)
        self._list = OrderList(self._settings.listed_orders)
        self._orders = OpenOrders(
            self._line.append, self._decisions.is_ours, self._decisions.basis, order_source, self._settings.open_orders,
            self._list.changed,
        )  # fmt: skip
        self._controls = controls or ControlDesk(ControlBoard())
        self.desk = DecisionDesk(self._decisions, self._line, source, self._controls.board, self._list.changed)
        self._load_task: asyncio.Task[None] | None = None
        self.commit_latencies = self._line.latencies

    async def start(self) -> None:
        """Claims what the journal holds, and starts the background work. Orders that only PostgreSQL knows are loaded
        before this returns if it answers at once, and later otherwise. Raises JournalCorrupt."""
        self._controls.board.load()
        self._decisions.adopt(self._line.journal, await self._scan(self._line.journal))
        await self._controls.start()
        if self._taken is not None:
            self._taken.start(self._let_go)
        self._line.drainer.start(self, lets_go=self._taken is None)
        self._board.start()
        self._load_task = asyncio.get_running_loop().create_task(self._load_orders(), name="load-orders")
        await asyncio.wait({self._load_task}, timeout=self._settings.load_wait_s)

    async def stop(self, deadline_s: float) -> tuple[str, ...]:
        """Drains while PostgreSQL takes it, for at most that long, and closes the journal; what is not drained stays in
        it. The ids of records that are not even there."""
        self._health.stopping()
        await self._controls.stop()
        loop = asyncio.get_running_loop()
        if self._health.has_failed:
            deadline_s = 0.0
        end_s = loop.time() + deadline_s
        await end(self._load_task)
        await self._health.stop()
        await self._synced(deadline_s)
        waiting = await self._line.drainer.stop(max(0.0, end_s - loop.time()))
        if self._taken is not None:
            await self._taken.stop(max(0.0, min(1.0, end_s - loop.time())))
        try:
            await self._line.journal.close()
        except JournalError as error:
            _log.error("the journal did not close in order: %s", error)
        await asyncio.sleep(0)  # callbacks of what was synced by the close
        if waiting:
            _log.info("%d entries wait in the journal for PostgreSQL; the next start drains them", waiting)
        await self._board.stop(1.0)
        return self._line.unsynced

    @property
    def broken(self) -> asyncio.Future[JournalError]:
        """Done when the journal is of no use any more."""
        return self._health.broken

    @property
    def market(self) -> Mapping[str, MarketState]:
        """The held states, by instrument id."""
        return self._board.states

    @property
    def board(self) -> MarketBoard:
        return self._board

    @property
    def metrics(self) -> KeeperMetrics:
        return KeeperMetrics(
            state=self._health.state,
            journal=self._line.journal.metrics,
            drainer=self._line.drainer.metrics,
            claims=len(self._claims),
            orders_loaded=not self._claims.older_unknown,
            questions=self._decisions.questions,
            unanswered=self._decisions.unanswered,
            subscribers=self._board.subscribers,
            orders=self._orders.metrics,
            hosts=self._controls.hosts,
            lease_used=self._controls.board.lease_used,
            has_twin=self._controls.has_twin,
            clock_ahead_s=self._controls.clock_ahead_s,
        )

    async def submit(self, record: SelectionRecord, acknowledgement: Acknowledgement) -> Submission:
        return await self.desk.submit(selection_of(record), encode(record), acknowledgement)

    async def record(self, record: Record, acknowledgement: Acknowledgement) -> None:
        await self.record_encoded(kind_of(record), encode(record), acknowledgement)

    async def record_encoded(self, kind: RecordKind, payload: bytes, acknowledgement: Acknowledgement) -> None:
        """`record` of a record that was encoded where it was made."""
        sequence, durable = self._line.append(kind, payload, kind.name)
        await self._line.met(durable, sequence, acknowledgement)

    async def find(self, order_id: str) -> tuple[StoredSelection, ...]:
        return await self._decisions.find(order_id)

    async def order(self, order_id: str) -> KeptOrder | None:
        return await self._orders.order(order_id)

    async def orders(self, query: OrderQuery) -> OrderPage:
        return await page_of(self._list, self._orders, query, self._line.journal.journal_id)

    async def order_records(self, order_id: str) -> OrderRecords | None:
        return await self._orders.records(order_id)

    async def figures(self) -> KeeperMetrics:
        return self.metrics

    async def update(self, call: UpdateCall, acknowledgement: Acknowledgement) -> UpdateAnswer:
        answer, durable, sequence = await self._orders.update(
            call.order_id, call.update, call.opening, call.record_id, call.now_ns, call.gateway,
            acknowledgement is not Acknowledgement.BUFFERED,
        )  # fmt: skip
        await self._line.met(durable, sequence, acknowledgement)
        return answer

    def begin_update(self, call: UpdateCall, acknowledgement: Acknowledgement) -> asyncio.Future[UpdateAnswer] | None:
        if acknowledgement is Acknowledgement.COMMITTED:
            return None
        is_waited_for = acknowledgement is not Acknowledgement.BUFFERED
        taken = self._orders.begin(
            call.order_id, call.update, call.record_id, call.now_ns, call.gateway, is_waited_for
        )
        if taken is None:
            return None
        answer, durable = taken
        done: asyncio.Future[UpdateAnswer] = asyncio.get_running_loop().create_future()
        if durable is None or not is_waited_for:
            done.set_result(answer)
        else:
            durable.add_done_callback(partial(_answered, done, answer))
        return done

    async def advise(self, record: AdaptationRecord, acknowledgement: Acknowledgement) -> bool:
        return await self.advise_encoded(record, encode(record), acknowledgement)

    async def advise_encoded(
        self, record: AdaptationRecord, payload: bytes, acknowledgement: Acknowledgement
    ) -> bool:
        taken = self._orders.advise(record, payload)
        if taken is None:
            return False
        await self._line.met(*taken, acknowledgement)
        return True

    async def report(self, record: OutcomeRecord, acknowledgement: Acknowledgement) -> OutcomeAnswer:
        return await self.report_encoded(record, encode(record), acknowledgement)

    async def report_encoded(
        self, record: OutcomeRecord, payload: bytes, acknowledgement: Acknowledgement
    ) -> OutcomeAnswer:
        answer, durable, sequence = await self._orders.report(record, payload)
        await self._line.met(durable, sequence, acknowledgement)
        return answer

    async def _scan(self, journal: JournalPort) -> list[JournaledOrder]:
        self._orders.begin_scan(journal.metrics.drained_sequence)
        self._list.clear()
        found = await self._decisions.scan(journal, self._scanned)
        self._list.restore((order.order_id, order.sequence) for order in found)
        return found

    def _scanned(self, entry: Entry) -> None:
        if entry.kind is RecordKind.OPERATION:
            self._controls.scanned(entry.payload)
        else:
            self._orders.scanned(entry)

    async def operate(self, record: OperationRecord, wait_s: float) -> ControlAnswer:
        return await self.operate_encoded(record, encode(record), wait_s)

    async def operate_encoded(self, record: OperationRecord, payload: bytes, wait_s: float) -> ControlAnswer:
        """A halt holds before it is on the disk, whatever the disk says; everything else after."""
        return await self._controls.operate(record, lambda: self.record_encoded(
            RecordKind.OPERATION, payload, Acknowledgement.JOURNALED
        ), wait_s)  # fmt: skip

    async def count(self, call: CountCall) -> Counted:
        return self._controls.board.count(call)

    def watch_controls(self, callback: ControlCallback) -> Unsubscribe:
        return self._controls.board.watch(callback)

    @property
    def controls(self) -> ControlBoard:
        return self._controls.board

    async def apply_market(self, update: MarketUpdate) -> MarketVerdict:
        return self._board.apply(update)

    def subscribe(self, callback: MarketCallback) -> Unsubscribe:
        return self._board.subscribe(callback)

    def watch_state(self, callback: StateCallback) -> Unsubscribe:
        return self._health.watch(callback)

    def drained(self, step: DrainStep) -> None:
        """See drainer.Observer."""
        order_ids = self._decisions.drained(step)
        self._orders.drained(step.sequence)
        if self._taken is not None:
            self._taken.drained(step.sequence, order_ids)

    def _let_go(self, sequence: int) -> None:
        """The orders of everything up to there are on the disk apart from the journal's segments."""
        if sequence <= self._line.journal.head.sequence:
            self._line.journal.drained(sequence)

    def diverged(self, error: JournalError) -> None:
        """See drainer.Observer."""
        self._health.failed(error)

    async def leave_journal(self) -> None:
        """See journal_health.Reopening."""
        await self._line.drainer.stop(0.0)
        with suppress(JournalError):
            await self._line.journal.close()

    async def enter_journal(self) -> int:
        """See journal_health.Reopening."""
        assert self._reopen is not None
        journal = await self._reopen()
        orders = await self._scan(journal)
        freed = self._decisions.adopt(journal, orders)
        self._line.enter(journal, self._make_drainer(journal))
        self._line.drainer.start(self, lets_go=self._taken is None)
        return freed

    async def _synced(self, deadline_s: float) -> None:
        """Waits until what was taken is on disk."""
        if self._line.unsynced and not self._health.has_failed:
            futures = [claim.durable for _, claim in self._claims.open_claims() if claim.durable is not None]
            if futures:
                await asyncio.wait(futures, timeout=deadline_s)

    async def _load_orders(self) -> None:
        failures = 0
        while True:
            try:
                await self._decisions.load_orders()
                return
            except StoreUnavailable as error:
                failures += 1
                if failures == 1:
                    _log.warning("orders of earlier runs are not loaded yet: %s", error)
            except Exception:  # tried again: without them a repetition would have to be asked of PostgreSQL for ever
                failures += 1
                _log.exception("orders of earlier runs could not be loaded")
            await self._sleep(self._settings.backoff.delay_s(failures, self._uniform()))


def _answered(waiting: asyncio.Future[UpdateAnswer], answer: UpdateAnswer, durable: asyncio.Future[Any]) -> None:
    """Passes on what became of the disk's write, to whoever still waits."""
    error = JournalFailed("the journal was closed") if durable.cancelled() else durable.exception()
    if waiting.done():
        return
    if error is None:
        waiting.set_result(answer)
    else:
        waiting.set_exception(error)
