"""Artifacts that differ from the shipped models in their name alone, or in what tests want wrong with them."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service import artifact_check
from service.bootstrap import SHIPPED_MODELS, SHIPPED_SURFACES
from service.engine_build import this_build
from service.reference_keeper import ARCHIVE_FOLDER
from store.artifacts import arrays_to_bytes, bytes_to_arrays, load_artifact, read_manifest, write_artifact


def other_models(folder: Path, name: str, *, metadata: Mapping[str, Any] | None = None, leaf_by: float = 0.0) -> str:
    """The shipped models under another hash, which is given back. `leaf_by` is added to every leaf of the compiled
    trees, so that they no longer say what ONNX Runtime does."""
    shipped = load_artifact(SHIPPED_MODELS)
    files = dict(shipped.files)
    if leaf_by:
        arrays = bytes_to_arrays(files["models.npz"])
        arrays["ranking.value"] = arrays["ranking.value"] + arrays["ranking.value"].dtype.type(leaf_by)
        files["models.npz"] = arrays_to_bytes(arrays)
    about = {**shipped.manifest.metadata, "name": name, **(metadata or {})}
    return write_artifact(folder / name, "models", files, about, created_by="tests").sha256


def found_sound(data_dir: Path, folder: Path) -> None:
    """As if another worker of that host had just checked the artifact: the service's own check, which runs paced and in
    idle time alone, then has nothing left to score. For tests that are about what comes after it."""
    models, surfaces = (read_manifest(one).sha256 for one in (folder, SHIPPED_SURFACES))
    archive, build_id = data_dir / ARCHIVE_FOLDER, this_build().build_id
    with contextlib.redirect_stdout(io.StringIO()) as said:
        artifact_check.main((str(folder), str(archive), models, surfaces, build_id, artifact_check.USUAL))
    assert json.loads(said.getvalue()) == {"fault": ""}


def tamper(folder: Path) -> None:
    """One byte of a model file is another one; the manifest stays."""
    file = folder / "models.npz"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def rename_in_manifest(folder: Path, old: str, new: str) -> None:
    """A manifest that names another path for one of its files."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["files"][new] = content["files"].pop(old)
    path.write_text(json.dumps(content, sort_keys=True, indent=2) + "\n")
