"""Events: what a record tells the firm, as JSON text for the outbox and as messages of StreamEvents.

The JSON is written along the messages' own descriptors: every field, in the order of the contract, zeros too; a message
that is not set is left out. So there is one schema, and an execution_strategy_selected event has exactly the
specification's shape. protobuf's json_format takes four times as long to write, and twenty times to read.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, Final, cast

import msgspec
from execution_strategy.v1 import enums_pb2, events_pb2, response_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value

from engine.decision import Decision, Fault
from engine.records import Event
from service.mapping.json_names import lengthen, short_names
from service.mapping.validation import MalformedMessageError, parse, rule_faults
from store.errors import RecordInvalid
from store.uuids import uuid_text

# Event ids are uuid5 of this and the record's id: made again from the same record, an event has the same id.
EVENT_NAMESPACE: Final = uuid.UUID("5a1c6d5e-3f0b-4a86-9d0c-6c4f4e2b7a10")
_NAMESPACE_SHA1: Final = hashlib.sha1(EVENT_NAMESPACE.bytes, usedforsecurity=False)
ORDER: Final = "order"
OPERATION: Final = "operation"
SELECTED: Final = "execution_strategy_selected"
ADAPTED: Final = "execution_strategy_adapted"
OUTCOME_REPORTED: Final = "execution_outcome_reported"
CONFLICTED: Final = "execution_strategy_conflicted"
OPERATIONS: Final = "operations"
# Payloads of the contract by their name in the event; a heartbeat never lies in the outbox.
PAYLOADS: Final[dict[str, Any]] = {
    field.name: field.message_type
    for field in events_pb2.ExecutionStrategyEvent.DESCRIPTOR.oneofs_by_name["payload"].fields
    if field.name != "heartbeat"
}

NS: Final = 1_000_000_000
DEFAULT_HEARTBEAT_SECONDS: Final = 15
# PostgreSQL's bigint.
MAX_SEQUENCE: Final = 2**63 - 1

_Write = Callable[[Any], Any]
_NO_VALUE: Final = Value()
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def selected_event(response: response_pb2.ExecutionStrategyResponse, created_at_ns: int) -> Event:
    """execution_strategy_selected of an answer; venues are called as the answer calls them."""
    strategy, outcomes = response.recommended_strategy, response.expected_outcomes
    data = events_pb2.ExecutionStrategySelectedData(
        order_id=response.order_id,
        recommended_strategy=_strategy_data(strategy),
        strategy_rationale=response.strategy_rationale,
        expected_outcomes=events_pb2.ExpectedOutcomesData(
            estimated_cost=outcomes.estimated_cost,
            estimated_time_minutes=outcomes.estimated_time_minutes,
            market_impact=outcomes.market_impact,
            completion_probability=outcomes.completion_probability,
        ),
        confidence=response.confidence,
    )
    return _event(SELECTED, data, event_id_of(response.selection_id), ORDER, response.order_id, created_at_ns)


def decided_event(
    decision: Decision, venues: Mapping[str, float], selection_id: str, created_at_ns: int
) -> Event:
    """`selected_event` of the answer that a decision becomes, from its values: a tenth of the time that reading them
    from the message takes. `venues` as the answer calls them; the order of fields is the contract's."""
    chosen = decision.chosen
    outcomes, parameters = chosen.outcomes, chosen.parameters
    data = {
        "order_id": decision.order_id,
        "recommended_strategy": {
            "strategy_name": chosen.strategy_name,
            "algorithm": chosen.algorithm,
            "parameters": {
                "participation_rate": parameters["participation_rate"],
                "dark_pool_ratio": parameters["dark_pool_ratio"],
                "volatility_adjustment": parameters["volatility_adjustment"],
            },
            "venue_allocation": {name: venues[name] for name in sorted(venues)},
        },
        "strategy_rationale": decision.rationale,
        "expected_outcomes": {
            "estimated_cost": outcomes.cost_fraction,
            "estimated_time_minutes": outcomes.time_minutes,
            "market_impact": outcomes.market_impact_fraction,
            "completion_probability": outcomes.completion_probability,
        },
        "confidence": decision.confidence,
    }
    event = _event_of(SELECTED, data, event_id_of(selection_id), ORDER, decision.order_id, created_at_ns)
    # What is no number is written as null, so that only a text with a null in it needs a look at the numbers.
    if "null" in event.payload:
        _refuse_not_finite(decision, venues)
    return event


def _refuse_not_finite(decision: Decision, venues: Mapping[str, float]) -> None:
    outcomes, parameters = decision.chosen.outcomes, decision.chosen.parameters
    numbers = (
        outcomes.cost_fraction, outcomes.market_impact_fraction, outcomes.completion_probability, decision.confidence,
        parameters["participation_rate"], parameters["dark_pool_ratio"], *venues.values(),
    )  # fmt: skip
    if not all(map(math.isfinite, cast(tuple[float, ...], numbers))):
        raise RecordInvalid(f"one of {numbers} is no number for an event")


