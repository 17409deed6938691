"""Rows as their payloads again: what the audit hashes.

Every stream reads one journal in the order of its sequence through a cursor of the server, so memory stays the same
however much there is. Each entry comes with the bytes that its row stands for now, whatever it was once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow

from engine.records import RecordKind
from store.payload import FieldType, pack
from store.rows.tables import OUTBOX, TABLES, ChainedTable

PAGE_ROWS: Final = 200
SET_ASIDE: Final = "set_aside"


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as the database gives it. `payload` is made from the columns, without the event (see `with_event`)."""

    table: str
    record_id: str
    sequence: int
    kind: int
    chain_hash: bytes
    values: list[Any] | None
    payload: bytes
    created_at_us: int
    is_conflicted: bool = False
    owner_id: str | None = None
    order_id: str = ""
    is_as_owned: bool = True  # what `orders` says of its own selection is what that says

    @property
    def is_set_aside(self) -> bool:
        return self.values is None

    @property
    def created_at_ns(self) -> int | None:
        """As it is hashed."""
        return (
            None if self.values is None else int(self.values[TABLES[RecordKind(self.kind)].created_at_index])
        )

    def with_event(self, event: list[str] | None) -> bytes:
        """The payload, with the event that the outbox holds for it."""
        if self.values is None:
            return self.payload
        index = TABLES[RecordKind(self.kind)].event_index
        if index is not None:
            self.values[index] = event
        return pack(self.values)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of the outbox. `event` is as the payload holds it."""

    sequence: int
    part: int
    event: list[str]
    created_at_us: int
    chain_hash: bytes


def read_records(
    connection: psycopg.Connection[TupleRow], table: ChainedTable, journal_id: str
) -> Iterator[StoredEntry]:
    """The rows of one kind."""
    columns = ", ".join(f"held.{_selected(column.name, column.type)}" for column in table.columns)
    is_selection = table.kind is RecordKind.SELECTION
    query = (
        f"SELECT {columns}, held.payload_version, held.sequence, held.chain_hash, {_MICROSECONDS}, held.id::text"
        + (", held.status, owner.selection_id::text, " + _AS_OWNED if is_selection else "")
        + f" FROM {table.name} AS held"
        + (" LEFT JOIN orders AS owner ON owner.order_id = held.order_id" if is_selection else "")
        + " WHERE held.journal_id = %s ORDER BY held.sequence"
    )
    count = len(table.columns)
    places = [(column.index, position, column.type) for position, column in enumerate(table.columns)]
    size = 1 + count + (table.event_index is not None)
    orders = [position for position, column in enumerate(table.columns) if column.name == "order_id"]
    for row in _rows(connection, table.name, query, journal_id):
        values: list[Any] = [None] * size
        values[0] = row[count]
        for index, position, field in places:
            value = row[position]
            values[index] = "" if value is None and field is FieldType.UUID_OR_EMPTY else value
        after = row[count + 1 :]
        yield StoredEntry(
            table=table.name,
            record_id=after[3],
            sequence=after[0],
            kind=int(table.kind),
            chain_hash=bytes(after[1]),
            values=values,
            payload=b"",
            created_at_us=after[2],
            is_conflicted=is_selection and after[4] == "CONFLICTED",
            owner_id=after[5] if is_selection else None,
            order_id=row[orders[0]] if orders else "",
            is_as_owned=not is_selection or after[6] is not False,
        )


def read_set_aside(connection: psycopg.Connection[TupleRow], journal_id: str) -> Iterator[StoredEntry]:
    """The entries that no table took; their payloads are as they were."""
    query = (
        "SELECT held.sequence, held.kind, held.payload, held.chain_hash, "
        f"{_MICROSECONDS} FROM set_aside AS held WHERE held.journal_id = %s ORDER BY held.sequence"
    )
    for sequence, kind, payload, chain_hash, created_at_us in _rows(connection, SET_ASIDE, query, journal_id):
        yield StoredEntry(
            SET_ASIDE, "", sequence, kind, bytes(chain_hash), None, bytes(payload), created_at_us
        )


def read_events(connection: psycopg.Connection[TupleRow], journal_id: str) -> Iterator[StoredEvent]:
    """The outbox."""
    query = (
        "SELECT held.sequence, held.part, held.id::text, held.type, held.aggregatetype, held.aggregateid,"
        f" held.payload::text, {_MICROSECONDS}, held.chain_hash"
        " FROM outbox AS held WHERE held.journal_id = %s ORDER BY held.sequence, held.part"
    )
    for row in _rows(connection, OUTBOX, query, journal_id):
        yield StoredEvent(row[0], row[1], list(row[2:7]), row[7], bytes(row[8]))


# Since 1970, like the nanoseconds that are hashed.
_MICROSECONDS: Final = "(extract(epoch FROM held.created_at) * 1000000)::bigint"
_AS_OWNED: Final = (
    "owner.selection_id <> held.id OR (owner.request_hash, owner.created_at) = (held.request_hash, held.created_at)"
)


def _selected(column: str, field: FieldType) -> str:
    # As text what psycopg would otherwise take apart.
    return f"{column}::text" if field in (FieldType.UUID, FieldType.UUID_OR_EMPTY, FieldType.JSON) else column


def _rows(
    connection: psycopg.Connection[TupleRow], name: str, query: str, journal_id: str
) -> Iterator[TupleRow]:
    with connection.cursor(name=f"ess_read_{name}") as cursor:
        cursor.itersize = PAGE_ROWS
        cursor.execute(query.encode(), (journal_id,), binary=True)
        yield from cursor
