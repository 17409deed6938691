"""Properties of the engine, on the interpolated engine and on the exact model behind it.

What is exactly true, and under which conditions:

1. For a given candidate and for the least utility over all, cost and utility do not fall as spread or volatility
   rises, whatever the alpha, where there is no price limit (a limit's reach falls as volatility rises). Masks do not
   depend on either then.
2. Fees apart, they do not fall as size rises where there is no price limit and alpha does not favour waiting. Masks
   only grow with size then. Fees can fall, by hundredths of a bp: a larger order fills less in the dark, for a fee,
   and so rests more, for a rebate; or rests less where an inverted venue charges for it.
3. Completion probability does not rise with size, with or without a limit on price, for a given horizon.
4. A schedule sums to the order in whole lots, inside session and horizon, never in a break, and no slice plans more
   than the participation limit but for one lot of rounding, whatever the jitter.
5. The frontier is the lower hull of (variance, cost); the chosen candidate is never masked.
6. Same input, same bytes. Buy and sell mirror each other.
7. Ties within 1e-4 bps go to catalogue order.
8. Every flip is true: just beyond it another algorithm is chosen, before it none is. Spread, volatility and alpha move
   utilities along straight lines; under a price limit those of spread and volatility bend and change masks, so that
   none is told there.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine import kernel as k
from engine.algorithms.flow import Setting
from engine.assumptions import DEFAULT_ASSUMPTIONS
from engine.catalogue import all_shapes, shape_keys
from engine.decide import decide
from engine.decision import Decision, Flip, Refusal, Schedule
from engine.priced import run_kernel, size_multiples
from engine.pricing import COMPLETION, DARK_IMPACT, DARK_SPREAD, IMPACT, SPREAD, coefficients
from engine.request import OrderRequest
from engine.resolve import turnover_factor
from engine.told import Told
from engine.values import Side
from tests.helpers import world
from tests.helpers.decision_checks import assert_plain, assert_sound

seeded = settings(derandomize=True, database=None, deadline=None, max_examples=150)
few = settings(derandomize=True, database=None, deadline=None, max_examples=60)

# Surfaces are float32, and the sum of two rounded columns may be an ulp off.
ROUNDING = 2e-6
TIE_BPS = 1e-4

growths = st.floats(1.0, 30.0)


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # numpy's
        yield


def without_fees(context: NDArray[np.float64]) -> NDArray[np.float64]:
    changed = context.copy()
    changed[[k.TAKER_FEE_BPS, k.MAKER_FEE_BPS, k.DARK_FEE_BPS]] = 0.0
    return changed


def assert_not_lower(more: NDArray[np.float64], less: NDArray[np.float64], allowed: NDArray[np.bool_]) -> None:
    slack = ROUNDING * np.maximum(1.0, np.abs(less[allowed]))
    assert np.all(more[allowed] >= less[allowed] - slack), float(np.min(more[allowed] - less[allowed]))


def assert_least_not_lower(after: world.Prices, before: world.Prices) -> None:
    """The least utility over all that is allowed; nothing allowed costs infinitely much."""
    least = []
    for found in (before, after):
        allowed = found.column(k.UTILITY)[found.mask == 0]
        least.append(float(allowed.min(initial=math.inf)))
    assert least[1] == math.inf or least[1] >= least[0] - ROUNDING * max(1.0, abs(least[0]))


# 1 and 2: on the exact model.

SHAPES = list(zip(shape_keys(), all_shapes(), strict=True))


@pytest.mark.parametrize(("key", "shape"), SHAPES, ids=[f"{name}-{value:g}" for (name, value), _ in SHAPES])
def test_exact_cost_does_not_fall_with_participation(key: tuple[str, float], shape: object) -> None:
    """At a fixed horizon size is participation. Both coefficients are also not negative, so that cost does not fall
    with spread or volatility."""
    participation = np.geomspace(1e-4, 1.0, 60)[:, None, None]
    horizon = np.geomspace(1.0 / 1440.0, 1.0, 12)[None, :, None]
    pool = np.geomspace(0.005, 0.45, 4)[None, None, :]
    for market in DEFAULT_ASSUMPTIONS.dynamics():
        found = coefficients(shape, Setting(participation, horizon, pool, market, DEFAULT_ASSUMPTIONS))  # type: ignore[arg-type]
        spread = found[..., SPREAD] + found[..., DARK_SPREAD]
        impact = found[..., IMPACT] + found[..., DARK_IMPACT]
        for cost in (spread, impact):
            assert cost.min() >= -1e-12, key
            assert np.diff(cost, axis=0).min() >= -1e-12, key
        assert np.diff(found[..., COMPLETION], axis=0).max() <= 1e-12, key


def test_exact_constant_rate_costs_more_for_longer() -> None:
    """A larger order at a given rate takes longer: POV's cost and risk do not fall with the horizon."""
    shape = dict(SHAPES)[("POV", 0.0)]
    horizon = np.geomspace(1.0 / 1440.0, 1.0, 80)
    for market in DEFAULT_ASSUMPTIONS.dynamics():
        for rate in (0.01, 0.1, 0.3):
            setting = Setting(np.array(rate), horizon, np.array(0.1), market, DEFAULT_ASSUMPTIONS)
            found = coefficients(shape, setting)
            assert np.diff(found[..., :3], axis=0).min() >= -1e-12


