"""The specification's event, in exactly its shape."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from execution_strategy.v1 import events_pb2, response_pb2

from service.mapping.contract_json import to_object
from service.mapping.responses import NS, set_time, time_of


def selected_event(
    response: response_pb2.ExecutionStrategyResponse, event_id: str
) -> events_pb2.ExecutionStrategyEvent:
    """execution_strategy_selected of a decision; the timestamp is the decision's own."""
    event = events_pb2.ExecutionStrategyEvent(event_id=event_id)
    set_time(event.timestamp, time_of(response.created_at))
    data, strategy = event.execution_strategy_selected, response.recommended_strategy
    data.order_id = response.order_id
    data.strategy_rationale = response.strategy_rationale
    data.confidence = response.confidence
    target = data.recommended_strategy
    target.strategy_name, target.algorithm = strategy.strategy_name, strategy.algorithm
    target.parameters.participation_rate = strategy.parameters["participation_rate"].number_value
    target.parameters.dark_pool_ratio = strategy.parameters["dark_pool_ratio"].number_value
    target.parameters.volatility_adjustment = strategy.parameters["volatility_adjustment"].bool_value
    for venue, share in strategy.venue_allocation.items():
        target.venue_allocation[venue] = share
    outcomes = response.expected_outcomes
    data.expected_outcomes.estimated_cost = outcomes.estimated_cost
    data.expected_outcomes.estimated_time_minutes = outcomes.estimated_time_minutes
    data.expected_outcomes.market_impact = outcomes.market_impact
    data.expected_outcomes.completion_probability = outcomes.completion_probability
    return event


def event_json(event: events_pb2.ExecutionStrategyEvent) -> str:
    """Every field is written, zeros too, and the time has milliseconds and Z, as the specification shows it."""
    fields = to_object(event, with_defaults=True)
    fields.pop("cursor", None)
    fields["timestamp"] = milliseconds(time_of(event.timestamp))
    return json.dumps(fields)


def milliseconds(instant_ns: int) -> str:
    """2025-06-21T10:00:00.000Z."""
    stamp = datetime.fromtimestamp(instant_ns // NS, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{instant_ns % NS // 1_000_000:03d}Z"
