"""StreamEvents: the outbox as a stream that can be resumed.

Pull-based: the next page is read when the last one was taken, so a reader that is slow holds one page and nobody up.
A ring of the bell, or a look once a second, tells of news. While PostgreSQL is away heartbeats go on; nothing is
skipped, since a position moves only with what was read. If it stays away, or the service stops, the stream ends with
UNAVAILABLE and the client resumes from its last cursors.

Streams that ask the same at the same time share the answer, so that many at the journals' ends cost as much as one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import grpc
import structlog

from service.connections import EVENTS
from service.errors import RpcError, exhausted, invalid
from service.mapping.events import StreamRequest, heartbeat, stream_event, stream_request
from service.settings import Settings
from service.telemetry import Reading
from store.backoff import Backoff
from store.errors import StoreUnavailable
from store.outbox_bell import Bell, OutboxBell
from store.outbox_reader import BEGIN, JournalHead, OutboxReader, OutboxSource, Position
from store.own_connection import forget, leave, within
from store.pool import PoolSettings, make_pool

Answer = TypeVar("Answer")
Write: TypeAlias = Callable[[bytes], Awaitable[Any]]

# A client that was refused may find a place so much later.
RETRY_MS: Final = 1_000
HEARTBEAT: Final = heartbeat()

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Bounds of a worker's streams. `away_s`: how long heartbeats cover for a PostgreSQL that does not answer."""

    most_streams: int = 32
    page_rows: int = 64
    poll_s: float = 1.0
    away_s: float = 30.0
    answer_within_s: float = 5.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.05, last_s=1.0))


