"""Properties of the structural models.

1. Cost does not fall as size or volatility rises, nor rise with a longer horizon or a lower participation.
2. Buy and sell mirror each other.
3. Almgren-Chriss: lambda -> 0 is linear, large lambda is immediate, nothing beats the optimum, and the
   paper's closed forms agree.
4. The propagator solver: sums to the order, beats other schedules, returns Obizhaeva-Wang with exponential
   decay and Almgren-Chriss with an impact that is gone at once.
5. Cont-Kukanov's split is the cheapest of all splits.

Dark pools have test_dark_allocation.py; what is refused is in tests/unit/test_model_refusals.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import poisson

from engine.models import almgren_2005, istar, obizhaeva_wang, square_root
from engine.models import almgren_chriss as ac
from engine.models.cont_kukanov import PlacementCosts, critical_quantile, split_order

# Seeded and without a database: the same examples on every machine, and no files left behind.
seeded = settings(derandomize=True, database=None, deadline=None, max_examples=60)

# A power is monotone only up to its last bit.
ROUNDING = 1.0 + 1e-12

sizes = st.floats(1.0, 1e8)
volumes = st.floats(1e3, 1e10)
sigmas = st.floats(1e-4, 0.5)
growths = st.floats(1.0, 10.0)
horizons = st.floats(0.01, 5.0)
participations = st.floats(0.001, 1.0)
resiliences = st.floats(0.01, 50.0)


@st.composite
def problems(draw: st.DrawFn) -> ac.AlmgrenChrissParameters:
    """Almgren-Chriss problems with a convex cost."""
    periods = draw(st.integers(1, 40))
    horizon = draw(horizons)
    permanent = draw(st.floats(0.0, 1e-6))
    return ac.AlmgrenChrissParameters(
        quantity_shares=draw(sizes),
        horizon_days=horizon,
        periods=periods,
        sigma_daily_currency=draw(st.floats(0.1, 10.0)),
        half_spread_currency=draw(st.floats(0.0, 0.5)),
        permanent_currency_per_share2=permanent,
        temporary_currency_day_per_share2=permanent * horizon / periods / 2.0 + draw(st.floats(1e-8, 1e-4)),
    )


# 1. Monotone costs


@seeded
@given(sizes, volumes, volumes, sigmas, horizons, growths)
def test_almgren_2005_is_monotone(
    size: float, volume: float, outstanding: float, sigma: float, horizon: float, growth: float
) -> None:
    def cost(scale_size: float = 1.0, scale_sigma: float = 1.0, scale_horizon: float = 1.0) -> float:
        return float(
            almgren_2005.cost_bps(
                size * scale_size, volume, outstanding, sigma * scale_sigma, horizon * scale_horizon
            )
        )

    assert cost(scale_size=growth) * ROUNDING >= cost()
    assert cost(scale_sigma=growth) * ROUNDING >= cost()
    assert cost(scale_horizon=growth) <= cost() * ROUNDING
    assert float(almgren_2005.cost_bps(0.0, volume, outstanding, sigma, horizon)) == 0.0


@seeded
@given(sizes, volumes, sigmas, growths, st.sampled_from([0.489, 0.5, 0.6, 1.0]))
def test_square_root_is_monotone_and_concave(
    size: float, volume: float, sigma: float, growth: float, exponent: float
) -> None:
    impact = float(square_root.impact_bps(size, volume, sigma, exponent=exponent))
    grown = float(square_root.impact_bps(size * growth, volume, sigma, exponent=exponent))
    assert impact <= grown * ROUNDING
    assert grown <= impact * growth * ROUNDING
    assert grown == pytest.approx(impact * growth**exponent, rel=1e-9)
    assert float(square_root.impact_bps(size, volume, sigma * growth, exponent=exponent)) * ROUNDING >= impact


@seeded
@given(st.floats(1e-6, 2.0), sigmas, participations, participations, growths)
def test_istar_is_monotone(size: float, sigma: float, one: float, other: float, growth: float) -> None:
    slow, fast = sorted((one, other))
    impact = float(istar.market_impact_bps(size, sigma, slow))
    assert impact <= float(istar.market_impact_bps(size * growth, sigma, slow)) * ROUNDING
    assert impact <= float(istar.market_impact_bps(size, sigma * growth, slow)) * ROUNDING
    assert impact <= float(istar.market_impact_bps(size, sigma, fast)) * ROUNDING
    assert impact <= float(istar.instantaneous_impact_bps(size, sigma)) * ROUNDING
    risk_slow, risk_fast = istar.timing_risk_bps(size, sigma, np.array([slow, fast]))
    assert risk_fast <= risk_slow * ROUNDING


@seeded
@given(sizes, volumes, sigmas)
def test_impact_laws_broadcast(size: float, volume: float, sigma: float) -> None:
    grid = np.array([[0.5], [1.0], [2.0]]) * size
    horizon = np.array([0.1, 0.5])
    table = almgren_2005.cost_bps(grid, volume, 10.0 * volume, sigma, horizon)
    assert table.shape == (3, 2)
    single = almgren_2005.cost_bps(size, volume, 10.0 * volume, sigma, 0.5)
    assert float(table[1, 1]) == pytest.approx(float(single), rel=1e-12)


# 2. Mirror


@seeded
@given(problems(), st.floats(0.0, 1e-3))
def test_almgren_chriss_prices_the_mirrored_side_alike(
    problem: ac.AlmgrenChrissParameters, risk_aversion: float
) -> None:
    holdings = ac.holdings_shares(problem, risk_aversion)
    assert ac.expected_cost_currency(problem, -holdings) == ac.expected_cost_currency(problem, holdings)
    assert ac.variance_currency2(problem, -holdings) == ac.variance_currency2(problem, holdings)


@seeded
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12), resiliences)
def test_propagator_prices_the_mirrored_side_alike(trades: list[float], resilience: float) -> None:
    decay = obizhaeva_wang.exponential_decay(1e-6, resilience)
    times = np.linspace(0.0, 1.0, len(trades))
    buy = obizhaeva_wang.propagator_cost_currency(np.array(trades), times, decay)
    assert obizhaeva_wang.propagator_cost_currency(-np.array(trades), times, decay) == buy
    # No schedule, round trips included, earns money against a decaying linear impact.
    assert buy >= -1e-9 * float(np.square(trades).sum()) * 1e-6


# 3. Almgren-Chriss


@seeded
@given(problems(), st.floats(0.0, 1e-2))
def test_holdings_fall_from_the_order_to_zero(
    problem: ac.AlmgrenChrissParameters, risk_aversion: float
) -> None:
    holdings = ac.holdings_shares(problem, risk_aversion)
    assert holdings.shape == (problem.periods + 1,)
    assert holdings[0] == problem.quantity_shares
    assert holdings[-1] == 0.0
    assert (np.diff(holdings) <= 1e-12 * problem.quantity_shares).all()


@seeded
@given(problems())
def test_no_risk_aversion_is_linear(problem: ac.AlmgrenChrissParameters) -> None:
    linear = ac.linear_holdings_shares(problem)
    tolerance = 1e-6 * problem.quantity_shares
    assert (ac.holdings_shares(problem, 0.0) == linear).all()
    # Small enough that kappa T is 1e-4 at most, whichever the problem.
    tiny = 1e-8 * problem.eta_tilde / (problem.sigma_daily_currency * problem.horizon_days) ** 2
    assert ac.holdings_shares(problem, tiny) == pytest.approx(linear, abs=tolerance)


@seeded
@given(problems())
def test_large_risk_aversion_is_immediate(problem: ac.AlmgrenChrissParameters) -> None:
    # kappa_tilde tau = 1e4: the share left after one period is about 1e-8.
    huge = 1e8 * problem.eta_tilde / (problem.sigma_daily_currency * problem.period_days) ** 2
    holdings = ac.holdings_shares(problem, huge)
    immediate = ac.immediate_holdings_shares(problem)
    assert holdings == pytest.approx(immediate, abs=1e-7 * problem.quantity_shares)


@seeded
@given(problems(), st.floats(1e-12, 1e-3), growths)
def test_more_risk_aversion_costs_more_and_risks_less(
    problem: ac.AlmgrenChrissParameters, risk_aversion: float, growth: float
) -> None:
    patient = ac.holdings_shares(problem, risk_aversion)
    urgent = ac.holdings_shares(problem, risk_aversion * growth)
    assert ac.kappa_per_day(problem, risk_aversion * growth) >= ac.kappa_per_day(problem, risk_aversion)
    cost = ac.expected_cost_currency(problem, patient)
    assert ac.expected_cost_currency(problem, urgent) >= cost * (1.0 - 1e-9)
    assert ac.variance_currency2(problem, urgent) <= ac.variance_currency2(problem, patient) * (1.0 + 1e-9)


@seeded
@given(problems(), st.floats(0.0, 1e-3), st.integers(0, 2**32 - 1))
def test_no_other_trajectory_is_better(
    problem: ac.AlmgrenChrissParameters, risk_aversion: float, seed: int
) -> None:
    def utility(path: NDArray[np.float64]) -> float:
        risk = risk_aversion * ac.variance_currency2(problem, path)
        return ac.expected_cost_currency(problem, path) + risk

    best = ac.holdings_shares(problem, risk_aversion)
    noise = np.random.default_rng(seed).normal(size=best.size) * 0.1 * problem.quantity_shares
    noise[[0, -1]] = 0.0
    assert utility(best) <= utility(best + noise) * (1.0 + 1e-9)


@seeded
@given(problems(), st.floats(0.5, 3.0))
def test_closed_forms_of_cost_and_variance(problem: ac.AlmgrenChrissParameters, steepness: float) -> None:
    """Almgren & Chriss (2000), section 2.2, give E and Var of the optimum directly."""
    horizon, tau = problem.horizon_days, problem.period_days
    curvature = 2.0 * math.cosh(steepness * tau / horizon) - 2.0
    risk_aversion = curvature * problem.eta_tilde / (problem.sigma_daily_currency * tau) ** 2
    k = ac.kappa_per_day(problem, risk_aversion)
    assert k == pytest.approx(steepness / horizon, rel=1e-6)

    holdings = ac.holdings_shares(problem, risk_aversion)
    crossing = problem.half_spread_currency * problem.quantity_shares
    squared = problem.quantity_shares**2
    shape = tau * math.sinh(2.0 * k * horizon) + 2.0 * horizon * math.sinh(k * tau)
    temporary = problem.eta_tilde * squared * math.tanh(k * tau / 2.0) * shape
    temporary /= 2.0 * tau**2 * math.sinh(k * horizon) ** 2
    cost = problem.permanent_currency_per_share2 * squared / 2.0 + crossing + temporary
    assert ac.expected_cost_currency(problem, holdings) == pytest.approx(cost, rel=1e-8)

    spread = tau * math.sinh(k * horizon) * math.cosh(k * (horizon - tau)) - horizon * math.sinh(k * tau)
    variance = problem.sigma_daily_currency**2 * squared / 2.0 * spread
    variance /= math.sinh(k * horizon) ** 2 * math.sinh(k * tau)
    scale = problem.sigma_daily_currency**2 * squared * horizon
    assert ac.variance_currency2(problem, holdings) == pytest.approx(variance, abs=1e-9 * scale)


# 4. Propagator


@seeded
@given(sizes, horizons, resiliences, st.integers(1, 60))
def test_solver_returns_discrete_obizhaeva_wang(
    quantity: float, horizon: float, resilience: float, periods: int
) -> None:
    """Alfonsi, Fruth & Schied (2010), even grid: ends X / (2 + (N - 1)(1 - a)), between 1 - a of that."""
    times = np.linspace(0.0, horizon, periods + 1)
    solution = obizhaeva_wang.solve_propagator(
        quantity, times, obizhaeva_wang.exponential_decay(2.5e-6, resilience)
    )
    recovered = -math.expm1(-resilience * horizon / periods)
    end = quantity / (2.0 + (periods - 1) * recovered)
    expected = np.full(periods + 1, end * recovered)
    expected[[0, -1]] = end
    assert solution.trades_shares == pytest.approx(expected, abs=1e-7 * quantity)
    assert solution.trades_shares.sum() == pytest.approx(quantity, rel=1e-9)


@pytest.mark.parametrize("resilience", [1.0, 2.231, 20.0])
def test_solver_converges_to_continuous_obizhaeva_wang(resilience: float) -> None:
    schedule = obizhaeva_wang.continuous_schedule(1e5, 1.0, resilience)
    periods = 400
    solution = obizhaeva_wang.solve_propagator(
        1e5, np.linspace(0.0, 1.0, periods + 1), obizhaeva_wang.exponential_decay(1e-6, resilience)
    )
    # The error of a grid is of the order of what recovers within one step.
    tolerance = resilience / periods
    assert solution.trades_shares[0] == pytest.approx(schedule.block_shares, rel=tolerance)
    assert solution.trades_shares[-1] == pytest.approx(schedule.block_shares, rel=tolerance)
    rates = solution.trades_shares[1:-1] * periods
    assert rates == pytest.approx(np.full(periods - 1, schedule.rate_shares_per_day), rel=tolerance)
    # Cost of the continuous optimum: G(0) X times its block.
    assert solution.cost_currency == pytest.approx(1e-6 * 1e5 * schedule.block_shares, rel=tolerance)


@seeded
@given(problems().filter(lambda problem: problem.periods >= 2), st.floats(0.0, 1e-4))
def test_solver_returns_almgren_chriss(problem: ac.AlmgrenChrissParameters, risk_aversion: float) -> None:
    """Impact gone before the next trade is Almgren-Chriss's temporary one: G(0) = 2 eta_tilde / tau."""
    own = 2.0 * problem.eta_tilde / problem.period_days
    solution = obizhaeva_wang.solve_propagator(
        problem.quantity_shares,
        np.arange(problem.periods) * problem.period_days,
        lambda lags: np.where(lags == 0.0, own, 0.0),
        risk_aversion_per_currency=risk_aversion,
        sigma_daily_currency=problem.sigma_daily_currency,
    )
    holdings = ac.holdings_shares(problem, risk_aversion)
    assert solution.trades_shares == pytest.approx(-np.diff(holdings), abs=1e-6 * problem.quantity_shares)
    scale = (problem.sigma_daily_currency * problem.quantity_shares) ** 2 * problem.horizon_days
    assert solution.variance_currency2 == pytest.approx(
        ac.variance_currency2(problem, holdings), abs=1e-6 * scale
    )


