"""How volume and spread follow volatility within the day.

Volatility is measured twice in every window, from alternate returns: the errors of the two are their own, so
one serves as the other's instrument and the slopes are those on volatility itself, not on its noisy measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.calibration.days import MarketDay, QuoteDay
from training.calibration.spreads import minute_log_spread, smooth_free
from training.measures import Array

WINDOW_MINUTES = 5
RETURN_STEP_S = 10.0
BAR_WINDOW_MINUTES = 15
LEAST_WINDOWS = 10


@dataclass(frozen=True, slots=True)
class VolatilityPairs:
    """Windows of a day: half the log variance from alternate returns (two measures of one volatility with
    errors of their own), log volume and log spread, slow shapes taken out; nan where unknown."""

    odd: Array
    even: Array
    log_volume: Array
    log_spread: Array


def volatility_pairs(quotes: QuoteDay, day: MarketDay | None) -> VolatilityPairs:
    """Five-minute windows of a day with quotes; volatility from ten-second returns of the mid."""
    step = max(1, round(RETURN_STEP_S / quotes.step_s))
    moves = np.diff(np.log(quotes.mid[::step]), prepend=np.nan)
    per_window = round(WINDOW_MINUTES * 60.0 / (step * quotes.step_s))
    whole = moves.size // per_window * per_window
    table = moves[:whole].reshape(-1, per_window) ** 2
    halves = [smooth_free(_half_log(np.nansum(table[:, offset::2], axis=1))) for offset in (0, 1)]
    logs = minute_log_spread(quotes)
    usable = logs.size // WINDOW_MINUTES * WINDOW_MINUTES
    spread = np.nanmean(np.exp(logs[:usable]).reshape(-1, WINDOW_MINUTES), axis=1)
    windows = halves[0].size
    volume = np.full(windows, np.nan)
    if day is not None and day.width_minutes == 1:
        sums = day.volume_shares[: windows * WINDOW_MINUTES].reshape(-1, WINDOW_MINUTES).sum(axis=1)
        volume[: sums.size] = np.log(np.where(sums > 0, sums, np.nan))
    return VolatilityPairs(halves[0], halves[1], smooth_free(volume), smooth_free(np.log(spread[:windows])))


def _half_log(variance: Array) -> Array:
    found: Array = 0.5 * np.log(np.where(variance > 0, variance, np.nan))
    return found


def slope_terms(found: VolatilityPairs, name: str) -> tuple[float, float] | None:
    """(covariance with volatility, its variance) terms of one day for "log_volume" or "log_spread".

    Their ratio over days is the slope on log volatility: each half's errors are its own, so one is the
    other's instrument.
    """
    y = getattr(found, name)
    good = np.isfinite(found.odd) & np.isfinite(found.even) & np.isfinite(y)
    if good.sum() < LEAST_WINDOWS:
        return None
    a, b, c = (x[good] - x[good].mean() for x in (found.odd, found.even, y))
    return float(c @ a + c @ b) / 2.0, float(a @ b)


def correlation_terms(found: VolatilityPairs, name: str) -> Array | None:
    """(6) sums of one day for the plain correlation with log volatility, its errors left in."""
    y, x = getattr(found, name), (found.odd + found.even) / 2.0
    good = np.isfinite(x) & np.isfinite(y)
    if good.sum() < LEAST_WINDOWS:
        return None
    a, b = x[good] - x[good].mean(), y[good] - y[good].mean()
    return np.array([a.size, 0.0, 0.0, a @ a, b @ b, a @ b])


def variance_terms(found: VolatilityPairs, lag: int = 0) -> tuple[float, float] | None:
    """(covariance of the halves `lag` windows apart, count): the variance of log volatility itself at lag
    0."""
    a, b = found.odd[: found.odd.size - lag], found.even[lag:]
    good = np.isfinite(a) & np.isfinite(b)
    if good.sum() < LEAST_WINDOWS:
        return None
    return float((a[good] - a[good].mean()) @ (b[good] - b[good].mean())), float(good.sum())


def bar_pairs(days: Sequence[MarketDay]) -> list[VolatilityPairs]:
    """Quarter-hour windows of days of minute bars of one market; their mean shape and each day's level taken
    out.

    Windows of bars alone serve where no quotes are, and on simulated days just as well.
    """
    if len(days) < 3:
        return []
    odd, even = (_free(np.stack([_window_logs(day, offset) for day in days])) for offset in (0, 1))
    volume = _free(np.stack([np.log(_positive(_sums(day.volume_shares))) for day in days]))
    spread = np.stack([np.log(_positive(_sums(day.spread_bps) / BAR_WINDOW_MINUTES)) for day in days])
    spread = _free(spread) if np.isfinite(spread).any() else spread
    return [VolatilityPairs(odd[i], even[i], volume[i], spread[i]) for i in range(len(days))]


def _window_logs(day: MarketDay, offset: int) -> Array:
    squares = day.returns**2
    whole = squares.size // BAR_WINDOW_MINUTES * BAR_WINDOW_MINUTES
    table = squares[:whole].reshape(-1, BAR_WINDOW_MINUTES)
    return _half_log(table[:, offset::2].sum(axis=1))


def _sums(values: Array) -> Array:
    whole = values.size // BAR_WINDOW_MINUTES * BAR_WINDOW_MINUTES
    found: Array = values[:whole].reshape(-1, BAR_WINDOW_MINUTES).sum(axis=1)
    return found


def _positive(values: Array) -> Array:
    found: Array = np.where(values > 0, values, np.nan)
    return found


def _free(rows: Array) -> Array:
    """Rows less the mean over rows of each place, and less their own mean."""
    left = rows - np.nanmean(rows, axis=0, keepdims=True)
    found: Array = left - np.nanmean(left, axis=1, keepdims=True)
    return found


def move_terms(row: Array, residual: Array, edge_minutes: int) -> tuple[float, float]:
    """(covariance, variance) terms of a day: a minute's log volume on the size of its own standardised
    move."""
    size = np.minimum(np.abs(row[edge_minutes:-edge_minutes]), 4.0)
    good = np.isfinite(residual)
    x, y = size[good] - size[good].mean(), residual[good]
    return float(x @ y), float(x @ x)
