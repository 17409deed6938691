"""What an order's bars say of the market, minute by minute: a filter over the six conditions and their drift.

The classifier (engine/conditions.py) describes an hour. An order under way wants to know of a change within it, so
that here every minute is weighed as it comes, against how conditions follow one another (`chain`): the forward
recursion of a hidden Markov chain (Hamilton 1989). Within a condition a minute has three figures: the return over what
its volatility predicts (Student's t), volume and spread over typical (lognormal with memory of the minute before, the
spread censored at one tick). A day's errors of forecast, in volatility and in volume, are integrated over five
points. The drift of a trend and the distance from an anchor are Gaussian, each with a Kalman step a minute, and mixed
states are merged into one Gaussian (Harrison and Stevens 1976, their first-order collapse).

Pure, and without a memory of its own: the hour of bars is run through anew with every look, so that an advice replays
from its inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.assumptions import StructuralAssumptions
from engine.conditions import ConditionEstimate
from engine.sessions import length_minutes, minutes_of
from engine.simulator.market import Levels
from engine.simulator.world import DEFAULT_WORLD as WORLD
from engine.snapshot import InstrumentView, same_session, session_of, typical_market, volume_of_minutes
from engine.values import CONDITIONS, Bar, MarketCondition

Array = NDArray[np.float64]

# States: the six conditions in their order, and the second part of NEWS_DRIVEN, after its burst.
STATES: Final = 7
_TREND, _REVERTING, _NEWS, _NEWS_LATE = 3, 4, 5, 6
# Minutes of the burst's first part (assumed: two thirds of its e-folding time).
BURST_MINUTES: Final = 20.0
# No minute says more than this for one condition against the best, each of its figures by itself.
_LEAST_SAID: Final = math.exp(-5.0)
# A spread this little above a tick, in logs, is at the tick.
_AT_TICK: Final = 0.01
# The spread of a name that is pinned at a tick is still rounded and averaged.
LEAST_SPREAD_LOG_SD: Final = 0.10
MIN_MINUTES: Final = 5
LOOKBACK: Final = 120
# Bounds of a minute's figures: a return in its own sds, a volume that may be none.
MOST_RETURN: Final = 12.0
LEAST_LOG_VOLUME: Final = -4.0
# A day's error of forecast is believed up to so many of its standard deviations.
MOST_DAY_SDS: Final = 2.5
# A state's column of volatility.
_VOLATILITY = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """`probabilities` in the order of CONDITIONS, of the minute that ended. `drift`: of the next minute as expected, of
    a trend and of an anchor's pull, daily volatilities a day, up is positive. It is told, not acted on: an hour says
    too little of it (docs/adaptation.md). `points`: probabilities of the points of GRID."""

    probabilities: tuple[float, ...]
    drift: float
    minutes: int
    points: tuple[float, ...] = ()

    @property
    def condition(self) -> MarketCondition:
        return CONDITIONS[self.probabilities.index(max(self.probabilities))]


    def estimate(self) -> ConditionEstimate:
        """In the classifier's form."""
        text = f"{max(self.probabilities):.0%} by {self.minutes} minutes weighed one by one"
        text += f", drift of {self.drift:+.2f} daily volatilities a day expected"
        return ConditionEstimate(self.condition, self.probabilities, text, self.minutes)


@dataclass(frozen=True, slots=True)
class Minutes:
    """Bars of one session over what is typical, (n,) each; NaN where not known. returns: log, over the daily
    volatility times the root of the minute's share of a day's variance. sds: that root. spreads_floor: log of a tick
    over the typical spread; freedom: how far a spread moves (see free_spread_ticks of the simulated market)."""

    returns: Array
    sds: Array
    log_volumes: Array
    log_spreads: Array
    spread_floor: float
    freedom: float
    minutes_per_day: float


