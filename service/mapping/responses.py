"""Decisions as the contract's messages and as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from execution_strategy.v1 import adaptation_pb2, enums_pb2, response_pb2, status_pb2
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from engine.catalogue import RESTING_WHOLE
from engine.decision import (
    Alternative,
    Assessment,
    Choice,
    Decision,
    Outcomes,
    ParameterValue,
    ResolvedInputs,
    Schedule,
    Versions,
)
from engine.records import JsonObject, SelectionRecord
from engine.snapshot import VenueDirectory
from engine.told import Told
from service.mapping.events import decided_event
from service.mapping.requests import MappedRequest
from service.mapping.wire import BYTES, ToldWriter, tag_bytes, text_field
from service.mapping.wire_chosen import write_figures
from service.mapping.wire_end import end_bytes, middle_bytes
from store.submission import StoredSelection

NS = 1_000_000_000
ORDER_ID_TAG = tag_bytes(response_pb2.ExecutionStrategyResponse.DESCRIPTOR, "order_id", BYTES)
RATIONALE_TAG = tag_bytes(response_pb2.ExecutionStrategyResponse.DESCRIPTOR, "strategy_rationale", BYTES)
NO_TAGS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Naming:
    """How venues are called in answers: by MIC, or by the directory's name."""

    directory: VenueDirectory
    by_name: bool

    def venue(self, mic: str) -> str:
        return self.directory.name_by_mic.get(mic, mic) if self.by_name else mic

    def venues(self, shares: dict[str, float]) -> dict[str, float]:
        """Shares by MIC as an answer calls them."""
        return {self.venue(mic): share for mic, share in shares.items()} if self.by_name else shares


def set_time(stamp: Timestamp, instant_ns: int) -> None:
    stamp.seconds, stamp.nanos = divmod(instant_ns, NS)


def time_of(stamp: Timestamp) -> int:
    return int(stamp.seconds) * NS + int(stamp.nanos)


def response_of(
    decision: Decision, naming: Naming, selection_id: str, created_at_ns: int, acknowledgement: int
) -> response_pb2.ExecutionStrategyResponse:
    """The whole answer as a message."""
    message = response_pb2.ExecutionStrategyResponse()
    fill_beginning(message, decision, naming)
    for alternative in decision.alternatives:
        fill_alternative(message.alternative_strategies.add(), alternative)
    fill_middle(message, decision, selection_id, created_at_ns, acknowledgement)
    fill_breakdown(message, decision)
    for point in decision.frontier:
        message.efficient_frontier.add(
            strategy_name=point.strategy_name,
            algorithm=point.algorithm,
            expected_cost_bps=point.expected_cost_bps,
            standard_deviation_bps=point.standard_deviation_bps,
            horizon_minutes=point.horizon_minutes,
            chosen=point.chosen,
        )
    fill_end(message, decision)
    return message


def answer_of(
    decision: Decision, naming: Naming, selection_id: str, created_at_ns: int, acknowledgement: int, writer: ToldWriter
) -> bytes:
    """The bytes of `response_of`, serialised deterministically: an answer is its fields one after another, each written
    as bytes (service/mapping/wire.py, wire_chosen.py, wire_end.py)."""
    told = decision.told
    venues = naming.venues(decision.venue_allocation)
    written = write_figures(writer, decision, told, venues, created_at_ns) if isinstance(told, Told) else None
    if written is None:
        response = response_of(decision, naming, selection_id, created_at_ns, acknowledgement)
        return response.SerializeToString(deterministic=True)
    return b"".join(
        (
            text_field(ORDER_ID_TAG, decision.order_id), written.strategy,
            text_field(RATIONALE_TAG, decision.rationale), written.outcomes, written.alternatives,
            middle_bytes(decision, selection_id, written.created, acknowledgement), written.breakdown, written.frontier,
            end_bytes(decision, written.inputs, written.seed),
        )
    )  # fmt: skip


def fill_beginning(
    message: response_pb2.ExecutionStrategyResponse, decision: Decision, naming: Naming
) -> None:
    """The fields before the alternatives, by number."""
    message.order_id = decision.order_id
    fill_strategy(message.recommended_strategy, decision, naming)
    message.strategy_rationale = decision.rationale
    fill_outcomes(message.expected_outcomes, decision.chosen.outcomes)


