"""What an operator should know of the calendars: where the holidays that are known end soon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from engine.sessions import NEVER_NS, Sessions

# Before that there is nothing to be done: Shanghai tells the holidays of a year in the December before it.
SOON_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class EndOfHolidays:
    """From `assumed_from` on every weekday of this calendar is taken for a usual session, and decisions say so."""

    calendar: str
    assumed_from: date


def holidays_that_end(sessions: Mapping[str, Sessions], zones: Mapping[str, str], today: date) -> list[EndOfHolidays]:
    """Calendars whose known holidays end within SOON_DAYS, or have ended. `zones`: of the tz database, by calendar."""
    found = []
    for name, known in sorted(sessions.items()):
        if known.assumed_from_ns == NEVER_NS:
            continue
        first = datetime.fromtimestamp(known.assumed_from_ns / 1e9, tz=ZoneInfo(zones[name])).date()
        if first - today <= timedelta(days=SOON_DAYS):
            found.append(EndOfHolidays(name, first))
    return found
