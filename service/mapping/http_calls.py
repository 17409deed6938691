"""The calls that the contract maps to HTTP (google.api.http), and how path, query and body become a message.

    RouteError    an annotation that this gateway cannot serve
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from execution_strategy.v1 import admin_pb2, service_pb2
from google.api import annotations_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from engine.decision import Fault
from service.mapping.json_read import (
    Faults,
    ReadField,
    Unreadable,
    plan_of,
    read_bool,
    read_message,
    read_part,
    shown,
)
from service.mapping.validation import bounded, rule_faults

VERBS = ("get", "put", "post", "delete", "patch")
WHOLE_BODY = "*"
VARIABLE = re.compile(r"\{([a-z][a-z0-9_]*)(=\*)?\}")
LITERAL = re.compile(r"[A-Za-z0-9._~-]+")
BOOLEANS = {"true": True, "false": False}


class RouteError(ValueError):
    """An annotation that this gateway cannot serve."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a path: the text itself, or the field that it fills."""

    text: str
    is_field: bool


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One call under one verb and path. `body` is "*" (the message), or empty (fields come as query parameters)."""

    name: str
    full_name: str
    verb: str
    template: str
    segments: tuple[Segment, ...]
    body: str
    grpc_path: str
    request: type[Message]
    response: type[Message]

    @property
    def path_fields(self) -> tuple[str, ...]:
        return tuple(segment.text for segment in self.segments if segment.is_field)

    @property
    def query_fields(self) -> tuple[Any, ...]:
        """Descriptors of the fields that come as query parameters."""
        if self.body:
            return ()
        return tuple(field for field in self.request.DESCRIPTOR.fields if field.name not in self.path_fields)


@cache
def http_calls() -> tuple[HttpCall, ...]:
    """Every annotated call of the contract, in its order. Raises RouteError."""
    services = [
        service
        for file in (service_pb2.DESCRIPTOR, admin_pb2.DESCRIPTOR)
        for service in file.services_by_name.values()
    ]
    return tuple(call for service in services for method in service.methods for call in calls_of(method))


def calls_of(method: Any) -> list[HttpCall]:
    if not method.GetOptions().HasExtension(annotations_pb2.http):
        return []
    if method.client_streaming or method.server_streaming:
        raise RouteError(f"{method.full_name}: streams are not served over HTTP")
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    return [call_of(method, one) for one in (rule, *rule.additional_bindings)]


def call_of(method: Any, rule: Any) -> HttpCall:
    verb = next((name for name in VERBS if getattr(rule, name)), "")
    if not verb or rule.body not in ("", WHOLE_BODY) or rule.response_body:
        raise RouteError(f"{method.full_name}: only verbs with body '*' or without a body are served")
    template = getattr(rule, verb)
    service = method.containing_service.full_name
    segments = segments_of(template)
    request = GetMessageClass(method.input_type)
    for segment in segments:
        if segment.is_field and segment.text not in request.DESCRIPTOR.fields_by_name:
            raise RouteError(f"{template}: {request.DESCRIPTOR.full_name} has no field {segment.text}")
    return HttpCall(
        method.name, method.full_name, verb.upper(), template, segments, rule.body, f"/{service}/{method.name}",
        request, GetMessageClass(method.output_type),
    )  # fmt: skip


def segments_of(template: str) -> tuple[Segment, ...]:
    found = []
    for part in template.removeprefix("/").split("/"):
        variable = VARIABLE.fullmatch(part)
        if variable is None and LITERAL.fullmatch(part) is None:
            raise RouteError(f"{template}: {part!r} is neither a word nor one field")
        found.append(Segment(variable.group(1), True) if variable is not None else Segment(part, False))
    return tuple(found)


def bind(
    call: HttpCall, path: Mapping[str, str], query: Sequence[tuple[str, str]], body: Any
) -> tuple[Message, list[Fault]]:
    """The message of a request, and every fault: what cannot be read, and then the rules that the rest breaks."""
    message = call.request()
    faults = Faults()
    if call.body:
        read_message(body, message, "", faults, True)
    read_query(call, query, message, faults)
    for name, text in path.items():
        read_path(name, text, message, faults)
    found = faults.as_list()
    return message, bounded(found + unrelated(found, message)) if found else []


def read_path(name: str, text: str, message: Any, faults: Faults) -> None:
    """Fills a field from the path; a body may repeat the value, but not say another."""
    field = plan_of(message.DESCRIPTOR)[name]
    given = getattr(message, name)
    set_from_text(field, text, message, name, faults)
    if given and given != getattr(message, name):
        faults.add(name, f"is {shown(str(given))!r} in the body and {shown(text)!r} in the path")


def read_query(call: HttpCall, query: Sequence[tuple[str, str]], message: Any, faults: Faults) -> None:
    """Fills the fields that query parameters name, `a.b` within messages."""
    known = [field.name for field in call.query_fields]
    takes = f"; this path takes {', '.join(known)}" if known else "; this path takes none"
    seen: set[str] = set()
    for name, text in query:
        part, field = field_at(name, message, known)
        if field is None:
            faults.add(shown(name), f"is no query parameter{takes}")
        elif name in seen and not field.repeated:
            faults.add(name, "is given more than once")
        else:
            seen.add(name)
            set_from_text(field, text, part, name, faults)


def field_at(name: str, message: Any, known: Sequence[str]) -> tuple[Any, ReadField | None]:
    """The message and the field in it that a dotted name leads to."""
    part, field = message, None
    for depth, step in enumerate(name.split(".")):
        if field is not None:
            if field.message is None or field.repeated or field.mapped:
                return part, None
            part = getattr(part, field.name)
        field = plan_of(part.DESCRIPTOR).get(step)
        if field is None or (depth == 0 and field.name not in known):
            return part, None
    return part, None if field is None or field.mapped else field


def set_from_text(field: ReadField, text: str, part: Any, path: str, faults: Faults) -> None:
    if field.convert is None:
        holder = getattr(part, field.name)
        read_part(field.message, text, holder.add() if field.repeated else holder, path, faults, True)
        return
    value = BOOLEANS.get(text, text) if field.convert is read_bool else text
    try:
        if field.repeated:
            getattr(part, field.name).append(field.convert(value, False))
        else:
            setattr(part, field.name, field.convert(value, False))
    except Unreadable as error:
        faults.add(path, str(error))


def unrelated(found: Iterable[Fault], message: Message) -> list[Fault]:
    """Broken rules of fields that could be read: one that could not be has its fault already."""
    told = [without_index(fault.field) for fault in found]
    if "" in told:
        return []
    return [
        fault for fault in rule_faults(message)
        if not any(overlap(without_index(fault.field), path) for path in told)
    ]  # fmt: skip


def without_index(path: str) -> str:
    return path.partition("[")[0]


def overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")

