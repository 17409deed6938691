"""The decisions of a host: which orders have one, where it can be read, and what PostgreSQL made of it.

What PostgreSQL does not have yet is known by its place in the journal; memory holds the newest answers only, however
long PostgreSQL stays away.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from engine.records import RecordKind
from store.backoff import Backoff
from store.claims import Claim, OrderClaims
from store.drainer import DrainStep
from store.errors import DecisionRetired, EntriesGone, StoreUnavailable
from store.journal.port import Entry, Head, JournalPort
from store.order_port import OrderBasis
from store.payload import LAYOUTS, unpack
from store.selection_reader import SelectionSource
from store.selection_rows import OrderOwner, RowStatus
from store.submission import StoredSelection

_SCAN_ENTRIES: Final = 1_000
_SCAN_BYTES: Final = 8 * 1024 * 1024
_AT: Final = {name: index for index, (name, _) in enumerate(LAYOUTS[RecordKind.SELECTION], start=1)}
# What is told of a decision; the same names in the record.
_TOLD: Final = (
    "selection_id", "order_id", "request_hash", "instrument_id", "created_at_ns", "strategy_name", "algorithm",
    "selection_rationale", "response",
)  # fmt: skip
_BASIS: Final = (
    "selection_id", "order_id", "instrument_id", "created_at_ns", "strategy_name", "algorithm",
    "selection_rationale", "request", "response", "gateway", "tags",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """Bounds of what is held in memory, and how long PostgreSQL is waited for and left alone when it does not answer.

    A question about an order that nothing here knows must not hold orders up; one about an order that was here before
    may take `ask_seen_timeout_s`, and is refused then: deciding it again would be wrong.
    """

    claims: int = 200_000
    responses: int = 2_000  # some 10 kB each, with what is told of them; older ones are read from the journal
    older_loaded: int = 80_000_000  # orders in the filter, 2 bytes each
    older_page: int = 2_000  # hashed at a time: below 1 ms of the loop
    open_orders: int = 200_000
    listed_orders: int = 20_000
    load_wait_s: float = 0.2
    ask_timeout_s: float = 0.25
    ask_seen_timeout_s: float = 2.0
    ask_again_after_s: float = 1.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.25, last_s=5.0))


@dataclass(frozen=True, slots=True)
class JournaledOrder:
    """What a scan of the journal finds of a decision."""

    sequence: int
    order_id: str
    request_hash: str
    selection_id: str


class Decisions:
    """Belongs to one event loop. `journal` is replaced when it had to be opened anew."""

    def __init__(
        self,
        journal: JournalPort,
        source: SelectionSource,
        settings: KeeperSettings,
        clock_s: Callable[[], float] = time.monotonic,
        taken_before: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.journal = journal
        self.claims = OrderClaims(settings.claims, settings.responses, taken_before=taken_before)
        self.questions = self.unanswered = 0
        self._source = source
        self._settings = settings
        self._clock_s = clock_s
        self._older_after = ""  # the last order id in the filter
        self._recent: OrderedDict[str, StoredSelection] = OrderedDict()  # by order id, as it was taken
        self._undrained: deque[tuple[int, str, str]] = deque()  # sequence, order, selection
        self._asked: set[asyncio.Future[Any]] = set()
        self._ask_after_s = float("-inf")

    def taken(self, sequence: int, selection: StoredSelection) -> None:
        """A decision that is in the journal from now on."""
        self._undrained.append((sequence, selection.order_id, selection.selection_id))
        self._recent[selection.order_id] = selection
        while len(self._recent) > self._settings.responses:
            self._recent.popitem(last=False)

    def drained(self, step: DrainStep) -> list[str]:
        """PostgreSQL has everything up to there, or refused it. The orders that were decided in it."""
        undrained = self._undrained
        known = step.is_known and step.set_aside is None
        order_ids: list[str] = []
        while undrained and undrained[0][0] <= step.sequence:
            _, order_id, selection_id = undrained.popleft()
            status = RowStatus.CONFLICTED if selection_id in step.owners else RowStatus.RECORDED
            self.claims.settle(order_id, selection_id, status if known else None)
            order_ids.append(order_id)
        return order_ids

    async def scan(
        self, journal: JournalPort, others: Callable[[Entry], None] | None = None
    ) -> list[JournaledOrder]:
        """Every decision that the journal still has, drained or not; other entries go to `others`."""
        found: list[JournaledOrder] = []
        async for entry in _entries_of(journal):
            if others is not None and entry.kind is not RecordKind.SELECTION:
                others(entry)
            if entry.kind is RecordKind.SELECTION:
                values = unpack(entry.kind, entry.payload)
                order_id, request_hash, selection_id = (
                    values[_AT[name]] for name in ("order_id", "request_hash", "selection_id")
                )
                found.append(JournaledOrder(entry.sequence, order_id, request_hash, selection_id))
        return found

    def adopt(self, journal: JournalPort, orders: list[JournaledOrder]) -> int:
        """The journal as it was found on disk: orders that are in it are claimed, and those that were claimed for a
        record that did not get there are free again. How many those are."""
        self.journal = journal
        drained = journal.metrics.drained_sequence
        kept = {(order.order_id, order.selection_id) for order in orders if order.sequence > drained}
        lost = [
            (order_id, claim.selection_id)
            for order_id, claim in self.claims.open_claims()
            if (order_id, claim.selection_id) not in kept
        ]
        for order_id, selection_id in lost:
            self.claims.release(order_id, selection_id)
            self._recent.pop(order_id, None)
        self._undrained.clear()
        for order in orders:
            if order.sequence > drained:
                self.claims.restore(order.order_id, order.request_hash, order.selection_id, order.sequence)
                self._undrained.append((order.sequence, order.order_id, order.selection_id))
            else:
                self.claims.remember(
                    order.order_id, order.request_hash, order.selection_id, None, order.sequence
                )
        return len(lost)

    def is_ours(self, order_id: str) -> bool:
        """Whether the order's decision is or was in this journal, as far as it was read."""
        claim = self.claims.look(order_id)
        return claim is not None and claim.sequence > 0

    async def basis(self, order_id: str) -> OrderBasis | None:
        """The decision that the order began with; None where the journal does not have it."""
        claim = self.claims.look(order_id)
        entry = None if claim is None else await self._entry_of(claim)
        if entry is None:
            return None
        found = unpack(entry.kind, entry.payload)
        values = {name: found[_AT[name]] for name in _BASIS}
        return OrderBasis(**{**values, "tags": msgspec.json.decode(values["tags"])})

    async def find(self, order_id: str) -> tuple[StoredSelection, ...]:
        """The decisions of an order, oldest first: from memory, else from the journal, else from PostgreSQL. An order
        that another host decided too is read from PostgreSQL, so that both decisions show."""
        held = await self._held(order_id)
        if held is not None and held.status is RowStatus.RECORDED and (held.committed or not self._is_settled(held)):
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

    async def response(self, order_id: str, claim: Claim) -> bytes:
        """The answer that the order was given. Raises StoreUnavailable where it cannot be read now, and DecisionRetired
        where it is not in the database any more."""
        if claim.response is not None:
            return claim.response
        found = await self._from_journal(claim)
        response = found.response if found is not None else await self.stored_response(order_id, claim.selection_id)
        self.claims.keep_response(order_id, response)
        return response

    async def stored_response(self, order_id: str, selection_id: str) -> bytes:
        """As `response`, of a decision that only PostgreSQL can have."""
        response = await self._source.response_of(selection_id)
        if response is not None:
            return response
        retired = await self._source.retired_with(order_id)
        if retired is None:
            raise StoreUnavailable(f"the decision {selection_id} of order {order_id!r} is not in PostgreSQL")
        where = f"is in {', '.join(retired.files)} of that archive" if retired.files else "was not exported"
        raise DecisionRetired(
            f"decided before as {selection_id}, whose record `ess retention` took away with the week of "
            f"{retired.week}: it {where}. A new order needs another order_id"
        )

    async def ask_owner(self, order_id: str, is_database_away: bool) -> OrderOwner | None:
        """Asks PostgreSQL about an order that memory does not know. Where it does not answer, memory decides, for
        everybody for a while, and the `orders` table settles it in the end: waiting for a time-out with every order
        would stop the host. An order that was here before is refused instead (StoreUnavailable)."""
        seen = self.claims.was_seen(order_id)
        if not seen and (is_database_away or self._clock_s() < self._ask_after_s):
            self.unanswered += 1
            return None
        self.questions += 1
        limit_s = self._settings.ask_seen_timeout_s if seen else self._settings.ask_timeout_s
        try:
            return await self._answer_within(self._source.owner_of(order_id), limit_s)
        except StoreUnavailable:
            self.unanswered += 1
            self._ask_after_s = self._clock_s() + self._settings.ask_again_after_s
            if seen:
                raise
            return None

    async def load_orders(self) -> None:
        """The newest orders of PostgreSQL into the claims; where there are more, all of them into the filter. After
        StoreUnavailable another call goes on where this one stopped."""
        limit = self._settings.claims
        newest: list[tuple[str, str, str]] = []
        async with aclosing(self._source.newest_orders(limit + 1)) as rows:
            async for row in rows:
                newest.append(row)
        # The newest is the last to be evicted.
        for number, row in enumerate(reversed(newest[:limit]), start=1):
            self.claims.remember(*row)
            if number % self._settings.older_page == 0:
                await asyncio.sleep(0)
        self.claims.older_unknown = len(newest) > limit and not await self._load_older()

    async def _load_older(self) -> bool:
        """Whether the filter has every order. Those that another host takes meanwhile are as those after the start."""
        older = self.claims.older
        while older.count < self._settings.older_loaded:
            page = await self._source.order_hashes(self._older_after, self._settings.older_page)
            if page is None:
                return True
            older.add(page.hashes)
            self._older_after = page.last
        return await self._source.order_hashes(self._older_after, 1) is None

    async def _held(self, order_id: str) -> StoredSelection | None:
        claim = self.claims.look(order_id)
        held = self._recent.get(order_id)
        if held is None and claim is not None and not claim.settled:
            held = await self._from_journal(claim)
        if held is None or claim is None or claim.selection_id != held.selection_id:
            return held
        status = claim.status or RowStatus.RECORDED
        is_durable = claim.durable is None
        return msgspec.structs.replace(held, committed=claim.status is not None, status=status, durable=is_durable)

    def _is_settled(self, held: StoredSelection) -> bool:
        claim = self.claims.look(held.order_id)
        return claim is None or claim.settled or claim.selection_id != held.selection_id

    async def _from_journal(self, claim: Claim) -> StoredSelection | None:
        """The decision as it stands in the journal; None where the journal let it go."""
        entry = await self._entry_of(claim)
        return None if entry is None else _selection_of(entry)

    async def _entry_of(self, claim: Claim) -> Entry | None:
        """The decision's entry once it is durable; None where it is not in the journal (any more)."""
        if claim.sequence == 0:
            return None
        if claim.durable is not None:
            await asyncio.shield(claim.durable)
        try:
            entries = await self.journal.read(claim.sequence - 1, 1, 1)
        except EntriesGone:
            return None
        for entry in entries:
            is_decision = entry.kind is RecordKind.SELECTION
            if is_decision and unpack(entry.kind, entry.payload)[_AT["selection_id"]] == claim.selection_id:
                return entry
        return None

    async def _answer_within(self, asking: Any, limit_s: float) -> OrderOwner | None:
        """A question that takes too long is left behind, not waited for: taking it back from a database that hangs
        takes seconds itself."""
        question: asyncio.Future[OrderOwner | None] = asyncio.ensure_future(asking)
        self._asked.add(question)
        question.add_done_callback(self._forget)
        done, _ = await asyncio.wait({question}, timeout=limit_s)
        if not done:
            question.cancel()
            raise StoreUnavailable(f"PostgreSQL did not answer within {limit_s} s")
        return question.result()

    def _forget(self, question: asyncio.Future[Any]) -> None:
        self._asked.discard(question)
        if not question.cancelled():
            question.exception()


async def _entries_of(journal: JournalPort) -> AsyncIterator[Entry]:
    """All that it keeps and has made durable."""
    head: Head = journal.head
    after = 0
    while after < head.sequence:
        try:
            entries = await journal.read(after, _SCAN_ENTRIES, _SCAN_BYTES)
        except EntriesGone as gone:
            after = gone.first_kept - 1
            continue
        for entry in entries:
            yield entry
        after = entries[-1].sequence


def _selection_of(entry: Entry) -> StoredSelection:
    values = unpack(entry.kind, entry.payload)
    told: dict[str, Any] = {name: values[_AT[name]] for name in _TOLD}
    return StoredSelection(**told, committed=False, status=RowStatus.RECORDED)
