"""Starts the tiny service in processes of its own, watches what it says, and leaves none of them behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

REPOSITORY = Path(__file__).resolve().parents[2]
_NEVER = threading.Event()


def eventually(holds: Callable[[], bool], *, within_s: float, what: str) -> float:
    """Polls until `holds`; the seconds that took. Fails when it takes longer than `within_s`."""
    begun_s = time.monotonic()
    while not holds():
        assert time.monotonic() - begun_s < within_s, f"not within {within_s} s: {what}"
        _NEVER.wait(0.01)
    return time.monotonic() - begun_s


def is_alive(pid: int) -> bool:
    """Running, and not merely waiting for its parent to notice its end."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in {"Z", "X"}


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    """This process's own, without settings of a service, plus what a free-standing one needs."""
    kept = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(("ESS_", "TINY_"))
    }
    return (
        kept
        | {
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'generated'}",
            "ESS_DATA_DIR": str(data_dir),
            "ESS_GRPC_ADDRESS": "127.0.0.1:0",
            "ESS_HTTP_ADDRESS": "",
            "ESS_DRAIN_TIMEOUT_S": "5",
        }
        | variables
    )


class RunningHost:
    """One supervisor with all its children."""

    def __init__(self, data_dir: Path, **variables: str) -> None:
        self.data_dir = data_dir
        self._log_path = data_dir.with_suffix(".log")
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.helpers.tiny_service"],
                env=environment(data_dir, **variables),
                cwd=data_dir.parent,
                stdout=log,
                stderr=log,
                # Its own process group: signals to the whole group can be tried, and no test can hit us.
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._log_path.read_text()

    @property
    def about(self) -> dict[str, Any]:
        return dict(json.loads((self.data_dir / "service.json").read_text()))

    @property
    def target(self) -> str:
        return str(self.about["grpc_address"])

    @property
    def is_ready(self) -> bool:
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.output}"
        return (self.data_dir / "service.json").exists()

    def wait_ready(self, within_s: float = 20.0) -> float:
        return eventually(lambda: self.is_ready, within_s=within_s, what="ready")

    def wait_ended(self, within_s: float = 15.0) -> int:
        return self.process.wait(within_s)

    def signal_group(self, number: signal.Signals) -> None:
        """As systemd, timeout and a terminal do it: every process of the service gets the signal."""
        os.killpg(self.process.pid, number)

    def pids(self) -> list[int]:
        """All living processes of the service, the supervisor included."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, IndexError):
                # After the command: state, parent, process group.
                if int(stat.read_text().rpartition(")")[2].split()[2]) == self.process.pid:
                    found.append(int(stat.parent.name))
        return [pid for pid in found if is_alive(pid)]

    def http(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self.about['http_address']}{path}", timeout=5) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def end(self) -> None:
        """Whatever a test left, by id; the group is ours alone."""
        if self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        eventually(lambda: not self.pids(), within_s=10, what="all processes gone")


@contextlib.contextmanager
def running_host(data_dir: Path, **variables: str) -> Iterator[RunningHost]:
    host = RunningHost(data_dir, **variables)
    try:
        yield host
    finally:
        host.end()


@contextlib.contextmanager
def channel_to(target: str) -> Iterator[grpc.Channel]:
    """A connection of its own: with a shared one, every call would reach the same worker."""
    with grpc.insecure_channel(target, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        yield channel


def answering_pid(target: str) -> int:
    """Which worker answers a new connection; 0 when none does."""
    with channel_to(target) as channel:
        try:
            ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/tiny.Tiny/Pid")
            return int(ask(b"", timeout=2.0))
        except grpc.RpcError:
            return 0


def answering_pids(target: str, count: int, within_s: float = 10.0) -> set[int]:
    """Connects until `count` different workers have answered."""
    seen: set[int] = set()

    def enough() -> bool:
        seen.update({answering_pid(target)} - {0})
        return len(seen) >= count

    eventually(enough, within_s=within_s, what=f"{count} workers answering")
    return seen


def health(channel: grpc.Channel, service: str = "") -> str:
    request = health_pb2.HealthCheckRequest(service=service)
    check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
    answer = health_pb2.HealthCheckResponse.FromString(check(request.SerializeToString(), timeout=2.0))
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
