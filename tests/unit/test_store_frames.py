"""Frames cut out of a stream, however it was broken up."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.frames import FrameProtocol, FrameTooLarge


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def connected(frames: list[bytes], max_frame_bytes: int = 1000) -> tuple[FrameProtocol, FakeTransport]:
    protocol = FrameProtocol(
        lambda _, frame: frames.append(bytes(frame)), lambda _: None, max_frame_bytes=max_frame_bytes
    )
    transport = FakeTransport()
    protocol.connection_made(cast(asyncio.BaseTransport, transport))
    return protocol, transport


@given(st.lists(st.binary(max_size=300)), st.lists(st.integers(1, 64), min_size=1))
def test_any_cut_of_the_stream_gives_the_same_frames(payloads: list[bytes], cuts: list[int]) -> None:
    sender, transport = connected([])
    for payload in payloads:
        sender.send(payload)
    received: list[bytes] = []
    receiver, _ = connected(received)
    stream, turn = bytes(transport.written), 0
    while stream:
        size = cuts[turn % len(cuts)]
        receiver.data_received(stream[:size])
        stream, turn = stream[size:], turn + 1
    assert received == payloads


def test_nothing_is_handled_after_an_abort_not_even_what_had_arrived() -> None:
    received: list[bytes] = []

    def take(protocol: FrameProtocol, frame: memoryview) -> None:
        received.append(bytes(frame))
        protocol.abort()

    protocol = FrameProtocol(take, lambda _: None)
    protocol.connection_made(cast(asyncio.BaseTransport, FakeTransport()))
    sender, transport = connected([])
    for payload in (b"first", b"second", b"third"):
        sender.send(payload)
    protocol.data_received(bytes(transport.written))
    protocol.data_received(bytes(transport.written))
    assert received == [b"first"]


def test_a_frame_over_the_bound_ends_the_connection_and_nothing_after_it_is_read() -> None:
    received: list[bytes] = []
    protocol, transport = connected(received)
    protocol.data_received(b"\0\0\0\1a" + b"\0\0\x03\xe9" + b"x" * 50)
    protocol.data_received(b"x" * 5000)
    assert transport.aborted
    assert received == [b"a"]


def test_nothing_too_large_is_sent_and_nothing_at_all_when_closed() -> None:
    protocol, transport = connected([])
    with pytest.raises(FrameTooLarge):
        protocol.send(b"x" * 1001)
    transport.aborted = True
    with pytest.raises(ConnectionError):
        protocol.send(b"x")
