"""Puts changed market states into PostgreSQL, each instrument at most once an interval."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from engine.values import Bar, MarketState
from store.backoff import Backoff
from store.ending import end
from store.market_rows import bars_json, figures_json, time_of
from store.pool import Pool

_log = logging.getLogger(__name__)

# Bars are long and change once a minute: null leaves them as they are. The condition keeps the newer state where
# two hosts persist the same instrument.
_UPSERT = """
INSERT INTO instrument_market AS held (instrument_id, as_of, figures, bars)
VALUES (%(instrument_id)s, %(as_of)s, %(figures)s::jsonb, coalesce(%(bars)s::jsonb, '[]'))
ON CONFLICT (instrument_id) DO UPDATE SET
  as_of = excluded.as_of, figures = excluded.figures,
  bars = coalesce(%(bars)s::jsonb, held.bars), updated_at = now()
WHERE held.as_of <= excluded.as_of
"""


@dataclass(frozen=True, slots=True)
class PersisterSettings:
    interval_s: float = 1.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.25, last_s=5.0))


class MarketPersister:
    """Holds the newest unwritten state of each instrument: bounded by the number of instruments."""

    def __init__(
        self,
        pool: Pool,
        settings: PersisterSettings | None = None,
        *,
        uniform: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pool = pool
        self._settings = settings or PersisterSettings()
        self._uniform = uniform
        self._sleep = sleep
        self._dirty: dict[str, MarketState] = {}
        self._written_bars: dict[str, tuple[Bar, ...]] = {}
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.failures_in_a_row = 0

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="market-persister")

    def mark(self, instrument_id: str, state: MarketState) -> None:
        """To be written soon; a later state of the instrument takes its place."""
        self._dirty[instrument_id] = state
        self._arrived.set()

    async def stop(self, deadline_s: float) -> None:
        """Stops the task and writes what is left once."""
        task, self._task = self._task, None
        await end(task)
        try:
            async with asyncio.timeout(deadline_s):
                await self.flush()
        except Exception as error:  # the figures come again from their source
            _log.warning("%d market states were not persisted: %r", len(self._dirty), error)

    async def flush(self) -> None:
        """Writes everything that is marked, in one transaction."""
        if not self._dirty:
            return
        taken, self._dirty = self._dirty, {}
        try:
            rows = [self._row(name, taken[name]) for name in sorted(taken)]  # sorted: hosts lock in one order
            async with (
                self._pool.connection() as connection,
                connection.transaction(),
                connection.cursor() as cursor,
            ):
                await cursor.executemany(_UPSERT, rows)
        except BaseException:
            self._dirty = {**taken, **self._dirty}
            raise
        for name, state in taken.items():
            self._written_bars[name] = state.bars

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            try:
                await self.flush()
                self.failures_in_a_row = 0
                await self._sleep(self._settings.interval_s)
            except Exception as error:  # PostgreSQL away: the newest states stay marked
                self._arrived.set()
                self.failures_in_a_row += 1
                if self.failures_in_a_row == 1:
                    _log.warning("market states could not be persisted: %s", error)
                await self._sleep(self._settings.backoff.delay_s(self.failures_in_a_row, self._uniform()))

    def _row(self, instrument_id: str, state: MarketState) -> dict[str, Any]:
        unchanged = self._written_bars.get(instrument_id) is state.bars
        return {
            "instrument_id": instrument_id,
            "as_of": time_of(state.as_of_ns),
            "figures": figures_json(state),
            "bars": None if unchanged else bars_json(state),
        }
