"""The surfaces against the exact model, and the exact model against its sources.

1. Interpolation: the error at thousands of random points inside the grid, every shape in every condition.
2. A pin: coefficients of every algorithm, computed once, so that no formula drifts unnoticed.
3. Ties to sources: Almgren-Chriss's holdings, the square-root law, Levy's arcsine law, Black-Scholes's put,
   Ornstein-Uhlenbeck's covariance, the Pareto tail, the lognormal cap.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import kernel as k
from engine.algorithms.flow import STEPS, Setting, expected_capped_share, expected_dark_share
from engine.algorithms.patient import occupation_fill
from engine.algorithms.scheduled import Twap, scheduled_flow, shortfall_weights
from engine.assumptions import CONDITION_DYNAMICS, DEFAULT_ASSUMPTIONS
from engine.catalogue import ALGORITHM_NAMES, all_shapes, shape_keys
from engine.models import almgren_chriss
from engine.models.square_root import impact_bps
from engine.pricing import (
    COMPLETION,
    DARK,
    DEVIATION,
    MEAN_TIME,
    OUTPUTS,
    PASSIVE,
    REMAINDER,
    coefficients,
    covariance,
    setting_of,
    transient,
)
from engine.surfaces import HORIZON_DAYS_GRID, PARTICIPATION_GRID, POOL_SHARE_GRID
from engine.values import MarketCondition
from tests.helpers import world

Array = NDArray[np.float64]

SIGMA_BPS = 150.0
SPREAD_BPS = 5.0
POINTS = 80  # a shape and condition: 12,000 in all
NORMAL = CONDITION_DYNAMICS[MarketCondition.NORMAL]


def interpolated(shape: int, condition: int, points: Array) -> Array:
    """The kernel's interpolation at (n, 3) points."""
    surfaces = world.surfaces()
    weights = np.zeros(len(CONDITION_DYNAMICS))
    weights[condition] = 1.0
    out = np.empty((len(points), len(OUTPUTS)))
    for row, (participation, horizon, pool) in zip(out, np.log(points), strict=True):
        k.interpolate(
            surfaces.values, surfaces.log_participation, surfaces.log_horizon_days, surfaces.log_pool_share, weights,
            shape, participation, horizon, pool, row,
        )
    return out


def points_in_grid(rng: np.random.Generator, count: int) -> Array:
    axes = (PARTICIPATION_GRID, HORIZON_DAYS_GRID, POOL_SHARE_GRID)
    return np.column_stack([np.exp(rng.uniform(np.log(axis[0]), np.log(axis[-1]), count)) for axis in axes])


def cost_bps(found: Array) -> Array:
    cost: Array = SPREAD_BPS * (found[:, 0] + found[:, 8]) + SIGMA_BPS * (found[:, 1] + found[:, 9])
    return cost


def exact(shape: int, condition: int, points: Array) -> Array:
    market = DEFAULT_ASSUMPTIONS.dynamics()[condition]
    participation, horizon_days, pool_share = points.T
    setting = Setting(participation, horizon_days, pool_share, market, DEFAULT_ASSUMPTIONS)
    return coefficients(all_shapes()[shape], setting)


