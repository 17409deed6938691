"""The keeper over a journal that does as it is told: a class is never acknowledged before it is met, and a journal that
fails is opened anew with exactly what is on its disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import psycopg
import pytest

from engine.records import OperationRecord, SelectionRecord
from store.backoff import Backoff
from store.claims import Verdict
from store.decisions import KeeperSettings
from store.drainer import Drainer, DrainerSettings
from store.errors import JournalCorrupt, JournalFailed, JournalFull, StoreUnavailable
from store.journal.port import JournalPort
from store.keeper import Keeper
from store.market_board import MarketBoard
from store.older import OrderHashes
from store.selection_reader import RetiredWith
from store.selection_rows import OrderOwner, RowStatus
from store.submission import Acknowledgement, Condition, StoredSelection, Submission
from tests.helpers.memory_journal import MemoryJournal, MemorySink
from tests.helpers.memory_orders import MemoryOrders
from tests.helpers.order_pages import page_of

Make = Callable[..., SelectionRecord]
BUFFERED, JOURNALED, COMMITTED = Acknowledgement
QUICK = DrainerSettings(batch_wait_s=0.001, backoff=Backoff(0.001, 0.002))


class MemorySource:
    """What PostgreSQL would answer. With `is_away` it says that it cannot; with `hangs` it says nothing."""

    def __init__(self) -> None:
        self.orders: dict[str, OrderOwner] = {}
        self.responses: dict[str, bytes] = {}
        self.is_away = False
        self.hangs = False
        self.asked: list[str] = []
        self.pages: list[str] = []
        self.fails_at_pages: set[int] = set()

    async def owner_of(self, order_id: str) -> OrderOwner | None:
        self.asked.append(order_id)
        await self._answer()
        return self.orders.get(order_id)

    async def response_of(self, selection_id: str) -> bytes | None:
        await self._answer()
        return self.responses.get(selection_id)

    async def retired_with(self, order_id: str) -> RetiredWith | None:
        await self._answer()
        return None

    async def selections_of(self, order_id: str) -> tuple[StoredSelection, ...]:
        await self._answer()
        return ()

    async def newest_orders(self, limit: int) -> AsyncGenerator[tuple[str, str, str], None]:
        await self._answer()
        for order_id, owner in tuple(self.orders.items())[:limit]:
            yield order_id, owner.request_hash, owner.selection_id

    async def order_hashes(self, after: str, limit: int) -> OrderHashes | None:
        await self._answer()
        self.pages.append(after)
        if len(self.pages) in self.fails_at_pages:
            raise StoreUnavailable("away between two pages")
        return page_of(self.orders, after, limit)

    async def _answer(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_away:
            raise StoreUnavailable("away")


class Host:
    """A keeper and what stands behind it."""

    def __init__(self, journal: MemoryJournal | None = None) -> None:
        self.journal = journal or MemoryJournal()
        self.sink = MemorySink()
        self.source = MemorySource()
        self.reopen_errors: list[Exception] = []
        self.conditions: list[Condition] = []

    async def reopen(self) -> JournalPort:
        if self.reopen_errors:
            raise self.reopen_errors.pop(0)
        self.journal = self.journal.reopened()
        return self.journal

    @asynccontextmanager
    async def keeper(
        self, reopens: bool = True, stop_deadline_s: float = 1.0, **settings: Any
    ) -> AsyncIterator[Keeper]:
        quick: dict[str, Any] = {"backoff": Backoff(0.001, 0.002), "load_wait_s": 1.0}
        keeper = Keeper(
            self.journal,
            lambda journal: Drainer(journal, self.sink, QUICK),
            self.source,
            MarketBoard({}),
            MemoryOrders(),
            settings=KeeperSettings(**quick | settings),
            reopen=self.reopen if reopens else None,
        )
        await keeper.start()
        keeper.watch_state(lambda state: self.conditions.append(state.condition))
        try:
            yield keeper
        finally:
            self.sink.gate.set()
            self.left = await keeper.stop(stop_deadline_s)


async def still_waits(asking: Coroutine[Any, Any, Submission]) -> asyncio.Task[Submission]:
    """A task that has had every chance to answer, and has not."""
    task = asyncio.ensure_future(asking)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done(), task.result()
    return task


async def test_a_class_is_never_acknowledged_before_it_is_met(make_record: Make) -> None:
    host, record = Host(), make_record("o", request_hash="h")
    host.journal.is_held = True
    host.sink.gate.clear()
    async with host.keeper(load_wait_s=0.01) as keeper:
        assert (await keeper.submit(record, BUFFERED)).verdict is Verdict.ACCEPTED
        (found,) = await keeper.find("o")
        assert (found.durable, found.committed) == (False, False)
        # Retries of an order that is not on disk yet, and a conflict with it, wait for the same sync.
        journaled = await still_waits(keeper.submit(make_record("o", request_hash="h"), JOURNALED))
        conflict = await still_waits(keeper.submit(make_record("o", request_hash="x"), JOURNALED))
        committed = await still_waits(keeper.submit(make_record("o", request_hash="h"), COMMITTED))
        assert (await keeper.submit(make_record("o", request_hash="x"), BUFFERED)).verdict is Verdict.CONFLICT
        host.journal.sync()
        assert (await journaled).selection_id == record.selection_id
        assert (await conflict).verdict is Verdict.CONFLICT
        assert (await keeper.find("o"))[0].durable
        await still_waits_more(committed)
        host.sink.gate.set()
        assert (await committed).status is RowStatus.RECORDED
        assert (await keeper.find("o"))[0].committed


async def still_waits_more(task: asyncio.Task[Submission]) -> None:
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()


async def test_records_of_other_kinds_wait_for_their_class_too() -> None:
    host = Host()
    host.journal.is_held = True
    record = OperationRecord("0" * 8 + "-0000-4000-8000-" + "0" * 12, 1, "HALTED", "ALL", "", "me", "why", {})
    async with host.keeper() as keeper:
        await keeper.record(record, BUFFERED)
        waiting = asyncio.ensure_future(keeper.record(record, JOURNALED))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        host.journal.sync()
        await waiting


async def test_a_waiter_that_gives_up_leaves_the_sync_to_the_others(make_record: Make) -> None:
    host, record = Host(), make_record()
    host.journal.is_held = True
    async with host.keeper() as keeper:
        first = await still_waits(keeper.submit(record, JOURNALED))
        second = await still_waits(keeper.submit(record, JOURNALED))
        first.cancel()
        await asyncio.sleep(0)
        host.journal.sync()
        assert (await second).verdict is Verdict.DUPLICATE


async def test_a_journal_that_failed_is_opened_anew_with_what_is_on_its_disk(
    make_record: Make, eventually: Callable[..., Any]
) -> None:
    host = Host()
    host.sink.gate.clear()
    records = [make_record(f"o{number}", request_hash="h", response=b"first") for number in range(6)]
    async with host.keeper() as keeper:
        await keeper.submit(records[0], JOURNALED)
        host.journal.is_held = True
        waiting = [await still_waits(keeper.submit(record, JOURNALED)) for record in records[1:4]]
        await keeper.submit(records[4], BUFFERED)
        host.reopen_errors = [OSError("still ill"), JournalFailed("still ill")]
        host.journal.fail(written=2)  # o1 and o2 got to the disk, o3 and o4 did not
        for task in waiting:
            with pytest.raises(JournalFailed):
                await task
        with pytest.raises(JournalFailed):
            await keeper.submit(records[5], BUFFERED)
        await eventually(lambda: host.conditions == [Condition.READY, Condition.FAILED, Condition.READY])
        host.sink.gate.set()
        for record, verdict in zip(
            records, [Verdict.DUPLICATE] * 3 + [Verdict.ACCEPTED] * 3, strict=True
        ):
            again = msgspec.structs.replace(record, selection_id=make_record().selection_id, response=b"again")
            answer = await keeper.submit(again, COMMITTED)
            kept = record if verdict is Verdict.DUPLICATE else again
            assert (answer.verdict, answer.selection_id, answer.response) == (
                verdict, kept.selection_id, kept.response,
            )  # fmt: skip
    assert host.sink.order_ids == [f"o{number}" for number in range(6)]
    assert host.left == ()


async def test_while_the_journal_is_failed_no_retry_is_answered_for_what_may_be_gone(make_record: Make) -> None:
    host, record = Host(), make_record("o", request_hash="h")
    host.journal.is_held = True
    async with host.keeper(reopens=False) as keeper:
        await keeper.submit(record, BUFFERED)
        host.journal.fail()
        await asyncio.sleep(0)
        for acknowledgement in Acknowledgement:
            with pytest.raises(JournalFailed):
                await keeper.submit(record, acknowledgement)
        assert isinstance(await keeper.broken, JournalFailed)
    assert host.left == (record.selection_id,)


async def test_a_damaged_journal_is_not_opened_again_and_again(make_record: Make) -> None:
    host = Host()
    async with host.keeper() as keeper:
        host.reopen_errors = [JournalCorrupt("segment 1 at byte 4096, entry 7")]
        host.journal.fail()
        with pytest.raises(JournalFailed):
            await keeper.submit(make_record(), JOURNALED)
        assert "entry 7" in str(await keeper.broken)
        assert host.conditions == [Condition.READY, Condition.FAILED]


async def test_a_full_journal_takes_nothing_and_frees_the_order(
    make_record: Make, eventually: Callable[..., Any]
) -> None:
    host = Host(MemoryJournal(limit_entries=3))
    host.sink.gate.clear()
    async with host.keeper(load_wait_s=0.01) as keeper:
        for number in range(3):
            await keeper.submit(make_record(f"o{number}"), JOURNALED)
        for _ in range(2):
            with pytest.raises(JournalFull):
                await keeper.submit(make_record("refused"), JOURNALED)
        assert keeper.metrics.claims == 3
        assert host.conditions == [Condition.READY, Condition.FULL]
        host.sink.gate.set()
        await eventually(lambda: host.conditions[-1] is Condition.READY)
        assert (await keeper.submit(make_record("refused"), JOURNALED)).verdict is Verdict.ACCEPTED


async def test_what_is_not_in_postgresql_is_claimed_from_the_first_call_on(make_record: Make) -> None:
    host = Host()
    host.sink.errors = [psycopg.OperationalError("away")] * 10**6
    host.source.is_away = True
    records = [make_record(f"o{number}", request_hash="h") for number in range(20)]
    async with host.keeper() as keeper:
        for record in records:
            await keeper.submit(record, JOURNALED)
    await host.reopen()
    async with host.keeper() as keeper:
        for record in records:
            again = await keeper.submit(make_record(record.order_id, request_hash="h"), JOURNALED)
            assert (again.verdict, again.response) == (Verdict.DUPLICATE, record.response)
            other = await keeper.submit(make_record(record.order_id, request_hash="x"), JOURNALED)
            assert other.verdict is Verdict.CONFLICT
        assert keeper.metrics.questions == 0
        assert not keeper.metrics.orders_loaded


async def test_what_was_drained_and_is_still_kept_is_known_without_postgresql(make_record: Make) -> None:
    host, record = Host(), make_record("o", request_hash="h")
    async with host.keeper() as keeper:
        await keeper.submit(record, COMMITTED)
    await host.reopen()
    host.source.is_away = True
    async with host.keeper(load_wait_s=0.01) as keeper:
        again = await keeper.submit(make_record("o", request_hash="h"), JOURNALED)
        assert (again.verdict, again.response) == (Verdict.DUPLICATE, record.response)


async def test_a_database_that_hangs_holds_orders_up_once_and_briefly(make_record: Make) -> None:
    host = Host()
    host.source.hangs = True
    async with host.keeper(load_wait_s=0.01, ask_timeout_s=0.05, ask_again_after_s=60.0) as keeper:
        async with asyncio.timeout(2):
            for _ in range(50):
                assert (await keeper.submit(make_record(), JOURNALED)).verdict is Verdict.ACCEPTED
        assert len(host.source.asked) == 1
        assert keeper.metrics.unanswered == 50


async def test_an_order_that_was_here_before_is_not_decided_again_without_asking(make_record: Make) -> None:
    host = Host()
    old = {f"old{number}": OrderOwner("h", make_record().selection_id) for number in range(10)}
    host.source.orders = dict(old)
    host.source.responses = {owner.selection_id: b"stored" for owner in old.values()}
    async with host.keeper(claims=2, responses=2, ask_seen_timeout_s=0.05) as keeper:
        assert keeper.metrics.orders_loaded
        host.source.is_away = True
        with pytest.raises(StoreUnavailable):
            await keeper.submit(make_record("old9", request_hash="h"), JOURNALED)
        assert (await keeper.submit(make_record("new"), JOURNALED)).verdict is Verdict.ACCEPTED
        host.source.is_away = False
        again = await keeper.submit(make_record("old9", request_hash="h"), JOURNALED)
        assert (again.verdict, again.response) == (Verdict.DUPLICATE, b"stored")


async def test_older_orders_are_loaded_page_by_page_and_a_failure_between_pages_is_gone_on_from(
    make_record: Make,
) -> None:
    host = Host()
    host.source.orders = {f"old{number:02}": OrderOwner("h", f"id{number}") for number in range(25)}
    host.source.fails_at_pages = {2}
    async with host.keeper(claims=2, older_page=10, load_wait_s=5.0) as keeper:
        assert keeper.metrics.orders_loaded
        assert host.source.pages == ["", "old09", "old09", "old19", "old24"]
        for _ in range(20):
            await keeper.submit(make_record(), JOURNALED)
        assert keeper.metrics.questions == 0
        for number in range(2, 25):
            assert (await keeper.submit(make_record(f"old{number:02}"), JOURNALED)).verdict is Verdict.CONFLICT
        assert keeper.metrics.questions == 23


async def test_a_commit_whose_answer_was_lost_is_looked_up(make_record: Make) -> None:
    host = Host()
    ours, theirs = make_record("ours"), make_record("theirs", request_hash="h")
    host.sink.lose_answers = 1
    async with host.keeper() as keeper:
        host.source.orders["ours"] = OrderOwner(ours.request_hash, ours.selection_id)
        host.source.orders["theirs"] = OrderOwner("other", "their id")
        answers = await asyncio.gather(keeper.submit(ours, COMMITTED), keeper.submit(theirs, COMMITTED))
    assert (answers[0].verdict, answers[0].status) == (Verdict.ACCEPTED, RowStatus.RECORDED)
    assert (answers[1].verdict, answers[1].other_request_hash) == (Verdict.CONFLICT, "other")


async def test_a_stop_over_a_failing_disk_names_what_was_lost_and_opens_nothing_anew(make_record: Make) -> None:
    host, record = Host(), make_record()
    host.journal.is_held = host.journal.fails_at_close = True
    async with host.keeper(stop_deadline_s=0.01) as keeper:
        await keeper.submit(record, BUFFERED)
    assert host.left == (record.selection_id,)
    assert host.conditions == [Condition.READY, Condition.FAILED]
    await asyncio.sleep(0.01)
    assert host.conditions[-1] is Condition.FAILED
