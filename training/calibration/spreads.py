"""The quoted spread: how wide in ticks, how it moves around its slow shape; and the depth at the touch."""

from __future__ import annotations

import numpy as np

from training.calibration.days import QuoteDay
from training.instruments.day_stats import realised_variance
from training.measures import Array

TICK_EDGES = (
    1.5,
    2.5,
    3.5,
    5.5,
    10.5,
    20.5,
)  # bins of the spread in whole ticks: 1, 2, 3, 4-5, 6-10, 11-20, more
TICK_LABELS = ("1", "2", "3", "4-5", "6-10", "11-20", "21+")
EDGE_MINUTES = 15
RESIDUAL_EDGES = np.round(np.linspace(-1.2, 1.2, 17), 2)  # bins of the log spread around its slow shape


def tick_shares(day: QuoteDay) -> Array:
    """Share of time by width in ticks, in the bins of TICK_LABELS."""
    known = day.spread_ticks[np.isfinite(day.spread_ticks)]
    counts = np.bincount(np.searchsorted(TICK_EDGES, known), minlength=len(TICK_LABELS))
    found: Array = counts / max(known.size, 1)
    return found


def minute_log_spread(day: QuoteDay) -> Array:
    """Log of each minute's mean spread in ticks."""
    per_minute = round(60.0 / day.step_s)
    whole = day.spread_ticks.size // per_minute * per_minute
    table = day.spread_ticks[:whole].reshape(-1, per_minute)
    known = np.isfinite(table)
    mean = np.nansum(table, axis=1) / np.maximum(known.sum(axis=1), 1)
    found: Array = np.log(np.where(mean > 0, mean, np.nan))
    return found


def smooth_free(values: Array) -> Array:
    """Values less a slow shape of the day (a level, a line, a curve and a fast start), by least squares.

    A single day has no other to take its shape from; four numbers leave the memory of an hour in.
    """
    t = (np.arange(values.size) + 0.5) / values.size
    basis = np.stack([np.ones_like(t), t, t * t, np.exp(-t * 13.0)], axis=1)
    good = np.isfinite(values)
    if good.sum() < 20:
        found: Array = np.full(values.size, np.nan)
        return found
    weights = np.linalg.lstsq(basis[good], values[good], rcond=None)[0]
    left: Array = values - basis @ weights
    return left


def spread_residual(day: QuoteDay) -> Array:
    """Log spread of the minutes less its slow shape; the first and last quarter-hour stay out."""
    return smooth_free(minute_log_spread(day))[EDGE_MINUTES:-EDGE_MINUTES]


def residual_shares(residual: Array) -> Array:
    """Share of minutes by log spread less its slow shape, in bins of RESIDUAL_EDGES."""
    known = residual[np.isfinite(residual)]
    counts = np.histogram(np.clip(known, RESIDUAL_EDGES[0], RESIDUAL_EDGES[-1] - 1e-9), RESIDUAL_EDGES)[0]
    found: Array = counts / max(known.size, 1)
    return found


def depth_share(day: QuoteDay, daily_shares: float) -> float:
    """Median of the shares at the best bid and at the best ask, over the day's volume."""
    depth = np.concatenate([day.bid_shares, day.ask_shares])
    known = depth[np.isfinite(depth) & (depth > 0)]
    return float(np.median(known)) / daily_shares if known.size and daily_shares > 0 else float("nan")


def depth_log_sd(day: QuoteDay) -> float:
    """Log-sd of the queue at the best bid at minutes' starts, slow shape taken out."""
    per_minute = round(60.0 / day.step_s)
    depth = day.bid_shares[::per_minute]
    left = smooth_free(np.log(np.where(depth > 0, depth, np.nan)))
    return float(np.nanstd(left)) if np.isfinite(left).any() else float("nan")


def median_spread_bps(day: QuoteDay) -> float:
    """Median quoted spread, bps of the mid."""
    with np.errstate(invalid="ignore"):
        bps = np.where(day.ask > day.bid, (day.ask - day.bid) / day.mid * 1e4, np.nan)
    return float(np.nanmedian(bps)) if np.isfinite(bps).any() else float("nan")


def day_variance(day: QuoteDay) -> float:
    """Realised variance of five-minute returns of the mid where the whole session is known; nan else."""
    per_minute = round(60.0 / day.step_s)
    mid = day.mid[::per_minute]
    return realised_variance(mid, 5) if np.isfinite(mid).mean() > 0.9 else float("nan")
