"""Has models checked in a process of its own (service/artifact_check.py), so that no decision feels it.

First it takes only what nobody wants, paced (service/background.py). On a host that has nothing left it would never end
so; then it is begun again with some of its own: with the least share of a busy processor a check of three seconds took
more than a minute beside two busy processes a core. Where a start waits for it, it runs like any process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from service.artifact_check import USUAL
from service.background import IDLE, SOME, held_back
from store.errors import StoreError

# A check takes some seconds. Paced and in idle time alone it is given up after the first, for good after the second.
POLITE_WITHIN_S: Final = 30.0
CHECK_WITHIN_S: Final = 60.0


class ArtifactRefused(StoreError):
    """The artifact cannot be used here; the text says why."""


class ArtifactUnsound(ArtifactRefused):
    """So its check found: its bytes are at fault, whenever they are looked at."""


class Checker(Protocol):
    """Whoever checks an artifact and puts it into the archive. Raises ArtifactRefused."""

    async def check(self, source: Path, models_sha256: str, surfaces_sha256: str) -> None: ...


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
            told = await _ended(*arguments, USUAL if self._is_awaited else SOME, within_s=self._within_s)
        if told is None:
            raise ArtifactRefused(f"its check took longer than {self._within_s:g} s")
        if told.fault:
            raise ArtifactUnsound(told.fault)


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
    way = arguments[-1]
    try:
        async with asyncio.timeout(within_s), held_back(process, way) if way == IDLE else contextlib.nullcontext():
            out, errors = await process.communicate()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
    try:
        return _Told(str(json.loads(out)["fault"]))
    except (ValueError, KeyError, TypeError):
        last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ArtifactRefused(f"its check ended with {process.returncode}: {last[:300]}") from None
