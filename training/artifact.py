"""The folder of learned models: what serves, what it must equal, and what a person should know about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engine.catalogue import ALGORITHM_NAMES, shape_keys
from engine.scoring.features import (
    DESCRIBING_HEADS,
    FEATURE_NAMES,
    RANKING_HEADS,
    RISING_FEATURES,
    STRUCTURAL_PART,
    schema_sha256,
)
from engine.scoring.models import CONFIDENCE_FEATURES, DOMAIN_NAMES, Models, arrays_of_models
from engine.simulator.world import WorldParameters
from engine.utility import table_sha256
from store.artifacts import Manifest, arrays_to_bytes, write_artifact
from training.export import Exported
from training.fit import DESCRIBING_PLANS, OFTEN_BEST, RANKING_PLANS, HeadPlan, ranking_plans
from training.judging_grid import grid_sha256

SHIPPED_MODELS = Path(__file__).resolve().parent.parent / "store" / "shipped" / "models"
ARRAYS_FILE = "models.npz"
LIBRARIES = ("lightgbm", "numpy", "onnx", "onnxmltools", "scipy")


@dataclass(frozen=True, slots=True)
class Made:
    """Everything that goes into the folder. `evaluation` holds figures that the training itself measured; times are not
    among them, so that the same seed gives the same hashes."""

    models: Models
    ranking: Exported
    describing: Exported
    confidence: Exported
    world: WorldParameters
    surfaces_sha256: str
    seed: int
    sizes: Mapping[str, int]
    evaluation: Mapping[str, Any]


def files_of(made: Made) -> dict[str, bytes]:
    """File name -> bytes."""
    files = {ARRAYS_FILE: arrays_to_bytes(arrays_of_models(made.models)), "confidence.onnx": made.confidence.models[0]}
    for kind, exported in (("ranking", made.ranking), ("describing", made.describing)):
        for algorithm, model in zip(ALGORITHM_NAMES, exported.models, strict=True):
            files[f"{kind}_{algorithm}.onnx"] = model
    files["schema.json"] = as_json(schema())
    files["evaluation.json"] = as_json(made.evaluation)
    files["card.md"] = card(made).encode()
    return files


def as_json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def plan_json(plan: HeadPlan) -> dict[str, Any]:
    return {"trees": plan.trees, "leaves": plan.leaves, "direction": plan.direction, "objective": plan.objective}


def schema() -> dict[str, Any]:
    """What goes in and what comes out, for whoever reads the ONNX files elsewhere."""
    return {
        "features": list(FEATURE_NAMES), "meaning": "engine/scoring/features.py says each feature's unit",
        "rising_features": list(RISING_FEATURES), "ranking_heads": list(RANKING_HEADS),
        "describing_heads": list(DESCRIBING_HEADS), "confidence_features": list(CONFIDENCE_FEATURES),
        "domain": list(DOMAIN_NAMES), "sha256": schema_sha256(),
        "composition": f"{STRUCTURAL_PART} x refitted surface + scale x head (engine/kernel_learned.py, learned_base)",
        "plans": {plan.name: plan_json(plan) for plan in (*RANKING_PLANS, *DESCRIBING_PLANS)},
        "ranking_plans_of_often_best": {
            name: {plan.name: plan_json(plan) for plan in ranking_plans(name)} for name in OFTEN_BEST
        },
    }


def write_models(folder: Path, made: Made) -> Manifest:
    """Writes the artifact whole; replaces one that is there."""
    metadata = {
        "surfaces_sha256": made.surfaces_sha256, "utility_sha256": table_sha256(), "grid_sha256": grid_sha256(),
        "schema_sha256": schema_sha256(), "world_sha256": made.world.sha256(), "world": made.world.as_json(),
        "shapes": [[name, value] for name, value in shape_keys()], "sizes": dict(made.sizes),
        "libraries": {name: version(name) for name in LIBRARIES},
        "origin": "simulated orders drawn around the instruments of store/seed; no real parent order was seen",
    }
    return write_artifact(
        folder, "models", files_of(made), metadata, seed=made.seed, created_by="training.command",
    )


def card(made: Made) -> str:
    """The model card."""
    sizes, found = made.sizes, made.evaluation
    budget = sum(plan.trees for plan in RANKING_PLANS)
    often = sum(plan.trees for plan in ranking_plans(OFTEN_BEST[0]))
    lines = [
        "# Model card: which execution algorithm for a parent order", "",
        "**What it predicts.** For each of 12 algorithms, coefficients of spread and volatility of the",
        "implementation shortfall, its standard deviation, mean execution time and unfilled share (ranking); cost",
        "quantiles, completion and end of execution (describing); the probability that a choice is within",
        "max(0.5 bps, 5 % of |U|) of the best candidate (confidence).", "",
        f"**Learned from** {sizes['orders']:,} simulated orders ({sizes['rows']:,} candidates run on {sizes['pairs']}",
        "mirrored pairs of market paths each), drawn around 40 instruments whose figures were measured from real data",
        f"of 2007 to 2025. World {made.world.sha256()[:12]}, seed {made.seed}. No real parent order was seen: there is",
        f"none to be had. Calibrated on other orders: {sizes['calibration']:,} for intervals and completion,",
        f"{sizes['confidence']:,} for confidence.", "",
        f"**Budget.** {budget} ranking trees of at most 31 leaves a candidate ({often} of {' and '.join(OFTEN_BEST)}),",
        f"on the {int(made.models.keep[0])} candidates that the surfaces leave. Held to rise with the order's load:",
        f"{held(RANKING_PLANS)}; to fall: {held(DESCRIBING_PLANS, -1)}.", "",
        "**Parity.** " + str(found.get("parity_words", "")), "",
        "**Limits of use.** The market is simulated, and what it assumes (docs/calibration.md) the models believe.",
        "Impact is not of your orders. Price limits are treated by a closed form behind the models. Orders far outside",
        "the domain are left to the refitted surfaces. docs/decision-quality.md judges it on orders never used.", "",
        "**Validation** (orders kept out of fitting, served candidates only):", "",
    ]
    lines += [f"- {name}: {value}" for name, value in dict(found.get("validation", {})).items()]
    return "\n".join(lines) + "\n"


def held(plans: tuple[HeadPlan, ...], direction: int = 1) -> str:
    return ", ".join(plan.name for plan in plans if plan.direction == direction) or "none"
