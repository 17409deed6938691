"""Where an order stands and how it ended, as the contract's messages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, cast

from execution_strategy.v1 import enums_pb2, response_pb2, status_pb2

from engine.decision import Fault
from engine.order_life.shortfall import shortfall_of
from engine.order_life.state import OrderState
from engine.order_life.updates import shares_of
from engine.records import OutcomeRecord
from service.mapping.adaptation import advice_again, fill_progress
from service.mapping.events import outcome_event
from service.mapping.responses import NS, scheduled_fraction, set_time
from service.mapping.validation import parse, rule_faults
from store.order_port import KeptAdvice, KeptOrder, OutcomeAnswer
from store.orders import plan_in_force

# Fields of ActualOutcomes that may be unknown.
OPTIONAL: Final = (
    "market_impact", "arrival_mid_price", "interval_vwap", "interval_volume", "final_mid_price", "dark_quantity",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moment:
    """What an order's status is worked out with: the snapshot's mid, 0 where none is fresh, and when it was taken."""

    now_ns: int
    mid_price: float
    mid_as_of_ns: int = 0


def add_life(message: status_pb2.StrategyExecutionStatus, order: KeptOrder, moment: Moment) -> None:
    """Adds what the order's updates and advices say to its status as it was recommended."""
    state, now_ns = order.state, moment.now_ns
    if state is None:
        return
    message.state = cast(enums_pb2.ExecutionState, int(state.execution_state))
    fill_progress(message.progress, state)
    message.acknowledged_sequence = state.sequence
    if state.updated_ns:
        message.update_age_seconds = max(0.0, (now_ns - state.updated_ns) / NS)
    if state.parent_units:
        message.filled_fraction = state.filled_units / state.parent_units
    for advice in order.advices:
        _add_advice(message, advice)
    # The mid that the request told is newer than a snapshot from before it.
    is_told = "mid_price" not in message.current.resolved_inputs.from_snapshot
    told_ns = max(state.mid_told_ns, state.opening.decided_ns if is_told else 0)
    filled_before = 0.0
    in_force = plan_in_force(order.advices)
    if in_force is not None and in_force.response:
        advice_message = advice_again(in_force.response)
        message.current.CopyFrom(advice_message.response)
        set_time(message.selected_at, in_force.created_at_ns)
        filled_before = advice_message.progress.filled_quantity
    message.scheduled_fraction = _scheduled(message.current, state, filled_before, now_ns)
    _add_cost(message, state, moment.mid_price if moment.mid_as_of_ns > told_ns else 0.0)


def set_halted(message: status_pb2.StrategyExecutionStatus) -> None:
    """A halt covers the order; one that has ended stays ended."""
    ended = (
        enums_pb2.EXECUTION_STATE_COMPLETED, enums_pb2.EXECUTION_STATE_CANCELLED, enums_pb2.EXECUTION_STATE_EXPIRED
    )
    if message.state not in ended:
        message.state = enums_pb2.EXECUTION_STATE_HALTED


def _add_advice(message: status_pb2.StrategyExecutionStatus, advice: KeptAdvice) -> None:
    """The algorithm is told where the advice brought one; else it is the one before."""
    before = message.selections[-1]
    summary = message.selections.add(
        selection_id=advice.adaptation_id, algorithm=before.algorithm, strategy_name=before.strategy_name,
        trigger=enums_pb2.AdaptationTrigger.Value(f"ADAPTATION_TRIGGER_{advice.trigger}"),
        rationale=advice.rationale,
    )  # fmt: skip
    set_time(summary.created_at, advice.created_at_ns)
    if advice.response:
        strategy = advice_again(advice.response).response.recommended_strategy
        if strategy.algorithm:
            summary.algorithm, summary.strategy_name = strategy.algorithm, strategy.strategy_name