# 1 to 3: on the engine.


@given(world.orders(constrained=False), st.sampled_from((k.SPREAD_BPS, k.SIGMA_BPS)), growths)
@seeded
def test_cost_does_not_fall_with_spread_or_volatility(request: OrderRequest, field: int, growth: float) -> None:
    found, context = world.resolved(request), world.kernel_context(request)
    larger = context.copy()
    larger[field] *= growth
    before, after = world.prices(context, found), world.prices(larger, found)
    assert np.array_equal(before.mask, after.mask)
    priced = (before.mask & k.MASK_UNPRICED) == 0
    for column in (k.COST, k.UTILITY):
        assert_not_lower(after.column(column), before.column(column), priced)
    assert_least_not_lower(after, before)


@given(world.orders(constrained=False, alpha=False), growths, st.floats(0.0, 300.0))
@seeded
def test_cost_does_not_fall_with_size(request: OrderRequest, growth: float, alpha: float) -> None:
    found = world.resolved(request)
    context = without_fees(world.kernel_context(request))
    context[k.ALPHA_BPS_PER_DAY] = alpha
    larger = context.copy()
    larger[k.QUANTITY] *= growth
    before, after = world.prices(context, found), world.prices(larger, found)
    assert np.all((after.mask & before.mask) == before.mask)
    priced = (before.mask & k.MASK_UNPRICED) == 0
    for column in (k.COST, k.UTILITY):
        assert_not_lower(after.column(column), before.column(column), priced)
    assert_least_not_lower(after, before)


@given(world.orders(), growths)
@seeded
def test_completion_does_not_rise_with_size(request: OrderRequest, growth: float) -> None:
    if isinstance(decide(request, world.usual()), Refusal):
        request = replace(request, constraints=replace(request.constraints, excluded_venues=frozenset()))
        assume(isinstance(decide(request, world.usual()), Decision))
    found, context = world.resolved(request), world.kernel_context(request)
    larger = context.copy()
    larger[k.QUANTITY] *= growth
    before, after = world.prices(context, found), world.prices(larger, found)
    priced = (before.mask & k.MASK_UNPRICED) == 0
    if context[k.LIMIT_ROOM_BPS] < 0.0:
        # A constant rate takes longer for more, and a limit that is behind the market is reached more often then.
        priced &= world.usual().catalogue.rule != 1
    column = k.COMPLETION_PROBABILITY
    assert_not_lower(before.column(column), after.column(column), priced)


# 4: every constraint, schedule, venue and sum, for whatever hypothesis thinks of.


@given(world.orders())
@settings(seeded, max_examples=400)
def test_decisions_are_sound(request: OrderRequest) -> None:
    answer = decide(request, world.usual())
    if isinstance(answer, Decision):
        assert_sound(answer, request, world.usual())
    else:
        assert_plain(answer, "refusal")
        assert answer.faults


