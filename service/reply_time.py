"""How long a call may wait for the disk, PostgreSQL or another process, if its own answer is to arrive in time."""

from __future__ import annotations

from typing import Final

# A call without a deadline.
MOST_WAIT_S: Final = 30.0
MARGIN_S: Final = 0.25
MARGIN_FRACTION: Final = 0.1


def reply_wait_s(remaining_s: float | None) -> float:
    """Of what is left of a call's deadline, seconds; some is kept for the reply, which says what was waited for."""
    if remaining_s is None:
        return MOST_WAIT_S
    margin_s = min(MARGIN_S, MARGIN_FRACTION * remaining_s)
    return max(0.0, min(MOST_WAIT_S, remaining_s - margin_s))
