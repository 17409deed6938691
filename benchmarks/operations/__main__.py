"""Whether the service can be stopped, held to its limits, and kept to those who may use it.

    python -m benchmarks.operations [--short] [--only NAME ...] [--soak MINUTES] [--seed N]

Bounded, loopback only, and it stops by itself. Every section is `measure(short, seed) -> dict` with its TARGETS (the
values that its figures must have) and AT_MOST. The soak runs where it is asked for.
The last line printed is one JSON object, also written to build/bench/operations.json; `missed` says which targets
were not met, and the exit code is 1 if any was not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.operations import halts, hot_swap, limits, roles, rolling, rotation, soak

OUT = Path("build/bench/operations.json")
SEED = 20261201
SECTIONS: tuple[ModuleType, ...] = (limits, roles, rotation, halts, hot_swap, rolling)
# Shown on top, each under its own name.
SHOWN = (
    "halt_p99_ms", "echo_p99_ms", "decisions_after_halt", "unauthorised_accepted", "limits_passed", "rotation_refused",
    "hot_swap_errors", "hot_swap_p99_ratio", "hot_swap_p99_ratio_interval", "rolling_restart_failed",
    "rolling_restart_lost", "rolling_restart_not_run",
)  # fmt: skip


def run(section: ModuleType, short: bool, seed: int) -> tuple[dict[str, Any], list[str]]:
    """The figures of a section, and which of its targets it missed. One that fails does not end the others."""
    begun_s = time.monotonic()
    try:
        found: dict[str, Any] = section.measure(short, seed)
    except Exception as error:
        traceback.print_exc()
        return {"error": repr(error)}, [f"{section.NAME}: did not run to its end ({error!r})"]
    print(f"{section.NAME}: {time.monotonic() - begun_s:.0f} s {found}", file=sys.stderr, flush=True)
    missed = [
        f"{section.NAME}: {name} is {found.get(name)}, wanted {wanted}"
        for name, wanted in section.TARGETS.items()
        if found.get(name) != wanted
    ]
    for name, most in getattr(section, "AT_MOST", {}).items():
        if not found.get(name, float("inf")) <= most:
            missed.append(f"{section.NAME}: {name} is {found.get(name)}, wanted at most {most}")
    return found, missed


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a minute or two instead of ten")
    parser.add_argument("--only", action="append", default=[], help="a section by name; may be given again")
    parser.add_argument("--soak", type=float, default=0.0, metavar="MINUTES", help="only the soak, so long")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args(arguments)
    begun_s = time.monotonic()
    sections: dict[str, dict[str, Any]] = {}
    missed: list[str] = []
    soak.MINUTES = given.soak
    for section in (soak,) if given.soak else SECTIONS:
        if not given.only or section.NAME in given.only:
            sections[section.NAME], more = run(section, given.short, given.seed)
            missed += more
    for miss in missed:
        print(f"MISSED {miss}", file=sys.stderr, flush=True)
    top = {name: found[name] for name in SHOWN for found in sections.values() if name in found}
    result = top | {
        "short": given.short, "seed": given.seed, "missed": missed, "took_s": round(time.monotonic() - begun_s, 1),
        "sections": sections,
    }  # fmt: skip
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
