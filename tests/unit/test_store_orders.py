"""Open orders of a keeper over a journal in memory: what is acknowledged, and what a restart finds."""

from __future__ import annotations

import asyncio
import sys
import uuid
from typing import Any

import pytest
from msgspec.structs import replace

from engine.order_life.machine import apply, replayed
from engine.order_life.state import Opening, opened
from engine.order_life.updates import (
    UNITS_PER_SHARE,
    Amend,
    Cancel,
    Change,
    Fill,
    Market,
    Pause,
    Resume,
    Update,
)
from engine.records import AdaptationRecord, OutcomeRecord, RecordKind
from engine.request import Constraints, Context
from engine.values import Bar, Urgency
from store.errors import JournalFull, RecordInvalid, StoreUnavailable
from store.journal.port import Entry
from store.order_codec import pack_update, unpack_update
from store.order_port import KeptAdvice, KeptOutcome, OrderBasis, UpdateAnswer, UpdateVerdict
from store.orders import MOST_ADVICES, OpenOrders, plan_in_force
from store.payload import decode, encode

OPENING = Opening("o", "AIG", 1, 1_000 * UNITS_PER_SHARE, 50.0, 5)


class Journal:
    """Takes records, and gives them to the next OpenOrders. PostgreSQL has what was drained."""

    def __init__(self, room: int = 10**9) -> None:
        self.entries: list[Entry] = []
        self.room = room
        self.kept_after = 0
        self.drained = 0
        self.is_away = False
        self.is_stalled = False
        self.syncs: list[asyncio.Future[Any]] = []
        self.questions = 0

    def append(self, kind: RecordKind, payload: bytes, name: str, in_haste: bool) -> tuple[int, asyncio.Future[Any]]:
        if len(self.entries) >= self.room:
            raise JournalFull("no room")
        self.entries.append(Entry(len(self.entries) + 1, kind, payload, b""))
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.is_stalled:
            self.syncs.append(done)
        else:
            done.set_result(None)
        return len(self.entries), done

    def _stored(self, kind: RecordKind) -> list[Any]:
        self.questions += 1
        if self.is_away:
            raise StoreUnavailable("away")
        return [decode(kind, entry.payload) for entry in self.entries[: self.drained] if entry.kind is kind]

    async def updates_of(self, order_id: str) -> list[bytes]:
        return [record.request for record in self._stored(RecordKind.UPDATE) if record.order_id == order_id]

    async def advices_of(self, order_id: str) -> list[KeptAdvice]:
        found = [record for record in self._stored(RecordKind.ADAPTATION) if record.order_id == order_id]
        return [
            KeptAdvice(r.adaptation_id, r.selection_id, r.advice_number, r.created_at_ns, r.action, r.trigger,
                       r.rationale, r.response, r.inputs)
            for r in found
        ]  # fmt: skip

    async def basis_of(self, order_id: str) -> OrderBasis | None:
        return OrderBasis("s", order_id, "AIG", 5, "TWAP", "TWAP", "", b"", b"")

    async def outcome_of(self, selection_id: str) -> KeptOutcome | None:
        for record in self._stored(RecordKind.OUTCOME):
            if record.selection_id == selection_id:
                return KeptOutcome(record.outcome_id, selection_id, record.request, record.performance_score)
        return None

    def orders(self, ours: bool = True, capacity: int = 1_000) -> OpenOrders:
        """As a process finds them that starts now."""

        async def no_basis(order_id: str) -> OrderBasis | None:
            return None

        orders = OpenOrders(self.append, lambda _: ours, no_basis, self, capacity)
        orders.begin_scan(self.drained)
        for entry in self.entries[self.kept_after :]:
            orders.scanned(entry)
        return orders


async def tell(orders: OpenOrders, sequence: int, change: Change, order_id: str = "o", epoch: int = 0) -> UpdateAnswer:
    opening = replace(OPENING, order_id=order_id)
    update = Update(sequence, 100 + sequence, change, epoch, 50.5, 2.0)
    answer, _, _ = await orders.update(order_id, update, opening, str(uuid.uuid4()), 7, "gw")
    return answer


def fill(name: str, shares: int = 10) -> Fill:
    return Fill(name, shares * UNITS_PER_SHARE, 50.0)


def advice(number: int, action: str = "SWITCH", order_id: str = "o") -> AdaptationRecord:
    return AdaptationRecord(
        str(uuid.uuid4()), order_id, str(uuid.UUID(int=1)), number, 9, action, "NEWS", "why", 1.0, b"response",
        b"inputs",
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        fill("a"), Cancel(5, True), Pause("x"), Amend(7, Constraints(0.1, 5, 3.0, frozenset({"XNYS"})), Urgency.HIGH),
        Market(Context(mid_price=3.0, bars=(Bar(1, 2.0, 3.0, 4.0),))), Resume(3, 4, 5, 6.0, 7, 8, 9.0, 10),
    ],
)  # fmt: skip
def test_updates_come_back_from_their_bytes(change: Change) -> None:
    update = Update(3, 4, change, 5, 6.0, 7.0)
    data = pack_update(update, OPENING)
    assert unpack_update(data) == (update, OPENING)
    assert pack_update(*unpack_update(data)) == data


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x99\x02" + b"\xc0" * 8, b"junk"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RecordInvalid):
        unpack_update(data)


