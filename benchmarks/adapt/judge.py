"""One order's verdict: left alone, followed by the service, and by a clairvoyant, on the same paths."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

import numpy as np

from benchmarks.adapt.estimate import COLUMNS, LEFT, Array, picked_and_valued, remainder_rows, utility_of
from benchmarks.adapt.follow import (
    FILLED,
    Followed,
    Tells,
    changed,
    follower_of,
    tells_condition,
)
from benchmarks.adapt.gateway import Tape
from benchmarks.adapt.walk import Ground, Policy, Walk, ground_of, policy_for, policy_of
from benchmarks.adapt.worlds import Rules as WorldRules
from benchmarks.adapt.worlds import Use, World, base_order, draw_world, paths_of
from benchmarks.judge.service import load_service
from engine import kernel as k
from engine.catalogue import CandidateSet, candidate_set
from engine.decide import consider
from engine.decision import Refusal
from engine.order_life.plan import remainder_of
from engine.order_life.readvise import fitting_part
from engine.order_life.rules import RULES, Rules
from engine.priced import Priced
from engine.request import OrderRequest
from engine.simulator.execute import RESULTS, run_rest
from engine.simulator.market import MarketPaths
from engine.simulator.orders import SimulatedOrder
from engine.simulator.world import DEFAULT_WORLD
from engine.snapshot import Snapshot

Row = dict[str, Any]
MOST_ATTEMPTS: Final = 2_000
MOST_FIXED: Final = 8


@dataclass(frozen=True, slots=True)
class Scene:
    """An order and its paths."""

    world: World
    base: Snapshot
    ground: Ground
    paths: MarketPaths

    def begun(self, pair: int, mirror: float, rules: Rules) -> Followed | None:
        """The order decided on one path; None where not all of it could be planned."""
        tape = Tape(self.world, self.paths, pair, mirror)
        begun = follower_of(self.world, self.base, tape.context(), rules)
        if begun is None:
            return None
        service, decision = begun
        walk = Walk(self.ground, self.paths, pair, mirror, self.world.warm)
        walk.take(policy_of(decision, self.world.quantity_shares, 0, self.ground))
        return Followed(self.ground, walk, tape, service)


def scene_of(world: World, pairs: int) -> Scene | None:
    """None for an order that cannot be planned, or whose change would come after the last minute it may trade in."""
    base = load_service().served
    order = base_order(world, base)
    if order is None or (world.steer.following is not None and world.steer.change >= order.minutes):
        return None
    return Scene(world, base, ground_of(order, DEFAULT_WORLD, world.warm), paths_of(world, order, pairs))


def is_live(scene: Scene, rules: WorldRules) -> bool:
    """Whether the order can be decided, and lives to see its change if there is one: on the first path, followed as it
    was first decided."""
    begun = scene.begun(0, 1.0, RULES)
    if begun is None or scene.world.steer.following is None:
        return begun is not None
    change, walk = scene.world.change_minute, begun.walk
    assert walk.policy is not None
    if walk.policy.end < change + rules.least_after_minutes:
        return False
    walk.until(0, change)
    return walk.done <= 1.0 - rules.least_left_share


class UndecidedError(Exception):
    """On most paths not all of the order could be planned."""


def accepted(use: Use, index: int, rules: WorldRules, start: int = 0) -> tuple[World, int]:
    """The first attempt from `start` on that is live at its change, and how many there were with those before it."""
    for attempt in range(start, MOST_ATTEMPTS):
        world = draw_world(use, index, attempt, rules)
        scene = scene_of(world, 1)
        if scene is not None and is_live(scene, rules):
            return world, attempt + 1
    raise RuntimeError(f"no order of {MOST_ATTEMPTS} lives to see its change")


@dataclass(slots=True)
class Outcomes:
    """Rows of every path so far, by who traded."""

    alone: list[Array] = field(default_factory=list)
    adaptive: list[Array] = field(default_factory=list)
    told: list[Array] = field(default_factory=list)
    fixed: list[Array] = field(default_factory=list)
    whole_alone: list[Array] = field(default_factory=list)
    whole_adaptive: list[Array] = field(default_factory=list)
    pairs: list[int] = field(default_factory=list)
    switches_before: int = 0
    switches_after: int = 0
    looks: int = 0
    told_switches: int = 0
    triggers: Counter[str] = field(default_factory=Counter)
    delays: list[int] = field(default_factory=list)


def judge_path(scene: Scene, pair: int, mirror: float, rules: Rules, found: Outcomes,
               fixed: list[Policy] | None) -> None:
    """One path, added to what was found; nothing for one on which not all of the order could be planned. `fixed`: the
    clairvoyant's fixed candidates, None without a clairvoyant."""
    begun = scene.begun(pair, mirror, rules)
    if begun is None:
        return
    ground, change = scene.ground, scene.world.change_minute
    initial = begun.walk.copied()
    assert initial.policy is not None
    zero = np.zeros(len(initial.state))
    initial.until(0, initial.policy.end)
    found.whole_alone.append(remainder_rows(initial.end(), zero, 0))
    found.pairs.append(pair)
    reached = begun.run(0, change)
    found.switches_before += changed(begun.service.advices)
    walk = begun.walk
    policy = walk.policy
    assert policy is not None
    if reached < change or policy.end <= change:  # it was over before the change: nothing is left to gain or to lose
        ended = np.zeros(COLUMNS)
        found.alone.append(ended)
        found.adaptive.append(ended)
        found.told.append(ended)
        found.fixed.append(np.zeros((len(fixed or ()), COLUMNS)))
        found.whole_adaptive.append(remainder_rows(walk.end(), zero, 0))
        return
    before = walk.state.copy()
    alone = walk.copied()
    alone.until(change, policy.end)
    found.alone.append(remainder_rows(alone.end(), before, change))
    if fixed is not None:
        condition = tells_condition(scene.paths, pair, scene.world.warm)
        told = run_told(begun, change, rules, condition)
        found.told_switches += changed(told.service.advices)
        found.told.append(remainder_rows(told.walk.end(), before, change))
        found.fixed.append(remainder_rows(run_fixed(scene, pair, mirror, before, change, fixed), before, change))
    said = len(begun.service.advices)
    begun.run(change, ground.minutes)
    results = walk.end()
    found.adaptive.append(remainder_rows(results, before, change))
    found.whole_adaptive.append(remainder_rows(results, zero, 0))
    after = begun.service.advices[said:]
    found.switches_after += changed(after)
    found.looks += len(after)
    found.triggers.update(one.advice.trigger.name for one in after if one.changes)
    switched = [one.minute - change for one in after if one.changes]
    if switched:
        found.delays.append(switched[0])


