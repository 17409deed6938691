"""An order decided by the real service: what the answer holds, that it stays the same, and that it is kept."""

from __future__ import annotations

import json
import math
import os
import signal
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from execution_strategy.v1 import admin_pb2, enums_pb2, service_pb2, status_pb2
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2

from engine.catalogue import ALGORITHM_NAMES
from tests.helpers.live_service import (
    ADMIN,
    SERVICE,
    Gateway,
    LiveService,
    Reply,
    Request,
    Response,
    closed_time,
    finished,
    live_service,
    market_update,
    new_order_id,
    order,
)
from tests.helpers.running_host import eventually, health, is_alive

BUFFERED = enums_pb2.ACKNOWLEDGEMENT_CLASS_BUFFERED
JOURNALED = enums_pb2.ACKNOWLEDGEMENT_CLASS_JOURNALED
COMMITTED = enums_pb2.ACKNOWLEDGEMENT_CLASS_COMMITTED


def ask(service: LiveService, message: Request) -> Reply:
    """On a connection of its own."""
    with Gateway(service.target) as client:
        return client.recommend(message)


def stored(service: LiveService, order_id: str) -> list[tuple[Any, ...]]:
    return service.rows("SELECT id::text, response FROM strategy_selections WHERE order_id = %s", order_id)


def test_every_field_of_a_decision_is_filled_sensibly(gateway: Gateway) -> None:
    request = order(constraints={"venue_restrictions": ["NYSE", "DARK_POOL_2"], "time_limit_minutes": 90})
    answer = gateway.recommend(request).response
    strategy, outcomes, costs = answer.recommended_strategy, answer.expected_outcomes, answer.cost_breakdown
    assert answer.order_id == request.order_id
    assert strategy.algorithm in ALGORITHM_NAMES
    assert strategy.strategy_name
    assert {"participation_rate", "dark_pool_ratio", "volatility_adjustment"} <= set(strategy.parameters)
    assert 0 < strategy.parameters["participation_rate"].number_value <= 0.3
    assert not {"XNYS", "LEVL"} & set(strategy.venue_allocation)
    assert math.fsum(strategy.venue_allocation.values()) == pytest.approx(1, abs=1e-9)
    plan = strategy.time_allocation
    assert plan.start_time.seconds >= closed_time()
    assert plan.start_time.seconds < plan.end_time.seconds
    assert 0 < plan.horizon_minutes <= 90
    assert sum(part.quantity for part in plan.slices) == 40_000
    controls = strategy.risk_controls
    assert controls.price_limit > answer.resolved_inputs.mid_price
    assert 0 < controls.max_slice_quantity <= 40_000
    assert min(controls.max_spread_bps, controls.volatility_trigger_ratio) > 1
    assert outcomes.estimated_cost == pytest.approx(costs.expected_cost_bps / 1e4)
    assert 1 <= outcomes.estimated_time_minutes <= math.ceil(plan.horizon_minutes)
    assert 0 < outcomes.completion_probability <= 1
    assert 0 < answer.confidence <= 1
    assert 1 <= len(answer.alternative_strategies) <= 5
    assert len({strategy.algorithm, *(a.algorithm for a in answer.alternative_strategies)}) >= 2
    assert [p.chosen for p in answer.efficient_frontier].count(True) == 1
    assert answer.condition.condition == enums_pb2.MARKET_CONDITION_NORMAL
    assert answer.condition.detected
    assert strategy.strategy_name in answer.strategy_rationale
    assert f"{costs.expected_cost_bps:.1f} bps" in answer.strategy_rationale
    assert "the market is closed" in " ".join(answer.warnings)
    assert uuid.UUID(answer.selection_id).version == 4
    assert answer.fix.target_strategy > 0
    assert list(answer.fix.ex_destinations) == sorted(
        strategy.venue_allocation, key=lambda mic: (-strategy.venue_allocation[mic], mic)
    )
    assert len(answer.versions.surfaces_sha256) == len(answer.versions.utility_sha256) == 64
    assert answer.versions.seed
    assert answer.resolved_inputs.average_daily_volume > 1e6


def test_a_retry_gets_the_very_bytes_on_any_channel(live: LiveService, gateway: Gateway) -> None:
    request = order()
    first = gateway.recommend(request)
    assert first.code == "OK"
    assert gateway.recommend(request).data == first.data
    assert ask(live, request).data == first.data
    # Neither the class nor tags are content: the same decision, with this call's class.
    again = order(order_id=request.order_id, tags={"desk": "eu"}, acknowledgement="COMMITTED")
    other = gateway.recommend(again).response
    assert other.acknowledgement == COMMITTED
    other.acknowledgement = JOURNALED
    assert other == first.response


