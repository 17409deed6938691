"""Trading time: the edges of sessions, breaks and the calendar."""

from __future__ import annotations

import pytest

from engine.decide import decide
from engine.decision import Decision, Refusal, RefusalKind
from engine.sessions import (
    instant_of,
    length_minutes,
    locate,
    minute_of,
    minutes_to_break,
    session_at,
    start_of,
)
from tests.helpers import world
from tests.helpers.decision_checks import assert_sound

SECOND = world.SECOND_NS
US, CHINA = world.us_sessions(), world.china_sessions()


def us(minutes: float, day: int = 0) -> int:
    return world.at(world.US, minutes, day)


def china(minutes: float, day: int = 0) -> int:
    return world.at(world.CHINA, minutes, day)


def test_lengths() -> None:
    assert length_minutes(session_at(US, 0)) == 390.0
    assert length_minutes(session_at(US, world.HALF_DAY)) == 210.0
    assert length_minutes(session_at(CHINA, 0)) == 240.0


@pytest.mark.parametrize(
    ("instant", "day", "minute", "is_open"),
    [
        (us(-600), 0, 0.0, False),
        (us(0) - 1, 0, 0.0, False),
        (us(0), 0, 0.0, True),
        (us(100.5), 0, 100.5, True),
        (us(389), 0, 389.0, True),  # a whole minute is enough
        (us(389) + SECOND, 1, 0.0, False),  # seconds before the close are not
        (us(390) - 1, 1, 0.0, False),
        (us(390), 1, 0.0, False),
        (us(209, world.HALF_DAY), world.HALF_DAY, 209.0, True),
        (us(209.5, world.HALF_DAY), world.HALF_DAY + 1, 0.0, False),
        (us(300, world.HALF_DAY), world.HALF_DAY + 1, 0.0, False),
    ],
)
def test_locate_in_a_plain_session(instant: int, day: int, minute: float, is_open: bool) -> None:
    point = locate(US, instant)
    assert point is not None
    assert point.session == session_at(US, day)
    assert point.minute == pytest.approx(minute, abs=1e-9)
    assert point.is_open is is_open


@pytest.mark.parametrize(
    ("instant", "minute", "is_open"),
    [
        (china(119.999), 119.999, True),
        (china(120), 120.0, False),  # the break begins: nothing can trade
        (china(165), 120.0, False),
        (china(210) - 1, 120.0, False),
        (china(210), 120.0, True),
        (china(211), 121.0, True),
        (china(329), 239.0, True),
    ],
)
def test_locate_around_the_break(instant: int, minute: float, is_open: bool) -> None:
    point = locate(CHINA, instant)
    assert point is not None
    assert point.session == session_at(CHINA, 0)
    assert point.minute == pytest.approx(minute, abs=1e-9)
    assert point.is_open is is_open


def test_beyond_the_calendar() -> None:
    last = world.DAYS - 1
    assert locate(US, us(389.5, last)) is None
    assert locate(US, us(390, last)) is None
    assert locate(US, us(0, last + 30)) is None
    answer = decide(world.order(start_ns=us(0, last + 30)), world.usual())
    assert isinstance(answer, Refusal)
    assert answer.kind is RefusalKind.PRECONDITION
    assert [fault.field for fault in answer.faults] == ["effective_time"]


def test_long_before_the_calendar() -> None:
    """A holiday before the first session known leads to it; what lies years before is not planned for it."""
    first = int(US.open_ns[0])
    day_ns = 86_400 * SECOND
    near = locate(US, first - 3 * day_ns)
    assert near is not None
    assert near.session.open_ns == first
    assert locate(US, first - 400 * day_ns) is None
    answer = decide(world.order(start_ns=first - 400 * day_ns), world.usual())
    assert isinstance(answer, Refusal)
    assert [fault.field for fault in answer.faults] == ["effective_time"]


def test_instants_and_minutes_invert_each_other() -> None:
    session = session_at(CHINA, 0)
    for minute in (0.0, 0.1, 59.7, 119.999, 120.5, 121.0, 239.99, 240.0):
        assert minute_of(session, instant_of(session, minute)) == pytest.approx(minute, abs=1e-9)
        assert minute_of(session, start_of(session, minute)) == pytest.approx(minute, abs=1e-9)


def test_what_ends_at_the_break_ends_before_it_and_what_starts_starts_after() -> None:
    session = session_at(CHINA, 0)
    assert instant_of(session, 120.0) == session.break_start_ns
    assert start_of(session, 120.0) == session.break_end_ns
    assert start_of(session, 120.0 - 1.0 / 60.0) == session.break_start_ns - SECOND
    assert instant_of(session, 300.0) == session.close_ns
    assert start_of(session_at(US, 0), 120.0) == instant_of(session_at(US, 0), 120.0)


def test_minutes_to_break() -> None:
    point = locate(CHINA, china(30))
    assert point is not None
    assert minutes_to_break(point) == pytest.approx(90.0)
    plain = locate(US, us(30))
    assert plain is not None
    assert minutes_to_break(plain) < 0.0


@pytest.mark.parametrize("minutes", [-1000.0, 119.5, 120.0, 150.0, 209.99, 210.0, 328.5, 329.5, 400.0])
def test_orders_at_the_edges_of_a_session_with_a_break(minutes: float) -> None:
    request = world.order(world.CHINA, share=0.0005, minutes=minutes, day=1)
    answer = decide(request, world.usual())
    assert isinstance(answer, Decision)
    assert_sound(answer, request, world.usual())


def test_an_order_in_the_break_starts_in_the_afternoon() -> None:
    request = world.order(world.CHINA, share=0.001, minutes=150.0)
    answer = decide(request, world.usual())
    assert isinstance(answer, Decision)
    assert answer.schedule.start_ns == china(210)
    assert answer.schedule.slices[0].start_ns == china(210)
    assert any("closed" in warning for warning in answer.warnings)


@pytest.mark.parametrize(("minutes", "day"), [(150.0, 2), (208.9, 2), (209.5, 2), (388.9, 0), (389.99, 0)])
def test_orders_on_a_half_day_and_before_the_close(minutes: float, day: int) -> None:
    request = world.order(world.US, share=0.0001, minutes=minutes, day=day)
    answer = decide(request, world.usual())
    assert isinstance(answer, Decision)
    assert_sound(answer, request, world.usual())
