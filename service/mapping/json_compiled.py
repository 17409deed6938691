"""Writers of whole messages as JSON objects, compiled once for each message type from its descriptor.

An answer has dozens of small messages; where a plan is walked for each of them, most of the time goes into that. What
is made here is what a person would write by hand for the type; it gives what `write_message(message, True)` does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from keyword import iskeyword
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from service.mapping.json_names import Descriptor, is_map, is_ours, short_names
from service.mapping.json_write import LONG_INTEGERS, WELL_KNOWN, write_double, writer_of

Writer = Callable[[Any], dict[str, Any]]
_FLOATS = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})


@cache
def whole_writer(descriptor: Descriptor) -> Writer:
    """Takes a message of the type. Fields stand in the order of the .proto, those without presence always."""
    names: dict[str, Any] = {"odd": write_double}
    lines = [line for number, field in enumerate(descriptor.fields) for line in _lines_of(field, number, names)]
    source = "\n    ".join(["def write(message):", "found = {}", *lines, "return found"])
    # Nothing of a caller's is in the source: names of fields only, which are the contract's.
    exec(compile(source, f"<writer of {descriptor.full_name}>", "exec"), names)
    writer: Writer = names["write"]
    return writer


def _lines_of(field: Any, number: int, names: dict[str, Any]) -> list[str]:
    name = field.name
    got = f"message.{name}" if not iskeyword(name) else f"getattr(message, {name!r})"
    if is_map(field):
        value = _expression("held[key]", field.message_type.fields_by_name["value"], number, names)
        # Protobuf's own order of keys differs from process to process.
        return [f"held = {got}", f"found[{name!r}] = {{str(key): {value} for key in sorted(held)}}"]
    if field.is_repeated:
        one = _expression("item", field, number, names)
        return [f"found[{name!r}] = " + (f"list({got})" if one == "item" else f"[{one} for item in {got}]")]
    stored = f"found[{name!r}] = {_expression(got, field, number, names)}"
    return [f"if message.HasField({name!r}): {stored}"] if field.has_presence else [stored]


def _expression(got: str, field: Any, number: int, names: dict[str, Any]) -> str:
    """What makes JSON of one value, as Python text; what it needs goes into `names`."""
    helper = f"write_{number}"
    if field.type == FieldDescriptor.TYPE_ENUM:
        names[helper] = short_names(field.enum_type).get
        return f"{helper}(value := {got}, value)"
    if field.message_type is not None:
        kind = field.message_type
        if kind.full_name not in WELL_KNOWN and is_ours(kind):
            _nested(helper, kind, names)
            return f"{helper}({got})"
    elif field.cpp_type in _FLOATS:
        return f"value if (value := {got}) - value == 0.0 else odd(value, True)"
    elif field.cpp_type in LONG_INTEGERS:
        return f"str({got})"
    elif field.type != FieldDescriptor.TYPE_BYTES:
        return got
    names[helper] = writer_of(field)
    return f"{helper}({got}, True)"


def _nested(helper: str, kind: Descriptor, names: dict[str, Any]) -> None:
    """The writer of a type within: made at its first use, since types may hold each other, and then in its place."""

    def first(message: Any) -> dict[str, Any]:
        names[helper] = whole_writer(kind)
        return whole_writer(kind)(message)

    names[helper] = first
