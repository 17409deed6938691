"""Puts other models in force at every worker of every live host, or nowhere.

    1  the call is recorded with its caller
    2  every worker is asked to load, verify, warm and probe (`artifact_proposals`); one that cannot ends it here:
       nothing was changed
    3  one row puts them in force (`model_promotions`); each worker swaps at once what it has ready
    4  one that could not swap puts the models of before in force again, everywhere, with the reason

Live is a host whose lease has not run out (docs/limits-and-halts.md). Only one activation is under way at a time.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

import structlog

from engine.records import OperationRecord
from service.activation import FAILED, PREPARED
from service.artifact_folders import ArtifactFolders, Found
from service.mapping.events import operations_event
from service.models import KIND, manifest_faults
from service.reference_keeper import Recorder
from service.world import World
from store.artifact_store import ArtifactStore, WorkerReport
from store.errors import StoreError
from store.outbox_bell import Bell
from store.submission import Acknowledgement

REQUESTED: Final = "ACTIVATION_REQUESTED"
REFUSED: Final = "ACTIVATION_REFUSED"
ROLLED_BACK: Final = "ACTIVATION_ROLLED_BACK"
SHADOWED: Final = "SHADOW_ACTIVATED"
SERVICE: Final = "service"
# How long the workers of before are waited for after something went wrong.
BACK_WITHIN_S: Final = 10.0
LOOK_ANYWAY_S: Final = 0.5
# How long PostgreSQL may take to say what others decide from: what is known here is worth more than a late answer.
LIST_WITHIN_S: Final = 2.0
MOST_REASON: Final = 800

log = structlog.get_logger(__name__)
T = TypeVar("T")


class UnknownArtifact(StoreError):
    """This host has no such artifact."""


class NotActivated(StoreError):
    """What decided before decides on; the text says why, `code` in a word."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants."""

    models_sha256: str
    is_shadow: bool
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Activated:
    """`workers` with whether each decides from it (in shadow: has it loaded)."""

    previous_sha256: str
    workers: tuple[tuple[WorkerReport, bool], ...]
    already: bool = False


@dataclass(frozen=True, slots=True)
class Inventory:
    """What this host has, what is in shadow, and what every worker decides from."""

    found: tuple[Found, ...]
    unfit: dict[str, str]
    active: frozenset[str]
    shadow: str = ""
    previous: str = ""
    scores: dict[str, tuple[int, int]] | None = None
    workers: tuple[WorkerReport, ...] = ()


class RingingBell(Bell, Protocol):
    """A bell that listens only while somebody waits."""

    def start(self) -> None: ...

    async def stop(self) -> None: ...


