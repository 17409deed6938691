"""An asyncio loop in which time is a number: nothing waits, nothing runs beside it, a seed decides all that happens.

The ready queue of asyncio is first in, first out, and timers fire by their time, so a program that asks only this loop
for time, sleep and help does the same things in the same order on every run. Whatever would let the world in is
refused: threads, sockets, signals, processes.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class Stuck(Exception):
    """Everything waits for something that nobody will do."""


class Escaped(Exception):
    """The program asked for something that is not simulated."""


class _StillSelector(selectors.SelectSelector):
    """Waits by moving the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.clock: VirtualClock | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert self.clock is not None
        if timeout is None:
            raise Stuck("nothing is ready and no timer runs")
        if timeout > 0:
            self.clock.now_s += timeout
        return []


class VirtualClock:
    """One for a whole simulation: it goes on through the lives of the loops."""

    def __init__(self, now_s: float = 1_000.0, epoch_ns: int = 1_767_225_600_000_000_000) -> None:
        self.now_s = now_s
        self._epoch_ns = epoch_ns
        self._begun_s = now_s

    def time_s(self) -> float:
        return self.now_s

    def time_ns(self) -> int:
        """As time.time_ns() would say."""
        return self._epoch_ns + int((self.now_s - self._begun_s) * 1e9)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop of one life of a host. `callbacks` counts what ran."""

    def __init__(self, clock: VirtualClock) -> None:
        selector = _StillSelector()
        selector.clock = clock
        self._clock = clock
        super().__init__(selector)

    def time(self) -> float:
        return self._clock.now_s

    def call_soon_threadsafe(  # type: ignore[override]  # mypy cannot compare variadic types
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """There are no other threads; no byte is written to wake a selector that never sleeps."""
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, *_: Any) -> Any:  # type: ignore[override]  # refuses whatever the types are
        raise Escaped("threads are not simulated")

    async def create_connection(self, *_: Any, **__: Any) -> Any:
        raise Escaped("sockets are not simulated")

    async def create_server(self, *_: Any, **__: Any) -> Any:
        raise Escaped("sockets are not simulated")

    async def subprocess_exec(self, *_: Any, **__: Any) -> Any:
        raise Escaped("processes are not simulated")


def end_life(loop: VirtualLoop) -> None:
    """Drops every task as a power cut does, as far as Python allows: each is cancelled, and what it does on its way
    out meets a world that no longer answers. The loop is closed."""
    for _ in range(20):
        tasks = [task for task in asyncio.all_tasks(loop) if not task.done()]
        if not tasks:
            break
        for task in tasks:
            task.cancel()
        loop.call_later(1.0, loop.stop)
        loop.run_forever()
    loop.set_exception_handler(lambda *_: None)
    loop.close()
