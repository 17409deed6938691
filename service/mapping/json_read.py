"""JSON objects into messages, by one plan a message type. Unlike protobuf's own reader it goes on after a fault, so
that every one is told, each with the field that it is of.

Strict reading takes of protobuf's JSON what the gateway's OpenAPI document promises and no more: numbers are numbers
and enum values are names. The other forms exist for printers of other languages, which do not write them by default.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from engine.decision import Fault
from service.mapping.json_names import (
    Descriptor,
    fields_by_json_name,
    is_map,
    is_ours,
    numbers_of,
    oneof_of,
    short_names,
)

MOST_FAULTS = 50
SHOWN_CHARACTERS = 64
SURROGATE = re.compile("[\ud800-\udfff]")
WHOLE = re.compile(r"-?[0-9]+")
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
INTEGER_BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1), FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1), FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}  # fmt: skip
LONG_INTEGERS = frozenset({FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64})
MAX_FLOAT = 3.4028234663852886e38
TIMESTAMP = "google.protobuf.Timestamp"
UTC_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,9}))?Z"
)
EPOCH_DAY = date(1970, 1, 1).toordinal()
Convert = Callable[[Any, bool], Any]


class Unreadable(Exception):
    """A value that its field cannot take; the text says why."""


class Faults:
    """The faults of one reading: so many as anyone wants to read, the others counted."""

    def __init__(self) -> None:
        self.kept: list[Fault] = []
        self.more = 0

    def add(self, field: str, description: str) -> None:
        if len(self.kept) < MOST_FAULTS:
            self.kept.append(Fault(field, description))
        else:
            self.more += 1

    @property
    def is_full(self) -> bool:
        return len(self.kept) >= MOST_FAULTS

    def as_list(self) -> list[Fault]:
        return [*self.kept, Fault("", f"and {self.more} more violations")] if self.more else self.kept


class RepeatedNames(dict[str, Any]):
    """A JSON object in which names stood twice; the last value counts, and the names are kept to be told."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counted = Counter(name for name, _ in pairs)
        self.repeated = [name for name, count in counted.items() if count > 1]


def json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For json's object_pairs_hook."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else RepeatedNames(pairs)


@dataclass(frozen=True, slots=True)
class ReadField:
    """How one field is read: `convert` for scalars, else `message` holds its type."""

    name: str
    repeated: bool
    mapped: bool
    oneof: str
    convert: Convert | None
    message: Descriptor
    key: Convert | None
    takes_null: bool


@cache
def plan_of(descriptor: Descriptor) -> dict[str, ReadField]:
    planned_fields = {field.name: planned(field) for field in descriptor.fields}
    return {name: planned_fields[field.name] for name, field in fields_by_json_name(descriptor).items()}


def planned(field: Any) -> ReadField:
    mapped = is_map(field)
    held = field.message_type.fields_by_name["value"] if mapped else field
    return ReadField(
        field.name, bool(field.is_repeated) and not mapped, mapped, oneof_of(field),
        converter_of(held), held.message_type, key_converter(field) if mapped else None,
        held.message_type is not None and held.message_type.full_name == "google.protobuf.Value",
    )  # fmt: skip


def read_message(fields: Any, message: Any, path: str, faults: Faults, strict: bool) -> None:
    """Fills `message` with what can be read; the rest are faults with paths that begin with `path`."""
    if not isinstance(fields, dict):
        faults.add(path, f"must be an object, not {kind_of(fields)}")
        return
    begin = f"{path}." if path else ""
    if isinstance(fields, RepeatedNames):
        for name in fields.repeated:
            faults.add(begin + shown(name), "stands more than once in its object")
    plan = plan_of(message.DESCRIPTOR)
    seen: dict[str, str] = {}
    for name, value in fields.items():
        field = plan.get(name)
        if field is None:
            faults.add(begin + shown(name), unknown_name(name, message.DESCRIPTOR, faults.is_full))
            continue
        if value is None and not field.takes_null:
            if strict and field.oneof:
                faults.add(begin + field.name, f"must not be null: leave out what {field.oneof} is not")
            continue
        if field.name in seen:
            faults.add(begin + field.name, f"is given twice, as {seen[field.name]} and as {name}")
            continue
        if field.oneof and field.oneof in seen:
            faults.add(begin + field.name, f"only one of {field.oneof} may be given; {seen[field.oneof]} is, too")
            continue
        seen[field.name] = name
        if field.oneof:
            seen[field.oneof] = field.name
        read_field(field, value, message, begin + field.name, faults, strict)


