"""The head file: up to where the journal was acknowledged, kept apart from the bytes that it speaks of.

Two slots are written in turn, each in a block of its own, so a write that the power cut tears leaves the other one
whole. Only the committer writes it, after the data is synced and before anybody is answered.
"""

from __future__ import annotations

from dataclasses import dataclass

from store.journal.codec import BLOCK_BYTES, BadBytes, HeadSlot, decode_head_slot, encode_head_slot
from store.journal.files import File, Files

HEAD_NAME = "head"
NEW_HEAD_NAME = "head.new"


@dataclass(frozen=True, slots=True)
class HeadRead:
    """What the file holds. `slot` is None where no slot can be read, and `faults` says why for each bad one."""

    slot: HeadSlot | None
    faults: tuple[str, ...]


def create_head(files: Files, folder: str, slot: HeadSlot) -> None:
    """Makes both slots and gives the file its name only when they are on the disk."""
    path = f"{folder}/{NEW_HEAD_NAME}"
    file = files.create(path)
    try:
        for place in (slot.generation % 2, (slot.generation - 1) % 2):
            older = place != slot.generation % 2
            file.pwrite(encode_head_slot(_older(slot) if older else slot), place * BLOCK_BYTES)
        file.sync()
    finally:
        file.close()
    files.rename(path, f"{folder}/{HEAD_NAME}")
    files.sync_folder(folder)


def head_offset(slot: HeadSlot) -> int:
    """Where a slot stands in the file."""
    return slot.generation % 2 * BLOCK_BYTES


def write_head(file: File, slot: HeadSlot) -> None:
    """On the disk when it returns."""
    file.pwrite(encode_head_slot(slot), head_offset(slot))
    file.sync()


def read_head(file: File) -> HeadRead:
    """The newest slot that can be read."""
    good: list[HeadSlot] = []
    faults: list[str] = []
    for place in (0, 1):
        try:
            good.append(decode_head_slot(file.pread(BLOCK_BYTES, place * BLOCK_BYTES), place))
        except BadBytes as error:
            faults.append(f"slot {place}: {error}")
    slot = max(good, key=lambda one: one.generation) if good else None
    return HeadRead(slot, tuple(faults))


def journal_id_in(files: Files, folder: str) -> str:
    """The id of the journal there; empty where no head can be read."""
    try:
        file = files.open(f"{folder}/{HEAD_NAME}")
    except OSError:
        return ""
    try:
        slot = read_head(file).slot
    finally:
        file.close()
    return "" if slot is None else slot.journal_id


def _older(slot: HeadSlot) -> HeadSlot:
    return HeadSlot(
        slot.generation - 1,
        slot.journal_id,
        slot.sequence,
        slot.chain_hash,
        slot.drained_sequence,
        slot.kept_from,
        slot.tail_first,
    )
