"""What an algorithm does to the market, as flows over its own horizon.

Time within the horizon is u in (0, 1), cut into STEPS equal cells. All grid arguments broadcast: `participation`,
`horizon_days` and `pool_share` have shape (...,), the flows (..., STEPS). A flow is a share of the order a unit of
u, so that its mean over the cells is the share of the order that goes that way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.assumptions import ConditionDynamics, StructuralAssumptions

Array: TypeAlias = NDArray[np.float64]

STEPS = 32
CELL_MID: Array = (np.arange(STEPS) + 0.5) / STEPS


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a flow is evaluated.

    participation: our volume over the market's expected volume in the horizon, (...,), > 0
    horizon_days: clock time in trading days, (...,), > 0
    pool_share: dark share of volume for dark algorithms, closing auction's share for TARGET_CLOSE, (...,)
    """

    participation: Array
    horizon_days: Array
    pool_share: Array
    market: ConditionDynamics
    assumptions: StructuralAssumptions

    @property
    def shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(self.participation.shape, self.horizon_days.shape, self.pool_share.shape)

    @property
    def size_days(self) -> Array:
        """Order over average daily volume, as participation x horizon."""
        return np.broadcast_to(self.participation * self.horizon_days, self.shape)


@dataclass(frozen=True, slots=True)
class Flow:
    """An algorithm's expected flows.

    aggressive, passive, dark: (..., STEPS). auction, remainder, completion: (...,) shares and a probability.
    volume_noise_log_sd: how far participation strays from plan, (...,).
    spread_saving: share of the half-spread saved by choosing tight moments, (...,).
    mid_gain: expected gain from trading with (positive) or against the mid's own dynamics, in daily volatilities.
    footprint: part of a passive or dark share that others can see, 0 to 1.
    book_walk: quoted spreads paid beyond the touch by crossing everything at once, (...,).
    patience: how long children rest before they cross, 0 (never) to 1 (always).
    dark_ratio: share of the order that is shown to dark venues, whether it fills or not.
    """

    aggressive: Array
    passive: Array
    dark: Array
    auction: Array
    remainder: Array
    completion: Array
    volume_noise_log_sd: Array
    spread_saving: Array
    mid_gain: Array
    footprint: float
    book_walk: Array
    patience: float
    dark_ratio: float = 0.0


class Algorithm(Protocol):
    """One formula: parameters in, flows out."""

    def __call__(self, setting: Setting) -> Flow: ...


def ndtr(x: Array) -> Array:
    """Standard normal distribution function (Abramowitz and Stegun 7.1.26 is too coarse; erf is exact)."""
    errors: Array = np.vectorize(math.erf, otypes=[np.float64])(np.asarray(x) / math.sqrt(2.0))
    return 0.5 * (1.0 + errors)


def expected_capped_share(level: Array, median: Array | float, log_sd: Array | float) -> Array:
    """E[min(1, F / level)] for lognormal F: the share of an order that a random flow can take.

    level > 0, (...,); median > 0. In (0, 1], falls as level rises.
    """
    level = np.asarray(level, dtype=np.float64)
    log_sd = np.asarray(log_sd, dtype=np.float64)
    distance = (np.log(level) - np.log(median)) / log_sd
    mean = np.asarray(median) * np.exp(0.5 * log_sd**2)
    return np.minimum(1.0, mean / level * ndtr(distance - log_sd) + 1.0 - ndtr(distance))


def child_passive_share(setting: Setting, patience: float) -> Array:
    """Share of a child order that fills at the touch before it crosses; patience 1 waits the whole slice."""
    a = setting.assumptions
    median = a.touch_flow_share * patience * setting.market.passive_fill_multiplier
    share = expected_capped_share(setting.participation, median, a.touch_flow_log_sd)
    return np.broadcast_to(a.max_passive_share * share, setting.shape)


def expected_dark_share(setting: Setting, ratio: float, patience: float) -> Array:
    """Share of the order that fills dark when `ratio` of it is sent there.

    Hidden liquidity over the horizon has a heavy tail, P(hidden > x) = (1 + x/m)^-1.5 (Pareto of the second kind), of
    mean 2m, a part of the dark volume; the expected fill is E[min(sent, hidden)] = 2m (1 - (1 + sent/m)^-1/2).
    """
    sent = ratio * setting.participation  # over market volume
    scale = 0.25 * patience * setting.pool_share * setting.market.dark_fill_multiplier
    filled = 2.0 * scale * (1.0 - 1.0 / np.sqrt(1.0 + sent / np.maximum(scale, 1e-12)))
    return np.broadcast_to(np.minimum(filled, sent) / setting.participation, setting.shape)


def reversion_gain(setting: Setting, selectivity: float) -> Array:
    """Daily volatilities gained by buying below and selling above the anchor.

    Under a martingale mid choosing moments gains nothing (optional stopping), so the gain is the stationary standard
    deviation of the reverting part, and it is negative, in proportion to the drift, in a trend.
    """
    theta, market = setting.market.reversion_per_day, setting.market
    horizon = setting.horizon_days
    reverting: Array | float = 0.0
    if theta > 0.0:
        stationary = 1.0 / math.sqrt(2.0 * theta)
        reverting = stationary * (1.0 - np.exp(-theta * horizon))
    trend = market.drift_sd_per_day * market.drift_life_days * (1.0 - np.exp(-horizon / market.drift_life_days))
    return np.broadcast_to(selectivity * (0.5 * reverting - 0.15 * trend), setting.shape)


def spread(values: Array, weights: Array) -> Array:
    """(...,) shares spread over the cells by (STEPS,) or (..., STEPS) weights of mean 1."""
    return values[..., None] * weights


def zeros(setting: Setting) -> Array:
    return np.zeros(setting.shape)
