"""JSON of the contract: short and long enum names are read, short ones are written, faults are told."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from execution_strategy.v1 import enums_pb2, market_data_pb2, request_pb2, response_pb2

from service.mapping.contract_json import from_object, to_object

ORDER: dict[str, Any] = {
    "order_id": "o-1",
    "instrument_id": "AIG",
    "side": "SELL_SHORT",
    "quantity": 1500.0,
    "objective": "MINIMIZE_COST",
    "urgency": "NORMAL",
    "constraints": {"max_participation_rate": 0.1, "venue_restrictions": ["NYSE"]},
    "market_context": {
        "current_conditions": "NORMAL",
        "mid_price": 10.5,
        "recent_bars": [
            {"end_time": "2025-06-21T10:00:00Z", "mid_price": 10.5, "volume": 100.0, "spread_bps": 2.0}
        ],
    },
    "effective_time": "2025-06-21T10:00:00Z",
    "acknowledgement": "COMMITTED",
    "tags": {"side": "NORMAL"},
}


def read(fields: dict[str, Any]) -> request_pb2.ExecutionStrategyRequest:
    message = request_pb2.ExecutionStrategyRequest()
    assert from_object(fields, message) == []
    return message


def faults(fields: Any) -> str:
    found = from_object(fields, request_pb2.ExecutionStrategyRequest())
    assert len(found) == 1
    return f"{found[0].field}: {found[0].description}"


def test_a_round_trip_changes_nothing() -> None:
    before = copy.deepcopy(ORDER)
    assert to_object(read(ORDER)) == ORDER
    assert before == ORDER, "the caller's object stays as it was"


def test_short_names_of_the_specification() -> None:
    message = read(ORDER)
    assert message.side == enums_pb2.ORDER_SIDE_SELL_SHORT
    assert message.urgency == enums_pb2.EXECUTION_URGENCY_NORMAL
    assert message.market_context.current_conditions == enums_pb2.MARKET_CONDITION_NORMAL
    assert message.tags["side"] == "NORMAL"


@pytest.mark.parametrize("value", ["ORDER_SIDE_SELL_SHORT", "SELL_SHORT", "sell_short", 3])
def test_every_way_to_name_a_value(value: Any) -> None:
    assert read({**ORDER, "side": value}).side == enums_pb2.ORDER_SIDE_SELL_SHORT


def test_all_values_of_all_enums_have_a_short_name_that_comes_back() -> None:
    for name, enum in (
        ("side", enums_pb2.OrderSide), ("objective", enums_pb2.ExecutionObjective),
        ("urgency", enums_pb2.ExecutionUrgency), ("acknowledgement", enums_pb2.AcknowledgementClass),
    ):  # fmt: skip
        for number in enum.values()[1:]:
            fields_by_name: dict[str, Any] = {name: number}
            message = request_pb2.ExecutionStrategyRequest(**fields_by_name)
            fields = to_object(message)
            assert fields == {name: fields[name]}
            assert enum.Name(number).endswith(f"_{fields[name]}")
            assert read(fields) == message


def test_specification_and_camel_case_names_are_read() -> None:
    fields = {"orderId": "o-1", "marketContext": {"currentConditions": "TRENDING"}}
    message = read(fields)
    assert message.order_id == "o-1"
    assert message.market_context.current_conditions == enums_pb2.MARKET_CONDITION_TRENDING


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"side": "LONG"}, "LONG"), ({"nonsense": 1}, "nonsense"), ({"quantity": "many"}, "quantity"),
        ({"constraints": 5}, "constraints"), ({"constraints": [1]}, "constraints"), ({"quantity": [1]}, "quantity"),
        ({"market_context": {"current_conditions": "WILD"}}, "WILD"),
        ({"effective_time": "yesterday"}, "effective_time"),
        ({"side": {}}, "side"), ({"side": [1]}, "side"),
        ({"constraints": {"venue_restrictions": "NYSE"}}, "venue_restrictions"),
        ({"tags": {"a": 1}}, "tags"), ({"dry_run": "yes"}, "dry_run"),
        ({"constraints": {"time_limit_minutes": 1.5}}, "time_limit"),
        ({"order_id": 5}, "order_id"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told(fields: dict[str, Any], word: str) -> None:
    assert word.lower() in faults(fields).lower()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_left_to_the_rules(value: str) -> None:
    assert to_object(read({"quantity": value})) == {"quantity": value}


def test_answers_are_written_whole() -> None:
    response = response_pb2.ExecutionStrategyResponse(order_id="o-1")
    response.condition.condition = enums_pb2.MARKET_CONDITION_NEWS_DRIVEN
    response.recommended_strategy.parameters["volatility_adjustment"].bool_value = False
    response.recommended_strategy.time_allocation.slices.add(phase=enums_pb2.SLICE_PHASE_CLOSING_AUCTION)
    fields = to_object(response, with_defaults=True)
    assert fields["confidence"] == 0.0
    assert fields["acknowledgement"] == "UNSPECIFIED"
    assert fields["condition"]["condition"] == "NEWS_DRIVEN"
    assert fields["condition"]["data_condition"] == "UNSPECIFIED"
    assert fields["recommended_strategy"]["parameters"] == {"volatility_adjustment": False}
    assert fields["recommended_strategy"]["time_allocation"]["slices"][0]["phase"] == "CLOSING_AUCTION"


def test_an_enum_number_that_nobody_knows_stays_a_number() -> None:
    assert to_object(request_pb2.ExecutionStrategyRequest(side=77)) == {"side": 77}  # type: ignore[arg-type]


def test_lists_of_messages() -> None:
    message = market_data_pb2.UpdateMarketDataRequest()
    fields = {"instrument_id": "AIG", "bars": [{"mid_price": 1.0}, {"mid_price": 2.0}]}
    assert from_object(fields, message) == []
    assert [bar.mid_price for bar in message.bars] == [1.0, 2.0]
