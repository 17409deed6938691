"""The keeper over a real journal and a real PostgreSQL: verdicts, classes, reading back, two hosts, restarts."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from engine.records import (
    AdaptationRecord,
    MarketUpdate,
    OperationRecord,
    OutcomeRecord,
    Record,
    ReferenceRecord,
    SelectionRecord,
    UpdateRecord,
)
from engine.values import MarketState
from store.claims import Verdict
from store.decisions import KeeperSettings
from store.drainer import DrainerSettings
from store.errors import JournalFull, RecordInvalid, RecordSetAside, StoreUnavailable
from store.journal.settings import JournalSettings
from store.keeper import Keeper
from store.market import MarketVerdict
from store.open_keeper import JournalPlace, open_keeper
from store.pool import PoolSettings
from store.selection_rows import RowStatus
from store.submission import Acknowledgement, Condition

Make = Callable[..., SelectionRecord]
OpenKeeper = Callable[..., AbstractAsyncContextManager[Keeper]]
BUFFERED, JOURNALED, COMMITTED = Acknowledgement
SOON = DrainerSettings(batch_wait_s=0.002)
NEVER = DrainerSettings(batch_wait_s=30.0)
SMALL = JournalSettings(
    limit_bytes=256 * 1024,
    segment_bytes=64 * 1024,
    urgent_segment_bytes=64 * 1024,
    most_payload_bytes=32 * 1024,
)
# No partition is made for so old a moment, so PostgreSQL takes no row of it.
IMPOSSIBLE_NS = 1_000_000_000_000_000_000


@pytest.fixture
def opened(database: str, short_tmp: Path) -> OpenKeeper:
    """Keepers of hosts by name; the journal of a host is the same at every opening."""

    def make(host_id: str = "host-a", conninfo: str = database, **options: Any) -> Any:
        pool = PoolSettings(conninfo, acquire_timeout_s=0.5, role="ess_service")
        place = JournalPlace(
            short_tmp / host_id, options.pop("journal", JournalSettings(segment_bytes=1 << 20))
        )
        drainer = options.pop("drainer", SOON)
        settings = options.pop("settings", KeeperSettings(load_wait_s=5.0))
        market = {"AAPL": MarketState(as_of_ns=0)}
        return open_keeper(
            pool, market, place, host_id=host_id, drainer_settings=drainer, settings=settings, **options
        )

    return make


def rows(database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query.encode()).fetchall()


async def test_an_accepted_record_is_a_row_with_every_field(
    opened: OpenKeeper, database: str, make_record: Make
) -> None:
    record = make_record()
    async with opened() as keeper:
        answer = await keeper.submit(record, COMMITTED)
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
    opened: OpenKeeper, database: str, make_record: Make
) -> None:
    async with opened() as keeper:
        first = make_record("o", request_hash="h", response=b"first")
        assert (await keeper.submit(first, JOURNALED)).verdict is Verdict.ACCEPTED
        retry = await keeper.submit(make_record("o", request_hash="h", response=b"second"), JOURNALED)
        assert (retry.verdict, retry.selection_id, retry.response) == (
            Verdict.DUPLICATE, first.selection_id, b"first",
        )  # fmt: skip
        other = await keeper.submit(make_record("o", request_hash="x"), COMMITTED)
        assert (other.verdict, other.response, other.other_request_hash) == (Verdict.CONFLICT, None, "h")
        waited = await keeper.submit(make_record("o", request_hash="h"), COMMITTED)
        assert (waited.verdict, waited.response, waited.status) == (
            Verdict.DUPLICATE, b"first", RowStatus.RECORDED,
        )  # fmt: skip
    assert rows(database, "SELECT count(*) FROM strategy_selections") == [(1,)]


async def test_many_at_once_for_one_order_give_one_decision(
    opened: OpenKeeper, database: str, make_record: Make
) -> None:
    records = [make_record("o", request_hash="h", response=b"%d" % number) for number in range(50)]
    async with opened() as keeper:
        answers = await asyncio.gather(
            *(keeper.submit(r, (BUFFERED, JOURNALED, COMMITTED)[i % 3]) for i, r in enumerate(records))
        )
    assert [answer.verdict for answer in answers].count(Verdict.ACCEPTED) == 1
    assert len({answer.response for answer in answers}) == 1
    assert rows(database, "SELECT count(*) FROM strategy_selections") == [(1,)]


async def test_a_written_decision_is_found_before_and_after_its_commit(
    opened: OpenKeeper, database: str, make_record: Make
) -> None:
    record = make_record()
    async with opened(drainer=NEVER) as keeper:
        await keeper.submit(record, JOURNALED)
        (pending,) = await keeper.find(record.order_id)
        assert not pending.committed
        assert pending.response == record.response
        await keeper.submit(make_record(), COMMITTED)  # hastens both
        (found,) = await keeper.find(record.order_id)
        assert found == msgspec.structs.replace(pending, committed=True)
        assert await keeper.find("nobody's") == ()
    async with opened() as fresh:
        assert await fresh.find(record.order_id) == (found,)


async def test_orders_of_an_earlier_run_are_known_without_asking(
    opened: OpenKeeper, database: str, make_record: Make
) -> None:
    record = make_record("o", request_hash="h")
    async with opened() as keeper:
        await keeper.submit(record, JOURNALED)
    async with opened() as keeper:
        assert (await keeper.submit(make_record(), JOURNALED)).verdict is Verdict.ACCEPTED
        assert keeper.metrics.orders_loaded
        assert keeper.metrics.questions == 0
        retry = await keeper.submit(make_record("o", request_hash="h"), JOURNALED)
        assert (retry.verdict, retry.selection_id, retry.response) == (
            Verdict.DUPLICATE, record.selection_id, record.response,
        )  # fmt: skip
        assert (
            await keeper.submit(make_record("o", request_hash="x"), JOURNALED)
        ).verdict is Verdict.CONFLICT


@pytest.mark.parametrize(("older_loaded", "all_known"), [(0, False), (3, False), (10, True), (1000, True)])
async def test_orders_that_memory_has_no_room_for_are_asked_for(
    opened: OpenKeeper, database: str, make_record: Make, older_loaded: int, all_known: bool
) -> None:
    records = [make_record(request_hash=f"h{number}") for number in range(10)]
    async with opened() as keeper:
        for record in records:
            await keeper.submit(record, JOURNALED)
    settings = KeeperSettings(
        claims=2, responses=2, older_loaded=older_loaded, older_page=3, load_wait_s=5.0
    )
    async with opened(settings=settings) as keeper:
        for record in records:
            again = await keeper.submit(msgspec.structs.replace(record, response=b"other"), JOURNALED)
            assert (again.verdict, again.response) == (Verdict.DUPLICATE, record.response)
        before = keeper.metrics.questions
        assert (await keeper.submit(make_record(), JOURNALED)).verdict is Verdict.ACCEPTED
        assert (keeper.metrics.questions == before) == keeper.metrics.orders_loaded == all_known


async def test_evicted_orders_of_this_run_are_asked_for(
    opened: OpenKeeper, database: str, make_record: Make
) -> None:
    settings = KeeperSettings(claims=5, responses=5, load_wait_s=5.0)
    async with opened(settings=settings) as keeper:
        records = [make_record() for _ in range(30)]
        for record in records:
            await keeper.submit(record, COMMITTED)
        assert keeper.metrics.claims == 5
        assert keeper.metrics.questions == 0
        again = await keeper.submit(records[0], JOURNALED)
        assert (again.verdict, again.response) == (Verdict.DUPLICATE, records[0].response)


async def test_two_hosts_with_one_order_keep_both_decisions(
    opened: OpenKeeper, database: str, make_record: Make
) -> None:
    async with opened("host-a") as a, opened("host-b") as b:
        ours, theirs = make_record("o", request_hash="ha"), make_record("o", request_hash="hb")
        await a.submit(ours, COMMITTED)
        assert (await b.submit(theirs, JOURNALED)).verdict is Verdict.ACCEPTED  # this host decides
        waited = await b.submit(msgspec.structs.replace(theirs), COMMITTED)  # COMMITTED: exact
        assert (waited.verdict, waited.selection_id, waited.other_request_hash) == (
            Verdict.CONFLICT, ours.selection_id, "ha",
        )  # fmt: skip
        found = await b.find("o")
        assert [(row.selection_id, row.status) for row in found] == [
            (ours.selection_id, RowStatus.RECORDED), (theirs.selection_id, RowStatus.CONFLICTED),
        ]  # fmt: skip
        assert b.metrics.drainer.conflicted == 1


async def test_the_same_request_at_two_hosts_gives_one_answer_to_who_waits(
    opened: OpenKeeper, database: str, make_record: Make
) -> None:
    async with opened("host-a") as a, opened("host-b") as b:
        first = make_record("o", request_hash="h", response=b"a")
        await a.submit(first, COMMITTED)
        retried = await b.submit(make_record("o", request_hash="h", response=b"b"), COMMITTED)
        assert (retried.verdict, retried.response) == (Verdict.DUPLICATE, b"a")
        again = await b.submit(make_record("o", request_hash="h", response=b"c"), JOURNALED)
        assert (again.verdict, again.response) == (Verdict.DUPLICATE, b"a")


async def test_writing_a_record_twice_changes_nothing(
    opened: OpenKeeper, database: str, make_record: Make
) -> None:
    record = make_record()
    async with opened("host-a") as a, opened("host-b") as b:
        for keeper in (a, b):
            answer = await keeper.submit(record, COMMITTED)
            assert (answer.verdict, answer.status) == (Verdict.ACCEPTED, RowStatus.RECORDED)
    assert rows(database, "SELECT status, host_id FROM strategy_selections") == [("RECORDED", "host-a")]


async def test_a_refused_record_leaves_its_order_free(opened: OpenKeeper, make_record: Make) -> None:
    async with opened(drainer=NEVER) as keeper:
        with pytest.raises(RecordInvalid):
            await keeper.submit(make_record("o", confidence=float("nan")), JOURNALED)
        with pytest.raises(RecordInvalid):
            await keeper.submit(make_record("o", versions={"nul": "\0"}), BUFFERED)
        assert keeper.metrics.claims == 0
        assert (await keeper.submit(make_record("o"), JOURNALED)).verdict is Verdict.ACCEPTED


async def test_a_full_journal_refuses_says_so_and_is_back_by_itself(
    opened: OpenKeeper, database: str, make_record: Make, eventually: Callable[..., Any]
) -> None:
    states: list[Condition] = []
    taken: list[str] = []
    async with opened(journal=SMALL, drainer=NEVER) as keeper:
        keeper.watch_state(lambda state: states.append(state.condition))
        with suppress(JournalFull):
            while True:
                await keeper.submit(make_record(f"o{len(taken)}", request=bytes(4_000)), JOURNALED)
                taken.append(f"o{len(taken)}")
        refused = make_record(f"o{len(taken)}", request_hash="h", request=bytes(4_000))
        with pytest.raises(JournalFull):
            await keeper.submit(refused, BUFFERED)
        assert keeper.metrics.claims == len(taken) > 20
        assert (await keeper.find("o0"))[0].durable
        assert states == [Condition.READY, Condition.FULL]
        keeper._line.drainer.hasten()  # as when PostgreSQL is back
        await eventually(lambda: states == [Condition.READY, Condition.FULL, Condition.READY])
        assert (await keeper.submit(refused, JOURNALED)).verdict is Verdict.ACCEPTED
    assert rows(database, "SELECT count(*) FROM strategy_selections") == [(len(taken) + 1,)]


async def test_who_waits_for_an_impossible_row_is_told_every_time(
    opened: OpenKeeper, database: str, make_record: Make
) -> None:
    poison = make_record("o", request_hash="h", created_at_ns=IMPOSSIBLE_NS)
    async with opened() as keeper:
        for _ in range(2):
            with pytest.raises(RecordSetAside):
                await keeper.submit(poison, COMMITTED)
        assert (await keeper.submit(make_record(), COMMITTED)).status is RowStatus.RECORDED
    assert rows(database, "SELECT sequence, kind FROM set_aside") == [(1, 1)]


async def test_a_waiter_that_gives_up_leaves_the_commit_to_the_others(
    opened: OpenKeeper, database: str, make_record: Make
) -> None:
    record = make_record()
    async with opened(drainer=DrainerSettings(batch_wait_s=0.2)) as keeper:
        await keeper.submit(record, JOURNALED)
        waiters = [asyncio.create_task(keeper.submit(record, COMMITTED)) for _ in range(2)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        assert (await waiters[1]).status is RowStatus.RECORDED


async def test_market_updates_are_merged_told_and_persisted(
    opened: OpenKeeper, database: str, eventually: Callable[..., Any]
) -> None:
    heard: list[tuple[str, MarketState]] = []
    async with opened() as keeper:
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


async def test_without_a_server_answers_go_on_and_the_next_start_drains(
    opened: OpenKeeper, database: str, short_tmp: Path, make_record: Make, eventually: Callable[..., Any]
) -> None:
    nowhere = f"host={short_tmp} dbname=x"
    records = [make_record() for _ in range(5)]
    async with opened(conninfo=nowhere, settings=KeeperSettings()) as keeper:
        async with asyncio.timeout(5):
            for record in records:
                assert (await keeper.submit(record, JOURNALED)).verdict is Verdict.ACCEPTED
            assert (await keeper.submit(records[0], JOURNALED)).verdict is Verdict.DUPLICATE
            assert len(await keeper.find(records[0].order_id)) == 1
            with pytest.raises(StoreUnavailable):
                await keeper.find("unknown")
        assert not keeper.metrics.orders_loaded
        begun_s = time.monotonic()
    assert time.monotonic() - begun_s < 2.0, "a stop does not wait for PostgreSQL"
    # Still away: what waits in the journal is known from the first call on, and read from there.
    async with opened(conninfo=nowhere, settings=KeeperSettings()) as keeper:
        again = await keeper.submit(msgspec.structs.replace(records[1], response=b"other"), JOURNALED)
        assert (again.verdict, again.response) == (Verdict.DUPLICATE, records[1].response)
        conflict = await keeper.submit(make_record(records[2].order_id), JOURNALED)
        assert (conflict.verdict, conflict.other_request_hash) == (Verdict.CONFLICT, records[2].request_hash)
        (found,) = await keeper.find(records[3].order_id)
        assert (found.selection_id, found.response) == (records[3].selection_id, records[3].response)
        assert (found.durable, found.committed) == (True, False)
    async with opened() as keeper:
        await eventually(lambda: keeper.metrics.drainer.pending == 0)
        waited = await keeper.submit(records[4], COMMITTED)
        assert (waited.verdict, waited.status) == (Verdict.DUPLICATE, RowStatus.RECORDED)
    assert rows(database, "SELECT order_id FROM strategy_selections ORDER BY sequence") == [
        (record.order_id,) for record in records
    ]


async def test_what_memory_let_go_of_is_read_from_the_journal(
    opened: OpenKeeper, short_tmp: Path, make_record: Make
) -> None:
    """However long PostgreSQL stays away, answers are bounded in memory."""
    settings = KeeperSettings(responses=3, load_wait_s=0.0)
    records = [make_record(request_hash="h") for _ in range(40)]
    async with opened(conninfo=f"host={short_tmp} dbname=x", settings=settings) as keeper:
        for record in records:
            await keeper.submit(record, JOURNALED)
        assert len(keeper._decisions._recent) == 3
        assert sum(claim.response is not None for _, claim in keeper._claims.open_claims()) == 3
        for record in records:
            (found,) = await keeper.find(record.order_id)
            assert (found.response, found.instrument_id) == (record.response, record.instrument_id)
            again = await keeper.submit(msgspec.structs.replace(record, response=b"other"), JOURNALED)
            assert (again.verdict, again.response) == (Verdict.DUPLICATE, record.response)


async def test_every_kind_of_record_is_kept(opened: OpenKeeper, database: str, make_record: Make) -> None:
    now_ns = 1_760_000_000_000_000_000
    selection = make_record()
    others: list[Record] = [
        UpdateRecord(new_id(), selection.order_id, 1, now_ns, "FILL", b"update"),
        AdaptationRecord(
            new_id(),
            selection.order_id,
            selection.selection_id,
            1,
            now_ns,
            "KEEP",
            "NEWS",
            "why",
            0.0,
            b"advice",
        ),
        OperationRecord(new_id(), now_ns, "HALTED", "INSTRUMENT", "AAPL", "a person", "a reason", {"x": 1}),
        ReferenceRecord(new_id(), now_ns, "sessions", "00" * 32, b"content"),
        OutcomeRecord(
            new_id(), selection.order_id, selection.selection_id, now_ns, {"cost": 1.5}, 0.5, b"report"
        ),
    ]
    async with opened() as keeper:
        await keeper.submit(selection, BUFFERED)
        for record, acknowledgement in zip(
            others, [BUFFERED, JOURNALED, COMMITTED, BUFFERED, COMMITTED], strict=True
        ):
            await keeper.record(record, acknowledgement)
        tables = ("order_updates", "adaptations", "operations", "reference_data", "outcomes")
        counts = [rows(database, f"SELECT count(*) FROM {table}")[0][0] for table in tables]
        assert counts == [1] * 5
    ((score,),) = rows(database, "SELECT performance_score FROM strategy_selections")
    assert score == 0.5


def new_id() -> str:
    return str(uuid.uuid4())
