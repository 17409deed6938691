"""Policies on paths, compiled: what each candidate pays on each path, minute by minute.

Within a minute: hidden liquidity first, then the touch (queue, flow, information), then whoever is out of patience
crosses. Prices carry our own displacement: every visible fill pushes the mid by the square root of its participation,
and that decays as a power law t^-1/2, kept as a sum of exponentials; crossing pays a concave instantaneous part on
top. With exponents that sum to one no round trip pays (Gatheral 2010; training/simulator/round_trips.py searches).
Linear permanent impact costs the same whatever the path and is added by `estimates`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.assumptions import StructuralAssumptions
from engine.simulator.market import (
    DRIFT,
    HALF_SPREAD,
    HARM,
    HIDDEN,
    INFORMATION,
    INNOVATION,
    LEVEL,
    QUEUE,
    TOUCH,
    VARIANCE,
    VOLUME,
    MarketPaths,
)
from engine.simulator.orders import SimulatedOrder
from engine.simulator.policies import (
    AUCTION_RATIO,
    DARK_PATIENCE,
    DARK_RATIO,
    FOOTPRINT,
    KIND,
    LEAKS,
    MINUTES,
    ON_SPREAD,
    ON_VOLUME,
    PATIENCE,
    PRICE_INLINE,
    RATE,
    REACT,
    REST,
    SPEED,
    SWEEP,
    TOUCH_PART,
    PolicyTable,
)
from engine.simulator.world import WorldParameters

# What a run gives for every candidate and path.
(
    SPREAD_PART,  # quoted spreads paid
    SIGMA_PART,  # daily volatilities paid to impact, leaks and cleaning up
    MARTINGALE,  # sum of holdings x innovations: mean zero, the control variate
    DRIFT_PART,  # sum of holdings x the rest of the mid's moves
    HELD_VARIANCE,  # sum of holdings^2 x variance: the martingale's own variance
    MEAN_TIME,  # minutes, what is left over counted at the end
    UNFILLED,  # share left at the horizon
    DARK_FILLED,
    PASSIVE_FILLED,
    END_MINUTE,  # of the last fill
) = range(10)
RESULTS = 10

# Decay times of the exponentials, minutes.
DECAY_MINUTES = np.array([0.4, 2.0, 9.0, 40.0, 190.0, 1500.0])
# Part of a minute's final displacement that its own fills pay on average: of a rise as sqrt(t), two thirds.
OWN_SHARE = 2.0 / 3.0
# A power by interpolation in the square root: the steps of the table for participation^0.6.
POWER_STEPS = 4096
MOST_PARTICIPATION = 16.0


@dataclass(frozen=True, slots=True)
class Run:
    """values: (candidates, paths, RESULTS) float32. Paths 0..pairs-1 are the first of each pair; where `mirrored`, the
    second ones follow. Candidates that do not look at the mid are the same on both but for MARTINGALE and DRIFT_PART,
    whose signs turn."""

    values: NDArray[np.float32]
    pairs: int


# `fitted_weights` of the exponents that are served: a worker need not load a solver.
FITTED = {
    0.5: (
        1.0530954371135655, 0.4196031524939084, 0.2778666785649337, 0.1305886138716946, 0.0646214588990967,
        0.054221299415696846,
    ),
}


@cache
def minute_weights(exponent: float) -> NDArray[np.float64]:
    """What a minute of steady trading leaves in each exponential at its end, of `fitted_weights`."""
    known = FITTED.get(exponent)
    return fitted_weights(exponent) if known is None else np.array(known)


def fitted_weights(exponent: float) -> NDArray[np.float64]:
    """Increments a_k >= 0: what a minute of steady trading leaves in each exponential at its end.

    Fitted so that sum a_k exp(-m / tau_k) is what the kernel t^-exponent leaves m minutes later, the integral of
    (m + 1 - s)^-exponent over s from 0 to 1, for m from 0 to 400 (largest error below 2 %, and none in the minute
    itself; tests/golden/test_simulator.py). A fit to the kernel instead would lose what its pole at 0 holds: a third
    of a minute's own displacement, enough for round trips that pay.
    """
    from scipy.optimize import nnls

    m = np.arange(401.0)
    power = 1.0 - exponent
    target = ((m + 1.0) ** power - m**power) / power
    importance = 1.0 / np.sqrt(np.maximum(m, 1.0))
    importance[0] = 30.0
    matrix = np.exp(-m[:, None] / DECAY_MINUTES[None, :]) / target[:, None]
    weights: NDArray[np.float64] = nnls(matrix * importance[:, None], importance)[0]
    return weights


@cache
def power_table(exponent: float) -> NDArray[np.float64]:
    """participation^exponent at even steps of the square root of participation."""
    root = np.linspace(0.0, np.sqrt(MOST_PARTICIPATION), POWER_STEPS + 1)
    table: NDArray[np.float64] = root ** (2.0 * exponent)
    return table


# Positions in the vector of constants.
(
    X_SIZE, X_DAY, X_LIMIT, X_ETA, X_PULSE, X_TRANSIENT_Y, X_CLEANUP_DAYS, X_CLEANUP_SPREADS, X_LEAK, X_LEAK_KEEP,
    X_AUCTION_Y, X_DEPTH, X_LEAST_DARK, X_VOLUME_A_DAY, X_REACH,
) = range(15)


def constants_of(order: SimulatedOrder, world: WorldParameters) -> NDArray[np.float64]:
    """X_REACH: how far the mid may go against the order before nothing of it trades (a price limit), daily volatilities
    from where the paths begin, our displacement before them included; infinite here."""
    a: StructuralAssumptions = world.assumptions
    minutes = order.session_minutes
    # A steady rate displaces by y0 sqrt(rate) 2 sqrt(T) and costs two thirds of that on average: transient_y is the
    # cost's coefficient, so y0 is three quarters of it. The kernel runs in minutes, hence the change of unit.
    pulse = 0.75 * a.transient_y * world.impact_factor * minutes ** (a.decay_exponent - 1.0)
    leak = a.dark_leakage * world.leak_factor * np.sqrt(order.size_days / a.dark_leakage_size_days)
    return np.array([
        order.size_days, 1.0 / minutes, order.max_participation, a.temporary_eta * world.impact_factor, pulse,
        a.transient_y * world.impact_factor, a.cleanup_days, a.cleanup_half_spreads, leak,
        np.exp(-1.0 / world.leak_minutes), a.auction_impact_y * world.impact_factor, a.book_depth_share,
        world.dark_least_fill, 1.0, np.inf,
    ])


def execute(order: SimulatedOrder, world: WorldParameters, paths: MarketPaths, policies: PolicyTable,
            mirrored: bool = False) -> Run:
    """Runs every policy on every path; `mirrored` runs the second of each pair too (price-inline policies need it)."""
    count = paths.pairs * (2 if mirrored else 1)
    values = np.zeros((len(policies.numbers), count, RESULTS), dtype=np.float32)
    a = world.assumptions
    keep = np.exp(-1.0 / DECAY_MINUTES)
    run_all(
        paths.fields, paths.auction_volume, policies.numbers, policies.planned, order.expected_volume,
        constants_of(order, world), minute_weights(a.decay_exponent), keep, DECAY_MINUTES * (1.0 - keep),
        power_table(a.temporary_exponent), mirrored, values,
    )
    return Run(values, paths.pairs)


@njit(cache=True, inline="always")
def _power(table, x):
    """x^exponent by linear interpolation in sqrt(x); x >= 0."""
    at = np.sqrt(min(x, 15.9)) * 1024.0
    low = int(at)
    return table[low] + (at - low) * (table[low + 1] - table[low])


@njit(cache=True)
def run_all(fields, auction_volume, numbers, planned, expected, x, weights, keep, mean, table, mirrored, values):
    """Paths outside, candidates inside: a path's fields stay in the nearest cache while all candidates pass."""
    pairs = fields.shape[0]
    for p in range(pairs):
        for n in range(numbers.shape[0]):
            run_one(fields[p], auction_volume[p], numbers[n], planned[n], expected, x, weights, keep, mean, table,
                    1.0, values[n, p])
            if mirrored:
                run_one(fields[p], auction_volume[p], numbers[n], planned[n], expected, x, weights, keep, mean, table,
                        -1.0, values[n, pairs + p])