@given(world.orders(), st.integers(0, 2**64 - 1))
@few
def test_the_seed_moves_slices_only(request: OrderRequest, seed: int) -> None:
    first, second = decide(request, world.usual()), decide(replace(request, seed=seed), world.usual())
    assume(isinstance(first, Decision))
    assert isinstance(first, Decision)
    assert isinstance(second, Decision)
    moved = {"schedule": first.schedule, "versions": first.versions, "risk_controls": first.risk_controls}
    assert msgspec.structs.replace(second, **moved) == first


# 5: frontier and choice.


def brute_hull(x: NDArray[np.float64], y: NDArray[np.float64]) -> set[int]:
    """Points that are the least of y + slope * x for some slope > 0, or the least y: their lower hull, by trying the
    slope between every pair."""
    slopes = {0.0}
    for i in range(len(x)):
        run, rise = x - x[i], y - y[i]
        falling = (run > 0.0) & (rise < 0.0)
        slopes |= set((-rise[falling] / run[falling]).tolist())
    found = set()
    edges = sorted(slopes)
    for slope in [*(np.array(edges[:-1]) + np.array(edges[1:])) / 2.0, edges[-1] * 2.0 + 1.0]:
        found.add(int(np.argmin(y + slope * x)))
    return found


@given(world.orders())
@few
def test_frontier_is_the_lower_hull(request: OrderRequest) -> None:
    assume(isinstance(decide(request, world.usual()), Decision))
    found, context = world.resolved(request), world.kernel_context(request)
    priced = run_kernel(world.usual(), found, context, np.empty(0))
    assume(priced.best >= 0)
    allowed = np.flatnonzero(priced.mask == 0)
    x, y = priced.metrics[allowed, k.DEVIATION_BPS] ** 2, priced.metrics[allowed, k.COST]
    hull = [int(n) for n in priced.hull]
    assert set(hull) <= set(allowed.tolist())
    expected = {int(allowed[n]) for n in brute_hull(x, y)}
    for n in expected ^ set(hull):
        # Equal points, and points on the line between their neighbours to the last bits, may go either way.
        assert distance_to_hull(priced.metrics, hull, n) <= 1e-9 * max(1.0, abs(priced.metrics[n, k.COST])), n
    # No allowed candidate lies below the hull.
    for row in allowed.tolist():
        assert distance_to_hull(priced.metrics, hull, row) >= -1e-9 * max(1.0, abs(priced.metrics[row, k.COST]))


def distance_to_hull(metrics: NDArray[np.float64], hull: list[int], n: int) -> float:
    """How far a point's cost lies above the hull at its variance."""
    x, y = metrics[hull, k.DEVIATION_BPS] ** 2, metrics[hull, k.COST]
    own = metrics[n, k.DEVIATION_BPS] ** 2
    if own < x[0] * (1.0 - 1e-12):
        return -math.inf
    return float(metrics[n, k.COST] - np.interp(own, x, y))


@given(world.orders())
@seeded
def test_the_chosen_is_allowed_and_the_least(request: OrderRequest) -> None:
    assume(isinstance(decide(request, world.usual()), Decision))
    found, context = world.resolved(request), world.kernel_context(request)
    priced = run_kernel(world.usual(), found, context, size_multiples(found))
    assume(priced.best >= 0)
    again = world.prices(context, found)
    assert np.array_equal(again.mask, priced.mask)
    assert np.array_equal(again.metrics, priced.metrics)
    assert priced.mask[priced.best] == 0
    allowed = np.flatnonzero(priced.mask == 0)
    rounded = np.round(priced.metrics[allowed, k.UTILITY] * 1e4)
    assert priced.best == allowed[np.flatnonzero(rounded == rounded.min())[0]]


# 6: determinism and mirror.


def told_values(told: object) -> object:
    """What is told as arrays, as values; so is a schedule."""
    if isinstance(told, Schedule):
        return [told.start_ns, told.end_ns, told.horizon_minutes, told.slices]
    assert isinstance(told, Told)
    return [told.alternatives, told.frontier]


