"""`ess serve` over a PostgreSQL that survives it, with the process ids of its children, killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from psycopg.conninfo import conninfo_to_dict

from tests.helpers.live_service import LiveService
from tests.helpers.running_host import eventually

# On a machine that others load too.
READY_WITHIN_S = 180.0
GONE_WITHIN_S = 30.0


def url_of(conninfo: str) -> str:
    """A conninfo as the URL that ESS_DATABASE_URL takes."""
    parts = conninfo_to_dict(conninfo)
    kept: dict[str, str] = {"host": str(parts["host"]), "port": str(parts["port"]), "user": str(parts["user"])}
    return f"postgresql:///{parts['dbname']}?{urlencode(kept)}"


@dataclass(slots=True)
class _Children:
    """Who runs, read from the supervisor's log as it grows."""

    pids: dict[str, int] = field(default_factory=dict)
    ready: set[str] = field(default_factory=set)
    offset_bytes: int = 0

    def follow(self, log: Path) -> None:
        with log.open("rb") as stream:
            stream.seek(self.offset_bytes)
            data = stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.offset_bytes += len(whole)
        for line in whole.splitlines():
            if line.startswith(b"{"):
                with contextlib.suppress(json.JSONDecodeError):
                    self._take(json.loads(line))

    def _take(self, entry: dict[str, object]) -> None:
        name, event = str(entry.get("name", "")), entry.get("event")
        if event == "process started":
            self.pids[name] = int(str(entry["pid"]))
        elif event == "process died":
            self.pids.pop(name, None)
            self.ready.discard(name)
        elif event == "process is back":
            self.ready.add(name)
        elif event == "ready":
            self.ready = set(self.pids)


class KillableHost:
    """One data folder and port through many lives of the service."""

    def __init__(self, folder: Path, database_url: str, **variables: str) -> None:
        self.folder = folder
        self._variables = {
            "ESS_DATABASE_URL": database_url, "ESS_MODELS": "off", "ESS_STARTUP_TIMEOUT_S": str(READY_WITHIN_S),
        } | variables  # fmt: skip
        self._address = "127.0.0.1:0"
        self._service: LiveService | None = None
        self._children = _Children()
        self.starts_s: list[float] = []

    @property
    def service(self) -> LiveService:
        assert self._service is not None, "the host was not started"
        return self._service

    @property
    def target(self) -> str:
        return self._address

    @property
    def data_dir(self) -> Path:
        return self.folder / "var"

    def start(self) -> float:
        """Starts a life; the seconds until it was ready."""
        begun_s = time.monotonic()
        self._children = _Children()
        log = self.data_dir.with_suffix(".log")
        self._children.offset_bytes = log.stat().st_size if log.exists() else 0
        variables = {"ESS_GRPC_ADDRESS": self._address} | self._variables
        self._service = LiveService(self.data_dir, **variables)
        # A service.json of a killed life is there until the new supervisor removes it: only its own counts.
        eventually(self._is_announced, within_s=READY_WITHIN_S, what=f"ready:\n{self.tail()}")
        self._address = self.service.target
        took_s = time.monotonic() - begun_s
        self.starts_s.append(took_s)
        return took_s

    def _is_announced(self) -> bool:
        process = self.service.process
        assert process.poll() is None, f"the start ended with {process.returncode}:\n{self.tail()}"
        with contextlib.suppress(OSError, ValueError, KeyError):
            return bool(self.service.about["pid"] == process.pid)
        return False

    def tail(self, bytes_at_most: int = 6000) -> str:
        log = self.data_dir.with_suffix(".log")
        return log.read_bytes()[-bytes_at_most:].decode(errors="replace") if log.exists() else ""

    def children(self) -> dict[str, int]:
        self._children.follow(self.data_dir.with_suffix(".log"))
        return dict(self._children.pids)

    def ready_children(self) -> dict[str, int]:
        """Those that run and have said that they are ready."""
        pids = self.children()
        return {name: pid for name, pid in pids.items() if name in self._children.ready}

    def is_whole(self) -> bool:
        return len(self.ready_children()) == len(self.children()) > 0

    def kill_child(self, name: str) -> int:
        """SIGKILL to a worker or the keeper; its process id."""
        pid = self.children()[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_for(self, holds: Callable[[], bool], what: str, within_s: float = READY_WITHIN_S) -> float:
        """Until it holds, while the service lives; the seconds that took."""

        def is_so() -> bool:
            assert self.service.process.poll() is None, f"the service ended:\n{self.tail()}"
            return holds()

        return eventually(is_so, within_s=within_s, what=f"{what}:\n{self.tail()}")

    def kill_supervisor(self, with_orphans: bool) -> None:
        """The supervisor alone, whose orphans stop by themselves, or every process at the same moment."""
        if with_orphans:
            self.service.signal_group(signal.SIGKILL)
        else:
            self.service.process.kill()
        self.service.process.wait(10)
        eventually(lambda: not self.service.pids(), within_s=GONE_WITHIN_S, what="every process gone")

    def stop(self) -> int:
        """In order; the exit code."""
        return self.service.terminate(within_s=60.0)

    def end(self) -> None:
        if self._service is not None:
            self._service.end()


@contextlib.contextmanager
def killable_host(folder: Path, database_url: str, **variables: str) -> Iterator[KillableHost]:
    host = KillableHost(folder, database_url, **variables)
    try:
        host.start()
        yield host
    finally:
        host.end()
