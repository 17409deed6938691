"""The standard deviation of a basket, by hand; and what its totals count."""

from __future__ import annotations

from math import sqrt

import pytest
from execution_strategy.v1 import enums_pb2, request_pb2, response_pb2

from service.mapping.baskets import Basket, BasketAnswer, BasketLine, basket_risk


def lines(*figures: tuple[str, float, float, float]) -> list[BasketLine]:
    return [BasketLine(*each) for each in figures]


def test_one_order_is_its_own_basket() -> None:
    assert basket_risk(lines(("A", 1e6, 4.0, 20.0))) == (pytest.approx(4.0), pytest.approx(20.0))
    assert basket_risk(lines(("A", -1e6, 4.0, 20.0))) == (pytest.approx(4.0), pytest.approx(20.0))


def test_two_of_one_side_add_and_two_of_both_sides_hedge() -> None:
    # Shares 1/4 and 3/4, standard deviations 20 and 10: s = 5 and 7.5.
    cost, same = basket_risk(lines(("A", 1e6, 4.0, 20.0), ("B", 3e6, 8.0, 10.0)))
    assert cost == pytest.approx(0.25 * 4 + 0.75 * 8)
    assert same == pytest.approx(sqrt(0.7 * (25 + 56.25) + 0.3 * 12.5**2))
    _, hedged = basket_risk(lines(("A", 1e6, 4.0, 20.0), ("B", -3e6, 8.0, 10.0)))
    assert hedged == pytest.approx(sqrt(0.7 * (25 + 56.25) + 0.3 * 2.5**2))


def test_orders_in_one_instrument_are_one_position() -> None:
    whole = basket_risk(lines(("A", 2e6, 4.0, 20.0), ("B", 1e6, 4.0, 20.0)))
    split = basket_risk(lines(("A", 1e6, 4.0, 20.0), ("B", 1e6, 4.0, 20.0), ("A", 1e6, 4.0, 20.0)))
    assert split == pytest.approx(whole)
    # Shares 1/4 and 3/4 of both sides: 20 x 0.75 - 20 x 0.25.
    _, netted = basket_risk(lines(("A", 1e6, 4.0, 20.0), ("A", -3e6, 8.0, 20.0)))
    assert netted == pytest.approx(10.0)


def test_an_empty_basket_is_nothing() -> None:
    assert basket_risk([]) == (0.0, 0.0)


def test_an_order_that_is_repeated_is_in_the_totals_once() -> None:
    side = enums_pb2.ORDER_SIDE_BUY
    orders = [
        request_pb2.ExecutionStrategyRequest(order_id=name, instrument_id=instrument, side=side, quantity=quantity)
        for name, instrument, quantity in (("a", "A", 100.0), ("a", "A", 100.0), ("b", "B", 300.0))
    ]
    response = response_pb2.ExecutionStrategyResponse()
    response.resolved_inputs.mid_price = 10.0
    response.expected_outcomes.estimated_cost = 0.0010
    response.expected_outcomes.cost_standard_deviation = 0.0020
    answer = BasketAnswer(Basket(orders, {}), lambda _: "USD")
    for _ in orders:
        assert answer.add_response(response.SerializeToString()) is None
    summary = response_pb2.RecommendBatchResponse.FromString(answer.last()).summary
    assert (summary.decided, summary.refused) == (3, 0)
    assert dict(summary.notional) == {"USD": 4_000.0}
    # Shares 1/4 and 3/4 of the two that there are.
    assert summary.standard_deviation_bps == pytest.approx(sqrt(0.7 * (25 + 225) + 0.3 * 20**2))
    assert summary.expected_cost_bps == pytest.approx(10.0)
