"""A service of the benchmark's own: started with settings, asked for its first decision, weighed, stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
from execution_strategy.v1 import response_pb2

from service.data_dir import SERVICE_FILE
from service.mapping.contract_messages import RECOMMEND

START_LIMIT_S = 150.0
STOP_LIMIT_S = 40.0
POLL_S = 0.01


class Host:
    """`ess serve` in processes of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._data = folder / "var"
        self._log = folder / "service.log"
        (self._data / SERVICE_FILE).unlink(missing_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("ESS_")}
        environment |= {
            "ESS_DATA_DIR": str(self._data), "ESS_GRPC_ADDRESS": "127.0.0.1:0", "ESS_HTTP_ADDRESS": "",
        } | settings  # fmt: skip
        self._begun_s = time.monotonic()
        with self._log.open("wb") as log:
            command = [sys.executable, "-m", "service.cli", "serve"]
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            self.target, self.workers = self._wait_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_ready(self) -> tuple[str, tuple[int, ...]]:
        path = self._data / SERVICE_FILE
        while not path.exists():
            # Its end is waited for, its file is looked for in between.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(POLL_S)
            if self._process.returncode is not None or time.monotonic() > self._begun_s + START_LIMIT_S:
                raise RuntimeError(f"the service did not start:\n{self._log.read_text()[-4000:]}")
        found = json.loads(path.read_text())
        return str(found["grpc_address"]), tuple(found["workers"])

    def first_decision_s(self, order: bytes) -> float:
        """From the start of the process to the first answer of the learned models. Raises RuntimeError without them."""
        with grpc.insecure_channel(self.target) as channel:
            ask: Any = channel.unary_unary(RECOMMEND.path)
            answer = response_pb2.ExecutionStrategyResponse.FromString(
                ask(RECOMMEND.request(order_id=f"first-{time.time_ns()}").SerializeToString() + order, timeout=30.0)
            )
        if answer.structural_only:
            raise RuntimeError("the first decision was made without the learned models")
        return time.monotonic() - self._begun_s

    def rss_mb(self) -> list[float]:
        """Resident memory of each worker, 10^6 bytes."""
        return [_rss_bytes(pid) / 1e6 for pid in self.workers]

    def private_mb(self) -> list[float]:
        """What each worker has for itself: resident memory without what other processes map too, 10^6 bytes."""
        return [_private_bytes(pid) / 1e6 for pid in self.workers]

    def cpu_s(self) -> float:
        """CPU time of the first worker's threads so far."""
        total_ns = 0
        for task in Path(f"/proc/{self.workers[0]}/task").iterdir():
            with suppress(FileNotFoundError):  # a thread may end while it is looked at
                total_ns += int((task / "schedstat").read_text().split()[0])
        return total_ns / 1e9

    def stop(self) -> int:
        """Its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def served(self) -> dict[str, dict[str, Any]]:
        """The first worker's own count of its calls, by method, as it logs it when it stops."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        found: dict[str, dict[str, Any]] = {}
        for line in lines:
            if line.get("event") == "calls served":
                found.setdefault(line["method"], line)
        return found


def _rss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} shows no memory")


def _private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))
