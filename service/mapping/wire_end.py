"""The fields of an answer that are texts, single figures and short messages, as wire bytes.

What repeats from answer to answer (names, versions, the beginnings of messages) is made once and looked up. As in
`service/mapping/wire.py` the bytes are those of the contract's messages, and a test holds them against
`responses.response_of`.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, cast

from execution_strategy.v1 import enums_pb2, response_pb2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from engine.decision import (
    NOTHING_LEARNED,
    Assessment,
    Decision,
    FixParameter,
    Flip,
    Learning,
    ResolvedInputs,
    Versions,
)
from service.mapping.wire import BYTES, DOUBLE, VARINT, field, tag_bytes, text_field

_RESPONSE: Final = response_pb2.ExecutionStrategyResponse.DESCRIPTOR
_NS: Final = 1_000_000_000
_TRUE: Final = b"\x01"
BINDING_TAG, FLIP_TAG, INPUTS_TAG, VERSIONS_TAG, FIX_TAG, WARNING_TAG, LEARNING_TAG = (
    tag_bytes(_RESPONSE, name, BYTES)
    for name in (
        "binding_constraints", "flip_conditions", "resolved_inputs", "versions", "fix", "warnings", "learning",
    )
)  # fmt: skip
STRUCTURAL: Final = tag_bytes(_RESPONSE, "structural_only", VARINT) + _TRUE
_INPUTS = response_pb2.ResolvedInputs.DESCRIPTOR
AS_OF_TAG: Final = tag_bytes(_INPUTS, "snapshot_as_of", BYTES)
CURRENT_TAG, VALUE_TAG = (
    tag_bytes(response_pb2.FlipCondition.DESCRIPTOR, name, DOUBLE) for name in ("current_value", "flip_value")
)
SELECTION_TAG, CONDITION_TAG = (tag_bytes(_RESPONSE, name, BYTES) for name in ("selection_id", "condition"))
CONFIDENCE_TAG: Final = tag_bytes(_RESPONSE, "confidence", DOUBLE)
_FIX_PARAMETER = response_pb2.FixStrategyParameter
PARAMETER_TAG: Final = tag_bytes(response_pb2.FixStrategy.DESCRIPTOR, "strategy_parameters", BYTES)
PARAMETER_VALUE_TAG: Final = tag_bytes(_FIX_PARAMETER.DESCRIPTOR, "strategy_parameter_value", BYTES)
_pack = struct.Struct("<d").pack
_two = struct.Struct("<cdcd").pack  # two fields, of tags of a byte
_ZERO: Final = _pack(0.0)


def middle_bytes(decision: Decision, selection_id: str, created: bytes, acknowledgement: int) -> bytes:
    """The fields between the alternatives and the breakdown, by number. `created`: the field of when it was made."""
    return b"".join(
        (
            _double(CONFIDENCE_TAG, decision.confidence), text_field(SELECTION_TAG, selection_id), created,
            _acknowledgement(acknowledgement), _condition(decision.assessment),
        )
    )  # fmt: skip


@lru_cache(maxsize=16)
def _acknowledgement(number: int) -> bytes:
    return _bytes_of(
        response_pb2.ExecutionStrategyResponse(acknowledgement=cast(enums_pb2.AcknowledgementClass, number))
    )


@lru_cache(maxsize=8_192)
def _condition(assessment: Assessment) -> bytes:
    """An instrument's is the same until its market data change."""
    found = response_pb2.ConditionAssessment(
        condition=cast(enums_pb2.MarketCondition, assessment.condition.value), detected=assessment.detected,
        probability=assessment.probability,
        data_condition=cast(enums_pb2.MarketCondition, assessment.data_condition.value), evidence=assessment.evidence,
    )
    return field(CONDITION_TAG, _bytes_of(found))


def end_bytes(decision: Decision, inputs: bytes, seed: bytes) -> bytes:
    """All fields after the frontier, by number. `inputs`: the figures of resolved_inputs, `seed`: that of versions, as
    their fields."""
    parts = [field(BINDING_TAG, text.encode()) for text in decision.binding_constraints]
    for flip in decision.flips:
        parts.append(field(FLIP_TAG, _flip(flip)))
    parts.append(field(INPUTS_TAG, inputs + _sources(decision.inputs)))
    parts.append(_versions(decision.versions, seed))
    parts.append(field(FIX_TAG, _fix(decision)))
    if decision.structural_only:
        parts.append(STRUCTURAL)
    parts += [_warning(text) for text in decision.warnings]
    parts.append(_learning(decision.learning))
    return b"".join(parts)


