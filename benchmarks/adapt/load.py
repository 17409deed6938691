"""Thousands of open orders on one worker: how fast updates are taken, what is lost, what an order costs in memory, and
what a kill in the middle leaves.

    python -m benchmarks.adapt.load [--short] [--seed N] [--only PART ...]

Three parts, each over the real service in processes of its own and a PostgreSQL that survives it:

updates   2,000 open orders on 50 streams, 1,000 updates a second in all, for 60 s, on one worker. Every update has
          its moment whether or not the last was answered; `update_p99_ms` counts from that moment until the gateway has
          the acknowledgement (JOURNALED), the gateways' own time on the same cores included. Afterwards PostgreSQL must
          have every update once, and the service must say of every order what the gateway counted by itself.
          `echo_*` is the null baseline on the same service at the same time: what the machine does to any call.
kills     SIGKILL of the worker, of the keeper, and of every process, in the middle of the updates. Streams resume from
          their last sequence and send again what was not acknowledged; then the service must say of every order what
          the gateway counted. Killed once more while nothing moves, it must say the very same as before.
held      100,000 open orders in the keeper's registry and on a worker's desk, through their own interfaces and each
          in a process of its own: resident memory by order (`bytes_an_order` is the sum), and the time to read all of
          their records back at a start. Beside it some thousands that the service decided and took an update of: its
          memory before and after by order, caches included that do not grow for ever (`served_bytes_an_order`); then
          everything is killed and started again.

The last line printed is one JSON object. --short takes a fraction of the orders and seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import psycopg

from benchmarks.adapt.load_gateways import (
    Gateway,
    Tally,
    all_acknowledged,
    beat,
    echoes,
    opened,
    statuses,
)
from benchmarks.adapt.load_orders import GatewayOrder
from benchmarks.adapt.load_processes import MemoryLog, cpu_s, memory_bytes
from benchmarks.durability.common import database_server, say
from tests.fault.killing.host import KillableHost, url_of

Figures: TypeAlias = dict[str, Any]
SEED: Final = 20261130
STREAMS: Final = 50
# A worker that has just started is still growing: caches, pools, the first pages of everything.
WARM_S, SHORT_WARM_S = 15.0, 4.0
# Calls of the null baseline beside the updates, a second: what the machine does to any call of that moment.
ECHO_RATE: Final = 20.0
DRAIN_WITHIN_S: Final = 120.0
ACKNOWLEDGED_WITHIN_S: Final = 30.0
HELD_SAMPLE: Final = 1_000
_SEEN: Final = """
SELECT order_id, count(*), count(DISTINCT update_sequence), max(update_sequence)
FROM order_updates WHERE kind <> 'RESUME' GROUP BY order_id
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    orders: int
    seconds: float
    rate: float
    killed_orders: int
    held: int
    served: int
    warm_s: float


FULL: Final = Size(2_000, 60.0, 1_000.0, 1_000, 100_000, 5_000, WARM_S)
SHORT: Final = Size(400, 12.0, 1_000.0, 150, 5_000, 500, SHORT_WARM_S)


def measure(short: bool, seed: int, parts: Sequence[str] = ()) -> Figures:
    """The figures of all parts, or of those that are named."""
    size = SHORT if short else FULL
    found: Figures = {"load_orders": size.orders, "load_streams": STREAMS, "load_rate_per_s": size.rate}
    for name, part in PARTS.items():
        if not parts or name in parts:
            begun_s = time.monotonic()
            found |= part(size, seed)
            say(f"load, {name}: {time.monotonic() - begun_s:.0f} s")
    return found


class Place:
    """A folder with a database and a host of so many workers over it, for as long as the block lasts."""

    def __init__(self, workers: int, **variables: str) -> None:
        self._stack = ExitStack()
        self._workers = workers
        self._variables = variables

    def __enter__(self) -> KillableHost:
        folder, server = self._stack.enter_context(database_server())
        self.conninfo = server.conninfo
        host = KillableHost(
            folder, url_of(server.conninfo), ESS_WORKERS=str(self._workers), **self._variables
        )
        self._stack.callback(host.end)
        host.start()
        return host

    def __exit__(self, *_: object) -> None:
        self._stack.close()


