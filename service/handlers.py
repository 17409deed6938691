"""What each call does. Handlers take bytes and give bytes, so that a message nobody can read is an
INVALID_ARGUMENT like any other fault (gRPC itself would answer UNKNOWN)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

import grpc
import msgspec
from execution_strategy.v1 import enums_pb2, market_data_pb2, request_pb2, service_pb2, status_pb2

from engine.decision import Decision, Refusal
from engine.limits import facts_of, keys_of
from engine.records import SelectionRecord
from engine.resolve import bars_read
from engine.snapshot import Snapshot
from service.deciding import Deciding
from service.errors import (
    RpcError,
    already_exists,
    exhausted,
    invalid,
    malformed,
    not_yours,
    refused,
    retired,
)
from service.guard import DESK_TAG, Guard, desk_of, gateway_of
from service.identity import is_limited_to_own, is_own
from service.ids import RandomIds
from service.mapping.inputs import InputsEncoder
from service.mapping.order_status import add_life, set_halted
from service.mapping.requests import MappedRequest, map_market_update, map_request
from service.mapping.responses import (
    Naming,
    answer_of,
    record_of,
    status_of,
    with_acknowledgement,
)
from service.mapping.validation import MalformedMessageError, MessageT, parse, rule_faults
from service.mapping.wire import ToldWriter
from service.order_market import moment_of
from service.replay import Replayer, answer_replay
from service.reply_time import reply_wait_s
from service.telemetry import Decided
from service.turns import Turns
from service.world import World
from store.claims import Verdict
from store.errors import (
    DecisionRetired,
    JournalError,
    JournalFull,
    KeeperUnavailable,
    RecordInvalid,
    RecordSetAside,
    StoreUnavailable,
)
from store.market import MarketVerdict
from store.own_connection import within
from store.submission import Acknowledgement, KeeperPort, Submission

ACKNOWLEDGEMENTS = {
    Acknowledgement.BUFFERED: enums_pb2.ACKNOWLEDGEMENT_CLASS_BUFFERED,
    Acknowledgement.JOURNALED: enums_pb2.ACKNOWLEDGEMENT_CLASS_JOURNALED,
    Acknowledgement.COMMITTED: enums_pb2.ACKNOWLEDGEMENT_CLASS_COMMITTED,
}
CLASSES: dict[int, Acknowledgement] = {number: name for name, number in ACKNOWLEDGEMENTS.items()}
MAX_REJECTIONS = 100
# How long a refusal waits to learn whether the order was decided before.
LOOK_BACK_S = 0.5
NO_TAGS: Mapping[str, str] = {}

FoundT = TypeVar("FoundT")


class Call(Protocol):
    """What a handler may know of its call."""

    def time_remaining(self) -> float | None: ...


class NoDeadline:
    """The call of somebody within the service."""

    def time_remaining(self) -> float | None:
        return None


class Stages:
    """Marks the ends of a call's stages; see telemetry.STAGES for their order."""

    __slots__ = ("decided", "durations_ns", "last_ns")

    def __init__(self) -> None:
        self.last_ns = time.perf_counter_ns()
        self.durations_ns: list[int] = []
        self.decided: Decided | None = None

    def end(self) -> None:
        now_ns = time.perf_counter_ns()
        self.durations_ns.append(now_ns - self.last_ns)
        self.last_ns = now_ns


class Asked(msgspec.Struct, frozen=True):
    """A request that may be decided, by `snapshot`; `recorded` is the one that its record names, which is another one
    in haste only."""

    mapped: MappedRequest
    snapshot: Snapshot
    recorded: Snapshot
    is_hasty: bool
    now_ns: int
    acknowledgement: int
    desk: str
    gateway: str


