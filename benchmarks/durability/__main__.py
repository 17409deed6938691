"""What survives, and what that costs: kills, power cuts, corruption, outages, draining, replay.

    python -m benchmarks.durability [--short] [--only NAME ...]

Bounded, loopback only, and it stops by itself: at most 40 minutes on two cores, 4 with --short (which also leaves out
the targets that seconds on a shared machine cannot prove). Every section is seeded, and a failure names its seed. The
last line printed is one JSON object, also written to build/bench/durability.json; `misses` says which targets were not
met, and the exit code is 1 if any was not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.durability import (
    claims,
    corruption,
    drain,
    journal_commit,
    kills,
    outage,
    power,
    replay,
    simulator,
)
from benchmarks.durability.common import Figures, Section, say

OUT = Path("build/bench/durability.json")
# What must be quiet comes first; what runs in memory last.
MODULES = (journal_commit, drain, outage, claims, kills, replay, power, corruption, simulator)
# Shown on top; where kills and power cuts both count something, the sum is.
SUMMED = ("lost_journaled", "lost_committed", "duplicates", "reordered", "event_gaps")
SHOWN = (
    "kill_runs", "power_runs", *SUMMED, "corruption_missed", "corruption_faults", "corruption_kinds",
    "order_claims_broken", "failed_rpcs", "p99_ratio_db_down", "p99_ratio_db_down_interval", "p99_ratio_db_slow",
    "catch_up_complete", "drain_ratio", "journal_p99_vs_fsync", "journal_p99_vs_fsync_interval", "simulator_steps",
    "replay_identical", "replay_decisions",
)  # fmt: skip


def measure(section: Section, short: bool) -> tuple[Figures, list[str]]:
    """The figures of a section, and which of its targets it missed. One that fails does not end the others."""
    begun_s = time.monotonic()
    try:
        found = section.run(short)
    except Exception as error:
        traceback.print_exc()
        return {"error": repr(error)}, [f"{section.name}: did not run to its end ({error!r})"]
    say(f"{section.name}: {time.monotonic() - begun_s:.0f} s")
    misses = [
        f"{section.name}: {name} is {found.get(name)}, wanted {wanted}"
        for name, (holds, wanted) in section.targets.items()
        if not holds(found.get(name))
    ]
    return found, misses


def summary(sections: dict[str, Figures]) -> Figures:
    """The figures that the issue asks for, each under its own name."""
    top: Figures = {}
    for name in SHOWN:
        those: list[Any] = [found[name] for found in sections.values() if name in found]
        if those:
            top[name] = sum(those) if name in SUMMED else those[0]
    return top


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="minutes instead of half an hour")
    parser.add_argument("--only", action="append", default=[], help="a section by name; may be given again")
    given = parser.parse_args(arguments)
    begun_s = time.monotonic()
    sections: dict[str, Figures] = {}
    misses: list[str] = []
    for module in MODULES:
        section = module.section(given.short)
        if not given.only or section.name in given.only:
            sections[section.name], missed = measure(section, given.short)
            misses += missed
    for miss in misses:
        say(f"MISSED {miss}")
    found = summary(sections) | {
        "short": given.short, "misses": misses, "took_s": round(time.monotonic() - begun_s, 1), "sections": sections,
    }  # fmt: skip
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found))
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