@njit(cache=True)
def run_one(path, auction_volume, policy, planned, expected, x, weights, keep, mean, table, mirror, out):
    """One candidate on one path. `mirror` is -1 for the second of a pair; `mean` is what is left of an exponential
    over a minute, on average."""
    state = np.zeros(STATES)
    begin(state, path, 0, 1.0)
    minutes = int(policy[MINUTES])
    advance(path, 0, minutes, policy, planned, expected, x, weights, keep, mean, table, mirror, state)
    finish(path, auction_volume, policy, expected, x, table, state, out)


# What an order is in the middle of its life, (STATES,) float64: displacements and leak, what is done, where the mid is,
# the sums that become results, and the plan in force - the minute it began, what was done then, the part of the order
# that it is for, the mid it began at.
(
    S_J0, S_J1, S_J2, S_J3, S_J4, S_J5, S_LEAK, S_DONE, S_AIMED, S_MID, S_USUAL_SPREAD, S_AHEAD, S_SPREAD, S_SIGMA,
    S_MARTINGALE, S_DRIFT, S_HELD, S_TIME, S_DARK, S_PASSIVE, S_END, S_FIRST, S_BASE, S_WHOLE, S_ANCHOR,
) = range(25)
STATES = 25


@njit(cache=True)
def begin(s, path, minute, whole):
    """A plan for the part `whole` of the order begins at a minute, whatever was done before it."""
    s[S_FIRST] = minute
    s[S_BASE] = s[S_DONE]
    s[S_AIMED] = s[S_DONE]
    s[S_WHOLE] = whole
    s[S_ANCHOR] = s[S_MID] + displacement(s)
    s[S_USUAL_SPREAD] = path[minute, HALF_SPREAD]
    s[S_AHEAD] = path[minute, QUEUE]


