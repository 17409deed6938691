"""How the HTTP process listens."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from service.http.one_write import GatheredWrites, OneWriteProtocol
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


class Hasty(OneWriteProtocol):
    """Waits for a request as long as a test can."""

    request_within_s = 0.3


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the request's body, a while after it came."""
    body, more = b"", True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        body, more = body + event["body"], event.get("more_body", False)
    if body == b"slow":
        await asyncio.sleep(2 * Hasty.request_within_s)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Of a server that answers with what it is sent."""
    server = uvicorn.Server(uvicorn.Config(echo, http=Hasty, ws="none", lifespan="off", log_config=None))
    (listening,) = listen(Address.parse("127.0.0.1:0"))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    yield int(listening.getsockname()[1])
    server.should_exit = True
    await task


async def sent(port: int, *pieces: bytes, pause_s: float = 0.0) -> tuple[bytes, float]:
    """Everything that came until the server closed, and after how many seconds it did (the client never does)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun_s = asyncio.get_running_loop().time()
    got = asyncio.create_task(reader.read())
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause_s)
    try:
        async with asyncio.timeout(10.0):
            answer = await got
    finally:
        writer.transport.abort()
    return answer, asyncio.get_running_loop().time() - begun_s


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"


@pytest.mark.parametrize(
    ("pieces", "pause_s"),
    [
        pytest.param((), 0.0, id="not a byte"),
        pytest.param((HEAD,), 0.0, id="half a head"),
        pytest.param((HEAD + b"\r\nbo",), 0.0, id="half a body"),
        pytest.param((HEAD, *(b"X: y\r\n" for _ in range(20))), 0.1, id="a head that never ends"),
    ],
)
async def test_a_connection_on_which_no_whole_request_comes_is_closed(
    port: int, pieces: tuple[bytes, ...], pause_s: float
) -> None:
    answer, seconds = await sent(port, *pieces, pause_s=pause_s)
    assert answer == b""
    assert Hasty.request_within_s * 0.9 < seconds < 5.0


async def test_answers_take_the_time_that_they_take_and_connections_are_used_again(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"\r\nslow")
    answer = await reader.readuntil(b"slow")
    for piece in (b"\r\n", HEAD, b"\r\nbo", b"dy", HEAD):
        writer.write(piece)
        await asyncio.sleep(0.05)
    async with asyncio.timeout(10.0):
        answer += await reader.read()
    writer.close()
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(b"body")
