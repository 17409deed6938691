"""CPU time and memory of the processes of a service, and whether memory grows."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

MIB: Final = 1 << 20
_TICKS_S: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(pids: Iterable[int]) -> float:
    """User and system time so far, in seconds; a tick is 10 ms."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS_S


def memory_bytes(pids: Iterable[int], kind: str = "Pss:") -> int:
    """Private and proportional shared memory: pages that several processes share count once. `Pss_Anon:` is what was
    allocated, without mapped files: those come and go with the page cache and are no leak."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(kind):
                total += int(line.split()[1]) * 1024
    return total


@dataclass(slots=True)
class MemoryLog:
    """Samples of (seconds, bytes)."""

    at_s: list[float] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    anonymous: list[int] = field(default_factory=list)

    async def follow(self, pids: Sequence[int], every_s: float = 0.5) -> None:
        while True:
            self.at_s.append(time.perf_counter())
            self.bytes.append(memory_bytes(pids))
            self.anonymous.append(memory_bytes(pids, "Pss_Anon:"))
            await asyncio.sleep(every_s)

    def slope_mb_per_min(
        self, skip_s: float, blocks: int = 10, *, anonymous: bool = False
    ) -> tuple[float, float, float]:
        """(slope, lower, upper) of a line through the means of blocks, 95 %, without the first `skip_s`: samples that
        follow one another are alike, blocks much less so."""
        at = np.array(self.at_s)
        held = np.array(self.anonymous if anonymous else self.bytes, dtype=np.float64) / MIB
        keep = at >= at[0] + skip_s
        at, held = at[keep] / 60.0, held[keep]
        return line_slope(
            np.array([part.mean() for part in np.array_split(at, blocks)]),
            np.array([part.mean() for part in np.array_split(held, blocks)]),
        )


def line_slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float]:
    """Least squares, with Student's 95 % interval."""
    dx = x - x.mean()
    slope = float((dx @ (y - y.mean())) / (dx @ dx))
    rest = y - y.mean() - slope * dx
    error = float(np.sqrt((rest @ rest) / (len(x) - 2) / (dx @ dx)))
    half = float(student.ppf(0.975, len(x) - 2)) * error
    return slope, slope - half, slope + half
