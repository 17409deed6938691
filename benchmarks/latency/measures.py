"""The sections of the latency benchmark: from a running host to figures under the names of the issue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.latency.blocks import Measured, mean_ratio, measured, quantile_ratio, rate_ratio
from benchmarks.latency.generator import Generator, Run
from benchmarks.latency.host import Host

Figures = dict[str, Any]
# Calls a second of the open loop.
TARGET_RATE = 500
# Calls a second that today's service bears without queues where the machine is its own.
SUSTAINED_RATE = 100
IN_FLIGHT = 32
ADAPT_RATE = 200


@dataclass(frozen=True, slots=True)
class Lengths:
    """(rounds, seconds a block) of each section."""

    alone: tuple[int, float]
    cpu: tuple[int, float]
    open_loop: tuple[int, float]
    sustained: tuple[int, float]
    saturation: tuple[int, float]
    adapt: tuple[int, float]
    overload: tuple[int, float]
    workers: tuple[int, float]


FULL = Lengths((60, 0.5), (30, 0.5), (40, 1.0), (40, 1.0), (12, 1.0), (30, 0.5), (8, 2.0), (10, 1.0))
SHORT = Lengths((16, 0.25), (10, 0.4), (8, 0.5), (12, 0.5), (4, 0.5), (8, 0.5), (3, 1.0), (4, 0.5))


def _ratios(found: dict[str, Measured], how: str, prefix: str) -> Figures:
    """Median and 99th percentile of both classes against Echo in the same rounds; `how` ends the parts' names."""
    echo = found[f"echo{how}"]
    figures: Figures = {}
    for kind, named in (("buffered", ""), ("journaled", "journaled_")):
        part = found[f"{kind}{how}"]
        for percent, share in (("p50", 0.5), ("p99", 0.99)):
            figures |= quantile_ratio(part, echo, share).named(f"{prefix}{named}{percent}_ratio")
            figures[f"{prefix}{named}{percent}_ms"] = round(part.quantile_ms(share), 4)
    return figures | {
        f"{prefix}echo_p50_ms": round(echo.quantile_ms(0.5), 4),
        f"{prefix}echo_p99_ms": round(echo.quantile_ms(0.99), 4),
    }


def _parts(found: dict[str, Measured]) -> Figures:
    return {part: one.figures() for part, one in found.items()}


def open_loop(host: Host, load: Generator, lengths: tuple[int, float], rate: int, prefix: str) -> Figures:
    """Recommend of two classes and Echo in turn, Poisson arrivals, latency from the intended moment."""
    rounds, block_s = lengths
    parts = tuple(f"{kind}@{rate}" for kind in ("echo", "buffered", "journaled"))
    found = measured(load.run(host.target, Run(parts, rounds, block_s)))
    return _ratios(found, f"@{rate}", prefix) | {f"{prefix}rate_per_s": rate, f"{prefix}open_loop": _parts(found)}


def alone(host: Host, load: Generator, lengths: tuple[int, float]) -> Figures:
    """One call under way at a time: no queue, so that a busy machine slows both sides alike."""
    rounds, block_s = lengths
    parts = tuple(f"{kind}*1" for kind in ("echo", "buffered", "journaled"))
    found = measured(load.run(host.target, Run(parts, rounds, block_s)))
    return _ratios(found, "*1", "alone_")


def cpu(host: Host, load: Generator, lengths: tuple[int, float]) -> Figures:
    """The worker's CPU time a call, Recommend over Echo: what a busy machine changes least."""
    rounds, block_s = lengths
    spent: dict[str, list[float]] = {"echo": [], "buffered": []}
    for index in range(rounds):
        for kind in ("echo", "buffered") if index % 2 else ("buffered", "echo"):
            before_s = host.cpu_s()
            part = f"{kind}*2"
            found = measured(load.run(host.target, Run((part,), 1, block_s, warm_calls=0)))[part]
            spent[kind].append((host.cpu_s() - before_s) / found.sent)
    echo, buffered = (np.array(spent[kind]) for kind in ("echo", "buffered"))
    return {
        **mean_ratio(buffered, echo).named("cpu_ratio"),
        "cpu_us": round(float(np.median(buffered)) * 1e6, 1), "echo_cpu_us": round(float(np.median(echo)) * 1e6, 1),
    }  # fmt: skip