async def test_a_restart_finds_the_same_state() -> None:
    journal = Journal()
    orders = journal.orders()
    changes: list[Change] = [fill("a"), Pause(), fill("b"), Amend(500 * UNITS_PER_SHARE)]
    told = [await tell(orders, sequence, change) for sequence, change in enumerate(changes, start=1)]
    record = advice(1)
    assert orders.advise(record, encode(record)) is not None
    again = journal.orders()
    found = await again.order("o")
    assert found is not None
    assert found.state == told[-1].state
    assert [kept.response for kept in found.advices] == [b"response"]
    assert journal.questions == 0
    assert (await tell(again, 5, fill("a"))).state.filled_units == 20 * UNITS_PER_SHARE
    assert (await tell(again, 3, fill("b"))).verdict is UpdateVerdict.REPEATED
    assert (await tell(again, 4, fill("x"))).verdict is UpdateVerdict.REFUSED


async def test_what_the_journal_let_go_comes_from_postgresql() -> None:
    journal = Journal()
    orders = journal.orders()
    for sequence in range(1, 7):
        last = await tell(orders, sequence, fill(f"f{sequence}"))
    await tell(orders, 0, Resume(6, 1, 60 * UNITS_PER_SHARE, 50.0, 0, 0))
    record = advice(1)
    orders.advise(record, encode(record))
    last = await tell(orders, 7, fill("f7"))
    for kept_after, drained in ((4, 4), (4, 8), (7, 8), (9, 9)):
        journal.kept_after, journal.drained = kept_after, drained
        again = journal.orders(ours=kept_after < 9)
        found = await again.order("o")
        assert found is not None
        assert found.state == last.state
        assert len(found.advices) == 1
        told = await tell(journal.orders(ours=kept_after < 9), 8, fill("f1"))
        assert told.state.filled_units == last.state.filled_units
        journal.entries.pop()


async def test_an_order_whose_beginning_cannot_be_read_is_not_guessed() -> None:
    journal = Journal()
    orders = journal.orders()
    for sequence in range(1, 5):
        await tell(orders, sequence, fill(f"f{sequence}"))
    journal.kept_after = journal.drained = 2
    journal.is_away = True
    again = journal.orders()
    with pytest.raises(StoreUnavailable):
        await tell(again, 5, fill("f5"))
    journal.is_away = False
    assert (await tell(again, 5, fill("f5"))).state.filled_units == 50 * UNITS_PER_SHARE


async def test_a_full_journal_takes_nothing_and_loses_nothing() -> None:
    journal = Journal(room=2)
    orders = journal.orders()
    await tell(orders, 1, fill("a"))
    await tell(orders, 3, fill("c"))
    with pytest.raises(JournalFull):
        await tell(orders, 2, fill("b"))  # room for this one, not for the one that waited
    found = await orders.order("o")
    assert found is not None
    assert found.state is not None
    assert found.state.sequence == 2
    assert (await journal.orders().order("o")) == found
    journal.room = 10
    assert (await tell(orders, 3, fill("c"))).state.filled_units == 30 * UNITS_PER_SHARE


async def test_orders_are_let_go_only_when_postgresql_has_them() -> None:
    journal = Journal()
    orders = journal.orders(capacity=20)
    for number in range(20):
        await tell(orders, 1, fill("a"), f"o{number}")
    with pytest.raises(JournalFull, match="20 orders are open"):
        await tell(orders, 1, fill("a"), "one-more")
    journal.drained = 10
    orders.drained(10)
    await tell(orders, 1, fill("a"), "one-more")
    assert orders.metrics.held <= 20
    assert (await tell(orders, 2, fill("b"), "o0")).state.filled_units == 20 * UNITS_PER_SHARE
    assert (await tell(orders, 2, fill("a"), "o1")).state.filled_units == 10 * UNITS_PER_SHARE


async def test_of_two_workers_advices_one_counts() -> None:
    journal = Journal()
    orders = journal.orders()
    await tell(orders, 1, fill("a"))
    one, other = advice(1), advice(1)
    assert orders.advise(one, encode(one)) is not None
    assert orders.advise(other, encode(other)) is None
    assert (await tell(orders, 2, fill("b"))).advice_number == 1


