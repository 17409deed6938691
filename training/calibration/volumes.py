"""Volume over the session, its noise around the curve and how long that noise lasts; the day's level; the
auctions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from training.calibration.days import MarketDay
from training.calibration.returns import correlations
from training.calibration.stats import bin_means
from training.measures import Array

CURVE_POINTS = 13
LAGS_MINUTES = (1, 5, 15, 30, 60)
WINDOWS_MINUTES = (1, 5, 15, 30)
BUSY_PART = 0.95  # days with volume in fewer of their minutes say nothing of a minute's noise
EDGE_MINUTES = 15
MONTH_DAYS = 31
AUCTION_LOG_SD = "log-sd of an auction's volume around its symbol's usual one"  # of `within_symbol_terms`


def day_volume_curve(day: MarketDay) -> Array:
    """Volume of 13 even parts of the session, over their mean."""
    parts = bin_means(day.volume_shares, CURVE_POINTS)
    found: Array = parts / np.nanmean(parts)
    return found


def is_busy(day: MarketDay) -> bool:
    return day.width_minutes == 1 and float((day.volume_shares > 0).mean()) >= BUSY_PART


def residual_logs(days: Sequence[MarketDay], window_minutes: int = 1) -> list[Array]:
    """Log volume of windows less the market's shape and the day's level, one row a day; nan where nothing
    traded.

    The shape is the mean over all days given, so a stock's own shape stays in: what a forecast from the
    market's curve would miss. The first and last quarter-hour stay out.
    """
    rows = np.stack(
        [_window_sums(day.volume_shares[EDGE_MINUTES:-EDGE_MINUTES], window_minutes) for day in days]
    )
    logs = np.log(np.where(rows > 0, rows, np.nan))
    level = np.nanmean(logs, axis=1, keepdims=True)
    shape = np.nanmean(logs - level, axis=0, keepdims=True)
    bins = max(1, 15 // window_minutes)
    smooth = np.convolve(np.pad(shape[0], bins // 2, mode="edge"), np.ones(bins) / bins, mode="valid")[
        : shape.size
    ]
    left = logs - level - smooth
    return list(left - np.nanmean(left, axis=1, keepdims=True))


def _window_sums(volume: Array, window_minutes: int) -> Array:
    whole = volume.size // window_minutes * window_minutes
    found: Array = volume[:whole].reshape(-1, window_minutes).sum(axis=1)
    return found


def square_terms(row: Array) -> Array:
    """(2) sum of squares and count of what is known."""
    known = row[np.isfinite(row)]
    return np.array([float(known @ known), float(known.size)])


def memory_terms(row: Array) -> Array:
    """(lags, 6) sums of one row from which pooled autocorrelations follow; pairs with a gap are left out."""
    terms = []
    for lag in LAGS_MINUTES:
        a, b = row[:-lag], row[lag:]
        good = np.isfinite(a) & np.isfinite(b)
        a, b = a[good], b[good]
        terms.append([a.size, a.sum(), b.sum(), a @ a, b @ b, a @ b])
    return np.array(terms, dtype=np.float64)


def memory(terms: Array) -> Array:
    """Autocorrelation at LAGS_MINUTES from (days, lags, 6) terms."""
    found: Array = correlations(terms.sum(axis=0))
    return found


def within_symbol_terms(
    values: Sequence[tuple[str, int, float]], least_days: int = 3
) -> list[tuple[float, float]]:
    """(sum of squares, degrees of freedom) of log values of (symbol, date, value) around each symbol's mean.

    A forecast from the symbol's usual level errs by their root ratio; one that follows the last days errs by
    less. Dates more than a month apart are periods of their own: what was usual then is not what is usual
    now.
    """
    by_symbol: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for symbol, date, value in values:
        if value > 0 and np.isfinite(value):
            by_symbol[symbol].append((date, float(np.log(value))))
    periods = [period for own in by_symbol.values() for period in _periods(sorted(own))]
    return [
        (float(np.sum((period - period.mean()) ** 2)), float(period.size - 1))
        for period in periods
        if period.size >= least_days
    ]


def _periods(own: Sequence[tuple[int, float]]) -> list[Array]:
    dates = np.array(
        [f"{d // 10_000}-{d // 100 % 100:02d}-{d % 100:02d}" for d, _ in own], dtype="datetime64[D]"
    )
    gaps = np.flatnonzero(np.diff(dates) > np.timedelta64(MONTH_DAYS, "D")) + 1
    return np.split(np.array([value for _, value in own]), gaps)
