"""The gate of a start: beside the loading, by hash, and closed where the start fails."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from service.artifact_check import CHECKED_FOLDER
from service.artifact_checker import ArtifactRefused, ChildChecker
from service.bootstrap import SHIPPED_MODELS, SHIPPED_SURFACES
from service.models import load_models
from service.start_check import StartCheck
from store.artifacts import load_artifact
from store.errors import ArtifactInvalid
from tests.helpers.artifacts import other_models

SURFACES = load_artifact(SHIPPED_SURFACES).sha256


class Asked:
    """A Checker that answers what it is told to."""

    def __init__(self, fault: str = "", lasts_s: float = 0.0) -> None:
        self.calls: list[tuple[Path, str, str]] = []
        self.was_ended = False
        self._fault = fault
        self._lasts_s = lasts_s

    async def check(self, source: Path, models_sha256: str, surfaces_sha256: str) -> None:
        self.calls.append((source, models_sha256, surfaces_sha256))
        try:
            await asyncio.sleep(self._lasts_s)
        except asyncio.CancelledError:
            self.was_ended = True
            raise
        if self._fault:
            raise ArtifactRefused(self._fault)


async def test_what_was_checked_is_what_was_loaded_by_hash() -> None:
    checker = Asked()
    models = load_models(SHIPPED_MODELS, SURFACES, probes=False).models
    await StartCheck(checker, SHIPPED_MODELS, SHIPPED_SURFACES).passed(models)
    assert checker.calls == [(SHIPPED_MODELS, models.sha256, SURFACES)]


async def test_what_fails_its_check_does_not_pass() -> None:
    models = load_models(SHIPPED_MODELS, SURFACES, probes=False).models
    check = StartCheck(Asked("the walk and ONNX Runtime disagree"), SHIPPED_MODELS, SHIPPED_SURFACES)
    with pytest.raises(ArtifactRefused, match="disagree"):
        await check.passed(models)
    await check.close()


async def test_models_that_were_replaced_meanwhile_do_not_pass(tmp_path: Path) -> None:
    other_models(tmp_path, "other")
    models = load_models(tmp_path / "other", SURFACES, probes=False).models
    with pytest.raises(ArtifactRefused, match="replaced during the start"):
        await StartCheck(Asked(), SHIPPED_MODELS, SHIPPED_SURFACES).passed(models)


async def test_a_start_that_fails_ends_its_check() -> None:
    checker = Asked(lasts_s=60.0)
    check = StartCheck(checker, SHIPPED_MODELS, SHIPPED_SURFACES)
    await asyncio.sleep(0)
    await check.close()
    assert checker.was_ended


async def test_a_folder_that_is_no_artifact_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="manifest"):
        StartCheck(Asked(), tmp_path, SHIPPED_SURFACES)


@pytest.mark.parametrize(("age_s", "awaited", "other_build", "is_scored"), [
    (100.0, True, False, False), (100.0, False, False, False), (3_600.0, True, False, False),
    (3_600.0, False, False, True), (90_000.0, True, False, True), (100.0, True, True, True),
])  # fmt: skip
async def test_what_was_found_sound_counts_for_so_long_and_for_that_build(
    tmp_path: Path, age_s: float, awaited: bool, other_build: bool, is_scored: bool
) -> None:
    """Seen by what becomes of a folder that is no artifact: it is refused where it is looked at."""
    note = tmp_path / CHECKED_FOLDER / f"{'1' * 64}-{'2' * 64}-{'4' * 64 if other_build else '3' * 64}"
    note.parent.mkdir()
    note.touch()
    moment_s = time.time() - age_s
    os.utime(note, (moment_s, moment_s))
    checker = ChildChecker(tmp_path, build_id="3" * 64, is_awaited=awaited)
    checking = checker.check(tmp_path / "nothing", "1" * 64, "2" * 64)
    if is_scored:
        with pytest.raises(ArtifactRefused, match="manifest"):
            await checking
    else:
        await checking