def _scheduled(
    response: response_pb2.ExecutionStrategyResponse, state: OrderState, filled_before: float, now_ns: int
) -> float:
    """Part of the order that is due by now: what was filled before the plan in force, and what that wants since."""
    schedule = response.recommended_strategy.time_allocation
    planned = sum(part.quantity for part in schedule.slices)
    due = filled_before + scheduled_fraction(response.recommended_strategy, now_ns) * planned
    parent = shares_of(state.parent_units)
    return min(1.0, due / parent) if parent > 0.0 else 0.0


def _add_cost(message: status_pb2.StrategyExecutionStatus, state: OrderState, mid_price: float) -> None:
    """`mid_price`: the snapshot's, 0 where the gateway's is newer. Of an order that ended its last counts."""
    impact_bps = message.current.expected_outcomes.market_impact * 1e4
    found = shortfall_of(state, impact_bps, 0.0 if state.ended is not None else mid_price)
    if found is None:
        return
    cost = message.cost_so_far
    cost.total_bps, cost.delay_bps, cost.impact_bps = found.total_bps, found.delay_bps, found.impact_bps
    cost.timing_bps, cost.spread_bps = found.timing_bps, found.spread_bps
    cost.opportunity_bps, cost.fees_bps = found.opportunity_bps, found.fees_bps
    cost.interval_vwap_bps, cost.average_price = found.interval_vwap_bps, found.average_price


@dataclass(frozen=True, slots=True)
class MappedOutcome:
    """`selection_id` as records have it, in small letters; empty where none was named."""

    order_id: str
    selection_id: str
    canonical: bytes


def map_outcome(data: bytes) -> MappedOutcome | list[Fault]:
    """Raises MalformedMessageError."""
    message = parse(status_pb2.ReportOutcomeRequest, data)
    faults = rule_faults(message)
    outcome = message.actual_outcomes
    if outcome.filled_quantity > 0.0 and outcome.average_price <= 0.0:
        faults.append(Fault("actual_outcomes.average_price", "must be above 0 where something was filled"))
    if faults:
        return faults
    return MappedOutcome(message.order_id, message.selection_id.lower(), message.SerializeToString(deterministic=True))


def outcome_record(
    mapped: MappedOutcome, order: KeptOrder, outcome_id: str, now_ns: int
) -> OutcomeRecord:
    """The record; its canonical request names the selection, so that the same report is the same bytes."""
    message = status_pb2.ReportOutcomeRequest.FromString(mapped.canonical)
    message.selection_id = order.basis.selection_id
    outcome = message.actual_outcomes
    expected = response_pb2.ExecutionStrategyResponse.FromString(order.basis.response).expected_outcomes
    score = performance_score(expected.estimated_cost, expected.cost_standard_deviation, outcome.cost)
    actual: dict[str, Any] = {
        "cost": outcome.cost, "time_minutes": outcome.time_minutes, "filled_quantity": outcome.filled_quantity,
        "average_price": outcome.average_price,
    }  # fmt: skip
    actual.update({name: getattr(outcome, name) for name in OPTIONAL if outcome.HasField(name)})
    return OutcomeRecord(
        outcome_id, mapped.order_id, order.basis.selection_id, now_ns, actual, score,
        message.SerializeToString(deterministic=True),
        outcome_event(
            outcome_id=outcome_id, order_id=mapped.order_id, selection_id=order.basis.selection_id,
            cost_fraction=outcome.cost, performance_score=score, created_at_ns=now_ns,
        ),
    )  # fmt: skip


def performance_score(expected: float, deviation: float, actual: float) -> float:
    """Phi((expected - actual) / SD): 0.5 is as forecast, higher is cheaper. Without a deviation, which side it was."""
    if deviation <= 0.0:
        return 0.5 if actual == expected else float(actual < expected)
    return 0.5 * math.erfc((actual - expected) / deviation / math.sqrt(2.0))


def outcome_response(answer: OutcomeAnswer, acknowledgement: int) -> bytes:
    message = status_pb2.ReportOutcomeResponse(
        selection_id=answer.kept.selection_id, performance_score=answer.kept.performance_score,
        acknowledgement=cast(enums_pb2.AcknowledgementClass, acknowledgement),
    )  # fmt: skip
    return bytes(message.SerializeToString())
