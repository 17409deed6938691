"""JSON of the contract: its field names, and the specification's short names for enum values.

Protobuf wants enum values prefixed (two enums have a NORMAL), the specification does not have the prefixes. Both are
read, the short ones are written (docs/adr/0001). Driven by the descriptors alone.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from engine.decision import Fault


def to_object(message: Message, *, with_defaults: bool = False) -> dict[str, Any]:
    """A message as a JSON object."""
    found: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=with_defaults
    )
    walk(found, message.DESCRIPTOR, shorten)
    return found


def from_object(fields: dict[str, Any], message: Message) -> list[Fault]:
    """Fills a message from a JSON object; what cannot be read comes back as faults."""
    copy = deep_copy(fields)
    walk(copy, message.DESCRIPTOR, lengthen)
    try:
        json_format.ParseDict(copy, message)
    except (json_format.ParseError, ValueError, TypeError, AttributeError) as error:
        return [Fault("", str(error))]
    return []


def deep_copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: deep_copy(item) for key, item in value.items()}
    return [deep_copy(item) for item in value] if isinstance(value, list) else value


def prefix_of(enum: EnumDescriptor) -> str:
    """EXECUTION_OBJECTIVE_ of ExecutionObjective, read off the zero value."""
    return str(enum.values_by_number[0].name).removesuffix("UNSPECIFIED")


def shorten(enum: EnumDescriptor, name: Any) -> Any:
    return name.removeprefix(prefix_of(enum)) if isinstance(name, str) else name


def lengthen(enum: EnumDescriptor, name: Any) -> Any:
    if not isinstance(name, str) or name in enum.values_by_name:
        return name
    long = prefix_of(enum) + name.upper()
    return long if long in enum.values_by_name else name


def walk(fields: Any, descriptor: Any, change: Any) -> None:
    """Applies `change(enum, value)` to every enum value of a JSON object, in place; maps get the order of their keys,
    since protobuf's own differs from process to process."""
    if not isinstance(fields, dict) or descriptor.full_name.startswith("google.protobuf."):
        return
    by_name = {**descriptor.fields_by_name, **{f.json_name: f for f in descriptor.fields}}
    for key, value in fields.items():
        field = by_name.get(key)
        if field is None:
            continue
        if field.type == FieldDescriptor.TYPE_ENUM:
            fields[key] = (
                [change(field.enum_type, v) for v in value]
                if isinstance(value, list)
                else change(field.enum_type, value)
            )
        elif field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type.GetOptions().map_entry:
            if isinstance(value, dict):
                fields[key] = {name: value[name] for name in sorted(value)}
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for item in value if isinstance(value, list) else [value]:
                walk(item, field.message_type, change)
