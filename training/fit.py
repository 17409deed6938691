"""The heads: LightGBM regressors, one an algorithm and head, of what the refitted surfaces leave unsaid.

A ranking head learns (truth - STRUCTURAL_PART x structural) / scale, so that `kernel_learned.learned_base` puts it
together again; an error counts as the bps of utility that it makes, over the order's tolerance. Deviation, what is left
over and completion are held to the order's load. Spread, sigma and time are not: it would cost more right decisions
than it is worth (docs/adr/0008 has the figures), and half of them is structural, which rises.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from engine import kernel as k
from engine.catalogue import ALGORITHM_NAMES
from engine.scoring.features import (
    FEATURE_NAMES,
    RANKING_HEADS,
    RISING_FEATURES,
    STRUCTURAL_PART,
)
from training.labelling import TRUE_COMPLETION, TRUE_END_TIME, Floats
from training.labels import Labels, write_atomically
from training.refit import Array, BaseParts, tolerances, true_parts, utility_of
from training.workers import Workers

RISING = tuple(int(name in RISING_FEATURES) for name in FEATURE_NAMES)


@dataclass(frozen=True, slots=True)
class HeadPlan:
    """A head's budget and what it is held to. `direction`: +1 rises with load, -1 falls, 0 free."""

    name: str
    trees: int
    leaves: int
    direction: int = 0
    objective: str = "l2"
    alpha: float = 0.5


# The latency budget: the walk takes about 8 ns a tree, and all ranking heads score `keep` candidates.
RANKING_PLANS: tuple[HeadPlan, ...] = (
    HeadPlan("spread", 48, 31), HeadPlan("sigma", 64, 31), HeadPlan("deviation", 64, 31, 1), HeadPlan("time", 48, 31),
    HeadPlan("unfilled", 24, 31, 1),
)
DESCRIBING_PLANS: tuple[HeadPlan, ...] = (
    HeadPlan("quantile_10", 32, 15, objective="quantile", alpha=0.1),
    HeadPlan("quantile_50", 32, 15, objective="quantile", alpha=0.5),
    HeadPlan("quantile_90", 32, 15, objective="quantile", alpha=0.9),
    HeadPlan("completion", 40, 15, -1), HeadPlan("end_time", 24, 15),
)
# Two algorithms are the best candidate's in two orders of three: their ranking heads get half as many trees again.
OFTEN_BEST = ("POV", "PASSIVE_PEG")
# Candidates farther behind the best than this many tolerances count less and less: they are never chosen.
NEAR_TOLERANCES = 20.0
LEARNING_RATE = 0.1
FLOAT32_BITS = 23  # one less than a float32 has, for the sum that reaches its bound
QUANTILE_DRAWS = 3  # of each candidate; more of them cost time and tell less than more orders


@dataclass(frozen=True, slots=True)
class FitTask:
    """One regressor: picklable, so that a pool or a cluster can fit it."""

    algorithm: str
    plan: HeadPlan
    features: Floats
    target: Floats
    weight: Floats
    seed: int


def parameters_of(task: FitTask) -> dict[str, Any]:
    """Deterministic, on one thread: two that spin for a shared core take ten times as long."""
    found: dict[str, Any] = {
        "objective": task.plan.objective, "num_leaves": task.plan.leaves, "learning_rate": LEARNING_RATE,
        "min_data_in_leaf": 40, "lambda_l2": 1.0, "max_bin": 255, "feature_fraction": 1.0, "deterministic": True,
        "force_row_wise": True, "num_threads": 1, "seed": task.seed, "verbose": -1,
    }
    if task.plan.objective == "quantile":
        found["alpha"] = task.plan.alpha
    if task.plan.direction:
        found["monotone_constraints"] = [task.plan.direction * rises for rises in RISING]
        found["monotone_constraints_method"] = "intermediate"
    return found


def fit_one(task: FitTask) -> str:
    """The model as LightGBM's text. Too few rows to split give one leaf, which is their mean."""
    parameters = parameters_of(task)
    data = lightgbm.Dataset(
        task.features, task.target, weight=task.weight, feature_name=list(FEATURE_NAMES), params=parameters,
        free_raw_data=True,
    )
    return str(lightgbm.train(parameters, data, num_boost_round=task.plan.trees).model_to_string())


def ranking_targets(labels: Labels, known: BaseParts) -> dict[str, Array]:
    """(r,) what each ranking head learns."""
    truth, scales = true_parts(labels), labels.scales.astype(np.float64)
    return {
        name: (getattr(truth, name) - STRUCTURAL_PART * getattr(known, name)) / scales[:, position]
        for position, name in enumerate(RANKING_HEADS)
    }


def ranking_weights(labels: Labels) -> dict[str, Array]:
    """(r,) squared bps of utility a unit of each head, in tolerances; capped, and less for candidates far behind."""
    context, scales = labels.context[labels.order_of_row], labels.scales.astype(np.float64)
    utility = utility_of(labels, true_parts(labels))
    tolerance = tolerances(labels, utility)
    best = np.minimum.reduceat(utility, labels.first_row[:-1])[labels.order_of_row]
    near = 1.0 / (1.0 + ((utility - best) / (NEAR_TOLERANCES * tolerance)) ** 2)
    worth = {
        "spread": context[:, k.SPREAD_BPS], "sigma": context[:, k.SIGMA_BPS],
        "deviation": context[:, k.SIGMA_BPS] * context[:, k.RISK_AVERSION],
        "time": context[:, k.TIME_PRICE] + np.abs(context[:, k.ALPHA_BPS_PER_DAY]), "unfilled": tolerance,
    }
    found = {}
    for position, name in enumerate(RANKING_HEADS):
        raw = (worth[name] * scales[:, position] / tolerance) ** 2
        held = np.clip(raw / np.median(raw), 0.02, 50.0) * near
        found[name] = held / held.mean()
    return found


