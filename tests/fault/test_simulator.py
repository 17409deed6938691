"""A hundred thousand steps of the simulator over the shipped journal, drainer and keeper; and that it would notice."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest

from store.journal.port import Entry
from store.selection_rows import OrderOwner
from tests.fault.simulator.database import FakeDatabase
from tests.fault.simulator.disk import SimulatedDisk, WorldDisk
from tests.fault.simulator.lossy import LossyDisk
from tests.fault.simulator.simulation import Result, Simulation, Violation
from tests.helpers.running_host import REPOSITORY

STEPS = 2_500
DISKS = (SimulatedDisk, LossyDisk)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A simulated disk fails thousands of times, and each is a line."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def run(seeds: Sequence[int], disk: Callable[[random.Random], WorldDisk]) -> list[Result]:
    return [Simulation(seed, disk).run(STEPS) for seed in seeds]


@pytest.mark.parametrize("disk", DISKS)
def test_fifty_thousand_steps_find_nothing(disk: Callable[[random.Random], WorldDisk]) -> None:
    results = run(range(1_000, 1_020), disk)
    assert sum(result.steps for result in results) == 50_000
    met: Counter[str] = sum((result.outcomes for result in results), Counter())
    # A world in which nothing goes wrong would prove nothing.
    for needed in ("power cut", "killed", "stopped"):
        assert met[f"life ended: {needed}"] >= 20, needed
    for needed in ("JournalFull", "JournalFailed", "StoreUnavailable", "RecordSetAside"):
        assert met[f"refused: {needed}"] >= 5, needed
    assert sum(result.conflicted for result in results) >= 5
    assert sum(result.rows for result in results) >= 10_000


def test_a_seed_is_the_same_history_in_every_process() -> None:
    """Hashes of texts differ between processes, so an order that comes from a set would show."""
    command = [sys.executable, "-m", "tests.fault.simulator", "--seed", "7", "--steps", "1500"]
    digests = set()
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/generated"}
        done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, check=True, timeout=60)
        digests.add(done.stdout.partition(b'"digest": "')[2][:64])
    assert len(digests) == 1
    assert digests != {b""}


class NeverSyncs(SimulatedDisk):
    """Says that it did."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.lies = True


class ForgetsOneRow(FakeDatabase):
    """Every thirtieth batch is one row short, and says nothing."""

    def write(self, journal_id: str, entries: Sequence[Entry]) -> dict[str, OrderOwner]:
        answer = super().write(journal_id, entries)
        if self.transactions % 30 == 0 and self.sequences:
            selection_id = next(reversed(self.sequences))
            del self.selections[selection_id]
        return answer


def first_violation(make: Callable[[int], Simulation], seeds: int = 10) -> Violation:
    for seed in range(seeds):
        try:
            make(seed).run(STEPS)
        except Violation as found:
            return found
    raise AssertionError("nothing was found")


def test_a_disk_that_lies_about_syncs_is_noticed() -> None:
    found = first_violation(lambda seed: Simulation(seed, NeverSyncs))
    assert {"lost", "start", "broken", "gap"} & set(found.kinds), found
    assert f"--seed {found.args[0].split()[1].rstrip(',')}" in str(found)


def test_a_database_that_loses_a_row_is_noticed() -> None:
    def make(seed: int) -> Simulation:
        return Simulation(seed, database=ForgetsOneRow())

    assert "lost" in first_violation(make).kinds


def test_a_violation_comes_again_with_its_seed() -> None:
    first = first_violation(lambda seed: Simulation(seed, NeverSyncs))
    seed = int(str(first).split()[1].rstrip(","))
    with pytest.raises(Violation) as again:
        Simulation(seed, NeverSyncs).run(STEPS)
    assert str(again.value) == str(first)
