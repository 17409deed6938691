"""A market state as its two JSON columns and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from engine.values import Bar, MarketFigure, MarketState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_of(nanoseconds: int) -> datetime:
    """As PostgreSQL keeps it, in microseconds. Raises OverflowError outside the years 1 to 9999."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def figures_json(state: MarketState) -> str:
    """Every figure but the bars; the exact time is among them."""
    content: dict[str, object] = {
        "as_of_ns": state.as_of_ns,
        "mid_price": state.mid_price,
        "spread_bps": state.spread_bps,
        "daily_volatility_fraction": state.daily_volatility_fraction,
        "average_daily_volume_shares": state.average_daily_volume_shares,
        "short_term_alpha_bps_per_day": state.short_term_alpha_bps_per_day,
    }
    if state.figure_times_ns:
        content["figure_times_ns"] = state.figure_times_ns
    return msgspec.json.encode(content).decode()


def bars_json(state: MarketState) -> str:
    """[end_ns, mid_price, volume_shares, spread_bps] a bar, oldest first."""
    rows = [(bar.end_ns, bar.mid_price, bar.volume_shares, bar.spread_bps) for bar in state.bars]
    return msgspec.json.encode(rows).decode()


def state_from(figures: Mapping[str, Any], bars: Sequence[Sequence[Any]] = ()) -> MarketState:
    """The state of decoded columns. Raises msgspec.ValidationError for what is none."""
    content = dict(figures)
    content["bars"] = [Bar(*msgspec.convert(row, tuple[int, float, float, float])) for row in bars]
    found = msgspec.convert(content, MarketState)
    if len(found.figure_times_ns) not in (0, len(MarketFigure)):
        raise msgspec.ValidationError(f"{len(found.figure_times_ns)} times of {len(MarketFigure)} figures")
    return found
