"""Orders that a host decided stay known: after power cuts, failed writes and a full disk, and among many parts."""

from __future__ import annotations

import asyncio
import errno
import random

import pytest

from store.journal.lanes import LoopLanes
from store.taken import TakenOrders, TakenSettings
from tests.helpers.disks import LossyFiles, PowerCut

FOLDER = "journal"
SMALL = TakenSettings(part_orders=40, kept_parts=1_000, most_parts=6, write_every_s=0.0)
SEEDS = range(150)


async def no_wait(_: float) -> None:
    await asyncio.sleep(0)


async def opened(disk: LossyFiles, settings: TakenSettings = SMALL) -> TakenOrders:
    return await TakenOrders.open(disk, FOLDER, LoopLanes(), settings, uniform=lambda: 0.5, sleep=no_wait)


class Host:
    """Drains orders through several lives and remembers up to where it was told that they are safe."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.disk = LossyFiles()
        self.disk.make_folder(FOLDER)
        self.orders: list[str] = []
        self.safe = 0

    async def life(self) -> None:
        taken = await opened(self.disk)
        self.check(taken)
        del self.orders[self.safe :]  # what was not safe is in the journal's segments still, and drained again
        taken.start(self._told)
        if self.chance.random() < 0.7:
            self.disk.cut_power_after(self.chance.randrange(1, 40))
        if self.chance.random() < 0.5:
            fault = self.chance.choice(("sync", "pwrite", "create", "sync_folder"))
            self.disk.fail(fault, self.chance.choice((errno.EIO, errno.ENOSPC)), self.chance.randrange(1, 4))
        for _ in range(self.chance.randrange(1, 12)):
            more = [f"order-{len(self.orders) + i}" for i in range(self.chance.randrange(0, 30))]
            self.orders += more
            taken.drained(len(self.orders), more)
            for _ in range(self.chance.randrange(8)):
                await asyncio.sleep(0)
        if self.disk.is_off or self.chance.random() < 0.3:
            self.disk.cut_power()
            await taken.stop(0.01)
        else:
            self.disk.heal()
            await taken.stop(1.0)
        self.disk.heal()
        self.disk.crash(self.chance)

    def _told(self, sequence: int) -> None:
        assert sequence >= self.safe
        self.safe = sequence

    def check(self, taken: TakenOrders) -> None:
        unknown = [order_id for order_id in self.orders[: self.safe] if not taken.knows(order_id)]
        assert not unknown, unknown[:5]


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_was_called_safe_is_known_in_every_later_life(seed: int) -> None:
    host = Host(seed)
    for _ in range(8):
        try:
            await host.life()
        except PowerCut:  # in the middle of opening
            host.disk.crash(host.chance)
    host.check(await opened(host.disk))


async def test_the_trial_meets_what_it_is_about() -> None:
    """Or the property above would say nothing: over the seeds orders are safe, and parts are merged."""
    safe = merged = 0
    for seed in range(20):
        host = Host(seed)
        for _ in range(8):
            with_parts = sum(path.endswith(".ids") for path in host.disk.paths())
            try:
                await host.life()
            except PowerCut:
                host.disk.crash(host.chance)
            merged += sum(path.endswith(".ids") for path in host.disk.paths()) < with_parts
        safe += host.safe
    assert safe > 500
    assert merged > 5


async def test_strangers_are_not_known_and_the_oldest_go() -> None:
    disk = LossyFiles()
    disk.make_folder(FOLDER)
    settings = TakenSettings(part_orders=100, kept_parts=3, most_parts=100, write_every_s=0.0)
    taken = await opened(disk, settings)
    told = asyncio.Event()
    taken.start(lambda _: told.set())
    for batch in range(100):
        told.clear()
        taken.drained((batch + 1) * 10, [f"o-{batch}-{i}" for i in range(10)])
        await told.wait()
    await taken.stop(1.0)
    again = await opened(disk, settings)
    assert 200 <= len(again) <= 400
    assert all(again.knows(f"o-99-{i}") for i in range(10))
    assert all(again.knows(f"o-80-{i}") for i in range(10)), "the newest 200 stay"
    assert not again.knows("o-0-0")
    assert not any(again.knows(f"stranger-{i}") for i in range(10_000))


async def test_a_damaged_byte_costs_its_part_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    disk = LossyFiles()
    disk.make_folder(FOLDER)
    taken = await opened(disk)
    taken.start(lambda _: None)
    taken.drained(3, ["a", "b", "c"])
    await taken.stop(1.0)
    (path,) = [path for path in disk.paths() if path.endswith(".ids")]
    disk.flip_bit(path, 20, 3)
    again = await opened(disk)
    assert not again.knows("a")
    assert "does not verify" in caplog.text
