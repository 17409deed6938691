"""The drainer over a journal and a sink that do as they are told: order, batches, back-off, poison rows, waiters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from engine.records import RecordKind, SelectionRecord
from store.backoff import Backoff
from store.drain_marks import ArrivalMarks
from store.drain_sink import DrainPosition
from store.drainer import Commit, Drainer, DrainerSettings, DrainStep
from store.errors import JournalCorrupt, JournalError, JournalFailed, RecordSetAside, StoreUnavailable
from store.journal.port import Entry
from store.payload import encode
from store.selection_rows import OrderOwner, RowStatus
from tests.helpers.memory_journal import MemoryJournal, MemorySink

Make = Callable[..., SelectionRecord]


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


class Books:
    """An observer that only writes down."""

    def __init__(self) -> None:
        self.steps: list[DrainStep] = []
        self.error: JournalError | None = None
        self._stepped = asyncio.Event()

    def drained(self, step: DrainStep) -> None:
        self.steps.append(step)
        self._stepped.set()

    async def drained_to(self, sequence: int) -> None:
        while not self.steps or self.steps[-1].sequence < sequence:
            self._stepped.clear()
            await self._stepped.wait()

    def diverged(self, error: JournalError) -> None:
        self.error = error


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


def make_drainer(journal: MemoryJournal, sink: MemorySink, **options: Any) -> Drainer:
    quick: dict[str, Any] = {"batch_wait_s": 0.001, "backoff": Backoff(first_s=0.001)}
    settings = DrainerSettings(**quick | options)
    return Drainer(journal, sink, settings)


async def fill(journal: MemoryJournal, make_record: Make, count: int, prefix: str = "o") -> list[SelectionRecord]:
    """So many durable entries."""
    records = [make_record(f"{prefix}{number}") for number in range(count)]
    for record in records:
        journal.append(RecordKind.SELECTION, encode(record))
    journal.sync()
    return records


def waiters(drainer: Drainer, records: list[SelectionRecord]) -> list[asyncio.Future[Commit]]:
    return [drainer.committed(number, record.selection_id) for number, record in enumerate(records, start=1)]


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


async def test_an_answer_that_was_lost_is_not_written_twice_and_says_so(
    journal: MemoryJournal, sink: MemorySink, make_record: Make
) -> None:
    sink.lose_answers = 1
    records = await fill(journal, make_record, 20)
    drainer, books = make_drainer(journal, sink), Books()
    drainer.start(books)
    commits = await asyncio.gather(*waiters(drainer, records))
    assert {commit.status for commit in commits} == {None}  # PostgreSQL must be asked what became of them
    assert [entry.sequence for entry in sink.entries] == list(range(1, 21))
    assert [(step.sequence, step.is_known) for step in books.steps] == [(20, False)]
    (later,) = await fill(journal, make_record, 1, "later")
    drainer.arrived()
    assert (await drainer.committed(21, later.selection_id)).status is RowStatus.RECORDED
    assert await drainer.committed(3, records[2].selection_id) == Commit(None)  # long done
    await drainer.stop(1.0)


async def test_a_crash_between_commit_and_note_is_made_good_at_the_start(
    journal: MemoryJournal, sink: MemorySink, make_record: Make, eventually: Callable[..., Any]
) -> None:
    await fill(journal, make_record, 10)
    sink.at = DrainPosition(7, journal.entries[6].chain_hash)
    drainer, books = make_drainer(journal, sink), Books()
    drainer.start(books)
    await eventually(lambda: drainer.metrics.pending == 0)
    assert [entry.sequence for entry in sink.entries] == [8, 9, 10]
    assert [(step.sequence, step.is_known) for step in books.steps] == [(7, False), (10, True)]
    await drainer.stop(1.0)


async def test_a_journal_that_lost_acknowledged_entries_is_not_drained(
    journal: MemoryJournal, sink: MemorySink, make_record: Make, eventually: Callable[..., Any]
) -> None:
    await fill(journal, make_record, 3)
    sink.at = DrainPosition(5, b"x" * 32)
    drainer, books = make_drainer(journal, sink), Books()
    drainer.start(books)
    await eventually(lambda: books.error is not None)
    assert isinstance(books.error, JournalCorrupt)
    assert "up to 5" in str(books.error)
    assert sink.entries == []
    await drainer.stop(1.0)


async def test_a_journal_with_another_past_than_postgresql_has_is_not_drained(
    journal: MemoryJournal, sink: MemorySink, make_record: Make, eventually: Callable[..., Any]
) -> None:
    await fill(journal, make_record, 3)
    sink.at = DrainPosition(2, b"x" * 32)
    drainer, books = make_drainer(journal, sink), Books()
    drainer.start(books)
    await eventually(lambda: books.error is not None)
    assert "entry 2" in str(books.error)
    await drainer.stop(1.0)


async def test_a_database_from_a_backup_gets_what_it_lacks_or_everything_waits(
    journal: MemoryJournal, sink: MemorySink, make_record: Make, eventually: Callable[..., Any]
) -> None:
    await fill(journal, make_record, 10)
    journal.drained(8)
    sink.at = DrainPosition(5, journal.entries[4].chain_hash)
    drainer = make_drainer(journal, sink)
    drainer.start()
    await eventually(lambda: drainer.metrics.pending == 0)
    assert [entry.sequence for entry in sink.entries] == [6, 7, 8, 9, 10]
    await drainer.stop(1.0)

    journal.retained, lacking = 0, MemorySink()
    drainer = make_drainer(journal, lacking)
    failures: list[str] = []
    drainer._on_failure = lambda error, _: failures.append(str(error))
    drainer.start()
    await fill(journal, make_record, 1, "new")
    drainer.arrived()
    await eventually(lambda: len(failures) > 1)
    assert "no longer holds the next" in failures[0]
    assert lacking.entries == []
    await drainer.stop(1.0)


@pytest.mark.parametrize("error", [JournalCorrupt("bits"), JournalFailed("the disk")])
async def test_a_journal_that_cannot_be_read_is_told(
    journal: MemoryJournal,
    sink: MemorySink,
    make_record: Make,
    eventually: Callable[..., Any],
    error: JournalError,
) -> None:
    journal.read_errors = [error]
    await fill(journal, make_record, 3)
    drainer, books = make_drainer(journal, sink), Books()
    drainer.start(books)
    await eventually(lambda: books.error is error)
    assert sink.entries == []
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


@pytest.mark.parametrize("poison", [{0}, {99}, {0, 1, 2}, {13, 50, 51, 98}, set(range(100))])
async def test_impossible_rows_are_set_aside_and_the_rest_goes_on(
    journal: MemoryJournal, sink: MemorySink, make_record: Make, poison: set[int]
) -> None:
    sink.impossible = {f"o{number}" for number in poison}
    told: list[int] = []

    def tell(entry: Entry, reason: str) -> None:
        assert "UntranslatableCharacter" in reason
        told.append(entry.sequence - 1)

    records = await fill(journal, make_record, 100)
    drainer = Drainer(journal, sink, DrainerSettings(batch_wait_s=0.001), on_set_aside=tell)
    futures = waiters(drainer, records)
    drainer.start()
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert {number for number, result in enumerate(results) if isinstance(result, RecordSetAside)} == poison
    assert sink.order_ids == [f"o{number}" for number in range(100) if number not in poison]
    assert [sequence - 1 for sequence, _ in sink.aside] == sorted(poison) == told
    assert drainer.metrics.set_aside == len(poison)
    assert journal.metrics.drained_sequence == 100
    await drainer.stop(1.0)


async def test_an_outage_among_impossible_rows_sets_each_aside_once(
    journal: MemoryJournal, sink: MemorySink, make_record: Make
) -> None:
    sink.impossible = {"o3", "o7"}
    records = await fill(journal, make_record, 10)
    drainer = make_drainer(journal, sink)
    futures = waiters(drainer, records)
    sink.errors = [psycopg.OperationalError("away")]
    drainer.start()
    for _ in range(3):
        await asyncio.sleep(0.002)
        sink.errors.append(psycopg.OperationalError("away"))
    await asyncio.wait(futures)
    assert [sequence for sequence, _ in sink.aside] == [4, 8]
    assert sink.order_ids == [f"o{number}" for number in range(10) if number not in (3, 7)]
    await drainer.stop(1.0)


async def test_too_many_impossible_rows_in_a_row_are_a_bad_schema_and_wait(
    journal: MemoryJournal, sink: MemorySink, make_record: Make, eventually: Callable[..., Any]
) -> None:
    sink.impossible = {f"o{number}" for number in range(5)}
    records = await fill(journal, make_record, 5)
    drainer = make_drainer(journal, sink, most_set_aside_in_a_row=2)
    futures = waiters(drainer, records)
    drainer.start()
    await eventually(lambda: drainer.metrics.failures > 0)
    assert drainer.metrics.set_aside == 2
    assert drainer.metrics.pending == 3
    sink.impossible = set()
    await asyncio.gather(*futures[2:])
    assert sink.order_ids == ["o2", "o3", "o4"]
    await drainer.stop(1.0)


async def test_a_conflicted_row_is_kept_and_says_whose_the_order_is(
    journal: MemoryJournal, sink: MemorySink, make_record: Make
) -> None:
    sink.owners = {"o1": OrderOwner("their hash", "their id")}
    records = await fill(journal, make_record, 3)
    drainer = make_drainer(journal, sink)
    drainer.start()
    commits = await asyncio.gather(*waiters(drainer, records))
    assert [commit.status for commit in commits] == [
        RowStatus.RECORDED, RowStatus.CONFLICTED, RowStatus.RECORDED,
    ]  # fmt: skip
    assert commits[1].owner == OrderOwner("their hash", "their id")
    assert drainer.metrics.conflicted == 1
    await drainer.stop(1.0)


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


async def test_a_callback_that_fails_does_not_stop_the_draining(
    journal: MemoryJournal, sink: MemorySink, make_record: Make
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    class BrokenBooks(Books):
        def drained(self, step: DrainStep) -> None:
            raise ZeroDivisionError

    sink.errors = [psycopg.OperationalError("away")]
    sink.impossible = {"o0"}
    settings = DrainerSettings(batch_wait_s=0.001, backoff=Backoff(first_s=0.001))
    drainer = Drainer(journal, sink, settings, on_failure=broken, on_set_aside=broken)
    records = await fill(journal, make_record, 2)
    futures = waiters(drainer, records)
    drainer.start(BrokenBooks())
    assert (await futures[1]).status is RowStatus.RECORDED
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
