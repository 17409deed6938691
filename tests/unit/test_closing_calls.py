"""Closing calls: a session ends where one begins, and what is planned for the close is the auction's."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from engine.catalogue import ALGORITHM_NAMES, CatalogueChoice
from engine.decision import SlicePhase
from engine.order_life.plan import AUCTION_NS
from engine.request import OrderRequest
from engine.resolve import window_share
from engine.sessions import MINUTE_NS, Sessions
from engine.snapshot import InstrumentView, Snapshot, prepare_view
from engine.values import Objective
from store.calendars import build_sessions
from tests.helpers import world
from tests.helpers.order_lives import Followed, followed

ZONES = {
    "XSHG": "Asia/Shanghai", "XTKS": "Asia/Tokyo", "XHKG": "Asia/Hong_Kong", "BVMF": "America/Sao_Paulo",
    "XNYS": "America/New_York", "XLON": "Europe/London",
}  # fmt: skip
SPAN = (date(2024, 1, 1), date(2025, 12, 31))


def hours(calendar: str, day: str) -> tuple[str, str]:
    """Local clocks at which a day's session opens and closes."""
    (session,) = build_sessions(calendar, date.fromisoformat(day), date.fromisoformat(day))
    clocks = [datetime.fromtimestamp(at / 1e9, ZoneInfo(ZONES[calendar])) for at in (session.open_ns, session.close_ns)]
    return f"{clocks[0]:%H:%M}", f"{clocks[1]:%H:%M}"


@pytest.mark.parametrize(("calendar", "day", "opens", "closes"), [
    ("XSHG", "2018-08-17", "09:30", "15:00"),
    ("XSHG", "2018-08-20", "09:30", "14:57"),
    ("XSHG", "2024-03-12", "09:30", "14:57"),
    ("XTKS", "2024-11-01", "09:00", "15:00"),
    ("XTKS", "2024-11-05", "09:00", "15:25"),
    ("XHKG", "2025-06-20", "09:30", "16:00"),  # the auction comes after it
    ("XHKG", "2025-12-24", "09:30", "12:00"),
    ("BVMF", "2019-11-01", "10:00", "17:00"),
    ("BVMF", "2019-11-04", "10:00", "17:55"),
    ("BVMF", "2025-03-05", "13:00", "17:55"),  # Ash Wednesday
    ("BVMF", "2025-03-07", "10:00", "17:55"),
    ("BVMF", "2025-03-10", "10:00", "16:55"),  # New York's clocks went forward the day before
    ("BVMF", "2025-10-31", "10:00", "16:55"),
    ("BVMF", "2025-11-03", "10:00", "17:55"),
    ("XNYS", "2025-06-20", "09:30", "16:00"),
    ("XLON", "2025-06-20", "08:00", "16:30"),
])  # fmt: skip
def test_a_session_ends_where_the_closing_call_begins(calendar: str, day: str, opens: str, closes: str) -> None:
    assert hours(calendar, day) == (opens, closes)


@cache
def view_of(instrument_id: str) -> InstrumentView:
    """A seed instrument on the days of its exchange."""
    instrument, market = world.views()[instrument_id].instrument, world.views()[instrument_id].market
    return prepare_view(instrument, market, Sessions.of(build_sessions(instrument.calendar, *SPAN)), 570.0)


def given(instrument_id: str, *algorithms: str) -> Snapshot:
    choices = tuple(CatalogueChoice(name, enabled=name in algorithms) for name in ALGORITHM_NAMES)
    return world.snapshot(choices if algorithms else (), changed={instrument_id: view_of(instrument_id)})


def order_at(instrument_id: str, instant: str, share: float = 0.001) -> OrderRequest:
    """At a local clock of the exchange."""
    zone = ZoneInfo(ZONES[view_of(instrument_id).instrument.calendar])
    start_ns = int(datetime.fromisoformat(instant).replace(tzinfo=zone).timestamp()) * 10**9
    return replace(world.order(instrument_id, share), start_ns=start_ns, objective=Objective.MINIMIZE_COST)


CLOSES = [
    ("600519.SH", "2024-03-12", "14:57"), ("300122.SZ", "2024-03-12", "14:57"), ("PETR4", "2025-03-20", "16:55"),
    ("PETR4", "2025-01-20", "17:55"),
]  # fmt: skip


@pytest.mark.parametrize(("instrument_id", "day", "call"), CLOSES)
def test_no_slice_lies_in_the_call(instrument_id: str, day: str, call: str) -> None:
    """With half an hour left all that is planned for later is the auction's."""
    call_ns = order_at(instrument_id, f"{day}T{call}").start_ns
    order = replace(order_at(instrument_id, f"{day}T{call}"), start_ns=call_ns - 30 * MINUTE_NS)
    seen = set()
    for algorithm in ("TWAP", "VWAP", "POV", "ICEBERG", "TARGET_CLOSE"):
        plan = followed(order, given(instrument_id, algorithm)).decision
        assert plan.inputs.available_minutes == 30.0
        assert plan.schedule.end_ns <= call_ns
        seen |= {(part.phase, part.start_ns) for part in plan.schedule.slices if part.start_ns >= call_ns}
    assert seen == {(SlicePhase.CLOSING_AUCTION, call_ns)}


@pytest.mark.parametrize(("instrument_id", "day", "call"), CLOSES)
def test_until_the_call_there_is_the_volume_that_the_auctions_leave(instrument_id: str, day: str, call: str) -> None:
    """Up to its last minutes, which are busy ones."""
    found = world.resolved(order_at(instrument_id, f"{day}T09:00"), given(instrument_id))
    instrument = found.view.instrument
    assert found.close_auction_fraction == instrument.close_auction_fraction > 0.0
    continuous = 1.0 - instrument.open_auction_fraction - instrument.close_auction_fraction
    length = found.point.session_minutes
    assert window_share(found.cumulative, 0.0, length) == pytest.approx(continuous)
    assert np.diff(found.cumulative)[-10:].min() > continuous / length
    assert not any("not the usual" in text for text in found.warnings)


def waiting_for_the_close() -> tuple[Followed, int]:
    """An order of which all but the auction's part is done as the call begins, and that moment."""
    instrument_id, call = "600519.SH", "2024-03-12T14:57"
    call_ns = order_at(instrument_id, call).start_ns
    begun = replace(order_at(instrument_id, call, 0.0005), start_ns=call_ns - 30 * MINUTE_NS)
    order = followed(begun, given(instrument_id, "TARGET_CLOSE"))
    order.on_schedule(call_ns)
    return order, call_ns


def test_what_waits_for_the_auction_is_not_late_while_the_call_lasts() -> None:
    order, call_ns = waiting_for_the_close()
    plan, filled = order.watch.plan, order.life.state.filled_units
    assert 0 < plan.planned_units - filled == sum(step.units for step in plan.steps if step.start_ns == call_ns)
    for minutes in (0, 1, 3, 10):
        assert order.look(call_ns + minutes * MINUTE_NS) is None
    over_ns = call_ns + AUCTION_NS
    assert not plan.is_over(over_ns - 1)
    advice = order.look(over_ns)
    assert advice is not None
    assert "the plan is over" in advice.rationale
