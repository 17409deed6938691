"""Writes a journal's entries into PostgreSQL: rows, order claims, outbox events and the cursor, in one transaction.

The cursor's row, locked, is what makes writing again harmless and keeps the order: what is at or below it is skipped,
what does not follow it is refused. So rows go by plain COPY into their tables, which is the fastest way in. Only when a
record's id is there already (a caller that journaled it twice) the batch is written once more with care: the second
entry is set aside, whole, so that the chain has no gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import psycopg

from engine.records import RecordKind
from store.chain import first_hash, next_hash
from store.conflict_event import conflict_event
from store.drain_sink import DrainPosition
from store.errors import DrainOutOfSequence, JournalCorrupt
from store.journal.port import Entry
from store.outcome_rows import settle_outcomes
from store.partitions import Partitions
from store.payload import unpack
from store.pg_arrays import MomentArray, TextArray
from store.pool import Connection, Pool
from store.rows.copying import (
    OutboxEvent,
    UnpackedEntry,
    moment_us,
    outbox_copy,
    outbox_rows,
    record_copy,
    record_rows,
)
from store.rows.tables import TABLES
from store.selection_rows import OrderOwner

CHANNEL: Final = "ess_outbox"
DUPLICATE: Final = "DUPLICATE: a record of this id is there already, from an earlier entry"

# What a batch is copied in: an outcome's selection may be in the same batch, and comes first.
_KINDS: Final = tuple(TABLES)
_RECORD_COPIES: Final = {kind: record_copy(kind) for kind in _KINDS}
_OUTBOX_COPY: Final = outbox_copy()

# In the order of ids, so that two hosts that write the same orders cannot wait for each other in a circle;
# within an id in the order of arrival, so that the first one gets it.
_INSERT_ORDERS: Final = """
INSERT INTO orders (order_id, request_hash, selection_id, created_at)
SELECT order_id, request_hash, selection_id, created_at
FROM unnest(%b::text[], %b::text[], %b::text[]::uuid[], %b::timestamptz[])
  WITH ORDINALITY AS given (order_id, request_hash, selection_id, created_at, position)
ORDER BY order_id COLLATE "C", position
ON CONFLICT (order_id) DO NOTHING
"""
# A statement of its own: it must see an order that another host committed while the first one waited for it.
_OWNERS: Final = """
SELECT order_id, request_hash, selection_id::text FROM orders WHERE order_id = ANY(%b::text[])
"""
_REGISTER: Final = """
INSERT INTO journals (journal_id, host_id, drained_hash) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""
_POSITION: Final = "SELECT drained_sequence, drained_hash FROM journals WHERE journal_id = %s"
_MOVE: Final = """
UPDATE journals SET drained_sequence = %s, drained_hash = %s, host_id = %s, updated_at = now() WHERE journal_id = %s
"""
_SET_ASIDE: Final = """
INSERT INTO set_aside (journal_id, sequence, kind, payload, reason, chain_hash) VALUES (%s, %s, %s, %s, %s, %s)
"""


@dataclass(slots=True)
class _Batch:
    """What is to be written, by kind, and what was found out on the way."""

    items: dict[RecordKind, list[UnpackedEntry]]
    last: Entry
    owners: dict[str, OrderOwner] = field(default_factory=dict)
    duplicates: list[UnpackedEntry] = field(default_factory=list)

    def of(self, kind: RecordKind) -> list[UnpackedEntry]:
        return self.items.get(kind, [])


