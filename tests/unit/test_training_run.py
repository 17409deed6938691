"""The whole training, tiny: the same hashes resumed, in a pool and on a cluster; and what it writes may serve."""

from __future__ import annotations

import json
from pathlib import Path

import dask
import pytest

from engine.catalogue import ALGORITHM_NAMES
from engine.simulator.world import DEFAULT_WORLD
from engine.utility import table_sha256
from service.models import load_models
from store.artifacts import load_artifact
from tests.helpers.label_sets import two_workers
from training.command import Plan, keep_array, main, train
from training.labelling import shipped_surfaces
from training.workers import Serial, Workers, open_workers

TINY = Plan(contexts=40, pairs=8, validation=6, calibration=24, confidence=4, parity_rows=1_200)
# Words that would make two runs differ, or tell where one was made.
FORBIDDEN = ("seconds", "minutes_took", "timestamp", "hostname", str(Path.home()), "/tmp")

def hash_of(folder: Path, workers: Workers, fresh: bool = False) -> str:
    (folder / "work").mkdir(parents=True, exist_ok=True)
    return str(train(TINY, folder / "models", folder / "work", workers, fresh)["models_sha256"])


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run by this process alone."""
    folder = tmp_path_factory.mktemp("first")
    return folder, hash_of(folder, Serial())


def test_a_pool_trains_the_same_artifact(first: tuple[Path, str], tmp_path: Path) -> None:
    with open_workers(2) as workers:
        assert hash_of(tmp_path, workers) == first[1]


def test_a_cluster_of_two_workers_trains_the_same_artifact(first: tuple[Path, str], tmp_path: Path) -> None:
    with (
        two_workers() as cluster,
        open_workers(cluster=cluster.scheduler_address) as workers,
    ):
        assert hash_of(tmp_path, workers) == first[1]


def test_a_run_that_lost_a_chunk_ends_the_same(first: tuple[Path, str]) -> None:
    folder, sha256 = first
    chunks = sorted((folder / "work").rglob("*.npz"))
    before = {path: path.read_bytes() for path in chunks}
    assert len(chunks) >= 2
    chunks[0].unlink()
    assert hash_of(folder, Serial()) == sha256
    assert {path: path.read_bytes() for path in sorted((folder / "work").rglob("*.npz"))} == before


def test_what_was_trained_may_serve(first: tuple[Path, str]) -> None:
    folder, sha256 = first
    loaded = load_models(folder / "models", shipped_surfaces()[1])
    assert loaded.parity.exact
    assert loaded.models.sha256 == sha256
    assert loaded.models.keep.tolist() == keep_array().tolist()


def test_the_manifest_says_what_it_was_made_from(first: tuple[Path, str]) -> None:
    manifest = load_artifact(first[0] / "models").manifest
    told = manifest.metadata
    assert manifest.kind == "models"
    assert manifest.seed == TINY.seed
    assert told["world_sha256"] == DEFAULT_WORLD.sha256()
    assert told["utility_sha256"] == table_sha256()
    assert told["surfaces_sha256"] == shipped_surfaces()[1]
    assert {"grid_sha256", "schema_sha256", "world", "shapes", "sizes", "libraries"} <= set(told)
    kinds = {f"{kind}_{name}.onnx" for kind in ("ranking", "describing") for name in ALGORITHM_NAMES}
    others = {"confidence.onnx", "models.npz", "schema.json", "evaluation.json", "card.md"}
    assert set(manifest.files) == kinds | others


def test_neither_times_nor_places_are_in_the_artifact(first: tuple[Path, str]) -> None:
    for path in sorted((first[0] / "models").iterdir()):
        if path.suffix in (".json", ".md"):
            text = path.read_text()
            assert not [word for word in FORBIDDEN if word in text], path.name
    timing = json.loads((first[0] / "work" / "timing.json").read_text())
    assert timing["training_minutes"] > 0.0
    assert set(timing["seconds"]) >= {"labels", "heads", "confidence"}


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--contexts", "many", "invalid positive value: 'many'"),
        ("--contexts", "-5", "must be at least 1, not -5"),
        ("--pairs", "0", "must be at least 1, not 0"),
        ("--jobs", "0", "must be at least 1, not 0"),
        # An unset variable in a script: a training of hours would begin, into the folder of the refit.
        ("--from-outcomes", "", "names no database"),
    ],
)
def test_a_bad_option_is_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, reason: str
) -> None:
    with pytest.raises(SystemExit) as refused:
        main([option, value, "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")])
    assert refused.value.code == 2
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_scheduler_or_an_artifact_that_is_not_there_is_told_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = ["--cluster", "tcp://127.0.0.1:1", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    with dask.config.set({"distributed.comm.timeouts.connect": "300ms"}):
        assert main(nobody) == 1
    told = capsys.readouterr().err
    assert told.startswith("ess train: ")
    assert "tcp://127.0.0.1:1" in told
    assert told.count("\n") == 1
    source = ["--source", str(tmp_path / "missing")]
    assert main(["--from-outcomes", "postgresql:///x", "--out", str(tmp_path / "refit"), *source]) == 1
    assert "missing" in capsys.readouterr().err
