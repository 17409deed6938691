"""How much regret decisions have on orders kept out of fitting: by the surfaces, the refitted ones, and the models.

Only served candidates are looked at, and the best of them is known with the error of its labels, so these figures are
for choosing between fits; the judge (benchmarks/quality) has the last word.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import kernel as k
from engine.scoring.features import RANKING_HEADS, ROUGH_TREES, STRUCTURAL_PART
from engine.scoring.models import Models
from engine.scoring.trees import rough_rows, score_rows
from engine.surfaces import scaled
from training.labelling import served, shipped_surfaces
from training.labels import Labels
from training.refit import BaseParts, base_parts, tolerances, true_parts, utility_of

Array = NDArray[np.float64]


def learned_parts(labels: Labels, known: BaseParts, models: Models) -> BaseParts:
    """What the kernel would make of every labelled row (`kernel_learned.learned_base`)."""
    heads = np.arange(len(RANKING_HEADS), dtype=np.int64)
    scores = np.empty((labels.rows, len(heads)), dtype=np.float32)
    score_rows(*models.ranking.walk, labels.algorithm, np.ascontiguousarray(labels.features), heads, scores)
    return composed(labels, known, scores)


def rough_parts(labels: Labels, known: BaseParts, models: Models) -> BaseParts:
    """What the kernel prunes by (`kernel_learned._rank_each`)."""
    scores = np.empty((labels.rows, len(RANKING_HEADS)), dtype=np.float32)
    rough_rows(*models.ranking.walk, labels.algorithm, np.ascontiguousarray(labels.features), ROUGH_TREES, scores)
    return composed(labels, known, scores)


def composed(labels: Labels, known: BaseParts, scores: NDArray[np.float32]) -> BaseParts:
    """Structural part plus scaled scores (rows, heads), bounded as in the kernel."""
    scales = labels.scales.astype(np.float64)
    parts = {
        name: STRUCTURAL_PART * getattr(known, name) + scales[:, n] * scores[:, n]
        for n, name in enumerate(RANKING_HEADS)
    }
    return BaseParts(
        spread=np.maximum(parts["spread"], 0.0), sigma=parts["sigma"],
        deviation=np.maximum(parts["deviation"], 1e-3 * scales[:, 2]),
        time=np.clip(parts["time"], 0.0, scales[:, 3]), unfilled=np.clip(parts["unfilled"], 0.0, 1.0),
        dark=known.dark, passive=known.passive,
    )


def regret_of(labels: Labels, forecast: Array, truth: Array) -> tuple[float, float]:
    """(share within tolerance, mean regret in bps) of choosing by a forecast."""
    tolerance = tolerances(labels, truth)
    within, regrets = [], []
    for order in range(labels.orders):
        rows = slice(labels.first_row[order], labels.first_row[order + 1])
        if rows.stop - rows.start < 2:
            continue
        chosen = int(np.argmin(forecast[rows]))
        regret = float(truth[rows][chosen] - truth[rows].min())
        regrets.append(regret)
        within.append(regret <= tolerance[rows.start])
    return float(np.mean(within)), float(np.mean(regrets))


def pruned_recall(labels: Labels, rough: Array, truth: Array, keep: NDArray[np.int64]) -> float:
    """Share of orders where a candidate within tolerance of the best is among those that pruning by the utilities
    `rough` (rows,) keeps (kernel_choice.keep_best)."""
    tolerance, algorithm = tolerances(labels, truth), served().algorithm[labels.candidate]
    found = []
    for order in range(labels.orders):
        rows = slice(labels.first_row[order], labels.first_row[order + 1])
        mask = np.zeros(rows.stop - rows.start, dtype=np.int64)
        k.keep_best(algorithm[rows], rough[rows], mask, int(keep[0]), keep[2:])
        found.append(truth[rows][mask == 0].min() - truth[rows].min() <= tolerance[rows.start])
    return float(np.mean(found))


def validation(labels: Labels, factors: Array, models: Models) -> dict[str, Any]:
    """The table: share within tolerance and mean regret of each way to choose."""
    surfaces, truth = shipped_surfaces()[0], utility_of(labels, true_parts(labels))
    plain, refitted = base_parts(labels, surfaces), base_parts(labels, scaled(surfaces, factors))
    forecasts = {
        "structural": utility_of(labels, plain), "refitted": utility_of(labels, refitted),
        "learned": utility_of(labels, learned_parts(labels, refitted, models)),
    }
    table: dict[str, Any] = {"orders": labels.orders}
    for name, forecast in forecasts.items():
        within, regret = regret_of(labels, forecast, truth)
        table[f"{name}_within"], table[f"{name}_regret_bps"] = round(within, 4), round(regret, 4)
    rough = utility_of(labels, rough_parts(labels, refitted, models))
    table["pruned_recall"] = round(pruned_recall(labels, rough, truth, models.keep), 4)
    return table
