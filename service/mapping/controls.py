"""Halts, limits and their ends: from the contract's messages to records, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

from execution_strategy.v1 import admin_pb2, enums_pb2

from engine.catalogue import CATALOGUE
from engine.decision import Fault
from engine.limits import Breach, Halt, HardLimits, Scope
from engine.records import JsonObject, OperationRecord
from engine.snapshot import VenueDirectory
from service.mapping.events import operations_event
from service.mapping.responses import set_time
from service.mapping.validation import MAX_INDICES, MessageT, parse, rule_faults
from store.controls import HALTED, LIMITS_CHANGED, RESUMED, limits_json
from store.controls_port import ControlAnswer, ControlView, HostState

PREFIX: Final = "SCOPE_"
# By the contract's name of a field: ours.
BOUNDS: Final = {
    "max_quantity": "max_quantity_shares", "max_notional": "max_notional",
    "max_participation_rate": "max_participation_rate", "price_collar_bps": "price_collar_bps",
    "max_messages_per_second": "max_messages_per_second", "max_repeats_per_minute": "max_repeats_per_minute",
}  # fmt: skip
# An event must stay small enough to be delivered; the record has every word.
MAX_DETAIL: Final = 1_000
ALGORITHMS: Final = {
    name.upper(): str(spec.name) for spec in CATALOGUE for name in (str(spec.name), spec.strategy_name)
}


@dataclass(frozen=True, slots=True)
class Subjects:
    """What halts and limits may name."""

    instruments: Callable[[str], bool]
    directory: VenueDirectory


def read(kind: type[MessageT], data: bytes) -> tuple[MessageT, list[Fault]]:
    """The message and every rule that it breaks. Raises MalformedMessageError."""
    message = parse(kind, data)
    return message, rule_faults(message)


def subject_of(scope: Scope, text: str, subjects: Subjects, field: str, faults: list[Fault]) -> str:
    """The subject as it is kept; what names nothing is a fault, since a halt with a slip of the pen stops nothing."""
    if "\0" in text:
        faults.append(Fault(field, "the character NUL cannot be kept"))
    elif scope is Scope.FIRM:
        if text:
            faults.append(Fault(field, "must be empty for the firm"))
    elif not text:
        faults.append(Fault(field, "must say which one"))
    elif scope is Scope.INSTRUMENT and not subjects.instruments(text):
        faults.append(Fault(field, f"unknown instrument {text!r}"))
    elif scope is Scope.STRATEGY:
        algorithm = ALGORITHMS.get(text.upper())
        if algorithm is None:
            faults.append(Fault(field, f"unknown strategy {text!r}"))
        return algorithm or ""
    return text


def halt_record(
    message: admin_pb2.HaltRequest, subjects: Subjects, actor: str, halt_id: str, now_ns: int
) -> OperationRecord | list[Fault]:
    faults: list[Fault] = []
    scope = scope_of(message.scope)
    subject = subject_of(scope, message.subject, subjects, "subject", faults)
    faults += text_faults("reason", message.reason)
    return faults or operation(halt_id, HALTED, scope, subject, actor, message.reason, {}, now_ns)


def halt_of_throttle(breach: Breach, actor: str, halt_id: str, now_ns: int) -> OperationRecord:
    """A subject that repeated itself too often is halted by the service itself."""
    detail: JsonObject = {"code": breach.code}
    return operation(halt_id, HALTED, breach.scope, breach.subject, actor, breach.description, detail, now_ns)


def resume_record(
    message: admin_pb2.ResumeRequest, halts: Iterable[Halt], actor: str, operation_id: str, now_ns: int
) -> OperationRecord | list[Fault]:
    """Of a halt that this worker does not know the scope is left to the keeper, who knows whether there is one."""
    faults = text_faults("reason", message.reason)
    halt_id = message.halt_id.lower()
    known = next((halt for halt in halts if halt.halt_id == halt_id), None)
    scope, subject = (known.scope, known.subject) if known is not None else (Scope.FIRM, "")
    detail: JsonObject = {"halt_id": halt_id}
    return faults or operation(operation_id, RESUMED, scope, subject, actor, message.reason, detail, now_ns)


def limits_record(
    message: admin_pb2.SetLimitsRequest, subjects: Subjects, actor: str, operation_id: str, now_ns: int
) -> OperationRecord | list[Fault]:
    faults = text_faults("reason", message.reason)
    found = [limits_in(one, subjects, f"limits[{at}]", faults) for at, one in enumerate(message.limits)]
    if len({one.key for one in found}) < len(found):
        faults.append(Fault("limits", "a subject is named twice"))
    if faults:
        return faults
    scope, subject = found[0].key if len(found) == 1 else (Scope.FIRM, "")
    detail: JsonObject = {"limits": [limits_json(one) for one in found]}
    return operation(operation_id, LIMITS_CHANGED, scope, subject, actor, message.reason, detail, now_ns)


def limits_in(
    message: admin_pb2.HardLimits, subjects: Subjects, field: str, faults: list[Fault]
) -> HardLimits:
    scope = scope_of(message.scope)
    subject = subject_of(scope, message.subject, subjects, f"{field}.subject", faults)
    bounds: dict[str, Any] = {
        ours: getattr(message, name) for name, ours in BOUNDS.items() if message.HasField(cast(Any, name))
    }
    unknown = [name for name in message.allowed_instruments if not subjects.instruments(name)]
    venues = [subjects.directory.find(name) for name in message.allowed_venues]
    strange = [name for name, mic in zip(message.allowed_venues, venues, strict=True) if mic is None]
    for name, words in (("allowed_instruments", unknown), ("allowed_venues", strange)):
        if words:
            shown = ", ".join(repr(word[:64]) for word in words[:MAX_INDICES])
            faults.append(Fault(f"{field}.{name}", f"{len(words)} unknown: {shown}"))
    return HardLimits(
        scope, subject, **bounds, allowed_instruments=frozenset(message.allowed_instruments),
        allowed_venues=frozenset(mic for mic in venues if mic is not None),
    )  # fmt: skip


def text_faults(field: str, text: str) -> list[Fault]:
    return [Fault(field, "the character NUL cannot be kept")] if "\0" in text else []


def operation(
    operation_id: str, kind: str, scope: Scope, subject: str, actor: str, reason: str, detail: JsonObject, now_ns: int
) -> OperationRecord:
    """The record of what somebody did, with the event that tells the firm."""
    event = operations_event(
        operation_id=operation_id, kind=kind, scope=str(scope), subject=subject, actor=actor,
        detail=reason[:MAX_DETAIL], created_at_ns=now_ns,
    )  # fmt: skip
    return OperationRecord(operation_id, now_ns, kind, str(scope), subject, actor, reason, detail, event)


def scope_of(number: int) -> Scope:
    """Of a message whose rules hold: zero is refused there."""
    return Scope(enums_pb2.Scope.Name(cast(Any, number)).removeprefix(PREFIX))


def scope_number(scope: Scope) -> Any:
    return enums_pb2.Scope.Value(PREFIX + str(scope))


def halt_response(halt_id: str, answer: ControlAnswer) -> bytes:
    message = admin_pb2.HaltResponse(halt_id=halt_id)
    fill_hosts(message.hosts, answer.hosts)
    return message.SerializeToString()


def resume_response(halt_id: str, answer: ControlAnswer) -> bytes:
    message = admin_pb2.ResumeResponse(halt_id=halt_id)
    fill_hosts(message.hosts, answer.hosts)
    return message.SerializeToString()


def limits_response(view: ControlView, answer: ControlAnswer) -> bytes:
    message = admin_pb2.SetLimitsResponse(version=answer.limits_version)
    message.limits.extend(limits_message(one) for one in view.controls.limits)
    fill_hosts(message.hosts, answer.hosts)
    return message.SerializeToString()


def controls_response(view: ControlView, hosts: Iterable[HostState], now_ns: int, monotonic_ns: int) -> bytes:
    message = admin_pb2.ListControlsResponse(limits_version=view.limits_version, known=view.is_known)
    for halt in view.controls.halts:
        entry = message.halts.add(
            halt_id=halt.halt_id, scope=scope_number(halt.scope), subject=halt.subject, reason=halt.reason,
            actor=halt.actor,
        )  # fmt: skip
        set_time(entry.created_at, halt.created_at_ns)
    message.limits.extend(limits_message(one) for one in view.controls.limits)
    if view.lease_until_ns:
        set_time(message.lease_expires_at, now_ns + view.lease_until_ns - monotonic_ns)
    fill_hosts(message.hosts, hosts)
    return message.SerializeToString()


def limits_message(limits: HardLimits) -> admin_pb2.HardLimits:
    message = admin_pb2.HardLimits(
        scope=scope_number(limits.scope), subject=limits.subject,
        allowed_instruments=sorted(limits.allowed_instruments), allowed_venues=sorted(limits.allowed_venues),
    )  # fmt: skip
    for name, ours in BOUNDS.items():
        value = getattr(limits, ours)
        if value is not None:
            setattr(message, name, value)
    return message


def fill_hosts(hosts: Any, states: Iterable[HostState]) -> None:
    for state in states:
        entry = hosts.add(host_id=state.host_id, confirmed=state.confirmed)
        if not state.confirmed and state.lease_expires_at_ns:
            set_time(entry.lease_expires_at, state.lease_expires_at_ns)

