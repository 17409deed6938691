"""A database that is slow, or hangs: batches shrink until they are taken in time, and grow back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from store.drain_room import BatchRoom
from store.journal.port import Entry
from store.selection_rows import OrderOwner
from tests.helpers.drainers import Make, fill, make_drainer
from tests.helpers.memory_journal import MemoryJournal, MemorySink


async def test_a_batch_that_takes_too_long_is_made_again_with_fewer_entries_and_batches_grow_back(
    make_record: Make, eventually: Callable[..., Any]
) -> None:
    journal, sink = MemoryJournal(), MemorySink()
    sink.most_in_time = 3
    drainer = make_drainer(journal, sink, batch_size=40)
    await fill(journal, make_record, 100)
    drainer.start()
    await eventually(lambda: drainer.metrics.pending <= 80)
    assert sink.tried[:5] == [40, 20, 10, 5, 2]
    sink.most_in_time = 10**6
    await eventually(lambda: drainer.metrics.pending == 0)
    await fill(journal, make_record, 80, "later")
    drainer.arrived()
    await eventually(lambda: drainer.metrics.pending == 0)
    assert sink.order_ids == [f"o{number}" for number in range(100)] + [f"later{number}" for number in range(80)]
    assert sink.batches[-1] == 40
    await drainer.stop(1.0)


async def test_a_hanging_database_gets_one_entry_at_a_time_in_the_end(
    make_record: Make, eventually: Callable[..., Any]
) -> None:
    answers = asyncio.Event()

    class HangingSink(MemorySink):
        async def write(self, entries: Sequence[Entry]) -> dict[str, OrderOwner]:
            if not answers.is_set():
                self.tried.append(len(entries))
            await answers.wait()
            return await super().write(entries)

    journal, sink = MemoryJournal(), HangingSink()
    await fill(journal, make_record, 20)
    drainer = make_drainer(journal, sink, batch_size=8, attempt_timeout_s=0.01)
    drainer.start()
    await eventually(lambda: len(sink.tried) > 5)
    assert sink.tried[:6] == [8, 4, 2, 1, 1, 1]
    answers.set()
    await eventually(lambda: drainer.metrics.pending == 0)
    assert len(sink.entries) == 20
    await drainer.stop(1.0)


def test_slow_batches_in_time_are_tried_larger_now_and_then() -> None:
    room = BatchRoom(64, limit_s=20.0)
    room.timed_out(64)
    sizes = []
    for _ in range(16):
        room.taken(9.0)
        sizes.append(room.entries)
    assert sizes == [32] * 7 + [64] * 9
    room.timed_out(5)  # the rest of a batch: what it was is what counts
    assert room.entries == 2
    room.taken(4.9)
    assert room.entries == 4


async def test_an_outage_that_ends_with_nothing_to_write_is_over(eventually: Callable[..., Any]) -> None:
    journal, sink = MemoryJournal(), MemorySink()
    sink.errors = [psycopg.OperationalError("away")] * 2
    drainer = make_drainer(journal, sink)
    drainer.start()
    await eventually(lambda: sink.positions_asked == 3)
    await eventually(lambda: not drainer.is_failing)
    assert drainer.metrics.failures == 2
    await drainer.stop(1.0)
