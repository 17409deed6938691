"""Two hosts in two network namespaces over one PostgreSQL are restarted one after the other while gateways in C++ send
orders from a third: after the gateways' own retries none has failed, and every decision that was answered is kept.

PostgreSQL is reached over its Unix socket, which no namespace parts: it stands for a database that both can reach. Half
of the gateways name the one host first, half the other; the other one is where they go when theirs is away.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from google.protobuf import json_format

from benchmarks.latency.generator import orders
from benchmarks.operations.networks import Network, NoNetworks, networks
from store.embedded import EmbeddedPostgres
from tests.helpers.live_service import LiveService
from tests.helpers.running_host import REPOSITORY, environment, eventually
from tests.helpers.urls import url_of

NAME: Final = "rolling"
TARGETS: Final = {"rolling_restart_failed": 0, "rolling_restart_lost": 0, "rolling_restart_not_run": ""}
GATEWAY: Final = REPOSITORY / "build" / "native" / "ess-gateway"
PORT: Final = 50051
GATEWAYS: Final = 4
RESTARTS, SHORT_RESTARTS = 2, 1
# Orders that a gateway is given at a time; it is started again with others until the restarts are over.
BATCH: Final = 400
BATCH_WITHIN_S: Final = 180.0
# Of a call with all its attempts; an attempt more is made only where the service said UNAVAILABLE.
DEADLINE_MS, ATTEMPTS = 10_000, 5
BEFORE_S: Final = 3.0
DRAINED_WITHIN_S: Final = 60.0


class Host(LiveService):
    """`ess serve` in a namespace."""

    def __init__(self, network: Network, data_dir: Path, **variables: str) -> None:
        self.data_dir = data_dir
        self._log_path = data_dir.with_suffix(".log")
        given = {"ESS_GRPC_ADDRESS": f"{network.address}:{PORT}", "ESS_OPEN_NETWORK": "true", "ESS_WORKERS": "1"}
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                network.inside(sys.executable, "-m", "service.cli", "serve"),
                env=environment(data_dir, **given, **variables), cwd=data_dir.parent, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip


@dataclass(slots=True)
class Seen:
    """What the gateways got: selections that were answered, and how others ended."""

    answered: set[str]
    refused: Counter[str]
    sent: int = 0


class Sender:
    """One gateway after the other, each with orders of its own, until it is told to end."""

    def __init__(self, network: Network, targets: list[str], name: str, folder: Path) -> None:
        self._command = network.inside(
            str(GATEWAY), "--target", f"ipv4:{','.join(targets)}", "--json", "--channels", "2", "--attempts",
            str(ATTEMPTS), "--deadline-ms", str(DEADLINE_MS), "recommend",
        )  # fmt: skip
        self._name, self._folder = name, folder
        self._templates = [json_format.MessageToDict(one, preserving_proto_field_name=True) for one in orders(BATCH)]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen = Seen(set(), Counter())
        self.faults: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def end(self) -> Seen:
        """When the orders that it was given are answered."""
        self._ended.set()
        self._thread.join(BATCH_WITHIN_S)
        return self.seen

    def _run(self) -> None:
        number = 0
        while not self._ended.is_set():
            path = self._folder / f"{self._name}-{number}.json"
            batch = [{**one, "order_id": f"{self._name}-{number}-{at}"} for at, one in enumerate(self._templates)]
            path.write_text(json.dumps(batch))
            number += 1
            try:
                self._read(subprocess.run([*self._command, str(path)], capture_output=True, text=True,
                                          timeout=BATCH_WITHIN_S, check=False))  # fmt: skip
            except subprocess.TimeoutExpired:
                self.faults.append("a gateway hung")

    def _read(self, done: subprocess.CompletedProcess[str]) -> None:
        found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        self.seen.sent += len(found)
        if len(found) != BATCH:
            self.faults.append(f"{len(found)} answers to {BATCH} orders: {done.stderr.strip()[-300:]}")
        for one in found:
            decision = one.get("decision")
            if decision is not None:
                self.seen.answered.add(decision["selection_id"])
            else:
                self.seen.refused[json.dumps(one.get("refused", one))[:200]] += 1


@contextmanager
def hosts_over(places: list[Network], folder: Path, url: str) -> Iterator[list[Host]]:
    """The list is changed by whoever starts one of them again."""
    found: list[Host] = []
    try:
        found += [up(place, folder / f"host-{number}", url) for number, place in enumerate(places)]
        for host in found:
            host.wait_ready(90.0)
        yield found
    finally:
        for host in found:
            host.end()


def up(place: Network, data_dir: Path, url: str) -> Host:
    return Host(place, data_dir, ESS_DATABASE_URL=url, ESS_HOST_ID=data_dir.name)


def restart(hosts: list[Host], number: int, place: Network, url: str) -> float:
    """SIGTERM, its end, and a new one; seconds that it was away."""
    begun_s, old = time.monotonic(), hosts[number]
    code = old.terminate(60.0)
    if code != 0:
        raise RuntimeError(f"{old.data_dir.name} ended with {code}:\n{old.output[-2000:]}")
    hosts[number] = up(place, old.data_dir, url)
    hosts[number].wait_ready(90.0)
    return time.monotonic() - begun_s


def kept(url: str) -> tuple[set[str], int]:
    """Selections that PostgreSQL has, and how many of them belong to an order that another host decided too."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT id::text, status FROM strategy_selections").fetchall()
    return {row[0] for row in rows}, sum(row[1] == "CONFLICTED" for row in rows)


