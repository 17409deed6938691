"""The daily table over a real PostgreSQL: what is due, what is written, by whom, and that the report says the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from engine.performance import performance_of
from engine.records import Record
from service.performance_days import KeepSettings, PerformanceKeeper
from store.backoff import Backoff
from store.errors import StoreUnavailable
from store.performance_days import LOCK_KEY, OVERLAP_S, DueDay, PerformanceDays
from store.performance_reader import Span
from store.pool import PoolSettings, make_pool
from store.server_checks import SERVICE_ROLE
from tests.contract.test_performance import DAY_NS, MONDAY_NS, drain, ended, kept, made, reader_on

FIRST, TODAY = "2025-06-01", "2025-06-18"
# Wednesday, 2025-06-18 00:10.
NOW_NS = MONDAY_NS + 2 * DAY_NS + 600_000_000_000


@asynccontextmanager
async def days_on(conninfo: str) -> AsyncIterator[PerformanceDays]:
    pool = make_pool(PoolSettings(conninfo, min_size=0, acquire_timeout_s=0.5, role=SERVICE_ROLE))
    await pool.open(wait=False)
    try:
        yield PerformanceDays(pool)
    finally:
        await pool.close(timeout=1.0)


def long_ago(database: str) -> None:
    """As if all that is there had been written long before now, in the order in which it was."""
    hour_ago = f"interval '{OVERLAP_S + 3600} seconds'"
    with psycopg.connect(database) as connection:
        # Records are append-only for everybody but replication.
        connection.execute("SET session_replication_role = replica")
        connection.execute(f"UPDATE outcomes SET inserted_at = inserted_at - {hour_ago}".encode())
        connection.execute(f"UPDATE strategy_performance SET created_at = created_at - {hour_ago}".encode())


async def test_an_ended_day_is_due_filled_and_then_due_no_more(database: str) -> None:
    orders = [made(), made(), made(strategy_name="TWAP")]
    await drain(database, [
        *orders,
        ended(orders[0], 0.001, MONDAY_NS, market_impact=0.0004),
        ended(orders[1], 0.003, MONDAY_NS + DAY_NS - 1_000),
        # Today goes on.
        ended(orders[2], 0.002, MONDAY_NS + 2 * DAY_NS),
    ])  # fmt: skip
    long_ago(database)
    async with days_on(database) as days:
        (due,) = await days.due(FIRST, TODAY)
        assert due.day == "2025-06-16"
        # Since it arrived, which was after the day's end here.
        assert due.waiting_since_us is not None
        assert due.waiting_since_us <= due.newest_us
        assert await days.fill(due.day) == 1
        assert kept(database) == [("VWAP", "2025-06-16", 2, 0.002, 0.0004, 0.5)]
        assert await days.due(FIRST, TODAY) == []
        assert await days.due("2025-06-17", "2025-06-19") != []


async def test_a_late_outcome_has_its_day_computed_anew(database: str) -> None:
    orders = [made(), made(), made(strategy_name="TWAP")]
    await drain(database, [*orders, ended(orders[0], 0.001, MONDAY_NS)])
    long_ago(database)
    async with days_on(database) as days:
        assert await days.fill("2025-06-16") == 1
        long_ago(database)
        # Another host was away.
        await drain(database, [ended(orders[1], 0.003, MONDAY_NS), ended(orders[2], 0.002, MONDAY_NS)], "journal-b")
        (due,) = await days.due(FIRST, TODAY)
        assert due.waiting_since_us == due.newest_us
        assert await days.fill("2025-06-16") == 2
        late = [("TWAP", "2025-06-16", 1, 0.002, None, 1.0), ("VWAP", "2025-06-16", 2, 0.002, None, 0.5)]
        assert kept(database) == late
        # Nothing waits, but what was being written meanwhile might have been missed: it is looked at once more.
        (again,) = await days.due(FIRST, TODAY)
        assert again.waiting_since_us is None
        assert await days.fill("2025-06-16") == 2
        assert kept(database) == late


async def test_fuller_figures_stay_when_retention_took_orders_away(database: str) -> None:
    order = made()
    await drain(database, [order, ended(order, 0.001, MONDAY_NS)])
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO strategy_performance (strategy_name, execution_date, orders_executed, avg_cost)"
            " VALUES ('VWAP', '2025-06-16', 7, 0.5)"
        )
    async with days_on(database) as days:
        assert await days.fill("2025-06-16") == 1
    assert kept(database) == [("VWAP", "2025-06-16", 7, 0.5, None, None)]


async def test_one_host_at_a_time(database: str) -> None:
    order = made()
    await drain(database, [order, ended(order, 0.001, MONDAY_NS)])
    async with days_on(database) as days:
        with psycopg.connect(database) as other:
            other.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
            assert await days.fill("2025-06-16") is None
            keeper = PerformanceKeeper(days, now_ns=lambda: NOW_NS)
            assert await keeper.look() == 0
            assert keeper.days_due == 1
            other.commit()
        assert await keeper.look() == 1
    assert (keeper.days_due, keeper.lag_s, keeper.filled) == (0, 0.0, 1)


async def test_the_table_has_the_figures_of_the_report(database: str) -> None:
    chance = random.Random(7)
    orders = [made(strategy_name=chance.choice(["VWAP", "TWAP", "POV"])) for _ in range(60)]
    records: list[Record] = []
    for order in orders:
        impact = {} if chance.random() < 0.3 else {"market_impact": chance.choice([-3.0, 0.001, 0.2, 5.0])}
        filled = order.quantity_shares - chance.choice([0.0, 2e-7, 1e-6, 5.0])
        at_ns = MONDAY_NS + chance.randrange(2) * DAY_NS
        records.append(ended(order, chance.uniform(-0.003, 0.004), at_ns, filled_quantity=filled, **impact))
    await drain(database, [*orders, *records])
    async with days_on(database) as days, reader_on(database) as reader:
        for day in ("2025-06-16", "2025-06-17"):
            await days.fill(day)
        report = performance_of(await reader.executed(Span(FIRST, TODAY)))
    expected = sorted((d.strategy_name, d.day, d.orders, d.cost, d.impact, d.success_rate) for d in report.daily)
    found = kept(database)
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        assert row[3:] == pytest.approx(wanted[3:], rel=1e-12, abs=1e-15)


async def test_what_never_counts_is_not_due_for_ever(database: str) -> None:
    await drain(database, [ended(made(), 0.001, MONDAY_NS)])
    async with days_on(database) as days:
        keeper = PerformanceKeeper(days, now_ns=lambda: NOW_NS)
        assert await keeper.look() == 0
        assert keeper.days_due == 0
        assert await days.due(FIRST, TODAY) != []
        await keeper.look()
    assert keeper.filled == 0


class Scripted:
    """Answers what it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.first_days: list[str] = []
        self.is_away = False
        self.days: list[DueDay] = []

    async def due(self, first_day: str, today: str) -> list[DueDay]:
        if self.is_away:
            raise StoreUnavailable("away")
        assert today == TODAY
        self.first_days.append(first_day)
        return self.days

    async def fill(self, day: str) -> int | None:
        raise StoreUnavailable("away")


