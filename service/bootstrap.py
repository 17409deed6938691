"""The composition root: the one place where ports meet what stands behind them.

`prepare` runs in the supervisor and leaves everything a worker needs as files; `build` runs in each worker and asks no
database; `run_keeper` runs in the keeper process where several workers share one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import msgspec
import structlog
from pydantic import SecretStr

from engine.catalogue import CATALOGUE, algorithm_mapping_json, parameter_ranges_json
from engine.records import SelectionRecord
from engine.sessions import Sessions
from engine.snapshot import Limits, Snapshot
from service.embedded_watch import EmbeddedWatch
from service.engine_build import this_build
from service.keeper_process import KeeperConfig
from service.mapping.inputs import InputsEncoder
from service.models import load_models
from service.reference import sources_of
from service.reference_keeper import ARCHIVE_FOLDER, Active
from service.replay_library import Library
from service.settings import Settings
from service.supervisor import PreparedHost, PrepareError
from service.telemetry import Reading, Telemetry
from service.version import VERSION
from service.worker import WorkerConfig
from service.world import Reference, World, build_snapshot
from store.archive import Archive
from store.artifacts import load_artifact
from store.calendars import calendar_zones, load_sessions, session_span, write_sessions
from store.catalogue import CatalogueRow, load_catalogue, sync_catalogue
from store.embedded import EmbeddedPostgres
from store.errors import StoreError
from store.instruments import load_reference, seed
from store.keeper import open_keeper
from store.keeper_ipc import RemoteKeeper, serve_keeper
from store.migrate import migrate
from store.pool import PoolSettings, make_pool
from store.record_reader import PostgresRecords
from store.submission import KeeperPort
from store.writer import WriterSettings

if TYPE_CHECKING:
    from service.replay import Replayer

SHIPPED_SURFACES: Final = Path(__file__).resolve().parent.parent / "store" / "shipped" / "surfaces"
SHIPPED_MODELS: Final = SHIPPED_SURFACES.parent / "models"
REFERENCE_FILE: Final = "reference.msgpack"
SESSIONS_FOLDER: Final = "sessions"
REPLAY_CONNECTIONS: Final = 2

log = structlog.get_logger(__name__)


def prepare(settings: Settings) -> PreparedHost:
    """A database that answers, migrated and seeded, and files with all that workers load at start."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    url = settings.database_url.get_secret_value()
    server: EmbeddedPostgres | None = None
    try:
        if not url:
            server = EmbeddedPostgres(settings.data_dir)
            url = server.start()
        applied = migrate(url)
        seeded = seed(url)
        sync_catalogue(url, catalogue_rows())
        write_reference(settings, url)
    except StoreError as error:
        if server is not None:
            server.stop()
        raise PrepareError(str(error)) from error
    embedded = server is not None
    log.info("host prepared", migrations=len(applied), instruments_seeded=seeded.instruments, embedded=embedded)
    close = EmbeddedWatch(server).close if server is not None else lambda: None
    return PreparedHost(database_url=SecretStr(url), close=close)


def catalogue_rows() -> list[CatalogueRow]:
    """The built-in catalogue as rows of execution_strategies."""
    return [
        CatalogueRow(spec.strategy_name, spec.strategy_type, algorithm_mapping_json(spec), parameter_ranges_json(spec))
        for spec in CATALOGUE
    ]


def write_reference(settings: Settings, url: str) -> None:
    """Reference data, catalogue and sessions as files: a worker that starts while PostgreSQL is away can still load."""
    data = load_reference(url)
    calendars = sorted({instrument.calendar for instrument in data.instruments.values()})
    folder = settings.data_dir / SESSIONS_FOLDER
    write_sessions(folder, calendars, *session_span(datetime.now(tz=UTC).date()))
    zones = calendar_zones(calendars)
    opens = {name: open_local_minute(load_sessions_of(settings, name), zones[name]) for name in calendars}
    reference = Reference(data.instruments, data.market, data.venues, load_catalogue(url), opens)
    (settings.data_dir / REFERENCE_FILE).write_bytes(msgspec.msgpack.encode(reference))


def load_sessions_of(settings: Settings, calendar: str) -> Sessions:
    return Sessions(*load_sessions(settings.data_dir / SESSIONS_FOLDER, calendar))


def open_local_minute(sessions: Sessions, zone: str) -> float:
    """Minute of the exchange's own day at which its sessions open."""
    opens = datetime.fromtimestamp(int(sessions.open_ns[-1]) / 1e9, tz=ZoneInfo(zone))
    return float(opens.hour * 60 + opens.minute)


def load_snapshot(settings: Settings) -> Snapshot:
    """From the files that `prepare` wrote. Raises StoreError with what is missing or corrupt."""
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
        loaded = load_models(settings.models_dir or SHIPPED_MODELS, surfaces.sha256)
        models = loaded.models
        log.info("models loaded", models=models.sha256, parity_scores=loaded.parity.scores)
    return build_snapshot(
        reference, {name: load_sessions_of(settings, name) for name in calendars}, surfaces, limits, VERSION,
        settings.venue_naming == "name", models,
    )


@dataclass(frozen=True, slots=True)
class OpenedKeeper:
    """A keeper and how to let go of it."""

    keeper: KeeperPort
    close: Callable[[], Awaitable[None]]


