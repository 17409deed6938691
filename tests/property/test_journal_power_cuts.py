"""Whatever is appended and whenever the power goes: what was acknowledged is there, in order, with its chain.

The shipped journal runs over a disk that loses what was not synced, sector by sector and name by name. A life of the
journal ends in a power cut after a drawn number of disk operations; that may be while it is being opened.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.records import RecordKind
from store.errors import JournalFailed, JournalFull
from store.journal.codec import BLOCK_BYTES, first_hash, next_hash
from store.journal.journal import Journal, open_journal
from store.journal.lanes import LoopLanes
from store.journal.port import Entry
from store.journal.recovery import Recovery, verify
from store.journal.settings import JournalSettings
from tests.helpers.disks import LossyFiles

FOLDER = "/journal"
ID = "journal-1"
KINDS = tuple(RecordKind)
SETTINGS = JournalSettings(
    limit_bytes=40 * BLOCK_BYTES,
    segment_bytes=6 * BLOCK_BYTES,
    urgent_segment_bytes=3 * BLOCK_BYTES,
    most_payload_bytes=3 * BLOCK_BYTES,
    group_bytes=2 * BLOCK_BYTES,
    retain_segments=1,
)


@dataclass
class World:
    """A disk through its lives, and what its users were told."""

    seed: int
    disk: LossyFiles = field(default_factory=LossyFiles)
    told: dict[int, tuple[RecordKind, bytes]] = field(default_factory=dict)
    drained: int = 0
    cuts: int = 0
    kept_above_head: int = 0
    tails_cut: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def life(self, steps: Sequence[int], operations: int) -> None:
        """Opens, works, and loses power after so many operations, or when the steps are done."""
        self.disk.cut_power_after(operations)
        with suppress(OSError):  # met while opening
            asyncio.run(self._work(steps))
        self.disk.cut_power()
        self.disk.crash(self.rng)
        self.cuts += 1

    def check(self) -> None:
        """Opens once more and compares all that can be read with all that was told."""
        asyncio.run(self._check())

    async def _work(self, steps: Sequence[int]) -> None:
        journal, recovery = await self._open()
        self._note(recovery)
        await self._compare(journal)
        for step in steps:
            if step >= 90:
                self._drain(journal, step)
                await asyncio.sleep(0)
            elif not await self._append(journal, step):
                return
        with suppress(OSError):
            if self.rng.random() < 0.5:
                await journal.close()

    async def _append(self, journal: Journal, count: int) -> bool:
        """A burst of entries, so many as one step says. False when the journal failed."""
        futures = []
        for _ in range(1 + count % 7):
            kind = self.rng.choice(KINDS)
            payload = self.rng.randbytes(self.rng.choice((0, 10, 300, 2_000, 9_000)))
            try:
                sequence, future = journal.append(kind, payload)
            except JournalFull:
                self._drain(journal, 99)
                break
            except JournalFailed:
                return False
            futures.append((sequence, kind, payload, future))
        for sequence, kind, payload, future in futures:
            try:
                await future
            except JournalFailed:
                return False
            self.told[sequence] = (kind, payload)
        return True

    def _drain(self, journal: Journal, step: int) -> None:
        upto = self.drained + (journal.head.sequence - self.drained) * (step - 89) // 10
        journal.drained(upto)
        self.drained = max(self.drained, upto)

    def _note(self, recovery: Recovery) -> None:
        self.kept_above_head += recovery.entries_above_head
        self.tails_cut += recovery.cut is not None

    async def _check(self) -> None:
        journal, recovery = await self._open()
        self._note(recovery)
        await self._compare(journal)
        await journal.close()

    async def _open(self) -> tuple[Journal, Recovery]:
        return await open_journal(self.disk, FOLDER, SETTINGS, new_id=lambda: ID, lanes=LoopLanes())

    async def _compare(self, journal: Journal) -> None:
        """Everything told and not drained is there; numbers have no gap; the chain holds; nothing is twice."""
        last_told = max(self.told, default=0)
        assert journal.head.sequence >= last_told
        previous = None
        expected = self.drained + 1
        for entry in [entry async for entry in _entries(journal, self.drained)]:
            assert entry.sequence == expected
            expected += 1
            if previous is not None:
                assert entry.chain_hash == next_hash(previous, entry.sequence, entry.kind, entry.payload)
            elif entry.sequence == 1:
                assert entry.chain_hash == next_hash(first_hash(ID), 1, entry.kind, entry.payload)
            previous = entry.chain_hash
            told = self.told.get(entry.sequence)
            assert told is None or told == (entry.kind, entry.payload)
            # What a later life finds is acknowledged from then on.
            self.told[entry.sequence] = (entry.kind, entry.payload)
        assert expected == journal.head.sequence + 1
        assert previous is None or previous == journal.head.chain_hash


async def _entries(journal: Journal, after: int):  # type: ignore[no-untyped-def]  # an async generator of entries
    while part := await journal.read(after, 5, 1 << 14):
        for entry in part:
            yield entry
        after = part[-1].sequence


lives = st.lists(
    st.tuples(st.lists(st.integers(0, 99), min_size=1, max_size=12), st.integers(0, 220)), min_size=1, max_size=5
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), lives=lives)
def test_nothing_told_is_lost_whenever_the_power_goes(seed: int, lives: list[tuple[list[int], int]]) -> None:
    world = World(seed)
    for steps, operations in lives:
        world.life(steps, operations)
    world.check()
    assert verify(world.disk, FOLDER).damage is None


def test_300_power_cuts_of_one_seed_meet_every_kind_of_end() -> None:
    """The same without hypothesis: a fixed number of cuts, and proof that they hit what they are meant to hit."""
    met = {"lives": 0, "kept": 0, "torn": 0, "told": 0, "opening": 0}
    for seed in range(60):
        rng = random.Random(seed)
        world = World(seed)
        for _ in range(5):
            before = len(world.told)
            world.life([rng.randrange(100) for _ in range(10)], rng.randrange(200))
            met["opening"] += len(world.told) == before
        world.check()
        met["lives"] += world.cuts
        met["kept"] += world.kept_above_head > 0
        met["torn"] += world.tails_cut > 0
        met["told"] += len(world.told)
    assert met["lives"] == 300
    assert met["kept"] >= 10
    assert met["torn"] >= 10
    assert met["told"] >= 2_000
    assert met["opening"] >= 10


def _every_cut() -> Iterator[tuple[int, LossyFiles, list[int]]]:
    for operations in range(400):
        disk = LossyFiles()
        told: list[int] = []
        disk.cut_power_after(operations)
        with suppress(OSError, JournalFailed):
            asyncio.run(_one_short_life(disk, told))
        done = not disk.is_off
        disk.cut_power()
        yield operations, disk, told
        if done:
            return


def test_a_cut_at_every_single_operation_of_a_short_life() -> None:
    """Not drawn: the power goes at each operation in turn, from making the folder to closing, three crashes each."""
    cuts = 0
    for operations, disk, told in _every_cut():
        for seed in range(3):
            again = disk.copy_with_unsynced()
            again.crash(random.Random(1000 * operations + seed))
            entries = asyncio.run(_reopened(again))
            assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
            assert len(entries) >= max(told, default=0)
            cuts += 1
    assert cuts >= 200


async def _one_short_life(disk: LossyFiles, told: list[int]) -> None:
    journal, _ = await open_journal(disk, FOLDER, SETTINGS, new_id=lambda: ID, lanes=LoopLanes())
    for size in (10, 5_000, 9_000, 9_000):
        futures = [journal.append(RecordKind.OUTCOME, bytes([7]) * size) for _ in range(2)]
        for sequence, future in futures:
            with suppress(JournalFailed):
                await future
                told.append(sequence)
    await journal.close()


async def _reopened(disk: LossyFiles) -> list[Entry]:
    journal, _ = await open_journal(disk, FOLDER, SETTINGS, new_id=lambda: ID, lanes=LoopLanes())
    entries = [entry async for entry in _entries(journal, 0)]
    await journal.close()
    return entries
