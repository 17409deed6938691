"""The journal over a disk in memory: groups, order, bounds, full and back, failing disks, reading, draining."""

from __future__ import annotations

import asyncio
import errno
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from engine.records import RecordKind
from store.errors import EntriesGone, JournalError, JournalFailed, JournalFull, RecordInvalid
from store.journal.codec import BLOCK_BYTES, first_hash, next_hash
from store.journal.journal import Journal, open_journal
from store.journal.lanes import LoopLanes, ThreadLanes, Written
from store.journal.port import Entry, Head, JournalPort
from store.journal.recovery import Recovery, verify
from store.journal.settings import JournalSettings
from store.journal.writing import GroupWrite
from tests.helpers.disks import LossyFiles

FOLDER = "/journal"
KIND = RecordKind.SELECTION
SMALL = JournalSettings(
    limit_bytes=1 << 20,
    segment_bytes=8 * BLOCK_BYTES,
    urgent_segment_bytes=4 * BLOCK_BYTES,
    most_payload_bytes=64 << 10,
    group_bytes=4 * BLOCK_BYTES,
    space_retry_s=0.01,
)
# The head, the first segment, and the one made ahead.
ALL_MADE_BYTES = 2 * BLOCK_BYTES + SMALL.urgent_segment_bytes + SMALL.segment_bytes


async def opened(
    disk: LossyFiles, settings: JournalSettings = SMALL, threads: bool = False
) -> tuple[Journal, Recovery]:
    lanes = ThreadLanes() if threads else LoopLanes()
    return await open_journal(disk, FOLDER, settings, new_id=lambda: "journal-1", lanes=lanes)


async def put(journal: JournalPort, count: int, length: int = 100) -> list[Head]:
    """Appends that many entries, each known by its sequence, and waits for them."""
    futures: list[asyncio.Future[Head]] = []
    for _ in range(count):
        following = journal.metrics.head_sequence + 1 + len(futures)
        sequence, future = journal.append(KIND, payload_of(following, length))
        assert sequence == following
        futures.append(future)
    return list(await asyncio.gather(*futures))


async def fill(journal: JournalPort) -> None:
    """Appends until it raises."""
    for _ in range(1_000):
        await asyncio.wait_for(put(journal, 1, 3_000), 5)


def payload_of(sequence: int, length: int = 100) -> bytes:
    return (f"entry {sequence} ".encode() * (length // 6 + 1))[:length]


async def read_all(journal: JournalPort, after: int = 0, most: int = 7, most_bytes: int = 5_000) -> list[Entry]:
    entries: list[Entry] = []
    while part := await journal.read(entries[-1].sequence if entries else after, most, most_bytes):
        assert len(part) <= most
        entries.extend(part)
    return entries


def segments(disk: LossyFiles) -> list[str]:
    return [path for path in disk.paths() if path.endswith(".segment")]


async def test_a_new_journal_is_empty_and_says_so() -> None:
    journal, recovery = await opened(LossyFiles())
    assert recovery.is_new
    assert journal.head == Head("journal-1", 0, first_hash("journal-1"))
    assert await journal.read(0, 10, 1000) == ()
    await journal.close()


@pytest.mark.parametrize("threads", [False, True])
async def test_entries_come_back_with_their_chain_after_a_restart(threads: bool) -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk, threads=threads)
    await put(journal, 25, 500)
    kinds = [RecordKind.ADAPTATION, RecordKind.OUTCOME]
    for kind in kinds:
        await journal.append(kind, b"")[1]
    head = journal.head
    await journal.close()
    journal, recovery = await opened(disk, threads=threads)
    assert (recovery.is_new, recovery.head, recovery.cut, recovery.entries_above_head) == (False, head, None, 0)
    entries = await read_all(journal)
    assert [entry.sequence for entry in entries] == list(range(1, 28))
    assert [entry.payload for entry in entries[:25]] == [payload_of(number, 500) for number in range(1, 26)]
    assert [entry.kind for entry in entries[25:]] == kinds
    chain = first_hash("journal-1")
    for entry in entries:
        chain = next_hash(chain, entry.sequence, entry.kind, entry.payload)
        assert entry.chain_hash == chain
    assert head.chain_hash == chain
    await journal.close()


async def test_what_one_turn_brings_is_one_group_with_two_syncs() -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk)
    await put(journal, 1)
    before = disk.operations["sync"]
    heads = await put(journal, 50)
    assert journal.metrics.commits == 2
    assert disk.operations["sync"] - before == 2
    assert {head.sequence for head in heads} == {51}
    await journal.close()


async def test_what_nobody_waits_for_shares_its_group_with_what_comes_next() -> None:
    journal, _ = await opened(LossyFiles(), replace(SMALL, lazy_sync_s=30.0))
    await turns(20)  # the next segment is laid out, after which what waits is looked at
    before = journal.metrics.commits
    lazy = [journal.append(KIND, payload_of(number), in_haste=False)[1] for number in (1, 2)]
    await turns(20)
    assert journal.metrics.commits == before
    assert not any(future.done() for future in lazy)
    _, hasty = journal.append(KIND, payload_of(3))
    await asyncio.wait_for(asyncio.gather(*lazy, hasty), 5)
    assert journal.metrics.commits == before + 1
    assert journal.head.sequence == 3
    await journal.close()


