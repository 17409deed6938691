"""What a worker can say of itself for as long as it lives."""

from __future__ import annotations

import time

from service.bootstrap import artifact_folders
from service.mapping.description import Running, described_artifact
from service.worker import WorkerConfig
from store.artifacts import load_artifact


def running_of(config: WorkerConfig, build_sha256: str) -> Running:
    """Reads the artifacts once more, for their cards: the snapshot keeps only what decides. Raises StoreError."""
    settings = config.settings
    artifacts = tuple(described_artifact(load_artifact(folder)) for folder in artifact_folders(settings))
    return Running(
        settings.host_id, settings.environment, build_sha256, time.time_ns(), settings.workers, config.worker_index,
        settings.acknowledgement, artifacts,
    )  # fmt: skip
