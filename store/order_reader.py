"""Reads of an order what PostgreSQL has. Every failure is StoreUnavailable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

from store.order_port import KeptAdvice, KeptOutcome, OrderBasis
from store.pool import ASKED_ACQUIRE_S, Connection, Pool, answering

# Of the keeper's connections: thousands of orders that come back at once wait here, and do not fill the pool's queue,
# which decisions and the drainer need too.
ASKED_AT_ONCE: Final = 16


class OrderSource(Protocol):
    """What the keeper needs to read of an order that it does not hold."""

    async def updates_of(self, order_id: str) -> list[bytes]:
        """`UpdateRecord.request` of every accepted update, of every host."""
        ...

    async def advices_of(self, order_id: str) -> list[KeptAdvice]:
        """Oldest first."""
        ...

    async def basis_of(self, order_id: str) -> OrderBasis | None: ...

    async def outcome_of(self, selection_id: str) -> KeptOutcome | None: ...


class PostgresOrders:
    """Over the pool; waits at most `ASKED_ACQUIRE_S` for a connection."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._may_ask = asyncio.Semaphore(ASKED_AT_ONCE)

    async def updates_of(self, order_id: str) -> list[bytes]:
        query = (
            "SELECT request FROM order_updates WHERE order_id = %s"
            " ORDER BY update_sequence, created_at_ns, journal_id, sequence"
        )
        async with self._connection() as connection:
            rows = await (await connection.execute(query, (order_id,), binary=True)).fetchall()
        return [bytes(row[0]) for row in rows]

    async def advices_of(self, order_id: str) -> list[KeptAdvice]:
        query = (
            "SELECT id::text, coalesce(selection_id::text, ''), advice_number, created_at_ns, action, trigger,"
            " rationale, response, inputs FROM adaptations WHERE order_id = %s ORDER BY advice_number, created_at_ns"
        )
        async with self._connection() as connection:
            rows = await (await connection.execute(query, (order_id,), binary=True)).fetchall()
        return [KeptAdvice(*row) for row in rows]

    async def basis_of(self, order_id: str) -> OrderBasis | None:
        query = (
            "SELECT id::text, order_id, instrument_id, created_at_ns, strategy_name, algorithm,"
            " coalesce(selection_rationale, ''), request, response, gateway, tags FROM strategy_selections"
            " WHERE order_id = %s ORDER BY status = 'CONFLICTED', created_at_ns, id LIMIT 1"
        )
        async with self._connection() as connection:
            row = await (await connection.execute(query, (order_id,), binary=True)).fetchone()
        return None if row is None else OrderBasis(*row)

    async def outcome_of(self, selection_id: str) -> KeptOutcome | None:
        query = (
            "SELECT id::text, selection_id::text, request, performance_score FROM outcomes"
            " WHERE selection_id = %s::text::uuid ORDER BY created_at_ns, id LIMIT 1"
        )
        async with self._connection() as connection:
            row = await (await connection.execute(query, (selection_id,), binary=True)).fetchone()
        return None if row is None else KeptOutcome(*row)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        async with self._may_ask, answering(self._pool, ASKED_ACQUIRE_S) as connection:
            yield connection
