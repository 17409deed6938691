"""An operator is told in time that an exchange's holidays are not known any further."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.sessions import Sessions
from engine.values import TradingSession
from service.calendar_notes import SOON_DAYS, EndOfHolidays, holidays_that_end

SHANGHAI = ZoneInfo("Asia/Shanghai")
FIRST = date(2031, 1, 2)
ZONES = {"XSHG": "Asia/Shanghai", "XNYS": "America/New_York"}


def ns(day: date, hour: int, minute: int) -> int:
    return int(datetime(day.year, day.month, day.day, hour, minute, tzinfo=SHANGHAI).timestamp()) * 1_000_000_000


def calendars() -> dict[str, Sessions]:
    """Shanghai's holidays are known up to the end of 2030, New York's for ever."""
    known = Sessions.of([TradingSession(ns(day, 9, 30), ns(day, 15, 0), ns(day, 11, 30), ns(day, 13, 0))
                         for day in (date(2030, 12, 31), FIRST)])  # fmt: skip
    return {"XSHG": replace(known, assumed_from_ns=ns(FIRST, 9, 30)), "XNYS": known}


@pytest.mark.parametrize(("days_before", "is_told"), [
    (SOON_DAYS + 1, False), (SOON_DAYS, True), (1, True), (0, True), (-200, True),
])  # fmt: skip
def test_it_is_told_from_a_month_before_and_for_as_long_as_it_lasts(days_before: int, is_told: bool) -> None:
    found = holidays_that_end(calendars(), ZONES, FIRST - timedelta(days=days_before))
    assert found == ([EndOfHolidays("XSHG", FIRST)] if is_told else [])
