"""Takes the journal's entries to PostgreSQL, in order and in batches, and never loses one.

An entry is left behind only when its transaction is committed, or when PostgreSQL says that the row itself is
impossible: then it is set aside, with its payload, and the rest goes on. While PostgreSQL is away everything waits on
disk; memory holds a batch, and one more while it catches up.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from store.backoff import Backoff
from store.drain_marks import ArrivalMarks
from store.drain_room import BatchRoom
from store.drain_sink import TOO_SLOW, DrainPosition, DrainSink
from store.ending import end
from store.errors import (
    EntriesGone,
    JournalCorrupt,
    JournalError,
    JournalFailed,
    RecordInvalid,
    RecordSetAside,
    StoreTooSlow,
    StoreUnavailable,
)
from store.journal.port import Entry, JournalPort
from store.selection_rows import ROW_ERRORS, OrderOwner, RowStatus

_log = logging.getLogger(__name__)
T = TypeVar("T")
_IMPOSSIBLE = (*ROW_ERRORS, RecordInvalid)


@dataclass(frozen=True, slots=True)
class DrainerSettings:
    """Bounds and times of a batch. One of updates alone, which nobody looks for in PostgreSQL at once, waits up to
    `patient_wait_s` for more: what a batch costs by itself would be most of what many small ones cost. For the same
    reason, where `busy_entries` or more came within `batch_wait_s` and all of them were answered from memory, that wait
    is `busy_factor` times as long. A decision whose caller waited for the disk goes out after `batch_wait_s`: other
    hosts are to see it within 100 ms. An attempt that takes longer than `attempt_timeout_s` is given up and made again
    with half the entries: the server's own time-out is no help where the server hears nothing. After
    `most_set_aside_in_a_row` rows that PostgreSQL refused without taking one, it is the schema that is wrong and not
    the rows, and everything waits. Where nothing comes for `idle_look_s` PostgreSQL is asked how far it has the
    journal: a standby that was promoted may lack the last of it."""

    batch_size: int = 500
    batch_bytes: int = 8 * 1024 * 1024
    batch_wait_s: float = 0.020
    patient_wait_s: float = 0.200
    busy_entries: int = 16
    busy_factor: float = 4.0
    attempt_timeout_s: float = 20.0
    most_set_aside_in_a_row: int = 1_000
    idle_look_s: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class DrainerMetrics:
    """One moment of the drainer. `failures` counts attempts that ended in an error about the moment, not a row."""

    pending: int
    oldest_pending_age_s: float
    written: int
    batches: int
    failures: int
    conflicted: int
    set_aside: int


@dataclass(frozen=True, slots=True)
class Commit:
    """What became of an entry. `owner` is whom the order belongs to where that is another selection; with `status` None
    it is in PostgreSQL (or set aside), and PostgreSQL must be asked which: the answer to the commit was lost."""

    status: RowStatus | None
    owner: OrderOwner | None = None


@dataclass(frozen=True, slots=True)
class DrainStep:
    """All entries up to `sequence` are done with. `owners` by selection id names the orders that belong to somebody
    else; `set_aside` says why PostgreSQL refused the one entry of this step; `is_known` is false where neither is."""

    sequence: int
    owners: Mapping[str, OrderOwner] = field(default_factory=dict)
    set_aside: str | None = None
    is_known: bool = True


class Observer(Protocol):
    """Whoever keeps books on what is not in PostgreSQL yet. Called on the drainer's loop; must not wait."""

    def drained(self, step: DrainStep) -> None: ...

    def diverged(self, error: JournalError) -> None:
        """The journal cannot be drained any more, and nobody may be told that anything is safe."""
        ...


SetAsideCallback = Callable[[Entry, str], None]
FailureCallback = Callable[[Exception, int], None]


def log_set_aside(entry: Entry, reason: str) -> None:
    _log.error("entry %d (%s) was set aside: %s", entry.sequence, entry.kind.name, reason)


def log_failure(error: Exception, failures_in_a_row: int) -> None:
    # The first of an outage, and then ever more seldom.
    if failures_in_a_row & (failures_in_a_row - 1) == 0:
        _log.warning("entries could not be written (%d in a row): %s", failures_in_a_row, error)


