"""What days of bars say: returns and their volatility, volumes, and how long a condition stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.calibration import follow, returns, stays, volumes
from training.calibration.days import MarketDay
from training.calibration.gathered import DAYS, LEAST_DAYS, SYMBOLS, Gathered, correlation, known, origin_of
from training.calibration.stats import mean, ratio, root_ratio
from training.measures import Array

VOLATILITY_LAGS = (1, 2, 4)  # quarter-hours


def return_figures(found: Gathered, market: str, days: Sequence[MarketDay]) -> None:
    """The shape of a day's variance, how it differs from day to day, and the returns that are left."""
    sound = [d for d in days if np.isfinite(d.price).all() and float(np.std(d.returns)) > 0.0]
    fine = [d for d in sound if returns.is_fine(d)]
    moving = fine or [d for d in sound if d.width_minutes > 1]
    if len(moving) >= LEAST_DAYS:
        every = moving + [d for d in sound if d.width_minutes > 1 and d not in moving]
        found.add(
            "variance_curve", market, [returns.day_variance_curve(d) for d in every], mean,
            "variance of a minute over the session's mean, 13 even parts", DAYS, origin_of(every),
        )  # fmt: skip
    level = [(d.symbol, d.date, float(np.exp(0.5 * returns.day_log_variance(d)))) for d in sound]
    found.add(
        "volatility_day_log_sd", market, volumes.within_symbol_terms(level), root_ratio,
        "log-sd of a day's volatility around its symbol's usual one", SYMBOLS, origin_of(sound) if sound else "",
        "the day's own sampling error (about 0.10) is in it",
    )  # fmt: skip
    if len(fine) < LEAST_DAYS:
        return
    curve = mean(np.stack([returns.day_variance_curve(d) for d in fine]))
    rows = [returns.standardised(d, curve) for d in fine]
    _tails(found, market, rows, origin_of(fine))
    _volatility(found, market, fine, rows)


def _tails(found: Gathered, market: str, rows: Sequence[Array], origin: str) -> None:
    """How far the largest minutes stand out, and how they stand together."""
    terms = [returns.kurtosis_terms(row) for row in rows]
    note = "one-minute returns over the curve and their day's volatility; days whose tick hides them are left out"
    found.add("kurtosis_pooled", market, terms, returns.pooled_kurtosis, "", DAYS, origin, note)
    found.add(
        "kurtosis_of_a_day", market, terms, returns.median_kurtosis, "", DAYS, origin, note + "; median day"
    )
    found.add(
        "volatility_clustering", market, [returns.clustering_terms(row) for row in rows], returns.clustering,
        "autocorrelation of |return| after 1, 5, 15, 30, 60 minutes", DAYS, origin,
    )  # fmt: skip


def _volatility(found: Gathered, market: str, fine: Sequence[MarketDay], rows: Sequence[Array]) -> None:
    """How volatility wanders within a day, and how volume goes with it."""
    origin = origin_of(fine)
    pairs = follow.bar_pairs(fine)
    found.add(
        "volatility_log_sd", market, known(follow.variance_terms(p) for p in pairs), root_ratio,
        "log-sd of volatility within a day, its shape taken out (quarter-hours)", DAYS, origin,
    )  # fmt: skip
    lagged = [
        [follow.variance_terms(p, lag) or (np.nan, np.nan) for lag in (0, *VOLATILITY_LAGS)] for p in pairs
    ]
    found.add(
        "volatility_memory", market, lagged, _memory_of_halves,
        "autocorrelation of log volatility after 15, 30, 60 minutes", DAYS, origin,
    )  # fmt: skip
    busy = [i for i, d in enumerate(fine) if volumes.is_busy(d)]
    if len(busy) < LEAST_DAYS:
        return
    chosen = [pairs[i] for i in busy]
    found.add(
        "volume_on_volatility", market, known(follow.slope_terms(p, "log_volume") for p in chosen), ratio,
        "slope of log volume on log volatility (quarter-hours)", DAYS, origin,
    )  # fmt: skip
    found.add(
        "volume_volatility_correlation", market,
        known(follow.correlation_terms(p, "log_volume") for p in chosen), correlation,
        "correlation of log volume with measured log volatility (quarter-hours)", DAYS, origin,
    )  # fmt: skip
    left = volumes.residual_logs([fine[i] for i in busy])
    found.add(
        "volume_on_move", market,
        [follow.move_terms(rows[i], left[n], volumes.EDGE_MINUTES) for n, i in enumerate(busy)], ratio,
        "slope of a minute's log volume on |its own return| in standard deviations", DAYS, origin,
    )  # fmt: skip


