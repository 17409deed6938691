"""Puts a worker's learner together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from engine.learning.corrections import Exploration
from service.keeper_host import pool_settings
from service.learning import Learner, LearnSettings
from service.promotion import Promotions
from service.reference_keeper import ARCHIVE_FOLDER, Recorder
from service.worker import WorkerConfig
from service.world import World
from store.archive import Archive
from store.learning_rows import CHANNEL
from store.learning_store import LearningStore
from store.outbox_bell import OutboxBell
from store.pool import make_pool

# One worker of a host computes and records.
COMPUTING_WORKER: Final = 0


@dataclass(frozen=True, slots=True)
class OpenedLearning:
    close: Callable[[], Awaitable[None]]


async def nothing() -> None:
    return None


async def open_learning(config: WorkerConfig, world: World, recorder: Recorder) -> OpenedLearning:
    """Over a connection or two of its own, so that learning takes none of the decisions'."""
    settings = config.settings
    if settings.learning == "off":
        return OpenedLearning(nothing)
    own = replace(
        pool_settings(settings, config.database_url), min_size=0, max_size=2, application_name="ess-learning"
    )
    pool, bell = make_pool(own), OutboxBell(own, channel=CHANNEL)
    await pool.open(wait=False)
    archive = Archive(settings.data_dir / ARCHIVE_FOLDER)
    computes = config.worker_index == COMPUTING_WORKER
    exploration = Exploration(settings.exploration_budget_bps, settings.exploration_regret_cap_bps)
    promotions = Promotions(world, archive, recorder if computes else None, settings.data_dir)
    learner = Learner(
        world, LearningStore(pool), bell, archive, recorder,
        LearnSettings(settings.host_id, settings.learning_interval_s, exploration, computes, settings.data_dir),
        on_promoted=promotions.take if settings.models == "on" else None,
    )
    await learner.start()
    bell.start()

    async def close() -> None:
        await learner.stop()
        await bell.stop()
        await pool.close(timeout=1.0)

    return OpenedLearning(close)
