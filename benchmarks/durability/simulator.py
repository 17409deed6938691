"""The deterministic simulator over fresh seeds: every kind of fault there is, on two models of a disk."""

from __future__ import annotations

import logging
import time
from collections import Counter

from benchmarks.durability.common import SEED, Figures, Section, at_least, say, zero
from tests.fault.simulator.disk import SimulatedDisk
from tests.fault.simulator.lossy import LossyDisk
from tests.fault.simulator.simulation import Simulation, Violation

STEPS = 2_500
FULL_HISTORIES, SHORT_HISTORIES = 200, 40


def run(short: bool) -> Figures:
    histories = SHORT_HISTORIES if short else FULL_HISTORIES
    say(f"simulator: {histories} histories of {STEPS} steps")
    begun_s = time.monotonic()
    steps, lives, virtual_s = 0, 0, 0.0
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    logging.disable(logging.CRITICAL)
    for number in range(histories):
        simulation = Simulation(SEED + number, LossyDisk if number % 2 else SimulatedDisk)
        try:
            simulation.run(STEPS)
        except Violation as error:
            failures.append(str(error))
        found = simulation.result
        steps, lives, virtual_s = steps + found.steps, lives + found.lives, virtual_s + found.virtual_s
        outcomes += found.outcomes
    logging.disable(logging.NOTSET)
    return {
        "simulator_steps": steps, "simulator_failures": len(failures), "examples": failures[:3],
        "seeds": [SEED, SEED + histories - 1], "lives": lives, "virtual_s": round(virtual_s, 1),
        "outcomes": dict(sorted(outcomes.items())), "took_s": round(time.monotonic() - begun_s, 1),
    }  # fmt: skip


def section(short: bool) -> Section:
    return Section("simulator", run, at_least("simulator_steps", 100_000) | zero("simulator_failures"))