def fill_middle(
    message: response_pb2.ExecutionStrategyResponse, decision: Decision, selection_id: str, created_at_ns: int,
    acknowledgement: int,
) -> None:  # fmt: skip
    """The fields between the alternatives and the breakdown, by number."""
    message.confidence = decision.confidence
    message.selection_id = selection_id
    set_time(message.created_at, created_at_ns)
    message.acknowledgement = cast(enums_pb2.AcknowledgementClass, acknowledgement)
    assessment, condition = decision.assessment, message.condition
    condition.condition = cast(enums_pb2.MarketCondition, assessment.condition._value_)
    condition.detected = assessment.detected
    condition.probability = assessment.probability
    condition.data_condition = cast(enums_pb2.MarketCondition, assessment.data_condition._value_)
    condition.evidence = assessment.evidence


def fill_breakdown(message: response_pb2.ExecutionStrategyResponse, decision: Decision) -> None:
    breakdown, target = decision.breakdown, message.cost_breakdown
    for name in breakdown.__struct_fields__:
        setattr(target, name, getattr(breakdown, name))


def fill_end(message: response_pb2.ExecutionStrategyResponse, decision: Decision) -> None:
    """The fields after the frontier."""
    message.binding_constraints.extend(decision.binding_constraints)
    for flip in decision.flips:
        message.flip_conditions.add(
            input=flip.input_name,
            current_value=flip.current_value,
            flip_value=flip.flip_value,
            algorithm=flip.algorithm,
            strategy_name=flip.strategy_name,
        )
    fill_inputs(message, decision)
    fill_fix(message.fix, decision)
    message.structural_only = decision.structural_only
    message.warnings.extend(decision.warnings)
    learning, target = decision.learning, message.learning
    target.online_correction_bps = learning.online_correction_bps
    target.propensity = learning.propensity
    target.explored = learning.explored


def fill_strategy(message: response_pb2.ExecutionStrategy, decision: Decision, naming: Naming) -> None:
    message.strategy_name = decision.chosen.strategy_name
    message.algorithm = decision.chosen.algorithm
    fill_parameters(message.parameters, decision.chosen.parameters)
    for mic, share in decision.venue_allocation.items():
        message.venue_allocation[naming.venue(mic)] = share
    fill_schedule(message.time_allocation, decision.schedule)
    controls, target = decision.risk_controls, message.risk_controls
    target.max_participation_rate = controls.max_participation_rate
    target.max_slice_quantity = controls.max_slice_shares
    target.price_limit = controls.price_limit
    target.price_collar_bps = controls.price_collar_bps
    target.max_spread_bps = controls.max_spread_bps
    target.volatility_trigger_ratio = controls.volatility_trigger_ratio
    target.schedule_shortfall_trigger_fraction = controls.schedule_shortfall_trigger_fraction


def fill_parameters(target: Mapping[str, Value], parameters: dict[str, ParameterValue]) -> None:
    for name, value in parameters.items():
        entry = target[name]
        if isinstance(value, bool):
            entry.bool_value = value
        elif isinstance(value, str):
            entry.string_value = value
        else:
            entry.number_value = value


def fill_schedule(message: response_pb2.TimeAllocation, schedule: Schedule) -> None:
    set_time(message.start_time, schedule.start_ns)
    set_time(message.end_time, schedule.end_ns)
    message.horizon_minutes = schedule.horizon_minutes
    for item in schedule.slices:
        part = message.slices.add(
            duration_seconds=item.duration_seconds,
            quantity=item.quantity_shares,
            phase=item.phase._value_,
        )
        set_time(part.start_time, item.start_ns)


def fill_outcomes(message: response_pb2.ExpectedOutcomes, outcomes: Outcomes) -> None:
    message.estimated_cost = outcomes.cost_fraction
    message.estimated_time_minutes = outcomes.time_minutes
    message.market_impact = outcomes.market_impact_fraction
    message.completion_probability = outcomes.completion_probability
    message.risk_score = outcomes.risk_score
    message.cost_standard_deviation = outcomes.standard_deviation_fraction
    message.cost_quantile_10 = outcomes.quantile_10_fraction
    message.cost_quantile_90 = outcomes.quantile_90_fraction
    message.mean_execution_minutes = outcomes.mean_execution_minutes
    message.utility_bps = outcomes.utility_bps


