"""When to trade how much: the chosen candidate's profile as slices of whole lots that sum to the order."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.catalogue import Candidate, Pace, profile_of
from engine.decision import (
    SLICE_BEGINS,
    SLICE_COLUMNS,
    SLICE_LASTS,
    SLICE_LOTS,
    SLICE_PHASE,
    Schedule,
    SlicePhase,
)
from engine.sessions import SessionPoint, instant_of, minutes_to_break, start_of

Array: TypeAlias = NDArray[np.float64]

MAX_SLICES = 24
MINUTES_PER_SLICE = 5.0
# Slices move by up to this part of their length, so that nobody can time them.
JITTER = 0.2
CONTINUOUS, CLOSING_AUCTION, CARRY_OVER = (
    SlicePhase.CONTINUOUS.value, SlicePhase.CLOSING_AUCTION.value, SlicePhase.CARRY_OVER.value,
)  # fmt: skip
_MASK_64 = 0xFFFFFFFFFFFFFFFF


class Plan(msgspec.Struct, frozen=True):
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
    fitting_fraction: float = 1.0


def make_schedule(plan: Plan) -> Schedule:
    """Slices in time order, none across a break; the auction, where there is one, comes last. What rests whole has a
    single slice, from start to end.

    A slice's quantity is the profile's over its own length, so jitter moves quantity with time and never lifts a
    slice's participation above the profile's highest, which the limit was held against.
    """
    if plan.candidate.spec.rests_whole:
        return resting(plan)
    auction_ratio = float(plan.candidate.parameters.get("auction_ratio", 0.0))
    lots = round(plan.quantity_shares / plan.lot_size_shares)
    auction_lots = math.floor(lots * auction_ratio)
    session = plan.point.session
    carried_lots = lots - math.floor(lots * plan.fitting_fraction + 1e-6)
    times = (session.open_ns, session.close_ns, session.break_start_ns, session.break_end_ns, plan.start_ns)
    table = np.empty((MAX_SLICES + 2, SLICE_COLUMNS), dtype=np.int64)
    found, end_ns, planned, largest = timed_slices(
        plan.horizon_minutes, np.uint64(plan.seed & _MASK_64), minutes_to_break(plan.point),
        profile_of(plan.candidate), plan.candidate.spec.pace is Pace.VOLUME, plan.cumulative, plan.point.minute,
        (lots - auction_lots - carried_lots, auction_lots, carried_lots), times, table,
    )
    return Schedule(
        plan.start_ns, end_ns, plan.horizon_minutes, plan.lot_size_shares, table[:found], planned, largest
    )


def resting(plan: Plan) -> Schedule:
    """All of the order in one slice, over a break too: it rests whenever there is trading, as it is simulated."""
    session, minute = plan.point.session, plan.point.minute
    begins = max(start_of(session, minute), plan.start_ns)
    end_ns = max(instant_of(session, minute + plan.horizon_minutes), begins)
    lots = round(plan.quantity_shares / plan.lot_size_shares)
    table = np.empty((1, SLICE_COLUMNS), dtype=np.int64)
    table[0, SLICE_BEGINS], table[0, SLICE_LASTS] = begins, end_ns - begins
    table[0, SLICE_LOTS], table[0, SLICE_PHASE] = lots, CONTINUOUS
    return Schedule(plan.start_ns, end_ns, plan.horizon_minutes, plan.lot_size_shares, table, lots, lots)


@njit(cache=True)
def timed_slices(
    horizon_minutes: float, seed: np.uint64, break_minutes: float, profile: Array, by_volume: bool, cumulative: Array,
    first_minute: float, lots: tuple[int, int, int], times: tuple[int, int, int, int, int], table: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """(slices that have any lots, the schedule's end in ns, all lots, lots of the largest slice that is sent); the
    slices go into `table` (MAX_SLICES + 2, SLICE_COLUMNS). lots: for continuous trading, for the closing auction,
    carried over. times: the session's open, close and break, and the plan's start, in ns. Instants are those of
    `engine.sessions.instant_of` and `start_of`."""
    edges = slice_edges(horizon_minutes, seed, break_minutes)
    counts = split_lots(lots[0], planned_shares(edges, profile, by_volume, cumulative, first_minute))
    found, planned, largest = 0, 0, 0
    for index in range(counts.shape[0]):
        if counts[index] > 0:
            begin = _instant(times, first_minute + edges[index])
            if times[2] <= begin < times[3]:
                begin = times[3]  # what starts at the break starts after it
            begin = max(begin, times[4])
            lasts = max(_instant(times, first_minute + edges[index + 1]) - begin, 0)
            table[found, SLICE_BEGINS], table[found, SLICE_LASTS] = begin, lasts
            table[found, SLICE_LOTS], table[found, SLICE_PHASE] = counts[index], CONTINUOUS
            planned, largest = planned + counts[index], max(largest, counts[index])
            found += 1
    end_ns = _instant(times, first_minute + horizon_minutes)
    if lots[1] > 0:
        end_ns = times[1]
        largest = max(largest, lots[1])
    for lots_then, phase in ((lots[1], CLOSING_AUCTION), (lots[2], CARRY_OVER)):
        if lots_then > 0:
            table[found, SLICE_BEGINS], table[found, SLICE_LASTS] = end_ns, 0
            table[found, SLICE_LOTS], table[found, SLICE_PHASE] = lots_then, phase
            planned += lots_then
            found += 1
    return found, max(end_ns, times[4]), planned, largest


@njit(cache=True)
def _instant(times: tuple[int, int, int, int, int], minute: float) -> int:
    opens, closes, break_start, break_end = times[0], times[1], times[2], times[3]
    instant: Any = opens + np.int64(np.rint(minute * 60_000_000_000.0))
    if break_end > break_start and instant > break_start:
        instant += break_end - break_start
    end: int = min(instant, closes)
    return end


@njit(cache=True)
def slice_edges(horizon_minutes: float, seed: np.uint64, break_minutes: float) -> Array:
    """(slices + 1,) minutes from the start: even, the inner ones jittered by the seed, one of them at the break.

    `break_minutes` until the break; outside the horizon it means nothing.
    """
    count = min(MAX_SLICES, max(1, math.ceil(horizon_minutes / MINUTES_PER_SLICE)))
    breaks = 1e-6 < break_minutes < horizon_minutes - 1e-6
    if breaks and count == 1:
        count = 2
    width = horizon_minutes / count
    edges = np.empty(count + 1)
    edges[0] = 0.0
    edges[count] = horizon_minutes
    for index in range(1, count):
        edges[index] = width * (index + JITTER * (uniform(seed, index) - 0.5))
    if breaks:
        nearest = 1
        for index in range(2, count):
            if abs(edges[index] - break_minutes) < abs(edges[nearest] - break_minutes):
                nearest = index
        edges[nearest] = break_minutes
    return edges


@njit(cache=True)
def uniform(seed: np.uint64, index: int) -> float:
    """The index-th number in [0, 1) of a seed (uint64): SplitMix64, written out so that no library can change it."""
    x = seed + np.uint64(index) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)) / 9007199254740992.0


@njit(cache=True)
def planned_shares(edges: Array, profile: Array, by_volume: bool, cumulative: Array, first_minute: float) -> Array:
    """(slices + 1,) share of the continuous part planned until each edge: the profile along its own clock, which is
    time or the volume expected. From 0 to 1, never falling."""
    count = edges.shape[0] - 1
    steps = profile.shape[0]
    before = np.zeros(steps + 1)
    for step in range(steps):
        before[step + 1] = before[step] + profile[step]
    volume = np.empty(count + 1)
    for index in range(count + 1):
        volume[index] = volume_by(cumulative, first_minute + edges[index])
    traded = volume[count] - volume[0]
    done = np.empty(count + 1)
    for index in range(count + 1):
        fraction = edges[index] / edges[count]
        if by_volume and traded > 0.0:
            fraction = (volume[index] - volume[0]) / traded
        at = min(max(fraction, 0.0), 1.0) * steps
        step = min(int(at), steps - 1)
        done[index] = (before[step] + (at - step) * profile[step]) / before[steps]
    done[0] = 0.0
    done[count] = 1.0
    return done


@njit(cache=True)
def volume_by(cumulative: Array, minute: float) -> float:
    """As numpy.interp over whole minutes: a straight line between them, flat beyond their ends."""
    last = cumulative.shape[0] - 1
    if minute <= 0.0:
        first: float = cumulative[0]
        return first
    if minute >= last:
        whole: float = cumulative[last]
        return whole
    low = int(minute)
    found: float = (cumulative[low + 1] - cumulative[low]) * (minute - low) + cumulative[low]
    return found


@njit(cache=True)
def split_lots(lots: int, planned: Array) -> NDArray[np.int64]:
    """(slices,) whole lots by cumulative rounding: never more than one lot off the exact path, and the sum is exact."""
    count = planned.shape[0] - 1
    counts = np.empty(count, dtype=np.int64)
    given = 0
    for index in range(count):
        until = min(math.floor(planned[index + 1] * lots + 0.5), lots)
        if index == count - 1:
            until = lots
        until = max(until, given)
        counts[index] = until - given
        given = until
    return counts
