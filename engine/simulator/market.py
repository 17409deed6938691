"""Market paths around an order: mid, volume, spread, queues, hidden liquidity, drawn once and shared by all candidates.

Units as in orders.py: the mid moves in daily volatilities, volumes are shares of average daily volume, half-spreads
and information are in quoted spreads of the moment the order came. Paths come in mirrored pairs: the second of a pair
has every move of the mid reversed and all else equal, so that whatever does not look at the mid needs one of them only
and has no sampling error from the mid at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.compiled import uncounted
from engine.simulator.orders import SimulatedOrder
from engine.simulator.world import WorldParameters
from engine.values import CONDITIONS

F32 = NDArray[np.float32]

# Fields of a path, (paths, minutes, FIELDS) float32.
(
    INNOVATION,  # mid's own shock, a martingale, daily volatilities
    DRIFT,  # rest of its move: trend, reversion to the anchor
    VARIANCE,  # conditional variance of the innovation
    VOLUME,  # share of daily volume
    HALF_SPREAD,  # quoted spreads of the start
    INFORMATION,  # move of the mid with the minute's order flow, quoted spreads; positive hurts who bought late
    TOUCH,  # volume against resting orders on our side, share of daily volume
    QUEUE,  # queue ahead of a new order, share of daily volume
    HIDDEN,  # hidden liquidity on the other side, share of daily volume
    LEVEL,  # volatility over that of the start
    HARM,  # the condition's multiplier of adverse selection
) = range(11)
FIELDS = 11

# Columns of a condition's row in WorldParameters.condition_table().
(
    C_VOLATILITY, C_VOLUME, C_SPREAD, C_DRIFT, C_DRIFT_LIFE, C_REVERSION, C_BURST, C_BURST_LIFE, C_PASSIVE, C_ADVERSE,
    C_DARK, C_DISPERSION, C_VOLUME_NOISE,
) = range(13)

# Standard normals a minute and their meaning.
(
    N_SHOCK, N_VOLATILITY, N_VOLUME, N_SPREAD, N_FLOW, N_TOUCH, N_QUEUE,
) = range(7)
NORMALS = 7
# Uniforms a minute: next condition, chi-square's inverse for the tail, dark there or not, its size, jump.
U_CONDITION, U_DARK, U_DARK_SIZE, U_JUMP = range(4)
UNIFORMS = 4
# Standard normals a path: volatility's day, volume's day, trend, anchor, hidden level, volatility's walk, auction.
P_VOLATILITY, P_VOLUME, P_TREND, P_ANCHOR, P_HIDDEN, P_WALK, P_AUCTION = range(7)
PATH_NORMALS = 7


@dataclass(frozen=True, slots=True)
class MarketPaths:
    """Mirrored pairs: `fields` holds the first of each, (pairs, minutes, FIELDS); the second has INNOVATION and DRIFT
    reversed. `auction_volume` (pairs,) share of daily volume in the closing auction; `conditions` (pairs, minutes)."""

    fields: F32
    auction_volume: F32
    conditions: NDArray[np.int8]

    @property
    def pairs(self) -> int:
        return int(self.fields.shape[0])

    @property
    def minutes(self) -> int:
        return int(self.fields.shape[1])


@dataclass(frozen=True, slots=True)
class Steer:
    """Conditions by script: `first` (a position in CONDITIONS) holds until the minute `change`, `following` begins with
    it, and then chance goes on as the world says; where `following` is None, `first` holds to the end."""

    first: int
    change: int = 0
    following: int | None = None

    def on(self, first: NDArray[np.int64], uniforms: F32, cumulative: NDArray[np.float64]) -> None:
        """Writes the script into the draws of all paths: (pairs,) first conditions, (pairs, minutes, UNIFORMS), and the
        cumulated transitions that the uniforms are held against."""
        first[:] = self.first
        edges = np.concatenate(([0.0], cumulative[self.first]))
        middles = 0.5 * (edges[:-1] + edges[1:])
        stop = uniforms.shape[1] if self.following is None else self.change
        uniforms[:, :stop, U_CONDITION] = middles[self.first]
        if self.following is not None:
            uniforms[:, stop - 1, U_CONDITION] = middles[self.following]


@dataclass(frozen=True, slots=True)
class Levels:
    """What is known of the day's errors of forecast, in their own standard deviations: means of volatility's and
    volume's, and a root of their covariance by rows (lower triangle). By default nothing is known."""

    volatility: float = 0.0
    volume: float = 0.0
    root: tuple[float, float, float] = (1.0, 0.0, 1.0)

    def on(self, levels: NDArray[np.float64]) -> None:
        """(pairs, PATH_NORMALS) of standard normals."""
        first, second = levels[:, P_VOLATILITY].copy(), levels[:, P_VOLUME].copy()
        levels[:, P_VOLATILITY] = self.volatility + self.root[0] * first
        levels[:, P_VOLUME] = self.volume + self.root[1] * first + self.root[2] * second


