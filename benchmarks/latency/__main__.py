"""How long a recommendation takes, against an Echo of the same sizes on the same server in the same run.

    python -m benchmarks.latency [--short]

First version: one worker, one call in flight, blocks of Echo and Recommend interleaved so that noise of the machine
hits both alike. Every order is new (a retry would be cheaper); telemetry, PostgreSQL and the writer are on. Client
latencies include the client's own Python and the wire; the server's time, from the handler's start to its answer, is
what the worker itself counted (histogram buckets, warm-up calls included) and logs when it stops. The last line printed
is one JSON object, also written to build/bench/latency.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from service.demo import closed_time, seed_volumes, start_service, stop_service, wait_until_ready
from service.mapping.contract_json import from_object
from service.mapping.contract_messages import ECHO, RECOMMEND

OUT = Path("build/bench/latency.json")
SEED = 20261122
BLOCK_CALLS = 100
BLOCKS, SHORT_BLOCKS = 60, 15
WARM_CALLS = 300
BOOTSTRAPS = 2_000
TARGET_P99_MS = 3.0
OBJECTIVES = ("MINIMIZE_COST", "MINIMIZE_RISK", "MINIMIZE_TIME", "MAXIMIZE_ALPHA_CAPTURE", "BALANCED_EXECUTION")
URGENCIES = ("LOW", "NORMAL", "HIGH", "URGENT")


@dataclass(frozen=True, slots=True)
class Samples:
    """Client latencies, (blocks, calls), milliseconds."""

    echo_ms: NDArray[np.float64]
    recommend_ms: NDArray[np.float64]


class Caller:
    """One channel, one call in flight, bytes in and out."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._recommend: Any = self._channel.unary_unary(RECOMMEND.path)
        self._echo: Any = self._channel.unary_unary(ECHO.path)
        self._volumes = seed_volumes()
        self._random = np.random.default_rng(SEED)
        self._count = 0
        self.response_bytes = 0

    def order(self) -> bytes:
        """A new order: any instrument, objective and urgency, 0.05 % to 10 % of daily volume."""
        names = sorted(self._volumes)
        name = names[int(self._random.integers(len(names)))]
        volume, lot = self._volumes[name]
        size = float(np.exp(self._random.uniform(np.log(5e-4), np.log(0.1))))
        self._count += 1
        message = RECOMMEND.request()
        fields: dict[str, Any] = {
            "order_id": f"bench-{self._count:07d}", "instrument_id": name, "side": "BUY" if self._count % 2 else "SELL",
            "quantity": max(1, int(size * volume / lot)) * lot, "objective": OBJECTIVES[self._count % 5],
            "urgency": URGENCIES[self._count % 4], "market_context": {"time_of_day": "MORNING"},
            "effective_time": closed_time(time.time()),
        }
        faults = from_object(fields, message)
        if faults:
            raise ValueError(faults)
        return bytes(message.SerializeToString())

    def recommend(self, data: bytes) -> float:
        """Milliseconds of one Recommend; the size of the answer sets that of the next Echo."""
        begun_ns = time.perf_counter_ns()
        answer: bytes = self._recommend(data, timeout=5.0)
        elapsed_ns = time.perf_counter_ns() - begun_ns
        self.response_bytes = len(answer)
        return elapsed_ns / 1e6

    def echo(self, data: bytes) -> float:
        """Milliseconds of one Echo with the sizes of a Recommend."""
        message = ECHO.request(payload=data, response_bytes=self.response_bytes).SerializeToString()
        begun_ns = time.perf_counter_ns()
        self._echo(message, timeout=5.0)
        return (time.perf_counter_ns() - begun_ns) / 1e6


