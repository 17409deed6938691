"""Opening a journal: what is there, is it what was acknowledged, and where does it go on. Blocking code.

The head file says up to where somebody was told. At or below it everything must verify, or Damaged is raised. Above it
whole frames are kept (they were written, nobody was told; now they count), and what no whole frame explains is the
torn end of a write: it is cut, and reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from msgspec.structs import replace

from store.errors import JournalError
from store.journal.codec import BLOCK_BYTES, BadBytes, HeadSlot, SegmentHeader, align_up, first_hash
from store.journal.damage import Damage, Damaged
from store.journal.files import File, Files, Lock
from store.journal.head import HEAD_NAME, NEW_HEAD_NAME, HeadRead, create_head, read_head, write_head
from store.journal.port import Entry, Head
from store.journal.segments import (
    SegmentIndex,
    entry_of,
    first_sequences,
    make_segment,
    read_header,
    segment_name,
    write_header,
)
from store.journal.settings import JournalSettings
from store.journal.tail import SPARE_PREFIX, Tail
from store.journal.walk import TailEnd, Walk

LOCK_NAME = "lock"
_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class CutTail:
    """The torn end of a write that nobody was told of; `byte_count` from the first to the last byte that was cut."""

    segment: str
    offset: int
    byte_count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening found. `kept_head` is what the head file held, `head` what is durable now: `entries_above_head`
    whole entries more. `head_faults` tells of a slot that could not be read (the other one could): a torn write, or
    a damaged byte."""

    head: Head
    kept_head: Head
    drained_sequence: int
    is_new: bool
    entries_read: int
    entries_above_head: int
    bytes_read: int
    segments: int
    cut: CutTail | None
    head_faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """What a Journal goes on with."""

    tail: Tail
    lock: Lock
    head: Head
    indexes: list[SegmentIndex]
    recovery: Recovery


@dataclass(frozen=True, slots=True)
class _Walked:
    """How many whole entries were read, how many of them above the head, and the least offset of these (None: none)."""

    entries: int
    above_head: int
    above_from: int | None


@dataclass(frozen=True, slots=True)
class Verification:
    """A whole journal, read through. `damage` is the first, or None: then everything up to `head` and the
    `entries_above_head` are what was written. `head` is None where the head file cannot be read."""

    head: Head | None
    first_sequence: int
    last_sequence: int
    entries: int
    entries_above_head: int
    damage: Damage | None


def recover(files: Files, folder: str, settings: JournalSettings, new_id: Callable[[], str]) -> Opened:
    """Opens the folder's journal, or makes a new one in an empty folder. Raises JournalError (somebody else has it),
    Damaged (a JournalCorrupt) or OSError."""
    files.make_folder(folder)
    try:
        lock = files.lock(f"{folder}/{LOCK_NAME}")
    except BlockingIOError as error:
        raise JournalError(f"another process has the journal in {folder}") from error
    try:
        is_new = _make_new(files, folder, settings, new_id)
        return _open(files, folder, settings, lock, is_new)
    except BaseException:
        lock.release()
        raise


def salvage(files: Files, folder: str, after: int = 0) -> Iterator[Entry]:
    """Every intact entry after a sequence up to the first damage, in order; then ends (`verify` names the damage).
    Changes nothing, takes no lock, and works without a readable head."""
    slot = _head_or_damage(files, folder)[0] or _slot_without_head(files, folder)
    if slot is None:
        return
    with suppress(Damaged):
        for step in Walk(files, folder, slot, max(after, slot.kept_from - 1)).steps():
            if step.frame.sequence > after:
                yield entry_of(step.frame)


def verify(files: Files, folder: str) -> Verification:
    """Reads every byte of every segment that is still there. Changes nothing; for a journal that nobody writes."""
    kept, damage = _head_or_damage(files, folder)
    slot = kept or _slot_without_head(files, folder)
    if slot is None:
        return Verification(None, 0, 0, 0, 0, damage)
    entries, last = 0, slot.kept_from - 1
    try:
        for step in Walk(files, folder, slot, slot.kept_from - 1).steps():
            entries, last = entries + 1, step.frame.sequence
    except Damaged as error:
        damage = damage or error.damage
    above = 0 if kept is None else max(0, last - kept.sequence)
    head = None if kept is None else Head(kept.journal_id, kept.sequence, kept.chain_hash)
    return Verification(head, slot.kept_from, last, entries, above, damage)


def _make_new(files: Files, folder: str, settings: JournalSettings, new_id: Callable[[], str]) -> bool:
    """Removes what an earlier run left half-made; makes the files of a new journal where there is none."""
    left = [name for name in files.names(folder) if name == NEW_HEAD_NAME or name.startswith(f"{SPARE_PREFIX}.")]
    for name in left:
        files.unlink(f"{folder}/{name}")
    if left:
        # Or a power cut could bring an old file back under a name that is given again in this life.
        files.sync_folder(folder)
    has_segments = bool(first_sequences(files, folder))
    is_new = HEAD_NAME not in files.names(folder)
    if is_new:
        if has_segments:
            raise Damaged(_head_damage("the head file is not there"))
        journal_id = new_id()
        create_head(files, folder, HeadSlot(2, journal_id, 0, first_hash(journal_id), 0, 1, 1))
    if not has_segments:
        slot = _open_head(files, folder).slot
        if slot is not None and slot.sequence == 0:
            _make_first_segment(files, folder, settings, slot)
    return is_new


