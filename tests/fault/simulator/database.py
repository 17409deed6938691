"""A PostgreSQL that is a few dictionaries: transactions that happen whole or not at all, outages, slow answers, and
commits whose answer is lost. It keeps what a real one keeps, refuses what the real sink refuses, and checks with every
transaction what must never be otherwise.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

import psycopg

from engine.records import OperationRecord, SelectionRecord
from store.chain import first_hash, next_hash
from store.drain_sink import DrainPosition
from store.errors import JournalCorrupt, StoreUnavailable
from store.journal.port import Entry
from store.older import OrderHashes
from store.payload import decode
from store.selection_reader import RetiredWith
from store.selection_rows import OrderOwner, RowStatus
from store.submission import StoredSelection
from tests.helpers.order_pages import page_of


@dataclass(slots=True)
class Weather:
    """What is done to every statement from now on."""

    is_down: bool = False
    least_s: float = 0.0002
    most_s: float = 0.002
    lost_answers: float = 0.0  # share of commits that happen and are not heard of
    lost_requests: float = 0.0  # share of transactions that fail before they commit


@dataclass(slots=True)
class FakeDatabase:
    """What is on the server's disk: it survives every crash of the host."""

    entries: dict[str, list[Entry]] = field(default_factory=dict)  # by journal, in order
    positions: dict[str, DrainPosition] = field(default_factory=dict)
    orders: dict[str, OrderOwner] = field(default_factory=dict)
    selections: dict[str, StoredSelection] = field(default_factory=dict)
    by_order: dict[str, list[str]] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)  # of selections, by id
    events: list[tuple[int, int, str, str]] = field(default_factory=list)  # sequence, part, event id, aggregate
    event_ids: set[str] = field(default_factory=set)
    aside: dict[int, str] = field(default_factory=dict)  # order ids by sequence
    operations: set[str] = field(default_factory=set)  # ids of records that are no decisions
    poison: set[str] = field(default_factory=set)  # order ids whose rows cannot be stored
    transactions: int = 0
    conflicted: int = 0
    violations: list[str] = field(default_factory=list)

    def position(self, journal_id: str) -> DrainPosition:
        return self.positions.setdefault(journal_id, DrainPosition(0, first_hash(journal_id)))

    def write(self, journal_id: str, entries: Sequence[Entry]) -> dict[str, OrderOwner]:
        """One transaction: all of it, or an error and nothing. What is here already is skipped."""
        entries = [entry for entry in entries if entry.sequence > self.position(journal_id).sequence]
        if not entries:
            return {}
        self._check_follows(journal_id, entries)
        records = [decode(entry.kind, entry.payload) for entry in entries]
        for record in records:
            if isinstance(record, SelectionRecord) and record.order_id in self.poison:
                raise psycopg.errors.UntranslatableCharacter(f"no such text can be stored: {record.order_id}")
        owners: dict[str, OrderOwner] = {}
        for entry, record in zip(entries, records, strict=True):
            if isinstance(record, SelectionRecord):
                owner = self._take_selection(entry, record)
                if owner is not None:
                    owners[record.selection_id] = owner
            elif isinstance(record, OperationRecord):
                self.operations.add(record.operation_id)
            self.entries.setdefault(journal_id, []).append(entry)
        self._move(journal_id, entries[-1])
        return owners

    def set_aside(self, journal_id: str, entry: Entry, reason: str) -> None:
        if entry.sequence <= self.position(journal_id).sequence:
            return
        self._check_follows(journal_id, (entry,))
        record = decode(entry.kind, entry.payload)
        if not isinstance(record, SelectionRecord) or record.order_id not in self.poison:
            self.violations.append(f"set aside: entry {entry.sequence}, without a reason: {reason}")
        else:
            self.aside[entry.sequence] = record.order_id
        self.entries.setdefault(journal_id, []).append(entry)
        self._move(journal_id, entry)

    def decided_elsewhere(self, selection: StoredSelection) -> None:
        """Another host's decision arrives."""
        self.orders.setdefault(selection.order_id, OrderOwner(selection.request_hash, selection.selection_id))
        self.selections[selection.selection_id] = selection
        self.by_order.setdefault(selection.order_id, []).append(selection.selection_id)

    def _check_follows(self, journal_id: str, entries: Sequence[Entry]) -> None:
        """By the cursor, as the real sink does under its lock, and by the hashes of every entry."""
        position = self.position(journal_id)
        if entries[0].sequence != position.sequence + 1:
            raise JournalCorrupt(f"entry {entries[0].sequence} does not follow {position.sequence}")
        sequence, chain_hash = position.sequence, position.chain_hash
        for entry in entries:
            sequence += 1
            chain_hash = next_hash(chain_hash, sequence, int(entry.kind), entry.payload)
            if entry.sequence != sequence or entry.chain_hash != chain_hash:
                self.violations.append(f"gap: entry {entry.sequence} of {journal_id} breaks the chain at {sequence}")

    def _move(self, journal_id: str, last: Entry) -> None:
        self.positions[journal_id] = DrainPosition(last.sequence, last.chain_hash)
        self.transactions += 1

    def _take_selection(self, entry: Entry, record: SelectionRecord) -> OrderOwner | None:
        if record.selection_id in self.selections:
            self.violations.append(f"twice: selection {record.selection_id}")
        owner = self.orders.setdefault(
            record.order_id, OrderOwner(record.request_hash, record.selection_id)
        )
        is_ours = owner.selection_id == record.selection_id
        self.conflicted += not is_ours
        self.selections[record.selection_id] = StoredSelection(
            selection_id=record.selection_id, order_id=record.order_id, request_hash=record.request_hash,
            instrument_id=record.instrument_id, created_at_ns=record.created_at_ns,
            strategy_name=record.strategy_name, algorithm=record.algorithm,
            selection_rationale=record.selection_rationale, response=record.response, committed=True,
            status=RowStatus.RECORDED if is_ours else RowStatus.CONFLICTED,
        )  # fmt: skip
        self.by_order.setdefault(record.order_id, []).append(record.selection_id)
        self.sequences[record.selection_id] = entry.sequence
        if record.event is not None:
            self._take_event(entry.sequence, 0, record.event.event_id, record.event.aggregate_id)
        if not is_ours:
            self._take_event(entry.sequence, 1, f"conflict of {record.selection_id}", record.order_id)
        return None if is_ours else owner

    def _take_event(self, sequence: int, part: int, event_id: str, aggregate_id: str) -> None:
        if event_id in self.event_ids:
            self.violations.append(f"twice: event {event_id}")
        self.event_ids.add(event_id)
        self.events.append((sequence, part, event_id, aggregate_id))


