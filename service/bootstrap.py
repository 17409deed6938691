"""A worker's composition root: the one place where ports meet what stands behind them.

`build` runs in each worker and asks no database: what the supervisor prepared (`service/prepare.py`) lies in files. The
keeper process is made in `service/keeper_host.py`, which imports far less.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from engine.snapshot import Limits, Snapshot
from engine.surfaces import Surfaces
from service.artifact_checker import ChildChecker
from service.data_dir import REFERENCE_FILE
from service.engine_build import this_build
from service.keeper_host import open_beside_keeper, open_host_keeper, pool_settings
from service.keeper_readings import keeper_readings
from service.models import load_models
from service.promoted import promoted_folder
from service.reference_file import Reference, load_sessions_of
from service.reference_keeper import ARCHIVE_FOLDER
from service.refused_checks import RefusedChecks
from service.settings import Settings
from service.start_check import StartCheck
from service.telemetry import Telemetry
from service.version import VERSION
from service.worker import WorkerConfig
from service.world import World, build_snapshot, surfaces_of
from store.artifacts import load_artifact
from store.ending import end
from store.errors import JournalError, StoreError
from store.journal.pen import PenLanes
from store.keeper import Keeper
from store.keeper_client import RemoteKeeper
from store.submission import KeeperPort

SHIPPED_SURFACES: Final = Path(__file__).resolve().parent.parent / "store" / "shipped" / "surfaces"
SHIPPED_MODELS: Final = SHIPPED_SURFACES.parent / "models"

log = structlog.get_logger(__name__)


def load_snapshot(settings: Settings, probes: bool = True) -> Snapshot:
    """From the files that `prepare` wrote. `probes` False: the models are held to ONNX Runtime elsewhere, before they
    decide. Raises StoreError with what is missing or corrupt."""
    path = settings.data_dir / REFERENCE_FILE
    try:
        reference = msgspec.msgpack.decode(path.read_bytes(), type=Reference)
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"the reference data cannot be read: {path} ({error})") from error
    calendars = {instrument.calendar for instrument in reference.instruments.values()}
    limits = Limits(
        settings.max_participation_rate, settings.price_collar_bps, settings.market_data_max_age_s / 60.0
    )
    surfaces = load_artifact(settings.surfaces_dir or SHIPPED_SURFACES)
    models = None
    if settings.models == "on":
        models = load_models(models_folder(settings), surfaces.sha256, probes).models
        log.info("models loaded", models=models.sha256)
    return build_snapshot(
        reference, {name: load_sessions_of(settings, name) for name in calendars}, surfaces, limits, VERSION,
        settings.venue_naming == "name", models,
    )


def surfaces_alone(settings: Settings, snapshot: Snapshot) -> Surfaces:
    """The surfaces without the models' refit, for answers in haste."""
    if snapshot.models is None:
        return snapshot.surfaces
    return surfaces_of(load_artifact(settings.surfaces_dir or SHIPPED_SURFACES), None)


def artifact_folders(settings: Settings) -> tuple[Path, ...]:
    """The artifacts that a start with these settings decides from."""
    surfaces = settings.surfaces_dir or SHIPPED_SURFACES
    return (surfaces, models_folder(settings)) if settings.models == "on" else (surfaces,)


def models_folder(settings: Settings) -> Path:
    """What a command promoted on this host; else what the settings name, else the shipped ones."""
    return promoted_folder(settings.data_dir) or settings.models_dir or SHIPPED_MODELS


def begin_check(settings: Settings) -> StartCheck | None:
    """The parity gate of the models that this start decides from; None where it has none. Raises StoreError."""
    if settings.models != "on":
        return None
    archive, build_id = settings.data_dir / ARCHIVE_FOLDER, this_build().build_id
    checker = ChildChecker(archive, build_id=build_id, is_awaited=True)
    refused = RefusedChecks(archive, build_id)
    return StartCheck(checker, refused, models_folder(settings), settings.surfaces_dir or SHIPPED_SURFACES)


@dataclass(frozen=True, slots=True)
class OpenedKeeper:
    """A keeper and how to let go of it."""

    keeper: KeeperPort
    close: Callable[[], Awaitable[None]]


async def open_worker_keeper(config: WorkerConfig, telemetry: Telemetry) -> OpenedKeeper:
    """The host's keeper: behind its socket where there are several workers, in this process where there is one."""
    if config.keeper_socket is not None:
        remote = RemoteKeeper(config.keeper_socket)
        await remote.start()
        return OpenedKeeper(remote, remote.close)
    async with AsyncExitStack() as undo:
        keeper = await undo.enter_async_context(
            open_host_keeper(
                config.settings, config.database_url, reopens=True, lanes=PenLanes, drains_apart=True
            )
        )
        readings = await undo.enter_async_context(open_beside_keeper(config.settings, config.database_url))
        stack = undo.pop_all()
    for reading in (*keeper_readings(keeper), *readings):
        telemetry.add_reading(reading)
    watch = asyncio.get_running_loop().create_task(end_when_broken(keeper), name="keeper-broken")

    async def close() -> None:
        await end(watch)
        await stack.aclose()

    return OpenedKeeper(keeper, close)


