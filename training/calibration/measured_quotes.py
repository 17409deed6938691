"""What days of quotes say: spread, depth, and how the spread moves around its slow shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from training.calibration import follow, spreads, volumes
from training.calibration.days import MarketDay, QuoteDay
from training.calibration.gathered import DAYS, Gathered, correlation, known, origin_of
from training.calibration.real_days import (
    OTHER_OVERNIGHT_FACTOR,
    OVERNIGHT_FACTOR,
    days_apart,
    seed_instruments,
)
from training.calibration.stats import mean, median, ratio, root_ratio

# Under these the spread is one tick nearly all the time, and its movements are those of a tick.
PINNED_TICKS = 1.5

SymbolDate: TypeAlias = tuple[str, int]


def quote_figures(
    found: Gathered, best: Mapping[SymbolDate, QuoteDay], days: Sequence[MarketDay]
) -> None:
    """Figures of each day of quotes, and of all days of a market whose spread is free, and pinned to a tick."""
    minutes = {(d.symbol, d.date): d for d in days if d.width_minutes == 1}
    loose: dict[str, list[QuoteDay]] = defaultdict(list)
    for key, quotes in best.items():
        wide = float(np.nanmean(quotes.spread_ticks))
        _one_day(found, quotes, minutes.get(key), f"mean spread {wide:.3g} ticks")
        loose[f"{quotes.clock.name} {'pinned' if wide < PINNED_TICKS else 'free'}"].append(quotes)
    for group, own in loose.items():
        _noise(found, group, own)
        _beside_volatility(found, group, own, minutes)


def _one_day(found: Gathered, quotes: QuoteDay, day: MarketDay | None, note: str) -> None:
    group, source = f"{quotes.symbol} {quotes.date}", quotes.source
    volume = day.total_shares if day is not None else seed_volume(quotes.symbol, quotes.date)
    depth = spreads.depth_share(quotes, volume)
    variance = spreads.day_variance(quotes) * OVERNIGHT_FACTOR.get(quotes.clock.name, OTHER_OVERNIGHT_FACTOR)
    bps = spreads.median_spread_bps(quotes)
    moves = (bps / 1e4) ** 2 / variance if variance > 0 else float("nan")
    volatility_bps = 1e4 * float(np.sqrt(variance))
    noise = float(np.nanstd(spreads.spread_residual(quotes)))
    for name, value, unit in (
        ("spread_bps", bps, "median quoted spread, bps"),
        ("spread_ticks_mean", float(np.nanmean(quotes.spread_ticks)), "mean quoted spread, ticks"),
        ("day_volatility_bps", volatility_bps, "whole-day volatility by the day's realised variance, bps"),
        ("depth_share", depth, "median shares at the best price, of the day's volume"),
        ("depth_over_spread_move", depth / moves, "depth share over (spread / daily volatility) squared"),
        ("spread_log_sd_of_a_day", noise, "log-sd of a minute's mean spread, slow shape taken out"),
        ("depth_log_sd", spreads.depth_log_sd(quotes), "log-sd of the shares at the best bid, minute by minute"),
    ):
        found.add(name, group, [value], median, unit, DAYS, source, note)
    found.add(
        "spread_in_ticks", group, [spreads.tick_shares(quotes)], mean,
        f"share of time at {', '.join(spreads.TICK_LABELS)} ticks", DAYS, source, note,
    )  # fmt: skip


def seed_volume(symbol: str, date: int) -> float:
    """The seed's daily volume of the symbol where it was made of this very time; nan else."""
    record = seed_instruments().get(symbol)
    if record is None or abs(days_apart(record["market"]["as_of_ns"], date)) > volumes.MONTH_DAYS:
        return float("nan")
    return float(record["market"]["average_daily_volume_shares"])


def _noise(found: Gathered, group: str, quotes: Sequence[QuoteDay]) -> None:
    """How far a minute's spread is from its day's slow shape, and for how long."""
    origin = origin_of(quotes)
    left = [spreads.spread_residual(q) for q in quotes]
    note = "slow shape of each day taken out" + (
        "; the spread is one tick nearly always" if "pinned" in group else ""
    )
    found.add(
        "spread_log_sd", group, [volumes.square_terms(row) for row in left], root_ratio,
        "log-sd of a minute's mean spread", DAYS, origin, note,
    )  # fmt: skip
    found.add(
        "spread_distribution", group, [spreads.residual_shares(row) for row in left], mean,
        "share of minutes by log spread around its slow shape, bins from "
        f"{spreads.RESIDUAL_EDGES[0]:g} to {spreads.RESIDUAL_EDGES[-1]:g}",
        DAYS, origin, note,
    )  # fmt: skip
    if "free" in group:
        found.add(
            "spread_memory", group,
            [volumes.memory_terms(row) for row in left if row.size > max(volumes.LAGS_MINUTES)], volumes.memory,
            "autocorrelation of a minute's log spread after 1, 5, 15, 30, 60 minutes", DAYS, origin, note,
        )  # fmt: skip


def _beside_volatility(
    found: Gathered, group: str, quotes: Sequence[QuoteDay], minutes: Mapping[SymbolDate, MarketDay]
) -> None:
    """How spread and volume go with volatility."""
    origin = origin_of(quotes)
    pairs = [follow.volatility_pairs(q, minutes.get((q.symbol, q.date))) for q in quotes]
    for name, column in (("spread_on_volatility", "log_spread"), ("volume_on_volatility_5min", "log_volume")):
        found.add(
            name, group, known(follow.slope_terms(p, column) for p in pairs), ratio,
            f"slope of {column.replace('_', ' ')} on log volatility (five minutes)", DAYS, origin,
        )  # fmt: skip
    for name, column in (
        ("spread_volatility_correlation", "log_spread"),
        ("volume_volatility_correlation_5min", "log_volume"),
    ):
        found.add(
            name, group, known(follow.correlation_terms(p, column) for p in pairs), correlation,
            f"correlation of {column.replace('_', ' ')} with measured log volatility (five minutes)", DAYS, origin,
        )  # fmt: skip
