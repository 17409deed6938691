"""The drainer over a journal and a sink that do as they are told: order, batches, back-off, waiters, the stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from store.backoff import Backoff
from store.drain_marks import ArrivalMarks
from store.drainer import Commit, Drainer, DrainerSettings
from store.errors import StoreUnavailable
from store.selection_rows import RowStatus
from tests.helpers.drainers import Books, FakeTime, Make, fill, make_drainer, waiters
from tests.helpers.memory_journal import MemoryJournal, MemorySink


async def test_entries_go_out_in_order_in_bounded_batches(
    journal: MemoryJournal, sink: MemorySink, make_record: Make
) -> None:
    records = await fill(journal, make_record, 50)
    drainer, books = make_drainer(journal, sink, batch_size=20), Books()
    drainer.start(books)
    commits = await asyncio.gather(*waiters(drainer, records))
    assert {commit.status for commit in commits} == {RowStatus.RECORDED}
    assert sink.order_ids == [record.order_id for record in records]
    assert sink.batches == [20, 20, 10]
    assert [step.sequence for step in books.steps] == [20, 40, 50]
    assert journal.metrics.drained_sequence == 50
    assert max(most for _, most in journal.reads) <= 20
    metrics = drainer.metrics
    assert (metrics.pending, metrics.written, metrics.batches) == (0, 50, 3)
    assert await drainer.stop(1.0) == 0


async def test_few_entries_wait_for_more_and_haste_does_not(
    journal: MemoryJournal, sink: MemorySink, make_record: Make
) -> None:
    drainer = make_drainer(journal, sink, batch_wait_s=60.0)
    drainer.start()
    (record,) = await fill(journal, make_record, 1)
    drainer.arrived()
    await asyncio.sleep(0.02)
    assert sink.batches == []
    async with asyncio.timeout(5):
        assert await drainer.committed(1, record.selection_id) == Commit(RowStatus.RECORDED)
    await drainer.stop(1.0)


async def test_where_many_come_they_wait_longer_for_more_but_not_for_haste(
    journal: MemoryJournal, sink: MemorySink, make_record: Make
) -> None:
    """The longer wait does not end by itself here: few go out without it, many only when somebody is in haste."""
    drainer, books = make_drainer(journal, sink, busy_entries=10, busy_factor=60_000.0), Books()
    drainer.start(books)
    await fill(journal, make_record, 9, "few")
    drainer.arrived()
    async with asyncio.timeout(5):
        await books.drained_to(9)
    records = await fill(journal, make_record, 10, "many")
    drainer.arrived(is_awaited=False)
    await asyncio.sleep(0.05)
    assert len(sink.batches) == 1
    async with asyncio.timeout(5):
        await drainer.committed(19, records[-1].selection_id)
    assert [step.sequence for step in books.steps] == [9, 19]
    await drainer.stop(1.0)


async def test_what_was_answered_from_the_disk_does_not_wait_longer_and_takes_the_others_along(
    journal: MemoryJournal, sink: MemorySink, make_record: Make
) -> None:
    drainer, books = make_drainer(journal, sink, busy_entries=10, busy_factor=60_000.0), Books()
    drainer.start(books)
    await fill(journal, make_record, 20, "awaited")
    drainer.arrived()
    async with asyncio.timeout(5):
        await books.drained_to(20)
    await fill(journal, make_record, 20, "from memory")
    drainer.arrived(is_awaited=False)
    await asyncio.sleep(0.05)
    assert len(sink.batches) == 1
    await fill(journal, make_record, 1, "one more")
    drainer.arrived()
    async with asyncio.timeout(5):
        await books.drained_to(41)
    await drainer.stop(1.0)


async def test_entries_of_an_earlier_run_are_drained_without_being_announced(
    journal: MemoryJournal, sink: MemorySink, make_record: Make, eventually: Callable[..., Any]
) -> None:
    await fill(journal, make_record, 30)
    drainer = make_drainer(journal.reopened(), sink)
    drainer.start()
    await eventually(lambda: drainer.metrics.pending == 0)
    assert len(sink.entries) == 30
    await drainer.stop(1.0)


async def test_an_outage_backs_off_and_loses_nothing(
    journal: MemoryJournal, sink: MemorySink, make_record: Make
) -> None:
    clock = FakeTime()
    sink.errors = [psycopg.OperationalError("away")] * 4 + [RuntimeError("a fault of ours")]
    failures: list[int] = []
    drainer = Drainer(
        journal,
        sink,
        DrainerSettings(batch_wait_s=0.001, backoff=Backoff(first_s=0.1, last_s=0.5)),
        clock_s=clock,
        uniform=lambda: 0.5,
        sleep=clock.sleep,
        on_failure=lambda error, count: failures.append(count),
    )
    records = await fill(journal, make_record, 3)
    drainer.start()
    await asyncio.gather(*waiters(drainer, records))
    assert clock.slept == pytest.approx([0.05, 0.1, 0.2, 0.25, 0.25])
    assert failures == [1, 2, 3, 4, 5]
    assert drainer.metrics.failures == 5
    assert not drainer.is_failing
    assert sink.order_ids == ["o0", "o1", "o2"]
    await drainer.stop(1.0)


async def test_while_postgresql_is_away_memory_holds_no_batch(
    journal: MemoryJournal, sink: MemorySink, make_record: Make, eventually: Callable[..., Any]
) -> None:
    sink.errors = [psycopg.OperationalError("away")] * 1_000_000
    drainer = make_drainer(journal, sink, batch_size=10)
    drainer.start()
    await fill(journal, make_record, 500)
    drainer.arrived()
    await eventually(lambda: drainer.metrics.failures > 5)
    assert journal.reads == []
    assert drainer.metrics.pending == 500
    sink.errors.clear()
    await eventually(lambda: drainer.metrics.pending == 0)
    assert len(sink.entries) == 500
    await drainer.stop(1.0)


async def test_the_age_of_the_oldest_is_told(
    journal: MemoryJournal, sink: MemorySink, make_record: Make, eventually: Callable[..., Any]
) -> None:
    clock = FakeTime()
    drainer = Drainer(journal, sink, DrainerSettings(batch_wait_s=0.001), clock_s=clock)
    assert drainer.metrics.oldest_pending_age_s == 0.0
    await fill(journal, make_record, 1)
    drainer.arrived()
    clock.now_s += 12.5
    await fill(journal, make_record, 1)
    drainer.arrived()
    assert drainer.metrics.oldest_pending_age_s == 12.5
    drainer.start()
    await eventually(lambda: drainer.metrics.pending == 0)
    assert drainer.metrics.oldest_pending_age_s == 0.0
    await drainer.stop(0.0)


def test_ages_take_little_room_and_are_right_within_a_share() -> None:
    marks, waited_s = ArrivalMarks(), 0.0
    for sequence in range(1, 200_001):
        waited_s = sequence * 0.01
        marks.add(sequence, waited_s)
    assert len(marks) < 3_000
    for done in (0, 1, 1_000, 150_000, 199_999):
        truth_s = waited_s - (done + 1) * 0.01
        assert marks.age_s(done, waited_s) == pytest.approx(truth_s, rel=0.01, abs=10.0)
    assert marks.age_s(200_000, waited_s) == 0.0


async def test_waiters_that_give_up_disturb_nobody_and_take_no_room(
    journal: MemoryJournal, sink: MemorySink, make_record: Make
) -> None:
    records = await fill(journal, make_record, 3)
    drainer = make_drainer(journal, sink)
    futures = waiters(drainer, records)
    again = drainer.committed(2, records[1].selection_id)
    futures[1].cancel()
    futures[2].cancel()
    await asyncio.sleep(0)
    assert {sequence: len(found) for sequence, found in drainer._waiters.items()} == {1: 1, 2: 1}
    drainer.start()
    await asyncio.gather(futures[0], again)
    assert sink.order_ids == ["o0", "o1", "o2"]
    await drainer.stop(1.0)


async def test_a_stop_drains_everything_that_is_durable(
    journal: MemoryJournal, sink: MemorySink, make_record: Make
) -> None:
    drainer = make_drainer(journal, sink, batch_size=10, batch_wait_s=60.0)
    drainer.start()
    await fill(journal, make_record, 95)
    drainer.arrived()
    assert await drainer.stop(5.0) == 0
    assert len(sink.entries) == 95
    with pytest.raises(StoreUnavailable):
        await drainer.committed(96, "")


async def test_a_stop_without_postgresql_ends_at_once_and_leaves_the_rest_to_the_next_start(
    journal: MemoryJournal, sink: MemorySink, make_record: Make, eventually: Callable[..., Any]
) -> None:
    sink.errors = [psycopg.OperationalError("away")] * 1_000_000
    drainer = make_drainer(journal, sink)
    drainer.start()
    records = await fill(journal, make_record, 5)
    drainer.arrived()
    waiting = drainer.committed(5, records[4].selection_id)
    await eventually(lambda: drainer.is_failing)
    async with asyncio.timeout(1):
        assert await drainer.stop(60.0) == 5
    with pytest.raises(StoreUnavailable):
        await waiting


async def test_a_stop_while_postgresql_hangs_waits_no_longer_than_it_may(
    journal: MemoryJournal, sink: MemorySink, make_record: Make
) -> None:
    sink.gate.clear()
    drainer = make_drainer(journal, sink)
    drainer.start()
    await fill(journal, make_record, 5)
    drainer.arrived()
    async with asyncio.timeout(1):
        assert await drainer.stop(0.05) == 5
