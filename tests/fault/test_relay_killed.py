"""Relays that are killed, compete, or lose their database: nothing lost, one at a time, duplicates dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Eventually
from tests.contract.test_relay_nats import check_all_and_in_order, cursors, orders, published, relaying
from tests.helpers.nats_server import NatsServer, nats_server, received
from tests.helpers.outbox import write
from tests.helpers.relay_process import STREAM, relay_process

_HOLDERS = """
SELECT activity.application_name FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)
WHERE locktype = 'advisory' AND granted AND activity.datname = current_database()
"""


@pytest.fixture
def nats(short_tmp: Path) -> Iterator[NatsServer]:
    with nats_server(short_tmp / "nats") as server:
        yield server


def holders(conninfo: str) -> list[str]:
    """Sessions that hold a journal."""
    with psycopg.connect(conninfo) as connection:
        return [row[0] for row in connection.execute(_HOLDERS.encode()).fetchall()]


def held_by(conninfo: str, host_id: str) -> Callable[[], bool]:
    return lambda: holders(conninfo) == [f"ess-{host_id}-relay"]


async def test_a_relay_killed_before_it_saved_its_cursor_is_taken_over_and_duplicates_are_dropped(
    database: str, nats: NatsServer, eventually: Eventually
) -> None:
    events = orders(count=25, each=12)
    write(database, "j1", events[:100])
    with relay_process("host-a", database, nats.url, save_every_s=3600.0) as first:
        await received(nats.url, STREAM, 100)
        with relay_process("host-b", database, nats.url, save_every_s=0.05):
            write(database, "j1", events[100:200])
            await received(nats.url, STREAM, 200)
            assert held_by(database, "host-a")()
            # The first page was saved at once; nothing after it.
            assert cursors(database) == [("nats", "j1", 100, 0)]
            first.kill()
            first.wait(10.0)
            await eventually(held_by(database, "host-b"), 20.0)
            write(database, "j1", events[200:])
            await eventually(lambda: cursors(database) == [("nats", "j1", 300, 0)], 20.0)
            messages = await received(nats.url, STREAM, 300)
    check_all_and_in_order(events, messages)
    assert len(messages) == 300  # the second sent a hundred again, and JetStream dropped them


async def test_of_two_relays_only_one_publishes_and_each_hosts_own_comes_first(
    database: str, nats: NatsServer, eventually: Eventually
) -> None:
    write(database, "j1", orders(5, 5), host_id="host-a")
    write(database, "j2", other := orders(5, 5), host_id="host-b")
    async with relaying(database, nats.url, host_id="host-b") as second:
        async with relaying(database, nats.url, host_id="host-a") as first:
            await eventually(lambda: first.published == second.published == 25)
            assert (first.metrics.journals, second.metrics.journals) == (1, 1)
        await eventually(lambda: second.metrics.journals == 2)
        write(database, "j1", more := orders(5, 5, begin=26), host_id="host-a")
        await eventually(lambda: second.published == 50)
        assert len(await received(nats.url, STREAM, 75)) == 75
    assert len(other) == len(more) == 25


async def test_a_relay_whose_connections_are_cut_goes_on_and_loses_nothing(
    database: str, nats: NatsServer, eventually: Eventually
) -> None:
    events = orders(count=30, each=30)
    async with relaying(database, nats.url) as relay:
        for begin in range(0, 900, 300):
            write(database, "j1", events[begin : begin + 300])
            await eventually(published(relay, begin + 10))
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        await eventually(lambda: cursors(database) == [("nats", "j1", 900, 0)], 30.0)
    messages = await received(nats.url, STREAM, 900)
    check_all_and_in_order(events, messages)
    assert len(messages) == 900