def test_the_same_order_with_another_request_exists_already(live: LiveService, gateway: Gateway) -> None:
    request = order()
    first = gateway.recommend(request)
    for changed in ({"quantity": 40_001}, {"side": "SELL"}, {"constraints": {"max_participation_rate": 0.2}}):
        reply = gateway.recommend(order(order_id=request.order_id, **changed))
        assert reply.code == "ALREADY_EXISTS"
        info = reply.detail(error_details_pb2.ResourceInfo)
        assert (info.resource_type, info.resource_name) == ("order", request.order_id)
    assert gateway.recommend(request).data == first.data
    eventually(lambda: len(stored(live, request.order_id)) == 1, within_s=5, what="one row")


def test_a_dry_run_records_nothing(live: LiveService, gateway: Gateway) -> None:
    order_id = new_order_id("dry")
    for quantity in (1_000, 2_000):
        answer = gateway.recommend(order(order_id=order_id, quantity=quantity, dry_run=True)).response
        assert answer.selection_id == ""
        assert answer.acknowledgement == enums_pb2.ACKNOWLEDGEMENT_CLASS_UNSPECIFIED
        assert sum(part.quantity for part in answer.recommended_strategy.time_allocation.slices) == quantity
    assert gateway.call("Status", status_pb2.StatusRequest(order_id=order_id)).code == "NOT_FOUND"
    real = gateway.recommend(order(order_id=order_id, quantity=3_000, acknowledgement="COMMITTED")).response
    assert [row[0] for row in stored(live, order_id)] == [real.selection_id]
    # A dry run of an order that was decided is still only a dry run.
    assert (
        gateway.recommend(order(order_id=order_id, quantity=4_000, dry_run=True)).response.selection_id == ""
    )


def test_acknowledgement_classes(live: LiveService, gateway: Gateway) -> None:
    assert gateway.recommend(order()).response.acknowledgement == JOURNALED
    for name, number in (("BUFFERED", BUFFERED), ("JOURNALED", JOURNALED), ("COMMITTED", COMMITTED)):
        request = order(acknowledgement=name)
        first = gateway.recommend(request)
        assert first.response.acknowledgement == number
        assert gateway.recommend(request).data == first.data
    for _ in range(10):
        request = order(acknowledgement="COMMITTED")
        reply = gateway.recommend(request)
        assert reply.response.acknowledgement == COMMITTED
        assert [bytes(row[1]) for row in stored(live, request.order_id)] == [reply.data]


def row_of(live: LiveService, order_id: str) -> dict[str, Any]:
    """The columns of an order's row that its answer and its request say."""
    names = (
        "id", "order_id", "strategy_name", "algorithm", "selection_rationale", "market_conditions",
        "expected_outcomes", "actual_outcomes", "performance_score", "created_at", "created_at_ns", "instrument_id",
        "side", "quantity", "objective", "urgency", "confidence", "parameters", "venue_allocation", "versions", "tags",
        "request", "response", "status",
    )  # fmt: skip
    (row,) = live.rows(f"SELECT {', '.join(names)} FROM strategy_selections WHERE order_id = %s", order_id)
    return dict(zip(names, row, strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": {"desk": "eu", "ä": "ß"}},
        {"side": "SELL_SHORT", "urgency": "URGENT"},
        {"instrument_id": "600519.SH", "quantity": 300},
    ],
)
def test_a_row_equals_its_answer(live: LiveService, gateway: Gateway, changes: dict[str, Any]) -> None:
    message = order(acknowledgement="COMMITTED", **changes)
    reply = gateway.recommend(message)
    found = row_of(live, message.order_id)
    assert_row_says_the_order(found, message)
    assert_row_says_the_answer(found, reply.response)
    assert bytes(found["response"]) == reply.data
    undecided = (found["actual_outcomes"], found["performance_score"], found["status"])
    assert undecided == (None, None, "RECORDED")
    (owner,) = live.rows("SELECT selection_id::text FROM orders WHERE order_id = %s", message.order_id)
    assert owner == (reply.response.selection_id,)


