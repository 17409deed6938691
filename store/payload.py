"""Records as the bytes that are journaled and hashed, and back.

A payload is a msgpack array: the version first, then the record's fields in the order of LAYOUTS. Dictionaries are
JSON texts with sorted keys, an event is an array of five texts or nil. The same record gives the same bytes, and
PostgreSQL keeps every field in a column that loses nothing, so the bytes can be made again from the row (`pack`) and
their hash recomputed a year later.

Ids are UUIDs in their canonical text. What PostgreSQL could not keep is refused here, before anybody was told that
the record is safe.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable, Sequence
from enum import Enum, auto
from operator import itemgetter
from typing import Any, Final, cast

import msgspec
from msgspec.structs import astuple

from engine.records import (
    AdaptationRecord,
    Event,
    OperationRecord,
    OutcomeRecord,
    Record,
    RecordKind,
    ReferenceRecord,
    SelectionRecord,
    UpdateRecord,
)
from store.errors import RecordInvalid

VERSION: Final = 1
ID_LIMIT: Final = 100  # characters, the specification's
_INT64: Final = range(-(2**63), 2**63)
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch

Payload = list[Any]  # the version and the fields, as the array holds them


class FieldType(Enum):
    """How a field stands in the array."""

    UUID = auto()
    UUID_OR_EMPTY = auto()
    NAME = auto()  # 1 to ID_LIMIT characters
    TEXT = auto()
    INTEGER = auto()  # 64 bits
    FLOAT = auto()  # finite
    JSON = auto()
    BYTES = auto()
    EVENT = auto()


_U, _N, _T, _I, _F, _J, _B, _E = (
    FieldType.UUID,
    FieldType.NAME,
    FieldType.TEXT,
    FieldType.INTEGER,
    FieldType.FLOAT,
    FieldType.JSON,
    FieldType.BYTES,
    FieldType.EVENT,
)

# Never changed for a version that was released: the order is what is hashed.
LAYOUTS: Final[dict[RecordKind, tuple[tuple[str, FieldType], ...]]] = {
    RecordKind.SELECTION: (
        ("selection_id", _U),
        ("order_id", _N),
        ("request_hash", _T),
        ("created_at_ns", _I),
        ("instrument_id", _T),
        ("side", _T),
        ("quantity_shares", _F),
        ("objective", _T),
        ("urgency", _T),
        ("strategy_name", _N),
        ("algorithm", _T),
        ("selection_rationale", _T),
        ("confidence", _F),
        ("market_conditions", _J),
        ("expected_outcomes", _J),
        ("parameters", _J),
        ("venue_allocation", _J),
        ("versions", _J),
        ("request", _B),
        ("response", _B),
        ("gateway", _T),
        ("tags", _J),
        ("inputs", _B),
        ("event", _E),
    ),
    RecordKind.ADAPTATION: (
        ("adaptation_id", _U),
        ("order_id", _N),
        ("selection_id", FieldType.UUID_OR_EMPTY),
        ("advice_number", _I),
        ("created_at_ns", _I),
        ("action", _T),
        ("trigger", _T),
        ("rationale", _T),
        ("expected_gain_bps", _F),
        ("response", _B),
        ("inputs", _B),
        ("event", _E),
    ),
    RecordKind.OUTCOME: (
        ("outcome_id", _U),
        ("order_id", _N),
        ("selection_id", FieldType.UUID_OR_EMPTY),
        ("created_at_ns", _I),
        ("actual_outcomes", _J),
        ("performance_score", _F),
        ("request", _B),
        ("event", _E),
    ),
    RecordKind.OPERATION: (
        ("operation_id", _U),
        ("created_at_ns", _I),
        ("kind", _T),
        ("scope", _T),
        ("subject", _T),
        ("actor", _T),
        ("reason", _T),
        ("detail", _J),
        ("event", _E),
    ),
    RecordKind.REFERENCE: (
        ("reference_id", _U),
        ("created_at_ns", _I),
        ("kind", _T),
        ("sha256", _T),
        ("content", _B),
    ),
    RecordKind.UPDATE: (
        ("update_id", _U),
        ("order_id", _N),
        ("sequence", _I),
        ("created_at_ns", _I),
        ("kind", _T),
        ("request", _B),
        ("gateway", _T),
    ),
}

_KINDS: Final[dict[type[Any], RecordKind]] = {
    SelectionRecord: RecordKind.SELECTION,
    AdaptationRecord: RecordKind.ADAPTATION,
    OutcomeRecord: RecordKind.OUTCOME,
    OperationRecord: RecordKind.OPERATION,
    ReferenceRecord: RecordKind.REFERENCE,
    UpdateRecord: RecordKind.UPDATE,
}
_CLASSES: Final[dict[RecordKind, type[Any]]] = {kind: made for made, kind in _KINDS.items()}



def _places(*kinds: FieldType) -> tuple[int, ...]:
    """Of a selection's fields in its array."""
    return tuple(at for at, (_, kind) in enumerate(LAYOUTS[RecordKind.SELECTION], start=1) if kind in kinds)


