"""The keeper behind a socket: the same answers, many in flight, bounded, and back after it was away."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import stat
import struct
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine.records import MarketUpdate, OperationRecord, SelectionRecord
from engine.values import Bar, MarketState
from store.backoff import Backoff
from store.claims import Verdict
from store.drainer import DrainerSettings
from store.errors import JournalFull, KeeperUnavailable, RecordInvalid, RecordSetAside, StoreError
from store.frames import MAX_FRAME_BYTES
from store.journal.settings import JournalSettings
from store.keeper import Keeper
from store.keeper_client import RemoteKeeper, RemoteSettings
from store.keeper_ipc import KeeperServer, serve_keeper
from store.keeper_wire import PROTOCOL_VERSION, Hello, encode
from store.market import MarketVerdict
from store.open_keeper import JournalPlace, open_keeper
from store.pool import PoolSettings
from store.selection_rows import RowStatus
from store.submission import Acknowledgement, Condition

Make = Callable[..., SelectionRecord]
BUFFERED, JOURNALED, COMMITTED = Acknowledgement
FAST = RemoteSettings(backoff=Backoff(first_s=0.001, last_s=0.02))


@pytest.fixture
async def keeper(database: str, short_tmp: Path) -> AsyncIterator[Keeper]:
    market = {name: MarketState(as_of_ns=0) for name in ("AAPL", "IBM")}
    small = JournalSettings(1 << 20, segment_bytes=1 << 18, most_payload_bytes=1 << 19)
    place = JournalPlace(short_tmp / "journal", small)
    drainer = DrainerSettings(batch_wait_s=0.005)
    pool = PoolSettings(database, role="ess_service")
    async with open_keeper(pool, market, place, host_id="h", drainer_settings=drainer) as keeper:
        yield keeper


@pytest.fixture
async def server(keeper: Keeper, short_tmp: Path) -> AsyncIterator[KeeperServer]:
    server = await serve_keeper(keeper, short_tmp / "keeper.sock")
    yield server
    await server.close()


@pytest.fixture
async def remote(server: KeeperServer, short_tmp: Path) -> AsyncIterator[RemoteKeeper]:
    remote = RemoteKeeper(short_tmp / "keeper.sock", FAST)
    await remote.start()
    assert remote.is_connected
    yield remote
    await remote.close()


async def test_answers_are_those_of_the_keeper(
    remote: RemoteKeeper, keeper: Keeper, make_record: Make
) -> None:
    record = make_record("o", request_hash="h")
    accepted = await remote.submit(record, COMMITTED)
    assert (accepted.verdict, accepted.status) == (Verdict.ACCEPTED, RowStatus.RECORDED)
    retry = make_record("o", request_hash="h")
    assert await remote.submit(retry, JOURNALED) == await keeper.submit(retry, JOURNALED)
    conflict = await remote.submit(make_record("o", request_hash="x"), JOURNALED)
    assert (conflict.verdict, conflict.other_request_hash) == (Verdict.CONFLICT, "h")
    assert await remote.find("o") == await keeper.find("o")
    assert await remote.find("nobody's") == ()


async def test_many_in_flight_are_each_answered_their_own(remote: RemoteKeeper, make_record: Make) -> None:
    records = [make_record() for _ in range(90)]
    answers = await asyncio.gather(
        *(remote.submit(r, (BUFFERED, JOURNALED, COMMITTED)[i % 3]) for i, r in enumerate(records))
    )
    assert [answer.selection_id for answer in answers] == [record.selection_id for record in records]
    found = await asyncio.gather(*(remote.find(record.order_id) for record in records))
    assert [row.response for (row,) in found] == [record.response for record in records]


async def test_errors_arrive_as_what_they_were(
    remote: RemoteKeeper, keeper: Keeper, make_record: Make
) -> None:
    with pytest.raises(RecordInvalid, match="NUL"):
        await remote.submit(make_record(versions={"nul": "\0"}), BUFFERED)
    with pytest.raises(RecordInvalid, match="nan"):
        await remote.submit(make_record(parameters={"x": float("nan")}), JOURNALED)
    with pytest.raises(RecordSetAside):
        await remote.submit(make_record(created_at_ns=10**18), COMMITTED)
    with pytest.raises(RecordInvalid, match="unsupported"):
        await remote.submit(make_record(versions={"x": object()}), JOURNALED)
    with pytest.raises(RecordInvalid, match="cannot be sent"):
        await remote.submit(make_record(response=b"x" * (MAX_FRAME_BYTES + 1)), JOURNALED)
    conflict = make_record("o", request_hash="x")
    await remote.submit(make_record("o", request_hash="h"), JOURNALED)
    assert (await remote.submit(conflict, JOURNALED)).verdict is Verdict.CONFLICT


async def test_a_full_journal_is_told_to_every_worker_and_so_is_its_end(
    remote: RemoteKeeper, keeper: Keeper, make_record: Make, eventually: Callable[..., Any]
) -> None:
    states: list[Condition] = []
    remote.watch_state(lambda state: states.append(state.condition))
    await eventually(lambda: states == [Condition.READY])
    large = bytes(50_000)
    results = await asyncio.gather(
        *(remote.submit(make_record(request=large), JOURNALED) for _ in range(40)), return_exceptions=True
    )
    refused = sum(isinstance(result, JournalFull) for result in results)
    assert 0 < refused < 40
    assert not [
        result for result in results if isinstance(result, Exception) and not isinstance(result, JournalFull)
    ]
    await eventually(lambda: states == [Condition.READY, Condition.FULL, Condition.READY])
    assert (await remote.submit(make_record(request=large), JOURNALED)).verdict is Verdict.ACCEPTED


async def test_market_states_reach_every_worker(
    remote: RemoteKeeper, server: KeeperServer, short_tmp: Path, eventually: Callable[..., Any]
) -> None:
    other = RemoteKeeper(short_tmp / "keeper.sock", FAST)
    heard: dict[str, MarketState] = {}
    other.subscribe(heard.__setitem__)
    await other.start()
    await eventually(lambda: set(heard) == {"AAPL", "IBM"})
    bars = tuple(Bar(number, 1.0, 2.0, 3.0) for number in range(1, 391))
    begun_s = time.monotonic()
    assert (
        await remote.apply_market(MarketUpdate("IBM", 7, mid_price=10.0, bars=bars)) is MarketVerdict.APPLIED
    )
    await eventually(lambda: heard["IBM"].as_of_ns == 7)
    assert time.monotonic() - begun_s < 1.0  # a loaded machine; usually 3 ms
    assert heard["IBM"] == MarketState(7, mid_price=10.0, bars=bars)
    assert await remote.apply_market(MarketUpdate("IBM", 6)) is MarketVerdict.STALE
    assert await remote.apply_market(MarketUpdate("X", 6)) is MarketVerdict.UNKNOWN_INSTRUMENT
    await other.close()


async def test_without_a_keeper_calls_fail_at_once(short_tmp: Path, make_record: Make) -> None:
    remote = RemoteKeeper(short_tmp / "none.sock", FAST)
    await remote.start(wait_s=0.01)
    begun_s = time.monotonic()
    for _ in range(100):
        with pytest.raises(KeeperUnavailable):
            await remote.submit(make_record(), JOURNALED)
    assert time.monotonic() - begun_s < 0.5
    await remote.close()


async def test_a_keeper_that_comes_back_is_found_and_its_market_heard(
    keeper: Keeper, short_tmp: Path, make_record: Make, eventually: Callable[..., Any]
) -> None:
    path = short_tmp / "keeper.sock"
    server = await serve_keeper(keeper, path)
    remote = RemoteKeeper(path, FAST)
    heard: dict[str, MarketState] = {}
    remote.subscribe(heard.__setitem__)
    await remote.start()
    record = make_record("o", request_hash="h")
    await remote.submit(record, JOURNALED)
    states: list[Condition] = []
    remote.watch_state(lambda state: states.append(state.condition))
    await server.close()
    await eventually(lambda: not remote.is_connected)
    with pytest.raises(KeeperUnavailable):
        await remote.submit(make_record(), JOURNALED)
    await keeper.apply_market(MarketUpdate("AAPL", 9, mid_price=3.0))
    server = await serve_keeper(keeper, path)
    await eventually(lambda: remote.is_connected)
    assert (
        await remote.submit(make_record("o", request_hash="h"), JOURNALED)
    ).selection_id == record.selection_id
    await eventually(lambda: heard["AAPL"].as_of_ns == 9)
    assert states == [Condition.READY, Condition.AWAY, Condition.READY]
    await remote.close()
    await server.close()


async def test_a_keeper_started_anew_learns_from_its_workers_what_the_market_was(
    database: str, keeper: Keeper, short_tmp: Path, eventually: Callable[..., Any]
) -> None:
    path = short_tmp / "keeper.sock"
    server = await serve_keeper(keeper, path)
    remote = RemoteKeeper(path, FAST)
    heard: list[MarketState] = []
    remote.subscribe(lambda name, state: heard.append(state) if name == "AAPL" else None)
    await remote.start()
    update = MarketUpdate("AAPL", 9, mid_price=3.0, bars=(Bar(8, 1.0, 2.0, 3.0),))
    await remote.apply_market(update)
    await eventually(lambda: len(heard) == 2)
    await server.close()
    market = {"AAPL": MarketState(as_of_ns=0)}
    place = JournalPlace(short_tmp / "another", JournalSettings(segment_bytes=1 << 20))
    async with open_keeper(PoolSettings(database), market, place, host_id="h") as fresh:
        server = await serve_keeper(fresh, path)
        await eventually(lambda: fresh.market["AAPL"].as_of_ns == 9)
        assert fresh.market["AAPL"] == heard[1]
        await remote.apply_market(MarketUpdate("AAPL", 10, mid_price=4.0))
        await eventually(lambda: heard[-1].as_of_ns == 10)
        assert heard[-1].bars == update.bars
        assert [state.as_of_ns for state in heard] == sorted(state.as_of_ns for state in heard), (
            "never back in time"
        )
        await remote.close()
        await server.close()


async def test_records_of_other_kinds_travel_too(
    remote: RemoteKeeper, database: str, make_record: Make
) -> None:
    record = OperationRecord(
        str(uuid.uuid4()), 1_760_000_000_000_000_000, "HALTED", "ALL", "", "a person", "why", {}
    )
    await remote.record(record, COMMITTED)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT kind, actor FROM operations").fetchall() == [("HALTED", "a person")]
    with pytest.raises(RecordInvalid):
        await remote.record(dataclasses.replace(record, reason="\0"), BUFFERED)


async def test_a_keeper_that_does_not_answer_is_given_up_and_so_are_its_calls_when_it_dies(
    short_tmp: Path, make_record: Make, eventually: Callable[..., Any]
) -> None:
    connections: list[asyncio.StreamWriter] = []

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        hello = encode(Hello(PROTOCOL_VERSION))
        writer.write(struct.pack(">I", len(hello)) + hello)
        await reader.read()

    listener = await asyncio.start_unix_server(mute, short_tmp / "k.sock")
    settings = RemoteSettings(call_timeout_s=0.05, commit_timeout_s=30.0, max_in_flight=2)
    remote = RemoteKeeper(short_tmp / "k.sock", settings)
    await remote.start()
    with pytest.raises(KeeperUnavailable, match="did not answer"):
        await remote.submit(make_record(), JOURNALED)
    waiting = [asyncio.create_task(remote.submit(make_record(), COMMITTED)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(KeeperUnavailable, match="the bound"):
        await remote.submit(make_record(), JOURNALED)
    connections[0].transport.abort()
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(result, KeeperUnavailable)
    await remote.close()
    listener.close()


async def test_only_this_user_may_connect_and_a_stale_file_is_replaced(
    keeper: Keeper, short_tmp: Path
) -> None:
    path = short_tmp / "keeper.sock"
    first = await serve_keeper(keeper, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(StoreError, match="another keeper listens"):
        await serve_keeper(keeper, path)
    await first.close()
    assert not path.exists()
    os.mknod(path, stat.S_IFSOCK | 0o600)  # what a killed keeper leaves
    second = await serve_keeper(keeper, path)
    await second.close()
    path.write_text("a letter")
    with pytest.raises(StoreError, match="no socket"):
        await serve_keeper(keeper, path)


@pytest.mark.parametrize(
    "junk", [b"\xff\xff\xff\xff", b"\0\0\0\3abc", b"\0\0\0\1\xc0", b"GET / HTTP/1.1\r\n\r\n"]
)
async def test_junk_ends_its_own_connection_only(
    remote: RemoteKeeper, short_tmp: Path, make_record: Make, junk: bytes
) -> None:
    reader, writer = await asyncio.open_unix_connection(short_tmp / "keeper.sock")
    writer.write(junk)
    async with asyncio.timeout(5):
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
    writer.close()
    assert (await remote.submit(make_record(), JOURNALED)).verdict is Verdict.ACCEPTED


async def test_a_slow_reader_gets_the_newest_state_and_holds_up_nobody(
    keeper: Keeper, remote: RemoteKeeper, short_tmp: Path, make_record: Make, eventually: Callable[..., Any]
) -> None:
    _, stalled = await asyncio.open_unix_connection(short_tmp / "keeper.sock", limit=1)
    stalled.transport.pause_reading()  # type: ignore[attr-defined]
    bars = tuple(Bar(number, 1.0, 2.0, 3.0) for number in range(1, 391))
    heard: dict[str, MarketState] = {}
    remote.subscribe(heard.__setitem__)
    for moment in range(1, 1001):
        await keeper.apply_market(MarketUpdate("IBM", moment, bars=bars))
        if moment % 100 == 0:
            await asyncio.sleep(0)
    await eventually(lambda: heard["IBM"].as_of_ns == 1000)
    assert (await remote.submit(make_record(), JOURNALED)).verdict is Verdict.ACCEPTED
    stalled.transport.abort()
