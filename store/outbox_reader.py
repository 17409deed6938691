"""Reads the outbox by cursors: places in one journal, never a largest id.

The rows of a journal become visible in the order of their sequence, all parts of a sequence at once: one drainer a
journal writes them, a transaction a batch, with `journals.drained_sequence` in the same transaction. So whoever saw
`drained_sequence` and then reads, sees every row up to it. Every failure is StoreUnavailable.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from store.pool import Pool, answering

# After every part of a sequence (`outbox.part` is a smallint).
LAST_PART: Final = 32_767
# Counting stops here: further behind is far enough to be told.
MOST_COUNTED: Final = 100_000


class Position(NamedTuple):
    """Up to where a journal's outbox was read. Positions of one journal compare by `<`."""

    sequence: int
    part: int

    @staticmethod
    def after_all_of(sequence: int) -> Position:
        return Position(sequence, LAST_PART)


BEGIN: Final = Position.after_all_of(0)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One event. `payload` is its JSON text; `chain_hash` the journal's hash at its sequence."""

    event_id: str
    kind: str
    aggregate_id: str
    payload: str
    created_at_us: int
    journal_id: str
    sequence: int
    part: int
    chain_hash: bytes
    is_last_part: bool

    @property
    def position(self) -> Position:
        return Position(self.sequence, self.part)

    @property
    def cursor_sequence(self) -> int:
        """Where a reader who has seen this event may resume: before the sequence while parts of it are to come."""
        return self.sequence if self.is_last_part else self.sequence - 1


@dataclass(frozen=True, slots=True)
class JournalHead:
    """What PostgreSQL has of a journal, and which host writes it."""

    host_id: str
    drained_sequence: int


@dataclass(frozen=True, slots=True)
class Lag:
    """How far behind: events (at most MOST_COUNTED), and when the oldest of them was made; 0 where there is none."""

    events: int
    oldest_us: int


class OutboxSource(Protocol):
    """What readers of events need."""

    def journals(self) -> Coroutine[Any, Any, Mapping[str, JournalHead]]: ...

    def page(
        self, journal_id: str, after: Position, limit: int
    ) -> Coroutine[Any, Any, tuple[OutboxRow, ...]]:
        """At most `limit` events of a journal, in order; fewer only at its end."""
        ...


class RelaySource(OutboxSource, Protocol):
    """What a relay needs besides."""

    async def cursor(self, relay: str, journal_id: str) -> Position: ...

    async def save_cursor(self, relay: str, journal_id: str, position: Position) -> None:
        """Never moves a cursor back."""
        ...

    async def lag(self, journal_id: str, after: Position) -> Lag: ...


_PAGE: Final = """
SELECT id::text, type, aggregateid, payload::text, (extract(epoch FROM created_at) * 1000000)::bigint,
  sequence, part, chain_hash
FROM outbox WHERE journal_id = %s AND (sequence, part) > (%s, %s)
ORDER BY sequence, part LIMIT %s
"""
_SAVE_CURSOR: Final = """
INSERT INTO relay_cursors AS held (relay, journal_id, sequence, part) VALUES (%s, %s, %s, %s)
ON CONFLICT (relay, journal_id) DO UPDATE SET sequence = excluded.sequence, part = excluded.part, updated_at = now()
WHERE (held.sequence, held.part) < (excluded.sequence, excluded.part)
"""
_OLDEST: Final = """
SELECT (extract(epoch FROM created_at) * 1000000)::bigint
FROM outbox WHERE journal_id = %s AND (sequence, part) > (%s, %s) ORDER BY sequence, part LIMIT 1
"""
_COUNT: Final = """
SELECT count(*) FROM (
  SELECT FROM outbox WHERE journal_id = %s AND (sequence, part) > (%s, %s) LIMIT %s
) AS unsent
"""


class OutboxReader:
    """Over the pool; waits at most its acquire timeout for a connection."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def journals(self) -> dict[str, JournalHead]:
        async with answering(self._pool) as connection:
            found = await connection.execute("SELECT journal_id, host_id, drained_sequence FROM journals")
            return {row[0]: JournalHead(row[1], row[2]) for row in await found.fetchall()}

    async def page(self, journal_id: str, after: Position, limit: int) -> tuple[OutboxRow, ...]:
        # One row more tells whether the page's last event is the last part of its sequence.
        async with answering(self._pool) as connection:
            found = await connection.execute(
                _PAGE.encode(), (journal_id, *after, limit + 1), binary=True
            )
            rows = await found.fetchall()
        following = [row[5] for row in rows[1:]] + [None]
        return tuple(
            _row(journal_id, row, is_last_part=row[5] != next_sequence)
            for row, next_sequence in zip(rows[:limit], following, strict=False)
        )

    async def cursor(self, relay: str, journal_id: str) -> Position:
        query = "SELECT sequence, part FROM relay_cursors WHERE relay = %s AND journal_id = %s"
        async with answering(self._pool) as connection:
            row = await (await connection.execute(query, (relay, journal_id))).fetchone()
        return BEGIN if row is None else Position(*row)

    async def save_cursor(self, relay: str, journal_id: str, position: Position) -> None:
        async with answering(self._pool) as connection:
            await connection.execute(_SAVE_CURSOR.encode(), (relay, journal_id, *position))

    async def lag(self, journal_id: str, after: Position) -> Lag:
        async with answering(self._pool) as connection:
            oldest = await (await connection.execute(_OLDEST.encode(), (journal_id, *after))).fetchone()
            if oldest is None:
                return Lag(0, 0)
            counted = await connection.execute(_COUNT.encode(), (journal_id, *after, MOST_COUNTED))
            row = await counted.fetchone()
        return Lag(row[0] if row is not None else 0, oldest[0])


def _row(journal_id: str, row: tuple[Any, ...], *, is_last_part: bool) -> OutboxRow:
    return OutboxRow(
        event_id=row[0],
        kind=row[1],
        aggregate_id=row[2],
        payload=row[3],
        created_at_us=row[4],
        journal_id=journal_id,
        sequence=row[5],
        part=row[6],
        chain_hash=bytes(row[7]),
        is_last_part=is_last_part,
    )