def fill_alternative(message: response_pb2.AlternativeStrategy, alternative: Alternative) -> None:
    choice: Choice = alternative.choice
    message.strategy_name = choice.strategy_name
    message.algorithm = choice.algorithm
    fill_parameters(message.parameters, choice.parameters)
    fill_outcomes(message.expected_outcomes, choice.outcomes)
    message.utility_difference_bps = alternative.utility_difference_bps
    message.cost_difference_bps = alternative.cost_difference_bps
    message.reason = alternative.reason


def fill_inputs(message: response_pb2.ExecutionStrategyResponse, decision: Decision) -> None:
    inputs, target = decision.inputs, message.resolved_inputs
    target.mid_price = inputs.mid_price
    target.spread_bps = inputs.spread_bps
    target.daily_volatility = inputs.daily_volatility_fraction
    target.average_daily_volume = inputs.average_daily_volume_shares
    target.short_term_alpha_bps_per_day = inputs.short_term_alpha_bps_per_day
    target.available_minutes = inputs.available_minutes
    target.expected_market_volume = inputs.expected_market_volume_shares
    target.max_participation_rate = inputs.max_participation_rate
    target.from_snapshot.extend(inputs.from_snapshot)
    if inputs.snapshot_as_of_ns:
        set_time(target.snapshot_as_of, inputs.snapshot_as_of_ns)
    versions = decision.versions
    message.versions.engine = versions.engine
    message.versions.surfaces_sha256 = versions.surfaces_sha256
    message.versions.models_sha256 = versions.models_sha256
    message.versions.utility_sha256 = versions.utility_sha256
    message.versions.seed = versions.seed
    message.versions.learned_sha256 = versions.learned_sha256


def fill_fix(message: response_pb2.FixStrategy, decision: Decision) -> None:
    """847, 957-960, and 100 with 1133=G: always MICs."""
    message.target_strategy = decision.fix_target_strategy
    for parameter in decision.fix_parameters:
        message.strategy_parameters.add(
            strategy_parameter_name=parameter.name,
            strategy_parameter_type=parameter.type_code,
            strategy_parameter_value=parameter.value,
        )
    message.ex_destinations.extend(decision.venue_allocation)


def record_of(
    decision: Decision,
    mapped: MappedRequest,
    naming: Naming,
    answer: bytes,
    selection_id: str,
    created_at_ns: int,
    gateway: str,
    inputs: bytes = b"",
    build_id: str = "",
    tags: Mapping[str, str] = NO_TAGS,
) -> SelectionRecord:
    """What is kept of a decision whose `answer` is this. `tags` are the service's own; they go before the request's."""
    order = mapped.order
    venues = naming.venues(decision.venue_allocation)
    return SelectionRecord(
        selection_id=selection_id,
        order_id=order.order_id,
        request_hash=mapped.request_hash,
        created_at_ns=created_at_ns,
        instrument_id=order.instrument_id,
        side=order.side._name_,
        quantity_shares=order.quantity_shares,
        objective=order.objective._name_,
        urgency=order.urgency._name_,
        strategy_name=decision.chosen.strategy_name,
        algorithm=decision.chosen.algorithm,
        selection_rationale=decision.rationale,
        confidence=decision.confidence,
        market_conditions=conditions_json(decision.assessment, decision.inputs),
        expected_outcomes=outcomes_json(decision.chosen.outcomes) | learning_json(decision),
        parameters=dict(decision.chosen.parameters),
        venue_allocation=venues,
        versions=versions_json(decision.versions, build_id),
        request=mapped.canonical,
        response=answer,
        gateway=gateway,
        tags={**mapped.tags, **tags} if tags else mapped.tags,
        event=decided_event(decision, venues, selection_id, created_at_ns),
        inputs=inputs,
    )


def versions_json(versions: Versions, build_id: str) -> dict[str, str]:
    """strategy_selections.versions."""
    return {
        "engine": versions.engine,
        "build_id": build_id,
        "surfaces_sha256": versions.surfaces_sha256,
        "models_sha256": versions.models_sha256,
        "utility_sha256": versions.utility_sha256,
        "seed": str(versions.seed),
        "learned_sha256": versions.learned_sha256,
    }


