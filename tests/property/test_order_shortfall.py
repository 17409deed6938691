"""Perold's shortfall: the parts sum to the definition, whatever was filled."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.order_life.machine import apply
from engine.order_life.shortfall import shortfall_of
from engine.order_life.state import Opening, opened
from engine.order_life.updates import UNITS_PER_SHARE, Amend, Fill, Market, Update
from engine.request import Context

PRICES = st.floats(20.0, 80.0)
FILLS = st.lists(st.tuples(st.integers(1, 300), PRICES, PRICES, st.floats(-1.0, 5.0)), min_size=1, max_size=12)


@given(fills=FILLS, sign=st.sampled_from([1, -1]), decided=PRICES, arrival=PRICES, last=PRICES,
       impact=st.floats(0.0, 50.0))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_the_parts_sum_to_perolds_definition(fills: list[tuple[int, float, float, float]], sign: int, decided: float,
                                             arrival: float, last: float, impact: float) -> None:
    parent = 1_000
    life = opened(Opening("O", "I", sign, parent * UNITS_PER_SHARE, decided, 0))
    life = apply(life, Update(1, 1, Market(Context(mid_price=arrival)))).life
    for number, (shares, price, mid, fee) in enumerate(fills, start=2):
        change = Fill(str(number), shares * UNITS_PER_SHARE, price, fee=fee)
        life = apply(life, Update(number, number, change, mid_price=mid)).life
    found = shortfall_of(life.state, impact, last)
    assert found is not None
    filled = sum(shares for shares, *_ in fills)
    money = sign * sum(shares * (price - decided) for shares, price, *_ in fills)
    money += sign * max(0, parent - filled) * (last - decided) + sum(fee for *_, fee in fills)
    assert found.total_bps == pytest.approx(money / (parent * decided) * 1e4, abs=1e-6)
    parts = (
        found.delay_bps, found.impact_bps, found.timing_bps, found.spread_bps, found.opportunity_bps, found.fees_bps,
    )  # fmt: skip
    assert math.fsum(parts) == pytest.approx(found.total_bps, abs=1e-9)
    spread = sign * sum(shares * (price - mid) for shares, price, mid, _ in fills) / (parent * decided) * 1e4
    assert found.spread_bps == pytest.approx(spread, abs=1e-6)


@given(fills=st.lists(st.tuples(st.integers(1, 300), st.floats(1e-320, 1e12)), min_size=1, max_size=4),
       decided=st.floats(5e-324, 1e12), last=st.floats(5e-324, 1e12),
       parent=st.sampled_from([0, 1, 1_000]))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_whatever_was_traded_and_amended_it_is_numbers_or_nothing(fills: list[tuple[int, float]], decided: float,
                                                                  last: float, parent: int) -> None:
    """An amendment to less than can be traded leaves an order of nothing, and what it filled before."""
    life = opened(Opening("O", "I", 1, 1_000 * UNITS_PER_SHARE, decided, 0))
    for number, (shares, price) in enumerate(fills, start=1):
        life = apply(life, Update(number, number, Fill(str(number), shares * UNITS_PER_SHARE, price))).life
    amended = Update(len(fills) + 1, len(fills) + 1, Amend(units=parent * UNITS_PER_SHARE))
    found = shortfall_of(apply(life, amended).life.state, 3.0, last)
    assert found is None or all(map(math.isfinite, dataclasses.astuple(found)))


def test_an_order_amended_to_nothing_is_told_in_bps_of_what_it_filled() -> None:
    life = opened(Opening("O", "I", 1, 10 * UNITS_PER_SHARE, 50.0, 0))
    life = apply(life, Update(1, 1, Fill("1", 4 * UNITS_PER_SHARE, 50.5))).life
    found = shortfall_of(apply(life, Update(2, 2, Amend(units=0))).life.state, 0.0, 50.0)
    assert found is not None
    assert found.total_bps == pytest.approx(100.0)


def test_nothing_is_told_before_the_first_fill() -> None:
    assert shortfall_of(opened(Opening("O", "I", 1, UNITS_PER_SHARE, 50.0, 0)).state, 1.0) is None
