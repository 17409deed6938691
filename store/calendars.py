"""Trading sessions: built from exchange_calendars once, by one process, and read by the others from small files.

exchange_calendars brings pandas, which costs a worker half a second and 100 MB; so it is imported inside
`build_sessions` only, and workers read arrays. Building takes a second more, so a start takes files of the last days.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, time, timedelta, tzinfo
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.sessions import NEVER_NS
from engine.values import TradingSession
from store.closing_calls import CALLS
from store.errors import CalendarUnknown, SessionsMissing
from store.on_disk import READABLE, write_whole

Int64Array: TypeAlias = NDArray[np.int64]

# The library builds twenty years by default: a dry run may ask about any day of them.
DAYS_BACK = 20 * 366
# A service that has been up for as long decides from such files too; they reach about a year ahead.
KEPT_DAYS = 7
# Of the files, and of how sessions are made: files of another one are built anew.
_FORMAT_VERSION = 4
_LIBRARY = "exchange_calendars"

_TIMES = ("open", "close", "break_start", "break_end")


class SessionArrays(NamedTuple):
    """Nanoseconds since the epoch, ascending, one entry a day; a break of 0 and 0 is none.

    From `assumed_from_ns` on no holiday is known and every working day has a session.
    """

    open_ns: Int64Array
    close_ns: Int64Array
    break_start_ns: Int64Array
    break_end_ns: Int64Array
    assumed_from_ns: int = NEVER_NS


class _SessionsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file holds."""

    format_version: int
    calendar: str
    first_day: str
    last_day: str
    open_ns: list[int]
    close_ns: list[int]
    break_start_ns: list[int]
    break_end_ns: list[int]
    assumed_from_ns: int
    # Of the tz database.
    zone: str
    # The version of the library that it was built with.
    library: str


def session_span(today: date) -> tuple[date, date]:
    """From farther back than any calendar reaches to farther ahead; `build_sessions` cuts it to what there is."""
    return today - timedelta(days=DAYS_BACK), today + timedelta(days=2 * 365)


def build_sessions(calendar_name: str, first_day: date, last_day: date) -> tuple[TradingSession, ...]:
    """The sessions from first to last day, both included, as far as the library builds them by default:
    from twenty years back to about a year ahead.

    Half days close early and lunch breaks are given; auctions are not part of it, so that a day ends where its closing
    call begins (store/closing_calls.py).
    """
    if last_day < first_day:
        raise ValueError(f"the last day {last_day} is before the first day {first_day}")
    schedule, calendar = _schedule(calendar_name, first_day, last_day), _calendar(calendar_name)
    columns = [_nanoseconds(schedule[name]) for name in _TIMES]
    rows = zip(schedule.index, *columns, strict=True)
    return tuple(_until_call(calendar, day.date(), TradingSession(*times)) for day, *times in rows)


def assumed_sessions(calendar_name: str, first_day: date, last_day: date) -> tuple[TradingSession, ...]:
    """What is assumed where an exchange tells its holidays late (Shanghai: in December, for the next year), so that the
    library knows it only up to a day before the last one wanted:
    on each weekday after it the hours of the last usual session, in the exchange's own time. Empty otherwise."""
    calendar = _calendar(calendar_name)
    bound = calendar.bound_max()
    if bound is None or bound.date() >= last_day:
        return ()
    usual = max(calendar.schedule.index.difference(calendar.early_closes).difference(calendar.late_opens))
    row = calendar.schedule.loc[usual]
    clocks = [None if value is None else value.time() for value in (_local(row[name], calendar.tz) for name in _TIMES)]
    begin = max(first_day, bound.date() + timedelta(days=1))
    days = (begin + timedelta(days=ahead) for ahead in range((last_day - begin).days + 1))
    return tuple(
        _until_call(calendar, day, TradingSession(
            *(0 if clock is None else _instant_ns(day, clock, calendar.tz) for clock in clocks)
        ))
        for day in days if calendar.weekmask[day.weekday()] == "1"
    )  # fmt: skip


def write_sessions(
    folder: Path | str, calendar_names: Iterable[str], first_day: date, last_day: date
) -> dict[str, int]:
    """Writes one file a calendar, atomically; the number of sessions of each. Unknown names are all named."""
    names = sorted(set(calendar_names))
    unknown = [name for name in names if not _is_known(name)]
    if unknown:
        raise CalendarUnknown(f"exchange_calendars does not know {', '.join(map(repr, unknown))}")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    counts: dict[str, int] = {}
    for name in names:
        known = build_sessions(name, first_day, last_day)
        assumed = assumed_sessions(name, first_day, last_day)
        sessions = known + assumed
        content = _SessionsFile(
            _FORMAT_VERSION, name, first_day.isoformat(), last_day.isoformat(),
            [session.open_ns for session in sessions],
            [session.close_ns for session in sessions],
            [session.break_start_ns for session in sessions],
            [session.break_end_ns for session in sessions],
            assumed[0].open_ns if assumed else NEVER_NS,
            str(_calendar(name).tz),
            version(_LIBRARY),
        )  # fmt: skip
        write_whole(_path(target, name), msgspec.msgpack.encode(content), READABLE)
        counts[name] = len(sessions)
    return counts


