"""The journal over a disk in memory, small enough that a test meets its segments and bounds."""

from __future__ import annotations

import asyncio

from engine.records import RecordKind
from store.journal.codec import BLOCK_BYTES
from store.journal.journal import Journal, open_journal
from store.journal.lanes import LoopLanes, ThreadLanes
from store.journal.port import Entry, Head, JournalPort
from store.journal.recovery import Recovery
from store.journal.settings import JournalSettings
from tests.helpers.disks import LossyFiles

FOLDER = "/journal"
KIND = RecordKind.SELECTION
SMALL = JournalSettings(
    limit_bytes=1 << 20,
    reserve_bytes=BLOCK_BYTES,
    segment_bytes=8 * BLOCK_BYTES,
    urgent_segment_bytes=4 * BLOCK_BYTES,
    most_payload_bytes=64 << 10,
    group_bytes=4 * BLOCK_BYTES,
    space_retry_s=0.01,
)
# The head, the first segment, and the one made ahead.
ALL_MADE_BYTES = 2 * BLOCK_BYTES + SMALL.urgent_segment_bytes + SMALL.segment_bytes


async def opened(
    disk: LossyFiles, settings: JournalSettings = SMALL, threads: bool = False
) -> tuple[Journal, Recovery]:
    lanes = ThreadLanes() if threads else LoopLanes()
    return await open_journal(disk, FOLDER, settings, new_id=lambda: "journal-1", lanes=lanes)


async def put(journal: JournalPort, count: int, length: int = 100) -> list[Head]:
    """Appends that many entries, each known by its sequence, and waits for them."""
    futures: list[asyncio.Future[Head]] = []
    for _ in range(count):
        following = journal.metrics.head_sequence + 1 + len(futures)
        sequence, future = journal.append(KIND, payload_of(following, length))
        assert sequence == following
        futures.append(future)
    return list(await asyncio.gather(*futures))


async def fill(journal: JournalPort) -> None:
    """Appends until it raises."""
    for _ in range(1_000):
        await asyncio.wait_for(put(journal, 1, 3_000), 5)


def payload_of(sequence: int, length: int = 100) -> bytes:
    return (f"entry {sequence} ".encode() * (length // 6 + 1))[:length]


async def read_all(journal: JournalPort, after: int = 0, most: int = 7, most_bytes: int = 5_000) -> list[Entry]:
    entries: list[Entry] = []
    while part := await journal.read(entries[-1].sequence if entries else after, most, most_bytes):
        assert len(part) <= most
        entries.extend(part)
    return entries


def segments(disk: LossyFiles) -> list[str]:
    return [path for path in disk.paths() if path.endswith(".segment")]


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
