"""A journal in memory and a sink in memory: everything that may happen to either can be made to happen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg

from engine.records import AdaptationRecord, RecordKind, SelectionRecord
from store.chain import first_hash, next_hash
from store.drain_sink import DrainPosition
from store.errors import EntriesGone, JournalFailed, JournalFull
from store.journal.port import Entry, Head, JournalMetrics
from store.payload import decode
from store.selection_rows import OrderOwner


class MemoryJournal:
    """A `JournalPort`. With `is_held` nothing becomes durable until `sync` or `close`, and `fails_at_close` is a disk
    that goes then; `limit_entries` bounds what is not drained; drained entries but the last `retained` go."""

    def __init__(self, journal_id: str = "journal-1", limit_entries: int = 10**6, retained: int = 10**6) -> None:
        self.entries: list[Entry] = []
        self.is_held = False
        self.limit_entries = limit_entries
        self.retained = retained
        self.reads: list[tuple[int, int]] = []
        self.read_errors: list[Exception] = []
        self.may_read, self.is_read = asyncio.Event(), asyncio.Event()
        self.may_read.set()
        self.is_closed = False
        self.fails_at_close = False
        self._journal_id = journal_id
        self._last = Head(journal_id, 0, first_hash(journal_id))
        self._durable = self._last
        self._waiting: list[tuple[Entry, asyncio.Future[Head]]] = []
        self._failure: JournalFailed | None = None
        self._drained = 0
        self._commits = 0

    @property
    def journal_id(self) -> str:
        return self._journal_id

    @property
    def head(self) -> Head:
        return self._durable

    @property
    def metrics(self) -> JournalMetrics:
        used = self._last.sequence - self._drained
        return JournalMetrics(
            self._durable.sequence, self._drained, used, self.limit_entries, self._commits, used >= self.limit_entries
        )

    def append(
        self, kind: RecordKind, payload: bytes, in_haste: bool = True
    ) -> tuple[int, asyncio.Future[Head]]:
        if self._failure is not None:
            raise self._failure
        if self.metrics.is_full:
            raise JournalFull(f"{self.limit_entries} entries are not drained, the bound")
        sequence = self._last.sequence + 1
        entry = Entry(sequence, kind, payload, next_hash(self._last.chain_hash, sequence, kind, payload))
        self._last = Head(self._journal_id, sequence, entry.chain_hash)
        future: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        if not self.is_held:
            asyncio.get_running_loop().call_soon(self.sync)
        return sequence, future

    def sync(self) -> None:
        """Everything that was taken is durable from now on."""
        waiting, self._waiting = self._waiting, []
        if waiting and self._failure is None:
            self.entries.extend(entry for entry, _ in waiting)
            self._durable = self._last
            self._commits += 1
            for _, future in waiting:
                if not future.done():
                    future.set_result(self._durable)

    def fail(self, reason: str = "the disk refused", written: int = 0) -> None:
        """The next commit fails, though so many of its entries got to the disk."""
        waiting, self._waiting = self._waiting, []
        self._failure = JournalFailed(reason)
        self.entries.extend(entry for entry, _ in waiting[:written])
        for _, future in waiting:
            if not future.done():
                future.set_exception(JournalFailed(reason))

    async def read(self, after: int, most: int, most_bytes: int) -> Sequence[Entry]:
        self.reads.append((after, most))
        self.is_read.set()
        await asyncio.sleep(0)
        await self.may_read.wait()
        if self.read_errors:
            raise self.read_errors.pop(0)
        first_kept = max(0, self._drained - self.retained) + 1
        if after + 1 < first_kept:
            raise EntriesGone(after + 1, first_kept)
        return tuple(entry for entry in self.entries if after < entry.sequence <= self._durable.sequence)[:most]

    async def wait_beyond(self, sequence: int) -> Head:
        raise NotImplementedError("the keeper tells the drainer itself")

    def drained(self, sequence: int) -> None:
        assert sequence <= self._durable.sequence
        self._drained = max(self._drained, sequence)

    async def close(self) -> None:
        if self.fails_at_close:
            self.fail()
        self.sync()
        self.is_closed = True

    def reopened(self) -> MemoryJournal:
        """What the next opening finds."""
        found = MemoryJournal(self._journal_id, self.limit_entries, self.retained)
        found.entries = list(self.entries)
        if found.entries:
            last = found.entries[-1]
            found._last = found._durable = Head(self._journal_id, last.sequence, last.chain_hash)
        found._drained = self._drained
        return found


class MemorySink:
    """A `DrainSink`. Fails with the given errors first, and always for the orders in `impossible`; an answer in
    `lose_answers` is lost after the commit; more entries than `most_in_time` at once take too long."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.batches: list[int] = []
        self.errors: list[Exception] = []
        self.impossible: set[str] = set()
        self.aside: list[tuple[int, str]] = []
        self.owners: dict[str, OrderOwner] = {}
        self.lose_answers = 0
        self.most_in_time = 10**6
        self.tried: list[int] = []
        self.positions_asked = 0
        self.at: DrainPosition | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def position(self, journal_id: str) -> DrainPosition:
        self.positions_asked += 1
        await self._answer()
        if self.at is None:
            self.at = DrainPosition(0, first_hash(journal_id))
        return self.at

    async def write(self, entries: Sequence[Entry]) -> dict[str, OrderOwner]:
        self.tried.append(len(entries))
        await self._answer()
        if len(entries) > self.most_in_time:
            raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")
        assert self.at is not None
        assert entries[0].sequence == self.at.sequence + 1, "out of sequence"
        records = [decode(entry.kind, entry.payload) for entry in entries]
        if any(getattr(record, "order_id", "") in self.impossible for record in records):
            raise psycopg.errors.UntranslatableCharacter("no such character")
        self.entries.extend(entries)
        self.batches.append(len(entries))
        self.at = DrainPosition(entries[-1].sequence, entries[-1].chain_hash)
        if self.lose_answers:
            self.lose_answers -= 1
            raise psycopg.OperationalError("the connection is lost")
        return {
            record.selection_id: self.owners[record.order_id]
            for record in records
            if isinstance(record, SelectionRecord | AdaptationRecord) and record.order_id in self.owners
        }

    async def set_aside(self, entry: Entry, reason: str) -> None:
        await self._answer()
        self.aside.append((entry.sequence, reason))
        self.at = DrainPosition(entry.sequence, entry.chain_hash)

    async def _answer(self) -> None:
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)

    @property
    def order_ids(self) -> list[str]:
        return [str(getattr(decode(entry.kind, entry.payload), "order_id", "")) for entry in self.entries]
