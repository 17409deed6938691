"""What an update is completed with from the snapshot: the fee of a fill that names none, and the newest quote."""

from __future__ import annotations

import math

from msgspec import structs

from engine.order_life.state import OrderState
from engine.order_life.updates import Change, Fill, Market
from engine.snapshot import Snapshot
from engine.values import MarketFigure
from service.mapping.adaptation import fee_of


def completed(change: Change, instrument_id: str, snapshot: Snapshot) -> Change:
    """A fill that names no fee pays its venue's schedule."""
    if isinstance(change, Fill) and math.isnan(change.fee):
        view = snapshot.views.get(instrument_id)
        return structs.replace(change, fee=fee_of(change, view, snapshot.directory))
    return change


def newest_quote(
    state: OrderState | None, change: Change, instrument_id: str, snapshot: Snapshot, now_ns: int
) -> tuple[float, float]:
    """(mid, spread), 0 for what is not known: the gateway's word, or the snapshot's where that is newer, and fresh.
    Nothing for an update that brings its own."""
    if isinstance(change, Market):
        return 0.0, 0.0
    told, told_ns = (0.0, 0.0), 0
    if state is not None and state.context.mid_price is not None:
        told, told_ns = (state.context.mid_price, state.context.spread_bps or 0.0), state.quoted_ns
    view = snapshot.views.get(instrument_id)
    if view is None or view.market.mid_price is None or view.market.taken_ns(MarketFigure.MID_PRICE) <= told_ns:
        return told
    if now_ns - view.market.taken_ns(MarketFigure.MID_PRICE) > snapshot.limits.stale_market_data_minutes * 60e9:
        return told
    return view.market.mid_price, view.market.spread_bps or 0.0
