"""The keeper's line into the journal: every record that it takes goes through here, whatever its kind.

What stands in the line and is not on disk yet is known by name, so that a stop can say what was lost. What becomes of
a write is told to whoever it concerns: its waiter, the drainer, and the health of the journal.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from engine.records import RecordKind
from store.claims import Claim
from store.drainer import Drainer
from store.errors import JournalError, JournalFailed, JournalFull
from store.journal.port import JournalPort
from store.journal_health import JournalHealth
from store.latencies import Latencies
from store.submission import Acknowledgement


class JournalLine:
    """Belongs to one event loop. `journal` and `drainer` are replaced together, when the journal had to be opened
    anew."""

    def __init__(self, journal: JournalPort, drainer: Drainer, health: JournalHealth) -> None:
        self.journal = journal
        self.drainer = drainer
        self.latencies = Latencies()  # of each record, from its place in the line until it was on disk
        self._health = health
        self._unsynced: dict[int, str] = {}  # what is taken and not on disk yet, by sequence

    @property
    def unsynced(self) -> tuple[str, ...]:
        """The names of what was taken and is not on disk."""
        return tuple(self._unsynced.values())

    def enter(self, journal: JournalPort, drainer: Drainer) -> None:
        """Goes on with another journal; what was not on disk in the one before is not taken any more."""
        self._unsynced.clear()
        self.journal = journal
        self.drainer = drainer

    def append(
        self, kind: RecordKind, payload: bytes, name: str, in_haste: bool = True, claim: Claim | None = None
    ) -> tuple[int, asyncio.Future[Any]]:
        """Its place in the journal, and a future that is done when it is on disk. Until then `name` stands in
        `unsynced`, and the `claim` of a decision keeps the future. Raises RecordInvalid or JournalError; then nothing
        was taken."""
        begun_ns = time.perf_counter_ns()
        try:
            sequence, durable = self.journal.append(kind, payload, in_haste)
        except JournalFull as error:
            self._health.full(error)
            raise
        except JournalError as error:
            self._health.failed(error)
            raise
        self._unsynced[sequence] = name
        is_urgent = kind is not RecordKind.UPDATE
        durable.add_done_callback(partial(self._written, sequence, claim, begun_ns, is_urgent, in_haste))
        return sequence, durable

    def _written(
        self, sequence: int, claim: Claim | None, begun_ns: int, is_urgent: bool, is_awaited: bool,
        done: asyncio.Future[Any],
    ) -> None:  # fmt: skip
        """Once a record: as few calls as can be."""
        if done.cancelled() or (error := done.exception()) is not None:
            reason = JournalFailed("the journal was closed") if done.cancelled() else error
            self._health.failed(reason if isinstance(reason, JournalError) else JournalFailed(repr(reason)))
            return
        self._unsynced.pop(sequence, None)
        if claim is not None and claim.durable is done:
            claim.durable = None
        self.latencies.add(time.perf_counter_ns() - begun_ns)
        self.drainer.arrived(is_urgent, is_awaited)

    async def met(
        self, durable: asyncio.Future[Any] | None, sequence: int, acknowledgement: Acknowledgement
    ) -> None:
        """Waits until the class is met; what was not taken anew (`durable` is None) has nothing to wait for."""
        if durable is None or acknowledgement is Acknowledgement.BUFFERED:
            return
        await asyncio.shield(durable)
        if acknowledgement is Acknowledgement.COMMITTED:
            await self.drainer.committed(sequence, "")
