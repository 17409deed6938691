"""A service whose artifacts are not sound: it says so, soon, and is not silent until it is taken for hung."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from service.bootstrap import SHIPPED_MODELS
from service.data_dir import SERVICE_FILE
from tests.helpers.artifacts import other_models
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


def test_models_that_do_not_say_what_onnx_runtime_says_never_serve(short_tmp: Path) -> None:
    """The parity gate of a start runs in another process than the worker; what it finds ends the start all the same."""
    other_models(short_tmp, "wrong", leaf_by=0.25)
    models = str(short_tmp / "wrong")
    service = LiveService(short_tmp / "var", ESS_MODELS_DIR=models, ESS_STARTUP_TIMEOUT_S="110", ESS_WORKERS="1")
    try:
        eventually(lambda: "never ready" in service.output or "died 3 times" in service.output, within_s=110.0,
                   what="the end of the start")  # fmt: skip
        assert "disagree" in service.output
        assert "looked at again in" in service.output, "the second try scored the same models again"
        assert "worker ready" not in service.output
        assert service.process.wait(30.0) != 0
    finally:
        service.end()


def test_a_worker_that_serves_does_not_hold_onnx_runtime(live: LiveService) -> None:
    """Its libraries alone are 16 MB a worker, for a check of the start."""
    workers = json.loads((live.data_dir / SERVICE_FILE).read_text())["workers"]
    mapped = [Path(f"/proc/{pid}/maps").read_text() for pid in workers]
    assert mapped
    assert all("libllvmlite" in text and "onnxruntime" not in text for text in mapped)
