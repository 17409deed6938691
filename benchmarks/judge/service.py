"""What the service decides for a case, and what it would without its models: the same functions as behind Recommend."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import kernel as k
from engine.decide import decide
from engine.decision import Decision
from engine.priced import NO_MULTIPLES, Priced, context_of, models_for, run_kernel
from engine.resolve import Resolved, resolve
from engine.snapshot import Snapshot
from engine.surfaces import scaled, surfaces_from_arrays
from engine.utility import weights_of
from service.bootstrap import SHIPPED_MODELS, SHIPPED_SURFACES
from service.models import load_models
from store.artifacts import bytes_to_arrays, load_artifact
from training.contexts import Case, base_snapshot
from training.judging_grid import served_in_grid
from training.verdict import Indices

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Service:
    """Snapshots without instruments (cases bring theirs). `served`: as shipped; `structural`: the same surfaces with
    the models' refit but no trees; `unfitted`: the surfaces as they were built. `evaluation`: what training measured.
    """

    served: Snapshot
    structural: Snapshot
    unfitted: Snapshot
    surfaces_sha256: str
    models_sha256: str
    no_models: str
    evaluation: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision. Candidates are indices in the judging grid, but for `allowed` and `metrics`: (served,) whether the
    served candidate may be chosen, and what the surfaces say of it (served, METRICS)."""

    chosen: int
    structural: int
    unfitted: int
    kept: Indices
    choosable: Indices
    allowed: NDArray[np.bool_]
    metrics: Array
    decision: Decision
    resolved: Resolved
    by_models: bool


def models_folder(models_dir: Path | None) -> Path:
    return models_dir or SHIPPED_MODELS


@cache
def load_service(models_dir: Path | None = None) -> Service:
    """The shipped artifacts, or models from a folder. Raises what the service's own start raises."""
    artifact = load_artifact(SHIPPED_SURFACES)
    surfaces = surfaces_from_arrays(bytes_to_arrays(artifact.files["surfaces.npz"]))
    unfitted = replace(base_snapshot(surfaces), surfaces_sha256=artifact.sha256)
    folder = models_folder(models_dir)
    if not folder.exists():
        words = f"there are no learned models in {folder.name}"
        return Service(unfitted, unfitted, unfitted, artifact.sha256, "", words, {})
    models = load_models(folder, artifact.sha256).models
    fitted = replace(unfitted, surfaces=scaled(surfaces, models.factors))
    said = json.loads(load_artifact(folder).files.get("evaluation.json", b"{}"))
    return Service(replace(fitted, models=models), fitted, unfitted, artifact.sha256, models.sha256, "", said)


def priced(case: Case, base: Snapshot) -> tuple[Resolved, Priced] | None:
    """The kernel's word on a case; None where the request cannot be planned, or only in part (carried over)."""
    snapshot = case.snapshot(base)
    resolved = resolve(case.request, snapshot)
    if not isinstance(resolved, Resolved):
        return None
    context = context_of(resolved, snapshot, weights_of(case.request.objective, case.request.urgency))
    models, _ = models_for(snapshot, context)
    found = run_kernel(snapshot, resolved, context, NO_MULTIPLES, models)
    return (resolved, found) if found.best >= 0 else None


def decided(case: Case, service: Service) -> Decided | None:
    """The decision, or None where there is none of the whole order (such orders are reported apart)."""
    decision = decide(case.request, case.snapshot(service.served))
    own, plain, raw = (priced(case, base) for base in (service.served, service.structural, service.unfitted))
    if not isinstance(decision, Decision) or own is None or plain is None or raw is None:
        return None
    resolved, found = own
    grid = served_in_grid()
    # A candidate that the models masked themselves was kept as well.
    kept = (found.mask & k.MASK_PRUNED) == 0
    allowed = plain[1].mask == 0
    return Decided(
        int(grid[found.best]), int(grid[plain[1].best]), int(grid[raw[1].best]), grid[kept & allowed], grid[allowed],
        allowed, plain[1].metrics, decision, resolved, found.models is not None,
    )
