"""Work in the background ends when it is told to, even where the first cancel is lost, and never by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.learning.corrections import Exploration
from engine.records import Record
from service.http.console.feed import OrderFeed
from service.learning import Learner, LearnSettings
from service.performance_days import KeepSettings, PerformanceKeeper
from service.relay import Relay, RelaySettings
from service.world import World
from store.archive import Archive
from store.backoff import Backoff
from store.drain_sink import DrainPosition
from store.drainer import Drainer
from store.ending import end
from store.errors import JournalFailed
from store.journal_health import JournalHealth
from store.learning_rows import Pair
from store.outbox_bell import LocalBell, OutboxBell
from store.outbox_reader import BEGIN, JournalHead, Lag, OutboxRow, Position
from store.performance_days import DueDay
from store.pool import PoolSettings
from store.submission import Acknowledgement, Condition
from tests.helpers import world
from tests.helpers.memory_journal import MemoryJournal, MemorySink

Eventually = Callable[..., Any]


class Deaf:
    """Waits for ever, and loses the first cancel, as `asyncio.wait_for` of Python 3.11 does at times."""

    def __init__(self) -> None:
        self.is_waiting = self.has_lost_one = False

    async def wait(self, *_: object) -> None:
        self.is_waiting = True
        try:
            await asyncio.sleep(3600.0)
        except asyncio.CancelledError:
            self.has_lost_one = True
        await asyncio.sleep(3600.0)


async def test_what_loses_a_cancel_is_told_again() -> None:
    one, other = Deaf(), Deaf()
    tasks = [asyncio.ensure_future(deaf.wait()) for deaf in (one, other)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5.0):
        await end(*tasks, None, again_s=0.01)
    assert one.has_lost_one
    assert other.has_lost_one
    assert all(task.cancelled() for task in tasks)


async def test_what_ends_with_an_error_disturbs_nobody() -> None:
    async def fail() -> None:
        try:
            await asyncio.sleep(3600.0)
        finally:
            raise ZeroDivisionError

    task = asyncio.ensure_future(fail())
    await asyncio.sleep(0)
    await end(task)
    assert isinstance(task.exception(), ZeroDivisionError)
    await end(task)


async def test_a_drainer_that_loses_a_cancel_stops(eventually: Eventually) -> None:
    deaf = Deaf()

    class DeafSink(MemorySink):
        async def position(self, journal_id: str) -> DrainPosition:
            await deaf.wait()
            raise AssertionError

    drainer = Drainer(MemoryJournal(), DeafSink())
    drainer.start()
    await eventually(lambda: deaf.is_waiting)
    async with asyncio.timeout(10.0):
        assert await drainer.stop(0.0) == 0
    assert deaf.has_lost_one


async def test_a_bell_that_loses_a_cancel_stops(eventually: Eventually) -> None:
    deaf = Deaf()
    bell = OutboxBell(PoolSettings("host=127.0.0.1 port=1 dbname=none user=nobody"), sleep=deaf.wait)
    bell.start()
    await eventually(lambda: deaf.is_waiting)
    async with asyncio.timeout(10.0):
        await bell.stop()
    assert deaf.has_lost_one


class NoOutcomes:
    async def recent(self) -> tuple[int, str]:
        return 0, ""

    async def outcomes(self, pair: Pair) -> list[Any]:
        return []

    async def latest(self, pair: Pair) -> bytes | None:
        return None

    async def add(self, pair: Pair, host_id: str, outcomes: int, alarms: tuple[str, ...], content: bytes) -> bool:
        return False


class NoRecorder:
    async def record(self, record: Record, acknowledgement: Acknowledgement) -> None:
        raise AssertionError("nothing is in force")


async def test_a_learner_that_loses_a_cancel_stops(tmp_path: Path, eventually: Eventually) -> None:
    deaf = Deaf()
    settings = LearnSettings("h", 60.0, Exploration(), computes=True, data_dir=tmp_path)
    learner = Learner(
        World(world.usual()), NoOutcomes(), LocalBell(), Archive(tmp_path), NoRecorder(), settings, sleep=deaf.wait
    )
    await learner.start()
    await eventually(lambda: deaf.is_waiting)
    async with asyncio.timeout(10.0):
        await learner.stop()
    assert deaf.has_lost_one


async def test_days_that_cannot_be_computed_do_not_end_the_looking(
    eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    class Days:
        looks = 0

        async def due(self, first_day: str, today: str) -> list[DueDay]:
            self.looks += 1
            if self.looks == 1:
                raise ValueError("a row that nobody expected")
            return []

        async def fill(self, day: str) -> int | None:
            raise AssertionError

    days = Days()
    keeper = PerformanceKeeper(days, KeepSettings(period_s=0.001, backoff=Backoff(first_s=0.001)))
    keeper.start()
    await eventually(lambda: days.looks > 2)
    assert keeper.failures == 1
    await keeper.stop()


class Outbox:
    """Answers once what nobody can use."""

    def __init__(self) -> None:
        self.looks = 0

    async def journals(self) -> dict[str, JournalHead]:
        self.looks += 1
        if self.looks == 1:
            raise ValueError("a row that nobody expected")
        return {}

    async def page(self, journal_id: str, after: Position, limit: int) -> tuple[OutboxRow, ...]:
        return ()

    async def cursor(self, relay: str, journal_id: str) -> Position:
        return BEGIN

    async def save_cursor(self, relay: str, journal_id: str, position: Position) -> None: ...

    async def lag(self, journal_id: str, after: Position) -> Lag:
        return Lag(0, 0)


class Nothing:
    """A lease and a broker of nothing."""

    held = frozenset[str]()

    async def check(self) -> None: ...

    async def take(self, journal_id: str) -> bool:
        return False

    async def publish(self, rows: Sequence[OutboxRow]) -> None: ...

    async def close(self) -> None: ...


async def test_a_relay_goes_on_after_an_error_that_nobody_expected(eventually: Eventually) -> None:
    outbox, settings = Outbox(), RelaySettings(tend_s=0.001, backoff=Backoff(first_s=0.001))
    relay = Relay(Nothing(), outbox, Nothing(), LocalBell(), host_id="host", settings=settings)
    relay.start()
    await eventually(lambda: outbox.looks > 2)
    await relay.stop()


async def test_a_feed_goes_on_after_an_answer_that_cannot_be_read_and_says_so(eventually: Eventually) -> None:
    class Workers:
        answer = b"\xff"

        async def call(
            self, path: str, data: bytes, timeout_s: float, metadata: Sequence[tuple[str, str]]
        ) -> bytes:
            return self.answer

    workers = Workers()
    feed = OrderFeed(workers, (), ask_every_s=0.001)
    feed.enter()
    await eventually(lambda: feed.asked)
    assert "cannot be read" in feed.away
    workers.answer = b""
    await eventually(lambda: not feed.away)
    await feed.leave()


async def test_a_journal_is_opened_anew_after_an_error_that_nobody_expected(eventually: Eventually) -> None:
    class Reopening:
        tried = 0

        async def leave_journal(self) -> None: ...

        async def enter_journal(self) -> int:
            self.tried += 1
            if self.tried == 1:
                raise ValueError("something that nobody expected")
            return 0

    reopening = Reopening()
    health = JournalHealth(lambda: False, reopening, Backoff(first_s=0.001), lambda: 0.5, asyncio.sleep)
    health.failed(JournalFailed("the disk"))
    await eventually(lambda: health.state.condition is Condition.READY)
    assert reopening.tried == 2
    await health.stop()