def rolled(short: bool, places: list[Network], folder: Path, url: str) -> dict[str, Any]:
    client, first, second = places
    hosts_at = [first, second]
    targets = [f"{place.address}:{PORT}" for place in hosts_at]
    pause = threading.Event()
    with hosts_over(hosts_at, folder, url) as hosts:
        senders = [
            Sender(client, targets if number % 2 else targets[::-1], f"g{number}", folder) for number in range(GATEWAYS)
        ]
        for sender in senders:
            sender.start()
        away_s = []
        for _ in range(SHORT_RESTARTS if short else RESTARTS):
            for number, place in enumerate(hosts_at):
                pause.wait(BEFORE_S)
                away_s.append(round(restart(hosts, number, place, url), 1))
        pause.wait(BEFORE_S)
        seen = [sender.end() for sender in senders]
        answered: set[str] = set().union(*(one.answered for one in seen))
        with suppress(AssertionError):  # what is missing then is counted
            eventually(lambda: answered <= kept(url)[0], within_s=DRAINED_WITHIN_S, what="every decision")
    stored, conflicted = kept(url)
    refused: Counter[str] = sum((one.refused for one in seen), Counter())
    return {
        "rolling_restart_failed": sum(refused.values()) + sum(len(sender.faults) for sender in senders),
        "rolling_restart_lost": len(answered - stored), "rolling_restart_not_run": "",
        "orders": sum(one.sent for one in seen), "answered": len(answered), "restarts": len(away_s), "away_s": away_s,
        "conflicted": conflicted, "refusals": dict(refused.most_common(5)),
        "faults": [fault for sender in senders for fault in sender.faults][:5], "gateways": GATEWAYS,
    }  # fmt: skip


def measure(short: bool, seed: int) -> dict[str, Any]:
    if not GATEWAY.exists():
        return {"rolling_restart_not_run": "the C++ gateway is not built (clients/build.sh cpp)"}
    with tempfile.TemporaryDirectory(prefix="ess-roll-") as name:
        try:
            with networks(3) as places:
                database = EmbeddedPostgres(Path(name) / "own")
                url = url_of(database.start())
                try:
                    return rolled(short, places, Path(name), url)
                finally:
                    database.stop()
        except NoNetworks as error:
            return {"rolling_restart_not_run": str(error)}
