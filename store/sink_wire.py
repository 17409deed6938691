"""What a keeper and the process that writes to PostgreSQL for it say to each other: one MessagePack value a frame.

The keeper asks one thing at a time, and each question has one answer; `Said` may come before it. A batch itself lies in
memory that both have open as a file: through a socket it would go in many small pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

from engine.records import RecordKind
from store.drain_sink import TOO_SLOW, DrainPosition
from store.errors import JournalCorrupt, RecordInvalid, StoreTooSlow, StoreUnavailable
from store.journal.port import Entry
from store.pool import PoolSettings
from store.selection_rows import ROW_ERRORS, OrderOwner

# A record that is set aside is at most 8 MiB long.
MOST_FRAME_BYTES: Final = 64 * 1024 * 1024
MOST_SAID: Final = 10_000


class Begin(msgspec.Struct, frozen=True, tag=True):
    """The first frame, which is not answered."""

    pool: PoolSettings
    host_id: str


class AskPosition(msgspec.Struct, frozen=True, tag=True):
    journal_id: str


class Line(msgspec.Struct, frozen=True, array_like=True):
    """An entry."""

    sequence: int
    kind: int
    payload: bytes
    chain_hash: bytes

    @staticmethod
    def of(entry: Entry) -> Line:
        return Line(entry.sequence, int(entry.kind), entry.payload, entry.chain_hash)

    def entry(self) -> Entry:
        return Entry(self.sequence, RecordKind(self.kind), self.payload, self.chain_hash)


class Write(msgspec.Struct, frozen=True, tag=True):
    """The shared memory begins with so many bytes of a list of lines."""

    length_bytes: int


class SetAside(msgspec.Struct, frozen=True, tag=True):
    line: Line
    reason: str


class Found(msgspec.Struct, frozen=True, tag=True):
    position: DrainPosition


class Done(msgspec.Struct, frozen=True, tag=True):
    """`owners`: as DrainSink.write returns them."""

    owners: Mapping[str, OrderOwner] = {}


class Failed(msgspec.Struct, frozen=True, tag=True):
    """`kind`: which of the errors of DrainSink it is."""

    kind: str
    reason: str


class Said(msgspec.Struct, frozen=True, tag=True):
    """A line for the log."""

    level: int
    text: str


Question: TypeAlias = Begin | AskPosition | Write | SetAside
Answer: TypeAlias = Found | Done | Failed | Said

IMPOSSIBLE, CORRUPT, SLOW, UNAVAILABLE = "IMPOSSIBLE", "CORRUPT", "SLOW", "UNAVAILABLE"
_ERRORS: Final[Mapping[str, type[Exception]]] = {
    IMPOSSIBLE: RecordInvalid, CORRUPT: JournalCorrupt, SLOW: StoreTooSlow,
}  # fmt: skip


def failed(error: Exception) -> Failed:
    """What went wrong, as it is sent."""
    if isinstance(error, JournalCorrupt):
        return Failed(CORRUPT, str(error)[:MOST_SAID])
    is_of_row = isinstance(error, (*ROW_ERRORS, RecordInvalid))
    kind = IMPOSSIBLE if is_of_row else SLOW if isinstance(error, TOO_SLOW) else UNAVAILABLE
    # Whatever an error quotes, what is sent is a text.
    text = f"{type(error).__name__}: {error}"[:MOST_SAID]
    return Failed(kind, text.encode(errors="backslashreplace").decode())


def error_of(answer: Failed) -> Exception:
    """What is raised where it arrives."""
    return _ERRORS.get(answer.kind, StoreUnavailable)(answer.reason)