def adapted_event(
    data: events_pb2.ExecutionStrategyAdaptedData, adaptation_id: str, created_at_ns: int
) -> Event:
    """execution_strategy_adapted of one advice; `adapted_data` makes `data`."""
    return _event(ADAPTED, data, event_id_of(adaptation_id), ORDER, data.order_id, created_at_ns)


def adapted_data(
    strategy: response_pb2.ExecutionStrategy | None, **fields: Any
) -> events_pb2.ExecutionStrategyAdaptedData:
    """The payload of an advice; `strategy` is that for the remainder, None where the advice brings none."""
    data = events_pb2.ExecutionStrategyAdaptedData(**fields)
    if strategy is not None:
        data.recommended_strategy.CopyFrom(_strategy_data(strategy))
    return data


def outcome_event(
    *, outcome_id: str, order_id: str, selection_id: str, cost_fraction: float, performance_score: float,
    created_at_ns: int,
) -> Event:  # fmt: skip
    """execution_outcome_reported of an order's end."""
    data = events_pb2.ExecutionOutcomeReportedData(
        order_id=order_id, selection_id=selection_id, cost=cost_fraction, performance_score=performance_score
    )
    return _event(OUTCOME_REPORTED, data, event_id_of(outcome_id), ORDER, order_id, created_at_ns)


def conflicted_event(
    *, order_id: str, kept_selection_id: str, conflicted_selection_id: str, created_at_ns: int
) -> Event:
    """execution_strategy_conflicted: the later decision of an order that another host had decided."""
    data = events_pb2.ExecutionStrategyConflictedData(
        order_id=order_id, kept_selection_id=kept_selection_id, conflicted_selection_id=conflicted_selection_id
    )
    event_id = event_id_of(conflicted_selection_id, CONFLICTED)
    return _event(CONFLICTED, data, event_id, ORDER, order_id, created_at_ns)


def operations_event(
    *, operation_id: str, kind: str, scope: str, subject: str, actor: str, detail: str, created_at_ns: int
) -> Event:
    """operations: HALTED, LIMITS_CHANGED and so on. `scope` is a name of the contract's Scope, short or long."""
    long_scope = lengthen(enums_pb2.Scope.DESCRIPTOR, scope)
    data = events_pb2.OperationsData(kind=kind, scope=long_scope, subject=subject, actor=actor, detail=detail)
    return _event(OPERATIONS, data, event_id_of(operation_id), OPERATION, subject, created_at_ns)


def event_id_of(record_id: str, kind: str = "") -> str:
    """Of a record's event; `kind` tells apart a second event of the same record (the conflict of a selection)."""
    name = f"{kind}:{record_id}" if kind else record_id
    # uuid.uuid5 by hand (RFC 9562, 5.5), in a quarter of its time: every decision needs one. Copying a digest costs
    # less than asking OpenSSL for another.
    digest = _NAMESPACE_SHA1.copy()
    digest.update(name.encode())
    return uuid_text(digest.hexdigest(), 5)


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What a reader of events asks for; `resume_after` holds sequences by journal."""

    resume_after: dict[str, int]
    heartbeat_s: float
    from_now: bool


def stream_request(data: bytes) -> StreamRequest | list[Fault]:
    """Of the call's bytes, or everything that is wrong with them."""
    try:
        message = parse(events_pb2.StreamEventsRequest, data)
    except MalformedMessageError as error:
        return [Fault("", str(error))]
    faults = rule_faults(message)
    resume_after: dict[str, int] = {}
    for index, cursor in enumerate(message.resume_after):
        if cursor.journal_id in resume_after:
            faults.append(Fault(f"resume_after[{index}].journal_id", "the journal is named twice"))
        if cursor.sequence > MAX_SEQUENCE:
            faults.append(Fault(f"resume_after[{index}].sequence", f"must be at most {MAX_SEQUENCE}"))
        resume_after[cursor.journal_id] = cursor.sequence
    seconds = message.heartbeat_seconds if message.HasField("heartbeat_seconds") else DEFAULT_HEARTBEAT_SECONDS
    return faults or StreamRequest(resume_after, float(seconds), message.from_now)


def heartbeat() -> bytes:
    """Nothing happened, the stream lives."""
    return bytes(events_pb2.ExecutionStrategyEvent(heartbeat=events_pb2.Heartbeat()).SerializeToString())


def stream_event(event_id: str, payload: str, journal_id: str, cursor_sequence: int) -> bytes:
    """An event of the outbox as StreamEvents sends it. What a newer service wrote and this one cannot read still
    arrives, with id and cursor and what could be read of it, so that no stream stops there for ever."""
    message = event_of(payload)
    message.event_id = event_id
    message.cursor.journal_id, message.cursor.sequence = journal_id, cursor_sequence
    return bytes(message.SerializeToString())


