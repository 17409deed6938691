"""The journal's bytes: what is written is read, and no changed bit is read as something else."""

from __future__ import annotations

import hashlib
import struct

import pytest

from store.journal.codec import (
    BLOCK_BYTES,
    BadBytes,
    HeadSlot,
    SegmentHeader,
    decode_frame,
    decode_head_slot,
    decode_segment_header,
    encode_frame,
    encode_head_slot,
    encode_segment_header,
    first_hash,
    frame_bytes,
    frame_length,
    next_hash,
)
from store.journal.segments import first_sequence_of, segment_name

HASH = bytes(range(32))
HEADER = SegmentHeader("journal-1", 61, 31, HASH)
SLOT = HeadSlot(7, "journal-1", 60, HASH, 12, 1, 31)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 4096, 100_001])
def test_a_frame_is_read_as_it_was_written(length: int) -> None:
    payload = bytes(number % 251 for number in range(length))
    data = encode_frame(9, 3, payload, HASH)
    assert len(data) == frame_bytes(length)
    assert len(data) % 8 == 0
    frame = decode_frame(data, 0, frame_length(data, 0))
    assert (frame.sequence, frame.kind, frame.payload, frame.chain_hash) == (9, 3, payload, HASH)


def test_the_chain_is_what_the_port_says() -> None:
    h0 = first_hash("journal-1")
    assert h0 == hashlib.sha256(b"journal-1").digest()
    assert next_hash(h0, 5, 2, b"abc") == hashlib.sha256(h0 + struct.pack(">QB", 5, 2) + b"abc").digest()


def test_no_changed_bit_of_a_frame_is_read() -> None:
    data = encode_frame(9, 3, b"some payload", HASH)
    for position in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        length = frame_length(bytes(damaged), 0)
        if frame_bytes(0) <= length and length <= len(data):
            with pytest.raises(BadBytes):
                decode_frame(bytes(damaged), 0, length)
        else:
            assert length != frame_length(data, 0)


def test_a_segment_header_is_read_as_it_was_written() -> None:
    block = encode_segment_header(HEADER)
    assert len(block) == BLOCK_BYTES
    assert decode_segment_header(block) == HEADER


def test_a_head_slot_is_read_as_it_was_written_and_only_in_its_place() -> None:
    block = encode_head_slot(SLOT)
    assert decode_head_slot(block, 1) == SLOT
    with pytest.raises(BadBytes, match="other slot"):
        decode_head_slot(block, 0)


@pytest.mark.parametrize("position", [*range(0, 1400, 7), BLOCK_BYTES * 8 - 1, BLOCK_BYTES * 4])
def test_no_changed_bit_of_a_block_is_read(position: int) -> None:
    header, slot = bytearray(encode_segment_header(HEADER)), bytearray(encode_head_slot(SLOT))
    for block in (header, slot):
        block[position // 8] ^= 1 << position % 8
    with pytest.raises(BadBytes):
        decode_segment_header(bytes(header))
    with pytest.raises(BadBytes):
        decode_head_slot(bytes(slot), 1)


def test_short_and_foreign_blocks_are_named() -> None:
    with pytest.raises(BadBytes, match="only 10 of"):
        decode_segment_header(bytes(10))
    with pytest.raises(BadBytes, match="something else"):
        decode_segment_header(encode_head_slot(SLOT))


def test_ids_are_bounded() -> None:
    with pytest.raises(ValueError):
        encode_segment_header(SegmentHeader("x" * 65, 1, 0, HASH))


def test_names_of_segments_sort_as_their_sequences() -> None:
    names = [segment_name(number) for number in (1, 9, 10, 2**40)]
    assert names == sorted(names)
    assert [first_sequence_of(name) for name in names] == [1, 9, 10, 2**40]


@pytest.mark.parametrize("name", ["head", "1.segment", segment_name(1) + ".old", "0000000000000000000x.segment"])
def test_other_names_are_no_segments(name: str) -> None:
    assert first_sequence_of(name) is None
