"""uvicorn's protocol with what it lacks: answers that leave in one piece, and an end to requests that never come.

uvicorn writes each event of an answer by itself. That is a system call more, a packet more, and a client that wakes
twice, for every decision.

And it waits for ever: for the first byte on a connection, for the rest of a head, for a body. A thousand connections
are all that there may be, so a program that leaves its own open would keep everybody else out, probes too.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# From the connection's begin, or a request's first byte, until the request is whole.
REQUEST_WITHIN_S: Final = 30.0


class GatheredWrites:
    """A transport that holds what is written until the loop's next turn. Everything else is the transport's own."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            self._transport.write(held[0] if len(held) == 1 else b"".join(held))


class OneWriteProtocol(HttpToolsProtocol):
    """uvicorn's protocol over such a transport. A connection on which no whole request comes in time is closed."""

    request_within_s = REQUEST_WITHIN_S
    _is_awaited = True  # the next request, or the rest of this one
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        gathered: Any = GatheredWrites(transport, self.loop)  # it has all that a Transport has
        super().connection_made(gathered)
        self._late = self.loop.call_later(self.request_within_s, gathered.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Most requests come in one piece, and need no timer of their own. After an answer an empty line may come.
        if not self._is_awaited and not self.cycle.response_complete:
            self._end_wait()
        elif self._late is None and not self.transport.is_closing():
            self._late = self.loop.call_later(self.request_within_s, self.transport.close)

    def on_message_begin(self) -> None:
        self._is_awaited = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._is_awaited = False
        super().on_message_complete()

    def _end_wait(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
