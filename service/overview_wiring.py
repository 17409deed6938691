"""What a worker can say of itself: for as long as it lives, and of the artifacts that decide now."""

from __future__ import annotations

import asyncio
import time

import structlog

from engine.snapshot import Snapshot
from service.bootstrap import artifact_folders
from service.mapping.description import Running, described_artifact
from service.reference_keeper import ARCHIVE_FOLDER
from service.worker import WorkerConfig
from store.archive import Archive
from store.artifacts import load_artifact
from store.errors import StoreError

log = structlog.get_logger(__name__)


def running_of(config: WorkerConfig, build_sha256: str) -> Running:
    settings = config.settings
    return Running(
        settings.host_id, settings.environment, build_sha256, time.time_ns(), settings.workers, config.worker_index,
        settings.acknowledgement,
    )  # fmt: skip


class ArtifactsInUse:
    """The cards of what decides: of the start's artifacts, and of those activated since, out of the host's archive.
    Belongs to one event loop."""

    def __init__(self, config: WorkerConfig) -> None:
        """Reads the start's artifacts once more: the snapshot keeps only what decides. Raises StoreError."""
        settings = config.settings
        self._archive = Archive(settings.data_dir / ARCHIVE_FOLDER)
        started = (load_artifact(folder) for folder in artifact_folders(settings))
        self._described = {artifact.sha256: described_artifact(artifact) for artifact in started}

    async def of(self, snapshot: Snapshot) -> tuple[bytes, ...]:
        """Of a snapshot's surfaces and models. What the archive cannot give is left out, and the log says so."""
        wanted = [snapshot.surfaces_sha256]
        if snapshot.models is not None:
            wanted.append(snapshot.models.sha256)
        for sha256 in wanted:
            if sha256 not in self._described:
                await self._read(sha256)
        return tuple(self._described[sha256] for sha256 in wanted if sha256 in self._described)

    async def _read(self, sha256: str) -> None:
        try:
            artifact = await asyncio.to_thread(self._archive.load_artifact, sha256)
        except (StoreError, OSError) as error:
            log.warning("an artifact in use cannot be described", artifact=sha256, reason=str(error))
            return
        if artifact is None:
            log.warning("an artifact in use is not in the archive", artifact=sha256)
            return
        self._described[sha256] = described_artifact(artifact)
