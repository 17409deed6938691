"""The heads: deterministic, within their budget, held to what they promise, and put together as the kernel does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from engine import kernel as k
from engine.catalogue import ALGORITHM_NAMES, shape_keys
from engine.pricing import OUTPUTS
from engine.scoring.features import (
    FEATURE_NAMES,
    RANKING_HEADS,
    RISING_FEATURES,
    STRUCTURAL_PART,
    schema_sha256,
)
from engine.scoring.lanes import lane_arrays
from engine.scoring.models import Models
from engine.scoring.trees import TreeTable
from engine.surfaces import scaled
from engine.values import CONDITIONS
from tests.helpers.label_sets import Counted, small_labels
from training.command import keep_array
from training.export import export
from training.fit import (
    DESCRIBING_PLANS,
    RANKING_PLANS,
    FitTask,
    HeadPlan,
    Heads,
    fit_heads,
    fit_one,
    heads_of,
    ranking_plans,
    ranking_targets,
    ranking_weights,
    tasks_of,
)
from training.labelling import curve_of, served, shipped_surfaces
from training.refit import BaseParts, base_parts, refit, true_parts, utility_of
from training.validate import learned_parts, pruned_recall, regret_of
from training.workers import Serial, open_workers

PLANS = {plan.name: plan for plan in (*RANKING_PLANS, *DESCRIBING_PLANS)}
AS_IT_IS = np.array([[0.0, 1.0], [0.0, 1.0]])  # a map that calibrates nothing
RISING = [FEATURE_NAMES.index(name) for name in RISING_FEATURES]


@cache
def known() -> BaseParts:
    return base_parts(small_labels(), shipped_surfaces()[0])


@cache
def tasks() -> tuple[tuple[str, FitTask], ...]:
    return tuple(tasks_of(small_labels(), known(), 0))


def of(algorithm: str, head: str) -> FitTask:
    return next(task for _, task in tasks() if (task.algorithm, task.plan.name) == (algorithm, head))


@cache
def heads() -> Heads:
    return fitted_by_hand(tasks())


def fitted_by_hand(listed: Iterable[tuple[str, FitTask]]) -> Heads:
    return heads_of((kind, task.algorithm, task.plan.name, fit_one(task)) for kind, task in listed)


@cache
def ranking() -> TreeTable:
    out = export(heads().ranking, ALGORITHM_NAMES, RANKING_HEADS, FEATURE_NAMES, schema_sha256=schema_sha256())
    return out.table


# ---- deterministic


def test_the_same_task_gives_the_same_model_text() -> None:
    for head in ("sigma", "deviation", "quantile_90", "completion"):
        assert fit_one(of("PASSIVE_PEG", head)) == fit_one(of("PASSIVE_PEG", head))


def test_whoever_fits_the_models_are_the_same(tmp_path: Path) -> None:
    some = tasks()[:4]
    with open_workers(2) as workers:
        pooled = sorted(fit_heads(some, workers, tmp_path / "pool"))
    assert pooled == sorted(fit_heads(some, Serial(), tmp_path / "serial"))


def test_only_what_was_not_fitted_before_is_fitted(tmp_path: Path) -> None:
    some = tasks()[:3]
    whole = sorted(fit_heads(some, Serial(), tmp_path))
    sorted(tmp_path.iterdir())[0].unlink()
    workers = Counted()
    assert sorted(fit_heads(some, workers, tmp_path)) == whole
    assert workers.given == 1
    other = [(kind, replace(task, seed=1)) for kind, task in some]
    list(fit_heads(other, workers, tmp_path))
    assert workers.given == 4


def test_every_algorithm_has_every_head() -> None:
    assert set(heads().ranking) == {(a, plan.name) for a in ALGORITHM_NAMES for plan in RANKING_PLANS}
    assert set(heads().describing) == {(a, plan.name) for a in ALGORITHM_NAMES for plan in DESCRIBING_PLANS}


# ---- the budget


def test_models_keep_to_the_latency_budget() -> None:
    for boosters in (heads().ranking, heads().describing):
        for (algorithm, head), booster in boosters.items():
            own = {plan.name: plan for plan in ranking_plans(algorithm)}
            plan = own.get(head, PLANS[head])
            assert booster.num_trees() <= plan.trees, (algorithm, head)
            trees = booster.dump_model()["tree_info"]
            assert max(tree["num_leaves"] for tree in trees) <= plan.leaves, (algorithm, head)


def test_ranking_budget_is_what_the_decision_can_afford() -> None:
    budgets = [sum(plan.trees for plan in ranking_plans(name)) for name in ALGORITHM_NAMES]
    assert max(budgets) <= 400
    assert float(np.mean(budgets)) <= 300
    assert max(plan.leaves for plan in RANKING_PLANS) <= 31
    assert max(plan.trees for plan in DESCRIBING_PLANS) <= 40
    assert max(plan.leaves for plan in DESCRIBING_PLANS) <= 15


# ---- what they promise


def lines(task: FitTask) -> NDArray[np.float32]:
    """(rows, steps, features): some labelled rows, with what rises moved from far below to far above."""
    rows = task.features[:: max(1, len(task.features) // 20)]
    moved = np.repeat(rows[:, None, :], 60, axis=1)
    moved[:, :, RISING] += np.linspace(-3.0, 3.0, 60, dtype=np.float32)[None, :, None]
    return moved


@pytest.mark.parametrize("plan", [plan for plan in PLANS.values() if plan.direction], ids=lambda plan: plan.name)
@pytest.mark.parametrize("algorithm", ["TWAP", "POV", "PASSIVE_PEG", "ICEBERG"])
def test_held_heads_go_one_way_with_the_load(algorithm: str, plan: HeadPlan) -> None:
    boosters = heads().ranking if plan in RANKING_PLANS else heads().describing
    asked = lines(of(algorithm, plan.name))
    found = np.asarray(boosters[algorithm, plan.name].predict(asked.reshape(-1, asked.shape[2])))
    steps = np.diff(found.reshape(asked.shape[:2]), axis=1) * plan.direction
    assert float(steps.min()) >= -1e-12


def test_risk_and_what_is_left_over_rise_and_completion_falls() -> None:
    assert (PLANS["deviation"].direction, PLANS["unfilled"].direction, PLANS["completion"].direction) == (1, 1, -1)


def test_quantiles_stand_in_their_order_on_average() -> None:
    rows = of("ICEBERG", "completion").features
    low, middle, high = (
        np.asarray(heads().describing["ICEBERG", f"quantile_{q}"].predict(rows)).mean() for q in (10, 50, 90)
    )
    assert low < middle < high


# ---- put together


def test_a_perfect_head_gives_the_truth_back() -> None:
    labels, truth = small_labels(), true_parts(small_labels())
    targets = ranking_targets(labels, known())
    for position, name in enumerate(RANKING_HEADS):
        scale = labels.scales[:, position].astype(np.float64)
        whole = STRUCTURAL_PART * getattr(known(), name) + scale * targets[name]
        np.testing.assert_allclose(whole, getattr(truth, name), rtol=1e-9, atol=1e-9)


def kernels_utility(order: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(utility, candidates) of one order's labelled rows by the kernel with these trees, priced and scored there."""
    labels, catalogue, surfaces = small_labels(), served(), shipped_surfaces()[0]
    count = len(catalogue.candidates)
    results = k.empty_results(count, len(ALGORITHM_NAMES), np.empty(0))
    keep = np.array([count, 0, *[1] * len(ALGORITHM_NAMES)], dtype=np.int64)
    k.decide(
        surfaces.values, surfaces.log_participation, surfaces.log_horizon_days, surfaces.log_pool_share,
        labels.weights[order], catalogue.algorithm, catalogue.shape, catalogue.rule, catalogue.pace, catalogue.rests,
        catalogue.numbers, curve_of(int(labels.instrument[order])), labels.context[order],
        lane_arrays(ranking()), (*ranking().walk, AS_IT_IS), keep, *results,
    )
    metrics, mask = results[0], results[1]
    rows = labels.candidate[labels.first_row[order] : labels.first_row[order + 1]]
    own = rows[mask[rows] == 0]
    return metrics[own, k.UTILITY], own


