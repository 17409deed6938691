"""The keeper of a host: in a process of its own, or in the one worker.

Light on purpose: a keeper that died must be back in well under a second, so nothing here imports the engine's numbers,
models, surfaces or gRPC. All that it needs of the reference data is where each instrument's market stood.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import structlog
from pydantic import SecretStr

from engine.values import MarketState
from service.data_dir import REFERENCE_FILE
from service.keeper_process import KeeperConfig
from service.keeper_readings import keeper_readings
from service.performance_days import open_performance_keeper
from service.relay_wiring import open_relay
from service.settings import Settings
from service.settings_types import MEBIBYTE
from service.telemetry import Reading, start_telemetry
from store.decisions import KeeperSettings
from store.drainer import DrainerSettings
from store.errors import JournalCorrupt, StoreError
from store.journal.lanes import Lanes, ThreadLanes
from store.journal.settings import JournalSettings
from store.keeper import Keeper
from store.keeper_ipc import serve_keeper
from store.open_keeper import ControlPlace, JournalPlace, open_keeper
from store.pool import PoolSettings
from store.server_checks import SERVICE_ROLE

# Halts and limits as this host knew them last.
CONTROLS_FILE: Final = "controls.msgpack"
# Of an entry; a request and its answer are two messages of gRPC's bound.
MOST_PAYLOAD_BYTES: Final = 8 * MEBIBYTE
KEEPER_INDEX: Final = -1  # in telemetry, where workers count from 0

log = structlog.get_logger(__name__)


class LeftOverError(StoreError):
    """Records that were answered for did not reach the disk before the stop."""


class DamagedJournalError(StoreError):
    """Acknowledged records are damaged or gone. Nobody but a person may decide to go on without them."""


class _MarketOnly(msgspec.Struct):
    """What the keeper reads of the reference file."""

    market: dict[str, MarketState]


def read_market(settings: Settings) -> Mapping[str, MarketState]:
    """From the file that `prepare` wrote."""
    path: Path = settings.data_dir / REFERENCE_FILE
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=_MarketOnly).market
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"the reference data cannot be read: {path} ({error})") from error


@asynccontextmanager
async def open_host_keeper(
    settings: Settings, url: SecretStr, *, reopens: bool, lanes: Callable[[], Lanes] = ThreadLanes,
    drains_apart: bool = False,
) -> AsyncIterator[Keeper]:  # fmt: skip
    """The keeper with what the settings say; `lanes` do the journal's blocking work. Raises DamagedJournalError."""
    opening = open_keeper(
        pool_settings(settings, url),
        read_market(settings),
        replace(journal_place(settings), lanes=lanes),
        host_id=settings.host_id,
        settings=KeeperSettings(open_orders=settings.max_open_orders),
        drainer_settings=DrainerSettings(settings.drain_batch_rows, batch_wait_s=settings.drain_batch_ms / 1e3),
        reopens=reopens,
        stop_deadline_s=settings.drain_timeout_s,
        controls=ControlPlace(settings.data_dir / CONTROLS_FILE, settings.halt_lease_s),
        drains_apart=drains_apart,
        on_left_over=refuse_to_end_well,
    )
    async with AsyncExitStack() as stack:
        try:
            keeper = await stack.enter_async_context(opening)
        except JournalCorrupt as error:
            log.critical("the journal is damaged; nothing was changed", folder=str(settings.journal_folder))
            raise DamagedJournalError(
                f"the journal in {settings.journal_folder} is damaged: {error}. Nothing was changed; what to do stands "
                "in docs/journal.md"
            ) from error
        yield keeper


def pool_settings(settings: Settings, url: SecretStr) -> PoolSettings:
    return PoolSettings(
        url.get_secret_value(), max_size=settings.database_pool_size, acquire_timeout_s=settings.database_timeout_s,
        role=SERVICE_ROLE, writes=True,
    )  # fmt: skip


def journal_place(settings: Settings) -> JournalPlace:
    limit_bytes = settings.journal_max_bytes
    bounds = JournalSettings(
        limit_bytes=limit_bytes,
        segment_bytes=settings.journal_segment_bytes,
        most_payload_bytes=min(MOST_PAYLOAD_BYTES, limit_bytes // 2),
    )
    return JournalPlace(settings.journal_folder, bounds)


def refuse_to_end_well(ids: tuple[str, ...]) -> None:
    """A stop that loses records is no orderly one: the process ends with an error, and so does the service."""
    raise LeftOverError(f"{len(ids)} records did not reach the disk before the stop: {', '.join(ids[:10])}")


def run_keeper(config: KeeperConfig, ready: Callable[[], None], stop: threading.Event) -> None:
    """The keeper process's life: serves the socket until `stop`. Ends with an error when the journal fails: the next
    process opens it anew."""
    asyncio.run(keep(config, ready, stop))


async def keep(config: KeeperConfig, ready: Callable[[], None], stop: threading.Event) -> None:
    settings = config.settings
    async with (
        open_host_keeper(settings, config.database_url, reopens=False) as keeper,
        open_beside_keeper(settings, config.database_url) as readings,
    ):
        server = await serve_keeper(keeper, config.socket_path)
        ready()
        telemetry = start_telemetry(settings, instance_id=config.instance_id, worker_index=KEEPER_INDEX)
        for reading in (*keeper_readings(keeper), *readings):
            telemetry.add_reading(reading)
        stopped: asyncio.Future[object] = asyncio.ensure_future(asyncio.to_thread(stop.wait))
        either: set[asyncio.Future[object]] = {stopped, asyncio.ensure_future(_broken(keeper))}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await server.close()
        telemetry.close()
        if keeper.broken.done():
            raise keeper.broken.result()


async def _broken(keeper: Keeper) -> object:
    return await asyncio.shield(keeper.broken)


@asynccontextmanager
async def open_beside_keeper(settings: Settings, url: SecretStr) -> AsyncIterator[tuple[Reading, ...]]:
    """What every host does beside its journal: it relays events, and keeps the days of strategy_performance. Gives
    what is to be seen of both."""
    pool = pool_settings(settings, url)
    async with open_relay(settings, pool) as relay, open_performance_keeper(settings, pool) as performance:
        yield (*(relay.readings() if relay is not None else ()), *performance.readings())
