"""A disk in memory that loses what was not synced: the journal's `Files` for tests of power cuts, bad sectors, full
and slow disks. The shipped journal code runs over it; a killed process proves nothing of the kind, as the page cache
survives it.

    disk = LossyFiles()
    ... the journal's code runs over `disk` ...
    disk.cut_power_after(17)        # or cut_power(): from now on nothing works (PowerCut)
    disk.crash(random.Random(7))    # what was not synced is gone, in part; the disk works again

What is durable:
- Bytes of a file, only after `File.sync`. At the crash each sector (512 bytes) that was written and not synced is kept
  or dropped by its own throw of the dice; so is a size that was not synced, for the whole file.
- Names (create, rename, unlink), only after `sync_folder`. At the crash each of them is kept or dropped by its own
  throw; one whose file is not there any more does nothing.

Faults: `fail(operation, code, times)`, `capacity_bytes` (ENOSPC), `delay(operation, seconds)`, `on_operation` (a hook
that sees every operation, for traces and for simulators that count them). Damage to what is durable: `flip_bit`,
`cut_short`, `overwrite`, `zero`, `swap_bytes`, `swap_files`, `move`, `remove`. All of it is exact and repeatable:
chance comes in as a `random.Random`. Operations are serialised by a lock, so the journal's threads may use it too.
"""

from __future__ import annotations

import copy
import errno
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

SECTOR_BYTES = 512


