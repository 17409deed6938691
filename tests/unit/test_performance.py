"""The performance report's figures, by hand."""

from __future__ import annotations

import pytest

from engine.performance import BUCKETS, interval_of, performance_of, size_of, t_quantile
from tests.helpers.executed import executed


def test_the_figures_of_a_line() -> None:
    rows = [
        executed(0.001),
        executed(0.002, impact=0.0015),
        executed(0.003, impact=None),
        executed(0.002, filled_shares=999.0, predicted_cost=0.003),
    ]
    (line,) = performance_of(rows).by_strategy
    assert (line.label, line.orders) == ("VWAP", 4)
    assert line.cost == pytest.approx(0.002)
    # Variance (1 + 0 + 1 + 0) / 3 of 1e-6, over 4; t with 3 degrees of freedom 3.1824.
    half = 3.1824 * (2e-6 / 3 / 4) ** 0.5
    assert line.cost_lower == pytest.approx(0.002 - half)
    assert line.cost_upper == pytest.approx(0.002 + half)
    assert line.impact == pytest.approx(0.0025 / 3)
    # The third cost more than its 90 % quantile, the fourth was not filled.
    assert line.success_rate == 0.5
    assert line.predicted_cost == pytest.approx(0.0015)
    assert line.interval_coverage == 0.75


def test_success_and_coverage_at_the_edges() -> None:
    assert executed(0.002).is_success
    assert not executed(0.0020001).is_success
    assert executed(-0.5).is_success
    assert not executed(-0.5).is_within
    assert executed(0.0).is_within
    assert executed(filled_shares=1_000.0 - 4e-7).is_success
    assert not executed(filled_shares=1_000.0 - 1e-6).is_success
    assert executed(filled_shares=1_200.0).is_success


def test_a_line_is_told_from_the_mean_of_the_others() -> None:
    cheap = [executed(cost, strategy_name="TWAP") for cost in (0.0009, 0.0010, 0.0011)]
    dear = [executed(cost) for cost in (0.0049, 0.0050, 0.0051, 0.0050)]
    lines = {line.label: line for line in performance_of(cheap + dear).by_strategy}
    assert not lines["TWAP"].not_distinguishable
    assert not lines["VWAP"].not_distinguishable
    near = [executed(cost) for cost in (0.0009, 0.0011)]
    assert all(line.not_distinguishable for line in performance_of(cheap + near).by_strategy)
    # All orders are in it: there are no others.
    assert performance_of(cheap + dear).by_objective[0].not_distinguishable


def test_one_order_says_nothing_of_others() -> None:
    assert interval_of([0.001]) == (0.001, -1.0, 1.0)
    rows = [executed(0.9, strategy_name="TWAP"), *(executed(0.001) for _ in range(5))]
    lines = {line.label: line for line in performance_of(rows).by_strategy}
    assert lines["TWAP"].not_distinguishable
    assert not lines["VWAP"].not_distinguishable


def test_an_interval_stays_within_what_a_cost_can_be() -> None:
    assert interval_of([-1.0, 1.0]) == (0.0, -1.0, 1.0)
    assert interval_of([0.1, 0.1, 0.1])[1:] == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.7062), (2, 4.3027), (10, 2.2281), (30, 2.0423), (31, 2.0395), (40, 2.0211), (100, 1.9840), (10**6, 1.96)],
)
def test_students_quantiles(freedom: int, quantile: float) -> None:
    assert t_quantile(freedom) == pytest.approx(quantile, abs=1e-4)


@pytest.mark.parametrize(
    ("quantity", "bucket"),
    [(1, 0), (499, 0), (500, 1), (2_499, 1), (2_500, 2), (5_000, 3), (12_499, 3), (12_500, 4), (10**9, 4)],
)
def test_sizes(quantity: float, bucket: int) -> None:
    assert size_of(executed(quantity_shares=quantity)) == BUCKETS[bucket]
    assert size_of(executed(quantity_shares=quantity, daily_volume_shares=0.0)) == "unknown"


def test_groups_and_their_order() -> None:
    rows = [
        executed(0.001, condition="", venues=("XNYS",)),
        executed(0.002, condition="TRENDING", quantity_shares=20_000.0, filled_shares=20_000.0),
        executed(0.003, condition="TRENDING", strategy_name="TWAP", day="2025-06-15", impact=None),
        executed(0.004, objective="MINIMIZE_RISK", day="2025-06-17", impact=1e300, venues=()),
    ]
    found = performance_of(rows)
    assert [(line.label, line.orders) for line in found.by_strategy] == [("VWAP", 3), ("TWAP", 1)]
    assert [(line.label, line.orders) for line in found.by_objective] == [("MINIMIZE_COST", 3), ("MINIMIZE_RISK", 1)]
    assert [line.label for line in found.by_condition] == ["TRENDING", "NORMAL", "unknown"]
    assert [(line.label, line.orders) for line in found.by_size] == [("1-5 % ADV", 3), ("over 25 % ADV", 1)]
    assert [(line.label, line.orders) for line in found.by_venue] == [("XNYS", 3), ("XNAS", 2)]
    assert [(day.day, day.strategy_name, day.orders, day.cost, day.impact) for day in found.daily] == [
        ("2025-06-15", "TWAP", 1, 0.003, None),
        ("2025-06-16", "VWAP", 2, 0.0015, 0.0005),
        # What nobody can mean counts as the most that there can be.
        ("2025-06-17", "VWAP", 1, 0.004, 1.0),
    ]


def test_nothing_reported_is_an_empty_report() -> None:
    found = performance_of([])
    assert found.by_strategy == found.by_venue == found.by_size == found.daily == ()
