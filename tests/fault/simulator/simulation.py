"""A host through many lives, on one seed: gateways, power cuts, restarts, outages, sick disks, another host.

Every decision is drawn from one generator, so a seed is a whole history, and a failure's seed is the failure.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from engine.records import Event, OperationRecord, SelectionRecord
from store.errors import JournalError, RecordSetAside, StoreError, StoreUnavailable
from store.selection_rows import RowStatus
from store.submission import Acknowledgement, Condition, KeeperState, StoredSelection
from tests.fault.simulator.database import FakeDatabase, Weather
from tests.fault.simulator.disk import SimulatedDisk, WorldDisk
from tests.fault.simulator.host import SimulatedHost, Surroundings
from tests.fault.simulator.lanes import Pace
from tests.fault.simulator.ledger import Ledger
from tests.fault.simulator.loop import Stuck, VirtualClock, VirtualLoop, end_life

IN_FLIGHT = 200
REST_WITHIN_S = 120.0
CALL_TIMEOUT_S = 5.0
# Of the actions, in their order (see `_actions`).
_WEIGHTS = (34.0, 8.0, 3.0, 4.0, 3.0, 36.0, 1.2, 0.5, 0.6, 0.3, 0.3, 0.25, 0.1, 0.25)
_CLASSES = (Acknowledgement.JOURNALED, Acknowledgement.COMMITTED, Acknowledgement.BUFFERED)


class Violation(AssertionError):
    """Things that must never be. The text names the seed; each of `found` begins with its kind and a colon."""

    def __init__(self, text: str, found: list[str]) -> None:
        super().__init__(text)
        self.found = found

    @property
    def kinds(self) -> Counter[str]:
        return Counter(one.partition(":")[0] for one in self.found)


@dataclass(slots=True)
class Result:
    """What a run was, and what it found."""

    seed: int
    steps: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    lives: int = 0
    answers: int = 0
    rows: int = 0
    transactions: int = 0
    conflicted: int = 0
    set_aside: int = 0
    virtual_s: float = 0.0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """An order that may be sent again."""

    order_id: str
    request_hash: str
    acknowledgement: Acknowledgement
    floor: int


class Simulation:
    """Runs a number of steps; a step is one drawn action of the world."""

    def __init__(
        self,
        seed: int,
        make_disk: Callable[[random.Random], WorldDisk] = SimulatedDisk,
        database: FakeDatabase | None = None,
        power_cuts: float = 1.0,
    ) -> None:
        self.result = Result(seed)
        self._chance = random.Random(seed)
        self._clock = VirtualClock()
        self._weather, self._pace = Weather(), Pace()
        self._disk = make_disk(self._chance)
        self._database = database or FakeDatabase()
        self._around = Surroundings(
            self._clock, self._disk, self._database, self._weather, self._pace, self._chance
        )
        self._ledger = Ledger()
        self._sent: list[Sent] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._host: SimulatedHost | None = None
        self._trace = hashlib.sha256()
        self._steps_wanted = 0
        self._numbers = 0
        self._failures = 0
        names = [name for name, _ in self._actions()]
        self._weights = list(_WEIGHTS)
        self._weights[names.index("power cut")] *= power_cuts

    def run(self, steps: int) -> Result:
        self._steps_wanted = steps
        while self.result.steps < steps:
            self._live()
        self._end_weather()
        self._live()
        found, database = self.result, self._database
        found.answers, found.transactions = self._ledger.answers, database.transactions
        found.rows, found.set_aside = len(database.sequences), len(database.aside)
        found.conflicted = database.conflicted
        found.virtual_s = self._clock.now_s - 1_000.0
        found.digest = self._trace.hexdigest()
        return found

    # ---- lives

    def _live(self) -> None:
        """One life, from its start to how it ends; checked at rest if that is what it comes to."""
        self.result.lives += 1
        loop = VirtualLoop(self._clock)
        asyncio.set_event_loop(loop)
        try:
            ended = loop.run_until_complete(self._life())
        except Stuck as error:
            raise self._violation([f"stuck: everything waits: {error}"]) from error
        finally:
            asyncio.set_event_loop(None)
        self._trace.update(f"{ended} {self._clock.now_s:.9f}".encode())
        self.result.outcomes[f"life ended: {ended}"] += 1
        if ended == "power cut":
            self._disk.lose_power()
        elif ended != "stopped":
            self._disk.end_process()
        if self._host is not None:
            self._host.cut_power()
        self._host = None
        self._calls.clear()
        end_life(loop)

    async def _life(self) -> str:
        try:
            host = await SimulatedHost.open(self._around)
        except (JournalError, OSError) as error:
            return await self._failed_start(error)
        self._host = host
        host.keeper.watch_state(self._state_changed)
        while self.result.steps < self._steps_wanted:
            self.result.steps += 1
            ended = await self._step(host)
            if ended is not None:
                return ended
        await self._rest(host)
        await host.keeper.stop(5.0)
        return "stopped"

    def _state_changed(self, state: KeeperState) -> None:
        """A journal that failed is opened anew: what was in memory only may be gone, as after a crash."""
        if state.condition is Condition.FAILED:
            self._failures += 1
            self._ledger.forget_buffered()

    async def _failed_start(self, error: Exception) -> str:
        """Only a disk that is sick just then, or has no power, is a reason."""
        if self._disk.is_off:
            return "power cut"
        if not self._disk.has_failed:
            raise self._violation([f"start: it failed on a sound disk: {error!r}"]) from error
        self.result.outcomes[f"start failed: {type(error).__name__}"] += 1
        await asyncio.sleep(0.1)
        self._disk.heal()
        return "failed start"

    async def _step(self, host: SimulatedHost) -> str | None:
        """One action; how the life ended, if it did."""
        ((name, action),) = self._chance.choices(self._actions(), self._weights)
        self.result.actions[name] += 1
        ended = await action(host)
        if self._disk.is_off:
            ended = "power cut"
        if ended is None and host.keeper.broken.done():
            ended = f"broken: {type(host.keeper.broken.result()).__name__}"
            if not self._disk.has_failed:
                raise self._violation([f"broken: on a sound disk: {host.keeper.broken.result()}"])
        if ended not in (None, "stopped"):
            self._ledger.forget_buffered()
        return ended

    def _actions(self) -> tuple[tuple[str, Callable[[SimulatedHost], Awaitable[str | None]]], ...]:
        return (
            ("submit", self._submit_fresh), ("retry", self._retry), ("rival", self._rival),
            ("record", self._record), ("find", self._find), ("wait", self._wait),
            ("weather", self._change_weather), ("pace", self._change_pace), ("sick disk", self._sicken),
            ("other host", self._other_host), ("poison", self._submit_poison), ("power cut", self._cut_power),
            ("stop", self._stop), ("rest", self._come_to_rest),
        )  # fmt: skip

    # ---- actions

    async def _submit_fresh(self, host: SimulatedHost) -> None:
        (acknowledgement,) = self._chance.choices(_CLASSES, (0.6, 0.2, 0.2))
        self._numbers += 1
        sent = Sent(f"order-{self._numbers}", self._hash(), acknowledgement, len(self._ledger.fresh))
        self._sent.append(sent)
        self._send(host, sent, sent.request_hash)

    async def _submit_poison(self, host: SimulatedHost) -> None:
        self._numbers += 1
        self._database.poison.add(f"order-{self._numbers}")
        self._numbers -= 1
        await self._submit_fresh(host)

    async def _retry(self, host: SimulatedHost) -> None:
        if self._sent:
            sent = self._pick()
            self._send(host, sent, sent.request_hash)

    async def _rival(self, host: SimulatedHost) -> None:
        if self._sent:
            self._send(host, self._pick(), self._hash())

    async def _record(self, host: SimulatedHost) -> None:
        """Something that is no decision."""
        (acknowledgement,) = self._chance.choices(_CLASSES, (0.6, 0.2, 0.2))
        record = OperationRecord(
            self._uuid(), self._clock.time_ns(), "LIMITS_CHANGED", "host", "h", "somebody", "a reason", {"n": 1}
        )
        self._begin(self._keep(host, record, acknowledgement))

    async def _find(self, host: SimulatedHost) -> None:
        if self._sent:
            self._begin(self._look(host, self._pick().order_id))

    async def _wait(self, _: SimulatedHost) -> None:
        await asyncio.sleep(self._chance.expovariate(1 / 0.002))

    async def _change_weather(self, _: SimulatedHost) -> None:
        weather = self._weather
        kind = self._chance.random()
        if weather.is_down or kind < 0.4:
            self._end_weather()
        elif kind < 0.6:
            weather.is_down = True
        elif kind < 0.8:
            weather.lost_answers, weather.lost_requests = 0.3, 0.2
        else:
            weather.most_s = 0.7

    async def _change_pace(self, _: SimulatedHost) -> None:
        self._pace.most_s = self._chance.choice((0.0002, 0.0005, 0.002, 0.05))

    async def _sicken(self, _: SimulatedHost) -> None:
        if self._disk.is_sick:
            self._disk.heal()
        else:
            self._disk.sicken()

    async def _other_host(self, _: SimulatedHost) -> None:
        """Another host decides an order that comes to us too, before us or after."""
        self._numbers += 1
        order_id, request_hash = f"order-{self._numbers}", self._hash()
        self._ledger.contested.add(order_id)
        other = StoredSelection(
            self._uuid(), order_id, request_hash, "AAPL", self._clock.time_ns(), "s", "TWAP", "r", b"theirs",
            committed=True, status=RowStatus.RECORDED,
        )  # fmt: skip
        ours = request_hash if self._chance.random() < 0.5 else self._hash()
        self._sent.append(Sent(order_id, ours, Acknowledgement.COMMITTED, len(self._ledger.fresh)))
        self._database.decided_elsewhere(other)

    async def _cut_power(self, host: SimulatedHost) -> str:
        """Between two operations of the disk, in the middle of whatever is going on; or the process alone is killed."""
        if self._chance.random() < 0.3:
            return "killed"
        self._disk.cut_after(self._chance.randrange(12))
        for _ in range(20):
            await self._submit_fresh(host)
            await asyncio.sleep(self._chance.expovariate(1 / 0.0005))
            if self._disk.is_off:
                break
        return "power cut"

    async def _stop(self, host: SimulatedHost) -> str:
        await asyncio.wait_for(self._quiet(), CALL_TIMEOUT_S * 4)
        left = await host.keeper.stop(5.0)
        if left and not self._disk.has_failed:
            raise self._violation([f"lost: an orderly stop left {len(left)} records behind"])
        if left:
            self._ledger.forget_buffered()
        return "stopped"

    async def _come_to_rest(self, host: SimulatedHost) -> None:
        await self._rest(host)

    # ---- gateways

    def _send(self, host: SimulatedHost, sent: Sent, request_hash: str) -> None:
        record = self._decision(sent.order_id, request_hash)
        self._begin(self._submit(host, sent, record))

    async def _submit(self, host: SimulatedHost, sent: Sent, record: SelectionRecord) -> None:
        begun_s, failures = self._clock.now_s, self._failures
        answer = await asyncio.wait_for(host.keeper.submit(record, sent.acknowledgement), CALL_TIMEOUT_S)
        if self._host is not host or self._disk.is_off:
            return
        if sent.acknowledgement is Acknowledgement.BUFFERED and failures != self._failures:
            return
        self.result.outcomes[f"{sent.acknowledgement} {answer.verdict}"] += 1
        if record.request_hash == sent.request_hash or answer.response is not None:
            self._ledger.hear(sent.order_id, answer, sent.acknowledgement, sent.floor, self._database)
        self._trace.update(f"{answer.selection_id} {begun_s:.9f} {self._clock.now_s:.9f}".encode())

    async def _keep(
        self, host: SimulatedHost, record: OperationRecord, acknowledgement: Acknowledgement
    ) -> None:
        await asyncio.wait_for(host.keeper.record(record, acknowledgement), CALL_TIMEOUT_S)
        if self._host is host and not self._disk.is_off and acknowledgement is not Acknowledgement.BUFFERED:
            self._ledger.recorded.add(record.operation_id)
            if acknowledgement is Acknowledgement.COMMITTED and record.operation_id not in self._database.operations:
                self._ledger.violations.append(f"lost committed: operation {record.operation_id}")

    async def _look(self, host: SimulatedHost, order_id: str) -> None:
        """What was acknowledged as safe is seen at once."""
        told = self._ledger.told.get(order_id)
        found = await asyncio.wait_for(host.keeper.find(order_id), CALL_TIMEOUT_S)
        is_current = self._host is host and not self._disk.is_off and self._ledger.told.get(order_id) is told
        if told is None or not told.safe or not is_current:
            return
        if order_id in self._database.poison:
            return  # what is set aside is kept, and not shown
        if told.selection_id not in {one.selection_id for one in found}:
            self._ledger.violations.append(f"unseen: {order_id}: {told.selection_id} was acknowledged and is not found")

    def _begin(self, call: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self._guarded(call))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _guarded(self, call: Awaitable[None]) -> None:
        """What a gateway is refused with is counted; anything that is no error of the store is a fault."""
        try:
            await call
        except (JournalError, StoreUnavailable, RecordSetAside, TimeoutError) as error:
            self.result.outcomes[f"refused: {type(error).__name__}"] += 1
        except (StoreError, OSError) as error:
            if self._disk.is_off:
                return
            self._ledger.violations.append(f"error: a call ended with {error!r}")

    async def _quiet(self) -> None:
        while self._calls:
            await asyncio.wait(tuple(self._calls))

    # ---- rest

    def _end_weather(self) -> None:
        self._weather.is_down = False
        self._weather.most_s = 0.002
        self._weather.lost_answers = self._weather.lost_requests = 0.0

    async def _rest(self, host: SimulatedHost) -> None:
        """Everything is well again: what waits is drained, and then all must be as it was told."""
        self._end_weather()
        self._disk.heal()
        self._pace.most_s = 0.0005
        end_s = self._clock.now_s + REST_WITHIN_S
        quiet = 0
        # Several times in a row: what is answered from memory is not on disk, and so not pending, for a moment.
        while (quiet := quiet + 1 if self._is_at_rest(host) else 0) < 4:
            if host.keeper.broken.done():
                return
            if self._clock.now_s > end_s:
                raise self._violation([f"stuck: no rest within {REST_WITHIN_S} s: {host.keeper.metrics}"])
            await asyncio.sleep(0.05)
        self._check(host)

    def _is_at_rest(self, host: SimulatedHost) -> bool:
        metrics = host.keeper.metrics
        is_ready = metrics.state.condition is Condition.READY
        return is_ready and not self._calls and metrics.drainer.pending == 0

    def _check(self, host: SimulatedHost) -> None:
        found = self._ledger.check_against(self._database)
        journal_id = host.connection.journal_id
        position, metrics = self._database.position(journal_id), host.keeper.metrics.journal
        if position.sequence != metrics.head_sequence:
            found.append(f"gap: at rest PostgreSQL is at {position.sequence}, the journal at {metrics.head_sequence}")
        if len(self._database.positions) != 1:
            found.append(f"gap: one disk, and several journals: {sorted(self._database.positions)}")
        missing = self._ledger.recorded - self._database.operations
        if missing:
            found.append(f"lost: {len(missing)} acknowledged operations are lost")
        if found:
            raise self._violation(found)

    def _violation(self, found: list[str]) -> Violation:
        shown = "\n  ".join(found[:10])
        text = (
            f"seed {self.result.seed}, step {self.result.steps}, life {self.result.lives}: {len(found)} violations\n"
            f"  {shown}\nagain: python -m tests.fault.simulator --seed {self.result.seed} --steps {self._steps_wanted}"
        )
        return Violation(text, found)

    # ---- drawing

    def _pick(self) -> Sent:
        """Mostly something recent."""
        if self._chance.random() < 0.7:
            return self._chance.choice(self._sent[-60:])
        return self._chance.choice(self._sent)

    def _hash(self) -> str:
        return f"{self._chance.getrandbits(128):032x}"

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128)))

    def _decision(self, order_id: str, request_hash: str) -> SelectionRecord:
        selection_id = self._uuid()
        size = self._chance.choice((40, 40, 200, 900))
        response = f"{selection_id} {request_hash}".encode().ljust(size, b".")
        return SelectionRecord(
            selection_id=selection_id, order_id=order_id, request_hash=request_hash,
            created_at_ns=self._clock.time_ns(), instrument_id="AAPL", side="BUY", quantity_shares=100.0,
            objective="MINIMIZE_COST", urgency="NORMAL", strategy_name="TWAP", algorithm="TWAP",
            selection_rationale="because", confidence=0.5, market_conditions={}, expected_outcomes={}, parameters={},
            venue_allocation={}, versions={}, request=b"request", response=response,
            event=Event(self._uuid(), "execution_strategy_selected", "order", order_id, "{}"),
        )  # fmt: skip
