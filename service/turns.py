"""Whose turn it is to hold the event loop: one decision a turn of the loop, the rest in a short queue, more refused.

Without it calls that arrived together would hold the loop one after another, and those behind them would neither be
seen nor refused until it is too late for all. Here every arrival is seen within one decision's time: it goes on at
once where nobody had this turn, waits where few do, and is refused early where many do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    """Belongs to one event loop. `refused` counts arrivals that found the queue full; `on_given` hears of each turn."""

    def __init__(self, most_waiting: int) -> None:
        self._most = most_waiting
        self._taken = False
        self._queue: deque[asyncio.Future[None]] = deque()
        self.refused = 0
        self.on_given: list[Callable[[], None]] = []

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def take(self) -> bool:
        """Waits for a turn; False, at once, where too many wait already."""
        if not self._taken and not self._queue:
            self._take()
            return True
        if len(self._queue) >= self._most:
            self.refused += 1
            return False
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()  # it was given and is not used
            elif turn in self._queue:
                self._queue.remove(turn)
            raise
        return True

    def _take(self) -> None:
        self._taken = True
        asyncio.get_running_loop().call_soon(self._next)
        for told in self.on_given:
            told()

    def _next(self) -> None:
        """The next turn of the loop: what came in meanwhile has been seen by the one after it."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                self._take()
                turn.set_result(None)
                return
        self._taken = False