def simulate_market(order: SimulatedOrder, world: WorldParameters, seed: int | tuple[int, ...], pairs: int,
                    minutes: int | None = None, steer: Steer | None = None,
                    known: Levels | None = None) -> MarketPaths:
    """`pairs` mirrored pairs over the first `minutes` (default: all) of the order's time. Same seed, same paths."""
    length = order.minutes if minutes is None else min(minutes, order.minutes)
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed)))
    shocks = rng.standard_t(world.shock_degrees, (pairs, length)).astype(np.float32)
    shocks *= np.float32(np.sqrt((world.shock_degrees - 2.0) / world.shock_degrees))
    normals = rng.standard_normal((pairs, length, NORMALS), dtype=np.float32)
    normals[:, :, N_SHOCK] = shocks
    uniforms = rng.random((pairs, length, UNIFORMS), dtype=np.float32)
    levels = rng.standard_normal((pairs, PATH_NORMALS))
    first = rng.choice(len(CONDITIONS), size=pairs, p=order.weights)
    cumulative = np.cumsum(world.transitions(), axis=1)
    if steer is not None:
        steer.on(first, uniforms, cumulative)
    if known is not None:
        known.on(levels)
    fields = np.empty((pairs, length, FIELDS), dtype=np.float32)
    conditions = np.empty((pairs, length), dtype=np.int8)
    fill_paths(
        fields, conditions, first, normals, uniforms, levels, expected_variance(order, world, length),
        order.expected_volume[:length], world.condition_table(), cumulative,
        order.weights, numbers_of(order, world),
    )
    noise = world.auction_volume_log_sd
    auction = order.auction_share * np.exp(noise * levels[:, P_AUCTION] - 0.5 * noise**2)
    return MarketPaths(fields, auction.astype(np.float32), conditions)


def expected_variance(order: SimulatedOrder, world: WorldParameters, minutes: int) -> NDArray[np.float64]:
    """(minutes,) expected variance of each minute, in daily variances: the curve over the session has mean 1."""
    points = np.array(world.variance_curve)
    edges = (np.arange(len(points)) + 0.5) / len(points)
    at = (order.start_minute + np.arange(minutes) + 0.5) / order.session_minutes
    whole = np.interp((np.arange(390) + 0.5) / 390.0, edges, points).mean()
    variance: NDArray[np.float64] = np.interp(at, edges, points) / whole / order.session_minutes
    return variance


# Positions in the vector of numbers that the compiled generator reads.
(
    W_VOL_DAY, W_VOL_SD, W_VOL_KEEP, W_JUMP_SD, W_JUMP_RATE, W_VOLUME_DAY, W_VOLUME_SD, W_VOLUME_KEEP, W_VOLUME_ON_VOL,
    W_VOLUME_ON_SHOCK, W_SPREAD_KEEP, W_SPREAD_ON_VOL, W_FREEDOM, W_LEAST_HALF, W_TOUCH, W_TOUCH_SD, W_QUEUE,
    W_QUEUE_SD, W_TILT, W_INFORMATION, W_DARK_MEAN, W_DARK_PRESENCE, W_DARK_TAIL, W_DARK_LEVEL, W_DAYS_PER_MINUTE,
) = range(25)


