"""What the service knows about its own calls, gathered without being felt.

The hot path appends one tuple to a bounded queue. A background thread counts it into histograms of its own,
and hands copies to OpenTelemetry (`service/otel.py`) at intervals. Measured: one `Histogram.record` of the
SDK holds the GIL for 11 us and a call needs eight of them; here one observation costs 4 us altogether.
"""

from __future__ import annotations

import random
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple, Protocol, TypeVar

import structlog

from service.settings import Settings

# "map" validates too; "respond" builds and serialises the answer and its record.
STAGES: Final = ("parse", "map", "decide", "respond", "submit", "reply")
QUEUE_OBSERVATIONS: Final = 20_000
CONSUME_INTERVAL_S: Final = 0.1
CLOSE_TIMEOUT_S: Final = 3.0
# The GIL is let go after this many observations, so that the event loop waits for about 0.2 ms at most.
_CHUNK_OBSERVATIONS: Final = 32
_STEPS: Final = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
CONFIDENCE_BOUNDS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
# 1 us to 10 s, six buckets a decade: a quantile is off by less than a third of itself.
BOUNDS_NS: Final = (*(int(step * 10**power) for power in range(3, 10) for step in _STEPS), 10_000_000_000)

log = structlog.get_logger(__name__)
Payload = TypeVar("Payload")


class Decided(NamedTuple):
    """What one decision came to."""

    algorithm: str
    condition: str
    structural: bool
    confidence: float


class CallObservation(NamedTuple):
    """One finished call. A NamedTuple: nothing with named fields is cheaper to make."""

    method: str
    code_name: str
    # Nanoseconds since the epoch; the durations come from a monotonic clock.
    start_ns: int
    # Durations in the order of STAGES; shorter when the call ended early.
    stage_ns: tuple[int, ...] = ()
    # Below zero: the sum of the stages.
    duration_ns: int = -1
    # The caller's W3C traceparent header, or "".
    traceparent: str = ""
    # Attributes of the span, if one is made.
    attributes: tuple[tuple[str, str], ...] = ()
    # What was decided, where the call decided something.
    decided: Decided | None = None

    @property
    def total_ns(self) -> int:
        return self.duration_ns if self.duration_ns >= 0 else sum(self.stage_ns)


# How calls end that are turned away where they arrive.
TURNED_AWAY: Final = "RESOURCE_EXHAUSTED"


class LatencyHistogram:
    """Counts of durations between explicit bounds."""

    __slots__ = ("counts", "max_ns", "min_ns", "sum_ns")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_NS) + 1)
        self.sum_ns = 0
        self.min_ns = 0
        self.max_ns = 0

    @property
    def count(self) -> int:
        return sum(self.counts)

    def record(self, duration_ns: int) -> None:
        # A clock that was set back must not make a negative duration.
        duration_ns = max(duration_ns, 0)
        self.min_ns = duration_ns if self.sum_ns == 0 and self.max_ns == 0 else min(self.min_ns, duration_ns)
        self.max_ns = max(self.max_ns, duration_ns)
        self.sum_ns += duration_ns
        self.counts[bisect_left(BOUNDS_NS, duration_ns)] += 1

    def copy(self) -> LatencyHistogram:
        other = LatencyHistogram()
        other.counts = list(self.counts)
        other.sum_ns, other.min_ns, other.max_ns = self.sum_ns, self.min_ns, self.max_ns
        return other

    def quantile_ns(self, share: float) -> float:
        """The quantile, interpolated inside its bucket, never outside what was seen; 0 if nothing was."""
        wanted = share * self.count
        below = 0
        for index, count in enumerate(self.counts):
            if count and below + count >= wanted:
                lower = max(BOUNDS_NS[index - 1] if index else 0, self.min_ns)
                upper = min(BOUNDS_NS[index] if index < len(BOUNDS_NS) else self.max_ns, self.max_ns)
                return lower + (upper - lower) * (wanted - below) / count
            below += count
        return 0.0