async def open_worker_keeper(config: WorkerConfig, snapshot: Snapshot, telemetry: Telemetry) -> OpenedKeeper:
    """The host's keeper: behind its socket where there are several workers, in this process where there is one."""
    if config.keeper_socket is not None:
        remote = RemoteKeeper(config.keeper_socket)
        await remote.start()
        return OpenedKeeper(remote, remote.close)
    stack = AsyncExitStack()
    market = {name: view.market for name, view in snapshot.views.items()}
    settings = config.settings
    keeper = await stack.enter_async_context(
        open_keeper(
            pool_settings(settings, config.database_url), market, host_id=settings.host_id,
            writer_settings=writer_settings(settings), stop_deadline_s=settings.drain_timeout_s,
            on_left_over=refuse_to_end_well,
        )
    )
    telemetry.add_reading(
        Reading(
            "ess.writer.pending", "gauge", "{decision}", "Decisions waiting to be written.",
            lambda: float(keeper.metrics.writer.pending),
        )
    )
    return OpenedKeeper(keeper, stack.aclose)


class LeftOverError(StoreError):
    """Decisions that were answered did not reach PostgreSQL before the stop."""


def refuse_to_end_well(records: tuple[SelectionRecord, ...]) -> None:
    """A stop that loses decisions is no orderly one: the process ends with an error, and so does the service."""
    names = ", ".join(record.selection_id for record in records[:10])
    raise LeftOverError(f"{len(records)} decisions did not reach PostgreSQL before the stop: {names}")


def pool_settings(settings: Settings, url: SecretStr) -> PoolSettings:
    return PoolSettings(
        url.get_secret_value(), max_size=settings.database_pool_size, acquire_timeout_s=settings.database_timeout_s
    )


def writer_settings(settings: Settings) -> WriterSettings:
    return WriterSettings(
        batch_size=settings.writer_batch_rows, batch_wait_s=settings.writer_batch_ms / 1e3,
        max_pending=settings.writer_max_pending,
    )


async def build(config: WorkerConfig, telemetry: Telemetry) -> object:
    """A worker's server: loaded, warm, not listening yet."""
    # gRPC must not exist before a process is spawned, so its importers are imported here.
    from service.handlers import StrategyHandlers
    from service.server import GrpcServer
    from service.warmup import warm

    settings = config.settings
    snapshot = load_snapshot(settings)
    warm(snapshot)
    opened = await open_worker_keeper(config, snapshot, telemetry)
    inputs = InputsEncoder(this_build().build_id, snapshot)
    world = World(snapshot, on_swap=inputs.prepare)
    opened.keeper.subscribe(world.market_changed)
    replays = await open_replayer(config, snapshot)
    handlers = StrategyHandlers(
        world, opened.keeper, acknowledgement=settings.acknowledgement,
        max_concurrent_recommends=settings.max_concurrent_recommends, inputs=inputs, replayer=replays.replayer,
    )
    host = config.grpc_target if config.grpc_target.startswith("unix:") else config.grpc_target.rpartition(":")[0]

    async def close() -> None:
        await replays.close()
        await opened.close()

    return GrpcServer(handlers, settings, telemetry, host, close)


@dataclass(frozen=True, slots=True)
class OpenedReplayer:
    """A replayer and how to let go of it."""

    replayer: Replayer
    close: Callable[[], Awaitable[None]]


async def open_replayer(config: WorkerConfig, snapshot: Snapshot) -> OpenedReplayer:
    """Over connections of its own: replays are few, and must not wait behind, or before, what is written."""
    from service.replay import Replayer

    settings = config.settings
    pool = make_pool(replace(pool_settings(settings, config.database_url), min_size=0, max_size=REPLAY_CONNECTIONS))
    await pool.open(wait=False)
    records = PostgresRecords(pool)
    library = Library(Archive(settings.data_dir / ARCHIVE_FOLDER), records, snapshot)
    replayer = Replayer(records, library, this_build())

    async def close() -> None:
        replayer.close()
        await pool.close(timeout=2.0)

    return OpenedReplayer(replayer, close)


def active_of(settings: Settings, snapshot: Snapshot) -> Active:
    """What a start with these settings decides from: for the keeper to archive and record."""
    folders = [settings.surfaces_dir or SHIPPED_SURFACES]
    if settings.models == "on":
        folders.append(settings.models_dir or SHIPPED_MODELS)
    return Active(sources_of(snapshot, this_build()), tuple(folders))


def run_keeper(config: KeeperConfig, ready: Callable[[], None], stop: threading.Event) -> None:
    """The keeper process's life: serves the socket until `stop`, then writes what waits."""
    asyncio.run(keep(config, ready, stop))


async def keep(config: KeeperConfig, ready: Callable[[], None], stop: threading.Event) -> None:
    snapshot = load_snapshot(config.settings)
    market = {name: view.market for name, view in snapshot.views.items()}
    settings = config.settings
    async with open_keeper(
        pool_settings(settings, config.database_url), market, host_id=settings.host_id,
        writer_settings=writer_settings(settings), stop_deadline_s=settings.drain_timeout_s,
        on_left_over=refuse_to_end_well,
    ) as keeper:
        server = await serve_keeper(keeper, config.socket_path)
        ready()
        await asyncio.to_thread(stop.wait)
        await server.close()
