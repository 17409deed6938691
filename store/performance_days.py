"""The specification's daily `strategy_performance`: a row a strategy and day, computed by PostgreSQL from outcomes.

A row's `created_at` is when its figures were computed. A day is due while outcomes of it reached the database after
that, or shortly before: what a transaction wrote that began earlier and ended later would be missed for ever
otherwise. One transaction fills one day, under a lock that only one host gets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from store.performance_reader import COUNTED
from store.pool import Pool, answering

# Longer than any transaction that writes outcomes (PoolSettings.statement_timeout_s).
OVERLAP_S: Final = 120.0
MOST_DUE_DAYS: Final = 1_000


@dataclass(frozen=True, slots=True)
class DueDay:
    """A day, "YYYY-MM-DD", whose figures are to be computed.

    Microseconds of the Unix epoch: `newest_us`, when the newest outcome arrived; `waiting_since_us`, since when one
    waits, at the earliest since the day's end. None: all were counted, and OVERLAP_S alone has it looked at again.
    """

    day: str
    newest_us: int
    waiting_since_us: int | None


class PerformanceDaysPort(Protocol):
    """Where days are computed and kept."""

    def due(self, first_day: str, today: str) -> Coroutine[Any, Any, list[DueDay]]:
        """Days from `first_day` to before `today`, oldest first. Raises StoreUnavailable."""
        ...

    def fill(self, day: str) -> Coroutine[Any, Any, int | None]:
        """How many rows the day has now; None where another host is at it. Raises StoreUnavailable."""
        ...


# An outcome counts on the day of its report; what never counts (no selection, no cost) makes no day due for long: see
# service/performance_days.py.
_DUE: Final = """
SELECT told.day::text, (extract(epoch FROM max(told.inserted_at)) * 1000000)::bigint,
  (extract(epoch FROM greatest(
    (told.day + 1)::timestamp AT TIME ZONE 'UTC',
    min(told.inserted_at) FILTER (WHERE kept.computed_at IS NULL OR told.inserted_at > kept.computed_at)
  )) * 1000000)::bigint,
  bool_or(kept.computed_at IS NULL OR told.inserted_at > kept.computed_at)
FROM (
  SELECT (created_at AT TIME ZONE 'UTC')::date AS day, inserted_at FROM outcomes
  WHERE created_at >= %(first)s::date::timestamp AT TIME ZONE 'UTC'
    AND created_at < %(today)s::date::timestamp AT TIME ZONE 'UTC'
    AND selection_id IS NOT NULL
) AS told
LEFT JOIN (
  SELECT execution_date, min(created_at) AS computed_at FROM strategy_performance GROUP BY execution_date
) AS kept ON kept.execution_date = told.day
WHERE kept.computed_at IS NULL OR told.inserted_at > kept.computed_at - make_interval(secs => %(overlap)s)
GROUP BY told.day
ORDER BY told.day
LIMIT %(most)s
"""
# engine/performance.py counts the same; a test compares. A forecast from before it had quantiles says nothing of
# success. Outcomes are only ever added, so more orders are newer figures. Fewer are what retention left of a day.
_FILL: Final = f"""
INSERT INTO strategy_performance AS kept
  (strategy_name, execution_date, orders_executed, avg_cost, avg_market_impact, success_rate)
SELECT counted.strategy_name, %(first)s::date, count(*), avg(counted.cost),
  avg(least(1.0, greatest(-1.0, counted.impact))) FILTER (WHERE counted.impact IS NOT NULL),
  avg((counted.is_complete AND counted.cost <= counted.high)::int) FILTER (WHERE counted.high IS NOT NULL)
FROM (
  SELECT made.strategy_name, (made.actual_outcomes ->> 'cost')::float8 AS cost,
    (made.actual_outcomes ->> 'market_impact')::float8 AS impact,
    (made.expected_outcomes ->> 'cost_quantile_90')::float8 AS high,
    coalesce((made.actual_outcomes ->> 'filled_quantity')::float8, 0) >= made.quantity - 5e-7 AS is_complete
  {COUNTED}
) AS counted
GROUP BY counted.strategy_name
ORDER BY counted.strategy_name
ON CONFLICT (strategy_name, execution_date) DO UPDATE SET orders_executed = excluded.orders_executed,
  avg_cost = excluded.avg_cost, avg_market_impact = excluded.avg_market_impact,
  success_rate = excluded.success_rate
WHERE coalesce(kept.orders_executed, 0) <= excluded.orders_executed
"""
# Unchanged figures were computed anew all the same.
_STAMP: Final = "UPDATE strategy_performance SET created_at = now() WHERE execution_date = %(first)s::date"


class PerformanceDays:
    """Over the pool; waits at most its acquire timeout for a connection."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def due(self, first_day: str, today: str) -> list[DueDay]:
        values = {"first": first_day, "today": today, "overlap": OVERLAP_S, "most": MOST_DUE_DAYS}
        async with answering(self._pool) as connection:
            rows = await (await connection.execute(_DUE.encode(), values)).fetchall()
        return [DueDay(day, newest, since if waits else None) for day, newest, since, waits in rows]

    async def fill(self, day: str) -> int | None:
        values = {"first": day, "last": day}
        async with answering(self._pool) as connection, connection.transaction():
            asked = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (LOCK_KEY,))
            got = await asked.fetchone()
            if got is None or not got[0]:
                return None
            await connection.execute(_FILL.encode(), values)
            return (await connection.execute(_STAMP.encode(), values)).rowcount


# A signed 64-bit number, the same on every host.
LOCK_KEY: Final = int.from_bytes(hashlib.sha256(b"ess performance days").digest()[:8], "big", signed=True)
