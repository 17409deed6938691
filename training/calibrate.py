"""Calibration on orders of its own: cost intervals, completion, and confidence, each for what decisions choose.

A head is fitted to all candidates; what a client reads is of the chosen one, the one that looked best, so it is
calibrated on chosen ones. Confidence's truth is the judge's: was the choice within the tolerance of the oracle?
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import TypeVar

import lightgbm
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from engine import kernel as k
from engine.confidence import confidence_features
from engine.scoring.features import DESCRIBING, HEAD_COMPLETION, HEAD_Q10, HEAD_Q50, HEAD_Q90
from engine.scoring.models import CONFIDENCE_FEATURES, Models
from engine.scoring.trees import score_head
from engine.simulator.execute import UNFILLED, execute
from engine.simulator.market import simulate_market
from engine.simulator.orders import order_of
from engine.simulator.policies import policies_of
from engine.simulator.world import DEFAULT_WORLD
from engine.snapshot import Snapshot
from engine.surfaces import scaled
from engine.values import CONDITIONS
from training.contexts import Purpose, base_snapshot, draw_case
from training.decisions import Chosen, choose_for
from training.fit import on_grid
from training.judging_grid import served_in_grid
from training.labelling import domain_of, served_inline, served_template, shipped_surfaces
from training.oracle import label_case
from training.simulator.estimates import COMPLETE, shortfalls_bps
from training.verdict import Rules
from training.workers import Workers

Array = NDArray[np.float64]

STAGE_CALIBRATION = 7
TAIL = 0.10  # of the 80 % interval, on either side
PAIRS = 64
DRAWS = 24
# Confidence labels need less precision than the judge's verdicts: errors of a label are errors of a frequency.
LABEL_RULES = Rules(final_pairs=512, most_pairs=2048, wanted_error_bps=0.3)
FOLDS = 5
KNOTS = 12


@dataclass(frozen=True, slots=True)
class Outcome:
    """One chosen candidate against its draws: heads (DESCRIBING,), standardised draws, share of paths completed."""

    condition: int
    heads: tuple[float, ...]
    draws: tuple[float, ...]
    completed: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """One decision's features and whether it was within the tolerance of the oracle."""

    features: tuple[float, ...]
    within: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """Cases of one purpose for one worker, with the models that decide."""

    purpose: Purpose
    indices: tuple[int, ...]
    models: Models


@cache
def _base(sha256: str) -> Snapshot:
    return base_snapshot(shipped_surfaces()[0])


def base_with(models: Models) -> Snapshot:
    """The training snapshot as serving would have it."""
    base = _base(shipped_surfaces()[1])
    return replace(base, surfaces=scaled(base.surfaces, models.factors), models=models)


def outcomes_of(piece: Piece) -> list[Outcome]:
    """The chosen candidates of a piece, simulated; cases that the models do not decide are left out."""
    base, found = base_with(piece.models), []
    for index in piece.indices:
        chosen = choose_for(draw_case(piece.purpose, index), base)
        if chosen is not None and chosen.priced.models is not None:
            found.append(outcome_of(chosen))
    return found


def outcome_of(chosen: Chosen) -> Outcome:
    priced, n = chosen.priced, chosen.candidate
    order = order_of(priced.context, chosen.resolved.weights, chosen.resolved.cumulative)
    looks = bool(served_inline()[n])
    paths = simulate_market(order, DEFAULT_WORLD, chosen.case.seed(STAGE_CALIBRATION), PAIRS)
    run = execute(order, DEFAULT_WORLD, paths, policies_of(served_template(), order, np.array([n])), looks)
    columns = np.arange(DRAWS)
    columns[1::2] += PAIRS
    row = priced.metrics[n]
    draws = (shortfalls_bps(order, run, looks)[0, columns] - row[k.COST]) / row[k.DEVIATION_BPS]
    models = priced.models
    assert models is not None
    group = int(priced.algorithm[n])
    heads = tuple(
        float(score_head(*models.describing.walk, group, head, priced.features[n])) for head in range(DESCRIBING)
    )
    completed = float((run.values[0, :, UNFILLED] <= 1.0 - COMPLETE).mean())
    return Outcome(int(np.argmax(chosen.resolved.weights)), heads, tuple(draws.tolist()), completed)


def verdicts_of(piece: Piece) -> list[Verdict]:
    """The decisions of a piece, judged."""
    base, found = base_with(piece.models), []
    for index in piece.indices:
        case = draw_case(piece.purpose, index)
        chosen = choose_for(case, base)
        if chosen is None or chosen.priced.models is None:
            continue
        choice = {"chosen": int(served_in_grid()[chosen.candidate])}
        judged = label_case(case, base, choice, rules=LABEL_RULES)
        if "chosen" in judged.choices:
            found.append(Verdict(tuple(features_of(chosen).tolist()), judged.choices["chosen"].within))
    return found


def features_of(chosen: Chosen) -> NDArray[np.float32]:
    priced = chosen.priced
    return confidence_features(
        priced.metrics, priced.mask, priced.algorithm, priced.best, priced.structural, priced.context,
        chosen.resolved.weights,
    )


def pieces(purpose: Purpose, count: int, models: Models, size: int = 50) -> list[Piece]:
    starts = range(0, count, size)
    return [Piece(purpose, tuple(range(start, min(start + size, count))), models) for start in starts]


Found = TypeVar("Found")


def gathered(workers: Workers, function: Callable[[Piece], list[Found]], listed: Sequence[Piece],
             progress: Callable[[int, int], None] | None = None) -> list[Found]:
    """All pieces' results in the order of the pieces."""
    found: dict[int, list[Found]] = {}
    for position, part in workers.run(function, listed):
        found[position] = part
        if progress is not None:
            progress(len(found), len(listed))
    return [item for position in range(len(listed)) for item in found[position]]


