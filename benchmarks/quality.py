"""How good decisions are, in a simulated market and on real days, against an oracle and against baselines.

    python -m benchmarks.quality [--short] [--orders N] [--jobs N] [--data DIR] [--models DIR]

docs/decision-quality.md explains every figure. What is judged and how is fixed in benchmarks/judging.json: the run
stops where the code differs from it. Rows of single orders are kept in build/bench/quality-cache, so a stopped run goes
on where it was; they are named by the hash of all that they depend on. Compute budget, stated before the first run: at
most 60 minutes on 2 cores. The last line printed is one JSON object, also written to build/bench/quality.json; a missed
target is told and is no failure of the run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks import judging
from benchmarks.judge.artifact import artifact_figures
from benchmarks.judge.figures import (
    Found,
    accuracy_figures,
    completion_figures,
    confidence_figures,
    foreign_figures,
    interval_figures,
    judged_of,
    order_figures,
    skill_figures,
)
from benchmarks.judge.market import market_figures
from benchmarks.judge.orders import CACHE, Job, Row, best_fixed, key_of, run_jobs, world_with
from benchmarks.judge.parity import ORDERS, PIECE, parity_figures
from benchmarks.judge.replayed import replay_figures
from benchmarks.judge.report import show, write_report
from benchmarks.judge.service import Service, load_service
from benchmarks.judge.targets import misses
from engine.catalogue import candidate_set
from engine.values import Objective
from training.contexts import Axis, Purpose
from training.verdict import DEFAULT_RULES
from training.workers import Workers, open_workers

OUT = Path("build/bench/quality.json")
REPORT = Path("build/bench/quality")
DATA = Path("../shared/data")
SHORT = replace(judging.FULL, orders=60, axis_orders=6, fixed_rule_orders=60)
SHORT_RULES = replace(DEFAULT_RULES, most_pairs=4_096)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does. `sizes` are the committed ones, or those of a short look."""

    sizes: judging.Sizes
    short: bool
    jobs: int
    data: Path
    models_dir: Path | None


@dataclass(frozen=True, slots=True)
class Sections:
    """All rows of a run; axes by a name such as "volatility x0.5"."""

    main: list[Row]
    seen: dict[str, list[Row]]
    unseen: dict[str, list[Row]]
    fixed: dict[int, int]
    parity: list[Row]


