"""`Adapt` and its neighbours over a keeper and its journal in one process, and a gateway's end of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from execution_strategy.v1 import adaptation_pb2, enums_pb2, request_pb2, response_pb2, status_pb2

from engine.snapshot import VenueDirectory
from engine.utility import table_sha256
from service.adapt import Adaptations, AdaptSettings
from service.administration import Administration
from service.guard import Guard
from service.handlers import NoDeadline, Stages, StrategyHandlers
from service.order_desk import OrderDesk
from service.outcomes import Outcomes
from service.version import VERSION
from service.world import World
from store.archive import Archive
from store.backoff import Backoff
from store.drainer import Drainer, DrainerSettings
from store.keeper import Keeper
from store.market_board import MarketBoard
from store.older import OrderHashes
from store.selection_reader import RetiredWith
from store.selection_rows import OrderOwner
from store.submission import Acknowledgement, StoredSelection
from tests.helpers import world
from tests.helpers.memory_journal import MemoryJournal, MemorySink
from tests.helpers.memory_orders import MemoryOrders
from tests.helpers.replay_world import Host as Replays
from tests.helpers.replay_world import Records

Answer = adaptation_pb2.StrategyAdaptation
JOURNALED = enums_pb2.ACKNOWLEDGEMENT_CLASS_JOURNALED
TREND = {"current_conditions": enums_pb2.MARKET_CONDITION_TRENDING, "short_term_alpha_bps_per_day": 400.0}
START_NS = world.at(world.US, 60.0)
CALL = NoDeadline()
NO_ROWS: tuple[tuple[str, str, str], ...] = ()


class NothingStored:
    """PostgreSQL without a row."""

    async def owner_of(self, order_id: str) -> OrderOwner | None:
        return None

    async def response_of(self, selection_id: str) -> bytes | None:
        return None

    async def retired_with(self, order_id: str) -> RetiredWith | None:
        return None

    async def selections_of(self, order_id: str) -> tuple[StoredSelection, ...]:
        return ()

    async def newest_orders(self, limit: int) -> AsyncGenerator[tuple[str, str, str], None]:
        for row in NO_ROWS:
            yield row

    async def order_hashes(self, after: str, limit: int) -> OrderHashes | None:
        return None


# Inputs of a decision hold hashes, so the surfaces need one that looks like one.
USUAL = world.usual()
MICS = {venue.mic: venue.mic for view in USUAL.views.values() for venue in view.instrument.venues}
SNAPSHOT = replace(
    USUAL, surfaces_sha256="5e" * 32, engine_version=VERSION, utility_sha256=table_sha256(),
    directory=VenueDirectory(MICS, MICS),
)  # fmt: skip
NO_ARCHIVE = Path("no-archive")


class Host:
    """A service in one process; `restarted` is the next one over the same journal."""

    def __init__(self, keeper: Keeper, settings: AdaptSettings, now_ns: list[int]) -> None:
        self.keeper = keeper
        self.now_ns = now_ns
        snapshot = self.world = World(SNAPSHOT)
        self.guard = Guard(keeper, clock_ns=self.clock_ns)
        self.guard.on_change.append(lambda: snapshot.limits_changed(self.guard.firm_limits))
        replays = Replays(Archive(NO_ARCHIVE), Records(), SNAPSHOT)
        self.handlers = StrategyHandlers(
            snapshot, keeper, acknowledgement="JOURNALED", max_concurrent_recommends=10, clock_ns=self.clock_ns,
            inputs=replays.encoder(), replayer=replays.replayer(),
            guard=self.guard,
        )
        self.desk = OrderDesk(
            snapshot, keeper, self.handlers.recommend_resumed, replays.encoder(), clock_ns=self.clock_ns,
            guard=self.guard,
        )
        self.calls = Adaptations(self.desk, Acknowledgement.JOURNALED, JOURNALED, self.clock_ns, settings)
        self.guard.on_change.append(self.calls.controls_changed)
        self.administration = Administration(keeper, self.guard, snapshot, clock_ns=self.clock_ns)
        self.outcomes = Outcomes(keeper, Acknowledgement.JOURNALED, JOURNALED, self.clock_ns)

    def clock_ns(self) -> int:
        return self.now_ns[0]

    async def recommend(self, order_id: str = "o", share: float = 0.01) -> response_pb2.ExecutionStrategyResponse:
        request = order_message(order_id, share)
        data = await self.handlers.recommend(request.SerializeToString(), CALL, Stages())
        return response_pb2.ExecutionStrategyResponse.FromString(data)

    async def status(self, order_id: str = "o") -> status_pb2.StrategyExecutionStatus:
        asked = status_pb2.StatusRequest(order_id=order_id).SerializeToString()
        return status_pb2.StrategyExecutionStatus.FromString(await self.handlers.status(asked, CALL, Stages()))

    async def once(self, sequence: int = 0, **update: Any) -> response_pb2.ExecutionStrategyResponse:
        data = update_message("o", sequence, **update).SerializeToString()
        return response_pb2.ExecutionStrategyResponse.FromString(await self.calls.adapt_once(data, CALL))


class Gateway:
    """The other end of a stream. While `is_reading` is cleared it takes nothing."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.answers: list[Answer] = []
        self.is_reading = asyncio.Event()
        self.is_reading.set()
        self._came = asyncio.Condition()

    async def messages(self) -> AsyncIterator[bytes]:
        while (data := await self.sent.get()) is not None:
            yield data

    async def write(self, data: bytes) -> None:
        await self.is_reading.wait()
        async with self._came:
            self.answers.append(Answer.FromString(data))
            self._came.notify_all()

    def send(self, sequence: int, order_id: str = "o", **update: Any) -> None:
        self.sent.put_nowait(update_message(order_id, sequence, **update).SerializeToString())

    async def until(self, sequence: int, order_id: str = "o") -> Answer:
        def found() -> list[Answer]:
            return [a for a in self.answers if a.order_id == order_id and a.acknowledged_sequence >= sequence]

        async with asyncio.timeout(20), self._came:
            await self._came.wait_for(found)
        return found()[0]

    async def advice(self) -> Answer:
        async with asyncio.timeout(20), self._came:
            await self._came.wait_for(lambda: any(a.advice_number for a in self.answers))
        return next(a for a in self.answers if a.advice_number)

    async def error(self) -> str:
        async with asyncio.timeout(20), self._came:
            await self._came.wait_for(lambda: any(a.error for a in self.answers))
        return next(a.error for a in self.answers if a.error)


    async def refusals(self, count: int) -> list[tuple[str, int, int]]:
        """At least so many: order, the update's number, what becomes of it."""

        def found() -> list[tuple[str, int, int]]:
            return [(a.order_id, one.sequence, one.number) for a in self.answers for one in a.refusals]

        async with asyncio.timeout(20), self._came:
            await self._came.wait_for(lambda: len(found()) >= count)
        return found()


