"""Reads what the keeper asks PostgreSQL for. Every failure is StoreUnavailable."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

from store.older import HASH_BYTES, OrderHashes
from store.pool import ASKED_ACQUIRE_S, Pool, answering
from store.selection_rows import OrderOwner, RowStatus
from store.submission import StoredSelection

_PAGE_ROWS = 5_000
# The week may have gone more than once: a host that was away makes it again.
_RETIRED = b"""
SELECT to_char(gone.week, 'YYYY-MM-DD'),
  array_remove(array_agg(DISTINCT gone.archive -> gone.partition ->> 'file'), NULL)
FROM orders AS held JOIN (
  SELECT week AT TIME ZONE 'UTC' AS week, archive,
    'strategy_selections_p' || to_char(week AT TIME ZONE 'UTC', 'YYYYMMDD') AS partition
  FROM retired_partitions
) AS gone ON gone.week = date_trunc('week', held.created_at AT TIME ZONE 'UTC')
WHERE held.order_id = %s GROUP BY gone.week
"""


@dataclass(frozen=True, slots=True)
class RetiredWith:
    """A week by its Monday (ISO date, UTC), and the files that its decisions were exported to; none where they were
    not."""

    week: str
    files: tuple[str, ...]


class SelectionSource(Protocol):
    """What the keeper needs to read."""

    async def owner_of(self, order_id: str) -> OrderOwner | None: ...

    async def response_of(self, selection_id: str) -> bytes | None: ...

    async def retired_with(self, order_id: str) -> RetiredWith | None:
        """The week that `ess retention` took away and that the order was decided in; None where it took none."""
        ...

    async def selections_of(self, order_id: str) -> tuple[StoredSelection, ...]: ...

    def newest_orders(self, limit: int) -> AsyncGenerator[tuple[str, str, str], None]:
        """(order_id, request_hash, selection_id), newest first."""
        ...

    async def order_hashes(self, after: str, limit: int) -> OrderHashes | None:
        """Of the orders after an id, in the order of ids (`store.older`); None where there are no more."""
        ...


class PostgresSource:
    """Over the pool; waits at most its acquire timeout for a connection."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def owner_of(self, order_id: str) -> OrderOwner | None:
        query = "SELECT request_hash, selection_id::text FROM orders WHERE order_id = %s"
        async with answering(self._pool) as connection:
            row = await (await connection.execute(query, (order_id,))).fetchone()
        return None if row is None else OrderOwner(row[0], row[1])

    async def response_of(self, selection_id: str) -> bytes | None:
        query = "SELECT response FROM strategy_selections WHERE id = %s::text::uuid"
        async with answering(self._pool) as connection:
            row = await (await connection.execute(query, (selection_id,), binary=True)).fetchone()
        return None if row is None else bytes(row[0])

    async def retired_with(self, order_id: str) -> RetiredWith | None:
        async with answering(self._pool) as connection:
            row = await (await connection.execute(_RETIRED, (order_id,))).fetchone()
        return None if row is None else RetiredWith(row[0], tuple(row[1]))

    async def selections_of(self, order_id: str) -> tuple[StoredSelection, ...]:
        query = (
            "SELECT id::text, order_id, created_at_ns, strategy_name, algorithm,"
            " coalesce(selection_rationale, ''), response, status, request_hash, instrument_id"
            " FROM strategy_selections WHERE order_id = %s ORDER BY created_at_ns, id LIMIT 1000"
        )
        async with answering(self._pool, ASKED_ACQUIRE_S) as connection:
            rows = await (await connection.execute(query, (order_id,), binary=True)).fetchall()
        return tuple(_stored(row) for row in rows)

    async def newest_orders(self, limit: int) -> AsyncGenerator[tuple[str, str, str], None]:
        query = (
            "SELECT order_id, request_hash, selection_id::text FROM orders"
            " ORDER BY created_at DESC, order_id LIMIT %s"
        )
        async with (
            answering(self._pool) as connection,
            connection.transaction(),
            connection.cursor(name="newest_orders") as cursor,
        ):
            await cursor.execute(query, (limit,))
            while rows := await cursor.fetchmany(_PAGE_ROWS):
                for row in rows:
                    yield row[0], row[1], row[2]

    async def order_hashes(self, after: str, limit: int) -> OrderHashes | None:
        # max() goes by the column's collation, as the comparison does: pages follow one another whatever it is.
        query = (
            f"SELECT string_agg(substring(sha256(convert_to(order_id, 'UTF8')) FOR {HASH_BYTES}), ''::bytea),"
            " max(order_id) FROM (SELECT order_id FROM orders WHERE order_id > %s ORDER BY order_id LIMIT %s) AS page"
        )
        async with answering(self._pool) as connection:
            row = await (await connection.execute(query, (after, limit), binary=True)).fetchone()
        return None if row is None or row[0] is None else OrderHashes(bytes(row[0]), row[1])


def _stored(row: tuple[Any, ...]) -> StoredSelection:
    return StoredSelection(
        selection_id=row[0],
        order_id=row[1],
        request_hash=row[8],
        instrument_id=row[9],
        created_at_ns=row[2],
        strategy_name=row[3],
        algorithm=row[4],
        selection_rationale=row[5],
        response=bytes(row[6]),
        committed=True,
        status=RowStatus(row[7]),
    )
