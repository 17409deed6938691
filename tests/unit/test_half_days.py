"""Days that are shorter than those around them: what trades in a minute, how prices move, and what bars say of both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine import kernel
from engine.catalogue import MINUTES
from engine.order_life.plan import demand_of
from engine.order_life.reading import minutes_of_bars, variance_shares
from engine.sessions import Sessions
from engine.snapshot import prepare_view
from engine.values import Bar, MarketCondition, TradingSession
from tests.helpers import world
from tests.helpers.order_lives import followed

DAY_MINUTES, HALF_MINUTES = 390, 210


def test_a_half_day_has_its_minutes_part_of_a_day() -> None:
    """The curve is squeezed, and what trades on average in a minute stays; so does how far prices move in one."""
    usual, found = (world.resolved(world.order(minutes=0.0, day=day)) for day in (world.HALF_DAY - 1, world.HALF_DAY))
    assert found.point.session_minutes == 210.0
    assert len(found.cumulative) == 211
    part = 210.0 / 390.0
    assert found.cumulative == pytest.approx(part * np.interp(
        np.arange(211) / part, np.arange(391), usual.cumulative
    ))
    assert found.inputs.expected_market_volume_shares == pytest.approx(
        part * usual.inputs.expected_market_volume_shares
    )
    assert found.inputs.daily_volatility_fraction == usual.inputs.daily_volatility_fraction
    assert found.day_minutes == usual.day_minutes == 390.0
    assert any("210 trading minutes, not the usual 390" in warning for warning in found.warnings)
    horizons = world.kernel_context(world.order(minutes=0.0, day=world.HALF_DAY))
    assert horizons[kernel.SESSION_MINUTES] == 390.0


def test_the_same_minutes_of_a_half_day_are_as_uncertain_as_of_another() -> None:
    """Of every clock schedule of at most half an hour."""
    catalogue = world.usual().catalogue
    short = (catalogue.rule == 0) & (catalogue.numbers[:, MINUTES] <= 30.0)
    orders = [world.order(minutes=30.0, day=day, share=1e-4) for day in (world.HALF_DAY - 1, world.HALF_DAY)]
    usual, half = (world.prices(world.kernel_context(order), world.resolved(order)) for order in orders)
    deviations = [prices.column(kernel.DEVIATION_BPS)[short & (usual.mask == 0)] for prices in (usual, half)]
    assert len(deviations[0]) > 50
    assert deviations[1] == pytest.approx(deviations[0], rel=0.05)


def test_sessions_of_years_in_which_all_were_as_long_are_whole_days() -> None:
    view = world.views()[world.US]
    opens = [world.US_OPEN_NS + (day - 400) * world.DAY_NS for day in range(400)]
    earlier = [TradingSession(at, at + 420 * world.MINUTE_NS) for at in opens]
    earlier[100] = TradingSession(opens[100], opens[100] + 210 * world.MINUTE_NS)
    usual = [TradingSession(at + 400 * world.DAY_NS, at + (400 * 1440 + 390) * world.MINUTE_NS) for at in opens]
    usual += [TradingSession(at + 800 * world.DAY_NS, at + (800 * 1440 + 390) * world.MINUTE_NS) for at in opens]
    long_ago = prepare_view(view.instrument, view.market, Sessions.of(earlier + usual), 570.0)
    given = world.snapshot(changed={world.US: long_ago})
    whole = float(view.cumulative[-1])
    for day, minutes, part in ((50, 420.0, 1.0), (100, 420.0, 0.5), (450, 390.0, 1.0)):
        found = world.resolved(world.order(minutes=0.0, day=day - 400), given)
        assert found.day_minutes == minutes
        assert found.cumulative[-1] == pytest.approx(part * whole)
        told = [text for text in found.warnings if "not the usual" in text]
        assert told == (["the session of the plan has 210 trading minutes, not the usual 420, and that part of a day's "
                         "volume"] if part < 1.0 else [])  # fmt: skip


def test_an_order_under_way_on_a_half_day_is_measured_by_its_volume() -> None:
    """At its start demand is the order over the limit of all that is expected to trade."""
    order = followed(world.order(minutes=0.0, day=world.HALF_DAY, share=0.02))
    plan, start_ns, inputs = order.watch.plan, order.watch.started_ns, order.decision.inputs
    found = demand_of(world.views()[world.US], plan, plan.figures, plan.planned_units, start_ns)
    expected = inputs.max_participation_rate * inputs.expected_market_volume_shares
    assert plan.algorithm != "TARGET_CLOSE"
    assert found == pytest.approx(order.request.quantity_shares / expected)


def expected_bars(day: int, length: int) -> tuple[Bar, ...]:
    """The last hour of a day, of which each minute has the volume expected of it and moves as usual, up and down."""
    view = world.views()[world.US]
    market = view.market
    assert market.average_daily_volume_shares is not None
    assert market.daily_volatility_fraction is not None
    found = world.resolved(world.order(minutes=0.0, day=day))
    volumes = np.diff(found.cumulative) * market.average_daily_volume_shares
    number = np.arange(length)
    shares = variance_shares((number + 0.5) / length) / DAY_MINUTES
    moves = market.daily_volatility_fraction * np.sqrt(shares) * np.where(number % 4 < 2, 1.0, -1.0)
    mids = 240.0 * np.exp(np.cumsum(moves))
    return tuple(
        Bar(world.at(world.US, n + 1.0, day), float(mids[n]), float(volumes[n]), view.instrument.typical_spread_bps)
        for n in range(length - 60, length)
    )


@pytest.mark.parametrize(("day", "length"), [(world.HALF_DAY, HALF_MINUTES), (world.HALF_DAY - 1, DAY_MINUTES)])
def test_an_order_s_bars_are_read_by_the_curve_of_their_own_day(day: int, length: int) -> None:
    """The hour before a half day's close is busy as before any close, not as at midday."""
    minutes = minutes_of_bars(world.views()[world.US], expected_bars(day, length))
    assert minutes is not None
    assert minutes.log_volumes == pytest.approx(np.zeros(59), abs=1e-9)
    assert np.abs(minutes.returns) == pytest.approx(np.ones(59))
    assert minutes.minutes_per_day == DAY_MINUTES


def test_bars_of_an_ordinary_last_hour_say_the_same_on_every_day() -> None:
    """Whether they come with the request or with the market's data."""
    view = world.views()[world.US]
    assessments = []
    for day, length in ((world.HALF_DAY, HALF_MINUTES), (world.HALF_DAY - 1, DAY_MINUTES)):
        bars = expected_bars(day, length)
        order = world.order(condition=MarketCondition.UNSPECIFIED, minutes=length - 10.0, day=day)
        known = tuple(bar for bar in bars if bar.end_ns <= order.start_ns)
        market = prepare_view(view.instrument, replace(view.market, bars=known), view.sessions, 570.0)
        given = world.snapshot(changed={world.US: market})
        brought = world.resolved(replace(order, context=replace(order.context, bars=known)))
        assert world.resolved(order, given).assessment == brought.assessment
        assessments.append(brought)
    half, whole = assessments
    assert half.weights == pytest.approx(whole.weights, abs=0.02)
    assert all("volume 1.0x" in found.assessment.evidence for found in assessments)