def _memory_of_halves(terms: Array) -> Array:
    total = np.nansum(terms, axis=0)
    found: Array = (total[1:, 0] / total[1:, 1]) / (total[0, 0] / total[0, 1])
    return found


def volume_figures(found: Gathered, market: str, days: Sequence[MarketDay]) -> None:
    """The shape of a day's volume, how it differs from day to day, and its noise minute by minute."""
    traded = [d for d in days if float(d.volume_shares.sum()) > 0.0]
    if len(traded) < LEAST_DAYS:
        return
    origin = origin_of(traded)
    found.add(
        "volume_curve", market, [volumes.day_volume_curve(d) for d in traded], mean,
        "volume over the session's mean, 13 even parts", DAYS, origin,
    )  # fmt: skip
    found.add(
        "volume_day_log_sd", market,
        volumes.within_symbol_terms([(d.symbol, d.date, d.total_shares) for d in traded]), root_ratio,
        "log-sd of a day's volume around its symbol's usual one", SYMBOLS, origin,
    )  # fmt: skip
    for side, name in (("open_auction_shares", "opening"), ("close_auction_shares", "closing")):
        found.add(
            "auction_volume_log_sd", f"{market} {name}",
            volumes.within_symbol_terms([(d.symbol, d.date, getattr(d, side)) for d in traded]), root_ratio,
            volumes.AUCTION_LOG_SD, SYMBOLS, origin,
        )  # fmt: skip
    busy = [d for d in traded if volumes.is_busy(d)]
    if len(busy) >= LEAST_DAYS:
        _volume_noise(found, market, busy)


def _volume_noise(found: Gathered, market: str, busy: Sequence[MarketDay]) -> None:
    rows = {w: volumes.residual_logs(busy, w) for w in volumes.WINDOWS_MINUTES}
    terms = [[volumes.square_terms(rows[w][i]) for w in volumes.WINDOWS_MINUTES] for i in range(len(busy))]
    found.add(
        "volume_noise_log_sd", market, terms, _each_root_ratio,
        "log-sd of volume around the curve in windows of 1, 5, 15, 30 minutes", DAYS, origin_of(busy),
        "days that trade in 95 % of their minutes",
    )  # fmt: skip
    found.add(
        "volume_memory", market, [volumes.memory_terms(row) for row in rows[1]], volumes.memory,
        "autocorrelation of log volume around the curve after 1, 5, 15, 30, 60 minutes", DAYS, origin_of(busy),
    )  # fmt: skip


def _each_root_ratio(terms: Array) -> Array:
    total = terms.sum(axis=0)
    found: Array = np.sqrt(total[:, 0] / total[:, 1])
    return found


def condition_figures(found: Gathered, market: str, days: Sequence[MarketDay]) -> None:
    """Shares, stays and successors of the six conditions."""
    tables = stays.condition_counts([d for d in days if d.width_minutes == 1 and np.isfinite(d.price).all()])
    if len(tables) < LEAST_DAYS:
        return
    origin = origin_of(days)
    note = (
        "as the shipped classifier sees the last hour, every five minutes; to be held against the same of "
        "simulated days"
    )
    for name, statistic, unit in (
        ("condition_time_shares", stays.time_shares, "share of time, in the order of CONDITIONS"),
        ("condition_overall_stay", stays.overall_stay, "minutes between changes of condition"),
        ("condition_stays", stays.mean_stays, "mean stay in minutes, in the order of CONDITIONS"),
    ):
        found.add(name, market, tables, statistic, unit, DAYS, origin, note)
    found.add(
        "condition_next", market, tables, lambda t: stays.next_shares(t).ravel(),
        "6 x 6 shares of where a condition goes, row by row", DAYS, origin, note,
    )  # fmt: skip
