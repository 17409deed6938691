"""Schemathesis against a running gateway, with its own OpenAPI document: how many requests, and what was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.engine import Status, events, from_schema

SEED = 20261125
# What the contract says beyond any schema: an instrument that is not known, clashing limits, an order of that id
# decided for something else. Sound data may meet these.
BEYOND_SCHEMA = ["2xx", "400", "404", "409", "422", "501", "503", "504"]
# The tool asks for deadlines of 1 ms, too, and rightly gets 504, or 503 where what is asked for takes longer; without
# so short a one it may get neither.
SHORT_DEADLINE_MS = 1_000


@dataclass
class Trial:
    """What came of it."""

    cases: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    phases: set[str] = field(default_factory=set)


def try_schema(base_url: str, *, max_examples: int, most_s: float) -> Trial:
    """Examples, coverage of every keyword, random sound and unsound data, and sequences of calls."""
    config = SchemathesisConfig.from_dict({
        "seed": SEED, "max-time": most_s, "base-url": base_url, "continue-on-failure": True, "request-timeout": 20.0,
        "generation": {
            "max-examples": max_examples, "deterministic": True, "database": "none", "no-shrink": True,
        },
        "checks": {
            "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "501", "503", "504"]},
            "positive_data_acceptance": {"expected-statuses": BEYOND_SCHEMA},
            "negative_data_rejection": {"expected-statuses": ["400", "404", "405", "415", "501", "504"]},
        },
    })  # fmt: skip
    schema = schemathesis.openapi.from_url(f"{base_url}/openapi.json", config=config)
    trial = Trial()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished | events.FuzzScenarioFinished):
            take(event, trial)
        elif isinstance(event, events.NonFatalError):
            trial.failures.append(f"{event.label}: {event.value!r}")
    return trial


def take(event: Any, trial: Trial) -> None:
    recorder = event.recorder
    trial.cases += len(recorder.interactions)
    phase = getattr(event, "phase", None)
    trial.phases.add(str(phase.value if phase is not None else "fuzzing"))
    for interaction in recorder.interactions.values():
        if interaction.response is not None:
            status = interaction.response.status_code
            trial.statuses[status] = trial.statuses.get(status, 0) + 1
            if status in (503, 504) and not had_short_deadline(interaction.request.headers):
                trial.failures.append(f"{recorder.label}: {status} without a short deadline: {interaction.request.uri}")
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.status is not Status.SUCCESS:
                info = check.failure_info
                failure: Failure | None = info.failure if info is not None else None
                sample = info.code_sample if info is not None else ""
                words = f"{failure.title}: {failure.message}" if failure is not None else ""
                trial.failures.append(f"{recorder.label} {case_id}: {check.name}: {words}\n{sample}")


def had_short_deadline(headers: Any) -> bool:
    given = {name.lower(): value for name, value in headers.items()}.get("x-request-timeout-ms", [""])
    text = given[0] if isinstance(given, list) else given
    return text.isdecimal() and int(text) < SHORT_DEADLINE_MS
