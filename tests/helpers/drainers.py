"""A drainer over a journal in memory, entries for it, and what stands around it: a clock and books."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from engine.records import RecordKind, SelectionRecord
from store.backoff import Backoff
from store.drainer import Commit, Drainer, DrainerSettings, DrainStep
from store.errors import JournalError
from store.payload import encode
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