def measure(caller: Caller, blocks: int) -> Samples:
    """Blocks of Echo and Recommend in turn."""
    for _ in range(WARM_CALLS):
        data = caller.order()
        caller.recommend(data)
        caller.echo(data)
    echo, recommend = [], []
    for block in range(blocks):
        orders = [caller.order() for _ in range(BLOCK_CALLS)]
        # Whoever goes first in a block would pay for what the other left behind.
        first, second = (caller.echo, caller.recommend) if block % 2 else (caller.recommend, caller.echo)
        one, other = [first(order) for order in orders], [second(order) for order in orders]
        recommend.append(other if block % 2 else one)
        echo.append(one if block % 2 else other)
    return Samples(np.array(echo), np.array(recommend))


def ratio_interval(samples: Samples, quantile: float) -> tuple[float, float, float]:
    """(ratio, lower, upper) of a quantile, Recommend over Echo; 95 %, bootstrap over pairs of blocks."""
    random = np.random.default_rng(SEED)
    blocks = len(samples.echo_ms)

    def ratio(rows: NDArray[np.int64]) -> float:
        return float(np.quantile(samples.recommend_ms[rows], quantile) / np.quantile(samples.echo_ms[rows], quantile))

    drawn = [ratio(random.integers(0, blocks, blocks)) for _ in range(BOOTSTRAPS)]
    lower, upper = np.quantile(drawn, (0.025, 0.975))
    return ratio(np.arange(blocks)), float(lower), float(upper)


def summarise(samples: Samples) -> dict[str, Any]:
    found: dict[str, Any] = {
        "workers": 1, "in_flight": 1, "acknowledgement": "JOURNALED", "calls": int(samples.recommend_ms.size),
        "seed": SEED, "p99_target_ms": TARGET_P99_MS,
    }
    for name, values in (("echo", samples.echo_ms), ("recommend", samples.recommend_ms)):
        for percent in (50, 90, 99):
            found[f"{name}_p{percent}_ms"] = round(float(np.percentile(values, percent)), 4)
    for percent in (50, 99):
        ratio, lower, upper = ratio_interval(samples, percent / 100)
        found[f"p{percent}_ratio"] = round(ratio, 3)
        found[f"p{percent}_ratio_interval"] = [round(lower, 3), round(upper, 3)]
    found["p99_ms"] = found["recommend_p99_ms"]
    return found


def calls_served(log: Path) -> dict[str, dict[str, Any]]:
    """The worker's own count of its calls, by method, from its last log lines."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return {line["method"]: line for line in lines if line.get("event") == "calls served"}


def server_times(served: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Milliseconds on the server's side; stages in microseconds."""
    recommend = served["Recommend"]
    return {
        "server_p50_ms": recommend["p50_us"] / 1e3,
        "server_p99_ms": recommend["p99_us"] / 1e3,
        "server_stages_p50_us": recommend["stages_p50_us"],
        "server_stages_p99_us": recommend["stages_p99_us"],
        "server_codes": recommend["codes"],
    }


def show(found: dict[str, Any]) -> None:
    table = Table("", "p50 ms", "p90 ms", "p99 ms", title="client latency, one call in flight, one worker")
    for name in ("echo", "recommend"):
        table.add_row(name, *(f"{found[f'{name}_p{percent}_ms']:.3f}" for percent in (50, 90, 99)))
    Console().print(table)
    print(f"Recommend on the server's side: p50 {found['server_p50_ms']:.2f} ms, p99 {found['server_p99_ms']:.2f} ms")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a quarter of the calls")
    short = parser.parse_args(arguments).short
    with tempfile.TemporaryDirectory(prefix="ess-bench-") as name:
        folder = Path(name)
        process = start_service(folder)
        try:
            samples = measure(Caller(wait_until_ready(process, folder)), SHORT_BLOCKS if short else BLOCKS)
        finally:
            code = stop_service(process)
        served = calls_served(folder / "service.log")
    found = summarise(samples) | server_times(served) | {"service_exit_code": code}
    show(found)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found))
    return 0 if code == 0 and found["server_p99_ms"] < TARGET_P99_MS else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
