"""The relay: events from the outbox to a broker, at least once, each order's in order.

One relay serves a journal at a time (`store.relay_lease`). It reads a page of the outbox, sends it in windows that hold
at most one event an aggregate, and begins a window only when all of the one before are acknowledged: so whatever is
sent again, an order's events arrive in their order. The cursor is saved after acknowledgements; what was sent and not
saved is sent again with the same ids. A broker that is away costs nothing but time: the outbox keeps everything.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog

from service.telemetry import Reading
from store.backoff import Backoff
from store.ending import end
from store.errors import StoreUnavailable
from store.outbox_bell import Bell
from store.outbox_reader import BEGIN, JournalHead, Lag, OutboxRow, RelaySource
from store.relay_lease import Lease

Answer = TypeVar("Answer")

# Errors in a row between two lines of the log.
_SAID_EVERY: Final = 20

log = structlog.get_logger(__name__)


class PublishFailed(Exception):
    """Not everything was acknowledged; the same may be published again."""


class Publisher(Protocol):
    """A broker that forgets duplicates by event id."""

    async def publish(self, rows: Sequence[OutboxRow]) -> None:
        """Returns when every event is acknowledged, else raises PublishFailed."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """`takeover_after_s`: how long another host's journal is left to the relay of that host, after a start too."""

    name: str = "nats"
    page_rows: int = 256
    poll_s: float = 1.0
    tend_s: float = 1.0
    takeover_after_s: float = 5.0
    save_every_s: float = 0.25
    measure_every_s: float = 5.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.05, last_s=2.0))


@dataclass(frozen=True, slots=True)
class RelayMetrics:
    """One moment. `behind` and `lag_s` are of the journals that this relay serves."""

    journals: int
    published: int
    failures: int
    behind: int
    lag_s: float