def numbers_of(order: SimulatedOrder, world: WorldParameters) -> NDArray[np.float64]:
    """The vector for one order."""
    one_tick = 1.0 / order.spread_ticks
    freedom = min(1.0, max(0.05, (order.spread_ticks - 1.0) / world.free_spread_ticks))
    return np.array([
        world.volatility_day_log_sd, world.volatility_log_sd, np.exp(-1.0 / world.volatility_persistence_minutes),
        world.jump_sd, world.jump_rate_per_minute, world.volume_day_log_sd, world.volume_log_sd,
        np.exp(-1.0 / world.volume_persistence_minutes), world.volume_on_log_volatility, world.volume_on_shock,
        np.exp(-1.0 / world.spread_persistence_minutes), world.spread_on_log_volatility, freedom, 0.5 * one_tick,
        world.touch_share, world.touch_log_sd, order.queue_share, world.queue_log_sd, world.flow_tilt,
        world.information_half_spreads,
        world.dark_mean_share * order.dark_share * world.dark_factor, world.dark_presence, world.dark_tail,
        world.dark_level_log_sd, 1.0 / order.session_minutes,
    ])


@njit(cache=True)
def fill_paths(fields, conditions, first, normals, uniforms, levels, variance, expected, table, cumulative, weights, w):
    """Fills `fields` and `conditions`; see MarketPaths. Everything random comes in as arrays."""
    mean_volatility = 0.0
    mean_volume = 0.0
    mean_spread = 0.0
    for c in range(weights.shape[0]):
        mean_volatility += weights[c] * table[c, C_VOLATILITY]
        mean_volume += weights[c] * table[c, C_VOLUME]
        mean_spread += weights[c] * table[c, C_SPREAD]
    means = mean_volatility, mean_volume, mean_spread
    for p in range(fields.shape[0]):
        _fill_path(
            fields[p], conditions[p], first[p], normals[p], uniforms[p], levels[p], variance, expected, table,
            cumulative, means, w,
        )


@uncounted
def _fill_path(path, conditions, condition, normals, uniforms, level, variance, expected, table, cumulative, means, w):
    """One path, a row a minute. `means`: of volatility, volume, spread over the conditions when the order came."""
    mean_volatility, mean_volume, mean_spread = means
    day = w[W_DAYS_PER_MINUTE]
    # Means of the lognormal factors, so that what is shown is what is expected.
    variance_bias = 2.0 * (w[W_VOL_DAY] ** 2 + w[W_VOL_SD] ** 2)
    hidden_level = np.exp(w[W_DARK_LEVEL] * level[P_HIDDEN] - 0.5 * w[W_DARK_LEVEL] ** 2)
    since, memory, loose = 0.0, 0.0, 0.0
    walk = w[W_VOL_SD] * level[P_WALK]
    trend = level[P_TREND] * table[condition, C_DRIFT]
    theta = table[condition, C_REVERSION]
    away = level[P_ANCHOR] / np.sqrt(2.0 * theta) if theta > 0.0 else 0.0
    for t in range(path.shape[0]):
        now, d, z, u = path[t], table[condition], normals[t], uniforms[t]
        age = since * day
        # The mid's own shock.
        walk = _next_of(walk, w[W_VOL_KEEP], w[W_VOL_SD], z[N_VOLATILITY])
        log_vol = w[W_VOL_DAY] * level[P_VOLATILITY] + walk
        relative = d[C_VOLATILITY] / mean_volatility
        burst = 1.0 + d[C_BURST] * np.exp(-age / d[C_BURST_LIFE])
        usual = variance[t] * relative**2 * burst * np.exp(2.0 * log_vol - variance_bias)
        shock, var = _with_jumps(d, z, u[U_JUMP], usual, w)
        innovation = np.sqrt(usual) * shock
        # The rest of the move: a trend of unknown sign that decays, or the pull of an anchor.
        drift = 0.0
        if d[C_DRIFT] > 0.0:
            drift = trend * relative * np.exp(-age / d[C_DRIFT_LIFE]) * day
        if theta > 0.0:
            pull = away * (1.0 - np.exp(-theta * day))
            drift -= pull
            away += innovation - pull
        now[INNOVATION], now[DRIFT], now[VARIANCE] = innovation, drift, var
        now[LEVEL] = np.sqrt(var / variance[t])
        # Volume.
        memory = _next_of(memory, w[W_VOLUME_KEEP], 1.0, z[N_VOLUME])
        noise = _volume_noise(d[C_VOLUME_NOISE], level[P_VOLUME], memory, log_vol, shock, w)
        volume = expected[t] * d[C_VOLUME] / mean_volume * np.exp(noise)
        now[VOLUME] = volume
        # Spread, from what is shown now on.
        loose = _next_of(loose, w[W_SPREAD_KEEP], d[C_DISPERSION] * w[W_FREEDOM], z[N_SPREAD])
        half = 0.5 * d[C_SPREAD] / mean_spread * np.exp(loose + w[W_SPREAD_ON_VOL] * w[W_FREEDOM] * log_vol)
        half = max(half, w[W_LEAST_HALF])
        now[HALF_SPREAD] = half
        # Order flow at the touch.
        flow = min(max(z[N_FLOW], -2.5), 2.5)
        now[INFORMATION] = w[W_INFORMATION] * half * d[C_ADVERSE] * flow
        touched = np.exp(w[W_TOUCH_SD] * z[N_TOUCH] - 0.5 * w[W_TOUCH_SD] ** 2)
        share = w[W_TOUCH] * d[C_PASSIVE] * max(0.0, 1.0 - w[W_TILT] * flow) * touched
        now[TOUCH] = volume * min(share, 0.9)
        ahead = np.exp(w[W_QUEUE_SD] * z[N_QUEUE])  # what was measured is the median
        now[QUEUE] = w[W_QUEUE] * d[C_VOLUME] / mean_volume * ahead
        now[HIDDEN] = _hidden(u, d[C_DARK], volume, hidden_level, w)
        now[HARM] = d[C_ADVERSE]
        conditions[t] = condition
        # Next minute's condition.
        since += 1.0
        following = _following(condition, u[U_CONDITION], cumulative)
        if following != condition:
            condition = following
            since = 0.0
            # The sign of a new trend is the flow's of that minute: symmetric, and reversed in the mirrored path.
            sign = 1.0 if shock > 0.0 else -1.0
            trend = sign * (0.3 + 0.75 * abs(z[N_QUEUE])) * table[condition, C_DRIFT]
            theta = table[condition, C_REVERSION]
            away = 0.0


