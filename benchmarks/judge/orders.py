"""One order after the other: decided, compared, judged; each a pure function of its job, so that runs can be resumed.

A row is what the figures are made of, as plain values: it is kept in a file under a folder that is named by the hash of
all that it depends on.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import judging
from benchmarks.judge.baselines import baselines_of, horizons_of, nearest
from benchmarks.judge.parity import PIECE, parity_piece
from benchmarks.judge.service import Decided, Service, decided, load_service
from engine.catalogue import candidate_set
from engine.simulator.world import DEFAULT_WORLD, WorldParameters
from engine.values import Objective
from training.contexts import Axis, Case, Purpose, draw_case, scene_of
from training.grid_runs import influences_bps, run_pairs, same_here
from training.judging_grid import judging_grid, served_in_grid
from training.labels import meaning_of, write_atomically
from training.oracle import label_case
from training.verdict import DEFAULT_RULES, Judged, Rules, Standing, Status
from training.workers import Workers

Array = NDArray[np.float64]
Row = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path("build/bench/quality-cache")
SOURCES = (
    "engine/**/*.py", "training/contexts.py", "training/judging_grid.py", "training/verdict.py",
    "training/grid_runs.py", "training/oracle.py", "training/simulator/*.py",
    "benchmarks/judge/service.py", "benchmarks/judge/baselines.py", "benchmarks/judge/orders.py",
    "benchmarks/judge/parity.py",
)
DATA = ("store/seed/instruments.json", "benchmarks/judging.json")
FIXED_RULE_PAIRS = 96
NO_AXIS = Axis()
# Held to the wanted error: the service's own choice, and what it is compared with most closely.
PRECISE = ("chosen", "structural")


@dataclass(frozen=True, slots=True)
class Job:
    """One order of a section. `axis` shifts what the order shows, `world` what it is judged in. `fixed`: the best fixed
    candidate (served) by objective; empty while those are looked for."""

    section: str
    purpose: Purpose
    index: int
    axis: Axis = NO_AXIS
    world: WorldParameters = DEFAULT_WORLD
    fixed: Mapping[int, int] = field(default_factory=dict)
    rules: Rules = DEFAULT_RULES
    models_dir: Path | None = None


# ---- a verdict


def order_row(job: Job) -> Row:
    """Decides and judges one order."""
    begun = time.perf_counter()
    service = load_service(job.models_dir)
    case = draw_case(job.purpose, job.index, job.axis)
    found = decided(case, service)
    row: Row = {
        "index": job.index, "objective": case.request.objective.name, "urgency": case.request.urgency.name,
        "condition": case.condition.name, "stated": bool(np.count_nonzero(case.weights) == 1),
    }
    if found is None:
        return row | {"status": "not decided as a whole"}
    choices = {
        "chosen": found.chosen, "structural": found.structural, "unfitted": found.unfitted,
        **baselines_of(case.request, found, job.fixed[int(case.request.objective)]),
    }
    groups = {"kept": found.kept, "served": found.choosable}
    verdict = label_case(case, service.served, choices, groups, job.world, job.rules, PRECISE)
    row |= {"status": verdict.status.value, "feasible": len(verdict.feasible)} | told(found)
    if verdict.status is Status.JUDGED:
        row |= verdict_row(verdict)
    return row | {"seconds": round(time.perf_counter() - begun, 3)}


def told(found: Decided) -> Row:
    """What the answer said."""
    outcomes = found.decision.chosen.outcomes
    return {
        "algorithm": found.decision.chosen.algorithm, "by_models": found.by_models,
        "confidence": found.decision.confidence, "said_completion": outcomes.completion_probability,
        "said_cost_bps": outcomes.cost_fraction * 1e4, "said_deviation_bps": outcomes.standard_deviation_fraction * 1e4,
        "said_quantile_10_bps": outcomes.quantile_10_fraction * 1e4,
        "said_quantile_90_bps": outcomes.quantile_90_fraction * 1e4,
    }


def standing_row(standing: Standing) -> Row:
    candidate = judging_grid().candidates[standing.candidate]
    return {
        "algorithm": candidate.spec.name, "regret_bps": standing.regret_bps, "error_bps": standing.error_bps,
        "within": standing.within,
    }


def verdict_row(verdict: Judged) -> Row:
    """The verdict as plain values."""
    realised = verdict.realised["chosen"]
    oracle = judging_grid().candidates[verdict.oracle]
    return {
        "oracle": oracle.spec.name, "oracle_parameters": dict(oracle.parameters),
        "oracle_utility_bps": verdict.oracle_utility_bps, "tolerance_bps": verdict.tolerance_bps,
        "choices": {name: standing_row(standing) for name, standing in verdict.choices.items()},
        "groups": {name: standing_row(standing) for name, standing in verdict.groups.items()},
        "random_regret_bps": verdict.random_regret_bps, "random_accuracy": verdict.random_accuracy,
        "random_undominated_accuracy": verdict.random_undominated_accuracy,
        "cost_bps": realised.cost_bps, "deviation_bps": realised.deviation_bps, "completion": realised.completion,
        "draws_bps": [round(draw, 3) for draw in realised.draws_bps],
        "undominated": int(verdict.undominated.sum()), "equivalent": len(verdict.equivalent),
        "finalists": verdict.finalists, "pairs": verdict.pairs, "inline_share": verdict.inline_share,
    }


# ---- the best fixed candidate


def fixed_row(job: Job) -> Row:
    """What each served candidate, or the nearest allowed one to it, loses against the best of them in one training
    order. (served,) bps."""
    service = load_service(job.models_dir)
    case = draw_case(job.purpose, job.index)
    found = decided(case, service)
    row: Row = {"index": job.index, "objective": int(case.request.objective)}
    if found is None or int(found.allowed.sum()) < 2:
        return row | {"losses_bps": None}
    utilities = served_utilities_bps(case, service, found, job)
    horizons = horizons_of(candidate_set(), found.metrics, found.resolved.inputs.available_minutes)
    stand_ins = np.array([nearest(n, found.allowed, horizons) for n in range(len(found.allowed))])
    losses = utilities[stand_ins] - float(np.nanmin(utilities))
    return row | {"losses_bps": [round(float(loss), 4) for loss in losses]}


def served_utilities_bps(case: Case, service: Service, found: Decided, job: Job) -> Array:
    """(served,) utility of the allowed candidates, not a number for the others."""
    scene = scene_of(case, service.served)
    if scene is None:
        raise ValueError(f"order {case.index} was decided and cannot be planned")
    allowed = np.flatnonzero(found.allowed)
    here = same_here(served_in_grid()[allowed], found.resolved.inputs.available_minutes)
    runners, at = np.unique(here, return_inverse=True)
    runs = run_pairs(scene, job.world, runners, case.seed(1), FIXED_RULE_PAIRS)
    utilities = np.full(len(found.allowed), np.nan)
    utilities[allowed] = influences_bps(scene, runs).mean(axis=1)[at]
    return utilities


def best_fixed(rows: Sequence[Row]) -> dict[int, int]:
    """Objective -> the served candidate of least mean loss over the training orders."""
    found = {}
    for objective in Objective:
        own = [r["losses_bps"] for r in rows if r["objective"] == int(objective) and r["losses_bps"] is not None]
        found[int(objective)] = int(np.argmin(np.mean(own, axis=0))) if own else 0
    return found


# ---- many of them, resumed


def parity_row(job: Job) -> Row:
    """A piece of the orders on which both scorers must choose alike; `index` counts pieces."""
    return parity_piece(job.index * PIECE, PIECE, job.models_dir)


SECTIONS: dict[str, Callable[[Job], Row]] = {"fixed": fixed_row, "parity": parity_row}


def run_job(job: Job) -> Row:
    """Whatever its section asks for."""
    return SECTIONS.get(job.section, order_row)(job)


def code_sha256() -> str:
    """Hash of what the sources do, comments left out."""
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(str(path.relative_to(ROOT)).encode())
            digest.update(meaning_of(path.read_text()).encode())
    for name in DATA:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def key_of(service: Service) -> str:
    """Names the folder of what is known already: 16 hex digits."""
    content = [code_sha256(), service.surfaces_sha256, service.models_sha256, judging.committed()["name"]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def path_of(folder: Path, job: Job) -> Path:
    """Where a job's row lies; what is no part of the key is part of the name."""
    own = [job.axis.name, job.axis.factor, job.world.sha256(), sorted(job.fixed.items()), job.rules.sha256()]
    digest = hashlib.sha256(json.dumps(own).encode()).hexdigest()[:12]
    return folder / f"{job.section}-{digest}" / f"{job.index:06d}.json"


def known_row(path: Path) -> Row | None:
    """A row of an earlier run; None where there is none, or only a part of one."""
    try:
        found: Row = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return None
    return found


def run_jobs(jobs: Sequence[Job], workers: Workers, folder: Path, progress: Callable[[], None]) -> list[Row]:
    """The rows of all jobs in their order; what an earlier run left is taken as it is."""
    rows: dict[int, Row] = {}
    for position, job in enumerate(jobs):
        known = known_row(path_of(folder, job))
        if known is not None:
            rows[position] = known
            progress()
    missing = [position for position in range(len(jobs)) if position not in rows]
    for number, row in workers.run(run_job, [jobs[position] for position in missing]):
        position = missing[number]
        write_atomically(path_of(folder, jobs[position]), json.dumps(row).encode())
        rows[position] = row
        progress()
    return [rows[position] for position in range(len(jobs))]


def world_with(name: str, factor: float) -> WorldParameters:
    """The shipped world with one of its factors changed."""
    changed: dict[str, Any] = {name: factor}
    return replace(DEFAULT_WORLD, **changed)
