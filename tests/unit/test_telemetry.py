"""Telemetry: cheap for the caller, right in its figures, bounded in everything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    Sum,
)
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.otel import OtlpExporter
from service.settings import Settings
from service.telemetry import (
    BOUNDS_NS,
    STAGES,
    CallObservation,
    LatencyHistogram,
    Reading,
    Telemetry,
    Totals,
    start_telemetry,
)

STAGE_NS = (5_000, 3_000, 10_000, 70_000, 4_000, 15_000)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


class KeptMetrics(MetricExporter):
    """A collector in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.exported: list[MetricsData] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **_: object) -> MetricExportResult:
        self.exported.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 0, **_: object) -> None:
        return None


class HangingExporter:
    """A collector that never answers."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def export_totals(self, totals: Totals) -> None:
        self.release.wait(30)

    def export_span(self, observation: CallObservation) -> None:
        raise ConnectionError

    def close(self, timeout_s: float) -> None:
        return None


def exporter() -> tuple[OtlpExporter, KeptMetrics, InMemorySpanExporter]:
    metrics, spans = KeptMetrics(), InMemorySpanExporter()
    made = OtlpExporter(
        Settings(),
        instance_id="run",
        worker_index=1,
        metric_exporter=metrics,
        span_processor=SimpleSpanProcessor(spans),
    )
    return made, metrics, spans


def nanoseconds_each(act: Callable[[], object], times: int) -> float:
    # This thread's own time: what others do on a busy machine isn't the caller's cost.
    begun_ns = time.thread_time_ns()
    for _ in range(times):
        act()
    return (time.thread_time_ns() - begun_ns) / times


def test_the_snapshot_counts_codes_stages_and_calls_in_flight() -> None:
    telemetry = start_telemetry(Settings(), instance_id="run", worker_index=0)
    for code in ("OK", "OK", "INVALID_ARGUMENT"):
        telemetry.begin("Recommend")
        stages = STAGE_NS if code == "OK" else STAGE_NS[:2]
        telemetry.observe(CallObservation("Recommend", code, 1, stages))
    telemetry.begin("Recommend")
    telemetry.record_loop_lag(3_000_000)
    telemetry.record_loop_lag(1_000_000)
    telemetry.flush()
    snapshot = telemetry.snapshot()
    recommend = snapshot.methods["Recommend"]
    assert recommend.codes == {"OK": 2, "INVALID_ARGUMENT": 1}
    assert recommend.in_flight == 1
    assert recommend.duration.count == 3
    assert recommend.duration.max_us == pytest.approx(sum(STAGE_NS) / 1e3)
    assert [recommend.stages[stage].count for stage in STAGES] == [3, 3, 2, 2, 2, 2]
    assert recommend.stages["respond"].p99_us == pytest.approx(70.0)
    assert (snapshot.loop_lag_ms, snapshot.loop_lag_max_ms) == (1.0, 3.0)
    telemetry.close()


def test_quantiles_stay_within_their_bucket() -> None:
    histogram = LatencyHistogram()
    values = [1000 + 137 * number for number in range(10_000)]
    for value in values:
        histogram.record(value)
    for share in (0.5, 0.9, 0.99):
        true = values[int(share * len(values))]
        assert histogram.quantile_ns(share) == pytest.approx(true, rel=0.05)
    assert LatencyHistogram().quantile_ns(0.5) == 0.0
    histogram.record(-5)
    assert histogram.min_ns == 0
    assert list(BOUNDS_NS) == sorted(set(BOUNDS_NS))


def test_a_full_queue_drops_and_counts() -> None:
    telemetry = Telemetry(queue_observations=10)
    telemetry.close()
    for _ in range(25):
        telemetry.begin("Recommend")
        telemetry.observe(CallObservation("Recommend", "OK", 1, STAGE_NS))
    telemetry.flush()
    snapshot = telemetry.snapshot()
    assert snapshot.dropped_observations == 15
    assert snapshot.methods["Recommend"].duration.count == 10
    # What was dropped isn't in flight.
    assert snapshot.methods["Recommend"].in_flight == 0


def test_the_hot_path_pays_little_more_than_for_the_observation_itself() -> None:
    """The bound is a microsecond on the machine that it was set on, where making an observation takes 376 ns. Both are
    measured in turn, so that it is the same bound on a machine that is half as fast."""
    telemetry = Telemetry(queue_observations=1_000_000)
    telemetry.close()

    def observation() -> CallObservation:
        return CallObservation("Recommend", "OK", 1, STAGE_NS, 107_000)

    made_ns, observed_ns = [], []
    for _ in range(50):
        made_ns.append(nanoseconds_each(observation, 500))
        observed_ns.append(nanoseconds_each(lambda: telemetry.observe(observation()), 500))
        telemetry.flush()
    print(f"made_ns {min(made_ns):.0f} observed_ns {min(observed_ns):.0f}")
    assert min(observed_ns) < 2.7 * min(made_ns)


def test_metrics_carry_explicit_buckets_codes_and_readings() -> None:
    otlp, metrics, _ = exporter()
    telemetry = Telemetry(otlp, interval_s=60)
    telemetry.add_reading(Reading("ess.rows", "counter", "{row}", "Rows written.", lambda: 7))
    telemetry.add_reading(Reading("ess.broken", "gauge", "1", "Always fails.", lambda: 1 / 0))
    telemetry.observe(CallObservation("Recommend", "OK", 1, STAGE_NS))
    telemetry.observe(CallObservation("Echo", "INTERNAL", 1, (), 9_000))
    telemetry.close()
    (resource,) = metrics.exported[-1].resource_metrics
    assert resource.resource.attributes["service.instance.id"] == "run-1"
    found = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    assert "ess.broken" not in found
    requests = found["ess.requests"].data
    assert isinstance(requests, Sum)
    assert requests.is_monotonic
    codes = {
        (point.attributes or {})["rpc.response.status_code"]: point.value for point in requests.data_points
    }
    assert codes == {"OK": 1, "INTERNAL": 1}
    stages = found["ess.stage.duration"].data
    assert isinstance(stages, Histogram)
    assert stages.aggregation_temporality is AggregationTemporality.CUMULATIVE
    decide = next(point for point in stages.data_points if (point.attributes or {})["stage"] == "respond")
    assert decide.count == 1
    assert decide.sum == pytest.approx(70e-6)
    assert len(decide.bucket_counts) == len(decide.explicit_bounds) + 1
    rows = found["ess.rows"].data
    assert isinstance(rows, Sum)
    assert rows.data_points[0].value == 7
    assert {"ess.request.duration", "ess.loop.lag", "ess.telemetry.dropped"} <= found.keys()


def test_the_exported_data_is_what_otlp_encodes() -> None:
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

    otlp, metrics, _ = exporter()
    telemetry = Telemetry(otlp, interval_s=60)
    telemetry.begin("Recommend")
    telemetry.observe(CallObservation("Recommend", "OK", 1, STAGE_NS))
    telemetry.close()
    assert b"ess.stage.duration" in encode_metrics(metrics.exported[-1]).SerializeToString()


def test_a_span_has_the_true_times_and_the_callers_trace() -> None:
    otlp, _, spans = exporter()
    telemetry = Telemetry(otlp, interval_s=60, trace_sample_ratio=0.0)
    start_ns = 1_700_000_000_000_000_000
    telemetry.observe(CallObservation("Recommend", "OK", start_ns, STAGE_NS, 120_000, f"{TRACE}-01"))
    telemetry.observe(CallObservation("Recommend", "OK", start_ns, STAGE_NS, 120_000, f"{TRACE}-00"))
    telemetry.observe(CallObservation("Recommend", "OK", start_ns, STAGE_NS))
    telemetry.close()
    *stages, call = spans.get_finished_spans()
    assert [span.name for span in stages] == list(STAGES)
    assert call.name == "Recommend"
    assert (call.start_time, call.end_time) == (start_ns, start_ns + 120_000)
    assert call.context is not None
    assert call.context.trace_id == int(TRACE[3:35], 16)
    assert call.parent is not None
    assert call.parent.span_id == int(TRACE[36:], 16)
    decide = stages[3]
    assert (decide.start_time, decide.end_time) == (start_ns + 18_000, start_ns + 88_000)


def test_the_ratio_samples_calls_that_nobody_decided_about() -> None:
    otlp, _, spans = exporter()
    telemetry = Telemetry(otlp, interval_s=60, trace_sample_ratio=1.0)
    telemetry.observe(CallObservation("Echo", "INTERNAL", 5, (), 10, "", (("instrument_id", "X"),)))
    telemetry.observe(CallObservation("Echo", "OK", 5, (), 10, "rubbish"))
    telemetry.close()
    first, second = spans.get_finished_spans()
    assert not first.status.is_ok
    assert (first.attributes or {})["instrument_id"] == "X"
    assert second.parent is None


def test_closing_leaves_a_hanging_collector_behind() -> None:
    hanging = HangingExporter()
    telemetry = Telemetry(hanging, interval_s=60, trace_sample_ratio=1.0)
    telemetry.observe(CallObservation("Echo", "OK", 5, ()))
    begun_s = time.monotonic()
    telemetry.close(timeout_s=0.2)
    assert time.monotonic() - begun_s < 1.0
    hanging.release.set()
