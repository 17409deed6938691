"""One order on one path of the simulated market, minute by minute, by whatever plan is in force.

What the service advises becomes a policy of the simulator by the same table that its training runs on
(engine/simulator/policies.py); a new plan takes over what is left, with the displacement that the order has caused so
far and without its place in any queue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.catalogue import CATALOGUE, AlgorithmSpec, Candidate, HorizonRule, Pace, profile_of
from engine.decision import Decision, SlicePhase
from engine.simulator.execute import (
    DECAY_MINUTES,
    RESULTS,
    S_DONE,
    S_MID,
    STATES,
    advance,
    begin,
    constants_of,
    displacement,
    finish_kept,
    minute_weights,
    power_table,
)
from engine.simulator.market import MarketPaths
from engine.simulator.orders import SimulatedOrder
from engine.simulator.policies import AUCTION_RATIO, MINUTES, fill_planned, row_of
from engine.simulator.world import WorldParameters

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ground:
    """What all paths of an order share. order: from its own first minute on, without the warm-up."""

    order: SimulatedOrder
    constants: Array
    weights: Array
    keep: Array
    mean: Array
    powers: Array
    cumulative: Array
    cleaner: Array

    @property
    def minutes(self) -> int:
        return self.order.minutes


def ground_of(order: SimulatedOrder, world: WorldParameters, warm: int) -> Ground:
    """From an order whose first `warm` minutes are before it."""
    own = replace(order, start_minute=order.start_minute + warm, expected_volume=order.expected_volume[warm:])
    keep = np.exp(-1.0 / DECAY_MINUTES)
    a = world.assumptions
    return Ground(
        own, constants_of(own, world), minute_weights(a.decay_exponent), keep, DECAY_MINUTES * (1.0 - keep),
        power_table(a.temporary_exponent), np.concatenate((np.zeros(1), np.cumsum(own.expected_volume))),
        cleaner_of(own.max_participation),
    )


def cleaner_of(max_participation: float) -> Array:
    """What goes on where a plan ends with something left (docs/adr/0032): the catalogue's POV at the most that the
    order allows."""
    spec = spec_of("POV")
    rate = dict.fromkeys(spec.ranges, 0.0) | {"participation_rate": max_participation}
    return np.array(row_of(Candidate(spec, 0, rate)))


@dataclass(frozen=True, slots=True)
class Policy:
    """A plan as the simulator runs it, from a minute of the order on, for the part `whole` of it."""

    numbers: Array
    planned: NDArray[np.float32]
    whole: float
    first: int

    @property
    def end(self) -> int:
        """The minute before which it is over."""
        return self.first + int(self.numbers[MINUTES])

    @property
    def waits_for_auction(self) -> bool:
        return bool(self.numbers[AUCTION_RATIO] > 0.0)


@cache
def spec_of(algorithm: str) -> AlgorithmSpec:
    return next(spec for spec in CATALOGUE if spec.name == algorithm)


def candidate_of(decision: Decision) -> Candidate:
    """The candidate that a decision chose, its duration as planned."""
    spec = spec_of(decision.chosen.algorithm)
    return Candidate(spec, 0, {name: float(decision.chosen.parameters[name]) for name in spec.ranges})


def policy_for(candidate: Candidate, minutes: float, whole: float, first: int, ground: Ground) -> Policy:
    """A candidate from minute `first` on; `minutes` counts where its rule is a duration."""
    numbers = np.array(row_of(candidate))
    left = ground.minutes - first
    if candidate.spec.rule is HorizonRule.DURATION:
        numbers[MINUTES] = min(max(round(minutes), 1), left)
    else:
        numbers[MINUTES] = left
    length = numbers[MINUTES : MINUTES + 1]
    planned = np.empty((1, int(length[0]) + 1), dtype=np.float32)
    volume = ground.cumulative[first:] - ground.cumulative[first]
    paced = np.array([candidate.spec.pace is Pace.VOLUME])
    fill_planned(planned, length, profile_of(candidate)[None, :], paced, volume)
    return Policy(numbers, planned[0], whole, first)


def policy_of(decision: Decision, parent_shares: float, first: int, ground: Ground) -> Policy:
    """What a decision wants from minute `first` on."""
    planned = sum(s.quantity_shares for s in decision.schedule.slices if s.phase is not SlicePhase.CARRY_OVER)
    horizon = decision.schedule.horizon_minutes
    return policy_for(candidate_of(decision), horizon, planned / parent_shares, first, ground)


class Walk:
    """The order under way. `path` (minutes, FIELDS) from its first minute on; `mirror` -1 for the second of a pair."""

    __slots__ = ("_auction", "_ground", "_mirror", "_path", "policy", "state")

    def __init__(self, ground: Ground, paths: MarketPaths, pair: int, mirror: float, warm: int) -> None:
        self._ground = ground
        self._path = paths.fields[pair, warm:]
        self._auction = float(paths.auction_volume[pair])
        self._mirror = mirror
        self.state: Array = np.zeros(STATES)
        self.policy: Policy | None = None

    def copied(self) -> Walk:
        """The same moment, to go on otherwise."""
        other: Walk = object.__new__(Walk)
        other._ground, other._path, other._auction = self._ground, self._path, self._auction
        other._mirror, other.state, other.policy = self._mirror, self.state.copy(), self.policy
        return other

    @property
    def done(self) -> float:
        """Share of the order that is filled."""
        return float(self.state[S_DONE])

    @property
    def moved(self) -> float:
        """The mid against the order since its start, daily volatilities, with its own displacement."""
        return float(self.state[S_MID] + displacement(self.state))

    def take(self, policy: Policy) -> None:
        """Another plan from its first minute on."""
        whole = min(policy.whole, 1.0 - self.done)
        self.policy = policy
        begin(self.state, self._path, policy.first, max(whole, 0.0))

    def until(self, start: int, stop: int) -> None:
        """Trades from minute `start` until `stop`."""
        policy, ground = self.policy, self._ground
        assert policy is not None
        advance(
            self._path, start, min(stop, policy.end), policy.numbers, policy.planned, ground.order.expected_volume,
            ground.constants, ground.weights, ground.keep, ground.mean, ground.powers, self._mirror, self.state,
        )

    def end(self) -> Array:
        """(RESULTS,) what it came to when the plan in force is over and what it left is cleaned up."""
        policy, ground = self.policy, self._ground
        assert policy is not None
        out = np.zeros(RESULTS)
        finish_kept(
            self._path, self._auction, policy.numbers, policy.planned, ground.cleaner, ground.order.expected_volume,
            ground.constants, ground.weights, ground.keep, ground.mean, ground.powers, self._mirror,
            self.state.copy(), out,
        )
        return out