def assert_row_says_the_order(found: dict[str, Any], message: Request) -> None:
    assert found["order_id"] == message.order_id
    assert found["instrument_id"] == message.instrument_id
    assert found["quantity"] == message.quantity
    assert f"ORDER_SIDE_{found['side']}" == enums_pb2.OrderSide.Name(message.side)
    assert f"EXECUTION_OBJECTIVE_{found['objective']}" == enums_pb2.ExecutionObjective.Name(message.objective)
    assert f"EXECUTION_URGENCY_{found['urgency']}" == enums_pb2.ExecutionUrgency.Name(message.urgency)
    assert found["tags"] == dict(message.tags)
    asked = Request.FromString(message.SerializeToString())
    asked.ClearField("acknowledgement")
    asked.ClearField("tags")
    assert Request.FromString(bytes(found["request"])) == asked


def assert_row_says_the_answer(found: dict[str, Any], answer: Response) -> None:
    strategy, outcomes, learned = answer.recommended_strategy, answer.expected_outcomes, found["expected_outcomes"]
    assert str(found["id"]) == answer.selection_id
    assert (found["strategy_name"], found["algorithm"]) == (strategy.strategy_name, strategy.algorithm)
    assert found["selection_rationale"] == answer.strategy_rationale
    assert found["confidence"] == answer.confidence
    assert found["created_at_ns"] == answer.created_at.ToNanoseconds()
    assert round(found["created_at"].timestamp() * 1e6) == answer.created_at.ToNanoseconds() // 1_000
    assert learned.pop("online_correction") * 1e4 == answer.learning.online_correction_bps
    assert learned.pop("propensity") == answer.learning.propensity
    assert learned.pop("explored") == answer.learning.explored
    assert learned.pop("structural_only") == answer.structural_only
    for name, value in learned.items():
        assert value == getattr(outcomes, name), name
    assert set(learned) >= {
        "estimated_cost", "estimated_time_minutes", "market_impact", "completion_probability", "risk_score",
    }  # fmt: skip
    assert found["market_conditions"]["condition"] == "NORMAL"
    assert found["market_conditions"]["mid_price"] == answer.resolved_inputs.mid_price
    assert found["venue_allocation"] == dict(strategy.venue_allocation)
    assert found["parameters"] == {
        name: value.bool_value if value.HasField("bool_value") else value.number_value
        for name, value in strategy.parameters.items()
    }
    assert found["versions"]["seed"] == str(answer.versions.seed)


def test_status_of_an_order(gateway: Gateway) -> None:
    request = order()
    decided = gateway.recommend(request)
    reply = gateway.call("Status", status_pb2.StatusRequest(order_id=request.order_id))
    status = status_pb2.StrategyExecutionStatus.FromString(reply.data)
    assert status.state == enums_pb2.EXECUTION_STATE_RECOMMENDED
    assert status.current == decided.response
    assert (status.progress.parent_quantity, status.progress.unscheduled_quantity) == (40_000, 40_000)
    assert (status.scheduled_fraction, status.filled_fraction) == (0, 0)
    assert [s.selection_id for s in status.selections] == [decided.response.selection_id]
    assert status.selected_at == decided.response.created_at
    assert gateway.call("Status", status_pb2.StatusRequest(order_id=new_order_id())).code == "NOT_FOUND"
    assert gateway.call("Status", status_pb2.StatusRequest(order_id="")).code == "INVALID_ARGUMENT"
    assert gateway.call("Status", b"\xff").code == "INVALID_ARGUMENT"


CONTRACT = [
    (service.full_name, method)
    for service in (
        service_pb2.DESCRIPTOR.services_by_name["ExecutionStrategyService"],
        admin_pb2.DESCRIPTOR.services_by_name["ExecutionStrategyAdmin"],
    )
    for method in service.methods
]


@pytest.mark.parametrize(("service", "method"), CONTRACT, ids=[m.name for _, m in CONTRACT])
def test_every_call_of_the_contract_is_built(gateway: Gateway, service: str, method: Any) -> None:
    """Bytes that are no message get an answer of the call itself, whatever that is."""
    path = f"/{service}/{method.name}"
    channel = gateway.channel
    if method.client_streaming:
        call = channel.stream_stream(path) if method.server_streaming else channel.stream_unary(path)
        message: Any = iter([b"\xff"])
    else:
        call = channel.unary_stream(path) if method.server_streaming else channel.unary_unary(path)
        message = b"\xff"
    try:
        answered = call(message, timeout=5)
        list(answered) if method.client_streaming or method.server_streaming else answered
        code = grpc.StatusCode.OK
    except grpc.RpcError as error:
        code = error.code()
    assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OK)


