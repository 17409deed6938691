"""What is wrong with a journal, so that it can be named: segment, offset, sequence."""

from __future__ import annotations

from dataclasses import dataclass

from store.errors import JournalCorrupt


@dataclass(frozen=True, slots=True)
class Damage:
    """The first place that is not as it was acknowledged. `sequence` is the first entry that is lost or doubtful there
    (0 where none can be named: the head file). `intact_through` is the last entry before it that was verified, in the
    entries that were looked at; `store.journal.salvage` reads them."""

    segment: str
    offset: int
    sequence: int
    reason: str
    intact_through: int


class Damaged(JournalCorrupt):
    """JournalCorrupt with its place as a value."""

    def __init__(self, damage: Damage) -> None:
        super().__init__(
            f"journal file {damage.segment} at byte {damage.offset}, entry {damage.sequence}: {damage.reason}; "
            f"entries verified before it: up to {damage.intact_through}"
        )
        self.damage = damage
