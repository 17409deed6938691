"""The surfaces in the repository are those that today's engine would build: nobody may forget `make train`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.surfaces import surfaces_from_arrays
from store.artifacts import bytes_to_arrays, load_artifact
from training.surfaces import FILE_NAME, SHIPPED_DIR, write_surfaces


def test_shipped_surfaces_are_what_training_writes(tmp_path: Path) -> None:
    shipped = load_artifact(SHIPPED_DIR)
    write_surfaces(tmp_path / "surfaces")
    fresh = load_artifact(tmp_path / "surfaces")
    assert shipped.manifest.metadata == fresh.manifest.metadata
    old = surfaces_from_arrays(bytes_to_arrays(shipped.files[FILE_NAME]))
    new = surfaces_from_arrays(bytes_to_arrays(fresh.files[FILE_NAME]))
    assert old.log_participation == pytest.approx(new.log_participation)
    assert old.log_horizon_days == pytest.approx(new.log_horizon_days)
    assert old.log_pool_share == pytest.approx(new.log_pool_share)
    # Another CPU's exponentials may differ in the last bit of a double; a float of the surface hardly sees it.
    np.testing.assert_allclose(old.values, new.values, rtol=2e-6, atol=1e-7)


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    assert write_surfaces(tmp_path / "one").sha256 == write_surfaces(tmp_path / "two").sha256


def test_the_shipped_artifact_is_small() -> None:
    assert sum(entry.size_bytes for entry in load_artifact(SHIPPED_DIR).manifest.files.values()) < 5_000_000
