"""Keeps the specification's daily `strategy_performance` whole: every host's keeper looks now and then.

A day is written once it has ended (UTC), and again whenever outcomes of it arrive later. Whichever host comes first
does the work; the others find nothing due. Over one connection of its own, with the figures made by PostgreSQL, so
that decisions and the keeper give up nothing for it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import structlog

from service.connections import DAYS
from service.settings import Settings
from service.telemetry import Reading
from store.backoff import Backoff
from store.ending import end
from store.errors import StoreUnavailable
from store.performance_days import DueDay, PerformanceDays, PerformanceDaysPort
from store.pool import PoolSettings, make_pool

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeepSettings:
    """Most looks go over the last days alone. At the start and once a day one goes over all that `ess retention`
    leaves by default and more: a host may have been away for weeks before its journal was drained."""

    period_s: float = 600.0
    recent_days: int = 8
    all_days: int = 500
    all_every_s: float = 86_400.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=2.0, last_s=120.0))


class PerformanceKeeper:
    """Belongs to one event loop; `readings` may be read by another thread."""

    def __init__(
        self,
        days: PerformanceDaysPort,
        settings: KeepSettings | None = None,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
        uniform: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._days = days
        self._settings = settings or KeepSettings()
        self._clock_s = clock_s
        self._now_ns = now_ns
        self._uniform = uniform
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None
        self._all_at_s = 0.0
        # Days on which nothing counts, by when their newest outcome arrived: they would be due for ever.
        self._barren: dict[str, int] = {}
        self._due: tuple[DueDay, ...] = ()
        self.filled = 0
        self.failures = 0

    def start(self) -> None:
        if self._task is None:
            self._all_at_s = self._clock_s()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="performance-days")

    async def stop(self) -> None:
        """What is under way is rolled back, and done by the next look of whoever."""
        task, self._task = self._task, None
        await end(task)

    @property
    def days_due(self) -> int:
        return sum(day.waiting_since_us is not None for day in self._due)

    @property
    def lag_s(self) -> float:
        """How long the outcome that waits longest has waited, as of the last look that PostgreSQL answered."""
        since_us = [day.waiting_since_us for day in self._due if day.waiting_since_us is not None]
        return max(0.0, self._now_ns() / 1e9 - min(since_us) / 1e6) if since_us else 0.0

    async def look(self) -> int:
        """How many days were written. Raises StoreUnavailable."""
        goes_over_all = self._clock_s() >= self._all_at_s
        today = datetime.fromtimestamp(self._now_ns() / 1e9, tz=UTC).date()
        reach = self._settings.all_days if goes_over_all else self._settings.recent_days
        found = await self._days.due(_day_before(today, reach), today.isoformat())
        self._due = tuple(day for day in found if self._barren.get(day.day, -1) < day.newest_us)
        written = 0
        for due in self._due:
            rows = await self._days.fill(due.day)
            if rows is None:
                # Another host is at it; what it leaves is due at the next look.
                return written
            if rows == 0:
                self._barren[due.day] = due.newest_us
            written += rows > 0
            self.filled += rows > 0
            self._due = tuple(day for day in self._due if day.day != due.day)
        if goes_over_all:
            self._all_at_s = self._clock_s() + self._settings.all_every_s
        return written

    def readings(self) -> tuple[Reading, ...]:
        """For telemetry."""
        return (
            Reading("ess.performance.dates_due", "gauge", "{day}", "Ended days with outcomes that their figures lack.",
                    lambda: float(self.days_due)),
            Reading("ess.performance.lag", "gauge", "s", "How long the oldest of these outcomes has waited.",
                    lambda: self.lag_s),
            Reading("ess.performance.dates_filled", "counter", "{day}", "Days whose figures this host computed.",
                    lambda: float(self.filled)),
            Reading("ess.performance.failures", "counter", "{look}", "Looks that were not answered, or failed.",
                    lambda: float(self.failures)),
        )  # fmt: skip

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                written = await self.look()
            except StoreUnavailable as error:
                failures += 1
                self.failures += 1
                if failures == 1:
                    log.warning("the days of strategy_performance wait for PostgreSQL", reason=str(error))
                await self._sleep(self._settings.backoff.delay_s(failures, self._uniform()))
                continue
            except Exception:  # a day that cannot be computed must not end the looking
                failures += 1
                self.failures += 1
                log.exception("the days of strategy_performance could not be computed")
                await self._sleep(self._settings.backoff.delay_s(failures, self._uniform()))
                continue
            failures = 0
            if written:
                log.info("days of strategy_performance computed", days=written)
            await self._sleep(self._settings.period_s)


def _day_before(today: date, days: int) -> str:
    return (today - timedelta(days=days)).isoformat()


@asynccontextmanager
async def open_performance_keeper(
    settings: Settings, pool_settings: PoolSettings
) -> AsyncIterator[PerformanceKeeper]:
    """Looks from now on, over a connection that is closed between looks."""
    own = replace(
        pool_settings, min_size=0, max_size=DAYS, max_waiting=2, statement_timeout_s=300.0, max_idle_s=30.0,
        application_name="ess-performance-days",
    )  # fmt: skip
    pool = make_pool(own)
    await pool.open(wait=False)
    keeper = PerformanceKeeper(PerformanceDays(pool), KeepSettings(period_s=settings.performance_days_s))
    keeper.start()
    try:
        yield keeper
    finally:
        await keeper.stop()
        await pool.close(timeout=1.0)
