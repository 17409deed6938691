"""What is measured of one symbol over its days - volume, curve, auctions, variance - and its statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from training.measures import Array, robust_clip


@dataclass(frozen=True)
class DayStats:
    """A symbol over several days: volume, curve and volatility, all measured on its continuous session."""

    volume_shares: Array  # whole-day volume, auctions included, one entry a day
    curve: Array  # mean over the days of the share of continuous volume in each bin
    open_auction_fraction: float
    close_auction_fraction: float
    realised_variance: Array  # one entry a day, of 5-minute log returns inside the session
    overnight_variance: float  # mean squared close-to-open log return; nan where days do not follow on
    last_price: float
    days: int
    curve_noise: float = float("nan")  # variance of a day's bin share around the mean, summed over the bins


def one_day(
    volume_shares: float, curve: Array, opening: float, closing: float, variance: float, last_price: float
) -> DayStats:
    """Statistics of a symbol of which one day (or one figure of each kind) is known."""
    return DayStats(
        np.array([volume_shares]), curve, opening, closing, np.array([variance]), float("nan"), last_price, 1
    )


def realised_variance(prices: Array, step: int = 1) -> float:
    """Realised variance of one session, a fraction squared (Zhou 1996, averaged over starting points).

    `prices` stand on an equal grid that is `step` to five minutes. Squared returns plus twice their first
    autocovariance: a tick's bounce adds to the first and is taken back by the second, which matters where the
    tick is wide (a 4-yuan stock bounces 24 bps). Never under a quarter of the plain sum.
    """
    good = np.log(prices[np.isfinite(prices) & (prices > 0)])
    estimates = []
    for start in range(step):
        returns = robust_clip(np.diff(good[start::step]))
        if returns.size < 3:
            return float("nan")
        covered = (good.size - 1) / step / returns.size  # the starting points cut off part of the session
        plain, bounce = float(returns @ returns), 2 * float(returns[1:] @ returns[:-1])
        estimates.append(covered * max(plain + bounce, plain / 4))
    return float(np.mean(estimates))


def daily_sigma(stats: DayStats, overnight_factor: float) -> float:
    """Daily volatility: realised plus overnight variance where at least 15 days follow on.

    Elsewhere the realised variance times the market's whole-day over intraday variance ratio.
    """
    intraday = float(np.nanmean(stats.realised_variance))
    if stats.days >= 15 and np.isfinite(stats.overnight_variance):
        return math.sqrt(intraday + stats.overnight_variance)
    return math.sqrt(intraday * overnight_factor)


def day_shares(table: Array) -> Array:
    """Mean over the days (rows) of each bin's share of the day; days without volume left out."""
    table = table[table.sum(axis=1) > 0]
    shares: Array = (table / table.sum(axis=1, keepdims=True)).mean(axis=0)
    return shares


def shrink(curve: Array, days: float, market_curve: Array, prior_days: float) -> Array:
    """Own curve weighted days/(days + prior_days) against the market's average (empirical Bayes)."""
    weight = days / (days + prior_days)
    mixed = weight * curve + (1.0 - weight) * market_curve
    mixed = np.maximum(mixed, 1e-4)
    normed: Array = mixed / mixed.sum()
    return normed


def curve_noise(table: Array) -> float:
    """Sum over the bins of the day-to-day variance of a bin's share (dimensionless)."""
    table = table[table.sum(axis=1) > 0]
    if len(table) < 2:
        return float("nan")
    return float((table / table.sum(axis=1, keepdims=True)).var(axis=0, ddof=1).sum())


def mean_square(values: Array) -> float:
    """Mean of the squares of what is finite; nan where nothing is."""
    good = values[np.isfinite(values)]
    return float(np.mean(good**2)) if good.size else float("nan")
