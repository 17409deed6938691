"""What the keeper knows of a journal. `store.journal` holds the one that ships; tests hold others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from engine.records import RecordKind


class Entry(msgspec.Struct, frozen=True):
    """One record as it stands in the journal.

    `chain_hash` (32 bytes) is SHA-256 over the previous entry's chain_hash, sequence (8 bytes, big-endian), kind (1
    byte) and payload; the first entry's previous hash is SHA-256 of the journal's id. `payload` is
    `store.payload.encode` of the record.
    """

    sequence: int
    kind: RecordKind
    payload: bytes
    chain_hash: bytes


class Head(msgspec.Struct, frozen=True):
    """Up to where a journal is. Sequence 0: nothing yet."""

    journal_id: str
    sequence: int
    chain_hash: bytes


@dataclass(frozen=True, slots=True)
class JournalMetrics:
    """One moment. `used_bytes` of `limit_bytes` counts what is not drained yet."""

    head_sequence: int
    drained_sequence: int
    used_bytes: int
    limit_bytes: int
    commits: int
    is_full: bool


class JournalPort(Protocol):
    """Belongs to one event loop."""

    @property
    def journal_id(self) -> str: ...

    @property
    def head(self) -> Head:
        """The durable head: every entry up to it is on disk."""
        ...

    @property
    def metrics(self) -> JournalMetrics: ...

    def append(
        self, kind: RecordKind, payload: bytes, in_haste: bool = True
    ) -> tuple[int, asyncio.Future[Head]]:
        """Takes a record: its sequence, and a future that is done when it is durable (or fails with JournalFailed).
        Not `in_haste`, it may wait some milliseconds for others to be written with.

        Awaits nothing, so the order of calls is the order in the chain. Raises JournalFull or JournalFailed, and then
        nothing was taken.
        """
        ...

    async def read(self, after: int, most: int, most_bytes: int) -> Sequence[Entry]:
        """Durable entries after a sequence, in order, at least one if there is one. Raises JournalCorrupt."""
        ...

    async def wait_beyond(self, sequence: int) -> Head:
        """Waits until the durable head is beyond a sequence (who drains sleeps here). Raises JournalFailed when the
        journal fails or closes first."""
        ...

    def drained(self, sequence: int) -> None:
        """Entries up to here are in PostgreSQL: they no longer count, and whole segments of them may go."""
        ...

    async def close(self) -> None:
        """Syncs what was taken, and ends."""
        ...
