"""The load: ess-loadgen where it is built (`make native`), else threads of Python, which the result then says."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from google.protobuf import proto

from benchmarks.latency import python_load
from service.demo import closed_time, seed_volumes
from service.mapping.contract_json import from_object
from service.mapping.contract_messages import RECOMMEND

PROGRAM = Path("build/native/ess-loadgen")
SEED = 20261122
TEMPLATES = 512
OBJECTIVES = ("MINIMIZE_COST", "MINIMIZE_RISK", "MINIMIZE_TIME", "MAXIMIZE_ALPHA_CAPTURE", "BALANCED_EXECUTION")
URGENCIES = ("LOW", "NORMAL", "HIGH", "URGENT")
# What a run may take beyond its blocks: warming, recommending the orders of adapt, draining.
SPARE_S = 90.0
SLOWEST_OPENED_PER_S = 40.0


@dataclass(frozen=True, slots=True)
class Run:
    """What to load. `parts` as in blocks.py; every round runs each part for `block_s`."""

    parts: Sequence[str]
    rounds: int
    block_s: float
    channels: int = 2
    deadline_ms: int = 1_000
    warm_calls: int = 100
    most_in_flight: int = 5_000
    # Orders that adapt updates; above 0 each is opened by an update before the first block.
    open_orders: int = 0

    @property
    def seconds(self) -> float:
        return self.rounds * self.block_s * len(self.parts)


class Generator(Protocol):
    """Gives the report that blocks.py reads. Raises RuntimeError where the load could not be made."""

    name: str
    streams: bool

    def run(self, target: str, run: Run) -> dict[str, Any]: ...


class Native:
    """ess-loadgen in a process of its own."""

    name = "ess-loadgen (C++)"
    streams = True

    def __init__(self, templates: Path) -> None:
        self._templates = templates
        self._runs = itertools.count(1)
        self._prefix = f"b{time.time_ns() // 1_000_000:x}"

    def run(self, target: str, run: Run) -> dict[str, Any]:
        command = [
            str(PROGRAM), "--target", target, "--templates", str(self._templates), "--parts", ",".join(run.parts),
            "--rounds", str(run.rounds), "--block-s", str(run.block_s), "--channels", str(run.channels),
            "--deadline-ms", str(run.deadline_ms), "--warm-calls", str(run.warm_calls),
            "--most-in-flight", str(run.most_in_flight), "--prefix", f"{self._prefix}-{next(self._runs)}",
        ]  # fmt: skip
        if run.open_orders:
            command += ["--adapt-orders", str(run.open_orders), "--open-all", "yes"]
        limit_s = 2 * run.seconds + SPARE_S + run.open_orders / SLOWEST_OPENED_PER_S
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"the load generator ended with {done.returncode}: {done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found


class Fallback:
    """The same load from threads of this process: its own pauses are in what it measures."""

    name = "python threads (ess-loadgen is not built; its own pauses are in these latencies)"
    streams = False

    def __init__(self, templates: Path) -> None:
        self._orders = read_templates(templates)
        self._runs = itertools.count(1)
        self._prefix = f"p{time.time_ns() // 1_000_000:x}"

    def run(self, target: str, run: Run) -> dict[str, Any]:
        return python_load.load(
            target, self._orders, f"{self._prefix}-{next(self._runs)}", run.parts, run.rounds, run.block_s,
            run.channels, run.deadline_ms / 1e3, run.warm_calls,
        )  # fmt: skip


def generator(templates: Path) -> Generator:
    return Native(templates) if PROGRAM.exists() else Fallback(templates)


def orders(count: int, **changes: Any) -> Iterator[Any]:
    """Any shipped instrument, objective and urgency, 0.05 % to 10 % of daily volume; without an order id."""
    random = np.random.default_rng(SEED)
    volumes = seed_volumes()
    names = sorted(volumes)
    for index in range(count):
        name = names[int(random.integers(len(names)))]
        volume, lot = volumes[name]
        size = float(np.exp(random.uniform(np.log(5e-4), np.log(0.1))))
        fields: dict[str, Any] = {
            "instrument_id": name, "side": "BUY" if index % 2 else "SELL",
            "quantity": max(1, int(size * volume / lot)) * lot, "objective": OBJECTIVES[index % 5],
            "urgency": URGENCIES[index % 4], "market_context": {"time_of_day": "MORNING"},
            "effective_time": closed_time(time.time()), **changes,
        }  # fmt: skip
        message = RECOMMEND.request()
        faults = from_object(fields, message)
        if faults:
            raise ValueError(faults)
        yield message


@contextmanager
def template_file(folder: Path, **changes: Any) -> Iterator[Path]:
    """Length-delimited orders, as the generator reads them."""
    path = folder / f"orders-{len(list(folder.glob('orders-*')))}.bin"
    data = io.BytesIO()
    for order in orders(TEMPLATES, **changes):
        proto.serialize_length_prefixed(order, data)
    path.write_bytes(data.getvalue())
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def read_templates(path: Path) -> list[bytes]:
    """The orders of a template file, serialised."""
    file = io.BytesIO(path.read_bytes())
    found = []
    while (order := proto.parse_length_prefixed(RECOMMEND.request, file)) is not None:
        found.append(bytes(order.SerializeToString()))
    return found
