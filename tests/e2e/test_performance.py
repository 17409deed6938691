"""Orders are recommended, outcomes reported, and the report asked for: over gRPC and REST, the same figures."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from execution_strategy.v1 import status_pb2

from tests.contract.test_performance import DAY_NS, drain, ended, made
from tests.helpers.json_reference import reference_object
from tests.helpers.live_service import Gateway, LiveService, Response, live_service, order
from tests.helpers.running_host import eventually

# Of the outcomes: standard deviations above the forecast, part that was filled.
OUTCOMES = [(0.0, 1.0), (-0.5, 1.0), (0.4, 1.0), (3.0, 1.0), (0.1, 0.5)]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """With an empty history."""
    folder: Path = tmp_path_factory.mktemp("performance")
    variables = {"ESS_HTTP_ADDRESS": "127.0.0.1:0", "ESS_WORKERS": "2", "ESS_PERFORMANCE_DAYS_S": "1"}
    with live_service(folder / "data", **variables) as service:
        yield service


def ask(gateway: Gateway, first: date, last: date) -> status_pb2.StrategyPerformanceReport:
    request = status_pb2.PerformanceRequest(start_date=first.isoformat(), end_date=last.isoformat())
    reply = gateway.call("Performance", request)
    assert reply.code == "OK", reply
    return status_pb2.StrategyPerformanceReport.FromString(reply.data)


def decide_and_report(gateway: Gateway) -> tuple[list[Response], list[float]]:
    decided, costs = [], []
    for deviations, part in OUTCOMES:
        found = gateway.recommend(order()).response
        expected = found.expected_outcomes
        cost = expected.estimated_cost + deviations * expected.cost_standard_deviation
        actual: dict[str, Any] = {"cost": cost, "time_minutes": 30, "filled_quantity": 40_000 * part,
                                  "average_price": 78.0, "market_impact": 0.0004}  # fmt: skip
        report = status_pb2.ReportOutcomeRequest(order_id=found.order_id, actual_outcomes=actual)
        assert gateway.call("ReportOutcome", report).code == "OK"
        decided.append(found)
        costs.append(cost)
    return decided, costs


def test_reported_outcomes_are_in_the_report_over_grpc_and_rest(own: LiveService) -> None:
    first = datetime.now(tz=UTC).date()
    with Gateway(own.target) as gateway:
        assert not ask(gateway, first, first).by_strategy
        decided, costs = decide_and_report(gateway)
        # Midnight may pass, and outcomes are in the report once they are drained.
        last = first + timedelta(days=1)
        query = "SELECT count(*) FROM strategy_selections WHERE actual_outcomes IS NOT NULL"
        eventually(lambda: own.rows(query)[0][0] == len(OUTCOMES), within_s=15.0, what="the outcomes in PostgreSQL")
        found = ask(gateway, first, last)
    (line,) = found.by_objective
    mean = math.fsum(costs) / len(costs)
    deviation = math.sqrt(math.fsum((cost - mean) ** 2 for cost in costs) / 4)
    assert (line.label, line.orders_executed) == ("BALANCED_EXECUTION", 5)
    assert line.avg_cost == pytest.approx(mean)
    assert line.avg_cost_upper - line.avg_cost == pytest.approx(2.7764 * deviation / math.sqrt(5))
    assert line.avg_market_impact == pytest.approx(0.0004)
    bounds = [(one.expected_outcomes.cost_quantile_10, one.expected_outcomes.cost_quantile_90) for one in decided]
    within = [low <= cost <= high for cost, (low, high) in zip(costs, bounds, strict=True)]
    assert line.interval_coverage == pytest.approx(sum(within) / 5)
    # The fourth was dear, the fifth not filled.
    assert line.success_rate == pytest.approx(0.6)
    predicted = [one.expected_outcomes.estimated_cost for one in decided]
    assert line.predicted_cost == pytest.approx(math.fsum(predicted) / 5)
    names = {one.recommended_strategy.strategy_name for one in decided}
    assert {line.label for line in found.by_strategy} == names
    assert sum(day.orders_executed for day in found.daily) == 5
    venues = {venue for one in decided for venue, share in one.recommended_strategy.venue_allocation.items() if share}
    assert {line.label for line in found.by_venue} == venues
    path = f"/api/v1/execution-strategy/performance?start_date={first}&end_date={last}"
    status, text = own.http(path)
    assert status == 200
    assert json.loads(text) == reference_object(found, with_defaults=True)


def test_the_keeper_writes_days_that_have_ended(own: LiveService) -> None:
    """From another host's journal, since this one's clock says today; a late outcome has its day computed anew."""
    yesterday_ns = (time.time_ns() // DAY_NS - 1) * DAY_NS
    orders = [made(created_at_ns=yesterday_ns, strategy_name="Of yesterday") for _ in range(2)]
    query = "SELECT orders_executed, avg_cost FROM strategy_performance WHERE strategy_name = 'Of yesterday'"
    asyncio.run(drain(own.conninfo, [*orders, ended(orders[0], 0.001, yesterday_ns)], "journal-x"))
    eventually(lambda: own.rows(query) == [(1, 0.001)], within_s=15.0, what="the day in strategy_performance")
    asyncio.run(drain(own.conninfo, [ended(orders[1], 0.003, yesterday_ns)], "journal-y"))
    eventually(lambda: own.rows(query) == [(2, 0.002)], within_s=15.0, what="the day computed anew")


def test_an_empty_range_and_days_that_are_none_over_rest(own: LiveService) -> None:
    path = "/api/v1/execution-strategy/performance"
    status, text = own.http(f"{path}?start_date=2020-01-01&end_date=2020-12-31")
    assert status == 200
    assert json.loads(text)["by_strategy"] == []
    status, text = own.http(f"{path}?start_date=2020-01-02&end_date=2020-01-01")
    assert (status, [one["field"] for one in json.loads(text)["violations"]]) == (400, ["end_date"])
    status, text = own.http(f"{path}?start_date=2020-02-30&end_date=2020-03-01")
    assert (status, [one["field"] for one in json.loads(text)["violations"]]) == (400, ["start_date"])
