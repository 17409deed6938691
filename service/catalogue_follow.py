"""Changes of the catalogue in PostgreSQL, taken by every worker while it runs: what an operator disables or narrows
there is chosen no more within moments.

A new set of candidates is archived and journaled under its hash before any decision is made from it, so that replays
find it; every record names it (`reference_sha256` of its inputs).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import structlog

from engine.catalogue import CandidateSet, candidate_set
from engine.records import OperationRecord
from service.looks import Looks
from service.reference import REFERENCE_KIND, named_of, shared_bytes
from service.reference_file import Reference
from service.reference_keeper import Recorder, reference_record
from service.world import World, choices_of
from store.archive import Archive, Packed, pack
from store.artifact_store import ArtifactSource
from store.catalogue import CatalogueRow
from store.errors import JournalError, StoreError, StoreUnavailable
from store.outbox_bell import Bell
from store.submission import Acknowledgement

CATALOGUE_CHANGED: Final = "CATALOGUE_CHANGED"
LOOK_ANYWAY_S: Final = 30.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HostFile:
    """Where a start without PostgreSQL reads the catalogue."""

    path: Path

    def write(self, rows: tuple[CatalogueRow, ...]) -> None:
        """The file of before with these rows: the old one or the new one, whole."""
        held = msgspec.msgpack.decode(self.path.read_bytes(), type=Reference)
        partial = self.path.with_suffix(".catalogue")
        partial.write_bytes(msgspec.msgpack.encode(replace(held, catalogue=rows)))
        partial.replace(self.path)


class CatalogueFollower:
    """One worker's. Belongs to one event loop. With a recorder it records for its host, and keeps the host's file."""

    def __init__(self, world: World, source: ArtifactSource, bell: Bell, archive: Archive, file: HostFile, *,
                 recorder: Recorder | None = None, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._world = world
        self._source = source
        self._archive = archive
        self._file = file
        self._recorder = recorder
        self._clock_ns = clock_ns
        self._seen: tuple[CatalogueRow, ...] | None = None
        self._looks = Looks("the catalogue", self.look, bell, LOOK_ANYWAY_S, (StoreError,))

    def start(self) -> None:
        self._looks.start()

    async def stop(self) -> None:
        await self._looks.stop()

    async def look(self) -> None:
        rows = await self._source.catalogue()
        if rows != self._seen:
            await self._follow(rows)
            self._seen = rows  # not before: what could not be archived is tried again

    async def _follow(self, rows: tuple[CatalogueRow, ...]) -> None:
        try:
            found = await asyncio.to_thread(lambda: candidate_set(choices_of(rows)))
        except (ValueError, KeyError, TypeError) as error:
            log.error("the catalogue in PostgreSQL cannot be used; the one before holds", reason=repr(error))
            return
        if named_of(found) == named_of(self._world.snapshot.catalogue):
            return
        packed = await self._keep(found)
        self._world.replace(catalogue=found)
        enabled = sorted({candidate.spec.name for candidate in found.candidates})
        log.warning("another catalogue holds from now on", algorithms=enabled, candidates=len(found.candidates),
                    reference=packed.sha256)  # fmt: skip
        if self._recorder is not None:
            await asyncio.to_thread(self._file.write, rows)
            await self._tell(self._recorder, packed, enabled, len(found.candidates))

    async def _keep(self, found: CandidateSet) -> Packed:
        """Archived at once; in the journal too, where it takes it."""
        packed = pack(REFERENCE_KIND, shared_bytes(replace(self._world.snapshot, catalogue=found)))
        await asyncio.to_thread(self._archive.keep_reference, packed)
        said = self._archive.recorded()
        if self._recorder is None or packed.sha256 in said.references:
            return packed
        try:
            await self._recorder.record(reference_record(packed, self._clock_ns()), Acknowledgement.JOURNALED)
        except (JournalError, StoreUnavailable) as error:
            log.warning("the catalogue is archived, but not recorded yet", reason=str(error))
            return packed
        self._archive.note(replace(said, references=said.references | {packed.sha256}))
        return packed

    async def _tell(self, recorder: Recorder, packed: Packed, enabled: list[str], candidates: int) -> None:
        record = OperationRecord(
            str(uuid.uuid4()), self._clock_ns(), CATALOGUE_CHANGED, "FIRM", packed.sha256, "service",
            "the catalogue was changed in PostgreSQL", {"algorithms": list(enabled), "candidates": candidates},
        )
        with suppress(JournalError, StoreUnavailable):
            await recorder.record(record, Acknowledgement.JOURNALED)
