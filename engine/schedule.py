"""When to trade how much: the chosen candidate's profile as slices of whole lots that sum to the order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.algorithms.flow import CELL_MID, STEPS
from engine.algorithms.scheduled import ramp_weights, shortfall_weights
from engine.catalogue import Candidate, Pace
from engine.decision import Schedule, Slice, SlicePhase
from engine.sessions import SessionPoint, instant_of

Array: TypeAlias = NDArray[np.float64]

MAX_SLICES = 24
MINUTES_PER_SLICE = 5.0
# Slices move by up to this part of their length, so that nobody can time them.
JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """What a schedule is made of."""

    candidate: Candidate
    quantity_shares: float
    lot_size_shares: float
    point: SessionPoint
    start_ns: int
    horizon_minutes: float
    cumulative: Array
    max_participation: float
    daily_volume_shares: float
    seed: int


def make_schedule(plan: Plan) -> Schedule:
    """Slices in time order; the auction, where there is one, comes last."""
    auction_ratio = float(plan.candidate.parameters.get("auction_ratio", 0.0))
    lots = round(plan.quantity_shares / plan.lot_size_shares)
    auction_lots = math.floor(lots * auction_ratio)
    edges = slice_edges(plan)
    weights = slice_weights(plan, edges)
    counts = split_lots(lots - auction_lots, weights)
    slices = []
    for index, count in enumerate(counts):
        if count == 0:
            continue
        begin = instant_of(plan.point.session, plan.point.minute + edges[index])
        end = instant_of(plan.point.session, plan.point.minute + edges[index + 1])
        begin = max(begin, plan.start_ns)
        seconds = max(end - begin, 0) / 1e9
        slices.append(Slice(begin, seconds, count * plan.lot_size_shares, SlicePhase.CONTINUOUS))
    end_ns = instant_of(plan.point.session, plan.point.minute + plan.horizon_minutes)
    if auction_lots > 0:
        end_ns = plan.point.session.close_ns
        slices.append(Slice(end_ns, 0.0, auction_lots * plan.lot_size_shares, SlicePhase.CLOSING_AUCTION))
    return Schedule(plan.start_ns, max(end_ns, plan.start_ns), plan.horizon_minutes, tuple(slices))


def slice_edges(plan: Plan) -> Array:
    """(slices + 1,) minutes from the start: even, the inner ones jittered by the seed."""
    count = min(MAX_SLICES, max(1, math.ceil(plan.horizon_minutes / MINUTES_PER_SLICE)))
    edges = np.linspace(0.0, plan.horizon_minutes, count + 1)
    if count > 1:
        width = plan.horizon_minutes / count
        edges[1:-1] += JITTER * width * (uniform(plan.seed, count - 1) - 0.5)
    return edges


def uniform(seed: int, count: int) -> Array:
    """(count,) numbers in [0, 1) from a seed: SplitMix64, written out so that no library version can change it."""
    with np.errstate(over="ignore"):
        x = np.uint64(seed & 0xFFFFFFFFFFFFFFFF) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    found: Array = (x >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    return found


def slice_weights(plan: Plan, edges: Array) -> Array:
    """(slices,) shares of the continuous part that sum to 1: the algorithm's profile along its own clock."""
    fractions = pace_fractions(plan, edges)
    profile = profile_of(plan.candidate)
    steps = np.concatenate(([0.0], np.cumsum(profile) / profile.sum()))
    done = np.interp(fractions, np.linspace(0.0, 1.0, STEPS + 1), steps)
    return np.diff(done)


def pace_fractions(plan: Plan, edges: Array) -> Array:
    """Where the edges lie on the algorithm's clock, from 0 to 1: time, or the volume expected."""
    if plan.candidate.spec.pace is Pace.CLOCK:
        return edges / plan.horizon_minutes
    grid = np.arange(len(plan.cumulative), dtype=np.float64)
    volume = np.interp(plan.point.minute + edges, grid, plan.cumulative)
    total = volume[-1] - volume[0]
    if total <= 0.0:
        return edges / plan.horizon_minutes
    fractions: Array = (volume - volume[0]) / total
    return fractions


def profile_of(candidate: Candidate) -> Array:
    """(STEPS,) planned pace over the horizon: what the structural model prices."""
    name = candidate.spec.name
    if name == "IMPLEMENTATION_SHORTFALL":
        return shortfall_weights(candidate.parameters["risk_aversion"])
    if name == "LIQUIDITY_SEEKING":
        return ramp_weights(0.9 * candidate.dark_pool_ratio)
    slopes = {"ADAPTIVE_TWAP": 0.25, "ADAPTIVE_VWAP": 0.1, "TARGET_CLOSE": 1.8, "OPPORTUNISTIC": -0.5}
    slope = slopes.get(name, 0.0)
    return ramp_weights(slope) if slope else np.ones_like(CELL_MID)


def split_lots(lots: int, weights: Array) -> list[int]:
    """Whole lots by cumulative rounding: never more than one lot off the exact path, and the sum is exact."""
    path = np.floor(np.cumsum(weights) / weights.sum() * lots + 0.5).astype(np.int64)
    path[-1] = lots
    path = np.maximum.accumulate(np.minimum(path, lots))
    return [int(x) for x in np.diff(np.concatenate(([0], path)))]
