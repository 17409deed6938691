"""Checks one set of models in a process of its own, and keeps it in the host's archive: every hash, what it was made
for, and the compiled trees against ONNX Runtime.

    python -m service.artifact_check SOURCE ARCHIVE MODELS_SHA256 SURFACES_SHA256 BUILD_ID idle|batch|usual

Seconds of work that no decision must feel, and memory that no worker need hold for good: one at a time on a host, with
low priority from the first import on, so what is heavy is imported where it is used. First it takes only what nobody
wants (`idle`); on a host that has nothing left it would never end, so then it is begun again with a little of its own
(`batch`). Where a start waits for it, it runs like any process (`usual`). Prints one JSON object.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from store.errors import StoreError

NICENESS: Final = 19
LOCK_FILE: Final = "check.lock"
# What was found sound on this host so lately is not scored again: the same bytes (hashes are verified whenever they are
# loaded), the same build on the same kind of machine. For an exchange, what another worker found; for a start, a day.
CHECKED_FOLDER: Final = "checked"
# A check takes some seconds. In idle time alone it is given up after the first, for good after the second.
POLITE_WITHIN_S: Final = 20.0
CHECK_WITHIN_S: Final = 90.0
IDLE, BATCH, USUAL = "idle", "batch", "usual"
SOUND_FOR_S: Final = {IDLE: 180.0, BATCH: 180.0, USUAL: 86_400.0}


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

    def __init__(
        self, archive_folder: Path, polite_within_s: float = POLITE_WITHIN_S, within_s: float = CHECK_WITHIN_S, *,
        build_id: str, is_awaited: bool = False,
    ) -> None:  # fmt: skip
        self._archive = archive_folder
        self._polite_within_s = polite_within_s
        self._within_s = within_s
        self._build_id = build_id
        self._is_awaited = is_awaited

    async def check(self, source: Path, models_sha256: str, surfaces_sha256: str) -> None:
        arguments = (str(source), str(self._archive), models_sha256, surfaces_sha256, self._build_id)
        told = None
        if not self._is_awaited:
            told = await _ended(*arguments, IDLE, within_s=self._polite_within_s)
        if told is None:
            told = await _ended(*arguments, USUAL if self._is_awaited else BATCH, within_s=self._within_s)
        if told is None:
            raise ArtifactRefused(f"its check took longer than {self._within_s:g} s")
        if told.fault:
            raise ArtifactRefused(told.fault)


@dataclass(frozen=True, slots=True)
class _Told:
    fault: str


async def _ended(*arguments: str, within_s: float) -> _Told | None:
    """What a check says; None for one that took too long, and is no more. Raises ArtifactRefused."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service.artifact_check", *arguments, env=os.environ | {"PYTHONPATH": paths},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(within_s):
            out, errors = await process.communicate()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
    try:
        return _Told(str(json.loads(out)["fault"]))
    except (ValueError, KeyError, TypeError):
        last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ArtifactRefused(f"its check ended with {process.returncode}: {last[:300]}") from None


def step_back(way: str = BATCH) -> None:
    """Whoever decides goes first: the least priority, in `idle` time alone or in a `batch` that does not run ahead of
    others on waking. Niceness alone is felt: a decision that wakes waits for up to a whole turn of what runs."""
    os.nice(NICENESS)
    with suppress(AttributeError, OSError):  # Linux only
        os.sched_setscheduler(0, os.SCHED_IDLE if way == IDLE else os.SCHED_BATCH, os.sched_param(0))


def is_fresh(note: Path, for_s: float) -> bool:
    try:
        return 0.0 <= time.time() - note.stat().st_mtime < for_s
    except OSError:
        return False


def main(arguments: Sequence[str]) -> int:
    source, archive_folder, models_sha256, surfaces_sha256, build_id, way = arguments
    if way != USUAL:
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
