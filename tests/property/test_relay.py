"""The shipped relay over a broker that fails and relays that die: per-order order, and nothing lost."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from service.relay import PublishFailed, Relay, RelaySettings, windows
from store.errors import StoreUnavailable
from store.outbox_bell import LocalBell
from store.outbox_reader import BEGIN, JournalHead, Lag, OutboxRow, Position

# Aggregates of a journal's events, in order.
JOURNALS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=60)


def rows_of(aggregates: Sequence[str]) -> list[OutboxRow]:
    return [
        OutboxRow(f"id-{number}", "k", aggregate, "{}", 0, "j", number, 0, b"", True)
        for number, aggregate in enumerate(aggregates, 1)
    ]


@given(JOURNALS)
def test_windows_are_the_page_with_no_aggregate_twice_in_one(aggregates: list[str]) -> None:
    page = rows_of(aggregates)
    found = list(windows(page))
    assert [row for window in found for row in window] == page
    for window, following in zip(found, found[1:] + [[]], strict=True):
        names = [row.aggregate_id for row in window]
        assert len(set(names)) == len(names) > 0
        assert not following or following[0].aggregate_id in names  # not cut without need


class Broker:
    """Takes any part of a window in any order before it fails, and forgets duplicates, as JetStream does."""

    def __init__(self, chance: random.Random, failing: float) -> None:
        self._chance = chance
        self._failing = failing
        self.arrived: list[OutboxRow] = []

    async def publish(self, rows: Sequence[OutboxRow]) -> None:
        await asyncio.sleep(0)
        fails = self._chance.random() < self._failing
        taken = self._chance.sample(rows, self._chance.randint(0, len(rows)) if fails else len(rows))
        for row in taken:
            if row.event_id not in {seen.event_id for seen in self.arrived}:
                self.arrived.append(row)
        await asyncio.sleep(0)
        if fails:
            raise PublishFailed("the broker is away")

    async def close(self) -> None:
        pass


class Saved:
    """The cursor in the database."""

    def __init__(self, last: Position) -> None:
        self._last = last
        self.position = BEGIN
        self.is_last = asyncio.Event()

    def save(self, position: Position) -> None:
        self.position = max(self.position, position)
        if self.position == self._last:
            self.is_last.set()


class Outbox:
    """One relay's view of it: in memory, sometimes away; nothing of a dead relay is saved."""

    def __init__(self, rows: list[OutboxRow], saved: Saved, chance: random.Random, failing: float) -> None:
        self._rows = rows
        self._saved = saved
        self._chance = chance
        self._failing = failing
        self.is_dead = False

    async def journals(self) -> dict[str, JournalHead]:
        return {"j": JournalHead("host", self._rows[-1].sequence)}

    async def page(self, journal_id: str, after: Position, limit: int) -> tuple[OutboxRow, ...]:
        await self._maybe_away()
        return tuple(row for row in self._rows if row.position > after)[:limit]

    async def cursor(self, relay: str, journal_id: str) -> Position:
        await self._maybe_away()
        return self._saved.position

    async def save_cursor(self, relay: str, journal_id: str, position: Position) -> None:
        await self._maybe_away()
        if self.is_dead:
            raise StoreUnavailable("dead")
        self._saved.save(position)

    async def lag(self, journal_id: str, after: Position) -> Lag:
        return Lag(0, 0)

    async def _maybe_away(self) -> None:
        await asyncio.sleep(0)
        if self._chance.random() < self._failing:
            raise StoreUnavailable("away")


class Leases:
    """What dies lets go; a relay that lost its lease may go on for a moment, as after a cut connection."""

    def __init__(self) -> None:
        self.held = frozenset[str]()

    async def check(self) -> None:
        pass

    async def take(self, journal_id: str) -> bool:
        self.held |= {journal_id}
        return True

    async def close(self) -> None:
        pass


async def relay_all(rows: list[OutboxRow], chance: random.Random, failing: float, deaths: int) -> list[OutboxRow]:
    broker, saved = Broker(chance, failing), Saved(rows[-1].position)

    def begin() -> tuple[Outbox, Relay]:
        outbox = Outbox(rows, saved, chance, failing)
        relay = Relay(
            broker, outbox, Leases(), LocalBell(), host_id="host",
            settings=RelaySettings(page_rows=chance.randint(1, 20), poll_s=0.001, tend_s=0.001, save_every_s=0.0),
            uniform=lambda: 0.0, sleep=lambda _s: asyncio.sleep(0),
        )  # fmt: skip
        relay.start()
        return outbox, relay

    running = [begin()]
    for _ in range(deaths):
        await steps(chance.randint(0, 60))
        # Two at once for a while, then the older one is gone without saving.
        running.append(begin())
        await steps(chance.randint(0, 20))
        outbox, relay = running.pop(0)
        outbox.is_dead = True
        await relay.stop()
    async with asyncio.timeout(20.0):
        await saved.is_last.wait()
    await running[0][1].stop()
    return broker.arrived


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@settings(max_examples=150, deadline=None)
@given(JOURNALS, st.integers(0, 2**32), st.sampled_from([0.0, 0.2, 0.6]), st.integers(0, 3))
def test_every_event_arrives_and_first_arrivals_are_in_order_per_aggregate(
    aggregates: list[str], seed: int, failing: float, deaths: int
) -> None:
    rows = rows_of(aggregates)
    arrived = asyncio.run(relay_all(rows, random.Random(seed), failing, deaths))
    assert {row.event_id for row in arrived} == {row.event_id for row in rows}
    by_aggregate: dict[str, list[int]] = defaultdict(list)
    for row in arrived:
        by_aggregate[row.aggregate_id].append(row.sequence)
    assert all(sequences == sorted(sequences) for sequences in by_aggregate.values())
