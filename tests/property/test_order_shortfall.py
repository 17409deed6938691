"""Perold's shortfall: the parts sum to the definition, whatever was filled."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.order_life.machine import apply
from engine.order_life.shortfall import shortfall_of
from engine.order_life.state import Opening, opened
from engine.order_life.updates import UNITS_PER_SHARE, Fill, Market, Update
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


def test_nothing_is_told_before_the_first_fill() -> None:
    assert shortfall_of(opened(Opening("O", "I", 1, UNITS_PER_SHARE, 50.0, 0)).state, 1.0) is None