_texts_at = itemgetter(*_places(FieldType.UUID, FieldType.NAME, FieldType.TEXT))
_bytes_at = itemgetter(*_places(FieldType.BYTES))
_floats_at = itemgetter(*_places(FieldType.FLOAT))
_JSON_AT: Final = _places(FieldType.JSON)
_NOTHING: Final = "{}"
_TEXT: Final[set[type]] = {str}
_RAW: Final[set[type]] = {bytes}
_REAL: Final[set[type]] = {float}
_encode_msgpack = msgspec.msgpack.Encoder().encode
_decode_msgpack = msgspec.msgpack.Decoder(list).decode
_encode_json = msgspec.json.Encoder(order="deterministic").encode


def kind_of(record: Record) -> RecordKind:
    return _KINDS[type(record)]


def encode(record: Record) -> bytes:
    """The canonical bytes. Raises RecordInvalid with every fault."""
    if type(record) is SelectionRecord:
        try:
            plain = _plain_selection(record)
            if plain is not None:
                return pack(plain)
        except (ValueError, TypeError, RecursionError):
            pass  # said below, field by field
    values: Payload = [VERSION]
    faults: list[str] = []
    for name, check in _CHECKS[kind_of(record)]:
        try:
            values.append(check(getattr(record, name)))
        except (ValueError, TypeError, OverflowError, AttributeError, RecursionError) as error:
            faults.append(f"{name} {error}")
    try:
        if faults:
            raise ValueError("; ".join(faults))
        return pack(values)
    except UnicodeError as error:
        reason = f"a text is no UTF-8: {error}"
    except ValueError as error:
        reason = str(error)
    raise RecordInvalid(f"{kind_of(record).name.lower()} {_name(record)!r} cannot be kept: {reason}")


def _plain_selection(record: SelectionRecord) -> Payload | None:
    """The array of a decision whose every field is of the plainest type, as those of nearly all are: then all texts are
    looked through at once. None, or one of the errors that a check may raise, where that says nothing. Its fields stand
    in the order of the layout."""
    values: Payload = [VERSION, *astuple(record)]
    event = record.event
    told = () if event is None else astuple(event)
    if event is not None:
        values[-1] = list(told)
    texts = (*_texts_at(values), *told)
    if not (
        {*map(type, texts)} == _TEXT and "\0" not in "".join(texts) and {*map(type, _bytes_at(values))} == _RAW
        and _UUID(record.selection_id) and (event is None or _UUID(event.event_id))
        and 0 < len(record.order_id) <= ID_LIMIT and 0 < len(record.strategy_name) <= ID_LIMIT
        and type(record.created_at_ns) is int
        and 0 <= record.created_at_ns < 2**63 and {*map(type, _floats_at(values))} == _REAL
        and all(map(math.isfinite, _floats_at(values)))
    ):  # fmt: skip
        return None
    for at in _JSON_AT:
        if type(values[at]) is not dict:
            return None
        values[at] = json_text(values[at]) if values[at] else _NOTHING
    return values


def update_payload(
    update_id: str, order_id: str, sequence: int, created_at_ns: int, kind: str, request: bytes, gateway: str
) -> bytes:
    """`encode` of an UpdateRecord of these, without the record where they are plain: thousands come a second. Raises as
    `encode` does."""
    if (
        type(update_id) is str and _UUID(update_id) and type(order_id) is str and 0 < len(order_id) <= ID_LIMIT
        and "\0" not in order_id and type(sequence) is int and 0 <= sequence < 2**63 and type(created_at_ns) is int
        and 0 <= created_at_ns < 2**63 and type(request) is bytes and type(gateway) is str and "\0" not in gateway
    ):  # fmt: skip
        try:
            return pack([VERSION, update_id, order_id, sequence, created_at_ns, kind, request, gateway])
        except ValueError:
            pass  # `encode` says what is wrong
    return encode(UpdateRecord(update_id, order_id, sequence, created_at_ns, kind, request, gateway))


def decode(kind: RecordKind, payload: bytes) -> Record:
    """The record of a payload. Raises RecordInvalid for what no `encode` of this or an older version wrote."""
    values = unpack(kind, payload)
    try:
        fields = {
            name: _DECODERS[field](value)
            for (name, field), value in zip(LAYOUTS[kind], values[1:], strict=True)
        }
    except (ValueError, TypeError, msgspec.DecodeError) as error:
        raise RecordInvalid(f"a payload of kind {kind.name} cannot be read: {error}") from None
    return cast(Record, _CLASSES[kind](**fields))


