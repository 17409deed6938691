"""The specification's example event, made from an answer with exactly its shape, names, and form of times."""

from __future__ import annotations

import json
import math
import re
import uuid
from typing import Any

import pytest
from execution_strategy.v1 import enums_pb2, events_pb2, response_pb2
from google.protobuf import json_format

from engine.records import Event
from service.mapping.events import (
    adapted_data,
    adapted_event,
    conflicted_event,
    event_of,
    milliseconds,
    operations_event,
    outcome_event,
    selected_event,
    stream_event,
)
from store.conflict_event import conflict_event
from store.errors import RecordInvalid

# Copied from the specification, its bare keys quoted.
EXAMPLE: dict[str, Any] = json.loads(
    """
    {
        "event_id": "uuid",
        "timestamp": "2025-06-21T10:00:00.000Z",
        "execution_strategy_selected": {
            "order_id": "order_20250621_001",
            "recommended_strategy": {
                "strategy_name": "Adaptive TWAP with Dark Pool",
                "algorithm": "ADAPTIVE_TWAP",
                "parameters": {
                    "participation_rate": 0.15,
                    "dark_pool_ratio": 0.30,
                    "volatility_adjustment": true
                },
                "venue_allocation": {
                    "NYSE": 0.40,
                    "NASDAQ": 0.30,
                    "DARK_POOL_1": 0.30
                }
            },
            "strategy_rationale": "High volatility detected, using adaptive TWAP with dark pool allocation to minimize market impact",
            "expected_outcomes": {
                "estimated_cost": 0.0025,
                "estimated_time_minutes": 45,
                "market_impact": 0.0015,
                "completion_probability": 0.95
            },
            "confidence": 0.87
        }
    }
    """  # noqa: E501
)


def example_response() -> response_pb2.ExecutionStrategyResponse:
    """The answer whose event the example is, with more in it than the event tells."""
    told = EXAMPLE["execution_strategy_selected"]
    message = response_pb2.ExecutionStrategyResponse()
    json_format.ParseDict(
        {
            **told,
            "created_at": EXAMPLE["timestamp"],
            "selection_id": "4b8d9c1e-5d0f-4a5e-9a57-0d6d3f3f6a01",
            "warnings": ["more than the event tells"],
            "expected_outcomes": {**told["expected_outcomes"], "risk_score": 0.4},
            "recommended_strategy": {
                **told["recommended_strategy"],
                "parameters": {**told["recommended_strategy"]["parameters"], "duration_minutes": 45},
            },
        },
        message,
    )
    return message


CREATED_NS = 1_750_500_000_000_000_000


def test_the_example_event_is_produced_exactly() -> None:
    event = selected_event(example_response(), CREATED_NS)
    made = json.loads(event.payload)
    assert made == {**EXAMPLE, "event_id": event.event_id}
    assert str(uuid.UUID(event.event_id)) == event.event_id
    assert (event.kind, event.aggregate_kind, event.aggregate_id) == (
        "execution_strategy_selected", "order", "order_20250621_001",
    )  # fmt: skip


def test_the_same_record_has_the_same_event_id_and_its_conflict_another() -> None:
    response = example_response()
    event = selected_event(response, CREATED_NS)
    assert event == selected_event(response, CREATED_NS)
    conflict = conflicted_event(
        order_id=response.order_id, kept_selection_id="k", conflicted_selection_id=response.selection_id,
        created_at_ns=CREATED_NS,
    )  # fmt: skip
    assert conflict.event_id != event.event_id


def test_names_come_in_the_order_of_the_specification() -> None:
    made = json.loads(selected_event(example_response(), CREATED_NS).payload)
    assert list(made) == list(EXAMPLE)
    own, said = made["execution_strategy_selected"], EXAMPLE["execution_strategy_selected"]
    assert list(own) == list(said)
    assert list(own["expected_outcomes"]) == list(said["expected_outcomes"])
    assert list(own["recommended_strategy"]["parameters"]) == list(said["recommended_strategy"]["parameters"])


def test_zeros_and_false_are_told_too() -> None:
    response = example_response()
    response.expected_outcomes.market_impact = 0.0
    response.confidence = 0.0
    response.recommended_strategy.parameters["volatility_adjustment"].bool_value = False
    response.recommended_strategy.parameters["dark_pool_ratio"].number_value = 0.0
    made = json.loads(selected_event(response, CREATED_NS).payload)["execution_strategy_selected"]
    assert made["expected_outcomes"]["market_impact"] == 0.0
    assert made["confidence"] == 0.0
    assert made["recommended_strategy"]["parameters"]["volatility_adjustment"] is False
    assert made["recommended_strategy"]["parameters"]["dark_pool_ratio"] == 0.0


def test_times_have_milliseconds_and_z() -> None:
    assert milliseconds(1_750_500_000_000_000_000) == "2025-06-21T10:00:00.000Z"
    assert milliseconds(1_750_500_000_007_999_999) == "2025-06-21T10:00:00.007Z"
    assert milliseconds(1_750_499_999_999_999_999) == "2025-06-21T09:59:59.999Z"
    made = json.loads(selected_event(example_response(), CREATED_NS).payload)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made["timestamp"])


