"""One life of a simulated host: the shipped journal, drainer and keeper over a disk and a database that are not."""

from __future__ import annotations

import random
from dataclasses import dataclass

from store.decisions import KeeperSettings
from store.drainer import Drainer, DrainerSettings
from store.journal.journal import Journal, open_journal
from store.journal.port import JournalPort
from store.journal.recovery import Recovery
from store.journal.settings import JournalSettings
from store.keeper import Keeper
from store.market_board import MarketBoard
from store.taken import TakenOrders, TakenSettings
from tests.fault.simulator.database import FakeConnection, FakeDatabase, Weather
from tests.fault.simulator.disk import WorldDisk
from tests.fault.simulator.lanes import Pace, SlowLanes
from tests.fault.simulator.loop import VirtualClock
from tests.helpers.memory_orders import MemoryOrders

FOLDER = "journal"
# Small, so that segments turn over, the bound is reached, and claims are let go of, within seconds.
JOURNAL = JournalSettings(
    limit_bytes=512 << 10, segment_bytes=64 << 10, urgent_segment_bytes=16 << 10, most_payload_bytes=32 << 10,
    group_bytes=16 << 10, space_retry_s=0.05,
)  # fmt: skip
DRAINER = DrainerSettings(batch_size=40, batch_bytes=64 << 10, batch_wait_s=0.01)
TAKEN = TakenSettings(part_orders=300, kept_parts=100, write_every_s=0.01)
KEEPER = KeeperSettings(claims=150, responses=40, older_page=70, ask_again_after_s=0.05)


@dataclass(slots=True)
class Surroundings:
    """What outlives a life."""

    clock: VirtualClock
    disk: WorldDisk
    database: FakeDatabase
    weather: Weather
    pace: Pace
    chance: random.Random


class SimulatedHost:
    """Made and used on one loop."""

    def __init__(
        self, around: Surroundings, journal: Journal, recovery: Recovery, taken: TakenOrders, lanes: list[SlowLanes]
    ) -> None:
        self._around = around
        self._lanes = lanes
        self.recovery = recovery
        self.connection = FakeConnection(
            around.database, around.weather, around.chance, journal.journal_id, lambda: around.disk.is_off
        )
        self.keeper = Keeper(
            journal, self._drainer, self.connection, MarketBoard({}), MemoryOrders(), settings=KEEPER,
            reopen=self._reopen, taken=taken, clock_s=around.clock.time_s, uniform=around.chance.random,
        )  # fmt: skip

    @classmethod
    async def open(cls, around: Surroundings) -> SimulatedHost:
        """Recovers what the disk has, and starts. Raises JournalError or OSError, as a real start would."""
        lanes = [SlowLanes(around.chance, around.pace), SlowLanes(around.chance, around.pace)]
        journal, recovery = await _open(around, lanes[0])
        taken = await TakenOrders.open(around.disk, FOLDER, lanes[1], TAKEN, uniform=around.chance.random)
        host = cls(around, journal, recovery, taken, lanes)
        await host.keeper.start()
        return host

    def cut_power(self) -> None:
        """From here on nothing of this life reaches the disk or the database."""
        for lanes in self._lanes:
            lanes.cut()
        self.connection.is_cut = True

    def _drainer(self, journal: JournalPort) -> Drainer:
        return Drainer(
            journal, self.connection, DRAINER, clock_s=self._around.clock.time_s, uniform=self._around.chance.random
        )

    async def _reopen(self) -> JournalPort:
        lanes = SlowLanes(self._around.chance, self._around.pace)
        self._lanes.append(lanes)
        journal, _ = await _open(self._around, lanes)
        return journal


async def _open(around: Surroundings, lanes: SlowLanes) -> tuple[Journal, Recovery]:
    return await open_journal(
        around.disk, FOLDER, JOURNAL, new_id=lambda: f"journal-{around.chance.getrandbits(32):08x}", lanes=lanes
    )
