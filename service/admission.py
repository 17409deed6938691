"""Which calls are begun, which wait, and which are turned away: decided where a call arrives, before anything is read.

A few are begun ahead of their turn (`has_room`), so that the next one is always at hand; the rest wait here, where
turning one away costs least. Usually the oldest goes first. Where more arrive than can wait, the oldest is turned away,
who has waited longest for nothing, and for a while the newest goes first: what is answered then is answered soon, and
nobody grows old in a queue that moves (LIFO under overload only; a queue in order would make everybody wait for as long
as it is).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

# So long after somebody was turned away the newest goes first.
FRESH_FIRST_S: Final = 0.1

T = TypeVar("T")


class Admission(Generic[T]):
    """Belongs to one event loop. `start` begins a call; `has_room` says whether one more may be begun."""

    def __init__(self, start: Callable[[T], None], has_room: Callable[[], bool], most_waiting: int,
                 clock_s: Callable[[], float] = time.monotonic) -> None:
        self._start = start
        self._has_room = has_room
        self._most = most_waiting
        self._clock_s = clock_s
        self._waiting: deque[T] = deque()
        self._fresh_first_until_s = float("-inf")
        self.turned_away = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def arrived(self, call: T) -> T | None:
        """The call that is to be turned away instead, if one is."""
        if not self._waiting and self._has_room():
            self._start(call)
            return None
        self._waiting.append(call)
        if len(self._waiting) <= self._most:
            return None
        self._fresh_first_until_s = self._clock_s() + FRESH_FIRST_S
        self.turned_away += 1
        return self._waiting.popleft()

    def go_on(self) -> None:
        """There may be room now."""
        while self._waiting and self._has_room():
            fresh_first = self._clock_s() < self._fresh_first_until_s
            self._start(self._waiting.pop() if fresh_first else self._waiting.popleft())
