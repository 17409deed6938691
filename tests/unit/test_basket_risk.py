"""The standard deviation of a basket, by hand."""

from __future__ import annotations

from math import sqrt

import pytest

from service.mapping.baskets import basket_risk


def test_one_order_is_its_own_basket() -> None:
    assert basket_risk([(1e6, 4.0, 20.0)]) == (pytest.approx(4.0), pytest.approx(20.0))
    assert basket_risk([(-1e6, 4.0, 20.0)]) == (pytest.approx(4.0), pytest.approx(20.0))


def test_two_of_one_side_add_and_two_of_both_sides_hedge() -> None:
    # Shares 1/4 and 3/4, standard deviations 20 and 10: s = 5 and 7.5.
    cost, same = basket_risk([(1e6, 4.0, 20.0), (3e6, 8.0, 10.0)])
    assert cost == pytest.approx(0.25 * 4 + 0.75 * 8)
    assert same == pytest.approx(sqrt(0.7 * (25 + 56.25) + 0.3 * 12.5**2))
    _, hedged = basket_risk([(1e6, 4.0, 20.0), (-3e6, 8.0, 10.0)])
    assert hedged == pytest.approx(sqrt(0.7 * (25 + 56.25) + 0.3 * 2.5**2))


def test_an_empty_basket_is_nothing() -> None:
    assert basket_risk([]) == (0.0, 0.0)