@given(world.orders())
@few
def test_same_input_same_bytes(request: OrderRequest) -> None:
    def encoded(given_world: object) -> bytes:
        answer = decide(request, given_world)  # type: ignore[arg-type]
        return msgspec.json.encode(answer, order="deterministic", enc_hook=told_values)

    assert encoded(world.usual()) == encoded(world.usual()) == encoded(world.snapshot())


def mirrored(request: OrderRequest, mid: float) -> OrderRequest:
    """The same order the other way round: alpha and price limit mirrored at the mid."""
    alpha = request.context.short_term_alpha_bps_per_day
    limit = request.constraints.price_limit
    return replace(
        request,
        side=Side.SELL if request.side is Side.BUY else Side.BUY,
        context=replace(request.context, short_term_alpha_bps_per_day=None if alpha is None else -alpha),
        constraints=replace(request.constraints, price_limit=None if limit is None else 2.0 * mid - limit),
    )


@given(world.orders())
@seeded
def test_buy_and_sell_mirror(request: OrderRequest) -> None:
    mid = world.views()[request.instrument_id].market.mid_price
    assert mid is not None
    request = world.explicit(request)
    limit = request.constraints.price_limit
    assume(limit is None or abs(limit - mid) < 0.9 * mid)
    one, other = decide(request, world.usual()), decide(mirrored(request, mid), world.usual())
    assert type(one) is type(other)
    if isinstance(one, Refusal) or isinstance(other, Refusal):
        assert isinstance(one, Refusal)
        assert isinstance(other, Refusal)
        assert [fault.field for fault in one.faults] == [fault.field for fault in other.faults]
        return
    assert one.venue_allocation == other.venue_allocation
    assert one.schedule == other.schedule
    assert [a.choice.strategy_name for a in one.alternatives] == [a.choice.strategy_name for a in other.alternatives]
    if limit is None:
        assert one.chosen == other.chosen
        assert one.breakdown == other.breakdown
        assert one.frontier == other.frontier
        assert one.confidence == other.confidence
    else:
        assert one.breakdown.utility_bps == pytest.approx(other.breakdown.utility_bps, rel=1e-9, abs=1e-9)
        assert one.chosen.parameters == other.chosen.parameters
    up, down = one.risk_controls.price_limit - mid, mid - other.risk_controls.price_limit
    assert up == pytest.approx(down, rel=1e-6, abs=1e-9 * mid) or other.risk_controls.price_limit == 0.0
    assert len(one.flips) == len(other.flips)
    for first, second in zip(one.flips, other.flips, strict=True):
        sign = -1.0 if first.input_name.startswith("short") else 1.0
        assert (first.input_name, first.algorithm) == (second.input_name, second.algorithm)
        assert first.flip_value == pytest.approx(sign * second.flip_value, rel=1e-6, abs=1e-6)


# 7: ties.


@pytest.mark.parametrize(
    ("utilities", "masks", "expected"),
    [
        ((1.0, 1.0), (0, 0), 0),
        ((1.00004, 1.0), (0, 0), 0),
        ((1.0002, 1.0), (0, 0), 1),
        ((1.00006, 0.99996, 0.99997), (0, 0, 0), 1),
        ((0.5, 1.0), (k.MASK_PARTICIPATION, 0), 1),
        ((-2.0, -2.00003), (0, 0), 0),
        ((math.inf, 7.0), (k.MASK_DUPLICATE, 0), 1),
        ((1.0, 2.0), (1, 1), -1),
    ],
)
def test_ties_go_to_catalogue_order(utilities: tuple[float, ...], masks: tuple[int, ...], expected: int) -> None:
    metrics = np.zeros((len(utilities), k.METRICS))
    metrics[:, k.UTILITY] = utilities
    own = np.empty(len(utilities), dtype=np.int64)
    best = k.choose(np.arange(len(utilities)), metrics, np.array(masks, dtype=np.int64), own)
    assert best == expected
    assert [n >= 0 for n in own] == [mask == 0 for mask in masks]


