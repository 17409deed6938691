"""The journal over a disk in memory: groups, their order, whom it wakes, what is read back, how it ends."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from functools import partial

import pytest

from engine.records import RecordKind
from store.errors import JournalError, JournalFailed
from store.journal.codec import first_hash, next_hash
from store.journal.port import Head
from tests.helpers.disks import LossyFiles
from tests.helpers.journals import KIND, SMALL, opened, payload_of, put, read_all, turns


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
