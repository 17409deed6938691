"""When continuous trading ends, where exchange_calendars' day goes on: markets whose last minutes are a closing call.

What a session is here ends with continuous trading (engine/values.py), and the call's volume is the closing auction's
share of an instrument. The library's close is the end of the call in Shanghai, Tokyo and Sao Paulo; in Hong Kong, New
York, London and on Euronext it is the call's begin, and nothing is to be done. Only what is known for certain is
here: any other market keeps the library's close.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

# The exchange's own clock at the begin of the call of a usual day; None where there was no call, or it is not known.
CallRule: TypeAlias = Callable[[date], time | None]

# Adjusted Market-closing Trading Mechanism, SSE, in effect on that day. Shenzhen, which keeps Shanghai's calendar
# here, has had the same call for longer; from before that day its last three minutes are told as continuous.
SHANGHAI_FROM: Final = date(2018, 8, 20)
# arrowhead 4.0: the day became half an hour longer and got a call.
TOKYO_FROM: Final = date(2024, 11, 5)
# Since Brazil gave up its own daylight saving time, B3 shifts its close with New York's.
SAO_PAULO_FROM: Final = date(2019, 11, 4)
_NEW_YORK: Final = ZoneInfo("America/New_York")


def shanghai(day: date) -> time | None:
    """14:57, the call lasts until 15:00."""
    return time(14, 57) if day >= SHANGHAI_FROM else None


def tokyo(day: date) -> time | None:
    """15:25, the call lasts until 15:30."""
    return time(15, 25) if day >= TOKYO_FROM else None


def sao_paulo(day: date) -> time | None:
    """16:55 while New York has daylight saving time, else 17:55; the call lasts five minutes, or is prolonged."""
    if day < SAO_PAULO_FROM:
        return None
    is_summer = bool(datetime.combine(day, time(12), tzinfo=_NEW_YORK).dst())
    return time(16, 55) if is_summer else time(17, 55)


# By the library's own name of the calendar.
CALLS: Final[Mapping[str, CallRule]] = {"XSHG": shanghai, "XTKS": tokyo, "BVMF": sao_paulo}
