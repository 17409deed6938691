"""Writes selections to PostgreSQL behind the answers: in order, in batches, and never losing one that it took.

A record leaves the queue only when its transaction is committed or when PostgreSQL says that the row itself is
impossible. While PostgreSQL is away everything waits, in order; at `max_pending` new records are refused.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from engine.records import SelectionRecord
from store.backoff import Backoff
from store.errors import RecordSetAside, StoreUnavailable, WriterFull
from store.selection_rows import ROW_ERRORS, OrderOwner, RowStatus, SelectionRow, SelectionSink, to_row

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """Bounds and times. A pending record is some 5 to 10 kB."""

    batch_size: int = 500
    batch_wait_s: float = 0.020
    max_pending: int = 50_000
    max_set_aside: int = 1_000
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class WriterMetrics:
    """One moment of the writer. `failures` counts attempts that ended in an error about the moment, not a row."""

    pending: int
    written: int
    batches: int
    failures: int
    conflicted: int
    set_aside: int
    oldest_pending_age_s: float


@dataclass(frozen=True, slots=True)
class Commit:
    """What became of a row. `owner` is whom the order belongs to where that is another selection."""

    status: RowStatus
    owner: OrderOwner | None = None


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row that PostgreSQL refuses whatever is tried."""

    record: SelectionRecord
    reason: str


@dataclass(slots=True)
class _Pending:
    record: SelectionRecord
    row: SelectionRow
    future: asyncio.Future[Commit]
    since_s: float


def _log_set_aside(item: SetAside) -> None:
    _log.error("selection %s was set aside: %s", item.record.selection_id, item.reason)


def _log_failure(error: Exception, failures_in_a_row: int) -> None:
    # The first of an outage, and then ever more seldom.
    if failures_in_a_row & (failures_in_a_row - 1) == 0:
        _log.warning("selections could not be written (%d in a row): %s", failures_in_a_row, error)


class SelectionWriter:
    """One background task over one queue. Belongs to the event loop that started it."""

    def __init__(
        self,
        sink: SelectionSink,
        settings: WriterSettings | None = None,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        uniform: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_set_aside: Callable[[SetAside], None] = _log_set_aside,
        on_failure: Callable[[Exception, int], None] = _log_failure,
    ) -> None:
        self._sink = sink
        self._settings = settings or WriterSettings()
        self._clock_s = clock_s
        self._uniform = uniform
        self._sleep = sleep
        self._on_set_aside = on_set_aside
        self._on_failure = on_failure
        self._queue: deque[_Pending] = deque()
        self._set_aside: deque[SetAside] = deque()
        self._arrived = asyncio.Event()
        self._flush = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._failures_in_a_row = 0
        self._written = self._batches = self._failures = self._conflicted = self._refused_rows = 0

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="selection-writer")

    def enqueue(self, record: SelectionRecord, *, flush_now: bool = False) -> asyncio.Future[Commit]:
        """Takes the record, or raises and takes nothing. The future is done when PostgreSQL has committed it.

        `flush_now` is for a caller who waits: the batch goes out as soon as the writer is free.
        """
        if self._closing:
            raise StoreUnavailable("the writer is stopping")
        if len(self._queue) >= self._settings.max_pending:
            raise WriterFull(f"{len(self._queue)} records wait for PostgreSQL, the bound")
        row = to_row(record)
        future: asyncio.Future[Commit] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_consume)
        self._queue.append(_Pending(record, row, future, self._clock_s()))
        self._empty.clear()
        self._arrived.set()
        if flush_now or len(self._queue) >= self._settings.batch_size:
            self._flush.set()
        return future

    @property
    def metrics(self) -> WriterMetrics:
        oldest_s = self._clock_s() - self._queue[0].since_s if self._queue else 0.0
        return WriterMetrics(
            pending=len(self._queue),
            written=self._written,
            batches=self._batches,
            failures=self._failures,
            conflicted=self._conflicted,
            set_aside=self._refused_rows,
            oldest_pending_age_s=max(0.0, oldest_s),
        )

    def take_set_aside(self) -> tuple[SetAside, ...]:
        """Hands the rows that were set aside to whoever repairs them; they leave the bounded list."""
        items = tuple(self._set_aside)
        self._set_aside.clear()
        return items

    async def drain(self, deadline_s: float) -> tuple[SelectionRecord, ...]:
        """Takes nothing more, writes what waits for at most that long, stops; the records that were left over."""
        self._closing = True
        self._flush.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._empty.wait()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        left = tuple(item.record for item in self._queue)
        for item in self._queue:
            if not item.future.done():
                item.future.set_exception(
                    StoreUnavailable("the writer stopped before PostgreSQL took the record")
                )
        return left

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            if not self._flush.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.batch_wait_s):
                        await self._flush.wait()
            # Cleared before the batch is taken: whoever asks for haste from here on is in the next one.
            self._flush.clear()
            try:
                await self._write(tuple(islice(self._queue, self._settings.batch_size)))
                self._failures_in_a_row = 0
            except Exception as error:  # whatever it is, the records stay and are tried again
                await self._back_off(error)
            if not self._queue:
                self._arrived.clear()
                self._empty.set()
            elif self._closing or len(self._queue) >= self._settings.batch_size:
                self._flush.set()

    async def _back_off(self, error: Exception) -> None:
        self._failures += 1
        self._failures_in_a_row += 1
        _call(self._on_failure, error, self._failures_in_a_row)
        await self._sleep(self._settings.backoff.delay_s(self._failures_in_a_row, self._uniform()))

    async def _write(self, batch: Sequence[_Pending]) -> None:
        """Writes the head of the queue. A batch that holds an impossible row is halved until the row is alone."""
        try:
            owners = await self._sink.write([item.row for item in batch])
        except ROW_ERRORS as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._write(batch[:middle])
                await self._write(batch[middle:])
                return
            if len(self._set_aside) >= self._settings.max_set_aside:
                # So many are no bad rows but a bad schema: losing them is worse than waiting.
                raise StoreUnavailable(
                    f"{len(self._set_aside)} rows are set aside, the bound: {error}"
                ) from error
            self._put_aside(batch[0], error)
            return
        self._batches += 1
        for item in batch:
            self._settle(item, owners.get(item.row.id))

    def _settle(self, item: _Pending, owner: OrderOwner | None) -> None:
        self._queue.popleft()
        self._written += 1
        status = RowStatus.RECORDED if owner is None else RowStatus.CONFLICTED
        self._conflicted += owner is not None
        if not item.future.done():
            item.future.set_result(Commit(status, owner))

    def _put_aside(self, item: _Pending, error: Exception) -> None:
        self._queue.popleft()
        refused = SetAside(item.record, f"{type(error).__name__}: {error}")
        self._set_aside.append(refused)
        self._refused_rows += 1
        if not item.future.done():
            item.future.set_exception(RecordSetAside(refused.reason))
        _call(self._on_set_aside, refused)


def _consume(future: asyncio.Future[Commit]) -> None:
    """Nobody need wait for a commit: an error that is not looked at is no error of the program."""
    if not future.cancelled():
        future.exception()


def _call(callback: Callable[..., None], *arguments: object) -> None:
    """A callback that fails must not stop the writing."""
    try:
        callback(*arguments)
    except Exception:
        _log.exception("a callback of the writer failed")