@njit(cache=True)
def displacement(s):
    """What the order has moved the mid by, daily volatilities."""
    return s[S_J0] + s[S_J1] + s[S_J2] + s[S_J3] + s[S_J4] + s[S_J5] + s[S_LEAK]


@njit(cache=True)
def advance(path, start, stop, policy, planned, expected, x, weights, keep, mean, table, mirror, s):
    """Trades by one plan from minute `start` until `stop` of the path; `planned` and the plan's minutes count from the
    one it began at.

    One loop on purpose: with parts of a minute in functions of their own, inlined and all, a run took 3 % longer.
    """
    size, limit, reach = x[X_SIZE], x[X_LIMIT], x[X_REACH]
    kind = int(policy[KIND])
    first = int(s[S_FIRST])
    minutes = int(policy[MINUTES])
    patience, footprint = policy[PATIENCE], policy[FOOTPRINT]
    dark_ratio, dark_patience = policy[DARK_RATIO], policy[DARK_PATIENCE]
    auction_ratio = policy[AUCTION_RATIO]
    base, whole = s[S_BASE], s[S_WHOLE]
    worked = whole * (1.0 - auction_ratio)  # share of the order for the continuous session
    eta, pulse = x[X_ETA], x[X_PULSE]
    leak_goal = x[X_LEAK] * np.sqrt(whole) * policy[LEAKS]
    # In variables of its own: of the array, every minute would load and store.
    j0, j1, j2, j3, j4, j5 = s[S_J0], s[S_J1], s[S_J2], s[S_J3], s[S_J4], s[S_J5]
    leak_level, done, aimed, mid, anchor = s[S_LEAK], s[S_DONE], s[S_AIMED], s[S_MID], s[S_ANCHOR]
    usual_spread, ahead, time, end = s[S_USUAL_SPREAD], s[S_AHEAD], s[S_TIME], s[S_END]
    spread_part, sigma_part, dark_done, passive_done = s[S_SPREAD], s[S_SIGMA], s[S_DARK], s[S_PASSIVE]
    martingale, drift_part, held_variance = s[S_MARTINGALE], s[S_DRIFT], s[S_HELD]
    for t in range(start, stop):
        now = path[t]
        left = base + worked - done
        if left <= 1e-9 and auction_ratio <= 0.0:
            break
        displaced = j0 + j1 + j2 + j3 + j4 + j5 + leak_level
        leaked = leak_level
        volume = now[VOLUME]
        half = now[HALF_SPREAD]

        # What is wanted this minute, share of the order.
        child = 0.0
        if kind == RATE:
            child = min(left, policy[SPEED] * volume / size)
        elif kind == REST:
            child = left
        elif kind == PRICE_INLINE:
            if mid + displaced - anchor <= 1e-12:
                child = min(left, policy[SPEED] * whole * (planned[t - first + 1] - planned[t - first]))
        elif kind == SWEEP:
            child = left
        elif kind == REACT:
            step = worked * (planned[t - first + 1] - planned[t - first])
            pace = 1.0
            if policy[ON_SPREAD] > 0.0:
                pace += policy[ON_SPREAD] * 2.0 * (usual_spread - half) / usual_spread
            if policy[ON_VOLUME] > 0.0:
                pace += policy[ON_VOLUME] * (volume / expected[t] - 1.0)
            aimed += step * min(max(pace, 0.3), 2.0)
            band = whole * 0.15 * min(1.0, 5.0 * (minutes - 1 - t + first) / minutes)
            plan = base + worked * planned[t - first + 1]
            aimed = min(max(aimed, plan - band), plan + band)
            child = min(max(aimed - done, 0.0), left)
            usual_spread += 0.05 * (half - usual_spread)
        else:
            child = min(max(base + worked * planned[t - first + 1] - done, 0.0), left)
        hidden = dark_ratio * left
        if mid + displaced > reach:  # beyond the price limit
            child = hidden = 0.0

        # Hidden liquidity: at the mid, with whatever the flow knew.
        filled = 0.0
        dark = 0.0
        if dark_ratio > 0.0:
            dark = min(hidden, dark_patience * now[HIDDEN] / size)
            if dark * size < x[X_LEAST_DARK]:
                dark = 0.0
            if dark > 0.0:
                spread_part += dark * 0.5 * max(-now[INFORMATION], 0.0)
                child = max(0.0, min(child, left - dark))
                dark_done += dark
            leak_level = leak_goal * now[HARM] + (leak_level - leak_goal * now[HARM]) * x[X_LEAK_KEEP]

        room = limit * volume / size
        child = min(child, room)
        passive = 0.0
        if kind == SWEEP:
            depths = child * size / (x[X_DEPTH] * max(now[QUEUE] / max(path[first, QUEUE], 1e-12), 0.2))
            walk = 0.5 * depths if depths < 1.0 else np.sqrt(depths) - 0.5
            spread_part += child * (half + walk * 2.0 * half)
        elif child > 0.0:
            if kind == REST:
                # The place in the queue lasts until the price moves by half a spread or more.
                if abs(now[INFORMATION]) > half:
                    ahead = now[QUEUE]
                flow = now[TOUCH]
                passive = min(child, policy[TOUCH_PART] * max(0.0, flow - ahead) / size)
                ahead = max(0.0, ahead - flow)
            else:
                flow = now[TOUCH] * patience
                passive = min(child, policy[TOUCH_PART] * max(0.0, flow - now[QUEUE]) / size)
            spread_part += passive * (-half - now[INFORMATION])
            passive_done += passive
        crossing = 0.0 if kind == REST else child - passive
        if kind != SWEEP:
            spread_part += crossing * half

        # Impact. What was there fades; our own fills of this minute add to it.
        filled = dark + passive + crossing
        scale = now[LEVEL]
        earlier = j0 * mean[0] + j1 * mean[1] + j2 * mean[2] + j3 * mean[3] + j4 * mean[4] + j5 * mean[5]
        earlier += 0.5 * (leaked + leak_level)
        j0 *= keep[0]
        j1 *= keep[1]
        j2 *= keep[2]
        j3 *= keep[3]
        j4 *= keep[4]
        j5 *= keep[5]
        if filled > 0.0:
            faded = j0 + j1 + j2 + j3 + j4 + j5 + leak_level
            shown = crossing + footprint * (passive + dark)
            strength = pulse * scale * np.sqrt(shown * size / volume)
            j0 += weights[0] * strength
            j1 += weights[1] * strength
            j2 += weights[2] * strength
            j3 += weights[3] * strength
            j4 += weights[4] * strength
            j5 += weights[5] * strength
            own = j0 + j1 + j2 + j3 + j4 + j5 + leak_level - faded
            sigma_part += filled * (earlier + OWN_SHARE * own)
            if crossing > 0.0:
                sigma_part += crossing * eta * scale * _power(table, crossing * size / volume)
            end = t + 1.0

        held = 1.0 - done - 0.5 * filled
        innovation = mirror * now[INNOVATION]
        drift = mirror * now[DRIFT]
        martingale += held * innovation
        drift_part += held * drift
        held_variance += held * held * now[VARIANCE]
        mid += innovation + drift
        done += filled
        time += filled * (t + 0.5)
    s[S_J0], s[S_J1], s[S_J2], s[S_J3], s[S_J4], s[S_J5] = j0, j1, j2, j3, j4, j5
    s[S_LEAK], s[S_DONE], s[S_AIMED], s[S_MID] = leak_level, done, aimed, mid
    s[S_USUAL_SPREAD], s[S_AHEAD], s[S_TIME], s[S_END] = usual_spread, ahead, time, end
    s[S_SPREAD], s[S_SIGMA], s[S_DARK], s[S_PASSIVE] = spread_part, sigma_part, dark_done, passive_done
    s[S_MARTINGALE], s[S_DRIFT], s[S_HELD] = martingale, drift_part, held_variance


