"""A search for round trips that pay: whether anybody could make money of the simulator's own impact.

A trip buys and sells in any pattern and ends flat. Its result is the simulator's recursion (execute.py) with signed
trades: displacement by the square root of participation, fading as the simulator's kernel does, and what crossing pays
on top. Permanent impact is linear and cancels over a round trip. Three versions: the kernel alone (nothing is paid for
crossing: the strictest test of Gatheral 2010), with the instantaneous part, and with the spread as well.

Results are in shares of what both legs would pay the kernel if each were traded alone at an even pace, so that a small
trip counts as much as a large one and doing nothing is no optimum. The search is an optimiser's: differential evolution
from several seeds. Its best trips are then run on random volumes and volatilities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import differential_evolution

from engine.simulator.execute import (
    DECAY_MINUTES,
    MOST_PARTICIPATION,
    OWN_SHARE,
    POWER_STEPS,
    minute_weights,
    power_table,
)
from engine.simulator.market import LEVEL, VOLUME, simulate_market
from engine.simulator.orders import SimulatedOrder
from engine.simulator.world import WorldParameters

Array = NDArray[np.float64]

SESSION_MINUTES = 390
# Phases of a trip: each has a length and a signed rate; a rate near nothing is a pause.
PHASES = 6
LONGEST_MINUTES = 240.0
LEAST_PARTICIPATION, MOST_RATE = 1e-4, 2.0
# 5 bps of spread at 150 bps of volatility.
HALF_SPREAD_SIGMAS = 0.5 * 5.0 / 150.0
# What is paid: nothing but the displacement; the instantaneous part too; the half-spread too.
KERNEL, INSTANTANEOUS, SPREAD = VERSIONS = ("kernel", "instantaneous", "spread")


@dataclass(frozen=True, slots=True)
class Rates:
    """The kernel as the recursion reads it. `eta` and `half_spread` (in daily volatilities) are what crossing pays."""

    weights: Array
    keep: Array
    mean: Array
    table: Array
    pulse: float
    eta: float
    half_spread: float


@dataclass(frozen=True, slots=True)
class Trips:
    """What a search found; results are gains in shares of both legs' own cost, so that a loss is negative.

    best: of each seed, best first; upper: the 95 % upper bound of the greatest that any trip could reach, from how near
    the seeds came to each other; noisy_upper: the 95 % upper bound of the best trips' mean result on random volumes and
    volatilities. participation: of the best trip, minute by minute, negative where it sells.
    """

    best: tuple[float, ...]
    upper: float
    noisy_upper: float
    participation: Array

    @property
    def bound(self) -> float:
        return max(self.upper, self.noisy_upper)


def rates_of(world: WorldParameters, version: str) -> Rates:
    """`version` is one of VERSIONS."""
    a = world.assumptions
    keep = np.exp(-1.0 / DECAY_MINUTES)
    # As in constants_of: the day has SESSION_MINUTES.
    pulse = 0.75 * a.transient_y * world.impact_factor * SESSION_MINUTES ** (a.decay_exponent - 1.0)
    return Rates(
        minute_weights(a.decay_exponent), keep, DECAY_MINUTES * (1.0 - keep), power_table(a.temporary_exponent),
        float(pulse), 0.0 if version == KERNEL else a.temporary_eta * world.impact_factor,
        HALF_SPREAD_SIGMAS if version == SPREAD else 0.0,
    )


def cost_of(rates: Rates, trades: Array, volume: Array, level: Array) -> float:
    """What signed trades cost, in daily volatilities times average daily volumes; a gain is negative.

    trades: (minutes,) shares of average daily volume; volume: the market's in each minute; level: volatility over the
    usual one.
    """
    return float(
        signed_cost(
            trades, volume, level, rates.weights, rates.keep, rates.mean, rates.table, rates.pulse, rates.eta,
            rates.half_spread,
        )
    )


@njit(cache=True)
def signed_cost(trades, volume, level, weights, keep, mean, table, pulse, eta, half_spread):
    """The recursion of execute.run_one for trades that may change their sign."""
    count = weights.shape[0]
    held = np.zeros(count)
    total = 0.0
    for t in range(trades.shape[0]):
        earlier = (held * mean).sum()
        held *= keep
        size = abs(trades[t])
        if size <= 0.0:
            continue
        faded = held.sum()
        sign = 1.0 if trades[t] > 0.0 else -1.0
        participation = size / volume[t]
        held += weights * (sign * pulse * level[t] * np.sqrt(participation))
        own = held.sum() - faded
        total += trades[t] * (earlier + OWN_SHARE * own)
        at = np.sqrt(min(participation, MOST_PARTICIPATION - 0.1)) * (POWER_STEPS / np.sqrt(MOST_PARTICIPATION))
        low = int(at)
        power = table[low] + (at - low) * (table[low + 1] - table[low])
        total += size * (eta * level[t] * power + half_spread)
    return total


def trades_of(x: Array, volume: float) -> Array:
    """A trip from the optimiser's numbers: PHASES lengths (log minutes), then PHASES signed rates in [-1, 1].

    Rates run over powers of ten of participation; the sells are scaled so that the trip ends flat. Nothing where all
    phases go one way.
    """
    lengths = np.maximum(np.round(np.exp(x[:PHASES])), 1.0).astype(np.int64)
    strength = np.abs(x[PHASES:])
    span = np.log(MOST_RATE / LEAST_PARTICIPATION)
    rate = np.where(strength < 0.15, 0.0, LEAST_PARTICIPATION * np.exp(span * (strength - 0.15) / 0.85))
    trades: Array = np.repeat(np.sign(x[PHASES:]) * rate * volume, lengths)
    bought, sold = trades[trades > 0.0].sum(), -trades[trades < 0.0].sum()
    if bought <= 0.0 or sold <= 0.0:
        return np.zeros(0)
    return np.where(trades < 0.0, trades * (bought / sold), trades)


def gain_of(rates: Rates, trades: Array, volume: Array, level: Array) -> float:
    """Gain over what both legs would pay the kernel alone at an even pace: 2 x (4/3) y0 X^1.5 (see constants_of)."""
    bought = float(trades[trades > 0.0].sum())
    alone = 2.0 * (4.0 / 3.0) * rates.pulse * np.sqrt(SESSION_MINUTES) * bought**1.5
    return -cost_of(rates, trades, volume, level) / float(alone)


def search(world: WorldParameters, version: str, seeds: int = 6, generations: int = 150,
           noisy_paths: int = 200) -> Trips:
    """The best trips that an optimiser finds. Deterministic."""
    rates = rates_of(world, version)
    even = 1.0 / SESSION_MINUTES
    longest = int(PHASES * LONGEST_MINUTES) + 1
    volume, level = np.full(longest, even), np.ones(longest)

    def loss(x: Array) -> float:
        trades = trades_of(x, even)
        if len(trades) == 0:
            return 10.0
        return -gain_of(rates, trades, volume, level)

    bounds = [(0.0, float(np.log(LONGEST_MINUTES)))] * PHASES + [(-1.0, 1.0)] * PHASES
    found = [
        differential_evolution(loss, bounds, maxiter=generations, popsize=12, rng=seed, tol=1e-10, polish=False)
        for seed in range(seeds)
    ]
    found.sort(key=lambda one: float(one.fun))
    gains = tuple(-float(one.fun) for one in found)
    trips = [trades_of(one.x, even) for one in found]
    noisy = max(noisy_upper(world, rates, trip, noisy_paths) for trip in trips[:3])
    return Trips(gains, greatest_upper(gains), noisy, trips[0] / even)


def greatest_upper(gains: tuple[float, ...]) -> float:
    """95 % upper bound of the greatest value there is, from the two greatest of several searches y1 > y2:
    y1 + (y1 - y2) / (0.05^(-1/a) - 1), a half the number of variables (de Haan 1981; Veall 1990)."""
    first, second = gains[0], gains[1]
    return float(first + (first - second) / (0.05 ** (-1.0 / PHASES) - 1.0))


def noisy_upper(world: WorldParameters, rates: Rates, trades: Array, paths: int) -> float:
    """95 % upper bound of a trip's mean gain where volume and volatility are the simulator's random ones."""
    count = len(trades)
    order = flat_order(count)
    market = simulate_market(order, world, (20261122, 8), paths)
    fields = market.fields.astype(np.float64)
    gains = np.array([
        gain_of(rates, trades, fields[path, :, VOLUME], fields[path, :, LEVEL]) for path in range(paths)
    ])
    return float(gains.mean() + 1.645 * gains.std(ddof=1) / np.sqrt(paths))


def flat_order(minutes: int) -> SimulatedOrder:
    """An order around which the market is drawn: even volume, one day of SESSION_MINUTES, all conditions alike."""
    return SimulatedOrder(
        size_days=0.01, start_minute=0.0, session_minutes=float(SESSION_MINUTES),
        expected_volume=np.full(minutes, 1.0 / SESSION_MINUTES), weights=np.full(6, 1.0 / 6.0), sigma_bps=150.0,
        spread_bps=5.0, spread_ticks=5.0, queue_share=1e-3, dark_share=0.0, auction_share=0.0, max_participation=1.0,
        taker_fee_bps=0.0, maker_fee_bps=0.0, dark_fee_bps=0.0, turnover_factor=0.0, risk_aversion=0.0,
        time_price_bps_per_day=0.0, alpha_bps_per_day=0.0,
    )
