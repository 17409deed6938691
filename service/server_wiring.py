"""A worker's composition root: the one place where ports meet what stands behind them, step by step.

Imports gRPC, so that `service.bootstrap.build` imports it late.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from engine.snapshot import Snapshot
from service.administration import Administration
from service.baskets import Baskets
from service.bootstrap import artifact_folders, begin_check, load_snapshot, open_worker_keeper, surfaces_alone
from service.deciding import Deciding, has_room_for_thread
from service.door import Door, open_door
from service.event_stream import EventStreams, open_event_streams
from service.following_wiring import open_following
from service.guard import Guard
from service.handlers import StrategyHandlers
from service.keeper_host import pool_settings
from service.order_wiring import order_calls
from service.overview import Overview
from service.overview_wiring import ArtifactsInUse, running_of
from service.performance import PerformanceReports, open_performance
from service.policy_record import PolicyRecord
from service.reference_keeper import ARCHIVE_FOLDER
from service.replay_start import RECORDING_WORKER, OpenedReplays, open_replays
from service.server import GrpcServer
from service.settings import Settings
from service.telemetry import Telemetry
from service.warmup import warm
from service.worker import WorkerConfig
from service.world import World
from store.archive import Archive
from store.submission import KeeperPort


@dataclass(frozen=True, slots=True)
class Core:
    """What all calls stand on: the host's records, what is decided from, what was halted, inputs that are kept."""

    keeper: KeeperPort
    world: World
    guard: Guard
    replays: OpenedReplays


async def open_server(config: WorkerConfig, telemetry: Telemetry) -> GrpcServer:
    """Loaded, warm, not listening yet. What was opened is closed where something fails: the tasks of a pool that is
    open do not end by being cancelled, and the process would never come to tell its reason."""
    settings = config.settings
    door = open_door(settings)  # opens nothing, and a file that cannot be used is told before seconds are spent
    async with AsyncExitStack() as undo:
        keeper, snapshot = await _load(config, telemetry, undo)
        core = await _open_core(config, keeper, snapshot, undo)
        _record_policy(config, keeper, door, undo)
        world, guard, inputs = core.world, core.guard, core.replays.inputs
        following = await open_following(config, world, keeper, artifact_folders(settings), telemetry)
        undo.push_async_callback(following.close)
        handlers = _handlers_of(settings, core, undo)
        events, reports = await _open_readers(config, telemetry, undo)
        orders = order_calls(world, keeper, handlers, inputs, settings, telemetry, guard)
        baskets = Baskets(handlers, settings.max_baskets, world.currency_of)
        undo.callback(baskets.close)
        administration = Administration(
            keeper, guard, world, halt_wait_s=settings.halt_wait_s, activator=following.activator
        )
        overview = Overview(world, keeper, telemetry, running_of(config, inputs.build_id), ArtifactsInUse(config))
        closing = undo.pop_all()

    server = GrpcServer(
        handlers, settings, telemetry, _host_of(config.grpc_target), closing.aclose, events, orders, reports,
        baskets=baskets, overview=overview, administration=administration, door=door,
    )  # fmt: skip
    keeper.watch_state(server.keeper_changed)
    return server


async def _load(
    config: WorkerConfig, telemetry: Telemetry, undo: AsyncExitStack
) -> tuple[KeeperPort, Snapshot]:
    """The host's keeper, and what this start decides from: warm, and its models held to ONNX Runtime."""
    check = begin_check(config.settings)
    if check is not None:
        undo.push_async_callback(check.close)
    # First: a journal that is damaged is told before seconds are spent on anything else.
    opened = await open_worker_keeper(config, telemetry)
    undo.push_async_callback(opened.close)
    snapshot = load_snapshot(config.settings, probes=False)
    warm(snapshot)
    if check is not None and snapshot.models is not None:
        await check.passed(snapshot.models)
    return opened.keeper, snapshot


async def _open_core(config: WorkerConfig, keeper: KeeperPort, snapshot: Snapshot, undo: AsyncExitStack) -> Core:
    settings = config.settings
    replays = await open_replays(config, snapshot, keeper, artifact_folders(settings))
    undo.push_async_callback(replays.close)
    world = World(snapshot, surfaces=surfaces_alone(settings, snapshot), on_swap=replays.inputs.prepare)
    guard = Guard(keeper)
    guard.on_change.append(lambda: world.limits_changed(guard.firm_limits))
    world.limits_changed(guard.firm_limits)
    keeper.subscribe(world.market_changed)
    return Core(keeper, world, guard, replays)


def _record_policy(config: WorkerConfig, keeper: KeeperPort, door: Door, undo: AsyncExitStack) -> None:
    """One worker of a host records which policy counts; not before what is decided from stands in the archive."""
    if config.worker_index == RECORDING_WORKER:
        record = PolicyRecord(Archive(config.settings.data_dir / ARCHIVE_FOLDER), keeper)
        undo.push_async_callback(record.close)
        door.tell(record.adopted)


def _handlers_of(settings: Settings, core: Core, undo: AsyncExitStack) -> StrategyHandlers:
    deciding = Deciding(has_room_for_thread(settings.engine_thread, settings.workers))
    undo.callback(deciding.close)
    deciding.begin_later(lambda: core.world.snapshot)
    return StrategyHandlers(
        core.world, core.keeper, acknowledgement=settings.acknowledgement,
        max_concurrent_recommends=settings.max_concurrent_recommends,
        max_waiting_recommends=settings.max_waiting_recommends, structural_below_ms=settings.structural_below_ms,
        inputs=core.replays.inputs, replayer=core.replays.replayer, guard=core.guard, deciding=deciding,
    )  # fmt: skip


async def _open_readers(
    config: WorkerConfig, telemetry: Telemetry, undo: AsyncExitStack
) -> tuple[EventStreams, PerformanceReports]:
    """What reads PostgreSQL for those who ask, by pools of its own; it need not be up."""
    database = pool_settings(config.settings, config.database_url)
    events = await open_event_streams(config.settings, database)
    undo.push_async_callback(events.close)
    reports = await open_performance(database)
    undo.push_async_callback(reports.close)
    for reading in events.readings():
        telemetry.add_reading(reading)
    return events, reports


def _host_of(grpc_target: str) -> str:
    """Without the port; a Unix socket's address has none."""
    return grpc_target if grpc_target.startswith("unix:") else grpc_target.rpartition(":")[0]
