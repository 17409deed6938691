"""A parent order as the engine sees it: validated in form, not yet resolved against the snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.values import Bar, MarketCondition, Objective, Side, Urgency


@dataclass(frozen=True, slots=True)
class Constraints:
    """Hard limits; None is "no limit". Venues are MICs."""

    max_participation_rate: float | None = None
    time_limit_minutes: int | None = None
    price_limit: float | None = None
    excluded_venues: frozenset[str] = frozenset()
    allowed_venues: frozenset[str] = frozenset()
    dark_pool_preference: bool = False
    min_completion_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What the gateway knows of the market; None is "not said"."""

    condition: MarketCondition = MarketCondition.UNSPECIFIED
    volatility_regime: str = ""
    liquidity_score: float | None = None
    news_impact_score: float | None = None
    time_of_day: str = ""
    mid_price: float | None = None
    spread_bps: float | None = None
    daily_volatility_fraction: float | None = None
    average_daily_volume_shares: float | None = None
    short_term_alpha_bps_per_day: float | None = None
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """`start_ns` is when trading may begin: the effective time, or the arrival where none was given. `seed` comes from
    the request's content, so that a retry jitters alike."""

    order_id: str
    instrument_id: str
    side: Side
    quantity_shares: float
    objective: Objective
    urgency: Urgency
    start_ns: int
    seed: int
    constraints: Constraints = field(default_factory=Constraints)
    context: Context = field(default_factory=Context)