class EventStreams:
    """All streams of one worker. Belongs to one event loop."""

    def __init__(
        self,
        source: OutboxSource,
        bell: Bell,
        settings: StreamSettings | None = None,
        *,
        listen: Callable[[], None] = lambda: None,
        close: Callable[[], Awaitable[None]] | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        """`listen` is called before each stream: a worker without any needs no connection."""
        self.source = source
        self.bell = bell
        self.settings = settings or StreamSettings()
        self.clock_s = clock_s
        self.uniform = uniform
        self._listen = listen
        self._close = close
        self.stopping = asyncio.Event()
        self._asked: dict[Hashable, asyncio.Task[Any]] = {}
        self.open = 0
        self.sent = 0

    async def stream(self, data: bytes, write: Write) -> None:
        """One call, until the client leaves (cancelled) or RpcError."""
        request = stream_request(data)
        if isinstance(request, list):
            raise invalid(request)
        if self.stopping.is_set():
            raise stopped()
        if self.open >= self.settings.most_streams:
            raise exhausted(f"{self.settings.most_streams} event streams are open on this worker", RETRY_MS)
        self.open += 1
        try:
            self._listen()
            await _Stream(self, request, write).run()
        finally:
            self.open -= 1

    def ask(self, key: Hashable, question: Callable[[], Coroutine[Any, Any, Answer]]) -> asyncio.Future[Answer]:
        """The answer of PostgreSQL, or that of whoever is asking the same right now. A key must tell how new the
        answer has to be: who waits for an older question would miss what came since."""
        task = self._asked.get(key)
        if task is None:
            task = asyncio.ensure_future(within(self.settings.answer_within_s, question()))
            self._asked[key] = task
            task.add_done_callback(partial(self._answered, key))
        return asyncio.shield(task)

    def _answered(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._asked[key]
        forget(task)

    def stop(self) -> None:
        """Every stream ends with UNAVAILABLE, as soon as its reader takes what is under way."""
        self.stopping.set()

    async def close(self) -> None:
        self.stop()
        if self._close is not None:
            await self._close()

    def readings(self) -> tuple[Reading, ...]:
        """For telemetry."""
        return (
            Reading("ess.events.streams", "gauge", "{stream}", "StreamEvents calls that are open.",
                    lambda: float(self.open)),
            Reading("ess.events.sent", "counter", "{event}", "Events sent on StreamEvents.",
                    lambda: float(self.sent)),
        )  # fmt: skip


class _Stream:
    """One reader: its positions, and when the next heartbeat is due."""

    def __init__(self, streams: EventStreams, request: StreamRequest, write: Write) -> None:
        self._streams = streams
        self._request = request
        self._write = write
        self._positions = {
            name: Position.after_all_of(sequence) for name, sequence in request.resume_after.items()
        }
        self._beat_at_s = streams.clock_s() + request.heartbeat_s

    async def run(self) -> None:
        heads = await self._heads(self._streams.bell.rings)
        if self._request.from_now:
            for name, head in heads.items():
                self._positions.setdefault(name, Position.after_all_of(head.drained_sequence))
        # The stream stands: whoever asked for what comes from now on knows when that is.
        await self._send(HEARTBEAT)
        while True:
            rings = self._streams.bell.rings
            heads = await self._heads(rings)
            while await self._pages(heads):
                self._end_if_stopping()
            await self._wait_for(self._streams.bell.wait(rings, self._streams.settings.poll_s))

    async def _heads(self, rings: int) -> Mapping[str, JournalHead]:
        """As new as the last ring."""
        return await self._ask(("journals", rings), self._streams.source.journals)

    async def _pages(self, heads: Mapping[str, JournalHead]) -> bool:
        """At most one page of each journal that has news; whether a full one says that there is more."""
        more = False
        for name, head in heads.items():
            if self._positions.get(name, BEGIN) < Position.after_all_of(head.drained_sequence):
                more |= await self._page(name, head.drained_sequence)
        return more

    async def _page(self, journal_id: str, drained_sequence: int) -> bool:
        source, limit = self._streams.source, self._streams.settings.page_rows
        position = self._positions.get(journal_id, BEGIN)
        # Asked by somebody who saw `drained_sequence`, so everything up to it is there.
        key = (journal_id, position, drained_sequence)
        page = await self._ask(key, partial(source.page, journal_id, position, limit))
        for row in page:
            await self._send(stream_event(row.event_id, row.payload, journal_id, row.cursor_sequence))
            self._streams.sent += 1
            self._positions[journal_id] = row.position
        if len(page) == limit:
            return True
        # The rest up to there told nothing.
        last = self._positions.get(journal_id, BEGIN)
        self._positions[journal_id] = max(last, Position.after_all_of(drained_sequence))
        return False

    async def _send(self, data: bytes) -> None:
        await self._write(data)
        self._beat_at_s = self._streams.clock_s() + self._request.heartbeat_s

    async def _ask(self, key: Hashable, question: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """The answer of PostgreSQL, with heartbeats while it does not come."""
        settings = self._streams.settings
        give_up_s, failures = self._streams.clock_s() + settings.away_s, 0
        while True:
            try:
                return await self._wait_for(self._streams.ask(key, question))
            except StoreUnavailable as error:
                failures += 1
                log.info("an event stream waits for PostgreSQL", reason=str(error))
            pause_s = settings.backoff.delay_s(failures, self._streams.uniform())
            if self._streams.clock_s() + pause_s >= give_up_s:
                raise RpcError(grpc.StatusCode.UNAVAILABLE, "PostgreSQL stays away; resume from the last cursors")
            await self._wait_for(asyncio.sleep(pause_s))

    async def _wait_for(self, awaited: Awaitable[Answer]) -> Answer:
        """Its result; meanwhile heartbeats, and the end where the service stops."""
        clock_s = self._streams.clock_s
        task: asyncio.Future[Any] = asyncio.ensure_future(awaited)
        stop: asyncio.Future[Any] = asyncio.ensure_future(self._streams.stopping.wait())
        try:
            while True:
                timeout_s = max(0.0, self._beat_at_s - clock_s())
                await asyncio.wait((task, stop), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
                self._end_if_stopping()
                if task.done():
                    answer: Answer = task.result()
                    return answer
                if clock_s() >= self._beat_at_s:
                    await self._send(HEARTBEAT)
        finally:
            stop.cancel()
            if not task.done():
                leave(task)

    def _end_if_stopping(self) -> None:
        if self._streams.stopping.is_set():
            raise stopped()


def stopped() -> RpcError:
    return RpcError(grpc.StatusCode.UNAVAILABLE, "the service stops; resume from the last cursors")


async def open_event_streams(settings: Settings, pool_settings: PoolSettings) -> EventStreams:
    """Over connections of their own, so that streams take none of the decisions'; the first stream opens them. They
    are short of patience, since heartbeats cover for it."""
    own = replace(
        pool_settings, min_size=0, max_size=EVENTS, max_waiting=max(64, settings.max_event_streams),
        acquire_timeout_s=2.0, statement_timeout_s=5.0, writes=False,
        application_name="ess-events",
    )  # fmt: skip
    pool, bell = make_pool(own), OutboxBell(own)
    await pool.open(wait=False)

    async def close() -> None:
        await bell.stop()
        await pool.close(timeout=1.0)

    bounds = StreamSettings(most_streams=settings.max_event_streams)
    return EventStreams(OutboxReader(pool), bell, bounds, listen=bell.start, close=close)
