"""The filter of an order's bars: what it must say of minutes whose condition is known, and what must not sway it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.assumptions import DEFAULT_ASSUMPTIONS
from engine.order_life.reading import MIN_MINUTES, Minutes, Reading, day_of, read, variance_shares
from engine.simulator.world import DEFAULT_WORLD
from engine.values import CONDITIONS, MarketCondition

PER_DAY = 390.0


def minutes(parts: tuple[tuple[MarketCondition, int], ...], seed: int = 1, drift: float = 0.0) -> Minutes:
    """Minutes in the middle of a day, so many of each condition in turn; drift in daily volatilities a day."""
    rng = np.random.default_rng(seed)
    returns, volumes, spreads = [], [], []
    for condition, count in parts:
        d = DEFAULT_ASSUMPTIONS.conditions[condition]
        returns += (d.volatility_multiplier * rng.standard_normal(count)).tolist()
        noise = DEFAULT_WORLD.volume_log_sd * d.volume_noise_multiplier
        volumes += (math.log(d.volume_multiplier) - noise**2 / 2 + noise * rng.standard_normal(count)).tolist()
        spreads += (math.log(d.spread_multiplier) + d.spread_dispersion * rng.standard_normal(count)).tolist()
    n = len(returns)
    days: NDArray[np.float64] = (150.5 + np.arange(n, dtype=np.float64)) / PER_DAY
    sds = np.sqrt(variance_shares(days) / PER_DAY)
    moved = np.array(returns) + drift / PER_DAY / sds
    return Minutes(moved, sds, np.array(volumes), np.array(spreads), -5.0, 1.0, PER_DAY)


def said(found: Minutes) -> Reading:
    reading = read(found, DEFAULT_ASSUMPTIONS)
    assert reading is not None
    assert sum(reading.probabilities) == pytest.approx(1.0)
    return reading


def probability(reading: Reading, *conditions: MarketCondition) -> float:
    return sum(reading.probabilities[CONDITIONS.index(condition)] for condition in conditions)


@pytest.mark.parametrize("seed", range(4))
def test_a_change_is_seen_within_ten_minutes(seed: int) -> None:
    quiet, dry = MarketCondition.NORMAL, MarketCondition.LOW_LIQUIDITY
    before = said(minutes(((quiet, 50),), seed))
    after = said(minutes(((quiet, 50), (dry, 10)), seed))
    assert probability(before, dry) < 0.1
    assert probability(after, dry) > 0.8


@pytest.mark.parametrize("condition", [MarketCondition.HIGH_VOLATILITY, MarketCondition.LOW_LIQUIDITY])
def test_an_hour_of_one_condition_is_read_as_it(condition: MarketCondition) -> None:
    assert said(minutes(((condition, 60),))).condition is condition


def test_rising_and_falling_markets_are_the_same_condition() -> None:
    found = minutes(((MarketCondition.TRENDING, 60),), drift=6.0)
    up, down = said(found), said(replace(found, returns=-found.returns))
    assert up.probabilities == pytest.approx(down.probabilities, rel=1e-9)
    assert up.drift == pytest.approx(-down.drift, rel=1e-9)


def test_where_the_mid_goes_is_told() -> None:
    """An hour of six daily volatilities a day, three standard errors: the drift expected follows its sign."""
    still, up, down = (said(minutes(((MarketCondition.TRENDING, 60),), 5, drift)) for drift in (0.0, 6.0, -6.0))
    assert down.drift < still.drift < up.drift


def test_one_minute_does_not_decide() -> None:
    found = minutes(((MarketCondition.NORMAL, 60),))
    returns, volumes, spreads = found.returns.copy(), found.log_volumes.copy(), found.log_spreads.copy()
    returns[-20], volumes[-20], spreads[-20] = 12.0, 4.0, 3.0
    sane = (MarketCondition.NORMAL, MarketCondition.MEAN_REVERTING, MarketCondition.TRENDING)
    shaken = said(replace(found, returns=returns, log_volumes=volumes, log_spreads=spreads))
    assert probability(shaken, *sane) > 0.8


def test_what_is_not_known_is_left_out() -> None:
    found = minutes(((MarketCondition.HIGH_VOLATILITY, 60),))
    blank = np.full(60, np.nan)
    for known in (replace(found, log_volumes=blank), replace(found, log_spreads=blank)):
        assert said(known).condition is MarketCondition.HIGH_VOLATILITY
    holes = found.returns.copy()
    holes[::7] = np.nan
    assert said(replace(found, returns=holes)).condition is MarketCondition.HIGH_VOLATILITY


def test_a_spread_pinned_at_its_tick_says_nothing_against_a_dry_market_alone() -> None:
    """Where the typical spread is one tick, spreads cannot fall below it, and hardly rise."""
    found = minutes(((MarketCondition.NORMAL, 60),))
    pinned = said(replace(found, log_spreads=np.zeros(60), spread_floor=0.0, freedom=0.05))
    assert all(0.0 <= p <= 1.0 for p in pinned.probabilities)


def test_too_few_minutes_say_nothing() -> None:
    assert read(minutes(((MarketCondition.NORMAL, MIN_MINUTES - 1),)), DEFAULT_ASSUMPTIONS) is None


def test_an_hour_tells_of_the_day() -> None:
    """Volume a third less than was forecast, or returns a quarter larger: each is seen, and neither with certainty."""
    found = []
    for seed in range(6):
        usual = minutes(((MarketCondition.NORMAL, 60),), seed)
        fewer = replace(usual, log_volumes=usual.log_volumes - 0.4)
        wilder = replace(usual, returns=1.25 * usual.returns)
        for known in (day_of(said(usual)), day_of(said(fewer)), day_of(said(wilder))):
            assert known is not None
            spread = np.array([[known.root[0], 0.0], [known.root[1], known.root[2]]])
            assert (np.diag(spread @ spread.T) < 1.0).all()
            assert min(known.root[0], known.root[2]) > 0.0
            found.append((known.volatility, known.volume))
    usual_day, quiet, wild = np.array(found).reshape(6, 3, 2).mean(axis=0)
    assert quiet[1] < usual_day[1] - 0.5
    assert wild[0] > usual_day[0] + 0.3


def test_a_reading_without_points_knows_nothing_of_the_day() -> None:
    assert day_of(Reading((1.0, 0.0, 0.0, 0.0, 0.0, 0.0), 0.0, 60)) is None
