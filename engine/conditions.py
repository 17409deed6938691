"""Which of the six market conditions an instrument is in, read from its recent one-minute bars.

Used when a request leaves the condition unspecified. Two steps, both pure: the features of
`engine.condition_features`, and a multinomial logistic on them whose coefficients are interpolated in the logarithm of
the window's length, because ten minutes tell less than two hours. `engine.condition_weights` holds them, fitted offline
on simulated paths by `training.conditions`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.condition_features import (
    DRIFT_T,
    EXPECTED,
    LARGEST_MOVE,
    LOG_SPREAD,
    LOG_VARIANCE_RATIO_20,
    LOG_VOLATILITY,
    LOG_VOLUME,
    MID,
    SPREAD,
    SPREAD_MISSING,
    VOLUME,
    VOLUME_AFTER_MOVE,
    VOLUME_MISSING,
    bounded,
    features_of,
    usable_minutes,
)
from engine.condition_weights import KNOT_MINUTES, PRIOR, WEIGHTS
from engine.values import CONDITIONS, MarketCondition

LOOKBACK_MINUTES = 120  # older bars say little of the condition now, and the cost stays bounded
MIN_USABLE_MINUTES = 10

_KNOTS = np.log(np.array(KNOT_MINUTES, dtype=np.float64))
# Handed to the compiled code as an argument: numba's cache would not notice a change of a global array.
_WEIGHTS = np.array(WEIGHTS, dtype=np.float64).reshape(len(KNOT_MINUTES), -1, len(CONDITIONS))


@dataclass(frozen=True, slots=True)
class TypicalMarket:
    """What is usual for the instrument.

    `daily_volatility_fraction` is the standard deviation of the continuous session's log return,
    `spread_bps` the median quoted spread, `volume_per_minute_shares` the day's average, `minutes_per_day` the
    length of the continuous session. A figure that is not positive or not finite counts as unknown.
    """

    daily_volatility_fraction: float
    spread_bps: float
    volume_per_minute_shares: float
    minutes_per_day: float


@dataclass(frozen=True, slots=True)
class ConditionEstimate:
    """The most probable condition and how sure that is.

    `probabilities` follow `engine.values.CONDITIONS` and sum to 1; they assume the base rates `PRIOR` of
    `engine.condition_weights`. `minutes_observed` counts the minutes with a usable price that were looked at; with
    `is_prior` they were too few, and this is what holds without any.
    """

    condition: MarketCondition
    probabilities: tuple[float, ...]
    evidence: str
    minutes_observed: int
    is_prior: bool = False


def classify(
    mid_price: NDArray[np.float64],
    volume_shares: NDArray[np.float64],
    spread_bps: NDArray[np.float64],
    expected_volume_shares: NDArray[np.float64],
    typical: TypicalMarket,
) -> ConditionEstimate:
    """The condition of the market over the last minutes.

    The arrays hold one entry a minute of trading time, oldest first, all of one length n >= 0; only the last
    LOOKBACK_MINUTES are read. NaN (or any impossible value: a price <= 0, a negative volume or spread) means
    not known. `expected_volume_shares` is what the intraday curve predicts for each minute. With fewer than
    MIN_USABLE_MINUTES prices the answer is the prior. Raises ValueError when the lengths differ.
    """
    bars = _workspace(mid_price, volume_shares, spread_bps, expected_volume_shares)
    figures = _figures(typical)
    usable = usable_minutes(bars)
    if usable < MIN_USABLE_MINUTES:
        return _prior_estimate(usable)
    values = features_of(bars, figures)
    scores = _probabilities(values, float(usable), _KNOTS, _WEIGHTS)
    probabilities = tuple(scores.tolist())
    condition = CONDITIONS[probabilities.index(max(probabilities))]
    return ConditionEstimate(condition, probabilities, _evidence(condition, values.tolist(), usable), usable)


def window_features(
    mid_price: NDArray[np.float64],
    volume_shares: NDArray[np.float64],
    spread_bps: NDArray[np.float64],
    expected_volume_shares: NDArray[np.float64],
    typical: TypicalMarket,
) -> NDArray[np.float64]:
    """The features of `classify`, shape (len(FEATURES),), for training and for reports.

    The window must hold at least MIN_USABLE_MINUTES prices.
    """
    bars = _workspace(mid_price, volume_shares, spread_bps, expected_volume_shares)
    return features_of(bars, _figures(typical))


def _workspace(
    mid_price: NDArray[np.float64],
    volume_shares: NDArray[np.float64],
    spread_bps: NDArray[np.float64],
    expected_volume_shares: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The last minutes as one array (4, n): one compiled signature whatever the caller's dtype or flags."""
    n = len(mid_price)
    if not len(volume_shares) == len(spread_bps) == len(expected_volume_shares) == n:
        raise ValueError("the bar arrays differ in length")
    start = max(0, n - LOOKBACK_MINUTES)
    bars = np.empty((4, n - start))
    bars[MID] = mid_price[start:]
    bars[VOLUME] = volume_shares[start:]
    bars[SPREAD] = spread_bps[start:]
    bars[EXPECTED] = expected_volume_shares[start:]
    return bars