class Activator:
    """One worker's; any worker of any host may be asked."""

    def __init__(self, store: ArtifactStore, make_bell: Callable[[], RingingBell], folders: ArtifactFolders,
                 world: World, recorder: Recorder, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._make_bell = make_bell
        self._folders = folders
        self._world = world
        self._recorder = recorder
        self._clock_ns = clock_ns
        self._running: set[asyncio.Task[Any]] = set()

    async def inventory(self, within_s: float = LIST_WITHIN_S) -> Inventory:
        """Where PostgreSQL does not answer within that time: what this host has, and what this worker decides from."""
        found = tuple(await asyncio.to_thread(self._folders.all))
        snapshot = self._world.snapshot
        surfaces, models = snapshot.surfaces_sha256, snapshot.models.sha256 if snapshot.models else ""
        unfit = {one.sha256: "; ".join(manifest_faults(one.manifest, surfaces)) for one in found}
        alone = Inventory(found, unfit, frozenset({surfaces, models} - {""}))
        # A question that takes too long is left behind: taking it back from a database that hangs takes seconds itself.
        question = self._begin(self._told_by_all(alone))
        done, _ = await asyncio.wait({question}, timeout=within_s)
        if not done:
            question.cancel()
            log.info("only this worker's artifacts can be told", reason=f"no answer within {within_s:.1f} s")
            return alone
        try:
            return question.result()
        except StoreError as error:
            log.info("only this worker's artifacts can be told", reason=str(error))
            return alone

    async def _told_by_all(self, alone: Inventory) -> Inventory:
        """Raises StoreError."""
        force = await self._store.in_force()
        return replace(
            alone, shadow=await self._store.shadow(), previous=force.previous_sha256 if force else "",
            scores=await self._store.scores(), workers=tuple(await self._store.workers()),
        )  # fmt: skip

    async def activate(self, asked: Asked, limit_s: float) -> Activated:
        """To its end, even where the caller is gone. Raises UnknownArtifact, NotActivated or StoreError."""
        return await self._to_its_end(self._activate(asked, limit_s))

    async def _to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.shield(self._begin(work))

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name="activate")
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may be gone

    async def _activate(self, asked: Asked, limit_s: float) -> Activated:
        await self._record(REQUESTED, asked, asked.actor, asked.reason, {"shadow": asked.is_shadow})
        end_s = asyncio.get_running_loop().time() + limit_s
        bell = self._make_bell()
        bell.start()
        try:
            await self._check_here(asked)
            async with self._store.alone() as alone:
                if not alone:
                    raise NotActivated("ACTIVATION_UNDER_WAY", "another activation is under way; ask again")
                return await self._everywhere(asked, bell, end_s)
        except NotActivated as error:
            kind = ROLLED_BACK if error.code == ROLLED_BACK else REFUSED
            log.error("an artifact was not activated", models=asked.models_sha256, code=error.code, reason=str(error))
            await self._record(kind, asked, SERVICE, str(error), {"code": error.code, "asked_by": asked.actor})
            raise
        finally:
            await bell.stop()

    async def _check_here(self, asked: Asked) -> None:
        """What the manifest tells already."""
        snapshot = self._world.snapshot
        found = await asyncio.to_thread(self._folders.find, asked.models_sha256)
        if found is None:
            raise UnknownArtifact(f"no artifact {asked.models_sha256} on this host")
        if found.manifest.kind != KIND:
            raise NotActivated(
                "NOT_MODELS", f"it is of kind {found.manifest.kind!r}: models are activated while the service runs, "
                "surfaces by a restart (ESS_SURFACES_DIR)",
            )  # fmt: skip
        faults = manifest_faults(found.manifest, snapshot.surfaces_sha256)
        if faults:
            raise NotActivated("ARTIFACT_UNFIT", "; ".join(faults))

    async def _everywhere(self, asked: Asked, bell: Bell, end_s: float) -> Activated:
        force = await self._store.in_force()
        models = self._world.snapshot.models
        previous = force.models_sha256 if force is not None else (models.sha256 if models is not None else "")
        workers = await self._store.workers()
        if self._is_there_already(asked, previous, workers):
            return Activated(previous, tuple((one, True) for one in workers), already=True)
        if asked.is_shadow and await self._store.shadow() == asked.models_sha256:
            return Activated(previous, tuple((one, True) for one in workers), already=True)
        number = await self._store.propose(asked.models_sha256, asked.is_shadow, asked.actor, asked.reason)
        workers = await self._until(bell, end_s, lambda one: one.proposal == number and one.state != "")
        refuse_unprepared(workers, number)
        if asked.is_shadow:
            await self._store.put_shadow(asked.models_sha256, asked.actor, asked.reason)
            await self._record(SHADOWED, asked, asked.actor, asked.reason, {})
            return Activated(previous, tuple((one, one.proposal == number) for one in workers))
        return await self._put_in_force(asked, previous, bell, end_s)

    def _is_there_already(self, asked: Asked, previous: str, workers: list[WorkerReport]) -> bool:
        if asked.is_shadow or previous != asked.models_sha256:
            return False
        return all(one.models_sha256 == asked.models_sha256 for one in workers if one.is_live)

    async def _put_in_force(self, asked: Asked, previous: str, bell: Bell, end_s: float) -> Activated:
        wanted = asked.models_sha256
        force = await self._store.in_force()
        # Asked for again, for those that could not follow before: what was before stays what it was.
        is_again = force is not None and force.models_sha256 == wanted
        before = force.previous_sha256 if force is not None and is_again else previous
        number = await self._store.put_in_force(wanted, before, "PROMOTED", asked.actor, asked.reason)
        workers = await self._until(
            bell, end_s, lambda one: one.models_sha256 == wanted or one.failed_number == number
        )
        failed = [one for one in workers if one.is_live and one.failed_number == number]
        if failed:
            why = told_of(failed)
            if is_again:
                raise NotActivated("ARTIFACT_UNFIT", f"{why}; the others decide from it as before")
            await self._store.put_in_force(previous, wanted, "ROLLED_BACK", SERVICE, why)
            back_s = asyncio.get_running_loop().time() + BACK_WITHIN_S
            await self._until(bell, back_s, lambda one: one.models_sha256 == previous)
            raise NotActivated(ROLLED_BACK, f"rolled back: {why}")
        return Activated(before, tuple((one, one.models_sha256 == wanted) for one in workers))

    async def _until(self, bell: Bell, end_s: float, is_done: Callable[[WorkerReport], bool]) -> list[WorkerReport]:
        """Until every worker of every live host is done, or the time is over."""
        loop = asyncio.get_running_loop()
        while True:
            rings = bell.rings
            workers = await self._store.workers()
            live = [one for one in workers if one.is_live]
            if all(is_done(one) for one in live) or loop.time() >= end_s:
                return workers
            await bell.wait(rings, min(LOOK_ANYWAY_S, max(0.0, end_s - loop.time())))

    async def _record(self, kind: str, asked: Asked, actor: str, reason: str, detail: dict[str, Any]) -> None:
        operation_id, now_ns, reason = str(uuid.uuid4()), self._clock_ns(), reason[:MOST_REASON]
        event = operations_event(
            operation_id=operation_id, kind=kind, scope="FIRM", subject=asked.models_sha256, actor=actor,
            detail=reason, created_at_ns=now_ns,
        )  # fmt: skip
        record = OperationRecord(
            operation_id, now_ns, kind, "FIRM", asked.models_sha256, actor, reason, detail, event
        )
        await self._recorder.record(record, Acknowledgement.JOURNALED)


def refuse_unprepared(workers: list[WorkerReport], number: int) -> None:
    """Raises NotActivated where a live worker cannot, or did not say in time that it can."""
    live = [one for one in workers if one.is_live]
    failed = [one for one in live if one.proposal == number and one.state == FAILED]
    if failed:
        raise NotActivated("ARTIFACT_UNFIT", told_of(failed))
    late = [one for one in live if one.proposal != number or one.state != PREPARED]
    if late:
        names = ", ".join(f"{one.host_id}/{one.worker_index}" for one in late)
        raise NotActivated("NOT_PREPARED", f"not ready in time: {names}")
    if not live:
        raise NotActivated("NOT_PREPARED", "no live host has said that it decides from models")


def told_of(failed: list[WorkerReport]) -> str:
    """Hosts and why, the same reason once."""
    by_reason: dict[str, list[str]] = {}
    for one in failed:
        by_reason.setdefault(one.reason, []).append(f"{one.host_id}/{one.worker_index}")
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())[:MOST_REASON]
