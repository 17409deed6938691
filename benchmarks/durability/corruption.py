"""Damage at or below the acknowledged head: each is found when the journal is opened, named by segment, offset and
entry, and every intact entry before it is still read.

One sound journal of many segments is copied, damaged once, and opened, again and again. Each kind of damage changes at
least one byte that was acknowledged; what must be answered is computed from the sound copy, not by the journal.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.durability.common import SEED, Figures, Section, at_least, say, zero
from engine.records import RecordKind
from store.errors import JournalCorrupt
from store.journal.codec import BLOCK_BYTES, encode_frame
from store.journal.damage import Damaged
from store.journal.journal import open_journal
from store.journal.lanes import LoopLanes
from store.journal.port import Head
from store.journal.recovery import salvage
from store.journal.settings import JournalSettings
from tests.fault.sound_journal import SoundJournal, places_of
from tests.helpers.disks import LossyFiles

FOLDER = "/journal"
FULL_FAULTS, SHORT_FAULTS = 800, 100
ENTRIES = 240
SETTINGS = JournalSettings(
    segment_bytes=10 * BLOCK_BYTES, urgent_segment_bytes=10 * BLOCK_BYTES, group_bytes=3 * BLOCK_BYTES,
    retain_segments=1_000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done, and the entry that is the first to suffer."""

    kind: str
    path: str
    sequence: int


def sound_journal(chance: random.Random) -> SoundJournal:
    disk = LossyFiles()
    head = asyncio.run(_write(disk, chance))
    return SoundJournal(disk, places_of(disk, list(salvage(disk, FOLDER))), head)


async def _write(disk: LossyFiles, chance: random.Random) -> Head:
    journal, _ = await open_journal(disk, FOLDER, SETTINGS, new_id=lambda: "journal-1", lanes=LoopLanes())
    left = ENTRIES
    while left:
        group = [
            journal.append(chance.choice(list(RecordKind)), chance.randbytes(chance.choice((20, 600, 3_000))))[1]
            for _ in range(min(left, chance.randint(1, 4)))
        ]
        await asyncio.gather(*group)
        left -= len(group)
    await journal.close()
    return journal.head


# ---- kinds of damage


def flip_bit(sound: SoundJournal, disk: LossyFiles, chance: random.Random) -> Fault:
    place = chance.choice(sound.places)
    disk.flip_bit(place.path, chance.randrange(place.offset, place.end), chance.randrange(8))
    return Fault("bit flip in an entry", place.path, place.entry.sequence)


def flip_header(sound: SoundJournal, disk: LossyFiles, chance: random.Random) -> Fault:
    path = chance.choice(sound.paths)
    disk.flip_bit(path, chance.randrange(BLOCK_BYTES), chance.randrange(8))
    return Fault("bit flip in a segment's header", path, sound.of(path)[0].entry.sequence)


def truncate(sound: SoundJournal, disk: LossyFiles, chance: random.Random) -> Fault:
    place = chance.choice(sound.places)
    disk.cut_short(place.path, chance.randrange(place.offset, place.end))
    return Fault("truncation", place.path, place.entry.sequence)


def zero_stretch(sound: SoundJournal, disk: LossyFiles, chance: random.Random) -> Fault:
    place = chance.choice(sound.places)
    disk.zero(place.path, place.offset, chance.randint(16, 4 * BLOCK_BYTES))
    return Fault("zeros over entries", place.path, place.entry.sequence)


def swap_entries(sound: SoundJournal, disk: LossyFiles, chance: random.Random) -> Fault:
    path = chance.choice([path for path in sound.paths if len(sound.of(path)) > 1])
    first, second = sorted(chance.sample(sound.of(path), 2), key=lambda place: place.offset)
    disk.swap_bytes(path, slice(first.offset, first.end), slice(second.offset, second.end))
    return Fault("swap of two entries", path, first.entry.sequence)


