"""What playing out promised, and what came of it: every look of training orders, with both of its ends.

    python -m benchmarks.adapt.promises [--orders N] [--pairs N] [--first INDEX] [--constant] [--jobs N] [--out FILE]

An order is followed from bars as it is judged. At each look the path goes on twice from there: by the plan in force to
its end, and by the best that was played out to its end, whatever was advised. One path says little of one look; of all
looks of many orders it says what a switch after each trigger is worth, and how much of what was promised. Training
seeds only (worlds.Use.TUNE, TUNE_CONSTANT). docs/adr/0036 has the figures; `--out` keeps the looks for more questions.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.adapt.estimate import (
    DARK,
    DRIFT,
    HELD,
    MART,
    PASSIVE,
    SIGMA,
    SPREAD,
    TIME,
    Array,
    remainder_rows,
    utility_of,
)
from benchmarks.adapt.follow import FILLED, Followed
from benchmarks.adapt.judge import Scene, accepted, scene_of
from benchmarks.adapt.walk import Walk, policy_of
from benchmarks.adapt.worlds import FULL, Use
from benchmarks.judge.statistics import Bootstrap
from engine.order_life.readvise import Gain
from engine.order_life.rules import RULES, Playing, Rules
from engine.order_life.updates import Market
from engine.order_life.watch import Watch, seen
from engine.simulator.execute import UNFILLED
from engine.simulator.orders import SimulatedOrder
from training.workers import open_workers


def always(playing: Playing) -> Rules:
    """Whatever the best is, it is advised: to see what it would have come to."""
    switching = replace(RULES.switching, tolerance_bps=-1e9, tolerance_fraction=-1e9, playing=playing)
    return replace(RULES, switching=switching)


# Of the utility, and ten times as many bps.
LEAST_FRACTIONS: Final = (0.0, 0.02, 0.05, 0.1, 0.3)
VARIANTS: Final = {
    "as before": Playing(confirming_pairs=0, knows_day=False, keeps_late=False),
    "confirmed": Playing(knows_day=False),
    "in use": Playing(),
}


@dataclass(frozen=True, slots=True)
class Tried:
    """The best by one way of playing out, and where it ended (from the change on). promised: bps of what was left."""

    promised: Gain
    plan: str
    end: Array
    unfilled: float


@dataclass(frozen=True, slots=True)
class Looked:
    """A look, and how the order ended from there by the plan in force: its row from the change on. left: share of the
    order."""

    minute: int
    trigger: str
    rationale: str
    plan: str
    left: float
    is_over: bool
    changes: bool
    kept: Array
    unfilled: float
    condition: int
    path: int
    tried: dict[str, Tried]


@dataclass(frozen=True, slots=True)
class Case:
    """An order with its looks. alone, adaptive: (paths, COLUMNS) from the change on."""

    index: int
    after: str
    order: SimulatedOrder
    alone: Array
    adaptive: Array
    looks: list[Looked]


def case_of(index: int, pairs: int, use: Use, rules: Rules = RULES) -> Case | None:
    """None for an order that is over before its change on most paths: a few say nothing of its risk."""
    world, _ = accepted(use, index, FULL)
    scene = scene_of(world, pairs)
    assert scene is not None
    change = 0 if world.steer.following is None else world.change_minute
    alone: list[Array] = []
    adaptive: list[Array] = []
    looks: list[Looked] = []
    for path in range(2 * pairs):
        begun = scene.begun(path // 2, 1.0 - 2.0 * (path % 2), rules)
        if begun is None or begun.run(0, change) < change:
            continue
        walk = begun.walk
        if walk.policy is None or walk.policy.end <= change:
            continue
        before = walk.state.copy()
        alone.append(remainder_rows(ended(walk.copied(), change), before, change))
        looks += looks_of(scene, begun, change, before, path)
        adaptive.append(remainder_rows(walk.end(), before, change))
    if len(alone) < pairs:
        return None
    return Case(index, world.after.name, scene.ground.order, np.array(alone), np.array(adaptive), looks)


def ended(walk: Walk, minute: int) -> Array:
    """(RESULTS,) of the plan in force kept to its end."""
    assert walk.policy is not None
    walk.until(minute, walk.policy.end)
    return walk.end()


def looks_of(scene: Scene, begun: Followed, change: int, before: Array, path: int) -> list[Looked]:
    """From the change to the order's end."""
    found: list[Looked] = []
    walk, service, parent, minute = begun.walk, begun.service, scene.world.quantity_shares, change
    while walk.policy is not None and minute < min(walk.policy.end, scene.ground.minutes - 1):
        if walk.done >= FILLED and not walk.policy.waits_for_auction:
            break
        walk.until(minute, minute + 1)
        begun.tape.traded(minute, walk.moved)
        minute += 1
        held, watch, said = walk.copied(), service.watch, len(service.advices)
        begun.look(minute, parent)
        if len(service.advices) > said:
            one = forked(scene, begun, held, watch, minute, change, before, path)
            found += [] if one is None else [one]
    return found