class FakeConnection:
    """What one life of the host sees of the database: DrainSink and SelectionSource."""

    def __init__(
        self,
        database: FakeDatabase,
        weather: Weather,
        chance: random.Random,
        journal_id: str,
        has_no_power: Callable[[], bool],
    ) -> None:
        self._database = database
        self._weather = weather
        self._chance = chance
        self.journal_id = journal_id
        self._has_no_power = has_no_power
        self.is_cut = False  # this life is over: nothing that it does reaches anybody

    async def position(self, journal_id: str) -> DrainPosition:
        await self._travel()
        found = self._database.position(journal_id)
        await self._travel()
        return found

    async def write(self, entries: Sequence[Entry]) -> dict[str, OrderOwner]:
        await self._before_commit()
        owners = self._database.write(self.journal_id, entries)
        await self._after_commit()
        return owners

    async def set_aside(self, entry: Entry, reason: str) -> None:
        await self._before_commit()
        self._database.set_aside(self.journal_id, entry, reason)
        await self._after_commit()

    async def owner_of(self, order_id: str) -> OrderOwner | None:
        await self._travel()
        return self._database.orders.get(order_id)

    async def response_of(self, selection_id: str) -> bytes | None:
        await self._travel()
        found = self._database.selections.get(selection_id)
        return None if found is None else found.response

    async def retired_with(self, order_id: str) -> RetiredWith | None:
        await self._travel()
        return None

    async def selections_of(self, order_id: str) -> tuple[StoredSelection, ...]:
        await self._travel()
        return tuple(self._database.selections[one] for one in self._database.by_order.get(order_id, ()))

    async def newest_orders(self, limit: int) -> AsyncGenerator[tuple[str, str, str], None]:
        await self._travel()
        names = list(self._database.orders)[-limit:]
        for order_id in reversed(names):
            owner = self._database.orders[order_id]
            yield order_id, owner.request_hash, owner.selection_id

    async def order_hashes(self, after: str, limit: int) -> OrderHashes | None:
        await self._travel()
        return page_of(self._database.orders, after, limit)

    async def _before_commit(self) -> None:
        await self._travel()
        if self._chance.random() < self._weather.lost_requests:
            raise psycopg.OperationalError("the connection broke before the commit")

    async def _after_commit(self) -> None:
        if self._chance.random() < self._weather.lost_answers:
            raise psycopg.OperationalError("the connection broke after the commit")
        await self._travel()

    async def _travel(self) -> None:
        """One way. What was sent when the server went, or when the power went, arrives nowhere."""
        await asyncio.sleep(self._chance.uniform(self._weather.least_s, self._weather.most_s))
        if self.is_cut or self._weather.is_down or self._has_no_power():
            raise StoreUnavailable("PostgreSQL does not answer")