class PowerCut(OSError):
    """The power is off: every operation fails from here on, until `crash`."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "the power is off")


@dataclass(slots=True)
class _Inode:
    """A file without a name. `content` is what a reader sees, `durable` what the platter has."""

    content: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)

    def lose(self, rng: random.Random) -> None:
        """Keeps or drops every unsynced sector."""
        size = len(self.content) if rng.random() < 0.5 else len(self.durable)
        result = bytearray(size)
        common = min(size, len(self.durable))
        result[:common] = self.durable[:common]
        for sector in sorted(self.dirty):
            start, end = sector * SECTOR_BYTES, min((sector + 1) * SECTOR_BYTES, size, len(self.content))
            if rng.random() < 0.5 and start < end:
                result[start:end] = self.content[start:end]
        self.content, self.durable, self.dirty = result, bytearray(result), set()


@dataclass(frozen=True, slots=True)
class _NameChange:
    """What was done to a folder and not synced: "create" (of an inode), "rename" or "unlink"."""

    kind: str
    path: str
    target: str = ""
    inode: _Inode | None = None


@dataclass(slots=True)
class _Fault:
    code: int
    times: int
    suffix: str


class LossyFiles:
    """See the module's head. Satisfies `store.journal.files.Files`."""

    def __init__(
        self, capacity_bytes: int | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.capacity_bytes = capacity_bytes
        self.operations: Counter[str] = Counter()
        self.on_operation: Callable[[str, str], None] | None = None
        self._sleep = sleep
        self._mutex = threading.RLock()
        self._names: dict[str, _Inode] = {}
        self._durable_names: dict[str, _Inode] = {}
        self._changes: list[_NameChange] = []
        self._folders: set[str] = set()
        self._locks: set[str] = set()
        self._faults: dict[str, list[_Fault]] = {}
        self._delays: dict[str, float] = {}
        self._is_off = False
        self._operations_left: int | None = None
        self._life = 0

    # ---- the port

    def make_folder(self, folder: str) -> None:
        self._enter("make_folder", folder)
        self._folders.add(folder)

    def names(self, folder: str) -> list[str]:
        self._enter("names", folder)
        prefix = f"{folder}/"
        with self._mutex:
            paths = [path for path in self._names if path.startswith(prefix)]
        return [path.removeprefix(prefix) for path in paths]

    def create(self, path: str) -> LossyFile:
        with self._doing("create", path), self._mutex:
            if path in self._names:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
            inode = _Inode()
            self._names[path] = inode
            self._changes.append(_NameChange("create", path, inode=inode))
            return LossyFile(self, path, inode, self._life)

    def open(self, path: str, write: bool = False) -> LossyFile:
        self._enter("open", path)
        with self._mutex:
            if path not in self._names:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            return LossyFile(self, path, self._names[path], self._life)

    def rename(self, source: str, target: str) -> None:
        with self._doing("rename", source), self._mutex:
            if source not in self._names:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
            self._names[target] = self._names.pop(source)
            self._changes.append(_NameChange("rename", source, target))

    def unlink(self, path: str) -> None:
        with self._doing("unlink", path), self._mutex:
            if path not in self._names:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            del self._names[path]
            self._changes.append(_NameChange("unlink", path))

    def sync_folder(self, folder: str) -> None:
        self._enter("sync_folder", folder)
        with self._mutex:
            kept = [change for change in self._changes if os.path.dirname(change.path) != folder]
            for change in self._changes:
                if os.path.dirname(change.path) == folder:
                    _apply(self._durable_names, change)
            self._changes = kept

    def lock(self, path: str) -> LossyLock:
        self._enter("lock", path)
        with self._mutex:
            if path in self._locks:
                raise BlockingIOError(errno.EWOULDBLOCK, "somebody else holds the lock", path)
            self._locks.add(path)
        return LossyLock(self, path, self._life)

    # ---- power

    def cut_power(self) -> None:
        """Nothing works any more."""
        self._is_off = True

    def cut_power_after(self, operations: int) -> None:
        """Lets so many more operations through. The one that meets the cut may leave unsynced traces, but no sync."""
        self._operations_left = operations

    def crash(self, rng: random.Random) -> None:
        """The power was cut and is back: unsynced sectors and names are kept or dropped one by one, locks are free,
        files that were open are not."""
        with self._mutex:
            names = dict(self._durable_names)
            for change in self._changes:
                if rng.random() < 0.5:
                    _apply(names, change)
            seen: set[int] = set()
            for inode in names.values():
                if id(inode) not in seen:
                    seen.add(id(inode))
                    inode.lose(rng)
            self._names, self._durable_names, self._changes = names, dict(names), []
            self._locks.clear()
            self._is_off, self._operations_left = False, None
            self._life += 1

    @property
    def is_off(self) -> bool:
        """Whether the cut has come."""
        return self._is_off

    def copy_with_unsynced(self) -> LossyFiles:
        """This very moment on another disk, to crash it in several ways."""
        other = LossyFiles(self.capacity_bytes, self._sleep)
        with self._mutex:
            state = (self._names, self._durable_names, self._changes, self._folders)
            other._names, other._durable_names, other._changes, other._folders = copy.deepcopy(state)
        return other

    # ---- faults

    def fail(self, operation: str, code: int, times: int = 1, suffix: str = "") -> None:
        """The next so many operations of that name (on paths that end so) raise OSError with that errno. A sync that
        fails marks its sectors as clean all the same, as Linux does: they are not on the platter, and stay readable."""
        self._faults.setdefault(operation, []).append(_Fault(code, times, suffix))

    def heal(self) -> None:
        """No more faults or delays."""
        self._faults.clear()
        self._delays.clear()

    def delay(self, operation: str, seconds: float) -> None:
        """Every operation of that name takes that long."""
        self._delays[operation] = seconds

    @property
    def used_bytes(self) -> int:
        """What all files take."""
        with self._mutex:
            return sum(len(inode.content) for inode in self._names.values())

    # ---- damage to what is durable

    def paths(self) -> list[str]:
        """Of every file, sorted."""
        return sorted(self._names)

    def content(self, path: str) -> bytes:
        return bytes(self._names[path].content)

    def flip_bit(self, path: str, offset: int, bit: int) -> None:
        for data in self._both(path):
            data[offset] ^= 1 << bit

    def overwrite(self, path: str, offset: int, data: bytes) -> None:
        for content in self._both(path):
            content[offset : offset + len(data)] = data

    def zero(self, path: str, offset: int, length: int) -> None:
        for data in self._both(path):
            data[offset : offset + length] = bytes(len(data[offset : offset + length]))

    def cut_short(self, path: str, length: int) -> None:
        for data in self._both(path):
            del data[length:]

    def swap_bytes(self, path: str, first: slice, second: slice) -> None:
        """Two stretches of a file, the first before the second, change places; they may be of unequal length."""
        for data in self._both(path):
            a, between, b = data[first], data[first.stop : second.start], data[second]
            data[first.start : second.stop] = b + between + a

    def swap_files(self, first: str, second: str) -> None:
        for names in (self._names, self._durable_names):
            names[first], names[second] = names[second], names[first]

    def move(self, source: str, target: str) -> None:
        for names in (self._names, self._durable_names):
            names[target] = names.pop(source)

    def remove(self, path: str) -> None:
        for names in (self._names, self._durable_names):
            names.pop(path, None)

    def copy(self) -> LossyFiles:
        """The same durable content on another disk, to damage many times what was written once."""
        other = LossyFiles(self.capacity_bytes, self._sleep)
        for path, inode in self._durable_names.items():
            twin = _Inode(bytearray(inode.durable), bytearray(inode.durable))
            other._names[path] = other._durable_names[path] = twin
        return other

    def _both(self, path: str) -> tuple[bytearray, bytearray]:
        inode = self._names[path]
        return inode.content, inode.durable

    # ---- how an operation begins

    def _enter(self, operation: str, path: str) -> None:
        """Counts it, delays it, and lets it meet its fault or the power cut before it does anything."""
        with self._mutex:
            if self._is_off:
                raise PowerCut
            self.operations[operation] += 1
            if self.on_operation is not None:
                self.on_operation(operation, path)
            if self._operations_left is not None:
                self._operations_left -= 1
                if self._operations_left < 0:
                    self._is_off = True
                    raise PowerCut
            fault = self._next_fault(operation, path)
            seconds = self._delays.get(operation, 0.0)
        if seconds:
            self._sleep(seconds)
        if fault is not None:
            raise OSError(fault, os.strerror(fault), path)

    def _next_fault(self, operation: str, path: str) -> int | None:
        for fault in self._faults.get(operation, ()):
            if fault.times > 0 and path.endswith(fault.suffix):
                fault.times -= 1
                return fault.code
        return None

    def _doing(self, operation: str, path: str) -> _Doing:
        return _Doing(self, operation, path)


class _Doing:
    """An operation whose traces stay when the power cut meets it: it is done, and then fails."""

    def __init__(self, disk: LossyFiles, operation: str, path: str) -> None:
        self._disk, self._operation, self._path = disk, operation, path
        self._met_cut = False

    def __enter__(self) -> None:
        was_off = self._disk._is_off
        try:
            self._disk._enter(self._operation, self._path)
        except PowerCut:
            if was_off:
                raise
            self._met_cut = True

    def __exit__(self, *error: object) -> None:
        if self._met_cut:
            raise PowerCut


class LossyFile:
    """An open file. After a crash it can be used no more, like the descriptors of a process that is gone."""

    def __init__(self, disk: LossyFiles, path: str, inode: _Inode, life: int) -> None:
        self._disk, self._path, self._inode, self._life = disk, path, inode, life
        self._is_closed = False

    def size(self) -> int:
        self._check()
        self._disk._enter("size", self._path)
        return len(self._inode.content)

    def pread(self, length: int, offset: int) -> bytes:
        self._check()
        self._disk._enter("pread", self._path)
        with self._disk._mutex:
            return bytes(self._inode.content[offset : offset + length])

    def pwrite(self, data: bytes, offset: int) -> None:
        self._check()
        with self._disk._doing("pwrite", self._path), self._disk._mutex:
            self._write(data, offset)

    def preallocate(self, offset: int, length: int) -> None:
        self._check()
        with self._disk._doing("preallocate", self._path), self._disk._mutex:
            self._write(bytes(length), offset)

    def truncate(self, length: int) -> None:
        self._check()
        with self._disk._doing("truncate", self._path), self._disk._mutex:
            content = self._inode.content
            content[length:] = bytes(max(0, length - len(content)))

    def sync(self) -> None:
        self._check()
        try:
            self._disk._enter("sync", self._path)
        except PowerCut:
            raise
        except OSError:
            self._inode.dirty.clear()
            raise
        with self._disk._mutex:
            inode = self._inode
            del inode.durable[len(inode.content) :]
            inode.durable.extend(bytes(len(inode.content) - len(inode.durable)))
            for sector in inode.dirty:
                stretch = slice(sector * SECTOR_BYTES, min((sector + 1) * SECTOR_BYTES, len(inode.content)))
                inode.durable[stretch] = inode.content[stretch]
            inode.dirty.clear()

    def close(self) -> None:
        self._is_closed = True

    def _write(self, data: bytes, offset: int) -> None:
        content = self._inode.content
        end = offset + len(data)
        grows = end - len(content)
        capacity = self._disk.capacity_bytes
        if grows > 0 and capacity is not None and self._disk.used_bytes + grows > capacity:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        if grows > 0:
            content.extend(bytes(grows))
        content[offset:end] = data
        self._inode.dirty.update(range(offset // SECTOR_BYTES, -(-end // SECTOR_BYTES)))

    def _check(self) -> None:
        if self._is_closed or self._life != self._disk._life:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), self._path)


class LossyLock:
    def __init__(self, disk: LossyFiles, path: str, life: int) -> None:
        self._disk, self._path, self._life = disk, path, life

    def release(self) -> None:
        if self._life == self._disk._life:
            self._disk._locks.discard(self._path)


def _apply(names: dict[str, _Inode], change: _NameChange) -> None:
    if change.kind == "create" and change.inode is not None:
        names.setdefault(change.path, change.inode)
    elif change.path in names:
        inode = names.pop(change.path)
        if change.kind == "rename":
            names[change.target] = inode
