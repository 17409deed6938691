"""Which calls are begun, which wait, and which are turned away: decided where a call arrives, before anything is read.

A few are begun ahead of their turn (`has_room`), so that the next one is always at hand; the rest wait here, where
turning one away costs least. Usually the oldest goes first. Once half of the places are taken the newest does, for a
while: what is answered then is answered soon, where a queue in order would make everybody wait for as long as it is;
of a burst that passes all are answered. Where more arrive than can wait, the oldest is turned away, who has waited
longest for nothing, and so is, for a while, whatever has become stale.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

# So long after half of the places were taken the newest goes first.
FRESH_FIRST_S: Final = 0.1
# So long after somebody was turned away who has waited for STALE_S is turned away rather than begun.
REFUSING_S: Final = 0.1
STALE_S: Final = 0.02

T = TypeVar("T")


class Admission(Generic[T]):
    """Belongs to one event loop. `start` begins a call; `has_room` says whether one more may be begun; `turn_away` is
    given those that waited in vain."""

    def __init__(self, start: Callable[[T], None], has_room: Callable[[], bool], turn_away: Callable[[T], None],
                 most_waiting: int, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._start = start
        self._has_room = has_room
        self._turn_away = turn_away
        self._most = most_waiting
        self._clock_s = clock_s
        self._waiting: deque[tuple[float, T]] = deque()  # since when, oldest first
        self._fresh_first_until_s = self._refusing_until_s = float("-inf")

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def arrived(self, call: T) -> T | None:
        """The call that is to be turned away instead, if one is."""
        if not self._waiting and self._has_room():
            self._start(call)
            return None
        now_s = self._clock_s()
        self._waiting.append((now_s, call))
        if 2 * len(self._waiting) > self._most:
            self._fresh_first_until_s = now_s + FRESH_FIRST_S
        if len(self._waiting) <= self._most:
            return None
        self._refusing_until_s = now_s + REFUSING_S
        return self._waiting.popleft()[1]

    def go_on(self) -> None:
        """There may be room now."""
        while self._waiting and self._has_room():
            now_s = self._clock_s()
            if now_s >= self._fresh_first_until_s:
                self._start(self._waiting.popleft()[1])
                continue
            since_s, call = self._waiting.pop()
            if now_s - since_s <= STALE_S or now_s >= self._refusing_until_s:
                self._start(call)
                continue
            # So are all behind it.
            stale = [call, *(older for _, older in reversed(self._waiting))]
            self._waiting.clear()
            for one in stale:
                self._turn_away(one)
