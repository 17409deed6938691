"""Candidates as policies: what each algorithm does in a minute, from the profiles that production schedules run on.

A policy is a row of numbers and a planned curve. The curves come from `engine.schedule.planned_shares` and
`engine.catalogue.profile_of`, the code that slices the schedules which clients are sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.algorithms.flow import STEPS
from engine.catalogue import Candidate, CandidateSet, HorizonRule, Pace, profile_of
from engine.schedule import planned_shares
from engine.simulator.orders import SimulatedOrder

# What a policy does with its plan.
SCHEDULE, RATE, REST, PRICE_INLINE, SWEEP, REACT = range(6)

# Columns of PolicyTable.numbers.
(
    KIND, MINUTES, PATIENCE, DARK_RATIO, DARK_PATIENCE, ON_SPREAD, ON_VOLUME, FOOTPRINT, SPEED, AUCTION_RATIO,
    TOUCH_PART, LEAKS,
) = range(12)
COLUMNS = 12

# What is shown is a part of what stands ahead, and every refill joins the end of the queue: of the flow that reaches us
# most goes to the others: resting alone gets about 5 % of volume (assumed; the structural model hopes for 10 %).
PART_BEHIND_QUEUE = 0.25


@dataclass(frozen=True, slots=True)
class Habit:
    """How an algorithm works its children; the figures are those its structural formula is priced with."""

    kind: int = SCHEDULE
    patience: float = 0.5
    dark_patience: float = 0.0
    on_spread: float = 0.0
    on_volume: float = 0.0
    footprint: float = 0.5


HABITS: dict[str, Habit] = {
    "TWAP": Habit(patience=0.6),
    "VWAP": Habit(patience=0.5),
    "POV": Habit(RATE, patience=0.35),
    "IMPLEMENTATION_SHORTFALL": Habit(patience=0.45),
    "ADAPTIVE_TWAP": Habit(REACT, patience=0.6, dark_patience=0.6, on_spread=0.5),
    "ADAPTIVE_VWAP": Habit(REACT, patience=0.5, dark_patience=0.6, on_spread=0.3, on_volume=0.5),
    "LIQUIDITY_SEEKING": Habit(patience=0.4, dark_patience=1.0, footprint=0.35),
    "OPPORTUNISTIC": Habit(PRICE_INLINE, patience=0.7, footprint=0.4),
    "TARGET_CLOSE": Habit(patience=0.5, footprint=0.4),
    "PASSIVE_PEG": Habit(REST, patience=1.0),
    "ICEBERG": Habit(REST, patience=1.0),
    "AGGRESSIVE_SWEEP": Habit(SWEEP, patience=0.0, footprint=1.0),
}


@dataclass(frozen=True, slots=True)
class PolicyTable:
    """numbers: (n, COLUMNS). planned: (n, minutes + 1) share of the continuous part planned until each minute."""

    numbers: NDArray[np.float64]
    planned: NDArray[np.float32]


def row_of(candidate: Candidate) -> list[float]:
    """One policy, but for its minutes."""
    name, parameters = candidate.spec.name, candidate.parameters
    habit = HABITS[name]
    dark = candidate.dark_pool_ratio
    footprint, touch_part = habit.footprint, PART_BEHIND_QUEUE
    if name == "ICEBERG":
        display = float(parameters["display_ratio"])
        footprint, touch_part = 0.1 + 0.35 * display, PART_BEHIND_QUEUE * (0.45 + 0.45 * display)
    speed = float(parameters.get("participation_rate", parameters.get("speed", 0.0)))
    return [
        float(habit.kind), 0.0, habit.patience, dark, habit.dark_patience if dark > 0.0 else 0.0, habit.on_spread,
        habit.on_volume, footprint, speed, float(parameters.get("auction_ratio", 0.0)), touch_part, dark**2,
    ]


@dataclass(frozen=True, slots=True)
class PolicyTemplate:
    """What does not depend on the order."""

    numbers: NDArray[np.float64]
    profiles: NDArray[np.float64]
    duration_minutes: NDArray[np.float64]
    by_volume: NDArray[np.bool_]


def template_of(catalogue: CandidateSet) -> PolicyTemplate:
    candidates = catalogue.candidates
    durations = [
        float(c.parameters["duration_minutes"]) if c.spec.rule is HorizonRule.DURATION else math.inf
        for c in candidates
    ]
    return PolicyTemplate(
        numbers=np.array([row_of(c) for c in candidates]),
        profiles=np.array([profile_of(c) for c in candidates]).reshape(len(candidates), STEPS),
        duration_minutes=np.array(durations),
        by_volume=np.array([c.spec.pace is Pace.VOLUME for c in candidates]),
    )


def policies_of(template: PolicyTemplate, order: SimulatedOrder, chosen: NDArray[np.int64]) -> PolicyTable:
    """The policies of some candidates (indices) for one order."""
    numbers = template.numbers[chosen].copy()
    wanted = np.maximum(np.round(template.duration_minutes[chosen]), 1.0)
    minutes: NDArray[np.float64] = np.minimum(wanted, float(order.minutes))
    numbers[:, MINUTES] = minutes
    cumulative: NDArray[np.float64] = np.concatenate((np.zeros(1), np.cumsum(order.expected_volume)))
    planned = np.empty((len(chosen), int(minutes.max(initial=1.0)) + 1), dtype=np.float32)
    fill_planned(planned, minutes, template.profiles[chosen], template.by_volume[chosen], cumulative)
    return PolicyTable(numbers, planned)


@njit(cache=True)
def fill_planned(planned, minutes, profiles, by_volume, cumulative):
    """Every policy's plan at whole minutes; past its end it stays at 1."""
    for n in range(minutes.shape[0]):
        last = int(minutes[n])
        curve = planned_shares(np.arange(last + 1).astype(np.float64), profiles[n], by_volume[n], cumulative, 0.0)
        for t in range(planned.shape[1]):
            planned[n, t] = curve[min(t, last)]
