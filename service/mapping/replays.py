"""A recorded decision or advice made again, and what is answered about it. The one place where a replay touches
messages."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final

from execution_strategy.v1 import adaptation_pb2, enums_pb2, replay_pb2, request_pb2, response_pb2
from google.protobuf.message import DecodeError, Message

from engine.decide import decide
from engine.decision import Fault, Refusal
from engine.request import OrderRequest
from engine.snapshot import Snapshot
from service.mapping.field_differences import Difference, differences
from service.mapping.inputs import DecisionInputs
from service.mapping.requests import content_hash, map_request
from service.mapping.responses import Naming, response_of
from service.mapping.validation import MalformedMessageError, parse, rule_faults

_RESPONSE: Final = response_pb2.ExecutionStrategyResponse
ADVICE: Final = adaptation_pb2.StrategyAdaptation


class ReplayVerdict(Enum):
    """The numbers are the contract's."""

    IDENTICAL = enums_pb2.REPLAY_VERDICT_IDENTICAL
    DIFFERENT = enums_pb2.REPLAY_VERDICT_DIFFERENT
    ENGINE_CHANGED = enums_pb2.REPLAY_VERDICT_ENGINE_CHANGED


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay. `replayed` is None where no decision came of the recorded inputs; then the differences
    say why. is_advice: the bytes are a StrategyAdaptation, not an ExecutionStrategyResponse."""

    verdict: ReplayVerdict
    recorded: bytes
    replayed: bytes | None
    differences: tuple[Difference, ...]
    is_advice: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there is no decision this time."""

    text: str


def record_asked(data: bytes) -> str | list[Fault]:
    """The id of the record asked for, or what is wrong with the question."""
    try:
        message = parse(replay_pb2.ReplayRequest, data)
    except MalformedMessageError as error:
        return [Fault("", str(error))]
    return rule_faults(message) or message.selection_id.lower()  # as it is recorded (RFC 9562, 4)


def decide_again(
    request: bytes, snapshot: Snapshot, inputs: DecisionInputs, selection_id: str, created_at_ns: int
) -> bytes | Refused:
    """The canonical bytes of the answer to a recorded request, made as the first time."""
    try:
        message = parse(request_pb2.ExecutionStrategyRequest, request)
    except MalformedMessageError as error:
        return Refused(f"the recorded request cannot be read: {error}")
    mapped = map_request(message, snapshot, inputs.now_ns)
    if isinstance(mapped, list):
        return Refused("the recorded request is not valid: " + words_of(mapped))
    decision = decide(mapped.order, snapshot)
    if isinstance(decision, Refusal):
        return Refused("refused: " + words_of(decision.faults))
    naming = Naming(snapshot.directory, snapshot.venue_names)
    response = response_of(decision, naming, selection_id, created_at_ns, inputs.acknowledgement)
    return response.SerializeToString(deterministic=True)


def order_again(request: bytes, snapshot: Snapshot, now_ns: int) -> OrderRequest | None:
    """The order of a recorded request; None where it cannot be read any more."""
    try:
        mapped = map_request(parse(request_pb2.ExecutionStrategyRequest, request), snapshot, now_ns)
    except MalformedMessageError:
        return None
    return None if isinstance(mapped, list) else mapped.order


def words_of(faults: list[Fault] | tuple[Fault, ...]) -> str:
    return "; ".join(f"{fault.field}: {fault.description}" if fault.field else fault.description for fault in faults)


def request_differences(request: bytes, request_hash: str) -> tuple[Difference, ...]:
    """Whether the recorded request is the one that was decided: its hash was recorded beside it."""
    try:
        canonical, _ = content_hash(parse(request_pb2.ExecutionStrategyRequest, request))
    except MalformedMessageError:
        canonical = b""
    found = []
    actual = hashlib.sha256(request).hexdigest()
    if actual != request_hash:
        found.append(Difference("request_hash", request_hash, actual))
    if canonical and canonical != request:
        found.append(Difference("request", described(request), f"{described(canonical)}, canonical"))
    return tuple(found)


def response_differences(recorded: bytes, replayed: bytes, kind: type[Message] = _RESPONSE) -> tuple[Difference, ...]:
    """Field by field; where no field differs but bytes do, that."""
    if recorded == replayed:
        return ()
    ours = kind()
    try:
        ours.ParseFromString(recorded)
    except DecodeError:
        return (Difference("response", f"{described(recorded)}, not readable", described(replayed)),)
    found = differences(ours, kind.FromString(replayed))
    return found or (Difference("response", f"{described(recorded)}, not canonical", described(replayed)),)


def described(data: bytes) -> str:
    return f"{len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()[:16]}"


def replay_answer(found: Replayed) -> bytes:
    """The contract's answer. A recorded response that cannot be read is left out; a difference says so."""
    message = replay_pb2.ReplayResponse(verdict=found.verdict.value)
    kind: type[Message] = ADVICE if found.is_advice else _RESPONSE
    recorded: Message = message.recorded_advice if found.is_advice else message.recorded
    replayed: Message = message.replayed_advice if found.is_advice else message.replayed
    with suppress(DecodeError):
        recorded.CopyFrom(kind.FromString(found.recorded))
    if found.replayed is not None:
        replayed.ParseFromString(found.replayed)
    for each in found.differences:
        message.differences.add(field=each.field, recorded=each.recorded, replayed=each.replayed)
    return message.SerializeToString()
