"""The journal's only way to the disk: a port, and the real thing.

Everything here blocks, so it is called from the journal's lanes, never from the event loop. Names that were created,
renamed or unlinked are only sure to stay so after `sync_folder`, bytes only after `File.sync`; the journal calls both
where they matter, and `tests/helpers/disks.py` forgets everything else when its power is cut.
"""

from __future__ import annotations

import fcntl
import os
from typing import Protocol

_ZEROS = bytes(256 * 1024)


class File(Protocol):
    """An open file. Every method may raise OSError."""

    def size(self) -> int: ...

    def pread(self, length: int, offset: int) -> bytes:
        """That many bytes, or fewer only where the file ends."""
        ...

    def pwrite(self, data: bytes, offset: int) -> None:
        """All of the bytes; if it raises, some of them may have been written."""
        ...

    def preallocate(self, offset: int, length: int) -> None:
        """Writes zeros, so that later writes there change no metadata (a reserved but unwritten extent would)."""
        ...

    def truncate(self, length: int) -> None: ...

    def sync(self) -> None:
        """fdatasync: what was written is on the disk, and the size too. After it failed nothing is known of any
        earlier write, and calling it again would lie."""
        ...

    def close(self) -> None: ...


class Lock(Protocol):
    """Held until released, or until the process ends."""

    def release(self) -> None: ...


class Files(Protocol):
    """Paths are plain strings, joined with "/". Every method may raise OSError."""

    def make_folder(self, folder: str) -> None:
        """Makes it, with its parents, where it is not there."""
        ...

    def names(self, folder: str) -> list[str]: ...

    def create(self, path: str) -> File:
        """A new empty file; FileExistsError where there is one."""
        ...

    def open(self, path: str, write: bool = False) -> File:
        """A file that is there; FileNotFoundError otherwise."""
        ...

    def rename(self, source: str, target: str) -> None: ...

    def unlink(self, path: str) -> None: ...

    def sync_folder(self, folder: str) -> None:
        """Makes creations, renames and unlinks in the folder last."""
        ...

    def lock(self, path: str) -> Lock:
        """Takes the lock of this path or raises BlockingIOError: somebody else holds it."""
        ...


class OsFile:
    """A file of the operating system's."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def descriptor(self) -> int:
        """-1 once it is closed."""
        return self._descriptor

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def pread(self, length: int, offset: int) -> bytes:
        first = os.pread(self._descriptor, length, offset)
        if len(first) == length or not first:
            return first
        parts, got = [first], len(first)
        while got < length:
            more = os.pread(self._descriptor, length - got, offset + got)
            if not more:
                break
            parts.append(more)
            got += len(more)
        return b"".join(parts)

    def pwrite(self, data: bytes, offset: int) -> None:
        written = os.pwrite(self._descriptor, data, offset)
        while written < len(data):
            written += os.pwrite(self._descriptor, memoryview(data)[written:], offset + written)

    def preallocate(self, offset: int, length: int) -> None:
        end = offset + length
        while offset < end:
            step = min(len(_ZEROS), end - offset)
            self.pwrite(_ZEROS[:step] if step < len(_ZEROS) else _ZEROS, offset)
            offset += step

    def truncate(self, length: int) -> None:
        os.ftruncate(self._descriptor, length)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class _OsLock:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class OsFiles:
    """The operating system's files. Only their owner may read them."""

    def make_folder(self, folder: str) -> None:
        if os.path.isdir(folder):
            return
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.sync_folder(os.path.dirname(os.path.abspath(folder)))

    def names(self, folder: str) -> list[str]:
        return os.listdir(folder)

    def create(self, path: str) -> File:
        return OsFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def open(self, path: str, write: bool = False) -> File:
        return OsFile(os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC))

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def sync_folder(self, folder: str) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: str) -> Lock:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return _OsLock(descriptor)
