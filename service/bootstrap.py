"""What a worker's composition root begins with: artifacts and snapshot out of files, the models' check, the keeper.

`build` runs in each worker and asks no database: what the supervisor prepared (`service/prepare.py`) lies in files. Its
steps are in `service/server_wiring.py`. The keeper process is made in `service/keeper_host.py`, which imports far less.
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
from service.keeper_host import open_beside_keeper, open_host_keeper
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
from service.world import build_snapshot, surfaces_of
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
    """A worker's server: loaded, warm, not listening yet."""
    # gRPC must not exist before a process is spawned, so its importers are imported here.
    from service.server_wiring import open_server

    return await open_server(config, telemetry)