# ---- cost interval and completion


def interval_scale(outcomes: Sequence[Outcome]) -> Array:
    """(conditions, 2): how far the halves of the interval are stretched so that a tenth of the draws lies beyond."""
    scale = np.ones((len(CONDITIONS), 2))
    for condition in range(len(CONDITIONS)):
        below, above = [], []
        for outcome in outcomes:
            if outcome.condition != condition:
                continue
            low, middle, high = (outcome.heads[head] for head in (HEAD_Q10, HEAD_Q50, HEAD_Q90))
            draws = np.array(outcome.draws)
            below.append((middle - draws) / max(middle - low, 1e-3))
            above.append((draws - middle) / max(high - middle, 1e-3))
        if below:
            scale[condition, 0] = max(float(np.quantile(np.concatenate(below), 1.0 - TAIL)), 0.05)
            scale[condition, 1] = max(float(np.quantile(np.concatenate(above), 1.0 - TAIL)), 0.05)
    return scale


def rising_map(score: Array, truth: Array) -> Array:
    """(2, knots): isotonic regression of truth on score, thinned to knots with rising scores."""
    order = np.argsort(score, kind="stable")
    fitted = isotonic_regression(truth[order]).x
    edges = np.unique(np.round(np.linspace(0, len(order) - 1, KNOTS + 1)).astype(int))
    xs = [float(score[order[a : b + 1]].mean()) for a, b in pairwise(edges.tolist())]
    ys = [float(fitted[a : b + 1].mean()) for a, b in pairwise(edges.tolist())]
    kept = np.concatenate(([True], np.diff(xs) > 1e-9))
    return np.array([np.array(xs)[kept], np.clip(np.maximum.accumulate(np.array(ys)[kept]), 0.0, 1.0)])


def completion_map(outcomes: Sequence[Outcome]) -> Array:
    """What a raw completion score stands for."""
    raw = np.array([min(max(outcome.heads[HEAD_COMPLETION], 0.0), 1.0) for outcome in outcomes])
    return rising_map(raw, np.array([outcome.completed for outcome in outcomes]))


# ---- confidence


def classifier_parameters(seed: int) -> dict[str, object]:
    """Small and held back: about a tenth of a thousand orders is all there is to learn from."""
    return {
        "objective": "binary", "num_leaves": 6, "learning_rate": 0.06, "min_data_in_leaf": 30, "lambda_l2": 10.0,
        "feature_fraction": 0.6, "max_bin": 63, "deterministic": True, "force_row_wise": True, "num_threads": 1,
        "seed": seed, "verbose": -1,
    }


def fit_classifier(features: NDArray[np.float32], within: Array, seed: int, trees: int = 40) -> lightgbm.Booster:
    data = lightgbm.Dataset(
        features, within, feature_name=list(CONFIDENCE_FEATURES), params=classifier_parameters(seed)
    )
    return lightgbm.train(classifier_parameters(seed), data, num_boost_round=trees)


def fit_confidence(verdicts: Sequence[Verdict], seed: int) -> tuple[lightgbm.Booster, Array]:
    """(classifier, map from its raw score to a frequency). The map is fitted on scores of orders that the scoring
    classifier had not seen, by a logistic line (two numbers, so that few orders suffice), given as knots."""
    features = np.array([verdict.features for verdict in verdicts], dtype=np.float32)
    within = np.array([verdict.within for verdict in verdicts], dtype=np.float64)
    unseen = np.empty(len(verdicts))
    # Objectives and conditions go round by 30: each fold gets all of them, where there are so many orders.
    block = 30 if len(verdicts) >= 30 * FOLDS else 1
    for fold in range(FOLDS):
        held = (np.arange(len(verdicts)) // block) % FOLDS == fold
        booster = fit_classifier(features[~held], within[~held], seed)
        unseen[held] = np.asarray(booster.predict(features[held], raw_score=True))
    slope, level = platt(unseen, within)
    knots = np.linspace(float(unseen.min()) - 1.0, float(unseen.max()) + 1.0, 64)
    booster = on_grid(fit_classifier(features, within, seed).model_to_string())
    return booster, np.array([knots, 1.0 / (1.0 + np.exp(-(slope * knots + level)))])


def platt(score: Array, within: Array) -> tuple[float, float]:
    """(slope > 0, level) of the logistic line of greatest likelihood (Platt 1999, with his softened targets)."""
    positive, negative = within.sum(), (1.0 - within).sum()
    target = np.where(within > 0.5, (positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0))
    line = np.array([1.0, 0.0])
    for _ in range(100):
        chance = 1.0 / (1.0 + np.exp(-(line[0] * score + line[1])))
        slope = np.array([((chance - target) * score).sum(), (chance - target).sum()])
        weight = chance * (1.0 - chance)
        curve = np.array([
            [(weight * score * score).sum() + 1e-9, (weight * score).sum()],
            [(weight * score).sum(), weight.sum() + 1e-9],
        ])
        step = np.linalg.solve(curve, slope)
        line = line - step
        if float(np.abs(step).max()) < 1e-10:
            break
    return max(float(line[0]), 1e-3), float(line[1])


# ---- where the training orders lay


def domain_bounds(context: Array) -> Array:
    """(names, 2) least and greatest of the training orders' figures."""
    figures = domain_of(context)
    return np.column_stack([figures.min(axis=0), figures.max(axis=0)])


def thin_from(ratios: Array, sd: Array) -> float:
    """Squared distance from the instruments' usual figures that 5 % of the training orders exceed."""
    return float(np.quantile(((ratios / sd) ** 2).sum(axis=1), 0.95))


