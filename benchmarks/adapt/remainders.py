"""What one decision about a remainder is worth: on training orders, at the change, its condition told.

    python -m benchmarks.adapt.remainders [--orders N] [--pairs N] [--first INDEX]

One state an order (of its first path), one choice there, each candidate kept to its end on the same paths: the plan in
force, what the models would take at their margin, what playing out takes at its margin, and the best in hindsight,
picked on one half of the paths and valued on the other. Nothing is followed: this tells choosing from seeing. Training
seeds only (worlds.Use.TUNE); nothing is written. docs/adr/0033 has the figures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.adapt.estimate import COLUMNS, Array, picked_and_valued, remainder_rows, utility_of
from benchmarks.adapt.follow import FILLED, Followed
from benchmarks.adapt.judge import Scene, accepted, fixed_policy, run_fixed, scene_of
from benchmarks.adapt.walk import Walk
from benchmarks.adapt.worlds import FULL, Use
from benchmarks.judge.statistics import Bootstrap
from engine import kernel as k
from engine.decide import Considered, consider
from engine.order_life.plan import remainder_of
from engine.order_life.readvise import Stay, stay_of
from engine.order_life.rollout import played
from engine.order_life.rules import RULES
from engine.order_life.updates import Fill

CHOICES = ("models", "models, no margin", "played", "played, no margin", "hindsight")


@dataclass(frozen=True, slots=True)
class Told:
    """An order's change: what was saved by each of CHOICES, and what was at stake. bps."""

    saved: tuple[float, ...]
    at_stake: float


def at_change(scene: Scene) -> Followed | None:
    """The first path's order at the change, as it was first decided; None where nothing is left."""
    begun = scene.begun(0, 1.0, RULES)
    if begun is None:
        return None
    change, walk = scene.world.change_minute, begun.walk
    for minute in range(change):
        walk.until(minute, minute + 1)
        begun.tape.traded(minute, walk.moved)
    units = round(walk.done * begun.service.life.state.opening.parent_units)
    if units > 0:
        mid = float(begun.tape.context().mid_price or 0.0)
        begun.service.apply(scene.world.instant_ns(change), Fill("all", units, mid))
    return begun if walk.done < FILLED else None


def considered_at(scene: Scene, begun: Followed) -> Considered | None:
    service, now_ns = begun.service, scene.world.instant_ns(scene.world.change_minute)
    view = service.snapshot.views[scene.world.instrument.instrument_id]
    context = replace(begun.tape.context(), condition=scene.world.after, bars=())
    rest = remainder_of(
        service.watch.request, service.life.state, view, context, service.watch.plan.deadline_ns, now_ns, 1
    )
    found = None if rest is None else consider(rest, service.snapshot)
    return None if found is None or found.priced is None or found.priced.best < 0 else found


def judged(index: int, pairs: int) -> Told | None:
    """None for an order without a choice."""
    world, _ = accepted(Use.TUNE, index, FULL)
    scene = scene_of(world, pairs)
    begun = None if scene is None else at_change(scene)
    considered = None if scene is None or begun is None else considered_at(scene, begun)
    if scene is None or begun is None or considered is None:
        return None
    priced, resolved, service = considered.priced, considered.resolved, begun.service
    assert priced is not None
    assert resolved is not None
    now_ns, plan = world.instant_ns(world.change_minute), service.watch.plan
    stay = stay_of(plan, service.snapshot.catalogue, priced, now_ns, k.MASK_LEFT_OUT | k.MASK_PARTICIPATION)
    tried = played(priced, resolved, plan, service.life.state, service.snapshot, now_ns, False)
    if stay is None or tried is None or tried.keep_bps is None:
        return None
    candidates = [int(n) for n in np.flatnonzero(priced.mask & ~k.MASK_LEFT_OUT == 0)]
    alone, rows = all_rows(scene, begun, candidates)
    order = scene.ground.order
    kept = utility_of(order, alone)
    values = {n: utility_of(order, rows[:, position]).total for position, n in enumerate(candidates)}
    switching, gain = RULES.switching, models_gain(stay, priced.metrics[priced.best])
    least = max(switching.tolerance_bps, switching.tolerance_fraction * abs(stay.structural_bps))
    own = max(switching.tolerance_bps, switching.tolerance_fraction * abs(tried.keep_bps))
    own += switching.tolerance_errors * tried.error_bps
    models, ours = kept.total - values[priced.best], kept.total - values[tried.best]
    ahead = tried.keep_bps - tried.best_bps
    halves = np.repeat(np.arange(pairs) % 2 == 0, 2)
    best = picked_and_valued(order, [alone, *(rows[:, n] for n in range(len(candidates)))], halves)
    saved = (
        models if gain > least else 0.0, models if gain > 0.0 else 0.0, ours if ahead > own else 0.0,
        ours if ahead > 0.0 else 0.0, kept.total - best,
    )  # fmt: skip
    return Told(saved, kept.total - kept.spread_and_fees)


def models_gain(stay: Stay, best: Array) -> float:
    if np.isfinite(stay.utility_bps):
        return stay.utility_bps - float(best[k.UTILITY])
    return stay.structural_bps - float(best[k.STRUCTURAL_UTILITY])


def all_rows(scene: Scene, begun: Followed, candidates: Sequence[int]) -> tuple[Array, Array]:
    """(paths, COLUMNS) of the plan left alone, (paths, candidates, COLUMNS) of each candidate, from the change on."""
    change, pairs, first = scene.world.change_minute, scene.paths.pairs, begun.walk.policy
    assert first is not None
    policies = [fixed_policy(n, change, scene.ground) for n in candidates]
    alone, rows = np.zeros((2 * pairs, COLUMNS)), np.zeros((2 * pairs, len(candidates), COLUMNS))
    for path in range(2 * pairs):
        pair, mirror = path // 2, 1.0 - 2.0 * (path % 2)
        walk = Walk(scene.ground, scene.paths, pair, mirror, scene.world.warm)
        walk.take(first)
        walk.until(0, change)
        before = walk.state.copy()
        walk.until(change, first.end)
        alone[path] = remainder_rows(walk.end(), before, change)
        rows[path] = remainder_rows(run_fixed(scene, pair, mirror, before, change, policies), before, change)
    return alone, rows


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=150)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args(arguments)
    found = [judged(index, given.pairs) for index in range(given.first, given.first + given.orders)]
    told = [one for one in found if one is not None]
    at_stake = np.array([one.at_stake for one in told])
    draws = Bootstrap.of(len(told), FULL.bootstraps, FULL.bootstrap_seed)
    print(f"{len(told)} orders with a choice, of {given.orders}; {2 * given.pairs} paths each")
    for position, name in enumerate(CHOICES):
        saved = np.array([one.saved[position] for one in told])
        gain = draws.ratio(saved, at_stake)
        print(f"{name:20} {gain.value:7.4f} [{gain.lower:.4f}, {gain.upper:.4f}]  moved {np.mean(saved != 0.0):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
