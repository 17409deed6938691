"""What the models' artifact says of how it was made and proven; null with a reason where it says nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.judge.service import Service

# `ess train` leaves its times here: they are no part of the artifact, which is the same on every machine.
TIMES = Path("build/train/timing.json")


def training_times(service: Service, path: Path = TIMES) -> dict[str, Any]:
    """How long the training of these models took, where it was done in this folder."""
    try:
        found = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return dict(found) if found.get("models_sha256") == service.models_sha256 else {}


def artifact_figures(service: Service, times: Path = TIMES) -> dict[str, Any]:
    """`artifact_reason` says why figures are null."""
    known = training_times(service, times)
    figures = {
        "onnx_parity_rows": service.evaluation.get("parity_rows"),
        "onnx_parity_largest_difference": service.evaluation.get("parity_largest_relative_difference"),
        "training_minutes": known.get("training_minutes"), "training_workers": known.get("workers"),
        "training_seconds": known.get("seconds"),
    }
    missing = sorted(key for key, value in figures.items() if value is None)
    words = f"neither the artifact nor {times} says {', '.join(missing)} of these models" if missing else ""
    return figures | {
        "artifact_reason": service.no_models or words, "surfaces_sha256": service.surfaces_sha256,
        "models_sha256": service.models_sha256,
    }