def _double(tag: bytes, number: float) -> bytes:
    """A figure as a field, nothing where all its bits are zero."""
    data = _pack(number)
    return b"" if data == _ZERO else tag + data


def _flip(flip: Flip) -> bytes:
    start, end = _flip_names(flip.input_name, flip.algorithm, flip.strategy_name)
    current, value = flip.current_value, flip.flip_value
    if current and value:
        return start + _two(CURRENT_TAG, current, VALUE_TAG, value) + end
    return start + _double(CURRENT_TAG, current) + _double(VALUE_TAG, value) + end


@lru_cache(maxsize=8_192)
def _flip_names(input_name: str, algorithm: str, strategy_name: str) -> tuple[bytes, bytes]:
    start = response_pb2.FlipCondition(input=input_name)
    return _bytes_of(start), _bytes_of(response_pb2.FlipCondition(algorithm=algorithm, strategy_name=strategy_name))


def _sources(inputs: ResolvedInputs) -> bytes:
    as_of = inputs.snapshot_as_of_ns
    return (_as_of(as_of) if as_of else b"") + _from_snapshot(inputs.from_snapshot)


@lru_cache(maxsize=8_192)
def _as_of(instant_ns: int) -> bytes:
    seconds, nanos = divmod(instant_ns, _NS)
    return field(AS_OF_TAG, _bytes_of(Timestamp(seconds=seconds, nanos=nanos)))


@lru_cache(maxsize=256)
def _from_snapshot(names: tuple[str, ...]) -> bytes:
    return _bytes_of(response_pb2.ResolvedInputs(from_snapshot=names))


def _versions(versions: Versions, seed: bytes) -> bytes:
    start, end = _version_names(
        versions.engine, versions.surfaces_sha256, versions.models_sha256, versions.utility_sha256,
        versions.learned_sha256,
    )
    return field(VERSIONS_TAG, start + seed + end)


@lru_cache(maxsize=64)
def _version_names(engine: str, surfaces: str, models: str, utility: str, learned: str) -> tuple[bytes, bytes]:
    """The fields before the seed and after it."""
    start = response_pb2.EngineVersions(
        engine=engine, surfaces_sha256=surfaces, models_sha256=models, utility_sha256=utility
    )
    return _bytes_of(start), _bytes_of(response_pb2.EngineVersions(learned_sha256=learned))


def _fix(decision: Decision) -> bytes:
    """847, 957-960, and 100 with 1133=G: always MICs."""
    parts = [_target(decision.fix_target_strategy)]
    parts += map(_parameter, decision.fix_parameters)
    parts.append(_destinations(tuple(decision.venue_allocation)))
    return b"".join(parts)


@lru_cache(maxsize=1_024)
def _target(number: int) -> bytes:
    return _bytes_of(response_pb2.FixStrategy(target_strategy=number))


def _parameter(parameter: FixParameter) -> bytes:
    start = _parameter_start(parameter.name, parameter.type_code)
    return field(PARAMETER_TAG, start + text_field(PARAMETER_VALUE_TAG, parameter.value))


@lru_cache(maxsize=1_024)
def _parameter_start(name: str, type_code: int) -> bytes:
    """What is before its value, of which there are as many as orders."""
    return _bytes_of(_FIX_PARAMETER(strategy_parameter_name=name, strategy_parameter_type=type_code))


@lru_cache(maxsize=4_096)
def _destinations(mics: tuple[str, ...]) -> bytes:
    return _bytes_of(response_pb2.FixStrategy(ex_destinations=mics))


@lru_cache(maxsize=256)
def _warning(text: str) -> bytes:
    return field(WARNING_TAG, text.encode())


def _learning(learning: Learning) -> bytes:
    if learning is NOTHING_LEARNED:
        return _NOTHING_LEARNED
    note = response_pb2.LearningNote(
        online_correction_bps=learning.online_correction_bps, propensity=learning.propensity, explored=learning.explored
    )
    return field(LEARNING_TAG, _bytes_of(note))


def _bytes_of(message: Message) -> bytes:
    return bytes(message.SerializeToString())


_NOTHING_LEARNED: Final = field(
    LEARNING_TAG, _bytes_of(response_pb2.LearningNote(propensity=NOTHING_LEARNED.propensity))
)
