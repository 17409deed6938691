"""The relay over a real PostgreSQL and a real nats-server: at least once, ids for duplicates, each order's in order."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from service.relay import Relay, RelaySettings
from service.relay_nats import NatsPublisher, NatsSettings, subject_of
from store.backoff import Backoff
from store.outbox_bell import OutboxBell
from store.outbox_reader import OutboxReader
from store.pool import PoolSettings, make_pool
from store.relay_lease import AdvisoryLease
from tests.conftest import Eventually
from tests.helpers.nats_server import NatsServer, Received, nats_server, received
from tests.helpers.outbox import Written, chain_hash, event, write

STREAM = "EXECUTION_STRATEGY"
PREFIX = "ess.events"
SETTINGS = RelaySettings(
    poll_s=0.2, tend_s=0.1, takeover_after_s=0.3, save_every_s=0.05, measure_every_s=0.1,
    backoff=Backoff(0.02, 0.2),
)  # fmt: skip


@pytest.fixture
def nats(short_tmp: Path) -> Iterator[NatsServer]:
    with nats_server(short_tmp / "nats") as server:
        yield server


@asynccontextmanager
async def relaying(
    conninfo: str, url: str, *, host_id: str = "host-a", settings: RelaySettings = SETTINGS,
    acknowledge_within_s: float = 2.0,
) -> AsyncIterator[Relay]:  # fmt: skip
    pool_settings = PoolSettings(conninfo, acquire_timeout_s=0.5)
    pool, bell = make_pool(pool_settings), OutboxBell(pool_settings)
    await pool.open(wait=False)
    bell.start()
    nats_settings = NatsSettings((url,), STREAM, PREFIX, acknowledge_within_s=acknowledge_within_s)
    relay = Relay(
        NatsPublisher(nats_settings), OutboxReader(pool), AdvisoryLease(pool_settings, settings.name), bell,
        host_id=host_id, settings=settings,
    )
    relay.start()
    try:
        yield relay
    finally:
        await relay.stop()
        await bell.stop()
        await pool.close(timeout=1.0)


def orders(count: int, each: int, begin: int = 1) -> list[Written]:
    """`each` events of `count` orders, interleaved, in one sequence."""
    return [event(f"order-{i % count}", begin + i) for i in range(count * each)]


def check_all_and_in_order(events: Iterable[Written], messages: list[Received]) -> None:
    """Every event arrived unchanged; first arrivals of an order are in its order; duplicates have the same id."""
    by_id = {e.event_id: e for e in events}
    assert {m.event_id for m in messages} == by_id.keys()
    first: dict[str, list[int]] = defaultdict(list)
    seen: set[str] = set()
    for message in messages:
        assert message.data == by_id[message.event_id].payload
        if message.event_id not in seen:
            seen.add(message.event_id)
            written = by_id[message.event_id]
            first[written.order_id].append(written.sequence)
    assert all(sequences == sorted(sequences) for sequences in first.values())


async def test_events_arrive_once_in_order_with_their_subjects_and_heads(database: str, nats: NatsServer) -> None:
    events = [event("a", 1), event("b.c > *", 3), event("a", 4), event("a", 4, part=1), event("", 9)]
    write(database, "journal-1", events)
    async with relaying(database, nats.url):
        messages = await received(nats.url, STREAM, 5)
    assert [m.event_id for m in messages] == [e.event_id for e in events]
    assert [m.data for m in messages] == [e.payload for e in events]
    kind = "execution_outcome_reported"
    assert [m.subject for m in messages] == [
        f"{PREFIX}.{kind}.{token}" for token in ("a", "b%2Ec%20%3E%20%2A", "a", "a", "%")
    ]
    heads = [(m.headers["Ess-Journal"], m.headers["Ess-Sequence"], m.headers["Ess-Part"]) for m in messages]
    assert heads == [("journal-1", str(e.sequence), str(e.part)) for e in events]
    assert [m.headers["Ess-Chain-Hash"] for m in messages] == [chain_hash(e.sequence).hex() for e in events]


async def test_what_comes_later_follows_at_once_and_the_cursor_is_kept(
    database: str, nats: NatsServer, eventually: Eventually
) -> None:
    slow_poll = dataclasses.replace(SETTINGS, poll_s=30.0)
    async with relaying(database, nats.url, settings=slow_poll) as relay:
        write(database, "journal-1", [event("a", 1)])
        await eventually(lambda: relay.published == 1)
        # Only the bell can tell it of this one.
        write(database, "journal-1", [event("a", 2)])
        await eventually(lambda: relay.published == 2, 5.0)
        await eventually(lambda: cursors(database) == [("nats", "journal-1", 2, 0)])
    write(database, "journal-1", [event("a", 3)])
    async with relaying(database, nats.url) as relay:
        await eventually(lambda: relay.published == 1)
    assert len(await received(nats.url, STREAM, 3)) == 3


def published(relay: Relay, count: int) -> Callable[[], bool]:
    return lambda: relay.published >= count


def cursors(conninfo: str) -> list[tuple[str, str, int, int]]:
    with psycopg.connect(conninfo) as connection:
        return connection.execute("SELECT relay, journal_id, sequence, part FROM relay_cursors").fetchall()


async def test_a_server_killed_and_restarted_mid_stream_loses_nothing(
    database: str, nats: NatsServer, eventually: Eventually
) -> None:
    events = orders(count=40, each=40)
    async with relaying(database, nats.url) as relay:
        for batch in range(4):
            write(database, "journal-1", events[batch * 400 : (batch + 1) * 400])
            await eventually(published(relay, batch * 400 + 40))
            await asyncio.to_thread(nats.kill)
            await asyncio.to_thread(nats.start)
        await eventually(lambda: relay.published == len(events), 30.0)
        assert relay.failures > 0
        await eventually(lambda: relay.metrics.behind == 0)
    check_all_and_in_order(events, await received(nats.url, STREAM, len(events)))


async def test_a_broker_that_is_away_costs_time_only_and_the_lag_shows(
    database: str, nats: NatsServer, eventually: Eventually
) -> None:
    nats.kill()
    events = orders(count=10, each=5)
    write(database, "journal-1", events)
    async with relaying(database, nats.url) as relay:
        await eventually(lambda: relay.failures >= 2 and relay.metrics.behind == 50)
        assert relay.metrics.lag_s > 0.0
        await asyncio.to_thread(nats.start)
        await eventually(lambda: relay.published == 50)
        await eventually(lambda: relay.metrics.behind == 0 and relay.metrics.lag_s == 0.0)
        figures = {reading.name: reading.read() for reading in relay.readings()}
        assert (figures["ess.relay.published"], figures["ess.relay.journals"]) == (50.0, 1.0)
    check_all_and_in_order(events, await received(nats.url, STREAM, 50))


async def test_odd_order_ids_have_subjects_that_a_server_takes() -> None:
    odd = ["a.b", "*", ">", " ", "", "%", "%2E", "ä/ö", "\U0001f600", "x" * 100, "\t\r\n", "a b"]
    subjects = [subject_of(PREFIX, "k", text) for text in odd]
    assert len(set(subjects)) == len(odd)
    for subject in subjects:
        assert subject.count(".") == 3
        assert subject.isascii()
        assert not set("*> \t\r\n") & set(subject)
