"""Learned models on their way into the service: what is shipped loads, and whatever is wrong is named and refused."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.scoring.models import Models, arrays_of_models, models_from_arrays
from service.bootstrap import SHIPPED_MODELS, SHIPPED_SURFACES
from service.models import ModelsUnfitError, load_models
from store.artifacts import arrays_to_bytes, bytes_to_arrays, load_artifact, write_artifact
from store.errors import ArtifactInvalid

MODELS_NPZ = "models.npz"


@pytest.fixture(scope="module")
def surfaces_sha256() -> str:
    return load_artifact(SHIPPED_SURFACES).sha256


@pytest.fixture(scope="module")
def shipped(surfaces_sha256: str) -> Models:
    return load_models(SHIPPED_MODELS, surfaces_sha256).models


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    shutil.copytree(SHIPPED_MODELS, folder)
    return folder


def rewritten(folder: Path, files: dict[str, bytes] | None = None, metadata: dict[str, Any] | None = None) -> None:
    """The artifact with other files or metadata and a manifest that fits them: a fault no hash can see."""
    artifact = load_artifact(folder)
    write_artifact(
        folder, artifact.manifest.kind, {**artifact.files, **(files or {})},
        {**artifact.manifest.metadata, **(metadata or {})}, seed=artifact.manifest.seed,
    )


def test_what_is_shipped_loads_and_says_what_onnx_says(surfaces_sha256: str) -> None:
    loaded = load_models(SHIPPED_MODELS, surfaces_sha256)
    assert loaded.parity.exact
    assert loaded.parity.scores > 30_000
    assert loaded.models.sha256 == load_artifact(SHIPPED_MODELS).sha256


def test_what_is_shipped_is_of_the_world_and_benchmark_that_are_committed() -> None:
    metadata = load_artifact(SHIPPED_MODELS).manifest.metadata
    committed = json.loads((Path(__file__).resolve().parents[2] / "benchmarks" / "judging.json").read_text())
    assert metadata["world_sha256"] == committed["world_sha256"]
    assert metadata["grid_sha256"] == committed["grid"]["sha256"]
    assert metadata["utility_sha256"] == committed["utility_sha256"]


def test_a_missing_folder_stops_the_start(tmp_path: Path, surfaces_sha256: str) -> None:
    with pytest.raises(ArtifactInvalid, match=r"manifest\.json is missing"):
        load_models(tmp_path / "nothing", surfaces_sha256)


def test_every_flipped_byte_is_named(copy: Path, surfaces_sha256: str) -> None:
    for name in (MODELS_NPZ, "ranking_TWAP.onnx"):
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(bytes(data))
    (copy / "describing_POV.onnx").unlink()
    with pytest.raises(ArtifactInvalid) as caught:
        load_models(copy, surfaces_sha256)
    for name in (MODELS_NPZ, "ranking_TWAP.onnx", "describing_POV.onnx"):
        assert name in str(caught.value)


def test_models_of_other_surfaces_and_another_utility_are_refused(copy: Path) -> None:
    rewritten(copy, metadata={"utility_sha256": "0" * 64})
    with pytest.raises(ModelsUnfitError) as caught:
        load_models(copy, "1" * 64)
    assert "surfaces_sha256" in str(caught.value)
    assert "utility_sha256" in str(caught.value)


def test_trees_that_are_not_those_of_the_onnx_files_are_refused(copy: Path, surfaces_sha256: str) -> None:
    arrays = dict(bytes_to_arrays(load_artifact(copy).files[MODELS_NPZ]))
    value = arrays["ranking.value"].copy()
    value[arrays["ranking.feature"] == -1] *= np.float32(1.0001)
    arrays["ranking.value"] = value
    rewritten(copy, {MODELS_NPZ: arrays_to_bytes(arrays)})
    with pytest.raises(ModelsUnfitError, match="disagree"):
        load_models(copy, surfaces_sha256)


def test_an_onnx_file_that_is_none_is_refused(copy: Path, surfaces_sha256: str) -> None:
    rewritten(copy, {"ranking_VWAP.onnx": b"no model"})
    with pytest.raises(ModelsUnfitError, match="not readable"):
        load_models(copy, surfaces_sha256)


FAULTS: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("missing", lambda a: a.pop("factors"), "factors is missing"),
    ("shape", lambda a: a.update(interval_scale=np.ones((2, 2))), "interval_scale has shape"),
    ("not finite", lambda a: a.update(domain=np.full((8, 2), np.nan)), "domain holds"),
    ("no probability", lambda a: a.update(confidence_map=np.array([[0.0, 1.0], [0.5, 1.5]])), "no probabilities"),
    ("falling", lambda a: a.update(completion_map=np.array([[0.0, 1.0], [0.9, 0.1]])), "does not rise"),
    ("negative factor", lambda a: a.update(factors=-a["factors"]), "factors is not positive"),
    ("schema", lambda a: a.update({"ranking.schema_sha256": np.array("0" * 64)}), "schema"),
    ("trees", lambda a: a.update({"describing.right": a["describing.right"] * 0}), "describing: trees"),
]


@pytest.mark.parametrize(("change", "words"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_faulty_arrays_are_named(shipped: Models, change: Callable[[dict[str, Any]], None], words: str) -> None:
    arrays = dict(arrays_of_models(shipped))
    change(arrays)
    with pytest.raises(ValueError, match=words):
        models_from_arrays(arrays, "")


def test_arrays_come_back_as_they_were(shipped: Models) -> None:
    stored = arrays_of_models(shipped)
    again = arrays_of_models(models_from_arrays(stored, shipped.sha256))
    assert stored.keys() == again.keys()
    for name, array in stored.items():
        np.testing.assert_array_equal(array, again[name])


def test_thin_contexts_lose_confidence_and_usual_ones_do_not(shipped: Models) -> None:
    assert shipped.thinness((0.0, 0.0, 0.0)) == 1.0
    far = [shipped.thinness((value, 0.0, 0.0)) for value in (1.0, 2.0, 3.0)]
    assert far == sorted(far, reverse=True)
    assert far[-1] < 0.9


def test_models_of_another_process_are_the_same_to_the_compiler(shipped: Models) -> None:
    """Or every process that is sent some compiles the whole decision once more."""

    def forms(models: Models) -> list[tuple[Any, ...]]:
        arrays = (*models.ranking_lanes, *models.describing_walk, *models.confidence_walk, models.keep)
        return [(one.dtype, one.ndim, one.flags.writeable, one.flags.c_contiguous) for one in arrays]

    before = forms(shipped)
    data = pickle.dumps(shipped)
    sent = pickle.loads(data)
    kept, came = arrays_of_models(shipped), arrays_of_models(sent)
    assert forms(sent) == before
    assert len(data) < 2 * sum(array.nbytes for array in kept.values()), "what is worked out from the rest is not sent"
    assert all(np.array_equal(kept[name], came[name]) for name in kept | came)
    assert sent.sha256 == shipped.sha256