# ---- updates


def updates(size: Size, seed: int) -> Figures:
    place = Place(1)
    with place as host:
        pids = list(host.children().values())
        tally, memory = Tally(), MemoryLog()
        run = asyncio.run(_updates(host.target, pids, size, seed, tally, memory))
        orders, sent, left = run.orders, run.sent, run.left
        lost, twice = rows_missing(place.conninfo, orders)
        wrong = mistakes(host, orders)
    at_ms = np.array(tally.from_due_s or [np.nan]) * 1e3
    slope, lower, upper = memory.slope_mb_per_min(size.warm_s)
    grown = memory.slope_mb_per_min(size.warm_s, anonymous=True)
    return {
        "updates_sent": sent, "updates_lost": left + lost, "updates_twice": twice,
        "updates_unacknowledged": left, "updates_not_in_record": lost, "orders_told_wrong": len(wrong),
        "update_p50_ms": quantile(at_ms, 0.5), "update_p90_ms": quantile(at_ms, 0.9),
        "update_p99_ms": quantile(at_ms, 0.99), "update_worst_ms": quantile(at_ms, 1.0),
        "update_p99_from_write_ms": quantile(np.array(tally.from_written_s or [np.nan]) * 1e3, 0.99),
        "echo_p50_ms": quantile(np.array(run.echo_s) * 1e3, 0.5),
        "echo_p99_ms": quantile(np.array(run.echo_s) * 1e3, 0.99),
        "server_cpu_us_per_update": round(run.cpu_s / sent * 1e6, 1),
        "server_cpu_us_per_echo": round(run.echo_cpu_s / run.echoes * 1e6, 1),
        "advices": sum(order.advices for order in orders),
        "memory_slope_mb_per_min": round(slope, 3),
        "memory_slope_interval": [round(lower, 3), round(upper, 3)],
        "memory_anonymous_slope_mb_per_min": round(grown[0], 3),
        "memory_anonymous_slope_interval": [round(grown[1], 3), round(grown[2], 3)],
        "bytes_an_update": round(grown[0] * 2**20 / 60.0 / size.rate, 1),
        "memory_begin_mb": round(memory.bytes[0] / 2**20, 1), "memory_end_mb": round(memory.bytes[-1] / 2**20, 1),
        "errors_told": dict(tally.errors), "sent_again": tally.repeats, "wrong_examples": wrong[:5],
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Run:
    """left: updates never acknowledged. echo_s: latencies of the calls made beside the updates; cpu_s: of the service
    during the updates; echo_cpu_s: of the service during `echoes` calls of the baseline at the same rate."""

    orders: list[GatewayOrder]
    sent: int
    left: int
    echo_s: list[float]
    cpu_s: float
    echo_cpu_s: float
    echoes: int


async def _updates(
    target: str, pids: list[int], size: Size, seed: int, tally: Tally, memory: MemoryLog
) -> _Run:
    orders = await opened(target, size.orders)
    gateways = [Gateway(target, orders[n::STREAMS], seed + n, tally) for n in range(STREAMS)]
    for gateway in gateways:
        gateway.start()
    await advised_twice(gateways, orders)
    echo_count = int(size.rate * size.warm_s / 5)
    idle_s = cpu_s(pids)
    await echoes(target, echo_count, size.rate, STREAMS)
    begun_s = cpu_s(pids)
    follow = asyncio.ensure_future(memory.follow(pids))
    sent = int(size.seconds * size.rate)
    beside = asyncio.ensure_future(echoes(target, int(size.seconds * ECHO_RATE), ECHO_RATE, 2))
    await beat(gateways, sent, size.rate)
    used_s = cpu_s(pids) - begun_s
    left = await all_acknowledged(gateways, ACKNOWLEDGED_WITHIN_S)
    follow.cancel()
    for gateway in gateways:
        await gateway.stop()
    return _Run(orders, sent, left, await beside, used_s, begun_s - idle_s, echo_count)


async def advised_twice(gateways: Sequence[Gateway], orders: Sequence[GatewayOrder]) -> None:
    """Orders that have lived: each has a newest advice and a plan in force that is not its decision's, which is all
    that is ever held of them."""
    for _ in range(2):
        for number in range(-(-len(orders) // len(gateways))):
            for gateway in gateways:
                if gateway.has(number):
                    await gateway.amend(number)
            await all_acknowledged(gateways, ACKNOWLEDGED_WITHIN_S, most_left=100)
    await all_acknowledged(gateways, ACKNOWLEDGED_WITHIN_S)
    for gateway in gateways:
        gateway.forget_latencies()


def rows_missing(conninfo: str, orders: Sequence[GatewayOrder]) -> tuple[int, int]:
    """(updates that PostgreSQL has not got, updates that it has more than once), when it has had time."""
    wanted = {order.order_id: order.acknowledged_sequence for order in orders}
    deadline_s = time.monotonic() + DRAIN_WITHIN_S
    with psycopg.connect(conninfo, autocommit=True) as connection:
        while True:
            rows = {row[0]: row[1:] for row in connection.execute(_SEEN).fetchall()}
            found = [rows.get(order_id, (0, 0, 0)) for order_id in wanted]
            missing = sum(max(0, n - min(row[1], row[2] or 0)) for n, row in zip(wanted.values(), found, strict=True))
            if missing == 0 or time.monotonic() > deadline_s:
                return missing, sum(row[0] - row[1] for row in found)
            time.sleep(0.5)  # the drainer says nothing to other processes


def mistakes(host: KillableHost, orders: Sequence[GatewayOrder]) -> list[str]:
    """What the service says of the orders otherwise than it was told."""
    said = asyncio.run(statuses(host.target, orders))
    return [fault for order in orders for fault in order.faults(said[order.order_id])]


def quantile(values: Any, at: float) -> float:
    return round(float(np.quantile(values, at)), 3)


# ---- kills


def kills(size: Size, seed: int) -> Figures:
    same = total = 0
    wrong: list[str] = []
    back_s: dict[str, float] = {}
    place = Place(2)
    with place as host:
        orders: list[GatewayOrder] = asyncio.run(opened(host.target, size.killed_orders))
        for number, (name, kill) in enumerate(KILLS.items()):
            asyncio.run(_killed_under_way(host, orders, seed + 100 * number, kill))
            before = asyncio.run(statuses(host.target, orders))
            wrong += [f"{name}: {fault}" for order in orders for fault in order.faults(before[order.order_id])]
            begun_s = time.monotonic()
            kill(host)
            after = asyncio.run(statuses(host.target, orders))
            back_s[name] = round(time.monotonic() - begun_s, 2)
            total += len(orders)
            for order in orders:
                is_same = before[order.order_id] == after[order.order_id]
                same += is_same and not order.faults(after[order.order_id])
                if not is_same:
                    wrong.append(f"{name}: {order.order_id} is not what it was")
        missing, twice = rows_missing(place.conninfo, orders)
    return {
        "resumed_same_state": round(same / total, 6) if not wrong else round(min(same, total - 1) / total, 6),
        "resumed_orders": total, "kill_faults": len(wrong), "kill_fault_examples": wrong[:5],
        "killed_updates_lost": missing, "killed_updates_twice": twice, "all_known_again_s": back_s,
    }  # fmt: skip


async def _killed_under_way(
    host: KillableHost, orders: list[GatewayOrder], seed: int, kill: Callable[[KillableHost], None]
) -> None:
    """Updates for some seconds, a kill in the middle of them, and all of them acknowledged in the end."""
    tally = Tally()
    gateways = [Gateway(host.target, orders[n::10], seed + n, tally) for n in range(10)]
    for gateway in gateways:
        gateway.start(resumes=True)
    updating = asyncio.ensure_future(beat(gateways, 1_500, 500.0))
    await asyncio.sleep(1.0)
    await asyncio.to_thread(kill, host)
    await updating
    left = await all_acknowledged(gateways, ACKNOWLEDGED_WITHIN_S)
    for gateway in gateways:
        await gateway.stop()
    if left:
        stuck = [order for order in orders if order.pending][:3]
        said = await statuses(host.target, stuck)
        told = [f"{o.order_id}: waits for {min(o.pending)}, the service has {said[o.order_id].acknowledged_sequence}"
                for o in stuck]  # fmt: skip
        raise RuntimeError(f"{left} updates not acknowledged in time after a kill: {dict(tally.errors)}, {told}")


def kill_child(kind: str) -> Callable[[KillableHost], None]:
    """The first process of that kind; its successor is waited for."""

    def kill(host: KillableHost) -> None:
        host.wait_for(host.is_whole, "every process ready")
        name = next(name for name in sorted(host.children()) if name.startswith(kind))
        pid = host.kill_child(name)
        host.wait_for(lambda: host.children().get(name) != pid and host.is_whole(), f"{name} back")

    return kill


def kill_all(host: KillableHost) -> None:
    host.kill_supervisor(with_orphans=True)
    host.start()


KILLS: Final[dict[str, Callable[[KillableHost], None]]] = {
    "worker": kill_child("worker"), "keeper": kill_child("keeper"), "all": kill_all,
}  # fmt: skip


# ---- held


def held(size: Size, seed: int) -> Figures:
    found = registry("worker", size.held) | registry("keeper", size.held)
    each = found["worker_bytes_an_order"] + found["keeper_bytes_an_order"]
    return {"held_orders": size.held, "bytes_an_order": each} | found | served(size, seed)


def registry(part: str, count: int) -> Figures:
    """In a process of its own, so that neither finds memory that another has given back."""
    command = [sys.executable, "-m", "benchmarks.adapt.load_registry", part, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def served(size: Size, seed: int) -> Figures:
    """Orders that the service decided, one after the other; then a start that finds them all."""
    place = Place(2)
    with place as host:
        # Caches that are there whether or not orders are open (of connections, of code) fill first.
        asyncio.run(_open_and_touch(host.target, 200, seed))
        pids = list(host.children().values())
        before = memory_bytes(pids)
        orders = asyncio.run(_open_and_touch(host.target, size.served, seed))
        settled(place.conninfo, orders)
        after = memory_bytes(pids)
        by_process = {name: round(memory_bytes([pid]) / 2**20, 1) for name, pid in host.children().items()}
        sample = orders[:: max(1, len(orders) // HELD_SAMPLE)]
        told = asyncio.run(statuses(host.target, sample))
        host.kill_supervisor(with_orphans=True)
        start_s = host.start()
        again = asyncio.run(statuses(host.target, sample))
    return {
        "served_orders": len(orders), "served_bytes_an_order": round((after - before) / len(orders)),
        "served_memory_mb": by_process, "served_restart_s": round(start_s, 2),
        "served_same_state": round(sum(told[o.order_id] == again[o.order_id] for o in sample) / len(sample), 6),
    }  # fmt: skip


async def _open_and_touch(target: str, count: int, seed: int) -> list[GatewayOrder]:
    """Orders that are decided and have one update each, as those of gateways that just began."""
    orders = await opened(target, count)
    tally = Tally()
    gateways = [Gateway(target, orders[n::STREAMS], seed + n, tally) for n in range(STREAMS)]
    for gateway in gateways:
        gateway.start()
    for number in range(-(-count // STREAMS)):
        for gateway in gateways:
            if gateway.has(number):
                await gateway.send(number, time.perf_counter())
        await all_acknowledged(gateways, ACKNOWLEDGED_WITHIN_S, most_left=500)
    left = await all_acknowledged(gateways, ACKNOWLEDGED_WITHIN_S)
    for gateway in gateways:
        await gateway.stop()
    if left:
        raise RuntimeError(f"{left} first updates were not acknowledged: {dict(tally.errors)}")
    return orders


def settled(conninfo: str, orders: Sequence[GatewayOrder]) -> None:
    """Waits until PostgreSQL has everything: what is on its way there is no part of an open order."""
    missing, _ = rows_missing(conninfo, orders)
    if missing:
        raise RuntimeError(f"{missing} updates did not get to PostgreSQL")


PARTS: Final[dict[str, Callable[[Size, int], Figures]]] = {"updates": updates, "kills": kills, "held": held}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a minute or two instead of ten")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", action="append", choices=list(PARTS), default=[], help="a part; may be given again")
    given = parser.parse_args(arguments)
    found = measure(given.short, given.seed, given.only)
    out = Path("build/bench/adapt-load.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
