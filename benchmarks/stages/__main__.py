"""CPU time of every stage as a ratio to a null baseline, against a budget.

    python -m benchmarks.stages [--record]

The stages are pytest-benchmark's tests in `test_stages.py`, timed by the process's CPU clock, so that a busy machine
moves them little. The null baseline is what an Echo of the same sizes does to its bytes; ratios of medians are compared
with `budgets.json`, and what is over stops with exit code 1. `--record` prints ratios without judging. The last line is
one JSON object, also written to build/bench/stages.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console
from rich.table import Table

HERE: Final = Path(__file__).resolve().parent
OUT: Final = Path("build/bench/stages.json")
NULL: Final = "null"


def measure() -> dict[str, float]:
    """Median microseconds of CPU by stage. Raises RuntimeError where a stage fails."""
    with tempfile.TemporaryDirectory(prefix="ess-stages-") as folder:
        report = Path(folder) / "report.json"
        code = pytest.main(
            [
                str(HERE / "test_stages.py"),
                "-q",
                "--benchmark-only",
                "--benchmark-quiet",
                "-p",
                "no:cacheprovider",
                "--benchmark-timer=time.process_time",
                f"--benchmark-json={report}",
            ]
        )
        if code != 0:
            raise RuntimeError(f"the stages could not be measured: pytest ended with {int(code)}")
        found: dict[str, Any] = json.loads(report.read_text())
    return {
        row["name"].removeprefix("test_").partition("[")[0]: row["stats"]["median"] * 1e6
        for row in found["benchmarks"]
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="print, judge nothing")
    judged = not parser.parse_args(arguments).record
    median_us = measure()
    budgets: dict[str, float] = json.loads((HERE / "budgets.json").read_text())
    ratios = {stage: value / median_us[NULL] for stage, value in median_us.items()}
    over = sorted(stage for stage, most in budgets.items() if not ratios.get(stage, float("inf")) <= most)
    table = Table("stage", "CPU us", "x null", "budget", title="medians")
    for stage, value in median_us.items():
        most = budgets.get(stage)
        table.add_row(stage, f"{value:.1f}", f"{ratios[stage]:.2f}", "" if most is None else f"{most:g}")
    Console().print(table)
    found = {
        "median_us": {stage: round(value, 2) for stage, value in median_us.items()},
        "ratio_to_null": {stage: round(value, 3) for stage, value in ratios.items()},
        "engine_p50_us": round(median_us["engine"], 1),
        "over_budget": over,
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found))
    return 1 if over and judged else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
