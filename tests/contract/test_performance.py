"""`Performance` over a real PostgreSQL, as the call's handler: what is read and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import psycopg
import pytest
from execution_strategy.v1 import response_pb2, status_pb2
from google.rpc import error_details_pb2
from google.rpc import status_pb2 as rpc_status_pb2

from engine.performance import Executed
from engine.records import OutcomeRecord, Record, SelectionRecord
from service.errors import RpcError
from service.mapping.performance import forecast_of
from service.performance import MOST_RUNNING, PerformanceReports
from store.performance_reader import PerformanceReader, Span
from store.pool import PoolSettings, make_pool
from store.postgres_sink import PostgresSink
from store.server_checks import SERVICE_ROLE
from tests.helpers.chains import entries_of, outcome, selection
from tests.helpers.executed import executed

Report = status_pb2.StrategyPerformanceReport
DAY_NS = 86_400_000_000_000
# 2025-06-16 00:00 UTC, a Monday.
MONDAY_NS = 1_750_032_000_000_000_000
FORECAST = {"estimated_cost": 0.001, "cost_quantile_10": 0.0, "cost_quantile_90": 0.002}


class NoDeadline:
    def time_remaining(self) -> float | None:
        return None


def made(**changes: Any) -> SelectionRecord:
    values = {"created_at_ns": MONDAY_NS, "strategy_name": "VWAP", "algorithm": "VWAP", "expected_outcomes": FORECAST,
              "market_conditions": {"condition": "TRENDING", "average_daily_volume": 20_000.0},
              "venue_allocation": {"XNYS": 1.0, "XNAS": 0.0}}  # fmt: skip
    return selection(**{**values, **changes})


def ended(of: SelectionRecord, cost: float, at_ns: int, **changes: Any) -> OutcomeRecord:
    actual = {"cost": cost, "time_minutes": 5.0, "filled_quantity": of.quantity_shares, "average_price": 78.0}
    return outcome(of, created_at_ns=at_ns, actual_outcomes={**actual, **changes})


async def drain(database: str, records: Sequence[Record], journal_id: str = "journal-a") -> None:
    async with make_pool(PoolSettings(database, role=SERVICE_ROLE)) as pool:
        sink = PostgresSink(pool, journal_id)
        await sink.position(journal_id)
        await sink.write(entries_of(journal_id, records))


@asynccontextmanager
async def reader_on(conninfo: str, most_orders: int = 1_000) -> AsyncIterator[PerformanceReader]:
    pool = make_pool(PoolSettings(conninfo, min_size=0, acquire_timeout_s=0.5, role=SERVICE_ROLE))
    await pool.open(wait=False)
    try:
        yield PerformanceReader(pool, forecast_of, most_orders)
    finally:
        await pool.close(timeout=1.0)


@asynccontextmanager
async def reports_on(conninfo: str, most_orders: int = 1_000) -> AsyncIterator[PerformanceReports]:
    async with reader_on(conninfo, most_orders) as reader:
        yield PerformanceReports(reader)


async def ask(reports: PerformanceReports, first: str, last: str, algorithm: str = "") -> Report:
    request = status_pb2.PerformanceRequest(start_date=first, end_date=last, algorithm=algorithm)
    return Report.FromString(await reports.report(request.SerializeToString(), NoDeadline()))


async def refused(reports: PerformanceReports, first: str, last: str, algorithm: str = "") -> RpcError:
    with pytest.raises(RpcError) as caught:
        await ask(reports, first, last, algorithm)
    return caught.value


def fields(error: RpcError) -> list[str]:
    found = error_details_pb2.BadRequest()
    assert any(detail.Unpack(found) for detail in rpc_status_pb2.Status.FromString(error.details).details)
    return [violation.field for violation in found.field_violations]


def kept(database: str) -> list[tuple[Any, ...]]:
    query = (
        "SELECT strategy_name, execution_date::text, orders_executed, avg_cost, avg_market_impact, success_rate"
        " FROM strategy_performance ORDER BY 1, 2"
    )
    with psycopg.connect(database) as connection:
        return connection.execute(query.encode()).fetchall()


async def test_what_was_reported_between_two_days_is_in_the_report(database: str) -> None:
    orders = [made(), made(quantity_shares=3_000.0), made(strategy_name="TWAP", algorithm="TWAP"), made(), made()]
    await drain(database, [
        *orders,
        ended(orders[0], 0.001, MONDAY_NS, market_impact=0.0004),
        ended(orders[1], 0.003, MONDAY_NS + DAY_NS - 1_000, market_impact=0.0002),
        ended(orders[2], 0.002, MONDAY_NS + DAY_NS, filled_quantity=10.0),
        # A second before, and on Wednesday. The last order has not ended.
        ended(orders[3], 0.5, MONDAY_NS + 2 * DAY_NS),
        ended(made(), 0.5, MONDAY_NS - 1_000),
    ])  # fmt: skip
    async with reports_on(database) as reports:
        found = await ask(reports, "2025-06-16", "2025-06-17")
        assert (found.start_date, found.end_date) == ("2025-06-16", "2025-06-17")
        vwap, twap = found.by_strategy
        assert (vwap.label, vwap.orders_executed, twap.label, twap.orders_executed) == ("VWAP", 2, "TWAP", 1)
        assert vwap.avg_cost == pytest.approx(0.002)
        assert vwap.avg_cost_upper == pytest.approx(0.002 + 12.7062 * 0.001)
        assert vwap.avg_cost_lower == pytest.approx(0.002 - 12.7062 * 0.001)
        assert vwap.avg_market_impact == pytest.approx(0.0003)
        assert (vwap.success_rate, vwap.interval_coverage) == (0.5, 0.5)
        assert vwap.predicted_cost == pytest.approx(0.001)
        assert vwap.not_distinguishable
        assert (twap.success_rate, twap.interval_coverage, twap.avg_market_impact) == (0.0, 1.0, 0.0)
        assert [(line.label, line.orders_executed) for line in found.by_size] == [("5-10 % ADV", 2), ("10-25 % ADV", 1)]
        assert [(line.label, line.orders_executed) for line in found.by_venue] == [("XNYS", 3)]
        assert [(line.label, line.orders_executed) for line in found.by_condition] == [("TRENDING", 3)]
        assert [(d.strategy_name, d.execution_date, d.orders_executed) for d in found.daily] == [
            ("VWAP", "2025-06-16", 2), ("TWAP", "2025-06-17", 1),
        ]  # fmt: skip
        only = await ask(reports, "2025-06-16", "2025-06-17", "TWAP")
        assert [line.label for line in only.by_strategy] == ["TWAP"]
        assert await ask(reports, "2025-06-16", "2025-06-17", "POV") == Report(
            start_date="2025-06-16", end_date="2025-06-17"
        )
        assert not (await ask(reports, "2024-02-29", "2024-02-29")).by_strategy
        assert not (await ask(reports, "9999-12-31", "9999-12-31")).by_strategy


async def test_a_selection_counts_once_with_its_first_report(database: str) -> None:
    order = made()
    await drain(database, [order, ended(order, 0.001, MONDAY_NS + DAY_NS)])
    await drain(database, [ended(order, 0.7, MONDAY_NS)], "journal-b")
    async with reports_on(database) as reports:
        assert not (await ask(reports, "2025-06-16", "2025-06-16")).by_strategy
        (line,) = (await ask(reports, "2025-06-16", "2025-06-17")).by_strategy
        assert (line.orders_executed, line.avg_cost) == (1, pytest.approx(0.001))


async def test_the_forecast_comes_from_the_response_where_the_json_lacks_it(database: str) -> None:
    response = response_pb2.ExecutionStrategyResponse(
        expected_outcomes={"estimated_cost": 0.004, "cost_quantile_10": 0.003, "cost_quantile_90": 0.005}
    ).SerializeToString()
    orders = [made(expected_outcomes={"estimated_cost": 0.004}, response=answer) for answer in (response, b"\xff")]
    await drain(database, [*orders, *(ended(order, 0.005, MONDAY_NS) for order in orders)])
    async with reports_on(database) as reports:
        (line,) = (await ask(reports, "2025-06-16", "2025-06-16")).by_strategy
        assert (line.orders_executed, line.interval_coverage, line.success_rate) == (2, 0.5, 0.5)
        assert line.predicted_cost == pytest.approx(0.002)


async def test_a_report_writes_nothing(database: str) -> None:
    order = made()
    await drain(database, [order, ended(order, 0.001, MONDAY_NS)])
    async with reports_on(database) as reports:
        assert (await ask(reports, "2025-06-16", "2025-06-16")).by_strategy[0].orders_executed == 1
    assert kept(database) == []


async def test_more_orders_than_a_report_takes_are_refused(database: str) -> None:
    orders = [made() for _ in range(3)]
    await drain(database, [*orders, *(ended(order, 0.001, MONDAY_NS) for order in orders)])
    async with reports_on(database, most_orders=2) as reports:
        error = await refused(reports, "2025-06-16", "2025-06-16")
    assert error.code is grpc.StatusCode.FAILED_PRECONDITION
    assert "fewer days" in error.text


async def test_a_report_of_many_pages(database: str) -> None:
    orders = [made(created_at_ns=MONDAY_NS + n) for n in range(1_200)]
    await drain(database, [*orders, *(ended(order, 0.001, MONDAY_NS) for order in orders)])
    async with reports_on(database, most_orders=1_200) as reports:
        assert (await ask(reports, "2025-06-16", "2025-06-16")).by_strategy[0].orders_executed == 1_200


@pytest.mark.parametrize(
    ("first", "last", "field"),
    [
        ("2025-06-17", "2025-06-16", "end_date"), ("2025-02-30", "2025-03-01", "start_date"),
        ("2025-03-01", "2025-02-30", "end_date"), ("2024-01-01", "2025-06-16", "end_date"),
        ("0000-01-01", "2025-01-01", "start_date"), ("", "2025-01-01", "start_date"),
        ("2025-01-01", "01.02.2025", "end_date"), ("2025-W10-1", "2025-06-16", "start_date"),
    ],
)  # fmt: skip
async def test_days_that_are_none_are_refused(first: str, last: str, field: str) -> None:
    error = await refused(PerformanceReports(Held()), first, last)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert fields(error) == [field]


async def test_other_faults_of_a_request() -> None:
    reports = PerformanceReports(Held())
    assert fields(await refused(reports, "2025-01-02", "2025-01-01", "x" * 101)) == ["algorithm", "end_date"]
    assert fields(await refused(reports, "2025-01-01", "2025-01-01", "a\0b")) == ["algorithm"]
    with pytest.raises(RpcError) as caught:
        await reports.report(b"\xff", NoDeadline())
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_algorithm_that_there_is_not_is_refused_and_not_an_empty_report(database: str) -> None:
    async with reports_on(database) as reports:
        for name, hint in (("vwap", "did you mean VWAP?"), ("VWAPS", "there are ")):
            error = await refused(reports, "2025-06-16", "2025-06-16", name)
            assert (error.code, fields(error)) == (grpc.StatusCode.INVALID_ARGUMENT, ["algorithm"])
            assert hint in error.text
        assert not (await ask(reports, "2025-06-16", "2025-06-16", "VWAP")).by_strategy, "none of it, and no fault"


class Held:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()

    async def executed(self, span: Span) -> list[Executed]:
        await self.let.wait()
        return [executed(day=span.first_day)]


async def test_at_most_two_at_a_time() -> None:
    source = Held()
    reports = PerformanceReports(source)
    running = [asyncio.ensure_future(ask(reports, "2025-06-16", "2025-06-16")) for _ in range(MOST_RUNNING)]
    await asyncio.sleep(0)
    error = await refused(reports, "2025-06-16", "2025-06-16")
    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    gone = running.pop()
    gone.cancel()
    with suppress(asyncio.CancelledError):
        await gone
    source.let.set()
    assert (await ask(reports, "2025-06-16", "2025-06-16")).by_strategy[0].orders_executed == 1
    assert (await running[0]).daily[0].execution_date == "2025-06-16"


class Short:
    def time_remaining(self) -> float | None:
        return 0.1


async def test_an_answer_that_does_not_come_in_time_is_unavailable() -> None:
    request = status_pb2.PerformanceRequest(start_date="2025-06-16", end_date="2025-06-16")
    with pytest.raises(RpcError) as caught:
        await PerformanceReports(Held()).report(request.SerializeToString(), Short())
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


async def test_without_postgresql_no_report_is_made() -> None:
    async with reports_on("host=127.0.0.1 port=1 dbname=x user=x connect_timeout=1") as reports:
        error = await refused(reports, "2025-06-16", "2025-06-16")
    assert error.code is grpc.StatusCode.UNAVAILABLE