async def test_many_advices_keep_the_plan_in_force() -> None:
    journal = Journal()
    orders = journal.orders()
    await tell(orders, 1, fill("a"))
    for number in range(1, 3 * MOST_ADVICES):
        record = advice(number, "RETUNE" if number == 2 else "KEEP")
        assert orders.advise(record, encode(record)) is not None
    found = await orders.order("o")
    assert found is not None
    plan = plan_in_force(found.advices)
    assert plan is not None
    assert (plan.advice_number, plan.response) == (2, b"response")
    assert len(found.advices) <= MOST_ADVICES
    assert sum(bool(kept.response) for kept in found.advices) == 2


async def test_the_first_outcome_counts() -> None:
    journal = Journal()
    orders = journal.orders()

    def outcome(cost: float) -> OutcomeRecord:
        request = str(cost).encode()
        return OutcomeRecord(str(uuid.uuid4()), "o", str(uuid.UUID(int=3)), 1, {"cost": cost}, 0.5, request)

    first, second = outcome(1.0), outcome(2.0)
    answer, durable, _ = await orders.report(first, encode(first))
    assert answer.is_new
    assert durable is not None
    for others in (orders, journal.orders()):
        answer, durable, _ = await others.report(second, encode(second))
        assert (answer.is_new, answer.kept.request) == (False, b"1.0")
        assert durable is not None
        assert durable.done()  # as the first is


async def test_who_repeats_waits_for_the_disk_as_the_first_did() -> None:
    """Whatever an answer tells of that is not on the disk yet: an update before it, a gap after one, an outcome."""
    journal = Journal()
    syncs: list[asyncio.Future[Any]] = []

    def append(kind: RecordKind, payload: bytes, name: str, in_haste: bool) -> tuple[int, asyncio.Future[Any]]:
        sequence, _ = journal.append(kind, payload, name, in_haste)
        syncs.append(asyncio.get_running_loop().create_future())
        return sequence, syncs[-1]

    async def no_basis(order_id: str) -> OrderBasis | None:
        return None

    orders = OpenOrders(append, lambda _: True, no_basis, journal)

    async def sent(sequence: int) -> tuple[UpdateVerdict, asyncio.Future[Any] | None, int]:
        update = Update(sequence, 100 + sequence, fill(f"execution-{sequence}"))
        answer, durable, place = await orders.update("o", update, OPENING, str(uuid.uuid4()), 7, "gw")
        return answer.verdict, durable, place

    assert await sent(1) == (UpdateVerdict.APPLIED, syncs[0], 1)
    assert await sent(1) == (UpdateVerdict.REPEATED, syncs[0], 1)
    assert await sent(3) == (UpdateVerdict.HELD, syncs[0], 1)
    syncs[0].set_result(None)
    outcome = OutcomeRecord(str(uuid.uuid4()), "o", str(uuid.UUID(int=3)), 1, {"cost": 1.0}, 0.5, b"1.0")
    assert (await orders.report(outcome, encode(outcome)))[1:] == (syncs[1], 2)
    again, durable, place = await orders.report(outcome, encode(outcome))
    assert (again.is_new, durable, place) == (False, syncs[1], 2)
    assert not syncs[1].done()
    orders.drained(2)  # PostgreSQL has both: nothing is left to wait for
    assert (await sent(1))[1] is None


async def test_a_hundred_thousand_open_orders_have_room() -> None:
    """Bytes an order with five fills, as sys.getsizeof counts what belongs to one alone."""
    life = opened(OPENING)
    for sequence in range(1, 6):
        life = apply(life, Update(sequence, sequence, fill(f"execution-{sequence}"))).life
    seen: set[int] = set()

    def size(value: Any) -> int:
        if id(value) in seen or isinstance(value, type):
            return 0
        seen.add(id(value))
        total = sys.getsizeof(value)
        if isinstance(value, tuple | frozenset):
            return total + sum(size(part) for part in value)
        return total + sum(size(getattr(value, name)) for name in getattr(type(value), "__slots__", ()))

    assert size(life) < 4_000
    assert replayed(opened(OPENING), []) == opened(OPENING)


async def test_what_is_told_of_an_order_is_on_disk() -> None:
    """A kill before the sync would take back what Status had told."""
    journal = Journal()
    orders = journal.orders()
    await tell(orders, 1, fill("a"))
    journal.is_stalled = True
    taken = orders.advise(advice(1), encode(advice(1)))
    assert taken is not None
    asked = asyncio.ensure_future(orders.order("o"))
    await asyncio.sleep(0.05)
    assert not asked.done()
    journal.syncs[0].set_result(None)
    told = await asked
    assert told is not None
    assert [one.advice_number for one in told.advices] == [1]


async def test_a_disk_that_stalls_keeps_nobody_from_looking() -> None:
    journal = Journal()
    orders = journal.orders()
    await tell(orders, 1, fill("a"))
    journal.is_stalled = True
    await tell(orders, 2, fill("b"))
    async with asyncio.timeout(5.0):
        told = await orders.order("o")
    assert told is not None
    assert told.state is not None
    assert told.state.fills == 2
    assert not journal.syncs[0].done()
