"""The connection pool, with every option that matters set aloud.

psycopg_pool's own defaults are an unbounded queue of waiters, 30 s of waiting, and five minutes of retrying with
growing pauses, during which a server that is back goes unnoticed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import psycopg
from psycopg_pool import AsyncConnectionPool

from store.errors import StoreUnavailable
from store.pg_arrays import register_arrays

# For what somebody asks and waits for: before a worker gives its keeper up (store.keeper_client), so that it hears why.
ASKED_ACQUIRE_S: Final = 1.5

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]
Pool: TypeAlias = AsyncConnectionPool[Connection]


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How many connections there are and how long anything may wait."""

    conninfo: str
    min_size: int = 1
    max_size: int = 4
    max_waiting: int = 64
    acquire_timeout_s: float = 2.0
    connect_timeout_s: int = 2
    statement_timeout_s: float = 15.0
    reconnect_timeout_s: float = 2.0
    max_idle_s: float = 300.0
    max_lifetime_s: float = 3600.0
    application_name: str = "ess-keeper"
    # What every session becomes before anything else: the role that may only append. Where the server has none that
    # this user may become (a managed one, or one that is not migrated yet), it stays the user that it is.
    role: str | None = None
    # Whether its users write: a session that became read-only is no use to them, however well it answers.
    writes: bool = False
    # None for a pooler in transaction mode that cannot keep prepared statements.
    prepare_after: int | None = 2


def make_pool(settings: PoolSettings) -> Pool:
    """A pool that is not open yet; open it on the loop that uses it with `await pool.open(wait=False)`."""
    return AsyncConnectionPool(
        settings.conninfo,
        min_size=settings.min_size,
        max_size=settings.max_size,
        max_waiting=settings.max_waiting,
        timeout=settings.acquire_timeout_s,
        # Short: giving up only ends this attempt, the next caller starts another one without a pause.
        reconnect_timeout=settings.reconnect_timeout_s,
        max_idle=settings.max_idle_s,
        max_lifetime=settings.max_lifetime_s,
        num_workers=2,
        name=settings.application_name,
        open=False,
        # One round trip a checkout, so that a connection that died while idle is never handed out.
        check=_check_writable if settings.writes else AsyncConnectionPool.check_connection,
        configure=_configure(settings),
        kwargs={
            "autocommit": True,  # a transaction is opened where one is meant
            "application_name": settings.application_name,
            "connect_timeout": settings.connect_timeout_s,
            "prepare_threshold": settings.prepare_after,
            # A peer that vanished without a word is noticed in seconds, not hours (TCP only).
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
        },
    )


async def _check_writable(connection: Connection) -> None:
    """Closes what can only read, so that the pool makes another one: sessions that began while the server (or the
    database) was read-only stay so after it, and would be handed out for as long as they live."""
    cursor = await connection.execute("SHOW transaction_read_only")
    row = await cursor.fetchone()
    if row is None or row[0] != "off":
        await connection.close()
        raise psycopg.OperationalError("the session can only read")


@asynccontextmanager
async def answering(pool: Pool, acquire_timeout_s: float | None = None) -> AsyncIterator[Connection]:
    """A connection for as long as the block lasts; every failure in it is StoreUnavailable. None: the pool's own."""
    try:
        async with pool.connection(acquire_timeout_s) as connection:
            yield connection
    except psycopg.Error as error:
        raise StoreUnavailable(f"PostgreSQL did not answer: {error}") from error


def _configure(settings: PoolSettings) -> Any:
    async def configure(connection: Connection) -> None:
        register_arrays(connection)
        # By a statement, since poolers refuse unknown start-up options.
        await connection.execute(
            "SELECT set_config('statement_timeout', %s, false), set_config('timezone', 'UTC', false)",
            (f"{int(settings.statement_timeout_s * 1000)}ms",),
        )
        if settings.role is not None:
            await connection.execute(
                "SELECT set_config('role', rolname, false) FROM pg_roles"
                " WHERE rolname = %s AND pg_has_role(session_user, oid, 'MEMBER')",
                (settings.role,),
            )

    return configure
