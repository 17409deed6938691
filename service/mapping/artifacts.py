"""Artifacts and their activation: between the contract's messages and values."""

from __future__ import annotations

from typing import Any

from execution_strategy.v1 import admin_pb2

from engine.decision import Fault
from service.activating import Activated, Asked, Inventory
from service.mapping.controls import text_faults
from service.mapping.description import EVALUATION
from service.mapping.responses import set_time
from store.artifact_store import WorkerReport

# An evaluation is some kilobytes; a folder of somebody's own might hold anything under its name.
MOST_EVALUATION_BYTES = 256 * 1024


def asked_of(message: admin_pb2.ActivateArtifactRequest, actor: str) -> Asked | list[Fault]:
    faults = text_faults("reason", message.reason)
    return faults or Asked(message.manifest_sha256, message.shadow, actor, message.reason)


def artifacts_response(inventory: Inventory) -> bytes:
    """For a thread: reads the evaluations."""
    message = admin_pb2.ListArtifactsResponse(previous_manifest_sha256=inventory.previous)
    scores = inventory.scores or {}
    for one in inventory.found:
        scored, same = scores.get(one.sha256, (0, 0))
        is_active = one.sha256 in inventory.active
        entry = message.artifacts.add(
            manifest_sha256=one.sha256, kind=one.manifest.kind, active=is_active,
            origin=one.manifest.created_by, shadow=one.sha256 == inventory.shadow and not is_active,
            unfit_reason="" if is_active else inventory.unfit.get(one.sha256, ""),
            shadow_scores=scored, shadow_same_choice=same,
        )  # fmt: skip
        set_time(entry.created_at, one.built_ns)
        if EVALUATION in one.manifest.files:
            entry.evaluation_json = _text(one.folder / EVALUATION)
    fill_workers(message.workers, [(one, one.models_sha256 in inventory.active) for one in inventory.workers])
    return message.SerializeToString()


def activated_response(asked: Asked, activated: Activated) -> bytes:
    message = admin_pb2.ActivateArtifactResponse(
        manifest_sha256=asked.models_sha256, previous_manifest_sha256=activated.previous_sha256,
        already_active=activated.already,
    )  # fmt: skip
    fill_workers(message.workers, activated.workers)
    return message.SerializeToString()


def fill_workers(entries: Any, reports: Any) -> None:
    report: WorkerReport
    for report, is_confirmed in reports:
        entry = entries.add(
            host_id=report.host_id, worker_index=report.worker_index, manifest_sha256=report.models_sha256,
            confirmed=is_confirmed, reason="" if is_confirmed else report.reason,
        )  # fmt: skip
        if not is_confirmed and report.lease_expires_at_ns:
            set_time(entry.lease_expires_at, report.lease_expires_at_ns)


def _text(path: Any) -> str:
    try:
        with path.open("rb") as file:
            return str(file.read(MOST_EVALUATION_BYTES).decode("utf-8", "replace"))
    except OSError:
        return ""
