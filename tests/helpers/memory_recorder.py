"""A keeper's end for what only records: in memory, and full, or dead, when a test wants it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from engine.records import Record
from store.errors import JournalFull
from store.submission import Acknowledgement


@dataclass
class MemoryRecorder:
    """A Recorder in memory, that can be full."""

    records: list[Record] = field(default_factory=list)
    full_times: int = 0
    crash_after: int | None = None
    awaited: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def record(self, record: Record, acknowledgement: Acknowledgement) -> None:
        assert acknowledgement is Acknowledgement.JOURNALED
        if self.full_times:
            self.full_times -= 1
            raise JournalFull("no room")
        if self.crash_after is not None and len(self.records) >= self.crash_after:
            raise RuntimeError("the process died")
        self.records.append(record)
        if len(self.records) == self.awaited:
            self.reached.set()

    def of(self, kind: type[Record]) -> list[Record]:
        return [record for record in self.records if isinstance(record, kind)]
