"""The journal that ships: records in checksummed append-only segments, synced in groups by one committer.

The event loop numbers what it takes, and puts everything that waits together as one group: chained, checksummed, with
the head that will speak of it. Others write it (`Lanes.write`): data written and synced, then the head written and
synced, then all the group's futures are done at once. While one group is on its way the next gathers. At most one thing
is under way on the journal's end, so what is there needs no lock.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections import deque
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
from store.journal.segments import KINDS, SegmentIndex, segment_name
from store.journal.settings import JournalSettings
from store.journal.tail import Plan, Waiting, Written
from store.journal.writing import NoSpace

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
        # What waits for the committer; bytes count until they are durable.
        self._waiting: list[Waiting] = []
        self._waiting_bytes = 0
        self._is_busy = False  # something is under way on the journal's end
        self._quiet: asyncio.Future[None] | None = None  # done when nothing is
        self._gone: tuple[int, ...] = ()  # segments that may go once the head says so
        self._is_kicked = False
        self._is_urgent = False  # somebody waits for what waits
        self._lazy: asyncio.TimerHandle | None = None
        # What became durable last and is not drained, with its bytes of payload: who drains reads it from here.
        self._recent: deque[Entry] = deque()
        self._recent_bytes = 0
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
        if not self._has_room(size, kind is RecordKind.OPERATION):
            self._refused_bytes = size
            raise JournalFull("the disk has no room" if self._no_space else "too much is not drained yet")
        if kind is not RecordKind.OPERATION:
            self._refused_bytes = 0
        sequence, self._next = self._next, self._next + 1
        future: asyncio.Future[Head] = self._loop.create_future()
        self._waiting.append(Waiting(sequence, int(kind), payload, future))
        self._waiting_bytes += size
        if in_haste:
            self._is_urgent = True
            if not self._is_kicked:
                # What else this turn of the loop brings goes into the same group.
                self._is_kicked = True
                self._loop.call_soon(self._kick)
        elif self._lazy is None:
            # Nobody waits for it: what else comes within some milliseconds shares its writes and syncs.
            self._lazy = self._loop.call_later(self._settings.lazy_sync_s, self._hasten)
        return sequence, future

    async def read(self, after: int, most: int, most_bytes: int) -> Sequence[Entry]:
        """See JournalPort. Raises EntriesGone for entries that were drained and are not kept any more."""
        through = self._head.sequence
        if most < 1 or after < 0:
            raise ValueError("reads at least one entry, after 0 or later")
        if after >= through:
            return ()
        if self._recent and self._recent[0].sequence <= after + 1:
            return self._read_recent(after, most, most_bytes)
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
        while self._recent and self._recent[0].sequence <= sequence:
            self._drop_recent()
        self._gone += self._let_go_of_segments()
        self._proceed()

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
        self._tail.abandon()
        self._is_urgent = True
        self._proceed()
        await self._no_longer_busy()
        if self._failure is None and self._tail.drained_sequence != self._tail.slot.drained_sequence:
            self._begin(self._tail.plan_head(), ())
            await self._no_longer_busy()
        self._fail("the journal is closed")
        await self._lanes.stop()
        self._tail.close()
        self._lock.release()

    # ---- on the loop

    def _used_bytes(self) -> int:
        return self._end_bytes - self._drained_bytes + self._waiting_bytes

    def _has_room(self, size: int, is_operation: bool = False) -> bool:
        more, kept = (self._settings.reserve_bytes, 0) if is_operation else (0, self._settings.reserve_bytes)
        if self._used_bytes() + size > self._settings.limit_bytes + more:
            return False
        # While the disk refuses more, only what is already laid out is promised.
        return not self._no_space or self._waiting_bytes + size + kept <= self._room_bytes

    def _position_after(self, sequence: int) -> int:
        """Where the entry after this one begins, or a little before it."""
        if sequence >= self._head.sequence:
            return self._end_bytes
        index = next(one for one in reversed(self._indexes) if one.first_sequence <= sequence + 1)
        return index.base_bytes + index.offset_before(sequence + 1)[1] - BLOCK_BYTES

    def _read_recent(self, after: int, most: int, most_bytes: int) -> tuple[Entry, ...]:
        """As `read_entries`, of what is in memory."""
        begin = after + 1 - self._recent[0].sequence
        entries: list[Entry] = []
        total = 0
        for entry in itertools.islice(self._recent, begin, begin + most):
            total += len(entry.payload)
            if entries and total > most_bytes:
                break
            entries.append(entry)
        return tuple(entries)

    def _keep_recent(self, group: Sequence[Waiting], chain_hashes: Sequence[bytes]) -> None:
        for waiting, chain_hash in zip(group, chain_hashes, strict=True):
            self._recent.append(Entry(waiting.sequence, KINDS[waiting.kind], waiting.payload, chain_hash))
            self._recent_bytes += len(waiting.payload)
        while self._recent_bytes > self._settings.recent_bytes:
            self._drop_recent()

    def _drop_recent(self) -> None:
        self._recent_bytes -= len(self._recent.popleft().payload)

    def _hasten(self) -> None:
        """What nobody waits for has waited long enough."""
        self._lazy = None
        if self._waiting:
            self._is_urgent = True
            self._kick()

    def _kick(self) -> None:
        self._is_kicked = False
        self._proceed()

    def _proceed(self) -> None:
        """Begins what is next at the journal's end, if nothing is under way there."""
        if self._is_busy or self._failure is not None:
            return
        if self._gone:
            # Segments go only when the head on disk says that they need not be there. Before what waits: under load
            # somebody always does, and they would never go.
            gone, self._gone = self._gone, ()
            self._begin(self._tail.plan_head(self._indexes[0].first_sequence), (), gone)
        elif self._waiting and self._is_urgent:
            self._begin_group()

    def _begin_group(self) -> None:
        """What waits goes as one group, or begins a new segment."""
        waiting, self._waiting = self._waiting, []
        self._is_urgent = False
        if self._lazy is not None:  # what it was for is on its way
            self._lazy.cancel()
            self._lazy = None
        try:
            plan = self._tail.plan(waiting)
        except Exception as error:  # a bug; whoever waits must hear of it
            self._not_written(waiting, error)
            return
        if plan is None:
            self._is_busy = True
            self._lanes.commit(partial(self._begin_segment, waiting))
        else:
            self._begin(plan, waiting)

    def _begin(self, plan: Plan, waiting: Sequence[Waiting], gone: tuple[int, ...] = ()) -> None:
        self._is_busy = True
        self._lanes.write(plan.write, partial(self._written, plan, waiting, gone))

    def _written(
        self, plan: Plan, waiting: Sequence[Waiting], gone: tuple[int, ...], error: Exception | None
    ) -> None:
        """What was begun is on the disk, or is not."""
        if error is not None:
            self._not_written(waiting, error)
            return
        written = self._tail.done(plan)
        if gone:
            self._lanes.background(partial(self._unlink, gone))
        self._is_busy = False
        if written is not None:
            self._committed(waiting, written)
        self._go_on()

    def _segment_begun(self, waiting: Sequence[Waiting], written: Written | None, error: Exception | None) -> None:
        if written is None:
            assert error is not None
            self._not_written(waiting, error)
            return
        self._is_busy = False
        self._committed(waiting, written)
        self._go_on()

    def _not_written(self, waiting: Sequence[Waiting], error: Exception) -> None:
        self._is_busy = False
        if isinstance(error, NoSpace):
            self._waiting[:0] = waiting
            self._is_urgent = True
            self._space_refused()
        else:  # whatever it was, nothing can be said of the disk any more
            _log.error("the journal in %s failed: %s", self._folder, error)
            self._fail(f"the disk did not take what it was given: {error}", waiting)
        self._tell_quiet()

    def _go_on(self) -> None:
        self._proceed()
        self._tell_quiet()

    def _tell_quiet(self) -> None:
        if not self._is_busy and self._quiet is not None:
            self._quiet.set_result(None)
            self._quiet = None

    async def _no_longer_busy(self) -> None:
        """Once nothing is under way. Called by the closing only."""
        if self._is_busy:
            self._quiet = self._loop.create_future()
            await self._quiet

    def _committed(self, waiting: Sequence[Waiting], written: Written) -> None:
        """Everything of one group, once: the first of what waited, and the rest waits on."""
        group = waiting[: written.count]
        if written.count < len(waiting):
            self._waiting[:0] = waiting[written.count :]
            self._is_urgent = True
        self._commits += 1
        self._keep_recent(group, written.chain_hashes)
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

    def _begin_segment(self, waiting: Sequence[Waiting]) -> None:
        written: Written | None = None
        error: Exception | None = None
        try:
            written = self._tail.begin_segment(waiting)
        except Exception as raised:
            error = raised
        self._lanes.answer(partial(self._segment_begun, waiting, written, error))

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