class PostgresSink:
    """The way of one journal; see DrainSink. Belongs to one event loop."""

    def __init__(self, pool: Pool, host_id: str, *, partitions: Partitions | None = None) -> None:
        self._pool = pool
        self._host_id = host_id
        self._partitions = partitions or Partitions()
        self._journal_id = ""

    async def position(self, journal_id: str) -> DrainPosition:
        async with self._pool.connection() as connection:
            await self._partitions.make_ahead(connection)
            found = await self._position_on(connection, journal_id, lock=False)
            if found is None:
                await connection.execute(_REGISTER, (journal_id, self._host_id, first_hash(journal_id)))
                found = await self._position_on(connection, journal_id, lock=False)
        if found is None:
            raise DrainOutOfSequence(f"journal {journal_id} could not be registered")
        self._journal_id = journal_id
        return found

    async def write(self, entries: Sequence[Entry]) -> dict[str, OrderOwner]:
        items = [UnpackedEntry(entry, unpack(entry.kind, entry.payload)) for entry in entries]
        try:
            return await self._write(items, careful=False)
        except psycopg.errors.UniqueViolation:
            return await self._write(items, careful=True)
        except psycopg.errors.CheckViolation:
            # Perhaps a week that was there when it was looked for was retired since; what is wrong fails again.
            self._partitions.forget()
            return await self._write(items, careful=False)

    async def set_aside(self, entry: Entry, reason: str) -> None:
        async with self._pool.connection() as connection, connection.transaction():
            position = await self._locked_position(connection)
            fresh = self._continuation(position, [entry])
            if fresh:
                await self._put_aside(connection, entry, reason)
                await self._move(connection, entry)

    async def _write(self, items: Sequence[UnpackedEntry], *, careful: bool) -> dict[str, OrderOwner]:
        async with self._pool.connection() as connection:
            await self._partitions.ensure(connection, {item.created_at_ns for item in items})
            async with connection.transaction():
                position = await self._locked_position(connection)
                fresh = self._continuation(position, [item.entry for item in items])
                skipped = len(items) - len(fresh)
                owners = await self._owners(connection, items[:skipped])
                if fresh:
                    batch = _batch(items[skipped:])
                    await self._write_fresh(connection, batch, careful=careful)
                    owners |= batch.owners
                return owners

    async def _write_fresh(self, connection: Connection, batch: _Batch, *, careful: bool) -> None:
        batch.owners = await self._claim_orders(connection, batch.of(RecordKind.SELECTION))
        for kind in _KINDS:
            if careful:
                batch.items[kind] = await self._copy_with_care(connection, kind, batch.of(kind), batch)
            elif batch.of(kind):
                await self._copy(connection, kind, batch.of(kind), batch)
        for item in batch.duplicates:
            await self._put_aside(connection, item.entry, DUPLICATE)
        await settle_outcomes(connection, batch.of(RecordKind.SELECTION), batch.of(RecordKind.OUTCOME))
        events = list(_events(batch))
        if events:
            await _send(connection, _OUTBOX_COPY, outbox_rows(events, self._journal_id))
        await self._move(connection, batch.last)
        if events:
            await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, self._journal_id))

    async def _claim_orders(
        self, connection: Connection, selections: Sequence[UnpackedEntry]
    ) -> dict[str, OrderOwner]:
        """Claims the orders; the owners, by selection id, of those that belong to another selection."""
        if not selections:
            return {}
        columns = (
            TextArray(_column(selections, "order_id")),
            TextArray(_column(selections, "request_hash")),
            TextArray(item.record_id for item in selections),
            MomentArray([moment_us(item.created_at_ns) for item in selections]),
        )
        claimed = await connection.execute(_INSERT_ORDERS, columns)
        if claimed.rowcount == len(selections):
            return {}
        return await self._owners(connection, selections)

    async def _owners(self, connection: Connection, items: Sequence[UnpackedEntry]) -> dict[str, OrderOwner]:
        selections = [item for item in items if item.entry.kind is RecordKind.SELECTION]
        if not selections:
            return {}
        orders = list(_column(selections, "order_id"))
        # Not prepared: a plan that is kept from the time when `orders` was small reads all of it for ever.
        found = await connection.execute(_OWNERS, (TextArray(orders),), prepare=False)
        by_order = {row[0]: OrderOwner(row[1], row[2]) for row in await found.fetchall()}
        pairs = zip(selections, orders, strict=True)
        return {
            item.record_id: by_order[order_id]
            for item, order_id in pairs
            if order_id in by_order and by_order[order_id].selection_id != item.record_id
        }

    async def _copy(
        self, connection: Connection, kind: RecordKind, items: Sequence[UnpackedEntry], batch: _Batch
    ) -> None:
        rows = record_rows(kind, items, self._journal_id, self._host_id, set(batch.owners))
        await _send(connection, _RECORD_COPIES[kind], rows)

    async def _copy_with_care(
        self, connection: Connection, kind: RecordKind, items: list[UnpackedEntry], batch: _Batch
    ) -> list[UnpackedEntry]:
        """Copies by halves, each in a savepoint, until what is there already stands alone; what was written."""
        if not items:
            return []
        try:
            async with connection.transaction():
                await self._copy(connection, kind, items, batch)
            return items
        except psycopg.errors.UniqueViolation:
            if len(items) == 1:
                batch.duplicates += items
                return []
        middle = len(items) // 2
        first = await self._copy_with_care(connection, kind, items[:middle], batch)
        return first + await self._copy_with_care(connection, kind, items[middle:], batch)

    async def _put_aside(self, connection: Connection, entry: Entry, reason: str) -> None:
        # Whatever an error quotes, a text of PostgreSQL holds no NUL and no half characters.
        said = reason.replace("\0", "\\0").encode(errors="backslashreplace").decode()[:10_000]
        await connection.execute(
            _SET_ASIDE,
            (self._journal_id, entry.sequence, int(entry.kind), entry.payload, said, entry.chain_hash),
        )

    async def _move(self, connection: Connection, last: Entry) -> None:
        await connection.execute(_MOVE, (last.sequence, last.chain_hash, self._host_id, self._journal_id))

    async def _locked_position(self, connection: Connection) -> DrainPosition:
        position = await self._position_on(connection, self._journal_id, lock=True)
        if position is None:
            raise DrainOutOfSequence(f"journal {self._journal_id!r} is not registered in this database")
        return position

    async def _position_on(
        self, connection: Connection, journal_id: str, *, lock: bool
    ) -> DrainPosition | None:
        query = _POSITION + (" FOR UPDATE" if lock else "")
        row = await (await connection.execute(query.encode(), (journal_id,))).fetchone()
        return None if row is None else DrainPosition(row[0], bytes(row[1]))

    def _continuation(self, position: DrainPosition, entries: Sequence[Entry]) -> list[Entry]:
        """Those that PostgreSQL does not have. Raises where they are no continuation of what it has."""
        sequence, chain_hash = position.sequence, position.chain_hash
        fresh = [entry for entry in entries if entry.sequence > sequence]
        forked = [entry for entry in entries if entry.sequence == sequence and entry.chain_hash != chain_hash]
        for entry in fresh:
            if entry.sequence != sequence + 1:
                raise DrainOutOfSequence(
                    f"entry {entry.sequence} of journal {self._journal_id} does not follow {sequence}, which is what "
                    "PostgreSQL has"
                )
            chain_hash = next_hash(chain_hash, entry.sequence, entry.kind, entry.payload)
            if chain_hash != entry.chain_hash:
                forked.append(entry)
                break
            sequence = entry.sequence
        if forked:
            raise JournalCorrupt(
                f"entry {forked[0].sequence} of journal {self._journal_id} is not chained to what PostgreSQL has of it"
            )
        return fresh


def _batch(items: Sequence[UnpackedEntry]) -> _Batch:
    by_kind: dict[RecordKind, list[UnpackedEntry]] = {}
    for item in items:
        by_kind.setdefault(item.entry.kind, []).append(item)
    return _Batch(by_kind, items[-1].entry)


def _column(items: Sequence[UnpackedEntry], column: str) -> Iterable[str]:
    index = TABLES[items[0].entry.kind].index_of(column)
    return (item.values[index] for item in items)


def _events(batch: _Batch) -> Iterable[OutboxEvent]:
    for kind in _KINDS:
        for item in batch.of(kind):
            entry, event = item.entry, item.event
            if event is not None:
                yield OutboxEvent(event, item.created_at_ns, entry.sequence, 0, entry.chain_hash)
            if kind is RecordKind.SELECTION and item.record_id in batch.owners:
                order_id = item.values[item.table.index_of("order_id")]
                kept = batch.owners[item.record_id].selection_id
                told = conflict_event(order_id, kept, item.record_id, item.created_at_ns)
                yield OutboxEvent(told, item.created_at_ns, entry.sequence, 1, entry.chain_hash)


async def _send(connection: Connection, statement: bytes, rows: bytes) -> None:
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(rows)
