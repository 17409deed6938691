"""Corrections and outcomes over a pool. Every failure is StoreUnavailable."""

from __future__ import annotations

import json
from typing import Any, LiteralString, Protocol

from engine.learning.outcomes import Outcome
from store import learning_rows as rows
from store.learning_rows import MOST_OUTCOMES, Pair
from store.pool import Pool, answering

# Small: a page is read into values on the loop that decides, some 25 µs a row.
PAGE_ROWS = 100


class LearningSource(Protocol):
    """What the learner needs of a store. All raise StoreUnavailable."""

    async def recent(self) -> tuple[int, str]:
        """Another value where new outcomes came."""
        ...

    async def outcomes(self, pair: Pair) -> list[Outcome]:
        """The newest of them."""
        ...

    async def latest(self, pair: Pair) -> bytes | None:
        """The corrections in force."""
        ...

    async def add(self, pair: Pair, host_id: str, outcomes: int, alarms: tuple[str, ...], content: bytes) -> bool:
        """Puts others in force; False where another host is doing that."""
        ...



class LearningStore:
    """A LearningSource over the pool."""

    def __init__(self, pool: Pool, most_outcomes: int = MOST_OUTCOMES) -> None:
        self._pool = pool
        self._most = most_outcomes

    async def recent(self) -> tuple[int, str]:
        row = await self._row(rows.RECENT, {})
        return (0, "") if row is None else (int(row[0]), str(row[1]))

    async def outcomes(self, pair: Pair) -> list[Outcome]:
        found: list[Outcome | None] = []
        values = pair.values() | {"most": self._most, "days": rows.WINDOW_DAYS}
        async with answering(self._pool) as connection, connection.transaction():
            await connection.execute("SET TRANSACTION READ ONLY")
            await connection.execute("SET LOCAL cursor_tuple_fraction = 1")
            async with connection.cursor(name="learning") as cursor:
                await cursor.execute(rows.OUTCOMES.encode(), values, binary=True)
                while page := await cursor.fetchmany(PAGE_ROWS):
                    found += [rows.outcome_from(row, json.loads) for row in page]
        return rows.once(found)

    async def latest(self, pair: Pair) -> bytes | None:
        row = await self._row(rows.LATEST, pair.values())
        return None if row is None else bytes(row[1])

    async def add(self, pair: Pair, host_id: str, outcomes: int, alarms: tuple[str, ...], content: bytes) -> bool:
        values = pair.values() | {
            "host": host_id, "outcomes": outcomes, "alarms": json.dumps(alarms), "content": content,
        }
        async with answering(self._pool) as connection, connection.transaction():
            held = await (await connection.execute(rows.LOCK)).fetchone()
            if held is None or not held[0]:
                return False
            await connection.execute(rows.ADD.encode(), values)
        return True

    async def _row(self, query: LiteralString, values: dict[str, object]) -> tuple[Any, ...] | None:
        async with answering(self._pool) as connection:
            return await (await connection.execute(query, values, binary=True)).fetchone()
