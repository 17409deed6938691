"""The journal's bytes: frames, the header of a segment, the slots of the head. Pure functions.

All numbers are big-endian. Every block (4 KiB) that is written on its own ends in a CRC-32 of all that is before it, so
that no bit of it can change unseen. Groups of frames start on a block's border: bytes that were acknowledged are never
written a second time, not even as neighbours in a sector.

    segment   header block, groups of frames, zeros
    frame     length u32 (without the padding), crc32 u32 (of all but itself), sequence u64, kind u8, 7 zeros,
              payload, chain hash 32 bytes, zeros up to a multiple of 8
    head      two slots of one block each, written in turn
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass

import msgspec

BLOCK_BYTES = 4096
HASH_BYTES = 32
FORMAT_VERSION = 1
MOST_ID_BYTES = 64

_FRAME = struct.Struct(">IIQB7x")
_CHECKED = struct.Struct(">IQB7x")  # a frame's header but for its checksum
_LENGTH = struct.Struct(">I")
_CHAINED = struct.Struct(">QB")
_CRC = struct.Struct(">I")
_SEGMENT = struct.Struct(">8sHH64sQQ32s")
_HEAD = struct.Struct(">8sHHH64sQQQQQ32s")
_SHA256 = hashlib.sha256()  # of nothing yet: a copy costs less than asking OpenSSL for another
_SEGMENT_MAGIC = b"ESSJSEGM"
_HEAD_MAGIC = b"ESSJHEAD"

FRAME_OVERHEAD_BYTES = _FRAME.size + HASH_BYTES
FRAME_HEADER_BYTES = _FRAME.size


class BadBytes(Exception):
    """Bytes that are not what they should be; the message says in what way."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One entry's bytes taken apart. `kind` is not checked here: it is a number that the checksum vouches for."""

    sequence: int
    kind: int
    payload: bytes
    chain_hash: bytes


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """`previous_first` is the first sequence of the segment before (0: there was none), `previous_hash` the chain hash
    before this segment's first entry."""

    journal_id: str
    first_sequence: int
    previous_first: int
    previous_hash: bytes


class HeadSlot(msgspec.Struct, frozen=True):
    """What the head file remembers. `generation` counts its writes; the older slot is one behind. Segments from
    `kept_from` (a first sequence) on must be there; `tail_first` is the segment that holds the head's sequence."""

    generation: int
    journal_id: str
    sequence: int
    chain_hash: bytes
    drained_sequence: int
    kept_from: int
    tail_first: int


def first_hash(journal_id: str) -> bytes:
    """The chain's hash before its first entry."""
    return hashlib.sha256(journal_id.encode()).digest()


def next_hash(previous: bytes, sequence: int, kind: int, payload: bytes) -> bytes:
    """The chain's hash after an entry."""
    digest = _SHA256.copy()
    digest.update(previous + _CHAINED.pack(sequence, kind))
    digest.update(payload)
    return digest.digest()


