"""Paths and verbs come from the contract's annotations; path, query and body become one message."""

from __future__ import annotations

from typing import Any

import pytest
from execution_strategy.v1 import adaptation_pb2, market_data_pb2, status_pb2
from google.protobuf import descriptor_pb2

from service.mapping.http_calls import HttpCall, RouteError, bind, call_of, calls_of, http_calls, segments_of

# The specification's REST paths, word for word.
SPECIFIED = {
    ("POST", "/api/v1/execution-strategy/recommend"),
    ("GET", "/api/v1/execution-strategy/{order_id}/status"),
    ("POST", "/api/v1/execution-strategy/{order_id}/adapt"),
    ("GET", "/api/v1/execution-strategy/performance"),
}


def named(name: str) -> HttpCall:
    return next(call for call in http_calls() if call.name == name)


def bound(name: str, path: dict[str, str], query: list[tuple[str, str]], body: Any = None) -> Any:
    message, faults = bind(named(name), path, query, body)
    return {fault.field: fault.description for fault in faults} if faults else message


def test_the_four_paths_of_the_specification_are_served() -> None:
    assert {(call.verb, call.template) for call in http_calls()} >= SPECIFIED


def test_path_fields_and_query_fields() -> None:
    assert named("Status").path_fields == ("order_id",)
    assert [field.name for field in named("Performance").query_fields] == ["start_date", "end_date", "algorithm"]
    assert named("AdaptOnce").query_fields == ()
    assert named("AdaptOnce").grpc_path == "/execution_strategy.v1.ExecutionStrategyService/AdaptOnce"


def test_a_path_fills_its_field() -> None:
    assert bound("Status", {"order_id": "a/b"}, []) == status_pb2.StatusRequest(order_id="a/b")


def test_query_parameters_fill_fields_by_either_name() -> None:
    wanted = status_pb2.PerformanceRequest(start_date="2025-01-01", end_date="2025-02-01", algorithm="true")
    query = [("start_date", "2025-01-01"), ("endDate", "2025-02-01"), ("algorithm", "true")]
    assert bound("Performance", {}, query) == wanted


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ([("nonsense", "1")], ["end_date", "nonsense", "start_date"]),
        ([("start_date", "2025-01-01"), ("start_date", "2025-01-01")], ["end_date", "start_date"]),
        ([("start_date.x", "1"), ("end_date", "2025-01-01")], ["start_date.x"]),
    ],
)
def test_query_parameters_that_are_none(query: list[tuple[str, str]], fields: list[str]) -> None:
    # What could not be read is told together with the rules that the rest breaks.
    assert sorted(bound("Performance", {}, query)) == fields


def test_the_body_may_repeat_the_path_and_not_contradict_it() -> None:
    wanted = adaptation_pb2.StrategyAdaptationRequest(order_id="a", pause=adaptation_pb2.PauseUpdate())
    assert bound("AdaptOnce", {"order_id": "a"}, [], {"pause": {}}) == wanted
    assert bound("AdaptOnce", {"order_id": "a"}, [], {"pause": {}, "order_id": "a"}) == wanted
    assert bound("AdaptOnce", {"order_id": "a"}, [], {"pause": {}, "order_id": "b"}) == {
        "order_id": "is 'b' in the body and 'a' in the path"
    }


def test_a_call_with_a_body_takes_no_query() -> None:
    found = bound("AdaptOnce", {"order_id": "a"}, [("force", "true")], {"pause": {}})
    assert found == {"force": "is no query parameter; this path takes none"}


def test_faults_of_reading_and_of_rules_are_told_together() -> None:
    found = bound("Recommend", {}, [], {"order_id": 5, "quantity": -1, "constraints": {"price_limit": 0, "x": 1}})
    assert {"order_id", "quantity", "constraints.price_limit", "constraints.x", "side", "urgency"} <= set(found)
    assert found["order_id"] == "must be a string, not a number"


def test_a_body_that_is_no_object_is_told_alone() -> None:
    assert bound("Recommend", {}, [], []) == {"": "must be an object, not an array"}


@pytest.mark.parametrize("template", ["/a/{b=**}", "/a/{b=x/*}", "/a/*", "/a//b", "/{a.b}"])
def test_templates_that_are_not_served(template: str) -> None:
    with pytest.raises(RouteError):
        segments_of(template)


def annotated(**rule: str) -> Any:
    """UpdateMarketDataRequest and its answer under an annotation of the test's own."""
    from google.api import annotations_pb2, http_pb2
    from google.protobuf import descriptor_pool

    kind = market_data_pb2.UpdateMarketDataRequest.DESCRIPTOR.full_name
    name = f"t{abs(hash(tuple(sorted(rule.items()))))}"
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto", package=name, dependency=["execution_strategy/v1/market_data.proto"]
    )
    method = file.service.add(name="S").method.add(name="M", input_type=f".{kind}", output_type=f".{kind}")
    method.options.Extensions[annotations_pb2.http].CopyFrom(http_pb2.HttpRule(**rule))
    descriptor_pool.Default().Add(file)
    return descriptor_pool.Default().FindServiceByName(f"{name}.S").methods[0]


@pytest.mark.parametrize(
    "rule",
    [
        {"get": "/{nothing}"}, {"post": "/x", "body": "instrument_id"}, {"get": "/x", "response_body": "x"},
        {"body": "*"},
    ],
)  # fmt: skip
def test_annotations_that_are_not_served(rule: dict[str, str]) -> None:
    with pytest.raises(RouteError):
        calls_of(annotated(**rule))


def test_parameters_of_every_kind() -> None:
    method = annotated(get="/x/{instrument_id}")
    from google.api import annotations_pb2

    call = call_of(method, method.GetOptions().Extensions[annotations_pb2.http])
    query = [("mid_price", "1.5"), ("as_of", "2025-06-21T10:00:00Z")]
    message, faults = bind(call, {"instrument_id": "AIG"}, query, None)
    assert faults == []
    wanted = market_data_pb2.UpdateMarketDataRequest(instrument_id="AIG", mid_price=1.5)
    wanted.as_of.seconds = 1_750_500_000
    assert message == wanted
    _, faults = bind(call, {"instrument_id": "AIG"}, [("mid_price", "x"), ("as_of", "y"), ("bars", "z")], None)
    assert sorted({fault.field for fault in faults}) == ["as_of", "bars", "mid_price"]
