"""The keeper: takes decisions, says which order ids are taken, and holds the market states of a host.

It runs on one event loop and knows no transport; `store.keeper_ipc` puts it behind a socket for several workers.
Between the claim of an order and the handing over to the writer nothing is awaited, so claims are exact.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from engine.records import MarketUpdate, SelectionRecord
from engine.values import MarketState
from store.backoff import Backoff
from store.claims import Claim, OrderClaims, Verdict
from store.errors import RecordSetAside, StoreUnavailable
from store.market import MarketVerdict, merge
from store.market_persister import MarketPersister
from store.pool import PoolSettings, make_pool
from store.selection_reader import PostgresSource, SelectionSource
from store.selection_rows import OrderOwner, PostgresSelections, RowStatus
from store.submission import KeeperPort, MarketCallback, StoredSelection, Submission, Unsubscribe
from store.writer import Commit, SelectionWriter, WriterMetrics, WriterSettings

__all__ = [
    "Keeper",
    "KeeperMetrics",
    "KeeperPort",
    "KeeperSettings",
    "RowStatus",
    "StoredSelection",
    "Submission",
    "Verdict",
    "open_keeper",
]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """Bounds of what is held in memory, and how long PostgreSQL is left alone after it did not answer."""

    claims: int = 200_000
    responses: int = 20_000
    seen_loaded: int = 1_000_000
    ask_again_after_s: float = 1.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.25, last_s=5.0))


@dataclass(frozen=True, slots=True)
class KeeperMetrics:
    """One moment of the keeper. `orders_loaded` is false while orders of earlier runs may be unknown."""

    writer: WriterMetrics
    claims: int
    orders_loaded: bool
    questions: int
    unanswered: int
    subscribers: int


class Keeper:
    """See KeeperPort for the interface."""

    def __init__(
        self,
        writer: SelectionWriter,
        source: SelectionSource,
        market: Mapping[str, MarketState],
        *,
        settings: KeeperSettings | None = None,
        persister: MarketPersister | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        uniform: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._writer = writer
        self._source = source
        self._market = dict(market)
        self._settings = settings or KeeperSettings()
        self._persister = persister
        self._clock_s = clock_s
        self._uniform = uniform
        self._sleep = sleep
        self._claims = OrderClaims(self._settings.claims, self._settings.responses)
        self._commits: dict[str, asyncio.Future[Commit]] = {}  # by selection id, while pending
        self._recent: OrderedDict[str, StoredSelection] = OrderedDict()  # by order id
        self._subscribers: dict[int, MarketCallback] = {}
        self._next_subscriber = 0
        self._load_task: asyncio.Task[None] | None = None
        self._ask_after_s = float("-inf")
        self._questions = self._unanswered = 0

    async def start(self) -> None:
        """Starts the background work; orders of earlier runs are loaded before this returns if PostgreSQL is up,
        and later otherwise."""
        self._writer.start()
        if self._persister is not None:
            self._persister.start()
        try:
            await self._load_orders()
        except StoreUnavailable as error:
            _log.warning("orders of earlier runs are not loaded yet: %s", error)
            self._load_task = asyncio.get_running_loop().create_task(self._load_later(), name="load-orders")

    async def stop(self, deadline_s: float) -> tuple[SelectionRecord, ...]:
        """Writes what waits, for at most that long; the records that did not reach PostgreSQL."""
        if self._load_task is not None:
            self._load_task.cancel()
            with suppress(asyncio.CancelledError):
                await self._load_task
        left = await self._writer.drain(deadline_s)
        if self._persister is not None:
            await self._persister.stop(deadline_s=1.0)
        return left

    @property
    def market(self) -> Mapping[str, MarketState]:
        """The held states, by instrument id."""
        return self._market

    @property
    def metrics(self) -> KeeperMetrics:
        return KeeperMetrics(
            writer=self._writer.metrics,
            claims=len(self._claims),
            orders_loaded=not self._claims.older_unknown,
            questions=self._questions,
            unanswered=self._unanswered,
            subscribers=len(self._subscribers),
        )

    async def submit(self, record: SelectionRecord, wait_commit: bool = False) -> Submission:
        """Claims the order and hands the record to the writer; with `wait_commit` waits for PostgreSQL too.

        Raises WriterFull or RecordInvalid (nothing was taken), RecordSetAside (with `wait_commit`: PostgreSQL
        refuses the row), StoreUnavailable (the stored response of a duplicate cannot be read now).
        """
        if not wait_commit and (answer := self.submit_now(record)) is not None:
            return answer
        if self._claims.must_ask(record.order_id):
            owner = await self._ask_owner(record.order_id)
            if owner is not None:
                self._claims.remember(record.order_id, owner.request_hash, owner.selection_id)
        verdict, claim = self._claim(record, flush_now=wait_commit)
        if verdict is Verdict.CONFLICT:
            return Submission(verdict, claim.selection_id, None, claim.request_hash, claim.status)
        if wait_commit:
            return await self._when_committed(record.order_id, record.request_hash, verdict, claim)
        response = (
            claim.response if claim.response is not None else await self._response(record.order_id, claim)
        )
        return Submission(verdict, claim.selection_id, response, None, claim.status)

    def submit_now(self, record: SelectionRecord) -> Submission | None:
        """As `submit` without waiting for anything: nearly always possible. None (and nothing taken) where
        PostgreSQL must be asked first."""
        if self._claims.must_ask(record.order_id):
            return None
        verdict, claim = self._claim(record, flush_now=False)
        if verdict is Verdict.CONFLICT:
            return Submission(verdict, claim.selection_id, None, claim.request_hash, claim.status)
        if claim.response is None:
            return None
        return Submission(verdict, claim.selection_id, claim.response, None, claim.status)

    async def find(self, order_id: str) -> tuple[StoredSelection, ...]:
        """The decisions of an order, oldest first: from memory, else from PostgreSQL. An order that another host
        decided too is read from PostgreSQL, so that both decisions show."""
        held = self._recent.get(order_id)
        if held is not None and held.status is RowStatus.RECORDED:
            return (held,)
        try:
            stored = await self._source.selections_of(order_id)
        except StoreUnavailable:
            if held is None:
                raise
            return (held,)
        if held is None or any(row.selection_id == held.selection_id for row in stored):
            return stored
        return (*stored, held)

    async def apply_market(self, update: MarketUpdate) -> MarketVerdict:
        """Merges new figures into what is held, tells the subscribers, and persists soon."""
        held = self._market.get(update.instrument_id)
        if held is None:
            return MarketVerdict.UNKNOWN_INSTRUMENT
        state, verdict = merge(held, update)
        if verdict is MarketVerdict.APPLIED:
            self._market[update.instrument_id] = state
            if self._persister is not None:
                self._persister.mark(update.instrument_id, state)
            for callback in tuple(self._subscribers.values()):
                _tell(callback, update.instrument_id, state)
        return verdict

    def subscribe(self, callback: MarketCallback) -> Unsubscribe:
        """Calls back with every held state now, and with every changed one from now on, on the keeper's loop."""
        number = self._next_subscriber
        self._next_subscriber += 1
        self._subscribers[number] = callback
        for instrument_id, state in tuple(self._market.items()):
            _tell(callback, instrument_id, state)

        def unsubscribe() -> None:
            self._subscribers.pop(number, None)

        return unsubscribe

    def _claim(self, record: SelectionRecord, flush_now: bool) -> tuple[Verdict, Claim]:
        """Claim and handing over, with nothing awaited between."""
        verdict, claim = self._claims.claim(
            record.order_id, record.request_hash, record.selection_id, record.response
        )
        if verdict is Verdict.ACCEPTED:
            self._take(record, flush_now)
        return verdict, claim

    def _take(self, record: SelectionRecord, flush_now: bool) -> None:
        try:
            commit = self._writer.enqueue(record, flush_now=flush_now)
        except BaseException:
            self._claims.release(record.order_id, record.selection_id)
            raise
        self._commits[record.selection_id] = commit
        self._recent[record.order_id] = StoredSelection(
            selection_id=record.selection_id,
            order_id=record.order_id,
            request_hash=record.request_hash,
            instrument_id=record.instrument_id,
            created_at_ns=record.created_at_ns,
            strategy_name=record.strategy_name,
            algorithm=record.algorithm,
            selection_rationale=record.selection_rationale,
            response=record.response,
            committed=False,
            status=RowStatus.RECORDED,
        )
        commit.add_done_callback(lambda done: self._committed(record.order_id, record.selection_id, done))
        self._bound_recent()

    def _committed(self, order_id: str, selection_id: str, done: asyncio.Future[Commit]) -> None:
        self._commits.pop(selection_id, None)
        failed = done.cancelled() or done.exception() is not None
        status = None if failed else done.result().status
        self._claims.settle(order_id, selection_id, status)
        held = self._recent.get(order_id)
        if status is not None and held is not None and held.selection_id == selection_id:
            self._recent[order_id] = replace(held, committed=True, status=status)

    def _bound_recent(self) -> None:
        """Lets the oldest go that PostgreSQL has; one that it does not have stays until it does."""
        while len(self._recent) > self._settings.responses:
            oldest = next(iter(self._recent))
            if self._recent[oldest].selection_id in self._commits:
                return
            del self._recent[oldest]

    async def _when_committed(
        self, order_id: str, request_hash: str, verdict: Verdict, claim: Claim
    ) -> Submission:
        commit = self._commits.get(claim.selection_id)
        if commit is None and not claim.settled:
            raise StoreUnavailable("the writer stopped before PostgreSQL took the record")
        if commit is not None:
            # The commit belongs to every waiter: one that gives up must not cancel it for the others.
            owner = (await asyncio.shield(commit)).owner
            if owner is not None:
                return await self._lost(order_id, request_hash, owner)
        elif claim.status is RowStatus.CONFLICTED:
            owner = await self._source.owner_of(order_id)
            if owner is not None:
                return await self._lost(order_id, request_hash, owner)
        elif claim.status is None:
            raise RecordSetAside(f"the decision {claim.selection_id} of this order could not be stored")
        response = claim.response if claim.response is not None else await self._response(order_id, claim)
        status = claim.status if commit is None else commit.result().status
        return Submission(verdict, claim.selection_id, response, None, status)

    async def _lost(self, order_id: str, request_hash: str, owner: OrderOwner) -> Submission:
        """Another host had the order. Who waits for the commit gets what is exact across hosts: its decision."""
        self._claims.replace(order_id, owner.request_hash, owner.selection_id)
        if owner.request_hash != request_hash:
            other = owner.request_hash
            return Submission(Verdict.CONFLICT, owner.selection_id, None, other, RowStatus.RECORDED)
        response = await self._source.response_of(owner.selection_id)
        return Submission(Verdict.DUPLICATE, owner.selection_id, response, None, RowStatus.RECORDED)

    async def _response(self, order_id: str, claim: Claim) -> bytes:
        response = await self._source.response_of(claim.selection_id)
        if response is None:
            raise StoreUnavailable(
                f"the decision {claim.selection_id} of order {order_id!r} is not in PostgreSQL"
            )
        self._claims.keep_response(order_id, response)
        return response

    async def _ask_owner(self, order_id: str) -> OrderOwner | None:
        """Asks PostgreSQL. Where it does not answer, memory decides, for everybody for a while: waiting for a
        time-out with every order would stop the host, and the `orders` table settles it in the end."""
        if self._clock_s() < self._ask_after_s:
            self._unanswered += 1
            return None
        self._questions += 1
        try:
            return await self._source.owner_of(order_id)
        except StoreUnavailable:
            self._unanswered += 1
            self._ask_after_s = self._clock_s() + self._settings.ask_again_after_s
            return None

    async def _load_orders(self) -> None:
        """The newest orders into the claims, those before them into the filter."""
        limit = self._settings.claims + self._settings.seen_loaded
        newest: list[tuple[str, str, str]] = []
        older = 0
        async with aclosing(self._source.newest_orders(limit + 1)) as rows:
            async for row in rows:
                if len(newest) < self._settings.claims:
                    newest.append(row)
                else:
                    older += 1
                    self._claims.remember_seen(row[0])
        for order_id, request_hash, selection_id in reversed(newest):  # the newest is the last to be evicted
            self._claims.remember(order_id, request_hash, selection_id)
        self._claims.older_unknown = len(newest) + older > limit

    async def _load_later(self) -> None:
        failures = 0
        while True:
            failures += 1
            await self._sleep(self._settings.backoff.delay_s(failures, self._uniform()))
            with suppress(StoreUnavailable):
                await self._load_orders()
                return