def swap_segments(sound: SoundJournal, disk: LossyFiles, chance: random.Random) -> Fault:
    first, second = sorted(chance.sample(sound.paths, 2))
    disk.swap_files(first, second)
    return Fault("swap of two segments", first, sound.of(first)[0].entry.sequence)


def remove_segment(sound: SoundJournal, disk: LossyFiles, chance: random.Random) -> Fault:
    path = chance.choice(sound.paths)
    disk.remove(path)
    return Fault("segment removed", path, sound.of(path)[0].entry.sequence)


def forge_entry(sound: SoundJournal, disk: LossyFiles, chance: random.Random) -> Fault:
    """Another payload of the same length under a right checksum: only the chain can tell."""
    place = chance.choice([place for place in sound.places if place.entry.payload])
    entry = place.entry
    payload = bytes(byte ^ 0xFF for byte in entry.payload)
    data = encode_frame(entry.sequence, int(entry.kind), payload, entry.chain_hash)
    for position in range(place.end - place.offset):
        changed = data[position] ^ disk.content(place.path)[place.offset + position] if position < 8 else 0
        for bit in range(8):
            if changed >> bit & 1:
                disk.flip_bit(place.path, place.offset + position, bit)
    start = place.offset + data.index(payload)
    for position in range(len(payload)):
        for bit in range(8):
            disk.flip_bit(place.path, start + position, bit)
    return Fault("entry forged under a right checksum", place.path, entry.sequence)


KINDS: tuple[tuple[Callable[[SoundJournal, LossyFiles, random.Random], Fault], int], ...] = (
    (flip_bit, 40), (flip_header, 8), (truncate, 20), (zero_stretch, 8), (swap_entries, 15), (swap_segments, 4),
    (remove_segment, 2), (forge_entry, 3),
)  # fmt: skip


async def _opened(disk: LossyFiles) -> None:
    journal, _ = await open_journal(disk, FOLDER, SETTINGS, new_id=lambda: "another", lanes=LoopLanes())
    await journal.close()


def verdict(sound: SoundJournal, disk: LossyFiles, fault: Fault) -> str:
    """Empty where the fault is found, named rightly, and all before it is read."""
    try:
        asyncio.run(_opened(disk.copy()))
    except Damaged as error:
        damage = error.damage
    except JournalCorrupt as error:
        return f"not named: {error}"
    else:
        return "missed"
    if (f"{FOLDER}/{damage.segment}", damage.sequence) != (fault.path, fault.sequence):
        return f"misnamed: {damage.segment} entry {damage.sequence}, it is {fault.path} entry {fault.sequence}"
    if list(salvage(disk, FOLDER)) != sound.entries[: fault.sequence - 1]:
        return f"not everything before entry {fault.sequence} is read"
    return ""


def run(short: bool) -> Figures:
    faults = SHORT_FAULTS if short else FULL_FAULTS
    say(f"corruption: {faults} faults")
    begun_s, chance = time.monotonic(), random.Random(SEED)
    sound = sound_journal(chance)
    kinds, answers = Counter[str](), Counter[str]()
    examples: list[str] = []
    for _ in range(faults):
        disk = sound.disk.copy()
        (inject,) = chance.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])
        fault = inject(sound, disk, chance)
        kinds[fault.kind] += 1
        answer = verdict(sound, disk, fault)
        if answer:
            answers[answer.partition(":")[0]] += 1
            examples.append(f"{fault.kind}: {answer}")
    return {
        "corruption_missed": answers["missed"], "corruption_misnamed": sum(answers.values()) - answers["missed"],
        "corruption_faults": faults, "corruption_kinds": dict(sorted(kinds.items())), "examples": examples[:5],
        "entries": len(sound.entries), "segments": len(sound.paths), "took_s": round(time.monotonic() - begun_s, 1),
    }  # fmt: skip


def section(short: bool) -> Section:
    faults = at_least("corruption_faults", SHORT_FAULTS if short else 500)
    return Section("corruption", run, zero("corruption_missed", "corruption_misnamed") | faults)