class DecisionTotals:
    """What was decided since the start, and how surely. `counts` by (algorithm, condition, structural)."""

    __slots__ = ("confidence_counts", "confidence_sum", "counts")

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str, bool], int] = {}
        self.confidence_counts = [0] * (len(CONFIDENCE_BOUNDS) + 1)
        self.confidence_sum = 0.0

    def record(self, decided: Decided) -> None:
        key = (decided.algorithm, decided.condition, decided.structural)
        self.counts[key] = self.counts.get(key, 0) + 1
        self.confidence_counts[bisect_left(CONFIDENCE_BOUNDS, decided.confidence)] += 1
        self.confidence_sum += decided.confidence

    def copy(self) -> DecisionTotals:
        other = DecisionTotals()
        other.counts = dict(self.counts)
        other.confidence_counts, other.confidence_sum = list(self.confidence_counts), self.confidence_sum
        return other


class MethodTotals:
    """Everything counted for one method since the start."""

    __slots__ = ("codes", "duration", "stages")

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.duration = LatencyHistogram()
        self.stages: dict[str, LatencyHistogram] = {}

    def record(self, observation: CallObservation) -> None:
        self.codes[observation.code_name] = self.codes.get(observation.code_name, 0) + 1
        self.duration.record(observation.total_ns)
        for stage, duration_ns in zip(STAGES, observation.stage_ns, strict=False):
            histogram = self.stages.get(stage)
            if histogram is None:
                histogram = self.stages[stage] = LatencyHistogram()
            histogram.record(duration_ns)

    def copy(self) -> MethodTotals:
        other = MethodTotals()
        other.codes = dict(self.codes)
        other.duration = self.duration.copy()
        other.stages = {stage: histogram.copy() for stage, histogram in self.stages.items()}
        return other


@dataclass(frozen=True, slots=True)
class Reading:
    """A number that somebody else keeps (journal lag, rows written), read at every export."""

    name: str
    kind: Literal["gauge", "counter"]
    unit: str
    description: str
    read: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Totals:
    """What one export sends. `loop_lag_max_ns` is the largest since the export before."""

    methods: Mapping[str, MethodTotals]
    in_flight: Mapping[str, int]
    dropped_observations: int
    loop_lag_max_ns: int
    readings: tuple[tuple[Reading, float], ...]
    decisions: DecisionTotals = field(default_factory=DecisionTotals)
    loop_lag_ns: int = 0


class FiguresFile(Protocol):
    """Where totals are laid for whoever scrapes this host; see service.metric_files. For the background thread."""

    def write(self, totals: Totals) -> None: ...
    def remove(self) -> None: ...


