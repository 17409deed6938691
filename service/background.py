"""Processes that work beside those that decide: least priority from their first moment on, paced while decisions come.

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
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

IDLE, BATCH = "idle", "batch"
NICENESS: Final = 19
# Linux only, as the kernel's word to a child whose parent is gone: one that was stopped would stay so.
CAN_PACE: Final = hasattr(os, "SCHED_IDLE")
PR_SET_PDEATHSIG: Final = 1
RUNS_S, RESTS_S = 0.003, 0.012
# A loop that works for more of its time than this is deciding; it is asked anew after LOOK_S.
BUSY_SHARE: Final = 0.04
LOOK_S: Final = 0.06


def step_back(way: str = BATCH) -> None:
    """Whoever decides goes first: the least priority, in `idle` time alone or in a `batch` that does not run ahead of
    others on waking. Niceness alone is felt: a decision that wakes waits for up to a whole turn of what runs."""
    os.nice(NICENESS)
    with contextlib.suppress(AttributeError, OSError):  # Linux only
        os.sched_setscheduler(0, _policy_of(way), os.sched_param(0))


def _policy_of(way: str) -> int:
    return os.SCHED_IDLE if way == IDLE else os.SCHED_BATCH


def end_with_parent() -> None:
    """For a process that may be stopped: it is killed when whoever would let it go on is gone."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Busy:
    """Whether the thread that asks has worked of late."""

    def __init__(
        self, wall_s: Callable[[], float] = time.monotonic, cpu_s: Callable[[], float] = time.thread_time
    ) -> None:
        self._wall_s, self._cpu_s = wall_s, cpu_s
        self._since = (wall_s(), cpu_s())
        self._is_busy = True

    def __call__(self) -> bool:
        wall_s, cpu_s = self._wall_s() - self._since[0], self._cpu_s() - self._since[1]
        if wall_s >= LOOK_S:
            self._is_busy = cpu_s > BUSY_SHARE * wall_s
            self._since = (self._wall_s(), self._cpu_s())
        return self._is_busy


async def _pace(process: asyncio.subprocess.Process, is_busy: Callable[[], bool]) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended
        while True:
            await asyncio.sleep(RUNS_S)
            if is_busy():
                process.send_signal(signal.SIGSTOP)
                try:
                    await asyncio.sleep(RESTS_S)
                finally:
                    process.send_signal(signal.SIGCONT)


@contextlib.asynccontextmanager
async def held_back(process: asyncio.subprocess.Process, way: str) -> AsyncIterator[None]:
    """A process of this one's own that was begun just now: as `step_back` has it, and paced while this loop is busy.
    Itself it calls `end_with_parent` first of all."""
    if not CAN_PACE:
        yield
        return
    with contextlib.suppress(OSError):  # it has ended
        # Before its first line: an interpreter that starts and imports takes a tenth of a second.
        os.sched_setscheduler(process.pid, _policy_of(way), os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    pacing = asyncio.get_running_loop().create_task(_pace(process, Busy()), name="pace")
    try:
        yield
    finally:
        pacing.cancel()
        await asyncio.wait({pacing})
