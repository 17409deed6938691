"""The check of models in a process of its own: in idle time first, then with a little more, and never for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from service.artifact_checker import ArtifactRefused, ChildChecker
from store.archive import Archive
from store.artifacts import load_artifact
from tests.helpers.replay_world import SHIPPED

MODELS, SURFACES = (load_artifact(SHIPPED / kind).sha256 for kind in ("models", "surfaces"))


def command_lines() -> list[str]:
    """Of every process; none where the system has no /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            found.append(path.read_bytes().decode("utf-8", "replace"))
    return found


async def test_a_host_without_idle_time_checks_all_the_same(tmp_path: Path) -> None:
    """No process starts within a millisecond, as none gets anywhere where nothing is idle."""
    await ChildChecker(tmp_path, polite_within_s=0.001, build_id="0" * 64).check(SHIPPED / "models", MODELS, SURFACES)
    folder = Archive(tmp_path).artifact_folder(MODELS)
    assert folder is not None


async def test_a_check_that_does_not_end_is_given_up_and_leaves_nothing_running(tmp_path: Path) -> None:
    with pytest.raises(ArtifactRefused, match=r"took longer than 0\.001 s"):
        await ChildChecker(tmp_path, 0.001, 0.001, build_id="0" * 64).check(SHIPPED / "models", MODELS, SURFACES)
    assert not [line for line in command_lines() if str(tmp_path) in line]


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux's idle time only")
@pytest.mark.parametrize(
    ("way", "policy", "niceness"),
    [("idle", "SCHED_IDLE", "19"), ("batch", "SCHED_BATCH", "19"), ("some", "SCHED_BATCH", "5")],
)
def test_it_steps_back(way: str, policy: str, niceness: str) -> None:
    words = f"import os; from service.background import step_back; step_back({way!r}); "
    words += f"print(os.sched_getscheduler(0) == os.{policy}, os.nice(0))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["True", niceness]
