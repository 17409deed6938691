"""Writes on a stream, one at a time, begun in the turn of the event loop that brings the message.

A task would begin each a turn later: a look at the sockets and a change of hands for nothing, which an update of an
order pays with a tenth of its time. So the coroutine of a write is driven here, as asyncio's own tasks do it (and as
eager tasks do it from Python 3.12 on): up to the future that it waits for, and on from that future's callback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

Write = Callable[[bytes], Coroutine[Any, Any, None]]


class StreamWriter:
    """`take` gives the next message, None where nothing waits. `broken` fails when a write did: nothing is written
    after that. Belongs to one event loop."""

    def __init__(self, write: Write, take: Callable[[], bytes | None]) -> None:
        self._write = write
        self._take = take
        self._writing: Coroutine[Any, Any, None] | None = None
        self._waited: asyncio.Future[Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self.broken: asyncio.Future[None] = self._loop.create_future()

    def wake(self) -> None:
        """Something waits to be written."""
        if self._writing is None and not self.broken.done():
            self._is_idle.clear()
            self._go_on()

    async def idle(self) -> None:
        """Until everything is written that waited."""
        await self._is_idle.wait()

    def close(self) -> None:
        """Ends whatever is being written. May be called twice."""
        self.broken.cancel()
        writing, self._writing = self._writing, None
        if self._waited is not None:
            self._waited.cancel()
        if writing is not None:
            with suppress(StopIteration, asyncio.CancelledError, Exception):
                writing.throw(asyncio.CancelledError())

    def _go_on(self, _: object = None) -> None:
        """Until a write must wait, or nothing is left."""
        self._waited = None
        while not self.broken.done():
            try:
                if self._writing is None:
                    data = self._take()
                    if data is None:
                        self._is_idle.set()
                        return
                    self._writing = self._write(data)
                waited = self._writing.send(None)
            except StopIteration:
                self._writing = None  # written
                continue
            except (Exception, asyncio.CancelledError) as error:
                self._writing = None
                self.broken.set_exception(error)
                return
            if waited is None:  # it only gives way to others
                self._loop.call_soon(self._go_on)
            else:
                waited._asyncio_future_blocking = False  # taken: the other half of a future's __await__
                waited.add_done_callback(self._go_on)
                self._waited = waited
            return
