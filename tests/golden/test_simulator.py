"""The simulator against what it claims: closed forms where there are any, identities, and measured figures.

1. Impact: a constant rate costs what the propagator with decay t^-1/2 says; no round trip pays.
2. Holding: a constant world gives the analytic variance; mirrored pairs cancel; same seed, same bytes.
3. Fills: what rests loses what was measured (Rule 605: 113 % of the half-spread); nobody passes a participation cap.
4. Costs rise with size and volatility, algorithm by algorithm, on common random numbers.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.assumptions import DEFAULT_ASSUMPTIONS
from engine.catalogue import ALGORITHM_NAMES, candidate_set
from engine.simulator.execute import (
    DARK_FILLED,
    DECAY_MINUTES,
    DRIFT_PART,
    HELD_VARIANCE,
    MARTINGALE,
    PASSIVE_FILLED,
    SIGMA_PART,
    SPREAD_PART,
    UNFILLED,
    Run,
    execute,
    minute_weights,
)
from engine.simulator.market import (
    FIELDS,
    HALF_SPREAD,
    HARM,
    LEVEL,
    QUEUE,
    VARIANCE,
    VOLUME,
    MarketPaths,
    simulate_market,
)
from engine.simulator.orders import SimulatedOrder
from engine.simulator.policies import PolicyTemplate, policies_of, template_of
from engine.simulator.world import DEFAULT_WORLD, WorldParameters
from training.simulator import round_trips
from training.simulator.estimates import cost_bps, parts_of, utility_bps

Array = NDArray[np.float64]

SESSION = 390
EVEN = 1.0 / SESSION
NORMAL_WEIGHTS = np.eye(6)[0]
# Nothing is random but the shocks: no noise of volatility or volume, the condition stays.
CALM = replace(
    DEFAULT_WORLD, mean_stay_minutes=(1e12,) * 6, variance_curve=(1.0,) * 13, volatility_day_log_sd=0.0,
    volatility_log_sd=0.0, volume_day_log_sd=0.0, volume_log_sd=0.0, volume_on_shock=0.0,
)
# It cannot be told apart from the theory's at less: six exponentials stand for a power law.
RATE_TOLERANCE = 0.04


def order_of(size_days: float = 0.02, minutes: int = SESSION, **other: Any) -> SimulatedOrder:
    """An order over an even day; what is not given is unremarkable."""
    base = SimulatedOrder(
        size_days=size_days, start_minute=0.0, session_minutes=float(SESSION),
        expected_volume=np.full(minutes, EVEN), weights=NORMAL_WEIGHTS, sigma_bps=150.0, spread_bps=6.0,
        spread_ticks=6.0, queue_share=5e-4, dark_share=0.15, auction_share=0.08, max_participation=0.3,
        taker_fee_bps=0.0, maker_fee_bps=0.0, dark_fee_bps=0.0, turnover_factor=1.0, risk_aversion=0.2,
        time_price_bps_per_day=5.0, alpha_bps_per_day=0.0,
    )
    return replace(base, **other)


def still_market(minutes: int, pairs: int = 1) -> MarketPaths:
    """Volume as expected, half-spread of one half, no moves, nobody trades against resting orders."""
    fields = np.zeros((pairs, minutes, FIELDS), dtype=np.float32)
    fields[..., VOLUME] = EVEN
    fields[..., HALF_SPREAD] = 0.5
    fields[..., QUEUE] = 1.0
    fields[..., LEVEL] = 1.0
    fields[..., VARIANCE] = EVEN
    fields[..., HARM] = 1.0
    return MarketPaths(fields, np.full(pairs, 0.08, dtype=np.float32), np.zeros((pairs, minutes), dtype=np.int8))


@cache
def template() -> PolicyTemplate:
    return template_of(candidate_set())


def first_of(name: str) -> int:
    """The first served candidate of an algorithm; of those with durations one of an hour or so, where there is one."""
    own = [n for n, c in enumerate(candidate_set().candidates) if c.spec.name == name]
    hour = [n for n in own if candidate_set().candidates[n].parameters.get("duration_minutes") == 60.0]
    return (hour or own)[0]


def run_of(order: SimulatedOrder, paths: MarketPaths, candidates: list[int], mirrored: bool = False,
           world: WorldParameters = DEFAULT_WORLD) -> Run:
    return execute(order, world, paths, policies_of(template(), order, np.array(candidates)), mirrored)


# ---- 1. impact


def steady_cost(minutes: int, participation: float = 0.1) -> float:
    """What a TWAP over all the time there is pays to its own displacement, in daily volatilities."""
    world = replace(DEFAULT_WORLD, assumptions=replace(DEFAULT_ASSUMPTIONS, temporary_eta=0.0))
    order = order_of(participation * minutes * EVEN, minutes)
    longest = [n for n, c in enumerate(candidate_set().candidates) if c.spec.name == "TWAP"][-1]
    run = run_of(order, still_market(minutes), [longest], world=world)
    return float(run.values[0, 0, SIGMA_PART])


@pytest.mark.parametrize("minutes", [1, 2, 3, 5, 10, 20, 30, 60, 120, 240, 390])
def test_a_constant_rate_costs_what_the_propagator_says(minutes: int) -> None:
    """transient_y sqrt(rho T): the kernel t^-1/2 with a square-root response, two thirds of its final displacement."""
    expected = DEFAULT_ASSUMPTIONS.transient_y * np.sqrt(0.1 * minutes * EVEN)
    assert steady_cost(minutes) == pytest.approx(expected, rel=RATE_TOLERANCE)


def test_the_decay_is_a_power_law() -> None:
    """What a minute's trading leaves m minutes later, against the integral of t^-1/2 over that minute."""
    m = np.arange(401.0)
    fitted = np.exp(-m[:, None] / DECAY_MINUTES) @ minute_weights(0.5)
    error = np.abs(fitted / (2.0 * (np.sqrt(m + 1.0) - np.sqrt(m))) - 1.0)
    assert error.max() < 0.02
    assert error[0] < 1e-4