class Relay:
    """Serves every journal that no other relay serves. Belongs to one event loop."""

    def __init__(
        self,
        publisher: Publisher,
        source: RelaySource,
        lease: Lease,
        bell: Bell,
        *,
        host_id: str,
        settings: RelaySettings | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        clock_ns: Callable[[], int] = time.time_ns,
        uniform: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._publisher = publisher
        self._source = source
        self._lease = lease
        self._bell = bell
        self._host_id = host_id
        self._settings = settings or RelaySettings()
        self._clock_s = clock_s
        self._clock_ns = clock_ns
        self._uniform = uniform
        self._sleep = sleep
        self._followed: dict[str, _Followed] = {}
        self._tending: asyncio.Task[None] | None = None
        self._may_take_over_s = 0.0
        self.published = 0
        self.failures = 0

    def start(self) -> None:
        if self._tending is None:
            self._may_take_over_s = self._clock_s() + self._settings.takeover_after_s
            self._tending = asyncio.get_running_loop().create_task(self._run(), name="relay")

    async def stop(self, deadline_s: float = 2.0) -> None:
        """Ends what is under way and saves the cursors; whatever is cut off is sent again by the next relay."""
        tending, self._tending = self._tending, None
        await end(tending)
        journals = list(self._followed.values())
        self._followed.clear()
        await end(*(journal.task for journal in journals))
        with suppress(TimeoutError, StoreUnavailable):
            async with asyncio.timeout(deadline_s):
                for journal in journals:
                    await self._save(journal)
        await self._publisher.close()
        await self._lease.close()

    @property
    def metrics(self) -> RelayMetrics:
        """May be read by another thread."""
        journals = list(self._followed.values())
        oldest_us = min((j.lag.oldest_us for j in journals if j.lag.events), default=0)
        lag_s = max(0.0, self._clock_ns() / 1e9 - oldest_us / 1e6) if oldest_us else 0.0
        behind = sum(j.lag.events for j in journals)
        return RelayMetrics(len(journals), self.published, self.failures, behind, lag_s)

    def readings(self) -> tuple[Reading, ...]:
        """For telemetry."""
        return (
            Reading("ess.relay.journals", "gauge", "{journal}", "Journals that this host's relay serves.",
                    lambda: float(self.metrics.journals)),
            Reading("ess.relay.published", "counter", "{event}", "Events that the broker acknowledged.",
                    lambda: float(self.published)),
            Reading("ess.relay.failures", "counter", "{failure}", "Windows that the broker did not acknowledge.",
                    lambda: float(self.failures)),
            Reading("ess.relay.behind", "gauge", "{event}", "Events that the broker does not have yet.",
                    lambda: float(self.metrics.behind)),
            Reading("ess.relay.lag", "gauge", "s", "Age of the oldest event that the broker does not have yet.",
                    lambda: self.metrics.lag_s),
        )  # fmt: skip

    async def _run(self) -> None:
        """Looks after the leases; each journal has a task of its own."""
        failures = 0
        while True:
            try:
                await self._tend()
                failures = 0
                await self._sleep(self._settings.tend_s)
            except StoreUnavailable as error:
                failures += 1
                await self._let_go()
                await self._pause(failures, "the relay cannot ask PostgreSQL", error)
            except Exception as error:  # what serves its journals is looked after again
                failures += 1
                log.exception("the relay could not look after its journals")
                await self._pause(failures, "the relay tries again", error)

    async def _tend(self) -> None:
        await self._lease.check()
        await self._let_go()
        for journal_id, head in (await self._source.journals()).items():
            if journal_id not in self._followed and self._is_due(head) and await self._lease.take(journal_id):
                self._follow(journal_id)
        if self._clock_s() >= self._may_take_over_s:
            self._may_take_over_s = self._clock_s() + self._settings.takeover_after_s
        for journal in self._followed.values():
            if self._clock_s() >= journal.measure_at_s:
                journal.measure_at_s = self._clock_s() + self._settings.measure_every_s
                journal.lag = await self._source.lag(journal.journal_id, journal.position)

    def _is_due(self, head: JournalHead) -> bool:
        """Its own host's journals at once, others' now and then, so that their own relays come first."""
        return head.host_id == self._host_id or self._clock_s() >= self._may_take_over_s

    async def _let_go(self) -> None:
        """Ends what serves journals whose lease is gone, and what ended by itself, which nothing should."""
        for journal_id, journal in list(self._followed.items()):
            if journal.task.done():
                log.error("a journal's task ended", journal=journal_id, exc_info=_error_of(journal.task))
            elif journal_id in self._lease.held:
                continue
            else:
                log.warning("the relay lost a journal", journal=journal_id)
                await end(journal.task)
            del self._followed[journal_id]

    def _follow(self, journal_id: str) -> None:
        log.info("the relay serves a journal", journal=journal_id)
        journal = _Followed(journal_id)
        journal.task = asyncio.get_running_loop().create_task(self._serve(journal), name=f"relay-{journal_id}")
        self._followed[journal_id] = journal

    async def _serve(self, journal: _Followed) -> None:
        source, rows = self._source, self._settings.page_rows
        journal.position = await self._insist(partial(source.cursor, self._settings.name, journal.journal_id))
        journal.saved = journal.position
        while True:
            rings = self._bell.rings
            page = await self._insist(partial(source.page, journal.journal_id, journal.position, rows))
            for window in windows(page):
                await self._insist(partial(self._publisher.publish, window))
                self.published += len(window)
                journal.position = window[-1].position
            if self._clock_s() >= journal.save_at_s:
                await self._insist(partial(self._save, journal))
            if len(page) < rows:
                await self._bell.wait(rings, self._until_next(journal))

    async def _save(self, journal: _Followed) -> None:
        """After the acknowledgements, and not after each: what is sent again is told by its id."""
        if journal.position != journal.saved:
            position = journal.position
            await self._source.save_cursor(self._settings.name, journal.journal_id, position)
            journal.saved = position
        journal.save_at_s = self._clock_s() + self._settings.save_every_s

    def _until_next(self, journal: _Followed) -> float:
        """How long to wait for a ring: until the cursor wants to be saved, at most until the next look."""
        if journal.position == journal.saved:
            return self._settings.poll_s
        return min(self._settings.poll_s, max(0.0, journal.save_at_s - self._clock_s()))

    async def _insist(self, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        """Until it succeeds: nothing is skipped. Where the journal is lost, its task is ended from outside."""
        failures = 0
        while True:
            try:
                return await attempt()
            except (PublishFailed, StoreUnavailable) as error:
                failures += 1
                self.failures += isinstance(error, PublishFailed)
                await self._pause(failures, "the relay tries again", error)

    async def _pause(self, failures: int, text: str, error: Exception) -> None:
        if failures % _SAID_EVERY == 1:
            log.warning(text, reason=str(error), failures=failures)
        await self._sleep(self._settings.backoff.delay_s(failures, self._uniform()))


class _Followed:
    """A journal that this relay serves: up to where it is published, saved, measured."""

    __slots__ = ("journal_id", "lag", "measure_at_s", "position", "save_at_s", "saved", "task")

    task: asyncio.Task[None]

    def __init__(self, journal_id: str) -> None:
        self.journal_id = journal_id
        self.position = self.saved = BEGIN
        self.lag = Lag(0, 0)
        self.save_at_s = self.measure_at_s = 0.0


def windows(page: Sequence[OutboxRow]) -> Iterator[Sequence[OutboxRow]]:
    """The page in its order, cut before each event whose aggregate is in the window already."""
    begin, seen = 0, set[str]()
    for index, row in enumerate(page):
        if row.aggregate_id in seen:
            yield page[begin:index]
            begin, seen = index, set()
        seen.add(row.aggregate_id)
    if begin < len(page):
        yield page[begin:]


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()
