"""How many entries a batch to PostgreSQL may have: fewer after a time-out, more again where it keeps up."""

from __future__ import annotations

import logging
from typing import Final

# A batch that took less than this part of its time would end in time with twice the entries too, and so may the next.
_QUICK_PART: Final = 0.25
# So many in a row that were in time, though slow, are reason to try more: the time may not come from the entries.
_TRIES_MORE_AFTER: Final = 8

_log = logging.getLogger(__name__)


class BatchRoom:
    """At most `most` entries. A batch that timed out halves what the next may have, down to one entry: made again
    whole, a batch that a slow database cannot take in time would stay for ever, and everything behind it."""

    def __init__(self, most: int, limit_s: float) -> None:
        """limit_s: after which an attempt is given up."""
        self._most = most
        self._limit_s = limit_s
        self._in_time = 0
        self.entries = most

    def timed_out(self, entries: int) -> None:
        """A batch of so many entries was not taken in time."""
        self._in_time = 0
        self.entries = max(1, min(self.entries, entries // 2))
        _log.warning("%d entries took PostgreSQL too long; at most %d at once for now", entries, self.entries)

    def taken(self, took_s: float) -> None:
        """A batch was taken within so many seconds."""
        if self.entries >= self._most:
            return
        self._in_time += 1
        if took_s < self._limit_s * _QUICK_PART or self._in_time >= _TRIES_MORE_AFTER:
            self._in_time = 0
            self.entries = min(self._most, self.entries * 2)
