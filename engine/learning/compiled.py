"""Corrections added to a decision's arrays, compiled: one call, since each costs more than its arithmetic."""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.kernel import choose, flip, frontier, with_rivals
from engine.layout import (
    ALPHA_BPS_PER_DAY,
    CORRECTION,
    CORRECTION_IMPACT,
    COST,
    IMPACT_COST,
    MEAN_MINUTES,
    SESSION_MINUTES,
    SIGMA_BPS,
    SPREAD_BPS,
    STRUCTURAL_UTILITY,
    UTILITY,
    UTILITY_PER_SIGMA,
    UTILITY_PER_SPREAD,
)
from engine.learning.effects import BUCKETS, DARK, FIRST_CELL, GLOBALS, IMPACT, SHIFT

DARK_RATIO = 3  # column of CandidateSet.numbers


@njit(cache=True)
def _added(values, algorithm, bucket, impact, leaked, most):
    """(all of a correction within its bounds, the part that grows with volatility), bps."""
    scaled = values[IMPACT] * impact + values[DARK] * leaked
    own = values[SHIFT] + values[GLOBALS + algorithm] + values[FIRST_CELL + algorithm * BUCKETS + bucket]
    return min(max(scaled + own, -most), most), scaled


@njit(cache=True)
def correct(online, kept, bucket, leakage_bps, most, algorithm, numbers, context, metrics, mask, best_of_algorithm,
            hull, flips, sizes, online_bps):
    """Adds effects (EFFECTS,) from outcomes and from the artifact to every row of the metrics, and fills the results
    anew; online_bps (n,) gets what the outcomes added. Returns (best, length of hull). At other sizes the kernel chose
    without corrections, so that nothing is said of them."""
    for n in range(algorithm.shape[0]):
        impact = max(metrics[n, IMPACT_COST] + metrics[n, CORRECTION_IMPACT], 0.0)
        leaked = leakage_bps * numbers[n, DARK_RATIO] ** 2
        first, scaled = _added(online, algorithm[n], bucket, impact, leaked, most)
        second, also_scaled = _added(kept, algorithm[n], bucket, impact, leaked, most)
        added = first + second
        online_bps[n] = first
        metrics[n, UTILITY] += added
        metrics[n, STRUCTURAL_UTILITY] += added
        metrics[n, COST] += added
        metrics[n, CORRECTION] += added
        metrics[n, UTILITY_PER_SIGMA] += (scaled + also_scaled) / context[SIGMA_BPS]
    best = choose(algorithm, metrics, mask, best_of_algorithm)
    count = frontier(metrics, mask, hull)
    allowed = np.flatnonzero(mask == 0)
    alpha = context[ALPHA_BPS_PER_DAY] / context[SESSION_MINUTES]
    flip(algorithm, metrics, allowed, best, UTILITY_PER_SPREAD, context[SPREAD_BPS], flips[0])
    flip(algorithm, metrics, allowed, best, UTILITY_PER_SIGMA, context[SIGMA_BPS], flips[1])
    flip(algorithm, metrics, with_rivals(metrics, mask, best), best, MEAN_MINUTES, alpha, flips[2])
    for size in range(sizes.shape[0]):
        sizes[size, 1] = -1.0
    return best, count


@njit(cache=True)
def impacts(metrics):
    """(n,) predicted impact of each candidate, bps: what its record tells as `market_impact`."""
    found = np.empty(metrics.shape[0])
    for n in range(metrics.shape[0]):
        found[n] = max(metrics[n, IMPACT_COST] + metrics[n, CORRECTION_IMPACT], 0.0)
    return found