async def test_what_nobody_waits_for_is_one_group_with_all_that_came_within_the_bound() -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk, replace(SMALL, lazy_sync_s=0.02))
    await turns(20)
    before, syncs = journal.metrics.commits, disk.operations["sync"]
    futures = [journal.append(RecordKind.UPDATE, payload_of(1), in_haste=False)[1]]
    await turns(20)
    futures.append(journal.append(RecordKind.SELECTION, payload_of(2), in_haste=False)[1])
    await asyncio.wait_for(asyncio.gather(*futures), 5)
    assert (journal.metrics.commits - before, disk.operations["sync"] - syncs) == (1, 2)
    await journal.close()


@pytest.mark.parametrize("threads", [False, True])
async def test_what_nobody_waits_for_is_synced_by_itself_and_by_closing(threads: bool) -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk, replace(SMALL, lazy_sync_s=0.001), threads)
    for number in range(1, 30):
        await asyncio.wait_for(journal.append(KIND, payload_of(number), in_haste=False)[1], 5)
    await journal.close()
    journal, _ = await opened(disk, replace(SMALL, lazy_sync_s=30.0), threads)
    lazy = journal.append(KIND, payload_of(30), in_haste=False)[1]
    await asyncio.wait_for(journal.close(), 5)
    assert lazy.result().sequence == 30


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_while_a_group_is_synced_the_next_one_gathers() -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk, threads=True)
    disk.delay("sync", 0.02)
    futures = []
    for number in range(40):
        futures.append(journal.append(KIND, payload_of(number))[1])
        await asyncio.sleep(0.001)
    await asyncio.gather(*futures)
    assert 2 <= journal.metrics.commits <= 10
    disk.heal()
    await journal.close()


async def test_futures_are_done_in_order() -> None:
    journal, _ = await opened(LossyFiles())
    done: list[int] = []

    def noted(sequence: int, _: object) -> None:
        done.append(sequence)

    futures = []
    for number in range(1, 200):
        sequence, future = journal.append(KIND, payload_of(number, 700))
        future.add_done_callback(partial(noted, sequence))
        futures.append(future)
        if number % 17 == 0:
            await asyncio.sleep(0)
    await asyncio.gather(*futures)
    await asyncio.sleep(0)
    assert done == list(range(1, 200))
    assert journal.metrics.commits > 10  # a group has its bound
    await journal.close()


async def test_nothing_is_done_before_data_and_head_are_synced_in_that_order() -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk)
    await put(journal, 1)
    trace: list[str] = []
    _, future = journal.append(KIND, b"x")
    disk.on_operation = lambda operation, path: trace.append(
        f"{operation} {'head' if path.endswith('head') else 'data'} {future.done()}"
    )
    await future
    assert trace == ["pwrite data False", "sync data False", "pwrite head False", "sync head False"]
    disk.on_operation = None
    await journal.close()


async def test_a_waiter_that_gave_up_disturbs_nobody() -> None:
    journal, _ = await opened(LossyFiles())
    _, first = journal.append(KIND, b"one")
    _, second = journal.append(KIND, b"two")
    first.cancel()
    assert (await second).sequence == 2
    await journal.close()


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


async def test_reads_keep_their_bounds_but_give_at_least_one() -> None:
    journal, _ = await opened(LossyFiles())
    await put(journal, 20, 1_000)
    assert [entry.sequence for entry in await journal.read(0, 3, 1 << 20)] == [1, 2, 3]
    assert [entry.sequence for entry in await journal.read(5, 100, 2_999)] == [6, 7]
    assert [entry.sequence for entry in await journal.read(5, 100, 1)] == [6]
    assert await journal.read(20, 1, 1) == ()
    with pytest.raises(ValueError):
        await journal.read(0, 0, 1)
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
    settings = JournalSettings(**{**_as_dict(SMALL), "retain_segments": 1000})
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


async def test_whoever_drains_is_woken_by_a_commit() -> None:
    journal, _ = await opened(LossyFiles())
    waits = asyncio.ensure_future(journal.wait_beyond(1))
    await put(journal, 1)
    await asyncio.sleep(0)
    assert not waits.done()
    await put(journal, 1)
    assert (await waits).sequence == 2
    assert (await journal.wait_beyond(0)).sequence == 2
    waits = asyncio.ensure_future(journal.wait_beyond(2))
    await asyncio.sleep(0)
    await journal.close()
    with pytest.raises(JournalFailed):
        await waits


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
    settings = JournalSettings(**{**_as_dict(SMALL), "retain_segments": 0, "space_retry_s": 60.0})
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


