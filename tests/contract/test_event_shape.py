"""The specification's example event, made from an answer with exactly its shape, names, and form of times."""

from __future__ import annotations

import json
import re
from typing import Any

from execution_strategy.v1 import events_pb2, response_pb2
from google.protobuf import json_format

from service.mapping.events import event_json, milliseconds, selected_event

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


def test_the_example_event_is_produced_exactly() -> None:
    assert json.loads(event_json(selected_event(example_response(), "uuid"))) == EXAMPLE


def test_names_come_in_the_order_of_the_specification() -> None:
    made = json.loads(event_json(selected_event(example_response(), "uuid")))
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
    made = json.loads(event_json(selected_event(response, "uuid")))["execution_strategy_selected"]
    assert made["expected_outcomes"]["market_impact"] == 0.0
    assert made["confidence"] == 0.0
    assert made["recommended_strategy"]["parameters"]["volatility_adjustment"] is False
    assert made["recommended_strategy"]["parameters"]["dark_pool_ratio"] == 0.0


def test_times_have_milliseconds_and_z() -> None:
    assert milliseconds(1_750_500_000_000_000_000) == "2025-06-21T10:00:00.000Z"
    assert milliseconds(1_750_500_000_007_999_999) == "2025-06-21T10:00:00.007Z"
    assert milliseconds(1_750_499_999_999_999_999) == "2025-06-21T09:59:59.999Z"
    made = json.loads(event_json(selected_event(example_response(), "uuid")))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made["timestamp"])


def test_the_event_is_a_message_of_the_contract() -> None:
    event = selected_event(example_response(), "uuid")
    assert event.WhichOneof("payload") == "execution_strategy_selected"
    assert events_pb2.ExecutionStrategyEvent.FromString(event.SerializeToString()) == event
