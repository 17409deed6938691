"""`ess train --from-outcomes`: an artifact refitted on what its own decisions cost, as a new folder with its card.

Trees and surfaces stay: some thousand outcomes cannot grow trees, but they can say where those are off. Two things are
fitted. The effects of engine/learning that the evidence carries (impact, leakage, algorithms, cells) go into the
artifact, beside those that it may hold already. The interval of each market condition is stretched so that it covers
80 % of what was reported, shrunk towards what it was: CONDITION_WEIGHT outcomes are needed to go half of the way.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.learning.effects import effect_names
from engine.learning.fit import alarms_of, fit
from engine.scoring.models import Models, arrays_of_models, models_from_arrays
from engine.values import CONDITIONS
from store.artifacts import Manifest, arrays_to_bytes, bytes_to_arrays, load_artifact, write_artifact
from store.history import Told
from training.artifact import ARRAYS_FILE, as_json

Array = NDArray[np.float64]

LEAST_OUTCOMES: Final = 1_000
LEAST_OF_CONDITION: Final = 100
CONDITION_WEIGHT: Final = 200.0
LEAST_STRETCH, MOST_STRETCH = 0.5, 2.0
# Of the interval that is told: a tenth lies on either side of it.
OUTSIDE: Final = 0.1


class TooFewOutcomes(Exception):
    """Not enough to refit anything; the text says how many there are."""


@dataclass(frozen=True, slots=True)
class Refitted:
    models: Models
    figures: dict[str, Any]


def refit_on(models: Models, told: Sequence[Told], least: int = LEAST_OUTCOMES) -> Refitted:
    """Raises TooFewOutcomes."""
    if len(told) < least:
        raise TooFewOutcomes(f"{len(told)} outcomes of decisions by these models; at least {least} are needed")
    found = fit([one.outcome for one in told])
    if found is None:
        raise TooFewOutcomes("hardly any outcome can be used: figures are not finite")
    effects = found.values if models.effects is None else models.effects + found.values
    stretched = models.interval_scale * stretches(told)
    names = effect_names()
    figures = {
        "outcomes": len(told), "coverage_before": coverage(told),
        "mean_surprise_bps": float(np.mean([one.outcome.surprise_bps for one in told])),
        "effects": {names[n]: round(float(found.values[n]), 6) for n in found.active},
        "alarms": list(alarms_of(found.active)),
        "interval_stretch": {
            condition.name: [round(float(value), 4) for value in row]
            for condition, row in zip(CONDITIONS, stretches(told), strict=True)
        },
    }  # fmt: skip
    return Refitted(replace(models, effects=effects, interval_scale=stretched), figures)


def coverage(told: Sequence[Told]) -> float:
    return float(np.mean([one.low_bps <= one.outcome.cost_bps <= one.high_bps for one in told]))


def stretches(told: Sequence[Told]) -> Array:
    """(conditions, 2) what the lower and the upper half of each condition's interval are multiplied with."""
    found = np.ones((len(CONDITIONS), 2))
    for n, condition in enumerate(CONDITIONS):
        own = [one for one in told if one.outcome.condition == condition.name]
        if len(own) >= LEAST_OF_CONDITION:
            weight = len(own) / (len(own) + CONDITION_WEIGHT)
            found[n] = [weighted(stretch_of(own, side), weight) for side in (-1.0, 1.0)]
    return found


def weighted(stretch: float, weight: float) -> float:
    return math.exp(weight * math.log(min(max(stretch, LEAST_STRETCH), MOST_STRETCH)))


def stretch_of(told: Sequence[Told], side: float) -> float:
    """How much longer one half of the interval must be for a tenth of the outcomes to lie beyond it. The middle is that
    of the interval, moved by the mean surprise: what is wrong with the mean is the effects' business."""
    moved = float(np.mean([one.outcome.surprise_bps for one in told]))
    far = []
    for one in told:
        middle, half = 0.5 * (one.low_bps + one.high_bps), 0.5 * (one.high_bps - one.low_bps)
        far.append(side * (one.outcome.cost_bps - moved - middle) / max(half, 1e-6))
    return max(float(np.quantile(far, 1.0 - OUTSIDE)), 1e-3)


def write_refit(source: Path, out: Path, refitted: Refitted) -> Manifest:
    """A new artifact beside the old one, which stays as it is. Raises FileExistsError where `out` is not empty."""
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty: a refit is a new artifact, and never takes the place of another")
    known = load_artifact(source)
    evaluation = {**json.loads(known.files["evaluation.json"]), "from_outcomes": refitted.figures}
    files = {
        **known.files, ARRAYS_FILE: arrays_to_bytes(arrays_of_models(refitted.models)),
        "evaluation.json": as_json(evaluation), "card.md": known.files["card.md"] + card(known.sha256, refitted),
    }
    metadata = {**known.manifest.metadata, "refit_of": known.sha256, "outcomes": refitted.figures["outcomes"]}
    return write_artifact(
        out, known.manifest.kind, files, metadata, seed=known.manifest.seed, created_by="training.from_outcomes"
    )


def card(parent: str, refitted: Refitted) -> bytes:
    figures = refitted.figures
    effects = ", ".join(f"{name} {value:+.3f}" for name, value in figures["effects"].items()) or "none"
    lines = [
        "", "## Refitted on outcomes", "",
        f"The trees are those of {parent[:12]}. {figures['outcomes']:,} reported outcomes of its decisions were read;",
        f"they cost {figures['mean_surprise_bps']:+.2f} bps more than forecast on average, and its 80 % intervals held",
        f"{figures['coverage_before']:.1%} of them. Effects in force (bps; impact and leakage as parts): {effects}.",
        "Intervals by condition were stretched as evaluation.json says. Confidence was not calibrated anew.", "",
    ]
    return "\n".join(lines).encode()


def load(source: Path) -> Models:
    artifact = load_artifact(source)
    return models_from_arrays(bytes_to_arrays(artifact.files[ARRAYS_FILE]), artifact.sha256)
