"""How long market conditions last, as the shipped classifier sees them in real minute bars.

It looks at the last hour every five minutes. Windows that overlap make stays look longer than they are, and
errors of the classifier make them look shorter: so these are no stays of the market's own, and are to be held
against the same figures of simulated days (simulated.py), whose true stays are known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from engine.conditions import TypicalMarket, classify
from engine.values import CONDITIONS
from training.calibration.days import MarketDay
from training.market_data import SessionBars, typical_of
from training.measures import Array

WINDOW_MINUTES, STEP_MINUTES = 60, 5
LEAST_OTHER_DAYS = 2
LEAST_STEPS = 30
SEED = 20_250_603


def condition_counts(days: Sequence[MarketDay], most_days: int = 400) -> list[Array]:
    """(6, 6) counts of steps from one condition to the next, one table a day.

    What is usual comes from the other days of the same symbol, never from the day itself. Of many days some
    are drawn.
    """
    by_symbol: dict[str, list[MarketDay]] = defaultdict(list)
    for day in days:
        by_symbol[day.symbol].append(day)
    usable = [(day, own) for own in by_symbol.values() if len(own) > LEAST_OTHER_DAYS for day in own]
    if len(usable) > most_days:
        chosen = np.random.default_rng(SEED).choice(len(usable), most_days, replace=False)
        usable = [usable[i] for i in sorted(chosen)]
    tables = []
    for day, own in usable:
        typical, expected = typical_of([_session(other) for other in own if other.date != day.date])
        tables.append(day_counts(day, typical, expected))
    return tables


def _session(day: MarketDay) -> SessionBars:
    return SessionBars(day.symbol, day.date, day.price[1:], day.volume_shares, day.spread_bps)


def day_counts(day: MarketDay, typical: TypicalMarket, expected: Array) -> Array:
    """(6, 6) steps of one day from condition to condition."""
    seen = []
    for stop in range(WINDOW_MINUTES, day.volume_shares.size + 1, STEP_MINUTES):
        window = slice(stop - WINDOW_MINUTES, stop)
        estimate = classify(
            day.price[1:][window],
            day.volume_shares[window],
            day.spread_bps[window],
            expected[window],
            typical,
        )
        seen.append(CONDITIONS.index(estimate.condition))
    counts = np.zeros((len(CONDITIONS), len(CONDITIONS)))
    np.add.at(counts, (seen[:-1], seen[1:]), 1.0)
    return counts


def mean_stays(tables: Array) -> Array:
    """Mean stay in minutes by condition from (days, 6, 6) counts: the rate of leaving; nan where it was
    hardly seen."""
    total = tables.sum(axis=0)
    steps, left = total.sum(axis=1), total.sum(axis=1) - np.diag(total)
    with np.errstate(divide="ignore", invalid="ignore"):
        stays: Array = np.where((steps >= LEAST_STEPS) & (left > 0), STEP_MINUTES * steps / left, np.nan)
    return stays


def overall_stay(tables: Array) -> float:
    """Mean minutes between changes of any kind, from (days, 6, 6) counts."""
    total = tables.sum(axis=0)
    left = total.sum() - np.trace(total)
    return float(STEP_MINUTES * total.sum() / left) if left else float("nan")


def time_shares(tables: Array) -> Array:
    """Share of time by condition."""
    total = tables.sum(axis=0).sum(axis=1)
    shares: Array = total / total.sum()
    return shares


def next_shares(tables: Array) -> Array:
    """(6, 6) where it goes when it leaves; rows sum to 1, or are nan where it never left."""
    total = tables.sum(axis=0)
    np.fill_diagonal(total, 0.0)
    left = total.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares: Array = np.where(left > 0, total / left, np.nan)
    return shares