def _figures(typical: TypicalMarket) -> tuple[float, float, float]:
    """(volatility of one average minute, spread_bps, volume a minute), 0 for what is not known."""
    daily, minutes = typical.daily_volatility_fraction, typical.minutes_per_day
    known = _known(daily) and _known(minutes)
    return (
        daily / math.sqrt(minutes) if known else 0.0,
        typical.spread_bps if _known(typical.spread_bps) else 0.0,
        typical.volume_per_minute_shares if _known(typical.volume_per_minute_shares) else 0.0,
    )


def _known(figure: float) -> bool:
    return math.isfinite(figure) and figure > 0.0


def _prior_estimate(usable: int) -> ConditionEstimate:
    condition = CONDITIONS[PRIOR.index(max(PRIOR))]
    evidence = f"only {usable} usable minutes of {MIN_USABLE_MINUTES} needed, so base rates"
    return ConditionEstimate(condition, PRIOR, evidence, usable, is_prior=True)


def _evidence(condition: MarketCondition, values: Sequence[float], minutes: int) -> str:
    """The features that carry the verdict, in units a trader reads."""
    volatility = f"volatility {math.exp(values[LOG_VOLATILITY]):.1f}x typical over {minutes} min"
    spread, volume = "spread unknown", "volume unknown"
    if values[SPREAD_MISSING] == 0.0:
        spread = f"spread {math.exp(values[LOG_SPREAD]):.1f}x"
    if values[VOLUME_MISSING] == 0.0:
        volume = f"volume {math.exp(values[LOG_VOLUME]):.1f}x"
    clause = f"{volatility}, {spread}, {volume}"
    if condition is MarketCondition.TRENDING:
        return f"{clause}, drift t {values[DRIFT_T]:.1f}"
    if condition is MarketCondition.MEAN_REVERTING:
        return f"{clause}, long variance ratio {math.exp(values[LOG_VARIANCE_RATIO_20]):.2f}"
    if condition is MarketCondition.NEWS_DRIVEN:
        move, after = math.exp(values[LARGEST_MOVE]), math.exp(values[VOLUME_AFTER_MOVE])
        return f"{clause}, largest move {move:.1f} sigma with {after:.1f}x the window's volume after it"
    return clause


@njit(cache=True)
def _knot_shares(minutes: float, knots: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.zeros(knots.size)
    at = bounded(math.log(max(minutes, 1.0)), knots[0], knots[-1])
    right = min(int(np.searchsorted(knots, at)), knots.size - 1)
    left = max(right - 1, 0)
    share = (at - knots[left]) / (knots[right] - knots[left]) if right > left else 0.0
    shares[left] += 1.0 - share
    shares[right] += share
    return shares


@njit(cache=True)
def _probabilities(
    values: NDArray[np.float64], minutes: float, knots: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Softmax of the interpolated linear scores, shape (6,). `weights` (knots, features, conditions)."""
    shares = _knot_shares(minutes, knots)
    scores = np.zeros(weights.shape[2])
    for k in range(weights.shape[0]):
        if shares[k] > 0.0:
            for f in range(weights.shape[1]):
                for c in range(weights.shape[2]):
                    scores[c] += shares[k] * values[f] * weights[k, f, c]
    scores = np.exp(scores - np.max(scores))
    return scores / np.sum(scores)
