"""Other models in a service that runs: taken from the archive, checked as at a start, swapped whole, recorded.

`ess learn promote` and `ess learn rollback` write the row; every worker hears of it. Models that cannot be used here
(not archived on this host, made for other surfaces) are left alone, and the log says why: the service goes on with what
it has.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from engine.records import OperationRecord
from engine.scoring.models import Models
from engine.snapshot import Snapshot
from engine.surfaces import Surfaces
from service.models import ModelsUnfitError, load_models
from service.promoted import write_promoted
from service.reference_keeper import ARTIFACT_ACTIVATED, Recorder
from service.world import World, surfaces_of
from store.archive import Archive
from store.errors import ArtifactInvalid, JournalError, StoreError, StoreUnavailable
from store.submission import Acknowledgement

log = structlog.get_logger(__name__)


class Promotions:
    """One worker's part."""

    def __init__(self, world: World, archive: Archive, recorder: Recorder | None, data_dir: Path,
                 clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._world = world
        self._archive = archive
        self._recorder = recorder
        self._data_dir = data_dir
        self._clock_ns = clock_ns
        self._refused = ""

    async def take(self, models_sha256: str) -> None:
        """Swaps to these models, if they can be used here. What was refused once is not tried again."""
        if models_sha256 == self._refused:
            return
        snapshot = self._world.snapshot
        previous = snapshot.models.sha256 if snapshot.models else ""
        try:
            surfaces, models = await asyncio.to_thread(load, self._archive, snapshot, models_sha256)
        except (StoreError, ArtifactInvalid, ModelsUnfitError) as error:
            self._refused = models_sha256
            log.error("promoted models cannot be used on this host", models=models_sha256, reason=str(error))
            return
        # Corrections were learned against the other models.
        self._world.replace(surfaces=surfaces, models=models, learned=None)
        log.info("models promoted", models=models_sha256, previous=previous)
        if self._recorder is None:
            return
        await asyncio.to_thread(write_promoted, self._data_dir, models_sha256)
        record = OperationRecord(
            str(uuid.uuid4()), self._clock_ns(), ARTIFACT_ACTIVATED, "FIRM", models_sha256, "service",
            "put in force by command", {"artifact_kind": "models", "previous_sha256": previous},
        )
        with suppress(JournalError, StoreUnavailable):
            await self._recorder.record(record, Acknowledgement.JOURNALED)


def load(archive: Archive, snapshot: Snapshot, models_sha256: str) -> tuple[Surfaces, Models]:
    """For a thread: reads and probes take a second."""
    folder = archive.artifact_folder(models_sha256)
    if folder is None:
        raise StoreError(f"models {models_sha256[:12]} are not in the archive of this host")
    artifact = archive.load_artifact(snapshot.surfaces_sha256)
    if artifact is None:
        raise StoreError(f"surfaces {snapshot.surfaces_sha256[:12]} are not in the archive of this host")
    models = load_models(folder, snapshot.surfaces_sha256).models
    return surfaces_of(artifact, models), models
