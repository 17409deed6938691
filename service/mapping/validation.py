"""Malformed bytes and broken rules, every one of them, as the engine's faults.

protovalidate runs the rules that stand in the .proto, so C++ and Java can check the same ones. A repeated field with
thousands of bad entries is reported once per rule with the indices, because gRPC trailers are small.
"""

from __future__ import annotations

from typing import Any, TypeVar

import protovalidate
from google.protobuf.message import DecodeError, Message

from engine.decision import Fault

MessageT = TypeVar("MessageT", bound=Message)
# Faults that one answer lists; the last one says how many more there were.
MAX_FAULTS = 50
MAX_INDICES = 5


class MalformedMessageError(Exception):
    """The bytes are not a message of the type."""


def parse(kind: type[MessageT], data: bytes) -> MessageT:
    """Raises MalformedMessageError where protobuf cannot read the bytes."""
    try:
        return kind.FromString(data)
    except (DecodeError, ValueError) as error:
        raise MalformedMessageError(f"not a {kind.DESCRIPTOR.full_name}: {error}") from error


def rule_faults(message: Message) -> list[Fault]:
    """Every violation of the .proto's rules, in the order of the rules."""
    violations = protovalidate.collect_violations(message)
    if not violations:
        return []
    places: dict[tuple[str, str], list[str]] = {}
    for violation in violations:
        path, index = field_path(violation)
        places.setdefault((path, violation.proto.message), []).append(index)
    return [
        Fault(path + (places_words(indices) if any(indices) else ""), text)
        for (path, text), indices in places.items()
    ]


def field_path(violation: Any) -> tuple[str, str]:
    """("constraints.venue_restrictions", "3") of a violation's path; the index is empty for a plain field."""
    names, index = [], ""
    for element in violation.proto.field.elements:
        names.append(element.field_name)
        subscript = element.subscript
        if subscript is not None and subscript.value is not None:
            index = str(subscript.value)
    return ".".join(names), index


def places_words(indices: list[str]) -> str:
    """[3] or [0, 1, 2, 3, 4 and 95 more]."""
    shown = ", ".join(indices[:MAX_INDICES])
    more = len(indices) - MAX_INDICES
    return f"[{shown} and {more} more]" if more > 0 else f"[{shown}]"


def bounded(faults: list[Fault]) -> list[Fault]:
    """At most MAX_FAULTS, the rest counted."""
    if len(faults) <= MAX_FAULTS:
        return faults
    rest = len(faults) - MAX_FAULTS + 1
    return [*faults[: MAX_FAULTS - 1], Fault("", f"and {rest} more violations")]
