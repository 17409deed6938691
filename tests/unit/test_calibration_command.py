"""`ess calibrate`: what it writes, what it says, and what it says where it cannot run."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers import market_files as files
from training.calibration import command
from training.calibration.calibrate import write_json
from training.calibration.formats import read_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.small_folder(tmp_path_factory.mktemp("market"))


def run(*arguments: str, program: str = "from service.cli import app; app()") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=100, check=False,
        env=os.environ | {"COLUMNS": "200"},
    )


def test_a_folder_of_ones_own_is_measured_and_reported(folder: Path, tmp_path: Path) -> None:
    result = command.calibrate(folder, tmp_path, days=24)
    kept = json.loads((tmp_path / "calibration.json").read_text())
    assert kept["data"] == folder.name
    assert str(folder) not in (tmp_path / "calibration.json").read_text()
    assert {"US", "CN"} <= set(kept["measures"]["kurtosis_of_a_day"])
    assert "XYZ 20120621" in kept["measures"]["fill_rate_pegged"]
    assert {f["format"] for f in kept["files"]} == {"utc bars", "china bars", "lobster table"}
    assert all(f["rows"] == f["used"] + sum(f["bad"].values()) + sum(f["unused"].values()) for f in kept["files"])
    supported = {r["field"] for r in kept["world"] if "proposed" in r}
    assert {"variance_curve", "volume_log_sd", "shock_degrees", "spread_persistence_minutes"} <= supported
    assert not {"dark_tail", "jump_sd", "mean_stay_minutes"} & supported
    text = command.summary(result, tmp_path)
    assert "numbers of the simulated market are supported" in text
    assert "as shipped" in text
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "<script" not in page
    assert all(row["field"] in page for row in [*kept["world"], *kept["structural"]])


def test_bars_alone_are_enough(tmp_path: Path) -> None:
    files.write(tmp_path / "data" / "bars.csv", files.utc_bars("ABC", "2016-05-02", 1))
    command.calibrate(tmp_path / "data", tmp_path / "out", days=12)
    kept = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert kept["files"][0]["used"] in (0, 390)
    assert (tmp_path / "out" / "report.html").stat().st_size > 20_000


def test_bars_by_another_clock_are_told_by_what_was_not_used(tmp_path: Path) -> None:
    """New York's times read as UTC: most of the day lies before the open then."""
    local = [files.utc_bars("ABC", f"2016-05-0{day}", day, open_utc="09:30") for day in (2, 3, 4, 5, 6)]
    files.write(tmp_path / "mine.csv", pd.concat(local))
    data = read_folder(tmp_path, lambda symbol, date: True)
    (line,) = command.unneeded([dataclasses.asdict(file) for file in data.files])
    assert line == "sound rows that were not used: 1,200 outside continuous trading"
    assert command.unneeded([{"unused": {}}]) == []
    both = [{"unused": {"kept for replay": 3}}, {"unused": {"of a half day": 5, "kept for replay": 4}}]
    assert command.unneeded(both) == ["sound rows that were not used: 7 kept for replay, 5 of a half day"]


def test_nothing_readable_is_told_with_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    done = run("calibrate", "--data", str(tmp_path))
    assert done.returncode == command.EX_USAGE
    assert "ess calibrate:" in done.stderr
    assert "minute" in done.stderr
    assert "orderbook" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra_it_says_so() -> None:
    program = "import sys; sys.modules['pandas'] = None; from service.cli import app; app()"
    done = run("calibrate", "--data", "x", program=program)
    assert done.returncode == 69
    assert "extra `train`" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_service_knows_the_commands_by_name_only() -> None:
    program = "import sys, service.cli; print(any(name.split('.')[0] == 'training' for name in sys.modules))"
    assert run(program=program).stdout.strip() == "False"
    shown = run("--help").stdout
    assert "calibrate" in shown
    assert "train" in shown
    assert "--data" in run("calibrate", "--help").stdout


def test_curves_stand_on_one_line(tmp_path: Path) -> None:
    value = {"a": [1.0, 2.5, None], "b": [[1.0, 2.0], [3.0, -4e-05]], "c": ["x", "y"], "d": [], "e": [{"f": 1}]}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == value
    assert '"a": [1.0, 2.5, null]' in text
    assert '"b": [[1.0, 2.0], [3.0, -4e-05]]' in text
