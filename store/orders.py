"""The open orders of a host. The keeper has them, so that any worker may serve any order's stream.

An update changes the order in memory and is in the journal's line before anything else happens; whoever sent it hears
of it when it is on disk. What memory holds is rebuilt from the journal at a start, and for orders of which the journal
keeps only the end (or nothing) from PostgreSQL, when somebody asks for them. Orders are let go, oldest first, when
PostgreSQL has all of their updates; where it does not, and there is no room, others are refused.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from msgspec import structs

from engine.order_life.machine import Step, Verdict, apply, replayed
from engine.order_life.state import Opening, OrderLife, opened
from engine.order_life.updates import Resume, Update
from engine.records import AdaptationRecord, OutcomeRecord, RecordKind
from store.errors import JournalFull, StoreUnavailable
from store.journal.port import Entry
from store.order_codec import kind_name, pack_update, unpack_update
from store.order_port import (
    KeptAdvice,
    KeptOrder,
    KeptOutcome,
    OrderBasis,
    OrderRecords,
    OutcomeAnswer,
    UpdateAnswer,
    UpdateVerdict,
)
from store.order_reader import OrderSource
from store.payload import LAYOUTS, decode, unpack, update_payload
from store.seen import SeenFilter

# Appends to the journal without waiting: (sequence, done when it is on disk). The last says whether somebody waits for
# that; what nobody waits for shares its sync with what comes within a few milliseconds.
Append = Callable[[RecordKind, bytes, str, bool], tuple[int, "asyncio.Future[Any]"]]
FindBasis = Callable[[str], Awaitable[OrderBasis | None]]

MOST_OUTCOMES: Final = 50_000
# Advices of one order that are kept at hand; all of them are in the journal and in PostgreSQL.
MOST_ADVICES: Final = 50
# Whoever asks for an order waits so long for its newest record's sync: a kill would take back what is told sooner.
KEPT_WITHIN_S: Final = 0.5
# Updates of one order that are told of at once.
MOST_TOLD: Final = 1_000
_AT: Final = {name: index for index, (name, _) in enumerate(LAYOUTS[RecordKind.UPDATE], start=1)}
# The strategy in force comes from an advice with one of these.
_PLANS: Final = frozenset({"RETUNE", "SWITCH"})
_VERDICTS: Final = {verdict: UpdateVerdict[verdict.name] for verdict in Verdict}


@dataclass(slots=True)
class _Held:
    """One order. `life` is None while only the end of its updates is known: `tail` has them. `journaled`: the place of
    its newest record in the journal."""

    life: OrderLife | None
    journaled: int = 0
    tail: list[Update] = field(default_factory=list)
    advices: tuple[KeptAdvice, ...] = ()
    advice_number: int = 0


@dataclass(frozen=True, slots=True)
class OrdersMetrics:
    held: int
    loaded: int
    evicted: int
    updates: int


class OpenOrders:
    """Belongs to one event loop. `append` raises JournalError; `is_ours` says whether an order was decided in this
    journal, as far as it was read: then all of its updates are in memory, and PostgreSQL need not be asked.
    `find_basis` gives its decision, None where the journal let it go."""

    def __init__(
        self, append: Append, is_ours: Callable[[str], bool], find_basis: FindBasis, source: OrderSource,
        capacity: int = 200_000, changed: Callable[[str, int], None] = lambda _order_id, _sequence: None,
    ) -> None:  # fmt: skip
        """`changed` is told of every record that an order got, with its place in the journal."""
        self._append = append
        self._is_ours = is_ours
        self._find_basis = find_basis
        self._source = source
        self._capacity = capacity
        self._changed = changed
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._loading: dict[str, asyncio.Task[_Held | None]] = {}
        self._outcomes: OrderedDict[str, KeptOutcome] = OrderedDict()
        # The newest record in the journal's line, and the newest outcome's place there: who repeats an update waits for
        # what the first one waits for. One is enough, since a line's records reach the disk in its order.
        self._newest: asyncio.Future[Any] | None = None
        self._newest_outcome = 0
        self._evicted = SeenFilter(bits_log2=24)
        self._drained = 0
        self._loaded = self._updates = 0

    @property
    def metrics(self) -> OrdersMetrics:
        return OrdersMetrics(len(self._held), self._loaded, self._evicted.count, self._updates)

    def begin_scan(self, drained: int) -> None:
        """The journal is read from its beginning now: everything held is what it says."""
        self._held.clear()
        self._outcomes.clear()
        self._drained = drained

    def scanned(self, entry: Entry) -> None:
        """One entry of that reading."""
        if entry.kind is RecordKind.UPDATE:
            values = unpack(entry.kind, entry.payload)
            self._scanned_update(values[_AT["order_id"]], values[_AT["request"]], entry.sequence)
        elif entry.kind is RecordKind.ADAPTATION:
            record = decode(entry.kind, entry.payload)
            assert isinstance(record, AdaptationRecord)
            held = self._held.setdefault(record.order_id, _Held(None))
            held.journaled = entry.sequence
            self._changed(record.order_id, entry.sequence)
            _advised(held, advice_of(record))
        elif entry.kind is RecordKind.OUTCOME:
            record = decode(entry.kind, entry.payload)
            assert isinstance(record, OutcomeRecord)
            self._changed(record.order_id, entry.sequence)
            self._newest_outcome = entry.sequence
            self._keep_outcome(outcome_of(record))

    def drained(self, sequence: int) -> None:
        """PostgreSQL has everything up to there."""
        self._drained = sequence
        if len(self._held) > self._capacity:
            self._make_room()

    async def order(self, order_id: str) -> KeptOrder | None:
        """The order with all that it takes to follow it; None where nobody decided it. What is told is on disk, but
        where that takes longer than KEPT_WITHIN_S. Raises StoreUnavailable."""
        basis = await self._find_basis(order_id) or await self._source.basis_of(order_id)
        if basis is None:
            return None
        held = await self._get(order_id)
        if held is None or held.life is None:
            return KeptOrder(basis)
        found, durable = KeptOrder(basis, held.life.state, held.advices), self._until_kept(held.journaled)
        if durable is not None and not durable.done():
            await asyncio.wait({durable}, timeout=KEPT_WITHIN_S)
        return found

    def has_ended(self, order_id: str) -> bool:
        """Whether the order is known to have ended, as far as memory says."""
        held = self._held.get(order_id)
        return held is not None and held.life is not None and held.life.state.has_ended

    async def records(self, order_id: str) -> OrderRecords | None:
        """What was recorded of an order; None where nobody decided it. Raises StoreUnavailable."""
        order = await self.order(order_id)
        if order is None:
            return None
        updates = await self._source.updates_of(order_id)
        selection_id = order.basis.selection_id
        outcome = self._outcomes.get(selection_id) or await self._source.outcome_of(selection_id)
        return OrderRecords(order, tuple(updates[-MOST_TOLD:]), max(0, len(updates) - MOST_TOLD), outcome)

    async def update(
        self, order_id: str, update: Update, opening: Opening, record_id: str, now_ns: int, gateway: str,
        in_haste: bool = True,
    ) -> tuple[UpdateAnswer, asyncio.Future[Any] | None, int]:  # fmt: skip
        """Applies an update and puts it in the journal's line: (what to answer once the future is done, the future, its
        place in the journal). Raises JournalError, StoreUnavailable: it may be sent again."""
        held = self._held.get(order_id)
        if held is None or held.life is None:
            held = await self._get(order_id)
        if held is None or held.life is None:
            held = self._open(order_id, opening)
        assert held.life is not None
        return self._apply(order_id, held, held.life, update, record_id, now_ns, gateway, in_haste)

    def begin(
        self, order_id: str, update: Update, record_id: str, now_ns: int, gateway: str, in_haste: bool = True
    ) -> tuple[UpdateAnswer, asyncio.Future[Any] | None] | None:
        """As `update`, of an order that is in memory; None of any other. Raises JournalError."""
        held = self._held.get(order_id)
        if held is None or held.life is None:
            return None
        answer, durable, _ = self._apply(order_id, held, held.life, update, record_id, now_ns, gateway, in_haste)
        return answer, durable

    def _apply(
        self, order_id: str, held: _Held, life: OrderLife, update: Update, record_id: str, now_ns: int, gateway: str,
        in_haste: bool,
    ) -> tuple[UpdateAnswer, asyncio.Future[Any] | None, int]:
        if update.sequence == 0 and not isinstance(update.change, Resume):
            # AdaptOnce: the next one, which the gateway's own counting does not know of.
            update = structs.replace(update, sequence=life.state.sequence + 1, is_assigned=True)
        step = apply(life, update)
        durable: asyncio.Future[Any] | None = None
        is_first = life.state.updated_ns == 0
        for number, accepted in enumerate(step.accepted):
            begins = (is_first and number == 0) or isinstance(accepted.change, Resume)
            reached = accepted.change.reached if isinstance(accepted.change, Resume) else accepted.sequence
            packed = pack_update(accepted, life.state.opening if begins else None)
            payload = update_payload(
                record_id if number == 0 else _following_id(record_id, number), order_id, reached, now_ns,
                kind_name(accepted.change), packed, gateway,
            )  # fmt: skip
            try:
                held.journaled, durable = self._append(
                    RecordKind.UPDATE, payload, f"{order_id}/{reached}", in_haste
                )
                self._newest = durable
            except JournalFull:
                # What was taken stays; the rest was never acknowledged and comes again.
                if number:
                    held.life = replayed(structs.replace(life, held=()), step.accepted[:number])
                raise
        held.life = step.life
        if step.accepted:
            self._changed(order_id, held.journaled)
        else:
            durable = self._until_kept(held.journaled)  # the answer tells of what was taken before
        self._updates += len(step.accepted)
        self._held.move_to_end(order_id)
        return answer_of(step, held.advice_number), durable, held.journaled

    def advise(
        self, record: AdaptationRecord, payload: bytes
    ) -> tuple[asyncio.Future[Any], int] | None:
        """Takes the next advice of a held order; None where another worker was faster, or the order is not held."""
        held = self._held.get(record.order_id)
        if held is None or held.life is None or record.advice_number != held.advice_number + 1:
            return None
        held.journaled, durable = self._append(RecordKind.ADAPTATION, payload, record.adaptation_id, True)
        self._newest = durable
        self._changed(record.order_id, held.journaled)
        _advised(held, advice_of(record))
        return durable, held.journaled

    async def report(
        self, record: OutcomeRecord, payload: bytes
    ) -> tuple[OutcomeAnswer, asyncio.Future[Any] | None, int]:
        """Takes the first outcome of a selection."""
        kept = self._outcomes.get(record.selection_id) or await self._source.outcome_of(record.selection_id)
        kept = self._outcomes.get(record.selection_id) or kept  # somebody may have been faster meanwhile
        if kept is not None:
            return OutcomeAnswer(kept, False), self._until_kept(self._newest_outcome), self._newest_outcome
        sequence, durable = self._append(RecordKind.OUTCOME, payload, record.outcome_id, True)
        self._newest, self._newest_outcome = durable, sequence
        self._changed(record.order_id, sequence)
        kept = outcome_of(record)
        self._keep_outcome(kept)
        return OutcomeAnswer(kept, True), durable, sequence

    def _until_kept(self, sequence: int) -> asyncio.Future[Any] | None:
        """Done when the record at that place is on disk; None where PostgreSQL has it too."""
        if sequence <= self._drained:
            return None
        if self._newest is None:  # it was read from the disk
            self._newest = asyncio.get_running_loop().create_future()
            self._newest.set_result(None)
        return self._newest

    def _open(self, order_id: str, opening: Opening) -> _Held:
        if len(self._held) >= self._capacity:
            self._make_room()
            if len(self._held) >= self._capacity:
                raise JournalFull(f"{len(self._held)} orders are open, and PostgreSQL has not got their updates yet")
        held = self._held.setdefault(order_id, _Held(None))
        if held.life is None:
            held.life = opened(opening)
        return held

    def _make_room(self) -> None:
        """Lets go of the orders that were longest without an update, as far as PostgreSQL has all of them."""
        surplus = len(self._held) - self._capacity + max(1, self._capacity // 20)
        gone = [
            order_id for order_id, held in self._held.items()
            if held.journaled <= self._drained and not (held.life is not None and held.life.held)
        ][:surplus]  # fmt: skip
        for order_id in gone:
            del self._held[order_id]
            self._evicted.add(order_id)

    async def _get(self, order_id: str) -> _Held | None:
        """From memory, or put together again from PostgreSQL and the journal's end. Raises StoreUnavailable."""
        held = self._held.get(order_id)
        if held is not None and held.life is not None:
            return held
        if held is None and self._is_ours(order_id) and order_id not in self._evicted:
            return None
        task = self._loading.get(order_id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._load(order_id))
            self._loading[order_id] = task
            task.add_done_callback(lambda _: self._loading.pop(order_id, None))
        return await asyncio.shield(task)

    async def _load(self, order_id: str) -> _Held | None:
        found = [unpack_update(data) for data in await self._source.updates_of(order_id)]
        advices = await self._source.advices_of(order_id)
        held = self._held.get(order_id)
        tail = held.tail if held is not None else []
        opening = next((opening for _, opening in found if opening is not None), None)
        if opening is None:
            if tail:
                raise StoreUnavailable(f"the beginning of order {order_id} is not in PostgreSQL yet")
            return held
        if held is None:
            held = self._held.setdefault(order_id, _Held(None))
        # An update that PostgreSQL and the journal both have counts once.
        held.life = replayed(opened(opening), dict.fromkeys([*(update for update, _ in found), *tail]))
        held.tail = []
        newer, held.advices, held.advice_number = held.advices, (), 0
        for advice in (*advices, *newer):
            _advised(held, advice)
        self._loaded += 1
        return held

    def _scanned_update(self, order_id: str, request: bytes, sequence: int) -> None:
        update, opening = unpack_update(request)
        held = self._held.setdefault(order_id, _Held(None))
        held.journaled = sequence
        self._changed(order_id, sequence)
        self._held.move_to_end(order_id)
        if held.life is None and opening is not None and not held.tail and not isinstance(update.change, Resume):
            held.life = opened(opening)
        if held.life is None:
            held.tail.append(update)
        else:
            held.life = apply(held.life, structs.replace(update, epoch=0)).life

    def _keep_outcome(self, kept: KeptOutcome) -> None:
        self._outcomes.setdefault(kept.selection_id, kept)
        while len(self._outcomes) > MOST_OUTCOMES:
            self._outcomes.popitem(last=False)


