"""Rows as PostgreSQL's binary COPY takes them.

Built here in one go, not by psycopg's `write_row`: that awaits for every row and looks up a dumper for every value.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.records import RecordKind
from store.journal.port import Entry
from store.payload import FieldType, Payload
from store.rows.tables import OUTBOX, TABLES, ChainedTable

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_INT16 = struct.Struct(">h").pack
_LENGTH = struct.Struct(">i").pack
_INT64 = struct.Struct(">q").pack
_FLOAT64 = struct.Struct(">d").pack
_NULL: Final = _LENGTH(-1)
_EPOCH_2000_US: Final = 946_684_800_000_000


@dataclass(frozen=True, slots=True)
class UnpackedEntry:
    """An entry with its payload's array."""

    entry: Entry
    values: Payload

    @property
    def table(self) -> ChainedTable:
        return TABLES[self.entry.kind]

    @property
    def record_id(self) -> str:
        return str(self.values[1])  # the id is the first field of every layout

    @property
    def created_at_ns(self) -> int:
        return int(self.values[self.table.created_at_index])

    @property
    def event(self) -> Sequence[str] | None:
        """Event id, kind, kind and id of the aggregate, payload."""
        index = self.table.event_index
        return None if index is None else self.values[index]


def moment_us(created_at_ns: int) -> int:
    """As PostgreSQL counts: microseconds since 2000."""
    return created_at_ns // 1000 - _EPOCH_2000_US


def record_copy(kind: RecordKind) -> bytes:
    """The statement that takes `record_rows`."""
    table = TABLES[kind]
    names = [column.name for column in table.columns]
    names += ["payload_version", "created_at", "journal_id", "sequence", "chain_hash", "host_id"]
    if kind is RecordKind.SELECTION:
        names.append("status")
    return _statement(table.name, names)


def outbox_copy() -> bytes:
    """The statement that takes `outbox_rows`."""
    names = ["id", "aggregatetype", "aggregateid", "type", "payload", "created_at"]
    return _statement(OUTBOX, [*names, "journal_id", "sequence", "part", "chain_hash"])


def record_rows(
    kind: RecordKind, items: Iterable[UnpackedEntry], journal_id: str, host_id: str, conflicted: set[str]
) -> bytes:
    """All rows of one kind. `conflicted`: selections whose order belongs to another."""
    plan = _PLANS[kind]
    created_at_index = TABLES[kind].created_at_index
    is_selection = kind is RecordKind.SELECTION
    journal, host = _sized(journal_id.encode()), _sized(host_id.encode())
    head = _INT16(len(plan) + 6 + is_selection)
    parts: list[bytes] = [_SIGNATURE]
    for item in items:
        values, entry = item.values, item.entry
        parts.append(head)
        for index, convert in plan:
            data = convert(values[index])
            parts += (_NULL,) if data is None else (_LENGTH(len(data)), data)
        parts += (
            _VERSION_SIZE, _INT16(values[0]),
            _EIGHT, _INT64(moment_us(values[created_at_index])),
            journal,
            _EIGHT, _INT64(entry.sequence),
            _HASH_SIZE, entry.chain_hash,
            host,
        )  # fmt: skip
        if is_selection:
            parts.append(_CONFLICTED if values[1] in conflicted else _RECORDED)
    parts.append(_TRAILER)
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """One row of the outbox. `event` as in UnpackedEntry."""

    event: Sequence[str]
    created_at_ns: int
    sequence: int
    part: int
    chain_hash: bytes


def outbox_rows(events: Iterable[OutboxEvent], journal_id: str) -> bytes:
    journal = _sized(journal_id.encode())
    parts: list[bytes] = [_SIGNATURE]
    for row in events:
        event_id, kind, aggregate_kind, aggregate_id, payload = row.event
        parts += (
            _INT16(10),
            _UUID_SIZE, _uuid(event_id),
            _sized(aggregate_kind.encode()),
            _sized(aggregate_id.encode()),
            _sized(kind.encode()),
            _sized(payload.encode()),
            _EIGHT, _INT64(moment_us(row.created_at_ns)),
            journal,
            _EIGHT, _INT64(row.sequence),
            _VERSION_SIZE, _INT16(row.part),
            _HASH_SIZE, row.chain_hash,
        )  # fmt: skip
    parts.append(_TRAILER)
    return b"".join(parts)


def _statement(table: str, columns: Sequence[str]) -> bytes:
    return f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)".encode()


def _sized(data: bytes) -> bytes:
    return _LENGTH(len(data)) + data


def _uuid(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def _uuid_or_none(text: str) -> bytes | None:
    return _uuid(text) if text else None


def _same(data: bytes) -> bytes:
    return data


_CONVERTERS: Final[dict[FieldType, Callable[[Any], bytes | None]]] = {
    FieldType.UUID: _uuid,
    FieldType.UUID_OR_EMPTY: _uuid_or_none,
    FieldType.NAME: str.encode,
    FieldType.TEXT: str.encode,
    FieldType.INTEGER: _INT64,
    FieldType.FLOAT: _FLOAT64,
    FieldType.JSON: str.encode,
    FieldType.BYTES: _same,
}
_PLANS: Final = {
    kind: tuple((column.index, _CONVERTERS[column.type]) for column in table.columns)
    for kind, table in TABLES.items()
}
_EIGHT: Final = _LENGTH(8)
_VERSION_SIZE: Final = _LENGTH(2)
_UUID_SIZE: Final = _LENGTH(16)
_HASH_SIZE: Final = _LENGTH(32)
_RECORDED: Final = _sized(b"RECORDED")
_CONFLICTED: Final = _sized(b"CONFLICTED")
