"""When a market trades continuously: the one clock that minutes of all data are counted on.

A minute here is one of continuous trading: breaks and calls are cut out. A folder may hold a `market.json`
that names the market of its files where they do not say it themselves:

    {"name": "FR", "calendar": "XPAR", "timezone": "Europe/Paris", "segments": [["09:00", "17:30"]],
     "session_minutes": 510, "tick_size": 0.01}

`calendar` is a name of exchange_calendars, `session_minutes` the length of its session without breaks
(default: the segments' length), `tick_size` in currency.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from training.market_data import B3_MINUTES, B3_OPEN_MINUTE
from training.measures import Array
from training.readers import NEW_YORK, SAO_PAULO, US_MINUTES, US_OPEN_MINUTE

MARKET_FILE = "market.json"


class MarketFileError(ValueError):
    """A market.json that cannot be read, with what is wrong."""


@dataclass(frozen=True, slots=True)
class Clock:
    """`segments` are minutes of the local day [from, to) of continuous trading, in order.

    `first_minute` is how far into the calendar's session (`session_minutes` long, breaks cut out) they begin.
    """

    name: str
    calendar: str
    zone: ZoneInfo
    segments: tuple[tuple[int, int], ...]
    session_minutes: int
    first_minute: int = 0
    tick_size: float = 0.01

    @property
    def minutes(self) -> int:
        """Length of the continuous session."""
        return sum(stop - start for start, stop in self.segments)

    def trading_minute(self, minute_of_day: Array) -> Array:
        """Minutes of continuous trading since its start, as a fraction; nan outside of it."""
        found: Array = np.full(np.shape(minute_of_day), np.nan)
        before = 0
        for start, stop in self.segments:
            inside = (minute_of_day >= start) & (minute_of_day < stop)
            found = np.where(inside, minute_of_day - start + before, found)
            before += stop - start
        return found

    def elapsed(self, minute_of_day: Array) -> Array:
        """Minutes of continuous trading that have passed: 0 before it, flat in breaks, all of them after
        it."""
        passed: Array = np.zeros(np.shape(minute_of_day))
        for start, stop in self.segments:
            passed = passed + np.clip(minute_of_day - start, 0, stop - start)
        return passed


UNITED_STATES = Clock("US", "XNYS", NEW_YORK, ((US_OPEN_MINUTE, US_OPEN_MINUTE + US_MINUTES),), US_MINUTES)
# Shanghai and Shenzhen alike; from 14:57 on there is only the closing call.
CHINA = Clock("CN", "XSHG", ZoneInfo("Asia/Shanghai"), ((570, 690), (780, 897)), 237)
# The calls of B3 last until 10:15 at most and begin after 16:45.
BRAZIL = Clock("BR", "BVMF", SAO_PAULO, ((B3_OPEN_MINUTE, B3_OPEN_MINUTE + B3_MINUTES),), 415, 15)


def clock_of(folder: Path, default: Clock) -> Clock:
    """The market that `market.json` in this folder names, or the default where there is none."""
    path = folder / MARKET_FILE
    if not path.is_file():
        return default
    try:
        found = json.loads(path.read_text())
        segments = tuple((_minute(start), _minute(stop)) for start, stop in found["segments"])
        length = sum(stop - start for start, stop in segments)
        clock = Clock(
            name=str(found["name"]),
            calendar=str(found["calendar"]),
            zone=ZoneInfo(str(found["timezone"])),
            segments=segments,
            session_minutes=int(found.get("session_minutes", length)),
            tick_size=float(found.get("tick_size", 0.01)),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MarketFileError(f"{path}: {type(error).__name__}: {error}") from None
    if any(stop <= start for start, stop in segments) or clock.tick_size <= 0.0:
        raise MarketFileError(f"{path}: segments must run forward and tick_size must be positive")
    return clock


def short_sessions(clock: Clock, dates: Iterable[int]) -> frozenset[int]:
    """Of these days (YYYYMMDD) those on which the exchange opened late or closed early, as far as its calendar goes."""
    import exchange_calendars
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

    asked = sorted(set(dates))
    if not asked:
        return frozenset()
    try:
        # Some days more on either side: a stretch without any session is none to the library.
        span = [pd.Timestamp(str(day)) + pd.Timedelta(days=more) for day, more in ((asked[0], -15), (asked[-1], 15))]
        calendar = exchange_calendars.get_calendar(clock.calendar, start=span[0], end=span[1])
    except (ValueError, exchange_calendars.errors.CalendarError):
        return frozenset()  # no such calendar, or no such time in it
    known = {int(day.strftime("%Y%m%d")) for day in calendar.early_closes.union(calendar.late_opens)}
    return frozenset(known.intersection(asked))


def _minute(text: str) -> int:
    hours, minutes = str(text).split(":")
    return int(hours) * 60 + int(minutes)
