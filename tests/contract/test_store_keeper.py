"""The keeper over a real PostgreSQL: verdicts, commits, read-your-writes, two hosts, restarts."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from engine.records import MarketUpdate, SelectionRecord
from engine.values import MarketState
from store.errors import RecordInvalid, RecordSetAside, StoreUnavailable, WriterFull
from store.keeper import KeeperSettings, RowStatus, Verdict, open_keeper
from store.market import MarketVerdict
from store.pool import PoolSettings
from store.writer import WriterSettings
from tests.helpers.chains import MOMENT_NS

Make = Callable[..., SelectionRecord]


def keeper_on(database: str, host_id: str = "host-a", **options: Any) -> Any:
    pool = PoolSettings(database, acquire_timeout_s=0.5)
    market = {"AAPL": MarketState(as_of_ns=0)}
    writer = options.pop("writer", WriterSettings(batch_wait_s=0.002))
    return open_keeper(pool, market, host_id=host_id, writer_settings=writer, **options)


def rows(database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query.encode()).fetchall()


async def test_an_accepted_record_is_a_row_with_every_field(database: str, make_record: Make) -> None:
    record = make_record()
    async with keeper_on(database) as keeper:
        answer = await keeper.submit(record, wait_commit=True)
    assert (answer.verdict, answer.status) == (Verdict.ACCEPTED, RowStatus.RECORDED)
    query = """
        SELECT id::text, order_id, request_hash, created_at_ns, instrument_id, side, quantity, objective, urgency,
          strategy_name, algorithm, selection_rationale, confidence, market_conditions, expected_outcomes,
          parameters, venue_allocation, versions, request, response, gateway, tags
        FROM strategy_selections
    """
    (row,) = rows(database, query)
    assert SelectionRecord(*row) == record
    ((host, status, created_us),) = rows(
        database,
        "SELECT host_id, status, (extract(epoch FROM created_at) * 1000000)::bigint FROM strategy_selections",
    )
    assert (host, status, created_us) == ("host-a", "RECORDED", record.created_at_ns // 1000)
    assert rows(database, "SELECT order_id, request_hash, selection_id::text FROM orders") == [
        (record.order_id, record.request_hash, record.selection_id)
    ]


async def test_a_retry_gets_the_same_decision_and_another_request_a_conflict(
    database: str, make_record: Make
) -> None:
    async with keeper_on(database) as keeper:
        first = make_record("o", request_hash="h", response=b"first")
        assert (await keeper.submit(first)).verdict is Verdict.ACCEPTED
        retry = await keeper.submit(make_record("o", request_hash="h", response=b"second"))
        assert (retry.verdict, retry.selection_id, retry.response) == (
            Verdict.DUPLICATE, first.selection_id, b"first",
        )  # fmt: skip
        other = await keeper.submit(make_record("o", request_hash="x"), wait_commit=True)
        assert (other.verdict, other.response, other.other_request_hash) == (Verdict.CONFLICT, None, "h")
        waited = await keeper.submit(make_record("o", request_hash="h"), wait_commit=True)
        assert (waited.verdict, waited.response, waited.status) == (
            Verdict.DUPLICATE, b"first", RowStatus.RECORDED,
        )  # fmt: skip
    assert rows(database, "SELECT count(*) FROM strategy_selections") == [(1,)]


async def test_many_at_once_for_one_order_give_one_decision(database: str, make_record: Make) -> None:
    records = [make_record("o", request_hash="h", response=b"%d" % number) for number in range(50)]
    async with keeper_on(database) as keeper:
        answers = await asyncio.gather(
            *(keeper.submit(r, wait_commit=i % 2 == 0) for i, r in enumerate(records))
        )
    assert [answer.verdict for answer in answers].count(Verdict.ACCEPTED) == 1
    assert len({answer.response for answer in answers}) == 1
    assert rows(database, "SELECT count(*) FROM strategy_selections") == [(1,)]


async def test_a_written_decision_is_found_before_and_after_its_commit(
    database: str, make_record: Make
) -> None:
    record = make_record()
    async with keeper_on(database, writer=WriterSettings(batch_wait_s=30.0)) as keeper:
        await keeper.submit(record)
        (pending,) = await keeper.find(record.order_id)
        assert not pending.committed
        assert pending.response == record.response
        await keeper.submit(make_record(), wait_commit=True)  # hastens both
        (found,) = await keeper.find(record.order_id)
        assert found == dataclasses.replace(pending, committed=True)
        assert await keeper.find("nobody's") == ()
    async with keeper_on(database) as fresh:
        assert await fresh.find(record.order_id) == (found,)


async def test_orders_of_an_earlier_run_are_known_without_asking(database: str, make_record: Make) -> None:
    record = make_record("o", request_hash="h")
    async with keeper_on(database) as keeper:
        await keeper.submit(record)
    async with keeper_on(database) as keeper:
        assert (await keeper.submit(make_record())).verdict is Verdict.ACCEPTED
        assert keeper.metrics.orders_loaded
        assert keeper.metrics.questions == 0
        retry = await keeper.submit(make_record("o", request_hash="h"))
        assert (retry.verdict, retry.selection_id, retry.response) == (
            Verdict.DUPLICATE, record.selection_id, record.response,
        )  # fmt: skip
        assert (await keeper.submit(make_record("o", request_hash="x"))).verdict is Verdict.CONFLICT


@pytest.mark.parametrize("seen_loaded", [0, 3, 1000])
async def test_orders_that_memory_has_no_room_for_are_asked_for(
    database: str, make_record: Make, seen_loaded: int
) -> None:
    records = [make_record(request_hash=f"h{number}") for number in range(10)]
    async with keeper_on(database) as keeper:
        for record in records:
            await keeper.submit(record)
    settings = KeeperSettings(claims=2, responses=2, seen_loaded=seen_loaded)
    async with keeper_on(database, settings=settings) as keeper:
        for record in records:
            again = await keeper.submit(dataclasses.replace(record, response=b"other"))
            assert (again.verdict, again.response) == (Verdict.DUPLICATE, record.response)
        before = keeper.metrics.questions
        assert (await keeper.submit(make_record())).verdict is Verdict.ACCEPTED
        all_known = seen_loaded == 1000
        assert (keeper.metrics.questions == before) == all_known


async def test_evicted_orders_of_this_run_are_asked_for(database: str, make_record: Make) -> None:
    settings = KeeperSettings(claims=5, responses=5)
    async with keeper_on(database, settings=settings) as keeper:
        records = [make_record() for _ in range(30)]
        for record in records:
            await keeper.submit(record, wait_commit=True)
        assert keeper.metrics.claims == 5
        assert keeper.metrics.questions == 0
        again = await keeper.submit(records[0])
        assert (again.verdict, again.response) == (Verdict.DUPLICATE, records[0].response)


async def test_two_hosts_with_one_order_keep_both_decisions(database: str, make_record: Make) -> None:
    async with keeper_on(database, "host-a") as a, keeper_on(database, "host-b") as b:
        ours = make_record("o", request_hash="ha", created_at_ns=MOMENT_NS)
        theirs = make_record("o", request_hash="hb", created_at_ns=MOMENT_NS + 10)
        await a.submit(ours, wait_commit=True)
        assert (await b.submit(theirs)).verdict is Verdict.ACCEPTED  # BUFFERED: memory decides
        waited = await b.submit(dataclasses.replace(theirs), wait_commit=True)  # COMMITTED: exact
        assert (waited.verdict, waited.selection_id, waited.other_request_hash) == (
            Verdict.CONFLICT, ours.selection_id, "ha",
        )  # fmt: skip
        found = await b.find("o")
        assert [(row.selection_id, row.status) for row in found] == [
            (ours.selection_id, RowStatus.RECORDED), (theirs.selection_id, RowStatus.CONFLICTED),
        ]  # fmt: skip
        assert b.metrics.writer.conflicted == 1


async def test_the_same_request_at_two_hosts_gives_one_answer_to_who_waits(
    database: str, make_record: Make
) -> None:
    async with keeper_on(database, "host-a") as a, keeper_on(database, "host-b") as b:
        first = make_record("o", request_hash="h", response=b"a")
        await a.submit(first, wait_commit=True)
        retried = await b.submit(make_record("o", request_hash="h", response=b"b"), wait_commit=True)
        assert (retried.verdict, retried.response) == (Verdict.DUPLICATE, b"a")
        again = await b.submit(make_record("o", request_hash="h", response=b"c"))
        assert (again.verdict, again.response) == (Verdict.DUPLICATE, b"a")


async def test_writing_a_record_twice_changes_nothing(database: str, make_record: Make) -> None:
    record = make_record()
    for host in ("host-a", "host-b"):
        async with keeper_on(database, host, settings=KeeperSettings()) as keeper:
            keeper._claims.replace(record.order_id, "", "")  # as if this host had never heard of it
            keeper._claims._settled.clear()
            answer = await keeper.submit(record, wait_commit=True)
            assert (answer.verdict, answer.status) == (Verdict.ACCEPTED, RowStatus.RECORDED)
    assert rows(database, "SELECT status, host_id FROM strategy_selections") == [("RECORDED", "host-a")]


async def test_one_batch_with_one_order_twice_conflicts_the_later(database: str, make_record: Make) -> None:
    async with keeper_on(database, writer=WriterSettings(batch_wait_s=30.0)) as keeper:
        first, second = make_record("o"), make_record("o")
        commits = [keeper._writer.enqueue(first), keeper._writer.enqueue(second, flush_now=True)]
        statuses = [commit.status for commit in await asyncio.gather(*commits)]
    assert statuses == [RowStatus.RECORDED, RowStatus.CONFLICTED]


async def test_a_refused_record_leaves_its_order_free(database: str, make_record: Make) -> None:
    async with keeper_on(database, writer=WriterSettings(batch_wait_s=30.0, max_pending=1)) as keeper:
        with pytest.raises(RecordInvalid):
            await keeper.submit(make_record("o", confidence=float("nan")))
        assert (await keeper.submit(make_record())).verdict is Verdict.ACCEPTED
        with pytest.raises(WriterFull):
            await keeper.submit(make_record("o"))
        assert keeper.metrics.claims == 1
    async with keeper_on(database) as keeper:
        assert (await keeper.submit(make_record("o"))).verdict is Verdict.ACCEPTED


async def test_who_waits_for_an_impossible_row_is_told_every_time(database: str, make_record: Make) -> None:
    poison = make_record("o", request_hash="h", versions={"nul": "\0"})
    async with keeper_on(database) as keeper:
        for _ in range(2):
            with pytest.raises(RecordSetAside):
                await keeper.submit(poison, wait_commit=True)
        assert (await keeper.submit(make_record(), wait_commit=True)).status is RowStatus.RECORDED


async def test_a_waiter_that_gives_up_leaves_the_commit_to_the_others(
    database: str, make_record: Make
) -> None:
    record = make_record()
    async with keeper_on(database, writer=WriterSettings(batch_wait_s=0.2)) as keeper:
        await keeper.submit(record)
        waiters = [asyncio.create_task(keeper.submit(record, wait_commit=True)) for _ in range(2)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        assert (await waiters[1]).status is RowStatus.RECORDED


async def test_market_updates_are_merged_told_and_persisted(
    database: str, eventually: Callable[..., Any]
) -> None:
    heard: list[tuple[str, MarketState]] = []
    async with keeper_on(database) as keeper:
        unsubscribe = keeper.subscribe(lambda name, state: heard.append((name, state)))
        assert [name for name, _ in heard] == ["AAPL"]
        assert await keeper.apply_market(MarketUpdate("AAPL", 5, mid_price=10.0)) is MarketVerdict.APPLIED
        assert await keeper.apply_market(MarketUpdate("AAPL", 4, mid_price=9.0)) is MarketVerdict.STALE
        assert await keeper.apply_market(MarketUpdate("NONE", 4)) is MarketVerdict.UNKNOWN_INSTRUMENT
        assert heard[1:] == [("AAPL", keeper.market["AAPL"])]
        unsubscribe()
        await keeper.apply_market(MarketUpdate("AAPL", 6, spread_bps=2.0))
        assert len(heard) == 2
    ((figures,),) = rows(database, "SELECT figures FROM instrument_market")
    assert (figures["as_of_ns"], figures["mid_price"], figures["spread_bps"]) == (6, 10.0, 2.0)


async def test_without_a_server_answers_go_on_and_what_waits_is_handed_over(
    short_tmp: Any, make_record: Make
) -> None:
    left: list[SelectionRecord] = []
    nowhere = f"host={short_tmp} dbname=x"
    options: dict[str, Any] = {"stop_deadline_s": 0.05, "on_left_over": left.extend}
    async with keeper_on(nowhere, **options) as keeper:
        records = [make_record() for _ in range(5)]
        async with asyncio.timeout(5):
            for record in records:
                assert (await keeper.submit(record)).verdict is Verdict.ACCEPTED
            assert (await keeper.submit(records[0])).verdict is Verdict.DUPLICATE
            assert len(await keeper.find(records[0].order_id)) == 1
            with pytest.raises(StoreUnavailable):
                await keeper.find("unknown")
        assert not keeper.metrics.orders_loaded
        assert keeper.metrics.unanswered == 5
    assert left == records