async def end_when_broken(keeper: Keeper) -> None:
    """A journal that is damaged is no use to anybody, and only a person can say what to do: the process ends, and the
    next one says what is wrong when it starts."""
    error: JournalError = await keeper.broken
    log.critical("the journal is damaged; this process stops", reason=str(error))
    os.kill(os.getpid(), signal.SIGTERM)


async def build(config: WorkerConfig, telemetry: Telemetry) -> object:
    """A worker's server: loaded, warm, not listening yet. What was opened is closed where something fails: the tasks
    of a pool that is open do not end by being cancelled, and the process would never come to tell its reason."""
    # gRPC must not exist before a process is spawned, so its importers are imported here.
    from service.administration import Administration
    from service.baskets import Baskets
    from service.deciding import Deciding, has_room_for_thread
    from service.door import open_door
    from service.event_stream import open_event_streams
    from service.following_wiring import open_following
    from service.guard import Guard
    from service.handlers import StrategyHandlers
    from service.order_wiring import order_calls
    from service.overview import Overview
    from service.overview_wiring import ArtifactsInUse, running_of
    from service.performance import open_performance
    from service.replay_start import open_replays
    from service.server import GrpcServer
    from service.warmup import warm

    settings = config.settings
    door = open_door(settings)  # opens nothing, and a file that cannot be used is told before seconds are spent
    async with AsyncExitStack() as undo:
        check = begin_check(settings)
        if check is not None:
            undo.push_async_callback(check.close)
        # First: a journal that is damaged is told before seconds are spent on anything else.
        opened = await open_worker_keeper(config, telemetry)
        undo.push_async_callback(opened.close)
        snapshot = load_snapshot(settings, probes=False)
        warm(snapshot)
        if check is not None and snapshot.models is not None:
            await check.passed(snapshot.models)
        replays = await open_replays(config, snapshot, opened.keeper, artifact_folders(settings))
        undo.push_async_callback(replays.close)
        world = World(snapshot, surfaces=surfaces_alone(settings, snapshot), on_swap=replays.inputs.prepare)
        guard = Guard(opened.keeper)
        guard.on_change.append(lambda: world.limits_changed(guard.firm_limits))
        world.limits_changed(guard.firm_limits)
        opened.keeper.subscribe(world.market_changed)
        following = await open_following(config, world, opened.keeper, artifact_folders(settings), telemetry)
        undo.push_async_callback(following.close)
        deciding = Deciding(has_room_for_thread(settings.engine_thread, settings.workers))
        undo.callback(deciding.close)
        deciding.begin_later(lambda: world.snapshot)
        handlers = StrategyHandlers(
            world, opened.keeper, acknowledgement=settings.acknowledgement,
            max_concurrent_recommends=settings.max_concurrent_recommends,
            max_waiting_recommends=settings.max_waiting_recommends, structural_below_ms=settings.structural_below_ms,
            inputs=replays.inputs, replayer=replays.replayer, guard=guard, deciding=deciding,
        )
        events = await open_event_streams(settings, pool_settings(settings, config.database_url))
        undo.push_async_callback(events.close)
        reports = await open_performance(pool_settings(settings, config.database_url))
        undo.push_async_callback(reports.close)
        for reading in events.readings():
            telemetry.add_reading(reading)
        host = config.grpc_target if config.grpc_target.startswith("unix:") else config.grpc_target.rpartition(":")[0]
        orders = order_calls(world, opened.keeper, handlers, replays.inputs, settings, telemetry, guard)
        baskets = Baskets(handlers, settings.max_baskets, world.currency_of)
        undo.callback(baskets.close)
        administration = Administration(
            opened.keeper, guard, world, halt_wait_s=settings.halt_wait_s, activator=following.activator
        )
        overview = Overview(
            world, opened.keeper, telemetry, running_of(config, replays.inputs.build_id), ArtifactsInUse(config)
        )
        closing = undo.pop_all()

    server = GrpcServer(
        handlers, settings, telemetry, host, closing.aclose, events, orders, reports, baskets=baskets,
        overview=overview, administration=administration, door=door,
    )  # fmt: skip
    opened.keeper.watch_state(server.keeper_changed)
    return server
