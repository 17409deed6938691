"""A sound journal in memory, and where each of its entries stands: what damage is compared with.

The places are computed from the bytes on the disk, not by the journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from store.journal.codec import BLOCK_BYTES, encode_frame
from store.journal.port import Entry, Head
from tests.helpers.disks import LossyFiles


@dataclass(frozen=True, slots=True)
class Place:
    """Where the frame of an entry stands."""

    path: str
    offset: int
    end: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class SoundJournal:
    """As it was acknowledged, before it is damaged."""

    disk: LossyFiles
    places: tuple[Place, ...]
    head: Head

    @property
    def paths(self) -> list[str]:
        """Of its segments that hold entries."""
        return sorted({place.path for place in self.places})

    @property
    def entries(self) -> list[Entry]:
        return [place.entry for place in self.places]

    def of(self, path: str) -> list[Place]:
        return [place for place in self.places if place.path == path]

    def copy(self) -> LossyFiles:
        return self.disk.copy()


def places_of(disk: LossyFiles, entries: Sequence[Entry]) -> tuple[Place, ...]:
    """Where the entries stand, which are all that the disk holds, in their order."""
    starts = {int(path.split("/")[-1][:20]): path for path in disk.paths() if path.endswith(".segment")}
    places: list[Place] = []
    path, offset = "", 0
    for entry in entries:
        if entry.sequence in starts:
            path, offset = starts[entry.sequence], BLOCK_BYTES
        data = encode_frame(entry.sequence, int(entry.kind), entry.payload, entry.chain_hash)
        offset = disk.content(path).index(data, offset)
        places.append(Place(path, offset, offset + len(data), entry))
        offset += len(data)
    return tuple(places)
