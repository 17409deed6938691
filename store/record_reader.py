"""What a replay reads: a recorded decision or advice, and reference data by hash. Every failure is StoreUnavailable."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, LiteralString, Protocol

from store.pool import Pool, answering


@dataclass(frozen=True, slots=True)
class RecordedSelection:
    """A decision as it stands in the record. `inputs` is empty where none were recorded."""

    selection_id: str
    order_id: str
    request_hash: str
    created_at_ns: int
    request: bytes
    response: bytes
    inputs: bytes


@dataclass(frozen=True, slots=True)
class RecordedAdaptation:
    """An advice as it stands in the record; `selection_id` is the decision that its order began with."""

    adaptation_id: str
    order_id: str
    selection_id: str
    advice_number: int
    created_at_ns: int
    response: bytes
    inputs: bytes


class RecordSource(Protocol):
    """Where recorded decisions and advices are found."""

    async def selection(self, selection_id: str) -> RecordedSelection | None: ...

    async def adaptation(self, adaptation_id: str) -> RecordedAdaptation | None: ...


class ReferenceSource(Protocol):
    """Where reference data are found that the archive does not have."""

    async def reference(self, sha256: str) -> bytes | None:
        """The compressed content."""
        ...


class PostgresRecords:
    """Over the pool: a RecordSource and a ReferenceSource."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def selection(self, selection_id: str) -> RecordedSelection | None:
        # One row: a selection has one created_at, so it stands in one partition. The order makes a second one, which
        # only an intruder could write, change nothing.
        query = (
            "SELECT id::text, order_id, request_hash, created_at_ns, request, response, inputs"
            " FROM strategy_selections WHERE id = %s::text::uuid ORDER BY created_at LIMIT 1"
        )
        row = await self._row(query, str(uuid.UUID(selection_id)))
        if row is None:
            return None
        request, response, inputs = (bytes(part or b"") for part in row[4:])
        return RecordedSelection(row[0], row[1], row[2], row[3], request, response, inputs)

    async def adaptation(self, adaptation_id: str) -> RecordedAdaptation | None:
        query = (
            "SELECT id::text, order_id, coalesce(selection_id::text, ''), advice_number, created_at_ns, response,"
            " inputs FROM adaptations WHERE id = %s::text::uuid ORDER BY created_at LIMIT 1"
        )
        row = await self._row(query, str(uuid.UUID(adaptation_id)))
        if row is None:
            return None
        return RecordedAdaptation(row[0], row[1], row[2], row[3], row[4], bytes(row[5]), bytes(row[6]))

    async def reference(self, sha256: str) -> bytes | None:
        row = await self._row("SELECT content FROM reference_data WHERE sha256 = %s LIMIT 1", sha256)
        return None if row is None else bytes(row[0])

    async def _row(self, query: LiteralString, key: str) -> tuple[Any, ...] | None:
        async with answering(self._pool) as connection:
            return await (await connection.execute(query, (key,), binary=True)).fetchone()
