"""PostgreSQL stops under load, comes back, and is then slow: answers go on as fast as before, and all is caught up.

Healthy, down, healthy, slow, healthy, one after the other under the same load; the healthy stretches on both sides of
an outage are what it is compared with, so that a machine that tires counts for both. COMMITTED waits for PostgreSQL by
its meaning: it has a client of its own, and is counted apart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psycopg
from numpy.typing import NDArray

from benchmarks.durability.common import (
    SEED,
    Figures,
    Section,
    at_most,
    database_server,
    quantile_of,
    quantile_ratio,
    say,
    zero,
)
from tests.fault.killing.checks import Findings, check_claims, check_database, check_rows, wait_drained
from tests.fault.killing.host import killable_host
from tests.fault.killing.load import Load, LoadPlan, SentOrder, load
from tests.fault.killing.server import ServerProcess
from tests.fault.proxy import PASS, Faults, ThreadedProxy, postgres_upstream

SLOW = Faults(delay_down_s=0.5)
CATCH_UP_S = 120.0
BLOCK_S = 1.0
P99_RATIO_LIMIT = 1.25
# 100 calls a second by two clients, on a beat: slow answers do not thin the load out.
STEADY = LoadPlan(weights=(0.85, 0.0, 0.15), pause_s=0.02, retry=0.1, twins=0.0, fixed_rate=True)
WAITING = LoadPlan(weights=(0.0, 1.0, 0.0), pause_s=0.2, retry=0.1, twins=0.0, call_timeout_s=2.0)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A phase of the run."""

    name: str
    begun_s: float
    ended_s: float

    def blocks(self, samples: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Latencies of the calls that ended in it, in blocks of a second."""
        edges = np.arange(self.begun_s, self.ended_s, BLOCK_S)
        cut = [samples[(samples[:, 0] >= a) & (samples[:, 0] < a + BLOCK_S), 1] for a in edges]
        return [block for block in cut if block.size]


class _Run:
    """The phases over one service."""

    def __init__(self, server: ServerProcess, proxy: ThreadedProxy, short: bool) -> None:
        self._server = server
        self._proxy = proxy
        self._healthy_s, self._down_s, self._slow_s = (6.0, 8.0, 5.0) if short else (30.0, 60.0, 30.0)
        self.stretches: list[Stretch] = []
        self.catch_up_s: dict[str, float] = {}

    def all_phases(self, steady: Load) -> None:
        self._phase("warm", 3.0)
        self._phase("healthy", self._healthy_s)
        say(f"outage: PostgreSQL stops for {self._down_s:g} s")
        self._server.stop()
        self._phase("down", self._down_s)
        self._server.start()
        self._caught_up("down", steady)
        self._phase("healthy", self._healthy_s)
        say("outage: every answer of PostgreSQL takes 500 ms more")
        self._proxy.set(SLOW)
        self._phase("slow", self._slow_s)
        self._proxy.set(PASS)
        self._caught_up("slow", steady)
        self._phase("healthy", self._healthy_s)

    def _phase(self, name: str, length_s: float) -> None:
        begun_s = time.monotonic()
        threading.Event().wait(length_s)
        self.stretches.append(Stretch(name, begun_s, time.monotonic()))

    def _caught_up(self, name: str, steady: Load) -> None:
        """Until what had been answered when PostgreSQL was well again is in it."""
        begun_s = time.monotonic()
        sent = [one for client in steady.by_client for one in list(client)]
        wait_drained(self._server.conninfo, [one for one in sent if one.must_be_kept], CATCH_UP_S)
        self.catch_up_s[name] = round(time.monotonic() - begun_s, 2)


def run(short: bool) -> Figures:
    with database_server() as (folder, server), ThreadedProxy(postgres_upstream(server.conninfo)) as proxy:
        url = proxy.proxy.url_through(server.conninfo)
        with killable_host(folder, url) as host:
            phases = _Run(server, proxy, short)
            with load(host.target, 2, SEED, STEADY) as steady, load(host.target, 1, SEED + 1, WAITING) as waiting:
                phases.all_phases(steady)
            by_client = [*steady.by_client, *waiting.by_client]
            sent = [one for client in by_client for one in client]
            is_complete = wait_drained(server.conninfo, sent, CATCH_UP_S)
            found = _checked(server.conninfo, by_client, sent)
    return _figures(phases, steady, waiting) | {
        "catch_up_complete": int(is_complete and found.lost_journaled + found.lost_committed == 0),
        "lost": found.lost_journaled + found.lost_committed, "findings": found.counts, "examples": found.examples,
        "orders": len(sent),
    }  # fmt: skip


def _checked(conninfo: str, by_client: Sequence[Sequence[SentOrder]], sent: Sequence[SentOrder]) -> Findings:
    found = check_claims(sent)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        found.add(check_rows(connection, by_client))
        found.add(check_database(connection))
    return found


def _figures(phases: _Run, steady: Load, waiting: Load) -> Figures:
    samples = np.array(steady.outcomes.latencies_ms)
    blocks: dict[str, list[NDArray[np.float64]]] = {}
    for stretch in phases.stretches:
        blocks.setdefault(stretch.name, []).extend(stretch.blocks(samples))
    found: Figures = {"failed_rpcs": steady.outcomes.failed(), "catch_up_s": phases.catch_up_s}
    for name in ("healthy", "down", "slow"):
        found[f"{name}_p50_ms"] = round(quantile_of(blocks[name], 0.5), 3)
        found[f"{name}_p99_ms"] = round(quantile_of(blocks[name], 0.99), 3)
        found[f"{name}_calls"] = int(sum(block.size for block in blocks[name]))
    for name, figure in (("down", "p99_ratio_db_down"), ("slow", "p99_ratio_db_slow")):
        ratio, interval = quantile_ratio(blocks[name], blocks["healthy"], 0.99)
        found[figure], found[f"{figure}_interval"] = round(ratio, 3), interval
    found["texts"] = dict(steady.outcomes.texts.most_common(5))
    found["committed_codes"] = {code: n for (_, code), n in waiting.outcomes.codes.items()}
    return found


def section(short: bool) -> Section:
    bounds = at_most("p99_ratio_db_down", P99_RATIO_LIMIT) | at_most("p99_ratio_db_slow", P99_RATIO_LIMIT)
    must = zero("failed_rpcs", "lost") | {"catch_up_complete": (lambda value: value == 1, "1")}
    return Section("outage", run, must if short else must | bounds)
