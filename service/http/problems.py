"""Refusals over HTTP: application/problem+json (RFC 9457), with everything that the gRPC status says.

    Refused    ends a request with a problem
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import msgspec
from google.rpc import error_details_pb2, status_pb2

from engine.decision import Fault
from service.errors import DETAILS_KEY, summary

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:execution-strategy:problem:"
# A client that gets no better word waits so long.
DEFAULT_RETRY_MS: Final = 1_000
# What google.rpc.Code says of each; the reasons for 422 and for CANCELLED are in docs/adr/0014.
STATUSES: Final[Mapping[str, int]] = {
    "CANCELLED": 503, "UNKNOWN": 500, "INVALID_ARGUMENT": 400, "DEADLINE_EXCEEDED": 504, "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 429, "FAILED_PRECONDITION": 422,
    "ABORTED": 409, "OUT_OF_RANGE": 400, "UNIMPLEMENTED": 501, "INTERNAL": 500, "UNAVAILABLE": 503,
    "DATA_LOSS": 500, "UNAUTHENTICATED": 401,
}  # fmt: skip
TITLES: Final[Mapping[str, str]] = {
    "CANCELLED": "The call was cut off", "UNKNOWN": "The service failed",
    "INVALID_ARGUMENT": "The request breaks a rule", "DEADLINE_EXCEEDED": "No answer within the deadline",
    "NOT_FOUND": "Not found", "ALREADY_EXISTS": "Decided before for another request",
    "PERMISSION_DENIED": "Not allowed", "RESOURCE_EXHAUSTED": "Too many requests",
    "FAILED_PRECONDITION": "No strategy can meet this", "ABORTED": "Somebody else was faster",
    "OUT_OF_RANGE": "Out of range", "UNIMPLEMENTED": "Not offered by this server", "INTERNAL": "The service failed",
    "UNAVAILABLE": "Not now", "DATA_LOSS": "Data were lost", "UNAUTHENTICATED": "Who are you?",
}  # fmt: skip
# Refusals that HTTP knows and gRPC does not: kind, title, and the gRPC code that comes nearest.
OF_HTTP: Final[Mapping[int, tuple[str, str, str]]] = {
    400: ("bad-request", "Not a request that can be read", "INVALID_ARGUMENT"),
    404: ("no-such-path", "No such path", "NOT_FOUND"),
    405: ("method-not-allowed", "No such method here", "UNIMPLEMENTED"),
    413: ("body-too-large", "The body is too large", "INVALID_ARGUMENT"),
    415: ("unsupported-media-type", "The body is not JSON", "INVALID_ARGUMENT"),
    431: ("header-too-large", "A header is too large", "INVALID_ARGUMENT"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal. `kind` ends its type."""

    status: int
    kind: str
    title: str
    detail: str
    code: str
    violations: tuple[tuple[str, str], ...] = ()
    retry_after_ms: int | None = None
    headers: tuple[tuple[str, str], ...] = field(default=())

    def body(self, instance: str, request_id: str) -> bytes:
        found: dict[str, Any] = {
            "type": TYPE_PREFIX + self.kind, "title": self.title, "status": self.status, "detail": self.detail,
            "instance": instance, "code": self.code, "request_id": request_id,
        }  # fmt: skip
        if self.violations:
            found["violations"] = [{"field": name, "description": text} for name, text in self.violations]
        if self.retry_after_ms is not None:
            found["retry_after_ms"] = self.retry_after_ms
        return msgspec.json.encode(found)

    @property
    def all_headers(self) -> tuple[tuple[str, str], ...]:
        if self.retry_after_ms is None:
            return self.headers
        return (*self.headers, ("retry-after", str(max(1, math.ceil(self.retry_after_ms / 1_000)))))


class Refused(Exception):
    """Ends a request with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def of_code(code: str, detail: str, violations: Iterable[tuple[str, str]] = (), retry_ms: int | None = None) -> Problem:
    """The problem that a gRPC status stands for."""
    if code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED") and retry_ms is None:
        retry_ms = DEFAULT_RETRY_MS
    headers = (("www-authenticate", "Bearer"),) if code == "UNAUTHENTICATED" else ()
    kind = code.lower().replace("_", "-")
    return Problem(
        STATUSES.get(code, 500), kind, TITLES.get(code, "The service failed"), detail, code, tuple(violations),
        retry_ms, headers,
    )  # fmt: skip


def of_faults(faults: Sequence[Fault]) -> Problem:
    """400 with every violation."""
    text = f"{len(faults)} violation{'s' if len(faults) != 1 else ''}: {summary(faults)}"
    return of_code("INVALID_ARGUMENT", text, [(fault.field, fault.description) for fault in faults])


def of_status(status: int, detail: str, headers: Iterable[tuple[str, str]] = ()) -> Problem:
    """A refusal of HTTP itself: no such path, wrong verb, wrong kind of body."""
    kind, title, code = OF_HTTP[status]
    return Problem(status, kind, title, detail, code, (), None, tuple(headers))


def of_rpc_error(error: grpc.aio.AioRpcError) -> Problem:
    """What the service answered: text, violations, when to come again."""
    text = error.details() or ""
    if text.startswith("failed to connect"):
        # gRPC's own words name addresses of this host.
        text = "no worker of the service can be reached now"
    violations, retry_ms = details_of(error.trailing_metadata() or ())
    return of_code(error.code().name, text, violations, retry_ms)


def details_of(trailers: Iterable[tuple[str, Any]]) -> tuple[list[tuple[str, str]], int | None]:
    """(violations, milliseconds to wait) of the google.rpc details of a status."""
    raw = next((value for key, value in trailers if key == DETAILS_KEY), b"")
    violations: list[tuple[str, str]] = []
    retry_ms = None
    for detail in status_pb2.Status.FromString(raw).details if raw else ():
        for kind, read in READERS:
            found = kind()
            if detail.Unpack(found):
                violations += read(found)
        wait = error_details_pb2.RetryInfo()
        if detail.Unpack(wait):
            retry_ms = wait.retry_delay.ToMilliseconds()
    return violations, retry_ms


def of_bad_request(found: Any) -> list[tuple[str, str]]:
    return [(violation.field, violation.description) for violation in found.field_violations]


def of_precondition(found: Any) -> list[tuple[str, str]]:
    """A code (of a halt, of a limit) stands before its words; a constraint's says nothing more than its subject."""
    return [
        (one.subject, one.description if one.type == "CONSTRAINT" else f"{one.type}: {one.description}")
        for one in found.violations
    ]


def of_resource(found: Any) -> list[tuple[str, str]]:
    return [(found.resource_type, found.description)]


READERS: Final = (
    (error_details_pb2.BadRequest, of_bad_request),
    (error_details_pb2.PreconditionFailure, of_precondition),
    (error_details_pb2.ResourceInfo, of_resource),
)
