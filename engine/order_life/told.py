"""What a gateway has said of the market so far, over the messages that said it.

A figure (mid, spread, volatility, volume, drift, liquidity) stays as it was said until it is said again: a
`market_context` with nothing but a new mid takes nothing back. Only what is of its own moment, the condition's name,
the news score and the time of day, counts for the message that has it.
"""

from __future__ import annotations

from engine.request import Context


def told_after(before: Context, newer: Context) -> Context:
    """`before` with what `newer` says; without bars. A regime takes the place of an older volatility."""
    volatility = newer.daily_volatility_fraction
    if volatility is None and not newer.volatility_regime:
        volatility = before.daily_volatility_fraction
    return Context(
        condition=newer.condition,
        volatility_regime=newer.volatility_regime or ("" if volatility is not None else before.volatility_regime),
        liquidity_score=_newer(newer.liquidity_score, before.liquidity_score),
        news_impact_score=newer.news_impact_score, time_of_day=newer.time_of_day,
        mid_price=_newer(newer.mid_price, before.mid_price), spread_bps=_newer(newer.spread_bps, before.spread_bps),
        daily_volatility_fraction=volatility,
        average_daily_volume_shares=_newer(newer.average_daily_volume_shares, before.average_daily_volume_shares),
        short_term_alpha_bps_per_day=_newer(newer.short_term_alpha_bps_per_day, before.short_term_alpha_bps_per_day),
    )


def _newer(newer: float | None, before: float | None) -> float | None:
    return before if newer is None else newer