@seeded
@given(
    st.lists(st.floats(0.01, 1.0), min_size=1, max_size=20), st.floats(0.0, 1e-5), st.integers(0, 2**32 - 1)
)
def test_solver_beats_other_schedules(gaps: list[float], risk_aversion: float, seed: int) -> None:
    """On uneven times, with a power-law decay and any risk aversion."""
    times = np.concatenate(([0.0], np.cumsum(gaps)))

    def decay(lags: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(1e-6 * (1.0 + 5.0 * lags) ** -0.6)

    def utility(trades: NDArray[np.float64]) -> float:
        holdings = 1e5 - np.cumsum(trades)[:-1]
        risk = risk_aversion * 0.5**2 * float(np.diff(times) @ holdings**2)
        return obizhaeva_wang.propagator_cost_currency(trades, times, decay) + risk

    solution = obizhaeva_wang.solve_propagator(
        1e5, times, decay, risk_aversion_per_currency=risk_aversion, sigma_daily_currency=0.5
    )
    stated = solution.cost_currency + risk_aversion * solution.variance_currency2
    assert utility(solution.trades_shares) == pytest.approx(stated, rel=1e-9)
    assert solution.trades_shares.sum() == pytest.approx(1e5, rel=1e-9)
    change = np.random.default_rng(seed).normal(size=times.size) * 1e3
    assert stated <= utility(solution.trades_shares + change - change.mean()) * (1.0 + 1e-9)
    if risk_aversion == 0.0:
        # A convex falling decay never trades against the order.
        assert (solution.trades_shares >= -1e-6).all()


@seeded
@given(horizons, resiliences, st.integers(2, 30), st.floats(1e-9, 1e-4))
def test_risk_aversion_lowers_variance_and_raises_cost(
    horizon: float, resilience: float, periods: int, risk_aversion: float
) -> None:
    times = np.linspace(0.0, horizon, periods + 1)
    decay = obizhaeva_wang.exponential_decay(1e-6, resilience)
    calm = obizhaeva_wang.solve_propagator(1e5, times, decay, sigma_daily_currency=0.5)
    averse = obizhaeva_wang.solve_propagator(
        1e5, times, decay, risk_aversion_per_currency=risk_aversion, sigma_daily_currency=0.5
    )
    assert averse.cost_currency >= calm.cost_currency * (1.0 - 1e-9)
    assert averse.variance_currency2 <= calm.variance_currency2 * (1.0 + 1e-9)


# 5. Cont-Kukanov


@seeded
@given(
    st.integers(1, 40),
    st.integers(0, 40),
    st.floats(0.0, 80.0),
    st.floats(0.0, 0.05),
    st.floats(0.0, 0.01),
    st.floats(0.0, 0.01),
    st.floats(0.001, 0.2),
)
def test_split_is_the_cheapest(
    order: int, queue: int, outflow_mean: float, spread: float, rebate: float, fee: float, penalty: float
) -> None:
    costs = PlacementCosts(
        half_spread_currency=spread,
        rebate_currency=rebate,
        fee_currency=fee,
        underfill_penalty_currency=penalty,
    )
    split = split_order(order, queue, costs, lambda q: float(poisson.ppf(q, outflow_mean)))
    assert split.limit_shares + split.market_shares == order
    assert 0.0 <= split.limit_shares <= order

    def expected_cost(limit: NDArray[np.int64]) -> NDArray[np.float64]:
        # E[min(L, max(0, xi - Q))] as a sum of tail probabilities.
        tail = poisson.sf(queue + np.arange(order), outflow_mean)
        filled = np.concatenate(([0.0], np.cumsum(tail)))[limit]
        crossing = (spread + fee) * (order - limit)
        return np.asarray(crossing - (spread + rebate) * filled + penalty * (limit - filled))

    every = expected_cost(np.arange(order + 1))
    chosen = expected_cost(np.array([int(split.limit_shares)]))[0]
    assert chosen <= every.min() + 1e-12 * order
    assert (critical_quantile(costs) >= 1.0) <= (split.market_shares == 0.0)
