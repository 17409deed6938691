"""Checks one set of models in a process of its own, and keeps it in the host's archive: every hash, what it was made
for, and the compiled trees against ONNX Runtime.

    python -m service.artifact_check SOURCE ARCHIVE MODELS_SHA256 SURFACES_SHA256 BUILD_ID PRIORITY

Seconds of work that no decision must feel, and memory that no worker need hold for good: one at a time on a host, and
what is heavy is imported where it is used. PRIORITY is `low` (from the first import on) while others decide, `usual`
where a start waits for it. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from store.errors import StoreError

NICENESS: Final = 19
LOW, USUAL = "low", "usual"
LOCK_FILE: Final = "check.lock"
# What was found sound on this host so lately is not scored again: the same bytes (hashes are verified whenever they are
# loaded), the same build on the same kind of machine. For an exchange, what another worker found; for a start, a day.
CHECKED_FOLDER: Final = "checked"
SOUND_FOR_S: Final = {LOW: 180.0, USUAL: 86_400.0}
# A check takes some seconds; one that takes so long is given up.
CHECK_WITHIN_S: Final = 90.0


class ArtifactRefused(StoreError):
    """The artifact cannot be used here; the text says why."""


class Checker(Protocol):
    """Whoever checks an artifact and puts it into the archive. Raises ArtifactRefused."""

    async def check(self, source: Path, models_sha256: str, surfaces_sha256: str) -> None: ...


def checked(source: Path, archive_folder: Path, models_sha256: str, surfaces_sha256: str) -> str:
    """Why it cannot be used; empty where it can, and lies in the archive."""
    from service.models import load_models
    from store.archive import Archive

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
    """A Checker in a process of its own. `is_awaited`: nothing decides here before it has ended."""

    def __init__(self, archive_folder: Path, within_s: float = CHECK_WITHIN_S, *, build_id: str,
                 is_awaited: bool = False) -> None:
        self._archive = archive_folder
        self._within_s = within_s
        self._build_id = build_id
        self._priority = USUAL if is_awaited else LOW

    async def check(self, source: Path, models_sha256: str, surfaces_sha256: str) -> None:
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service.artifact_check", str(source), str(self._archive), models_sha256,
            surfaces_sha256, self._build_id, self._priority, env=os.environ | {"PYTHONPATH": paths},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
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


def step_back() -> None:
    """Whoever decides goes first: the least priority, and no running ahead of others on waking."""
    os.nice(NICENESS)
    with suppress(AttributeError, OSError):  # Linux only
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def is_fresh(note: Path, for_s: float) -> bool:
    try:
        return 0.0 <= time.time() - note.stat().st_mtime < for_s
    except OSError:
        return False


def main(arguments: Sequence[str]) -> int:
    source, archive_folder, models_sha256, surfaces_sha256, build_id, priority = arguments
    if priority == LOW:
        step_back()
    folder = Path(archive_folder)
    note = folder / CHECKED_FOLDER / f"{models_sha256}-{surfaces_sha256}-{build_id}"
    note.parent.mkdir(parents=True, exist_ok=True)
    fault = ""
    with (folder / LOCK_FILE).open("w") as lock:
        # Workers of a host ask for the same at the same moment; they would only take each other's processor.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_fresh(note, SOUND_FOR_S[priority]):
            fault = checked(Path(source), folder, models_sha256, surfaces_sha256)
            if not fault:
                note.touch()
    print(json.dumps({"fault": fault}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
