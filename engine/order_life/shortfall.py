"""What an order cost so far, after Perold (1988), split by cause. The formulas stand in the contract's README.

In money, against the order (s = +1 for a buy), with X the parent, Q filled at prices p_i while the mid was m_i,
P_d the mid at the decision, P_a at arrival in the market, P_t now, F fees less rebates:

    delay        s Q (P_a - P_d)
    spread       s sum q_i (p_i - m_i)
    impact       expected impact of the decision in force x Q / X
    timing       s sum q_i (m_i - P_a) - impact
    opportunity  s (X - Q)+ (P_t - P_d)
    fees         F

Their sum is s [sum q_i (p_i - P_d) + (X - Q)+ (P_t - P_d)] + F, exactly Perold's shortfall; each is told in bps of
X P_d, or of Q P_d where the order was amended to nothing. Impact is the only one that is estimated, and what it takes,
timing does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.order_life.state import OrderState
from engine.order_life.updates import shares_of


@dataclass(frozen=True, slots=True)
class Shortfall:
    """bps of the parent's notional at the decision's mid; positive hurts. interval_vwap_bps: mean fill price against
    the VWAP of the market's bars since the decision, 0 where none are known."""

    total_bps: float
    delay_bps: float
    impact_bps: float
    timing_bps: float
    spread_bps: float
    opportunity_bps: float
    fees_bps: float
    interval_vwap_bps: float
    average_price: float


def shortfall_of(state: OrderState, expected_impact_bps: float, mid_price: float = 0.0) -> Shortfall | None:
    """None before the first fill, and for prices so extreme that bps of them are no numbers. `mid_price`: newest mid
    known, 0 for the order's own."""
    if state.filled_units == 0:
        return None
    sign, money = state.opening.side_sign, state.money
    decided = state.opening.decision_mid_price
    parent, filled = shares_of(state.parent_units), shares_of(state.filled_units)
    arrival = state.arrival_mid_price or decided
    now = mid_price or state.mid_price or arrival
    scale = parent or filled
    base = scale * decided
    if base == 0.0:
        return None
    bps = 1e4 / base
    impact = expected_impact_bps * filled / scale
    delay = sign * filled * (arrival - decided) * bps
    spread = money.over_mid * bps
    timing = (sign * (money.notional - filled * arrival) - money.over_mid) * bps - impact
    opportunity = sign * max(0.0, parent - filled) * (now - decided) * bps
    fees = money.fees * bps
    vwap = money.market_notional / money.market_shares if money.market_shares > 0.0 else 0.0
    average = money.notional / filled
    total = delay + impact + timing + spread + opportunity + fees
    if not math.isfinite(total):
        return None
    return Shortfall(
        total_bps=total, delay_bps=delay, impact_bps=impact,
        timing_bps=timing, spread_bps=spread, opportunity_bps=opportunity, fees_bps=fees,
        interval_vwap_bps=sign * (average / vwap - 1.0) * 1e4 if vwap > 0.0 else 0.0, average_price=average,
    )  # fmt: skip
