"""Malformed bytes and broken rules, every one of them, as the engine's faults.

protovalidate runs the rules that stand in the .proto, so C++ and Java can check the same ones. A repeated field with
thousands of bad entries is reported once per rule with the indices, because gRPC trailers are small.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import protovalidate
from google.protobuf.message import DecodeError, Message

from engine.decision import Fault
from service.mapping.plain_rules import is_plain

MessageT = TypeVar("MessageT", bound=Message)
# Faults that one answer lists; the last one says how many more there were.
MAX_FAULTS = 50
MAX_INDICES = 5
# The option of a field that holds its rules.
RULES = "buf.validate.field"
# Of a map's key that is shown.
MAX_KEY = 32


class MalformedMessageError(Exception):
    """The bytes are not a message of the type."""


def parse(kind: type[MessageT], data: bytes) -> MessageT:
    """Raises MalformedMessageError where protobuf cannot read the bytes."""
    try:
        return kind.FromString(data)
    except (DecodeError, ValueError) as error:
        raise MalformedMessageError(f"not a {kind.DESCRIPTOR.full_name}: {error}") from error


def rule_faults(message: Message) -> list[Fault]:
    """Every violation of the .proto's rules, in the order of the rules, but lists that are too long first.

    Those are cut to what is allowed before the other rules look at them: rules cost some 40 us an entry that breaks
    them, so that a message of 2 MB could hold the event loop for a minute. What plainly breaks none is not asked about.
    """
    if is_plain(message):
        return []
    faults = cut_lists(message, "")
    violations = protovalidate.collect_violations(message)
    if not violations:
        return faults
    places: dict[tuple[str, str], list[str]] = {}
    for violation in violations:
        path, index = field_path(violation)
        places.setdefault((path, violation.proto.message), []).append(index)
    return faults + [
        Fault(path + (places_words(indices) if any(indices) else ""), text)
        for (path, text), indices in places.items()
    ]


def cut_lists(message: Any, prefix: str) -> list[Fault]:
    """Cuts every list and map that has more entries than its rule allows, and says so."""
    faults = []
    for name, limit in bounded_fields(message.DESCRIPTOR):
        if limit is None:
            if message.HasField(name):
                faults += cut_lists(getattr(message, name), f"{prefix}{name}.")
            continue
        entries = getattr(message, name)
        if len(entries) > limit:
            faults.append(Fault(prefix + name, f"must have at most {limit} entries, not {len(entries)}"))
            if hasattr(entries, "keys"):
                entries.clear()
            else:
                del entries[limit:]
    return faults


@cache
def bounded_fields(descriptor: Any) -> tuple[tuple[str, int | None], ...]:
    """(name, most entries) of lists and maps with a bound, (name, None) of messages that may hold such."""
    found: list[tuple[str, int | None]] = []
    for field in descriptor.fields:
        rules = [value for option, value in field.GetOptions().ListFields() if option.full_name == RULES]
        if field.is_repeated:
            limit = max((rule.map.max_pairs or rule.repeated.max_items for rule in rules), default=0)
            if limit:
                found.append((field.name, int(limit)))
        elif field.message_type is not None and not field.message_type.full_name.startswith("google."):
            found.append((field.name, None))
    return tuple(found)


def field_path(violation: Any) -> tuple[str, str]:
    """("constraints.venue_restrictions", "3") of a violation's path; the index is empty for a plain field."""
    names, index = [], ""
    for element in violation.proto.field.elements:
        names.append(element.field_name)
        subscript = element.subscript
        if subscript is not None and subscript.value is not None:
            index = str(subscript.value)[:MAX_KEY]
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