class StrategyHandlers:
    """The calls of ExecutionStrategyService that this version has."""

    def __init__(
        self,
        world: World,
        keeper: KeeperPort,
        *,
        acknowledgement: str,
        max_concurrent_recommends: int,
        max_waiting_recommends: int = 32,
        structural_below_ms: float = 0.0,
        inputs: InputsEncoder,
        replayer: Replayer,
        guard: Guard | None = None,
        deciding: Deciding | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        self._world = world
        self._keeper = keeper
        self._acknowledgement = ACKNOWLEDGEMENTS[Acknowledgement(acknowledgement)]
        self._limit = max_concurrent_recommends
        self.turns = Turns(max_waiting_recommends)
        self._structural_below_s = structural_below_ms / 1e3
        self._inputs = inputs
        self._replayer = replayer
        self._guard = guard or Guard(keeper)
        self._deciding = deciding or Deciding()
        self._running = 0
        self._clock_ns = clock_ns
        self._new_id = new_id or RandomIds()
        snapshot = world.snapshot
        self._naming = Naming(snapshot.directory, snapshot.venue_names)
        self._writer = ToldWriter()

    async def recommend_resumed(self, data: bytes) -> bytes:
        """Decides an order that a resuming gateway brought along, as any other."""
        return await self.recommend(data, NoDeadline(), Stages())

    async def recommend(self, data: bytes, call: Call, stages: Stages) -> bytes:
        """Decides one order."""
        if self._running >= self._limit:
            raise exhausted(f"{self._limit} recommendations are under way on this worker", 20)
        self._running += 1
        try:
            if not await self.turns.take():
                raise exhausted("too many recommendations wait for this worker", 20)
            return await self._recommend(data, call, stages)
        finally:
            self._running -= 1

    async def _recommend(self, data: bytes, call: Call, stages: Stages) -> bytes:
        message = read(request_pb2.ExecutionStrategyRequest, data)
        stages.end()
        return await self.recommend_message(message, call, stages, NO_TAGS)

    async def recommend_message(
        self, message: request_pb2.ExecutionStrategyRequest, call: Call, stages: Stages, tags: Mapping[str, str]
    ) -> bytes:
        """Decides one order that was read; `tags` are kept with the record beside the request's own."""
        asked = self.ask(message, call, self._clock_ns())
        stages.end()
        decision = await self._deciding.decide(asked.mapped.order, asked.snapshot, self._running <= 1)
        stages.end()
        return await self.conclude(asked, decision, call, stages, tags)

    def ask(self, message: request_pb2.ExecutionStrategyRequest, call: Call, now_ns: int) -> Asked:
        """A request that may be decided. Raises RpcError for its faults, and for what is stopped."""
        snapshot, is_hasty = self._snapshot_for(call)
        # Unknown numbers break a rule of the message, and end there.
        acknowledgement = message.acknowledgement or self._acknowledgement
        mapped = map_request(message, snapshot, now_ns)
        if isinstance(mapped, list):
            raise invalid(mapped)
        desk, gateway = desk_of(mapped.tags), gateway_of(mapped.tags)
        self._guard.refuse_stopped(mapped.order.instrument_id, "", desk, gateway)
        return Asked(mapped, snapshot, self._world.snapshot, is_hasty, now_ns, acknowledgement, desk, gateway)

    async def conclude(
        self, asked: Asked, decision: Decision | Refusal, call: Call, stages: Stages, tags: Mapping[str, str]
    ) -> bytes:
        """The answer to a decided order, when its record is where the caller wants it."""
        mapped, order, now_ns = asked.mapped, asked.mapped.order, asked.now_ns
        acknowledgement, desk, gateway = asked.acknowledgement, asked.desk, asked.gateway
        if isinstance(decision, Refusal):
            stored = None if mapped.dry_run else await self._decided_before(mapped, acknowledgement)
            if stored is None:
                raise refused(decision)
            return stored
        stages.decided = Decided(
            decision.chosen.algorithm, decision.assessment.condition.name, decision.structural_only, decision.confidence
        )
        if self._guard.has_limits:
            facts = facts_of(order, decision, desk, gateway)
            await self._guard.check(facts, order.order_id, mapped.dry_run)
        self._guard.refuse_stopped(order.instrument_id, decision.chosen.algorithm, desk, gateway)
        if mapped.dry_run:
            return answer_of(decision, self._naming, "", now_ns, 0, self._writer)
        record = self._record_of(asked, decision, tags)
        stages.end()
        submission = await self._submit(record, call, acknowledgement)
        stages.end()
        if submission.verdict is Verdict.CONFLICT:
            raise already_exists(order.order_id, submission.other_request_hash or "")
        if submission.verdict is Verdict.DUPLICATE:
            await self._refuse_others(order.order_id)
        return self._answer(submission, record.response, acknowledgement)

    def _record_of(self, asked: Asked, decision: Decision, tags: Mapping[str, str]) -> SelectionRecord:
        """With an id of its own, and the answer that is kept."""
        selection_id, now_ns, order = self._new_id(), asked.now_ns, asked.mapped.order
        answer = answer_of(decision, self._naming, selection_id, now_ns, asked.acknowledgement, self._writer)
        # The record says by what was decided: on bars of its own, without the models in haste.
        own_bars = bool(bars_read(order.context.bars, decision.schedule.start_ns))
        inputs = self._inputs.encode(
            asked.recorded, order.instrument_id, now_ns, asked.acknowledgement, own_bars, asked.is_hasty
        )
        return record_of(
            decision, asked.mapped, self._naming, answer, selection_id, now_ns, asked.gateway, inputs,
            self._inputs.build_id, tags,
        )  # fmt: skip

    def _snapshot_for(self, call: Call) -> tuple[Snapshot, bool]:
        """(what to decide by, whether in haste). Where too little of the deadline is left the surfaces decide alone,
        which is faster, and the answer is marked `structural_only`; where nothing is left nobody waits for one."""
        snapshot, left_s = self._world.snapshot, call.time_remaining()
        if left_s is not None and left_s <= 0.0:
            raise RpcError(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the order was looked at")
        if left_s is None or left_s >= self._structural_below_s or snapshot.models is None:
            return snapshot, False
        return self._world.structural, True

    async def _decided_before(self, mapped: MappedRequest, acknowledgement: int) -> bytes | None:
        """The recorded answer to this very request: a retry gets it even where the market no longer allows it."""
        try:
            found = await within(LOOK_BACK_S, self._keeper.find(mapped.order.order_id))
        except (StoreUnavailable, JournalError):
            return None
        if not found:
            return None
        # The first is the one that the order belongs to.
        if found[0].request_hash != mapped.request_hash:
            raise already_exists(mapped.order.order_id, found[0].request_hash)
        await self._refuse_others(mapped.order.order_id)
        wanted = CLASSES[acknowledgement]
        if wanted is Acknowledgement.COMMITTED and not found[0].committed:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, "PostgreSQL has not committed the decision yet; ask again")
        if wanted is Acknowledgement.JOURNALED and not found[0].durable:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, "the decision is not on the disk yet; ask again")
        return with_acknowledgement(found[0].response, acknowledgement)

    async def _refuse_others(self, order_id: str) -> None:
        """A gateway hears of its own orders only. Raises RpcError."""
        if not is_limited_to_own():
            return
        try:
            kept = await self._keeper.order(order_id)
        except (StoreUnavailable, JournalError) as error:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, f"the order cannot be looked up now: {error}") from error
        if kept is not None and not is_own(kept.basis.gateway):
            raise not_yours(order_id)

    async def _submit(self, record: SelectionRecord, call: Call, acknowledgement: int) -> Submission:
        wanted = CLASSES[acknowledgement]
        try:
            if wanted is Acknowledgement.BUFFERED:
                return await self._keeper.submit(record, wanted)
            async with asyncio.timeout(reply_wait_s(call.time_remaining())):
                return await self._keeper.submit(record, wanted)
        except TimeoutError as error:
            who = "PostgreSQL did not commit" if wanted is Acknowledgement.COMMITTED else "the disk did not take"
            text = f"{who} the decision within the deadline; asking again gives the same one"
            raise RpcError(grpc.StatusCode.UNAVAILABLE, text) from error
        except JournalFull as error:
            raise exhausted(f"the journal is full: {error}", 1_000) from error
        except DecisionRetired as error:
            raise retired(record.order_id, str(error)) from error
        except RecordInvalid as error:
            raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, f"the decision cannot be recorded: {error}") from error
        except (StoreUnavailable, JournalError, RecordSetAside) as error:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, f"the decision could not be recorded: {error}") from error

    def _answer(self, submission: Submission, own: bytes, acknowledgement: int) -> bytes:
        """The stored answer on a retry, with the class that this call was promised."""
        if submission.verdict is Verdict.ACCEPTED:
            return own
        stored = submission.response
        if stored is None:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, "the stored decision cannot be read now")
        return with_acknowledgement(stored, acknowledgement)

    async def _looked_up(self, question: Coroutine[Any, Any, FoundT], call: Call) -> FoundT:
        """What the keeper knows, where it says so in time. Raises RpcError."""
        try:
            return await within(reply_wait_s(call.time_remaining()), question, "the keeper")
        except (StoreUnavailable, JournalError) as error:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, f"the order cannot be looked up now: {error}") from error

    async def status(self, data: bytes, call: Call, stages: Stages) -> bytes:
        """Where an order stands."""
        message = read(status_pb2.StatusRequest, data)
        faults = rule_faults(message)
        if faults:
            raise invalid(faults)
        found = await self._looked_up(self._keeper.find(message.order_id), call)
        if not found:
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"no decision for order {message.order_id}")
        snapshot, now_ns = self._world.snapshot, self._clock_ns()
        view = snapshot.views.get(found[-1].instrument_id)
        market_as_of_ns = view.market.as_of_ns if view is not None else 0
        answer = status_of(message.order_id, found, now_ns, market_as_of_ns)
        order = await self._looked_up(self._keeper.order(message.order_id), call)
        if order is not None and not is_own(order.basis.gateway):
            raise not_yours(message.order_id)
        if order is not None:
            add_life(answer, order, moment_of(snapshot, found[-1].instrument_id, now_ns))
            basis = order.basis
            keys = keys_of(basis.instrument_id, found[-1].algorithm, basis.tags.get(DESK_TAG, ""), basis.gateway)
            if self._guard.halt_of(keys) is not None:
                set_halted(answer)
        return answer.SerializeToString()

    async def replay(self, data: bytes, call: Call, stages: Stages) -> bytes:
        """Rebuilds a recorded decision and compares the bytes."""
        return await answer_replay(self._replayer, data, reply_wait_s(call.time_remaining()))

    async def update_market_data(self, updates: AsyncIterator[bytes], call: Call, stages: Stages) -> bytes:
        """Market data in: every update is applied or counted as stale or refused."""
        result = market_data_pb2.UpdateMarketDataResponse()
        position = 0
        async for data in updates:
            position += 1
            problem = await self._apply(data, result)
            if problem:
                result.rejected += 1
                if len(result.rejections) < MAX_REJECTIONS:
                    result.rejections.append(f"update {position}: {problem}")
        return result.SerializeToString()

    async def _apply(self, data: bytes, result: market_data_pb2.UpdateMarketDataResponse) -> str:
        """Applies one update; what is wrong with it, empty where nothing is."""
        try:
            message = parse(market_data_pb2.UpdateMarketDataRequest, data)
        except MalformedMessageError as error:
            return str(error)
        mapped = map_market_update(message, self._clock_ns())
        if isinstance(mapped, list):
            return "; ".join(f"{fault.field}: {fault.description}" for fault in mapped)
        try:
            verdict = await self._keeper.apply_market(mapped)
        except KeeperUnavailable as error:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, f"market data cannot be taken now: {error}") from error
        if verdict is MarketVerdict.UNKNOWN_INSTRUMENT:
            return f"instrument_id: unknown instrument {mapped.instrument_id!r}"
        if verdict is MarketVerdict.INVALID:
            return "a figure is not finite"
        if verdict is MarketVerdict.APPLIED:
            result.accepted += 1
        else:
            result.stale += 1
        return ""

    async def echo(self, data: bytes, call: Call, stages: Stages) -> bytes:
        """The null baseline: same bytes in and out as a Recommend, nothing between."""
        message = read(service_pb2.EchoRequest, data)
        faults = rule_faults(message)
        if faults:
            raise invalid(faults)
        return service_pb2.EchoResponse(payload=bytes(message.response_bytes)).SerializeToString()


async def echo_stream(messages: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]) -> None:
    """The null baseline of `Adapt`: an answer of the size asked for to every message."""
    async for data in messages:
        message = read(service_pb2.EchoRequest, data)
        faults = rule_faults(message)
        if faults:
            raise invalid(faults)
        await write(service_pb2.EchoResponse(payload=bytes(message.response_bytes)).SerializeToString())


def read(kind: type[MessageT], data: bytes) -> MessageT:
    """A message, or INVALID_ARGUMENT."""
    try:
        return parse(kind, data)
    except MalformedMessageError as error:
        raise malformed(error) from error