def order_message(order_id: str, share: float) -> request_pb2.ExecutionStrategyRequest:
    return request_pb2.ExecutionStrategyRequest(
        order_id=order_id, instrument_id=world.US, side=enums_pb2.ORDER_SIDE_BUY,
        quantity=world.lots_of(world.US, share), objective=enums_pb2.EXECUTION_OBJECTIVE_BALANCED_EXECUTION,
        urgency=enums_pb2.EXECUTION_URGENCY_NORMAL,
    )  # fmt: skip


def update_message(order_id: str, sequence: int, **update: Any) -> adaptation_pb2.StrategyAdaptationRequest:
    return adaptation_pb2.StrategyAdaptationRequest(order_id=order_id, sequence=sequence, **update)


def fill(name: str, quantity: float, price: float = 240.0) -> dict[str, Any]:
    return {"fill": {"execution_id": name, "quantity": quantity, "price": price}}


@asynccontextmanager
async def host(journal: MemoryJournal | None = None, settings: AdaptSettings | None = None) -> AsyncIterator[Host]:
    quick = DrainerSettings(batch_wait_s=0.001, backoff=Backoff(0.001, 0.002))
    journal = journal or MemoryJournal()
    sink = MemorySink()
    sink.gate.clear()  # PostgreSQL takes nothing: all there is lies in the journal
    keeper = Keeper(
        journal, lambda opened: Drainer(opened, sink, quick), NothingStored(), MarketBoard({}), MemoryOrders()
    )
    await keeper.start()
    try:
        yield Host(keeper, settings or AdaptSettings(), [START_NS])
    finally:
        await keeper.stop(0.0)


@asynccontextmanager
async def stream(on: Host) -> AsyncIterator[Gateway]:
    gateway = Gateway()
    call = asyncio.ensure_future(on.calls.adapt(gateway.messages(), gateway.write))
    try:
        yield gateway
        gateway.is_reading.set()
        gateway.sent.put_nowait(None)
        async with asyncio.timeout(20):
            await call
    finally:
        call.cancel()