def answer_of(step: Step, advice_number: int) -> UpdateAnswer:
    notes = tuple([note.text for note in step.notes]) if step.notes else ()
    applied = tuple([update.sequence for update in step.accepted])
    without = tuple([(note.sequence, note.text) for note in step.notes if note.sequence]) if step.notes else ()
    return UpdateAnswer(_VERDICTS[step.verdict], step.life.state, advice_number, applied, notes, step.reason, without)


def advice_of(record: AdaptationRecord) -> KeptAdvice:
    return KeptAdvice(
        record.adaptation_id, record.selection_id, record.advice_number, record.created_at_ns, record.action,
        record.trigger, record.rationale, record.response, record.inputs,
    )  # fmt: skip


def outcome_of(record: OutcomeRecord) -> KeptOutcome:
    return KeptOutcome(record.outcome_id, record.selection_id, record.request, record.performance_score)


def plan_in_force(advices: tuple[KeptAdvice, ...]) -> KeptAdvice | None:
    """The newest advice that brought a strategy."""
    return next((advice for advice in reversed(advices) if advice.action in _PLANS), None)


def _advised(held: _Held, advice: KeptAdvice) -> None:
    """Adds an advice, and lets go of bytes that nobody needs any more."""
    if advice.advice_number <= held.advice_number:
        return
    plan = advice if advice.action in _PLANS else plan_in_force(held.advices)
    earlier = tuple(
        old if old is plan else replace(old, response=b"", inputs=b"") for old in held.advices[1 - MOST_ADVICES :]
    )
    if plan is not None and plan is not advice and plan not in earlier:
        earlier = (plan, *earlier[1:])
    held.advices = (*earlier, advice)
    held.advice_number = advice.advice_number


def _following_id(record_id: str, number: int) -> str:
    """Ids of the updates that followed at once: as good as random, and the same if it is made again."""
    return str(uuid.uuid5(uuid.UUID(record_id), str(number)))
