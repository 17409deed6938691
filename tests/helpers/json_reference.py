"""JSON of the contract by protobuf's own reader and writer: slow, stops at the first fault, and shares no code with
the service's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message


def reference_object(message: Message, *, with_defaults: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=with_defaults
    )
    walk(found, message.DESCRIPTOR, shortened)
    return found


def reference_read(fields: Any, message: Message) -> str:
    """Fills the message; the first fault, empty without any."""
    copy = deep_copy(fields)
    walk(copy, message.DESCRIPTOR, lengthened)
    try:
        json_format.ParseDict(copy, message)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, OverflowError) as error:
        return str(error) or type(error).__name__
    return ""


def shortened(enum: Any, name: Any) -> Any:
    return name.removeprefix(prefix(enum)) if isinstance(name, str) else name


def lengthened(enum: Any, name: Any) -> Any:
    if not isinstance(name, str) or name in enum.values_by_name:
        return name
    long = prefix(enum) + name.upper()
    return long if long in enum.values_by_name else name


def prefix(enum: Any) -> str:
    return str(enum.values_by_number[0].name).removesuffix("UNSPECIFIED")


def deep_copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: deep_copy(item) for key, item in value.items()}
    return [deep_copy(item) for item in value] if isinstance(value, list) else value


def walk(fields: Any, descriptor: Any, change: Callable[[Any, Any], Any]) -> None:
    """Applies `change(enum, value)` to every enum value of a JSON object, in place."""
    if not isinstance(fields, dict) or descriptor.full_name.startswith("google.protobuf."):
        return
    by_name = {**descriptor.fields_by_name, **{field.json_name: field for field in descriptor.fields}}
    for key, value in fields.items():
        field = by_name.get(key)
        if field is None:
            continue
        if field.type == FieldDescriptor.TYPE_ENUM:
            many = isinstance(value, list)
            fields[key] = [change(field.enum_type, one) for one in value] if many else change(field.enum_type, value)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not field.message_type.GetOptions().map_entry:
            for item in value if isinstance(value, list) else [value]:
                walk(item, field.message_type, change)
