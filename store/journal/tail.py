"""The end of the journal where the committer writes: groups, new segments, the head.

What goes into the current segment is put together here and written by whoever the journal gives it to (`plan`, then
`done`): the caller may be the event loop. Beginning a segment blocks.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from store.journal.codec import (
    BLOCK_BYTES,
    HeadSlot,
    SegmentHeader,
    align_up,
    encode_frame,
    encode_head_slot,
    frame_bytes,
    next_hash,
)
from store.journal.files import File, Files
from store.journal.head import head_offset
from store.journal.port import Head
from store.journal.segments import make_segment, segment_name, write_header
from store.journal.settings import JournalSettings
from store.journal.writing import NO_SPACE, GroupWrite, NoSpace, write_data, write_group

SPARE_PREFIX = "spare"
_STEP_BYTES = 256 << 10

_log = logging.getLogger(__name__)


class Waiting(msgspec.Struct, frozen=True):
    """An entry that was taken and is not durable yet."""

    sequence: int
    kind: int
    payload: bytes
    future: asyncio.Future[Head]


class Written(msgspec.Struct, frozen=True):
    """What one commit made durable: so many of the entries it was given, in one segment. `marks` are (sequence,
    offset), `chain_hashes` are those of the entries. `room_bytes` is what is left in the segment."""

    count: int
    head: Head
    segment_first: int
    marks: tuple[tuple[int, int], ...]
    chain_hashes: tuple[bytes, ...]
    end_offset: int
    room_bytes: int


@dataclass(slots=True)
class _Spare:
    """A segment to be: zeros, on the disk so far as they are laid out. It can be taken before it is complete."""

    file: File
    path: str
    target_bytes: int
    laid_out_bytes: int = 0


class _Group(msgspec.Struct, frozen=True):
    data: bytes
    marks: tuple[tuple[int, int], ...]
    chain_hashes: tuple[bytes, ...]
    sequence: int


class Plan(msgspec.Struct, frozen=True):
    """A group that is to be written, and where the journal is when it was."""

    write: GroupWrite
    slot: HeadSlot
    group: _Group | None


class Tail:
    """`plan`, `plan_head`, `done` and `begin_segment` take turns: none is called before what another began is over.
    `prepare_spare` belongs to the background lane."""

    def __init__(
        self,
        files: Files,
        folder: str,
        settings: JournalSettings,
        *,
        head_file: File,
        slot: HeadSlot,
        file: File,
        offset: int,
        capacity_bytes: int,
    ) -> None:
        self._files = files
        self._folder = folder
        self._settings = settings
        self._head_file = head_file
        self._slot = slot
        self._file = file
        self._offset = offset
        self._capacity = capacity_bytes
        self._spare: _Spare | None = None
        self._spare_mutex = threading.Lock()
        self._spare_numbers = itertools.count(1)
        self._abandoned = False
        # Set by the event loop, written with the next head. Losing it costs reading a little more at the next start.
        self.drained_sequence = slot.drained_sequence

    @property
    def slot(self) -> HeadSlot:
        return self._slot

    @property
    def room_bytes(self) -> int:
        return self._capacity - self._offset

    def plan(self, waiting: Sequence[Waiting]) -> Plan | None:
        """The first of them, as many as go into one group of this segment; None where the first needs another segment.
        Nothing has changed yet."""
        if self._offset + align_up(frame_bytes(len(waiting[0].payload))) > self._capacity:
            return None
        group = self._encode(waiting, self._offset, self._capacity)
        return self._plan(self._slot_after(group), group)

    def plan_head(self, kept_from: int | None = None) -> Plan:
        """The drained sequence, and that segments before `kept_from` need not be there any more."""
        kept_from = self._slot.kept_from if kept_from is None else kept_from
        return self._plan(self._next_slot(kept_from=kept_from), None)

    def done(self, plan: Plan) -> Written | None:
        """It is on the disk; what that made durable. None for a head alone."""
        self._slot = plan.slot
        if plan.group is None:
            return None
        self._offset += len(plan.group.data)
        return self._written(plan.group)

    def begin_segment(self, waiting: Sequence[Waiting]) -> Written:
        """Makes the first of them durable in a new segment: as many as go into one group. Blocks. Raises NoSpace
        (nothing has changed) or OSError (the journal must be opened anew)."""
        needed = align_up(frame_bytes(len(waiting[0].payload)))
        spare = self._take_spare(BLOCK_BYTES + needed)
        group = self._encode(waiting, BLOCK_BYTES, spare.laid_out_bytes)
        self._begin_segment(spare, group, waiting[0].sequence)
        plan = self._plan(self._slot_after(group), None)
        write_group(plan.write)
        self._slot = plan.slot
        self._offset += len(group.data)
        return self._written(group)

    def prepare_spare(self, budget_bytes: int) -> None:
        """Lays out about that much of the next segment, so that beginning it costs two syncs and no zeros. The next
        one is up to twice as long as the one in use, so that a journal that holds little takes little. Settles for a
        short one if there is no room for more; raises NoSpace if there is not even that."""
        urgent_bytes = self._settings.urgent_segment_bytes
        for target, budget in ((self._next_bytes(), budget_bytes), (urgent_bytes, urgent_bytes)):
            try:
                self._lay_out(target, budget)
                return
            except OSError as error:
                if error.errno not in NO_SPACE:
                    # The disk is ill: the committer will find out when it needs a segment, and say so.
                    _log.warning("no segment could be made ahead: %s", error)
                    return
                if self._settle(urgent_bytes):
                    return
        raise NoSpace

    def abandon(self) -> None:
        """No spare is needed any more."""
        self._abandoned = True

    def close(self) -> None:
        """Lets go of the files, and syncs nothing."""
        self._file.close()
        self._head_file.close()
        spare, self._spare = self._spare, None
        if spare is not None:
            self._discard(spare)

    def _encode(self, waiting: Sequence[Waiting], offset: int, capacity: int) -> _Group:
        """The frames of one group, filled with zeros to whole blocks, so that no block is read before it is written."""
        room = min(capacity - offset, self._settings.group_bytes)
        chain_hash, total, sequence = self._slot.chain_hash, 0, self._slot.sequence
        frames: list[bytes] = []
        marks: list[tuple[int, int]] = []
        hashes: list[bytes] = []
        for entry in waiting:
            size = frame_bytes(len(entry.payload))
            if frames and total + size > room:
                break
            chain_hash = next_hash(chain_hash, entry.sequence, entry.kind, entry.payload)
            frames.append(encode_frame(entry.sequence, entry.kind, entry.payload, chain_hash))
            marks.append((entry.sequence, offset + total))
            hashes.append(chain_hash)
            total += size
            sequence = entry.sequence
        frames.append(bytes(align_up(total) - total))
        return _Group(b"".join(frames), tuple(marks), tuple(hashes), sequence)

    def _begin_segment(self, spare: _Spare, group: _Group, first: int) -> None:
        """A segment gets its name when its header and first group are on the disk: none with a torn header exists."""
        slot = self._slot
        header = SegmentHeader(slot.journal_id, first, slot.tail_first, slot.chain_hash)
        try:
            write_header(spare.file, header)
            write_data(spare.file, group.data, BLOCK_BYTES)
            spare.file.sync()
            self._files.rename(spare.path, f"{self._folder}/{segment_name(first)}")
            self._files.sync_folder(self._folder)
        except NoSpace:
            self._discard(spare)
            raise
        except OSError:
            spare.file.close()
            raise
        self._file.close()
        self._file, self._offset, self._capacity = spare.file, BLOCK_BYTES, spare.laid_out_bytes
        self._slot = replace(slot, tail_first=first)

    def _slot_after(self, group: _Group) -> HeadSlot:
        return self._next_slot(sequence=group.sequence, chain_hash=group.chain_hashes[-1])

    def _next_slot(self, **changed: Any) -> HeadSlot:
        """`changed`: fields of the slot that is on the disk."""
        slot = self._slot
        return replace(slot, generation=slot.generation + 1, drained_sequence=self.drained_sequence, **changed)

    def _plan(self, slot: HeadSlot, group: _Group | None) -> Plan:
        data = b"" if group is None else group.data
        head = encode_head_slot(slot)
        write = GroupWrite(self._file, data, self._offset, self._head_file, head, head_offset(slot))
        return Plan(write, slot, group)

    def _written(self, group: _Group) -> Written:
        return Written(
            count=len(group.marks),
            head=Head(self._slot.journal_id, group.sequence, group.chain_hashes[-1]),
            segment_first=self._slot.tail_first,
            marks=group.marks,
            chain_hashes=group.chain_hashes,
            end_offset=self._offset,
            room_bytes=self.room_bytes,
        )

    def _take_spare(self, at_least_bytes: int) -> _Spare:
        with self._spare_mutex:
            spare = self._spare
            if spare is not None and spare.laid_out_bytes >= at_least_bytes:
                self._spare = None
                return spare
        try:
            size = max(self._settings.urgent_segment_bytes, at_least_bytes)
            path = self._spare_path()
            return _Spare(make_segment(self._files, path, size), path, size, size)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise NoSpace from error
            raise

    def _next_bytes(self) -> int:
        return max(self._settings.urgent_segment_bytes, min(self._settings.segment_bytes, 2 * self._capacity))

    def _lay_out(self, target_bytes: int, budget_bytes: int) -> None:
        """In steps, so that a commit's sync never waits for many zeros, and the committer never long for the mutex."""
        left = budget_bytes
        while left > 0 and not self._abandoned:
            with self._spare_mutex:
                if self._spare is None:
                    path = self._spare_path()
                    self._spare = _Spare(self._files.create(path), path, target_bytes)
                spare = self._spare
                step = min(_STEP_BYTES, spare.target_bytes - spare.laid_out_bytes)
                if step <= 0:
                    return
                spare.file.preallocate(spare.laid_out_bytes, step)
                spare.file.sync()
                spare.laid_out_bytes += step
            left -= step

    def _settle(self, enough_bytes: int) -> bool:
        """After the disk refused more: takes what is laid out for the whole if it is enough, or lets go of it."""
        with self._spare_mutex:
            spare = self._spare
            if spare is None:
                return False
            if spare.laid_out_bytes >= enough_bytes:
                spare.target_bytes = spare.laid_out_bytes
                return True
            self._spare = None
            self._discard(spare)
            return False

    def _spare_path(self) -> str:
        return f"{self._folder}/{SPARE_PREFIX}.{next(self._spare_numbers)}"

    def _discard(self, spare: _Spare) -> None:
        spare.file.close()
        with suppress(OSError):  # what stays is removed at the next start
            self._files.unlink(spare.path)
