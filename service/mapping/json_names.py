"""Names of the contract in JSON: fields as the .proto has them, enum values short (docs/adr/0001)."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

Descriptor = Any  # protobuf's C and Python descriptors share no base that mypy knows


def prefix_of(enum: EnumDescriptor) -> str:
    """EXECUTION_OBJECTIVE_ of ExecutionObjective, read off the zero value."""
    return str(enum.values_by_number[0].name).removesuffix("UNSPECIFIED")


@cache
def short_names(enum: EnumDescriptor) -> dict[int, str]:
    """The short name of every number, in the order of the .proto."""
    prefix = prefix_of(enum)
    return {value.number: value.name.removeprefix(prefix) for value in enum.values}


@cache
def numbers_of(enum: EnumDescriptor) -> dict[str, int]:
    """The number of every name that is read: short or long. The short one may come in any case, so ask in upper case
    for what is not found."""
    prefix = prefix_of(enum)
    long = {value.name: value.number for value in enum.values}
    return long | {name.removeprefix(prefix): number for name, number in long.items()}


def lengthen(enum: EnumDescriptor, name: Any) -> Any:
    """A short name as protobuf knows it; what is no name of the enum stays as it is."""
    if not isinstance(name, str) or name in enum.values_by_name:
        return name
    long = prefix_of(enum) + name.upper()
    return long if long in enum.values_by_name else name


@cache
def fields_by_json_name(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """Every name that a field may have in JSON; the .proto's own stands first."""
    own = {field.name: field for field in descriptor.fields}
    return {**{field.json_name: field for field in descriptor.fields}, **own}


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def is_ours(descriptor: Descriptor) -> bool:
    """A message whose JSON is its fields; google.protobuf's have forms of their own."""
    return not descriptor.full_name.startswith("google.protobuf.")


def oneof_of(field: FieldDescriptor) -> str:
    """The name of the choice that a field belongs to. A lone `optional` field is one for protobuf, too: not here."""
    oneof: Any = field.containing_oneof
    return str(oneof.name) if oneof is not None and not oneof.name.startswith("_") else ""
