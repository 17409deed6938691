"""How far this host's clock is from PostgreSQL's. Records carry the host's time, plans begin by it, and market data
that seem to come from the future are not taken: a clock that is wrong makes no error anywhere."""

from __future__ import annotations

import logging
import math
from typing import Final

_log = logging.getLogger(__name__)
# From here on it is told. What a round trip leaves open is milliseconds, and what NTP leaves less.
TOLD_FROM_S: Final = 1.0


class ClockWatch:
    """Belongs to one event loop; `ahead_s` may be read by another thread."""

    def __init__(self) -> None:
        self.ahead_s = 0.0  # as it was found last; negative where this host's clock is behind
        self._is_told = False

    def compared(self, before_ns: int, server_us: int, after_ns: int) -> None:
        """PostgreSQL's clock (Unix us) was read between two looks at this host's (Unix ns)."""
        middle_ns, half_s = (before_ns + after_ns) // 2, abs(after_ns - before_ns) / 2e9
        apart_s = (middle_ns - 1_000 * server_us) / 1e9
        # As much as is sure: a slow answer is no wrong clock.
        self.ahead_s = math.copysign(max(0.0, abs(apart_s) - half_s), apart_s)
        is_wrong = abs(self.ahead_s) > TOLD_FROM_S
        if is_wrong == self._is_told:
            return
        self._is_told = is_wrong
        if is_wrong:
            way = "ahead of" if self.ahead_s > 0.0 else "behind"
            _log.error("this host's clock is %.1f s %s PostgreSQL's: one of them is wrong", abs(self.ahead_s), way)
        else:
            _log.info("this host's clock is PostgreSQL's again")
