"""A keeper with everything that it needs: its journal, its way into PostgreSQL, its market states."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from engine.values import MarketState
from store.control_desk import ControlDesk
from store.control_hosts import CHANNEL
from store.controls_board import ControlBoard, ControlFile
from store.controls_sync import ControlSync, SyncSettings
from store.decisions import KeeperSettings
from store.drainer import Drainer, DrainerSettings
from store.errors import JournalFailed
from store.journal.files import Files, OsFiles
from store.journal.journal import Journal, open_journal
from store.journal.lanes import Lanes, ThreadLanes
from store.journal.port import JournalPort
from store.journal.recovery import Recovery
from store.journal.settings import JournalSettings
from store.keeper import Keeper
from store.market_board import MarketBoard
from store.market_persister import MarketPersister
from store.order_reader import PostgresOrders
from store.outbox_bell import OutboxBell
from store.pool import Pool, PoolSettings, make_pool
from store.postgres_sink import PostgresSink
from store.remote_sink import RemoteSink
from store.selection_reader import PostgresSource
from store.taken import TakenOrders

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JournalPlace:
    """Where a journal lies, how it is bounded, and who does its blocking work."""

    folder: Path
    settings: JournalSettings = field(default_factory=JournalSettings)
    files: Files = field(default_factory=OsFiles)
    lanes: Callable[[], Lanes] = ThreadLanes

    async def open(self) -> Journal:
        """Raises JournalCorrupt, or JournalFailed where the disk does not do what it should."""
        try:
            journal, recovery = await open_journal(
                self.files, str(self.folder), self.settings, lanes=self.lanes()
            )
        except OSError as error:
            raise JournalFailed(f"the journal in {self.folder} cannot be opened: {error}") from error
        _log_recovery(recovery)
        return journal

    async def taken(self) -> TakenOrders:
        """The orders of earlier lives; the journal is open. Raises JournalFailed where they cannot be read."""
        try:
            return await TakenOrders.open(self.files, str(self.folder), ThreadLanes("taken-orders"))
        except OSError as error:
            raise JournalFailed(f"the taken orders in {self.folder} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class ControlPlace:
    """Where this host keeps the halts and limits that it knows, and how long it may go on without asking PostgreSQL
    (0: for ever). `clock_ns`: this host's, which is held against PostgreSQL's."""

    file: Path
    lease_s: float = 300.0
    clock_ns: Callable[[], int] = time.time_ns


@asynccontextmanager
async def _control_desk(
    place: ControlPlace | None, pool: Pool, pool_settings: PoolSettings, host_id: str, journal_id: str
) -> AsyncIterator[ControlDesk]:
    if place is None:
        yield ControlDesk(ControlBoard(), None, host_id)
        return
    board = ControlBoard(ControlFile(place.file), place.lease_s)
    bell = OutboxBell(pool_settings, channel=CHANNEL)
    bell.start()
    try:
        settings = SyncSettings(host_id, journal_id, place.lease_s)
        yield ControlDesk(board, ControlSync(pool, bell, board, settings, clock_ns=place.clock_ns), host_id)
    finally:
        await bell.stop()


def _log_recovery(recovery: Recovery) -> None:
    head, waiting = recovery.head, recovery.head.sequence - recovery.drained_sequence
    _log.info("journal %s opened: %d entries, %d of them not drained", head.journal_id, head.sequence, waiting)
    if recovery.entries_above_head:
        _log.warning("%d whole entries stood above the acknowledged head, and count", recovery.entries_above_head)
    if recovery.cut is not None:
        _log.warning("the torn end of a write that nobody was told of was cut: %s", recovery.cut)
    for fault in recovery.head_faults:
        _log.warning("the head file: %s", fault)


def _log_left_over(ids: tuple[str, ...]) -> None:
    _log.error("%d records did not reach the disk before the stop", len(ids))


@asynccontextmanager
async def open_keeper(
    pool_settings: PoolSettings,
    market: Mapping[str, MarketState],
    place: JournalPlace,
    *,
    host_id: str,
    drainer_settings: DrainerSettings | None = None,
    settings: KeeperSettings | None = None,
    reopens: bool = True,
    stop_deadline_s: float = 10.0,
    controls: ControlPlace | None = None,
    drains_apart: bool = False,
    on_left_over: Callable[[tuple[str, ...]], None] = _log_left_over,
) -> AsyncIterator[Keeper]:
    """A keeper over a journal and a pool of its own: opened, started, and at the end drained and closed.

    PostgreSQL need not be up, at the start or at the end. With `reopens` a journal that failed is opened anew here.
    With `drains_apart` a process of its own writes to PostgreSQL: for a keeper in the process of the decisions.
    Ids of records that did not get to the disk go to `on_left_over`. Raises JournalError where the journal does not
    open.
    """
    journal = await place.open()
    taken = await place.taken()
    pool = make_pool(pool_settings)
    apart = RemoteSink(pool_settings, host_id) if drains_apart else None

    def make_drainer(opened: JournalPort) -> Drainer:
        return Drainer(opened, apart or PostgresSink(pool, host_id), drainer_settings)

    await pool.open(wait=False)
    try:
        async with _control_desk(controls, pool, pool_settings, host_id, journal.journal_id) as desk:
            keeper = Keeper(
                journal,
                make_drainer,
                PostgresSource(pool),
                MarketBoard(market, MarketPersister(pool)),
                PostgresOrders(pool),
                settings=settings,
                reopen=place.open if reopens else None,
                taken=taken,
                controls=desk,
            )
            try:
                await keeper.start()
                yield keeper
            finally:
                left = await keeper.stop(stop_deadline_s)
                if left:
                    on_left_over(left)
    finally:
        if apart is not None:
            await apart.close()
        await pool.close(timeout=2.0)
