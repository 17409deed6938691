"""What learning from reported outcomes gains, and what it costs where there is nothing to learn.

    python -m benchmarks.adapt.learning [--short] [--seed N]

Three named worlds (impact x2; one algorithm 5 bps worse than learned; dark leakage x2) and one where nothing differs.
Each repetition draws orders and simulated paths from the tables of learning_worlds.py; the learner sees of each order
what ReportOutcome and the selection's record carry, is fitted anew every FIT_EVERY outcomes as the service does, and
chooses with what it knows. Regret is judged on other orders: utility of the choice less that of the best candidate
(picked on one half of the paths, valued on the other), in the world as it is. `regret_recovered` = 1 - regret after
OUTCOMES outcomes / regret before, a mean over repetitions; `regret_as_learned_bps` beside it is the regret of the same
choices where nothing differs, which no correction of differences can remove.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.adapt.learning_worlds import Order, orders, without_paths
from engine.catalogue import ALGORITHM_NAMES
from engine.learning.corrections import MOST_CORRECTION_BPS, Exploration, Learned, no_corrections
from engine.learning.effects import (
    ALGORITHMS,
    DARK,
    EFFECTS,
    FALSE_ALARM_RATE,
    GLOBALS,
    IMPACT,
    SHIFT,
    cell_of,
)
from engine.learning.exploration import explored
from engine.learning.fit import corrections_of
from engine.learning.outcomes import Outcome
from engine.performance import interval_of

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

OUTCOMES: Final = 2_000
FIT_EVERY: Final = 200
# interval_of cuts at what a cost may be, from -1 to 1: shares are brought well within.
SHARES: Final = 1e3
WORSE_BPS: Final = 5.0
# Algorithms that are worth making worse: chosen for at least this share of the orders.
LEAST_CHOSEN: Final = 0.05
EXPLORATION: Final = Exploration(budget_bps=0.05, regret_cap_bps=1.0)
NAMED: Final = ("impact x2", "one algorithm 5 bps worse", "dark leakage x2")
AS_LEARNED: Final = "as learned"
# Out of distribution along axes that no request shows: does the alarm fire, and after how many outcomes?
UNSEEN: Final = ("impact x0.5", "impact x2", "dark liquidity x0.5", "dark liquidity x2", "dark leakage x2")


ALARM_KEYS: Final = (
    "alarm_rate", "median_outcomes_until_alarm", "regret_before_bps", "regret_after_bps", "repetitions",
)


@dataclass(frozen=True, slots=True)
class Size:
    orders: int
    pairs: int
    seeds: int
    null_worlds: int
    unseen: int


FULL: Final = Size(orders=1_600, pairs=128, seeds=50, null_worlds=200, unseen=20)
SHORT: Final = Size(orders=160, pairs=48, seeds=3, null_worlds=8, unseen=2)


@dataclass(frozen=True, slots=True)
class Table:
    """Orders side by side, (orders, most candidates) with nothing in what is left over: utility inf, weight of effects
    0. rows (orders, most, 3): what the global effects multiply."""

    orders: tuple[Order, ...]
    utility: Array
    rows: Array
    algorithm: Indices
    bucket: Indices

    @classmethod
    def of(cls, found: Sequence[Order]) -> Table:
        most = max(len(order.algorithm) for order in found)
        utility = np.full((len(found), most), np.inf)
        rows = np.zeros((len(found), most, GLOBALS))
        algorithm = np.zeros((len(found), most), dtype=np.int64)
        for n, order in enumerate(found):
            count = len(order.algorithm)
            utility[n, :count], algorithm[n, :count] = order.utility_bps, order.algorithm
            rows[n, :count, SHIFT], rows[n, :count, IMPACT] = 1.0, order.impact_bps
            rows[n, :count, DARK] = order.leakage_bps
        buckets = np.array([order.bucket for order in found], dtype=np.int64)
        return cls(tuple(found), utility, rows, algorithm, buckets)

    def corrected(self, values: Array) -> Array:
        """(orders, most) utility with corrections (EFFECTS,), as engine/learning/serving.py adds them."""
        own = values[GLOBALS + self.algorithm] + values[cell_of(0, 0) + self.algorithm * 5 + self.bucket[:, None]]
        added = np.clip(self.rows @ values[:GLOBALS] + own, -MOST_CORRECTION_BPS, MOST_CORRECTION_BPS)
        found: Array = self.utility + added
        return found

    def choices(self, values: Array) -> Indices:
        found: Indices = np.argmin(self.corrected(values), axis=1)
        return found


@dataclass(frozen=True, slots=True)
class Truth:
    """A world: which simulated one, and an algorithm that pays WORSE_BPS more there (-1: none)."""

    simulated: str
    worse: int = -1


def regrets(table: Table, truth: Truth, choices: Indices) -> Array:
    """(orders,) bps."""
    found = np.empty(len(choices))
    for n, (order, choice) in enumerate(zip(table.orders, choices.tolist(), strict=True)):
        real = order.worlds[truth.simulated]
        penalty = WORSE_BPS * (order.algorithm == truth.worse)
        best = int(np.argmin(real.first_bps + penalty))
        value = real.second_bps + penalty
        found[n] = value[choice] - value[best]
    return found


def outcome_of(order: Order, candidate: int, truth: Truth, path: int, number: int, propensity: float) -> Outcome:
    """What the report and the record say of one order on one path."""
    real, algorithm = order.worlds[truth.simulated], int(order.algorithm[candidate])
    worse = WORSE_BPS if algorithm == truth.worse else 0.0
    return Outcome(
        f"{number:09d}", number, algorithm, order.objective, order.condition, order.size_days,
        float(order.predicted_bps[candidate]), float(order.deviation_bps[candidate]),
        float(order.impact_bps[candidate]), float(order.leakage_bps[candidate]),
        float(real.cost_bps[candidate, path]) + worse, float(real.move_bps[candidate, path]), propensity=propensity,
    )


@dataclass(frozen=True, slots=True)
class Learnt:
    """values (EFFECTS,) at the end; first_alarm: outcomes until any alarm, None where there was none."""

    values: Array
    alarms: tuple[str, ...]
    first_alarm: int | None
    tried: int


def learn(table: Table, truth: Truth, seed: tuple[int, ...], exploration: Exploration) -> Learnt:
    rng = np.random.default_rng(seed)
    learned = Learned(no_corrections("", ""), exploration, "")
    told: list[Outcome] = []
    first_alarm: int | None = None
    tried = 0
    while len(told) < OUTCOMES:
        corrected = table.corrected(np.array(learned.corrections.values))
        for n in rng.integers(len(table.orders), size=FIT_EVERY).tolist():
            order = table.orders[n]
            best = int(np.argmin(corrected[n]))
            candidate, propensity = best, 1.0
            if learned.explores:
                candidate, propensity = explore(table, learned, corrected[n], n, best, int(rng.integers(2**62)))
                tried += candidate != best
            path = int(rng.integers(order.worlds[truth.simulated].cost_bps.shape[1]))
            told.append(outcome_of(order, candidate, truth, path, len(told), propensity))
        learned = Learned(corrections_of(told, "", ""), exploration, "")
        if learned.corrections.alarms and first_alarm is None:
            first_alarm = len(told)
    return Learnt(np.array(learned.corrections.values), learned.corrections.alarms, first_alarm, tried)


def explore(table: Table, learned: Learned, corrected: Array, n: int, best: int, seed: int) -> tuple[int, float]:
    """As engine/learning/serving.py: among the best of each algorithm that is nearly as good."""
    near = []
    for algorithm in range(ALGORITHMS):
        own = np.flatnonzero((table.algorithm[n] == algorithm) & np.isfinite(corrected))
        if len(own):
            leader = int(own[np.argmin(corrected[own])])
            if corrected[leader] <= corrected[best] + learned.exploration.regret_cap_bps:
                near.append(leader)
    if len(near) < 2:
        return best, 1.0
    rows = np.zeros((len(near), EFFECTS))
    for out, candidate in zip(rows, near, strict=True):
        out[:GLOBALS] = table.rows[n, candidate]
        algorithm = int(table.algorithm[n, candidate])
        out[GLOBALS + algorithm] = 1.0
        out[cell_of(algorithm, int(table.bucket[n]))] = 1.0
    pick = explored(learned, np.array(near), corrected[near], rows, best, seed)
    return pick.candidate, pick.propensity


def world_figures(name: str, learn_on: Table, judge_on: Table, truths: Sequence[Truth], seed: int,
                  exploration: Exploration) -> dict[str, Any]:
    """One repetition a truth. Where the regret before is not distinguishable from zero there is nothing to recover, and
    the share is taken as 0."""
    nothing = judge_on.choices(np.zeros(EFFECTS))
    first = {truth: interval_of((regrets(judge_on, truth, nothing) / 1e4).tolist()) for truth in dict.fromkeys(truths)}
    after, recovered, alarms, tried = [], [], [], []
    for number, truth in enumerate(truths):
        found = learn(learn_on, truth, (seed, number, len(name)), exploration)
        final = float(regrets(judge_on, truth, judge_on.choices(found.values)).mean())
        before = first[truth]
        after.append(final)
        recovered.append(1.0 - final / (1e4 * before.mean) if before.lower > 0.0 else 0.0)
        alarms.append(found.first_alarm)
        tried.append(found.tried)
    mean = interval_of([value / SHARES for value in recovered])
    fired = sorted(value for value in alarms if value is not None)
    return {
        "regret_recovered": SHARES * mean.mean, "lower": SHARES * mean.lower, "upper": SHARES * mean.upper,
        "regret_before_bps": float(np.mean([1e4 * first[truth].mean for truth in truths])),
        "regret_after_bps": float(np.mean(after)),
        "regret_as_learned_bps": float(regrets(judge_on, Truth(AS_LEARNED), nothing).mean()),
        "nothing_to_recover": all(before.lower <= 0.0 for before in first.values()),
        "alarm_rate": len(fired) / len(alarms),
        "median_outcomes_until_alarm": fired[len(fired) // 2] if len(fired) > len(alarms) / 2 else None,
        "orders_explored": float(np.mean(tried)), "repetitions": len(truths),
    }


def null_figures(learn_on: Table, judge_on: Table, worlds: int, seed: int) -> dict[str, Any]:
    """Worlds where nothing differs: how often a greedy choice changed all the same, and whether an alarm was on at any
    look. A cell is an algorithm chosen for a size of order; it has switched where any of its orders got another one."""
    truth = Truth(AS_LEARNED)
    nothing = judge_on.choices(np.zeros(EFFECTS))
    first = judge_on.algorithm[np.arange(len(nothing)), nothing]
    cells = first * 5 + judge_on.bucket
    every = np.unique(cells)
    switched_cells, switched_orders, switched_worlds, alarms, losses = 0, 0, 0, 0, []
    base = float(regrets(judge_on, truth, nothing).mean())
    for number in range(worlds):
        found = learn(learn_on, truth, (seed, 10_000 + number), Exploration())
        now = judge_on.choices(found.values)
        other = judge_on.algorithm[np.arange(len(now)), now] != first
        switched_cells += len(np.unique(cells[other]))
        switched_orders += int(other.sum())
        switched_worlds += bool(other.any())
        alarms += found.first_alarm is not None
        losses.append(float(regrets(judge_on, truth, now).mean()) - base)
    rate = switched_cells / (worlds * len(every))
    return {
        "false_switch_rate": rate, "cells": len(every), "worlds": worlds,
        "worlds_with_a_switch": switched_worlds / worlds,
        "worlds_with_a_switch_upper": upper_of(switched_worlds, worlds),
        "orders_switched": switched_orders / (worlds * len(first)), "false_alarm_rate": alarms / worlds,
        "false_alarm_upper": upper_of(alarms, worlds), "stated_false_alarm_rate": FALSE_ALARM_RATE,
        "regret_before_bps": base, "regret_added_bps": float(np.mean(losses)),
    }


def upper_of(count: int, total: int) -> float:
    """Upper 95 % bound (Wilson) of a share."""
    z = 1.959964
    share = count / total
    centre = share + z * z / (2 * total)
    reach = z * math.sqrt(share * (1.0 - share) / total + z * z / (4 * total * total))
    return (centre + reach) / (1.0 + z * z / total)


def worse_algorithms(table: Table) -> list[int]:
    """Those that are chosen often enough to matter, most often first."""
    best = table.choices(np.zeros(EFFECTS))
    chosen = np.bincount(table.algorithm[np.arange(len(best)), best], minlength=ALGORITHMS)
    ranked = np.argsort(-chosen, kind="stable").tolist()
    return [n for n in ranked if chosen[n] >= LEAST_CHOSEN * len(best)]


def measure(short: bool, seed: int) -> dict[str, Any]:
    """All figures of section "learning"."""
    size = SHORT if short else FULL
    begun = time.process_time()
    found = orders(size.orders, size.pairs, seed)
    learn_on, judge_on = Table.of(found[0::2]), Table.of([without_paths(order) for order in found[1::2]])
    del found
    worse = worse_algorithms(learn_on)
    truths = {
        NAMED[0]: [Truth("impact x2")] * size.seeds,
        NAMED[1]: [Truth(AS_LEARNED, worse[n % len(worse)]) for n in range(size.seeds)],
        NAMED[2]: [Truth("dark leakage x2")] * size.seeds,
    }
    greedy = {name: world_figures(name, learn_on, judge_on, each, seed, Exploration()) for name, each in truths.items()}
    tried = {name: world_figures(name, learn_on, judge_on, each, seed, EXPLORATION) for name, each in truths.items()}
    unseen = {
        name: world_figures(name, learn_on, judge_on, [Truth(name)] * size.unseen, seed + 1, Exploration())
        for name in UNSEEN
    }
    null = null_figures(learn_on, judge_on, size.null_worlds, seed)
    return {
        "regret_recovered": float(np.mean([row["regret_recovered"] for row in greedy.values()])),
        "regret_recovered_lower": mean_bound(greedy, "lower", -1.0),
        "regret_recovered_upper": mean_bound(greedy, "upper", 1.0),
        "false_switch_rate": null["false_switch_rate"],
        "worlds": greedy, "worlds_with_exploration": tried, "nothing_differs": null,
        "unseen_axes": {name: {key: row[key] for key in ALARM_KEYS} for name, row in unseen.items()},
        "outcomes": OUTCOMES, "orders": size.orders, "pairs": size.pairs, "seed": seed,
        "exploration": {"budget_bps": EXPLORATION.budget_bps, "regret_cap_bps": EXPLORATION.regret_cap_bps},
        "made_worse": [ALGORITHM_NAMES[n] for n in worse], "cpu_seconds": round(time.process_time() - begun, 1),
        "command": f"python -m benchmarks.adapt.learning{' --short' if short else ''} --seed {seed}",
    }


def mean_bound(worlds: dict[str, dict[str, Any]], side: str, sign: float) -> float:
    """Of the mean over worlds, whose repetitions are independent."""
    squares = [(row[side] - row["regret_recovered"]) ** 2 for row in worlds.values()]
    mean = float(np.mean([row["regret_recovered"] for row in worlds.values()]))
    return mean + sign * math.sqrt(math.fsum(squares)) / len(worlds)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapt.learning")
    parser.add_argument("--short", action="store_true", help="a small run, to see that everything works")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    print(json.dumps(measure(given.short, given.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