def _make_first_segment(files: Files, folder: str, settings: JournalSettings, slot: HeadSlot) -> None:
    path = f"{folder}/{SPARE_PREFIX}.0"
    file = make_segment(files, path, settings.urgent_segment_bytes)
    try:
        write_header(file, SegmentHeader(slot.journal_id, 1, 0, slot.chain_hash))
        file.sync()
    finally:
        file.close()
    files.rename(path, f"{folder}/{segment_name(1)}")
    files.sync_folder(folder)


def _open(files: Files, folder: str, settings: JournalSettings, lock: Lock, is_new: bool) -> Opened:
    read = _open_head(files, folder)
    slot = read.slot
    if slot is None:
        raise Damaged(_head_damage("; ".join(read.faults)))
    walk = Walk(files, folder, slot, slot.drained_sequence)
    found = _walked(walk, slot.sequence)
    end = walk.tail
    assert end is not None
    head_file = files.open(f"{folder}/{HEAD_NAME}", write=True)
    file = files.open(f"{folder}/{segment_name(end.first_sequence)}", write=True)
    try:
        cut = _repair(file, end, found.above_from)
        opened_slot = _renew_head(head_file, slot, end)
    except BaseException:
        file.close()
        head_file.close()
        raise
    _remove_leftovers(files, folder, slot.kept_from)
    tail = Tail(
        files,
        folder,
        settings,
        head_file=head_file,
        slot=opened_slot,
        file=file,
        offset=align_up(end.offset),
        capacity_bytes=end.file_bytes - end.file_bytes % BLOCK_BYTES,
    )
    head = Head(slot.journal_id, end.sequence, end.chain_hash)
    recovery = Recovery(
        head=head,
        kept_head=Head(slot.journal_id, slot.sequence, slot.chain_hash),
        drained_sequence=slot.drained_sequence,
        is_new=is_new,
        entries_read=found.entries,
        entries_above_head=found.above_head,
        bytes_read=walk.bytes_read,
        segments=len(walk.indexes),
        cut=cut,
        head_faults=read.faults,
    )
    return Opened(tail, lock, head, walk.indexes, recovery)


def _walked(walk: Walk, head_sequence: int) -> _Walked:
    entries, above_head, above_from = 0, 0, None
    for step in walk.steps():
        entries += 1
        if step.frame.sequence > head_sequence:
            above_head += 1
            if above_from is None or step.offset < above_from:
                above_from = step.offset
    return _Walked(entries, above_head, above_from)


def _repair(file: File, end: TailEnd, above_from: int | None) -> CutTail | None:
    """Makes what is above the head durable, and zeros what is torn.

    Whole frames above the head are written once more: after a failed sync the page cache may show bytes that are not
    on the disk, and count them as clean, so that a sync alone would do nothing.
    """
    cut = None
    if end.last_byte is not None:
        length = end.last_byte + 1 - end.offset
        reason = end.fault or "bytes that are not zero stand after the last whole frame"
        cut = CutTail(segment_name(end.first_sequence), end.offset, length, reason)
        file.preallocate(end.offset, length)
    if above_from is not None:
        for offset in range(above_from, end.offset, _COPY_BYTES):
            file.pwrite(file.pread(min(_COPY_BYTES, end.offset - offset), offset), offset)
    if cut is not None or above_from is not None:
        file.sync()
    return cut


def _renew_head(head_file: File, slot: HeadSlot, end: TailEnd) -> HeadSlot:
    """Writes both slots: one may be torn, or stand in the page cache only."""
    for _ in range(2):
        slot = replace(
            slot,
            generation=slot.generation + 1,
            sequence=end.sequence,
            chain_hash=end.chain_hash,
            tail_first=end.first_sequence,
        )
        write_head(head_file, slot)
    return slot


def _remove_leftovers(files: Files, folder: str, kept_from: int) -> None:
    """Segments that were to go when the process ended."""
    for first in first_sequences(files, folder):
        if first < kept_from:
            files.unlink(f"{folder}/{segment_name(first)}")


def _open_head(files: Files, folder: str) -> HeadRead:
    file = files.open(f"{folder}/{HEAD_NAME}")
    try:
        return read_head(file)
    finally:
        file.close()


def _head_or_damage(files: Files, folder: str) -> tuple[HeadSlot | None, Damage | None]:
    try:
        read = _open_head(files, folder)
    except FileNotFoundError:
        # Without segments too it is no journal (yet).
        return None, _head_damage("the head file is not there") if first_sequences(files, folder) else None
    return read.slot, None if read.slot is not None else _head_damage("; ".join(read.faults))


def _slot_without_head(files: Files, folder: str) -> HeadSlot | None:
    """What the segments themselves say: nothing of it counts as acknowledged, but it can be read."""
    firsts = first_sequences(files, folder)
    for first in firsts:
        file = files.open(f"{folder}/{segment_name(first)}")
        try:
            journal_id = read_header(file).journal_id
        except BadBytes:
            continue
        finally:
            file.close()
        return HeadSlot(0, journal_id, 0, first_hash(journal_id), 0, firsts[0], firsts[-1])
    return None


def _head_damage(reason: str) -> Damage:
    return Damage(HEAD_NAME, 0, 0, reason, 0)
