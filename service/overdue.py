"""Whoever is not done in time, with one timer for all of them: a timer each would cost every call, and few are late."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Overdue(Generic[Item]):
    """Of one event loop. `late` is called once with each item that is not done `within_s` seconds after `add`;
    `checked` after any were looked at."""

    def __init__(self, within_s: float, is_done: Callable[[Item], bool], late: Callable[[Item], None],
                 checked: Callable[[], None] = lambda: None) -> None:
        self._within_s = within_s
        self._is_done = is_done
        self._late = late
        self._checked = checked
        self._items: deque[tuple[float, Item]] = deque()  # when they are late, oldest first; done or not
        self._is_timed = False

    def add(self, item: Item, loop: asyncio.AbstractEventLoop) -> None:
        self._items.append((loop.time() + self._within_s, item))
        self._time(loop)

    def _time(self, loop: asyncio.AbstractEventLoop) -> None:
        items = self._items
        while items and self._is_done(items[0][1]):
            items.popleft()
        if items and not self._is_timed:
            self._is_timed = True
            loop.call_at(items[0][0], self._look)

    def _look(self) -> None:
        self._is_timed = False
        loop, items = asyncio.get_running_loop(), self._items
        while items and (items[0][0] <= loop.time() or self._is_done(items[0][1])):
            _, item = items.popleft()
            if not self._is_done(item):
                self._late(item)
        self._time(loop)
        self._checked()