def test_interpolation_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Measured, as median / p99 / largest: cost 0.0036 / 0.112 / 0.32 bps, or 0.076 / 1.33 / 6.3 % of the cost (of half
    a spread where that is more: costs of what rests cross zero, where a share says nothing);
    deviation 0.0054 / 0.38 / 2.5 bps, its largest where risk under a reverting mid is held from falling with size
    (engine/surfaces.py); shares and probabilities 0 / 0.0091 / 0.045."""
    rng = np.random.default_rng(1)
    cost, relative, deviation, shares = [], [], [], []
    for shape in range(len(shape_keys())):
        for condition in range(len(CONDITION_DYNAMICS)):
            points = points_in_grid(rng, POINTS)
            model, found = exact(shape, condition, points), interpolated(shape, condition, points)
            error = np.abs(cost_bps(found) - cost_bps(model))
            cost.append(error)
            relative.append(error / np.maximum(np.abs(cost_bps(model)), 0.5 * SPREAD_BPS))
            deviation.append(SIGMA_BPS * np.abs(found[:, DEVIATION] - model[:, DEVIATION]))
            for column in (MEAN_TIME, REMAINDER, COMPLETION, DARK, PASSIVE):
                shares.append(np.abs(found[:, column] - model[:, column]))
    bounds = {
        "cost, bps": (cost, (0.0045, 0.13, 0.4)),
        "cost, relative": (relative, (0.0013, 0.02, 0.07)),
        "deviation, bps": (deviation, (0.007, 0.42, 3.0)),
        "shares": (shares, (0.0001, 0.011, 0.06)),
    }
    for name, (errors, limits) in bounds.items():
        found_errors = np.percentile(np.concatenate(errors), (50, 99, 100))
        with capsys.disabled():
            print(f"\n{name}: median, p99, max = {found_errors.round(5).tolist()}", end="")
        assert np.all(found_errors <= limits), (name, found_errors)


def test_interpolation_is_exact_on_the_grid() -> None:
    """At grid points only float32's rounding is left; beyond the grid the last point holds."""
    points = np.array([[PARTICIPATION_GRID[i], HORIZON_DAYS_GRID[i % 10], POOL_SHARE_GRID[i % 5]] for i in range(18)])
    for shape in range(len(shape_keys())):
        found, model = interpolated(shape, 0, points), exact(shape, 0, points)
        assert np.max(np.abs(found - model) / np.maximum(1.0, np.abs(model))) < 1e-6
    outside = np.array([[1e-9, 1e-9, 1e-9], [50.0, 50.0, 50.0]])
    corners = np.array([[a[0] for a in (PARTICIPATION_GRID, HORIZON_DAYS_GRID, POOL_SHARE_GRID)], [1.0, 1.0, 0.45]])
    for shape in range(len(shape_keys())):
        assert np.allclose(interpolated(shape, 3, outside), interpolated(shape, 3, corners), rtol=1e-12)


def test_surfaces_fit_their_budget() -> None:
    surfaces = world.surfaces()
    assert surfaces.values.nbytes <= 8e6
    assert np.all(np.isfinite(surfaces.values))
    assert surfaces.shapes == len(shape_keys())


@pytest.mark.parametrize("participation", [1e-9, 1.0, 50.0])
@pytest.mark.parametrize("horizon_days", [1e-6, 1.0, 30.0])
@pytest.mark.parametrize("pool_share", [0.0, 1.0])
def test_shapes_far_outside_the_grid_stay_sane(participation: float, horizon_days: float, pool_share: float) -> None:
    """Shares add up to one, probabilities are ones, nothing is lost to overflow, whatever the setting."""
    for shape in all_shapes():
        for market in DEFAULT_ASSUMPTIONS.dynamics():
            setting = setting_of(participation, horizon_days, pool_share, market, DEFAULT_ASSUMPTIONS)
            found, flow = coefficients(shape, setting), shape(setting)
            assert np.all(np.isfinite(found)), shape
            done = (flow.aggressive + flow.passive + flow.dark).mean(axis=-1) + flow.auction + flow.remainder
            assert float(done) == pytest.approx(1.0, abs=1e-12), shape
            for column in (REMAINDER, COMPLETION, DARK, PASSIVE, MEAN_TIME):
                assert -1e-12 <= found[column] <= 1.0 + 1e-12, (shape, OUTPUTS[column])
            assert float(np.min(flow.aggressive)) >= -1e-12, shape


@pytest.mark.parametrize("bad", [(0.0, 0.1, 0.1), (0.1, -1.0, 0.1), (0.1, 0.1, math.nan), (math.inf, 0.1, 0.1)])
def test_settings_out_of_range_are_refused(bad: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="not finite or too small"):
        coefficients(Twap(), setting_of(*bad, NORMAL, DEFAULT_ASSUMPTIONS))