def test_validation_scores_as_the_kernel_does() -> None:
    labels = small_labels()
    forecast = utility_of(labels, learned_parts(labels, known(), models_with(ranking())))
    for order in range(0, labels.orders, 7):
        found, own = kernels_utility(order)
        rows = np.arange(labels.first_row[order], labels.first_row[order + 1])
        rows = rows[np.isin(labels.candidate[rows], own)]
        context = labels.context[order]
        size = context[k.QUANTITY] / context[k.DAILY_VOLUME]
        permanent = 0.5 * context[k.PERMANENT_GAMMA] * size * context[k.TURNOVER_FACTOR] * context[k.SIGMA_BPS]
        # Scales are stored as float32, and so is the truth they are made from.
        np.testing.assert_allclose(forecast[rows] + permanent, found, rtol=2e-5, atol=1e-3)


def models_with(table: TreeTable) -> Models:
    line = AS_IT_IS
    return Models(
        ranking=table, describing=table, confidence=table,
        factors=np.ones((len(CONDITIONS), len(shape_keys()), len(OUTPUTS))), interval_scale=np.ones((6, 2)),
        completion_map=line, confidence_map=line, domain=np.zeros((8, 2)), ratio_sd=np.ones(3), thin_from=1.0,
        thin_slope=0.04, keep=keep_array(),
    )


