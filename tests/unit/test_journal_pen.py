"""The committer that is compiled, on real files: the same journal, the same errors, and a fall back."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.records import RecordKind
from store.errors import JournalFailed
from store.journal.files import OsFile, OsFiles
from store.journal.journal import Journal, open_journal
from store.journal.lanes import Lanes, ThreadLanes, Written
from store.journal.pen import PenLanes
from store.journal.port import Entry
from store.journal.recovery import verify
from store.journal.settings import JournalSettings
from store.journal.writing import GroupWrite, NoSpace
from tests.helpers.disks import LossyFiles

KIND = RecordKind.SELECTION
SMALL = JournalSettings(segment_bytes=1 << 16, urgent_segment_bytes=1 << 15, recent_bytes=0)


async def opened(folder: Path, lanes: Lanes) -> Journal:
    journal, _ = await open_journal(OsFiles(), str(folder), SMALL, new_id=lambda: "journal-1", lanes=lanes)
    return journal


async def filled(folder: Path, lanes: Lanes) -> tuple[Entry, ...]:
    """A journal of several segments, records of several sizes, some that nobody waits for; closed at the end."""
    journal = await opened(folder, lanes)
    for number in range(60):
        journal.append(KIND, bytes([number]) * 700, in_haste=False)
        await journal.append(RecordKind.UPDATE, bytes([number]) * (137 * number))[1]
        if number == 30:
            journal.drained(40)
    entries = tuple(await journal.read(40, 500, 1 << 20))
    await journal.close()
    return entries


async def test_it_writes_what_the_threads_write(tmp_path: Path) -> None:
    entries = await filled(tmp_path / "pen", PenLanes())
    assert entries == await filled(tmp_path / "threads", ThreadLanes())
    assert entries[-1].sequence == 120
    for folder in ("pen", "threads"):
        found = verify(OsFiles(), str(tmp_path / folder))
        assert (found.damage, found.last_sequence) == (None, 120)


async def test_a_journal_is_carried_on_by_either(tmp_path: Path) -> None:
    for number, lanes in enumerate((PenLanes, ThreadLanes, PenLanes), start=1):
        journal = await opened(tmp_path, lanes())
        assert (await journal.append(KIND, b"x" * 9_000)[1]).sequence == number
        await journal.close()
    assert verify(OsFiles(), str(tmp_path)).damage is None


async def put(lanes: Lanes, group: GroupWrite) -> Exception | None:
    done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    lanes.write(group, done.set_result)
    return await asyncio.wait_for(done, 5)


def group_in(tmp_path: Path) -> GroupWrite:
    files = OsFiles()
    file, head = files.create(str(tmp_path / "data")), files.create(str(tmp_path / "head"))
    return GroupWrite(file, b"data" * 1_024, 4_096, head, b"head" * 1_024, 0)


async def test_what_cannot_be_written_or_synced_is_told_with_its_step(tmp_path: Path) -> None:
    lanes, group = PenLanes(), group_in(tmp_path)
    assert await put(lanes, group) is None
    assert (tmp_path / "data").read_bytes() == bytes(4_096) + group.data
    read_end, write_end = os.pipe()  # takes no write at an offset, and no sync
    pipe, closed = OsFile(write_end), OsFile(-1)
    cases = (
        (replace(group, file=closed), "writing data", errno.EBADF),
        (replace(group, file=pipe), "writing data", errno.ESPIPE),
        (replace(group, data=b"", head_file=closed), "writing the head", errno.EBADF),
        (replace(group, head_file=pipe), "writing the head", errno.ESPIPE),
    )
    for case, step, code in cases:
        error = await put(lanes, case)
        assert isinstance(error, OSError)
        assert error.errno == code
        assert step in str(error)
    assert await put(lanes, group) is None  # it goes on
    await lanes.stop()
    os.close(read_end)
    pipe.close()


async def test_a_disk_without_room_is_no_failure(tmp_path: Path) -> None:
    """/dev/full refuses every write, as a full disk does; in the head that is beyond repair."""
    lanes, group = PenLanes(), group_in(tmp_path)
    full = OsFiles().open("/dev/full", write=True)
    assert isinstance(await put(lanes, replace(group, file=full)), NoSpace)
    error = await put(lanes, replace(group, head_file=full))
    assert isinstance(error, OSError)
    assert error.errno == errno.ENOSPC
    await lanes.stop()


async def test_files_of_another_kind_go_the_way_of_the_threads() -> None:
    disk = LossyFiles()
    journal, _ = await open_journal(disk, "/j", SMALL, lanes=PenLanes())
    assert (await journal.append(KIND, b"x")[1]).sequence == 1
    await journal.close()
    assert verify(disk, "/j").last_sequence == 1


async def test_a_failed_journal_fails_what_waits_and_ends(tmp_path: Path) -> None:
    class Spoilt(PenLanes):
        """The head's file is gone from under the pen."""

        def write(self, group: GroupWrite, done: Written) -> None:
            super().write(replace(group, head_file=OsFile(-1)), done)

    journal = await opened(tmp_path, Spoilt())
    first, second = journal.append(KIND, b"one")[1], journal.append(KIND, b"two", in_haste=False)[1]
    for future in (first, second):
        with pytest.raises(JournalFailed, match="writing the head"):
            await asyncio.wait_for(future, 5)
    with pytest.raises(JournalFailed):
        journal.append(KIND, b"three")
    await asyncio.wait_for(journal.close(), 5)
    journal = await opened(tmp_path, PenLanes())  # whole frames above the head count
    assert journal.head.sequence == 2
    await journal.close()


async def test_it_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    async def once(number: int) -> None:
        journal = await opened(tmp_path / str(number), PenLanes())
        await journal.append(KIND, b"x")[1]
        await journal.close()

    await once(0)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(1, 4):
        await once(number)
    assert len(os.listdir("/proc/self/fd")) == before