def align_up(offset: int, to: int = BLOCK_BYTES) -> int:
    """The next multiple at or after an offset."""
    return -(-offset // to) * to


def frame_bytes(payload_bytes: int) -> int:
    """What an entry takes, with its padding."""
    return align_up(FRAME_OVERHEAD_BYTES + payload_bytes, 8)


def encode_frame(sequence: int, kind: int, payload: bytes, chain_hash: bytes) -> bytes:
    """An entry as it stands in a segment."""
    length = FRAME_OVERHEAD_BYTES + len(payload)
    checksum = _frame_checksum(length, sequence, kind, payload, chain_hash)
    padding = bytes(-length % 8)
    return b"".join((_FRAME.pack(length, checksum, sequence, kind), payload, chain_hash, padding))


def frame_length(data: bytes, at: int) -> int:
    """The length that stands where a frame begins; 0 where none does."""
    return int(_LENGTH.unpack_from(data, at)[0])


def decode_frame(data: bytes, at: int, length: int) -> Frame:
    """The frame of that length (with its padding it must lie in `data`). Raises BadBytes."""
    _, checksum, sequence, kind = _FRAME.unpack_from(data, at)
    end = at + length
    payload = data[at + FRAME_HEADER_BYTES : end - HASH_BYTES]
    chain_hash = data[end - HASH_BYTES : end]
    padded = at + align_up(length, 8)
    if _frame_checksum(length, sequence, kind, payload, chain_hash) != checksum:
        raise BadBytes("the checksum does not match")
    if any(data[at + 17 : at + FRAME_HEADER_BYTES]) or any(data[end:padded]):
        raise BadBytes("padding is not zero")
    return Frame(sequence, kind, payload, chain_hash)


def encode_segment_header(header: SegmentHeader) -> bytes:
    """One block."""
    name = _encode_id(header.journal_id)
    return _block(
        _SEGMENT.pack(
            _SEGMENT_MAGIC,
            FORMAT_VERSION,
            len(name),
            name,
            header.first_sequence,
            header.previous_first,
            header.previous_hash,
        )
    )


def decode_segment_header(block: bytes) -> SegmentHeader:
    """Raises BadBytes."""
    _check_block(block, _SEGMENT_MAGIC)
    _, _, length, name, first, previous_first, previous_hash = _SEGMENT.unpack_from(block)
    return SegmentHeader(name[:length].decode(), first, previous_first, previous_hash)


def encode_head_slot(slot: HeadSlot) -> bytes:
    """One block. Its place (the generation's last bit) is part of it, so a slot copied over the other shows."""
    name = _encode_id(slot.journal_id)
    return _block(
        _HEAD.pack(
            _HEAD_MAGIC,
            FORMAT_VERSION,
            slot.generation % 2,
            len(name),
            name,
            slot.generation,
            slot.sequence,
            slot.drained_sequence,
            slot.kept_from,
            slot.tail_first,
            slot.chain_hash,
        )
    )


def decode_head_slot(block: bytes, place: int) -> HeadSlot:
    """Raises BadBytes."""
    _check_block(block, _HEAD_MAGIC)
    _, _, stands_at, length, name, generation, sequence, drained, kept_from, tail_first, chain_hash = _HEAD.unpack_from(
        block
    )
    if stands_at != place:
        raise BadBytes("it belongs into the other slot")
    return HeadSlot(generation, name[:length].decode(), sequence, chain_hash, drained, kept_from, tail_first)


def is_zero(data: bytes) -> bool:
    """Whether every byte is zero, at the speed of memory."""
    return data == bytes(len(data))


def _frame_checksum(length: int, sequence: int, kind: int, payload: bytes, chain_hash: bytes) -> int:
    return zlib.crc32(chain_hash, zlib.crc32(payload, zlib.crc32(_CHECKED.pack(length, sequence, kind))))


def _encode_id(journal_id: str) -> bytes:
    name = journal_id.encode()
    if not 0 < len(name) <= MOST_ID_BYTES:
        raise ValueError(f"a journal's id has 1 to {MOST_ID_BYTES} bytes")
    return name


def _block(content: bytes) -> bytes:
    body = content + bytes(BLOCK_BYTES - _CRC.size - len(content))
    return body + _CRC.pack(zlib.crc32(body))


def _check_block(block: bytes, magic: bytes) -> None:
    if len(block) < BLOCK_BYTES:
        raise BadBytes(f"only {len(block)} of {BLOCK_BYTES} bytes are there")
    if zlib.crc32(block[: -_CRC.size]) != _CRC.unpack_from(block, BLOCK_BYTES - _CRC.size)[0]:
        raise BadBytes("the checksum does not match")
    if block[: len(magic)] != magic:
        raise BadBytes("it is something else")
    version = int.from_bytes(block[len(magic) : len(magic) + 2], "big")
    if version != FORMAT_VERSION:
        raise BadBytes(f"format {version} is not known to this code, which knows {FORMAT_VERSION}")
