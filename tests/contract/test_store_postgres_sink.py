"""Entries of a journal in a real PostgreSQL: everything in one transaction, in order, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import psycopg
import pytest

from engine.records import Record
from store.chain import first_hash
from store.drain_sink import DrainPosition
from store.errors import DrainOutOfSequence, JournalCorrupt, RecordInvalid
from store.journal.port import Entry
from store.partitions import Partitions, week_of, week_start
from store.pool import PoolSettings, make_pool
from store.postgres_sink import CHANNEL, PostgresSink
from store.selection_rows import ROW_ERRORS, OrderOwner
from tests.helpers.chains import (
    MOMENT_NS,
    WEEK_NS,
    adaptation,
    entries_of,
    one_of_each,
    operation,
    outcome,
    selection,
    update,
)

JOURNAL = "journal-a"
COUNTS = (
    "strategy_selections",
    "order_updates",
    "adaptations",
    "outcomes",
    "operations",
    "reference_data",
    "outbox",
)


@asynccontextmanager
async def opened(
    database: str, journal_id: str = JOURNAL, host_id: str = "host-a"
) -> AsyncIterator[PostgresSink]:
    """A sink under the service's role, asked for its position."""
    pool = make_pool(PoolSettings(database, role="ess_service"))
    await pool.open()
    try:
        sink = PostgresSink(pool, host_id)
        await sink.position(journal_id)
        yield sink
    finally:
        await pool.close()


async def written(database: str, records: Sequence[Record], journal_id: str = JOURNAL) -> list[Entry]:
    entries = entries_of(journal_id, records)
    async with opened(database, journal_id) as sink:
        await sink.write(entries)
    return entries