def test_the_search_runs_the_simulator_s_own_recursion() -> None:
    """One-sided trades cost the same in both."""
    minutes, size = 60, 0.1 * 60 * EVEN
    order = order_of(size, minutes)
    run = run_of(order, still_market(minutes), [first_of("TWAP")])
    rates = round_trips.rates_of(DEFAULT_WORLD, round_trips.INSTANTANEOUS)
    even = np.full(minutes, EVEN)
    found = round_trips.cost_of(rates, np.full(minutes, size / minutes), even, np.ones(minutes)) / size
    assert float(run.values[0, 0, SIGMA_PART]) == pytest.approx(found, rel=1e-5)


def test_no_round_trip_pays_the_kernel_alone() -> None:
    assert round_trips.search(DEFAULT_WORLD, round_trips.KERNEL, seeds=3, noisy_paths=50).bound <= 0.0


@pytest.mark.parametrize("version", [round_trips.INSTANTANEOUS, round_trips.SPREAD])
def test_no_round_trip_pays_what_orders_pay(version: str) -> None:
    found = round_trips.search(DEFAULT_WORLD, version, seeds=2, generations=40, noisy_paths=50)
    assert found.bound <= 0.0
    assert found.best[0] >= found.best[1]
    assert float(found.participation.sum()) == pytest.approx(0.0, abs=1e-9)


# ---- 2. holding, mirrors, seeds


@pytest.mark.parametrize("name", ["TWAP", "VWAP"])
def test_holding_variance_is_the_analytic_one(name: str) -> None:
    """A straight schedule over T holds sigma^2 T / 3."""
    order = order_of()
    paths = simulate_market(order, CALM, 1, 4)
    minutes = 60.0
    run = run_of(order, paths, [first_of(name)], world=CALM)
    np.testing.assert_allclose(run.values[0, :, HELD_VARIANCE], minutes * EVEN / 3.0, rtol=1e-3)


def test_the_martingale_s_variance_is_what_holding_says() -> None:
    """The control variate against its own analytic variance, over many paths."""
    order = order_of(minutes=60)
    paths = simulate_market(order, DEFAULT_WORLD, 2, 20_000)
    run = run_of(order, paths, [first_of("TWAP")])
    sampled = float((run.values[0, :, MARTINGALE].astype(np.float64) ** 2).mean())
    assert sampled == pytest.approx(float(run.values[0, :, HELD_VARIANCE].mean()), rel=0.05)
    assert abs(float(run.values[0, :, MARTINGALE].mean())) < 4.0 * np.sqrt(sampled / 20_000)


