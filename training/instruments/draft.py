"""One instrument while its figures come together, before it becomes a record of the seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]

from training.instruments.day_stats import DayStats
from training.instruments.reference import RULES, Market, Reference
from training.measures import Array


@dataclass
class Draft:
    """One instrument while its figures come together; `provenance` says where each one came from."""

    instrument_id: str
    description: str
    market: Market
    primary_mic: str
    calendar: str
    currency: str
    tick_size: float
    lot_size_shares: float
    shares_outstanding: float
    as_of_ns: int
    mid_price: float
    spread_bps: float
    typical_spread_bps: float
    daily_volatility_fraction: float
    average_daily_volume_shares: float
    curve: Array
    open_auction_fraction: float
    close_auction_fraction: float
    provenance: dict[str, str]
    lit_share: dict[str, float] = field(default_factory=dict)
    off_exchange_fraction: float = 0.0


def local_ns(date: str, clock: str, zone: ZoneInfo) -> int:
    """Nanoseconds since the epoch of a local wall clock, e.g. ("2013-10-09", "16:00")."""
    return int(pd.Timestamp(f"{date} {clock}").tz_localize(zone).tz_convert("UTC").value)


def make_draft(
    symbol: str,
    reference: Reference,
    market: Market,
    date: str,
    stats: DayStats,
    spread_bps: tuple[float, float],
    sigma: float,
    curve: Array,
) -> Draft:
    """A draft from a symbol's statistics; `spread_bps` is (median, mean), `date` local."""
    rules = RULES[market]
    return Draft(
        instrument_id=symbol,
        description=reference.description,
        market=market,
        primary_mic=reference.primary_mic,
        calendar=rules.calendar,
        currency=rules.currency,
        tick_size=reference.tick_size,
        lot_size_shares=reference.lot_size_shares,
        shares_outstanding=reference.shares_outstanding,
        as_of_ns=local_ns(date, rules.close, rules.zone),
        mid_price=stats.last_price,
        spread_bps=spread_bps[1],
        typical_spread_bps=spread_bps[0],
        daily_volatility_fraction=sigma,
        average_daily_volume_shares=float(np.mean(stats.volume_shares)),
        curve=curve,
        open_auction_fraction=stats.open_auction_fraction,
        close_auction_fraction=stats.close_auction_fraction,
        provenance={
            "tick_size": rules.tick_origin,
            "lot_size_shares": rules.lot_origin,
            "fees": rules.fee_origin,
            "shares_outstanding": f"assumed: {reference.source}, rounded",
            "dark_tails": rules.tail_origin,
            "venue_shares": "assumed: the one exchange carries all volume",
        },
    )
