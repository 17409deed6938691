"""Selections as rows: what may be a row, and how a batch of them is written and read."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, cast

import msgspec
import psycopg

from engine.records import JsonObject, SelectionRecord
from store.errors import RecordInvalid
from store.market_rows import time_of
from store.partitions import Partitions
from store.pg_arrays import BytesArray, TextArray
from store.pool import Connection, Pool

_ID_LIMIT = 100  # characters, the specification's
_TEXTS = (
    "order_id",
    "strategy_name",
    "selection_rationale",
    "instrument_id",
    "algorithm",
    "gateway",
    "request_hash",
)

# What PostgreSQL (or its driver) says of the values themselves; everything else is about the moment.
ROW_ERRORS: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    UnicodeError,
    OverflowError,
)


class RowStatus(StrEnum):
    """CONFLICTED: the order belongs to another selection that reached the database before."""

    RECORDED = "RECORDED"
    CONFLICTED = "CONFLICTED"


@dataclass(frozen=True, slots=True)
class OrderOwner:
    """Whom an order id belongs to."""

    request_hash: str
    selection_id: str


class SelectionRow(NamedTuple):
    """The values in the order of the statement below."""

    id: str
    order_id: str
    strategy_name: str
    selection_rationale: str
    market_conditions: str
    expected_outcomes: str
    created_at: datetime
    created_at_ns: int
    instrument_id: str
    side: str
    quantity: float
    objective: str
    urgency: str
    algorithm: str
    confidence: float
    parameters: str
    venue_allocation: str
    versions: str
    tags: str
    gateway: str
    request_hash: str
    request: bytes
    response: bytes


class SelectionSink(Protocol):
    """Where batches go. All of a batch is kept, or none of it and an error is raised."""

    async def write(self, rows: Sequence[SelectionRow]) -> dict[str, OrderOwner]:
        """Keeps the rows; by selection id, the owners of the orders that belong to somebody else."""
        ...


def to_row(record: SelectionRecord) -> SelectionRow:
    """Raises RecordInvalid for what is known to be no row without asking the database."""
    faults = [
        f"{name} is not finite"
        for name in ("quantity_shares", "confidence")
        if not math.isfinite(getattr(record, name))
    ]
    for name in ("order_id", "strategy_name"):
        length = len(getattr(record, name))
        if not 0 < length <= _ID_LIMIT:
            faults.append(f"{name} has {length} characters, not 1 to {_ID_LIMIT}")
    if any("\0" in getattr(record, name) for name in _TEXTS):
        faults.append("a text holds the character NUL")
    try:
        selection_id = str(uuid.UUID(record.selection_id))
        created_at = time_of(record.created_at_ns)
        if faults:
            raise ValueError("; ".join(faults))
        return _row(record, selection_id, created_at)
    except (ValueError, TypeError, OverflowError, AttributeError, RecursionError) as error:
        raise RecordInvalid(f"selection {record.selection_id!r} cannot be kept: {error}") from None


def _row(record: SelectionRecord, selection_id: str, created_at: datetime) -> SelectionRow:
    return SelectionRow(
        id=selection_id,
        order_id=record.order_id,
        strategy_name=record.strategy_name,
        selection_rationale=record.selection_rationale,
        market_conditions=_json(record.market_conditions),
        expected_outcomes=_json(record.expected_outcomes),
        created_at=created_at,
        created_at_ns=record.created_at_ns,
        instrument_id=record.instrument_id,
        side=record.side,
        quantity=float(record.quantity_shares),
        objective=record.objective,
        urgency=record.urgency,
        algorithm=record.algorithm,
        confidence=float(record.confidence),
        parameters=_json(record.parameters),
        venue_allocation=_json(record.venue_allocation),
        versions=_json(record.versions),
        tags=_json(record.tags),
        gateway=record.gateway,
        request_hash=record.request_hash,
        request=record.request,
        response=record.response,
    )


def _json(content: JsonObject | dict[str, str]) -> str:
    # msgspec writes null for NaN without a word, so it is looked for first (JSONEncoder would find it, and takes
    # five times as long).
    _refuse_not_finite(content)
    return msgspec.json.encode(content).decode()


def _refuse_not_finite(content: object) -> None:
    if isinstance(content, float):
        if not math.isfinite(content):
            raise ValueError(f"{content} is no JSON number")
    elif isinstance(content, dict):
        for value in content.values():
            _refuse_not_finite(value)
    elif isinstance(content, list | tuple):
        for value in content:
            _refuse_not_finite(value)


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
# Ordered, since a join gives rows in whatever order its plan likes.
_INSERT_SELECTIONS: Final = """
WITH given AS (
  SELECT rows.*, owner.selection_id AS owner_id, owner.request_hash AS owner_hash
  FROM unnest(
    %b::text[]::uuid[], %b::text[], %b::text[], %b::text[], %b::text[]::jsonb[], %b::text[]::jsonb[],
    %b::timestamptz[], %b::bigint[], %b::text[], %b::text[], %b::float8[], %b::text[], %b::text[], %b::text[],
    %b::float8[], %b::text[]::jsonb[], %b::text[]::jsonb[], %b::text[]::jsonb[], %b::text[]::jsonb[], %b::text[],
    %b::text[], %b::bytea[], %b::bytea[]
  ) WITH ORDINALITY AS rows (
    id, order_id, strategy_name, selection_rationale, market_conditions, expected_outcomes,
    created_at, created_at_ns, instrument_id, side, quantity, objective, urgency, algorithm,
    confidence, parameters, venue_allocation, versions, tags, gateway,
    request_hash, request, response, position
  )
  JOIN orders AS owner USING (order_id)
), kept AS (
  INSERT INTO strategy_selections (
    id, order_id, strategy_name, selection_rationale, market_conditions, expected_outcomes,
    created_at, created_at_ns, instrument_id, side, quantity, objective, urgency, algorithm,
    confidence, parameters, venue_allocation, versions, tags, gateway,
    request_hash, request, response, host_id, status
  )
  SELECT
    id, order_id, strategy_name, selection_rationale, market_conditions, expected_outcomes,
    created_at, created_at_ns, instrument_id, side, quantity, objective, urgency, algorithm,
    confidence, parameters, venue_allocation, versions, tags, gateway,
    request_hash, request, response, %s::text,
    CASE WHEN owner_id = id THEN 'RECORDED' ELSE 'CONFLICTED' END
  FROM given
  ORDER BY position
  ON CONFLICT DO NOTHING
)
SELECT id::text, owner_hash, owner_id::text FROM given WHERE owner_id <> id
"""


class PostgresSelections:
    """Writes batches into `orders` and `strategy_selections`, one transaction each. Writing again is harmless."""

    def __init__(self, pool: Pool, host_id: str) -> None:
        self._pool = pool
        self._host_id = host_id
        self._partitions = Partitions()

    async def write(self, rows: Sequence[SelectionRow]) -> dict[str, OrderOwner]:
        columns = dict(zip(SelectionRow._fields, map(_column, zip(*rows, strict=True)), strict=True))
        orders = [columns[name] for name in ("order_id", "request_hash", "id", "created_at")]
        async with self._pool.connection() as connection:
            await self._partitions.ensure(connection, {row.created_at_ns for row in rows})
            return await self._write_on(connection, orders, [*columns.values(), self._host_id])

    async def _write_on(
        self, connection: Connection, orders: list[object], selections: list[object]
    ) -> dict[str, OrderOwner]:
        async with connection.transaction():
            await connection.execute(_INSERT_ORDERS, orders)
            cursor = await connection.execute(_INSERT_SELECTIONS, selections)
            return {row[0]: OrderOwner(row[1], row[2]) for row in await cursor.fetchall()}


def _column(values: tuple[object, ...]) -> object:
    if isinstance(values[0], str):
        return TextArray(cast(tuple[str, ...], values))
    if isinstance(values[0], bytes):
        return BytesArray(cast(tuple[bytes, ...], values))
    return list(values)
