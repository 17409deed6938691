"""Updates of orders, from the message to the acknowledgement and the advice. `service.adapt` brings them in and out.

    UnknownOrderError     nobody decided the order
    UpdateRefusedError    the update had no effect
    └── NotYourOrderError the order belongs to another gateway
"""

from __future__ import annotations

import asyncio
import math
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import msgspec
import structlog

from engine.limits import Breach, Key, facts_of, halted, keys_of
from engine.order_life.readvise import Advice
from engine.order_life.state import OrderState
from engine.order_life.updates import Amend, Change, Fill, Market, Resume, shares_of
from engine.order_life.watch import Watch, Watched, noted, seen, watch_of
from engine.records import AdaptationRecord
from engine.snapshot import InstrumentView
from service.guard import DESK_TAG, Guard
from service.identity import caller, may_change
from service.mapping.adaptation import (
    Answer,
    Begun,
    MappedUpdate,
    acknowledged,
    add_advice,
    add_end_of_halt,
    add_stop,
    begun_of,
    fee_of,
    repeat_advice,
    response_in,
    state_again,
    strategy_of,
    without_advice,
)
from service.mapping.advice_inputs import AdviceInputs, decode_inputs, encode_inputs
from service.mapping.events import adapted_data, adapted_event
from service.mapping.responses import Naming
from service.world import World
from store.order_port import KeptOrder, OrderBasis, UpdateAnswer, UpdateVerdict
from store.orders import plan_in_force
from store.submission import Acknowledgement, KeeperPort, UpdateCall

log = structlog.get_logger(__name__)


class UnknownOrderError(Exception):
    """Nobody decided the order."""


class UpdateRefusedError(Exception):
    """The update had no effect; the text says why."""


class NotYourOrderError(UpdateRefusedError):
    """The order belongs to another gateway."""


