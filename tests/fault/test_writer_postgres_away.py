"""PostgreSQL goes away in the middle of the load and comes back: nothing lost, nothing twice, order kept."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine.records import SelectionRecord
from store.backoff import Backoff
from store.embedded import EmbeddedPostgres
from store.errors import RecordSetAside
from store.keeper import Keeper, RowStatus, Verdict, open_keeper
from store.migrate import migrate
from store.pool import PoolSettings
from store.writer import WriterSettings

Make = Callable[..., SelectionRecord]
WRITER = WriterSettings(batch_size=20, batch_wait_s=0.002, backoff=Backoff(first_s=0.01, last_s=0.1))


@pytest.fixture
def own_server() -> Iterator[EmbeddedPostgres]:
    """A server of this test alone, since it is stopped."""
    folder = Path(tempfile.mkdtemp(prefix="ess-"))
    server = EmbeddedPostgres(folder)
    try:
        migrate(server.start())
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def pool_of(server: EmbeddedPostgres) -> PoolSettings:
    return PoolSettings(server.conninfo, acquire_timeout_s=0.2, reconnect_timeout_s=0.5)


def stored(server: EmbeddedPostgres, order: str) -> list[tuple[Any, ...]]:
    query = f"SELECT order_id, status, xmin::text::bigint, ctid FROM strategy_selections ORDER BY {order}"
    with psycopg.connect(server.conninfo) as connection:
        return connection.execute(query.encode()).fetchall()


def stop_gently(server: EmbeddedPostgres) -> None:
    server.stop()


def kill_hard(server: EmbeddedPostgres) -> None:
    """As a crash: nothing is written down, and transactions die halfway."""
    assert server.process_id is not None
    os.kill(server.process_id, signal.SIGKILL)
    server.stop()


@pytest.mark.parametrize("take_down", [stop_gently, kill_hard])
async def test_nothing_is_lost_and_order_is_kept(
    own_server: EmbeddedPostgres,
    make_record: Make,
    eventually: Callable[..., Any],
    take_down: Callable[[EmbeddedPostgres], None],
) -> None:
    sent: list[str] = []
    async with open_keeper(pool_of(own_server), {}, host_id="h", writer_settings=WRITER) as keeper:
        load = asyncio.create_task(_load(keeper, make_record, sent, total=3_000))
        for outage in range(2):
            await eventually(lambda outage=outage: keeper.metrics.writer.written > 300 * (outage + 1))
            await asyncio.to_thread(take_down, own_server)
            failures = keeper.metrics.writer.failures
            await eventually(lambda failures=failures: keeper.metrics.writer.failures >= failures + 2)
            pending = make_record()
            assert (await keeper.submit(pending)).verdict is Verdict.ACCEPTED  # answers go on
            sent.append(pending.order_id)
            assert len(await keeper.find(pending.order_id)) == 1
            await asyncio.to_thread(own_server.start)
        await load
        await eventually(lambda: keeper.metrics.writer.pending == 0, deadline_s=30)
        assert keeper.metrics.writer.written == len(sent)
        assert keeper.metrics.writer.conflicted == 0
        waited = await keeper.submit(make_record("after"), wait_commit=True)
        assert waited.status is RowStatus.RECORDED
    rows = stored(own_server, "xmin::text::bigint, ctid")  # in the order in which they were written
    assert [row[0] for row in rows] == [*sent, "after"]
    assert {row[1] for row in rows} == {"RECORDED"}


async def _load(keeper: Keeper, make_record: Make, sent: list[str], total: int) -> None:
    for number in range(total):
        record = make_record()
        sent.append(record.order_id)
        assert (await keeper.submit(record)).verdict is Verdict.ACCEPTED
        if number % 10 == 0:
            await asyncio.sleep(0.003)


async def test_a_poison_row_among_good_ones_is_set_aside_alone(database: str, make_record: Make) -> None:
    poison = {7, 8, 250}
    records = [
        make_record(f"o{number}", parameters={"text": "\0" if number in poison else "fine"})
        for number in range(400)
    ]
    settings = WriterSettings(batch_wait_s=0.01)
    async with open_keeper(PoolSettings(database), {}, host_id="h", writer_settings=settings) as keeper:
        tasks = [keeper.submit(record, wait_commit=True) for record in records]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {
            number for number, result in enumerate(results) if isinstance(result, RecordSetAside)
        } == poison
        assert keeper.metrics.writer.set_aside == len(poison)
        assert keeper.metrics.writer.failures == 0
    with psycopg.connect(database) as connection:
        written = connection.execute(
            "SELECT order_id FROM strategy_selections ORDER BY created_at_ns"
        ).fetchall()
    assert [row[0] for row in written] == [f"o{number}" for number in range(400) if number not in poison]


async def test_a_commit_whose_answer_was_lost_is_written_once(database: str, make_record: Make) -> None:
    """The connection dies after the commit and before the writer hears of it: it writes the batch again."""
    from store.pool import make_pool
    from store.selection_rows import PostgresSelections, SelectionRow
    from store.writer import SelectionWriter

    class LosesTheFirstAnswer(PostgresSelections):
        lost = False

        async def write(self, rows: Any) -> Any:
            answer = await super().write(rows)
            if not self.lost:
                self.lost = True
                raise psycopg.OperationalError("the connection is lost")
            return answer

    assert SelectionRow._fields[0] == "id"
    async with make_pool(PoolSettings(database)) as pool:
        writer = SelectionWriter(LosesTheFirstAnswer(pool, "h"), WRITER)
        writer.start()
        commits = await asyncio.gather(*(writer.enqueue(make_record()) for _ in range(20)))
        await writer.drain(5.0)
    assert {commit.status for commit in commits} == {RowStatus.RECORDED}
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM strategy_selections").fetchone() == (20,)
