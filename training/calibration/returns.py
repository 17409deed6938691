"""One-minute returns: how the variance runs over the session, how fat their tails are, how volatility
clusters.

All of it on real days and on simulated ones alike. Returns are standardised by the curve of their market and
by their own day, so that neither the hour nor a restless day counts as a fat tail.
"""

from __future__ import annotations

import numpy as np

from training.calibration.days import MarketDay
from training.calibration.stats import bin_means
from training.measures import Array, robust_clip

CURVE_POINTS = 13
LAGS_MINUTES = (1, 5, 15, 30, 60)
CLIP_SIGMAS = 8.0
# Where a tick is wider than this many standard deviations of a minute, returns are mostly the tick's own.
COARSE_TICK_SD = 0.5
MOST_UNCHANGED = 0.35
MOST_DEVIATIONS = 12.0


def minute_returns(day: MarketDay) -> Array:
    """Log returns without their outliers: a bad print is no jump."""
    return robust_clip(day.returns, CLIP_SIGMAS)


def is_fine(day: MarketDay) -> bool:
    """Whether the day's one-minute returns say more than the tick does."""
    if day.width_minutes != 1 or not np.isfinite(day.price).all():
        return False
    moves = minute_returns(day)
    sd_bps = float(np.std(moves)) * 1e4
    return (
        sd_bps > 0.0
        and day.tick_bps <= COARSE_TICK_SD * sd_bps
        and float((moves == 0.0).mean()) <= MOST_UNCHANGED
    )


def day_variance_curve(day: MarketDay) -> Array:
    """Variance of a bar by 13 even parts of the session, over the day's mean."""
    squares = minute_returns(day) ** 2
    curve = bin_means(squares, CURVE_POINTS)
    found: Array = curve / np.nanmean(curve)
    return found


def standardised(day: MarketDay, curve: Array) -> Array:
    """Returns over the curve's standard deviation (interpolated between the parts' middles) and the day's
    own."""
    moves = day.returns
    at = (np.arange(moves.size) + 0.5) / moves.size
    middles = (np.arange(curve.size) + 0.5) / curve.size
    unit = moves / np.sqrt(np.interp(at, middles, curve))
    scale = float(np.sqrt(np.mean(robust_clip(unit, CLIP_SIGMAS) ** 2)))
    found: Array = unit / scale if scale > 0.0 else unit * 0.0
    return found


def kurtosis_terms(row: Array) -> Array:
    """(3) count, squares and fourth powers of one day; moves beyond 12 deviations are cut there."""
    cut = np.clip(row, -MOST_DEVIATIONS, MOST_DEVIATIONS)
    return np.array([cut.size, np.sum(cut**2), np.sum(cut**4)])


def pooled_kurtosis(terms: Array) -> float:
    """Fourth moment over the squared second one (3 for a normal) of (days, 3) terms."""
    n, squares, fourths = terms.sum(axis=0)
    return float(fourths / n / (squares / n) ** 2)


def median_kurtosis(terms: Array) -> float:
    """Kurtosis within the middle day, which no single day of news moves."""
    return float(np.median(terms[:, 2] / terms[:, 0] / (terms[:, 1] / terms[:, 0]) ** 2))


def clustering(terms: Array) -> Array:
    """Autocorrelation of |r| at LAGS_MINUTES from (days, lags, 6) terms; no pair crosses days."""
    found: Array = correlations(terms.sum(axis=0))
    return found


def clustering_terms(row: Array) -> Array:
    """(lags, 6) sums of one day from which the pooled autocorrelations follow; cheap to resample."""
    size = np.minimum(np.abs(row), MOST_DEVIATIONS)
    terms = []
    for lag in LAGS_MINUTES:
        a, b = size[:-lag], size[lag:]
        terms.append([a.size, a.sum(), b.sum(), a @ a, b @ b, a @ b])
    return np.array(terms, dtype=np.float64)


def correlations(sums: Array) -> Array:
    """Pearson's correlation from (..., 6) sums: n, x, y, xx, yy, xy."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    top = xy / n - x / n * y / n
    found: Array = top / np.sqrt((xx / n - (x / n) ** 2) * (yy / n - (y / n) ** 2))
    return found


def day_log_variance(day: MarketDay) -> float:
    """Log of the day's realised variance of five-minute returns, averaged over starting points."""
    step = max(1, 5 // day.width_minutes)
    logs = np.log(day.price)
    sums = [float(np.sum(robust_clip(np.diff(logs[s::step]), 6.0) ** 2)) for s in range(step)]
    mean = float(np.mean(sums))
    return float(np.log(mean)) if mean > 0.0 else float("nan")
