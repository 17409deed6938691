"""A TCP proxy that misbehaves on demand, before PostgreSQL, NATS or anything else that speaks over a socket.

    async with FaultProxy(postgres_upstream(conninfo)) as proxy:
        ... proxy.through(conninfo) ...
        proxy.set(Faults(delay_down_s=0.5))          # an answer takes half a second longer
        proxy.lose_commits(Commit.ANSWER_LOST)       # the server commits, and nobody hears of it
        proxy.cut(reset=True)                        # every connection ends with RST

`ThreadedProxy` is the same on a loop and thread of its own, for programs that have none.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TypeAlias, TypeVar
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.fault.pg_watch import BackendWatch, FrontendWatch

_CHUNK_BYTES = 65_536
# In flight one way; with a delay of half a second this still passes 30 MB/s.
_CHUNKS_IN_FLIGHT = 256

Upstream: TypeAlias = tuple[str, int] | Path
Found = TypeVar("Found")


class Commit(StrEnum):
    """Where a transaction is cut: before the server hears of the COMMIT, or after it has carried it out."""

    NEVER_SENT = "NEVER_SENT"
    ANSWER_LOST = "ANSWER_LOST"


@dataclass(frozen=True, slots=True)
class Faults:
    """What is done to every connection from now on. The default passes everything.

    `stalls`: nothing passes until it is taken back, and then everything does, in order (a partition that TCP survives).
    `half_open`: connections are taken and what comes is swallowed; those that met it stay dead when it is taken back.
    `refuses`: connections are taken and reset at once, before a byte.
    """

    delay_up_s: float = 0.0
    delay_down_s: float = 0.0
    bytes_per_s: float | None = None
    stalls: bool = False
    half_open: bool = False
    refuses: bool = False


PASS = Faults()


@dataclass(slots=True)
class ProxyCounts:
    connections: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    cut: int = 0
    commits_cut: int = 0


class FaultProxy:
    """Belongs to one event loop."""

    def __init__(self, upstream: Upstream, faults: Faults = PASS) -> None:
        self.upstream = upstream
        self.counts = ProxyCounts()
        self._faults = faults
        self._may_pass = asyncio.Event()
        self._commit: Commit | None = None
        self._commits_left = 0
        self._answer_pattern: bytes | None = None
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self.set(faults)

    async def __aenter__(self) -> FaultProxy:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut(reset=True)
        await asyncio.gather(*(link.ended() for link in tuple(self._links)))
        if self._server is not None:
            await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None, "the proxy was not started"
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def faults(self) -> Faults:
        return self._faults

    @property
    def links(self) -> int:
        return len(self._links)

    def set(self, faults: Faults) -> None:
        self._faults = faults
        (self._may_pass.clear if faults.stalls else self._may_pass.set)()
        if faults.half_open:
            for link in self._links:
                link.is_dead = True

    def cut(self, reset: bool = True) -> int:
        """Ends every connection, by RST or by FIN; how many there were."""
        links = tuple(self._links)
        for link in links:
            link.cut(reset)
        self.counts.cut += len(links)
        return len(links)

    def lose_commits(self, where: Commit, times: int = 1) -> None:
        """The next COMMITs of PostgreSQL's clients are cut there."""
        self._commit, self._commits_left = where, times

    def cut_at_answer(self, pattern: bytes) -> None:
        """The next answer that holds these bytes is not passed on: its connection is reset (NATS: b'"seq":')."""
        self._answer_pattern = pattern

    def through(self, conninfo: str) -> str:
        """A conninfo of the server as it is reached through this proxy."""
        return make_conninfo(
            conninfo, host="127.0.0.1", port=self.port, sslmode="disable", gssencmode="disable"
        )

    def url_through(self, conninfo: str) -> str:
        """The same as a URL."""
        parts = conninfo_to_dict(conninfo)
        user, name = quote(str(parts.get("user", ""))), quote(str(parts.get("dbname", "")))
        return f"postgresql://{user}@127.0.0.1:{self.port}/{name}?sslmode=disable&gssencmode=disable"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts.connections += 1
        if self._faults.refuses:
            _reset(writer)
            return
        link = _Link(self, reader, writer)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    def _is_cut_up(self, saw_commit: bool) -> bool:
        if saw_commit and self._commit is Commit.NEVER_SENT:
            return self._use_commit()
        return False

    def _is_cut_down(self, saw_commit: bool, data: bytes) -> bool:
        if self._answer_pattern is not None and self._answer_pattern in data:
            self._answer_pattern = None
            return True
        if saw_commit and self._commit is Commit.ANSWER_LOST:
            return self._use_commit()
        return False

    def _use_commit(self) -> bool:
        self._commits_left -= 1
        self.counts.commits_cut += 1
        if self._commits_left <= 0:
            self._commit = None
        return True


