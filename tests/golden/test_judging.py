"""The committed benchmark is what the code measures: another grid, utility, world, orders or rules need a new name."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import judging


def test_the_committed_benchmark_is_what_the_code_says() -> None:
    assert judging.differences() == [], "python -m benchmarks.judging --write NAME, with a new name"


def test_a_change_is_named(tmp_path: Path) -> None:
    other = tmp_path / "judging.json"
    other.write_text(json.dumps({**judging.committed(), "utility_sha256": "0" * 64}))
    (found,) = judging.differences(other)
    assert found.startswith("utility_sha256: ")


def test_the_grid_is_large_enough_and_orders_fill_every_combination() -> None:
    committed = judging.committed()
    assert committed["grid"]["candidates"] >= 1_000
    assert committed["sizes"]["orders"] >= 2_000
    combinations = 5 * 6 * 4
    assert committed["sizes"]["orders"] % combinations == 0
    assert committed["sizes"]["axis_orders"] % combinations == 0
