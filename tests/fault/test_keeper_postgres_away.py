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
from store.claims import Verdict
from store.decisions import KeeperSettings
from store.drainer import Drainer, DrainerSettings
from store.embedded import EmbeddedPostgres
from store.errors import RecordSetAside
from store.keeper import Keeper
from store.market_board import MarketBoard
from store.migrate import migrate
from store.open_keeper import JournalPlace, open_keeper
from store.order_reader import PostgresOrders
from store.pool import PoolSettings, make_pool
from store.postgres_sink import PostgresSink
from store.selection_reader import PostgresSource
from store.selection_rows import RowStatus
from store.submission import Acknowledgement

Make = Callable[..., SelectionRecord]
COMMITTED, JOURNALED = Acknowledgement.COMMITTED, Acknowledgement.JOURNALED
DRAINER = DrainerSettings(batch_size=20, batch_wait_s=0.002, backoff=Backoff(first_s=0.01, last_s=0.1))


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
    query = f"SELECT order_id, status FROM strategy_selections ORDER BY {order}"
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
    short_tmp: Path,
    make_record: Make,
    eventually: Callable[..., Any],
    take_down: Callable[[EmbeddedPostgres], None],
) -> None:
    sent: list[str] = []
    meanwhile: list[str] = []
    place = JournalPlace(short_tmp / "journal")
    async with open_keeper(pool_of(own_server), {}, place, host_id="h", drainer_settings=DRAINER) as keeper:
        load = asyncio.create_task(_load(keeper, make_record, sent, total=2_000))
        for outage in range(2):
            await eventually(lambda outage=outage: keeper.metrics.drainer.written > 300 * (outage + 1))
            await asyncio.to_thread(take_down, own_server)
            failures = keeper.metrics.drainer.failures
            await eventually(lambda failures=failures: keeper.metrics.drainer.failures >= failures + 2)
            pending = make_record()
            assert (await keeper.submit(pending, JOURNALED)).verdict is Verdict.ACCEPTED  # answers go on
            meanwhile.append(pending.order_id)
            assert len(await keeper.find(pending.order_id)) == 1
            await asyncio.to_thread(own_server.start)
        await load
        await eventually(lambda: keeper.metrics.drainer.pending == 0, deadline_s=30)
        assert keeper.metrics.drainer.written == len(sent) + len(meanwhile)
        assert keeper.metrics.drainer.conflicted == 0
        waited = await keeper.submit(make_record("after"), COMMITTED)
        assert waited.status is RowStatus.RECORDED
    rows = stored(own_server, "sequence")
    orders = [row[0] for row in rows]
    # Each sender's own order; between two senders that submit at once there is none.
    assert [order for order in orders if order not in meanwhile] == [*sent, "after"]
    assert [order for order in orders if order in meanwhile] == meanwhile
    assert {row[1] for row in rows} == {"RECORDED"}


async def _load(keeper: Keeper, make_record: Make, sent: list[str], total: int) -> None:
    for number in range(total):
        record = make_record()
        sent.append(record.order_id)
        assert (await keeper.submit(record, Acknowledgement.BUFFERED)).verdict is Verdict.ACCEPTED
        if number % 10 == 0:
            await asyncio.sleep(0.003)


async def test_a_poison_row_among_good_ones_is_set_aside_alone(
    database: str, short_tmp: Path, make_record: Make
) -> None:
    poison = {7, 8, 250}
    # No partition is made for so old a moment.
    records = [
        make_record(f"o{number}", **({"created_at_ns": 10**18} if number in poison else {}))
        for number in range(400)
    ]
    place, settings = JournalPlace(short_tmp / "journal"), DrainerSettings(batch_wait_s=0.01)
    async with open_keeper(PoolSettings(database), {}, place, host_id="h", drainer_settings=settings) as keeper:
        tasks = [keeper.submit(record, COMMITTED) for record in records]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {
            number for number, result in enumerate(results) if isinstance(result, RecordSetAside)
        } == poison
        assert keeper.metrics.drainer.set_aside == len(poison)
        assert keeper.metrics.drainer.failures == 0
    with psycopg.connect(database) as connection:
        written = connection.execute(
            "SELECT order_id FROM strategy_selections ORDER BY created_at_ns"
        ).fetchall()
    assert [row[0] for row in written] == [f"o{number}" for number in range(400) if number not in poison]


async def test_a_commit_whose_answer_was_lost_is_written_once(
    database: str, short_tmp: Path, make_record: Make
) -> None:
    """The connection dies after the commit and before the drainer hears of it; who waits is told what is so."""

    class LosesTheFirstAnswer(PostgresSink):
        lost = False

        async def write(self, entries: Any) -> Any:
            answer = await super().write(entries)
            if not self.lost:
                self.lost = True
                raise psycopg.OperationalError("the connection is lost")
            return answer

    journal = await JournalPlace(short_tmp / "journal").open()
    async with make_pool(PoolSettings(database)) as pool:
        keeper = Keeper(
            journal,
            lambda opened: Drainer(opened, LosesTheFirstAnswer(pool, "h"), DRAINER),
            PostgresSource(pool),
            MarketBoard({}),
            PostgresOrders(pool),
            settings=KeeperSettings(load_wait_s=5.0),
        )
        await keeper.start()
        answers = await asyncio.gather(*(keeper.submit(make_record(), COMMITTED) for _ in range(20)))
        assert await keeper.stop(5.0) == ()
    assert {(answer.verdict, answer.status) for answer in answers} == {(Verdict.ACCEPTED, RowStatus.RECORDED)}
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM strategy_selections").fetchone() == (20,)
