"""Sessions of exchanges, and their files."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.sessions import NEVER_NS
from store.calendars import (
    KEPT_DAYS,
    assumed_sessions,
    build_sessions,
    load_sessions,
    load_zone,
    renew_sessions,
    session_span,
    write_sessions,
)
from store.errors import CalendarUnknown, SessionsMissing

HOUR_NS = 3_600_000_000_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def test_a_normal_new_york_day() -> None:
    (session,) = build_sessions("XNYS", date(2025, 6, 20), date(2025, 6, 22))  # Friday to Sunday
    assert session.open_ns == at("2025-06-20T13:30:00")
    assert session.close_ns == at("2025-06-20T20:00:00")
    assert (session.break_start_ns, session.break_end_ns) == (0, 0)


def test_a_half_day_closes_early_and_a_holiday_has_no_session() -> None:
    sessions = build_sessions(
        "XNYS", date(2025, 11, 27), date(2025, 11, 28)
    )  # Thanksgiving and the day after
    assert [session.close_ns for session in sessions] == [at("2025-11-28T18:00:00")]


def test_a_lunch_break() -> None:
    (session,) = build_sessions("XHKG", date(2025, 6, 20), date(2025, 6, 20))
    assert session.break_start_ns == at("2025-06-20T04:00:00")
    assert session.break_end_ns == at("2025-06-20T05:00:00")


def test_the_clock_change_moves_the_session() -> None:
    winter, summer = (build_sessions("XNYS", day, day)[0] for day in (date(2025, 3, 7), date(2025, 3, 10)))
    assert winter.open_ns == at("2025-03-07T14:30:00")
    assert summer.open_ns == at("2025-03-10T13:30:00")


def test_it_reaches_a_good_part_of_a_year_ahead_and_nineteen_back() -> None:
    today = datetime.now(tz=UTC).date()
    sessions = build_sessions("XNYS", *session_span(today))
    now_ns = at(today.isoformat())
    assert sessions[0].open_ns < now_ns - 19 * 365 * 24 * HOUR_NS
    assert sessions[-1].open_ns > now_ns + 300 * 24 * HOUR_NS
    opens = [session.open_ns for session in sessions]
    assert opens == sorted(set(opens))


def test_files_hold_what_was_built(tmp_path: Path) -> None:
    days = (date(2025, 6, 2), date(2025, 6, 20))
    names = ["XHKG", "24/7", "XNYS", "XNYS"]
    counts = write_sessions(tmp_path / "sessions", names, *days)
    assert counts == {"24/7": 19, "XHKG": 15, "XNYS": 14}
    for name in counts:
        arrays = load_sessions(tmp_path / "sessions", name)
        built = build_sessions(name, *days)
        assert all(array.dtype == np.int64 for array in arrays[:4])
        assert arrays.open_ns.tolist() == [session.open_ns for session in built]
        assert arrays.close_ns.tolist() == [session.close_ns for session in built]
        assert arrays.break_start_ns.tolist() == [session.break_start_ns for session in built]
        assert arrays.break_end_ns.tolist() == [session.break_end_ns for session in built]


def test_where_holidays_are_not_told_yet_usual_days_are_assumed(tmp_path: Path) -> None:
    """Shanghai tells those of a year in the December before it: the library stops at the year's end."""
    bound = last_day_known("XSHG")
    known = build_sessions("XSHG", bound - timedelta(days=30), bound + timedelta(days=30))
    assumed = assumed_sessions("XSHG", bound - timedelta(days=30), bound + timedelta(days=14))
    assert known[-1].close_ns <= at(bound.isoformat()) + 24 * HOUR_NS < assumed[0].open_ns + 24 * HOUR_NS
    assert len(assumed) == 10  # weekdays of two weeks
    day_ns = 24 * HOUR_NS
    usual = [known[-1].open_ns % day_ns, known[-1].close_ns % day_ns, known[-1].break_end_ns % day_ns]
    for session in assumed:
        assert [session.open_ns % day_ns, session.close_ns % day_ns, session.break_end_ns % day_ns] == usual
    assert usual[1] == 6 * HOUR_NS + 57 * 60 * 10**9  # 14:57: no closing call
    assert assumed_sessions("XNYS", bound, last_day_known("XSHG")) == ()

    write_sessions(tmp_path, ["XSHG", "XNYS"], *session_span(datetime.now(tz=UTC).date()))
    arrays = load_sessions(tmp_path, "XSHG")
    assert arrays.assumed_from_ns == assumed[0].open_ns
    assert arrays.open_ns[-1] > at(datetime.now(tz=UTC).date().isoformat()) + 300 * day_ns
    assert (np.diff(arrays.open_ns) > 0).all()
    assert load_sessions(tmp_path, "XNYS").assumed_from_ns == NEVER_NS


