"""Two messages, field by field. Driven by the descriptors alone, so that a field added later is compared as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from google.protobuf.message import Message

ABSENT: Final = "(absent)"
# A decision has some 1,500 fields; whoever compares something else altogether is told so, not flooded.
MOST_DIFFERENCES: Final = 500
# protobuf has a descriptor class of its own for each of its implementations.
FieldDescriptor: TypeAlias = Any

_TIMESTAMP, _VALUE = "google.protobuf.Timestamp", "google.protobuf.Value"


@dataclass(frozen=True, slots=True)
class Difference:
    """A field by its dotted path ("alternative_strategies[0].reason"), and both values as text."""

    field: str
    recorded: str
    replayed: str


_Row: TypeAlias = tuple[str, str, str]


def differences(recorded: Message, replayed: Message) -> tuple[Difference, ...]:
    """Every field that differs, in the order of the contract; at most MOST_DIFFERENCES and a word on the rest."""
    found = [Difference(*each) for each in _of_messages("", recorded, replayed)]
    if len(found) > MOST_DIFFERENCES:
        more = len(found) - MOST_DIFFERENCES
        return (*found[:MOST_DIFFERENCES], Difference(f"(and {more} more fields)", "", ""))
    return tuple(found)


def _of_messages(path: str, ours: Message, theirs: Message) -> Iterator[_Row]:
    for field in ours.DESCRIPTOR.fields:
        name = f"{path}.{field.name}" if path else field.name
        one, other = getattr(ours, field.name), getattr(theirs, field.name)
        if _is_map(field):
            yield from _of_maps(name, field, one, other)
        elif field.is_repeated:
            yield from _of_lists(name, field, one, other)
        elif field.has_presence and ours.HasField(field.name) != theirs.HasField(field.name):
            shown = [_text(field, value) if side.HasField(field.name) else ABSENT
                     for side, value in ((ours, one), (theirs, other))]
            yield name, shown[0], shown[1]
        else:
            yield from _of_values(name, field, one, other)


def _of_values(name: str, field: FieldDescriptor, one: Any, other: Any) -> Iterator[_Row]:
    if field.message_type is not None and field.message_type.full_name not in (_TIMESTAMP, _VALUE):
        yield from _of_messages(name, one, other)
        return
    # By text, not by value: NaN is no other value than NaN, and -0 is another than 0.
    shown, again = _text(field, one), _text(field, other)
    if shown != again:
        yield name, shown, again


def _of_lists(name: str, field: FieldDescriptor, one: Any, other: Any) -> Iterator[_Row]:
    for index in range(max(len(one), len(other))):
        at = f"{name}[{index}]"
        if index >= len(one):
            yield at, ABSENT, _text(field, other[index])
        elif index >= len(other):
            yield at, _text(field, one[index]), ABSENT
        else:
            yield from _of_values(at, field, one[index], other[index])


def _of_maps(name: str, field: FieldDescriptor, one: Mapping[Any, Any], other: Mapping[Any, Any]) -> Iterator[_Row]:
    value = field.message_type.fields_by_name["value"]
    for key in sorted({*one, *other}):
        at = f"{name}.{key}"
        if key not in one:
            yield at, ABSENT, _text(value, other[key])
        elif key not in other:
            yield at, _text(value, one[key]), ABSENT
        else:
            yield from _of_values(at, value, one[key], other[key])


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _text(field: FieldDescriptor, value: Any) -> str:
    if field.message_type is not None:
        return _text_of_message(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.hex() if isinstance(value, bytes) else str(value)


def _text_of_message(message: Any) -> str:
    kind = message.DESCRIPTOR.full_name
    if kind == _TIMESTAMP:
        return time_text(int(message.seconds), int(message.nanos))
    if kind == _VALUE:
        name = message.WhichOneof("kind")
        found = ABSENT if name is None else getattr(message, name)
        return str(found).lower() if isinstance(found, bool) else str(found)
    return " ".join(str(message).split())


def time_text(seconds: int, nanos: int) -> str:
    """2025-06-21T10:00:00.000000001Z; plain numbers where no calendar has such a day."""
    try:
        day = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s {nanos} ns"
    return f"{day}.{nanos:09d}Z"
