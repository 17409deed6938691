"""What is known of an order's market now: the gateway's word, the order's request, and the snapshot.

A quote (mid, spread) is the newest that anybody told. Any other figure is the gateway's where it ever said one, in a
`market_context` or else in the request, and the snapshot's where it did not: two sources of a day's volume do not
agree, and going from one to the other would look like a change of the market. A figure of the request or the snapshot
is one of its condition: it is scaled when that changes, as in a decision.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import msgspec

from engine.assumptions import StructuralAssumptions
from engine.conditions import ConditionEstimate
from engine.order_life.plan import Figures
from engine.order_life.rules import RULES, Rules
from engine.order_life.state import OrderState
from engine.request import Context, OrderRequest
from engine.resolve import BARS_VALID_NS, VOLATILITY_REGIMES, liquidity_factor
from engine.snapshot import InstrumentView
from engine.values import MarketCondition, MarketFigure


class Quote(NamedTuple):
    """0 for what nobody told. is_snapshots: the spread is the snapshot's."""

    mid_price: float
    spread_bps: float
    is_snapshots: bool


class Order(msgspec.Struct, frozen=True):
    """An order and its market at a look. first: the figures it was decided with. before: those of the last look."""

    request: OrderRequest
    state: OrderState
    view: InstrumentView
    first: Figures
    before: Figures


def quote_of(order: Order) -> Quote:
    """The newest mid and spread: the snapshot's only where it is newer than the gateway's, or there is no other."""
    state, said, market = order.state, order.request.context, order.view.market
    context, decided_ns = state.context, state.opening.decided_ns
    mid, spread = state.mid_price or said.mid_price or state.opening.decision_mid_price, order.before.spread_bps
    is_snapshots = False
    mid_ns = spread_ns = decided_ns
    if context.mid_price is not None:
        mid, mid_ns = context.mid_price, state.mid_told_ns
    if context.spread_bps is not None:
        spread, spread_ns = context.spread_bps, state.quoted_ns
    elif said.spread_bps is not None:
        spread = said.spread_bps
    elif market.spread_bps is not None:
        is_snapshots = True
    if market.mid_price is not None and (market.taken_ns(MarketFigure.MID_PRICE) > mid_ns or not mid):
        mid = market.mid_price
    if market.spread_bps is not None and market.taken_ns(MarketFigure.SPREAD) > spread_ns:
        spread, is_snapshots = market.spread_bps, True
    return Quote(mid, spread, is_snapshots)


def figures_now(order: Order, spread_bps: float, assumptions: StructuralAssumptions, now_ns: int,
                rules: Rules = RULES) -> Figures:
    """What a plan depends on, as it is now."""
    context, said, market, first = order.state.context, order.request.context, order.view.market, order.first
    condition = context.condition
    if condition is MarketCondition.UNSPECIFIED:
        condition = _condition_of(order.view, context, order.before, now_ns, rules.sure_probability)
    dynamics, decided = assumptions.conditions[condition], assumptions.conditions[first.condition]
    volatility = context.daily_volatility_fraction
    if volatility is None:
        usual = market.daily_volatility_fraction
        if said.daily_volatility_fraction is not None or not usual:
            usual = first.volatility_fraction / decided.volatility_multiplier
        regime = context.volatility_regime or said.volatility_regime
        volatility = usual * (VOLATILITY_REGIMES[regime.upper()] if regime else dynamics.volatility_multiplier)
    volume = context.average_daily_volume_shares
    if volume is None:
        usual = market.average_daily_volume_shares
        if said.average_daily_volume_shares is not None or not usual:
            usual = first.daily_volume_shares / liquidity_factor(said.liquidity_score) / decided.volume_multiplier
        volume = usual * dynamics.volume_multiplier
    volume *= liquidity_factor(_liquidity(context, said))
    alpha = _alpha(context, said)
    if alpha is None:
        alpha = market.short_term_alpha_bps_per_day or 0.0
    return Figures(condition, volatility, spread_bps, volume, alpha, context.news_impact_score or 0.0)


def context_now(order: Order, quote: Quote, figures: Figures, now_ns: int) -> Context:
    """What a decision of this moment is told. Where no bars say otherwise the condition stays. figures: of now."""
    context, said, market = order.state.context, order.request.context, order.view.market
    condition = context.condition
    if condition is MarketCondition.UNSPECIFIED and _estimate_of(order.view, now_ns) is None:
        condition = figures.condition
    liquidity = _liquidity(context, said)
    volatility, volume = context.daily_volatility_fraction, context.average_daily_volume_shares
    if volatility is None and (said.daily_volatility_fraction is not None or not market.daily_volatility_fraction):
        volatility = figures.volatility_fraction
    if volume is None and (said.average_daily_volume_shares is not None or not market.average_daily_volume_shares):
        volume = figures.daily_volume_shares / liquidity_factor(liquidity)
    return replace(
        context, condition=condition, time_of_day="", mid_price=quote.mid_price or None,
        spread_bps=None if quote.is_snapshots else quote.spread_bps, daily_volatility_fraction=volatility,
        average_daily_volume_shares=volume, liquidity_score=liquidity,
        volatility_regime=context.volatility_regime or said.volatility_regime,
        short_term_alpha_bps_per_day=_alpha(context, said),
    )


def _liquidity(context: Context, said: Context) -> float | None:
    return said.liquidity_score if context.liquidity_score is None else context.liquidity_score


def _alpha(context: Context, said: Context) -> float | None:
    told = context.short_term_alpha_bps_per_day
    return said.short_term_alpha_bps_per_day if told is None else told


def _condition_of(view: InstrumentView, context: Context, before: Figures, now_ns: int,
                  sure: float) -> MarketCondition:
    news = context.news_impact_score or 0.0
    if news >= sure:
        return MarketCondition.NEWS_DRIVEN
    estimate = _estimate_of(view, now_ns)
    if estimate is None:
        return before.condition
    return estimate.condition if max(estimate.probabilities) >= sure else before.condition


def _estimate_of(view: InstrumentView, now_ns: int) -> ConditionEstimate | None:
    """The classifier's word, while its bars are of now."""
    fresh = 0 <= now_ns - view.estimate_as_of_ns <= BARS_VALID_NS
    return view.estimate if fresh else None