def renew_sessions(folder: Path | str, calendar_names: Iterable[str], today: date) -> list[str]:
    """As `write_sessions` for the span of today, but of calendars only that have no file of this library's version and
    of the last KEPT_DAYS; which these were."""
    target = Path(folder)
    old = [name for name in sorted(set(calendar_names)) if not _is_fresh(target, name, today)]
    if old:
        write_sessions(target, old, *session_span(today))
    return old


def load_sessions(folder: Path | str, calendar_name: str) -> SessionArrays:
    """The written sessions of one calendar. Needs no pandas."""
    content = _read(_path(Path(folder), calendar_name), calendar_name)
    lists = (content.open_ns, content.close_ns, content.break_start_ns, content.break_end_ns)
    opens, closes, break_starts, break_ends = (np.array(values, dtype=np.int64) for values in lists)
    return SessionArrays(opens, closes, break_starts, break_ends, content.assumed_from_ns)


def load_zone(folder: Path | str, calendar_name: str) -> str:
    """The time zone of the exchange, as the tz database names it, from the same file."""
    return _read(_path(Path(folder), calendar_name), calendar_name).zone


def _read(path: Path, calendar_name: str) -> _SessionsFile:
    try:
        content = msgspec.msgpack.decode(path.read_bytes(), type=_SessionsFile)
    except OSError as error:
        raise SessionsMissing(
            f"no sessions of calendar {calendar_name!r}: {path} ({error.strerror})"
        ) from None
    except msgspec.DecodeError as error:
        raise SessionsMissing(
            f"the sessions of calendar {calendar_name!r} are corrupt: {path} ({error})"
        ) from None
    lists = (content.open_ns, content.close_ns, content.break_start_ns, content.break_end_ns)
    sound = content.calendar == calendar_name and len({len(values) for values in lists}) == 1
    if not sound or content.format_version != _FORMAT_VERSION:
        raise SessionsMissing(f"{path} does not hold the sessions of calendar {calendar_name!r}")
    return content


def _is_fresh(folder: Path, calendar_name: str, today: date) -> bool:
    with suppress(SessionsMissing, ValueError):
        content = _read(_path(folder, calendar_name), calendar_name)
        span = (date.fromisoformat(content.first_day), date.fromisoformat(content.last_day))
        written = span[0] + timedelta(days=DAYS_BACK)
        age = today - written
        is_recent = timedelta(0) <= age <= timedelta(days=KEPT_DAYS)
        return is_recent and span == session_span(written) and content.library == version(_LIBRARY)
    return False


def _path(folder: Path, calendar_name: str) -> Path:
    # "24/7" is a calendar too.
    return folder / f"{calendar_name.replace('/', '_')}.msgpack"


def _is_known(calendar_name: str) -> bool:
    import exchange_calendars

    return calendar_name in exchange_calendars.get_calendar_names(include_aliases=True)


def _calendar(calendar_name: str) -> Any:
    """The library's calendar, from 20 years back to about one ahead (it has no types here)."""
    import exchange_calendars

    if not _is_known(calendar_name):
        raise CalendarUnknown(f"exchange_calendars does not know {calendar_name!r}")
    return exchange_calendars.get_calendar(calendar_name)


def _schedule(calendar_name: str, first_day: date, last_day: date) -> Any:
    """The library's table for those days, a pandas frame."""
    calendar = _calendar(calendar_name)
    days = calendar.schedule.index
    wanted = [first_day <= day.date() <= last_day for day in days]
    return calendar.schedule[wanted]


def _nanoseconds(column: Any) -> list[int]:
    """Nanoseconds since the epoch of a column of times; 0 where there is none."""
    present = column.notna()
    values = column.dt.tz_convert(None).to_numpy(dtype="datetime64[ns]").astype(np.int64)
    return [int(value) if known else 0 for value, known in zip(values, present, strict=True)]


def _until_call(calendar: Any, day: date, session: TradingSession) -> TradingSession:
    """The session without the closing call that the library counts to it; a day that closes before stays as it is."""
    rule = CALLS.get(calendar.name)
    begins = None if rule is None else rule(day)
    if begins is None:
        return session
    return replace(session, close_ns=min(session.close_ns, _instant_ns(day, begins, calendar.tz)))


def _local(moment: Any, zone: Any) -> datetime | None:
    return None if moment != moment else moment.tz_convert(zone).to_pydatetime()


def _instant_ns(day: date, clock: time, zone: tzinfo) -> int:
    return int(datetime.combine(day, clock, tzinfo=zone).timestamp()) * 1_000_000_000