# ---- what counts


def test_weights_are_even_in_the_mean_and_bounded() -> None:
    for name, weight in ranking_weights(small_labels()).items():
        assert float(weight.mean()) == pytest.approx(1.0), name
        assert np.all(np.isfinite(weight)), name
        assert float(weight.min()) > 0.0, name


def test_candidates_far_behind_count_less() -> None:
    labels = small_labels()
    utility = utility_of(labels, true_parts(labels))
    rows = slice(labels.first_row[0], labels.first_row[1])
    worst, best = int(np.argmax(utility[rows])), int(np.argmin(utility[rows]))
    near, far = ranking_weights(labels)["unfilled"][rows][[best, worst]]
    assert far < near


def test_regret_of_the_truth_is_nothing_and_of_the_worst_is_much() -> None:
    labels = small_labels()
    truth = utility_of(labels, true_parts(labels))
    assert regret_of(labels, truth, truth) == (1.0, 0.0)
    within, regret = regret_of(labels, -truth, truth)
    assert within < 0.5
    assert regret > 1.0


def test_pruning_by_the_truth_keeps_the_best() -> None:
    labels = small_labels()
    truth = utility_of(labels, true_parts(labels))
    few = np.array([12, 12, *[1] * len(ALGORITHM_NAMES)])
    assert pruned_recall(labels, truth, truth, few) == 1.0
    assert pruned_recall(labels, -truth, truth, few) < 1.0


def test_learned_beats_refitted_on_what_it_learned_from() -> None:
    labels = small_labels()
    truth = utility_of(labels, true_parts(labels))
    surfaces = scaled(shipped_surfaces()[0], refit(labels, shipped_surfaces()[0]))
    refitted = base_parts(labels, surfaces)
    fresh = fitted_by_hand(task for task in tasks_of(labels, refitted, 0) if task[0] == "ranking")
    table = export(
        fresh.ranking, ALGORITHM_NAMES, RANKING_HEADS, FEATURE_NAMES, schema_sha256=schema_sha256()
    ).table
    learned = utility_of(labels, learned_parts(labels, refitted, models_with(table)))
    assert regret_of(labels, learned, truth)[1] < 0.5 * regret_of(labels, utility_of(labels, refitted), truth)[1]


def test_too_few_rows_give_a_constant() -> None:
    task = of("AGGRESSIVE_SWEEP", "sigma")
    few = replace(task, features=task.features[:5], target=task.target[:5], weight=np.ones(5, dtype=np.float32))
    predicted = np.asarray(lightgbm.Booster(model_str=fit_one(few)).predict(few.features))
    np.testing.assert_allclose(predicted, float(few.target.mean()), rtol=1e-5)