class Drainer:
    """One background task over one journal. Belongs to the event loop that started it."""

    def __init__(
        self,
        journal: JournalPort,
        sink: DrainSink,
        settings: DrainerSettings | None = None,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        uniform: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_set_aside: SetAsideCallback = log_set_aside,
        on_failure: FailureCallback = log_failure,
    ) -> None:
        self._journal = journal
        self._lets_go = True
        self._sink = sink
        self._settings = settings or DrainerSettings()
        self._room = BatchRoom(self._settings.batch_size, self._settings.attempt_timeout_s)
        self._clock_s = clock_s
        self._uniform = uniform
        self._sleep = sleep
        self._on_set_aside = on_set_aside
        self._on_failure = on_failure
        self._observer: Observer | None = None
        self._position: DrainPosition | None = None  # unknown until PostgreSQL was asked
        self._done_sequence = journal.metrics.drained_sequence
        self._ahead: asyncio.Task[Sequence[Entry]] | None = None
        self._waiters: dict[int, dict[asyncio.Future[Commit], str]] = {}
        self._marks = ArrivalMarks()
        self._arrived = asyncio.Event()
        self._flush = asyncio.Event()
        self._is_urgent = self._is_awaited = False  # of what is gathered
        self._is_patient = self._is_long = False  # of the wait under way
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._failures_in_a_row = self._set_aside_in_a_row = 0
        self._written = self._batches = self._failures = self._conflicted = self._set_aside = 0

    def start(self, observer: Observer | None = None, *, lets_go: bool = True) -> None:
        """Without `lets_go` it is the observer who tells the journal what is drained, when that may be forgotten."""
        if self._task is None:
            self._observer, self._lets_go = observer, lets_go
            self.arrived()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="drainer")

    def arrived(self, is_urgent: bool = True, is_awaited: bool = True) -> None:
        """The journal's head moved on. `is_urgent`: by something that others wait to see in PostgreSQL. `is_awaited`:
        its caller waited for the disk."""
        is_awaited = is_awaited and is_urgent
        self._is_urgent = self._is_urgent or is_urgent
        self._is_awaited = self._is_awaited or is_awaited
        head = self._journal.head.sequence
        self._marks.add(head, self._clock_s())
        if head > self._done_sequence:
            self._idle.clear()
            self._arrived.set()
            is_full = head - self._done_sequence >= self._room.entries
            if self._waiters or is_full or (is_urgent and self._is_patient) or (is_awaited and self._is_long):
                self._flush.set()

    def hasten(self) -> None:
        """Somebody waits: what is there goes out as soon as the drainer is free."""
        self._flush.set()

    def committed(self, sequence: int, record_id: str) -> asyncio.Future[Commit]:
        """A future of the caller's own, done when PostgreSQL has the entry; RecordSetAside where it refused it."""
        future: asyncio.Future[Commit] = asyncio.get_running_loop().create_future()
        if self._closing:
            future.set_exception(StoreUnavailable("the drainer is stopping"))
        elif sequence <= self._done_sequence:
            future.set_result(Commit(None))
        else:
            self._waiters.setdefault(sequence, {})[future] = record_id
            future.add_done_callback(lambda done: self._forget(sequence, done))
            self.hasten()
        return future

    @property
    def is_failing(self) -> bool:
        """PostgreSQL did not take the last attempt."""
        return self._failures_in_a_row > 0

    @property
    def metrics(self) -> DrainerMetrics:
        pending = max(0, self._journal.head.sequence - self._done_sequence)
        return DrainerMetrics(
            pending=pending,
            oldest_pending_age_s=self._marks.age_s(self._done_sequence, self._clock_s()) if pending else 0.0,
            written=self._written,
            batches=self._batches,
            failures=self._failures,
            conflicted=self._conflicted,
            set_aside=self._set_aside,
        )

    async def stop(self, deadline_s: float) -> int:
        """Drains for at most that long while PostgreSQL takes it, then ends; how many entries wait in the journal.

        Without PostgreSQL it ends at once: they are drained after the next start.
        """
        self._closing = True
        self._flush.set()
        if self._task is not None:
            idle = asyncio.ensure_future(self._idle.wait())
            if not self.is_failing:
                await asyncio.wait({idle, self._task}, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
            idle.cancel()
            await end(self._task)
        self._drop_ahead()
        for futures in tuple(self._waiters.values()):
            for future in tuple(futures):
                if not future.done():
                    future.set_exception(StoreUnavailable("the service stopped before PostgreSQL took the record"))
        self._waiters.clear()
        return max(0, self._journal.head.sequence - self._done_sequence)

    async def _run(self) -> None:
        while True:
            try:
                if self._position is None:
                    await self._find_position()
                if not await self._has_arrived():
                    self._position = None
                    continue
                await self._gather()
                await self._drain_batch()
                self._failures_in_a_row = 0
            except (JournalCorrupt, JournalFailed) as error:
                self._give_up(error)
                return
            except Exception as error:  # whatever it is, the entries stay and are tried again
                self._drop_ahead()
                # The batch may be there, and only the answer lost.
                self._position = None
                await self._back_off(error)
                if self._closing:
                    return

    async def _has_arrived(self) -> bool:
        """False where nothing came for so long that it is worth a look at what PostgreSQL has."""
        if not self._arrived.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.idle_look_s):
                    await self._arrived.wait()
        return self._arrived.is_set()

    async def _gather(self) -> None:
        """Waits for a batch to fill, unless somebody is in a hurry."""
        settings = self._settings
        await self._flushed_within(settings.batch_wait_s)
        if not self._is_urgent:
            self._is_patient = True
            await self._flushed_within(settings.patient_wait_s - settings.batch_wait_s)
            self._is_patient = False
        elif not self._is_awaited and self._journal.head.sequence - self._done_sequence >= settings.busy_entries:
            self._is_long = True
            await self._flushed_within(settings.batch_wait_s * (settings.busy_factor - 1.0))
            self._is_long = False
        # Cleared before the batch is read: whoever asks for haste from here on is in the next one.
        self._flush.clear()
        self._is_urgent = self._is_awaited = False

    async def _flushed_within(self, limit_s: float) -> None:
        if not self._flush.is_set() and not self._closing and limit_s > 0.0:
            with suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self._flush.wait()

    async def _drain_batch(self) -> None:
        assert self._position is not None
        after = self._position.sequence
        batch = await self._taken_ahead() or await self._read(after)
        if batch:
            if self._journal.head.sequence - batch[-1].sequence >= self._room.entries:
                self._ahead = asyncio.get_running_loop().create_task(self._read(batch[-1].sequence))
            await self._write(batch)
        self._look_for_more()

    def _look_for_more(self) -> None:
        left = self._journal.head.sequence - self._done_sequence
        if left <= 0:
            self._arrived.clear()
            self._idle.set()
        elif self._closing or left >= self._room.entries or self._waiters:
            self._flush.set()

    async def _read(self, after: int) -> Sequence[Entry]:
        try:
            return await self._journal.read(after, self._room.entries, self._settings.batch_bytes)
        except EntriesGone as error:
            raise StoreUnavailable(
                f"PostgreSQL has entries up to {after} of journal {self._journal.journal_id}, and the journal no "
                f"longer holds the next: is it another database, or one from a backup? ({error})"
            ) from error

    async def _taken_ahead(self) -> Sequence[Entry]:
        ahead, self._ahead = self._ahead, None
        return await ahead if ahead is not None else ()

    def _drop_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    async def _write(self, batch: Sequence[Entry]) -> None:
        """Writes entries that follow the position. A batch with an impossible row is halved until the row is alone;
        after one that PostgreSQL does not take in time the next attempts are smaller."""
        begun_s = self._clock_s()
        try:
            owners = await self._within(self._sink.write(batch))
        except TOO_SLOW:
            self._room.timed_out(len(batch))
            raise
        except _IMPOSSIBLE as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._write(batch[:middle])
                await self._write(batch[middle:])
                return
            await self._put_aside(batch[0], f"{type(error).__name__}: {error}")
            return
        self._room.taken(self._clock_s() - begun_s)
        self._batches += 1
        self._written += len(batch)
        self._conflicted += len(owners)
        self._set_aside_in_a_row = 0
        self._step(batch[-1], DrainStep(batch[-1].sequence, owners))

    async def _within(self, attempt: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._settings.attempt_timeout_s):
                return await attempt
        except TimeoutError as error:
            raise StoreTooSlow(f"PostgreSQL did not answer within {self._settings.attempt_timeout_s} s") from error

    async def _put_aside(self, entry: Entry, reason: str) -> None:
        if self._set_aside_in_a_row >= self._settings.most_set_aside_in_a_row:
            raise StoreUnavailable(f"{self._set_aside_in_a_row} rows in a row were set aside, the bound: {reason}")
        await self._within(self._sink.set_aside(entry, reason))
        self._set_aside += 1
        self._set_aside_in_a_row += 1
        self._step(entry, DrainStep(entry.sequence, set_aside=reason))
        _call(self._on_set_aside, entry, reason)

    def _step(self, last: Entry, step: DrainStep) -> None:
        self._position = DrainPosition(last.sequence, last.chain_hash)
        self._advance(step)

    def _advance(self, step: DrainStep) -> None:
        """Tells everybody, the journal last: whatever it lets go of, nobody needs to read it any more."""
        before, self._done_sequence = self._done_sequence, step.sequence
        self._marks.forget(step.sequence)
        if self._waiters:
            self._settle_waiters(before, step)
        if self._observer is not None:
            _call(self._observer.drained, step)
        if self._lets_go:
            self._journal.drained(step.sequence)

    def _settle_waiters(self, before: int, step: DrainStep) -> None:
        sequences = range(before + 1, step.sequence + 1)
        few = self._waiters if len(self._waiters) < len(sequences) else sequences
        for sequence in [found for found in few if found in self._waiters and found <= step.sequence]:
            for future, record_id in self._waiters.pop(sequence).items():
                if not future.done():
                    _settle(future, record_id, step)

    def _forget(self, sequence: int, future: asyncio.Future[Commit]) -> None:
        """A waiter that gave up. One that nobody looks at any more is no error of the program."""
        futures = self._waiters.get(sequence)
        if futures is not None:
            futures.pop(future, None)
            if not futures:
                del self._waiters[sequence]
        if not future.cancelled():
            future.exception()

    async def _find_position(self) -> None:
        """What PostgreSQL has of this journal. It may be more than is known here, where an answer was lost."""
        journal = self._journal
        position = await self._within(self._sink.position(journal.journal_id))
        head = journal.head
        if position.sequence > head.sequence:
            raise JournalCorrupt(
                f"journal {journal.journal_id}: PostgreSQL has entries up to {position.sequence}, the journal only up "
                f"to {head.sequence}: entries that were acknowledged are gone from this disk"
            )
        await self._compare(position)
        self._position = position
        if position.sequence > self._done_sequence:
            self._advance(DrainStep(position.sequence, is_known=False))
            self._look_for_more()
        elif position.sequence < self._done_sequence:
            self._done_sequence = position.sequence  # another database; the journal may still hold what it lacks
            self.arrived()
        elif head.sequence == position.sequence:
            self._idle.set()
        if journal.head.sequence <= self._done_sequence:
            self._failures_in_a_row = 0  # nothing waits, so no batch would end the outage

    async def _compare(self, position: DrainPosition) -> None:
        """The entry at the position, where the journal still has it, must be the very one that PostgreSQL has."""
        if position.sequence == 0:
            return
        try:
            found = await self._journal.read(position.sequence - 1, 1, 1)
        except EntriesGone:
            return
        if found and found[0].sequence == position.sequence and found[0].chain_hash != position.chain_hash:
            raise JournalCorrupt(
                f"journal {self._journal.journal_id}: entry {position.sequence} has the hash "
                f"{found[0].chain_hash.hex()[:16]} here and {position.chain_hash.hex()[:16]} in PostgreSQL"
            )

    async def _back_off(self, error: Exception) -> None:
        self._failures += 1
        self._failures_in_a_row += 1
        _call(self._on_failure, error, self._failures_in_a_row)
        if not self._closing:
            await self._sleep(self._settings.backoff.delay_s(self._failures_in_a_row, self._uniform()))

    def _give_up(self, error: JournalError) -> None:
        _log.critical("the journal cannot be drained: %s", error)
        self._drop_ahead()
        if self._observer is not None:
            self._observer.diverged(error)


def _settle(future: asyncio.Future[Commit], record_id: str, step: DrainStep) -> None:
    if step.set_aside is not None:
        future.set_exception(RecordSetAside(step.set_aside))
    elif not step.is_known:
        future.set_result(Commit(None))
    else:
        owner = step.owners.get(record_id)
        future.set_result(Commit(RowStatus.RECORDED if owner is None else RowStatus.CONFLICTED, owner))


def _call(callback: Callable[..., None], *arguments: object) -> None:
    """A callback that fails must not stop the draining."""
    try:
        callback(*arguments)
    except Exception:
        _log.exception("a callback of the drainer failed")
