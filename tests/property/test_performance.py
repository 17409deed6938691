"""Whatever was reported: orders add up, the order of the rows does not matter, and every figure is one."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.performance import Executed, Performance, interval_of, performance_of

COSTS = st.floats(-1.0, 1.0)
FORECASTS = st.lists(st.floats(-10.0, 10.0), min_size=3, max_size=3).map(sorted)
SHARES = st.floats(0.0, 1e12)


@st.composite
def orders(draw: st.DrawFn) -> Executed:
    low, mean, high = draw(FORECASTS)
    return Executed(
        day=draw(st.sampled_from(["2025-06-15", "2025-06-16"])),
        strategy_name=draw(st.sampled_from(["VWAP", "TWAP", "POV"])),
        objective=draw(st.sampled_from(["", "MINIMIZE_COST"])),
        condition=draw(st.sampled_from(["NORMAL", "TRENDING"])),
        quantity_shares=draw(SHARES),
        daily_volume_shares=draw(SHARES),
        venues=tuple(draw(st.sets(st.sampled_from(["XNYS", "XNAS", "BATS"])))),
        predicted_cost=mean,
        predicted_low=low,
        predicted_high=high,
        cost=draw(COSTS),
        impact=draw(st.none() | st.floats(allow_nan=False, allow_infinity=False)),
        filled_shares=draw(SHARES),
    )


def figures(found: Performance) -> list[float]:
    lines: list[Any] = [*found.by_strategy, *found.by_objective, *found.by_condition, *found.by_size, *found.by_venue,
             *found.daily]  # fmt: skip
    values = [value for line in lines for value in dataclasses.astuple(line)]
    return [value for value in values if isinstance(value, float)]


@given(st.lists(orders(), max_size=30))
def test_orders_add_up(rows: list[Executed]) -> None:
    found = performance_of(rows)
    for group in (found.by_strategy, found.by_objective, found.by_condition, found.by_size, found.daily):
        assert sum(line.orders for line in group) == len(rows)
    assert sum(line.orders for line in found.by_venue) == sum(len(row.venues) for row in rows)
    assert all(line.orders > 0 for line in found.by_venue)


@given(st.lists(orders(), max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[Executed], chance: random.Random) -> None:
    mixed = list(rows)
    chance.shuffle(mixed)
    assert performance_of(mixed) == performance_of(rows)


@given(st.lists(orders(), min_size=1, max_size=20))
def test_every_figure_is_a_number_in_its_bounds(rows: list[Executed]) -> None:
    found = performance_of(rows)
    assert all(math.isfinite(value) for value in figures(found))
    for line in (*found.by_strategy, *found.by_venue):
        assert line.cost_lower <= line.cost <= line.cost_upper
        assert 0.0 <= line.success_rate <= 1.0
        assert 0.0 <= line.interval_coverage <= 1.0
        assert line.impact is None or -1.0 <= line.impact <= 1.0


@given(st.lists(COSTS, min_size=2, max_size=40))
def test_the_interval_is_around_the_mean(costs: list[float]) -> None:
    found = interval_of(costs)
    assert math.isclose(found.mean, statistics.fmean(costs), abs_tol=1e-15)
    assert found.lower <= found.mean <= found.upper
    more = interval_of(costs * 4)
    assert more.upper - more.lower <= found.upper - found.lower + 1e-12
