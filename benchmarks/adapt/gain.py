"""What adapting gains over leaving an order alone, in worlds whose condition changes inside its life.

QUANT.md section 5, "Adaptation"; docs/adaptation.md explains every figure. The worlds are those hashed in worlds.json:
the section stops where the code differs from it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.adapt import worlds
from benchmarks.adapt.estimate import Array, Gains
from benchmarks.adapt.judge import Row, UndecidedError, accepted, constant_verdict, verdict
from benchmarks.adapt.sections import Figures
from benchmarks.adapt.worlds import FULL, Use, flows
from benchmarks.judge.service import load_service
from benchmarks.judge.statistics import Bootstrap, Estimate
from engine.order_life.rules import RULES, Rules
from engine.simulator.world import DEFAULT_WORLD
from engine.values import CONDITIONS
from training.labels import write_atomically
from training.workers import Workers, open_workers

# Processes: orders are independent, and the figures do not hang on it.
JOBS = 2
ROOT = Path(__file__).resolve().parents[2]
CACHE = Path("build/bench/adapt-cache")
SOURCES = (
    "engine/**/*.py", "training/contexts.py", "training/simulator/*.py", "benchmarks/adapt/[efgjw]*.py",
    "store/seed/instruments.json",
)  # fmt: skip
SHORT = replace(FULL, orders=12, pairs=10, constant_orders=12, constant_pairs=2)


def measure(short: bool, seed: int) -> Figures:
    """The section's figures. `seed` draws the intervals; orders and paths are those that are hashed."""
    differing = worlds.differences()
    if differing:
        raise RuntimeError("benchmarks/adapt/worlds.json is of other worlds than this code: " + "; ".join(differing))
    sizes = SHORT if short else FULL
    with open_workers(JOBS) as workers:
        rows, attempts = judged(Use.JUDGE, sizes.orders, sizes, RULES, workers)
        constant, _ = judged(Use.JUDGE_CONSTANT, sizes.constant_orders, sizes, RULES, workers)
    found = figures_of(rows, attempts, seed) | constant_figures(constant, seed)
    cpu_s = sum(row["cpu_s"] for row in (*rows, *constant))
    sizes_found = {"paths": 2 * sizes.pairs, "orders": len(rows), "constant_orders": len(constant)}
    return found | sizes_found | {"worlds": worlds.committed()["name"], "core_minutes": round(cpu_s / 60.0, 2)}


@dataclass(frozen=True, slots=True)
class Job:
    """One order to be judged: a row is a pure function of it."""

    use: Use
    index: int
    sizes: worlds.Rules
    rules: Rules


def judge_job(job: Job) -> tuple[Row, int]:
    """The verdict, and how many attempts it took to find the order."""
    known = path_of(job)
    if known.exists():
        row, tried = json.loads(known.read_text())
        return row, tried
    begun_s = time.process_time()
    row, tried = first_verdict(job)
    row |= {"cpu_s": round(time.process_time() - begun_s, 2)}
    write_atomically(known, json.dumps([row, tried]).encode())
    return row, tried


def first_verdict(job: Job) -> tuple[Row, int]:
    """Of the first attempt that lives to see its change and is decided on some path."""
    tried = 0
    while True:
        world, tried = accepted(job.use, job.index, job.sizes, tried)
        try:
            if world.steer.following is None:
                return constant_verdict(world, job.sizes.constant_pairs, job.rules), tried
            return verdict(world, job.sizes.pairs, job.rules), tried
        except UndecidedError:
            continue


@cache
def sources_sha256() -> str:
    """Hash of all that a row depends on beside its job, hex."""
    found = hashlib.sha256(load_service().models_sha256.encode())
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            found.update(path.read_bytes())
    return found.hexdigest()


def path_of(job: Job) -> Path:
    """Where the order's row is kept, so that a run that was stopped goes on."""
    told = json.dumps([sources_sha256(), asdict(job)], sort_keys=True)
    return CACHE / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.json"


def judged(use: Use, count: int, sizes: worlds.Rules, rules: Rules, workers: Workers) -> tuple[list[Row], list[int]]:
    """Verdicts of the first `count` orders in turn, and the attempts each took."""
    jobs = [Job(use, index, sizes, rules) for index in range(count)]
    found = dict(workers.run(judge_job, jobs))
    return [found[n][0] for n in range(count)], [found[n][1] for n in range(count)]


def column(rows: Sequence[Row], name: str) -> Array:
    return np.array([row[name] for row in rows], dtype=np.float64)


