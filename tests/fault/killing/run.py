"""Seeded SIGKILLs under load: `python -m tests.fault.killing.run --kills 12 --workers 2 --seed 7`."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.fault.killing.checks import (
    Findings,
    check_claims,
    check_database,
    check_retries,
    check_rows,
    check_status,
    wait_drained,
)
from tests.fault.killing.host import KillableHost, killable_host, url_of
from tests.fault.killing.load import Load, LoadPlan, Outcomes, SentOrder, load
from tests.fault.killing.server import ServerProcess

# Of a sample after the last kill: Status and retries go one by one.
ASKED_AGAIN = 300
DRAINED_WITHIN_S = 60.0
ANSWERED_WITHIN_S = 30.0
_NEVER = threading.Event()


@dataclass(frozen=True, slots=True)
class KillPlan:
    """How many kills, of whom, how fast. The targets that there are depend on the number of workers."""

    kills: int
    workers: int
    seed: int
    clients: int = 4
    # Of all kills; the others go to workers and the keeper in turn.
    supervisor_share: float = 0.15
    # Between one kill and the next, at most.
    calm_s: float = 1.2
    # Answers that must be kept, between one kill and the next, even if that takes longer. Where there is one worker
    # a slow machine would otherwise have it killed again before it has answered much.
    least_acknowledged: int = 0
    # After this many kills the load pauses, and everything is checked.
    kills_a_round: int = 40
    load: LoadPlan = field(default_factory=LoadPlan)


@dataclass(slots=True)
class KillReport:
    kills: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)
    outcomes: Outcomes = field(default_factory=Outcomes)
    orders: int = 0
    acknowledged: int = 0
    back_s: dict[str, list[float]] = field(default_factory=dict)
    took_s: float = 0.0

    @property
    def kill_runs(self) -> int:
        return sum(self.kills.values())

    def summary(self) -> dict[str, object]:
        codes = {f"{kind} {code}": n for (kind, code), n in sorted(self.outcomes.codes.items())}
        return {
            "kill_runs": self.kill_runs, "kills": dict(self.kills), "orders": self.orders,
            "acknowledged": self.acknowledged, **self.findings.counts, "examples": self.findings.examples,
            "codes": codes, "back_s_max": {name: round(max(those), 2) for name, those in self.back_s.items()},
            "back_s_median": {n: round(sorted(those)[len(those) // 2], 2) for n, those in self.back_s.items()},
            "texts": dict(self.outcomes.texts.most_common(12)), "took_s": round(self.took_s, 1),
        }  # fmt: skip


@contextmanager
def surviving_postgres() -> Iterator[tuple[Path, ServerProcess]]:
    """A folder for a host, and a server beside it that no kill of the service reaches."""
    folder = Path(tempfile.mkdtemp(prefix="ess-kill-"))
    server = ServerProcess(folder / "database")
    try:
        server.start()
        yield folder, server
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


def run_kills(plan: KillPlan) -> KillReport:
    begun_s = time.monotonic()
    report = KillReport()
    with surviving_postgres() as (folder, server):
        variables = {"ESS_WORKERS": str(plan.workers), "ESS_DRAIN_TIMEOUT_S": "5"}
        with killable_host(folder, url_of(server.conninfo), **variables) as host:
            _Run(plan, host, server.conninfo, report).all_rounds()
    report.took_s = time.monotonic() - begun_s
    return report


class _Run:
    """One host through many kills."""

    def __init__(self, plan: KillPlan, host: KillableHost, conninfo: str, report: KillReport) -> None:
        self._plan = plan
        self._host = host
        self._conninfo = conninfo
        self._report = report
        self._random = random.Random(plan.seed)
        self._coming: dict[str, tuple[int, float]] = {}  # who was killed, by name, and when

    def all_rounds(self) -> None:
        left, number = self._plan.kills, 0
        while left:
            now = min(left, self._plan.kills_a_round)
            self._round(now, number)
            left, number = left - now, number + 1
        self._report.findings.add(_of_database(self._conninfo))

    def _round(self, kills: int, number: int) -> None:
        seed = self._plan.seed * 100 + number
        with load(self._host.target, self._plan.clients, seed, self._plan.load) as running:
            for _ in range(kills):
                self._calm(running)
                self._kill()
            self._host.wait_for(lambda: self._is_serving() and self._is_whole(), "everybody back")
            self._calm(running)
        self._report.outcomes.add(running.outcomes)
        sent = [one for client in running.by_client for one in client]
        self._report.orders += len(sent)
        self._report.acknowledged += sum(one.must_be_kept for one in sent)
        self._check(running.by_client, sent)

    def _calm(self, running: Load) -> None:
        """A seeded moment under load, in which it is seen who comes back."""
        end_s = time.monotonic() + self._random.uniform(0.05, self._plan.calm_s)
        enough = running.acknowledged + self._plan.least_acknowledged
        while (left_s := end_s - time.monotonic()) > 0 or running.acknowledged < enough:
            if left_s < -ANSWERED_WITHIN_S:
                raise TimeoutError(f"fewer than {self._plan.least_acknowledged} orders are answered in {-left_s:.0f} s")
            _NEVER.wait(min(left_s, 0.02) if left_s > 0.0 else 0.02)
            self._look_who_is_back()

    def _kill(self) -> None:
        """The supervisor, or one of the children that are ready: whoever was killed before may still be on the way."""
        begun_s = time.monotonic()
        if self._random.random() < self._plan.supervisor_share:
            with_orphans = self._random.random() < 0.5
            self._host.kill_supervisor(with_orphans)
            self._host.start()
            self._coming.clear()
            self._note("supervisor", begun_s)
            return
        self._host.wait_for(self._is_serving, "a worker and the keeper")
        name = self._random.choice(sorted(self._alive()))
        self._coming[name] = (self._host.kill_child(name), time.monotonic())
        self._report.kills[name.split("-")[0]] += 1

    def _alive(self) -> set[str]:
        """Those that are ready. Somebody who was killed counts as ready in the log until the supervisor notices."""
        self._look_who_is_back()
        return set(self._host.ready_children()) - set(self._coming)

    def _is_serving(self) -> bool:
        alive = self._alive()
        has_worker = any(name.startswith("worker") for name in alive)
        return has_worker and ("keeper" in alive or self._plan.workers == 1)

    def _is_whole(self) -> bool:
        return not self._coming and self._host.is_whole()

    def _look_who_is_back(self) -> None:
        for name, pid in self._host.ready_children().items():
            killed = self._coming.get(name)
            if killed is not None and killed[0] != pid:
                self._report.back_s.setdefault(name.split("-")[0], []).append(time.monotonic() - killed[1])
                del self._coming[name]

    def _note(self, target: str, begun_s: float) -> None:
        self._report.kills[target] += 1
        self._report.back_s.setdefault(target, []).append(time.monotonic() - begun_s)

    def _check(self, by_client: Sequence[Sequence[SentOrder]], sent: Sequence[SentOrder]) -> None:
        findings = self._report.findings
        wait_drained(self._conninfo, sent, DRAINED_WITHIN_S)
        findings.add(check_claims(sent))
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            findings.add(check_rows(connection, by_client))
        kept = [one for one in sent if one.must_be_kept]
        sample = self._random.sample(kept, min(ASKED_AGAIN, len(kept)))
        findings.add(check_status(self._host.target, sample))
        findings.add(check_retries(self._host.target, sample))


def _of_database(conninfo: str) -> Findings:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return check_database(connection)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    report = run_kills(KillPlan(given.kills, given.workers, given.seed))
    print(json.dumps(report.summary(), indent=2))
    return 0 if report.findings.is_clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