@njit(cache=True)
def finish(path, auction_volume, policy, expected, x, table, s, out):
    """The plan's end: the closing auction takes its part, what else is left is cleaned up, and the results are told."""
    size, eta = x[X_SIZE], x[X_ETA]
    minutes = int(s[S_FIRST]) + int(policy[MINUTES])
    auction = s[S_WHOLE] * policy[AUCTION_RATIO]
    displaced = displacement(s)
    sigma_part, spread_part, time, end = s[S_SIGMA], s[S_SPREAD], s[S_TIME], s[S_END]
    last = path[minutes - 1]
    if auction > 0.0:
        # The auction pools what was displaced with everybody's interest: half of it is gone.
        imbalance = auction * size / max(auction_volume, 1e-9)
        sigma_part += auction * (0.5 * displaced + x[X_AUCTION_Y] * last[LEVEL] * np.sqrt(imbalance))
        time += auction * minutes
        end = float(minutes)
    rest = max(1.0 - auction - s[S_DONE], 0.0)
    if rest > 1e-9:
        swept = rest * size
        typical = max(last[VOLUME] / max(expected[minutes - 1], 1e-12), 0.1) * expected[minutes - 1] / x[X_DAY]
        rate = swept / x[X_CLEANUP_DAYS] / max(typical, 1e-3)
        price = eta * last[LEVEL] * _power(table, rate) + x[X_TRANSIENT_Y] * last[LEVEL] * np.sqrt(swept)
        spread_part += rest * x[X_CLEANUP_SPREADS] * last[HALF_SPREAD]
        sigma_part += rest * (displaced + price)
        time += rest * minutes
        end = float(minutes)
    out[SPREAD_PART] = spread_part
    out[SIGMA_PART] = sigma_part
    out[MARTINGALE] = s[S_MARTINGALE]
    out[DRIFT_PART] = s[S_DRIFT]
    out[HELD_VARIANCE] = s[S_HELD]
    out[MEAN_TIME] = time
    out[UNFILLED] = rest
    out[DARK_FILLED] = s[S_DARK]
    out[PASSIVE_FILLED] = s[S_PASSIVE]
    out[END_MINUTE] = end


