"""Checks one set of models in a process of its own, and keeps it in the host's archive: every hash, what it was made
for, and the compiled trees against ONNX Runtime.

    python -m service.artifact_check SOURCE ARCHIVE MODELS_SHA256 SURFACES_SHA256 BUILD_ID idle|some|usual

Seconds of work that no decision must feel, and memory that no worker need hold for good: one at a time on a host, with
low priority from the first import on, so what is heavy is imported where it is used. What begins it is
service/artifact_checker.py. Prints one JSON object.
"""

from __future__ import annotations

import fcntl
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from service.background import IDLE, SOME, end_with_parent, step_back

LOCK_FILE: Final = "check.lock"
# What was found sound on this host so lately is not scored again: the same bytes (hashes are verified whenever they are
# loaded), the same build on the same kind of machine. For an exchange, what another worker found; for a start, a day.
CHECKED_FOLDER: Final = "checked"
USUAL: Final = "usual"
SOUND_FOR_S: Final = {IDLE: 180.0, SOME: 180.0, USUAL: 86_400.0}


def checked(source: Path, archive_folder: Path, models_sha256: str, surfaces_sha256: str) -> str:
    """Why it cannot be used; empty where it can, and lies in the archive."""
    from service.models import load_models
    from store.archive import Archive
    from store.errors import StoreError

    try:
        archive = Archive(archive_folder)
        artifact = archive.keep_artifact(source)
        if artifact.sha256 != models_sha256:
            return f"the manifest in {source.name} is that of {artifact.sha256[:12]}"
        folder = archive.artifact_folder(models_sha256)
        if folder is None:
            return "it could not be archived"
        load_models(folder, surfaces_sha256)
    except (StoreError, OSError) as error:
        return str(error)
    except Exception as error:  # whatever a hand-made file makes of ONNX Runtime or numpy
        return f"it cannot be read: {error!r}"
    return ""


def is_fresh(note: Path, for_s: float) -> bool:
    try:
        return 0.0 <= time.time() - note.stat().st_mtime < for_s
    except OSError:
        return False


def main(arguments: Sequence[str]) -> int:
    source, archive_folder, models_sha256, surfaces_sha256, build_id, way = arguments
    if way != USUAL:
        end_with_parent()
        step_back(way)
    folder = Path(archive_folder)
    note = folder / CHECKED_FOLDER / f"{models_sha256}-{surfaces_sha256}-{build_id}"
    note.parent.mkdir(parents=True, exist_ok=True)
    fault = ""
    with (folder / LOCK_FILE).open("w") as lock:
        # Workers of a host ask for the same at the same moment; they would only take each other's processor.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_fresh(note, SOUND_FOR_S[way]):
            fault = checked(Path(source), folder, models_sha256, surfaces_sha256)
            if not fault:
                note.touch()
    print(json.dumps({"fault": fault}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
