"""Snapshots of the past by their hashes: reference data from the archive or PostgreSQL, artifacts from the archive.

    SourceMissing       something that the decision was made from is not here, or damaged; it is named
    NotRebuildable      all is here, but this build cannot make a snapshot of it
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import structlog

from engine.catalogue import named_candidates
from engine.scoring.models import Models
from engine.snapshot import Limits, Snapshot, prepare_view
from engine.surfaces import Surfaces
from engine.utility import table_sha256
from service.learned import LEARNED_KIND, learned_from
from service.mapping.inputs import DecisionInputs
from service.models import ModelsUnfitError, load_models
from service.reference import instrument_from, sessions_from, shared_from
from service.version import VERSION
from service.world import SurfacesMismatchError, surfaces_of
from store.archive import Archive, Packed, unpack
from store.errors import ArtifactInvalid, ReferenceCorrupt
from store.record_reader import ReferenceSource

# Artifacts loaded beside the ones in use, some 20 MB a pair; and sets of candidates, which are small.
ARTIFACTS_HELD = 2
SETTLED_HELD = 8

log = structlog.get_logger(__name__)
K = TypeVar("K")
V = TypeVar("V")


class SourceMissing(Exception):
    """What a replay would need is not here; the text names it."""


class NotRebuildable(Exception):
    """This build cannot use what the recorded one was given."""


@dataclass(frozen=True, slots=True)
class ReferenceParts:
    """Reference data of one decision, unpacked and checked."""

    shared: bytes
    instrument: bytes
    sessions: bytes
    learned: bytes = b""


class Held(Generic[K, V]):
    """The last few values by key, made once. Threads that want the same one wait for it, and share it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        with self._lock:
            if key not in self._values:
                self._values[key] = make()
                while len(self._values) > self._most:
                    self._values.popitem(last=False)
            self._values.move_to_end(key)
            return self._values[key]


class Library:
    """`live` is a snapshot that this process decides from: its artifacts need not be loaded again."""

    def __init__(self, archive: Archive, references: ReferenceSource, live: Snapshot) -> None:
        self._archive = archive
        self._references = references
        self._live = live
        self._artifacts: Held[tuple[str, str], tuple[Surfaces, Models | None]] = Held(ARTIFACTS_HELD)
        self._settled: Held[tuple[str, str, str, Limits, bool], Snapshot] = Held(SETTLED_HELD)

    async def reference(self, kind: str, sha256: str) -> bytes:
        """From the archive; else from PostgreSQL, and kept in the archive then. Raises SourceMissing."""
        try:
            found = await asyncio.to_thread(self._archive.reference, sha256)
            if found is not None:
                return found
        except ReferenceCorrupt as error:
            log.warning("the archive holds damaged reference data", error=str(error))
        content = await self._references.reference(sha256)
        if content is None:
            raise SourceMissing(f"the {kind} data {sha256} are neither in the archive nor in PostgreSQL")
        try:
            data = unpack(sha256, content)
        except ReferenceCorrupt as error:
            raise SourceMissing(f"the {kind} data {sha256} are damaged in PostgreSQL: {error}") from error
        await asyncio.to_thread(self._archive.keep_reference, Packed(kind, sha256, content))
        return data

    async def parts(self, inputs: DecisionInputs) -> ReferenceParts:
        """All reference data of a decision. Raises SourceMissing."""
        return ReferenceParts(
            await self.reference("reference", inputs.reference_sha256),
            await self.reference("instrument", inputs.instrument_sha256),
            await self.reference("sessions", inputs.sessions_sha256),
            await self.reference(LEARNED_KIND, inputs.learned_sha256) if inputs.learned_sha256 else b"",
        )

    def snapshot(self, inputs: DecisionInputs, parts: ReferenceParts) -> Snapshot:
        """The world that the decision was made in, with the one instrument. Takes up to seconds where artifacts are
        loaded: for a thread. Raises SourceMissing or NotRebuildable."""
        key = (
            inputs.reference_sha256, inputs.surfaces_sha256, inputs.models_sha256, inputs.limits, inputs.venue_names,
        )
        try:
            settled = self._settled.get(key, lambda: self._settle(inputs, parts.shared))
            found = instrument_from(parts.instrument)
            sessions = sessions_from(parts.sessions)
            view = prepare_view(found.instrument, inputs.market, sessions, found.open_local_minute)
            learned = learned_from(parts.learned) if parts.learned else None
        except (ReferenceCorrupt, SurfacesMismatchError, ModelsUnfitError, ValueError) as error:
            raise NotRebuildable(str(error)) from error
        return replace(settled, views={found.instrument.instrument_id: view}, learned=learned)

    def _settle(self, inputs: DecisionInputs, shared: bytes) -> Snapshot:
        """Everything but the instrument."""
        found = shared_from(shared)
        surfaces, models = self._artifacts_of(inputs.surfaces_sha256, inputs.models_sha256)
        return Snapshot(
            catalogue=named_candidates(found.candidates), surfaces=surfaces, surfaces_sha256=inputs.surfaces_sha256,
            assumptions=found.assumptions, utility_sha256=table_sha256(), engine_version=VERSION, limits=inputs.limits,
            directory=found.directory, views={}, venue_names=inputs.venue_names, models=models,
        )

    def _artifacts_of(self, surfaces: str, models: str) -> tuple[Surfaces, Models | None]:
        live = self._live
        if (surfaces, models) == (live.surfaces_sha256, live.models.sha256 if live.models else ""):
            return live.surfaces, live.models
        return self._artifacts.get((surfaces, models), lambda: self._load(surfaces, models))

    def _load(self, surfaces_sha256: str, models_sha256: str) -> tuple[Surfaces, Models | None]:
        try:
            artifact = self._archive.load_artifact(surfaces_sha256)
            if artifact is None:
                raise SourceMissing(f"the surfaces {surfaces_sha256} are not in the archive of this host")
            models = None
            if models_sha256:
                folder = self._archive.artifact_folder(models_sha256)
                if folder is None:
                    raise SourceMissing(f"the models {models_sha256} are not in the archive of this host")
                models = load_models(folder, surfaces_sha256).models
                if models.sha256 != models_sha256:
                    raise SourceMissing(f"the models {models_sha256} are damaged in the archive of this host")
        except ArtifactInvalid as error:
            raise SourceMissing(f"an artifact in the archive is damaged: {error}") from error
        return surfaces_of(artifact, models), models
