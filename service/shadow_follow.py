"""What is in shadow scores recorded decisions while the service runs: in a process of its own with low priority, one of
a host, every `ESS_LEARNING_INTERVAL_S`. It answers nobody; its scores are those of `ess learn shadow`.

    python -m service.shadow_follow MODELS_SHA256
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog

from service.background import BATCH, end_with_parent, held_back, step_back
from service.looks import Looks
from store.errors import StoreError
from store.outbox_bell import LocalBell

# Decisions of one run: some seconds of work that nobody waits for.
MOST_A_RUN: Final = 200
RUN_WITHIN_S: Final = 300.0

if TYPE_CHECKING:  # the process that scores steps back before it imports what is heavy
    from service.world import World
    from store.artifact_store import ArtifactStore

log = structlog.get_logger(__name__)


class ShadowScorer:
    """One worker's of a host."""

    def __init__(self, world: World, store: ArtifactStore, interval_s: float) -> None:
        self._world = world
        self._store = store
        # Nobody rings: it is time that brings decisions to score.
        self._looks = Looks(
            "shadow", self._look, LocalBell(), interval_s, (StoreError, OSError, TimeoutError), waits_first=True
        )

    def start(self) -> None:
        self._looks.start()

    async def stop(self) -> None:
        await self._looks.stop()

    async def _look(self) -> None:
        shadow, models = await self._store.shadow(), self._world.snapshot.models
        if shadow and models is not None and shadow != models.sha256:
            await self._score(shadow)

    async def _score(self, shadow: str) -> None:
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service.shadow_follow", shadow, env=os.environ | {"PYTHONPATH": paths},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(RUN_WITHIN_S), held_back(process, BATCH):
                out, errors = await process.communicate()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await asyncio.shield(process.wait())
        text = (out or errors).decode("utf-8", "replace").strip()
        log.info("scored in shadow", code=process.returncode, said=text[-300:])


def main(arguments: Sequence[str]) -> int:
    end_with_parent()
    step_back()
    from service.learning_commands import BAD_INPUT, shadow
    from service.reference_keeper import ARCHIVE_FOLDER
    from service.settings_load import load_settings
    from store.archive import Archive

    settings = load_settings(os.environ)
    folder = Archive(settings.data_dir / ARCHIVE_FOLDER).artifact_folder(arguments[0])
    if folder is None:
        print("not in the archive of this host", file=sys.stderr)
        return BAD_INPUT
    return shadow(settings, folder, MOST_A_RUN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
