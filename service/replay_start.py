"""A worker's part in replays: the inputs of its decisions, what they refer to in the archive, and the replayer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from engine.snapshot import Snapshot
from service.connections import REPLAYS
from service.engine_build import this_build
from service.keeper_host import pool_settings
from service.mapping.inputs import InputsEncoder
from service.reference import sources_of
from service.reference_keeper import ARCHIVE_FOLDER, Active, Recorder, ReferenceKeeper
from service.replay import Replayer
from service.replay_library import Library
from service.worker import WorkerConfig
from store.archive import Archive
from store.pool import make_pool
from store.record_reader import PostgresRecords

# One worker of a host records what all of them decide from.
RECORDING_WORKER: Final = 0


@dataclass(frozen=True, slots=True)
class OpenedReplays:
    """What a worker needs to record inputs and to answer Replay, and how to let go of it."""

    inputs: InputsEncoder
    replayer: Replayer
    close: Callable[[], Awaitable[None]]


async def open_replays(config: WorkerConfig, snapshot: Snapshot, recorder: Recorder,
                       artifacts: tuple[Path, ...]) -> OpenedReplays:
    """Archives and records before the first decision. PostgreSQL need not be up."""
    settings, build = config.settings, this_build()
    archive = Archive(settings.data_dir / ARCHIVE_FOLDER)
    active = Active(sources_of(snapshot, build), artifacts)
    recording = config.worker_index == RECORDING_WORKER
    references = ReferenceKeeper(archive, recorder if recording else None, active)
    await references.start()
    database = pool_settings(settings, config.database_url)
    # Of its own: replays must not wait behind, or before, what is written. Whoever asks hears soon that it is away.
    pool = make_pool(
        replace(database, min_size=0, max_size=REPLAYS, acquire_timeout_s=2.0, writes=False,
                application_name="ess-replay")
    )  # fmt: skip
    await pool.open(wait=False)
    records = PostgresRecords(pool)
    replayer = Replayer(records, Library(archive, records, snapshot), build)

    async def close() -> None:
        replayer.close()
        await references.stop()
        await pool.close(timeout=2.0)

    return OpenedReplays(InputsEncoder(build.build_id, snapshot), replayer, close)
