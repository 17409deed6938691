"""What operators and risk officers do: halt, resume, set limits, see what is in force. Every change is recorded with
its caller before it is answered."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import structlog
from execution_strategy.v1 import admin_pb2

from engine.decision import Fault
from engine.records import OperationRecord
from service.activating import LIST_WITHIN_S, Activator, NotActivated, UnknownArtifact
from service.errors import RpcError, coded, exhausted, invalid, malformed, shortened
from service.guard import Guard
from service.handlers import Call, Stages
from service.identity import caller
from service.mapping.artifacts import activated_response, artifacts_response, asked_of
from service.mapping.controls import (
    Subjects,
    controls_response,
    halt_record,
    halt_response,
    limits_record,
    limits_response,
    read,
    resume_record,
    resume_response,
)
from service.mapping.validation import MalformedMessageError, MessageT
from service.world import World
from store.controls_port import ControlAnswer
from store.errors import JournalError, JournalFull, RecordInvalid, StoreError
from store.submission import KeeperPort

# Who acts where nobody asked who is calling.
ANYBODY_HERE: Final = "anybody on this host"
# Of a call's deadline, so much is left for the answer.
REPLY_MARGIN: Final = 0.8
# How long an activation may take where the caller names no deadline.
ACTIVATE_WITHIN_S: Final = 120.0
MOST_REFUSAL: Final = 1_000

log = structlog.get_logger(__name__)


class Administration:
    """The calls of ExecutionStrategyAdmin that this version has. `halt_wait_s`: how long other hosts are waited for."""

    def __init__(
        self, keeper: KeeperPort, guard: Guard, world: World, *, halt_wait_s: float = 2.0,
        clock_ns: Callable[[], int] = time.time_ns, monotonic_ns: Callable[[], int] = time.monotonic_ns,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()), activator: Activator | None = None,
    ) -> None:  # fmt: skip
        self._activator = activator
        self._keeper = keeper
        self._guard = guard
        self._world = world
        self._halt_wait_s = halt_wait_s
        self._clock_ns = clock_ns
        self._monotonic_ns = monotonic_ns
        self._new_id = new_id

    def calls(self) -> dict[str, Callable[[bytes, Any, Stages], Awaitable[bytes]]]:
        calls: dict[str, Callable[[bytes, Any, Stages], Awaitable[bytes]]] = {
            "Halt": self.halt, "Resume": self.resume, "SetLimits": self.set_limits, "ListControls": self.list_controls,
        }  # fmt: skip
        if self._activator is None:
            return calls
        return calls | {"ListArtifacts": self.list_artifacts, "ActivateArtifact": self.activate_artifact}

    async def halt(self, data: bytes, call: Call, _stages: Stages) -> bytes:
        """Stops new decisions in a scope on this host at once, and on the others as soon as they hear of it."""
        message = self._read(admin_pb2.HaltRequest, data)
        record = sound(halt_record(message, self._subjects, actor(), self._new_id(), self._clock_ns()))
        answer = await self._operate(record, call)
        return halt_response(record.operation_id, answer)

    async def resume(self, data: bytes, call: Call, _stages: Stages) -> bytes:
        """Ends a halt; one that is over already is answered alike."""
        message = self._read(admin_pb2.ResumeRequest, data)
        halts = self._guard.view.controls.halts
        record = sound(resume_record(message, halts, actor(), self._new_id(), self._clock_ns()))
        answer = await self._operate(record, call)
        return resume_response(str(record.detail["halt_id"]), answer)

    async def set_limits(self, data: bytes, call: Call, _stages: Stages) -> bytes:
        """Replaces the limits of every subject named."""
        message = self._read(admin_pb2.SetLimitsRequest, data)
        # Later than what it replaces, whatever the clocks of the hosts say.
        now_ns = max(self._clock_ns(), self._guard.view.limits_version + 1)
        record = sound(limits_record(message, self._subjects, actor(), self._new_id(), now_ns))
        answer = await self._operate(record, call)
        return limits_response(self._guard.view, answer)

    async def list_controls(self, data: bytes, _call: Call, _stages: Stages) -> bytes:
        """What is in force on this host."""
        self._read(admin_pb2.ListControlsRequest, data)
        try:
            hosts = (await self._keeper.figures()).hosts
        except StoreError:
            hosts = ()  # what holds here is known all the same
        return controls_response(self._guard.view, hosts, self._clock_ns(), self._monotonic_ns())

    async def list_artifacts(self, data: bytes, call: Call, _stages: Stages) -> bytes:
        """What this host has, and what every worker decides from."""
        assert self._activator is not None
        self._read(admin_pb2.ListArtifactsRequest, data)
        remaining_s = call.time_remaining()
        within_s = LIST_WITHIN_S if remaining_s is None else min(LIST_WITHIN_S, REPLY_MARGIN * remaining_s)
        inventory = await self._activator.inventory(within_s)
        return await asyncio.to_thread(artifacts_response, inventory)

    async def activate_artifact(self, data: bytes, call: Call, _stages: Stages) -> bytes:
        """Everywhere or nowhere; asked again, it is answered alike."""
        assert self._activator is not None
        message = self._read(admin_pb2.ActivateArtifactRequest, data)
        asked = asked_of(message, actor())
        if isinstance(asked, list):
            raise invalid(asked)
        remaining_s = call.time_remaining()
        within_s = ACTIVATE_WITHIN_S if remaining_s is None else min(ACTIVATE_WITHIN_S, REPLY_MARGIN * remaining_s)
        log.warning("an artifact is to be activated", models=asked.models_sha256, shadow=asked.is_shadow,
                    actor=asked.actor, reason=asked.reason)  # fmt: skip
        try:
            return activated_response(asked, await self._activator.activate(asked, within_s))
        except UnknownArtifact as error:
            raise RpcError(grpc.StatusCode.NOT_FOUND, str(error)) from error
        except NotActivated as error:
            text = shortened(f"{error.code}: {error}", MOST_REFUSAL)
            raise coded(grpc.StatusCode.FAILED_PRECONDITION, error.code, text) from error
        except JournalFull as error:
            raise exhausted(f"nothing was activated: the journal is full: {error}", 1_000) from error
        except (StoreError, JournalError) as error:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, f"not activated, as far as is known: {error}") from error

    @property
    def _subjects(self) -> Subjects:
        snapshot = self._world.snapshot
        return Subjects(snapshot.views.__contains__, snapshot.directory)

    def _read(self, kind: type[MessageT], data: bytes) -> MessageT:
        try:
            message, faults = read(kind, data)
        except MalformedMessageError as error:
            raise malformed(error) from error
        if faults:
            raise invalid(faults)
        return message

    async def _operate(self, record: OperationRecord, call: Call) -> ControlAnswer:
        remaining_s = call.time_remaining()
        wait_s = self._halt_wait_s if remaining_s is None else min(self._halt_wait_s, REPLY_MARGIN * remaining_s)
        log.warning("controls are changed", kind=record.kind, scope=record.scope, subject=record.subject,
                    actor=record.actor, reason=record.reason, operation_id=record.operation_id)  # fmt: skip
        try:
            return await self._keeper.operate(record, max(0.0, wait_s))
        except RecordInvalid as error:
            raise RpcError(grpc.StatusCode.NOT_FOUND, str(error)) from error
        except JournalFull as error:
            raise exhausted(f"{unrecorded(record)}: the journal is full: {error}", 1_000) from error
        except (StoreError, JournalError) as error:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, f"{unrecorded(record)}: {error}") from error


def actor() -> str:
    return caller().name or ANYBODY_HERE


def sound(record: OperationRecord | list[Fault]) -> OperationRecord:
    """The record, or INVALID_ARGUMENT with every fault."""
    if isinstance(record, list):
        raise invalid(record)
    return record


def unrecorded(record: OperationRecord) -> str:
    """What holds where the record could not be made safe."""
    if record.kind == "HALTED":
        return "the halt may hold on this host but is not recorded; halt again"
    return "nothing was changed, as far as is known; ask again"
