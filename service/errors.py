"""How a refusal leaves the house: a gRPC status with google.rpc details.

    RpcError                 a call that ends with a status
"""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from engine.decision import Fault, Refusal, RefusalKind
from engine.limits import Breach
from service.mapping.validation import MalformedMessageError, bounded

DETAILS_KEY = "grpc-status-details-bin"
# Trailers have to stay under 8 KiB, or clients drop the whole answer: these in base64 (a third more), the text, keys.
MAX_DETAIL_BYTES = 4_500
MAX_TEXT = 1_000
MAX_FIELD = 200
MAX_DESCRIPTION = 300
# Of a PreconditionFailure; the engine knows fewer kinds.
MAX_PRECONDITIONS = 6
# Of an ErrorInfo.
DOMAIN = "execution_strategy.v1"
THROTTLED_RETRY_MS = 1_000
# Type of a PreconditionFailure and reason of its ErrorInfo: the order's decision went with its week.
RETIRED = "ORDER_RETIRED"


class RpcError(Exception):
    """Ends a call with a status."""

    def __init__(self, code: grpc.StatusCode, text: str, details: bytes = b"") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.details = details


def summary(faults: Sequence[Fault]) -> str:
    """All faults in one line, as far as it stays readable; the details hold each."""
    words = "; ".join(f"{fault.field}: {fault.description}" if fault.field else fault.description for fault in faults)
    return shortened(words, MAX_TEXT)


def shortened(text: str, limit: int) -> str:
    """At most so many characters, and as many bytes: others than ASCII are written as escapes."""
    plain = text.encode("ascii", "backslashreplace").decode()
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."


def short(fault: Fault) -> Fault:
    """With the bounds of one violation."""
    return Fault(shortened(fault.field, MAX_FIELD), shortened(fault.description, MAX_DESCRIPTION))


def packed(code: grpc.StatusCode, text: str, *details: Message) -> bytes:
    """google.rpc.Status with its details."""
    status = status_pb2.Status(code=code.value[0], message=text)
    for detail in details:
        packed_detail = any_pb2.Any()
        packed_detail.Pack(detail)
        status.details.append(packed_detail)
    return bytes(status.SerializeToString())


def invalid(faults: Sequence[Fault]) -> RpcError:
    """INVALID_ARGUMENT with BadRequest: every violation with its field."""
    kept = [short(fault) for fault in bounded(list(faults))]
    text = f"{len(faults)} violation{'s' if len(faults) != 1 else ''}: {summary(kept)}"
    while True:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=f.field, description=f.description) for f in kept
        ]
        detail = error_details_pb2.BadRequest(field_violations=violations)
        details = packed(grpc.StatusCode.INVALID_ARGUMENT, text, detail)
        # A text, one violation and the number of the others always fit.
        if len(details) <= MAX_DETAIL_BYTES or len(kept) <= 2:
            return RpcError(grpc.StatusCode.INVALID_ARGUMENT, text, details)
        rest = len(faults) - len(kept) // 2
        kept = [*kept[: len(kept) // 2], Fault("", f"and {rest} more violations")]


def malformed(error: MalformedMessageError) -> RpcError:
    """INVALID_ARGUMENT of bytes that are no message of the call's, in the form of every other violation."""
    return invalid([Fault("", str(error))])


def precondition(faults: Sequence[Fault]) -> RpcError:
    """FAILED_PRECONDITION with PreconditionFailure: what is missing or clashes."""
    kept = [short(fault) for fault in faults[:MAX_PRECONDITIONS]]
    text = summary(kept)
    violations = [
        error_details_pb2.PreconditionFailure.Violation(type="CONSTRAINT", subject=f.field, description=f.description)
        for f in kept
    ]
    detail = error_details_pb2.PreconditionFailure(violations=violations)
    return RpcError(
        grpc.StatusCode.FAILED_PRECONDITION, text, packed(grpc.StatusCode.FAILED_PRECONDITION, text, detail)
    )


def refused(refusal: Refusal) -> RpcError:
    return invalid(refusal.faults) if refusal.kind is RefusalKind.INVALID else precondition(refusal.faults)


def limited(breaches: Sequence[Breach]) -> RpcError:
    """FAILED_PRECONDITION: halted, or a hard limit would be passed. Each reason is a violation whose type is its code,
    and the first is an ErrorInfo too, for clients that look at that."""
    return _breached(grpc.StatusCode.FAILED_PRECONDITION, breaches)


def throttled(breaches: Sequence[Breach]) -> RpcError:
    """RESOURCE_EXHAUSTED: more messages than allowed; a later one may pass."""
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(THROTTLED_RETRY_MS)
    return _breached(grpc.StatusCode.RESOURCE_EXHAUSTED, breaches, info)


def _breached(code: grpc.StatusCode, breaches: Sequence[Breach], *more: Message) -> RpcError:
    kept = breaches[:MAX_PRECONDITIONS]
    text = shortened("; ".join(f"{one.code} ({one.about}): {one.description}" for one in kept), MAX_TEXT)
    violations = [
        error_details_pb2.PreconditionFailure.Violation(
            type=one.code, subject=shortened(one.about, MAX_FIELD),
            description=shortened(one.description, MAX_DESCRIPTION),
        )
        for one in kept
    ]  # fmt: skip
    first = kept[0]
    info = error_details_pb2.ErrorInfo(
        reason=first.code, domain=DOMAIN,
        metadata={"scope": str(first.scope), "subject": shortened(first.subject, MAX_FIELD)},
    )  # fmt: skip
    failure = error_details_pb2.PreconditionFailure(violations=violations)
    return RpcError(code, text, packed(code, text, failure, info, *more))


def already_exists(order_id: str, other_hash: str) -> RpcError:
    """The order was decided before, for another request."""
    text = f"order {order_id} was already decided for another request (content {other_hash[:12]})"
    info = error_details_pb2.ResourceInfo(resource_type="order", resource_name=order_id, description=text)
    return RpcError(grpc.StatusCode.ALREADY_EXISTS, text, packed(grpc.StatusCode.ALREADY_EXISTS, text, info))


def retired(order_id: str, text: str) -> RpcError:
    """FAILED_PRECONDITION: the order was decided before, and its decision is in an archive. No retry changes that."""
    description = shortened(text, MAX_DESCRIPTION)
    violation = error_details_pb2.PreconditionFailure.Violation(
        type=RETIRED, subject="order_id", description=description
    )
    failure = error_details_pb2.PreconditionFailure(violations=[violation])
    info = error_details_pb2.ErrorInfo(reason=RETIRED, domain=DOMAIN, metadata={"order_id": order_id})
    code, said = grpc.StatusCode.FAILED_PRECONDITION, f"order_id: {description}"
    return RpcError(code, said, packed(code, said, failure, info))


def not_yours(order_id: str) -> RpcError:
    """PERMISSION_DENIED: an order belongs to the gateway that made it."""
    return denied("NOT_YOUR_ORDER", f"order {order_id} belongs to another gateway")


def denied(reason: str, text: str) -> RpcError:
    """PERMISSION_DENIED with a coded reason."""
    return coded(grpc.StatusCode.PERMISSION_DENIED, reason, text)


def coded(code: grpc.StatusCode, reason: str, text: str) -> RpcError:
    """A status with an ErrorInfo."""
    return RpcError(code, text, packed(code, text, error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)))


def exhausted(text: str, retry_ms: int) -> RpcError:
    """RESOURCE_EXHAUSTED with RetryInfo."""
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(retry_ms)
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    return RpcError(code, text, packed(code, text, info))
