"""The way into PostgreSQL through a process of its own: the same rows and errors, and what becomes of a dead one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from engine.records import Record
from store.errors import JournalCorrupt, RecordInvalid, StoreUnavailable
from store.journal.port import Entry
from store.pool import PoolSettings
from store.remote_sink import RemoteSink
from store.selection_rows import OrderOwner
from tests.helpers.chains import WEEK_NS, entries_of, one_of_each, selection
from tests.helpers.running_host import eventually, is_alive

JOURNAL = "journal-a"


@asynccontextmanager
async def opened(database: str, journal_id: str = JOURNAL) -> AsyncIterator[RemoteSink]:
    sink = RemoteSink(PoolSettings(database, role="ess_service", max_size=1), "host-a")
    try:
        await sink.position(journal_id)
        yield sink
    finally:
        await sink.close()


def rows(database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query.encode()).fetchall()


def chained(records: Sequence[Record], journal_id: str = JOURNAL) -> list[Entry]:
    return entries_of(journal_id, records)


async def test_everything_arrives_and_the_process_ends(database: str) -> None:
    entries = chained(one_of_each())
    async with opened(database) as sink:
        pid = sink.process_id
        assert pid is not None
        assert pid != os.getpid()
        assert await sink.write(entries) == {}
        assert await sink.write(entries) == {}  # what is there is skipped
        position = await sink.position(JOURNAL)
        assert (position.sequence, position.chain_hash) == (entries[-1].sequence, entries[-1].chain_hash)
    assert not is_alive(pid)
    await sink.close()  # twice is no harm
    assert rows(database, "SELECT count(*) FROM strategy_selections") == [(2,)]


async def test_owners_and_errors_arrive_as_what_they_are(database: str) -> None:
    first = selection(order_id="order-1")
    async with opened(database, "journal-b") as other:
        await other.write(chained([first], "journal-b"))
    mine = selection(order_id="order-1", selection_id="01900000-0000-7000-8000-00000000beef")
    entries = chained([mine, selection(order_id="order-2", selection_id="01900000-0000-7000-8000-00000000feed")])
    async with opened(database) as sink:
        with pytest.raises(JournalCorrupt, match="not chained"):
            await sink.write([replace(entries[0], chain_hash=bytes(32))])
        with pytest.raises(StoreUnavailable, match="does not follow"):
            await sink.write(entries[1:])
        owners = await sink.write(entries)
        assert owners == {mine.selection_id: OrderOwner(first.request_hash, first.selection_id)}


async def test_a_row_that_postgresql_refuses_is_impossible_and_can_be_set_aside(database: str) -> None:
    # Long before any week that a partition is made for.
    entries = chained([selection(created_at_ns=52 * WEEK_NS)])
    async with opened(database) as sink:
        with pytest.raises(RecordInvalid, match="DatetimeFieldOverflow"):
            await sink.write(entries)
        await sink.set_aside(entries[0], "no such week")
        assert (await sink.position(JOURNAL)).sequence == 1
    assert rows(database, "SELECT reason FROM set_aside") == [("no such week",)]


async def test_a_process_that_died_while_idle_is_not_missed(database: str) -> None:
    entries = chained([selection()])
    async with opened(database) as sink:
        pid = sink.process_id
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_alive(pid), within_s=5, what="killed")
        async with asyncio.timeout(5):
            await sink.ended()
        assert await sink.write(entries) == {}
        assert sink.process_id != pid


async def test_one_that_dies_over_a_question_fails_it_and_the_next_goes_on(database: str) -> None:
    entries = chained([selection()])
    async with opened(database) as sink:
        with psycopg.connect(database) as holder:
            holder.execute("SELECT * FROM journals FOR UPDATE")
            question = asyncio.ensure_future(sink.write(entries))
            await asyncio.sleep(0.1)
            assert sink.process_id is not None
            os.kill(sink.process_id, signal.SIGKILL)
            with pytest.raises(StoreUnavailable):
                await asyncio.wait_for(question, 5)
        assert (await sink.position(JOURNAL)).sequence == 0
        assert await sink.write(entries) == {}


async def test_a_question_that_is_given_up_ends_the_process(database: str) -> None:
    entries = chained([selection()])
    async with opened(database) as sink:
        pid = sink.process_id
        assert pid is not None
        with psycopg.connect(database) as holder:
            holder.execute("SELECT * FROM journals FOR UPDATE")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(sink.write(entries), 0.2)
        assert await sink.write(entries) == {}
        assert not is_alive(pid)
    assert rows(database, "SELECT count(*) FROM strategy_selections") == [(1,)]


async def test_without_postgresql_every_question_fails_in_time() -> None:
    away = PoolSettings("host=127.0.0.1 port=1 dbname=none user=nobody", acquire_timeout_s=0.3, connect_timeout_s=1)
    sink = RemoteSink(away, "host-a")
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(sink.position(JOURNAL), 10)
    await sink.close()


PARENT = """
import asyncio, sys
from store.pool import PoolSettings
from store.remote_sink import RemoteSink

async def main():
    sink = RemoteSink(PoolSettings(sys.argv[1]), "host-a")
    await sink.position("journal-a")
    print(sink.process_id, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_it_does_not_outlive_whoever_asked(database: str) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, database], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    eventually(lambda: not is_alive(pid), within_s=5, what="the process gone with its keeper")
