"""A service whose artifacts are not sound: it says so, soon, and is not silent until it is taken for hung."""

from __future__ import annotations

import shutil
from pathlib import Path

from service.bootstrap import SHIPPED_MODELS
from tests.helpers.live_service import LiveService
from tests.helpers.running_host import eventually


def test_a_worker_without_one_of_its_files_names_it_before_its_start_is_given_up(short_tmp: Path) -> None:
    models = short_tmp / "models"
    shutil.copytree(SHIPPED_MODELS, models)
    (models / "card.md").unlink()
    # One worker keeps the journal itself, with pools and tasks that must end before the reason can be told.
    service = LiveService(short_tmp / "var", ESS_MODELS_DIR=str(models), ESS_STARTUP_TIMEOUT_S="110", ESS_WORKERS="1")
    try:
        eventually(lambda: "card.md is missing" in service.output, within_s=60.0, what="the reason in the log")
    finally:
        service.end()
