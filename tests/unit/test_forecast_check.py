"""Forecasts against outcomes, by hand."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.forecast_check import check_forecasts
from engine.performance import Executed, wilson_of
from tests.helpers.executed import executed


def test_wilson_by_hand() -> None:
    # z = 1.959964: for 8 of 10 the textbook's interval is 0.4902 to 0.9433, for 0 of 10 it is 0 to 0.2775.
    assert wilson_of(8, 10) == (0.8, pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson_of(0, 10) == (0.0, 0.0, pytest.approx(0.2775, abs=1e-4))
    assert wilson_of(10, 10) == (1.0, pytest.approx(0.7225, abs=1e-4), 1.0)


def test_no_orders_say_nothing() -> None:
    assert check_forecasts([]) is None


def test_the_figures() -> None:
    rows = [
        executed(-0.001, predicted_completion=0.95),
        executed(0.001, predicted_completion=1.0),
        executed(0.003, predicted_completion=0.2, filled_shares=10.0),
        executed(0.002),
    ]
    found = check_forecasts(rows)
    assert found is not None
    assert (found.orders, found.error.mean) == (4, pytest.approx(0.00025))
    assert found.absolute_error == pytest.approx(0.00125)
    assert [share.mean for share in (found.coverage.below, found.coverage.within, found.coverage.above)] == [
        0.25, 0.5, 0.25,
    ]  # fmt: skip
    (only,) = found.cost
    assert (only.orders, only.predicted, only.not_distinguishable) == (4, 0.001, True)
    low, high = found.completion
    assert (low.predicted, low.actual.mean, low.orders) == (0.2, 0.0, 1)
    assert (high.predicted, high.actual.mean, high.orders) == (pytest.approx(0.975), 1.0, 2)


def test_bins_tell_forecasts_that_held_from_those_that_did_not() -> None:
    held = [executed(0.001 + step * 1e-5, predicted_cost=0.001) for step in (-2, -1, 0, 1, 2)]
    missed = [executed(0.009 + step * 1e-5, predicted_cost=0.005) for step in (-2, -1, 0, 1, 2)]
    found = check_forecasts([*missed, *held])
    assert found is not None
    assert [found_bin.not_distinguishable for found_bin in found.cost] == [True, False]
    assert [found_bin.orders for found_bin in found.cost] == [5, 5]


@given(
    st.lists(
        st.builds(
            executed,
            st.floats(-1.0, 1.0),
            predicted_cost=st.floats(-1.0, 1.0),
            predicted_completion=st.none() | st.floats(0.0, 1.0),
            filled_shares=st.sampled_from([0.0, 1_000.0]),
        ),
        min_size=1, max_size=70,
    )
)  # fmt: skip
def test_bins_hold_every_order_once_and_in_order(rows: list[Executed]) -> None:
    found = check_forecasts(rows)
    assert found is not None
    assert sum(one.orders for one in found.cost) == len(rows)
    assert sum(one.orders for one in found.completion) == sum(row.predicted_completion is not None for row in rows)
    for bins in (found.cost, found.completion):
        for one in bins:
            assert one.predicted_low <= one.predicted <= one.predicted_high
            assert one.actual.lower <= one.actual.mean <= one.actual.upper
        for before, after in itertools.pairwise(bins):
            assert before.predicted_high <= after.predicted_low
    shares = (found.coverage.below, found.coverage.within, found.coverage.above)
    assert sum(share.mean for share in shares) == pytest.approx(1.0)