def test_health_reflection_and_echo_of_development(gateway: Gateway) -> None:
    for name in ("", SERVICE, ADMIN):
        assert health(gateway.channel, name) == "SERVING"
    assert {SERVICE, ADMIN, "grpc.health.v1.Health"} <= set(reflected(gateway))
    echoed = gateway.call("Echo", service_pb2.EchoRequest(payload=b"x" * 100, response_bytes=2_000))
    assert service_pb2.EchoResponse.FromString(echoed.data).payload == bytes(2_000)
    stream: Any = gateway.channel.stream_stream(f"/{SERVICE}/EchoStream")
    asked = [service_pb2.EchoRequest(payload=b"x", response_bytes=size).SerializeToString() for size in (0, 1, 70_000)]
    answers = [service_pb2.EchoResponse.FromString(data) for data in stream(iter(asked), timeout=5)]
    assert [len(answer.payload) for answer in answers] == [0, 1, 70_000]


def reflected(gateway: Gateway) -> list[str]:
    ask: Any = gateway.channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = list(ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5))
    return [service.name for service in answers[0].list_services_response.service]


def test_production_shows_less_and_names_venues_as_it_is_told() -> None:
    with (
        live_service(
            ESS_ENVIRONMENT="production", ESS_VENUE_NAMING="name", ESS_ACKNOWLEDGEMENT="COMMITTED"
        ) as service,
        Gateway(service.target) as gateway,
    ):
        assert gateway.call("Echo", b"").code == "UNIMPLEMENTED"
        assert gateway.call("EchoStream", b"").code == "UNIMPLEMENTED"
        with pytest.raises(grpc.RpcError) as caught:
            reflected(gateway)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert health(gateway.channel) == "SERVING"
        request = order()
        reply = gateway.recommend(request)
        assert reply.response.acknowledgement == COMMITTED
        names = set(reply.response.recommended_strategy.venue_allocation)
        assert {"NYSE", "NASDAQ"} <= names
        assert "XNYS" in reply.response.fix.ex_destinations
        assert set(stored_venues(service, request.order_id)) == names
        # Nothing of what was asked is in the log.
        assert request.order_id not in service.output


def stored_venues(service: LiveService, order_id: str) -> dict[str, float]:
    ((found,),) = service.rows(
        "SELECT venue_allocation FROM strategy_selections WHERE order_id = %s", order_id
    )
    return dict(found) if not isinstance(found, str) else dict(json.loads(found))


def test_reflection_can_be_turned_off_and_concurrency_has_a_bound(short_tmp: Path) -> None:
    limits = {"ESS_REFLECTION": "false", "ESS_MAX_CONCURRENT_RECOMMENDS": "2", "ESS_DRAIN_BATCH_MS": "2000"}
    with live_service(short_tmp / "var", **limits) as service, Gateway(service.target) as gateway:
        with pytest.raises(grpc.RpcError) as caught:
            reflected(gateway)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        calls = [gateway.start("Recommend", order(acknowledgement="COMMITTED")) for _ in range(40)]
        replies = [finished(call) for call in calls]
        codes = {reply.code for reply in replies}
        assert codes <= {"OK", "RESOURCE_EXHAUSTED"}
        assert "OK" in codes
        for reply in replies:
            if reply.code == "RESOURCE_EXHAUSTED":
                assert reply.detail(error_details_pb2.RetryInfo).retry_delay.nanos > 0
        assert gateway.recommend(order()).code == "OK"
        # Some writes still wait for their batch: a stop writes them first.
        waiting = [order() for _ in range(5)]
        assert {gateway.recommend(message).code for message in waiting} == {"OK"}
        assert service.terminate() == 0
    with live_service(short_tmp / "var") as again, Gateway(again.target) as gateway:
        for message in waiting:
            assert len(stored(again, message.order_id)) == 1
            assert gateway.recommend(message).code == "OK"


# ---- several workers


def connected(service: LiveService, count: int) -> Iterator[Gateway]:
    """Connections of their own: with so many, every worker has some."""
    for _ in range(count):
        with Gateway(service.target) as client:
            yield client