def natural_weights(rows: Sequence[Row], attempts: Sequence[int]) -> Array:
    """(orders,) weights with which conditions come up as often as the world changes to them while an order lives."""
    into = flows(DEFAULT_WORLD).sum(axis=0)
    found = np.empty(len(rows))
    names = [row["after"] for row in rows]
    for position, condition in enumerate(CONDITIONS):
        own = [n for n, name in enumerate(names) if name == condition.name]
        if own:
            found[own] = into[position] / sum(attempts[n] for n in own)
    weights: Array = found / found.mean()
    return weights


def gains_of(rows: Sequence[Row], weights: Array, clairvoyant: str = "clairvoyant") -> Gains:
    alone = column(rows, "alone")
    return Gains(
        alone - column(rows, "adaptive"), alone - column(rows, clairvoyant),
        alone - column(rows, "alone_spread_and_fees"), weights,
    )  # fmt: skip


def shown(name: str, estimate: Estimate) -> Figures:
    return {name: round(estimate.value, 4), f"{name}_interval": [round(estimate.lower, 4), round(estimate.upper, 4)]}


def figures_of(rows: Sequence[Row], attempts: Sequence[int], seed: int) -> Figures:
    """All about the orders whose condition changed."""
    draws = Bootstrap.of(len(rows), FULL.bootstraps, seed)
    even = np.ones(len(rows))
    gains = gains_of(rows, even)
    gain, ceiling = gains.gain(draws), gains.ceiling(draws)
    found: Figures = shown("adaptive_gain", gain) | {"adaptive_gain_lower": round(gain.lower, 4)}
    found |= shown("adaptive_ceiling", ceiling) | shown("captured_share", gains.captured(draws))
    told = gains_of(rows, even, "told")
    found |= shown("told_gain", told.ceiling(draws))
    natural = gains_of(rows, natural_weights(rows, attempts))
    found |= shown("adaptive_gain_natural", natural.gain(draws))
    found |= shown("adaptive_ceiling_natural", natural.ceiling(draws))
    found |= other_denominators(rows, draws)
    by = by_condition(rows, seed)
    found["worst_condition_lower"] = min((cell["adaptive_gain_interval"][0] for cell in by.values()), default=None)
    found["by_condition"] = by
    for name in ("switches_before", "switches_after", "told_switches", "looks", "cpu_s"):
        found[f"{name}_an_order"] = round(float(column(rows, name).mean()), 3)
    triggers: Counter[str] = Counter()
    for row in rows:
        triggers.update(row["triggers"])
    found["triggers"] = dict(triggers.most_common())
    return found


def other_denominators(rows: Sequence[Row], draws: Bootstrap) -> Figures:
    """The same in other views: nothing excluded, each side without its own fees and spreads, the whole order."""
    alone, adaptive = column(rows, "alone"), column(rows, "adaptive")
    own_alone = alone - column(rows, "alone_spread_and_fees")
    own = adaptive - column(rows, "adaptive_spread_and_fees")
    whole = column(rows, "whole_alone")
    found = shown("adaptive_gain_nothing_excluded", draws.ratio(alone - adaptive, alone))
    found |= shown("adaptive_gain_own_excluded", draws.ratio(own_alone - own, own_alone))
    at_stake = whole - column(rows, "whole_alone_spread_and_fees")
    return found | shown("adaptive_gain_whole_order", draws.ratio(whole - column(rows, "whole_adaptive"), at_stake))


def by_condition(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Figures by the condition that was changed to."""
    found = {}
    for condition in CONDITIONS:
        own = [row for row in rows if row["after"] == condition.name]
        if own:
            draws = Bootstrap.of(len(own), FULL.bootstraps, seed)
            gains = gains_of(own, np.ones(len(own)))
            found[condition.name] = {
                "orders": len(own), **shown("adaptive_gain", gains.gain(draws)),
                **shown("adaptive_ceiling", gains.ceiling(draws)),
                "at_stake_bps": round(float(gains.at_stake.mean()), 2),
            }  # fmt: skip
    return found


def constant_figures(rows: Sequence[Row], seed: int) -> Figures:
    """All about the orders in a world where nothing changes."""
    draws = Bootstrap.of(len(rows), FULL.bootstraps, seed)
    found = shown("needless_switches", draws.mean(column(rows, "switches")))
    alone = column(rows, "alone")
    found |= shown("constant_gain", draws.ratio(alone - column(rows, "adaptive"), alone))
    triggers: Counter[str] = Counter()
    for row in rows:
        triggers.update(row["triggers"])
    found["needless_triggers"] = dict(triggers.most_common())
    cells = {c.name: [r["switches"] for r in rows if r["condition"] == c.name] for c in CONDITIONS}
    found["needless_by_condition"] = {name: round(float(np.mean(own)), 3) for name, own in cells.items() if own}
    found["constant_renewed"] = round(float(column(rows, "renewed").mean()), 3)
    found["needless_looks"] = round(float(column(rows, "looks").mean()), 3)
    return found
