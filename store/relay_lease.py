"""Which relay serves which journal: locks of one PostgreSQL session, so that a host that is gone lets go of them.

Two relays that serve the same journal for a moment (the session was lost, its owner does not know yet) do no harm:
both publish in the order of the journal, ids tell duplicates, and a saved cursor never moves back.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from contextlib import suppress
from typing import Protocol

import psycopg

from store.errors import StoreUnavailable
from store.own_connection import connect, within
from store.pool import Connection, PoolSettings

_log = logging.getLogger(__name__)


class Lease(Protocol):
    """What a relay asks before it serves a journal."""

    @property
    def held(self) -> frozenset[str]: ...

    async def check(self) -> None:
        """Raises StoreUnavailable where the session is lost; then nothing is held any more."""
        ...

    async def take(self, journal_id: str) -> bool:
        """Whether the journal is this relay's now."""
        ...

    async def close(self) -> None: ...


class AdvisoryLease:
    """Session-level advisory locks on a connection of its own, opened when it is first needed."""

    def __init__(self, settings: PoolSettings, relay: str, *, answer_within_s: float = 3.0) -> None:
        self._settings = settings
        self._relay = relay
        self._answer_within_s = answer_within_s
        self._connection: Connection | None = None
        self._held: set[str] = set()

    @property
    def held(self) -> frozenset[str]:
        return frozenset(self._held)

    async def check(self) -> None:
        if self._connection is None or self._connection.closed:
            self._held.clear()
            self._connection = await connect(self._settings, "relay")
        await self._ask("SELECT true")

    async def take(self, journal_id: str) -> bool:
        if journal_id in self._held:
            return True
        # Taken again by the session that has it, a lock would only be counted.
        if await self._ask("SELECT pg_try_advisory_lock(%s)", lock_key(self._relay, journal_id)):
            self._held.add(journal_id)
            return True
        return False

    async def close(self) -> None:
        self._held.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()

    async def _ask(self, query: str, *parameters: object) -> bool:
        connection = self._connection
        if connection is None:
            raise StoreUnavailable("the relay's session is lost")
        try:
            return await within(self._answer_within_s, _answer(connection, query, parameters))
        except (StoreUnavailable, asyncio.CancelledError):
            await self.close()
            raise


async def _answer(connection: Connection, query: str, parameters: tuple[object, ...]) -> bool:
    row = await (await connection.execute(query.encode(), parameters)).fetchone()
    return row is not None and bool(row[0])


def lock_key(relay: str, journal_id: str) -> int:
    """A signed 64-bit number, the same on every host."""
    digest = hashlib.sha256(f"ess relay\0{relay}\0{journal_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