def indices(count: int) -> list[int]:
    """Indices of the held-out orders. They go round conditions, objectives and urgencies; few of them take turns
    through all urgencies too."""
    if count >= 120:
        return list(range(count))
    return [number + 60 * ((number // 2) % 2) for number in range(count)]


def judge_all(plan: Plan, service: Service, workers: Workers, progress: Progress) -> Sections:
    """Every section's rows."""
    sizes, folder = plan.sizes, CACHE / key_of(service)

    def run(name: str, jobs: Sequence[Job]) -> list[Row]:
        task = progress.add_task(name, total=len(jobs))
        return run_jobs(jobs, workers, folder, lambda: progress.advance(task))

    training = [
        Job("fixed", Purpose.TRAIN, index, models_dir=plan.models_dir) for index in range(sizes.fixed_rule_orders)
    ]
    fixed = best_fixed(run("best fixed candidates", training))
    rules = SHORT_RULES if plan.short else DEFAULT_RULES
    base = [
        Job("main", Purpose.JUDGE, index, fixed=fixed, rules=rules, models_dir=plan.models_dir)
        for index in indices(sizes.orders)
    ]
    main = run("held-out orders", base)
    few = [replace(job, section="axis") for job in base if job.index in set(indices(sizes.axis_orders))]
    seen, unseen = {}, {}
    for factor in sizes.axis_factors:
        for name in sizes.seen_axes:
            words = f"{name} x{factor:g}"
            seen[words] = run(words, [replace(job, axis=Axis(name, factor)) for job in few])
        for name in sizes.unseen_axes:
            words = f"{name} x{factor:g}"
            unseen[words] = run(words, [replace(job, world=world_with(name, factor)) for job in few])
    pieces = [
        Job("parity", Purpose.PARITY, piece, models_dir=plan.models_dir)
        for piece in range((2 * PIECE if plan.short else ORDERS) // PIECE if service.models_sha256 else 0)
    ]
    return Sections(main, seen, unseen, fixed, run("orders for parity", pieces))


def fixed_words(fixed: dict[int, int]) -> Found:
    """The best fixed candidates, for people."""
    found = {}
    for objective, index in fixed.items():
        candidate = candidate_set().candidates[index]
        found[Objective(objective).name] = {"algorithm": candidate.spec.name, **candidate.parameters}
    return found


def figures_of(sections: Sections) -> Found:
    """All that the rows tell."""
    own = judged_of(sections.main)
    found = accuracy_figures(own) | skill_figures(own) | confidence_figures(own) | completion_figures(own)
    found |= interval_figures(own) | order_figures(sections.main)
    found |= foreign_figures(sections.seen, sections.unseen, sections.main)
    found["confidence_change_ood_seen_upper"] = found["confidence_change_ood_seen_interval"][1]
    return found | {"best_fixed_candidates": fixed_words(sections.fixed)}


def measure(plan: Plan, service: Service) -> tuple[Found, Sections]:
    """Runs everything."""
    begun = time.perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress, open_workers(plan.jobs) as workers:
        sections = judge_all(plan, service, workers, progress)
        found = figures_of(sections)
        task = progress.add_task("the market itself", total=1)
        found |= market_figures(plan.short)
        progress.advance(task)
        task = progress.add_task("real days", total=1)
        found |= replay_figures(
            plan.data, plan.short, lambda done, total: progress.update(task, completed=done, total=total),
            plan.models_dir,
        )
    found |= artifact_figures(service) | parity_figures(sections.parity, service)
    seconds = time.perf_counter() - begun
    shifted = [*sections.seen.values(), *sections.unseen.values()]
    rows = [*sections.main, *(row for part in shifted for row in part)]
    found["core_minutes_of_orders"] = round(sum(row.get("seconds", 0.0) for row in rows) / 60.0, 2)
    return found | {"minutes": round(seconds / 60.0, 2), "jobs": plan.jobs}, sections


def plan_of(arguments: list[str]) -> Plan:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a look at 60 orders: shows that it runs, proves nothing")
    parser.add_argument("--orders", type=int, help="held-out orders (another number than committed is told)")
    parser.add_argument("--axis-orders", type=int, help="orders out of distribution an axis (the same)")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real market data")
    parser.add_argument("--models", type=Path, help="folder of learned models instead of the shipped ones")
    given = parser.parse_args(arguments)
    sizes = SHORT if given.short else judging.FULL
    if given.orders is not None:
        if given.orders < 1:
            parser.error("--orders must be at least 1")
        sizes = replace(sizes, orders=given.orders, axis_orders=min(sizes.axis_orders, given.orders))
    if given.axis_orders is not None:
        if not 1 <= given.axis_orders <= sizes.orders:
            parser.error("--axis-orders must be between 1 and the held-out orders")
        sizes = replace(sizes, axis_orders=given.axis_orders)
    return Plan(sizes, given.short, max(1, given.jobs), given.data, given.models)


def main(arguments: list[str], benchmark: Path = judging.FILE) -> int:
    plan = plan_of(arguments)
    differing = judging.differences(benchmark)
    if differing:
        words = "\n  ".join(["benchmarks/judging.json is of another benchmark than this code:", *differing])
        print(words, file=sys.stderr)
        print("take the new one under a new name: python -m benchmarks.judging --write NAME", file=sys.stderr)
        return 2
    found, sections = measure(plan, load_service(plan.models_dir))
    complete = plan.sizes == judging.FULL
    short = plan.sizes.orders < judging.FULL.orders
    head: dict[str, Any] = {"benchmark": judging.committed()["name"], "short": short, "seed": 20261122}
    head |= {"complete": complete, "axis_orders": plan.sizes.axis_orders}
    found = head | found
    found["missed"] = misses(found)
    show(found)
    path = write_report(REPORT, found, sections.main)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    print(f"pictures: {path}")
    print("\n".join(found["missed"]) or "all targets met")
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
