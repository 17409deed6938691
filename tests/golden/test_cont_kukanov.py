"""Golden figures of Cont & Kukanov (2017), one exchange with a Poisson outflow, and the two clamped cases."""

from __future__ import annotations

import math

import pytest
from scipy.stats import poisson

from engine.models.cont_kukanov import OrderSplit, PlacementCosts, critical_quantile, split_order

SOURCE = "Cont & Kukanov (2017), single exchange, recomputed"
ORDER_SHARES, QUEUE_SHARES = 1000.0, 2000.0


def costs(penalty: float = 0.026) -> PlacementCosts:
    return PlacementCosts(
        half_spread_currency=0.02,
        rebate_currency=0.002,
        fee_currency=0.003,
        underfill_penalty_currency=penalty,
    )


# mean outflow (shares), penalty, L*, M*, source
ROWS = [
    (2200.0, 0.026, 272.0, 728.0, SOURCE),
    (1000.0, 0.026, 0.0, 1000.0, "outflow never clears the queue: all market"),
    (9000.0, 0.026, 1000.0, 0.0, "outflow always clears queue and order: all limit"),
    (2200.0, 0.023, 1000.0, 0.0, "lambda_u = h + f: quantile 1, missing costs no more than crossing"),
]


def test_quantile() -> None:
    assert critical_quantile(costs()) == pytest.approx(0.9375, abs=1e-12)


@pytest.mark.parametrize(("mean_outflow", "penalty", "limit", "market", "source"), ROWS)
def test_split(mean_outflow: float, penalty: float, limit: float, market: float, source: str) -> None:
    split = split_order(
        ORDER_SHARES, QUEUE_SHARES, costs(penalty), lambda q: float(poisson.ppf(q, mean_outflow))
    )
    assert split == OrderSplit(limit_shares=limit, market_shares=market), source


def test_infinite_outflow_is_all_limit() -> None:
    assert split_order(ORDER_SHARES, QUEUE_SHARES, costs(), lambda _: math.inf).market_shares == 0.0


def test_penalty_below_crossing_is_all_limit_whatever_the_outflow() -> None:
    assert split_order(ORDER_SHARES, QUEUE_SHARES, costs(0.01), lambda _: 0.0).market_shares == 0.0
    exactly_one = PlacementCosts(
        half_spread_currency=0.5, rebate_currency=0.0, fee_currency=0.25, underfill_penalty_currency=0.75
    )
    assert critical_quantile(exactly_one) == 1.0
    assert split_order(ORDER_SHARES, QUEUE_SHARES, exactly_one, lambda _: 0.0).market_shares == 0.0
