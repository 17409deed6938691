"""Processes that work beside those that decide: least priority from their first moment on, and paced.

Idle time alone is not enough. The processor is given up at once when a decision wakes, but not the caches, the memory's
bandwidth and the other half of a core, so that decisions beside such a process take longer for as long as it runs.
Paced it runs a few milliseconds and rests several times as long: it takes longer, and no decision meets much of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import AsyncIterator
from typing import Final

from store.ending import end

# In idle time alone; with the least share of a busy processor; with a fourth of what one busy process has, for what has
# to come to its end there too.
IDLE, BATCH, SOME = "idle", "batch", "some"
NICENESS: Final = {IDLE: 19, BATCH: 19, SOME: 5}
# Linux only, as the kernel's word to a child whose parent is gone: one that was stopped would stay so.
CAN_PACE: Final = hasattr(os, "SCHED_IDLE")
PR_SET_PDEATHSIG: Final = 1
# Short against a decision. Whether decisions come is not asked: they may come to another worker of the host.
RUNS_S, RESTS_S = 0.003, 0.009


def step_back(way: str = BATCH) -> None:
    """Whoever decides goes first: less priority, in `idle` time alone or in a batch that does not run ahead of others
    on waking. Niceness alone is felt: a decision that wakes waits for up to a whole turn of what runs."""
    os.nice(NICENESS[way])
    with contextlib.suppress(AttributeError, OSError):  # Linux only
        os.sched_setscheduler(0, _policy_of(way), os.sched_param(0))


def _policy_of(way: str) -> int:
    return os.SCHED_IDLE if way == IDLE else os.SCHED_BATCH


def end_with_parent() -> None:
    """For a process that may be stopped: it is killed when whoever would let it go on is gone."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


async def _pace(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended
        while True:
            await asyncio.sleep(RUNS_S)
            process.send_signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(RESTS_S)
            finally:
                process.send_signal(signal.SIGCONT)


@contextlib.asynccontextmanager
async def held_back(process: asyncio.subprocess.Process, way: str) -> AsyncIterator[None]:
    """A process of this one's own that was begun just now: as `step_back` has it, and paced. The first thing that it
    does itself is `end_with_parent`."""
    if not CAN_PACE:
        yield
        return
    with contextlib.suppress(OSError):  # it has ended
        # Before its first line: an interpreter that starts and imports takes a tenth of a second.
        os.sched_setscheduler(process.pid, _policy_of(way), os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS[way])
    pacing = asyncio.get_running_loop().create_task(_pace(process), name="pace")
    try:
        yield
    finally:
        await end(pacing)