def event_of(payload: str) -> events_pb2.ExecutionStrategyEvent:
    """The message of an event's JSON; empty where it is none."""
    try:
        fields = _decode(payload)
        seconds, nanos = divmod(_instant_ns(fields["timestamp"]), NS)
        stamp = {"seconds": seconds, "nanos": nanos}
        (kind,) = fields.keys() & PAYLOADS.keys()
        data = _lengthened(fields[kind], PAYLOADS[kind])
        return events_pb2.ExecutionStrategyEvent(
            **{"event_id": fields["event_id"], "timestamp": stamp, kind: data}
        )
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError):
        return _read_leniently(payload)


def milliseconds(instant_ns: int) -> str:
    """2025-06-21T10:00:00.000Z."""
    seconds, rest_ns = divmod(instant_ns, NS)
    return f"{_second(seconds)}.{rest_ns // 1_000_000:03d}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """Events come many in one second."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat()[:19]


def _strategy_data(strategy: response_pb2.ExecutionStrategy) -> events_pb2.RecommendedStrategyData:
    parameters = strategy.parameters
    return events_pb2.RecommendedStrategyData(
        strategy_name=strategy.strategy_name,
        algorithm=strategy.algorithm,
        parameters=events_pb2.StrategyParametersData(
            participation_rate=_parameter(parameters, "participation_rate").number_value,
            dark_pool_ratio=_parameter(parameters, "dark_pool_ratio").number_value,
            volatility_adjustment=_parameter(parameters, "volatility_adjustment").bool_value,
        ),
        venue_allocation=strategy.venue_allocation,
    )


def _parameter(parameters: Mapping[str, Value], name: str) -> Value:
    # By [name], one that is not there would be put into the answer.
    return parameters.get(name, _NO_VALUE)


def _event(
    kind: str, data: Message, event_id: str, aggregate_kind: str, aggregate_id: str, created_at_ns: int
) -> Event:
    return _event_of(kind, _object_of(data), event_id, aggregate_kind, aggregate_id, created_at_ns)


def _event_of(
    kind: str, data: dict[str, Any], event_id: str, aggregate_kind: str, aggregate_id: str, created_at_ns: int
) -> Event:
    fields = {"event_id": event_id, "timestamp": milliseconds(created_at_ns), kind: data}
    return Event(event_id, kind, aggregate_kind, aggregate_id, _encode(fields).decode())


def _object_of(message: Message) -> dict[str, Any]:
    """Every field in the order of the contract; a message that is not set is left out."""
    found: dict[str, Any] = {}
    for name, is_message, write in _fields_of(message.DESCRIPTOR):
        if is_message and not message.HasField(name):
            continue
        value = getattr(message, name)
        found[name] = value if write is None else write(value)
    return found


@cache
def _fields_of(descriptor: Descriptor) -> tuple[tuple[str, bool, _Write | None], ...]:
    """(name, whether it may be missing, what writes its value)."""
    return tuple((field.name, _may_be_missing(field), _writer_of(field)) for field in descriptor.fields)


def _may_be_missing(field: FieldDescriptor) -> bool:
    return field.message_type is not None and not field.message_type.GetOptions().map_entry


def _writer_of(field: FieldDescriptor) -> _Write | None:
    if field.message_type is not None:
        # Maps here hold numbers. In the order of their keys: protobuf's own differs from process to process.
        return _object_of if _may_be_missing(field) else _map_of
    if field.enum_type is not None:
        return _enum_writer(field.enum_type)
    return _finite if field.type == FieldDescriptor.TYPE_DOUBLE else None


def _map_of(entries: Any) -> dict[str, float]:
    return {name: _finite(entries[name]) for name in sorted(entries)}


def _enum_writer(enum: EnumDescriptor) -> _Write:
    names = short_names(enum)
    return lambda number: names.get(number, number)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise RecordInvalid(f"{value} is no number for an event")
    return value


def _lengthened(fields: dict[str, Any], descriptor: Descriptor) -> dict[str, Any]:
    """Short names of enum values as protobuf knows them."""
    for name, enum in _enums_of(descriptor):
        if name in fields:
            fields[name] = lengthen(enum, fields[name])
    return fields


@cache
def _enums_of(descriptor: Descriptor) -> tuple[tuple[str, EnumDescriptor], ...]:
    return tuple((field.name, field.enum_type) for field in descriptor.fields if field.enum_type is not None)


def _instant_ns(stamp: str) -> int:
    instant = datetime.fromisoformat(stamp)
    return int(instant.replace(microsecond=0).timestamp()) * NS + instant.microsecond * 1_000


def _read_leniently(payload: str) -> events_pb2.ExecutionStrategyEvent:
    message = events_pb2.ExecutionStrategyEvent()
    try:
        json_format.Parse(payload, message, ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError):
        return events_pb2.ExecutionStrategyEvent()
    return message
