"""What PostgreSQL says it holds against what the journal holds: lost answers, crashes, backups, damaged journals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from store.drain_sink import DrainPosition
from store.drainer import Commit
from store.errors import JournalCorrupt, JournalError, JournalFailed
from store.selection_rows import RowStatus
from tests.helpers.drainers import Books, Make, fill, make_drainer, waiters
from tests.helpers.memory_journal import MemoryJournal, MemorySink


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


@pytest.mark.parametrize(
    ("held", "words"),
    [
        pytest.param(5, "up to 5", id="acknowledged entries that the journal lost"),
        pytest.param(2, "entry 2", id="another past than the journal has"),
    ],
)
async def test_a_journal_that_postgresql_contradicts_is_not_drained(
    journal: MemoryJournal, sink: MemorySink, make_record: Make, eventually: Callable[..., Any], held: int, words: str
) -> None:
    await fill(journal, make_record, 3)
    sink.at = DrainPosition(held, b"x" * 32)
    drainer, books = make_drainer(journal, sink), Books()
    drainer.start(books)
    await eventually(lambda: books.error is not None)
    assert isinstance(books.error, JournalCorrupt)
    assert words in str(books.error)
    assert sink.entries == []
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


async def test_a_standby_that_is_promoted_while_nothing_comes_gets_what_it_lacks(
    journal: MemoryJournal, sink: MemorySink, make_record: Make, eventually: Callable[..., Any]
) -> None:
    await fill(journal, make_record, 10)
    drainer = make_drainer(journal, sink, idle_look_s=0.02)
    drainer.start()
    await eventually(lambda: len(sink.entries) == 10)
    sink.at = DrainPosition(7, journal.entries[6].chain_hash)
    sink.entries.clear()
    await eventually(lambda: len(sink.entries) == 3)
    assert [entry.sequence for entry in sink.entries] == [8, 9, 10]
    assert drainer.metrics.pending == 0
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
