"""What an update is completed with from the snapshot: the fee of a fill that names none, and a newer quote;
and what its status is worked out with."""

from __future__ import annotations

import math

from msgspec import structs

from engine.order_life.updates import Change, Fill, Market
from engine.snapshot import Snapshot
from engine.values import MarketFigure
from service.mapping.adaptation import fee_of
from service.mapping.order_status import Moment


def completed(change: Change, instrument_id: str, snapshot: Snapshot) -> Change:
    """A fill that names no fee pays its venue's schedule."""
    if isinstance(change, Fill) and math.isnan(change.fee):
        view = snapshot.views.get(instrument_id)
        return structs.replace(change, fee=fee_of(change, view, snapshot.directory))
    return change


def newer_quote(
    told_ns: int, change: Change, instrument_id: str, snapshot: Snapshot, now_ns: int
) -> tuple[float, float]:
    """The snapshot's (mid, spread) where it is newer than what the gateway told at `told_ns`, and fresh; else 0 and 0:
    the order's own state knows better, since it has all that came before the update. Nothing for an update that
    brings its own."""
    moment = moment_of(snapshot, instrument_id, now_ns)
    if isinstance(change, Market) or not moment.mid_price or moment.mid_as_of_ns <= told_ns:
        return 0.0, 0.0
    return moment.mid_price, snapshot.views[instrument_id].market.spread_bps or 0.0


def moment_of(snapshot: Snapshot, instrument_id: str, now_ns: int) -> Moment:
    """With the snapshot's mid, where that is known and fresh."""
    view = snapshot.views.get(instrument_id)
    if view is None or view.market.mid_price is None:
        return Moment(now_ns, 0.0)
    taken_ns = view.market.taken_ns(MarketFigure.MID_PRICE)
    if now_ns - taken_ns > snapshot.limits.stale_market_data_minutes * 60e9:
        return Moment(now_ns, 0.0)
    return Moment(now_ns, view.market.mid_price, taken_ns)
