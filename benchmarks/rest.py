"""What REST costs over gRPC: the same orders over both, call by call in turn, one call in flight.

    python -m benchmarks.rest [--short]

Both clients keep one connection and count bytes to bytes: neither reads the answer. Every order is new, and goes over
both ways under two ids; which goes first alternates. `dry_run` is off, so that all is as in production. The last line
is one JSON object, also written to build/bench/rest.json.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from service.data_dir import SERVICE_FILE
from service.demo import closed_time, seed_volumes, start_service, stop_service, wait_until_ready
from service.mapping.contract_json import from_object
from service.mapping.contract_messages import RECOMMEND

OUT = Path("build/bench/rest.json")
SEED = 20261125
CALLS, SHORT_CALLS = 3_000, 400
WARM_CALLS = 200
BOOTSTRAPS = 2_000
TARGET_EXTRA_MS = 1.5
PATH = "/api/v1/execution-strategy/recommend"
OBJECTIVES = ("MINIMIZE_COST", "MINIMIZE_RISK", "MINIMIZE_TIME", "MAXIMIZE_ALPHA_CAPTURE", "BALANCED_EXECUTION")
URGENCIES = ("LOW", "NORMAL", "HIGH", "URGENT")


class Orders:
    """New orders: any shipped instrument, objective and urgency, 0.05 % to 10 % of daily volume."""

    def __init__(self) -> None:
        self._volumes = seed_volumes()
        self._names = sorted(self._volumes)
        self._random = np.random.default_rng(SEED)
        self._count = 0

    def pair(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The same order twice, under two ids."""
        name = self._names[int(self._random.integers(len(self._names)))]
        volume, lot = self._volumes[name]
        size = float(np.exp(self._random.uniform(np.log(5e-4), np.log(0.1))))
        self._count += 1
        fields: dict[str, Any] = {
            "instrument_id": name, "side": "BUY" if self._count % 2 else "SELL",
            "quantity": max(1, int(size * volume / lot)) * lot, "objective": OBJECTIVES[self._count % 5],
            "urgency": URGENCIES[self._count % 4], "market_context": {"time_of_day": "MORNING"},
            "effective_time": closed_time(time.time()),
        }  # fmt: skip
        return (
            {"order_id": f"grpc-{self._count:07d}", **fields}, {"order_id": f"rest-{self._count:07d}", **fields}
        )  # fmt: skip


class Callers:
    """One connection of each kind."""

    def __init__(self, grpc_address: str, http_address: str) -> None:
        self._channel = grpc.insecure_channel(grpc_address)
        self._recommend: Any = self._channel.unary_unary(RECOMMEND.path)
        self._http = http.client.HTTPConnection(http_address, timeout=10.0)
        self.refused = 0

    def over_grpc(self, fields: dict[str, Any]) -> float:
        """Milliseconds."""
        message = RECOMMEND.request()
        faults = from_object(fields, message)
        if faults:
            raise ValueError(faults)
        data = message.SerializeToString()
        begun_ns = time.perf_counter_ns()
        try:
            self._recommend(data, timeout=5.0)
        except grpc.RpcError as error:
            self._count_refusal(str(error.code().name))
        return (time.perf_counter_ns() - begun_ns) / 1e6

    def over_rest(self, fields: dict[str, Any]) -> float:
        """Milliseconds."""
        body = json.dumps(fields).encode()
        begun_ns = time.perf_counter_ns()
        self._http.request("POST", PATH, body, {"Content-Type": "application/json"})
        answer = self._http.getresponse()
        text = answer.read()
        elapsed_ns = time.perf_counter_ns() - begun_ns
        if answer.status != 200:
            self._count_refusal(str(json.loads(text).get("code")))
        return elapsed_ns / 1e6

    def _count_refusal(self, code: str) -> None:
        if code != "FAILED_PRECONDITION":
            raise RuntimeError(f"an order ended with {code}")
        self.refused += 1


def measure(callers: Callers, calls: int) -> NDArray[np.float64]:
    """(calls, 2): milliseconds over gRPC and over REST."""
    orders = Orders()
    found = []
    for index in range(WARM_CALLS + calls):
        one, other = orders.pair()
        if index % 2:
            over_rest = callers.over_rest(other)
            over_grpc = callers.over_grpc(one)
        else:
            over_grpc = callers.over_grpc(one)
            over_rest = callers.over_rest(other)
        if index >= WARM_CALLS:
            found.append((over_grpc, over_rest))
    return np.array(found)


def summarise(samples: NDArray[np.float64]) -> dict[str, Any]:
    random = np.random.default_rng(SEED)
    rows = len(samples)

    def extra(chosen: NDArray[np.float64]) -> float:
        over_grpc, over_rest = np.median(chosen, axis=0)
        return float(over_rest - over_grpc)

    drawn = [extra(samples[random.integers(0, rows, rows)]) for _ in range(BOOTSTRAPS)]
    found: dict[str, Any] = {"calls": rows, "workers": 1, "in_flight": 1, "seed": SEED}
    for column, name in enumerate(("grpc", "rest")):
        for percent in (50, 90, 99):
            found[f"{name}_p{percent}_ms"] = round(float(np.percentile(samples[:, column], percent)), 4)
    found["rest_extra_p50_ms"] = round(extra(samples), 4)
    found["rest_extra_p50_interval_ms"] = [round(float(value), 4) for value in np.quantile(drawn, (0.025, 0.975))]
    found["rest_extra_median_of_pairs_ms"] = round(float(np.median(samples[:, 1] - samples[:, 0])), 4)
    found["target_ms"] = TARGET_EXTRA_MS
    return found


def show(found: dict[str, Any]) -> None:
    table = Table("", "p50 ms", "p90 ms", "p99 ms", title="one call in flight, one worker, bytes to bytes")
    for name in ("grpc", "rest"):
        table.add_row(name, *(f"{found[f'{name}_p{percent}_ms']:.3f}" for percent in (50, 90, 99)))
    Console().print(table)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer calls")
    short = parser.parse_args(arguments).short
    with tempfile.TemporaryDirectory(prefix="ess-bench-") as name:
        folder = Path(name)
        process = start_service(folder)
        try:
            grpc_address = wait_until_ready(process, folder)
            http_address = json.loads((folder / "var" / SERVICE_FILE).read_text())["http_address"]
            samples = measure(Callers(grpc_address, http_address), SHORT_CALLS if short else CALLS)
        finally:
            code = stop_service(process)
    found = summarise(samples) | {"service_exit_code": code}
    show(found)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found))
    return 0 if code == 0 and found["rest_extra_p50_ms"] <= TARGET_EXTRA_MS else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
