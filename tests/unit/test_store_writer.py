"""The writer over a sink that does as it is told: order, bounds, back-off, poison rows, drain."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest

from store.backoff import Backoff
from store.errors import RecordInvalid, RecordSetAside, StoreUnavailable, WriterFull
from store.selection_rows import OrderOwner, RowStatus, SelectionRow, to_row
from store.writer import SelectionWriter, SetAside, WriterSettings


class FakeSink:
    """Keeps rows; fails with the given errors first, and always for the orders in `impossible`."""

    def __init__(self) -> None:
        self.rows: list[SelectionRow] = []
        self.batches: list[int] = []
        self.errors: list[Exception] = []
        self.impossible: set[str] = set()
        self.owners: dict[str, OrderOwner] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def write(self, rows: Sequence[SelectionRow]) -> dict[str, OrderOwner]:
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        if any(row.order_id in self.impossible for row in rows):
            raise psycopg.errors.UntranslatableCharacter("no such character")
        self.rows.extend(rows)
        self.batches.append(len(rows))
        return {row.id: self.owners[row.order_id] for row in rows if row.order_id in self.owners}

    @property
    def order_ids(self) -> list[str]:
        return [row.order_id for row in self.rows]


class FakeTime:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


@pytest.fixture
async def sink() -> FakeSink:
    return FakeSink()


def make_writer(sink: FakeSink, **settings: Any) -> SelectionWriter:
    return SelectionWriter(sink, WriterSettings(**{"batch_wait_s": 0.001, **settings}))


async def test_futures_resolve_on_commit_and_order_is_kept(
    sink: FakeSink, make_record: Callable[..., Any]
) -> None:
    writer = make_writer(sink, batch_size=7)
    writer.start()
    futures = [writer.enqueue(make_record(f"o{number}")) for number in range(50)]
    commits = await asyncio.gather(*futures)
    assert {commit.status for commit in commits} == {RowStatus.RECORDED}
    assert sink.order_ids == [f"o{number}" for number in range(50)]
    assert max(sink.batches) == 7
    assert writer.metrics.pending == 0
    assert writer.metrics.written == 50
    await writer.drain(1.0)


async def test_few_records_go_out_together_after_the_wait(
    sink: FakeSink, make_record: Callable[..., Any]
) -> None:
    writer = make_writer(sink, batch_wait_s=0.01)
    writer.start()
    await asyncio.gather(*(writer.enqueue(make_record()) for _ in range(5)))
    assert sink.batches == [5]
    await writer.drain(1.0)


async def test_haste_does_not_wait_for_the_batch(sink: FakeSink, make_record: Callable[..., Any]) -> None:
    writer = make_writer(sink, batch_wait_s=60.0)
    writer.start()
    patient = writer.enqueue(make_record())
    async with asyncio.timeout(5):
        await writer.enqueue(make_record(), flush_now=True)
        await patient
    await writer.drain(1.0)


async def test_at_the_bound_nothing_is_taken_and_nothing_is_dropped(
    sink: FakeSink, make_record: Callable[..., Any]
) -> None:
    sink.gate.clear()
    writer = make_writer(sink, max_pending=3)
    writer.start()
    futures = [writer.enqueue(make_record(f"o{number}")) for number in range(3)]
    with pytest.raises(WriterFull):
        writer.enqueue(make_record("refused"))
    assert writer.metrics.pending == 3
    sink.gate.set()
    await asyncio.gather(*futures)
    assert sink.order_ids == ["o0", "o1", "o2"]
    await writer.enqueue(make_record("later"))
    await writer.drain(1.0)


async def test_an_outage_backs_off_and_loses_nothing(sink: FakeSink, make_record: Callable[..., Any]) -> None:
    clock = FakeTime()
    sink.errors = [psycopg.OperationalError("away")] * 4 + [RuntimeError("a fault of ours")]
    failures: list[int] = []
    writer = SelectionWriter(
        sink,
        WriterSettings(batch_wait_s=0.001, backoff=Backoff(first_s=0.1, last_s=0.5)),
        clock_s=clock,
        uniform=lambda: 0.5,
        sleep=clock.sleep,
        on_failure=lambda error, count: failures.append(count),
    )
    futures = [writer.enqueue(make_record(f"o{number}")) for number in range(3)]
    writer.start()
    await asyncio.gather(*futures)
    assert clock.slept == pytest.approx([0.05, 0.1, 0.2, 0.25, 0.25])
    assert failures == [1, 2, 3, 4, 5]
    assert writer.metrics.failures == 5
    assert sink.order_ids == ["o0", "o1", "o2"]
    await writer.drain(1.0)


async def test_the_age_of_the_oldest_is_told(sink: FakeSink, make_record: Callable[..., Any]) -> None:
    clock = FakeTime()
    writer = SelectionWriter(sink, clock_s=clock)
    assert writer.metrics.oldest_pending_age_s == 0.0
    writer.enqueue(make_record())
    clock.now_s += 12.5
    writer.enqueue(make_record())
    assert writer.metrics.oldest_pending_age_s == 12.5
    assert len(await writer.drain(0.0)) == 2


@pytest.mark.parametrize("poison", [{0}, {99}, {0, 1, 2}, {13, 50, 51, 98}, set(range(100))])
async def test_impossible_rows_are_set_aside_and_the_rest_goes_on(
    sink: FakeSink, make_record: Callable[..., Any], poison: set[int]
) -> None:
    sink.impossible = {f"o{number}" for number in poison}
    aside: list[SetAside] = []
    writer = SelectionWriter(sink, WriterSettings(batch_wait_s=0.001), on_set_aside=aside.append)
    futures = [writer.enqueue(make_record(f"o{number}")) for number in range(100)]
    writer.start()
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert {number for number, result in enumerate(results) if isinstance(result, RecordSetAside)} == poison
    assert sink.order_ids == [f"o{number}" for number in range(100) if number not in poison]
    assert [item.record.order_id for item in aside] == [f"o{number}" for number in sorted(poison)]
    assert writer.metrics.set_aside == len(poison)
    assert writer.take_set_aside() == tuple(aside)
    assert writer.take_set_aside() == ()
    await writer.drain(1.0)


async def test_too_many_impossible_rows_are_a_bad_schema_and_wait(
    sink: FakeSink, make_record: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    sink.impossible = {f"o{number}" for number in range(5)}
    writer = make_writer(sink, max_set_aside=2)
    futures = [writer.enqueue(make_record(f"o{number}")) for number in range(5)]
    writer.start()
    await eventually(lambda: writer.metrics.failures > 0)
    assert writer.metrics.set_aside == 2
    assert writer.metrics.pending == 3
    sink.impossible = set()
    await asyncio.gather(*futures[2:])
    assert sink.order_ids == ["o2", "o3", "o4"]
    await writer.drain(1.0)


async def test_a_conflicted_row_is_kept_and_says_whose_the_order_is(
    sink: FakeSink, make_record: Callable[..., Any]
) -> None:
    sink.owners = {"o": OrderOwner("their hash", "their id")}
    writer = make_writer(sink)
    writer.start()
    commit = await writer.enqueue(make_record("o"))
    assert commit.status is RowStatus.CONFLICTED
    assert commit.owner == OrderOwner("their hash", "their id")
    assert writer.metrics.conflicted == 1
    await writer.drain(1.0)


async def test_a_waiter_that_gives_up_disturbs_nobody(
    sink: FakeSink, make_record: Callable[..., Any]
) -> None:
    writer = make_writer(sink)
    futures = [writer.enqueue(make_record(f"o{number}")) for number in range(3)]
    futures[1].cancel()
    writer.start()
    await asyncio.gather(futures[0], futures[2])
    assert sink.order_ids == ["o0", "o1", "o2"]
    await writer.drain(1.0)


async def test_a_callback_that_fails_does_not_stop_the_writing(
    sink: FakeSink, make_record: Callable[..., Any]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    sink.errors = [psycopg.OperationalError("away")]
    sink.impossible = {"bad"}
    settings = WriterSettings(batch_wait_s=0.001, backoff=Backoff(first_s=0.001))
    writer = SelectionWriter(sink, settings, on_failure=broken, on_set_aside=broken)
    writer.start()
    writer.enqueue(make_record("bad"))
    await writer.enqueue(make_record("good"))
    await writer.drain(1.0)


async def test_drain_writes_everything_then_takes_nothing(
    sink: FakeSink, make_record: Callable[..., Any]
) -> None:
    writer = make_writer(sink, batch_size=10, batch_wait_s=60.0)
    writer.start()
    futures = [writer.enqueue(make_record()) for _ in range(95)]
    assert await writer.drain(5.0) == ()
    assert all(future.done() for future in futures)
    assert len(sink.rows) == 95
    with pytest.raises(StoreUnavailable):
        writer.enqueue(make_record())


async def test_drain_hands_back_what_it_could_not_write(
    sink: FakeSink, make_record: Callable[..., Any]
) -> None:
    sink.gate.clear()
    writer = make_writer(sink)
    writer.start()
    future = writer.enqueue(make_record("left"))
    left = await writer.drain(0.02)
    assert [record.order_id for record in left] == ["left"]
    with pytest.raises(StoreUnavailable):
        await future


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"rate": math.nan}},
        {"expected_outcomes": {"deep": [{"x": math.inf}]}},
        {"quantity_shares": math.nan},
        {"confidence": -math.inf},
        {"selection_id": "no uuid"},
        {"order_id": ""},
        {"order_id": "x" * 101},
        {"strategy_name": "x" * 101},
        {"order_id": "a\0b"},
        {"selection_rationale": "\0"},
        {"created_at_ns": 10**21},
        {"market_conditions": {"object": object()}},
        {"market_conditions": {"surrogate": "\ud800"}},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_what_can_be_no_row_is_refused_at_the_door(
    sink: FakeSink, make_record: Callable[..., Any], change: dict[str, Any]
) -> None:
    writer = make_writer(sink)
    with pytest.raises(RecordInvalid):
        writer.enqueue(make_record(**change))
    assert writer.metrics.pending == 0


def test_a_refusal_names_every_fault(make_record: Callable[..., Any]) -> None:
    with pytest.raises(RecordInvalid, match=r"quantity_shares.*confidence.*order_id has 101"):
        to_row(make_record("x" * 101, quantity_shares=math.nan, confidence=math.inf))
