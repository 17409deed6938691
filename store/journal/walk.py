"""Going through a journal in order, with every check, up to the first thing that is not as it was acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from store.journal.codec import BLOCK_BYTES, BadBytes, Frame, HeadSlot, SegmentHeader, align_up, first_hash
from store.journal.damage import Damage, Damaged
from store.journal.files import File, Files
from store.journal.segments import SegmentIndex, SegmentScan, first_sequences, read_header, segment_name


@dataclass(frozen=True, slots=True)
class Step:
    """A frame and where it stands."""

    index: SegmentIndex
    offset: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class TailEnd:
    """Where the last segment's frames end. `last_byte` is that of what stands after them (None: only zeros)."""

    first_sequence: int
    offset: int
    sequence: int
    chain_hash: bytes
    file_bytes: int
    fault: str | None
    last_byte: int | None


class Walk:
    """One pass. Segments in which everything is at or below `after` are only looked at in their headers."""

    def __init__(self, files: Files, folder: str, slot: HeadSlot, after: int) -> None:
        self._files = files
        self._folder = folder
        self._slot = slot
        self._after = after
        self._intact = slot.kept_from - 1
        self._base = 0
        self._previous: int | None = None  # first sequence of the segment before
        self._before: SegmentScan | None = None  # how the segment before ended, if it was read
        self.indexes: list[SegmentIndex] = []
        self.tail: TailEnd | None = None
        self.bytes_read = 0

    def steps(self) -> Iterator[Step]:
        """Every frame from the first segment that must be read. Raises Damaged. Afterwards `tail` and `indexes`
        hold; a fault above the head in the last segment is no damage, and stands in `tail`."""
        firsts = [first for first in first_sequences(self._files, self._folder) if first >= self._slot.kept_from]
        if not firsts or firsts[0] != self._slot.kept_from:
            raise self._missing(self._slot.kept_from)
        for place, first in enumerate(firsts):
            following = firsts[place + 1] if place + 1 < len(firsts) else None
            file = self._files.open(f"{self._folder}/{segment_name(first)}")
            try:
                yield from self._segment(file, first, following)
            finally:
                file.close()
            self._previous = first

    def _segment(self, file: File, first: int, following: int | None) -> Iterator[Step]:
        header = self._header(file, first)
        index = SegmentIndex(first, self._base)
        self.indexes.append(index)
        if following is not None and following <= self._after + 1:
            index.end_offset = align_up(file.size())  # an upper bound is enough for what is drained
            self._before = None
        else:
            scan = SegmentScan(file, BLOCK_BYTES, first - 1, header.previous_hash)
            for offset, frame in scan.frames():
                self._check_head(first, offset, frame.sequence, frame.chain_hash)
                index.mark(frame.sequence, offset)
                self._intact = frame.sequence
                yield Step(index, offset, frame)
            index.end_offset = align_up(scan.offset)
            self.bytes_read += scan.offset
            if following is None:
                self._end(file, first, scan)
            else:
                self._check_sealed(first, scan)
        self._base = index.end_bytes

    def _header(self, file: File, first: int) -> SegmentHeader:
        try:
            header = read_header(file)
        except BadBytes as error:
            raise self._damaged(first, 0, first, f"header: {error}") from error
        if header.journal_id != self._slot.journal_id:
            raise self._damaged(first, 0, first, f"it belongs to journal {header.journal_id}")
        if header.first_sequence != first:
            reason = f"renamed or swapped: its header says that it begins with entry {header.first_sequence}"
            raise self._damaged(first, 0, first, reason)
        if self._previous is not None and header.previous_first != self._previous:
            raise self._missing(header.previous_first)
        before = self._before
        if before is not None and self._previous is not None:
            if before.sequence + 1 != first:
                reason = f"it ends after entry {before.sequence}, and the next segment begins with entry {first}"
                raise self._damaged(self._previous, before.offset, before.sequence + 1, reason)
            if before.chain_hash != header.previous_hash:
                raise self._damaged(first, 0, first, "its header does not continue the chain of hashes")
        if first == 1 and header.previous_hash != first_hash(header.journal_id):
            raise self._damaged(first, 0, first, "its header does not begin the chain of hashes")
        self._check_head(first, 0, first - 1, header.previous_hash)
        return header

    def _check_head(self, first: int, offset: int, sequence: int, chain_hash: bytes) -> None:
        if sequence == self._slot.sequence and chain_hash != self._slot.chain_hash:
            reason = "it is whole, but not what was acknowledged: the head holds another chain hash"
            raise self._damaged(first, offset, sequence, reason)

    def _check_sealed(self, first: int, scan: SegmentScan) -> None:
        """A segment was synced before the next one was begun, so no power cut explains a fault in it. Whether its
        end is missing shows when the next header was read."""
        if scan.fault is not None:
            raise self._damaged(first, scan.offset, scan.sequence + 1, scan.fault)
        last = scan.last_byte_of_rest()
        if last is not None:
            reason = "bytes that are not zero stand after its last entry"
            raise self._damaged(first, last, scan.sequence + 1, reason)
        self._before = scan

    def _end(self, file: File, first: int, scan: SegmentScan) -> None:
        if scan.sequence < self._slot.sequence:
            if scan.fault is None and first < self._slot.tail_first:
                raise self._missing(scan.sequence + 1)
            reason = scan.fault or f"nothing stands here, and entries up to {self._slot.sequence} were acknowledged"
            raise self._damaged(first, scan.offset, scan.sequence + 1, reason)
        assert scan.chain_hash is not None
        self.tail = TailEnd(
            first_sequence=first,
            offset=scan.offset,
            sequence=scan.sequence,
            chain_hash=scan.chain_hash,
            file_bytes=file.size(),
            fault=scan.fault,
            last_byte=scan.last_byte_of_rest(),
        )

    def _missing(self, first: int) -> Damaged:
        return self._damaged(first, 0, first, "this segment is not there")

    def _damaged(self, first: int, offset: int, sequence: int, reason: str) -> Damaged:
        return Damaged(Damage(segment_name(first), offset, sequence, reason, self._intact))
