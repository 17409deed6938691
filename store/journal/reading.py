"""Reading durable entries back while the journal goes on. Blocking code, for the read lane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from store.errors import EntriesGone
from store.journal.damage import Damage, Damaged
from store.journal.files import Files
from store.journal.port import Entry
from store.journal.segments import (
    ENTRY_WINDOW_BYTES,
    WINDOW_BYTES,
    SegmentIndex,
    SegmentScan,
    entry_of,
    segment_name,
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a segment that is durable: frames from `offset` on, the first with `sequence`, up to `end_offset`."""

    first_sequence: int
    sequence: int
    offset: int
    end_offset: int


def stretches_after(indexes: Sequence[SegmentIndex], after: int) -> tuple[Stretch, ...]:
    """Where the entries after a sequence stand. Raises EntriesGone if the first of them is not kept any more."""
    if after + 1 < indexes[0].first_sequence:
        raise EntriesGone(after + 1, indexes[0].first_sequence)
    found: list[Stretch] = []
    for index in reversed(indexes):
        sequence, offset = index.offset_before(after + 1)
        found.append(Stretch(index.first_sequence, sequence, offset, index.end_offset))
        if index.first_sequence <= after + 1:
            break
    return tuple(reversed(found))


def read_entries(
    files: Files, folder: str, stretches: Sequence[Stretch], after: int, through: int, most: int, most_bytes: int
) -> tuple[Entry, ...]:
    """Entries after `after` up to `through`, at least one, no more than `most` or than fit into `most_bytes` of
    payload. Checksums and sequences are checked; the chain was when they were written or recovered. Raises Damaged."""
    entries: list[Entry] = []
    total = 0
    window_bytes = ENTRY_WINDOW_BYTES if most == 1 else WINDOW_BYTES
    for stretch in stretches:
        file = files.open(f"{folder}/{segment_name(stretch.first_sequence)}")
        try:
            scan = SegmentScan(file, stretch.offset, stretch.sequence - 1, None, stretch.end_offset, window_bytes)
            for _, frame in scan.frames():
                if frame.sequence <= after:
                    continue
                total += len(frame.payload)
                if entries and total > most_bytes:
                    return tuple(entries)
                entries.append(entry_of(frame))
                if len(entries) == most or frame.sequence == through:
                    return tuple(entries)
        finally:
            file.close()
        if scan.fault is not None or stretch is stretches[-1]:
            raise _damaged(stretch, scan, scan.fault or f"it ends before entry {through}, which is durable")
    return tuple(entries)


def missing_segment(stretch: Stretch, after: int) -> Damaged:
    """The error for a segment that should be there."""
    name = segment_name(stretch.first_sequence)
    return Damaged(Damage(name, 0, after + 1, "the segment is not there", after))


def _damaged(stretch: Stretch, scan: SegmentScan, reason: str) -> Damaged:
    name = segment_name(stretch.first_sequence)
    return Damaged(Damage(name, scan.offset, scan.sequence + 1, reason, scan.sequence))
