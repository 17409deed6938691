"""At a start: what decisions will refer to is archived, and recorded where no record says it yet."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import structlog

from engine.records import OperationRecord, Record, ReferenceRecord
from service.reference import Sources
from store.archive import Archive, Packed
from store.artifacts import Artifact
from store.backoff import Backoff
from store.ending import end
from store.errors import JournalError, StoreUnavailable
from store.submission import Acknowledgement

ARCHIVE_FOLDER: Final = "archive"
ARTIFACT_ACTIVATED: Final = "ARTIFACT_ACTIVATED"
# Ids of reference records come from their content: recorded by two hosts, it is still the same data.
NAMESPACE: Final = uuid.UUID("0d0f5a1c-6a2f-5c2b-9a57-3a4f0e5b7c11")

log = structlog.get_logger(__name__)


class Recorder(Protocol):
    """What is needed of a keeper."""

    async def record(self, record: Record, acknowledgement: Acknowledgement) -> None: ...


@dataclass(frozen=True, slots=True)
class Active:
    """What this start decides from: reference data, and the folders of the artifacts."""

    sources: Sources
    artifacts: tuple[Path, ...]


def reference_record(packed: Packed, created_at_ns: int) -> ReferenceRecord:
    name = f"{packed.kind}:{packed.sha256}"
    return ReferenceRecord(
        str(uuid.uuid5(NAMESPACE, name)), created_at_ns, packed.kind, packed.sha256, packed.content
    )


def activation_record(artifact: Artifact, previous: str, created_at_ns: int) -> OperationRecord:
    """That this artifact decides from now on."""
    manifest = artifact.manifest
    return OperationRecord(
        operation_id=str(uuid.uuid4()), created_at_ns=created_at_ns, kind=ARTIFACT_ACTIVATED, scope="FIRM",
        subject=artifact.sha256, actor="service", reason="loaded at start",
        detail={
            "artifact_kind": manifest.kind, "previous_sha256": previous, "created_by": manifest.created_by,
            "size_bytes": sum(entry.size_bytes for entry in manifest.files.values()),
        },
    )


class ReferenceKeeper:
    """Archives at once; records at once where the journal takes it, and else as soon as it does.

    A full journal must not keep a service from starting: only what is drained from it makes room. Without a recorder it
    archives only: of several workers of a host, one records.
    """

    def __init__(self, archive: Archive, recorder: Recorder | None, active: Active, *,
                 clock_ns: Callable[[], int] = time.time_ns, backoff: Backoff | None = None,
                 sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
                 uniform: Callable[[], float] = random.random) -> None:
        self._archive = archive
        self._recorder = recorder
        self._active = active
        self._clock_ns = clock_ns
        self._backoff = backoff or Backoff(first_s=0.5, last_s=30.0)
        self._sleep = sleep
        self._uniform = uniform
        self._later: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Before the first decision. Raises StoreError or OSError where something cannot be archived."""
        artifacts = await asyncio.to_thread(self._keep)
        if self._recorder is None:
            return
        try:
            await self._record(self._recorder, artifacts)
        except (JournalError, StoreUnavailable) as error:
            log.warning("reference data are archived, but not recorded yet", error=str(error))
            later = self._record_later(self._recorder, artifacts)
            self._later = asyncio.create_task(later, name="record-reference")

    async def stop(self) -> None:
        """What is not recorded then is recorded at the next start."""
        await end(self._later)

    def _keep(self) -> Sequence[Artifact]:
        for packed in self._active.sources.packed:
            self._archive.keep_reference(packed)
        return [self._archive.keep_artifact(folder) for folder in self._active.artifacts]

    async def _record(self, recorder: Recorder, artifacts: Sequence[Artifact]) -> None:
        """Noted after each step: a crash in between records again what was not noted, which changes nothing."""
        said = self._archive.recorded()
        new = [packed for packed in self._active.sources.packed if packed.sha256 not in said.references]
        for packed in new:
            record = reference_record(packed, self._clock_ns())
            await recorder.record(record, Acknowledgement.JOURNALED)
        if new:
            said = replace(said, references=said.references | {packed.sha256 for packed in new})
            self._archive.note(said)
        for artifact in artifacts:
            kind = artifact.manifest.kind
            previous = said.active.get(kind, "")
            if previous != artifact.sha256:
                record_ = activation_record(artifact, previous, self._clock_ns())
                await recorder.record(record_, Acknowledgement.JOURNALED)
                said = replace(said, active={**said.active, kind: artifact.sha256})
                self._archive.note(said)
        log.info("reference data recorded", new=len(new), known=len(said.references), active=said.active)

    async def _record_later(self, recorder: Recorder, artifacts: Sequence[Artifact]) -> None:
        failures = 0
        while True:
            failures += 1
            await self._sleep(self._backoff.delay_s(failures, self._uniform()))
            try:
                await self._record(recorder, artifacts)
                return
            except (JournalError, StoreUnavailable):
                continue
            except Exception:
                log.exception("reference data could not be recorded; tried again later")
