"""Replay: a real day's prices, volume and spread as the market that an order trades in; only our own impact is added.

What no bar shows is drawn as everywhere else: the queue, what reaches the touch, hidden liquidity and what order flow
knows. A real path is what happened once, so there is no mirrored one: orders of both sides are run on it, and an
average over draws is one over queues, not over markets. Adverse selection of resting fills is the simulator's, on top
of the real moves, since bars do not tell whose orders moved the price.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.simulator.market import (
    DRIFT,
    HALF_SPREAD,
    HIDDEN,
    INFORMATION,
    INNOVATION,
    LEVEL,
    TOUCH,
    VARIANCE,
    VOLUME,
    MarketPaths,
    expected_variance,
    simulate_market,
)
from engine.simulator.orders import SimulatedOrder
from engine.simulator.world import WorldParameters
from training.calibration.real_days import RealDay

Array = NDArray[np.float64]

# The volatility that scales our impact is that of this many minutes around each one, within these bounds; from returns
# over several minutes, since last trades jump between bid and ask.
LEVEL_MINUTES, RETURN_MINUTES = 31, 5
LEAST_LEVEL, MOST_LEVEL = 0.3, 4.0
# A minute without a trade still lets somebody who pays for it trade a little: this part of what was expected.
LEAST_VOLUME_PART = 0.02


def replay_paths(day: RealDay, order: SimulatedOrder, world: WorldParameters, seed: int | tuple[int, ...], draws: int,
                 sign: int) -> MarketPaths:
    """The order's time of the day, `draws` times with other queues. `sign` is +1 for a buy and -1 for a sell, since a
    path's moves are those against the order. Raises ValueError where the day ends before the order does."""
    first = round(order.start_minute) - day.first_minute
    last = first + order.minutes
    if first < 0 or last > day.minutes:
        raise ValueError(f"minutes {first} to {last} of a day of {day.minutes}")
    paths = simulate_market(order, world, seed, draws)
    fields = paths.fields
    returns = np.diff(np.log(day.minute_mid[first : last + 1])) / day.daily_volatility_fraction
    variance = expected_variance(order, world, order.minutes)
    volume = day.minute_volume_shares[first:last] / day.average_daily_volume_shares
    volume = np.maximum(volume, LEAST_VOLUME_PART * order.expected_volume)
    half = 0.5 * day.minute_spread_bps[first:last] / order.spread_bps
    level = level_of(returns, variance)
    # What was drawn keeps its proportion to the volume and to the spread that it was drawn with.
    for field in (TOUCH, HIDDEN):
        fields[:, :, field] *= volume / fields[:, :, VOLUME]
    fields[:, :, INFORMATION] *= half / fields[:, :, HALF_SPREAD]
    fields[:, :, INNOVATION] = sign * returns
    fields[:, :, DRIFT] = 0.0
    fields[:, :, VARIANCE] = variance * level**2
    fields[:, :, VOLUME] = volume
    fields[:, :, HALF_SPREAD] = half
    fields[:, :, LEVEL] = level
    return paths


def level_of(returns: Array, variance: Array) -> Array:
    """(minutes,) volatility around each minute over what was expected of it, from (minutes,) returns in daily
    volatilities."""
    step = min(RETURN_MINUTES, len(returns))
    moved = np.convolve(returns, np.ones(step), mode="valid")
    expected = np.convolve(variance, np.ones(step), mode="valid")
    width = min(LEVEL_MINUTES, len(moved))
    around = np.convolve(moved**2, np.ones(width), mode="same") / np.convolve(expected, np.ones(width), mode="same")
    level = np.clip(np.sqrt(around), LEAST_LEVEL, MOST_LEVEL)
    # Returns over several minutes belong to the minute in their middle; the ends take their neighbours'.
    at = np.clip(np.arange(len(returns)) - step // 2, 0, len(level) - 1)
    found: Array = level[at]
    return found
