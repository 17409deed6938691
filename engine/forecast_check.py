"""How forecasts held: what was predicted against what came. Pure; docs/performance-report.md.

Reliability in the sense of A. H. Murphy (1973, J. Appl. Meteorology 12, 595-600): forecasts are put into bins by what
they said, and each mean forecast of a bin is held against the mean of what came, with an interval at 95 %.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.performance import Executed, Interval, interval_of, wilson_of

MOST_BINS: Final = 10
# Fewer say too little for a bin of their own.
FEWEST_IN_BIN: Final = 5
# What the forecast's quantiles of 10 and 90 % promise.
NOMINAL: Final = (0.1, 0.8, 0.1)


@dataclass(frozen=True, slots=True)
class Bin:
    """Orders whose forecasts were alike. Costs are fractions of notional, completion is a probability.

    `not_distinguishable`: the mean forecast lies within the interval of what came.
    """

    orders: int
    predicted_low: float
    predicted_high: float
    predicted: float
    actual: Interval
    not_distinguishable: bool


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares of orders that cost less than the 80 % interval of their forecast, within it, and more."""

    below: Interval
    within: Interval
    above: Interval


@dataclass(frozen=True, slots=True)
class ForecastCheck:
    """`error` is cost less forecast: positive where orders cost more than was said. `completion` is empty where no
    decision told a probability."""

    orders: int
    error: Interval
    absolute_error: float
    coverage: Coverage
    cost: tuple[Bin, ...]
    completion: tuple[Bin, ...]


def check_forecasts(rows: Sequence[Executed]) -> ForecastCheck | None:
    """None where there are no orders."""
    if not rows:
        return None
    errors = [row.cost - row.predicted_cost for row in rows]
    return ForecastCheck(
        orders=len(rows),
        error=interval_of(errors),
        absolute_error=math.fsum(map(abs, errors)) / len(rows),
        coverage=_coverage(rows),
        cost=_cost_bins(rows),
        completion=_completion_bins(rows),
    )


def _coverage(rows: Sequence[Executed]) -> Coverage:
    count = len(rows)
    below = sum(row.cost < row.predicted_low for row in rows)
    within = sum(row.is_within for row in rows)
    return Coverage(wilson_of(below, count), wilson_of(within, count), wilson_of(count - below - within, count))


def _cost_bins(rows: Sequence[Executed]) -> tuple[Bin, ...]:
    """Of about as many orders each, by the forecast; equal forecasts may lie in two."""
    ordered = sorted(rows, key=lambda row: (row.predicted_cost, row.cost))
    count = max(1, min(MOST_BINS, len(ordered) // FEWEST_IN_BIN))
    edges = [len(ordered) * index // count for index in range(count + 1)]
    found = []
    for first, last in itertools.pairwise(edges):
        group = ordered[first:last]
        actual = interval_of([row.cost for row in group])
        found.append(_bin([row.predicted_cost for row in group], actual))
    return tuple(found)


def _completion_bins(rows: Sequence[Executed]) -> tuple[Bin, ...]:
    """By tenths of the probability; an edge belongs to the bin above it, 1 to the last."""
    groups: dict[int, list[tuple[float, bool]]] = {}
    for row in rows:
        if row.predicted_completion is not None:
            tenth = min(9, max(0, math.floor(row.predicted_completion * 10.0)))
            groups.setdefault(tenth, []).append((row.predicted_completion, row.is_complete))
    return tuple(
        _bin([predicted for predicted, _ in group], wilson_of(sum(came for _, came in group), len(group)))
        for _, group in sorted(groups.items())
    )


def _bin(predicted: Sequence[float], actual: Interval) -> Bin:
    # The mean of equal values may be rounded to beside them.
    low, high = min(predicted), max(predicted)
    mean = min(high, max(low, math.fsum(predicted) / len(predicted)))
    return Bin(len(predicted), low, high, mean, actual, actual.lower <= mean <= actual.upper)