def read_field(field: ReadField, value: Any, message: Any, path: str, faults: Faults, strict: bool) -> None:
    if field.mapped:
        read_map(field, value, getattr(message, field.name), path, faults, strict)
    elif field.repeated:
        read_list(field, value, getattr(message, field.name), path, faults, strict)
    elif field.convert is None:
        part = getattr(message, field.name)
        part.SetInParent()
        read_part(field.message, value, part, path, faults, strict)
    else:
        try:
            setattr(message, field.name, field.convert(value, strict))
        except Unreadable as error:
            faults.add(path, str(error))


def read_part(kind: Descriptor, value: Any, part: Any, path: str, faults: Faults, strict: bool) -> None:
    """A message within another: ours by its fields, google.protobuf's by protobuf's own forms."""
    if is_ours(kind):
        read_message(value, part, path, faults, strict)
        return
    if kind.full_name == TIMESTAMP and isinstance(value, str) and read_utc(value, part):
        return
    try:
        json_format.ParseDict(value, part)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        faults.add(path, well_known_fault(kind.name, value, error))


def read_utc(text: str, stamp: Any) -> bool:
    """Fills a Timestamp from a time in UTC, as nearly all are; False leaves the others, and what is no time, to
    protobuf's own reader, which takes ten times as long."""
    found = UTC_TIME.fullmatch(text)
    if found is None:
        return False
    year, month, day, hour, minute, second, fraction = found.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - EPOCH_DAY
    except ValueError:
        return False
    stamp.seconds = days * 86_400 + int(hour) * 3_600 + int(minute) * 60 + int(second)
    stamp.nanos = int(fraction.ljust(9, "0")) if fraction else 0
    return True


def read_list(field: ReadField, value: Any, entries: Any, path: str, faults: Faults, strict: bool) -> None:
    if not isinstance(value, list):
        faults.add(path, f"must be an array, not {kind_of(value)}")
        return
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if item is None and not field.takes_null:
            faults.add(where, "null is no entry of an array")
        elif field.convert is None:
            read_part(field.message, item, entries.add(), where, faults, strict)
        else:
            try:
                entries.append(field.convert(item, strict))
            except Unreadable as error:
                faults.add(where, str(error))


def read_map(field: ReadField, value: Any, entries: Any, path: str, faults: Faults, strict: bool) -> None:
    if not isinstance(value, dict):
        faults.add(path, f"must be an object, not {kind_of(value)}")
        return
    if isinstance(value, RepeatedNames):
        for name in value.repeated:
            faults.add(f"{path}[{shown(name)}]", "stands more than once in its object")
    for name, item in value.items():
        where = f"{path}[{shown(name)}]"
        try:
            key = field.key(name, False) if field.key is not None else name
            if field.convert is None:
                read_part(field.message, item, entries[key], where, faults, strict)
            else:
                entries[key] = field.convert(item, strict)
        except Unreadable as error:
            faults.add(where, str(error))


def converter_of(field: Any) -> Convert | None:
    """What reads a scalar of the field; None for messages."""
    if field.message_type is not None:
        return None
    if field.enum_type is not None:
        return enum_converter(field.enum_type)
    if field.cpp_type in INTEGER_BOUNDS:
        low, high = INTEGER_BOUNDS[field.cpp_type]
        quoted = field.cpp_type in LONG_INTEGERS
        return lambda value, strict: read_integer(value, low, high, quoted or not strict)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return read_bool
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return lambda value, strict: read_number(value, strict, math.inf)
    if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        return lambda value, strict: read_number(value, strict, MAX_FLOAT)
    return read_bytes if field.type == FieldDescriptor.TYPE_BYTES else read_text


