"""Damage at or below the acknowledged head: none is missed, each is named, and everything before it is still read.

Bit flips, truncations, swaps and lost files on copies of one journal in memory; the shipped code opens each copy.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from engine.records import RecordKind
from store.errors import JournalCorrupt
from store.journal.codec import BLOCK_BYTES, HeadSlot, encode_frame, frame_bytes, next_hash
from store.journal.damage import Damage, Damaged
from store.journal.head import HEAD_NAME, create_head
from store.journal.journal import open_journal
from store.journal.lanes import LoopLanes
from store.journal.port import Head
from store.journal.recovery import Recovery, salvage, verify
from store.journal.settings import JournalSettings
from tests.fault.sound_journal import SoundJournal, places_of
from tests.helpers.disks import LossyFiles

FOLDER = "/journal"
HEAD = f"{FOLDER}/{HEAD_NAME}"
SETTINGS = JournalSettings(
    segment_bytes=6 * BLOCK_BYTES, urgent_segment_bytes=6 * BLOCK_BYTES, group_bytes=3 * BLOCK_BYTES, retain_segments=99
)


@pytest.fixture(scope="module")
def sound() -> SoundJournal:
    disk = LossyFiles()
    head = asyncio.run(_write(disk))
    found = SoundJournal(disk, places_of(disk, list(salvage(disk, FOLDER))), head)
    assert len([path for path in disk.paths() if path.endswith(".segment")]) >= 6
    assert len(found.entries) == head.sequence
    return found


async def _write(disk: LossyFiles) -> Head:
    rng = random.Random(5)
    journal, _ = await open_journal(disk, FOLDER, SETTINGS, new_id=lambda: "journal-1", lanes=LoopLanes())
    for _ in range(30):
        group = [
            journal.append(rng.choice(list(RecordKind)), rng.randbytes(rng.choice((20, 700, 1_900))))[1]
            for _ in range(rng.randrange(1, 5))
        ]
        await asyncio.gather(*group)
    await journal.close()
    return journal.head


async def _open(disk: LossyFiles, new_id: Callable[[], str] = lambda: "another") -> Recovery:
    journal, recovery = await open_journal(disk, FOLDER, SETTINGS, new_id=new_id, lanes=LoopLanes())
    await journal.close()
    return recovery


def damage_of(disk: LossyFiles) -> Damage | None:
    """What opening says; None: it found nothing wrong."""
    try:
        asyncio.run(_open(disk.copy()))
    except Damaged as error:
        return error.damage
    return None


def check(sound: SoundJournal, disk: LossyFiles, path: str, sequence: int, what: str) -> Damage:
    """The damage is found, named rightly, and all before it is read."""
    damage = damage_of(disk)
    assert damage is not None, f"missed: {what}"
    assert (f"{FOLDER}/{damage.segment}", damage.sequence) == (path, sequence), what
    assert damage.intact_through == sequence - 1, what
    intact = [place.entry for place in sound.places[: sequence - 1]]
    assert list(salvage(disk, FOLDER)) == intact, what
    assert verify(disk, FOLDER).damage == damage
    return damage


def test_the_error_names_the_place_in_words(sound: SoundJournal) -> None:
    place = sound.places[20]
    disk = sound.copy()
    disk.flip_bit(place.path, place.offset, 0)
    name = place.path.split("/")[-1]
    with pytest.raises(JournalCorrupt, match=rf"{name} at byte {place.offset}, entry 21: .* up to 20$"):
        asyncio.run(_open(disk))


def test_the_sound_journal_is_sound(sound: SoundJournal) -> None:
    assert damage_of(sound.disk) is None
    result = verify(sound.disk, FOLDER)
    assert (result.head, result.entries, result.damage) == (sound.head, sound.head.sequence, None)


def test_400_flipped_bits(sound: SoundJournal) -> None:
    """Anywhere from a segment's first byte to its last frame's end, and in the zeros of the sealed ones."""
    rng = random.Random(1)
    for number in range(400):
        path = rng.choice(sound.paths)
        places = sound.of(path)
        is_last = path == sound.paths[-1]
        offset = rng.randrange(places[-1].end if is_last else len(sound.disk.content(path)))
        disk = sound.copy()
        disk.flip_bit(path, offset, rng.randrange(8))
        if offset < BLOCK_BYTES:
            expected = places[0].entry.sequence
        else:
            # In the zeros between two groups it stands where the next entry may begin.
            before = [place for place in places if place.end <= offset]
            expected = before[-1].entry.sequence + 1 if before else places[0].entry.sequence
        damage = check(sound, disk, path, expected, f"flip {number} in {path} at {offset}")
        assert damage.offset <= offset


def test_every_bit_of_one_frame(sound: SoundJournal) -> None:
    place = min(sound.places, key=lambda one: one.end - one.offset)
    for position in range(8 * (place.end - place.offset)):
        disk = sound.copy()
        disk.flip_bit(place.path, place.offset + position // 8, position % 8)
        damage = damage_of(disk)
        assert damage is not None, position
        assert (damage.sequence, damage.offset) == (place.entry.sequence, place.offset)


def test_200_truncations(sound: SoundJournal) -> None:
    rng = random.Random(2)
    for number in range(200):
        path = rng.choice(sound.paths)
        places = sound.of(path)
        length = rng.randrange(places[-1].end)
        disk = sound.copy()
        disk.cut_short(path, length)
        cut = [place for place in places if place.end > length]
        expected = cut[0].entry.sequence if length >= BLOCK_BYTES else places[0].entry.sequence
        check(sound, disk, path, expected, f"truncation {number} of {path} at {length}")


def test_200_swapped_frames(sound: SoundJournal) -> None:
    rng = random.Random(3)
    for number in range(200):
        path = rng.choice(sound.paths)
        first, second = sorted(rng.sample(sound.of(path), 2), key=lambda place: place.offset)
        disk = sound.copy()
        disk.swap_bytes(path, slice(first.offset, first.end), slice(second.offset, second.end))
        check(sound, disk, path, first.entry.sequence, f"swap {number} in {path}")


def test_swapped_renamed_and_missing_segments(sound: SoundJournal) -> None:
    for first in range(len(sound.paths)):
        path = sound.paths[first]
        sequence = sound.of(path)[0].entry.sequence
        gone = sound.copy()
        gone.remove(path)
        check(sound, gone, path, sequence, f"{path} removed")
        renamed = sound.copy()
        renamed.move(path, path + ".old")
        check(sound, renamed, path, sequence, f"{path} renamed")
        for other in sound.paths[first + 1 :]:
            swapped = sound.copy()
            swapped.swap_files(path, other)
            check(sound, swapped, path, sequence, f"{path} and {other} swapped")


def test_a_segment_under_a_number_of_its_own_making(sound: SoundJournal) -> None:
    disk = sound.copy()
    path = sound.paths[2]
    wrong = path.replace(path.split("/")[-1][:20], f"{sound.of(path)[0].entry.sequence + 1:020d}")
    disk.move(path, wrong)
    damage = damage_of(disk)
    assert damage is not None
    assert "renamed or swapped" in damage.reason
    assert f"{FOLDER}/{damage.segment}" == wrong


def test_zeroed_stretches(sound: SoundJournal) -> None:
    for place in sound.places:
        disk = sound.copy()
        disk.zero(place.path, place.offset, len(disk.content(place.path)))
        check(sound, disk, place.path, place.entry.sequence, f"{place.path} zeroed from {place.offset}")


def test_a_forged_frame_with_a_right_checksum_breaks_the_chain(sound: SoundJournal) -> None:
    for place in sound.places[::7]:
        entry = place.entry
        payload = bytes(byte ^ 1 for byte in entry.payload)
        data = encode_frame(entry.sequence, int(entry.kind), payload, entry.chain_hash)
        disk = sound.copy()
        disk.overwrite(place.path, place.offset, data)
        damage = check(sound, disk, place.path, entry.sequence, "forged")
        assert "chain" in damage.reason


def test_a_frame_of_another_journal_breaks_the_chain(sound: SoundJournal) -> None:
    disk, other = sound.copy(), LossyFiles()

    async def write() -> None:
        journal, _ = await open_journal(other, FOLDER, SETTINGS, new_id=lambda: "journal-2", lanes=LoopLanes())
        await journal.append(RecordKind.UPDATE, b"other")[1]
        await journal.close()

    asyncio.run(write())
    path = sound.paths[0]
    foreign = other.content(f"{FOLDER}/{path.split('/')[-1]}")
    disk.overwrite(path, 0, foreign)
    damage = check(sound, disk, path, 1, "a segment of another journal")
    assert "journal-2" in damage.reason


def test_a_lost_head_is_corruption_not_a_new_journal(sound: SoundJournal) -> None:
    disk = sound.copy()
    disk.remove(HEAD)
    damage = damage_of(disk)
    assert damage is not None
    assert (damage.segment, damage.sequence) == (HEAD_NAME, 0)
    assert [entry.sequence for entry in salvage(disk, FOLDER)] == [place.entry.sequence for place in sound.places]
    assert verify(disk, FOLDER).damage == damage


def test_a_head_with_both_slots_bad_is_corruption(sound: SoundJournal) -> None:
    rng = random.Random(4)
    for _ in range(50):
        disk = sound.copy()
        for slot in (0, 1):
            disk.flip_bit(HEAD, slot * BLOCK_BYTES + rng.randrange(BLOCK_BYTES), rng.randrange(8))
        damage = damage_of(disk)
        assert damage is not None
        assert damage.segment == HEAD_NAME
        assert len(list(salvage(disk, FOLDER))) == sound.head.sequence
    swapped = sound.copy()
    swapped.swap_bytes(HEAD, slice(0, BLOCK_BYTES), slice(BLOCK_BYTES, 2 * BLOCK_BYTES))
    assert damage_of(swapped) is not None


def test_one_bad_slot_of_the_head_loses_nothing_and_is_told(sound: SoundJournal) -> None:
    for slot in (0, 1):
        disk = sound.copy()
        disk.flip_bit(HEAD, slot * BLOCK_BYTES + 100, 5)
        recovery = asyncio.run(_open(disk))
        assert recovery.head == sound.head
        assert recovery.head_faults == (f"slot {slot}: the checksum does not match",)
        assert asyncio.run(_open(disk)).head_faults == ()  # opening mended it


def test_all_segments_lost_is_corruption(sound: SoundJournal) -> None:
    disk = sound.copy()
    for path in sound.paths:
        disk.remove(path)
    damage = damage_of(disk)
    assert damage is not None
    assert damage.sequence == 1


def test_no_damage_to_what_only_the_database_needs_keeps_a_journal_shut(sound: SoundJournal) -> None:
    """What is drained is not read at the start; `verify` reads it."""
    disk = sound.copy()

    async def drain() -> None:
        journal, _ = await open_journal(disk, FOLDER, SETTINGS, lanes=LoopLanes())
        journal.drained(sound.head.sequence)
        await journal.close()

    asyncio.run(drain())
    place = sound.places[3]
    disk.flip_bit(place.path, place.offset + 30, 1)
    assert damage_of(disk) is None
    damage = verify(disk, FOLDER).damage
    assert damage is not None
    assert damage.sequence == place.entry.sequence
    disk.flip_bit(sound.paths[1], 10, 1)  # but the headers are looked at
    assert damage_of(disk) is not None


# ---- above the head


def with_older_head(sound: SoundJournal, entries: int) -> LossyFiles:
    """The same segments with the head of a moment at which fewer entries were acknowledged."""
    disk = sound.copy()
    disk.remove(HEAD)
    tail = sound.places[entries - 1]
    first = int(tail.path.split("/")[-1][:20])
    create_head(disk, FOLDER, HeadSlot(9, "journal-1", entries, tail.entry.chain_hash, 0, 1, first))
    return disk


def test_whole_frames_above_the_head_are_kept_and_count_from_then_on(sound: SoundJournal) -> None:
    last = sound.of(sound.paths[-1])
    disk = with_older_head(sound, last[0].entry.sequence)
    recovery = asyncio.run(_open(disk))
    assert recovery.entries_above_head == len(last) - 1
    assert recovery.kept_head.sequence == last[0].entry.sequence
    assert recovery.head == sound.head
    assert recovery.cut is None
    again = asyncio.run(_open(disk))
    assert (again.head, again.entries_above_head) == (sound.head, 0)


def test_a_torn_tail_above_the_head_is_cut_and_reported(sound: SoundJournal) -> None:
    last = sound.of(sound.paths[-1])
    rng = random.Random(6)
    for number in range(100):
        disk = with_older_head(sound, last[0].entry.sequence)
        torn = rng.choice(last[1:])
        disk.flip_bit(torn.path, rng.randrange(torn.offset, torn.end), rng.randrange(8))
        recovery = asyncio.run(_open(disk))
        assert recovery.cut is not None, number
        assert recovery.cut.offset == torn.offset
        assert f"{FOLDER}/{recovery.cut.segment}" == torn.path
        assert torn.end - torn.offset - 8 <= recovery.cut.byte_count <= last[-1].end - torn.offset
        assert recovery.head.sequence == torn.entry.sequence - 1
        again = asyncio.run(_open(disk))
        assert (again.cut, again.head) == (None, recovery.head)
        assert not any(disk.content(torn.path)[torn.offset :])


def test_a_different_end_than_the_acknowledged_one_is_named(sound: SoundJournal) -> None:
    """A whole frame with a sound chain, but not the one that was acknowledged last."""
    disk = sound.copy()
    last = sound.places[-1]
    payload = b"something else"
    chain = next_hash(sound.places[-2].entry.chain_hash, last.entry.sequence, int(last.entry.kind), payload)
    data = encode_frame(last.entry.sequence, int(last.entry.kind), payload, chain)
    assert len(data) == frame_bytes(len(payload))
    disk.zero(last.path, last.offset, last.end - last.offset)
    disk.overwrite(last.path, last.offset, data)
    damage = check(sound, disk, last.path, last.entry.sequence, "another end")
    assert "another chain hash" in damage.reason