def read(minutes: Minutes, assumptions: StructuralAssumptions) -> Reading | None:
    """None for fewer than MIN_MINUTES returns."""
    if int(np.isfinite(minutes.returns).sum()) < MIN_MINUTES:
        return None
    table, transitions, first, trend, theta = tables(assumptions, minutes.freedom)
    found, points, drift, pull = _filtered(
        minutes.returns, minutes.sds, minutes.log_volumes, minutes.log_spreads, minutes.spread_floor, minutes.freedom,
        minutes.minutes_per_day, table, transitions, first, trend, theta, GRID,
    )  # fmt: skip
    probabilities = found[:_NEWS].tolist() + [float(found[_NEWS] + found[_NEWS_LATE])]
    known = int(np.isfinite(minutes.returns).sum())
    return Reading(tuple(probabilities), float(drift + pull), known, tuple(points.tolist()))


def day_of(reading: Reading) -> Levels | None:
    """What the bars say of the day's errors of forecast: a normal, from a parabola through the log likelihoods of the
    filter's points along each axis. Volume follows volatility (`volume_on_log_volatility`): that is how the two hang
    together. None for a reading without points."""
    if len(reading.points) != len(GRID):
        return None
    middle, low_a, high_a, low_b, high_b = np.log(np.maximum(np.array(reading.points) / GRID[:, 2], 1e-30)).tolist()
    step_a, step_b = float(GRID[2, 0]), float(GRID[4, 1])
    bend_a = max(0.0, (2.0 * middle - low_a - high_a) / step_a**2)
    bend_b = max(0.0, (2.0 * middle - low_b - high_b) / step_b**2)
    sd_a, sd_b = WORLD.volatility_day_log_sd, WORLD.volume_day_log_sd
    precision = np.array([
        [1.0 + bend_a * sd_a**2, _ON_VOLATILITY * bend_b * sd_a * sd_b],
        [_ON_VOLATILITY * bend_b * sd_a * sd_b, 1.0 + bend_b * sd_b**2],
    ])
    # The volume's word is in the first axis too; what the curvatures leave room for is believed.
    precision[0, 0] = max(precision[0, 0], 1.0 + _ON_VOLATILITY**2 * bend_b * sd_a**2)
    slope = np.array([(high_a - low_a) / (2.0 * step_a) * sd_a, (high_b - low_b) / (2.0 * step_b) * sd_b])
    covariance = np.linalg.inv(precision)
    mean = np.clip(covariance @ slope, -MOST_DAY_SDS, MOST_DAY_SDS)
    root = np.linalg.cholesky(covariance)
    return Levels(float(mean[0]), float(mean[1]), (float(root[0, 0]), float(root[1, 0]), float(root[1, 1])))


def minutes_of_bars(view: InstrumentView, bars: tuple[Bar, ...]) -> Minutes | None:
    """The bars of the newest one's session over what is typical of it, half a day's over half a day's; None where that
    is not known."""
    instrument, market = view.instrument, view.market
    if not bars:
        return None
    bars = same_session(bars, view.sessions)[-LOOKBACK:]
    session = session_of(view.sessions, bars[-1].end_ns)
    length = length_minutes(session)
    cumulative, per_day = view.day_of(session, length)
    typical = typical_market(instrument, market, per_day)
    if typical is None or market.average_daily_volume_shares is None:
        return None
    at = minutes_of(session, np.array([bar.end_ns for bar in bars], dtype=np.int64))
    expected = volume_of_minutes(cumulative, at) * market.average_daily_volume_shares
    rows = np.array([(bar.mid_price, bar.volume_shares, bar.spread_bps) for bar in bars])
    rows[~((rows > 0.0) & (rows < np.inf))] = np.nan
    mids, volumes, spreads = rows.T
    usual_bps = typical.spread_bps if typical.spread_bps > 0.0 else np.nan
    ticks = max(1.0, usual_bps / (instrument.tick_size / mids[-1] * 1e4)) if mids[-1] > 0.0 else 1.0
    freedom = min(1.0, max(0.05, (ticks - 1.0) / WORLD.free_spread_ticks))
    # A gap spans several minutes: its variance is theirs.
    steps = np.maximum(np.diff(at), 1.0)
    sds = np.sqrt(variance_shares((at[1:] - 0.5) / length) * steps / per_day)
    returns = np.diff(np.log(mids)) / typical.daily_volatility_fraction / sds
    log_volumes = np.maximum(np.log(volumes / np.maximum(expected, 1e-9)), LEAST_LOG_VOLUME)
    return Minutes(
        np.clip(returns, -MOST_RETURN, MOST_RETURN), sds, log_volumes[1:], np.log(spreads / usual_bps)[1:],
        -math.log(ticks), freedom, per_day,
    )  # fmt: skip