def key_converter(field: Any) -> Convert | None:
    """Keys of a map are strings in JSON, whatever they are in the message."""
    key = field.message_type.fields_by_name["key"]
    if key.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return lambda value, _: read_bool({"true": True, "false": False}.get(value, value), False)
    return converter_of(key)


def enum_converter(enum: Any) -> Convert:
    numbers, names = numbers_of(enum), short_names(enum)
    allowed = ", ".join(name for number, name in names.items() if number)

    def convert(value: Any, strict: bool) -> int:
        if isinstance(value, str):
            number = numbers.get(value)
            number = numbers.get(value.upper()) if number is None else number
            if number is not None:
                return number
            raise Unreadable(f"{shown(value)!r} is none of {allowed}{nearest(value.upper(), names.values())}")
        if strict or isinstance(value, bool) or not isinstance(value, int):
            raise Unreadable(f"must be one of {allowed}, not {kind_of(value)}")
        return read_integer(value, *INTEGER_BOUNDS[FieldDescriptor.CPPTYPE_INT32], False)

    return convert


def read_integer(value: Any, low: int, high: int, quoted: bool) -> int:
    if isinstance(value, str) and quoted and WHOLE.fullmatch(value) and len(value) <= SHOWN_CHARACTERS:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unreadable(f"must be a whole number, not {kind_of(value)}")
    if not low <= value <= high:
        raise Unreadable(f"must lie from {low} to {high}")
    return value


def read_number(value: Any, strict: bool, limit: float) -> float:
    if isinstance(value, str) and (value in NOT_FINITE or not strict):
        return number_of_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable(f"must be a number, not {kind_of(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not abs(number) <= limit or math.isinf(number):
        raise Unreadable("is too large for a number")
    return number


def number_of_text(text: str) -> float:
    if text in NOT_FINITE:
        return NOT_FINITE[text]
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Unreadable(f"must be a number, not {shown(text)!r}")
    return number


def read_bool(value: Any, _: bool) -> bool:
    if not isinstance(value, bool):
        raise Unreadable(f"must be true or false, not {kind_of(value)}")
    return value


def read_text(value: Any, _: bool) -> str:
    if not isinstance(value, str):
        raise Unreadable(f"must be a string, not {kind_of(value)}")
    if not value.isascii() and SURROGATE.search(value):
        raise Unreadable("holds half of a surrogate pair, which is no character")
    return value


def read_bytes(value: Any, _: bool) -> bytes:
    text = read_text(value, False)
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable("must be base64") from None


def unknown_name(name: str, descriptor: Descriptor, brief: bool) -> str:
    hint = "" if brief else nearest(name, [field.name for field in descriptor.fields])
    return f"{descriptor.name} has no field {shown(name)!r}{hint}"


def nearest(name: str, known: Any) -> str:
    # The search is quadratic in the name's length.
    found = difflib.get_close_matches(name, list(known), n=1) if len(name) <= SHOWN_CHARACTERS else []
    return f"; did you mean {found[0]}?" if found else ""


def well_known_fault(name: str, value: Any, error: Exception) -> str:
    said = repr(shown(value)) if isinstance(value, str) else kind_of(value)
    if name == "Timestamp":
        return f'must be a time like "2025-06-21T10:00:00Z" (RFC 3339), not {said}'
    if name == "Duration":
        return f'must be seconds like "1.5s", not {said}'
    return shown(str(error))


def kind_of(value: Any) -> str:
    """What a JSON value is, for people."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


def shown(text: str) -> str:
    """A name of the caller's, fit for a line: others than ASCII as escapes, and not too long."""
    plain = text[: SHOWN_CHARACTERS + 1].encode("ascii", "backslashreplace").decode()
    return plain if len(plain) <= SHOWN_CHARACTERS else plain[: SHOWN_CHARACTERS - 3] + "..."
