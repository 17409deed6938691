"""Trading time: where an instant lies in a session, and back. Breaks are cut out; minutes are trading minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.values import TradingSession

MINUTE_NS = 60_000_000_000
# Less than this before the close is no time to trade in: such an order is planned for the next session.
LEAST_MINUTES = 1.0
# No exchange is closed for longer: farther before the first session known, others must have been.
LONGEST_HOLIDAY_NS = 14 * 24 * 60 * MINUTE_NS
NEVER_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Found:
    """A session for all instants from `from_ns` up to before `until_ns`."""

    from_ns: int
    until_ns: int
    index: int
    session: TradingSession
    minutes: float


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions of one calendar, ascending; int64 nanoseconds, the break 0 where there is none.

    From `assumed_from_ns` on the exchange has told no holidays yet: every working day is taken for a usual session.
    """

    open_ns: NDArray[np.int64]
    close_ns: NDArray[np.int64]
    break_start_ns: NDArray[np.int64]
    break_end_ns: NDArray[np.int64]
    assumed_from_ns: int = NEVER_NS
    # The session found last: nearly every order falls into the one that the order before it fell into.
    _last: list[_Found] = field(init=False, repr=False, compare=False, default_factory=list)

    @classmethod
    def of(cls, sessions: Sequence[TradingSession]) -> Sessions:
        return cls(
            np.array([s.open_ns for s in sessions], dtype=np.int64),
            np.array([s.close_ns for s in sessions], dtype=np.int64),
            np.array([s.break_start_ns for s in sessions], dtype=np.int64),
            np.array([s.break_end_ns for s in sessions], dtype=np.int64),
        )


class SessionPoint(msgspec.Struct, frozen=True):
    """A moment of a session.

    minute: trading minutes since the open. session_minutes: length of the session without its break. is_open: whether
    the instant asked for lay in trading time (else the point is the next moment of trading).
    """

    session: TradingSession
    minute: float
    session_minutes: float
    is_open: bool


def length_minutes(session: TradingSession) -> float:
    """Trading minutes of a session."""
    pause_ns = session.break_end_ns - session.break_start_ns
    return (session.close_ns - session.open_ns - pause_ns) / MINUTE_NS


def session_at(sessions: Sessions, index: int) -> TradingSession:
    return TradingSession(
        int(sessions.open_ns[index]), int(sessions.close_ns[index]), int(sessions.break_start_ns[index]),
        int(sessions.break_end_ns[index]),
    )


def locate(sessions: Sessions, instant_ns: int) -> SessionPoint | None:
    """The first trading moment at or after an instant; None outside the sessions known."""
    last = sessions._last
    found = last[0] if last else None
    if found is None or not found.from_ns <= instant_ns < found.until_ns:
        found = _find(sessions, instant_ns)
        if found is None:
            return None
        last[:] = (found,)
    session, total, index = found.session, found.minutes, found.index
    minute = minute_of(session, instant_ns)
    in_break = session.break_start_ns <= instant_ns < session.break_end_ns
    if total - minute >= LEAST_MINUTES:
        return SessionPoint(session, minute, total, instant_ns >= session.open_ns and not in_break)
    if index + 1 >= len(sessions.close_ns):
        return None
    following = session_at(sessions, index + 1)
    return SessionPoint(following, 0.0, length_minutes(following), False)


def _find(sessions: Sessions, instant_ns: int) -> _Found | None:
    """The session that ends next after an instant."""
    index = int(sessions.close_ns.searchsorted(instant_ns, side="right"))
    first_ns = int(sessions.open_ns[0]) - LONGEST_HOLIDAY_NS
    if index >= len(sessions.close_ns) or instant_ns < first_ns:
        return None
    session = session_at(sessions, index)
    from_ns = int(sessions.close_ns[index - 1]) if index else first_ns
    return _Found(from_ns, session.close_ns, index, session, length_minutes(session))


def minute_of(session: TradingSession, instant_ns: int) -> float:
    """Trading minutes from the open to an instant, 0 before it; the break stands still."""
    instant = min(max(instant_ns, session.open_ns), session.close_ns)
    pause_ns = 0
    if session.break_end_ns > session.break_start_ns and instant > session.break_start_ns:
        pause_ns = min(instant, session.break_end_ns) - session.break_start_ns
    return (instant - session.open_ns - pause_ns) / MINUTE_NS


def minutes_of(session: TradingSession, instants_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """`minute_of` for many instants."""
    instants = np.clip(instants_ns, session.open_ns, session.close_ns)
    pauses = np.clip(instants, session.break_start_ns, session.break_end_ns) - session.break_start_ns
    found: NDArray[np.float64] = (instants - session.open_ns - pauses) / MINUTE_NS
    return found


def instant_of(session: TradingSession, minute: float) -> int:
    """The instant at which `minute` trading minutes have passed; the end of the morning for the break itself.

    For what ends then; what starts then starts at `start_of`.
    """
    instant = session.open_ns + round(minute * MINUTE_NS)
    if session.break_end_ns > session.break_start_ns and instant > session.break_start_ns:
        instant += session.break_end_ns - session.break_start_ns
    return min(instant, session.close_ns)


def start_of(session: TradingSession, minute: float) -> int:
    """The instant from which trading goes on after `minute` trading minutes: the afternoon's open for the break."""
    instant = instant_of(session, minute)
    return session.break_end_ns if session.break_start_ns <= instant < session.break_end_ns else instant


def minutes_to_break(point: SessionPoint) -> float:
    """Trading minutes from a point until the break; negative where it lies behind or there is none."""
    session = point.session
    if session.break_end_ns <= session.break_start_ns:
        return -1.0
    return (session.break_start_ns - session.open_ns) / MINUTE_NS - point.minute
