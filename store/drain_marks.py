"""How long the oldest undrained entry has waited, in a bounded space: times are kept for ranges of entries."""

from __future__ import annotations

from collections import deque

_FINEST_S = 0.05
_RANGES = 256  # an age is off by this share of itself at most


class ArrivalMarks:
    """Ranges of sequences that arrived together: the last of each, and when its first was seen."""

    def __init__(self) -> None:
        self._marks: deque[tuple[int, float]] = deque()

    def add(self, sequence: int, now_s: float) -> None:
        """The head is here now. Times go forwards, sequences too."""
        if not self._marks:
            self._marks.append((sequence, now_s))
            return
        last_sequence, since_s = self._marks[-1]
        if sequence <= last_sequence:
            return
        if now_s - since_s < max(_FINEST_S, (now_s - self._marks[0][1]) / _RANGES):
            self._marks[-1] = (sequence, since_s)
        else:
            self._marks.append((sequence, now_s))

    def forget(self, sequence: int) -> None:
        """Entries up to here are done with."""
        while self._marks and self._marks[0][0] <= sequence:
            self._marks.popleft()

    def age_s(self, done_sequence: int, now_s: float) -> float:
        """How long ago the oldest entry after `done_sequence` was seen; 0 if none was."""
        self.forget(done_sequence)
        return max(0.0, now_s - self._marks[0][1]) if self._marks else 0.0

    def __len__(self) -> int:
        return len(self._marks)
