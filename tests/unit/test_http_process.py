"""How the HTTP process listens."""

from __future__ import annotations

import asyncio
import socket

from service.http.one_write import GatheredWrites
from service.http.process import listen
from service.ports import Address


def test_answers_are_not_held_back_for_an_acknowledgement() -> None:
    """An answer leaves in two writes; with Nagle's algorithm the second would wait 40 ms."""
    (listening,) = listen(Address.parse("127.0.0.1:0"))
    with listening, socket.create_connection(listening.getsockname()):
        listening.setblocking(True)
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


class Written(asyncio.Transport):
    """Keeps what is written to it, and when it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed_after = -1

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed_after >= 0

    def close(self) -> None:
        self.closed_after = len(self.pieces)


async def test_head_and_body_leave_in_one_piece_and_before_the_end() -> None:
    under = Written()
    transport = GatheredWrites(under, asyncio.get_running_loop())
    transport.write(b"head ")
    transport.write(b"body")
    assert under.pieces == []
    await asyncio.sleep(0)
    assert under.pieces == [b"head body"]
    transport.write(b"last")
    transport.close()
    assert under.pieces == [b"head body", b"last"]
    assert under.closed_after == 2
    await asyncio.sleep(0)
    assert len(under.pieces) == 2, "nothing is written twice, and nothing after the end"
    assert transport.is_closing(), "the rest is the transport's own"
