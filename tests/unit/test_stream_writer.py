"""Writes that are driven without a task: one at a time, begun at once, ended in order."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from service.stream_writer import StreamWriter


class Peer:
    """Takes messages, each when `gate` lets it."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.taken: list[bytes] = []
        self.waiting: deque[bytes] = deque()
        self.gate = asyncio.Event()
        self.cancelled = 0
        self.error: Exception | None = None

    async def write(self, data: bytes) -> None:
        self.begun.append(data)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        self.taken.append(data)

    def take(self) -> bytes | None:
        return self.waiting.popleft() if self.waiting else None


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_write_begins_in_the_turn_that_brings_it_and_the_next_after_it() -> None:
    peer = Peer()
    writer = StreamWriter(peer.write, peer.take)
    peer.waiting.append(b"1")
    writer.wake()
    assert peer.begun == [b"1"]
    peer.waiting.extend((b"2", b"3"))
    writer.wake()
    assert peer.begun == [b"1"]  # one at a time
    idle = asyncio.ensure_future(writer.idle())
    await settled()
    assert not idle.done()
    peer.gate.set()
    await asyncio.wait_for(idle, 5)
    assert peer.taken == [b"1", b"2", b"3"]
    peer.waiting.append(b"4")
    writer.wake()
    await asyncio.wait_for(writer.idle(), 5)
    assert peer.taken[-1] == b"4"
    writer.close()


@pytest.mark.parametrize("is_open", [False, True])
async def test_a_write_that_fails_is_told_and_nothing_is_written_after_it(is_open: bool) -> None:
    peer = Peer()
    peer.error = ConnectionError("gone")
    if is_open:
        peer.gate.set()
    writer = StreamWriter(peer.write, peer.take)
    peer.waiting.extend((b"1", b"2"))
    writer.wake()
    peer.gate.set()
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(asyncio.shield(writer.broken), 5)
    writer.wake()
    await settled()
    assert peer.begun == [b"1"]
    writer.close()


async def test_closing_cancels_what_is_being_written() -> None:
    peer = Peer()
    writer = StreamWriter(peer.write, peer.take)
    peer.waiting.extend((b"1", b"2"))
    writer.wake()
    writer.close()
    writer.close()
    assert peer.cancelled == 1
    peer.gate.set()
    await settled()
    assert peer.begun == [b"1"]
    assert peer.taken == []
