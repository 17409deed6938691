"""`GET /metrics`: every process of this host, as Prometheus reads it.

Names follow Prometheus's rules: base units, `_total` for counters. Each process has its own series (label `process`),
so that a restart is a reset of its counters, as `rate` and `increase` expect, and never a fall of a sum.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import Final, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.metric_files import ProcessFigures, Series, read_figures
from service.telemetry import BOUNDS_NS, CONFIDENCE_BOUNDS

UNITS: Final = {"By": "_bytes", "s": "_seconds"}
# Every third bound, some 14 a histogram: what a graph needs, for a third of the series.
_EVERY: Final = 3
Families: TypeAlias = Iterable[Metric]


def metrics_route(data_dir: Path) -> Route:
    """The route; files are read in a thread."""

    async def metrics(request: Request) -> Response:
        body, kind = await asyncio.to_thread(exposition, data_dir, request.headers.get("accept", ""), time.time())
        return Response(body, headers={"content-type": kind, "cache-control": "no-store"})

    return Route("/metrics", metrics)


def exposition(data_dir: Path, accept: str, now_s: float) -> tuple[bytes, str]:
    """(the text, its content type)."""
    encode, kind = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(list(read_figures(data_dir, now_s)), now_s))
    return encode(registry), kind


class _Collector:
    def __init__(self, processes: list[ProcessFigures], now_s: float) -> None:
        self._processes = processes
        self._now_s = now_s

    def collect(self) -> Families:
        yield from calls(self._processes)
        yield from decisions(self._processes)
        yield from processes(self._processes, self._now_s)
        yield from readings(self._processes)


def calls(found: list[ProcessFigures]) -> Families:
    """Rate, errors and duration a method; the stages of those that have any."""
    total = CounterMetricFamily("ess_calls", "Calls ended, by gRPC status.", labels=("process", "method", "code"))
    flying = GaugeMetricFamily("ess_calls_in_flight", "Calls under way.", labels=("process", "method"))
    duration = HistogramMetricFamily(
        "ess_call_duration_seconds", "From the handler's start to its answer.", labels=("process", "method")
    )
    stage = HistogramMetricFamily(
        "ess_stage_duration_seconds", "A stage of a call.", labels=("process", "method", "stage")
    )
    for one in found:
        for method, figures in sorted(one.methods.items()):
            for code, count in sorted(figures.codes.items()):
                total.add_metric((one.process, method, code), count)
            flying.add_metric((one.process, method), figures.in_flight)
            duration.add_metric((one.process, method), *buckets(figures.duration))
            for name, series in sorted(figures.stages.items()):
                stage.add_metric((one.process, method, name), *buckets(series))
    return (total, flying, duration, stage)


def decisions(found: list[ProcessFigures]) -> Families:
    """What was chosen, and how surely."""
    mix = CounterMetricFamily(
        "ess_decisions", "Decisions, dry runs too, by what was chosen.",
        labels=("process", "algorithm", "condition", "structural_only"),
    )
    confidence = HistogramMetricFamily(
        "ess_decision_confidence", "The calibrated confidence of decisions, a probability.", labels=("process",)
    )
    for one in found:
        for each in one.decisions:
            labels = (one.process, each.algorithm, each.condition, str(each.structural).lower())
            mix.add_metric(labels, each.count)
        if one.decisions:
            summed = list(accumulate(one.confidence_counts))
            bounds = [*(f"{bound:g}" for bound in CONFIDENCE_BOUNDS), "+Inf"]
            confidence.add_metric((one.process,), list(zip(bounds, summed, strict=True)), one.confidence_sum)
    return (mix, confidence)


def processes(found: list[ProcessFigures], now_s: float) -> Families:
    """How each process fares."""
    silent = GaugeMetricFamily(
        "ess_process_silent_seconds", "Since the process last told its figures.", labels=("process",)
    )
    lag = GaugeMetricFamily("ess_loop_lag_seconds", "How late the event loop ran a timer, last.", labels=("process",))
    worst = GaugeMetricFamily(
        "ess_loop_lag_max_seconds", "The latest of the last ten seconds.", labels=("process",)
    )
    dropped = CounterMetricFamily(
        "ess_observations_dropped", "Calls that were not counted, since too many came at once.", labels=("process",)
    )
    for one in found:
        silent.add_metric((one.process,), max(0.0, now_s - one.written_at_s))
        lag.add_metric((one.process,), one.loop_lag_s)
        worst.add_metric((one.process,), one.loop_lag_max_s)
        dropped.add_metric((one.process,), one.dropped_observations)
    return (silent, lag, worst, dropped)


def readings(found: list[ProcessFigures]) -> Families:
    """Journal, drainer, relay, streams, learning: numbers that somebody keeps."""
    families: dict[str, Metric] = {}
    for one in found:
        for each in one.readings:
            name = metric_name(each.name, each.unit)
            family = families.get(name)
            if family is None:
                make = CounterMetricFamily if each.kind == "counter" else GaugeMetricFamily
                family = families[name] = make(name, each.description, labels=("process",))
            assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
            family.add_metric((one.process,), each.value)
    return [families[name] for name in sorted(families)]


def metric_name(name: str, unit: str) -> str:
    """`ess.drain.lag` in s: `ess_drain_lag_seconds`."""
    return name.replace(".", "_") + UNITS.get(unit, "")


def buckets(series: Series) -> tuple[list[tuple[str, float]], float]:
    """(cumulative counts by upper bound in seconds, sum in seconds)."""
    summed = list(accumulate(series.counts))
    kept = range(0, len(BOUNDS_NS), _EVERY)
    found: list[tuple[str, float]] = [(f"{BOUNDS_NS[index] / 1e9:g}", summed[index]) for index in kept]
    return [*found, ("+Inf", summed[-1])], series.sum_ns / 1e9