def run_told(begun: Followed, change: int, rules: Rules, tells: Tells) -> Followed:
    """The same order from the change on, the gateway telling more than bars, run to its end."""
    told = Followed(begun.ground, begun.walk.copied(), begun.tape.copied(), begun.service.copied(rules), tells)
    told.look(change, begun.service.world.quantity_shares, "the condition is told")
    told.run(change, begun.ground.minutes)
    return told


# ---- the clairvoyant's fixed choices


def fixed_candidates(scene: Scene, rules: Rules) -> list[int]:
    """Of what is served, for the remainder at the change, as the models say where its condition is known (on the first
    path that lives to see it): the best few, and the best of each algorithm, since the models may be wrong about one.
    Only what the service could choose: limits count for both. Where not all that is left fits, the candidates are
    those for the part that does. Few: from many, a hundred pairs pick what was lucky."""
    for pair in range(scene.paths.pairs):
        begun = scene.begun(pair, 1.0, rules)
        if begun is None:
            continue
        change = scene.world.change_minute
        if begun.run(0, change) < change or begun.walk.done >= FILLED:
            continue
        service = begun.service
        view = service.snapshot.views[scene.world.instrument.instrument_id]
        context = replace(begun.tape.context(), condition=scene.world.after, bars=())
        remainder = remainder_of(
            service.watch.request, service.life.state, view, context, service.watch.plan.deadline_ns,
            scene.world.instant_ns(change), 1,
        )  # fmt: skip
        return [] if remainder is None else possible_for(remainder, service.snapshot)
    return []


