"""A connection outside the pool, for what belongs to a session: LISTEN, and locks that end with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import psycopg

from store.errors import StoreUnavailable
from store.pool import Connection, PoolSettings

Answer = TypeVar("Answer")

# How long a server keeps the session of a host that vanished without a word: about 11 s (TCP only). Its own default
# is two hours, and as long would the host's locks be held.
_SERVER_NOTICES: Final = """
SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false),
  set_config('tcp_keepalives_count', '3', false)
"""
_left_behind: set[asyncio.Future[Any]] = set()


async def connect(settings: PoolSettings, purpose: str) -> Connection:
    """Raises StoreUnavailable."""
    try:
        connection: Connection = await psycopg.AsyncConnection.connect(
            settings.conninfo,
            autocommit=True,
            application_name=f"{settings.application_name}-{purpose}",
            connect_timeout=settings.connect_timeout_s,
            prepare_threshold=None,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=10_000,
        )
        await connection.execute(_SERVER_NOTICES)
    except psycopg.Error as error:
        raise StoreUnavailable(f"PostgreSQL cannot be reached: {error}") from error
    return connection


async def within(limit_s: float, question: Coroutine[Any, Any, Answer], of: str = "PostgreSQL") -> Answer:
    """The answer, or StoreUnavailable, which names who was asked (`of`). A question that takes too long is left behind,
    not waited for: taking it back from a database that hangs takes seconds itself."""
    task = asyncio.ensure_future(question)
    try:
        done, _ = await asyncio.wait({task}, timeout=limit_s)
    finally:
        if not task.done():
            leave(task)
    if not done:
        raise StoreUnavailable(f"{of} gave no answer within {limit_s:.1f} s")
    try:
        return task.result()
    except psycopg.Error as error:
        raise StoreUnavailable(f"PostgreSQL did not answer: {error}") from error


def leave(question: asyncio.Future[Any]) -> None:
    """Cancels without waiting for the end."""
    question.cancel()
    _left_behind.add(question)
    question.add_done_callback(forget)


def forget(question: asyncio.Future[Any]) -> None:
    """Of something that ended: nobody asks for its error any more."""
    _left_behind.discard(question)
    if not question.cancelled():
        question.exception()