# 2. Coefficients of every algorithm at participation 0.1, horizon 0.25 days, pool share 0.1, in NORMAL and
# NEWS_DRIVEN: spread, impact, deviation, dark_spread + dark_impact. Computed once by this model.
PINS: dict[tuple[str, float], tuple[tuple[float, float, float, float], tuple[float, float, float, float]]] = {
    ("TWAP", 0.0): (
        (0.2545070152, 0.033076495854, 0.28863989378, 0.0),
        (0.2545070152, 0.037685803985, 0.51084354221, 0.0),
    ),
    ("VWAP", 0.0): (
        (0.27722597017, 0.033504436043, 0.28863989378, 0.0),
        (0.27722597017, 0.037301701203, 0.51084354221, 0.0),
    ),
    ("POV", 0.0): (
        (0.32124359529, 0.039373620981, 0.28863989378, 0.0),
        (0.32124359529, 0.044229776282, 0.51084354221, 0.0),
    ),
    ("IMPLEMENTATION_SHORTFALL", 1.0): (
        (0.29039494574, 0.0334277007, 0.27131708632, 0.0),
        (0.29039494574, 0.037058959281, 0.48661651763, 0.0),
    ),
    ("IMPLEMENTATION_SHORTFALL", 2.0): (
        (0.29039494574, 0.033217391364, 0.23524723406, 0.0),
        (0.29039494574, 0.036946263894, 0.43545824512, 0.0),
    ),
    ("IMPLEMENTATION_SHORTFALL", 3.5): (
        (0.29039494574, 0.034780936646, 0.18803457187, 0.0),
        (0.29039494574, 0.038829353824, 0.36555714218, 0.0),
    ),
    ("ADAPTIVE_TWAP", 0.0): (
        (0.23087315043, 0.032765496375, 0.29773499287, 0.0),
        (0.21371329434, 0.036560826221, 0.5230389954, 0.0),
    ),
    ("ADAPTIVE_TWAP", 0.3): (
        (0.26499706759, 0.03550878588, 0.29657297582, -0.066012756354),
        (0.24569570026, 0.040454344928, 0.52166608716, -0.058376585302),
    ),
    ("ADAPTIVE_TWAP", 0.5): (
        (0.2728258983, 0.039106451356, 0.29630673297, -0.081155700137),
        (0.25219425769, 0.046064428199, 0.5213874399, -0.070236895857),
    ),
    ("ADAPTIVE_VWAP", 0.0): (
        (0.26131896306, 0.032799927672, 0.29225856636, 0.0),
        (0.2491140932, 0.035807633432, 0.51569604032, 0.0),
    ),
    ("ADAPTIVE_VWAP", 0.3): (
        (0.29158250586, 0.035446611487, 0.29179827858, -0.066069608272),
        (0.2771417129, 0.039561304519, 0.51515222041, -0.058327963751),
    ),
    ("ADAPTIVE_VWAP", 0.5): (
        (0.29852567573, 0.039018643115, 0.29169273682, -0.081220921587),
        (0.28283669084, 0.04514013686, 0.51504177335, -0.07017514432),
    ),
    ("LIQUIDITY_SEEKING", 0.4): (
        (0.35562695274, 0.03907348249, 0.2950876535, -0.09942202186),
        (0.35191049893, 0.044716619682, 0.52047028782, -0.08886413605),
    ),
    ("LIQUIDITY_SEEKING", 0.6): (
        (0.36256391579, 0.043519819825, 0.29880487198, -0.11974479577),
        (0.35742462091, 0.051732604354, 0.52609593588, -0.10507995821),
    ),
    ("LIQUIDITY_SEEKING", 0.8): (
        (0.36740934967, 0.049636276092, 0.30260183368, -0.13391932013),
        (0.36118764172, 0.061439632793, 0.53185506786, -0.11612699582),
    ),
    ("OPPORTUNISTIC", 1.5): (
        (0.37726228686, 0.054876038447, 0.37074183554, 0.0),
        (0.37726228686, 0.059255410556, 0.59405085006, 0.0),
    ),
    ("OPPORTUNISTIC", 2.5): (
        (0.3351173619, 0.045978763569, 0.34758287161, 0.0),
        (0.3351173619, 0.050530556413, 0.56821875302, 0.0),
    ),
    ("OPPORTUNISTIC", 3.5): (
        (0.31460652714, 0.04227321881, 0.3358436375, 0.0),
        (0.31460652714, 0.0469141984, 0.55532854081, 0.0),
    ),
    ("TARGET_CLOSE", 0.1): (
        (0.24950337315, 0.03689541265, 0.36745941961, 0.0),
        (0.24950337315, 0.04064374266, 0.61334549047, 0.0),
    ),
    ("TARGET_CLOSE", 0.25): (
        (0.20791947763, 0.044029969067, 0.38506244214, 0.0),
        (0.20791947763, 0.047500819154, 0.63100728945, 0.0),
    ),
    ("TARGET_CLOSE", 0.5): (
        (0.13861298508, 0.065453955948, 0.41905747075, 0.0),
        (0.13861298508, 0.068533803503, 0.66473684246, 0.0),
    ),
    ("TARGET_CLOSE", 0.75): (
        (0.069306492542, 0.095638877232, 0.45773151047, 0.0),
        (0.069306492542, 0.098431780035, 0.70315329177, 0.0),
    ),
    ("TARGET_CLOSE", 1.0): (
        (0.0, 0.12941941738, 0.5, 0.0),
        (0.0, 0.13207106781, 0.7455324576, 0.0),
    ),
    ("PASSIVE_PEG", 0.0): (
        (0.2168565762, 0.047329912242, 0.36531927115, 0.0),
        (0.2168565762, 0.052633213101, 0.58923102918, 0.0),
    ),
    ("ICEBERG", 0.1): (
        (0.36442124405, 0.06798820614, 0.41535595371, 0.0),
        (0.36442124405, 0.073291506998, 0.64586440726, 0.0),
    ),
    ("ICEBERG", 0.3): (
        (0.33001062053, 0.062455682194, 0.40416869749, 0.0),
        (0.33001062053, 0.067758983053, 0.63302887424, 0.0),
    ),
    ("AGGRESSIVE_SWEEP", 0.0): (
        (7.9056941504, 0.041551476115, 0.28863989378, 0.0),
        (7.9056941504, 0.041551476115, 0.51084354221, 0.0),
    ),
}