async def test_most_looks_go_over_the_last_days_alone() -> None:
    source, moment = Scripted(), [0.0]
    settings = KeepSettings(recent_days=8, all_days=500, all_every_s=100.0)
    keeper = PerformanceKeeper(source, settings, clock_s=lambda: moment[0], now_ns=lambda: NOW_NS)
    for moment[0] in (0.0, 50.0, 99.0, 100.0, 150.0):
        await keeper.look()
    assert source.first_days == ["2024-02-04", "2025-06-10", "2025-06-10", "2024-02-04", "2025-06-10"]


async def test_lag_grows_while_postgresql_is_away_and_the_table_catches_up_after() -> None:
    source, moment = Scripted(), [NOW_NS]
    source.days = [DueDay("2025-06-17", NOW_NS // 1_000, (NOW_NS - 60_000_000_000) // 1_000)]
    waits: asyncio.Queue[float] = asyncio.Queue()
    go_on: asyncio.Queue[None] = asyncio.Queue()

    async def sleep(seconds: float) -> None:
        waits.put_nowait(seconds)
        await go_on.get()

    settings = KeepSettings(period_s=30.0, backoff=Backoff(first_s=2.0, last_s=5.0))
    keeper = PerformanceKeeper(source, settings, now_ns=lambda: moment[0], uniform=lambda: 1.0, sleep=sleep)
    keeper.start()
    found: list[Any] = []
    for _ in range(3):
        found.append((await waits.get(), keeper.failures, keeper.days_due, keeper.lag_s))
        source.is_away = True
        moment[0] += 10_000_000_000
        go_on.put_nowait(None)
    assert found == [(2.0, 1, 1, 60.0), (4.0, 2, 1, 70.0), (5.0, 3, 1, 80.0)]
    source.is_away, source.days = False, []
    while await waits.get() != 30.0:
        go_on.put_nowait(None)
    assert {reading.name: reading.read() for reading in keeper.readings()} == {
        "ess.performance.dates_due": 0.0, "ess.performance.lag": 0.0, "ess.performance.dates_filled": 0.0,
        "ess.performance.failures": float(keeper.failures),
    }  # fmt: skip
    await keeper.stop()
