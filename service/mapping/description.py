"""The service's word on itself, as the contract's message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from execution_strategy.v1 import enums_pb2, overview_pb2

from engine.catalogue import CATALOGUE, AlgorithmSpec, CandidateSet
from engine.snapshot import Snapshot
from service.mapping.responses import set_time
from store.artifacts import Artifact

CARD = "card.md"
EVALUATION = "evaluation.json"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of telemetry at a moment."""

    name: str
    description: str
    unit: str
    value: float


@dataclass(frozen=True, slots=True)
class CallCounts:
    count: int
    refused: int
    median_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class Running:
    """What does not change while a worker lives."""

    host_id: str
    environment: str
    build_sha256: str
    started_ns: int
    workers: int
    worker_index: int
    acknowledgement: str


def described_artifact(artifact: Artifact) -> bytes:
    manifest = artifact.manifest
    message = overview_pb2.ArtifactDescription(
        kind=manifest.kind, manifest_sha256=artifact.sha256, created_by=manifest.created_by,
        files={name: entry.sha256 for name, entry in manifest.files.items()},
        card=artifact.files.get(CARD, b"").decode("utf-8", "replace"),
        evaluation_json=artifact.files.get(EVALUATION, b"").decode("utf-8", "replace"),
    )  # fmt: skip
    return bytes(message.SerializeToString(deterministic=True))


def description(
    running: Running, snapshot: Snapshot, artifacts: Iterable[bytes], condition: tuple[str, str],
    figures: Iterable[Figure], calls: Mapping[str, CallCounts],
) -> bytes:  # fmt: skip
    """`artifacts` as `described_artifact` makes them; `condition`: the keeper's, and why."""
    acknowledgement = enums_pb2.AcknowledgementClass.Value(f"ACKNOWLEDGEMENT_CLASS_{running.acknowledgement}")
    message = overview_pb2.ServiceDescription(
        host_id=running.host_id, environment=running.environment, build_sha256=running.build_sha256,
        workers=running.workers, worker_index=running.worker_index, keeper_condition=condition[0],
        keeper_reason=condition[1], acknowledgement=cast(enums_pb2.AcknowledgementClass, acknowledgement),
    )  # fmt: skip
    set_time(message.started_at, running.started_ns)
    versions = message.versions
    versions.engine, versions.surfaces_sha256 = snapshot.engine_version, snapshot.surfaces_sha256
    versions.utility_sha256 = snapshot.utility_sha256
    versions.models_sha256 = snapshot.models.sha256 if snapshot.models is not None else ""
    for figure in figures:
        message.figures.add(
            name=figure.name, description=figure.description, unit=figure.unit, value=figure.value
        )
    for method, counts in sorted(calls.items()):
        message.calls.add(
            method=method, count=counts.count, refused=counts.refused, median_seconds=counts.median_s,
            p99_seconds=counts.p99_s,
        )  # fmt: skip
    for artifact in artifacts:
        message.artifacts.add().MergeFromString(artifact)
    message.catalogue.extend(_entry(spec, snapshot.catalogue) for spec in CATALOGUE)
    return bytes(message.SerializeToString())


def _entry(spec: AlgorithmSpec, catalogue: CandidateSet) -> overview_pb2.CatalogueEntry:
    entry = overview_pb2.CatalogueEntry(
        algorithm=spec.name, strategy_name=spec.strategy_name, strategy_type=spec.strategy_type,
        description=spec.description, target_strategy=spec.fix_target_strategy,
        candidates=sum(candidate.spec.name == spec.name for candidate in catalogue.candidates),
    )  # fmt: skip
    for name, allowed in spec.ranges.items():
        entry.parameters.add(
            name=name, unit=allowed.unit, meaning=allowed.meaning, minimum=min(allowed.values),
            maximum=max(allowed.values),
        )  # fmt: skip
    return entry