def test_a_retry_gets_the_very_bytes_from_every_worker(live_two: LiveService) -> None:
    request = order()
    answers = {client.recommend(request).data for client in connected(live_two, 24)}
    assert len(answers) == 1
    assert Response.FromString(answers.pop()).order_id == request.order_id


def at_once(service: LiveService, messages: list[Request]) -> list[Reply]:
    """All in flight together, over ten connections."""
    clients = [Gateway(service.target) for _ in range(10)]
    try:
        calls = [clients[index % 10].start("Recommend", message) for index, message in enumerate(messages)]
        return [finished(call) for call in calls]
    finally:
        for client in clients:
            client.__exit__()


def test_identical_requests_at_once_are_one_decision(live_two: LiveService) -> None:
    request = order()
    replies = at_once(live_two, [request] * 50)
    assert {reply.code for reply in replies} == {"OK"}
    assert len({reply.data for reply in replies}) == 1
    eventually(lambda: bool(stored(live_two, request.order_id)), within_s=5, what="the row")
    assert [bytes(row[1]) for row in stored(live_two, request.order_id)] == [replies[0].data]


def test_of_different_requests_at_once_exactly_one_wins(live_two: LiveService) -> None:
    order_id = new_order_id("race")
    replies = at_once(live_two, [order(order_id=order_id, quantity=1_000 + k) for k in range(50)])
    codes = sorted(reply.code for reply in replies)
    assert codes == ["ALREADY_EXISTS"] * 49 + ["OK"]
    (winner,) = [reply for reply in replies if reply.code == "OK"]
    eventually(lambda: bool(stored(live_two, order_id)), within_s=5, what="the row")
    assert [bytes(row[1]) for row in stored(live_two, order_id)] == [winner.data]


def is_gone(pid: int) -> bool:
    return not is_alive(pid)


def are_replaced(service: LiveService, victims: list[int]) -> bool:
    """Whether as many others work in their place: `service.json` names the dead until their successors are ready."""
    workers = service.about["workers"]
    return len(set(workers) - set(victims)) == len(workers) == len(victims) and all(map(is_alive, workers))


def test_decisions_outlive_killed_workers_and_a_restart(short_tmp: Path) -> None:
    requests = [order(), order(acknowledgement="COMMITTED"), order(instrument_id="PETR4", quantity=5_000)]
    with live_service(short_tmp / "var", ESS_WORKERS="2") as service:
        before = [ask(service, message).data for message in requests]
        victims = service.about["workers"]
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
            eventually(partial(is_gone, victim), within_s=5, what="worker gone")
            assert [retried(service, message) for message in requests] == before
        eventually(partial(are_replaced, service, victims), within_s=20, what="workers back")
        assert [retried(service, message) for message in requests] == before
        assert service.terminate() == 0
        assert "keeper stopped" in service.output
    with live_service(short_tmp / "var", ESS_WORKERS="2") as again:
        assert [ask(again, message).data for message in requests] == before
        other = order(order_id=requests[0].order_id, quantity=1)
        assert ask(again, other).code == "ALREADY_EXISTS"


def retried(service: LiveService, message: Request) -> bytes:
    """As gateways do: again while the connection or the worker behind it is gone."""
    found: list[bytes] = []

    def answered() -> bool:
        reply = ask(service, message)
        assert reply.code in {"OK", "UNAVAILABLE"}, reply
        found.append(reply.data)
        return reply.code == "OK"

    eventually(answered, within_s=40, what="an answer")
    return found[-1]


def test_a_retry_is_answered_where_the_market_no_longer_allows_it(short_tmp: Path) -> None:
    with live_service(short_tmp / "var") as service, Gateway(service.target) as gateway:
        request = order(instrument_id="KO", constraints={"price_limit": 54.5})
        first = gateway.recommend(request)
        assert first.code == "OK"
        as_of_ns = first.response.created_at.ToNanoseconds()
        assert gateway.update_market(market_update("KO", as_of_ns, mid_price=80.0)).accepted == 1
        limited = {"instrument_id": "KO", "constraints": {"price_limit": 54.5}}
        eventually(
            lambda: gateway.recommend(order(**limited)).code == "FAILED_PRECONDITION",
            within_s=2,
            what="the new mid",
        )
        assert gateway.recommend(request).data == first.data
        changed = order(order_id=request.order_id, instrument_id="KO", constraints={"price_limit": 54.4})
        assert gateway.recommend(changed).code == "ALREADY_EXISTS"
