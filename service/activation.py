"""A worker's part in putting other models in force: asked to, it loads and checks them; told to, it swaps whole.

What is in force is the last row of `model_promotions`, whoever wrote it (`ActivateArtifact`, `ess learn promote`). A
worker that cannot follow goes on with what it has, and says why in `artifact_workers`. Checks run in a process of
their own; on the decisions' loop happens the swap alone. Calls under way end with the snapshot that they began with.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from engine.records import OperationRecord
from engine.scoring.models import Models
from engine.snapshot import Snapshot
from engine.surfaces import Surfaces
from service.artifact_checker import ArtifactRefused, Checker
from service.artifact_folders import ArtifactFolders
from service.looks import Looks
from service.models import load_models
from service.promoted import write_promoted
from service.reference_keeper import ARTIFACT_ACTIVATED, Recorder
from service.warmup import touch
from service.world import World, surfaces_of
from store.archive import Archive
from store.artifact_store import ArtifactSource, InForce, Proposal, WorkerReport
from store.errors import JournalError, StoreError, StoreUnavailable
from store.outbox_bell import Bell
from store.submission import Acknowledgement

# A ring may be missed, and a report lost.
LOOK_ANYWAY_S: Final = 30.0
# A start waits so long for PostgreSQL.
ANSWER_WITHIN_S: Final = 1.0
# Loaded models beside those in use: the ones before, to go back to, and the ones that were asked for.
HELD: Final = 2
PREPARED, FAILED = "PREPARED", "FAILED"
MOST_REASON: Final = 1_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Models with the surfaces that price with their refit."""

    surfaces: Surfaces
    models: Models


def load(archive: Archive, snapshot: Snapshot, models_sha256: str) -> Loaded:
    """For a thread. Of models that were checked: their bytes are held to the hashes once more, and that is all."""
    folder = archive.artifact_folder(models_sha256)
    if folder is None:
        raise ArtifactRefused(f"models {models_sha256[:12]} are not in the archive of this host")
    artifact = archive.load_artifact(snapshot.surfaces_sha256)
    if artifact is None:
        raise ArtifactRefused(f"surfaces {snapshot.surfaces_sha256[:12]} are not in the archive of this host")
    models = load_models(folder, snapshot.surfaces_sha256, probes=False).models
    if models.sha256 != models_sha256:
        raise ArtifactRefused(f"what the archive has under {models_sha256[:12]} is {models.sha256[:12]}")
    loaded = Loaded(surfaces_of(artifact, models), models)
    touch(replace(snapshot, surfaces=loaded.surfaces, models=models, learned=None))
    return loaded


