"""Power cuts: the shipped journal, drainer and keeper over a disk that loses what was not synced, and no more.

A killed process leaves the page cache behind and proves nothing about syncs. Here the power goes between two operations
of a disk in memory (`tests/helpers/disks.py`), each sector and each name that was not synced is thrown the dice for,
and the next life has to answer for everything that the last one acknowledged.
"""

from __future__ import annotations

import logging
import time
from collections import Counter

from benchmarks.durability.common import SEED, Figures, Section, at_least, say, zero
from tests.fault.simulator.lossy import LossyDisk
from tests.fault.simulator.simulation import Result, Simulation, Violation

STEPS = 600
CUTS_WANTED, SHORT_CUTS_WANTED = 400, 60


def run(short: bool) -> Figures:
    wanted = SHORT_CUTS_WANTED if short else CUTS_WANTED
    say(f"power: at least {wanted} cuts")
    begun_s = time.monotonic()
    results: list[Result] = []
    violations: Counter[str] = Counter()
    examples: list[str] = []
    logging.disable(logging.CRITICAL)
    seed, cuts = SEED, 0
    while cuts < wanted:
        simulation = Simulation(seed, LossyDisk, power_cuts=12.0)
        try:
            simulation.run(STEPS)
        except Violation as error:
            violations += error.kinds
            examples.append(str(error))
        results.append(simulation.result)
        cuts += simulation.result.outcomes["life ended: power cut"]
        seed += 1
    logging.disable(logging.NOTSET)
    return figures(results, violations) | {
        "power_runs": cuts, "examples": examples[:3], "first_seed": SEED, "took_s": round(time.monotonic() - begun_s, 1)
    }  # fmt: skip


def figures(results: list[Result], violations: Counter[str]) -> Figures:
    """Kinds of violations under the names of the targets."""
    lost_committed = violations.pop("lost committed", 0)
    found = {
        "lost_journaled": sum(violations.pop(kind, 0) for kind in ("lost", "changed", "unseen")),
        "lost_committed": lost_committed,
        "duplicates": violations.pop("twice", 0) + violations.pop("claims", 0),
        "reordered": violations.pop("reordered", 0),
        "event_gaps": violations.pop("gap", 0),
    }
    return found | {
        "other_violations": sum(violations.values()),
        "histories": len(results),
        "answers": sum(result.answers for result in results),
        "rows": sum(result.rows for result in results),
    }


def section(short: bool) -> Section:
    targets = at_least("power_runs", SHORT_CUTS_WANTED if short else 200) | zero(
        "lost_journaled", "lost_committed", "duplicates", "reordered", "event_gaps", "other_violations"
    )
    return Section("power", run, targets)
