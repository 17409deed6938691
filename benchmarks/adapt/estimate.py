"""From paths to utilities of what was left of an order at the change, and from those to gains.

    U = E[IS] + lambda SD[IS] + time_price x mean execution time,      bps of the whole order, from the change on

as in training/simulator/estimates.py: the mid's martingale part is left out of the mean, where it is zero by
construction, and in the variance it is the analytic variance of holding. Policies that react to the market hold what
depends on the past only, so that both stay true for them. Mirrored pairs are both run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.statistics import Bootstrap, Estimate
from engine.simulator.execute import (
    DARK_FILLED,
    DRIFT_PART,
    HELD_VARIANCE,
    MARTINGALE,
    MEAN_TIME,
    PASSIVE_FILLED,
    S_DARK,
    S_DONE,
    S_DRIFT,
    S_HELD,
    S_MARTINGALE,
    S_PASSIVE,
    S_SIGMA,
    S_SPREAD,
    S_TIME,
    SIGMA_PART,
    SPREAD_PART,
)
from engine.simulator.orders import SimulatedOrder

Array: TypeAlias = NDArray[np.float64]

# Columns of a remainder, one row a path: what was paid from the change on.
SPREAD, SIGMA, MART, DRIFT, HELD, TIME, DARK, PASSIVE, LEFT = range(9)
COLUMNS = 9
_RESULT = (SPREAD_PART, SIGMA_PART, MARTINGALE, DRIFT_PART, HELD_VARIANCE, MEAN_TIME, DARK_FILLED, PASSIVE_FILLED)
_STATE = (S_SPREAD, S_SIGMA, S_MARTINGALE, S_DRIFT, S_HELD, S_TIME, S_DARK, S_PASSIVE)


def remainder_rows(results: Array, state: Array, minute: int) -> Array:
    """(..., COLUMNS) of results (..., RESULTS) from a state (STATES,) at a minute; time counts from there."""
    left = 1.0 - float(state[S_DONE])
    found = np.empty((*results.shape[:-1], COLUMNS))
    for column, (result, before) in enumerate(zip(_RESULT, _STATE, strict=True)):
        found[..., column] = results[..., result] - state[before]
    found[..., TIME] -= minute * left
    found[..., LEFT] = left
    return found


@dataclass(frozen=True, slots=True)
class Utility:
    """bps of the whole order. spread_and_fees: the part of it that half-spreads and fees are, with what resting earns
    and loses at the touch."""

    total: float
    spread_and_fees: float


def utility_of(order: SimulatedOrder, rows: Array) -> Utility:
    """Of (paths, COLUMNS)."""
    own = rows[:, SIGMA] + rows[:, SPREAD] * (order.spread_bps / order.sigma_bps)
    rest = own + rows[:, DRIFT]
    rest = rest - rest.mean()
    variance = rows[:, HELD].mean() + (rest**2).mean() + 2.0 * (rest * rows[:, MART]).mean()
    crossed = rows[:, LEFT] - rows[:, DARK] - rows[:, PASSIVE]
    fees = rows[:, DARK] * order.dark_fee_bps + rows[:, PASSIVE] * order.maker_fee_bps + crossed * order.taker_fee_bps
    spread_and_fees = float((order.spread_bps * rows[:, SPREAD] + fees).mean())
    moved = order.sigma_bps * float((rows[:, SIGMA] + rows[:, DRIFT]).mean())
    permanent = order.permanent_bps * float(rows[:, LEFT].mean())
    risk = order.risk_aversion * order.sigma_bps * float(np.sqrt(max(variance, 0.0)))
    waiting = (order.alpha_bps_per_day + order.time_price_bps_per_day) * float(rows[:, TIME].mean())
    return Utility(
        spread_and_fees + moved + permanent + risk + waiting / order.session_minutes, spread_and_fees
    )


@dataclass(frozen=True, slots=True)
class Gains:
    """Of many orders, bps: what was saved against leaving them alone, and what that is a part of."""

    saved: Array
    possible: Array
    at_stake: Array
    weights: Array

    def gain(self, draws: Bootstrap) -> Estimate:
        return draws.ratio(self.saved * self.weights, self.at_stake * self.weights)

    def ceiling(self, draws: Bootstrap) -> Estimate:
        return draws.ratio(self.possible * self.weights, self.at_stake * self.weights)

    def captured(self, draws: Bootstrap) -> Estimate:
        return draws.ratio(self.saved * self.weights, self.possible * self.weights)


def picked_and_valued(order: SimulatedOrder, choices: Sequence[Array], halves: NDArray[np.bool_]) -> float:
    """The utility of the best of some choices (each (paths, COLUMNS)), picked on one half of the paths (a mask) and
    valued on the other, and the other way round: nothing is flattered by its own luck."""
    found = []
    for picking in (halves, ~halves):
        best = min(range(len(choices)), key=lambda n: utility_of(order, choices[n][picking]).total)
        found.append(utility_of(order, choices[best][~picking]).total)
    return float(np.mean(found))
