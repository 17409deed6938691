"""Updates of orders, from the message to the acknowledgement and the advice. `service.adapt` brings them in and out.

    UnknownOrderError     nobody decided the order
    UpdateRefusedError    the update had no effect
    └── NotYourOrderError the order belongs to another gateway
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import structlog
from msgspec import structs

from engine.order_life.readvise import Advice
from engine.order_life.state import OrderState
from engine.order_life.updates import Amend, Change, Resume
from engine.order_life.watch import Watch, Watched, amended_since, noted, seen, watch_of
from engine.records import AdaptationRecord
from service.followed import Due, Followed, Taken, Taking
from service.guard import Guard
from service.ids import RandomIds
from service.mapping.adaptation import (
    Answer,
    Begun,
    MappedUpdate,
    acknowledged,
    add_advice,
    add_end_of_halt,
    add_stop,
    begun_of,
    repeat_advice,
    response_in,
    state_again,
    stop_in,
    strategy_of,
    without_advice,
)
from service.mapping.advice_inputs import AdviceInputs, decode_inputs, encode_inputs
from service.mapping.events import adapted_data, adapted_event
from service.mapping.inputs import InputsEncoder
from service.mapping.refusals import add_refusals
from service.mapping.responses import Naming, with_warning
from service.order_guard import OrderGuard, owner_of
from service.order_market import completed, newer_quote
from service.world import World
from store.order_port import KeptAdvice, KeptOrder, UpdateAnswer, UpdateVerdict
from store.orders import plan_in_force
from store.submission import Acknowledgement, KeeperPort, UpdateCall

# Orders that are read from the keeper at a time. When a stream comes back with thousands, the others wait here and not
# in the keeper, whose calls have an end.
LOADS_AT_ONCE: Final = 24

log = structlog.get_logger(__name__)


class UnknownOrderError(Exception):
    """Nobody decided the order."""


class UpdateRefusedError(Exception):
    """The update had no effect; the text says why."""


class NotYourOrderError(UpdateRefusedError):
    """The order belongs to another gateway."""


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
        self, world: World, keeper: KeeperPort, recommend: Recommend, inputs: InputsEncoder, *,
        clock_ns: Callable[[], int], guard: Guard | None = None, capacity: int = 50_000,
        new_id: Callable[[], str] | None = None,
    ) -> None:  # fmt: skip
        self._world = world
        self._keeper = keeper
        self._recommend = recommend
        self._inputs = inputs
        self._clock_ns = clock_ns
        self._guard = OrderGuard(guard or Guard(keeper))
        self._capacity = capacity
        self._new_id = new_id or RandomIds()
        self._followed: OrderedDict[str, Followed] = OrderedDict()
        self._loading: dict[str, asyncio.Future[Followed]] = {}
        self._may_load = asyncio.Semaphore(LOADS_AT_ONCE)
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
        followed = await self.follow(mapped)
        return await self._take(mapped, followed, acknowledgement, number, gateway, epoch)

    async def take_once(
        self, mapped: MappedUpdate, acknowledgement: Acknowledgement, number: int, gateway: str
    ) -> tuple[Taken, bytes]:
        """As `take`, with the response of the decision in force after it: read first, so that what could not be told
        is not taken either."""
        followed = await self.follow(mapped)
        self._refuse_others(mapped, followed)
        if not followed.decided:
            followed.decided = (await self.kept(mapped.order_id)).basis.response
        taken = await self._take(mapped, followed, acknowledgement, number, gateway, 0, is_once=True)
        newest = taken.followed
        in_force = response_in(newest.in_force) if newest.in_force else followed.decided
        said = stop_in(taken.message)
        return taken, with_warning(in_force, said) if said else in_force

    async def _take(
        self, mapped: MappedUpdate, followed: Followed, acknowledgement: Acknowledgement, number: int, gateway: str,
        epoch: int, is_once: bool = False,
    ) -> Taken:  # fmt: skip
        taking = self._taking(mapped, followed, acknowledgement, number, gateway, epoch, is_once)
        return await self.finish(taking, await self._keeper.update(taking.call, acknowledgement))

    def begin(
        self, mapped: MappedUpdate, acknowledgement: Acknowledgement, number: int, gateway: str, epoch: int = 0
    ) -> tuple[Taking, asyncio.Future[UpdateAnswer]] | None:
        """As `take`, up to the moment when there is nothing to do but to wait for the disk; `settle` or `finish` do the
        rest. None (and nothing was taken) where something must be read first."""
        followed = self._followed.get(mapped.order_id)
        if followed is None:
            return None
        self._followed.move_to_end(mapped.order_id)
        taking = self._taking(mapped, followed, acknowledgement, number, gateway, epoch)
        begun = self._keeper.begin_update(taking.call, acknowledgement)
        return None if begun is None else (taking, begun)

    def settle(self, taking: Taking, answer: UpdateAnswer) -> Taken | Awaitable[Taken]:
        """What became of an update that the keeper has taken; to be awaited where that leads to an advice, or where
        another worker gave one."""
        if answer.advice_number > taking.followed.watch.advice_number:
            return self.finish(taking, answer)
        taken, due = self._settled(taking, answer)
        return taken if due is None else self._given(taking, taken, due)

    async def finish(self, taking: Taking, answer: UpdateAnswer) -> Taken:
        """As `settle`, however long it takes."""
        if answer.advice_number > taking.followed.watch.advice_number:  # another worker gave one
            taking.followed = await self._load(taking.call.order_id)
        taken, due = self._settled(taking, answer)
        return taken if due is None else await self._given(taking, taken, due)

    def _refuse_others(self, mapped: MappedUpdate, followed: Followed) -> None:
        if not self._guard.may_change(followed.owner):
            raise NotYourOrderError(f"order {mapped.order_id} belongs to another gateway")

    def _refuse_too_large(self, followed: Followed, change: Change, mid_price: float) -> None:
        if not isinstance(change, Amend):
            return
        state = followed.state
        parent_units = followed.opening.parent_units if state is None else state.parent_units
        mid_price = mid_price or (0.0 if state is None else state.mid_price)
        reason = self._guard.too_large(
            followed.owner, followed.watch.plan.algorithm, change, parent_units, mid_price
        )
        if reason:
            raise UpdateRefusedError(reason)

    def _taking(
        self, mapped: MappedUpdate, followed: Followed, acknowledgement: Acknowledgement, number: int, gateway: str,
        epoch: int, is_once: bool = False,
    ) -> Taking:  # fmt: skip
        self._refuse_others(mapped, followed)
        snapshot, instrument_id = self._world.snapshot, followed.opening.instrument_id
        change = completed(mapped.update.change, instrument_id, snapshot)
        mid_price, spread_bps = newer_quote(
            followed.newest_mid_ns, change, instrument_id, snapshot, self._clock_ns()
        )
        self._refuse_too_large(followed, change, mid_price)
        followed.begun(change, mapped.update.event_ns)
        update = structs.replace(
            mapped.update, change=change, epoch=epoch, mid_price=mid_price, spread_bps=spread_bps
        )
        call = UpdateCall(
            mapped.order_id, update, followed.opening, self._new_id(), self._clock_ns(), gateway
        )
        return Taking(followed, call, change, mapped.is_forced, acknowledgement, number, is_once)

    def _settled(self, taking: Taking, answer: UpdateAnswer) -> tuple[Taken, Due | None]:
        followed, order_id, state = taking.followed, taking.call.order_id, answer.state
        self._updates += 1
        if followed.state is None or _is_newer(state, followed.state):
            followed.state = state
        message = acknowledged(order_id, state, taking.number, answer.reason, answer.notes)
        add_refusals(message, taking.call.update, answer)
        due, is_halted = None, False
        if answer.verdict is UpdateVerdict.APPLIED:
            is_halted = not state.has_ended and self._note_halt(followed, taking.change, message)
            if not is_halted:
                if not taking.is_once:
                    self._tell(followed, isinstance(taking.change, Resume), message)
                due = self._advice(
                    followed, state, taking.change, taking.is_forced, message, "; ".join(answer.notes), taking.is_once
                )
        if due is None and followed.state is not state and _is_newer(followed.state, state):
            state_again(message, followed.state)
        if state.ended is not None:
            self._followed.pop(order_id, None)
        return Taken(message, answer.verdict, followed, state.ended is not None, is_halted), due

    def _tell(self, followed: Followed, again: bool, message: Answer) -> None:
        """Puts the newest advice, and the plan in force, into an answer on the order's stream, where that was not told
        of them yet. A newer advice that goes on with that plan leaves it there."""
        if followed.last_advice and (again or not followed.is_told):
            repeat_advice(message, followed.last_advice, followed.in_force)
            followed.told_number = message.advice_number

    def _note_halt(self, followed: Followed, change: Change, message: Answer) -> bool:
        """While an order is halted every answer says so, and nothing is decided; what was missed then is seen after
        it. Whether it is."""
        stop = self._guard.stop_of(followed.owner, followed.watch.plan.algorithm)
        if stop is None:
            return False
        followed.watch = noted(followed.watch, change, self._world.snapshot)
        add_stop(message, None, stop.description)
        return True

    async def _given(self, taking: Taking, taken: Taken, due: Due) -> Taken:
        await self._give(taken.followed, due, taken.message, taking.acknowledgement)
        state = taken.followed.state
        if state is not None and (state.epoch, state.sequence) > (
            taken.message.epoch, taken.message.acknowledged_sequence
        ):  # fmt: skip
            # Updates behind this one were answered while its advice was on its way to the disk.
            state_again(taken.message, state)
        return taken

    async def look(self, order_id: str, epoch: int, number: int) -> Answer | None:
        """Looks at an order without an update: time has passed, or the market's figures changed. `epoch`: the owner's
        for whom; an order that somebody else has resumed is left to them."""
        followed = self._followed.get(order_id)
        if followed is None or followed.state is None or followed.state.has_ended or followed.state.epoch != epoch:
            return None
        if self._guard.stop_of(followed.owner, followed.watch.plan.algorithm) is not None:
            return None  # told when it was halted
        message = acknowledged(order_id, followed.state, number)
        self._tell(followed, False, message)
        due = self._advice(followed, followed.state, None, False, message, "")
        if due is None:
            return message if message.action else None
        await self._give(followed, due, message, Acknowledgement.JOURNALED)
        return message if message.advice_number else None

    def is_halted(self, order_id: str) -> bool:
        """Of an order that this worker follows and that has not ended."""
        followed = self._followed.get(order_id)
        if followed is None or (followed.state is not None and followed.state.has_ended):
            return False
        return self._guard.stop_of(followed.owner, followed.watch.plan.algorithm) is not None

    def notice(self, order_id: str, number: int) -> Answer | None:
        """What is told of a halt, or of its end, without an update. None for an order that has ended, or is not known
        here any more."""
        followed = self._followed.get(order_id)
        if followed is None or followed.state is None or followed.state.has_ended:
            return None
        message = acknowledged(order_id, followed.state, number)
        stop = self._guard.stop_of(followed.owner, followed.watch.plan.algorithm)
        if stop is None:
            add_end_of_halt(message)
        else:
            add_stop(message, None, stop.description)
        return message

    async def kept(self, order_id: str) -> KeptOrder:
        """An order as the keeper has it. Raises UnknownOrderError, StoreError."""
        found = await self._keeper.order(order_id)
        if found is None:
            raise UnknownOrderError(f"no decision for order {order_id}")
        return found

    def _advice(
        self, followed: Followed, state: OrderState, change: Change | None, is_forced: bool, message: Answer,
        notes: str, is_once: bool = False,
    ) -> Due | None:
        """Puts an advice into the message, if the order's state asks for one. notes: what is said of the update."""
        snapshot, now_ns = self._world.snapshot, self._clock_ns()
        forced = "the gateway asked" if is_forced else ""
        before = followed.watch
        watched: Watched = seen(before, state, change, snapshot, now_ns, forced)
        followed.watch = watched.watch
        if watched.advice is None:
            return None
        self._looks += 1
        if message.advice_number:  # an earlier advice is told again with it: its words are not this one's
            message.rationale = notes
        broken = self._guard.broken(followed.owner, watched)
        if broken:
            # Every look says so until there is a plan that keeps the limits; an amendment stays one to be planned.
            followed.watch = noted(before, change, snapshot)
            add_stop(message, watched.advice.trigger, broken)
            return None
        instrument_id, selection_id = followed.opening.instrument_id, followed.selection_id
        inputs = AdviceInputs(
            now_ns, forced, state, change, before, watched.watch,
            self._inputs.encode(snapshot, instrument_id, now_ns, message.acknowledgement, own_bars=False),
            message.SerializeToString(deterministic=True),
        )  # fmt: skip
        add_advice(message, watched.advice, watched.watch.advice_number, self.naming, selection_id, now_ns)
        record = self._record(followed, watched.advice, message, encode_inputs(inputs), now_ns)
        return Due(record, watched.advice.decision is not None, not is_once)

    async def _give(
        self, followed: Followed, due: Due, message: Answer, acknowledgement: Acknowledgement
    ) -> None:
        """Journals the advice in a message; takes it out again where another worker was faster."""
        was_first = False
        try:
            was_first = await self._keeper.advise(due.record, acknowledgement)
        finally:
            # Another worker's advice counts, or it is not known whether this one does: the order is read anew.
            if not was_first and self._followed.get(message.order_id) is followed:
                del self._followed[message.order_id]
        if not was_first:
            without_advice(message)
            return
        self._advices += 1
        followed.advised(due.record, due.is_plan, due.is_told)

    def _record(
        self, followed: Followed, advice: Advice, message: Answer, inputs: bytes, now_ns: int
    ) -> AdaptationRecord:
        adaptation_id = self._new_id()
        data = adapted_data(
            strategy_of(message), order_id=message.order_id, selection_id=followed.selection_id,
            action=message.action, trigger=message.trigger, rationale=message.rationale,
            expected_gain_bps=message.expected_gain_bps,
        )  # fmt: skip
        return AdaptationRecord(
            adaptation_id, message.order_id, followed.selection_id, message.advice_number, now_ns,
            advice.action.name, advice.trigger.name, message.rationale, advice.gain_bps,
            message.SerializeToString(deterministic=True), inputs, adapted_event(data, adaptation_id, now_ns),
        )  # fmt: skip

    async def follow(self, mapped: MappedUpdate) -> Followed:
        """The order of an update, read from the keeper where it is not known here yet, or decided where a resume
        brings its request. Raises as `take`."""
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
        async with self._may_load:
            found = await self.kept(order_id)
        snapshot = self._world.snapshot
        begun = begun_of(found.basis, snapshot)
        if begun is None:
            raise UpdateRefusedError(f"instrument {found.basis.instrument_id} is not known any more")
        view, before = snapshot.views[found.basis.instrument_id], None
        watch = watch_of(begun.request, begun.started_ns, begun.plan, view)
        followed = Followed(found.basis.selection_id, owner_of(found.basis), begun.opening, watch, found.state)
        if found.advices:
            followed.last_advice, followed.last_number = found.advices[-1].response, found.advices[-1].advice_number
            plan = plan_in_force(found.advices)
            followed.in_force = plan.response if plan is not None else b""
            followed.watch, before = self._watch_after(found.advices[-1], begun, watch)
        if found.state is not None:
            followed.watch = amended_since(followed.watch, before, found.state, view)
        self._followed[order_id] = followed
        while len(self._followed) > self._capacity:
            self._followed.popitem(last=False)
        return followed

    def _watch_after(self, advice: KeptAdvice, begun: Begun, watch: Watch) -> tuple[Watch, OrderState | None]:
        """As the last advice left it, and the state that this was given in; one that cannot be read leaves the first
        plan, and is told."""
        try:
            inputs = decode_inputs(advice.inputs, begun.request)
            return inputs.after, inputs.state
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            log.error("an advice's inputs cannot be read", order_id=begun.opening.order_id, error=str(error))
            return replace(watch, advice_number=advice.advice_number), None


def _is_newer(state: OrderState, other: OrderState) -> bool:
    return (state.epoch, state.sequence) > (other.epoch, other.sequence)