@dataclass(slots=True)
class Followed:
    """An order as this worker knows it. The keeper has the truth; `advice_number` tells whether this is still it."""

    basis: OrderBasis
    begun: Begun
    watch: Watch
    state: OrderState | None
    last_advice: bytes = b""
    in_force: bytes = b""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an update."""

    message: Answer
    verdict: UpdateVerdict
    followed: Followed
    is_halted: bool = False


@dataclass(frozen=True, slots=True)
class DeskMetrics:
    followed: int
    updates: int
    looks: int
    advices: int


Recommend = Callable[[bytes], Awaitable[bytes]]


class OrderDesk:
    """Belongs to one event loop. `recommend` decides an order that a resuming gateway brings along."""

    def __init__(
        self, world: World, keeper: KeeperPort, recommend: Recommend, *, clock_ns: Callable[[], int],
        guard: Guard | None = None, capacity: int = 50_000,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:  # fmt: skip
        self._world = world
        self._keeper = keeper
        self._recommend = recommend
        self._clock_ns = clock_ns
        self._guard = guard or Guard(keeper)
        self._capacity = capacity
        self._new_id = new_id
        self._followed: OrderedDict[str, Followed] = OrderedDict()
        self._loading: dict[str, asyncio.Future[Followed]] = {}
        self._updates = self._looks = self._advices = 0
        snapshot = world.snapshot
        self.naming = Naming(snapshot.directory, snapshot.venue_names)

    @property
    def metrics(self) -> DeskMetrics:
        return DeskMetrics(len(self._followed), self._updates, self._looks, self._advices)

    async def take(
        self, mapped: MappedUpdate, acknowledgement: Acknowledgement, number: int, gateway: str, epoch: int = 0
    ) -> Taken:
        """Journals an update, and looks at the order if there is reason to. `number` is the class in the contract,
        `epoch` the owner's as this sender was told. Raises UnknownOrderError, UpdateRefusedError, StoreError."""
        followed = await self._follow(mapped)
        if not may_change(followed.basis.gateway):
            raise NotYourOrderError(f"order {mapped.order_id} belongs to another gateway")
        change = self._completed(mapped.update.change, followed)
        mid_price, spread_bps = self._market_of(followed, change)
        self._refuse_too_large(followed, change, mid_price)
        update = replace(mapped.update, change=change, epoch=epoch, mid_price=mid_price, spread_bps=spread_bps)
        call = UpdateCall(
            mapped.order_id, update, followed.begun.opening, self._new_id(), self._clock_ns(), gateway
        )
        answer = await self._keeper.update(call, acknowledgement)
        self._updates += 1
        if answer.advice_number > followed.watch.advice_number:  # another worker gave one
            followed = await self._load(mapped.order_id)
        if followed.state is None or _is_newer(answer.state, followed.state):
            followed.state = answer.state
        message = acknowledged(mapped.order_id, answer.state, number, answer.reason, answer.notes)
        is_halted = False
        if answer.verdict is UpdateVerdict.APPLIED:
            if isinstance(change, Resume) and followed.last_advice:
                repeat_advice(message, followed.last_advice)
            is_halted = await self._advise_unless_halted(
                followed, answer, change, mapped.is_forced, acknowledgement, message
            )
        if _is_newer(followed.state, answer.state):
            # Updates behind this one were answered while its advice was on its way to the disk.
            state_again(message, followed.state)
        if answer.state.ended is not None:
            self._followed.pop(mapped.order_id, None)
        return Taken(message, answer.verdict, followed, is_halted)

    async def look(self, order_id: str, number: int) -> Answer | None:
        """Looks at an order without an update: time has passed, or the market's figures changed."""
        followed = self._followed.get(order_id)
        if followed is None or followed.state is None or followed.state.has_ended:
            return None
        state = followed.state
        answer = UpdateAnswer(UpdateVerdict.APPLIED, state, followed.watch.advice_number)
        message = acknowledged(order_id, state, number)
        if self._stop_of(followed) is not None:
            return None  # told when it was halted
        await self._advise(followed, answer, None, False, Acknowledgement.JOURNALED, message)
        return message if message.advice_number or message.action else None

    def is_halted(self, order_id: str) -> bool:
        """Of an order that this worker follows and that has not ended."""
        followed = self._followed.get(order_id)
        if followed is None or (followed.state is not None and followed.state.has_ended):
            return False
        return self._stop_of(followed) is not None

    def notice(self, order_id: str, number: int) -> Answer | None:
        """What is told of a halt, or of its end, without an update. None for an order that has ended, or is not known
        here any more."""
        followed = self._followed.get(order_id)
        if followed is None or followed.state is None or followed.state.has_ended:
            return None
        message = acknowledged(order_id, followed.state, number)
        stop = self._stop_of(followed)
        if stop is None:
            add_end_of_halt(message)
        else:
            add_stop(message, None, stop.description)
        return message

    def _keys(self, followed: Followed) -> tuple[Key, ...]:
        basis = followed.basis
        desk = caller().desk or basis.tags.get(DESK_TAG, "")
        return keys_of(basis.instrument_id, followed.watch.plan.algorithm, desk, basis.gateway)

    def _stop_of(self, followed: Followed) -> Breach | None:
        """Only a halt stops an order under way: a host that hears nothing of PostgreSQL takes no new orders, and goes
        on with those that it has."""
        halt = self._guard.halt_of(self._keys(followed))
        return halted(halt) if halt is not None else None

    def _refuse_too_large(self, followed: Followed, change: Change, mid_price: float) -> None:
        """An order may not grow beyond what a new one may be. Raises UpdateRefusedError."""
        if not isinstance(change, Amend) or change.units is None:
            return
        before = followed.state.parent_units if followed.state is not None else followed.begun.opening.parent_units
        if change.units <= before:
            return
        breaches = self._guard.too_large(self._keys(followed), shares_of(change.units), mid_price)
        if breaches:
            raise UpdateRefusedError("; ".join(f"{one.code} ({one.about}): {one.description}" for one in breaches))

    async def _advise_unless_halted(
        self, followed: Followed, answer: UpdateAnswer, change: Change | None, is_forced: bool,
        acknowledgement: Acknowledgement, message: Answer,
    ) -> bool:  # fmt: skip
        """While it is halted every answer says so, and nothing is decided; what was missed then is seen after it.
        Whether it is."""
        stop = self._stop_of(followed)
        if stop is None or answer.state.has_ended:
            await self._advise(followed, answer, change, is_forced, acknowledgement, message)
            return False
        followed.watch = noted(followed.watch, change, self._world.snapshot)
        add_stop(message, None, stop.description)
        return True

    async def kept(self, order_id: str) -> KeptOrder:
        """An order as the keeper has it. Raises UnknownOrderError, StoreError."""
        found = await self._keeper.order(order_id)
        if found is None:
            raise UnknownOrderError(f"no decision for order {order_id}")
        return found

    def in_force(self, followed: Followed) -> bytes:
        """The response of the decision in force."""
        return response_in(followed.in_force) if followed.in_force else followed.basis.response

    def view_of(self, instrument_id: str) -> InstrumentView | None:
        return self._world.snapshot.views.get(instrument_id)

    async def _advise(
        self, followed: Followed, answer: UpdateAnswer, change: Change | None, is_forced: bool,
        acknowledgement: Acknowledgement, message: Answer,
    ) -> None:  # fmt: skip
        """Puts an advice into the message, if the order's state asks for one and nobody else gave it."""
        snapshot, now_ns = self._world.snapshot, self._clock_ns()
        forced = "the gateway asked" if is_forced else ""
        before = followed.watch
        watched = seen(before, answer.state, change, snapshot, now_ns, forced)
        followed.watch = watched.watch
        if watched.advice is None:
            return
        self._looks += 1
        broken = self._broken(followed, watched)
        if broken:
            followed.watch = before
            add_stop(message, watched.advice.trigger, broken)
            return
        number = watched.watch.advice_number
        add_advice(message, watched.advice, number, self.naming, followed.basis.selection_id, now_ns)
        view = snapshot.views[followed.basis.instrument_id]
        inputs = AdviceInputs(now_ns, forced, answer.state, change, before, watched.watch, view.market)
        record = self._record(followed, watched.advice, message, encode_inputs(inputs), now_ns)
        if not await self._keeper.advise(record, acknowledgement):
            if self._followed.get(message.order_id) is followed:
                del self._followed[message.order_id]  # another worker was faster; its advice counts
            without_advice(message)
            return
        self._advices += 1
        followed.last_advice = record.response
        if watched.advice.decision is not None:
            followed.in_force = record.response

    def _broken(self, followed: Followed, watched: Watched) -> str:
        """The hard limits that the new plan of a remainder would break, in words."""
        advice, remainder = watched.advice, watched.remainder
        if advice is None or advice.decision is None or remainder is None:
            return ""
        desk = caller().desk or followed.basis.tags.get(DESK_TAG, "")
        facts = facts_of(remainder, advice.decision, desk, followed.basis.gateway)
        return "; ".join(f"{one.code} ({one.about}): {one.description}" for one in self._guard.breaches(facts))

    def _record(
        self, followed: Followed, advice: Advice, message: Answer, inputs: bytes, now_ns: int
    ) -> AdaptationRecord:
        adaptation_id = self._new_id()
        data = adapted_data(
            strategy_of(message), order_id=message.order_id, selection_id=followed.basis.selection_id,
            action=message.action, trigger=message.trigger, rationale=message.rationale,
            expected_gain_bps=message.expected_gain_bps,
        )  # fmt: skip
        return AdaptationRecord(
            adaptation_id, message.order_id, followed.basis.selection_id, message.advice_number, now_ns,
            advice.action.name, advice.trigger.name, message.rationale, advice.gain_bps,
            message.SerializeToString(deterministic=True), inputs, adapted_event(data, adaptation_id, now_ns),
        )  # fmt: skip

    async def _follow(self, mapped: MappedUpdate) -> Followed:
        followed = self._followed.get(mapped.order_id)
        if followed is not None:
            self._followed.move_to_end(mapped.order_id)
            return followed
        loading = self._loading.get(mapped.order_id)
        if loading is None:  # once for all the updates that come meanwhile
            loading = asyncio.ensure_future(self._begin(mapped))
            self._loading[mapped.order_id] = loading
            loading.add_done_callback(lambda _: self._loading.pop(mapped.order_id, None))
        return await asyncio.shield(loading)

    async def _begin(self, mapped: MappedUpdate) -> Followed:
        try:
            return await self._load(mapped.order_id)
        except UnknownOrderError:
            if mapped.request is None:
                raise
        await self._recommend(mapped.request)
        return await self._load(mapped.order_id)

    async def _load(self, order_id: str) -> Followed:
        found = await self.kept(order_id)
        snapshot = self._world.snapshot
        begun = begun_of(found.basis, snapshot)
        if begun is None:
            raise UpdateRefusedError(f"instrument {found.basis.instrument_id} is not known any more")
        watch = watch_of(begun.request, begun.started_ns, begun.plan, snapshot.views[found.basis.instrument_id])
        followed = Followed(found.basis, begun, watch, found.state)
        if found.advices:
            followed.last_advice = found.advices[-1].response
            plan = plan_in_force(found.advices)
            followed.in_force = plan.response if plan is not None else b""
            followed.watch = self._watch_after(found.advices[-1].inputs, begun, watch, found.advices[-1].advice_number)
        self._followed[order_id] = followed
        while len(self._followed) > self._capacity:
            self._followed.popitem(last=False)
        return followed

    def _watch_after(self, inputs: bytes, begun: Begun, watch: Watch, number: int) -> Watch:
        """As the last advice left it; one that cannot be read leaves the first plan, and is told."""
        try:
            return decode_inputs(inputs, begun.request).after
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            log.error("an advice's inputs cannot be read", order_id=begun.opening.order_id, error=str(error))
            return replace(watch, advice_number=number)

    def _completed(self, change: Change, followed: Followed) -> Change:
        """A fill that names no fee pays its venue's schedule."""
        if isinstance(change, Fill) and math.isnan(change.fee):
            view = self.view_of(followed.basis.instrument_id)
            return replace(change, fee=fee_of(change, view, self._world.snapshot.directory))
        return change

    def _market_of(self, followed: Followed, change: Change) -> tuple[float, float]:
        """(newest mid, newest spread), 0 for what is not known. The gateway's own word goes before the snapshot's,
        which counts only while it is fresh."""
        if isinstance(change, Market):
            return 0.0, 0.0
        state = followed.state
        if state is not None and state.context.mid_price is not None:
            return state.context.mid_price, state.context.spread_bps or 0.0
        view = self.view_of(followed.basis.instrument_id)
        if view is None or view.market.mid_price is None:
            return 0.0, 0.0
        age_ns = self._clock_ns() - view.market.as_of_ns
        if age_ns > self._world.snapshot.limits.stale_market_data_minutes * 60e9:
            return 0.0, 0.0
        return view.market.mid_price, view.market.spread_bps or 0.0


def _is_newer(state: OrderState, other: OrderState) -> bool:
    return (state.epoch, state.sequence) > (other.epoch, other.sequence)