class Exporter(Protocol):
    """Where totals and sampled calls go. Called by the background thread only."""

    def export_totals(self, totals: Totals) -> None: ...
    def export_span(self, observation: CallObservation) -> None: ...
    def close(self, timeout_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class LatencySummary:
    count: int
    p50_us: float
    p99_us: float
    max_us: float


@dataclass(frozen=True, slots=True)
class MethodSnapshot:
    codes: Mapping[str, int]
    in_flight: int
    duration: LatencySummary
    stages: Mapping[str, LatencySummary]


@dataclass(frozen=True, slots=True)
class TelemetrySnapshot:
    methods: Mapping[str, MethodSnapshot]
    dropped_observations: int
    loop_lag_ms: float
    loop_lag_max_ms: float


class Telemetry:
    """One a process. `begin`, `observe` and `record_loop_lag` belong to the event loop's thread."""

    def __init__(
        self,
        exporter: Exporter | None = None,
        *,
        interval_s: float = 10.0,
        trace_sample_ratio: float = 0.0,
        queue_observations: int = QUEUE_OBSERVATIONS,
        figures: FiguresFile | None = None,
        write_every_s: float = 1.0,
    ) -> None:
        self._exporter = exporter
        self._interval_s = interval_s
        self._trace_sample_ratio = trace_sample_ratio
        self._queue_observations = queue_observations
        self._queue: deque[CallObservation] = deque()
        self._started: dict[str, int] = {}
        self._finished: dict[str, int] = {}
        self._turned_away: dict[str, int] = {}
        self._dropped_observations = 0
        self._loop_lag_ns = 0
        self._loop_lag_max_ns = 0
        # Largest lags of the last windows of a second, for who scrapes.
        self._lags_ns: deque[int] = deque(maxlen=10)
        self._lag_of_window_ns = 0
        self._figures = figures
        self._write_every_s = write_every_s
        self._decisions = DecisionTotals()
        self._methods: dict[str, MethodTotals] = {}
        self._readings: list[Reading] = []
        self._lock = threading.Lock()
        # Seeded by the system: workers must not all sample the same calls. Not used for anything secret.
        self._random = random.Random()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ess-telemetry", daemon=True)
        self._thread.start()

    @property
    def traces(self) -> bool:
        """Whether anybody is told of single calls: only then a caller's trace context is worth reading."""
        return self._exporter is not None

    def begin(self, method: str) -> None:
        """A call has come in. It counts as in flight until it is observed."""
        self._started[method] = self._started.get(method, 0) + 1

    def observe(self, observation: CallObservation) -> None:
        """A call has ended. Never blocks; with a full queue the observation is dropped and counted."""
        method = observation[0]
        self._finished[method] = self._finished.get(method, 0) + 1
        if len(self._queue) >= self._queue_observations:
            self._dropped_observations += 1
        else:
            self._queue.append(observation)

    def turn_away(self, method: str) -> None:
        """A call was refused where it arrived: counted as RESOURCE_EXHAUSTED, without a duration or a span. There may
        be thousands of them a second, and what is spent on them is taken from those that are answered."""
        self._turned_away[method] = self._turned_away.get(method, 0) + 1

    def record_loop_lag(self, lag_ns: int) -> None:
        """How late the event loop ran a timer."""
        self._loop_lag_ns = lag_ns
        if lag_ns > self._loop_lag_max_ns:
            self._loop_lag_max_ns = lag_ns
        if lag_ns > self._lag_of_window_ns:
            self._lag_of_window_ns = lag_ns

    def add_reading(self, reading: Reading) -> None:
        """Export a number that is kept elsewhere; `reading.read` runs on the background thread."""
        with self._lock:
            self._readings.append(reading)

    def flush(self) -> None:
        """Count everything observed so far, in the caller's thread."""
        while self._consume_chunk():
            pass

    def totals(self) -> Totals:
        """Copies of all counts."""
        with self._lock:
            methods = {method: totals.copy() for method, totals in self._methods.items()}
            decisions = self._decisions.copy()
            readings = tuple(self._readings)
        for method, count in dict(self._turned_away).items():
            codes = methods.setdefault(method, MethodTotals()).codes
            codes[TURNED_AWAY] = codes.get(TURNED_AWAY, 0) + count
        return Totals(
            methods=methods,
            in_flight=self._in_flight(),
            dropped_observations=self._dropped_observations,
            loop_lag_max_ns=self._loop_lag_max_ns,
            readings=tuple((reading, value) for reading in readings if (value := _read(reading)) is not None),
            decisions=decisions,
            loop_lag_ns=self._loop_lag_ns,
        )

    def snapshot(self) -> TelemetrySnapshot:
        """The figures for a person: counts and quantiles a method and stage, at most 0.1 s old."""
        totals = self.totals()
        methods = {
            method: MethodSnapshot(
                codes=found.codes,
                in_flight=totals.in_flight.get(method, 0),
                duration=_summary(found.duration),
                stages={stage: _summary(histogram) for stage, histogram in found.stages.items()},
            )
            for method, found in totals.methods.items()
        }
        lag_ms, lag_max_ms = self._loop_lag_ns / 1e6, totals.loop_lag_max_ns / 1e6
        return TelemetrySnapshot(methods, totals.dropped_observations, lag_ms, lag_max_ms)

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Count and export what is left, within `timeout_s`; a collector that hangs is left behind."""
        self._stop.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("telemetry was not exported in time", timeout_s=timeout_s)

    def _run(self) -> None:
        export_at_s, write_at_s = time.monotonic() + self._interval_s, time.monotonic()
        while not self._stop.wait(CONSUME_INTERVAL_S):
            while self._consume_chunk() and not self._stop.wait(0.0005):
                pass
            if time.monotonic() >= export_at_s:
                export_at_s = time.monotonic() + self._interval_s
                self._export()
            if self._figures is not None and time.monotonic() >= write_at_s:
                write_at_s = time.monotonic() + self._write_every_s
                self._write(self._figures)
        self.flush()
        self._export()
        if self._figures is not None:
            with suppress(OSError):
                self._figures.remove()
        if self._exporter is not None:
            self._exporter.close(CLOSE_TIMEOUT_S)

    def _consume_chunk(self) -> bool:
        """True when there was as much as one chunk takes, so there may be more."""
        taken: list[CallObservation] = []
        with suppress(IndexError):
            while len(taken) < _CHUNK_OBSERVATIONS:
                taken.append(self._queue.popleft())
        with self._lock:
            for observation in taken:
                totals = self._methods.get(observation.method)
                if totals is None:
                    totals = self._methods[observation.method] = MethodTotals()
                totals.record(observation)
                if observation.decided is not None:
                    self._decisions.record(observation.decided)
        if self._exporter is not None:
            for observation in taken:
                if self._is_sampled(observation.traceparent):
                    self._attempt(self._exporter.export_span, observation)
        return len(taken) == _CHUNK_OBSERVATIONS

    def _is_sampled(self, traceparent: str) -> bool:
        # The caller's decision is kept (W3C: the last two digits are flags, bit 0 is "sampled").
        if traceparent:
            with suppress(ValueError):
                return bool(int(traceparent[-2:], 16) & 1)
        return self._random.random() < self._trace_sample_ratio

    def _write(self, figures: FiguresFile) -> None:
        self._lags_ns.append(self._lag_of_window_ns)
        self._lag_of_window_ns = 0
        self._attempt(figures.write, replace(self.totals(), loop_lag_max_ns=max(self._lags_ns)))

    def _export(self) -> None:
        if self._exporter is not None:
            totals = self.totals()
            self._loop_lag_max_ns = 0
            self._attempt(self._exporter.export_totals, totals)

    def _attempt(self, export: Callable[[Payload], None], payload: Payload) -> None:
        try:
            export(payload)
        except Exception as error:  # telemetry must never end the thread that counts
            log.warning("telemetry could not be exported", reason=repr(error))

    def _in_flight(self) -> dict[str, int]:
        # Copied first: the loop's thread may add a method meanwhile.
        finished = dict(self._finished)
        return {
            method: max(begun - finished.get(method, 0), 0) for method, begun in dict(self._started).items()
        }


def start_telemetry(settings: Settings, *, instance_id: str, worker_index: int) -> Telemetry:
    """The telemetry that `settings` asks for. Without a collector nothing is exported or imported."""
    exporter: Exporter | None = None
    if settings.otlp_endpoint:
        from service.otel import OtlpExporter

        exporter = OtlpExporter(settings, instance_id=instance_id, worker_index=worker_index)
    figures: FiguresFile | None = None
    if settings.http_address:
        from service.metric_files import MetricFile

        name = "keeper" if worker_index < 0 else f"worker-{worker_index}"
        figures = MetricFile(settings.data_dir, name)
    return Telemetry(
        exporter, interval_s=settings.metrics_interval_s, trace_sample_ratio=settings.trace_sample_ratio,
        figures=figures,
    )


def _summary(histogram: LatencyHistogram) -> LatencySummary:
    p50_ns, p99_ns = histogram.quantile_ns(0.5), histogram.quantile_ns(0.99)
    return LatencySummary(histogram.count, p50_ns / 1e3, p99_ns / 1e3, histogram.max_ns / 1e3)


def _read(reading: Reading) -> float | None:
    try:
        return float(reading.read())
    except Exception as error:  # one broken reading must not hide all the others
        log.warning("a reading failed", reading=reading.name, reason=repr(error))
        return None
