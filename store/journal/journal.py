"""The journal that ships: records in checksummed append-only segments, synced in groups by one committer.

The event loop only numbers what it takes and hands it over; hashing, writing and syncing happen on the commit lane,
which takes everything that waits as one group: data written and synced, then the head written and synced, then all the
group's futures are done at once. While one group is on its way the next gathers.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from functools import partial

from engine.records import RecordKind
from store.errors import JournalFailed, JournalFull, RecordInvalid
from store.journal.codec import BLOCK_BYTES, frame_bytes
from store.journal.files import Files
from store.journal.lanes import Lanes, ThreadLanes
from store.journal.port import Entry, Head, JournalMetrics
from store.journal.reading import missing_segment, read_entries, stretches_after
from store.journal.recovery import Opened, Recovery, recover
from store.journal.segments import SegmentIndex, segment_name
from store.journal.settings import JournalSettings
from store.journal.tail import NoSpace, Waiting, Written

# For every byte written so many zeros are laid out ahead, until the next segment is complete.
_LAYOUT_PACE = 3
_LAYOUT_LEAST_BYTES = 256 << 10

_log = logging.getLogger(__name__)


async def open_journal(
    files: Files,
    folder: str,
    settings: JournalSettings | None = None,
    *,
    new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    lanes: Lanes | None = None,
) -> tuple[Journal, Recovery]:
    """Opens the folder's journal, recovering it, or makes a new one in an empty folder.

    Raises JournalError (somebody else has it open), JournalCorrupt (a `store.journal.damage.Damaged`, which names the
    place; `store.journal.recovery.salvage` reads what is intact before it) or OSError.
    """
    settings = settings or JournalSettings()
    lanes = lanes or ThreadLanes()
    try:
        opened = await lanes.run(partial(recover, files, folder, settings, new_id))
    except BaseException:
        await lanes.stop()
        raise
    return Journal(files, folder, settings, lanes, opened), opened.recovery


class Journal:
    """See JournalPort for the interface. Made by `open_journal`, used on the loop that opened it."""

    def __init__(
        self, files: Files, folder: str, settings: JournalSettings, lanes: Lanes, opened: Opened
    ) -> None:
        self._files = files
        self._folder = folder
        self._settings = settings
        self._lanes = lanes
        self._loop = asyncio.get_running_loop()
        self._tail = opened.tail
        self._lock = opened.lock
        self._head = opened.head
        self._indexes = opened.indexes
        self._drained = opened.recovery.drained_sequence
        # Positions in the stream of all segments' data, so that what is not drained is one subtraction.
        self._end_bytes = self._indexes[-1].end_bytes
        self._drained_bytes = self._position_after(self._drained)
        self._next = opened.head.sequence + 1
        self._room_bytes = opened.tail.room_bytes
        self._commits = 0
        self._failure: str | None = None
        self._closed: asyncio.Task[None] | None = None
        # What waits for the committer. The list is handed over under the mutex; bytes count until they are durable.
        self._mutex = threading.Lock()
        self._waiting: list[Waiting] = []
        self._waiting_bytes = 0
        self._committing = False  # under the mutex
        self._is_dead = False  # written and read on the commit lane: nothing may be written any more
        self._is_kicked = False
        self._is_urgent = False  # under the mutex: somebody waits for what waits
        self._lazy: asyncio.TimerHandle | None = None
        # Room.
        self._no_space = False
        self._refused_bytes = 0  # of the last record that was refused; 0: none since there was room
        self._retry: asyncio.TimerHandle | None = None
        self._is_laying_out = False
        self._layout_credit = 0
        self._listeners: list[tuple[int, asyncio.Future[Head]]] = []
        self._lay_out(settings.urgent_segment_bytes)

    @property
    def journal_id(self) -> str:
        return self._head.journal_id

    @property
    def head(self) -> Head:
        return self._head

    @property
    def metrics(self) -> JournalMetrics:
        return JournalMetrics(
            head_sequence=self._head.sequence,
            drained_sequence=self._drained,
            used_bytes=self._used_bytes(),
            limit_bytes=self._settings.limit_bytes,
            commits=self._commits,
            is_full=not self._has_room(max(1, self._refused_bytes)),
        )

    def append(
        self, kind: RecordKind, payload: bytes, in_haste: bool = True
    ) -> tuple[int, asyncio.Future[Head]]:
        """See JournalPort. Raises RecordInvalid for a payload that is longer than a journal ever takes."""
        if self._failure is not None or self._closed is not None:
            raise JournalFailed(self._failure or "the journal is closing")
        if len(payload) > self._settings.most_payload_bytes:
            raise RecordInvalid(f"{len(payload)} bytes are more than a record may have")
        size = frame_bytes(len(payload))
        if not self._has_room(size):
            self._refused_bytes = size
            raise JournalFull("the disk has no room" if self._no_space else "too much is not drained yet")
        self._refused_bytes = 0
        sequence, self._next = self._next, self._next + 1
        future: asyncio.Future[Head] = self._loop.create_future()
        with self._mutex:
            self._waiting.append(Waiting(sequence, int(kind), payload, future))
            self._is_urgent = self._is_urgent or in_haste
        self._waiting_bytes += size
        if not in_haste:
            # Nobody waits for it: what else comes within some milliseconds shares its writes and syncs.
            self._hasten_within(
                self._settings.patient_sync_s if kind is RecordKind.UPDATE else self._settings.lazy_sync_s
            )
        elif not self._is_kicked:
            # What else this turn of the loop brings goes into the same group.
            self._is_kicked = True
            self._loop.call_soon(self._kick)
        return sequence, future

    async def read(self, after: int, most: int, most_bytes: int) -> Sequence[Entry]:
        """See JournalPort. Raises EntriesGone for entries that were drained and are not kept any more."""
        through = self._head.sequence
        if most < 1 or after < 0:
            raise ValueError("reads at least one entry, after 0 or later")
        if after >= through:
            return ()
        stretches = stretches_after(self._indexes, after)
        try:
            return await self._lanes.run(
                partial(read_entries, self._files, self._folder, stretches, after, through, most, most_bytes)
            )
        except FileNotFoundError as error:
            stretches_after(self._indexes, after)  # EntriesGone, where the segment was let go of meanwhile
            raise missing_segment(stretches[0], after) from error

    async def wait_beyond(self, sequence: int) -> Head:
        """See JournalPort."""
        if self._head.sequence > sequence:
            return self._head
        if self._failure is not None:
            raise JournalFailed(self._failure)
        future: asyncio.Future[Head] = self._loop.create_future()
        listener = (sequence, future)
        self._listeners.append(listener)
        try:
            return await future
        finally:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def drained(self, sequence: int) -> None:
        """See JournalPort. The head remembers it with its next write."""
        if sequence > self._head.sequence:
            raise ValueError(f"{sequence} is beyond the durable head, {self._head.sequence}")
        if sequence <= self._drained or self._failure is not None:
            return
        self._drained = self._tail.drained_sequence = sequence
        self._drained_bytes = self._position_after(sequence)
        gone = self._let_go_of_segments()
        if gone:
            self._lanes.commit(partial(self._forget, gone, self._indexes[0].first_sequence))

    async def close(self) -> None:
        """See JournalPort. Whatever cannot be synced fails; may be called twice, and goes on if a caller gives up."""
        if self._closed is None:
            self._closed = self._loop.create_task(self._close(), name="close-journal")
        await asyncio.shield(self._closed)

    async def _close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        if self._lazy is not None:
            self._lazy.cancel()
        self._kick()
        self._tail.abandon()
        if self._failure is None:
            flushed = self._loop.create_future()
            self._lanes.commit(partial(self._flush, flushed))
            await flushed
            self._fail("the journal is closed")
        await self._lanes.stop()
        self._tail.close()
        self._lock.release()

    # ---- on the loop

    def _used_bytes(self) -> int:
        return self._end_bytes - self._drained_bytes + self._waiting_bytes

    def _has_room(self, size: int) -> bool:
        if self._used_bytes() + size > self._settings.limit_bytes:
            return False
        # While the disk refuses more, only what is already laid out is promised.
        return not self._no_space or self._waiting_bytes + size <= self._room_bytes

    def _position_after(self, sequence: int) -> int:
        """Where the entry after this one begins, or a little before it."""
        if sequence >= self._head.sequence:
            return self._end_bytes
        index = next(one for one in reversed(self._indexes) if one.first_sequence <= sequence + 1)
        return index.base_bytes + index.offset_before(sequence + 1)[1] - BLOCK_BYTES

    def _hasten_within(self, limit_s: float) -> None:
        at_s = self._loop.time() + limit_s
        if self._lazy is not None:
            if self._lazy.when() <= at_s:
                return
            self._lazy.cancel()
        self._lazy = self._loop.call_at(at_s, self._hasten)

    def _hasten(self) -> None:
        """What nobody waits for has waited long enough."""
        self._lazy = None
        with self._mutex:
            self._is_urgent = True
        self._kick()

    def _kick(self) -> None:
        self._is_kicked = False
        with self._mutex:
            if self._committing or not self._waiting:
                return
            self._committing = True
        self._lanes.commit(self._commit)

    def _committed(self, group: Sequence[Waiting], written: Written) -> None:
        """Everything of one group, once."""
        self._commits += 1
        index = self._indexes[-1]
        if index.first_sequence != written.segment_first:
            index = SegmentIndex(written.segment_first, self._end_bytes)
            self._indexes.append(index)
            self._lay_out(self._settings.urgent_segment_bytes)
        for sequence, offset in written.marks:
            index.mark(sequence, offset)
        self._lay_out(_LAYOUT_PACE * (written.end_offset - index.end_offset))
        index.end_offset = written.end_offset
        self._end_bytes = index.end_bytes
        self._room_bytes = written.room_bytes
        self._waiting_bytes -= sum(frame_bytes(len(entry.payload)) for entry in group)
        self._head = written.head
        for entry in group:
            if not entry.future.done():  # somebody may have stopped waiting
                entry.future.set_result(written.head)
        self._wake_listeners()

    def _wake_listeners(self) -> None:
        for sequence, future in self._listeners:
            if sequence < self._head.sequence and not future.done():
                future.set_result(self._head)

    def _fail(self, reason: str, group: Sequence[Waiting] = ()) -> None:
        if self._failure is None:
            self._failure = reason
        with self._mutex:
            waiting, self._waiting = self._waiting, []
        futures = [entry.future for entry in (*group, *waiting)] + [future for _, future in self._listeners]
        for future in futures:
            if not future.done():
                future.set_exception(JournalFailed(reason))
                future.exception()  # who answered without waiting does not ask: that is no error to log

    def _lay_out(self, more_bytes: int) -> None:
        """The next segment is laid out at the pace of writing: all at once would stand in the way of commits."""
        self._layout_credit += more_bytes
        if self._is_laying_out or self._failure or self._closed:
            return
        if self._layout_credit < min(_LAYOUT_LEAST_BYTES, self._settings.urgent_segment_bytes):
            return
        self._is_laying_out = True
        budget, self._layout_credit = self._layout_credit, 0
        self._lanes.background(partial(self._prepare_spare, budget))

    def _laid_out(self, is_made: bool) -> None:
        self._is_laying_out = False
        if is_made:
            self._no_space = False
            self._kick()
            self._lay_out(0)
        else:
            self._space_refused()

    def _space_refused(self) -> None:
        self._no_space = True
        if self._retry is None and not (self._failure or self._closed):
            self._retry = self._loop.call_later(self._settings.space_retry_s, self._ask_for_space)

    def _ask_for_space(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._lay_out(self._settings.urgent_segment_bytes)
        self._kick()

    def _let_go_of_segments(self) -> tuple[int, ...]:
        """Takes the drained segments that are not retained out of the index."""
        drained = 0
        while drained + 1 < len(self._indexes) and self._indexes[drained + 1].first_sequence - 1 <= self._drained:
            drained += 1
        gone = self._indexes[: max(0, drained - self._settings.retain_segments)]
        del self._indexes[: len(gone)]
        return tuple(index.first_sequence for index in gone)

    # ---- on the commit lane

    def _commit(self) -> None:
        """Commits group after group until nothing waits, or nothing that is waited for."""
        is_first = True
        while not self._is_dead:
            with self._mutex:
                if not self._waiting or not (is_first or self._is_urgent):
                    self._committing = False
                    return
                waiting, self._waiting = self._waiting, []
                is_first = self._is_urgent = False
            try:
                written = self._tail.write(waiting)
            except NoSpace:
                with self._mutex:
                    self._waiting = waiting + self._waiting
                    self._committing = False
                self._lanes.answer(self._space_refused)
                return
            except Exception as error:  # whatever it was, nothing can be said of the disk any more
                self._die(error, waiting)
                return
            if written.count < len(waiting):
                with self._mutex:
                    self._waiting = waiting[written.count :] + self._waiting
                    self._is_urgent = True
            self._lanes.answer(partial(self._committed, waiting[: written.count], written))

    def _forget(self, gone: tuple[int, ...], kept_from: int) -> None:
        """Segments go only when the head on disk says that they need not be there."""
        if self._is_dead:
            return
        try:
            self._tail.write_head(kept_from)
        except OSError as error:
            self._die(error, ())
            return
        self._lanes.background(partial(self._unlink, gone))

    def _flush(self, flushed: asyncio.Future[None]) -> None:
        """The last work: everything that waited was tried before."""
        if not self._is_dead and self._tail.drained_sequence != self._tail.slot.drained_sequence:
            try:
                self._tail.write_head()
            except OSError as error:
                self._die(error, ())
        self._lanes.answer(partial(flushed.set_result, None))

    def _die(self, error: Exception, group: Sequence[Waiting]) -> None:
        self._is_dead = True
        _log.error("the journal in %s failed: %s", self._folder, error)
        reason = f"the disk did not take what it was given: {error}"
        self._lanes.answer(partial(self._fail, reason, group))

    # ---- on the background lane

    def _prepare_spare(self, budget_bytes: int) -> None:
        try:
            self._tail.prepare_spare(budget_bytes)
        except NoSpace:
            self._lanes.answer(partial(self._laid_out, False))
        else:
            self._lanes.answer(partial(self._laid_out, True))

    def _unlink(self, gone: tuple[int, ...]) -> None:
        try:
            for first in gone:
                self._files.unlink(f"{self._folder}/{segment_name(first)}")
        except OSError as error:
            _log.warning("a drained segment stays until the next start: %s", error)
        self._lanes.answer(self._room_came)

    def _room_came(self) -> None:
        if self._no_space:
            self._ask_for_space()