def rows(database: str, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def counts(database: str) -> dict[str, int]:
    return {table: rows(database, f"SELECT count(*) FROM {table}")[0][0] for table in COUNTS}


async def test_a_new_journal_begins_at_its_first_hash(database: str) -> None:
    async with opened(database) as sink:
        assert await sink.position(JOURNAL) == DrainPosition(0, first_hash(JOURNAL))
    assert rows(database, "SELECT journal_id, host_id, drained_sequence FROM journals") == [
        (JOURNAL, "host-a", 0)
    ]


async def test_every_kind_reaches_its_table_with_its_event_and_moves_the_cursor(database: str) -> None:
    entries = entries_of(JOURNAL, one_of_each())
    async with opened(database) as sink:
        assert await sink.write(entries) == {}
        assert await sink.position(JOURNAL) == DrainPosition(len(entries), entries[-1].chain_hash)
    assert counts(database) == dict(zip(COUNTS, (2, 1, 1, 1, 1, 1, 4), strict=True))
    query = "SELECT sequence, part, chain_hash, journal_id FROM outbox ORDER BY sequence"
    told = [
        (entry.sequence, 0, entry.chain_hash, JOURNAL) for entry in entries if entry.sequence in (2, 3, 5, 6)
    ]
    assert rows(database, query) == told


async def test_a_row_holds_what_the_record_held(database: str) -> None:
    record = selection(quantity_shares=-0.0, inputs=b"\x00\xff", tags={"a": "ü\u2028"})
    (entry,) = await written(database, [record])
    query = (
        "SELECT id::text, order_id, created_at_ns, quantity::text, parameters::text, tags::text, request,"
        " response, inputs, journal_id, sequence, chain_hash, host_id, status, actual_outcomes,"
        " (extract(epoch FROM created_at) * 1000000)::bigint FROM strategy_selections"
    )
    assert rows(database, query) == [
        (
            record.selection_id, record.order_id, record.created_at_ns, "-0", '{"a":true,"b":0.15,"ü":null}',
            '{"a":"ü\u2028"}', record.request, record.response, record.inputs, JOURNAL, 1, entry.chain_hash, "host-a",
            "RECORDED", None, record.created_at_ns // 1000,
        )
    ]  # fmt: skip
    event = record.event
    assert event is not None
    query = "SELECT id::text, aggregatetype, aggregateid, type, payload::text FROM outbox"
    assert rows(database, query) == [
        (event.event_id, event.aggregate_kind, event.aggregate_id, event.kind, event.payload)
    ]


async def test_writing_again_changes_nothing(database: str) -> None:
    entries = entries_of(JOURNAL, one_of_each())
    async with opened(database) as sink:
        await sink.write(entries)
    before = counts(database)
    async with opened(database) as sink:  # after a crash that lost the answer
        await sink.write(entries)
        await sink.write(entries[2:])
        after = entries_of(JOURNAL, [selection()], entries[-1])
        await sink.write([*entries[4:], *after])
    assert counts(database) == {**before, "strategy_selections": 3, "outbox": 5}
    assert rows(database, "SELECT drained_sequence FROM journals") == [(len(entries) + 1,)]


async def test_a_gap_is_refused_and_nothing_written(database: str) -> None:
    entries = entries_of(JOURNAL, [selection(), selection(), selection()])
    async with opened(database) as sink:
        with pytest.raises(DrainOutOfSequence):
            await sink.write(entries[1:])
        with pytest.raises(DrainOutOfSequence):
            await sink.write([entries[0], entries[2]])
        with pytest.raises(DrainOutOfSequence):
            await sink.set_aside(entries[1], "x")
    assert counts(database)["strategy_selections"] == 0


async def test_a_journal_that_is_not_the_same_any_more_is_refused(database: str) -> None:
    entries = entries_of(JOURNAL, [selection(), selection()])
    other = entries_of(JOURNAL, [selection(), selection(), selection()])
    async with opened(database) as sink:
        await sink.write(entries)
        with pytest.raises(JournalCorrupt, match="entry 2"):
            await sink.write(other[:2])
        with pytest.raises(JournalCorrupt, match="entry 3"):
            await sink.write(other[2:])
        with pytest.raises(JournalCorrupt, match="entry 3"):
            await sink.write(
                [msgspec.structs.replace(entries_of(JOURNAL, [selection()], entries[-1])[0], chain_hash=bytes(32))]
            )
    assert counts(database)["strategy_selections"] == 2


async def test_an_unregistered_journal_is_refused(database: str) -> None:
    pool = make_pool(PoolSettings(database))
    async with pool:
        with pytest.raises(DrainOutOfSequence, match="not registered"):
            await PostgresSink(pool, "host-a").write(entries_of("", [selection()]))


async def test_the_later_decision_of_an_order_is_kept_marked_and_announced(database: str) -> None:
    first, second = selection("shared"), selection("shared", event=None)
    await written(database, [first], "journal-a")
    entries = entries_of("journal-b", [second, selection()])
    owner = OrderOwner(first.request_hash, first.selection_id)
    async with opened(database, "journal-b", "host-b") as sink:
        assert await sink.write(entries) == {second.selection_id: owner}
        assert await sink.write(entries) == {second.selection_id: owner}  # who waits is told again
    query = (
        "SELECT id::text, status, host_id FROM strategy_selections WHERE order_id = 'shared' ORDER BY status"
    )
    assert rows(database, query) == [
        (second.selection_id, "CONFLICTED", "host-b"), (first.selection_id, "RECORDED", "host-a"),
    ]  # fmt: skip
    query = (
        "SELECT type, aggregateid, part, chain_hash, payload FROM outbox"
        " WHERE journal_id = 'journal-b' AND sequence = 1"
    )
    ((kind, aggregate, part, chain_hash, payload),) = rows(database, query)
    assert (kind, aggregate, part, chain_hash) == (
        "execution_strategy_conflicted", "shared", 1, entries[0].chain_hash
    )  # fmt: skip
    assert payload["execution_strategy_conflicted"] == {
        "order_id": "shared",
        "kept_selection_id": first.selection_id,
        "conflicted_selection_id": second.selection_id,
    }


async def test_of_two_decisions_in_one_batch_the_first_gets_the_order(database: str) -> None:
    first, second = selection("shared"), selection("shared")
    async with opened(database) as sink:
        owners = await sink.write(entries_of(JOURNAL, [first, second]))
    assert owners == {second.selection_id: OrderOwner(first.request_hash, first.selection_id)}
    assert rows(database, "SELECT part FROM outbox WHERE sequence = 2 ORDER BY part") == [(0,), (1,)]


async def test_two_hosts_that_write_the_same_orders_at_once_agree(database: str) -> None:
    async with opened(database, "journal-a") as one, opened(database, "journal-b", "host-b") as two:
        theirs = [selection(f"order-{number}") for number in range(200)]
        ours = [selection(record.order_id) for record in reversed(theirs)]
        found = await asyncio.gather(
            one.write(entries_of("journal-a", ours)), two.write(entries_of("journal-b", theirs))
        )
    conflicted = found[0].keys() | found[1].keys()
    query = "SELECT count(*) FILTER (WHERE status = 'CONFLICTED'), count(*) FROM strategy_selections"
    assert rows(database, query) == [(200, 400)]
    assert len(conflicted) == 200


async def test_the_first_outcome_is_set_once_and_later_ones_are_kept(database: str) -> None:
    chosen = selection()
    first = outcome(chosen)
    second = outcome(chosen, actual_outcomes={"cost": 9}, performance_score=0.1)
    entries = entries_of(JOURNAL, [chosen, first, second])
    async with opened(database) as sink:
        await sink.write(entries)
        await sink.write(entries_of(JOURNAL, [outcome(chosen, performance_score=0.2)], entries[-1]))
    query = "SELECT actual_outcomes, performance_score FROM strategy_selections"
    assert rows(database, query) == [(first.actual_outcomes, first.performance_score)]
    assert counts(database)["outcomes"] == 3


async def test_an_outcome_that_comes_before_its_selection_is_not_lost(database: str) -> None:
    """Two hosts drain at their own pace."""
    chosen = selection()
    await written(database, [outcome(chosen)], "journal-b")
    assert rows(database, "SELECT count(*) FROM strategy_selections") == [(0,)]
    await written(database, [chosen], "journal-a")
    assert rows(database, "SELECT performance_score FROM strategy_selections") == [(0.75,)]


async def test_an_outcome_of_a_selection_that_nobody_knows_is_kept(database: str) -> None:
    await written(database, [replace(outcome(selection()), selection_id=""), outcome(selection())])
    assert rows(database, "SELECT selection_id IS NULL FROM outcomes ORDER BY sequence") == [
        (True,),
        (False,),
    ]


async def test_a_record_that_was_journaled_twice_is_set_aside_and_the_rest_goes_on(database: str) -> None:
    chosen, done = selection(), operation()
    records: list[Record] = [chosen, done, update(chosen.order_id), done, selection(), chosen, adaptation(chosen)]
    entries = await written(database, records)
    assert rows(database, "SELECT sequence, kind, payload, chain_hash FROM set_aside ORDER BY sequence") == [
        (entry.sequence, entry.kind, entry.payload, entry.chain_hash) for entry in (entries[3], entries[5])
    ]
    assert counts(database) == dict(zip(COUNTS, (2, 1, 1, 0, 1, 0, 4), strict=True))
    assert rows(database, "SELECT drained_sequence FROM journals") == [(len(records),)]


async def test_an_entry_set_aside_keeps_its_payload_and_moves_the_cursor(database: str) -> None:
    entries = entries_of(JOURNAL, [selection(), selection(), selection()])
    async with opened(database) as sink:
        await sink.write(entries[:1])
        await sink.set_aside(entries[1], "a reason with \0 and \ud800")
        await sink.set_aside(entries[1], "again")
        await sink.write(entries[2:])
    assert rows(database, "SELECT sequence, payload, reason FROM set_aside") == [
        (2, entries[1].payload, "a reason with \\0 and \\ud800")
    ]
    assert counts(database)["strategy_selections"] == 2


async def test_partitions_are_made_for_whatever_week_comes(database: str) -> None:
    late = selection(created_at_ns=MOMENT_NS - 300 * WEEK_NS)
    border = [
        selection(created_at_ns=int(week_start(week_of(MOMENT_NS)).timestamp()) * 10**9 + off)
        for off in (-1, 0)
    ]
    await written(database, [late, *border])
    query = "SELECT tableoid::regclass::text FROM strategy_selections ORDER BY created_at"
    name = f"strategy_selections_p{week_start(week_of(late.created_at_ns)):%Y%m%d}"
    assert rows(database, query) == [
        (name,), ("strategy_selections_p20250609",), ("strategy_selections_p20250616",)
    ]  # fmt: skip


@pytest.mark.parametrize("created_at_ns", [0, -(2**62), MOMENT_NS + 500 * WEEK_NS, 2**63 - 1])
async def test_an_absurd_time_is_an_impossible_row(database: str, created_at_ns: int) -> None:
    (entry,) = entries_of(JOURNAL, [selection(created_at_ns=created_at_ns)])
    async with opened(database) as sink:
        with pytest.raises(ROW_ERRORS):
            await sink.write([entry])
        await sink.set_aside(entry, "absurd")
        assert (await sink.position(JOURNAL)).sequence == 1


async def test_an_event_that_is_no_json_is_an_impossible_row(database: str) -> None:
    event = selection().event
    assert event is not None
    async with opened(database) as sink:
        with pytest.raises(ROW_ERRORS):
            await sink.write(entries_of(JOURNAL, [selection(event=msgspec.structs.replace(event, payload="{"))]))
    assert counts(database)["strategy_selections"] == 0


async def test_a_payload_of_a_newer_version_is_an_impossible_row(database: str) -> None:
    (entry,) = entries_of(JOURNAL, [selection()])
    async with opened(database) as sink:
        with pytest.raises(RecordInvalid, match="version"):
            await sink.write([msgspec.structs.replace(entry, payload=b"\x91\x02")])


async def test_a_week_that_was_taken_away_meanwhile_is_made_again(database: str) -> None:
    async with opened(database) as sink:
        entries = entries_of(JOURNAL, [selection()])
        await sink.write(entries)
        with psycopg.connect(database, autocommit=True) as connection:
            for table in COUNTS:
                connection.execute(f"ALTER TABLE {table} DETACH PARTITION {table}_p20250616".encode())
                connection.execute(f"DROP TABLE {table}_p20250616".encode())
        await sink.write(entries_of(JOURNAL, [selection()], entries[-1]))
    assert counts(database)["strategy_selections"] == 1


async def test_weeks_ahead_are_made_once_in_a_while(database: str) -> None:
    now_s = [1000.0]
    made = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'outbox'::regclass"
    pool = make_pool(PoolSettings(database, role="ess_service"))
    async with pool, pool.connection() as connection:
        partitions = Partitions(weeks_ahead=20, look_every_s=100.0, clock_s=lambda: now_s[0])
        await partitions.make_ahead(connection)
        assert rows(database, made) == [(21,)]
        with psycopg.connect(database) as owner:
            last = rows(
                database,
                "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'outbox'::regclass",
            )
            owner.execute(
                f"ALTER TABLE outbox DETACH PARTITION {last[0][0]}; DROP TABLE {last[0][0]}".encode()
            )
        now_s[0] += 99.0
        await partitions.make_ahead(connection)
        assert rows(database, made) == [(20,)]
        now_s[0] += 2.0
        await partitions.make_ahead(connection)
        assert rows(database, made) == [(21,)]


async def test_listeners_are_told_of_events_only(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as listener:
        await listener.execute(f"LISTEN {CHANNEL}".encode())
        entries = await written(database, [update("o-1"), selection(event=None)])
        async with opened(database) as sink:
            await sink.write(entries_of(JOURNAL, [selection()], entries[-1]))
        heard = [notice.payload async for notice in listener.notifies(timeout=5.0, stop_after=1)]
        more = [notice.payload async for notice in listener.notifies(timeout=0.2)]
    assert (heard, more) == ([JOURNAL], [])


async def test_an_event_is_json_as_it_was_given(database: str) -> None:
    record = selection()
    await written(database, [record])
    assert record.event is not None
    ((payload,),) = rows(database, "SELECT payload::text FROM outbox")
    assert payload == record.event.payload
    assert json.loads(payload)["event_id"] == record.event.event_id
