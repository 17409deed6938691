"""What a start's check found wrong, remembered for a short while: whoever tries the same start again is told at once.

A check is seconds of work. The supervisor tries a worker three times and whoever watches the supervisor starts it anew,
so without a memory a host with unsound models would score them over and over. The same is: the same files (names,
sizes, inodes and times of change), for the same surfaces, by the same build.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from store.on_disk import write_whole

REFUSED_FOLDER: Final = "refused"
REFUSED_FOR_S: Final = 60.0


class _Refusal(msgspec.Struct, frozen=True):
    """What a file holds. `at_s`: seconds since the epoch."""

    files: str
    fault: str
    at_s: float


class RefusedChecks:
    """Of one host's archive and one build; every process of the host may have one."""

    def __init__(self, archive_folder: Path, build_id: str, clock_s: Callable[[], float] = time.time) -> None:
        self._folder = archive_folder / REFUSED_FOLDER
        self._build_id = build_id
        self._clock_s = clock_s

    def known(self, models: Path, models_sha256: str, surfaces_sha256: str) -> str:
        """The fault that was found lately in what lies there, and for how long it counts; empty where none was."""
        try:
            found = msgspec.json.decode(self._path(models_sha256, surfaces_sha256).read_bytes(), type=_Refusal)
        except (OSError, msgspec.DecodeError):
            return ""
        age_s = self._clock_s() - found.at_s
        if not 0.0 <= age_s < REFUSED_FOR_S or not found.files or found.files != files_of(models):
            return ""
        return f"{found.fault} (found {age_s:.0f} s ago; looked at again in {REFUSED_FOR_S - age_s:.0f} s)"

    def note(self, files: str, models_sha256: str, surfaces_sha256: str, fault: str) -> None:
        """`files`: what `files_of` gave before the check. Raises OSError where it cannot be written."""
        refusal = _Refusal(files, fault, self._clock_s())
        write_whole(self._path(models_sha256, surfaces_sha256), msgspec.json.encode(refusal))

    def _path(self, models_sha256: str, surfaces_sha256: str) -> Path:
        return self._folder / f"{models_sha256}-{surfaces_sha256}-{self._build_id}"


def files_of(folder: Path) -> str:
    """What changes as soon as any file in the folder does, without reading them; empty where it is being replaced."""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        try:
            kept = path.stat()
        except OSError:
            return ""
        found.update(f"{path.name}|{kept.st_size}|{kept.st_ino}|{kept.st_mtime_ns}|{kept.st_ctime_ns}\n".encode())
    return found.hexdigest()