def test_the_stores_own_conflict_event_is_the_contracts() -> None:
    made = conflict_event("o\u00e4", "kept", "late", CREATED_NS + 7_000_000)
    event = conflicted_event(
        order_id="o\u00e4", kept_selection_id="kept", conflicted_selection_id="late",
        created_at_ns=CREATED_NS + 7_000_000,
    )  # fmt: skip
    assert tuple(made) == (event.event_id, event.kind, event.aggregate_kind, event.aggregate_id, event.payload)


def test_parameters_that_the_answer_does_not_name_are_told_as_zero_and_the_answer_stays() -> None:
    response = example_response()
    del response.recommended_strategy.parameters["dark_pool_ratio"]
    before = response.SerializeToString(deterministic=True)
    made = json.loads(selected_event(response, CREATED_NS).payload)["execution_strategy_selected"]
    assert made["recommended_strategy"]["parameters"]["dark_pool_ratio"] == 0.0
    assert response.SerializeToString(deterministic=True) == before


def test_protobufs_own_reader_gives_the_same_message_as_ours() -> None:
    for event in events_of_all_kinds():
        theirs = json_format.Parse(lengthened(event.payload), events_pb2.ExecutionStrategyEvent())
        assert event_of(event.payload) == theirs
        assert theirs.WhichOneof("payload") == event.kind
        assert theirs.event_id == event.event_id
        assert theirs.timestamp.ToMilliseconds() == CREATED_NS // 1_000_000 + 7


def test_every_kind_tells_every_field_in_the_order_of_the_contract() -> None:
    for event in events_of_all_kinds():
        told = json.loads(event.payload)
        assert list(told) == ["event_id", "timestamp", event.kind]
        payload = getattr(event_of(event.payload), event.kind)
        assert list(told[event.kind]) == [field.name for field in payload.DESCRIPTOR.fields]


def test_the_stream_gives_id_payload_and_cursor() -> None:
    event = selected_event(example_response(), CREATED_NS)
    message = events_pb2.ExecutionStrategyEvent.FromString(
        stream_event(event.event_id, event.payload, "journal-1", 41)
    )
    assert (message.cursor.journal_id, message.cursor.sequence) == ("journal-1", 41)
    message.ClearField("cursor")
    assert message == event_of(event.payload)


@pytest.mark.parametrize(
    "payload",
    ["", "[]", "nonsense", '{"event_id": 5}', '{"event_id":"x","timestamp":"yesterday"}', "{" * 3000, '"\\ud800"'],
)
def test_what_is_no_event_still_arrives_with_id_and_cursor(payload: str) -> None:
    message = events_pb2.ExecutionStrategyEvent.FromString(stream_event("id-1", payload, "j", 3))
    assert (message.event_id, message.cursor.sequence) == ("id-1", 3)
    assert message.WhichOneof("payload") is None


def test_what_a_newer_service_wrote_is_read_as_far_as_it_is_known() -> None:
    event = selected_event(example_response(), CREATED_NS)
    told = json.loads(event.payload)
    told["execution_strategy_selected"]["mood"] = "good"
    message = event_of(json.dumps(told))
    assert message.execution_strategy_selected.order_id == event.aggregate_id
    assert event_of('{"event_id":"e","timestamp":"2025-06-21T10:00:00.000Z","unheard_of":{}}').event_id == "e"


def test_a_figure_that_is_no_number_makes_no_event() -> None:
    response = example_response()
    response.expected_outcomes.market_impact = math.nan
    with pytest.raises(RecordInvalid):
        selected_event(response, CREATED_NS)


def events_of_all_kinds() -> list[Event]:
    created_ns = CREATED_NS + 7_000_000
    response = example_response()
    advice = adapted_data(
        response.recommended_strategy, order_id="o", selection_id="s", rationale="r", expected_gain_bps=1.5,
        action=enums_pb2.ADAPTATION_ACTION_SWITCH, trigger=enums_pb2.ADAPTATION_TRIGGER_VOLATILITY,
    )  # fmt: skip
    return [
        selected_event(response, created_ns),
        adapted_event(advice, "adaptation-1", created_ns),
        outcome_event(
            outcome_id="u", order_id="o", selection_id="s", cost_fraction=0.0, performance_score=0.5,
            created_at_ns=created_ns,
        ),
        conflicted_event(
            order_id="o", kept_selection_id="k", conflicted_selection_id="c", created_at_ns=created_ns
        ),
        operations_event(
            operation_id="p", kind="HALTED", scope="INSTRUMENT", subject="AIG", actor="risk", detail="why",
            created_at_ns=created_ns,
        ),
    ]  # fmt: skip


def lengthened(payload: str) -> str:
    """Short names of enum values as protobuf's reader wants them."""
    for short, long in (
        ('"action":"', '"action":"ADAPTATION_ACTION_'),
        ('"trigger":"', '"trigger":"ADAPTATION_TRIGGER_'),
        ('"scope":"', '"scope":"SCOPE_'),
    ):
        payload = payload.replace(short, long)
    return payload