# 8: flips.

INPUTS = {
    "spread_bps": "spread_bps",
    "daily_volatility": "daily_volatility_fraction",
    "short_term_alpha_bps_per_day": "short_term_alpha_bps_per_day",
}


def decided_at(request: OrderRequest, flip: Flip, value: float) -> Decision:
    answer = decide(world.explicit(request, **{INPUTS[flip.input_name]: value}), world.usual())
    assert isinstance(answer, Decision), answer
    return answer


def behind_by_bps(decision: Decision, algorithm: str) -> float:
    """How far an algorithm is behind the chosen one; 0 for the chosen one itself."""
    if decision.chosen.algorithm == algorithm:
        return 0.0
    found = [a.utility_difference_bps for a in decision.alternatives if a.choice.algorithm == algorithm]
    if found:
        return found[0]
    # Where even the last of the few alternatives told ties, those not told may tie as well.
    last = decision.alternatives[-1].utility_difference_bps if decision.alternatives else math.inf
    return last if last <= 2.0 * TIE_BPS else math.inf


def assert_true_flip(request: OrderRequest, chosen: str, flip: Flip) -> None:
    """Just beyond it another algorithm is chosen (the one named, but for a tie); before it the chosen one is (or ties).
    """
    size = max(abs(flip.flip_value), abs(flip.current_value))
    step = math.copysign(1e-7 * size, flip.flip_value - flip.current_value)
    beyond = decided_at(request, flip, flip.flip_value + step)
    assert beyond.chosen.algorithm != chosen, flip
    assert behind_by_bps(beyond, flip.algorithm) <= 2.0 * TIE_BPS, flip
    for part in (0.25, 0.5, 0.9, 0.99, 0.9999):
        before = decided_at(request, flip, flip.current_value + part * (flip.flip_value - flip.current_value))
        assert behind_by_bps(before, chosen) <= 2.0 * TIE_BPS, (flip, part)


@given(world.orders())
@settings(seeded, max_examples=250)
def test_flips_are_true(request: OrderRequest) -> None:
    request = world.explicit(request)
    decision = decide(request, world.usual())
    assume(isinstance(decision, Decision))
    assert isinstance(decision, Decision)
    for flip in decision.flips:
        assert flip.algorithm != decision.chosen.algorithm
        assert flip.flip_value != flip.current_value
        if flip.input_name == "quantity":
            other = decide(replace(request, quantity_shares=flip.flip_value), world.usual())
            assert isinstance(other, Decision)
            assert other.chosen.algorithm == flip.algorithm
        else:
            assert_true_flip(request, decision.chosen.algorithm, flip)
    if request.constraints.price_limit is not None:
        assert {flip.input_name for flip in decision.flips} <= {"quantity", "short_term_alpha_bps_per_day"}


def test_flips_skip_another_parameter_of_the_same_algorithm() -> None:
    """Two algorithms, three lines: the own algorithm's second line is in the way of the other's."""
    metrics = np.zeros((3, k.METRICS))
    metrics[:, k.UTILITY] = (1.0, 2.0, 3.0)
    metrics[:, k.UTILITY_PER_SPREAD] = (1.0, 0.2, 0.1)
    out = np.empty(4)
    k.flip(np.array([0, 0, 1]), metrics, np.arange(3), 0, k.UTILITY_PER_SPREAD, 5.0, out)
    # Line 1 takes over from line 0 at 5 + 1/0.8; the other algorithm's line crosses line 1 at 5 + (1 + tie)/0.1.
    assert math.isnan(out[0])
    assert out[2] == pytest.approx(5.0 + (1.0 + TIE_BPS) / 0.1, rel=1e-12)
    assert out[3] == 2


def test_turnover_factor_is_at_least_one() -> None:
    view = world.views()[world.US]
    assert turnover_factor(view, 1e30) == 1.0
    assert turnover_factor(view, view.instrument.shares_outstanding / 16.0) == pytest.approx(2.0)
