"""Totals and sampled calls as OpenTelemetry metrics and spans, sent by OTLP over gRPC.

Imported only where a collector is configured: the exporters bring grpc with them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.settings import Settings
from service.telemetry import BOUNDS_NS, STAGES, CallObservation, LatencyHistogram, Totals

SERVICE_NAME: Final = "execution-strategy-service"
EXPORT_TIMEOUT_S: Final = 2.0
_BOUNDS_S: Final = tuple(bound / 1e9 for bound in BOUNDS_NS)
_SCOPE: Final = InstrumentationScope("execution_strategy.service")
# The codes that are the server's fault; a refused bad request isn't an error of ours (OpenTelemetry's rule).
_SERVER_FAULTS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)

Attributes = Mapping[str, str]


class OtlpExporter:
    """One a process; satisfies `service.telemetry.Exporter`."""

    def __init__(
        self,
        settings: Settings,
        *,
        instance_id: str,
        worker_index: int,
        metric_exporter: MetricExporter | None = None,
        span_processor: SpanProcessor | None = None,
    ) -> None:
        self._started_ns = time.time_ns()
        self._resource = Resource.create(
            {
                "service.name": SERVICE_NAME,
                "service.instance.id": f"{instance_id}-{worker_index}",
                "host.name": settings.host_id,
                "deployment.environment.name": settings.environment,
                "ess.worker": worker_index,
            }
        )
        self._metrics = metric_exporter or _otlp_metrics(settings.otlp_endpoint)
        # The sampling was decided before a span is made; a span that is made is wanted.
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=self._resource,
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_span_attributes=32, max_events=0, max_links=0),
        )
        self._provider.add_span_processor(span_processor or _otlp_spans(settings.otlp_endpoint))
        self._tracer = self._provider.get_tracer(_SCOPE.name)
        self._propagator = TraceContextTextMapPropagator()

    def export_totals(self, totals: Totals) -> None:
        metrics = _metrics(totals, self._started_ns, time.time_ns())
        scope = ScopeMetrics(_SCOPE, metrics, schema_url="")
        data = MetricsData([ResourceMetrics(self._resource, [scope], schema_url="")])
        result = self._metrics.export(data, timeout_millis=EXPORT_TIMEOUT_S * 1000)
        if result is not MetricExportResult.SUCCESS:
            raise ConnectionError("the collector did not take the metrics")

    def export_span(self, observation: CallObservation) -> None:
        """The call as a server span under its caller's, each stage as a child, all with their true times."""
        parent = self._propagator.extract({"traceparent": observation.traceparent})
        span = self._tracer.start_span(
            observation.method,
            context=parent,
            kind=SpanKind.SERVER,
            start_time=observation.start_ns,
            attributes={
                "rpc.system": "grpc",
                "rpc.method": observation.method,
                "rpc.response.status_code": observation.code_name,
                **dict(observation.attributes),
            },
        )
        inside = set_span_in_context(span)
        begin_ns = observation.start_ns
        for stage, duration_ns in zip(STAGES, observation.stage_ns, strict=False):
            child = self._tracer.start_span(stage, context=inside, start_time=begin_ns)
            begin_ns += max(duration_ns, 0)
            child.end(begin_ns)
        if observation.code_name in _SERVER_FAULTS:
            span.set_status(Status(StatusCode.ERROR, observation.code_name))
        span.end(observation.start_ns + max(observation.total_ns, 0))

    def close(self, timeout_s: float) -> None:
        self._provider.shutdown()
        self._metrics.shutdown(timeout_millis=timeout_s * 1000)


def _metrics(totals: Totals, start_ns: int, now_ns: int) -> list[Metric]:
    durations, stages, requests = [], [], []
    for method, found in totals.methods.items():
        durations.append(_histogram_point(found.duration, {"rpc.method": method}, start_ns, now_ns))
        for stage, histogram in found.stages.items():
            attributes = {"rpc.method": method, "stage": stage}
            stages.append(_histogram_point(histogram, attributes, start_ns, now_ns))
        for code, count in found.codes.items():
            attributes = {"rpc.method": method, "rpc.response.status_code": code}
            requests.append(_number_point(count, attributes, start_ns, now_ns))
    in_flight = [_number_point(n, {"rpc.method": m}, start_ns, now_ns) for m, n in totals.in_flight.items()]
    dropped = [_number_point(totals.dropped_observations, {}, start_ns, now_ns)]
    lag = [_number_point(totals.loop_lag_max_ns / 1e9, {}, start_ns, now_ns)]
    made = [
        _counter("ess.requests", "{request}", "Finished calls by method and gRPC code.", requests),
        _histogram("ess.request.duration", "Time from a call's arrival to its reply.", durations),
        _histogram("ess.stage.duration", "Time of each stage of a call.", stages),
        Metric("ess.requests.in_flight", "Calls being served.", "{request}", Gauge(in_flight)),
        Metric(
            "ess.loop.lag", "Latest that the event loop ran a timer since the last export.", "s", Gauge(lag)
        ),
        _counter("ess.telemetry.dropped", "{observation}", "Observations lost to a full queue.", dropped),
    ]
    for reading, value in totals.readings:
        points = [_number_point(value, {}, start_ns, now_ns)]
        if reading.kind == "counter":
            made.append(_counter(reading.name, reading.unit, reading.description, points))
        else:
            made.append(Metric(reading.name, reading.description, reading.unit, Gauge(points)))
    return [metric for metric in made if metric.data.data_points]


def _counter(name: str, unit: str, description: str, points: Iterable[NumberDataPoint]) -> Metric:
    return Metric(
        name, description, unit, Sum(list(points), AggregationTemporality.CUMULATIVE, is_monotonic=True)
    )


def _histogram(name: str, description: str, points: Iterable[HistogramDataPoint]) -> Metric:
    return Metric(name, description, "s", Histogram(list(points), AggregationTemporality.CUMULATIVE))


def _number_point(value: float, attributes: Attributes, start_ns: int, now_ns: int) -> NumberDataPoint:
    return NumberDataPoint(attributes, start_ns, now_ns, value)


def _histogram_point(
    histogram: LatencyHistogram, attributes: Attributes, start_ns: int, now_ns: int
) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=attributes,
        start_time_unix_nano=start_ns,
        time_unix_nano=now_ns,
        count=histogram.count,
        sum=histogram.sum_ns / 1e9,
        bucket_counts=histogram.counts,
        explicit_bounds=_BOUNDS_S,
        min=histogram.min_ns / 1e9,
        max=histogram.max_ns / 1e9,
    )


def _otlp_metrics(endpoint: str) -> OTLPMetricExporter:
    return OTLPMetricExporter(
        endpoint=endpoint, insecure=endpoint.startswith("http://"), timeout=EXPORT_TIMEOUT_S
    )


def _otlp_spans(endpoint: str) -> BatchSpanProcessor:
    exporter = OTLPSpanExporter(
        endpoint=endpoint, insecure=endpoint.startswith("http://"), timeout=EXPORT_TIMEOUT_S
    )
    return BatchSpanProcessor(
        exporter,
        max_queue_size=2048,
        max_export_batch_size=512,
        schedule_delay_millis=5_000,
        export_timeout_millis=EXPORT_TIMEOUT_S * 1000,
    )
