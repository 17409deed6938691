"""Which models a command promoted on this host, in a file of the data folder: a start needs no database to know."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from service.reference_keeper import ARCHIVE_FOLDER
from store.archive import Archive

PROMOTED_FILE: Final = "promoted.json"


def promoted_folder(data_dir: Path) -> Path | None:
    """Where the promoted models are archived; None where none were, or they are not here."""
    try:
        sha256 = json.loads((data_dir / PROMOTED_FILE).read_text())["models_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Archive(data_dir / ARCHIVE_FOLDER).artifact_folder(str(sha256))


def write_promoted(data_dir: Path, models_sha256: str) -> None:
    path = data_dir / PROMOTED_FILE
    partial = path.with_suffix(".partial")
    with partial.open("w") as file:
        file.write(json.dumps({"models_sha256": models_sha256}) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
