"""StreamEvents over a real PostgreSQL, as the call's handler: cursors, news, outages, bounds, and the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import psycopg
import pytest
from execution_strategy.v1 import events_pb2

from service.errors import RpcError
from service.event_stream import EventStreams, StreamSettings
from store.backoff import Backoff
from store.errors import StoreUnavailable
from store.outbox_bell import LocalBell, OutboxBell
from store.outbox_reader import BEGIN, JournalHead, OutboxReader, OutboxRow, Position
from store.pool import PoolSettings, make_pool
from tests.conftest import Eventually
from tests.helpers.outbox import Written, event, write

SETTINGS = StreamSettings(poll_s=0.2, page_rows=5, backoff=Backoff(0.02, 0.1))


@asynccontextmanager
async def streams_on(conninfo: str, settings: StreamSettings = SETTINGS) -> AsyncIterator[EventStreams]:
    pool_settings = PoolSettings(conninfo, min_size=0, acquire_timeout_s=0.5, application_name="ess-events")
    pool, bell = make_pool(pool_settings), OutboxBell(pool_settings)
    await pool.open(wait=False)
    streams = EventStreams(OutboxReader(pool), bell, settings, listen=bell.start)
    try:
        yield streams
    finally:
        streams.stop()
        await bell.stop()
        await pool.close(timeout=1.0)


@dataclass
class Reader:
    """A call in flight and what it got."""

    call: asyncio.Task[None]
    got: list[events_pb2.ExecutionStrategyEvent]

    @property
    def events(self) -> list[events_pb2.ExecutionStrategyEvent]:
        return [e for e in self.got if e.WhichOneof("payload") != "heartbeat"]

    @property
    def ids(self) -> list[str]:
        return [e.event_id for e in self.events]

    @property
    def heartbeats(self) -> int:
        return len(self.got) - len(self.events)

    async def leave(self) -> None:
        self.call.cancel()
        with suppress(asyncio.CancelledError):
            await self.call

    async def status(self, within_s: float = 10.0) -> grpc.StatusCode:
        with pytest.raises(RpcError) as caught:
            async with asyncio.timeout(within_s):
                await self.call
        return caught.value.code


def read(
    streams: EventStreams,
    cursors: dict[str, int] | None = None,
    *,
    write: Callable[[bytes], Awaitable[Any]] | None = None,
    **fields: Any,
) -> Reader:
    request = events_pb2.StreamEventsRequest(**fields)
    for journal_id, sequence in (cursors or {}).items():
        request.resume_after.add(journal_id=journal_id, sequence=sequence)
    got: list[events_pb2.ExecutionStrategyEvent] = []

    async def take(data: bytes) -> None:
        if write is not None:
            await write(data)
        got.append(events_pb2.ExecutionStrategyEvent.FromString(data))

    return Reader(asyncio.ensure_future(streams.stream(request.SerializeToString(), take)), got)


def ids(events: Sequence[Written]) -> list[str]:
    return [e.event_id for e in events]


def has(reader: Reader, events: int, heartbeats: int = 0) -> Callable[[], bool]:
    return lambda: len(reader.events) >= events and reader.heartbeats >= heartbeats


async def test_every_event_comes_in_the_order_of_its_journal_with_its_cursor(
    database: str, eventually: Eventually
) -> None:
    # The fifth is the first part of a sequence, and the last of a page.
    events = [event(f"o{i}", 2 * i) for i in range(1, 5)]
    events += [event("x", 10, 0), event("x", 10, 1)]
    events += [event("y", 12), event("y", 13, 0), event("y", 13, 1), event("y", 13, 2)]
    write(database, "j1", events, drained=20)
    async with streams_on(database) as streams:
        reader = read(streams)
        await eventually(has(reader, len(events)))
        assert reader.ids == ids(events)
        cursors = [(e.cursor.journal_id, e.cursor.sequence) for e in reader.events]
        assert cursors == [("j1", s) for s in (2, 4, 6, 8, 9, 10, 12, 12, 12, 13)]
        assert reader.events[0].execution_outcome_reported.order_id == "o1"
        await reader.leave()


async def test_a_resumed_stream_has_exactly_what_was_not_seen(database: str, eventually: Eventually) -> None:
    events = [event(f"o{i}", i) for i in range(1, 15)]
    write(database, "j1", events)
    write(database, "j2", others := [event("p", 3), event("p", 4)])
    async with streams_on(database) as streams:
        for seen in (0, 1, 5, 13, 14):
            reader = read(streams, {"j1": seen, "j2": 3})
            wanted = ids(events[seen:]) + ids(others[1:])
            await eventually(has(reader, len(wanted), heartbeats=1))
            assert sorted(reader.ids) == sorted(wanted)
            await reader.leave()


async def test_a_resumed_stream_repeats_a_sequence_only_where_parts_of_it_were_not_seen(
    database: str, eventually: Eventually
) -> None:
    events = [event("a", 1), event("a", 2, 0), event("a", 2, 1), event("a", 3)]
    write(database, "j1", events)
    async with streams_on(database) as streams:
        first = read(streams)
        await eventually(has(first, 4))
        cursors = [e.cursor.sequence for e in first.events]
        await first.leave()
        for seen, rest in ((1, events[1:]), (2, events[1:]), (3, events[3:]), (4, [])):
            again = read(streams, {"j1": cursors[seen - 1]})
            await eventually(has(again, len(rest), heartbeats=1))
            assert again.ids == ids(rest)
            await again.leave()


async def test_from_now_skips_what_was_and_misses_nothing_after_the_first_heartbeat(
    database: str, eventually: Eventually
) -> None:
    write(database, "j1", [event("a", 1), event("a", 2)])
    write(database, "j2", old := [event("b", 1), event("b", 2)])
    async with streams_on(database) as streams:
        reader = read(streams, {"j2": 1}, from_now=True)
        await eventually(lambda: reader.heartbeats == 1)
        write(database, "j1", new := [event("a", 3)])
        write(database, "j3", late := [event("c", 1)])  # a host that was not there yet
        wanted = ids(old[1:] + new + late)
        await eventually(has(reader, 3))
        assert sorted(reader.ids) == sorted(wanted)
        await reader.leave()


async def test_news_come_by_the_bell_and_not_by_looking(database: str, eventually: Eventually) -> None:
    async with streams_on(database, replace(SETTINGS, poll_s=60.0)) as streams:
        reader = read(streams)
        await eventually(lambda: reader.heartbeats == 1 and streams.bell.rings > 0)
        begun_s = time.monotonic()
        for sequence in range(1, 6):
            write(database, "j1", [event("a", sequence)])
            await eventually(has(reader, sequence))
        assert time.monotonic() - begun_s < 5.0
        await reader.leave()


async def test_lost_connections_skip_and_repeat_nothing(database: str, eventually: Eventually) -> None:
    events = [event(f"o{i}", i) for i in range(1, 61)]
    async with streams_on(database) as streams:
        reader = read(streams)
        for begin in range(0, 60, 12):
            write(database, "j1", events[begin : begin + 12])
            await eventually(has(reader, begin + 1))
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name LIKE 'ess-events%'"
                )
        await eventually(has(reader, 60))
        assert reader.ids == ids(events)
        await reader.leave()


@dataclass
class FakeSource:
    """One journal; counts what it is asked."""

    rows: list[OutboxRow] = field(default_factory=list)
    is_away: bool = False
    journal_questions: int = 0
    pages: list[Position] = field(default_factory=list)

    async def journals(self) -> dict[str, JournalHead]:
        self.journal_questions += 1
        await asyncio.sleep(0.01)
        if self.is_away:
            raise StoreUnavailable("away")
        return {"j1": JournalHead("host-a", self.rows[-1].sequence)} if self.rows else {}

    async def page(self, journal_id: str, after: Position, limit: int) -> tuple[OutboxRow, ...]:
        self.pages.append(after)
        await asyncio.sleep(0.01)
        return tuple(self.rows[after.sequence : after.sequence + limit])  # one part each

    def add(self, count: int) -> None:
        begin = len(self.rows) + 1
        for sequence in range(begin, begin + count):
            written = event("o", sequence)
            self.rows.append(
                OutboxRow(written.event_id, "k", "o", written.payload, 0, "j1", sequence, 0, b"", True)
            )


async def test_a_slow_reader_holds_one_page_and_nobody_up(eventually: Eventually) -> None:
    source = FakeSource()
    source.add(100)
    streams = EventStreams(source, LocalBell(), SETTINGS)
    may_take, offered = asyncio.Event(), 0

    async def slowly(_data: bytes) -> None:
        nonlocal offered
        offered += 1
        if offered > 3:
            await may_take.wait()

    slow = read(streams, write=slowly)
    await eventually(lambda: offered == 4)
    assert len(slow.events) == 2
    assert source.pages == [BEGIN]
    fast = read(streams)
    await eventually(has(fast, 100))
    assert offered == 4
    may_take.set()
    await eventually(has(slow, 100))
    assert slow.ids == fast.ids == [row.event_id for row in source.rows]
    await slow.leave()
    await fast.leave()


async def test_many_at_the_end_of_a_journal_ask_as_much_as_one(eventually: Eventually) -> None:
    source, bell = FakeSource(), LocalBell()
    streams = EventStreams(source, bell, replace(SETTINGS, poll_s=60.0))
    readers = [read(streams) for _ in range(32)]
    await eventually(lambda: all(reader.heartbeats == 1 for reader in readers))
    for count in range(1, 4):
        source.add(1)
        bell.ring()
        for reader in readers:
            await eventually(has(reader, count))
    # Two at the start (some may come late for the first answer), and one a ring.
    assert source.journal_questions <= 8
    assert len(source.pages) == 3
    streams.stop()
    assert {await reader.status() for reader in readers} == {grpc.StatusCode.UNAVAILABLE}


async def test_heartbeats_cover_for_a_database_that_is_away_and_end_when_it_stays_so(
    eventually: Eventually,
) -> None:
    source = FakeSource()
    source.add(3)
    streams = EventStreams(source, LocalBell(), replace(SETTINGS, away_s=3.0))
    reader = read(streams, heartbeat_seconds=1)
    await eventually(has(reader, 3))
    source.is_away = True
    before = reader.heartbeats
    await eventually(lambda: reader.heartbeats > before)
    source.add(3)
    source.is_away = False
    await eventually(has(reader, 6))
    assert reader.ids == [row.event_id for row in source.rows]
    source.is_away = True
    begun_s, before = time.monotonic(), reader.heartbeats
    assert await reader.status() is grpc.StatusCode.UNAVAILABLE
    assert 2.0 < time.monotonic() - begun_s < 6.0
    assert reader.heartbeats > before
    assert streams.open == 0


async def test_more_streams_than_there_are_places_are_refused(eventually: Eventually) -> None:
    streams = EventStreams(FakeSource(), LocalBell(), replace(SETTINGS, most_streams=2))
    first, second = read(streams), read(streams)
    await eventually(lambda: first.heartbeats == second.heartbeats == 1)
    assert await read(streams).status() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await first.leave()
    third = read(streams)
    await eventually(lambda: third.heartbeats == 1)
    streams.stop()
    assert await second.status(1.0) is grpc.StatusCode.UNAVAILABLE
    assert await third.status(1.0) is grpc.StatusCode.UNAVAILABLE
    assert await read(streams).status(1.0) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "request_",
    [
        events_pb2.StreamEventsRequest(heartbeat_seconds=0),
        events_pb2.StreamEventsRequest(heartbeat_seconds=301),
        events_pb2.StreamEventsRequest(resume_after=[{"journal_id": "", "sequence": 1}]),
        events_pb2.StreamEventsRequest(resume_after=[{"journal_id": "j", "sequence": 2**64 - 1}]),
        events_pb2.StreamEventsRequest(resume_after=[{"journal_id": "j", "sequence": s} for s in (1, 2)]),
        events_pb2.StreamEventsRequest(
            resume_after=[{"journal_id": f"j{number}", "sequence": 1} for number in range(1001)]
        ),
    ],
)
async def test_requests_that_break_a_rule_are_refused(request_: events_pb2.StreamEventsRequest) -> None:
    streams = EventStreams(FakeSource(), LocalBell(), SETTINGS)
    with pytest.raises(RpcError) as caught:
        await streams.stream(request_.SerializeToString(), _nowhere)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(RpcError) as caught:
        await streams.stream(b"\xff\xff", _nowhere)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


async def _nowhere(_data: bytes) -> None:
    raise AssertionError("nothing is sent")


@asynccontextmanager
async def served(streams: EventStreams) -> AsyncIterator[str]:
    """The handler behind a real gRPC server; its address."""

    async def handle(data: bytes, context: Any) -> None:
        await streams.stream(data, context.write)

    server = grpc.aio.server()
    handlers: dict[str, Any] = {"StreamEvents": grpc.unary_stream_rpc_method_handler(handle)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Events", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0.0)


async def test_a_client_that_does_not_read_stops_the_server_where_its_window_ends(eventually: Eventually) -> None:
    source = FakeSource()
    source.add(5_000)
    streams = EventStreams(source, LocalBell(), StreamSettings(poll_s=60.0))
    # Without probing for bandwidth a client's window stays at HTTP/2's 64 KiB.
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0))
    async with served(streams) as target, grpc.aio.insecure_channel(target, options=options) as idle_channel:
        open_idle: Any = idle_channel.unary_stream("/test.Events/StreamEvents")
        idle = open_idle(b"")
        await eventually(lambda: streams.sent > 0)
        async with grpc.aio.insecure_channel(target, options=options[:1]) as channel:
            open_read: Any = channel.unary_stream("/test.Events/StreamEvents")
            reading = open_read(b"")
            for _ in range(5_001):  # with the heartbeat
                await reading.read()
        held = streams.sent - 5_000
        assert 0 < held < 1_500
        assert len(source.pages) < 5_000 / 64 * 2
        ids = [events_pb2.ExecutionStrategyEvent.FromString(await idle.read()).event_id for _ in range(5_001)]
    assert ids[1:] == [row.event_id for row in source.rows]