def saturation(host: Host, load: Generator, lengths: tuple[int, float]) -> Figures:
    """Calls a second with IN_FLIGHT under way, against Echo's in the same rounds."""
    rounds, block_s = lengths
    parts = tuple(f"{kind}*{IN_FLIGHT}" for kind in ("echo", "buffered", "journaled"))
    found = measured(load.run(host.target, Run(parts, rounds, block_s, channels=4)))
    echo, buffered, journaled = (found[part] for part in parts)
    return {
        **rate_ratio(buffered, echo).named("saturation_ratio"),
        **rate_ratio(journaled, echo).named("journaled_saturation_ratio"),
        "saturated_per_s": round(float(buffered.ok_per_s.mean()), 1),
        "journaled_saturated_per_s": round(float(journaled.ok_per_s.mean()), 1),
        "echo_saturated_per_s": round(float(echo.ok_per_s.mean()), 1),
        "saturation": _parts(found) | {"in_flight": IN_FLIGHT},
    }


def adapt(host: Host, load: Generator, lengths: tuple[int, float]) -> Figures:
    """Updates on an Adapt stream, acknowledged BUFFERED, against messages of the same sizes on EchoStream."""
    if not load.streams:
        return {"adapt_p50_ratio": None, "adapt": f"not measured: {load.name}"}
    rounds, block_s = lengths
    parts = (f"echo_stream@{ADAPT_RATE}", f"adapt@{ADAPT_RATE}")
    found = measured(load.run(host.target, Run(parts, rounds, block_s)))
    echo, adapted = (found[part] for part in parts)
    return {
        **quantile_ratio(adapted, echo, 0.5).named("adapt_p50_ratio"),
        **quantile_ratio(adapted, echo, 0.99).named("adapt_p99_ratio"),
        "adapt_p99_ms": round(adapted.quantile_ms(0.99), 4),
        "adapt": _parts(found),
    }  # fmt: skip


def overload(host: Host, load: Generator, lengths: tuple[int, float], saturated_per_s: float) -> Figures:
    """Three times what the service bears, against 70 % of it: what is still answered well, and how late."""
    rounds, block_s = lengths
    usual, most = (f"buffered@{share * saturated_per_s:.0f}" for share in (0.7, 3.0))
    found = measured(load.run(host.target, Run((usual, most), rounds, block_s, channels=4)))
    goodput = float(found[most].ok_per_s.mean()) / saturated_per_s
    return {
        "overload_goodput": round(goodput, 3),
        **quantile_ratio(found[most], found[usual], 0.99).named("overload_p99_ratio"),
        "overload": _parts(found),
    }


def two_workers(one: Host, folder: Path, load: Generator, lengths: tuple[int, float]) -> Figures:
    """Saturation of two workers over that of one, both services up and loaded in turn. The client takes its share of
    the same cores, and so does the second service's idling."""
    rounds, block_s = lengths
    part = f"buffered*{IN_FLIGHT}"
    two = Host(folder, ESS_WORKERS="2", ESS_ACKNOWLEDGEMENT="BUFFERED")
    try:
        rates: dict[str, list[Measured]] = {one.target: [], two.target: []}
        for index in range(rounds):
            for host in (one, two) if index % 2 else (two, one):
                run = Run((part,), 1, block_s, channels=8, warm_calls=20)
                rates[host.target].append(measured(load.run(host.target, run))[part])
        rss = two.rss_mb()
    finally:
        code = two.stop()
    single, double = (_means(rates[host.target]) for host in (one, two))
    ratio = rate_ratio(double, single)
    return {
        **ratio.named("two_worker_scaling"), "two_workers_per_s": round(float(double.ok_per_s.mean()), 1),
        "two_workers_rss_mb": [round(value, 1) for value in rss], "two_workers_exit_code": code,
    }  # fmt: skip


def _means(runs: list[Measured]) -> Measured:
    """Runs of one block each as the rounds of one part; rates only."""
    empty = np.zeros(0)
    return Measured(empty, np.zeros((len(runs), 0)), np.concatenate([run.ok_per_s for run in runs]), {}, 0, 0, 0.0)


def cold_start(folder: Path, order: bytes, load: Generator) -> Figures:
    """A second start in a folder that has its database and a compiled engine (as `make setup` leaves it): seconds until
    a learned decision. The stages of its calls, one under way at a time, are the engine's figure."""
    host = Host(folder, ESS_ACKNOWLEDGEMENT="BUFFERED")
    try:
        took_s = host.first_decision_s(order)
        load.run(host.target, Run(("buffered*1",), 1, 3.0, warm_calls=50))
    finally:
        code = host.stop()
    recommend = host.served().get("Recommend", {})
    return {
        "cold_start_s": round(took_s, 2),
        "engine_p50_us": recommend.get("stages_p50_us", {}).get("decide"),
        "server_p50_ms": recommend.get("p50_us", float("nan")) / 1e3,
        "server_p99_ms": recommend.get("p99_us", float("nan")) / 1e3,
        "server_stages_p50_us": recommend.get("stages_p50_us"),
        "cold_start_exit_code": code,
    }