@njit(cache=True)
def run_rest(path, auction, change, policy, planned, cleaner, expected, x, weights, keep, mean, table, mirror, before,
             out):
    """One candidate for all that is left at a minute of a path; `before` stays as it is. `cleaner`: the policy that
    takes over what the candidate left, as in `finish_kept`."""
    state = before.copy()
    begin(state, path, change, 1.0 - before[S_DONE])
    stop = change + int(policy[MINUTES])
    advance(path, change, stop, policy, planned, expected, x, weights, keep, mean, table, mirror, state)
    finish_kept(path, auction, policy, planned, cleaner, expected, x, weights, keep, mean, table, mirror, state, out)


@njit(cache=True)
def finish_kept(path, auction, policy, planned, cleaner, expected, x, weights, keep, mean, table, mirror, s, out):
    """The plan's end where cleaning up keeps to the participation limit: what is left goes on by `cleaner` (a policy
    without a curve) until the last minute of `expected`, and only what is left then is charged as unfilled. `s` is
    changed. A plan that ends with nothing left, or in the order's last minute, comes to what `finish` says, bit for
    bit."""
    stop = int(s[S_FIRST]) + int(policy[MINUTES])
    last = min(path.shape[0], expected.shape[0])
    rest = 1.0 - s[S_WHOLE] * policy[AUCTION_RATIO] - s[S_DONE]
    if rest <= 1e-9 or stop >= last:
        finish(path, auction, policy, expected, x, table, s, out)
        return
    begin(s, path, stop, 1.0 - s[S_DONE])
    own = cleaner.copy()
    own[MINUTES] = last - stop
    advance(path, stop, last, own, planned, expected, x, weights, keep, mean, table, mirror, s)
    finish(path, auction, own, expected, x, table, s, out)


@njit(cache=True)
def play(fields, auction, numbers, planned, starts, cleaner, expected, x, weights, keep, mean, table, out):
    """Every player on every path and its mirror image. A place in the queue below 0 is its end."""
    pairs = fields.shape[0]
    for p in range(pairs):
        for n in range(numbers.shape[0]):
            stop = int(starts[n, S_FIRST]) + int(numbers[n, MINUTES])
            for side in range(2):
                mirror = 1.0 - 2.0 * side
                s = starts[n].copy()
                s[S_USUAL_SPREAD] = fields[p, 0, HALF_SPREAD]
                if s[S_AHEAD] < 0.0:
                    s[S_AHEAD] = fields[p, 0, QUEUE]
                advance(fields[p], 0, stop, numbers[n], planned[n], expected, x, weights, keep, mean, table, mirror, s)
                finish_kept(fields[p], auction[p], numbers[n], planned[n], cleaner, expected, x, weights, keep, mean,
                            table, mirror, s, out[n, side * pairs + p])