@uncounted
def _next_of(before, keep, sd, normal):
    """A first-order autoregression's next value; `sd` is that of its values."""
    return keep * before + np.sqrt(1.0 - keep**2) * sd * normal


@uncounted
def _with_jumps(d, z, uniform, variance, w):
    """(shock in standard deviations without jumps, variance with them): only conditions that begin with a burst have
    any, and a jump's variance belongs to the innovation's."""
    shock = z[N_SHOCK]
    if d[C_BURST] <= 0.0:
        return shock, variance
    if uniform < w[W_JUMP_RATE]:
        shock += w[W_JUMP_SD] * (1.0 if z[N_FLOW] > 0.0 else -1.0)
    return shock, variance * (1.0 + w[W_JUMP_RATE] * w[W_JUMP_SD] ** 2)


@uncounted
def _volume_noise(noise_factor, day_level, memory, log_vol, shock, w):
    """Logarithm of a minute's volume over what is expected, less what makes its mean 1."""
    noise_sd = w[W_VOLUME_SD] * noise_factor
    log_volume = w[W_VOLUME_DAY] * day_level + noise_sd * memory
    log_volume += w[W_VOLUME_ON_VOL] * log_vol + w[W_VOLUME_ON_SHOCK] * (min(abs(shock), 4.0) - 0.75)
    bias = 0.5 * (w[W_VOLUME_DAY] ** 2 + noise_sd**2)
    bias += 0.5 * w[W_VOLUME_ON_VOL] ** 2 * (w[W_VOL_DAY] ** 2 + w[W_VOL_SD] ** 2)
    bias += 0.5 * w[W_VOLUME_ON_SHOCK] ** 2 * 0.4
    return log_volume - bias


@uncounted
def _hidden(u, dark_factor, volume, level, w):
    """Hidden liquidity, share of daily volume: zero-inflated Pareto of the second kind, mean scale / (tail - 1)."""
    if u[U_DARK] >= w[W_DARK_PRESENCE]:
        return 0.0
    mean = w[W_DARK_MEAN] * dark_factor * volume * level / w[W_DARK_PRESENCE]
    scale = mean * (w[W_DARK_TAIL] - 1.0)
    return scale * (max(u[U_DARK_SIZE], 1e-6) ** (-1.0 / w[W_DARK_TAIL]) - 1.0)


@uncounted
def _following(condition, uniform, cumulative):
    """The condition after this one; `cumulative`: transitions by rows, added up."""
    following = 0
    while following < cumulative.shape[1] - 1 and uniform >= cumulative[condition, following]:
        following += 1
    return following
