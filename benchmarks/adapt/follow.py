"""An order followed by the service on one path: decided, watched, advised, by the very functions behind `Adapt`.

A minute at a time: the order trades, the gateway tells its fills and then the market, and the service looks
(engine/order_life/watch.py). What it advises is in force from the next minute on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.adapt.gateway import Tape
from benchmarks.adapt.walk import Ground, Walk, policy_of
from benchmarks.adapt.worlds import World
from engine.decide import decide
from engine.decision import Decision
from engine.order_life.machine import apply
from engine.order_life.plan import deadline_of, plan_of
from engine.order_life.readvise import Advice
from engine.order_life.rules import RULES, Rules
from engine.order_life.state import Opening, OrderLife, opened
from engine.order_life.updates import UNITS_PER_SHARE, Change, Fill, Market, Update
from engine.order_life.watch import Watch, seen, watch_of
from engine.request import Context
from engine.simulator.market import MarketPaths
from engine.snapshot import Snapshot
from engine.values import CONDITIONS

# An order counts as filled from this share on: what is left is no lot.
FILLED = 1.0 - 1e-9


@dataclass(frozen=True, slots=True)
class Given:
    """An advice. is_over: whether the plan in force had come to its end, so that another one was due anyhow."""

    minute: int
    advice: Advice
    is_over: bool

    @property
    def changes(self) -> bool:
        """Whether it put another plan, or another schedule of the same, in place of one that still had time."""
        return not self.is_over and self.advice.decision is not None


@dataclass(slots=True)
class Follower:
    """The service's side of one order."""

    world: World
    snapshot: Snapshot
    life: OrderLife
    watch: Watch
    rules: Rules
    advices: list[Given] = field(default_factory=list)

    def copied(self, rules: Rules) -> Follower:
        return replace(self, rules=rules, advices=[])

    def apply(self, now_ns: int, change: Change) -> None:
        self.life = apply(self.life, Update(self.life.state.sequence + 1, now_ns, change)).life

    def tell(self, minute: int, share_done: float, context: Context, forced: str = "") -> Decision | None:
        """The end of a minute: fills, then the market. The decision of an advice that changes the plan."""
        now_ns = self.world.instant_ns(minute)
        state = self.life.state
        units = min(round(share_done * state.opening.parent_units), state.parent_units) - state.filled_units
        if units > 0:
            self.apply(now_ns, Fill(f"m{minute}", units, float(context.mid_price or 0.0)))
        market = Market(context)
        self.apply(now_ns, market)
        over = self.watch.plan.is_over(now_ns)
        watched = seen(self.watch, self.life.state, market, self.snapshot, now_ns, forced, self.rules)
        self.watch = watched.watch
        if watched.advice is None:
            return None
        self.advices.append(Given(minute, watched.advice, over))
        return watched.advice.decision


def follower_of(world: World, base: Snapshot, context: Context,
                rules: Rules = RULES) -> tuple[Follower, Decision] | None:
    """The order decided, and watched from then on; None where there is no decision for the whole of it."""
    view = world.view()
    snapshot = replace(base, views={world.instrument.instrument_id: view})
    request = world.request(context)
    decision = decide(request, snapshot)
    if not isinstance(decision, Decision) or any("carried over" in warning for warning in decision.warnings):
        return None
    units = round(world.quantity_shares * UNITS_PER_SHARE)
    opening = Opening(
        request.order_id, request.instrument_id, world.side.sign, units, float(context.mid_price or 0.0),
        request.start_ns,
    )  # fmt: skip
    life = opened(opening)
    plan = plan_of(decision, life.state, request.start_ns, deadline_of(view, request.constraints, request.start_ns))
    watch = watch_of(request, request.start_ns, plan, view, rules=rules)
    return Follower(world, snapshot, life, watch, rules), decision


# What the gateway says at a minute beside its bars.
Tells = Callable[[int, Context], Context]


def tells_nothing(minute: int, context: Context) -> Context:
    return context


def tells_condition(paths: MarketPaths, pair: int, warm: int) -> Tells:
    """The condition of the minute that begins."""
    row: Sequence[int] = paths.conditions[pair].tolist()

    def tells(minute: int, context: Context) -> Context:
        return replace(context, condition=CONDITIONS[row[min(warm + minute, len(row) - 1)]])

    return tells


@dataclass(slots=True)
class Followed:
    """One order on one path with the service behind it, somewhere in its life."""

    ground: Ground
    walk: Walk
    tape: Tape
    service: Follower
    tells: Tells = tells_nothing

    def run(self, start: int, stop: int) -> int:
        """From minute `start` until `stop`, or until it is filled or its plan is over; the minute reached."""
        walk, service = self.walk, self.service
        parent = service.world.quantity_shares
        minute = start
        while minute < stop:
            policy = walk.policy
            assert policy is not None
            if minute >= policy.end or (walk.done >= FILLED and not policy.waits_for_auction):
                break
            walk.until(minute, minute + 1)
            self.tape.traded(minute, walk.moved)
            minute += 1
            if minute >= self.ground.minutes:
                break
            self.look(minute, parent)
        return minute

    def look(self, minute: int, parent: float, forced: str = "") -> None:
        """The service's look at the end of a minute."""
        context = self.tells(minute, self.tape.context())
        decision = self.service.tell(minute, self.walk.done, context, forced)
        if decision is not None:
            self.walk.take(policy_of(decision, parent, minute, self.ground))


def changed(given: Sequence[Given]) -> int:
    """How often a plan was changed."""
    return sum(one.changes for one in given)
