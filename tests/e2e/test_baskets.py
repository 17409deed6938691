"""RecommendBatch against the real service: the same decisions as one by one, faults itemised, totals that add up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from execution_strategy.v1 import enums_pb2, replay_pb2, request_pb2, response_pb2
from google.rpc import error_details_pb2

from service.mapping.baskets import CHUNK_RESULTS, MOST_ORDERS
from tests.helpers.live_service import (
    SERVICE,
    Gateway,
    LiveService,
    Request,
    live_service,
    new_order_id,
    order,
)
from tests.helpers.running_host import eventually

ORDERS = 250
NAMES = ("AIG", "AAPL", "BAC", "GE", "IBM")


@pytest.fixture(scope="module")
def live() -> Iterator[LiveService]:
    with live_service(ESS_MAX_BASKETS="1") as service:
        yield service


@pytest.fixture
def gateway(live: LiveService) -> Iterator[Gateway]:
    with Gateway(live.target) as client:
        yield client


def start(gateway: Gateway, basket: request_pb2.RecommendBatchRequest, timeout_s: float = 60.0) -> Any:
    ask: Any = gateway.channel.unary_stream(f"/{SERVICE}/RecommendBatch")
    return ask(basket.SerializeToString(), timeout=timeout_s)


def decide(
    gateway: Gateway, *orders: Request, basket_id: str = ""
) -> tuple[list[response_pb2.BatchResult], response_pb2.BasketSummary]:
    basket = request_pb2.RecommendBatchRequest(requests=orders, basket_id=basket_id)
    chunks = [response_pb2.RecommendBatchResponse.FromString(data) for data in start(gateway, basket)]
    assert all(not chunk.HasField("summary") for chunk in chunks[:-1])
    assert all(len(chunk.results) == CHUNK_RESULTS for chunk in chunks[:-1])
    results = [result for chunk in chunks for result in chunk.results]
    assert [result.index for result in results] == list(range(len(orders)))
    assert [result.order_id for result in results] == [one.order_id for one in orders]
    return results, chunks[-1].summary


def test_a_basket_is_decided_as_its_orders_would_be(live: LiveService, gateway: Gateway) -> None:
    orders = [
        order(instrument_id=NAMES[i % len(NAMES)], side=("BUY", "SELL")[i % 3 == 0], quantity=1_000 + 100 * i)
        for i in range(ORDERS)
    ]
    results, summary = decide(gateway, *orders, basket_id="program-7")
    assert (summary.decided, summary.refused) == (ORDERS, 0)
    for one, result in zip(orders[:20], results, strict=False):
        assert gateway.recommend(one).response == result.response, "a retry alone has the basket's answer"
    notional = [one.quantity * r.response.resolved_inputs.mid_price for one, r in zip(orders, results, strict=True)]
    assert dict(summary.notional) == {"USD": pytest.approx(sum(notional))}
    costs = [result.response.expected_outcomes.estimated_cost * 1e4 for result in results]
    expected = sum(n * c for n, c in zip(notional, costs, strict=True)) / sum(notional)
    assert summary.expected_cost_bps == pytest.approx(expected)
    largest = max(result.response.expected_outcomes.cost_standard_deviation for result in results) * 1e4
    assert 0 < summary.standard_deviation_bps < largest
    query = "SELECT count(*) FROM strategy_selections WHERE tags ->> 'basket_id' = 'program-7'"
    eventually(lambda: live.rows(query) == [(ORDERS,)], within_s=20.0, what="every row has the label")


def test_decisions_of_a_basket_are_made_again_from_their_records(gateway: Gateway) -> None:
    orders = [
        order(quantity=5_000 + 900 * i, instrument_id=NAMES[i % 5], acknowledgement="COMMITTED") for i in range(10)
    ]
    results, _ = decide(gateway, *orders)
    for result in results:
        reply = gateway.call("Replay", replay_pb2.ReplayRequest(selection_id=result.response.selection_id), 30.0)
        assert reply.code == "OK", reply.text
        assert replay_pb2.ReplayResponse.FromString(reply.data).verdict == enums_pb2.REPLAY_VERDICT_IDENTICAL


def test_the_answers_are_those_of_single_calls_to_the_byte(gateway: Gateway) -> None:
    orders = [order(quantity=2_000 + 100 * i, dry_run=True) for i in range(120)]
    results, _ = decide(gateway, *orders)
    for one, result in zip(orders, results, strict=True):
        single, together = gateway.recommend(one).response, result.response
        for answer in (single, together):
            answer.ClearField("created_at")
        assert single.SerializeToString(deterministic=True) == together.SerializeToString(deterministic=True)


def test_one_that_is_refused_does_not_stop_the_others(gateway: Gateway) -> None:
    bad, unknown, twice = order(quantity=-1), order(instrument_id="NOBODY"), order()
    rival = Request.FromString(twice.SerializeToString())
    rival.quantity += 1
    results, summary = decide(gateway, order(), bad, unknown, twice, twice, rival, order())
    assert [result.WhichOneof("outcome") for result in results] == [
        "response", "error", "error", "response", "response", "error", "response",
    ]  # fmt: skip
    assert (summary.decided, summary.refused) == (4, 3)
    assert results[3].response == results[4].response
    assert results[1].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    detail = error_details_pb2.BadRequest()
    assert results[1].error.details[0].Unpack(detail)
    assert "quantity" in {violation.field for violation in detail.field_violations}
    assert results[2].error.code == gateway_code(gateway, unknown)
    assert results[5].error.code == grpc.StatusCode.ALREADY_EXISTS.value[0]


def gateway_code(gateway: Gateway, one: Request) -> int:
    code = gateway.recommend(one).code
    return int(getattr(grpc.StatusCode, code).value[0])


def test_several_currencies_have_no_common_cost(gateway: Gateway) -> None:
    _, summary = decide(gateway, order(), order(instrument_id="PETR4", quantity=1_000))
    assert summary.decided == 2
    assert set(summary.notional) == {"USD", "BRL"}
    assert (summary.expected_cost_bps, summary.standard_deviation_bps) == (0.0, 0.0)


@pytest.mark.parametrize(("count", "label", "field"), [(0, "", "requests"), (1, "x" * 101, "basket_id")])
def test_faults_of_the_basket_itself(gateway: Gateway, count: int, label: str, field: str) -> None:
    basket = request_pb2.RecommendBatchRequest(requests=[order()] * count, basket_id=label)
    with pytest.raises(grpc.RpcError) as caught:
        list(start(gateway, basket))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field in (caught.value.details() or "")


def test_too_many_orders_are_refused_whole(gateway: Gateway) -> None:
    small = Request(order_id="x")
    basket = request_pb2.RecommendBatchRequest(requests=[small] * (MOST_ORDERS + 1))
    with pytest.raises(grpc.RpcError) as caught:
        list(start(gateway, basket))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_one_basket_at_a_time_and_single_orders_go_on_beside_it(live: LiveService, gateway: Gateway) -> None:
    basket = request_pb2.RecommendBatchRequest(requests=[order() for _ in range(1_500)])
    under_way = start(gateway, basket)
    first = next(under_way)
    with Gateway(live.target) as other:
        with pytest.raises(grpc.RpcError) as caught:
            list(start(other, request_pb2.RecommendBatchRequest(requests=[order()])))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert other.recommend(order()).code == "OK"
    rest = list(under_way)
    count = sum(len(response_pb2.RecommendBatchResponse.FromString(data).results) for data in (first, *rest))
    assert count == 1_500


def test_a_basket_that_is_given_up_keeps_what_was_decided(live: LiveService, gateway: Gateway) -> None:
    orders = [order(order_id=new_order_id("cut")) for _ in range(1_000)]
    under_way = start(gateway, request_pb2.RecommendBatchRequest(requests=orders))
    answered = response_pb2.RecommendBatchResponse.FromString(next(under_way)).results
    under_way.cancel()
    assert answered[0].response == gateway.recommend(orders[0]).response
    # Its place is free again when the service has heard of it.
    eventually(lambda: code_of_a_basket(gateway, orders[0]) == "OK", within_s=10.0, what="room for a basket")
    results, _ = decide(gateway, *orders[:3])
    assert results[0].response == answered[0].response


def code_of_a_basket(gateway: Gateway, one: Request) -> str:
    try:
        list(start(gateway, request_pb2.RecommendBatchRequest(requests=[one])))
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"