@pytest.mark.parametrize("operation", ["pwrite", "sync"])
@pytest.mark.parametrize("suffix", [".segment", "head"])
@pytest.mark.parametrize("threads", [False, True])
async def test_a_failing_disk_fails_what_waits_and_everything_after(
    operation: str, suffix: str, threads: bool
) -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk, threads=threads)
    await put(journal, 3)
    disk.fail(operation, errno.EIO, suffix=suffix)
    waits = asyncio.ensure_future(journal.wait_beyond(3))
    futures = [journal.append(KIND, payload_of(number))[1] for number in range(4, 8)]
    results = await asyncio.gather(*futures, waits, return_exceptions=True)
    assert all(isinstance(result, JournalFailed) for result in results)
    with pytest.raises(JournalFailed):
        journal.append(KIND, b"later")
    synced: list[str] = []
    disk.on_operation = lambda did, path: synced.append(path) if did == "sync" else None
    await asyncio.sleep(0.05)
    # A failed sync is never tried again; a segment that was being laid out ahead may still be finished.
    assert not [path for path in synced if "spare" not in path]
    assert [entry.sequence for entry in await journal.read(0, 10, 1000)] == [1, 2, 3]
    await journal.close()
    disk.crash(random.Random(1))
    journal, recovery = await opened(disk)
    assert recovery.head.sequence in range(3, 8)
    await put(journal, 1)
    await journal.close()


async def test_after_a_failed_sync_reopening_believes_no_page_cache() -> None:
    """The failed sync left the entries readable but not on the disk. Opening anew takes them in, so it must write
    them again: after the next power cut they are still there."""
    for seed in range(20):
        disk = LossyFiles()
        journal, _ = await opened(disk)
        await put(journal, 3)
        disk.fail("sync", errno.EIO, suffix=".segment")
        with pytest.raises(JournalFailed):
            await journal.append(KIND, b"fourth")[1]
        await journal.close()
        journal, recovery = await opened(disk)
        assert (recovery.head.sequence, recovery.entries_above_head) == (4, 1)
        disk.crash(random.Random(seed))
        assert verify(disk, FOLDER).last_sequence == 4
        assert verify(disk, FOLDER).damage is None


async def test_a_new_segment_that_the_disk_refuses_fails_the_journal_and_leaves_the_old_ones() -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk)
    await put(journal, 1)
    disk.fail("rename", errno.EIO, times=1)
    with pytest.raises(JournalFailed):
        await fill(journal)
    head = journal.head
    await journal.close()
    journal, recovery = await opened(disk)
    assert recovery.head == head
    await put(journal, 10, 3_000)
    await journal.close()


async def test_closing_syncs_what_was_taken_and_ends() -> None:
    others = set(threading.enumerate())
    disk = LossyFiles()
    journal, _ = await opened(disk, threads=True)
    futures = [journal.append(KIND, payload_of(number))[1] for number in range(1, 30)]
    await journal.close()
    assert all(future.done() and future.exception() is None for future in futures)
    with pytest.raises(JournalFailed):
        journal.append(KIND, b"late")
    await journal.close()
    assert not {thread for thread in threading.enumerate() if thread.name.startswith("journal-")} - others
    assert not [path for path in disk.paths() if "spare" in path]


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


async def test_a_journal_has_one_owner() -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk)
    with pytest.raises(JournalError, match="another process"):
        await opened(disk)
    await journal.close()
    journal, _ = await opened(disk)
    await journal.close()


async def test_what_became_durable_last_is_read_from_memory_as_from_the_disk() -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk, replace(SMALL, recent_bytes=3_000))
    plain, _ = await opened(LossyFiles(), replace(SMALL, recent_bytes=0))
    await put(journal, 60, 500)
    await put(plain, 60, 500)
    assert journal.head == plain.head
    before = disk.operations["pread"]
    for after, most, most_bytes in ((54, 50, 50_000), (57, 2, 50_000), (55, 50, 1_200), (58, 50, 1), (60, 5, 5)):
        assert await journal.read(after, most, most_bytes) == await plain.read(after, most, most_bytes)
    assert disk.operations["pread"] == before
    assert await journal.read(40, 5, 50_000) == await plain.read(40, 5, 50_000)  # let go of: from the disk
    assert disk.operations["pread"] > before
    journal.drained(60)
    before = disk.operations["pread"]
    assert [entry.sequence for entry in await journal.read(58, 5, 50_000)] == [59, 60]  # drained: from the disk
    assert disk.operations["pread"] > before
    await journal.close()
    await plain.close()


async def test_damage_that_is_met_while_reading_is_named() -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk, replace(SMALL, recent_bytes=0))
    await put(journal, 10)
    disk.flip_bit(segments(disk)[0], BLOCK_BYTES + 4 * 160 + 60, 3)
    with pytest.raises(JournalError, match=r"00000000000000000001\.segment at byte \d+, entry 5:"):
        await journal.read(0, 10, 1 << 20)
    assert len(await journal.read(0, 4, 1 << 20)) == 4
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
    ],
)
def test_senseless_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        JournalSettings(**changes)


def _as_dict(settings: JournalSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in JournalSettings.__dataclass_fields__}
