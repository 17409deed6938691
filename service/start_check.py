"""The parity gate of a start: in a process of its own, beside loading and warming up, passed before anything serves.

ONNX Runtime is needed for this alone, and no worker that only decides need hold it in memory. The other process has
the same sources and the same compiled code; what it held to ONNX Runtime is what the worker loaded, by hash.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from engine.scoring.models import Models
from service.artifact_checker import ArtifactRefused, ArtifactUnsound, Checker
from service.refused_checks import RefusedChecks, files_of
from store.artifacts import read_manifest


class StartCheck:
    """Under way from the moment that it is made; belongs to one event loop."""

    def __init__(self, checker: Checker, refused: RefusedChecks, models: Path, surfaces: Path) -> None:
        """The folders that the start decides from. Raises ArtifactInvalid where one has no readable manifest, and
        ArtifactRefused where these very files were refused a moment ago."""
        self._models_sha256 = read_manifest(models).sha256
        surfaces_sha256 = read_manifest(surfaces).sha256
        if fault := refused.known(models, self._models_sha256, surfaces_sha256):
            raise ArtifactRefused(fault)
        self._check = asyncio.ensure_future(self._checked(checker, refused, models, surfaces_sha256))

    async def _checked(self, checker: Checker, refused: RefusedChecks, models: Path, surfaces_sha256: str) -> None:
        files = files_of(models)
        try:
            await checker.check(models, self._models_sha256, surfaces_sha256)
        except ArtifactUnsound as error:  # whatever else went wrong may go right next time
            with suppress(OSError):  # then the next try looks again, as it does without a memory
                refused.note(files, self._models_sha256, surfaces_sha256, str(error))
            raise

    async def passed(self, models: Models) -> None:
        """Returns when these models may decide. Raises ArtifactRefused."""
        await self._check
        if models.sha256 != self._models_sha256:
            raise ArtifactRefused(
                f"the models were replaced during the start: {self._models_sha256[:12]} were checked, "
                f"{models.sha256[:12]} were loaded"
            )

    async def close(self) -> None:
        """Ends the other process, where a start failed before it had ended."""
        self._check.cancel()
        with suppress(asyncio.CancelledError, ArtifactRefused):
            await self._check
