"""The gate of a start: beside the loading, by hash, and closed where the start fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

from service.artifact_check import CHECKED_FOLDER
from service.artifact_checker import ArtifactRefused, ArtifactUnsound, ChildChecker
from service.bootstrap import SHIPPED_MODELS, SHIPPED_SURFACES
from service.models import load_models
from service.refused_checks import REFUSED_FOLDER, REFUSED_FOR_S, RefusedChecks
from service.start_check import StartCheck
from store.artifacts import load_artifact, read_manifest
from store.errors import ArtifactInvalid
from tests.helpers.artifacts import other_models

SURFACES = load_artifact(SHIPPED_SURFACES).sha256


class Asked:
    """A Checker that answers what it is told to."""

    def __init__(self, fault: str = "", lasts_s: float = 0.0, kind: type[ArtifactRefused] = ArtifactUnsound) -> None:
        self.calls: list[tuple[Path, str, str]] = []
        self.was_ended = False
        self._fault = fault
        self._kind = kind
        self._lasts_s = lasts_s

    async def check(self, source: Path, models_sha256: str, surfaces_sha256: str) -> None:
        self.calls.append((source, models_sha256, surfaces_sha256))
        try:
            await asyncio.sleep(self._lasts_s)
        except asyncio.CancelledError:
            self.was_ended = True
            raise
        if self._fault:
            raise self._kind(self._fault)


class Clock:
    """Seconds since the epoch, as the test sets them."""

    def __init__(self) -> None:
        self.now_s = 1_750_000_000.0

    def __call__(self) -> float:
        return self.now_s


def nothing_refused(folder: Path) -> RefusedChecks:
    return RefusedChecks(folder / "archive", "3" * 64)


async def refused_once(folder: Path, models: Path, clock: Clock) -> Asked:
    """A start whose check fails; who was asked."""
    checker = Asked("the walk and ONNX Runtime disagree")
    check = StartCheck(checker, RefusedChecks(folder, "3" * 64, clock), models, SHIPPED_SURFACES)
    with pytest.raises(ArtifactRefused, match=r"disagree$"):
        await check.passed(load_models(models, SURFACES, probes=False).models)
    return checker


async def test_what_was_checked_is_what_was_loaded_by_hash(tmp_path: Path) -> None:
    checker = Asked()
    models = load_models(SHIPPED_MODELS, SURFACES, probes=False).models
    await StartCheck(checker, nothing_refused(tmp_path), SHIPPED_MODELS, SHIPPED_SURFACES).passed(models)
    assert checker.calls == [(SHIPPED_MODELS, models.sha256, SURFACES)]


async def test_what_fails_its_check_does_not_pass(tmp_path: Path) -> None:
    models = load_models(SHIPPED_MODELS, SURFACES, probes=False).models
    checker = Asked("the walk and ONNX Runtime disagree")
    check = StartCheck(checker, nothing_refused(tmp_path), SHIPPED_MODELS, SHIPPED_SURFACES)
    with pytest.raises(ArtifactRefused, match="disagree"):
        await check.passed(models)
    await check.close()


async def test_models_that_were_replaced_meanwhile_do_not_pass(tmp_path: Path) -> None:
    other_models(tmp_path, "other")
    models = load_models(tmp_path / "other", SURFACES, probes=False).models
    with pytest.raises(ArtifactRefused, match="replaced during the start"):
        await StartCheck(Asked(), nothing_refused(tmp_path), SHIPPED_MODELS, SHIPPED_SURFACES).passed(models)


async def test_a_start_that_fails_ends_its_check(tmp_path: Path) -> None:
    checker = Asked(lasts_s=60.0)
    check = StartCheck(checker, nothing_refused(tmp_path), SHIPPED_MODELS, SHIPPED_SURFACES)
    await asyncio.sleep(0)
    await check.close()
    assert checker.was_ended


async def test_a_folder_that_is_no_artifact_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="manifest"):
        StartCheck(Asked(), nothing_refused(tmp_path), tmp_path, SHIPPED_SURFACES)


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


async def test_a_check_that_did_not_come_to_its_end_is_made_again(tmp_path: Path) -> None:
    """It took too long, or was killed: that says nothing about the files."""
    clock, late = Clock(), Asked("its check took longer than 60 s", kind=ArtifactRefused)
    models = load_models(SHIPPED_MODELS, SURFACES, probes=False).models
    check = StartCheck(late, RefusedChecks(tmp_path, "3" * 64, clock), SHIPPED_MODELS, SHIPPED_SURFACES)
    with pytest.raises(ArtifactRefused, match="took longer"):
        await check.passed(models)
    again = Asked()
    await StartCheck(again, RefusedChecks(tmp_path, "3" * 64, clock), SHIPPED_MODELS, SHIPPED_SURFACES).passed(models)
    assert len(again.calls) == 1


async def test_what_was_refused_is_told_again_at_once_and_not_scored_again(tmp_path: Path) -> None:
    clock = Clock()
    assert len((await refused_once(tmp_path, SHIPPED_MODELS, clock)).calls) == 1
    clock.now_s += 12.0
    again = Asked()
    with pytest.raises(ArtifactRefused, match=r"disagree \(found 12 s ago; looked at again in 48 s\)"):
        StartCheck(again, RefusedChecks(tmp_path, "3" * 64, clock), SHIPPED_MODELS, SHIPPED_SURFACES)
    assert again.calls == []


@pytest.mark.parametrize(("later_s", "build", "is_asked"), [
    (REFUSED_FOR_S - 1.0, "3" * 64, False), (REFUSED_FOR_S + 1.0, "3" * 64, True), (-5.0, "3" * 64, True),
    (12.0, "4" * 64, True),
])  # fmt: skip
async def test_a_refusal_counts_for_a_short_while_and_for_that_build(
    tmp_path: Path, later_s: float, build: str, is_asked: bool
) -> None:
    clock = Clock()
    await refused_once(tmp_path, SHIPPED_MODELS, clock)
    clock.now_s += later_s
    refused = RefusedChecks(tmp_path, build, clock)
    assert (refused.known(SHIPPED_MODELS, read_manifest(SHIPPED_MODELS).sha256, SURFACES) == "") is is_asked


async def test_models_that_were_put_right_in_place_are_looked_at_at_once(tmp_path: Path) -> None:
    """The manifest is the same, and so is its hash: what counts is the files."""
    models, clock = tmp_path / "models", Clock()
    shutil.copytree(SHIPPED_MODELS, models)
    await refused_once(tmp_path, models, clock)
    card = (models / "card.md").read_bytes()
    (models / "card.md").write_bytes(card)
    checker = Asked()
    found = load_models(models, SURFACES, probes=False).models
    await StartCheck(checker, RefusedChecks(tmp_path, "3" * 64, clock), models, SHIPPED_SURFACES).passed(found)
    assert len(checker.calls) == 1


async def test_a_note_that_nobody_can_read_refuses_nothing(tmp_path: Path) -> None:
    clock = Clock()
    await refused_once(tmp_path, SHIPPED_MODELS, clock)
    (note,) = (tmp_path / REFUSED_FOLDER).iterdir()
    note.write_bytes(note.read_bytes()[:-9])
    refused = RefusedChecks(tmp_path, "3" * 64, clock)
    assert refused.known(SHIPPED_MODELS, read_manifest(SHIPPED_MODELS).sha256, SURFACES) == ""