class _Link:
    """One connection of a client and its counterpart at the server."""

    def __init__(
        self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._reader, self._writer = reader, writer
        self._server_writer: asyncio.StreamWriter | None = None
        self._frontend, self._backend = FrontendWatch(), BackendWatch()
        self._tasks: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()
        self.is_dead = proxy.faults.half_open

    async def run(self) -> None:
        try:
            if self.is_dead:
                await self._swallow()
                return
            server_reader, self._server_writer = await _connect(self._proxy.upstream)
            up: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_IN_FLIGHT)
            down: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_IN_FLIGHT)
            pumps = (
                self._take(self._reader, up, self._sees_up, lambda: self._proxy.faults.delay_up_s),
                self._give(up, self._server_writer),
                self._take(server_reader, down, self._sees_down, lambda: self._proxy.faults.delay_down_s),
                self._give(down, self._writer),
            )
            self._tasks = [asyncio.ensure_future(pump) for pump in pumps]
            # A give ends when its side has passed everything and the end; then the other side is of no use either.
            await asyncio.wait((self._tasks[1], self._tasks[3]), return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            _reset(self._writer)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.cut(reset=False)
            self._ended.set()

    async def ended(self) -> None:
        await self._ended.wait()

    def cut(self, reset: bool) -> None:
        for writer in (self._writer, self._server_writer):
            if writer is not None:
                (_reset if reset else _finish)(writer)

    async def _swallow(self) -> None:
        with contextlib.suppress(OSError):
            while await self._reader.read(_CHUNK_BYTES):
                pass

    async def _take(
        self,
        reader: asyncio.StreamReader,
        queue: asyncio.Queue[tuple[float, bytes]],
        is_cut: Callable[[bytes], bool],
        delay_s: Callable[[], float],
    ) -> None:
        """Reads at once and stamps each piece with when it is due, so that a delay costs no throughput."""
        time_s = asyncio.get_running_loop().time
        data = b"-"
        while data:
            try:
                data = await reader.read(_CHUNK_BYTES)
            except OSError:
                data = b""
            if data and is_cut(data):
                self.cut(reset=True)
                self._proxy.counts.cut += 1
                data = b""
            if not self.is_dead:
                await queue.put((time_s() + delay_s(), data))
            elif not data:
                # A dead connection keeps its silence until the client itself gives up.
                if reader is self._reader:
                    self.cut(reset=False)
                    await queue.put((0.0, b""))
                return

    async def _give(self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s, data = await queue.get()
            if due_s > loop.time():
                await asyncio.sleep(due_s - loop.time())
            await self._proxy._may_pass.wait()
            if not data:
                return
            if self.is_dead:
                continue
            if self._proxy.faults.bytes_per_s is not None:
                await asyncio.sleep(len(data) / self._proxy.faults.bytes_per_s)
            writer.write(data)
            try:
                await writer.drain()
            except OSError:
                return

    def _sees_up(self, data: bytes) -> bool:
        self._proxy.counts.bytes_up += len(data)
        return self._proxy._is_cut_up(self._frontend.feed(data))

    def _sees_down(self, data: bytes) -> bool:
        self._proxy.counts.bytes_down += len(data)
        return self._proxy._is_cut_down(self._backend.feed(data, self._frontend), data)


async def _connect(upstream: Upstream) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(upstream, Path):
        return await asyncio.open_unix_connection(str(upstream))
    return await asyncio.open_connection(*upstream)


def _finish(writer: asyncio.StreamWriter) -> None:
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    held: socket.socket | None = writer.get_extra_info("socket")
    if held is not None and held.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # closed already
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def postgres_upstream(conninfo: str) -> Upstream:
    """Where the server of a conninfo listens; the embedded one has a Unix socket only."""
    parts = conninfo_to_dict(conninfo)
    host, port = str(parts["host"]), int(parts.get("port") or 5432)
    return Path(host) / f".s.PGSQL.{port}" if host.startswith("/") else (host, port)


class ThreadedProxy:
    """A FaultProxy on a loop of its own. Every method may be called from any thread."""

    def __init__(self, upstream: Upstream) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._upstream = upstream
        self._proxy: FaultProxy | None = None

    def __enter__(self) -> ThreadedProxy:
        self._thread.start()

        async def begin() -> FaultProxy:
            proxy = FaultProxy(self._upstream)
            await proxy.start()
            return proxy

        self._proxy = asyncio.run_coroutine_threadsafe(begin(), self._loop).result(10.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self.proxy.close(), self._loop).result(10.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10.0)
        self._loop.close()

    @property
    def proxy(self) -> FaultProxy:
        assert self._proxy is not None, "the proxy was not started"
        return self._proxy

    @property
    def counts(self) -> ProxyCounts:
        return self.proxy.counts

    def set(self, faults: Faults) -> None:
        self._do(lambda: self.proxy.set(faults))

    def cut(self, reset: bool = True) -> int:
        return self._do(lambda: self.proxy.cut(reset))

    def lose_commits(self, where: Commit, times: int = 1) -> None:
        self._do(lambda: self.proxy.lose_commits(where, times))

    def cut_at_answer(self, pattern: bytes) -> None:
        self._do(lambda: self.proxy.cut_at_answer(pattern))

    def _do(self, action: Callable[[], Found]) -> Found:
        async def act() -> Found:
            return action()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(10.0)
