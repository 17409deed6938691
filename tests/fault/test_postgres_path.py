"""The way from the journal to PostgreSQL over a network that cuts, stalls and goes silent: once, in order, in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine.records import SelectionRecord
from store.backoff import Backoff
from store.drainer import DrainerSettings
from store.keeper import Keeper
from store.open_keeper import JournalPlace, open_keeper
from store.pool import PoolSettings
from store.submission import Acknowledgement
from tests.fault.killing.checks import check_database
from tests.fault.proxy import PASS, Commit, FaultProxy, Faults, postgres_upstream

Make = Callable[..., SelectionRecord]
SOON = DrainerSettings(
    batch_size=20, batch_wait_s=0.002, attempt_timeout_s=1.5, backoff=Backoff(first_s=0.02, last_s=0.2)
)


def keeper_through(proxy: FaultProxy, database: str, folder: Path) -> AbstractAsyncContextManager[Keeper]:
    pool = PoolSettings(proxy.through(database), acquire_timeout_s=0.5, role="ess_service")
    return open_keeper(pool, {}, JournalPlace(folder / "journal"), host_id="h", drainer_settings=SOON)


async def submitted(keeper: Keeper, make_record: Make, count: int) -> list[str]:
    """Orders that were answered, in order."""
    names = []
    for _ in range(count):
        record = make_record(created_at_ns=time.time_ns())
        await keeper.submit(record, Acknowledgement.JOURNALED)
        names.append(record.order_id)
    return names


def orders_in(database: str) -> list[str]:
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT order_id FROM strategy_selections ORDER BY sequence").fetchall()
        found = check_database(connection)
    # These records carry no event, which the check would miss.
    assert (found.duplicates, found.sequence_gaps, found.set_aside) == (0, 0, 0), found.examples
    return [row[0] for row in rows]


@pytest.mark.parametrize("where", list(Commit))
async def test_commits_that_are_cut_are_written_once(
    database: str, short_tmp: Path, make_record: Make, eventually: Callable[..., Any], where: Commit
) -> None:
    async with FaultProxy(postgres_upstream(database)) as proxy, keeper_through(proxy, database, short_tmp) as keeper:
        names = await submitted(keeper, make_record, 5)
        for number in range(1, 5):
            proxy.lose_commits(where)
            names += await submitted(keeper, make_record, 30)
            await eventually(lambda number=number: proxy.counts.commits_cut == number, deadline_s=20)
        await eventually(lambda: keeper.metrics.drainer.pending == 0, deadline_s=20)
        waited = make_record(created_at_ns=time.time_ns())
        proxy.lose_commits(where)
        await keeper.submit(waited, Acknowledgement.COMMITTED)
        assert orders_in(database) == [*names, waited.order_id]


async def test_a_peer_that_goes_silent_is_given_up(
    database: str, short_tmp: Path, make_record: Make, eventually: Callable[..., Any]
) -> None:
    """Half-open: what is written is swallowed. Answers go on at once, and the drainer finds its way back by itself."""
    async with FaultProxy(postgres_upstream(database)) as proxy, keeper_through(proxy, database, short_tmp) as keeper:
        names = await submitted(keeper, make_record, 5)
        await eventually(lambda: keeper.metrics.drainer.pending == 0)
        proxy.set(Faults(half_open=True))
        names += await submitted(keeper, make_record, 20)
        # The statement time-out is the server's, which hears nothing: the client's own bounds must do.
        await eventually(lambda: keeper.metrics.drainer.failures > 0, deadline_s=30)
        assert keeper.metrics.drainer.pending == 20
        proxy.set(PASS)
        await eventually(lambda: keeper.metrics.drainer.pending == 0, deadline_s=45)
        assert orders_in(database) == names


async def test_slow_answers_delay_the_draining_and_nothing_else(
    database: str, short_tmp: Path, make_record: Make, eventually: Callable[..., Any]
) -> None:
    async with FaultProxy(postgres_upstream(database)) as proxy, keeper_through(proxy, database, short_tmp) as keeper:
        names = await submitted(keeper, make_record, 5)
        await eventually(lambda: keeper.metrics.drainer.pending == 0)
        # One way of one answer takes longer than all of these may: none of them waited for PostgreSQL.
        proxy.set(Faults(delay_down_s=1.0))
        written = keeper.metrics.drainer.written
        names += await submitted(keeper, make_record, 10)
        assert keeper.metrics.drainer.written == written
        proxy.set(Faults(stalls=True))
        names += await submitted(keeper, make_record, 10)
        proxy.set(PASS)
        await eventually(lambda: keeper.metrics.drainer.pending == 0, deadline_s=20)
        assert orders_in(database) == names


# A server that needs 0.1 s a decision.
SLOW_ROWS = """
CREATE FUNCTION slow_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END';
CREATE TRIGGER slow_row BEFORE INSERT ON strategy_selections FOR EACH ROW EXECUTE FUNCTION slow_row();
"""


@pytest.mark.parametrize("drains_apart", [False, True])
async def test_a_database_that_takes_few_rows_in_time_gets_fewer_at_once(
    database: str, short_tmp: Path, make_record: Make, eventually: Callable[..., Any], drains_apart: bool
) -> None:
    """The batch of twenty needs two seconds, of which the server gives one."""
    with psycopg.connect(database) as connection:
        connection.execute(SLOW_ROWS)
    pool = PoolSettings(database, statement_timeout_s=1.0, role="ess_service")
    place = JournalPlace(short_tmp / "journal")
    settings = replace(SOON, batch_wait_s=1.0, attempt_timeout_s=10.0)
    async with open_keeper(
        pool, {}, place, host_id="h", drainer_settings=settings, drains_apart=drains_apart
    ) as keeper:
        names = await submitted(keeper, make_record, 20)
        await eventually(lambda: keeper.metrics.drainer.pending == 0, deadline_s=20)
        assert keeper.metrics.drainer.failures >= 1
    assert orders_in(database) == names
