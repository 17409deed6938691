"""The journal on the real disk: the operating system's files, threads, a second process that wants it too."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from engine.records import RecordKind
from store.errors import JournalError
from store.journal.files import OsFiles
from store.journal.journal import open_journal
from store.journal.recovery import salvage, verify
from store.journal.settings import JournalSettings

SETTINGS = JournalSettings(segment_bytes=1 << 18, urgent_segment_bytes=1 << 16)
WRITER = """
import asyncio, sys
from engine.records import RecordKind
from store.journal.files import OsFiles
from store.journal.journal import open_journal
from store.journal.settings import JournalSettings

async def main():
    settings = JournalSettings(segment_bytes=1 << 18, urgent_segment_bytes=1 << 16)
    journal, _ = await open_journal(OsFiles(), sys.argv[1], settings)
    while True:
        futures = [journal.append(RecordKind.UPDATE, b"u" * 700) for _ in range(5)]
        for sequence, future in futures:
            await future
        print(sequence, flush=True)

asyncio.run(main())
"""


async def test_it_is_written_closed_and_read_again(tmp_path: Path) -> None:
    folder = str(tmp_path / "a" / "journal")
    journal, recovery = await open_journal(OsFiles(), folder, SETTINGS)
    assert recovery.is_new
    for _ in range(40):
        await asyncio.gather(*(journal.append(RecordKind.OUTCOME, os.urandom(3_000))[1] for _ in range(10)))
    head = journal.head
    journal.drained(200)
    await journal.close()
    journal, recovery = await open_journal(OsFiles(), folder, SETTINGS)
    assert (recovery.head, recovery.drained_sequence, recovery.cut) == (head, 200, None)
    read = await journal.read(390, 100, 1 << 20)
    assert [entry.sequence for entry in read] == list(range(391, 401))
    await journal.close()
    assert verify(OsFiles(), folder).damage is None
    assert oct(os.stat(Path(folder) / "head").st_mode & 0o777) == "0o600"


async def test_segments_are_laid_out_before_they_are_used(tmp_path: Path) -> None:
    """Commits must not change metadata: no segment ever grows."""
    journal, _ = await open_journal(OsFiles(), str(tmp_path), SETTINGS)
    sizes: dict[str, set[int]] = {}
    for _ in range(60):
        await asyncio.gather(*(journal.append(RecordKind.OUTCOME, bytes(2_000))[1] for _ in range(3)))
        with os.scandir(tmp_path) as found:
            for one in found:
                if one.name.endswith(".segment"):
                    sizes.setdefault(one.name, set()).add(one.stat().st_size)
                    assert one.stat().st_blocks * 512 >= one.stat().st_size
    await journal.close()
    assert len(sizes) >= 2
    assert all(len(seen) == 1 for seen in sizes.values())


def test_a_killed_writer_leaves_all_that_it_was_told(tmp_path: Path) -> None:
    """The lock goes with the process, and the next owner finds at least what was acknowledged."""
    folder, told = tmp_path / "journal", 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(20)]
            with pytest.raises(JournalError, match="another process"):
                asyncio.run(_head_sequence(str(folder)))
            process.send_signal(signal.SIGKILL)
            told = int((lines + process.stdout.read().split("\n"))[19])
        entries = list(salvage(OsFiles(), str(folder)))
        assert entries[-1].sequence >= told
    assert asyncio.run(_head_sequence(str(folder))) >= told


async def _head_sequence(folder: str) -> int:
    journal, recovery = await open_journal(OsFiles(), folder, SETTINGS)
    await journal.close()
    return recovery.head.sequence


def test_descriptors_do_not_leak_into_children(tmp_path: Path) -> None:
    files = OsFiles()
    file, lock = files.create(f"{tmp_path}/file"), files.lock(f"{tmp_path}/lock")
    opened = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the listing's own
            opened[os.readlink(f"/proc/self/fd/{name}")] = int(name)
    for path in (f"{tmp_path}/file", f"{tmp_path}/lock"):
        assert fcntl.fcntl(opened[path], fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    file.close()
    lock.release()


def test_files_do_what_the_port_says(tmp_path: Path) -> None:
    files = OsFiles()
    path = f"{tmp_path}/file"
    file = files.create(path)
    with pytest.raises(FileExistsError):
        files.create(path)
    file.preallocate(0, 600_000)
    file.pwrite(b"abc", 10)
    file.sync()
    assert file.size() == 600_000
    assert file.pread(5, 9) == b"\0abc\0"
    assert len(file.pread(100, 599_990)) == 10
    file.truncate(12)
    assert file.pread(100, 0) == bytes(10) + b"ab"
    file.close()
    file.close()
    files.rename(path, path + "2")
    files.sync_folder(str(tmp_path))
    assert files.names(str(tmp_path)) == ["file2"]
    with pytest.raises(FileNotFoundError):
        files.open(path)
    reader = files.open(path + "2")
    with pytest.raises(OSError, match="Bad file descriptor"):
        reader.pwrite(b"x", 0)
    reader.close()
    files.unlink(path + "2")
    lock = files.lock(f"{tmp_path}/lock")
    with pytest.raises(BlockingIOError):
        files.lock(f"{tmp_path}/lock")
    lock.release()
    files.lock(f"{tmp_path}/lock").release()
