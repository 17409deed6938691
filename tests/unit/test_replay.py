"""A real day as a market: its moves, volumes and spreads come through, and only our own impact is added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.catalogue import candidate_set
from engine.simulator.execute import execute
from engine.simulator.market import DRIFT, HALF_SPREAD, INNOVATION, LEVEL, QUEUE, TOUCH, VOLUME
from engine.simulator.orders import SimulatedOrder
from engine.simulator.policies import policies_of, template_of
from engine.simulator.world import DEFAULT_WORLD
from training.calibration.real_days import RealDay
from training.simulator.estimates import shortfalls_bps
from training.simulator.replay import LEAST_VOLUME_PART, MOST_LEVEL, level_of, replay_paths

MINUTES = 240
SIGMA = 0.02
ADV = 1e6


def real_day(first_minute: int = 0) -> RealDay:
    """A day that rises by 1 % altogether, with a burst of volume and of spread in its second hour."""
    rng = np.random.default_rng(1)
    steps = rng.normal(0.0, SIGMA / np.sqrt(MINUTES), MINUTES)
    steps += (np.log(1.01) - steps.sum()) / MINUTES
    volume = np.full(MINUTES, ADV / MINUTES)
    volume[60:120] *= 2.0
    volume[200] = 0.0
    spread = np.full(MINUTES, 5.0)
    spread[60:120] = 10.0
    return RealDay(
        "X", 20240301, "XNYS", 50.0 * np.exp(np.concatenate(([0.0], np.cumsum(steps)))), volume, spread, SIGMA, ADV,
        0.01, "made up", first_minute,
    )


def order_of(start: float = 0.0, minutes: int = MINUTES) -> SimulatedOrder:
    return SimulatedOrder(
        size_days=1e-7, start_minute=start, session_minutes=float(MINUTES),
        expected_volume=np.full(minutes, 1.0 / MINUTES), weights=np.eye(6)[0], sigma_bps=SIGMA * 1e4, spread_bps=5.0,
        spread_ticks=2.5, queue_share=1e-3, dark_share=0.1, auction_share=0.0, max_participation=0.3,
        taker_fee_bps=0.0, maker_fee_bps=0.0, dark_fee_bps=0.0, turnover_factor=0.0, risk_aversion=0.2,
        time_price_bps_per_day=5.0, alpha_bps_per_day=0.0,
    )


def test_moves_volume_and_spread_are_the_day_s() -> None:
    day = real_day()
    paths = replay_paths(day, order_of(), DEFAULT_WORLD, 1, 3, 1)
    moved = paths.fields[:, :, INNOVATION].sum(axis=1, dtype=np.float64) * SIGMA
    np.testing.assert_allclose(moved, np.log(1.01), rtol=1e-4)
    assert not paths.fields[:, :, DRIFT].any()
    np.testing.assert_allclose(paths.fields[0, :200, VOLUME], day.minute_volume_shares[:200] / ADV, rtol=1e-5)
    assert paths.fields[0, 200, VOLUME] == pytest.approx(LEAST_VOLUME_PART / MINUTES)
    np.testing.assert_allclose(paths.fields[:, 60:120, HALF_SPREAD], 1.0, rtol=1e-6)
    assert np.all(paths.fields[:, :, TOUCH] <= paths.fields[:, :, VOLUME] * (1.0 + 1e-6))
    # Queues are drawn, each time others.
    assert not np.array_equal(paths.fields[0, :, QUEUE], paths.fields[1, :, QUEUE])


def test_a_sell_sees_the_moves_the_other_way_round() -> None:
    buy, sell = (replay_paths(real_day(), order_of(), DEFAULT_WORLD, 1, 2, sign) for sign in (1, -1))
    np.testing.assert_array_equal(buy.fields[:, :, INNOVATION], -sell.fields[:, :, INNOVATION])
    np.testing.assert_array_equal(buy.fields[:, :, LEVEL], sell.fields[:, :, LEVEL])


def test_the_order_s_own_minutes_are_taken() -> None:
    day = real_day(first_minute=10)
    paths = replay_paths(day, order_of(70.0, 30), DEFAULT_WORLD, 1, 1, 1)
    expected = np.diff(np.log(day.minute_mid[60:91])) / SIGMA
    np.testing.assert_allclose(paths.fields[0, :, INNOVATION], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("start", "minutes"), [(0.0, 240), (200.0, 60)])
def test_a_day_that_ends_too_early_is_refused(start: float, minutes: int) -> None:
    with pytest.raises(ValueError, match="of a day of 240"):
        replay_paths(real_day(first_minute=10), order_of(start, minutes), DEFAULT_WORLD, 1, 1, 1)


def test_a_tiny_order_pays_the_spread_and_the_day() -> None:
    """What a straight schedule comes to is the day's own average price, plus half a spread where it crosses."""
    day, order = real_day(), order_of()
    world = replace(DEFAULT_WORLD, touch_share=1e-9)  # nobody trades against what rests
    paths = replay_paths(day, order, world, 1, 1, 1)
    twaps = np.array([n for n, c in enumerate(candidate_set().candidates) if c.spec.name == "TWAP"])[-1:]
    run = execute(order, world, paths, policies_of(template_of(candidate_set()), order, twaps))
    found = float(shortfalls_bps(order, run, True)[0, 0])
    logs = np.log(day.minute_mid / day.minute_mid[0])
    average_bps = float((0.5 * (logs[1:] + logs[:-1])).mean()) * 1e4
    spread_bps = float(0.5 * day.minute_spread_bps.mean())
    assert found == pytest.approx(average_bps + spread_bps, abs=0.15)


def test_levels_follow_volatility_and_stay_in_bounds() -> None:
    variance = np.full(400, 1e-4)
    returns = np.random.default_rng(2).normal(0.0, 0.01, 400) * np.where(np.arange(400) < 200, 1.0, 2.0)
    level = level_of(returns, variance)
    assert level[:180].mean() == pytest.approx(1.0, abs=0.2)
    assert level[220:].mean() == pytest.approx(2.0, abs=0.4)
    assert level_of(returns * 100.0, variance).max() == MOST_LEVEL
    assert [len(level_of(returns[:n], variance[:n])) for n in (1, 4, 5, 9, 60)] == [1, 4, 5, 9, 60]


def test_trades_that_jump_between_bid_and_ask_are_no_volatility() -> None:
    variance = np.full(400, 1e-4)
    moves = np.random.default_rng(3).normal(0.0, 0.01, 400)
    bounce = np.random.default_rng(4).choice([-0.01, 0.01], 401)
    bounced = moves + np.diff(bounce)
    assert level_of(bounced, variance).mean() < 1.3 * level_of(moves, variance).mean()
    assert bounced.std() > 1.5 * moves.std()
