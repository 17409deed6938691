"""The small world with the shipped models to decide by."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from engine.snapshot import Snapshot
from engine.surfaces import scaled, surfaces_from_arrays
from service.bootstrap import SHIPPED_MODELS, SHIPPED_SURFACES
from service.models import load_models
from store.artifacts import bytes_to_arrays, load_artifact
from tests.helpers import world


@cache
def learned_world() -> Snapshot:
    """Loaded once a process."""
    artifact = load_artifact(SHIPPED_SURFACES)
    surfaces = surfaces_from_arrays(bytes_to_arrays(artifact.files["surfaces.npz"]))
    models = load_models(SHIPPED_MODELS, artifact.sha256).models
    return replace(world.usual(), surfaces=scaled(surfaces, models.factors), models=models)
