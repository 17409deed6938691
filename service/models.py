"""Learned models from an artifact into the snapshot: checked whole, and held to ONNX Runtime before they may decide.

Whatever is wrong stops the start with every fault named: a service that silently decided by something else than what
its operator deployed would be worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.catalogue import ALGORITHM_NAMES
from engine.scoring.models import Models, models_from_arrays
from engine.scoring.onnx_scorer import CompiledScorer, LaneScorer, OnnxScorer, ParityReport, parity
from engine.scoring.trees import TreeTable
from engine.utility import table_sha256
from store.artifacts import Manifest, bytes_to_arrays, load_artifact
from store.errors import StoreError

KIND = "models"
ARRAYS_FILE = "models.npz"
# Rows a group that both scorers see at every activation: a few milliseconds. The million of the parity report was
# scored when the artifact was made.
PARITY_ROWS = 256
PARITY_SEED = 20261122

UNPROBED = ParityReport(0, 0, 0, 0.0)


class ModelsUnfitError(StoreError):
    """The models were made for something else than this build and these surfaces, or do not say what ONNX does."""


@dataclass(frozen=True, slots=True)
class LoadedModels:
    models: Models
    parity: ParityReport


def load_models(folder: Path, surfaces_sha256: str, probes: bool = True) -> LoadedModels:
    """Reads, checks and probes. `probes` False: another process has held these very bytes to ONNX Runtime already.
    Raises ArtifactInvalid or ModelsUnfitError with every fault."""
    artifact = load_artifact(folder)
    faults = manifest_faults(artifact.manifest, surfaces_sha256)
    if faults:
        raise ModelsUnfitError(f"models {artifact.sha256[:12]} in {folder}: " + "; ".join(faults))
    try:
        models = models_from_arrays(bytes_to_arrays(artifact.files[ARRAYS_FILE]), artifact.sha256)
        report = probe(models, artifact.files) if probes else UNPROBED
    except (KeyError, ValueError) as error:
        raise ModelsUnfitError(f"models {artifact.sha256[:12]} in {folder}: {error}") from error
    if not report.exact:
        raise ModelsUnfitError(
            f"models {artifact.sha256[:12]} in {folder}: the compiled walk and ONNX Runtime disagree in "
            f"{report.scores - report.identical} of {report.scores} scores (largest relative difference "
            f"{report.largest_relative_difference:.3g})"
        )
    return LoadedModels(models, report)


def manifest_faults(manifest: Manifest, surfaces_sha256: str) -> list[str]:
    """What the artifact says that it was made for, against what it would be used with."""
    if manifest.kind != KIND:
        return [f"it is of kind {manifest.kind!r}, not {KIND!r}"]
    faults = []
    for name, ours in (("utility_sha256", table_sha256()), ("surfaces_sha256", surfaces_sha256)):
        made_for = manifest.metadata.get(name)
        if made_for != ours:
            faults.append(f"made for {name} {str(made_for)[:12]}, this service has {ours[:12]}; run `make train`")
    if ARRAYS_FILE not in manifest.files:
        faults.append(f"{ARRAYS_FILE} is not in it")
    return faults


def probe(models: Models, files: Mapping[str, bytes]) -> ParityReport:
    """All scorers on the same rows, every group and head: what ranks is scored in lanes, what describes is walked.
    Raises KeyError for a model file that is not there."""
    rng = np.random.default_rng(PARITY_SEED)
    reports = [
        parity(
            OnnxScorer([files[f"{name}_{group}.onnx"] for group in groups]), compiled(table),
            {number: probe_rows(table, rng) for number in range(len(groups))},
        )
        for name, groups, table, compiled in (
            ("ranking", ALGORITHM_NAMES, models.ranking, LaneScorer),
            ("ranking", ALGORITHM_NAMES, models.ranking, CompiledScorer),
            ("describing", ALGORITHM_NAMES, models.describing, CompiledScorer),
        )
    ]
    reports.append(
        parity(OnnxScorer([files["confidence.onnx"]]), CompiledScorer(models.confidence),
               {0: probe_rows(models.confidence, rng)})
    )
    return ParityReport(
        sum(r.rows for r in reports), sum(r.scores for r in reports), sum(r.identical for r in reports),
        max(r.largest_relative_difference for r in reports),
    )


def probe_rows(table: TreeTable, rng: np.random.Generator) -> NDArray[np.float32]:
    """Rows whose every figure is a threshold of its feature, or one step beside it: where routing is decided."""
    rows = rng.standard_normal((PARITY_ROWS, len(table.features))).astype(np.float32)
    for feature in range(len(table.features)):
        thresholds = table.threshold[table.feature == feature]
        if len(thresholds):
            drawn = rng.choice(thresholds, PARITY_ROWS)
            beside = np.where(rng.random(PARITY_ROWS) < 0.5, np.inf, -np.inf).astype(np.float32)
            rows[:, feature] = np.where(rng.random(PARITY_ROWS) < 0.5, drawn, np.nextafter(drawn, beside))
    return np.ascontiguousarray(rows)
