"""How sure a choice is: a calibrated probability that no candidate beats it by more than the tolerance.

The tolerance is that of the judge, max(0.5 bps, 5 % of |U|). Without models the probability is structural and assumed;
with them a small tree model sees how close the rivals came and what kind of order it is, and a rising map, fitted on
orders that it never saw, turns its score into a frequency. An order whose market is far from its instrument's usual one
loses confidence by a rule, since no training order can vouch for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine import layout as at
from engine.resolve import Resolved
from engine.scoring.models import CONFIDENCE_FEATURES
from engine.scoring.trees import score_head

TOLERANCE_BPS = 0.5
TOLERANCE_FRACTION = 0.05
MOST_GAP = 20.0
LEAST_LOG_SIZE = math.log(1e-12)
CONFIDENCE_LENGTH = len(CONFIDENCE_FEATURES)


@njit(cache=True)
def fill_confidence_features(metrics, mask, algorithm, best, structural, context, weights, out):
    """CONFIDENCE_FEATURES of a decision into `out` (float32). `best` and `structural`: indices chosen by the models
    and by the surfaces."""
    utility = metrics[best, at.UTILITY]
    tolerance = max(TOLERANCE_BPS, TOLERANCE_FRACTION * abs(utility))
    scale = max(abs(utility), TOLERANCE_BPS)
    first, second, other = np.inf, np.inf, np.inf
    near = 0
    algorithms = np.zeros(64, dtype=np.bool_)
    for n in range(mask.shape[0]):
        if mask[n] != 0 or n == best:
            continue
        gap = (metrics[n, at.UTILITY] - utility) / tolerance
        if gap < first:
            second = first
            first = gap
        elif gap < second:
            second = gap
        if algorithm[n] != algorithm[best]:
            other = min(other, gap)
            if gap < 1.0:
                algorithms[algorithm[n]] = True
        if gap < 1.0:
            near += 1
    out[0] = min(first, MOST_GAP)
    out[1] = min(other, MOST_GAP)
    out[2] = min(second, MOST_GAP)
    out[3] = near
    out[4] = algorithms.sum()
    out[5] = tolerance
    out[6] = utility
    out[7] = metrics[best, at.COST]
    out[8] = context[at.RISK_AVERSION] * metrics[best, at.DEVIATION_BPS] / scale
    out[9] = metrics[best, at.CORRECTION] / scale
    loss = MOST_GAP
    if structural >= 0 and mask[structural] == 0:
        loss = min((metrics[structural, at.UTILITY] - utility) / tolerance, MOST_GAP)
    out[10] = loss
    out[11] = math.log(max(context[at.QUANTITY] / context[at.DAILY_VOLUME], 1e-9))
    out[12] = math.log(max(metrics[best, at.PARTICIPATION], 1e-9))
    out[13] = math.log(max(metrics[best, at.HORIZON_MINUTES], 1e-3))
    out[14] = context[at.START_MINUTE] / context[at.SESSION_MINUTES]
    out[15] = math.log(max(context[at.AVAILABLE_MINUTES], 1e-3))
    out[16] = context[at.RISK_AVERSION]
    out[17] = context[at.TIME_PRICE]
    out[18] = metrics[best, at.ALPHA_COST] / scale
    out[19] = math.log(context[at.SIGMA_BPS])
    out[20] = math.log(max(context[at.SPREAD_BPS], 1e-6) / context[at.SIGMA_BPS])
    out[21] = math.log(min(max(context[at.SPREAD_TICKS], 1.0), 200.0))
    out[22] = context[at.DARK_SHARE]
    out[23] = context[at.AUCTION_SHARE]
    out[24] = math.log(context[at.MAX_PARTICIPATION])
    likely = 0
    for c in range(weights.shape[0]):
        if weights[c] > weights[likely]:
            likely = c
    out[25] = weights[likely]
    out[26] = likely
    out[27] = algorithm[best]
    out[28] = metrics[best, at.UNFILLED]
    out[29] = metrics[best, at.PASSIVE_FILLED]
    out[30] = metrics[best, at.DARK_FILLED]


def confidence_features(metrics: NDArray[np.float64], mask: NDArray[np.int64], algorithm: NDArray[np.int64], best: int,
                        structural: int, context: NDArray[np.float64],
                        weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """(31,) float32: CONFIDENCE_FEATURES of a decision."""
    found = np.empty(len(CONFIDENCE_FEATURES), dtype=np.float32)
    fill_confidence_features(metrics, mask, algorithm, best, structural, context, weights, found)
    return found


@njit(cache=True)
def scored_confidence(trees, knots, metrics, mask, algorithm, best, structural, context, weights):
    """The calibrated probability of a decision: features, trees and map in one call. knots (2, k) float64: scores that
    rise, and probabilities; between them straight lines, as numpy.interp draws them."""
    features = np.empty(CONFIDENCE_LENGTH, dtype=np.float32)
    fill_confidence_features(metrics, mask, algorithm, best, structural, context, weights, features)
    score = float(score_head(trees[0], trees[1], trees[2], trees[3], 0, 0, features))
    last = knots.shape[1] - 1
    if score <= knots[0, 0]:
        return knots[1, 0]
    if score >= knots[0, last]:
        return knots[1, last]
    low = np.searchsorted(knots[0], score, side="right") - 1
    slope = (knots[1, low + 1] - knots[1, low]) / (knots[0, low + 1] - knots[0, low])
    return slope * (score - knots[0, low]) + knots[1, low]


def log_ratio(over: float, under: float) -> float:
    """Logarithm of over / under, both > 0, also where the ratio itself is beyond what a float can hold."""
    return math.log(over) - math.log(under)


def domain_figures(context: NDArray[np.float64]) -> Mapping[str, float]:
    """DOMAIN_NAMES of an order."""
    figures = context.tolist()
    sigma = figures[at.SIGMA_BPS]
    return {
        "log_size_days": max(log_ratio(figures[at.QUANTITY], figures[at.DAILY_VOLUME]), LEAST_LOG_SIZE),
        "log_available_minutes": math.log(max(figures[at.AVAILABLE_MINUTES], 1e-3)),
        "log_spread_ticks": math.log(min(max(figures[at.SPREAD_TICKS], 1.0), 200.0)),
        "log_limit": math.log(figures[at.MAX_PARTICIPATION]),
        "log_sigma_bps": math.log(sigma),
        "log_spread_over_sigma": log_ratio(max(figures[at.SPREAD_BPS], 1e-3), sigma),
        "dark_share": figures[at.DARK_SHARE],
        "auction_share": figures[at.AUCTION_SHARE],
    }


def usual_ratios(resolved: Resolved) -> tuple[float, float, float]:
    """RATIO_NAMES of an order: what it was planned with over the instrument's own long-run figures, logs."""
    inputs, market = resolved.inputs, resolved.view.market
    pairs = (
        (inputs.daily_volatility_fraction, market.daily_volatility_fraction),
        (inputs.spread_bps, market.spread_bps),
        (inputs.average_daily_volume_shares, market.average_daily_volume_shares),
    )
    found = [log_ratio(now, usual) if usual and now > 0.0 else 0.0 for now, usual in pairs]
    return found[0], found[1], found[2]
