"""The room that the journal takes: segments, its bound, a disk without space, and what draining gives back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from engine.records import RecordKind
from store.errors import EntriesGone, JournalFailed, JournalFull, RecordInvalid
from store.journal.codec import BLOCK_BYTES
from store.journal.journal import open_journal
from store.journal.lanes import LoopLanes, Written
from store.journal.port import Head
from store.journal.recovery import verify
from store.journal.settings import JournalSettings
from store.journal.writing import GroupWrite
from tests.helpers.disks import LossyFiles
from tests.helpers.journals import ALL_MADE_BYTES, FOLDER, KIND, SMALL, fill, opened, put, read_all, segments


async def test_segments_roll_over_and_all_of_them_are_read() -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk)
    for _ in range(30):
        await put(journal, 3, 2_000)
    assert len(segments(disk)) > 5
    entries = await read_all(journal, after=40, most=1000, most_bytes=1 << 20)
    assert [entry.sequence for entry in entries] == list(range(41, 91))
    await journal.close()
    assert verify(disk, FOLDER).entries == 90


async def test_segments_grow_with_use_and_are_laid_out_while_it_goes_on() -> None:
    disk = LossyFiles()
    settings = JournalSettings(segment_bytes=32 << 20, urgent_segment_bytes=1 << 20)
    journal, _ = await opened(disk, settings)
    await put(journal, 10)
    assert disk.used_bytes <= (2 << 20) + 2 * BLOCK_BYTES
    for _ in range(40):
        await put(journal, 20, 8_000)
    sizes = [len(disk.content(path)) for path in segments(disk)]
    assert sizes == sorted(sizes)
    assert sizes[:3] == [1 << 20, 2 << 20, 4 << 20]
    await journal.close()


async def test_a_record_longer_than_a_segment_gets_one_of_its_own_size() -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk)
    await put(journal, 2, SMALL.most_payload_bytes)
    with pytest.raises(RecordInvalid):
        journal.append(KIND, bytes(SMALL.most_payload_bytes + 1))
    await put(journal, 2)
    await journal.close()
    journal, recovery = await opened(disk)
    assert recovery.head.sequence == 4
    await journal.close()


async def test_the_bound_refuses_takes_nothing_and_opens_again_when_drained() -> None:
    settings = JournalSettings(limit_bytes=40_000, segment_bytes=8 * BLOCK_BYTES, urgent_segment_bytes=8 * BLOCK_BYTES,
                               most_payload_bytes=8_000)
    journal, _ = await opened(LossyFiles(), settings)
    with pytest.raises(JournalFull):
        await fill(journal)
    taken = journal.head.sequence
    assert 5 <= taken <= 13
    assert journal.metrics.is_full
    journal.drained(1)
    journal.drained(taken)
    assert (journal.metrics.is_full, journal.metrics.used_bytes) == (False, 0)
    assert (await put(journal, 1, 3_000))[0].sequence == taken + 1
    await journal.close()


async def test_an_operators_act_is_taken_beyond_the_bound_as_far_as_its_reserve() -> None:
    """A halt has to be on record most of all when something is wrong."""
    settings = replace(SMALL, limit_bytes=80_000, reserve_bytes=2 * BLOCK_BYTES)
    journal, _ = await opened(LossyFiles(), settings)
    with pytest.raises(JournalFull):
        await fill(journal)
    taken = journal.head.sequence
    acts = 0
    with suppress(JournalFull):
        while acts < 99:
            _, future = journal.append(RecordKind.OPERATION, bytes(500))
            await asyncio.wait_for(future, 5)
            acts += 1
            with pytest.raises(JournalFull):
                journal.append(KIND, bytes(3_000))
            assert journal.metrics.is_full
    assert 2 <= acts < 99
    assert journal.head.sequence == taken + acts
    assert journal.metrics.used_bytes <= settings.limit_bytes + settings.reserve_bytes + BLOCK_BYTES
    journal.drained(journal.head.sequence)
    await put(journal, 1, 3_000)
    await journal.close()


async def test_a_disk_without_room_keeps_some_for_an_operators_act(eventually: Callable[..., Any]) -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk)
    await put(journal, 1)
    await eventually(lambda: disk.used_bytes == ALL_MADE_BYTES)
    disk.capacity_bytes = disk.used_bytes
    with pytest.raises(JournalFull):
        await fill(journal)
    taken = journal.head.sequence
    _, future = journal.append(RecordKind.OPERATION, bytes(500))
    await asyncio.wait_for(future, 5)
    assert journal.head.sequence == taken + 1
    disk.capacity_bytes = None
    await eventually(lambda: not journal.metrics.is_full)
    await journal.close()
    assert verify(disk, FOLDER).last_sequence == taken + 1


async def test_used_bytes_count_what_waits_and_what_is_not_drained() -> None:
    journal, _ = await opened(LossyFiles())
    futures = [journal.append(KIND, bytes(1_000))[1] for _ in range(100)]
    waiting = journal.metrics.used_bytes
    assert waiting >= 100_000
    await asyncio.gather(*futures)
    assert waiting <= journal.metrics.used_bytes <= waiting + BLOCK_BYTES * journal.metrics.commits
    journal.drained(50)
    assert 50_000 <= journal.metrics.used_bytes <= 95_000
    await journal.close()


async def test_drained_segments_go_but_the_retained(eventually: Callable[..., Any]) -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk)
    for _ in range(20):
        await put(journal, 2, 3_000)
    names = segments(disk)
    assert len(names) > 4
    journal.drained(40)
    await eventually(lambda: segments(disk) == names[-2:])
    with pytest.raises(EntriesGone, match="first that is kept"):
        await journal.read(0, 1, 1)
    kept = await read_all(journal, after=int(names[-2].split("/")[-1][:20]) - 1)
    assert kept[-1].sequence == 40
    with pytest.raises(ValueError):
        journal.drained(41)
    await journal.close()
    journal, recovery = await opened(disk)
    assert (recovery.drained_sequence, recovery.head.sequence, journal.metrics.used_bytes) == (40, 40, 0)
    await put(journal, 1)
    await journal.close()


class PressedLanes(LoopLanes):
    """While a group is written the next record comes, so that somebody always waits."""

    on_write: Callable[[], None] | None = None

    def write(self, group: GroupWrite, done: Written) -> None:
        if self.on_write is not None:
            self.on_write()
        super().write(group, done)


async def test_drained_segments_go_while_somebody_always_waits() -> None:
    disk, lanes = LossyFiles(), PressedLanes()
    journal, _ = await open_journal(disk, FOLDER, SMALL, new_id=lambda: "journal-1", lanes=lanes)
    for _ in range(20):
        await put(journal, 2, 3_000)
    names = segments(disk)
    seen: list[list[str]] = []
    enough = asyncio.Event()
    futures: list[asyncio.Future[Head]] = []

    def press() -> None:
        seen.append(segments(disk))
        if len(seen) < 5:  # fewer than fill a segment: a new one would be a moment without anybody waiting
            futures.append(journal.append(KIND, b"more")[1])
        else:
            enough.set()

    lanes.on_write = press
    futures.append(journal.append(KIND, b"first")[1])
    journal.drained(40)
    await enough.wait()
    assert not set(names[:-2]) & set(seen[-1])
    await asyncio.gather(*futures)
    await journal.close()


async def test_a_start_reads_only_what_is_not_drained() -> None:
    disk = LossyFiles()
    settings = replace(SMALL, retain_segments=1000)
    journal, _ = await opened(disk, settings)
    for _ in range(60):
        await put(journal, 3, 3_000)
    journal.drained(170)
    await journal.close()
    journal, recovery = await opened(disk, settings)
    assert recovery.segments > 10
    assert recovery.entries_read <= 20
    assert [entry.sequence for entry in await read_all(journal, after=3)] == list(range(4, 181))
    await journal.close()
    assert verify(disk, FOLDER).entries == 180


@pytest.mark.parametrize("threads", [False, True])
async def test_without_space_nothing_taken_is_dropped_and_it_comes_back_by_itself(
    threads: bool, eventually: Callable[..., Any]
) -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk, threads=threads)
    await put(journal, 1)
    await eventually(lambda: disk.used_bytes == ALL_MADE_BYTES)
    disk.capacity_bytes = disk.used_bytes
    futures: list[asyncio.Future[Head]] = []
    for _ in range(100):
        try:
            futures.append(journal.append(KIND, bytes(3_000))[1])
        except JournalFull:
            break
        await asyncio.sleep(0.002)
    else:
        pytest.fail("it never was full")
    assert journal.metrics.is_full
    assert [entry.sequence for entry in await journal.read(0, 1, 1)] == [1]  # reading goes on
    disk.capacity_bytes = None
    await asyncio.wait_for(asyncio.gather(*futures), 5)
    await eventually(lambda: not journal.metrics.is_full)
    await put(journal, 5, 3_000)
    await journal.close()
    assert verify(disk, FOLDER).last_sequence == 1 + len(futures) + 5


async def test_draining_gives_space_back(eventually: Callable[..., Any]) -> None:
    disk = LossyFiles()
    settings = replace(SMALL, retain_segments=0, space_retry_s=60.0)
    journal, _ = await opened(disk, settings)
    await put(journal, 1)
    await eventually(lambda: disk.used_bytes == ALL_MADE_BYTES)
    disk.capacity_bytes = disk.used_bytes
    with pytest.raises(JournalFull):
        await fill(journal)
    journal.drained(journal.head.sequence)
    await eventually(lambda: not journal.metrics.is_full)  # the timer is a minute away
    await asyncio.wait_for(put(journal, 1, 3_000), 5)
    await journal.close()


async def test_closing_without_space_fails_what_it_cannot_sync() -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk)
    disk.capacity_bytes = disk.used_bytes
    futures = [journal.append(KIND, bytes(3_000))[1] for _ in range(12)]
    await asyncio.wait_for(journal.close(), 5)
    results = await asyncio.gather(*futures, return_exceptions=True)
    done = sum(isinstance(result, Head) for result in results)
    assert 0 < done < 12
    assert all(isinstance(result, JournalFailed) for result in results[done:])
    disk.capacity_bytes = None
    journal, recovery = await opened(disk)
    assert recovery.head.sequence == done
    await journal.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"segment_bytes": 5000},
        {"urgent_segment_bytes": BLOCK_BYTES},
        {"limit_bytes": 10},
        {"group_bytes": 0},
        {"retain_segments": -1},
        {"space_retry_s": 0.0},
        {"reserve_bytes": -1},
    ],
)
def test_senseless_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        JournalSettings(**changes)