def conditions_json(assessment: Assessment, inputs: ResolvedInputs) -> JsonObject:
    """strategy_selections.market_conditions."""
    return {
        "condition": assessment.condition._name_,
        "detected": assessment.detected,
        "probability": assessment.probability,
        "evidence": assessment.evidence,
        "mid_price": inputs.mid_price,
        "spread_bps": inputs.spread_bps,
        "daily_volatility": inputs.daily_volatility_fraction,
        "average_daily_volume": inputs.average_daily_volume_shares,
        "short_term_alpha_bps_per_day": inputs.short_term_alpha_bps_per_day,
    }


def outcomes_json(outcomes: Outcomes) -> JsonObject:
    """strategy_selections.expected_outcomes; fractions of notional."""
    return {
        "estimated_cost": outcomes.cost_fraction,
        "estimated_time_minutes": outcomes.time_minutes,
        "market_impact": outcomes.market_impact_fraction,
        "completion_probability": outcomes.completion_probability,
        "risk_score": outcomes.risk_score,
        "cost_standard_deviation": outcomes.standard_deviation_fraction,
        "cost_quantile_10": outcomes.quantile_10_fraction,
        "cost_quantile_90": outcomes.quantile_90_fraction,
        "utility_bps": outcomes.utility_bps,
    }


def learning_json(decision: Decision) -> JsonObject:
    """What the learner must know of a decision beside its forecasts: a fraction of notional, a probability, whether the
    models had a say."""
    learning = decision.learning
    return {
        "online_correction": learning.online_correction_bps / 1e4, "propensity": learning.propensity,
        "explored": learning.explored, "structural_only": decision.structural_only,
    }


def status_of(
    order_id: str, selections: tuple[StoredSelection, ...], now_ns: int, market_as_of_ns: int
) -> status_pb2.StrategyExecutionStatus:
    """An order that was recommended and has not reported yet; the last selection is the one in force."""
    current = selections[-1]
    message = status_pb2.StrategyExecutionStatus(
        order_id=order_id,
        state=enums_pb2.EXECUTION_STATE_RECOMMENDED,
        current=response_pb2.ExecutionStrategyResponse.FromString(current.response),
    )
    quantity = sum(part.quantity for part in message.current.recommended_strategy.time_allocation.slices)
    message.progress.CopyFrom(
        adaptation_pb2.OrderProgress(parent_quantity=quantity, unscheduled_quantity=quantity)
    )
    message.scheduled_fraction = scheduled_fraction(message.current.recommended_strategy, now_ns)
    for selection in selections:
        summary = message.selections.add(
            selection_id=selection.selection_id,
            algorithm=selection.algorithm,
            strategy_name=selection.strategy_name,
            rationale=selection.selection_rationale,
        )
        set_time(summary.created_at, selection.created_at_ns)
    set_time(message.selected_at, current.created_at_ns)
    if market_as_of_ns:
        message.market_data_age_seconds = max(0.0, (now_ns - market_as_of_ns) / NS)
    return message


def with_acknowledgement(stored: bytes, acknowledgement: int) -> bytes:
    """The stored answer with this call's class; the very bytes where the class is the same."""
    message = response_pb2.ExecutionStrategyResponse.FromString(stored)
    if message.acknowledgement == acknowledgement:
        return stored
    message.acknowledgement = cast(enums_pb2.AcknowledgementClass, acknowledgement)
    return message.SerializeToString(deterministic=True)


def with_warning(stored: bytes, text: str) -> bytes:
    """The stored answer with one more warning, behind its own."""
    return stored + response_pb2.ExecutionStrategyResponse(warnings=[text]).SerializeToString()


def scheduled_fraction(strategy: response_pb2.ExecutionStrategy, now_ns: int) -> float:
    """Part of the order that the slices want done by now, in [0, 1]; of what rests whole nothing before the end."""
    schedule = strategy.time_allocation
    by_clock = strategy.algorithm not in RESTING_WHOLE
    total = sum(part.quantity for part in schedule.slices)
    done = 0.0
    for part in schedule.slices:
        if part.phase == enums_pb2.SLICE_PHASE_CARRY_OVER:
            continue
        elapsed = (now_ns - time_of(part.start_time)) / NS
        if elapsed >= 0.0:
            share = elapsed / part.duration_seconds if part.duration_seconds > 0.0 else 1.0
            if by_clock or share >= 1.0:
                done += part.quantity * min(1.0, share)
    return min(1.0, done / total) if total > 0.0 else 0.0
