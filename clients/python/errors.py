"""What a call may end with, as exceptions that carry everything the service said.

    ServiceError                 any status but OK
      InvalidRequest             INVALID_ARGUMENT: `violations` has every field that breaks a rule
      PreconditionFailed         FAILED_PRECONDITION: `violations` has what is missing or clashes
      AlreadyExists              ALREADY_EXISTS: the order id was used for another content
      NotFound                   NOT_FOUND
      Exhausted                  RESOURCE_EXHAUSTED: try again after `retry_after_s`
      Unavailable                UNAVAILABLE, after the retries of the channel
      DeadlineExceeded           DEADLINE_EXCEEDED
    UpdateRefused                an update of a session had no effect; the session goes on
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2, status_pb2

DETAILS_KEY: Final = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong: the field's path in the contract's names, and why."""

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else self.description


class ServiceError(Exception):
    """A status. `retry_after_s` is None where the service said nothing of it."""

    def __init__(
        self, code: grpc.StatusCode, message: str, violations: tuple[Violation, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.violations = violations
        self.retry_after_s = retry_after_s


class InvalidRequest(ServiceError):
    pass


class PreconditionFailed(ServiceError):
    pass


class AlreadyExists(ServiceError):
    pass


class NotFound(ServiceError):
    pass


class Exhausted(ServiceError):
    pass


class Unavailable(ServiceError):
    pass


class DeadlineExceeded(ServiceError):
    pass


class UpdateRefused(Exception):
    """An update of a session had no effect, and its number stands for nothing. The session and the order go on."""

    def __init__(self, order_id: str, sequence: int, reason: str) -> None:
        super().__init__(f"update {sequence} of {order_id}: {reason}")
        self.order_id = order_id
        self.sequence = sequence
        self.reason = reason


BY_CODE: Final[dict[grpc.StatusCode, type[ServiceError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionFailed,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Exhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

# Streams that ended so are resumed by their clients.
RESUMED: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
# What grpc.aio itself says, as INTERNAL, of a stream whose connection went while it was written to. No service does.
WRITE_FAILED: Final = "Internal error from Core"


def channel_closed() -> ServiceError:
    """As gRPC says of a call that is under way when its channel is closed."""
    return ServiceError(grpc.StatusCode.CANCELLED, "Channel closed!")


def is_worth_resuming(error: Any) -> bool:
    """Of a stream's end: whether another connection may do better."""
    return error.code() in RESUMED or error.details() == WRITE_FAILED


def error_of(error: Any) -> ServiceError:
    """Of grpc's own error, synchronous or not: both know code, details and trailing metadata."""
    code: grpc.StatusCode = error.code() or grpc.StatusCode.UNKNOWN
    raw = next((value for key, value in error.trailing_metadata() or () if key == DETAILS_KEY), b"")
    violations, retry_after_s = _details(status_pb2.Status.FromString(raw))
    return BY_CODE.get(code, ServiceError)(code, error.details() or "", violations, retry_after_s)


def error_of_status(status: status_pb2.Status) -> ServiceError:
    """Of a refusal within an answer: an order of a basket."""
    code = CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return BY_CODE.get(code, ServiceError)(code, status.message, *_details(status))


def _details(status: status_pb2.Status) -> tuple[tuple[Violation, ...], float | None]:
    found: list[Violation] = []
    retry_after_s = None
    for detail in status.details:
        invalid, failed = error_details_pb2.BadRequest(), error_details_pb2.PreconditionFailure()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(invalid):
            found += [Violation(one.field, one.description) for one in invalid.field_violations]
        elif detail.Unpack(failed):
            found += [Violation(one.subject, one.description) for one in failed.violations]
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    return tuple(found), retry_after_s
