"""Segment files: their names, their headers, and reading their frames one after another with every check."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from engine.records import RecordKind
from store.journal.codec import (
    BLOCK_BYTES,
    FRAME_HEADER_BYTES,
    FRAME_OVERHEAD_BYTES,
    BadBytes,
    Frame,
    SegmentHeader,
    align_up,
    decode_frame,
    decode_segment_header,
    encode_segment_header,
    frame_length,
    is_zero,
    next_hash,
)
from store.journal.files import File, Files
from store.journal.port import Entry

_SUFFIX = ".segment"
_DIGITS = 20
WINDOW_BYTES = 1 << 20
# Of a file at once, where one entry is wanted: it stands within so much of a mark, unless it is longer itself.
ENTRY_WINDOW_BYTES = 64 << 10
_MARK_EVERY_BYTES = 32 << 10
KINDS = {int(kind): kind for kind in RecordKind}


def segment_name(first_sequence: int) -> str:
    """Names sort as their sequences do."""
    return f"{first_sequence:0{_DIGITS}d}{_SUFFIX}"


def first_sequence_of(name: str) -> int | None:
    """None: not the name of a segment."""
    digits = name.removesuffix(_SUFFIX)
    if digits == name or len(digits) != _DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits)


def first_sequences(files: Files, folder: str) -> list[int]:
    """Of the segments that stand in a folder, rising."""
    found = (first_sequence_of(name) for name in files.names(folder))
    return sorted(first for first in found if first is not None)


def make_segment(files: Files, path: str, capacity_bytes: int) -> File:
    """A file of zeros that is on the disk, but whose name may not be. Leaves nothing behind if there is no room."""
    file = files.create(path)
    try:
        for offset in range(0, capacity_bytes, WINDOW_BYTES):
            file.preallocate(offset, min(WINDOW_BYTES, capacity_bytes - offset))
            file.sync()
    except OSError:
        file.close()
        with suppress(OSError):  # what stays is removed at the next start
            files.unlink(path)
        raise
    return file


def write_header(file: File, header: SegmentHeader) -> None:
    """Not synced."""
    file.pwrite(encode_segment_header(header), 0)


def read_header(file: File) -> SegmentHeader:
    """Raises BadBytes."""
    return decode_segment_header(file.pread(BLOCK_BYTES, 0))


@dataclass(slots=True)
class SegmentIndex:
    """Where entries lie in one segment: every so many bytes a mark, so that memory does not grow with entries.

    `base_bytes` counts what lies in the segments before it. `end_offset` is where the next group will begin.
    """

    first_sequence: int
    base_bytes: int
    end_offset: int = BLOCK_BYTES
    _sequences: array[int] = field(default_factory=lambda: array("Q"))
    _offsets: array[int] = field(default_factory=lambda: array("Q"))

    @property
    def end_bytes(self) -> int:
        """What lies in the segments up to this one."""
        return self.base_bytes + self.end_offset - BLOCK_BYTES

    def mark(self, sequence: int, offset: int) -> None:
        """Says where an entry begins; kept only where the mark before it is far."""
        if not self._offsets or offset - self._offsets[-1] >= _MARK_EVERY_BYTES:
            self._sequences.append(sequence)
            self._offsets.append(offset)

    def offset_before(self, sequence: int) -> tuple[int, int]:
        """(sequence, offset) of a marked entry at or before the wanted one."""
        at = bisect_right(self._sequences, sequence) - 1
        if at < 0:
            return self.first_sequence, BLOCK_BYTES
        return self._sequences[at], self._offsets[at]


class SegmentScan:
    """Goes through the frames of a segment and stops at the first thing that is no frame.

    Afterwards `offset` is where it stopped, `sequence` and `chain_hash` what comes before it; `fault` says what is
    wrong there, or None where the segment simply ends: zeros, as far as the next block's border. With a chain hash of
    None the chain is not checked, only checksums and sequences.
    """

    def __init__(
        self, file: File, offset: int, sequence: int, chain_hash: bytes | None, end_offset: int | None = None,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:  # fmt: skip
        self._file = file
        self._end = file.size() if end_offset is None else end_offset
        self._window_bytes = window_bytes
        self._window = b""
        self._window_at = 0
        self.offset = offset
        self.sequence = sequence  # of the last good frame
        self.chain_hash = chain_hash
        self.fault: str | None = None

    def frames(self) -> Iterator[tuple[int, Frame]]:
        """(offset, frame)"""
        while (length := self._length()) is not None:
            try:
                frame = self._frame(length)
            except BadBytes as error:
                self.fault = str(error)
                return
            at = self.offset
            self.offset += align_up(length, 8)
            self.sequence = frame.sequence
            if self.chain_hash is not None:
                self.chain_hash = frame.chain_hash
            yield at, frame

    def last_byte_of_rest(self) -> int | None:
        """The offset of the last byte that is not zero after where it stopped."""
        last = None
        for offset in range(self.offset, self._end, WINDOW_BYTES):
            part = self._file.pread(min(WINDOW_BYTES, self._end - offset), offset)
            if not is_zero(part):
                last = offset + len(part.rstrip(b"\0")) - 1
        return last

    def _length(self) -> int | None:
        """The length of the frame that begins here, or at the next border after zeros; None at the end or a fault."""
        for _ in range(2):
            left = self._end - self.offset
            if left < FRAME_OVERHEAD_BYTES:
                if not is_zero(self._bytes(self.offset, max(left, 0))):
                    self.fault = "a frame begins that the end of the file cuts off"
                return None
            length = frame_length(self._bytes(self.offset, FRAME_HEADER_BYTES), 0)
            if length:
                if length < FRAME_OVERHEAD_BYTES or align_up(length, 8) > left:
                    self.fault = f"a frame cannot be {length} bytes long here"
                    return None
                return length
            border = min(align_up(self.offset + 1), self._end)
            if not is_zero(self._bytes(self.offset, border - self.offset)):
                self.fault = "no frame begins here, and it is not zeros"
                return None
            if self.offset % BLOCK_BYTES == 0:
                return None
            self.offset = border
        return None

    def _frame(self, length: int) -> Frame:
        frame = decode_frame(self._bytes(self.offset, align_up(length, 8)), 0, length)
        if frame.sequence != self.sequence + 1:
            raise BadBytes(f"entry {frame.sequence} stands where {self.sequence + 1} belongs")
        if frame.kind not in KINDS:
            raise BadBytes(f"kind {frame.kind} is not known to this code")
        if self.chain_hash is not None:
            expected = next_hash(self.chain_hash, frame.sequence, frame.kind, frame.payload)
            if frame.chain_hash != expected:
                raise BadBytes("the chain of hashes is broken")
        return frame

    def _bytes(self, offset: int, length: int) -> bytes:
        """From the window, which moves on as it must."""
        at = offset - self._window_at
        if at < 0 or at + length > len(self._window):
            wanted = min(max(length, self._window_bytes), self._end - offset)
            self._window = self._file.pread(wanted, offset)
            self._window_at, at = offset, 0
        data = self._window[at : at + length]
        # A file that is cut while it is read is short; what is not there is no frame.
        return data if len(data) == length else data + b"\xff" * (length - len(data))


def entry_of(frame: Frame) -> Entry:
    """As the port speaks of it."""
    return Entry(frame.sequence, KINDS[frame.kind], frame.payload, frame.chain_hash)
