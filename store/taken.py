"""Which orders this host ever decided, kept on its own disk beyond the journal's segments.

The journal lets go of a segment once PostgreSQL has it. If the host then starts while PostgreSQL cannot be asked, it
must still know that such an order is taken, or it would decide it a second time. So of every order eight bytes stay: a
hash of its id, in append-only parts beside the segments. A hash says only "ask PostgreSQL before this is decided"; one
that two orders share costs a question, never an answer.

The journal is told that entries are drained only when the hashes of their orders are on the disk, so an order is always
in a segment, or here, or both.

    part      blocks one after another
    block     magic "ESST", count u32, crc32 u32 (of count and hashes), 4 zeros, count hashes of 8 bytes; big-endian

A part whose write failed is not written again: what is not known to be on the disk goes into a new one. A block that
does not verify ends its part (a torn write, which nobody relied upon), and is reported.
"""

from __future__ import annotations

import asyncio
import logging
import random
import struct
import sys
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

from store.backoff import Backoff
from store.ending import end
from store.journal.files import File, Files
from store.journal.lanes import Lanes

_MAGIC = b"ESST"
_BLOCK = struct.Struct(">4sII4x")
_COUNT = struct.Struct(">I")
_PREFIX, _SUFFIX, _DIGITS = "taken-", ".ids", 8
_ID_BYTES = 8
_SORTED_PLAINLY = 50_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TakenSettings:
    """A part is closed at `part_orders`; the orders of `kept_parts` stay, the oldest go. With the defaults the last 7
    to 8 million orders of the host are known, in 64 MB. More than `most_parts` are made into one. Hashes are written at
    most every `write_every_s`."""

    part_orders: int = 1_000_000
    kept_parts: int = 8
    most_parts: int = 32
    write_every_s: float = 0.1


@dataclass(frozen=True, slots=True)
class _Read:
    """What the parts hold: rising hashes without repetition, the numbers of the parts, the orders in the newest."""

    hashes: array[int]
    parts: tuple[int, ...]
    faults: tuple[str, ...]


def hash_of(order_id: str) -> int:
    """64 bits of an order id, the same in every process."""
    return int.from_bytes(blake2b(order_id.encode(), digest_size=_ID_BYTES).digest(), "big")


