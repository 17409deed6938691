"""Processes beside those that decide: least priority, paced, and never left standing still."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.background import BATCH, CAN_PACE, IDLE, held_back
from tests.helpers.running_host import eventually, is_alive

pytestmark = pytest.mark.skipif(not CAN_PACE, reason="Linux's idle time only")

SPIN = "from service.background import end_with_parent; end_with_parent(); print('on', flush=True)\nwhile True: pass"
SPUN_S = 1.2
# A parent that begins such a process, says its number, and lets it be paced.
PARENT = f"""
import asyncio, sys
from service.background import IDLE, held_back
async def main():
    process = await asyncio.create_subprocess_exec(sys.executable, '-c', {SPIN!r}, stdout=asyncio.subprocess.PIPE)
    async with held_back(process, IDLE):
        await process.stdout.readline()
        print(process.pid, flush=True)
        await process.wait()
asyncio.run(main())
"""


def fields(pid: int) -> list[str]:
    """Of /proc/PID/stat, from the state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_s(pid: int) -> float:
    return (int(fields(pid)[11]) + int(fields(pid)[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(("way", "policy"), [(IDLE, "SCHED_IDLE"), (BATCH, "SCHED_BATCH")])
async def test_it_rests_most_of_the_time_and_goes_on_when_let_go(way: str, policy: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SPIN, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with held_back(process, way):
            assert os.sched_getscheduler(process.pid) == getattr(os, policy)
            assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
            await process.stdout.readline()
            before_s = cpu_s(process.pid)
            await asyncio.sleep(SPUN_S)
            assert cpu_s(process.pid) - before_s < 0.6 * SPUN_S
        before_s = cpu_s(process.pid)
        await asyncio.to_thread(eventually, lambda: cpu_s(process.pid) > before_s, within_s=20.0, what="going on")
        assert fields(process.pid)[0] != "T"
    finally:
        process.kill()
        await process.wait()


async def test_what_has_ended_is_no_fault() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "pass")
    async with held_back(process, IDLE):
        assert await process.wait() == 0
        await asyncio.sleep(0.05)


def test_it_ends_with_its_parent_even_when_it_stands_still() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        os.kill(child, signal.SIGSTOP)
        parent.kill()
    eventually(lambda: not is_alive(child), within_s=10.0, what="the process gone")
