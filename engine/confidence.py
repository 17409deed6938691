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
MOST_ALGORITHMS = 64


# Positions of CONFIDENCE_FEATURES.
(
    F_GAP_NEXT, F_GAP_ALGORITHM, F_GAP_THIRD, F_NEAR_CANDIDATES, F_NEAR_ALGORITHMS, F_TOLERANCE_BPS, F_UTILITY_BPS,
    F_COST_BPS, F_DEVIATION_SHARE, F_CORRECTION_SHARE, F_STRUCTURAL_LOSS, F_LOG_SIZE_DAYS, F_LOG_PARTICIPATION,
    F_LOG_HORIZON_MINUTES, F_START_FRACTION, F_LOG_AVAILABLE_MINUTES, F_RISK_AVERSION, F_TIME_PRICE, F_ALPHA_SHARE,
    F_LOG_SIGMA, F_LOG_SPREAD_OVER_SIGMA, F_LOG_SPREAD_TICKS, F_DARK_SHARE, F_AUCTION_SHARE, F_LOG_LIMIT,
    F_CONDITION_CERTAINTY, F_CONDITION, F_ALGORITHM, F_UNFILLED, F_PASSIVE, F_DARK,
) = range(31)


@njit(cache=True)
def fill_confidence_features(metrics, mask, algorithm, best, structural, context, weights, out):
    """CONFIDENCE_FEATURES of a decision into `out` (float32). `best` and `structural`: indices chosen by the models
    and by the surfaces."""
    utility = metrics[best, at.UTILITY]
    tolerance = max(TOLERANCE_BPS, TOLERANCE_FRACTION * abs(utility))
    _fill_rivals(metrics, mask, algorithm, best, tolerance, np.zeros(MOST_ALGORITHMS, dtype=np.bool_), out)
    _fill_choice(metrics[best], tolerance, context, out)
    out[F_ALGORITHM] = algorithm[best]
    loss = MOST_GAP
    if structural >= 0 and mask[structural] == 0:
        loss = min((metrics[structural, at.UTILITY] - utility) / tolerance, MOST_GAP)
    out[F_STRUCTURAL_LOSS] = loss
    _fill_order(context, weights, out)


@njit(cache=True, inline="always")
def _fill_rivals(metrics, mask, algorithm, best, tolerance, seen, out):
    """How close the others come, in tolerances. `seen` (MOST_ALGORITHMS,): False, for algorithms that come near."""
    utility = metrics[best, at.UTILITY]
    first, second, other = np.inf, np.inf, np.inf
    near, algorithms = 0, 0
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
            if gap < 1.0 and not seen[algorithm[n]]:
                seen[algorithm[n]] = True
                algorithms += 1
        if gap < 1.0:
            near += 1
    out[F_GAP_NEXT] = min(first, MOST_GAP)
    out[F_GAP_ALGORITHM] = min(other, MOST_GAP)
    out[F_GAP_THIRD] = min(second, MOST_GAP)
    out[F_NEAR_CANDIDATES] = near
    out[F_NEAR_ALGORITHMS] = algorithms


@njit(cache=True, inline="always")
def _fill_choice(row, tolerance, context, out):
    """What the chosen candidate's row of the metrics says."""
    utility = row[at.UTILITY]
    scale = max(abs(utility), TOLERANCE_BPS)
    out[F_TOLERANCE_BPS] = tolerance
    out[F_UTILITY_BPS] = utility
    out[F_COST_BPS] = row[at.COST]
    out[F_DEVIATION_SHARE] = context[at.RISK_AVERSION] * row[at.DEVIATION_BPS] / scale
    out[F_CORRECTION_SHARE] = row[at.CORRECTION] / scale
    out[F_ALPHA_SHARE] = row[at.ALPHA_COST] / scale
    out[F_LOG_PARTICIPATION] = math.log(max(row[at.PARTICIPATION], 1e-9))
    out[F_LOG_HORIZON_MINUTES] = math.log(max(row[at.HORIZON_MINUTES], 1e-3))
    out[F_UNFILLED] = row[at.UNFILLED]
    out[F_PASSIVE] = row[at.PASSIVE_FILLED]
    out[F_DARK] = row[at.DARK_FILLED]


@njit(cache=True, inline="always")
def _fill_order(context, weights, out):
    """What kind of order it is, and how sure its market's condition."""
    out[F_LOG_SIZE_DAYS] = math.log(max(context[at.QUANTITY] / context[at.DAILY_VOLUME], 1e-9))
    out[F_START_FRACTION] = context[at.START_MINUTE] / context[at.SESSION_MINUTES]
    out[F_LOG_AVAILABLE_MINUTES] = math.log(max(context[at.AVAILABLE_MINUTES], 1e-3))
    out[F_RISK_AVERSION] = context[at.RISK_AVERSION]
    out[F_TIME_PRICE] = context[at.TIME_PRICE]
    out[F_LOG_SIGMA] = math.log(context[at.SIGMA_BPS])
    out[F_LOG_SPREAD_OVER_SIGMA] = math.log(max(context[at.SPREAD_BPS], 1e-6) / context[at.SIGMA_BPS])
    out[F_LOG_SPREAD_TICKS] = math.log(min(max(context[at.SPREAD_TICKS], 1.0), 200.0))
    out[F_DARK_SHARE] = context[at.DARK_SHARE]
    out[F_AUCTION_SHARE] = context[at.AUCTION_SHARE]
    out[F_LOG_LIMIT] = math.log(context[at.MAX_PARTICIPATION])
    likely = 0
    for c in range(weights.shape[0]):
        if weights[c] > weights[likely]:
            likely = c
    out[F_CONDITION_CERTAINTY] = weights[likely]
    out[F_CONDITION] = likely


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
