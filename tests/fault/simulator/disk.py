"""A disk in memory that forgets what was not synced, tears writes at sectors, runs full, and fails to sync.

Independent of `tests/helpers/disks.py` on purpose: two models of what a power cut leaves are unlikely to be too kind
in the same way (`lossy.LossyDisk` is the other one). Times are the lanes' business; everything here happens at once.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from store.journal.files import Files

SECTOR_BYTES = 512
_ZERO = b"\0"


class WorldDisk(Files, Protocol):
    """A disk as the simulation drives it."""

    has_failed: bool  # something failed in this life

    @property
    def is_sick(self) -> bool: ...

    @property
    def is_off(self) -> bool:
        """The power is gone: nothing works until `lose_power`."""
        ...

    def cut_after(self, operations: int) -> None:
        """Lets so many more operations through, and then the power goes."""
        ...

    def lose_power(self) -> None:
        """What was not synced is gone, in part; the power is back, and nothing is open."""
        ...

    def end_process(self) -> None:
        """SIGKILL: what was written stays, and is as unsynced as before."""
        ...

    def sicken(self) -> None:
        """Something will fail soon."""
        ...

    def heal(self) -> None: ...


class PowerGone(OSError):
    """Every operation, from the cut on."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "the power is off")


@dataclass(slots=True)
class _Inode:
    """`content` is what reading gives, `durable` what a power cut cannot take; `dirty` the writes between."""

    content: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    dirty: list[tuple[int, bytes | None]] = field(default_factory=list)  # None: cut off at the offset

    def write(self, offset: int, data: bytes) -> None:
        _put(self.content, offset, data)
        self.dirty.append((offset, data))

    def cut_off(self, length: int) -> None:
        _resize(self.content, length)
        self.dirty.append((length, None))

    def sync(self) -> None:
        for offset, data in self.dirty:
            _apply(self.durable, offset, data)
        self.dirty.clear()

    def lose_power(self, chance: random.Random) -> None:
        """Of the writes that nobody waited for any part may have reached the disk, in any order."""
        for offset, data in self.dirty:
            fate = chance.random()
            if fate < 0.35:
                continue
            if data is None or fate < 0.6:
                _apply(self.durable, offset, data)
            else:
                self._tear(offset, data, chance)
        self.dirty.clear()
        self.content = bytearray(self.durable)

    def _tear(self, offset: int, data: bytes, chance: random.Random) -> None:
        at = 0
        while at < len(data):
            length = min(SECTOR_BYTES - (offset + at) % SECTOR_BYTES, len(data) - at)
            if chance.random() < 0.5:
                _put(self.durable, offset + at, data[at : at + length])
            at += length


@dataclass(slots=True)
class Sickness:
    """What fails now. `no_space`: nothing may grow, and no name may be made. `failing_syncs`: so many of the next."""

    no_space: bool = False
    failing_syncs: int = 0
    failing_writes: int = 0


