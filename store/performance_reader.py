"""Reads orders with their outcomes for the performance report. Every failure is StoreUnavailable.

The days are those of the outcomes' reports, UTC. What was reported but not drained yet is not there yet. Rows come
through a cursor of the server, a page at a time, so that neither side holds all of them in one answer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from engine.performance import Executed
from store.pool import Pool, answering

MOST_DAYS: Final = 400
MOST_ORDERS: Final = 100_000
PAGE_ROWS: Final = 500


class Forecast(NamedTuple):
    """Of a decision's cost, fractions: mean, and quantiles of 10 and 90 %."""

    cost: float
    low: float
    high: float


# A response's canonical bytes to its forecast. The store does not read the contract.
ReadForecast = Callable[[bytes], Forecast]


@dataclass(frozen=True, slots=True)
class Span:
    """Both days "YYYY-MM-DD", both included; `algorithm` empty: all."""

    first_day: str
    last_day: str
    algorithm: str = ""


class TooManyOrders(Exception):
    """More outcomes than one report takes."""


class PerformanceSource(Protocol):
    """Where the report's orders come from."""

    def executed(self, span: Span) -> Coroutine[Any, Any, list[Executed]]:
        """In no particular order. Raises TooManyOrders, StoreUnavailable."""
        ...


# A selection counts once, with its first report (store/outcome_rows.py), on that report's day. `orders` tells when it
# was made, so that only partitions near that time are looked at; the day on either side is for other hosts' clocks.
# Days are %(first)s to %(last)s, UTC, both included. store/performance_days.py counts the same.
COUNTED: Final = """
FROM outcomes AS told
JOIN orders ON orders.order_id = told.order_id
JOIN strategy_selections AS made ON made.id = told.selection_id
  AND made.created_at BETWEEN orders.created_at - interval '1 day' AND orders.created_at + interval '1 day'
WHERE told.created_at >= %(first)s::date::timestamp AT TIME ZONE 'UTC'
  AND told.created_at < (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC'
  AND made.actual_outcomes ->> 'cost' IS NOT NULL
  AND NOT EXISTS (
    SELECT FROM outcomes AS before
    WHERE before.selection_id = told.selection_id
      AND before.created_at >= orders.created_at - interval '1 day'
      AND (before.inserted_at, before.sequence, before.id) < (told.inserted_at, told.sequence, told.id)
  )
"""
# The response is read only where the JSON is from before it had the quantiles.
_EXECUTED: Final = f"""
SELECT to_char(told.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'), made.strategy_name, made.objective,
  coalesce(made.market_conditions ->> 'condition', ''), made.quantity,
  coalesce((made.market_conditions ->> 'average_daily_volume')::float8, 0),
  ARRAY(SELECT key FROM json_each_text(made.venue_allocation) WHERE value::float8 > 0 ORDER BY key),
  coalesce((made.expected_outcomes ->> 'estimated_cost')::float8, 0),
  (made.expected_outcomes ->> 'cost_quantile_10')::float8,
  (made.expected_outcomes ->> 'cost_quantile_90')::float8,
  CASE WHEN made.expected_outcomes ->> 'cost_quantile_90' IS NULL THEN made.response END,
  (made.actual_outcomes ->> 'cost')::float8,
  (made.actual_outcomes ->> 'market_impact')::float8,
  coalesce((made.actual_outcomes ->> 'filled_quantity')::float8, 0),
  (made.expected_outcomes ->> 'completion_probability')::float8,
  told.order_id
{COUNTED}
  AND (%(algorithm)s::text = '' OR made.algorithm = %(algorithm)s::text)
LIMIT %(most)s
"""


# Weeks whose orders a report lacks: an order may have been decided in the week before its report.
_RETIRED: Final = """
SELECT DISTINCT to_char(week AT TIME ZONE 'UTC', 'YYYY-MM-DD') FROM retired_partitions
WHERE week > %(first)s::date::timestamp AT TIME ZONE 'UTC' - interval '14 days'
  AND week < (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC'
ORDER BY 1
"""


class PerformanceReader:
    """Over the pool; waits at most its acquire timeout for a connection."""

    def __init__(self, pool: Pool, read_forecast: ReadForecast, most_orders: int = MOST_ORDERS) -> None:
        self._pool = pool
        self._read_forecast = read_forecast
        self._most_orders = most_orders

    async def executed(self, span: Span) -> list[Executed]:
        values = {"first": span.first_day, "last": span.last_day, "algorithm": span.algorithm,
                  "most": self._most_orders + 1}  # fmt: skip
        found: list[Executed] = []
        async with answering(self._pool) as connection, connection.transaction():
            # All rows will be taken: a plan for the first few would be a slow one.
            await connection.execute("SET TRANSACTION READ ONLY")
            await connection.execute("SET LOCAL cursor_tuple_fraction = 1")
            async with connection.cursor(name="performance") as cursor:
                await cursor.execute(_EXECUTED.encode(), values, binary=True)
                while page := await cursor.fetchmany(PAGE_ROWS):
                    found += [self._row(row) for row in page]
        if len(found) > self._most_orders:
            raise TooManyOrders(f"more than {self._most_orders} orders were reported between these days")
        return found

    async def retired_weeks(self, span: Span) -> tuple[str, ...]:
        """The Mondays "YYYY-MM-DD" of weeks near these days that `ess retention` took away: what was decided or
        reported in them is not among the orders. Raises StoreUnavailable."""
        values = {"first": span.first_day, "last": span.last_day}
        async with answering(self._pool) as connection:
            found = await (await connection.execute(_RETIRED.encode(), values)).fetchall()
        return tuple(str(week) for (week,) in found)

    def _row(self, row: tuple[Any, ...]) -> Executed:
        cost, low, high, response = row[7:11]
        forecast = Forecast(cost, low, high) if response is None else self._read_forecast(bytes(response))
        # A few names a hundred thousand times: each is kept once.
        day, strategy_name, objective, condition = (sys.intern(text) for text in row[:4])
        venues = tuple(sys.intern(name) for name in row[6])
        return Executed(
            day, strategy_name, objective, condition, row[4], row[5], venues,
            forecast.cost, forecast.low, forecast.high, row[11], row[12], row[13], row[14], row[15],
        )  # fmt: skip
