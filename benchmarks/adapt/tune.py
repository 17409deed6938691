"""The switching constants from measurement: gain against needless switches, one constant at a time around those in use.

    python -m benchmarks.adapt.tune [--orders N] [--pairs N] [--only NAME ...]

Orders and paths are those of training seeds (worlds.Use.TUNE): none is ever judged. The table is what
engine/order_life/rules.py was set from; docs/adr/0018 says how. Nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.adapt.gain import column
from benchmarks.adapt.judge import accepted, constant_verdict, verdict
from benchmarks.adapt.worlds import FULL, Use
from engine.order_life.rules import RULES, Rules


def with_switching(**changes: Any) -> Rules:
    return replace(RULES, switching=replace(RULES.switching, **changes))


def variants() -> dict[str, Rules]:
    """One constant at a time."""
    found = {"in use": RULES}
    for value in (0.25, 0.5, 1.0, 2.0):
        found[f"tolerance_bps {value:g}"] = with_switching(tolerance_bps=value)
    for value in (0.05, 0.1, 0.15, 0.25):
        found[f"tolerance_fraction {value:g}"] = with_switching(tolerance_fraction=value)
    for minutes in (2, 5, 10, 20):
        found[f"dwell_minutes {minutes}"] = with_switching(dwell_ns=minutes * 60_000_000_000)
    for value in (0.5, 0.6, 0.7, 0.8, 0.9):
        found[f"sure_probability {value:g}"] = replace(RULES, sure_probability=value)
    for minutes in (3, 5, 10):
        found[f"spread_minutes {minutes}"] = replace(RULES, spread_minutes=minutes)
    for value in (1.4, 1.7, 2.0):
        found[f"spread_ratio {value:g}"] = replace(RULES, spread_ratio=value)
    for value in (2.0, 3.0):
        found[f"participation_ratio {value:g}"] = replace(RULES, participation_ratio=value)
    for value in (0.8, 0.9, 1.0):
        found[f"deadline_demand {value:g}"] = replace(RULES, deadline_demand=value)
    return found


def main(arguments: Sequence[str], rules: dict[str, Rules] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=36)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--constant-pairs", type=int, default=6)
    parser.add_argument("--only", action="append", default=[], help="variants whose name begins so")
    given = parser.parse_args(arguments)
    worlds = [accepted(Use.TUNE, index, FULL)[0] for index in range(given.orders)]
    constant = [accepted(Use.TUNE_CONSTANT, index, FULL)[0] for index in range(given.orders)]
    print(f"{'variant':28} {'gain':>7} {'worst':>7} {'needless':>9} {'constant gain':>14} {'switches':>9}")
    for name, candidate in (rules or variants()).items():
        if given.only and not any(name.startswith(start) for start in given.only):
            continue
        rows = [verdict(world, given.pairs, candidate, ceiling=False) for world in worlds]
        quiet = [constant_verdict(world, given.constant_pairs, candidate) for world in constant]
        alone, saved = column(rows, "alone"), column(rows, "alone") - column(rows, "adaptive")
        at_stake = alone - column(rows, "alone_spread_and_fees")
        names = np.array([row["after"] for row in rows])
        worst = min(saved[names == one].sum() / at_stake[names == one].sum() for one in set(names))
        lost = column(quiet, "alone") - column(quiet, "adaptive")
        print(
            f"{name:28} {saved.sum() / at_stake.sum():7.4f} {worst:7.4f} {column(quiet, 'switches').mean():9.3f} "
            f"{lost.sum() / column(quiet, 'alone').sum():14.4f} {column(rows, 'switches_after').mean():9.2f}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