def test_mirrored_pairs_cancel_exactly() -> None:
    """What does not look at the mid is the same on both paths of a pair, but for the mid's own moves."""
    order = order_of(weights=np.full(6, 1.0 / 6.0))
    paths = simulate_market(order, DEFAULT_WORLD, 3, 16)
    blind = [first_of(name) for name in ALGORITHM_NAMES if name != "OPPORTUNISTIC"]
    values = run_of(order, paths, blind, mirrored=True).values
    first, second = values[:, :16], values[:, 16:]
    for column in range(values.shape[2]):
        sign = -1.0 if column in (MARTINGALE, DRIFT_PART) else 1.0
        np.testing.assert_array_equal(second[..., column], sign * first[..., column])


def test_the_same_seed_gives_the_same_bytes() -> None:
    order = order_of(weights=np.full(6, 1.0 / 6.0))
    every = list(range(len(candidate_set().candidates)))
    paths = [simulate_market(order, DEFAULT_WORLD, (4, 5), 4) for _ in range(2)]
    assert paths[0].fields.tobytes() == paths[1].fields.tobytes()
    assert paths[0].conditions.tobytes() == paths[1].conditions.tobytes()
    runs = [run_of(order, found, every, mirrored=True) for found in paths]
    assert runs[0].values.tobytes() == runs[1].values.tobytes()
    other = simulate_market(order, DEFAULT_WORLD, (4, 6), 4)
    assert other.fields.tobytes() != paths[0].fields.tobytes()


# ---- 3. fills


def test_resting_fills_lose_what_was_measured() -> None:
    """113 % [90, 136] of the half-spread (SEC Rule 605, December 2016; store/seed/impact.json)."""
    world = replace(DEFAULT_WORLD, assumptions=replace(DEFAULT_ASSUMPTIONS, cleanup_half_spreads=0.0))
    order = order_of(0.005)
    run = run_of(order, simulate_market(order, world, 5, 2_000), [first_of("PASSIVE_PEG")], world=world)
    earned = -run.values[0, :, SPREAD_PART].astype(np.float64).sum() / run.values[0, :, PASSIVE_FILLED].sum()
    # What is earned is the half-spread (one half of the quoted spread) less what the mid does to it.
    lost = (0.5 - earned) / 0.5
    assert 1.0 < lost < 1.3


@pytest.mark.parametrize("name", [n for n in ALGORITHM_NAMES if n not in ("OPPORTUNISTIC", "TARGET_CLOSE")])
def test_a_participation_cap_is_never_passed(name: str) -> None:
    """Of an order far too large no more trades than the cap times the volume there was; hidden liquidity is no part of
    the volume that the cap is held against."""
    order = order_of(2.0, 120, max_participation=0.07)
    paths = simulate_market(order, DEFAULT_WORLD, 6, 50)
    own = [n for n, c in enumerate(candidate_set().candidates) if c.spec.name == name]
    values = run_of(order, paths, own).values
    visible = 1.0 - values[..., UNFILLED] - values[..., DARK_FILLED]
    most = 0.07 * paths.fields[..., VOLUME].sum(axis=1, dtype=np.float64) / 2.0
    assert np.all(visible <= most * (1.0 + 1e-5) + 1e-6)


# ---- 4. costs rise


def costs(order: SimulatedOrder, paths: MarketPaths, candidate: int) -> tuple[float, float]:
    looks = candidate_set().candidates[candidate].spec.name == "OPPORTUNISTIC"
    parts = parts_of(order, run_of(order, paths, [candidate], mirrored=looks), looks)
    return float(cost_bps(order, parts)[0]), float(utility_bps(order, parts)[0])


@pytest.mark.parametrize("name", ALGORITHM_NAMES)
def test_cost_grows_with_size(name: str) -> None:
    paths = simulate_market(order_of(), DEFAULT_WORLD, 7, 300)
    found = [costs(order_of(size), paths, first_of(name))[0] for size in (0.0025, 0.005, 0.01, 0.02, 0.04)]
    assert found == sorted(found)


@pytest.mark.parametrize("name", ALGORITHM_NAMES)
def test_cost_and_utility_grow_with_volatility(name: str) -> None:
    """What looks at the mid may gain from a market that moves more; its utility still pays for the risk."""
    paths = simulate_market(order_of(), DEFAULT_WORLD, 8, 300)
    found = [costs(order_of(sigma_bps=sigma), paths, first_of(name)) for sigma in (75.0, 150.0, 300.0)]
    utilities = [utility for _, utility in found]
    assert utilities == sorted(utilities)
    if name != "OPPORTUNISTIC":
        spent = [cost for cost, _ in found]
        assert spent == sorted(spent)