def variance_shares(fractions: Array) -> Array:
    """(n,) variance of the minutes at these fractions of the session, over the session's mean."""
    found: Array = np.interp(fractions, _EDGES, _CURVE) / _WHOLE
    return found


def tables(assumptions: StructuralAssumptions, freedom: float) -> tuple[Array, Array, Array, float, float]:
    """(states' columns, transitions of a minute, first probabilities, variance of a trend's drift, pull a day)."""
    table = np.empty((STATES, 5))
    for n, d in enumerate(assumptions.dynamics()):
        table[n] = (
            d.volatility_multiplier, math.log(d.volume_multiplier), WORLD.volume_log_sd * d.volume_noise_multiplier,
            math.log(d.spread_multiplier), max(d.spread_dispersion * freedom, LEAST_SPREAD_LOG_SD),
        )  # fmt: skip
    news = assumptions.dynamics()[_NEWS]
    table[_NEWS_LATE] = table[_NEWS]
    life = news.burst_life_days * 390.0
    early = life / BURST_MINUTES * (1.0 - math.exp(-BURST_MINUTES / life))
    table[_NEWS, _VOLATILITY] *= math.sqrt(1.0 + news.burst_variance * early)
    table[_NEWS_LATE, _VOLATILITY] *= math.sqrt(1.0 + 0.5 * news.burst_variance * math.exp(-BURST_MINUTES / life))
    reverting, trending = assumptions.dynamics()[_REVERTING], assumptions.dynamics()[_TREND]
    # Of size (0.3 + 0.75 |N|) sds: a second moment of 1.01, times what is left after half of a stay.
    trend = (trending.drift_sd_per_day * trending.volatility_multiplier) ** 2 * 0.8
    return table, _TRANSITIONS, _FIRST, trend, reverting.reversion_per_day


def _chain() -> tuple[Array, Array]:
    stay = 1.0 - 1.0 / np.array(WORLD.mean_stay_minutes)
    moves = np.zeros((STATES, STATES))
    moves[:_NEWS_LATE, :_NEWS_LATE] = (1.0 - stay)[:, None] * np.array(WORLD.next_condition)
    moves[np.arange(6), np.arange(6)] = stay
    moves[_NEWS_LATE] = moves[_NEWS]
    moves[_NEWS_LATE, _NEWS_LATE], moves[_NEWS_LATE, _NEWS] = stay[_NEWS], 0.0
    moves[_NEWS, _NEWS_LATE] = stay[_NEWS] / BURST_MINUTES
    moves[_NEWS, _NEWS] = stay[_NEWS] * (1.0 - 1.0 / BURST_MINUTES)
    first: Array = np.linalg.matrix_power(moves, 1 << 20)[0]
    return moves, first


def _grid() -> Array:
    """(5, 3) log volatility's and log volume's error of the day and the weight: a rule of third degree in two normals,
    the middle and two points along each."""
    volatility = _DAY_VOLATILITY * math.sqrt(3.0)
    volume = _DAY_VOLUME * math.sqrt(3.0)
    points = ((0.0, 0.0), (-volatility, 0.0), (volatility, 0.0), (0.0, -volume), (0.0, volume))
    return np.array([[a, b, 1.0 / 3.0 if n == 0 else 1.0 / 6.0] for n, (a, b) in enumerate(points)])


