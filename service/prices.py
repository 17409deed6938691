"""Prices for orders that came together, worked out together in a thread of their own without the interpreter's lock.

Pricing is half of what a decision costs, one compiled call that needs no Python. An order that comes alone is priced
where it stands (service/handlers.py): to hand it over would take longer. Where several wait, the thread prices all that
are there while the loop reads the next ones and answers the ones before; and each of the two keeps its own data in the
caches of its own processor. The more come, the more go together.

The loop hands answers on one a turn, so that calls that arrive meanwhile are seen in time.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

from engine.decide import Priced
from engine.decide_many import Prepared, price_by_snapshot
from engine.snapshot import Snapshot

# So many are priced in one go: a worker has begun few more at any time, and the first of them waits for the last.
MOST_TOGETHER: Final = 8
# Turns of the loop that others are waited for: whoever is about to come may be slow, or never come.
MOST_LOOKS: Final = 6


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    prepared: Prepared
    snapshot: Snapshot
    priced: asyncio.Future[Priced]


class Prices:
    """Belongs to one event loop, the running one of its first order. `close` when no call is under way any more."""

    def __init__(self, more_come: Callable[[], bool]) -> None:
        """`more_come`: whether somebody is about to ask who will be here within the next turns of the loop."""
        self._more_come = more_come
        self._is_looking = False
        self._asked: deque[_Order] = deque()
        self._done: deque[tuple[_Order, Priced | Exception]] = deque()
        self._under_way = False
        self._giving = False
        self._work: SimpleQueue[tuple[asyncio.AbstractEventLoop, Sequence[_Order]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        # Hear of it when the thread has taken orders: there is room for more.
        self.on_taken: list[Callable[[], None]] = []

    @property
    def waiting(self) -> int:
        """Orders that the thread has not taken yet."""
        return len(self._asked)

    @property
    def is_at_work(self) -> bool:
        """Whether an order that came now would have to wait; it is priced in no time of the loop's, then."""
        return self._under_way

    async def of(self, prepared: Prepared, snapshot: Snapshot) -> Priced:
        """What `engine.decide` would price this order at, to the bit."""
        loop = asyncio.get_running_loop()
        order = _Order(prepared, snapshot, loop.create_future())
        self._asked.append(order)
        self._begin_or_wait()
        return await order.priced

    def close(self) -> None:
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._thread = None

    def _begin_or_wait(self, looks: int = MOST_LOOKS) -> None:
        """Each hand-over costs both threads the lock a few times, so that it is not made for one where more come."""
        if self._under_way or not self._asked:
            return
        loop = asyncio.get_running_loop()
        if len(self._asked) >= MOST_TOGETHER or looks == 0 or not self._more_come():
            self._begin(loop)
        elif not self._is_looking:
            self._is_looking = True
            loop.call_soon(self._look, looks - 1)

    def _look(self, looks: int) -> None:
        self._is_looking = False
        self._begin_or_wait(looks)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        taken: list[_Order] = []
        while self._asked and len(taken) < MOST_TOGETHER:
            order = self._asked.popleft()
            if not order.priced.done():  # its caller is gone
                taken.append(order)
        if not taken:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="prices", daemon=True)
            self._thread.start()
        self._under_way = True
        self._work.put((loop, taken))
        for told in self.on_taken:
            told()

    def _run(self) -> None:
        """The thread."""
        while (work := self._work.get()) is not None:
            loop, orders = work
            found: Sequence[Priced | Exception]
            try:
                found = price_by_snapshot([(one.prepared, one.snapshot) for one in orders])
            except Exception as error:  # a fault of ours: it belongs to the calls, which tell of it
                found = [error] * len(orders)
            loop.call_soon_threadsafe(self._priced, orders, found)

    def _priced(self, orders: Sequence[_Order], found: Sequence[Priced | Exception]) -> None:
        self._under_way = False
        self._begin_or_wait()
        self._done.extend(zip(orders, found, strict=True))
        if not self._giving:
            self._give()

    def _give(self) -> None:
        """One a turn of the loop."""
        self._giving = False
        while self._done:
            order, found = self._done.popleft()
            if order.priced.done():
                continue
            if isinstance(found, Exception):
                order.priced.set_exception(found)
            else:
                order.priced.set_result(found)
            self._giving = True
            asyncio.get_running_loop().call_soon(self._give)
            return
