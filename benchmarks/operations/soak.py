"""A steady load for as long as is asked for: how memory and latency grow in an hour, with intervals.

Slopes are of the Theil-Sen kind over samples of one block each, after a first part that is left out (caches fill, the
database grows its pages); the interval is that of the median of pairwise slopes at 95 % (Sen 1968). Memory is the
proportional set size of all processes of the service, so that pages which they share count once.
"""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy import stats

from benchmarks.latency.generator import generator, template_file
from benchmarks.operations.hot_swap import block, rate_of
from tests.helpers.live_service import LiveService, live_service

NAME: Final = "soak"
TARGETS: Final = {"soak_errors": 0}
# Of what the machine can: a soak is no stress test.
SHARE_OF_RATE: Final = 0.5
BLOCK_S: Final = 10.0
LEFT_OUT: Final = 0.2
LEAST_SAMPLES: Final = 8
# How long is asked for; `--soak` sets it.
MINUTES = 0.0


def memory_mib(service: LiveService) -> float:
    """Proportional set size of the service's processes; the database has a group of its own and is not in it."""
    total_kib = 0
    for pid in service.pids():
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total_kib += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total_kib / 1024.0


def slope(hours: list[float], values: list[float]) -> dict[str, float]:
    """A figure's growth an hour, and the interval of it."""
    found = stats.theilslopes(values, hours, alpha=0.95)
    return {"per_hour": round(float(found.slope), 4), "low": round(float(found.low_slope), 4),
            "high": round(float(found.high_slope), 4), "median": round(float(np.median(values)), 4)}  # fmt: skip


def measure(short: bool, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ess-soak-") as name, template_file(Path(name)) as templates:
        load = generator(templates)
        with live_service(ESS_WORKERS="2", ESS_ECHO="true") as service:
            rate = max(10, int(SHARE_OF_RATE * rate_of(load, service.target)))
            begun_s, errors, calls = time.monotonic(), 0, 0
            samples: list[tuple[float, float, float, float]] = []
            while time.monotonic() - begun_s < 60.0 * MINUTES:
                found = block(load, service.target, rate, BLOCK_S)
                errors, calls = errors + found.errors, calls + found.sent
                samples.append(
                    ((time.monotonic() - begun_s) / 3600.0, memory_mib(service), found.p50_ms, found.p99_ms)
                )
    kept = samples[math.ceil(LEFT_OUT * len(samples)) :]
    if len(kept) < LEAST_SAMPLES:
        raise ValueError(f"{len(kept)} samples of {BLOCK_S:g} s tell no slope; soak for longer")
    hours, memory, p50, p99 = (list(column) for column in zip(*kept, strict=True))
    return {
        "soak_errors": errors, "minutes": MINUTES, "calls": calls, "rate_per_s": rate, "samples": len(kept),
        "memory_mib": slope(hours, memory), "p50_ms": slope(hours, p50), "p99_ms": slope(hours, p99),
        "generator": load.name,
    }  # fmt: skip