def possible_for(remainder: OrderRequest, snapshot: Snapshot) -> list[int]:
    """Candidates for a remainder, or for as much of it as fits: what the service plans where not all does."""
    considered = consider(remainder, snapshot)
    if isinstance(considered.decision, Refusal) and considered.resolved is not None:
        smaller = fitting_part(remainder, considered.resolved)
        if smaller is not None:
            considered = consider(smaller, snapshot)
    return [] if considered.priced is None else best_of_each(considered.priced)


def best_of_each(priced: Priced) -> list[int]:
    """The MOST_FIXED best that are allowed, then the best of each algorithm by the surfaces."""
    allowed = np.flatnonzero(priced.mask == 0)
    best_first = allowed[np.argsort(priced.metrics[allowed, k.UTILITY], kind="stable")]
    found = [int(n) for n in best_first[:MOST_FIXED]]
    possible = np.flatnonzero(priced.mask & ~k.MASK_LEFT_OUT == 0)
    utilities = priced.metrics[possible, k.STRUCTURAL_UTILITY]
    for algorithm in np.unique(priced.algorithm[possible]):
        own = priced.algorithm[possible] == algorithm
        best = int(possible[own][np.argmin(utilities[own])])
        if best not in found:
            found.append(best)
    return found


def run_fixed(scene: Scene, pair: int, mirror: float, before: Array, change: int, policies: list[Policy]) -> Array:
    """(candidates, RESULTS) of each candidate for all that is left, from the change to its end."""
    ground = scene.ground
    results = np.zeros((len(policies), RESULTS))
    path, auction = scene.paths.fields[pair, scene.world.warm :], float(scene.paths.auction_volume[pair])
    for position, policy in enumerate(policies):
        run_rest(
            path, auction, change, policy.numbers, policy.planned, ground.cleaner, ground.order.expected_volume,
            ground.constants, ground.weights, ground.keep, ground.mean, ground.powers, mirror, before,
            results[position],
        )  # fmt: skip
    return results


@cache
def served() -> CandidateSet:
    return candidate_set()


def fixed_policy(index: int, change: int, ground: Ground) -> Policy:
    """A served candidate for all that is left at the change: all paths of an order share it."""
    candidate = served().candidates[index]
    return policy_for(candidate, float(candidate.parameters.get("duration_minutes", 0.0)), 1.0, change, ground)


# ---- the verdict


def verdict(world: World, pairs: int, rules: Rules = RULES, ceiling: bool = True) -> Row:
    """Utilities of one order, bps of the whole order, from the change on; without a clairvoyant where no `ceiling` is
    asked for. Raises UndecidedError."""
    scene = scene_of(world, pairs)
    assert scene is not None
    fixed = None
    if ceiling:
        fixed = [fixed_policy(n, world.change_minute, scene.ground) for n in fixed_candidates(scene, rules)]
    found = Outcomes()
    for pair in range(pairs):
        for mirror in (1.0, -1.0):
            judge_path(scene, pair, mirror, rules, found, fixed)
    if len(found.pairs) < pairs:
        raise UndecidedError(f"order {world.index}, attempt {world.attempt}")
    order = scene.ground.order
    alone, adaptive = (np.array(rows) for rows in (found.alone, found.adaptive))
    left_alone, followed = utility_of(order, alone), utility_of(order, adaptive)
    whole_alone, whole = (utility_of(order, np.array(r)) for r in (found.whole_alone, found.whole_adaptive))
    paths = len(found.pairs)
    return {
        "index": world.index, "before": world.before.name, "after": world.after.name, "paths": paths,
        "objective": world.objective.name, "urgency": world.urgency.name, "change_minute": world.change_minute,
        "left": float(alone[:, LEFT].mean()), "alone": left_alone.total, "adaptive": followed.total,
        "alone_spread_and_fees": left_alone.spread_and_fees, "adaptive_spread_and_fees": followed.spread_and_fees,
        "whole_alone": whole_alone.total, "whole_adaptive": whole.total,
        "whole_alone_spread_and_fees": whole_alone.spread_and_fees,
        "switches_before": found.switches_before / paths, "switches_after": found.switches_after / paths,
        "told_switches": found.told_switches / paths, "looks": found.looks / paths,
        "triggers": dict(found.triggers), "delay": float(np.mean(found.delays)) if found.delays else None,
        **(clairvoyant_row(order, alone, found) if ceiling else {})
    }  # fmt: skip


