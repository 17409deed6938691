"""The fault proxy itself, before a server of the test's own and before a real PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest

from tests.fault.pg_watch import BackendWatch, FrontendWatch
from tests.fault.proxy import PASS, Commit, FaultProxy, Faults, ThreadedProxy, postgres_upstream


@asynccontextmanager
async def echoing(faults: Faults = PASS) -> AsyncIterator[FaultProxy]:
    """A proxy before a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with FaultProxy(server.sockets[0].getsockname()[:2], faults) as proxy:
        yield proxy
    server.close()


async def connect(proxy: FaultProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    writer.write(data)
    return await reader.readexactly(len(data))


async def test_passes_every_byte_both_ways() -> None:
    async with echoing() as proxy:
        reader, writer = await connect(proxy)
        data = bytes(range(256)) * 8_000
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        writer.write_eof()
        assert await reader.read() == b""
        assert (proxy.counts.bytes_up, proxy.counts.bytes_down) == (len(data), len(data))


async def test_delay_is_each_way_and_costs_no_throughput() -> None:
    async with echoing(Faults(delay_up_s=0.05, delay_down_s=0.1)) as proxy:
        reader, writer = await connect(proxy)
        begun_s = time.monotonic()
        assert await asked(reader, writer, b"x" * 1_000_000) == b"x" * 1_000_000
        took_s = time.monotonic() - begun_s
        assert 0.15 <= took_s < 1.0


async def test_throttle() -> None:
    async with echoing(Faults(bytes_per_s=200_000)) as proxy:
        reader, writer = await connect(proxy)
        begun_s = time.monotonic()
        await asked(reader, writer, b"x" * 20_000)
        assert time.monotonic() - begun_s >= 0.2


async def test_a_stall_holds_and_then_delivers_in_order() -> None:
    async with echoing() as proxy:
        reader, writer = await connect(proxy)
        assert await asked(reader, writer, b"before") == b"before"
        proxy.set(Faults(stalls=True))
        writer.write(b"one")
        await asyncio.sleep(0.05)
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.1)
        proxy.set(PASS)
        assert await asyncio.wait_for(reader.readexactly(6), 5) == b"onetwo"


async def test_half_open_swallows_for_good_and_new_connections_work_after_it() -> None:
    async with echoing() as proxy:
        old_reader, old_writer = await connect(proxy)
        assert await asked(old_reader, old_writer, b"before") == b"before"
        proxy.set(Faults(half_open=True))
        reader, writer = await connect(proxy)
        for dead_reader, dead_writer in ((old_reader, old_writer), (reader, writer)):
            dead_writer.write(b"anybody?")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(dead_reader.read(1), 0.1)
        proxy.set(PASS)
        old_writer.write(b"now?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(old_reader.read(1), 0.1)
        assert await asked(*await connect(proxy), b"fresh") == b"fresh"


async def test_cut_by_reset_and_by_end() -> None:
    async with echoing() as proxy:
        reader, writer = await connect(proxy)
        await asked(reader, writer, b"x")
        assert proxy.cut(reset=True) == 1
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 5)
        reader, writer = await connect(proxy)
        await asked(reader, writer, b"x")
        assert proxy.cut(reset=False) == 1
        assert await asyncio.wait_for(reader.read(1), 5) == b""


async def test_refuses_and_a_server_that_is_gone() -> None:
    async with echoing(Faults(refuses=True)) as proxy:
        reader, _ = await connect(proxy)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 5)
    async with FaultProxy(("127.0.0.1", 1)) as proxy:
        reader, _ = await connect(proxy)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 5)


async def test_an_answer_with_a_pattern_is_cut_once() -> None:
    async with echoing() as proxy:
        proxy.cut_at_answer(b"seq")
        reader, writer = await connect(proxy)
        assert await asked(reader, writer, b"other") == b"other"
        writer.write(b'{"seq":1}')
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(9), 5)
        assert await asked(*await connect(proxy), b'{"seq":1}') == b'{"seq":1}'


def rows_of(conninfo: str) -> int:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM things").fetchone()
    assert row is not None
    return int(row[0])


def write_one(conninfo: str, pipelined: bool) -> None:
    with psycopg.connect(conninfo) as connection:
        if pipelined:
            with connection.pipeline(), connection.transaction():
                connection.execute("INSERT INTO things VALUES (1)")
        else:
            with connection.transaction():
                connection.execute("INSERT INTO things VALUES (1)")


@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize(("where", "rows"), [(Commit.ANSWER_LOST, 1), (Commit.NEVER_SENT, 0)])
def test_a_commit_is_cut_before_or_after_it_happens(
    empty_database: str, where: Commit, rows: int, pipelined: bool
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE things (id int)")
    with ThreadedProxy(postgres_upstream(empty_database)) as proxy:
        through = proxy.proxy.through(empty_database)
        proxy.lose_commits(where)
        with pytest.raises(psycopg.OperationalError):
            write_one(through, pipelined)
        assert proxy.counts.commits_cut == 1
        assert rows_of(empty_database) == rows
        write_one(through, pipelined)
        assert rows_of(through) == rows + 1
        assert rows_of(proxy.proxy.url_through(empty_database)) == rows + 1


def test_without_words_about_encryption_in_the_conninfo(empty_database: str) -> None:
    """libpq first asks for encryption, which the server answers with a byte that is no message."""
    with ThreadedProxy(postgres_upstream(empty_database)) as proxy:
        plain = f"{empty_database} host=127.0.0.1 port={proxy.proxy.port}"
        proxy.lose_commits(Commit.ANSWER_LOST)
        with psycopg.connect(plain) as connection:
            connection.execute("CREATE TABLE things (id int)")
            with pytest.raises(psycopg.OperationalError):
                connection.commit()
    assert rows_of(empty_database) == 0


def feed_bytewise(feed: Callable[[bytes], bool], data: bytes) -> list[int]:
    return [index for index in range(len(data)) if feed(data[index : index + 1])]


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def test_watchers_take_any_pieces() -> None:
    startup = (12).to_bytes(4, "big") + (196608).to_bytes(4, "big") + b"\0\0\0\0"
    parse = message(b"P", b"s1\0COMMIT\0\0\0")
    up = startup + message(b"Q", b"SELECT 'COMMIT'\0") + message(b"Q", b"commit;\0") + parse
    up += message(b"B", b"portal\0s1\0\0\0") + message(b"B", b"portal\0other\0\0\0")
    frontend = FrontendWatch()
    ends = feed_bytewise(frontend.feed, up)
    first = up.index(message(b"Q", b"commit;\0")) + len(message(b"Q", b"commit;\0")) - 1
    second = up.index(b"s1\0\0\0", up.index(parse) + len(parse)) + 4
    assert ends == [first, second]
    backend = BackendWatch()
    down = message(b"C", b"INSERT 0 1\0") + message(b"D", b"COMMIT\0") + message(b"C", b"COMMIT\0")
    assert feed_bytewise(lambda piece: backend.feed(piece, frontend), down) == [len(down) - 1]