class SimulatedDisk:
    """Implements `store.journal.files.Files`. Handles of a life that ended are refused."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._names: dict[str, _Inode] = {}
        self._durable_names: dict[str, _Inode] = {}
        # Changes of names that no folder sync has made last, oldest first.
        self._name_changes: list[Callable[[dict[str, _Inode]], object]] = []
        self._locks: dict[str, int] = {}
        self.life = 0
        self.sickness = Sickness()
        self.has_failed = False  # in this life
        self.operations = 0
        self.is_off = False
        self.lies = False  # for tests of the simulator: syncs that do nothing
        self._operations_left: int | None = None

    # ---- the world

    @property
    def is_sick(self) -> bool:
        return self.sickness != Sickness()

    def sicken(self) -> None:
        kind = self._chance.randrange(3)
        if kind == 0:
            self.sickness.no_space = True
        elif kind == 1:
            self.sickness.failing_syncs = self._chance.randint(1, 2)
        else:
            self.sickness.failing_writes = 1

    def heal(self) -> None:
        self.sickness = Sickness()

    def cut_after(self, operations: int) -> None:
        self._operations_left = operations

    def end_process(self) -> None:
        self.life += 1
        self._locks.clear()
        self.has_failed = False

    def lose_power(self) -> None:
        self.end_process()
        self.is_off, self._operations_left = False, None
        for change in self._name_changes[: self._chance.randint(0, len(self._name_changes))]:
            change(self._durable_names)
        self._name_changes.clear()
        for inode in set_of(self._names, self._durable_names):
            inode.lose_power(self._chance)
        self._names = dict(self._durable_names)

    # ---- Files

    def make_folder(self, folder: str) -> None:
        self._enter()

    def names(self, folder: str) -> list[str]:
        self._enter()
        return sorted(path[len(folder) + 1 :] for path in self._names if os.path.dirname(path) == folder)

    def create(self, path: str) -> _Handle:
        self._enter()
        self._refuse_growth()
        if path in self._names:
            raise FileExistsError(errno.EEXIST, "is there", path)
        inode = _Inode()
        self._change(lambda names: names.__setitem__(path, inode))
        return _Handle(self, inode)

    def open(self, path: str, write: bool = False) -> _Handle:
        self._enter()
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "is not there", path)
        return _Handle(self, self._names[path])

    def rename(self, source: str, target: str) -> None:
        self._enter()
        if source not in self._names:
            raise FileNotFoundError(errno.ENOENT, "is not there", source)
        inode = self._names[source]

        def change(names: dict[str, _Inode]) -> None:
            names.pop(source, None)
            names[target] = inode

        self._change(change)

    def unlink(self, path: str) -> None:
        self._enter()
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "is not there", path)
        self._change(lambda names: names.pop(path, None))

    def sync_folder(self, folder: str) -> None:
        self._enter()
        self._fail_sync()
        for change in self._name_changes:
            change(self._durable_names)
        self._name_changes.clear()

    def lock(self, path: str) -> _Lock:
        self._enter()
        if path in self._locks:
            raise BlockingIOError(errno.EAGAIN, "somebody has it", path)
        self._locks[path] = self.life
        return _Lock(self, path)

    # ---- for the handles

    def _enter(self) -> None:
        """Counts an operation; it meets the power cut before it does anything, or leaves a trace and then fails."""
        if self.is_off:
            raise PowerGone
        self.operations += 1
        if self._operations_left is not None:
            self._operations_left -= 1
            if self._operations_left < 0:
                self.is_off = True
                raise PowerGone

    def _change(self, change: Callable[[dict[str, _Inode]], object]) -> None:
        change(self._names)
        self._name_changes.append(change)

    def _refuse_growth(self) -> None:
        if self.sickness.no_space:
            self.has_failed = True
            raise OSError(errno.ENOSPC, "no space")

    def _fail_sync(self) -> None:
        if self.sickness.failing_syncs:
            self.sickness.failing_syncs -= 1
            self.has_failed = True
            raise OSError(errno.EIO, "the sync failed")


class _Handle:
    """Implements `store.journal.files.File`."""

    def __init__(self, disk: SimulatedDisk, inode: _Inode) -> None:
        self._disk = disk
        self._inode = inode
        self._life = disk.life
        self._is_open = True

    def size(self) -> int:
        return len(self._alive().content)

    def pread(self, length: int, offset: int) -> bytes:
        self._disk._enter()
        return bytes(self._alive().content[offset : offset + length])

    def pwrite(self, data: bytes, offset: int) -> None:
        inode, disk = self._alive(), self._disk
        try:
            disk._enter()
        except PowerGone:
            inode.write(offset, bytes(data))  # it may have been on its way
            raise
        if disk.sickness.failing_writes:
            disk.sickness.failing_writes -= 1
            disk.has_failed = True
            inode.write(offset, bytes(data[: disk._chance.randint(0, len(data))]))
            raise OSError(errno.EIO, "the write failed")
        if offset + len(data) > len(inode.content):
            disk._refuse_growth()
        inode.write(offset, bytes(data))

    def preallocate(self, offset: int, length: int) -> None:
        inode = self._alive()
        self._disk._enter()
        if offset + length > len(inode.content):
            self._disk._refuse_growth()
        inode.write(offset, bytes(length))

    def truncate(self, length: int) -> None:
        self._disk._enter()
        self._alive().cut_off(length)

    def sync(self) -> None:
        inode = self._alive()
        self._disk._enter()
        try:
            self._disk._fail_sync()
        except OSError:
            # The kernel says so once, and takes the pages for clean: what they held reaches the disk no more.
            inode.dirty.clear()
            raise
        if not self._disk.lies:
            inode.sync()

    def close(self) -> None:
        self._is_open = False

    def _alive(self) -> _Inode:
        if not self._is_open:
            raise OSError(errno.EBADF, "the file is closed")
        if self._life != self._disk.life:
            raise OSError(errno.EIO, "this life has ended")
        return self._inode


class _Lock:
    def __init__(self, disk: SimulatedDisk, path: str) -> None:
        self._disk = disk
        self._path = path
        self._life = disk.life

    def release(self) -> None:
        if self._disk.life == self._life:
            self._disk._locks.pop(self._path, None)


def set_of(*tables: dict[str, _Inode]) -> list[_Inode]:
    """Every inode once, in an order that does not depend on addresses."""
    found: dict[int, _Inode] = {}
    for table in tables:
        for inode in table.values():
            found.setdefault(id(inode), inode)
    return list(found.values())


def _apply(target: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        _resize(target, offset)
    else:
        _put(target, offset, data)


def _put(target: bytearray, offset: int, data: bytes) -> None:
    if len(target) < offset:
        target.extend(_ZERO * (offset - len(target)))
    target[offset : offset + len(data)] = data


def _resize(target: bytearray, length: int) -> None:
    if length < len(target):
        del target[length:]
    else:
        target.extend(_ZERO * (length - len(target)))
