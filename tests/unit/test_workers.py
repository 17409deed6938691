"""Workers of a pool end with the process that opened it, however that ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.helpers.running_host import eventually, is_alive

PROGRAM = """
import time
from training.workers import open_workers

with open_workers(2) as workers:
    print(len(list(workers.run(time.sleep, [0.2, 0.2]))), flush=True)
    list(workers.run(time.sleep, [600.0, 600.0]))
"""


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_workers_end_when_their_run_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "2\n"
        workers = children_of(run.pid)
        assert len(workers) >= 2
        run.kill()
    eventually(lambda: not any(map(is_alive, workers)), within_s=30.0, what="the workers of the killed run have ended")
