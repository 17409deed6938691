"""What another policy would have cost, from logged outcomes and propensities (off-policy evaluation).

Of every logged order: the action's propensity, its realised cost in bps, whether the other
policy would have done the same, and what the model predicts for both. Three estimates of the other policy's mean cost:
IPS (inverse propensities, unbiased), SNIPS (normalised by the weights' sum: a little bias, less variance) and DR
(doubly robust: the model's prediction for all, corrected where the two agree). Weights are cut at MOST_WEIGHT, told by
`clipped`. Intervals: normal, over orders, at 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.performance import NORMAL_QUANTILE

Array = NDArray[np.float64]

MOST_WEIGHT: Final = 50.0


@dataclass(frozen=True, slots=True)
class Logged:
    """One order. chance: the other policy's probability of the action that was taken. predicted_bps: of that action;
    predicted_other_bps: mean over the other policy's own actions."""

    propensity: float
    chance: float
    cost_bps: float
    predicted_bps: float
    predicted_other_bps: float


class Estimate(NamedTuple):
    """Mean cost in bps with its 95 % interval; lower is better."""

    mean: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`logged`: what the orders really cost. `gain`: DR's difference, logged less other, paired by order; above 0 it is
    for the other policy. matched: orders in which both do the same; effective: orders that the weights are worth."""

    orders: int
    matched: int
    clipped: int
    effective: float
    logged: Estimate
    ips: Estimate
    snips: Estimate
    dr: Estimate
    gain: Estimate


def evaluate(rows: Sequence[Logged]) -> Evaluation:
    """Raises ValueError without orders, or for a propensity that is no probability."""
    if not rows:
        raise ValueError("no logged orders")
    if any(not 0.0 < row.propensity <= 1.0 for row in rows):
        raise ValueError("a propensity lies outside (0, 1]")
    cost = np.array([row.cost_bps for row in rows])
    raw = np.array([row.chance / row.propensity for row in rows])
    weight = np.minimum(raw, MOST_WEIGHT)
    doubly = np.array([row.predicted_other_bps for row in rows])
    doubly = doubly + weight * (cost - np.array([row.predicted_bps for row in rows]))
    total = float(weight.sum())
    mean = float(weight @ cost) / total if total > 0.0 else math.nan
    spread = weight * (cost - mean) * len(rows) / total if total > 0.0 else np.full(len(rows), math.nan)
    return Evaluation(
        orders=len(rows), matched=int(np.count_nonzero(weight > 0.0)), clipped=int(np.count_nonzero(raw > MOST_WEIGHT)),
        effective=total**2 / float(weight @ weight) if total > 0.0 else 0.0,
        logged=estimate(cost), ips=estimate(weight * cost), snips=around(mean, spread), dr=estimate(doubly),
        gain=estimate(cost - doubly),
    )


def estimate(values: Array) -> Estimate:
    mean = float(values.mean())
    return around(mean, values - mean)


def around(mean: float, influence: Array) -> Estimate:
    count = len(influence)
    if count < 2:
        return Estimate(mean, -math.inf, math.inf)
    half = NORMAL_QUANTILE * math.sqrt(float(influence @ influence) / (count - 1) / count)
    return Estimate(mean, mean - half, mean + half)