def pack(values: Payload) -> bytes:
    """The bytes of an array as `unpack` gives it, or as it was made again from a row."""
    return _encode_msgpack(values)


def unpack(kind: RecordKind, payload: bytes) -> Payload:
    """The version and the fields. Raises RecordInvalid."""
    try:
        values: Payload = _decode_msgpack(payload)
    except msgspec.DecodeError as error:
        raise RecordInvalid(f"a payload of kind {kind.name} is no msgpack array: {error}") from None
    if not values or values[0] != VERSION:
        raise RecordInvalid(f"a payload of kind {kind.name} has version {values[:1]}, known is {VERSION}")
    if len(values) != 1 + len(LAYOUTS[kind]):
        raise RecordInvalid(f"a payload of kind {kind.name} has {len(values) - 1} fields")
    return values


def json_text(content: object) -> str:
    """JSON with sorted keys, as it is hashed. Raises ValueError for NaN, infinities and texts with NUL."""
    text = _encode_json(content).decode()
    # msgspec writes null for NaN without a word. Only a text with a null in it needs the walk through the values.
    if "null" in text:
        _refuse_not_finite(content)
    # PostgreSQL's json takes the escape but cannot give the text out.
    if "\\u0000" in text and "\0" in _texts_of(msgspec.json.decode(text)):
        raise ValueError("holds the character NUL")
    return text


def _refuse_not_finite(content: object) -> None:
    if isinstance(content, float):
        if not math.isfinite(content):
            raise ValueError(f"holds {content}, no JSON number")
    elif isinstance(content, dict):
        for value in content.values():
            _refuse_not_finite(value)
    elif isinstance(content, list | tuple):
        for value in content:
            _refuse_not_finite(value)


def _texts_of(content: object) -> str:
    """Every text in it, keys too, one after the other."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return "".join(key + _texts_of(value) for key, value in content.items())
    if isinstance(content, list):
        return "".join(map(_texts_of, content))
    return ""


def _text(value: str) -> str:
    if type(value) is not str:
        # A member of a StrEnum is a text too; anything else is a mistake of the caller.
        value = str.__str__(value)
    if "\0" in value:
        raise ValueError("holds the character NUL")
    return value


def _name_text(value: str) -> str:
    value = _text(value)
    if not 0 < len(value) <= ID_LIMIT:
        raise ValueError(f"has {len(value)} characters, not 1 to {ID_LIMIT}")
    return value


def _uuid_text(value: str) -> str:
    if type(value) is str and _UUID(value):
        return value
    try:
        return str(uuid.UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f"is no UUID: {value!r}") from None


def _uuid_or_empty(value: str) -> str:
    return "" if value == "" else _uuid_text(value)


def _integer(value: int) -> int:
    if type(value) is not int:
        raise TypeError(f"is no integer: {value!r}")
    if value not in _INT64:
        raise ValueError(f"has more than 64 bits: {value}")
    return value


def _float(value: float) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("is not finite")
    return number


def _json_object(value: object) -> str:
    if not isinstance(value, dict):
        raise TypeError("is no JSON object")
    return json_text(value)


def _bytes(value: bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("is no bytes")
    return value


def _event(value: Event | None) -> list[str] | None:
    if value is None:
        return None
    return [
        _uuid_text(value.event_id),
        _text(value.kind),
        _text(value.aggregate_kind),
        _text(value.aggregate_id),
        _text(value.payload),
    ]


def _event_of(value: Sequence[str] | None) -> Event | None:
    return None if value is None else Event(*value)


def _same(value: Any) -> Any:
    return value


_CHECK_OF: Final[dict[FieldType, Callable[[Any], Any]]] = {
    FieldType.UUID: _uuid_text,
    FieldType.UUID_OR_EMPTY: _uuid_or_empty,
    FieldType.NAME: _name_text,
    FieldType.TEXT: _text,
    FieldType.INTEGER: _integer,
    FieldType.FLOAT: _float,
    FieldType.JSON: _json_object,
    FieldType.BYTES: _bytes,
    FieldType.EVENT: _event,
}
_CHECKS: Final = {
    kind: tuple((name, _CHECK_OF[field]) for name, field in layout) for kind, layout in LAYOUTS.items()
}
_DECODERS: Final[dict[FieldType, Callable[[Any], Any]]] = {
    **dict.fromkeys(FieldType, _same),
    FieldType.JSON: msgspec.json.decode,
    FieldType.EVENT: _event_of,
}


def _name(record: Record) -> object:
    return getattr(record, LAYOUTS[kind_of(record)][0][0])
