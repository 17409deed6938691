"""Outcomes are reported, corrections come of them, reach the worker, and change what it decides; replays stay whole."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from execution_strategy.v1 import replay_pb2, status_pb2

from engine.learning.fit import LEAST_OUTCOMES
from service.learned import corrections_from
from tests.helpers.command_line import ess_at
from tests.helpers.live_service import (
    Gateway,
    LiveService,
    Response,
    live_service,
    new_order_id,
    order,
)
from tests.helpers.running_host import environment, eventually

IDENTICAL = 1
# What the worse algorithm pays beyond its forecast, bps.
WORSE_BPS = 15.0
EACH = LEAST_OUTCOMES // 2 + 25


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """With an empty history, quick to learn, and two workers, of which one computes."""
    folder: Path = tmp_path_factory.mktemp("learning")
    with live_service(folder / "data", ESS_LEARNING_INTERVAL_S="0.1", ESS_WORKERS="2") as service:
        yield service


def recommended(gateway: Gateway, **changes: Any) -> Response:
    reply = gateway.recommend(order(order_id=new_order_id("learn"), **changes))
    assert reply.code == "OK", reply
    return reply.response


def report(gateway: Gateway, decided: Response, cost_bps: float) -> None:
    actual: dict[str, Any] = {"cost": cost_bps / 1e4, "time_minutes": 30, "filled_quantity": 40_000,
                              "average_price": 78.0}  # fmt: skip
    request = status_pb2.ReportOutcomeRequest(order_id=decided.order_id, actual_outcomes=actual)
    assert gateway.call("ReportOutcome", request).code == "OK"


def is_drained(service: LiveService, decided: Response) -> bool:
    query = "SELECT count(*) FROM strategy_selections WHERE id = %s::text::uuid"
    return bool(service.rows(query, decided.selection_id)[0][0])


def replayed(gateway: Gateway, selection_id: str) -> int:
    reply = gateway.call("Replay", replay_pb2.ReplayRequest(selection_id=selection_id), 30.0)
    assert reply.code == "OK", f"{reply.code}: {reply.text}"
    return replay_pb2.ReplayResponse.FromString(reply.data).verdict


def taught(service: LiveService) -> set[str]:
    """Which corrections decide, over enough connections to reach both workers."""
    found = set()
    for _ in range(8):
        with Gateway(service.target) as gateway:
            found.add(gateway.recommend(order(dry_run=True)).response.versions.learned_sha256)
    return found


@pytest.mark.timeout(300)
def test_outcomes_correct_decisions_and_alarm_and_replays_stay_identical(own: LiveService) -> None:
    rng = np.random.default_rng(7)
    with Gateway(own.target) as gateway:
        first = recommended(gateway)
        other = recommended(gateway, objective="MINIMIZE_TIME", urgency="URGENT")
        worse, sound = (each.recommended_strategy.algorithm for each in (first, other))
        assert worse != sound
        assert (first.learning.propensity, first.learning.explored, first.versions.learned_sha256) == (1.0, False, "")
        for n in range(2 * EACH):
            changes = {} if n % 2 == 0 else {"objective": "MINIMIZE_TIME", "urgency": "URGENT"}
            decided = recommended(gateway, **changes)
            expected = decided.expected_outcomes
            noise = 1e4 * expected.cost_standard_deviation * float(rng.normal(0.0, 0.2))
            extra = WORSE_BPS if decided.recommended_strategy.algorithm == worse else 0.0
            base = 1e4 * expected.estimated_cost - decided.learning.online_correction_bps
            report(gateway, decided, base + extra + noise)
        eventually(
            lambda: bool(own.rows("SELECT 1 FROM corrections WHERE alarms::text LIKE %s", f"%{worse}%")), within_s=30.0,
            what="corrections with an alarm",
        )
        eventually(lambda: len(taught(own)) == 1 and taught(own) != {""}, within_s=10.0, what="the same in all workers")
        now = recommended(gateway)
        assert now.recommended_strategy.algorithm != worse
        assert now.versions.learned_sha256
        alarms, outcomes, content = own.rows(
            "SELECT alarms, outcomes, content FROM corrections WHERE alarms::text LIKE %s ORDER BY number LIMIT 1",
            f"%{worse}%",
        )[0]
        assert (worse in alarms, outcomes >= LEAST_OUTCOMES) == (True, True)
        found = corrections_from(bytes(content))
        named = dict(zip(found.names, found.values, strict=True))
        assert named[worse] + named["shift"] == pytest.approx(WORSE_BPS, abs=5.0)
        for decided in (first, other, now):
            eventually(partial(is_drained, own, decided), within_s=15.0, what="the record")
            assert replayed(gateway, decided.selection_id) == IDENTICAL
    kinds = {row[0] for row in own.rows("SELECT kind FROM operations")}
    assert "DRIFT_ALARM" in kinds
    assert own.rows("SELECT count(*) FROM reference_data WHERE kind = 'learned'")[0][0] >= 1


def refitted(service: LiveService, out: str) -> subprocess.CompletedProcess[str]:
    """`ess train --from-outcomes`, past the command line."""
    words = ("--from-outcomes", service.conninfo, "--out", out, "--least", str(LEAST_OUTCOMES))
    return subprocess.run(
        [sys.executable, "-m", "training.command", *words], env=environment(service.data_dir), capture_output=True,
        text=True, timeout=180, check=False,
    )  # fmt: skip


def models_now(gateway: Gateway) -> str:
    return str(gateway.recommend(order(dry_run=True)).response.versions.models_sha256)


@pytest.mark.timeout(400)
def test_a_challenger_is_scored_promoted_and_rolled_back_while_the_service_runs(
    own: LiveService, tmp_path: Path
) -> None:
    challenger = str(tmp_path / "challenger")
    refit = refitted(own, challenger)
    assert refit.returncode == 0, refit.stderr
    other = json.loads(refit.stdout)["models_sha256"]
    scored = ess_at(own, "learn", "shadow", challenger, "--most", "220")
    assert scored.returncode == 0, scored.stderr
    assert "220 decisions scored" in scored.stdout
    assert own.rows("SELECT count(*) FROM shadow_scores WHERE challenger_sha256 = %s", other)[0][0] == 220
    evaluated = ess_at(own, "learn", "evaluate", challenger, "--json")
    figures = json.loads(evaluated.stdout)
    assert 200 <= figures["orders"] <= 220
    assert evaluated.returncode == (0 if figures["gain"]["lower"] > 0.0 else 1)
    with Gateway(own.target) as gateway:
        before = models_now(gateway)
        promoted = ess_at(own, "learn", "promote", challenger, "--anyway", "--reason", "a test")
        assert promoted.returncode == 0, promoted.stderr
        eventually(lambda: models_now(gateway) == other, within_s=30.0, what="the promoted models in this worker")
        decided = recommended(gateway)
        eventually(lambda: is_drained(own, decided), within_s=15.0, what="the record")
        assert replayed(gateway, decided.selection_id) == IDENTICAL
        query = "SELECT detail ->> 'previous_sha256' FROM operations WHERE kind = 'ARTIFACT_ACTIVATED' AND subject = %s"
        eventually(lambda: own.rows(query, other) == [(before,)], within_s=15.0, what="the activation's record")
        back = ess_at(own, "learn", "rollback", "--reason", "enough seen")
        assert back.returncode == 0, back.stderr
        eventually(lambda: models_now(gateway) == before, within_s=30.0, what="the models from before")
        # What was learned of them is in force again.
        eventually(
            lambda: bool(gateway.recommend(order(dry_run=True)).response.versions.learned_sha256), within_s=10.0,
            what="the corrections in the worker",
        )
    audited = ess_at(own, "audit", "verify")
    assert audited.returncode == 0, audited.stdout
    status = ess_at(own, "learn", "status", "--json")
    assert status.returncode == 0, status.stderr
    told = json.loads(status.stdout)
    assert [row["action"] for row in told["promotions"]] == ["ROLLED_BACK", "PROMOTED"]
    assert told["corrections"]["alarms"]


def test_a_restart_goes_on_from_the_corrections(own: LiveService) -> None:
    with Gateway(own.target) as gateway:
        eventually(lambda: len(taught(own)) == 1, within_s=10.0, what="the same corrections in all workers")
        before = gateway.recommend(order(dry_run=True)).response.versions.learned_sha256
    assert before
    assert own.terminate() == 0
    with live_service(own.data_dir, ESS_LEARNING_INTERVAL_S="3600") as again, Gateway(again.target) as gateway:
        assert gateway.recommend(order(dry_run=True)).response.versions.learned_sha256 == before
