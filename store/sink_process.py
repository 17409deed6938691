"""Writes a journal's entries to PostgreSQL in a process of its own: `python -m store.sink_process SOCKET MEMORY`, which
are descriptors.

For a keeper that shares its process with the decisions: what a batch costs (its round trips, unpacking, hashing and
formatting of every record) would be the event loop's time there. It is asked through the socket that it is born with,
and gone when that ends: whoever asked is gone, and what was not committed PostgreSQL takes back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import msgspec

from store.frames import FrameProtocol
from store.pool import make_pool
from store.postgres_sink import PostgresSink
from store.sink_wire import (
    MOST_FRAME_BYTES,
    MOST_SAID,
    Answer,
    AskPosition,
    Begin,
    Done,
    Found,
    Line,
    Question,
    Said,
    SetAside,
    Write,
    failed,
)

# Decisions first: what is drained has been answered, or waits for PostgreSQL anyway.
_NICE: Final = 5
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Question).decode
_decode_lines = msgspec.msgpack.Decoder(list[Line]).decode


class _Log(logging.Handler):
    """Lines go where the keeper's go."""

    def __init__(self, link: FrameProtocol) -> None:
        super().__init__(logging.INFO)
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        if self._link.is_open:
            self._link.send(_encode(Said(record.levelno, record.getMessage()[:MOST_SAID])))


async def answer(sink: PostgresSink, question: Question, memory: int) -> Answer:
    """Every failure is an answer too."""
    try:
        match question:
            case AskPosition():
                return Found(await sink.position(question.journal_id))
            case Write():
                lines = _decode_lines(os.pread(memory, question.length_bytes, 0))
                return Done(await sink.write([line.entry() for line in lines]))
            case SetAside():
                await sink.set_aside(question.line.entry(), question.reason)
                return Done()
            case Begin():
                raise ValueError("it has begun already")
    except Exception as error:  # who asked says what becomes of it
        return failed(error)


async def serve(link_socket: socket.socket, memory: int) -> NoReturn:
    questions: asyncio.Queue[Question] = asyncio.Queue()
    _, link = await asyncio.get_running_loop().create_unix_connection(
        lambda: FrameProtocol(
            lambda _, frame: questions.put_nowait(_decode(frame)), _leave, max_frame_bytes=MOST_FRAME_BYTES
        ),
        sock=link_socket,
    )
    logging.basicConfig(level=logging.INFO, handlers=[_Log(link)])
    begin = await questions.get()
    if not isinstance(begin, Begin):
        raise ValueError("the first frame says where to write")
    pool = make_pool(begin.pool)
    await pool.open(wait=False)
    sink = PostgresSink(pool, begin.host_id)
    while True:
        link.send(_encode(await answer(sink, await questions.get(), memory)))


def _leave(_: FrameProtocol) -> NoReturn:
    """At once: a database that hangs must not keep it."""
    os._exit(0)


def main(arguments: Sequence[str]) -> None:
    os.nice(_NICE)
    # A signal to the whole group is not for this process: the keeper drains before it ends, and then this one does.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    link, memory = map(int, arguments)
    asyncio.run(serve(socket.socket(fileno=link), memory))


if __name__ == "__main__":
    main(sys.argv[1:])
