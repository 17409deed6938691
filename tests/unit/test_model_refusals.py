"""The structural models refuse bad arguments, each by name, and all of them at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.models import almgren_2005, istar, obizhaeva_wang, square_root
from engine.models import almgren_chriss as ac
from engine.models.cont_kukanov import PlacementCosts, split_order
from engine.models.dark_allocation import (
    allocate_greedy,
    allocate_greedy_reference,
    expected_fill_units,
    kaplan_meier_tail,
)

BAD = [math.nan, math.inf, -math.inf, -1.0]

EXAMPLE: dict[str, Any] = {
    "quantity_shares": 1e6,
    "horizon_days": 5.0,
    "periods": 5,
    "sigma_daily_currency": 0.95,
    "half_spread_currency": 0.0625,
    "permanent_currency_per_share2": 2.5e-7,
    "temporary_currency_day_per_share2": 2.5e-6,
}
DECAY = obizhaeva_wang.exponential_decay(1e-6, 2.0)

# Every public function of floats, with good arguments by name.
CALLS: list[tuple[Callable[..., object], dict[str, object]]] = [
    (ac.AlmgrenChrissParameters, dict(EXAMPLE)),
    (
        almgren_2005.Almgren2005Coefficients,
        {"permanent_gamma": 0.3, "temporary_eta": 0.1, "temporary_beta": 0.6, "turnover_delta": 0.25},
    ),
    (
        almgren_2005.cost_bps,
        {
            "quantity_shares": 1e4,
            "daily_volume_shares": 1e6,
            "shares_outstanding": 1e8,
            "sigma_daily_fraction": 0.02,
            "horizon_days": 0.5,
        },
    ),
    (
        almgren_2005.permanent_impact_bps,
        {
            "quantity_shares": 1e4,
            "daily_volume_shares": 1e6,
            "shares_outstanding": 1e8,
            "sigma_daily_fraction": 0.02,
        },
    ),
    (
        almgren_2005.temporary_impact_bps,
        {
            "quantity_shares": 1e4,
            "daily_volume_shares": 1e6,
            "sigma_daily_fraction": 0.02,
            "horizon_days": 0.5,
        },
    ),
    (
        square_root.impact_bps,
        {
            "quantity_shares": 1e4,
            "daily_volume_shares": 1e6,
            "sigma_daily_fraction": 0.02,
            "prefactor": 1.0,
            "exponent": 0.5,
        },
    ),
    (istar.IStarParameters, {"a1_bps": 708.0, "a2": 0.55, "a3": 0.71, "a4": 0.5, "b1": 0.98}),
    (istar.instantaneous_impact_bps, {"size_adv_fraction": 0.1, "sigma_annual_fraction": 0.25}),
    (
        istar.market_impact_bps,
        {"size_adv_fraction": 0.1, "sigma_annual_fraction": 0.25, "participation_fraction": 0.2},
    ),
    (
        istar.timing_risk_bps,
        {"size_adv_fraction": 0.1, "sigma_annual_fraction": 0.25, "participation_fraction": 0.2},
    ),
    (
        obizhaeva_wang.continuous_schedule,
        {"quantity_shares": 1e5, "horizon_days": 1.0, "resilience_per_day": 2.0},
    ),
    (obizhaeva_wang.exponential_decay, {"impact_currency_per_share2": 1e-6, "resilience_per_day": 2.0}),
    (
        lambda **given: obizhaeva_wang.solve_propagator(times_days=[0.0, 0.5, 1.0], decay=DECAY, **given),
        {"quantity_shares": 1e5, "risk_aversion_per_currency": 1e-6, "sigma_daily_currency": 0.5},
    ),
    (
        PlacementCosts,
        {
            "half_spread_currency": 0.02,
            "rebate_currency": 0.002,
            "fee_currency": 0.003,
            "underfill_penalty_currency": 0.026,
        },
    ),
]


@pytest.mark.parametrize(("call", "good"), CALLS)
def test_each_bad_number_is_refused_by_name(call: Callable[..., object], good: dict[str, object]) -> None:
    call(**good)
    for name in good:
        for bad in (*BAD, "1", None, True, 1j, [1.0, [2.0]]):
            with pytest.raises(ValueError, match=rf"(^|; ){name} must"):
                call(**{**good, name: bad})


@pytest.mark.parametrize(("call", "good"), CALLS)
def test_all_bad_numbers_are_named_at_once(call: Callable[..., object], good: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must") as refused:
        call(**dict.fromkeys(good, math.nan))
    assert all(f"{name} must" in str(refused.value) for name in good)


@pytest.mark.parametrize("bad", BAD)
def test_other_bad_scalars_are_refused(bad: float) -> None:
    problem = ac.AlmgrenChrissParameters(**EXAMPLE)
    for function in (ac.kappa_per_day, ac.half_life_days, ac.holdings_shares):
        with pytest.raises(ValueError, match="risk_aversion_per_currency"):
            function(problem, bad)
    costs = PlacementCosts(
        half_spread_currency=0.02, rebate_currency=0.0, fee_currency=0.0, underfill_penalty_currency=0.1
    )
    with pytest.raises(ValueError, match=r"order_shares must.*queue_shares must"):
        split_order(bad, bad, costs, lambda _: 0.0)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"do not broadcast.*quantity_shares \(2,\)"):
        square_root.impact_bps([1.0, 2.0], [1e6, 1e6, 1e6], 0.02)
    problem = ac.AlmgrenChrissParameters(**EXAMPLE)
    for holdings in ([1e6, 0.0], [9e5, 8e5, 5e5, 2e5, 1e5, 0.0], [1e6, 8e5, 5e5, 2e5, 1e5, 1.0]):
        with pytest.raises(ValueError, match="holdings must"):
            ac.expected_cost_currency(problem, holdings)
    with pytest.raises(ValueError, match="holdings must"):
        ac.variance_currency2(problem, [1e6, math.nan, 5e5, 2e5, 1e5, 0.0])


def test_almgren_chriss_refuses_a_cost_that_is_not_convex() -> None:
    with pytest.raises(ValueError, match="temporary_currency_day_per_share2 must exceed"):
        ac.AlmgrenChrissParameters(**{**EXAMPLE, "temporary_currency_day_per_share2": 1.25e-7})
    with pytest.raises(ValueError, match="periods must"):
        ac.AlmgrenChrissParameters(**{**EXAMPLE, "periods": 0})


@pytest.mark.parametrize(
    ("decay", "fault"),
    [
        (lambda lags: np.full_like(lags, 1e-6), "fall between"),
        (lambda lags: np.zeros_like(lags), "fall between"),
        (lambda lags: 1e-6 * (1.0 + lags), "not let a round trip"),
        (lambda lags: np.full_like(lags, math.nan), "be finite"),
        (lambda lags: np.array(1e-6), "return the shape"),
    ],
)
def test_bad_decay_is_refused(
    decay: Callable[[NDArray[np.float64]], NDArray[np.float64]], fault: str
) -> None:
    with pytest.raises(ValueError, match=f"decay must {fault}"):
        obizhaeva_wang.solve_propagator(1e5, [0.0, 0.5, 1.0], decay)


@pytest.mark.parametrize("times", [[0.0], [0.0, 0.0], [1.0, 0.5], [-1.0, 0.0], [0.0, math.nan], [[0.0, 1.0]]])
def test_bad_times_are_refused(times: list[float]) -> None:
    with pytest.raises(ValueError, match="times_days must"):
        obizhaeva_wang.solve_propagator(1e5, times, DECAY)
    with pytest.raises(ValueError, match="times_days must"):
        obizhaeva_wang.propagator_cost_currency(np.ones(np.shape(times)), times, DECAY)


def test_split_refuses_a_quantile_that_is_not_a_number() -> None:
    costs = PlacementCosts(
        half_spread_currency=0.01, rebate_currency=0.0, fee_currency=0.0, underfill_penalty_currency=0.1
    )
    with pytest.raises(ValueError, match="outflow_quantile_shares must"):
        split_order(100.0, 10.0, costs, lambda _: math.nan)


@pytest.mark.parametrize(
    "tails",
    [
        [[0.5, math.nan]],
        [[math.nan, 0.5]],
        [[math.nan]],
        [[1.1, 0.5]],
        [[0.5, -0.1]],
        [[math.inf, 0.5]],
        [[0.4, 0.5]],
        [0.5, 0.4],
        [[]],
        [["a"]],
    ],
)
def test_bad_tails_are_refused(tails: list[list[float]]) -> None:
    for allocate in (allocate_greedy, allocate_greedy_reference):
        with pytest.raises(ValueError, match="tail_probabilities must"):
            allocate(tails, 3)
        if np.asarray(tails).dtype == np.float64:
            with pytest.raises(ValueError, match="tail_probabilities must"):
                allocate(np.array(tails), 3)


@pytest.mark.parametrize("units", [-1, 1.5, True, math.nan, 2_000_000_000])
def test_bad_units_are_refused(units: int) -> None:
    for allocate in (allocate_greedy, allocate_greedy_reference):
        with pytest.raises(ValueError, match="units must"):
            allocate([[0.5]], units)


@pytest.mark.parametrize(
    ("sent", "filled", "name"),
    [
        ([1, 2], [1], "filled_units"),
        ([1], [2], "filled_units"),
        ([-1], [-1], "sent_units"),
        ([1.5], [1.0], "sent_units"),
        ([math.nan], [0], "sent_units"),
        ([1], [True], "filled_units"),
        (3, 3, "sent_units"),
    ],
)
def test_bad_fills_are_refused(sent: list[int], filled: list[int], name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must"):
        kaplan_meier_tail(sent, filled, 5)


def test_bad_allocation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tail_probabilities must.*allocation_units must"):
        expected_fill_units([[0.4, 0.5]], [3])
    with pytest.raises(ValueError, match="allocation_units must"):
        expected_fill_units([[0.5, 0.4]], [1, 1])
