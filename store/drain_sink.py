"""Where the drainer's batches go: what it needs of PostgreSQL. `store.postgres_sink` is the one that ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import psycopg

from store.errors import StoreTooSlow
from store.journal.port import Entry
from store.selection_rows import OrderOwner

# What says that a batch took too long: the server's own time-out, and whoever waited for it.
TOO_SLOW: Final = (psycopg.errors.QueryCanceled, StoreTooSlow)


@dataclass(frozen=True, slots=True)
class DrainPosition:
    """Up to where PostgreSQL has a journal."""

    sequence: int
    chain_hash: bytes


class DrainSink(Protocol):
    """One journal's way into PostgreSQL.

    Errors of `store.selection_rows.ROW_ERRORS` and RecordInvalid say that a row is impossible; JournalCorrupt that
    these entries are not a continuation of what PostgreSQL has; everything else is about the moment, those of TOO_SLOW
    about so many entries at once.
    """

    async def position(self, journal_id: str) -> DrainPosition:
        """Registers a journal that is new (sequence 0). To be asked before anything is written."""
        ...

    async def write(self, entries: Sequence[Entry]) -> dict[str, OrderOwner]:
        """Everything of them in one transaction; by selection id the owners of orders that belong to somebody else.

        Entries that PostgreSQL has already are skipped.
        """
        ...

    async def set_aside(self, entry: Entry, reason: str) -> None:
        """Keeps an entry that no table takes, whole, and moves on."""
        ...