@pytest.mark.parametrize("key", shape_keys(), ids=lambda key: f"{key[0]}-{key[1]:g}")
def test_pinned_coefficients(key: tuple[str, float]) -> None:
    for condition, expected in zip((MarketCondition.NORMAL, MarketCondition.NEWS_DRIVEN), PINS[key], strict=True):
        assert pinned(key, condition) == pytest.approx(expected, abs=1e-9, rel=0)


def pinned(key: tuple[str, float], condition: MarketCondition) -> tuple[float, ...]:
    setting = setting_of(0.1, 0.25, 0.1, CONDITION_DYNAMICS[condition], DEFAULT_ASSUMPTIONS)
    found = coefficients(all_shapes()[shape_keys().index(key)], setting)
    return (float(found[0]), float(found[1]), float(found[2]), float(found[8] + found[9]))


def test_every_algorithm_has_a_formula_of_its_own() -> None:
    assert {name for name, _ in PINS} == set(ALGORITHM_NAMES)
    assert len({pin[0] for pin in PINS.values()}) == len(PINS)


# 3. Sources.


@pytest.mark.parametrize("kappa_horizon", [1.0, 2.0, 3.5])
def test_shortfall_profile_is_almgren_chriss(kappa_horizon: float) -> None:
    """With as many periods as cells the holdings are those of the paper's solution of the same kappa x T."""
    problem = almgren_chriss.AlmgrenChrissParameters(
        quantity_shares=1.0, horizon_days=1.0, periods=STEPS, sigma_daily_currency=1.0, half_spread_currency=0.0,
        permanent_currency_per_share2=0.0, temporary_currency_day_per_share2=1.0,
    )
    low, high = 1e-9, 1e6
    for _ in range(200):
        middle = math.sqrt(low * high)
        if almgren_chriss.kappa_per_day(problem, middle) < kappa_horizon:
            low = middle
        else:
            high = middle
    holdings = almgren_chriss.holdings_shares(problem, high)
    assert shortfall_weights(kappa_horizon) / STEPS == pytest.approx(-np.diff(holdings), abs=1e-9)
    assert shortfall_weights(kappa_horizon).mean() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("participation", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("horizon_days", [0.05, 0.5, 1.0])
def test_constant_rate_transient_cost_is_the_square_root_law(participation: float, horizon_days: float) -> None:
    """An order that crosses at a constant rate pays Y sigma sqrt(X/V), with the Y of the mean cost."""
    setting = setting_of(participation, horizon_days, 0.1, NORMAL, DEFAULT_ASSUMPTIONS)
    flow = scheduled_flow(setting, np.ones(STEPS), 0.6, np.zeros(()))
    crossing = replace(flow, aggressive=np.ones(STEPS), passive=np.zeros(STEPS))
    law = impact_bps(
        quantity_shares=participation * horizon_days * 1e6, daily_volume_shares=1e6, sigma_daily_fraction=0.015,
        prefactor=DEFAULT_ASSUMPTIONS.transient_y, exponent=0.5,
    )
    assert 150.0 * float(transient(crossing, setting)) == pytest.approx(float(law), rel=1e-12)


@pytest.mark.parametrize("speed", [1.0, 1.5, 2.5])
def test_occupation_is_levys_arcsine_law(speed: float) -> None:
    """Share of the time that a random walk spends at or below its start, by Monte Carlo: 20,000 paths."""
    rng = np.random.default_rng(11)
    below = np.concatenate(
        [(np.cumsum(rng.standard_normal((2000, 1000)), axis=1) <= 0.0).mean(axis=1) for _ in range(10)]
    )
    filled, complete = occupation_fill(speed)
    assert filled == pytest.approx(float(np.minimum(1.0, speed * below).mean()), abs=0.01)
    if speed > 1.0:
        assert complete == pytest.approx(float((speed * below >= 1.0).mean()), abs=0.02)


@pytest.mark.parametrize(("capacity", "noise"), [(0.8, 0.3), (1.0, 0.2), (1.5, 0.5), (4.0, 0.6)])
def test_capacity_shortfall_is_black_scholes_put(capacity: float, noise: float) -> None:
    """What the kernel leaves undone when volume strays: E[(1 - kW)+], W lognormal of mean 1, by Monte Carlo. Read off
    a price of a whole catalogue at a participation limit of `capacity` times TWAP's peak."""
    request = world.order(world.NO_DARK, share=0.02, minutes=30.0)
    found, context = world.resolved(request), world.kernel_context(request)
    context[k.VOLUME_FORECAST], context[k.VOLUME_NOISE] = noise, 0.0
    context[k.MAX_PARTICIPATION] = 1.0
    vwap = next(n for n, c in enumerate(world.usual().catalogue.candidates) if c.spec.name == "VWAP")
    peak = world.prices(context, found).metrics[vwap, k.PEAK_PARTICIPATION]
    context[k.MAX_PARTICIPATION] = capacity * peak
    row = world.prices(context, found).metrics[vwap]
    z = np.random.default_rng(5).standard_normal(2_000_000)
    volume = np.exp(noise * z - 0.5 * noise**2)
    assert row[k.UNFILLED] == pytest.approx(float(np.maximum(1.0 - capacity * volume, 0.0).mean()), abs=5e-4)
    assert row[k.COMPLETION_PROBABILITY] == pytest.approx(float((capacity * volume >= 1.0).mean()), abs=2e-3)


def test_reverting_covariance_is_ornstein_uhlenbeck() -> None:
    """Covariance of a stationary process's increments, by Monte Carlo of its exact transition: 200,000 paths."""
    market = CONDITION_DYNAMICS[MarketCondition.MEAN_REVERTING]
    horizon = 0.5
    theta, cell = market.reversion_per_day, horizon / STEPS
    rng = np.random.default_rng(3)
    paths = 200_000
    decay = math.exp(-theta * cell)
    x = rng.standard_normal(paths) / math.sqrt(2.0 * theta)
    increments = np.empty((paths, STEPS))
    for step in range(STEPS):
        following = decay * x + rng.standard_normal(paths) * math.sqrt((1.0 - decay**2) / (2.0 * theta))
        increments[:, step] = following - x
        x = following
    simulated = increments.T @ increments / paths
    model = covariance(horizon, market)
    assert np.max(np.abs(simulated - model)) < 0.02 * model[0, 0]
    held = 1.0 - (np.arange(STEPS) + 0.5) / STEPS
    assert held @ model @ held == pytest.approx(float(np.var(increments @ held)), rel=0.01)


def test_trend_and_burst_covariance() -> None:
    """Total variance of the mid over the horizon: diffusion, the drift's squared integral, the burst's integral."""
    for condition in (MarketCondition.TRENDING, MarketCondition.NEWS_DRIVEN, MarketCondition.NORMAL):
        market = CONDITION_DYNAMICS[condition]
        for horizon in (0.05, 0.4, 1.0):
            life = market.drift_life_days
            drift = market.drift_sd_per_day * life * (1.0 - math.exp(-horizon / life))
            life = market.burst_life_days
            burst = market.burst_variance * life * (1.0 - math.exp(-horizon / life))
            total = horizon + drift**2 + burst
            assert covariance(horizon, market).sum() == pytest.approx(total, rel=0.01), condition


def test_dark_share_is_the_stated_pareto() -> None:
    """E[min(sent, hidden)] with P(hidden > x) = (1 + x/m)^-1.5, by Monte Carlo."""
    uniform = 1.0 - np.random.default_rng(9).random(2_000_000)
    for participation, ratio in ((0.01, 0.3), (0.1, 0.5), (0.3, 0.8)):
        setting = setting_of(participation, 0.25, 0.12, NORMAL, DEFAULT_ASSUMPTIONS)
        scale = 0.25 * 0.12
        hidden = scale * (uniform ** (-1.0 / 1.5) - 1.0)
        simulated = np.minimum(ratio * participation, hidden).mean() / participation
        assert float(expected_dark_share(setting, ratio, 1.0)) == pytest.approx(float(simulated), rel=0.005)


def test_capped_share_is_the_stated_lognormal() -> None:
    flow = np.exp(np.random.default_rng(2).standard_normal(2_000_000) * 0.8) * 0.1
    for level in (0.01, 0.1, 0.5):
        simulated = np.minimum(1.0, flow / level).mean()
        assert float(expected_capped_share(np.array(level), 0.1, 0.8)) == pytest.approx(float(simulated), rel=0.005)
