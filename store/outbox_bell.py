"""Rings when something was written that somebody waits for (events): `LISTEN` on a connection of its own.

A ring may be missed (the connection was lost, a server that vanished says nothing), so whoever waits also looks by
himself now and then: `wait` ends after its time-out too.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

import psycopg

from store.backoff import Backoff
from store.ending import end
from store.errors import StoreUnavailable
from store.own_connection import connect
from store.pool import PoolSettings

CHANNEL: Final = "ess_outbox"

_log = logging.getLogger(__name__)


class Bell(Protocol):
    """Read `rings` before looking, and give it to `wait` after: what came between is not missed."""

    @property
    def rings(self) -> int: ...

    async def wait(self, seen: int, timeout_s: float) -> None:
        """Until it has rung since `seen`, at most `timeout_s`."""
        ...


class LocalBell:
    """Rung by whoever holds it."""

    def __init__(self) -> None:
        self.rings = 0
        self._next = asyncio.Event()

    def ring(self) -> None:
        self.rings += 1
        rung, self._next = self._next, asyncio.Event()
        rung.set()

    async def wait(self, seen: int, timeout_s: float) -> None:
        if self.rings == seen:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._next.wait()


class OutboxBell(LocalBell):
    """Rung by PostgreSQL. Connects again by itself for as long as it runs."""

    def __init__(
        self,
        settings: PoolSettings,
        *,
        channel: str = CHANNEL,
        backoff: Backoff | None = None,
        uniform: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._channel = channel
        self._backoff = backoff or Backoff(first_s=0.1, last_s=2.0)
        self._uniform = uniform
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None
        self.is_listening = False

    def start(self) -> None:
        """May be called again."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="outbox-bell")

    async def stop(self) -> None:
        task, self._task = self._task, None
        await end(task)

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                await self._listen()
            except (StoreUnavailable, psycopg.Error) as error:
                failures = 1 if self.is_listening else failures + 1
                _log.info("not listening on %s: %s", self._channel, error)
            except Exception:  # whatever it is, a bell that is silent for ever is worse
                failures = 1 if self.is_listening else failures + 1
                _log.exception("not listening on %s", self._channel)
            self.is_listening = False
            await self._sleep(self._backoff.delay_s(failures, self._uniform()))

    async def _listen(self) -> None:
        connection = await connect(self._settings, "listen")
        try:
            await connection.execute(f"LISTEN {self._channel}".encode())
            self.is_listening = True
            self.ring()  # for whatever came while nobody listened
            async for _ in connection.notifies():
                self.ring()
        finally:
            await connection.close()
