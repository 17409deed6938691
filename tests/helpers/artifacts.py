"""Artifacts that differ from the shipped models in their name alone, or in what tests want wrong with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.bootstrap import SHIPPED_MODELS
from store.artifacts import arrays_to_bytes, bytes_to_arrays, load_artifact, write_artifact


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
