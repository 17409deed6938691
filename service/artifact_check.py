"""Checks one set of models in a process of its own, and keeps it in the host's archive: every hash, what it was made
for, and the compiled trees against ONNX Runtime.

    python -m service.artifact_check SOURCE ARCHIVE MODELS_SHA256 SURFACES_SHA256

Seconds of work that no decision must feel: run with low priority, and one at a time on a host. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from service.models import load_models
from store.archive import Archive
from store.errors import StoreError

NICENESS: Final = 15
LOCK_FILE: Final = "check.lock"
# A check takes some seconds; one that takes so long is given up.
CHECK_WITHIN_S: Final = 90.0


class ArtifactRefused(StoreError):
    """The artifact cannot be used here; the text says why."""


class Checker(Protocol):
    """Whoever checks an artifact and puts it into the archive. Raises ArtifactRefused."""

    async def check(self, source: Path, models_sha256: str, surfaces_sha256: str) -> None: ...


def checked(source: Path, archive_folder: Path, models_sha256: str, surfaces_sha256: str) -> str:
    """Why it cannot be used; empty where it can, and lies in the archive."""
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


class ChildChecker:
    """A Checker in a process of its own."""

    def __init__(self, archive_folder: Path, within_s: float = CHECK_WITHIN_S) -> None:
        self._archive = archive_folder
        self._within_s = within_s

    async def check(self, source: Path, models_sha256: str, surfaces_sha256: str) -> None:
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service.artifact_check", str(source), str(self._archive), models_sha256,
            surfaces_sha256, env=os.environ | {"PYTHONPATH": paths}, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._within_s):
                out, errors = await process.communicate()
        except TimeoutError:
            raise ArtifactRefused(f"its check took longer than {self._within_s:g} s") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await asyncio.shield(process.wait())
        try:
            fault = str(json.loads(out)["fault"])
        except (ValueError, KeyError, TypeError):
            last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise ArtifactRefused(f"its check ended with {process.returncode}: {last[:300]}") from None
        if fault:
            raise ArtifactRefused(fault)


def main(arguments: Sequence[str]) -> int:
    source, archive_folder, models_sha256, surfaces_sha256 = arguments
    os.nice(NICENESS)
    folder = Path(archive_folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("w") as lock:
        # Workers of a host ask for the same at the same moment; they would only take each other's processor.
        fcntl.flock(lock, fcntl.LOCK_EX)
        fault = checked(Path(source), folder, models_sha256, surfaces_sha256)
    print(json.dumps({"fault": fault}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