_DAY_VOLATILITY: Final = math.hypot(WORLD.volatility_day_log_sd, WORLD.volatility_log_sd)
_DAY_VOLUME: Final = WORLD.volume_day_log_sd
_TRANSITIONS, _FIRST = _chain()
GRID: Final = _grid()
_CURVE: Final = np.array(WORLD.variance_curve)
_EDGES: Final = (np.arange(len(_CURVE)) + 0.5) / len(_CURVE)
_WHOLE: Final = float(np.interp((np.arange(390) + 0.5) / 390.0, _EDGES, _CURVE).mean())
_VOLUME_KEEP: Final = math.exp(-1.0 / WORLD.volume_persistence_minutes)
_SPREAD_KEEP: Final = math.exp(-1.0 / WORLD.spread_persistence_minutes)
_VOLUME_FRESH: Final = math.sqrt(1.0 - _VOLUME_KEEP**2)
_SPREAD_FRESH: Final = math.sqrt(1.0 - _SPREAD_KEEP**2)
_ON_VOLATILITY, _ON_SHOCK = WORLD.volume_on_log_volatility, WORLD.volume_on_shock
_SPREAD_ON: Final = WORLD.spread_on_log_volatility


@njit(cache=True)
def _filtered(
    returns: Array, sds: Array, volumes: Array, spreads: Array, floor: float, freedom: float, per_day: float,
    table: Array, transitions: Array, first: Array, trend: float, theta: float, grid: Array,
) -> tuple[Array, Array, float, float]:
    """(probabilities (STATES,), those of the points, trend's and pull's expected drift)."""
    states, points = table.shape[0], grid.shape[0]
    alive = np.empty((points, states))
    mean = np.zeros((points, 2))  # of the trend's drift a day, of the distance from the anchor, in volatilities
    spare = np.empty((points, 2))
    for g in range(points):
        alive[g] = grid[g, 2] * first
        spare[g, 0], spare[g, 1] = trend, 0.5 / theta
    said = np.empty((3, states))
    new = np.empty(states)
    constants = prepared(table, freedom, grid)
    for t in range(returns.shape[0]):
        total = 0.0
        for g in range(points):
            # The chain's step, with what comes in anew merged into what was there.
            for j in range(states):
                new[j] = 0.0
                for i in range(states):
                    new[j] += alive[g, i] * transitions[i, j]
            for n in range(2):
                j = 3 + n
                old = alive[g, j] * transitions[j, j]
                part = old / new[j] if new[j] > 0.0 else 0.0
                fresh = trend if n == 0 else 0.0
                m = part * mean[g, n]
                spare[g, n] = part * (spare[g, n] + (mean[g, n] - m) ** 2) + (1.0 - part) * (fresh + m * m)
                mean[g, n] = m
            weigh(said, t, returns, sds, volumes, spreads, floor, per_day, theta, constants[g], mean[g], spare[g])
            for j in range(states):
                new[j] *= said[0, j] * said[1, j] * said[2, j]
                alive[g, j] = new[j]
                total += new[j]
            learn(returns[t], sds[t], per_day, constants[g], theta, mean[g], spare[g])
        alive /= total
    found = np.zeros(states)
    drift, pull = 0.0, 0.0
    for g in range(points):
        found += alive[g]
        drift += alive[g, 3] * mean[g, 0]
        pull -= alive[g, 4] * theta * mean[g, 1]
    weights = np.empty(points)
    for g in range(points):
        weights[g] = alive[g].sum()
    return found, weights, drift, pull


@njit(cache=True)
def prepared(table: Array, freedom: float, grid: Array) -> Array:
    """(points, STATES, columns) of what no minute changes: volatility, centre and sd of log volume, centre and sd
    of log spread."""
    found = np.empty((grid.shape[0], table.shape[0], 5))
    for g in range(grid.shape[0]):
        for j in range(table.shape[0]):
            sd = table[j, 2]
            bias = 0.5 * (_DAY_VOLUME**2 + sd * sd) + 0.5 * _ON_VOLATILITY**2 * _DAY_VOLATILITY**2
            found[g, j, 0] = table[j, 0] * math.exp(grid[g, 0])
            found[g, j, 1] = table[j, 1] + _ON_VOLATILITY * grid[g, 0] + grid[g, 1] - bias - 0.2 * _ON_SHOCK**2
            found[g, j, 2] = sd
            found[g, j, 3] = table[j, 3] + _SPREAD_ON * freedom * grid[g, 0]
            found[g, j, 4] = table[j, 4]
    return found