class TakenOrders:
    """Belongs to the event loop that opened it; its disk work runs on a lane of its own."""

    def __init__(
        self,
        files: Files,
        folder: str,
        lanes: Lanes,
        settings: TakenSettings,
        read: _Read,
        uniform: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._files = files
        self._folder = folder
        self._lanes = lanes
        self._settings = settings
        self._hashes = read.hashes
        self._parts = list(read.parts)
        self._file: File | None = None  # of the newest part, once something was written in this life
        self._offset = self._in_part = 0
        self._waiting: list[int] = []
        self._sequence = self._safe_sequence = 0
        self._safe: Callable[[int], None] = lambda _: None
        self._task: asyncio.Task[None] | None = None
        self._backoff = Backoff(first_s=0.1, last_s=2.0)
        self._uniform = uniform
        self._sleep = sleep
        self.failures = 0

    @classmethod
    async def open(
        cls,
        files: Files,
        folder: str,
        lanes: Lanes,
        settings: TakenSettings | None = None,
        *,
        uniform: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> TakenOrders:
        """Reads what earlier lives left; the folder is there. Raises OSError where it cannot be read."""
        settings = settings or TakenSettings()
        read = await lanes.run(lambda: _read_parts(files, folder, _numbers(files, folder)))
        for fault in read.faults:
            _log.warning("taken orders: %s", fault)
        return cls(files, folder, lanes, settings, read, uniform, sleep)

    def __len__(self) -> int:
        """Orders of earlier lives."""
        return len(self._hashes)

    def knows(self, order_id: str) -> bool:
        """Whether an earlier life of this host decided the order, almost surely; False is certain for the orders that
        are kept. Those of this life are in the claims."""
        hashes = self._hashes
        if not len(hashes):
            return False
        wanted = hash_of(order_id)
        at = bisect_left(hashes, wanted)
        return at < len(hashes) and hashes[at] == wanted

    def start(self, safe: Callable[[int], None]) -> None:
        """`safe` is called with a sequence when the orders of every entry up to it are on the disk."""
        self._safe = safe

    def drained(self, sequence: int, order_ids: Sequence[str]) -> None:
        """PostgreSQL has every entry up to the sequence; these are the orders that were decided in them. Waits for
        nothing."""
        self._waiting.extend(map(hash_of, order_ids))
        self._sequence = max(self._sequence, sequence)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write_all(), name="taken-orders")

    async def stop(self, deadline_s: float) -> None:
        """Writes what waits, for at most that long. What is not written is drained once more after the next start."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=deadline_s)
            await end(self._task)
        await self._lanes.stop()
        self._close_part()

    async def _write_all(self) -> None:
        failures = 0
        while self._safe_sequence < self._sequence:
            sequence, waiting = self._sequence, tuple(self._waiting)
            try:
                if waiting:
                    await self._lanes.run(partial(self._append, waiting))
            except OSError as error:
                failures += 1
                self.failures += 1
                if failures & (failures - 1) == 0:
                    _log.error("taken orders cannot be written (%d in a row): %s", failures, error)
                await self._sleep(self._backoff.delay_s(failures, self._uniform()))
                continue
            failures = 0
            del self._waiting[: len(waiting)]
            self._safe_sequence = sequence
            self._safe(sequence)
            await self._sleep(self._settings.write_every_s)

    # ---- on the lane

    def _append(self, hashes: tuple[int, ...]) -> None:
        """On the disk when it returns. After an error a new part is begun: nothing is known of the old one's end."""
        try:
            if self._file is None or self._in_part >= self._settings.part_orders:
                self._begin_part()
            assert self._file is not None
            block = _encode(hashes)
            self._file.pwrite(block, self._offset)
            self._file.sync()
        except OSError:
            self._close_part()
            raise
        self._offset += len(block)
        self._in_part += len(hashes)

    def _begin_part(self) -> None:
        """A new part a life, and where one is full: what an earlier life left at the end of its last one is not
        looked at again."""
        self._close_part()
        number = self._parts[-1] + 1 if self._parts else 1
        self._parts.append(number)  # first: a name that was tried is never given again
        self._file = self._files.create(_path(self._folder, number))
        self._offset = self._in_part = 0
        self._files.sync_folder(self._folder)
        if len(self._parts) > self._settings.most_parts:
            self._merge()
        self._thin_out()

    def _merge(self) -> None:
        """Many starts leave many small parts: what they hold goes into the new one, and then they go."""
        assert self._file is not None
        earlier, newest = self._parts[:-1], self._parts[-1]
        held = _read_parts(self._files, self._folder, earlier).hashes
        block = _encode(held)
        self._file.pwrite(block, 0)
        self._file.sync()
        self._offset, self._in_part = len(block), len(held)
        self._unlink(earlier)
        self._parts = [newest]

    def _unlink(self, parts: Sequence[int]) -> None:
        for number in parts:
            with suppress(FileNotFoundError):
                self._files.unlink(_path(self._folder, number))

    def _thin_out(self) -> None:
        """Lets go of the oldest parts while those after them hold enough orders."""
        enough = self._settings.part_orders * (self._settings.kept_parts - 1)
        held = 0
        for at in range(len(self._parts) - 2, -1, -1):
            if held >= enough:
                self._unlink(self._parts[: at + 1])
                del self._parts[: at + 1]
                return
            held += _size_of(self._files, _path(self._folder, self._parts[at])) // _ID_BYTES

    def _close_part(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _path(folder: str, number: int) -> str:
    return f"{folder}/{_PREFIX}{number:0{_DIGITS}d}{_SUFFIX}"


def _numbers(files: Files, folder: str) -> list[int]:
    names = [name for name in files.names(folder) if name.startswith(_PREFIX) and name.endswith(_SUFFIX)]
    digits = [name[len(_PREFIX) : -len(_SUFFIX)] for name in names]
    return sorted(int(one) for one in digits if len(one) == _DIGITS and one.isascii() and one.isdigit())


def _size_of(files: Files, path: str) -> int:
    try:
        file = files.open(path)
    except FileNotFoundError:
        return 0
    try:
        return file.size()
    finally:
        file.close()


def _encode(hashes: Sequence[int]) -> bytes:
    numbers = array("Q", hashes)
    if sys.byteorder == "little":
        numbers.byteswap()
    body = numbers.tobytes()
    count = _COUNT.pack(len(hashes))
    return _BLOCK.pack(_MAGIC, len(hashes), zlib.crc32(body, zlib.crc32(count))) + body


def _read_parts(files: Files, folder: str, parts: Sequence[int]) -> _Read:
    found = array("Q")
    faults: list[str] = []
    for number in parts:
        path = _path(folder, number)
        try:
            file = files.open(path)
        except FileNotFoundError:
            continue  # a part whose making failed
        try:
            data = file.pread(file.size(), 0)
        finally:
            file.close()
        end = _read_blocks(data, found)
        if end < len(data):
            faults.append(f"{path} ends at {end} of {len(data)} bytes in a block that does not verify")
    return _Read(_rising(found), tuple(parts), tuple(faults))


def _rising(hashes: array[int]) -> array[int]:
    """Sorted, each once."""
    if len(hashes) <= _SORTED_PLAINLY:
        return array("Q", sorted(set(hashes)))
    # Here and only for many: a keeper that has few orders starts without the time that this import takes.
    import numpy as np

    return array("Q", np.unique(np.frombuffer(hashes, dtype=np.uint64)).tobytes())


def _read_blocks(data: bytes, found: array[int]) -> int:
    """Adds the hashes of every whole block; the offset after the last."""
    offset = 0
    while len(data) - offset >= _BLOCK.size:
        magic, count, checksum = _BLOCK.unpack_from(data, offset)
        begin = offset + _BLOCK.size
        body = data[begin : begin + count * _ID_BYTES]
        if magic != _MAGIC or len(body) != count * _ID_BYTES:
            break
        if checksum != zlib.crc32(body, zlib.crc32(_COUNT.pack(count))):
            break
        hashes = array("Q", body)
        if sys.byteorder == "little":
            hashes.byteswap()
        found.extend(hashes)
        offset = begin + len(body)
    return offset
