"""Rows that PostgreSQL refuses or gives to another order, and callbacks that fail: the rest goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from store.backoff import Backoff
from store.drainer import Drainer, DrainerSettings, DrainStep
from store.errors import RecordSetAside
from store.journal.port import Entry
from store.selection_rows import OrderOwner, RowStatus
from tests.helpers.drainers import Books, Make, fill, make_drainer, waiters
from tests.helpers.memory_journal import MemoryJournal, MemorySink


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
