"""What adaptation gains, what outcomes teach, how many open orders a worker follows: the life of an order, measured.

    python -m benchmarks.adapt [--short] [--only SECTION ...] [--seed N]

Bounded, and it stops by itself. docs/adaptation.md says what the figures of `gain` mean. The last line printed is one
JSON object, also written to build/bench/adapt.json: every figure on top under its own name, and each section's own.
`missed` lists the targets that were not met, and the exit code is 1 if any was not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks.adapt.sections import SECTIONS, Figures, measure_of
from benchmarks.adapt.targets import missed_of

OUT = Path("build/bench/adapt.json")
SEED = 20261130


def say(text: str) -> None:
    """Progress goes to standard error: the last line of standard output is the result."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def run_section(name: str, short: bool, seed: int) -> tuple[Figures, list[str]]:
    """The figures of a section, and which of its targets it missed. One that fails does not end the others."""
    say(f"{name} begins")
    begun_s, begun_cpu_s = time.monotonic(), time.process_time()
    try:
        found = measure_of(name)(short, seed)
    except Exception as error:
        traceback.print_exc()
        return {"error": repr(error)}, [f"{name}: did not run to its end ({error!r})"]
    found["took_s"] = round(time.monotonic() - begun_s, 1)
    found["cpu_s"] = round(time.process_time() - begun_cpu_s, 1)  # of this process alone
    say(f"{name}: {found['took_s']:.0f} s")
    return found, missed_of(name, found, short)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="minutes: shows that it runs, proves little")
    parser.add_argument(
        "--only", action="append", choices=list(SECTIONS), help="a section; may be given again"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args(arguments)
    sections: dict[str, Figures] = {}
    missed: list[str] = []
    for name in given.only or SECTIONS:
        sections[name], fresh = run_section(name, given.short, given.seed)
        missed += fresh
    for miss in missed:
        say(f"MISSED {miss}")
    top = {key: value for found in sections.values() for key, value in found.items() if not _is_own(key)}
    found = top | {"short": given.short, "seed": given.seed, "missed": missed, "sections": sections}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found))
    return 1 if missed else 0


def _is_own(key: str) -> bool:
    """What every section has and would hide another's."""
    return key in ("error", "took_s", "cpu_s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
