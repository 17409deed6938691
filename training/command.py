"""`ess train`: labels, refit, heads, export with parity, calibration, confidence, artifact.

    ess train [--out DIR] [--contexts N] [--jobs N | --cluster ADDRESS]
    ess train --from-outcomes URL --out DIR [--source DIR]      (from_outcomes.py)

Every stage shows its progress. Labels are kept in chunks under --work, so that a run that was stopped goes on; the
same seed gives the same artifact, byte for byte, wherever the work was done. Times are kept in timing.json of --work.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from engine.catalogue import ALGORITHM_NAMES
from engine.scoring.features import (
    DESCRIBING_HEADS,
    FEATURE_NAMES,
    RANKING_HEADS,
    schema_sha256,
)
from engine.scoring.models import CONFIDENCE_FEATURES, Models, arrays_of_models, models_from_arrays
from engine.simulator.world import DEFAULT_WORLD
from engine.surfaces import scaled
from store.artifacts import arrays_to_bytes, bytes_to_arrays, load_artifact, write_artifact
from store.errors import StoreError
from store.history import read_history
from training import calibrate
from training import from_outcomes as refit_outcomes
from training.artifact import ARRAYS_FILE, SHIPPED_MODELS, Made, as_json, write_models
from training.contexts import Purpose
from training.export import Exported, export
from training.export_check import check_export
from training.fit import Heads, fit_heads, heads_of, tasks_of
from training.from_outcomes import LEAST_OUTCOMES
from training.labelling import EVERYTHING, LabelSpec, shipped_surfaces
from training.labels import Labels, chunk_specs, make_labels
from training.refit import base_parts, refit
from training.validate import validation
from training.workers import Workers, open_workers

Array = NDArray[np.float64]
Tell = Callable[[int, int], None]

# Orders of Purpose.TRAIN from here on are only ever validated on.
FIRST_VALIDATION = 1_000_000
# How many candidates all trees score, of those that the first trees leave: of the order, and of another size of it; and
# at least one of every algorithm. On 684 orders of their own an equal of the best of the whole judging grid was kept in
# 97.5 % of them with 24, in 98.5 % with 36; 99.0 % have one among what is served.
KEEP = (36, 6)
LEAST = 1
THIN_SLOPE = 0.04


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    contexts: int = 50_000
    pairs: int = 64
    validation: int = 400
    calibration: int = 3_000
    confidence: int = 1_500
    parity_rows: int = 1_000_000
    seed: int = 0


SHORT = Plan(contexts=300, pairs=16, validation=20, calibration=60, confidence=12, parity_rows=20_000)


@dataclass(slots=True)
class Stages:
    """Progress on the screen, and how long each stage took."""

    progress: Progress
    seconds: dict[str, float]

    @contextmanager
    def stage(self, name: str) -> Iterator[Tell]:
        began = time.monotonic()
        task = self.progress.add_task(name, total=None)

        def tell(done: int, total: int) -> None:
            self.progress.update(task, completed=done, total=total)

        yield tell
        self.progress.update(task, completed=1, total=1)
        self.seconds[name] = time.monotonic() - began


def labelled(plan: Plan, folder: Path, workers: Workers, fresh: bool, tell: Tell) -> Labels:
    like = LabelSpec(Purpose.TRAIN, 0, 0, plan.pairs, seed=plan.seed, surfaces_sha256=shipped_surfaces()[1])
    return make_labels(chunk_specs(Purpose.TRAIN, 0, plan.contexts, like), folder, workers, fresh, tell)


def validation_labels(plan: Plan, folder: Path, workers: Workers, fresh: bool, tell: Tell) -> Labels:
    like = LabelSpec(
        Purpose.TRAIN, 0, 0, 3 * plan.pairs, selection=EVERYTHING, seed=plan.seed,
        surfaces_sha256=shipped_surfaces()[1],
    )
    specs = chunk_specs(Purpose.TRAIN, FIRST_VALIDATION, plan.validation, like, size=50)
    return make_labels(specs, folder, workers, fresh, tell)


def fitted(labels: Labels, factors: Array, plan: Plan, workers: Workers, folder: Path, tell: Tell) -> Heads:
    known = base_parts(labels, scaled(shipped_surfaces()[0], factors))
    tasks = list(tasks_of(labels, known, plan.seed))
    found = []
    for part in fit_heads(tasks, workers, folder):
        found.append(part)
        tell(len(found), len(tasks))
    return heads_of(found)


@dataclass(frozen=True, slots=True)
class Trees:
    ranking: Exported
    describing: Exported
    rows: int
    largest_difference: float


def exported(heads: Heads, plan: Plan, tell: Tell) -> Trees:
    """Both kinds of heads as ONNX and as tables, held to LightGBM and to each other. Raises ExportMismatch."""
    made, rows, largest = [], 0, 0.0
    for boosters, names in ((heads.ranking, RANKING_HEADS), (heads.describing, DESCRIBING_HEADS)):
        out = export(boosters, ALGORITHM_NAMES, names, FEATURE_NAMES, schema_sha256=schema_sha256())
        report = check_export(out, boosters, rows=plan.parity_rows, seed=plan.seed, progress=tell)
        made.append(out)
        rows += report.rows
        largest = max(largest, report.largest_relative_difference)
    return Trees(made[0], made[1], rows, largest)


def no_confidence() -> Exported:
    """A table that scores 0, until the confidence has been fitted."""
    return export({}, ("ALL",), ("within",), CONFIDENCE_FEATURES, base={("ALL", "within"): 0.0})


def uncalibrated(labels: Labels, factors: Array, trees: Trees) -> Models:
    """The models as far as they are known before calibration."""
    line = np.array([[0.0, 1.0], [0.0, 1.0]])
    sd = labels.ratios.std(axis=0)
    return Models(
        ranking=trees.ranking.table, describing=trees.describing.table, confidence=no_confidence().table,
        factors=factors, interval_scale=np.ones((6, 2)), completion_map=line, confidence_map=line,
        domain=calibrate.domain_bounds(labels.context), ratio_sd=sd,
        thin_from=calibrate.thin_from(labels.ratios, sd), thin_slope=THIN_SLOPE, keep=keep_array(),
    )


def keep_array() -> NDArray[np.int64]:
    """`Models.keep`."""
    return np.array([*KEEP, *(LEAST for _ in ALGORITHM_NAMES)], dtype=np.int64)


def calibrated(models: Models, plan: Plan, workers: Workers, tell: Tell) -> Models:
    listed = calibrate.pieces(Purpose.CALIBRATE, plan.calibration, models)
    outcomes = calibrate.gathered(workers, calibrate.outcomes_of, listed, tell)
    return replace(
        models, interval_scale=calibrate.interval_scale(outcomes), completion_map=calibrate.completion_map(outcomes)
    )


def confident(models: Models, plan: Plan, workers: Workers, tell: Tell) -> tuple[Models, Exported, dict[str, Any]]:
    listed = calibrate.pieces(Purpose.CONFIDENCE, plan.confidence, models, size=10)
    verdicts = calibrate.gathered(workers, calibrate.verdicts_of, listed, tell)
    booster, line = calibrate.fit_confidence(verdicts, plan.seed)
    out = export(
        {("ALL", "within"): booster}, ("ALL",), ("within",), CONFIDENCE_FEATURES, raw_heads=("within",)
    )
    share = float(np.mean([verdict.within for verdict in verdicts]))
    figures = {"orders": len(verdicts), "within_tolerance_of_the_oracle": round(share, 4)}
    return replace(models, confidence=out.table, confidence_map=line), out, figures


def train(plan: Plan, out: Path, work: Path, workers: Workers, fresh: bool = False) -> dict[str, Any]:
    """The whole run. Gives the figures that are also written."""
    seconds: dict[str, float] = {}
    with Progress(console=Console(stderr=True)) as progress:
        stages = Stages(progress, seconds)
        with stages.stage("labels") as tell:
            labels = labelled(plan, work / "labels", workers, fresh, tell)
        with stages.stage("labels for validation") as tell:
            kept_out = validation_labels(plan, work / "labels", workers, fresh, tell)
        with stages.stage("refit of the surfaces"):
            factors = refit(labels, shipped_surfaces()[0])
        with stages.stage("heads") as tell:
            heads = fitted(labels, factors, plan, workers, work / "heads", tell)
        with stages.stage("export and parity") as tell:
            trees = exported(heads, plan, tell)
        models = uncalibrated(labels, factors, trees)
        with stages.stage("validation"):
            validated = validation(kept_out, factors, models)
        with stages.stage("intervals and completion") as tell:
            models = calibrated(models, plan, workers, tell)
        with stages.stage("confidence") as tell:
            models, confidence, judged = confident(models, plan, workers, tell)
        evaluation = {
            "validation": validated, "confidence": judged, "parity_rows": trees.rows,
            "parity_largest_relative_difference": trees.largest_difference,
            "parity_words": f"{trees.rows:,} rows, thresholds and their neighbours among them: routing identical to "
            "LightGBM, scores identical between ONNX Runtime and the compiled walk.",
        }
        sizes = {
            "orders": labels.orders, "rows": labels.rows, "pairs": plan.pairs, "validation": kept_out.orders,
            "calibration": plan.calibration, "confidence": plan.confidence,
        }
        manifest = write_models(out, Made(
            models, trees.ranking, trees.describing, confidence, DEFAULT_WORLD, shipped_surfaces()[1], plan.seed,
            sizes, evaluation,
        ))
    figures = {
        **evaluation, "models_sha256": manifest.sha256, "workers": workers.count,
        "size_mb": round(sum(entry.size_bytes for entry in manifest.files.values()) / 1e6, 2),
        "seconds": {name: round(took, 1) for name, took in seconds.items()},
        "training_minutes": round(sum(seconds.values()) / 60.0, 2),
    }
    (work / "timing.json").write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def recalibrate(plan: Plan, out: Path, work: Path, workers: Workers) -> dict[str, Any]:
    """The trees of an artifact, calibrated anew: after a change of the catalogue, the limits or the conditions, which
    changes what is chosen but not what a candidate costs. The manifest names the artifact that the trees are of."""
    known = load_artifact(out)
    arrays = {**bytes_to_arrays(known.files[ARRAYS_FILE]), "keep": keep_array()}
    models = models_from_arrays(arrays, known.sha256)
    seconds: dict[str, float] = {}
    with Progress(console=Console(stderr=True)) as progress:
        stages = Stages(progress, seconds)
        with stages.stage("intervals and completion") as tell:
            models = calibrated(models, plan, workers, tell)
        with stages.stage("confidence") as tell:
            models, confidence, judged = confident(models, plan, workers, tell)
    evaluation = {**json.loads(known.files["evaluation.json"]), "confidence": judged}
    files = {
        **known.files, ARRAYS_FILE: arrays_to_bytes(arrays_of_models(models)), "confidence.onnx": confidence.models[0],
        "evaluation.json": as_json(evaluation),
    }
    metadata = {**known.manifest.metadata, "trees_of": known.manifest.metadata.get("trees_of", known.sha256)}
    manifest = write_artifact(
        out, known.manifest.kind, files, metadata, seed=known.manifest.seed, created_by="training.command --recalibrate"
    )
    before = json.loads((work / "timing.json").read_text()) if (work / "timing.json").exists() else {}
    spent = {**before.get("seconds", {}), **{f"{name}, anew": round(took, 1) for name, took in seconds.items()}}
    figures = {
        **before, **evaluation, "models_sha256": manifest.sha256, "workers": workers.count, "seconds": spent,
        "training_minutes": round(sum(spent.values()) / 60.0, 2),
    }
    (work / "timing.json").write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def from_outcomes(conninfo: str, source: Path, out: Path, least: int) -> int:
    """Exit code 1 where there are too few outcomes, no artifact to refit, or nowhere to write."""
    try:
        known = load_artifact(source)
        told = read_history(conninfo, str(known.manifest.metadata["surfaces_sha256"]), known.sha256)
        refitted = refit_outcomes.refit_on(refit_outcomes.load(source), told, least)
        manifest = refit_outcomes.write_refit(source, out, refitted)
    except (refit_outcomes.TooFewOutcomes, FileExistsError, StoreError) as error:
        print(f"ess train: {error}", file=sys.stderr)
        return 1
    print(json.dumps({**refitted.figures, "models_sha256": manifest.sha256, "refit_of": known.sha256}, indent=1))
    return 0


def positive(text: str) -> int:
    """A count of an option: what is none of anything is a slip, and would begin a run of hours or end in its middle."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def database(text: str) -> str:
    """Where outcomes are read: an empty one is an unset variable, and no wish to train from simulated orders."""
    if not text:
        raise argparse.ArgumentTypeError("names no database")
    return text


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="ess train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=SHIPPED_MODELS, help="folder of the artifact")
    parser.add_argument("--work", type=Path, default=Path("build/train"), help="folder of labels and times")
    parser.add_argument("--contexts", type=positive, default=Plan.contexts, help="orders to learn from")
    parser.add_argument("--pairs", type=positive, default=Plan.pairs, help="mirrored pairs of paths an order")
    parser.add_argument("--confidence", type=positive, default=Plan.confidence, help="orders judged for the confidence")
    parser.add_argument("--jobs", type=positive, default=2, help="processes on this machine")
    parser.add_argument("--cluster", default="", help="address of a Dask scheduler instead, host:port")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="make all labels again")
    parser.add_argument("--short", action="store_true", help="a tiny run, to see that everything works")
    parser.add_argument("--recalibrate", action="store_true", help="keep the trees of --out, calibrate them anew")
    parser.add_argument("--from-outcomes", metavar="URL", type=database, help="refit --source on the outcomes "
                        "recorded in this PostgreSQL, into the new folder --out")
    parser.add_argument("--source", type=Path, default=SHIPPED_MODELS, help="what decided (--from-outcomes)")
    parser.add_argument("--least", type=positive, default=LEAST_OUTCOMES, help="outcomes that a refit needs at least")
    given = parser.parse_args(arguments)
    if given.from_outcomes:
        return from_outcomes(given.from_outcomes, given.source, given.out, given.least)
    plan = SHORT if given.short else Plan(given.contexts, given.pairs, confidence=given.confidence)
    plan = replace(plan, seed=given.seed)
    given.work.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        try:
            workers = opened.enter_context(open_workers(given.jobs, given.cluster))
        except OSError as error:
            print(f"ess train: {error}", file=sys.stderr)
            return 1
        if given.recalibrate:
            figures = recalibrate(plan, given.out, given.work, workers)
        else:
            figures = train(plan, given.out, given.work, workers, given.fresh)
    print(json.dumps(figures, indent=1))
    return 0



if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