def last_day_known(calendar: str) -> date:
    import exchange_calendars

    last: date = exchange_calendars.get_calendar(calendar).last_session.date()
    return last


def test_unknown_calendars_are_all_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(CalendarUnknown, match=r"'NOPE', 'XXXX'"):
        write_sessions(tmp_path / "sessions", ["XXXX", "XNYS", "NOPE"], date(2025, 6, 2), date(2025, 6, 3))
    assert not (tmp_path / "sessions").exists()
    with pytest.raises(CalendarUnknown, match="'NOPE'"):
        build_sessions("NOPE", date(2025, 6, 2), date(2025, 6, 3))


def test_missing_and_corrupt_files_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(SessionsMissing, match="'XNYS'"):
        load_sessions(tmp_path, "XNYS")
    write_sessions(tmp_path, ["XNYS"], date(2025, 6, 2), date(2025, 6, 20))
    path = tmp_path / "XNYS.msgpack"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(SessionsMissing, match="corrupt"):
        load_sessions(tmp_path, "XNYS")
    (tmp_path / "XHKG.msgpack").write_bytes(whole)
    with pytest.raises(SessionsMissing, match="'XHKG'"):
        load_sessions(tmp_path, "XHKG")


def test_files_of_the_last_days_are_taken_and_others_built(tmp_path: Path) -> None:
    today = datetime.now(tz=UTC).date()
    assert renew_sessions(tmp_path, ["XNYS", "XHKG"], today) == ["XHKG", "XNYS"]
    path = tmp_path / "XNYS.msgpack"
    built = path.read_bytes()
    assert renew_sessions(tmp_path, ["XNYS", "XHKG"], today + timedelta(days=KEPT_DAYS)) == []
    assert path.read_bytes() == built
    assert renew_sessions(tmp_path, ["XNYS"], today + timedelta(days=KEPT_DAYS + 1)) == ["XNYS"]
    assert renew_sessions(tmp_path, ["XNYS"], today) == ["XNYS"]  # a clock that was set back
    assert path.read_bytes() == built

    path.write_bytes(built[:-5])
    assert renew_sessions(tmp_path, ["XNYS"], today) == ["XNYS"]
    path.write_bytes(msgspec.msgpack.encode({**msgspec.msgpack.decode(built), "format_version": 3}))  # with the calls
    assert renew_sessions(tmp_path, ["XNYS"], today) == ["XNYS"]
    path.write_bytes(built.replace(version("exchange_calendars").encode(), b"0" * len(version("exchange_calendars"))))
    assert renew_sessions(tmp_path, ["XNYS"], today) == ["XNYS"]
    write_sessions(tmp_path, ["XNYS"], today - timedelta(days=30), today + timedelta(days=30))
    assert renew_sessions(tmp_path, ["XNYS"], today) == ["XNYS"]
    assert path.read_bytes() == built


def test_the_zone_of_an_exchange(tmp_path: Path) -> None:
    write_sessions(tmp_path, ["XNYS", "XHKG"], date(2025, 6, 2), date(2025, 6, 20))
    assert (load_zone(tmp_path, "XNYS"), load_zone(tmp_path, "XHKG")) == ("America/New_York", "Asia/Hong_Kong")
    with pytest.raises(SessionsMissing, match="'XLON'"):
        load_zone(tmp_path, "XLON")


def test_a_worker_reads_sessions_without_pandas(tmp_path: Path) -> None:
    write_sessions(tmp_path, ["XNYS"], date(2025, 6, 2), date(2025, 6, 20))
    code = (
        "import sys; from store.calendars import load_sessions;"
        f"assert len(load_sessions({str(tmp_path)!r}, 'XNYS').open_ns) == 14;"
        "assert 'pandas' not in sys.modules and 'exchange_calendars' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(__file__).parents[2])