@njit(cache=True)
def weigh(
    said: Array, t: int, returns: Array, sds: Array, volumes: Array, spreads: Array, floor: float, per_day: float,
    theta: float, constants: Array, mean: Array, spare: Array,
) -> None:
    """Likelihoods (3, STATES) of the minute's return, volume and spread under each state, none less than LEAST_SAID of
    the best: no minute decides alone. A figure that is not known says 1."""
    said[:] = 1.0
    r, volume, spread = returns[t], volumes[t], spreads[t]
    knows_before = t > 0 and not math.isnan(volumes[t - 1])
    moved_before = 0.0
    if knows_before and not math.isnan(returns[t - 1]):
        moved_before = abs(returns[t - 1])
    follows = t > 0 and spreads[t - 1] > floor + _AT_TICK  # false for NaN
    for j in range(constants.shape[0]):
        level = constants[j, 0]
        z = 0.0
        if not math.isnan(r):
            expected, sd = 0.0, level
            if j == 3:
                expected = mean[0] / per_day / sds[t]
                sd = math.sqrt(level * level + spare[0] / (per_day * sds[t]) ** 2)
            elif j == 4:
                expected = -theta * mean[1] / per_day / sds[t]
                sd = math.sqrt(level * level + spare[1] * (theta / (per_day * sds[t])) ** 2)
            z = (r - expected) / sd
            # Student's t of eight degrees, of variance 1: (1 + z^2 / 6)^-4.5.
            x = 1.0 + z * z / 6.0
            said[0, j] = 1.0 / (sd * x * x * x * x * math.sqrt(x))
        if not math.isnan(volume):
            centre, sd = constants[j, 1], constants[j, 2]
            at = centre + _ON_SHOCK * (min(abs(z), 4.0) - 0.75)
            if knows_before:
                before = _ON_SHOCK * (min(moved_before / level, 4.0) - 0.75) if moved_before > 0.0 else 0.0
                at += _VOLUME_KEEP * (volumes[t - 1] - centre - before)
                sd *= _VOLUME_FRESH
            z = (volume - at) / sd
            said[1, j] = math.exp(-0.5 * z * z) / sd
        if not math.isnan(spread):
            at, sd = constants[j, 3], constants[j, 4]
            if follows:
                at += _SPREAD_KEEP * (spreads[t - 1] - at)
                sd *= _SPREAD_FRESH
            z = (spread - at) / sd
            if spread <= floor + _AT_TICK:  # at one tick: all that would be below it
                said[2, j] = 0.5 * math.erfc((at - floor - _AT_TICK) / sd * 0.7071067811865476)
            else:
                said[2, j] = math.exp(-0.5 * z * z) / sd
    for n in range(3):
        least = 1e-300
        for j in range(constants.shape[0]):
            least = max(least, _LEAST_SAID * said[n, j])
        for j in range(constants.shape[0]):
            said[n, j] = max(said[n, j], least)


@njit(cache=True)
def learn(
    r: float, scale: float, per_day: float, constants: Array, theta: float, mean: Array, spare: Array
) -> None:
    """The minute's return's word on the trend's drift and the anchor; then time passes."""
    if math.isnan(r):
        return
    noise = (constants[3, 0] * scale) ** 2
    moved = r * scale
    share = 1.0 / per_day
    gain = spare[0] * share / (share * share * spare[0] + noise)
    mean[0] += gain * (moved - share * mean[0])
    spare[0] *= 1.0 - gain * share
    noise = (constants[4, 0] * scale) ** 2
    share = -theta / per_day
    gain = spare[1] * share / (share * share * spare[1] + noise)
    mean[1] += gain * (moved - share * mean[1]) + moved
    spare[1] *= 1.0 - gain * share
