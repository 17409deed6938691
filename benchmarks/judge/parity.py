"""Whether ONNX Runtime would choose what the compiled walk chose, over many orders.

The choice among the candidates that are left is a function of their scores alone, so where ONNX Runtime gives the same
bits for all of them it makes the same choice; an order with any other bit counts as a different one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.service import Service, load_service, models_folder, priced
from engine.catalogue import ALGORITHM_NAMES
from engine.scoring.onnx_scorer import CompiledScorer, OnnxScorer
from store.artifacts import load_artifact
from training.contexts import Purpose, draw_case

# A few of the orders drawn are not the models' to decide: 60,000 are wanted that are.
ORDERS = 61_000
PIECE = 500


@dataclass(frozen=True, slots=True)
class Rows:
    """Candidates that were scored: which order of the piece, which algorithm, what the trees saw."""

    order: NDArray[np.int64]
    algorithm: NDArray[np.int64]
    features: NDArray[np.float32]


@cache
def reference(models_dir: Path | None) -> OnnxScorer:
    """ONNX Runtime over the artifact's ranking heads."""
    files = load_artifact(models_folder(models_dir)).files
    return OnnxScorer([files[f"ranking_{name}.onnx"] for name in ALGORITHM_NAMES])


def scored_rows(service: Service, first: int, count: int) -> Rows | None:
    """What the models had to choose from; orders that they do not decide are left out, None where that is all."""
    orders, algorithms, features = [], [], []
    for number in range(count):
        found = priced(draw_case(Purpose.PARITY, first + number), service.served)
        if found is None or found[1].models is None:
            continue
        left = np.flatnonzero(found[1].mask == 0)
        orders.append(np.full(len(left), number, dtype=np.int64))
        algorithms.append(found[1].algorithm[left])
        features.append(found[1].features[left])
    if not orders:
        return None
    return Rows(np.concatenate(orders), np.concatenate(algorithms), np.concatenate(features))


def parity_piece(first: int, count: int, models_dir: Path | None) -> dict[str, Any]:
    """How many of the orders get the same scores from both, and how many candidates that was."""
    service = load_service(models_dir)
    rows = scored_rows(service, first, count)
    if rows is None or service.served.models is None:
        return {"orders": 0, "same": 0, "rows": 0}
    compiled = CompiledScorer(service.served.models.ranking)
    same = np.zeros(len(rows.order), dtype=np.bool_)
    for group in range(len(ALGORITHM_NAMES)):
        own = rows.algorithm == group
        if own.any():
            features = np.ascontiguousarray(rows.features[own])
            expected, found = reference(models_dir).score(group, features), compiled.score(group, features)
            same[own] = np.all(expected.view(np.int32) == found.view(np.int32), axis=1)
    names, at = np.unique(rows.order, return_inverse=True)
    differing = np.bincount(at, ~same, len(names))
    return {"orders": len(names), "same": int((differing == 0).sum()), "rows": len(same)}


def parity_figures(pieces: list[dict[str, Any]], service: Service) -> dict[str, Any]:
    """The share of orders alike; null where there are no models."""
    orders = sum(piece["orders"] for piece in pieces)
    if orders == 0:
        reason = service.no_models or "the models decided none of the orders"
        return {"compiled_parity": None, "compiled_parity_orders": None, "compiled_parity_reason": reason}
    return {
        "compiled_parity": sum(piece["same"] for piece in pieces) / orders, "compiled_parity_orders": orders,
        "compiled_parity_candidates": sum(piece["rows"] for piece in pieces),
    }
