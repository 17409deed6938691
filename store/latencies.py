"""Durations as a count, a sum and the worst since somebody looked: what a metric needs, and nothing more."""

from __future__ import annotations


class Latencies:
    """Belongs to one thread; another one may read."""

    __slots__ = ("_worst_ns", "count", "total_ns")

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self._worst_ns = 0

    def add(self, duration_ns: int) -> None:
        self.count += 1
        self.total_ns += duration_ns
        if duration_ns > self._worst_ns:
            self._worst_ns = duration_ns

    def take_worst_ns(self) -> int:
        """The longest since the last time."""
        worst, self._worst_ns = self._worst_ns, 0
        return worst
