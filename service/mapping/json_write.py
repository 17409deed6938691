"""Messages as JSON objects, by one plan a message type: what protobuf's json_format gives, in a fraction of the time.

Forms that the contract's answers do not use (Any, Struct, FieldMask) go through protobuf's own writer.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from time import gmtime
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from service.mapping.json_names import Descriptor, is_map, is_ours, short_names

Write = Callable[[Any, bool], Any]
LONG_INTEGERS = frozenset({FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64})
DAY_S = 86_400
DAYS_KEPT = 64
TWO_DIGITS = tuple(f"{number:02d}" for number in range(60))


@dataclass(frozen=True, slots=True)
class WrittenField:
    """How one field is written. `write` None: as it is; `plain`: one floating-point number."""

    name: str
    write: Write | None
    presence: bool
    repeated: bool
    mapped: bool
    plain: bool


def write_message(message: Any, with_defaults: bool) -> dict[str, Any]:
    """The fields in the order of the .proto; those without presence that hold their default only where wanted."""
    found: dict[str, Any] = {}
    for field in plan_of(message.DESCRIPTOR):
        name = field.name
        if field.presence:
            if not message.HasField(name):
                continue
            value = getattr(message, name)
        else:
            value = getattr(message, name)
            if not with_defaults and not value and not is_negative_zero(value):
                continue
        if field.plain and value - value == 0.0:
            # A finite number, as most fields are: no call is made for it.
            found[name] = value
        else:
            found[name] = written(field, value, with_defaults)
    return found


def written(field: WrittenField, value: Any, with_defaults: bool) -> Any:
    write = field.write
    if field.mapped:
        # Protobuf's own order of keys differs from process to process.
        keys = sorted(value)
        if write is None:
            return {str(key): value[key] for key in keys}
        return {str(key): write(value[key], with_defaults) for key in keys}
    if field.repeated:
        return list(value) if write is None else [write(item, with_defaults) for item in value]
    return value if write is None else write(value, with_defaults)


def is_negative_zero(value: Any) -> bool:
    return isinstance(value, float) and math.copysign(1.0, value) < 0.0


@cache
def plan_of(descriptor: Descriptor) -> tuple[WrittenField, ...]:
    return tuple(planned(field) for field in descriptor.fields)


def planned(field: FieldDescriptor) -> WrittenField:
    mapped = is_map(field)
    kind: Any = field.message_type
    write = writer_of(kind.fields_by_name["value"] if mapped else field)
    repeated = bool(field.is_repeated) and not mapped
    plain = write is write_double and not repeated and not mapped
    return WrittenField(field.name, write, field.has_presence, repeated, mapped, plain)


def writer_of(field: Any) -> Write | None:
    """What turns one value of the field into JSON; None where it is JSON already."""
    if field.type == FieldDescriptor.TYPE_ENUM:
        names = short_names(field.enum_type)
        # A number that this version does not know stays a number.
        return lambda value, _: names.get(value, value)
    if field.message_type is not None:
        return WELL_KNOWN.get(field.message_type.full_name) or (
            write_message if is_ours(field.message_type) else write_generic
        )
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return write_double
    if field.cpp_type in LONG_INTEGERS:
        return lambda value, _: str(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value, _: base64.b64encode(value).decode()
    return None


def write_double(value: float, _: bool) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def write_timestamp(stamp: Any, _: bool) -> str:
    """RFC 3339 in UTC with 0, 3, 6 or 9 digits of the second."""
    seconds, nanos = stamp.seconds, stamp.nanos
    day, second = divmod(seconds, DAY_S)
    minute, second = divmod(second, 60)
    text = f"{day_text(day)}T{TWO_DIGITS[minute // 60]}:{TWO_DIGITS[minute % 60]}:{TWO_DIGITS[second]}"
    if nanos == 0:
        return text + "Z"
    if nanos % 1_000_000 == 0:
        return f"{text}.{nanos // 1_000_000:03d}Z"
    return f"{text}.{nanos // 1_000:06d}Z" if nanos % 1_000 == 0 else f"{text}.{nanos:09d}Z"


@lru_cache(maxsize=DAYS_KEPT)
def day_text(day: int) -> str:
    moment = gmtime(day * DAY_S)
    return f"{moment.tm_year:04d}-{moment.tm_mon:02d}-{moment.tm_mday:02d}"


def write_value(value: Any, with_defaults: bool) -> Any:
    """google.protobuf.Value: the JSON that it stands for."""
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        return write_double(value.number_value, with_defaults)
    if kind in ("bool_value", "string_value"):
        return getattr(value, kind)
    return None if kind in (None, "null_value") else write_generic(value, with_defaults)


def write_generic(message: Any, _: bool) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


WELL_KNOWN: dict[str, Write] = {
    "google.protobuf.Timestamp": write_timestamp,
    "google.protobuf.Value": write_value,
}