def _tell(callback: MarketCallback, instrument_id: str, state: MarketState) -> None:
    try:
        callback(instrument_id, state)
    except Exception:
        _log.exception("a subscriber to market states failed")


def _log_left_over(records: tuple[SelectionRecord, ...]) -> None:
    _log.error("%d selections did not reach PostgreSQL before the stop", len(records))


@asynccontextmanager
async def open_keeper(
    pool_settings: PoolSettings,
    market: Mapping[str, MarketState],
    *,
    host_id: str,
    writer_settings: WriterSettings | None = None,
    settings: KeeperSettings | None = None,
    stop_deadline_s: float = 10.0,
    on_left_over: Callable[[tuple[SelectionRecord, ...]], None] = _log_left_over,
) -> AsyncIterator[Keeper]:
    """A keeper over a pool of its own: opened, started, and at the end drained and closed.

    PostgreSQL need not be up. Records that it did not take within `stop_deadline_s` go to `on_left_over`.
    """
    pool = make_pool(pool_settings)
    await pool.open(wait=False)
    try:
        keeper = Keeper(
            SelectionWriter(PostgresSelections(pool, host_id), writer_settings),
            PostgresSource(pool),
            market,
            settings=settings,
            persister=MarketPersister(pool),
        )
        try:
            await keeper.start()
            yield keeper
        finally:
            left = await keeper.stop(stop_deadline_s)
            if left:
                on_left_over(left)
    finally:
        await pool.close(timeout=2.0)
