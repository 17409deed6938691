"""The journal over a disk that fails or has lost what it had: nobody is told that something is safe which is not."""

from __future__ import annotations

import asyncio
import errno
import random
from dataclasses import replace

import pytest

from store.errors import JournalError, JournalFailed
from store.journal.codec import BLOCK_BYTES
from store.journal.recovery import verify
from tests.helpers.disks import LossyFiles
from tests.helpers.journals import FOLDER, KIND, SMALL, fill, opened, payload_of, put, segments


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


async def test_damage_that_is_met_while_reading_is_named() -> None:
    disk = LossyFiles()
    journal, _ = await opened(disk, replace(SMALL, recent_bytes=0))
    await put(journal, 10)
    disk.flip_bit(segments(disk)[0], BLOCK_BYTES + 4 * 160 + 60, 3)
    with pytest.raises(JournalError, match=r"00000000000000000001\.segment at byte \d+, entry 5:"):
        await journal.read(0, 10, 1 << 20)
    assert len(await journal.read(0, 4, 1 << 20)) == 4
    await journal.close()
