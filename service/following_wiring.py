"""Puts together what a worker hears from PostgreSQL while it runs: corrections, artifacts in force, the catalogue. One
small pool and one LISTEN for all of it, so that none of it takes the decisions' connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from engine.learning.corrections import Exploration
from service.activating import Activator
from service.activation import Activations
from service.artifact_checker import ChildChecker
from service.artifact_folders import ArtifactFolders
from service.catalogue_follow import CatalogueFollower, HostFile
from service.connections import FOLLOWING
from service.data_dir import REFERENCE_FILE
from service.engine_build import this_build
from service.keeper_host import pool_settings
from service.learning import Learner, LearnSettings
from service.reference_keeper import ARCHIVE_FOLDER, Recorder
from service.shadow_follow import ShadowScorer
from service.telemetry import Reading, Telemetry
from service.worker import WorkerConfig
from service.world import World
from store.archive import Archive
from store.artifact_store import REPORTS_CHANNEL, ArtifactStore, WorkerReport
from store.errors import StoreError
from store.journal.files import OsFiles
from store.journal.head import journal_id_in
from store.learning_rows import CHANNEL
from store.learning_store import LearningStore
from store.outbox_bell import OutboxBell
from store.pool import Pool, PoolSettings, make_pool

# One worker of a host computes and records.
COMPUTING_WORKER: Final = 0
# A start waits so long for what was put in force while this host was down; a check takes some seconds.
FIRST_LOOK_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class OpenedFollowing:
    activator: Activator
    close: Callable[[], Awaitable[None]]


async def open_following(config: WorkerConfig, world: World, recorder: Recorder, artifacts: tuple[Path, ...],
                         telemetry: Telemetry) -> OpenedFollowing:
    """`artifacts`: the folders that this start decides from. PostgreSQL need not be up."""
    settings, computes = config.settings, config.worker_index == COMPUTING_WORKER
    archive = Archive(settings.data_dir / ARCHIVE_FOLDER)
    folders = ArtifactFolders(archive, artifacts, settings.artifacts_dir)
    own = replace(
        pool_settings(settings, config.database_url), min_size=0, max_size=FOLLOWING,
        application_name="ess-following",
    )  # fmt: skip
    # What was opened is closed where something fails or the start is called off: an open pool's tasks do not end by
    # being cancelled, and the process would not end either.
    async with AsyncExitStack() as stack:
        pool, bell = await _connected(own, stack)
        # The keeper has opened it, in this process or another.
        journal_id = await asyncio.to_thread(journal_id_in, OsFiles(), str(settings.journal_folder))
        store = ArtifactStore(pool, journal_id)
        checker = ChildChecker(settings.data_dir / ARCHIVE_FOLDER, build_id=this_build().build_id)
        following = Activations(
            world, store, bell, checker, folders, archive,
            WorkerReport(settings.host_id, config.worker_index, ""), settings.data_dir,
            recorder=recorder if computes else None, on_swapped=bell.ring,
        )  # fmt: skip
        await _follow(following, store, config, stack)
        catalogue = CatalogueFollower(
            world, store, bell, archive, HostFile(settings.data_dir / REFERENCE_FILE),
            recorder=recorder if computes else None,
        )  # fmt: skip
        catalogue.start()
        stack.push_async_callback(catalogue.stop)
        if settings.learning == "on":
            exploration = Exploration(settings.exploration_budget_bps, settings.exploration_regret_cap_bps)
            learner = Learner(
                world, LearningStore(pool), bell, archive, recorder,
                LearnSettings(settings.host_id, settings.learning_interval_s, exploration, computes, settings.data_dir),
            )  # fmt: skip
            stack.push_async_callback(learner.stop)
            await learner.start()
            if computes:
                telemetry.add_reading(_alarms_of(learner))
        if computes:
            scorer = ShadowScorer(world, store, settings.learning_interval_s)
            scorer.start()
            stack.push_async_callback(scorer.stop)
        activator = Activator(store, lambda: OutboxBell(own, channel=REPORTS_CHANNEL), folders, world, recorder)
        return OpenedFollowing(activator, stack.pop_all().aclose)


async def _connected(own: PoolSettings, stack: AsyncExitStack) -> tuple[Pool, OutboxBell]:
    pool, bell = make_pool(own), OutboxBell(own, channel=CHANNEL)
    await pool.open(wait=False)
    stack.push_async_callback(pool.close, timeout=1.0)
    bell.start()
    stack.push_async_callback(bell.stop)
    return pool, bell


async def _follow(following: Activations, store: ArtifactStore, config: WorkerConfig, stack: AsyncExitStack) -> None:
    """Begins to follow what is in force; at the end the others need not wait for this worker any more."""
    settings = config.settings

    async def leave() -> None:
        await following.stop()
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(1.0):
                await store.leave(settings.host_id, config.worker_index)

    if config.worker_index == COMPUTING_WORKER:
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(1.0):
                await store.forget_above(settings.host_id, settings.workers)
    stack.push_async_callback(leave)
    await following.start(FIRST_LOOK_S)


def _alarms_of(learner: Learner) -> Reading:
    text = "Algorithms whose outcomes drifted from what was predicted."
    return Reading("ess.learning.alarms", "gauge", "{algorithm}", text, lambda: float(learner.alarms))
