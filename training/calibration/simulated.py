"""The simulated market, measured the same way as the real ones: days of minutes, fills at the touch, the
impact curve.

A simulated day is a market without our order, in a stationary mixture of the conditions; passive fills and
impact run through the simulator's own paths and its own execution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.conditions import TypicalMarket
from engine.priced import LEAST_QUEUE_SHARE, MOST_QUEUE_SHARE, QUEUE_OVER_SPREAD_MOVE
from engine.simulator.execute import SIGMA_PART, execute
from engine.simulator.market import (
    DRIFT,
    HALF_SPREAD,
    INFORMATION,
    INNOVATION,
    QUEUE,
    TOUCH,
    VOLUME,
    MarketPaths,
    simulate_market,
)
from engine.simulator.orders import SimulatedOrder
from engine.simulator.policies import (
    COLUMNS,
    FOOTPRINT,
    HABITS,
    KIND,
    MINUTES,
    PATIENCE,
    RATE,
    SPEED,
    TOUCH_PART,
    PolicyTable,
)
from engine.simulator.world import WorldParameters
from training.calibration import spreads, volumes
from training.calibration.clocks import UNITED_STATES
from training.calibration.days import MID_OF_QUOTES, MarketDay
from training.calibration.stats import Figure, mean, root_ratio
from training.calibration.stays import day_counts
from training.measures import Array

SEED = 20_250_604
DAYS = 300
PRICE, DAILY_SHARES = 100.0, 1e7
# Volume by 26 quarter-hours of the session, over its mean (the US mean of the calibration days, rounded).
VOLUME_CURVE = (
    1.95,
    1.65,
    1.40,
    1.25,
    1.12,
    1.02,
    0.95,
    0.88,
    0.81,
    0.74,
    0.70,
    0.66,
    0.63,
    0.65,
    0.75,
    0.74,
    0.74,
    0.76,
    0.81,
    0.80,
    0.78,
    0.80,
    0.86,
    0.95,
    1.30,
    2.30,
)
IMPACT_SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.10, 0.20)
IMPACT_PARTICIPATION = 0.10
# Volume may fall short of its curve: an order at a share of volume has this much longer at least to finish.
LEAST_SLACK_MINUTES = 15
TURNOVER_FACTOR = 200.0**0.25  # shares outstanding of two hundred days' volume


@dataclass(frozen=True, slots=True)
class Alike:
    """What an instrument usually is like: daily volatility, spread in bps and in ticks."""

    sigma_bps: float
    spread_bps: float
    spread_ticks: float

    @property
    def queue_share(self) -> float:
        """The usual queue at the touch over daily volume, by the rule that decisions use
        (engine.priced.touch_of)."""
        share = QUEUE_OVER_SPREAD_MOVE * (self.spread_bps / self.sigma_bps) ** 2
        return float(min(max(share, LEAST_QUEUE_SHARE), MOST_QUEUE_SHARE))


ORDINARY = Alike(sigma_bps=150.0, spread_bps=3.0, spread_ticks=3.0)


@dataclass(frozen=True, slots=True)
class SimulatedMarket:
    """Days as MarketDay with what is usual for them, and the paths they came from."""

    days: list[MarketDay]
    typical: TypicalMarket
    expected_shares: Array
    paths: MarketPaths
    world: WorldParameters


def stationary(world: WorldParameters) -> Array:
    """Share of time of each condition in the long run."""
    matrix = world.transitions()
    size = matrix.shape[0]
    system = np.vstack([matrix.T - np.eye(size), np.ones(size)])
    shares: Array = np.linalg.lstsq(system, np.append(np.zeros(size), 1.0), rcond=None)[0]
    shares = np.maximum(shares, 0.0)
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def small_order(
    world: WorldParameters, alike: Alike, minutes: int = UNITED_STATES.minutes, size_days: float = 1e-5
) -> SimulatedOrder:
    """An order too small to matter, over the session (or the first `minutes` of a longer one)."""
    whole = np.repeat(np.array(VOLUME_CURVE), UNITED_STATES.minutes // len(VOLUME_CURVE))
    volume = np.tile(whole / whole.sum(), minutes // whole.size + 1)[:minutes]
    return SimulatedOrder(
        size_days=size_days,
        start_minute=0.0,
        session_minutes=float(UNITED_STATES.minutes),
        expected_volume=volume,
        weights=stationary(world),
        sigma_bps=alike.sigma_bps,
        spread_bps=alike.spread_bps,
        spread_ticks=alike.spread_ticks,
        queue_share=alike.queue_share,
        dark_share=0.0,
        auction_share=0.0,
        max_participation=1.0,
        taker_fee_bps=0.0,
        maker_fee_bps=0.0,
        dark_fee_bps=0.0,
        turnover_factor=TURNOVER_FACTOR,
        risk_aversion=0.0,
        time_price_bps_per_day=0.0,
        alpha_bps_per_day=0.0,
    )


def simulate_days(world: WorldParameters, count: int = DAYS, alike: Alike | None = None) -> SimulatedMarket:
    """`count` independent days of one instrument."""
    alike = alike or ORDINARY
    order = small_order(world, alike)
    paths = simulate_market(order, world, SEED, count)
    fields = paths.fields.astype(np.float64)
    moves = (fields[:, :, INNOVATION] + fields[:, :, DRIFT]) * alike.sigma_bps / 1e4
    logs = np.concatenate((np.zeros((count, 1)), np.cumsum(moves, axis=1)), axis=1)
    days = [
        MarketDay(
            "SIM",
            20_000_000 + i,
            UNITED_STATES,
            PRICE * np.exp(logs[i]),
            fields[i, :, VOLUME] * DAILY_SHARES,
            2.0 * fields[i, :, HALF_SPREAD] * alike.spread_bps,
            MID_OF_QUOTES,
            "simulated",
        )
        for i in range(count)
    ]
    typical = TypicalMarket(
        alike.sigma_bps / 1e4, alike.spread_bps, DAILY_SHARES / order.minutes, float(order.minutes)
    )
    return SimulatedMarket(days, typical, order.expected_volume * DAILY_SHARES, paths, world)


def simulated_condition_counts(market: SimulatedMarket, most_days: int = 150) -> list[Array]:
    """What the shipped classifier sees in the simulated days, as `stays.condition_counts` counts it in real
    ones."""
    return [day_counts(day, market.typical, market.expected_shares) for day in market.days[:most_days]]


@dataclass(frozen=True, slots=True)
class SimulatedFills:
    """Fill rates of one small order at the touch within 1, 5 and 10 minutes, placed anew every minute or
    resting, and what the mid moved against the fills, in half-spreads."""

    rates: Array
    moved_half_spreads: float


def simulated_fills(
    market: SimulatedMarket, horizons: Sequence[float] = (1.0, 5.0, 10.0), behind: float = 1.0
) -> SimulatedFills:
    """Orders that join at every minute and stay in the queue as the simulator's resting policies do.

    `behind` is the part of the flow that reaches us (the simulator's TOUCH_PART).
    """
    fields = market.paths.fields.astype(np.float64)
    waited, moved, half = rest_in_queue(
        fields[:, :, TOUCH] * behind,
        fields[:, :, QUEUE],
        fields[:, :, INFORMATION],
        fields[:, :, HALF_SPREAD],
        int(max(horizons)),
    )
    rates = np.array([float((waited <= horizon).mean()) for horizon in horizons])
    filled = np.isfinite(waited)
    return SimulatedFills(rates, -float(moved[filled].sum() / half[filled].sum()))


@njit(cache=True)
def rest_in_queue(
    touch: Array, queue: Array, information: Array, half: Array, horizon: int
) -> tuple[Array, Array, Array]:
    """Minutes waited (inf: none within the horizon), the flow's move and half-spread at the fill, (paths,
    starts)."""
    starts = touch.shape[1] - horizon
    waited = np.full((touch.shape[0], starts), np.inf)
    moved = np.full((touch.shape[0], starts), np.nan)
    spread = np.full((touch.shape[0], starts), np.nan)
    for p in range(touch.shape[0]):
        for s in range(starts):
            ahead = queue[p, s]
            for t in range(s, s + horizon):
                if t > s and abs(information[p, t]) > half[p, t]:
                    ahead = queue[p, t]
                if touch[p, t] > ahead:
                    waited[p, s] = t - s + 1.0
                    moved[p, s] = information[p, t]
                    spread[p, s] = half[p, t]
                    break
                ahead -= touch[p, t]
    return waited, moved, spread


@dataclass(frozen=True, slots=True)
class ImpactCurve:
    """Mean cost of impact (without spread), daily volatilities, by size over daily volume; and the fitted
    exponent."""

    sizes: Array
    cost: Array
    exponent: float


def impact_curve(world: WorldParameters, pairs: int = 200, fixed_minutes: int | None = None) -> ImpactCurve:
    """Orders at 10 % participation, or over a fixed number of minutes; half of the cost of permanent impact
    included."""
    costs = []
    for size in IMPACT_SIZES:
        minutes = fixed_minutes or max(2, round(size / IMPACT_PARTICIPATION * UNITED_STATES.minutes))
        order = small_order(
            world,
            ORDINARY,
            minutes=minutes + (0 if fixed_minutes else max(LEAST_SLACK_MINUTES, minutes // 2)),
            size_days=size,
        )
        paths = simulate_market(order, world, SEED, pairs)
        speed = IMPACT_PARTICIPATION if fixed_minutes is None else size * UNITED_STATES.minutes / minutes
        run = execute(order, world, paths, _rate_policy(order, speed))
        permanent = 0.5 * world.assumptions.permanent_gamma * size * TURNOVER_FACTOR
        costs.append(float(run.values[0, :, SIGMA_PART].mean()) + permanent)
    sizes, cost = np.array(IMPACT_SIZES), np.array(costs)
    exponent = float(np.polyfit(np.log(sizes), np.log(cost), 1)[0])
    return ImpactCurve(sizes, cost, exponent)


def _rate_policy(order: SimulatedOrder, speed: float) -> PolicyTable:
    """One policy that trades this share of volume."""
    numbers: NDArray[np.float64] = np.zeros((1, COLUMNS))
    habit = HABITS["POV"]
    numbers[0, [KIND, MINUTES, PATIENCE, FOOTPRINT, SPEED, TOUCH_PART]] = (
        RATE,
        order.minutes,
        habit.patience,
        habit.footprint,
        speed,
        1.0,
    )
    return PolicyTable(numbers, np.zeros((1, order.minutes + 1), dtype=np.float32))


@dataclass(frozen=True, slots=True)
class SpreadNoise:
    """How a simulated spread moves: log-sd and shares by log deviation of its minutes, slow shape taken
    out."""

    log_sd: float
    memory: Array
    shares: Array


def spread_noise(market: SimulatedMarket, most_days: int = 60) -> SpreadNoise:
    """The measures of `spreads` of simulated days."""
    left = [
        spreads.smooth_free(np.log(day.spread_bps))[spreads.EDGE_MINUTES : -spreads.EDGE_MINUTES]
        for day in market.days[:most_days]
    ]
    squares = np.array([volumes.square_terms(row) for row in left])
    terms = np.stack([volumes.memory_terms(row) for row in left])
    return SpreadNoise(
        float(root_ratio(squares)),
        volumes.memory(terms),
        mean(np.stack([spreads.residual_shares(row) for row in left])),
    )


def instruments_of(measures: Mapping[str, Mapping[str, Figure]]) -> dict[str, Alike]:
    """What the instruments with measured fills are like; the ordinary one where a folder has none."""
    found = {}
    for group in measures.get("fill_rate_pegged", {}):
        if group in measures.get("spread_bps", {}) and group in measures.get("day_volatility_bps", {}):
            spread, ticks, sigma = (
                float(np.ravel(measures[name][group].value)[0])
                for name in ("spread_bps", "spread_ticks_mean", "day_volatility_bps")
            )
            found[group] = Alike(sigma, spread, max(ticks, 1.0))
    return found or {"an ordinary instrument": ORDINARY}