class Activations:
    """One worker's. Belongs to one event loop. With a recorder it records for its host, and keeps the host's file."""

    def __init__(self, world: World, source: ArtifactSource, bell: Bell, checker: Checker, folders: ArtifactFolders,
                 archive: Archive, own: WorkerReport, data_dir: Path, *, recorder: Recorder | None = None,
                 on_swapped: Callable[[], None] = lambda: None, clock_ns: Callable[[], int] = time.time_ns) -> None:
        """`own`: who this is; the rest of it is filled in."""
        self._world = world
        self._source = source
        self._checker = checker
        self._folders = folders
        self._archive = archive
        self._data_dir = data_dir
        self._recorder = recorder
        self._on_swapped = on_swapped
        self._clock_ns = clock_ns
        self._own = replace(own, models_sha256=self.models_sha256)
        self._held: OrderedDict[str, Loaded] = OrderedDict()
        self._told_at_s = 0.0
        self._told: WorkerReport | None = None
        self._looks = Looks("artifacts in force", self._look, bell, LOOK_ANYWAY_S, (StoreError,))

    @property
    def models_sha256(self) -> str:
        models = self._world.snapshot.models
        return models.sha256 if models is not None else ""

    async def start(self, first_look_s: float) -> None:
        """Says that this worker is there, and takes what was put in force meanwhile, before the first order."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._tell()
            async with asyncio.timeout(first_look_s):
                await self._look()
        except (StoreError, TimeoutError) as error:
            log.info("what is in force is looked up later", reason=str(error) or "PostgreSQL is slow")
        self._looks.start()

    async def stop(self) -> None:
        await self._looks.stop()

    async def _look(self) -> None:
        force = await self._source.in_force()
        if force is not None and self._is_to_follow(force):
            await self._follow(force)
        elif force is not None and self._own.failed_number not in (0, force.number):
            self._own = replace(self._own, failed_number=0, reason="")  # others were put in force since
        proposal = await self._source.proposed()
        if proposal is not None and proposal.number != self._own.proposal:
            await self._prepare(proposal)
        if self._own != self._told or asyncio.get_running_loop().time() - self._told_at_s > LOOK_ANYWAY_S / 2:
            await self._tell()

    def _is_to_follow(self, force: InForce) -> bool:
        """A service that decides by the surfaces alone (ESS_MODELS=off) follows nothing."""
        own = self._own
        return force.models_sha256 != own.models_sha256 != "" and force.number != own.failed_number

    async def _tell(self) -> None:
        own = self._own
        await self._source.report(own)
        self._told, self._told_at_s = own, asyncio.get_running_loop().time()

    async def _prepare(self, proposal: Proposal) -> None:
        """Loads what is asked for; nothing decides from it yet."""
        own = replace(self._own, proposal=proposal.number, state=PREPARED, reason="")
        try:
            await self._loaded(proposal.models_sha256)
        except (StoreError, OSError) as error:
            log.error("the proposed models cannot be used on this host", models=proposal.models_sha256,
                      reason=str(error))  # fmt: skip
            own = replace(own, state=FAILED, reason=str(error)[:MOST_REASON])
        self._own = own

    async def _follow(self, force: InForce) -> None:
        """Swaps to what is in force, if it can be used here; what could not be followed once is not tried again."""
        try:
            loaded = await self._loaded(force.models_sha256)
        except (StoreError, OSError) as error:
            self._own = replace(self._own, failed_number=force.number, reason=str(error)[:MOST_REASON])
            log.error("the models in force cannot be used on this host; the ones before decide on",
                      models=force.models_sha256, reason=str(error))  # fmt: skip
            return
        previous = self._world.snapshot
        if previous.models is not None:
            self._hold(previous.models.sha256, Loaded(previous.surfaces, previous.models))
        # Corrections were learned against the other models.
        self._world.replace(surfaces=loaded.surfaces, models=loaded.models, learned=None)
        log.info("models swapped", models=force.models_sha256, previous=self._own.models_sha256)
        before, self._own = self._own, replace(
            self._own, models_sha256=force.models_sha256, failed_number=0, reason=""
        )
        self._on_swapped()
        if self._recorder is not None:
            await asyncio.to_thread(write_promoted, self._data_dir, force.models_sha256)
            # Others wait for this worker's word; the record follows.
            with suppress(StoreUnavailable):
                await self._tell()
            await self._record(self._recorder, force, before.models_sha256)

    async def _record(self, recorder: Recorder, force: InForce, previous: str) -> None:
        detail = {"artifact_kind": "models", "previous_sha256": previous, "promotion": force.number}
        record = OperationRecord(
            str(uuid.uuid4()), self._clock_ns(), ARTIFACT_ACTIVATED, "FIRM", force.models_sha256, force.actor,
            force.reason, detail,
        )
        with suppress(JournalError, StoreUnavailable):
            await recorder.record(record, Acknowledgement.JOURNALED)

    async def _loaded(self, models_sha256: str) -> Loaded:
        """Raises StoreError or OSError."""
        held = self._held.get(models_sha256)
        if held is not None:
            self._held.move_to_end(models_sha256)
            return held
        snapshot = self._world.snapshot
        if snapshot.models is None:
            raise ArtifactRefused("this host decides without models (ESS_MODELS=off)")
        if snapshot.models.sha256 == models_sha256:
            return Loaded(snapshot.surfaces, snapshot.models)
        found = await asyncio.to_thread(self._folders.find, models_sha256)
        if found is None:
            raise ArtifactRefused(f"models {models_sha256[:12]} are not on this host")
        await self._checker.check(found.folder, models_sha256, snapshot.surfaces_sha256)
        loaded = await asyncio.to_thread(load, self._archive, snapshot, models_sha256)
        self._hold(models_sha256, loaded)
        return loaded

    def _hold(self, models_sha256: str, loaded: Loaded) -> None:
        self._held[models_sha256] = loaded
        self._held.move_to_end(models_sha256)
        while len(self._held) > HELD:
            self._held.popitem(last=False)
