"""Cont & Kukanov (2017), "Optimal order placement in limit order markets", Quantitative Finance 17(1).

The case of one exchange. S shares are to be bought (or, mirrored, sold) by a deadline: L by a limit order
that joins a queue of Q shares at the touch, M = S - L by a market order now. The queue's outflow xi until the
deadline has distribution F, and the limit order fills min(L, max(0, xi - Q)). What stays unfilled is bought
at a penalty lambda_u a share.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from engine.models._arguments import Faults

OutflowQuantile: TypeAlias = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class OrderSplit:
    """limit_shares L* rest at the touch, market_shares M* cross now; both >= 0, their sum is the order."""

    limit_shares: float
    market_shares: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementCosts:
    """What a share costs by each route, all in currency per share and non-negative.

    half_spread_currency          h, paid by a market order, earned by a filled limit order
    rebate_currency               r, earned by a filled limit order
    fee_currency                  f, paid by a market order
    underfill_penalty_currency    lambda_u, paid for a share still missing at the deadline, > 0

    Raises ValueError naming every one that is NaN, infinite or out of range.
    """

    half_spread_currency: float
    rebate_currency: float
    fee_currency: float
    underfill_penalty_currency: float

    def __post_init__(self) -> None:
        faults = Faults()
        for name in ("half_spread_currency", "rebate_currency", "fee_currency"):
            faults.non_negative_scalar(name, getattr(self, name))
        faults.positive_scalar("underfill_penalty_currency", self.underfill_penalty_currency)
        faults.raise_any()


def critical_quantile(costs: PlacementCosts) -> float:
    """Probability at which the outflow distribution is read, dimensionless, >= 0.

    Source: the single-exchange proposition. (2h + f + r) / (lambda_u + h + r): what a share saves by filling
    passively instead of crossing, over what a passive fill is worth against missing it. At 1 or above
    (lambda_u <= h + f) missing costs no more than crossing.
    """
    h, r = costs.half_spread_currency, costs.rebate_currency
    return (2.0 * h + costs.fee_currency + r) / (costs.underfill_penalty_currency + h + r)


def split_order(
    order_shares: float,
    queue_shares: float,
    costs: PlacementCosts,
    outflow_quantile_shares: OutflowQuantile,
) -> OrderSplit:
    """Optimal split of one order between a limit and a market order on one exchange.

    Source: the single-exchange proposition. L* = F^-1((2h + f + r) / (lambda_u + h + r)) - Q, M* = S - L*.
    L* is clamped to [0, S], which is the proposition's two outer cases: all market when even the first share
    is too unlikely to fill, all limit when the last one is likely enough or the quantile reaches 1 (F^-1 is
    not called then).
    order_shares S > 0; queue_shares Q >= 0; outflow_quantile_shares is F^-1, from a probability in [0, 1) to
    shares, and may return an infinity. Shares are not rounded: a discrete F^-1 with whole Q and S gives whole
    shares.
    Raises ValueError naming order_shares or queue_shares if NaN, infinite or out of range, and
    outflow_quantile_shares if it returns NaN.
    """
    faults = Faults()
    order = faults.positive_scalar("order_shares", order_shares)
    queue = faults.non_negative_scalar("queue_shares", queue_shares)
    faults.raise_any()
    probability = critical_quantile(costs)
    if probability >= 1.0:
        return OrderSplit(limit_shares=order, market_shares=0.0)
    outflow = float(outflow_quantile_shares(probability))
    if math.isnan(outflow):
        raise ValueError(f"outflow_quantile_shares must return a number, got NaN at {probability!r}")
    limit = min(max(outflow - queue, 0.0), order)
    return OrderSplit(limit_shares=limit, market_shares=order - limit)