def clairvoyant_row(order: SimulatedOrder, alone: Array, found: Outcomes) -> Row:
    """The best, picked on one half of the pairs and valued on the other, of: the plan left alone, what the service did
    from bars, the service told of every condition, and the fixed candidates. So it
    is never less able than the service, but for what picking on half of the paths costs."""
    told: Array = np.array(found.told)
    fixed: Array = np.array(found.fixed)
    halves = np.array(found.pairs) % 2 == 0
    choices = [
        alone, np.array(found.adaptive), told, *(fixed[:, n] for n in range(fixed.shape[1]))
    ]  # fmt: skip
    return {
        "told": utility_of(order, told).total,
        "clairvoyant": picked_and_valued(order, choices, halves),
        "candidates": fixed.shape[1], "best_choice": best_choice(order, choices),
    }  # fmt: skip


NAMED_CHOICES: Final = ("alone", "adaptive", "told")


def best_choice(order: SimulatedOrder, choices: list[Array]) -> str:
    """Which of the clairvoyant's choices is the best on all paths; fixed candidates by their place."""
    best = min(range(len(choices)), key=lambda n: utility_of(order, choices[n]).total)
    return NAMED_CHOICES[best] if best < len(NAMED_CHOICES) else f"fixed {best - len(NAMED_CHOICES)}"


def constant_verdict(world: World, pairs: int, rules: Rules = RULES) -> Row:
    """An order in a world where nothing changes: how often its plan was changed, and what that cost. Raises
    UndecidedError."""
    scene = scene_of(world, pairs)
    assert scene is not None
    switches, paths, looks, renewed = 0, 0, 0, 0
    triggers: Counter[str] = Counter()
    alone, adaptive = [], []
    for pair in range(pairs):
        for mirror in (1.0, -1.0):
            begun = scene.begun(pair, mirror, rules)
            if begun is None:
                continue
            paths += 1
            initial = begun.walk.copied()
            assert initial.policy is not None
            zero = np.zeros(len(initial.state))
            initial.until(0, initial.policy.end)
            alone.append(remainder_rows(initial.end(), zero, 0))
            begun.run(0, scene.ground.minutes)
            adaptive.append(remainder_rows(begun.walk.end(), zero, 0))
            advices = begun.service.advices
            switches += changed(advices)
            looks += len(advices)
            triggers.update(f"{g.advice.action.name} {g.advice.trigger.name}" for g in advices if g.changes)
            renewed += sum(given.is_over for given in advices)
    if not paths:
        raise UndecidedError(f"order {world.index}, attempt {world.attempt}")
    order = scene.ground.order
    return {
        "index": world.index, "condition": world.before.name, "paths": paths, "switches": switches / paths,
        "looks": looks / paths, "renewed": renewed / paths, "triggers": dict(triggers),
        "alone": utility_of(order, np.array(alone)).total, "adaptive": utility_of(order, np.array(adaptive)).total,
    }  # fmt: skip