def forked(scene: Scene, begun: Followed, held: Walk, watch: Watch, minute: int, change: int, before: Array,
           path: int) -> Looked | None:
    """None where there was nothing to weigh."""
    service, given = begun.service, begun.service.advices[-1]
    state, now_ns = service.life.state, scene.world.instant_ns(minute)
    market = Market(begun.tells(minute, begun.tape.context()))
    found = {}
    for name, playing in VARIANTS.items():
        best = seen(watch, state, market, service.snapshot, now_ns, "", always(playing)).advice
        if best is None or best.decision is None or best.weighed is None:
            return None
        taken = held.copied()
        taken.take(policy_of(best.decision, scene.world.quantity_shares, minute, scene.ground))
        end = ended(taken, minute)
        found[name] = Tried(
            best.weighed, best.decision.chosen.algorithm, remainder_rows(end, before, change), float(end[UNFILLED])
        )
    kept = ended(held, minute)
    condition = int(scene.paths.conditions[path // 2, scene.world.warm + minute])
    return Looked(
        minute - change, given.advice.trigger.name, given.advice.rationale, watch.plan.algorithm,
        1.0 - state.filled_units / state.parent_units, given.is_over, given.changes,
        remainder_rows(kept, before, change), float(kept[UNFILLED]), condition, path, found,
    )  # fmt: skip


# ---- what each look was worth


def worth_of(case: Case, looks: Sequence[Looked], name: str) -> Array:
    """(looks, 3) bps of the whole order that the best saved against the plan in force: cost without drift, drift, and
    risk, this one by what the look's path adds to the order's variance."""
    order = case.order
    own = case.alone[:, SIGMA] + case.alone[:, SPREAD] * (order.spread_bps / order.sigma_bps) + case.alone[:, DRIFT]
    middle = own.mean()
    rest = own - middle
    variance = case.alone[:, HELD].mean() + (rest**2).mean() + 2.0 * (rest * case.alone[:, MART]).mean()
    slope = 0.5 * order.risk_aversion * order.sigma_bps / np.sqrt(max(variance, 1e-12))
    found = np.zeros((len(looks), 3))
    for row, look in enumerate(looks):
        ends = []
        for side in (look.kept, look.tried[name].end):
            own_part = side[SIGMA] + side[SPREAD] * (order.spread_bps / order.sigma_bps) + side[DRIFT] - middle
            crossed = -side[DARK] - side[PASSIVE]
            fees = side[DARK] * order.dark_fee_bps + side[PASSIVE] * order.maker_fee_bps
            fees += crossed * order.taker_fee_bps
            waiting = (order.alpha_bps_per_day + order.time_price_bps_per_day) / order.session_minutes * side[TIME]
            cost = order.sigma_bps * side[SIGMA] + order.spread_bps * side[SPREAD] + fees + waiting
            varied = side[HELD] + own_part**2 + 2.0 * own_part * side[MART]
            ends.append((cost, order.sigma_bps * side[DRIFT], slope * varied))
        found[row] = np.subtract(ends[0], ends[1])
    return found


def at_stake(case: Case) -> float:
    kept = utility_of(case.order, case.alone)
    return kept.total - kept.spread_and_fees


Chosen = Callable[[Looked, Tried], bool]


def summary(cases: Sequence[Case], name: str, chosen: Chosen) -> tuple[float, float, float, float, float]:
    """Of the looks chosen: looks a path; promised and saved, each over what was at stake, and the interval of that."""
    stake = np.array([at_stake(case) for case in cases])
    promised, saved, count = np.zeros(len(cases)), np.zeros(len(cases)), 0.0
    for n, case in enumerate(cases):
        looks = [look for look in case.looks if chosen(look, look.tried[name])]
        count += len(looks) / len(case.alone) / len(cases)
        promised[n] = sum(look.tried[name].promised.net_bps * look.left for look in looks) / len(case.alone)
        saved[n] = worth_of(case, looks, name).sum() / len(case.alone)
    estimate = Bootstrap.of(len(cases), FULL.bootstraps, FULL.bootstrap_seed).ratio(saved, stake)
    return count, float(promised.sum() / stake.sum()), estimate.value, estimate.lower, estimate.upper


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--constant", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    use = Use.TUNE_CONSTANT if given.constant else Use.TUNE
    judge = partial(case_of, pairs=given.pairs, use=use)
    with open_workers(given.jobs) as workers:
        rows = dict(workers.run(judge, list(range(given.first, given.first + given.orders))))
    cases = [case for _, case in sorted(rows.items()) if case is not None]
    if given.out:
        given.out.write_bytes(pickle.dumps(cases))
    for name in VARIANTS:
        table(cases, name)
    return 0


def table(cases: Sequence[Case], name: str) -> None:
    """What one way of playing out promised and saved, by the first trigger named and by how much it was ahead."""
    print(f"{name:36} {'a path':>7} {'promised':>9} {'saved':>8}")
    for trigger in ("", *sorted({look.trigger for case in cases for look in case.looks})):
        for least in LEAST_FRACTIONS:
            count, promised, saved, lower, upper = summary(cases, name, ahead_by(trigger, least))
            words = f"{trigger or 'all'}, ahead by more than {least:.0%}"
            print(f"{words:36} {count:7.3f} {promised:9.4f} {saved:8.4f} [{lower:.4f}, {upper:.4f}]")


def ahead_by(trigger: str, least: float) -> Chosen:
    """Looks after a trigger whose name begins so, at which the best was ahead by this part of the utility and one
    standard error."""

    def chosen(look: Looked, tried: Tried) -> bool:
        found = tried.promised.tried
        if look.is_over or not tried.promised.stays or found is None or found.keep_bps is None:
            return False
        margin = max(10.0 * least, least * abs(found.keep_bps)) + found.error_bps
        return look.trigger.startswith(trigger) and tried.promised.net_bps > margin

    return chosen


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