def describing_targets(labels: Labels) -> dict[str, Array]:
    truth = labels.truth.astype(np.float64)
    return {
        "completion": truth[:, TRUE_COMPLETION],
        "end_time": truth[:, TRUE_END_TIME] / np.maximum(labels.scales[:, 3].astype(np.float64), 1e-9),
    }


def ranking_plans(algorithm: str) -> tuple[HeadPlan, ...]:
    """The budgets of one algorithm's ranking heads."""
    if algorithm not in OFTEN_BEST:
        return RANKING_PLANS
    return tuple(replace(plan, trees=plan.trees * 3 // 2) for plan in RANKING_PLANS)


def tasks_of(labels: Labels, known: BaseParts, seed: int) -> Iterator[tuple[str, FitTask]]:
    """("ranking" or "describing", task) of every regressor, in a fixed order."""
    targets, weights, described = ranking_targets(labels, known), ranking_weights(labels), describing_targets(labels)
    near = weights["sigma"]
    for number, algorithm in enumerate(ALGORITHM_NAMES):
        rows = np.flatnonzero(labels.algorithm == number)
        if len(rows) == 0:
            continue
        features = labels.features[rows]
        for plan in ranking_plans(algorithm):
            target, weight = targets[plan.name][rows], weights[plan.name][rows]
            yield "ranking", task_of(algorithm, plan, features, target, weight, seed)
        for plan in DESCRIBING_PLANS:
            if plan.objective == "quantile":
                # Every draw is a row of its own: quantiles are of outcomes, not of means.
                draws = labels.draws[rows][:, :QUANTILE_DRAWS]
                many = np.repeat(features, draws.shape[1], axis=0)
                weight = np.repeat(near[rows], draws.shape[1])
                yield "describing", task_of(algorithm, plan, many, draws.ravel().astype(np.float64), weight, seed)
            else:
                yield "describing", task_of(algorithm, plan, features, described[plan.name][rows], near[rows], seed)


def task_of(algorithm: str, plan: HeadPlan, features: Floats, target: Array, weight: Array, seed: int) -> FitTask:
    return FitTask(algorithm, plan, features, target.astype(np.float32), weight.astype(np.float32), seed)


@dataclass(frozen=True, slots=True)
class Heads:
    """Boosters by (algorithm, head)."""

    ranking: dict[tuple[str, str], lightgbm.Booster]
    describing: dict[tuple[str, str], lightgbm.Booster]


def key_of(task: FitTask) -> str:
    """Names what a task gives: its data, its plan and LightGBM's version. Hex."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{task.algorithm} {task.plan!r} {parameters_of(task)!r} {lightgbm.__version__}".encode())
    for array in (task.features, task.target, task.weight):
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def fit_heads(tasks: Iterable[tuple[str, FitTask]], workers: Workers,
              folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """(kind, algorithm, head, model text) as they get ready; the same whoever fits them. What was fitted before lies in
    the folder, so that a run that was stopped goes on."""
    listed = list(tasks)
    paths = [folder / f"{key_of(task)}.txt" for _, task in listed]
    missing = [position for position, path in enumerate(paths) if not path.exists()]
    for position in sorted(set(range(len(listed))) - set(missing)):
        kind, task = listed[position]
        yield kind, task.algorithm, task.plan.name, paths[position].read_text()
    for number, text in workers.run(fit_one, [listed[position][1] for position in missing]):
        kind, task = listed[missing[number]]
        write_atomically(paths[missing[number]], text.encode())
        yield kind, task.algorithm, task.plan.name, text


def on_grid(text: str) -> lightgbm.Booster:
    """The booster with leaf values on a binary grid, so fine that nobody could tell and so coarse that each partial sum
    of the trees is a float32: then float32 and float64 sums are the same number, in any order of the trees."""
    booster = lightgbm.Booster(model_str=text)
    trees = [leaves_of(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]
    bound = sum(max(abs(value) for _, value in leaves) for leaves in trees)
    grid = 2.0 ** (math.ceil(math.log2(max(bound, 1e-30))) - FLOAT32_BITS)
    for number, leaves in enumerate(trees):
        for leaf, value in leaves:
            booster.set_leaf_output(number, leaf, round(value / grid) * grid)
    return booster


def leaves_of(node: dict[str, Any]) -> list[tuple[int, float]]:
    """(index, value) of every leaf below a node of LightGBM's dump."""
    if "leaf_value" in node:
        return [(int(node.get("leaf_index", 0)), float(node["leaf_value"]))]
    return leaves_of(node["left_child"]) + leaves_of(node["right_child"])


def heads_of(found: Iterable[tuple[str, str, str, str]]) -> Heads:
    boosters: dict[str, dict[tuple[str, str], lightgbm.Booster]] = {"ranking": {}, "describing": {}}
    for kind, algorithm, head, text in sorted(found):
        boosters[kind][algorithm, head] = on_grid(text)
    return Heads(boosters["ranking"], boosters["describing"])


