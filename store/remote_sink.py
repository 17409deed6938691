"""The way into PostgreSQL through a process of its own (`store.sink_process`), which is begun when it is needed, and
anew when it died or did not answer in time."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from store.drain_sink import DrainPosition
from store.errors import StoreUnavailable
from store.frames import FrameProtocol
from store.journal.port import Entry
from store.pool import PoolSettings
from store.selection_rows import OrderOwner
from store.sink_wire import (
    MOST_FRAME_BYTES,
    Answer,
    AskPosition,
    Begin,
    Done,
    Failed,
    Found,
    Line,
    Question,
    Said,
    SetAside,
    Write,
    error_of,
)

_PROGRAM: Final = "store.sink_process"
_ENDS_WITHIN_S: Final = 2.0
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answer).decode

_log = logging.getLogger(__name__)


class RemoteSink:
    """See DrainSink. Belongs to one event loop; asked one thing at a time. A question that is given up ends the
    process: what became of it, PostgreSQL says when it is asked for the position."""

    def __init__(self, pool: PoolSettings, host_id: str) -> None:
        self._begin = Begin(pool, host_id)
        self._journal_id = ""
        self._process: asyncio.subprocess.Process | None = None
        self._link: FrameProtocol | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._memory = -1  # where a batch lies

    @property
    def process_id(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def is_open(self) -> bool:
        return self._link is not None and self._link.is_open

    async def position(self, journal_id: str) -> DrainPosition:
        answer = await self._ask(AskPosition(journal_id))
        assert isinstance(answer, Found)
        self._journal_id = journal_id
        return answer.position

    async def write(self, entries: Sequence[Entry]) -> dict[str, OrderOwner]:
        await self._be_ready()
        answer = await self._ask(Write(self._put([Line.of(entry) for entry in entries])))
        assert isinstance(answer, Done)
        return dict(answer.owners)

    async def set_aside(self, entry: Entry, reason: str) -> None:
        await self._be_ready()
        await self._ask(SetAside(Line.of(entry), reason))

    async def ended(self) -> None:
        """Until the process is gone."""
        if self._process is not None:
            await self._process.wait()

    async def close(self) -> None:
        """Ends the process; may be called twice."""
        await self._end()
        memory, self._memory = self._memory, -1
        if memory >= 0:
            os.close(memory)

    def _put(self, lines: list[Line]) -> int:
        """Into the memory, which the process reads from before it answers; how many bytes."""
        data = memoryview(_encode(lines))
        done = 0
        while done < len(data):
            done += os.pwrite(self._memory, data[done:], done)
        return len(data)

    async def _end(self) -> None:
        link, self._link = self._link, None
        process, self._process = self._process, None
        if link is not None:
            link.close()
        if process is not None:
            try:
                async with asyncio.timeout(_ENDS_WITHIN_S):
                    await process.wait()
            except TimeoutError:
                _kill(process)
                await process.wait()

    async def _be_ready(self) -> None:
        """A process that died while nobody asked is no reason for an attempt to fail."""
        if self._journal_id and not self.is_open:
            await self.position(self._journal_id)

    async def _ask(self, question: Question) -> Answer:
        link = self._link
        if link is None or not link.is_open:
            link = await self._start()
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        try:
            link.send(_encode(question))
            answer = await waiting
        except ConnectionError as error:
            raise StoreUnavailable("the process that writes to PostgreSQL has ended") from error
        except asyncio.CancelledError:
            self._end_at_once()
            raise
        finally:
            self._waiting = None
        if isinstance(answer, Failed):
            raise error_of(answer)
        return answer

    async def _start(self) -> FrameProtocol:
        await self._end()
        if self._memory < 0:
            self._memory = os.memfd_create("ess-batch")
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", _PROGRAM, str(theirs.fileno()), str(self._memory),
                pass_fds=(theirs.fileno(), self._memory), stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            _, link = await asyncio.get_running_loop().create_unix_connection(
                lambda: FrameProtocol(self._arrived, self._closed, max_frame_bytes=MOST_FRAME_BYTES), sock=ours
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        link.send(_encode(self._begin))
        self._link = link
        return link

    def _arrived(self, link: FrameProtocol, frame: memoryview) -> None:
        answer = _decode(frame)
        if isinstance(answer, Said):
            _log.log(answer.level, "%s", answer.text)
        elif link is self._link and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)

    def _closed(self, link: FrameProtocol) -> None:
        if link is self._link and self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(StoreUnavailable("the process that writes to PostgreSQL ended"))

    def _end_at_once(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.abort()
        if self._process is not None:
            _kill(self._process)


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
