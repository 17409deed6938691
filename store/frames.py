"""Frames over a stream: four bytes of length (big endian), then as many bytes. Bounded both ways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

MAX_FRAME_BYTES = 16 * 1024 * 1024
_HEADER_BYTES = 4


class FrameTooLarge(ValueError):
    """A frame over the bound: the peer is not one of ours, or a record is absurd."""


class FrameProtocol(asyncio.Protocol):
    """Cuts what arrives into frames. A frame over the bound ends the connection. After `abort` nothing more is handled,
    not even what had arrived: whoever cut the other end off takes no more of its words."""

    def __init__(
        self,
        on_frame: Callable[[FrameProtocol, memoryview], None],
        on_closed: Callable[[FrameProtocol], None],
        on_open: Callable[[FrameProtocol], None] | None = None,
        max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._on_open = on_open
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._is_aborted = False
        self.may_write = asyncio.Event()
        self.may_write.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=1 << 20, low=1 << 18)
        if self._on_open is not None:
            self._on_open(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self.may_write.set()  # whoever waits finds the connection closed
        self._on_closed(self)

    def pause_writing(self) -> None:
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.may_write.set()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        with memoryview(buffer) as view:
            while len(buffer) - start >= _HEADER_BYTES and not self._is_aborted:
                size = int.from_bytes(view[start : start + _HEADER_BYTES], "big")
                if size > self._max_frame_bytes:
                    self.abort()
                    break
                end = start + _HEADER_BYTES + size
                if len(buffer) < end:
                    break
                with view[start + _HEADER_BYTES : end] as frame:
                    self._on_frame(self, frame)
                start = end
        del buffer[: len(buffer) if self._is_aborted else start]

    def send(self, payload: bytes) -> None:
        """Queues a frame. Raises ConnectionError when closed and FrameTooLarge above the bound."""
        if len(payload) > self._max_frame_bytes:
            raise FrameTooLarge(f"a frame of {len(payload)} bytes is over {self._max_frame_bytes}")
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionError("the connection is closed")
        transport.write(len(payload).to_bytes(_HEADER_BYTES, "big") + payload)

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def pause_reading(self) -> None:
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Closes after what is queued was sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self._is_aborted = True
        if self._transport is not None:
            self._transport.abort()
