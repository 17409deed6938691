"""`Replay` and `ess replay` against the real service: after a restart with other artifacts and another market, over a
changed record, and where something is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from execution_strategy.v1 import replay_pb2, response_pb2, status_pb2

from tests.helpers.adapt_stream import AdaptStream, Answer
from tests.helpers.command_line import ess_at
from tests.helpers.live_service import (
    Gateway,
    LiveService,
    Response,
    bars,
    live_service,
    market_update,
    order,
)
from tests.helpers.replay_world import Artifacts, artifacts_in

COMMITTED = {"acknowledgement": "COMMITTED"}
IDENTICAL, DIFFERENT, ENGINE_CHANGED = 1, 2, 3


def ess_replay(service: LiveService, *arguments: str) -> subprocess.CompletedProcess[str]:
    return ess_at(service, "replay", *arguments)


def replayed(gateway: Gateway, selection_id: str) -> replay_pb2.ReplayResponse:
    reply = gateway.call("Replay", replay_pb2.ReplayRequest(selection_id=selection_id), 30.0)
    assert reply.code == "OK", f"{reply.code}: {reply.text}"
    return replay_pb2.ReplayResponse.FromString(reply.data)


def using(artifacts: Artifacts, **more: str) -> dict[str, str]:
    return {"ESS_SURFACES_DIR": str(artifacts.surfaces), "ESS_MODELS_DIR": str(artifacts.models), **more}


def tampered(service: LiveService, selection_id: str, column: str, value: Any) -> None:
    """What only the owner of the server could do, past the triggers."""
    with psycopg.connect(service.conninfo) as connection:
        connection.execute("SET session_replication_role = replica")
        query = f"UPDATE strategy_selections SET {column} = %s WHERE id = %s"
        assert connection.execute(query.encode(), (value, selection_id)).rowcount == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def old(folder: Path) -> Artifacts:
    return artifacts_in(folder / "old")


@pytest.fixture(scope="module")
def service(old: Artifacts) -> Iterator[LiveService]:
    with live_service(None, **using(old)) as found:
        yield found


@pytest.fixture
def gateway(service: LiveService) -> Iterator[Gateway]:
    with Gateway(service.target) as client:
        yield client


def test_a_decision_is_replayed_and_a_changed_record_is_told(service: LiveService, gateway: Gateway) -> None:
    decision = gateway.recommend(order(**COMMITTED), 30.0).response
    found = replayed(gateway, decision.selection_id)
    assert (found.verdict, list(found.differences)) == (IDENTICAL, [])
    assert found.recorded == found.replayed == decision
    done = ess_replay(service, decision.selection_id)
    assert (done.returncode, done.stderr) == (0, "")
    assert "identical" in done.stdout
    changed = Response.FromString(decision.SerializeToString())
    changed.expected_outcomes.estimated_cost = 0.5
    tampered(service, decision.selection_id, "response", changed.SerializeToString(deterministic=True))
    found = replayed(gateway, decision.selection_id)
    assert [(d.field, d.recorded) for d in found.differences] == [("expected_outcomes.estimated_cost", "0.5")]
    assert found.verdict == DIFFERENT
    done = ess_replay(service, decision.selection_id)
    assert done.returncode == 1
    assert "expected_outcomes.estimated_cost" in done.stdout
    answer = json.loads(ess_replay(service, decision.selection_id, "--json").stdout)
    assert answer["verdict"] == "DIFFERENT"


def test_what_cannot_be_replayed_says_why(service: LiveService, gateway: Gateway) -> None:
    nobody = "5f3c1f5e-0000-4000-8000-000000000000"
    for asked, code in ((nobody, "NOT_FOUND"), ("no id", "INVALID_ARGUMENT")):
        done = ess_replay(service, asked)
        assert done.returncode == 2
        assert code in done.stderr
    decision = gateway.recommend(order(**COMMITTED), 30.0).response
    tampered(service, decision.selection_id, "inputs", b"")
    reply = gateway.call("Replay", replay_pb2.ReplayRequest(selection_id=decision.selection_id))
    assert (reply.code, decision.selection_id in reply.text) == ("FAILED_PRECONDITION", True)


def test_reference_data_and_activations_are_on_record_before_the_first_decision(service: LiveService) -> None:
    kinds = dict(service.rows("SELECT kind, count(*) FROM reference_data GROUP BY kind"))
    assert {"reference", "sessions", "instrument", "build"} == set(kinds)
    assert kinds["instrument"] >= 10
    activated = service.rows("SELECT detail->>'artifact_kind', actor FROM operations WHERE kind = 'ARTIFACT_ACTIVATED'")
    assert sorted(activated) == [("models", "service"), ("surfaces", "service")]


def test_decisions_outlive_restarts_upgrades_and_markets(short_tmp: Path, folder: Path, old: Artifacts) -> None:
    """Two workers; the second run has other artifacts, limits and venue names, and has lost half its archive."""
    data_dir = short_tmp / "var"
    new = artifacts_in(folder / "new", cost_scale=1.4)
    decisions: list[Response] = []
    with live_service(data_dir, **using(old, ESS_WORKERS="2")) as service, Gateway(service.target) as gateway:
        decisions += [gateway.recommend(order(**COMMITTED, quantity=1_000 * n), 30.0).response for n in range(1, 6)]
        now_ns = time.time_ns()
        moved = market_update(
            "AIG", now_ns, mid_price=71.0, spread_bps=4.0, daily_volatility=0.03,
            bars=bars(now_ns, [70.0 + 0.1 * n for n in range(40)], 9_000.0, 4.0),
        )
        assert gateway.update_market(moved).accepted == 1
        decisions += [
            gateway.recommend(order(**COMMITTED, quantity=1_000 * n, effective_time=None), 30.0).response
            for n in range(1, 6)
        ]
        assert service.terminate() == 0
    shutil.rmtree(data_dir / "archive" / "reference")
    again = using(new, ESS_MAX_PARTICIPATION_RATE="0.05", ESS_VENUE_NAMING="name")
    with live_service(data_dir, **again) as service, Gateway(service.target) as gateway:
        fresh = gateway.recommend(order(**COMMITTED), 30.0).response
        for decision in (*decisions, fresh):
            found = replayed(gateway, decision.selection_id)
            assert (found.verdict, list(found.differences)) == (IDENTICAL, [])
            assert found.replayed == decision
        assert len({decision.versions.models_sha256 for decision in (*decisions, fresh)}) == 2
        gone = data_dir / "archive" / "artifacts" / decisions[0].versions.models_sha256
        assert gone.is_dir()
    shutil.rmtree(gone)
    with live_service(data_dir, **again) as service:
        done = ess_replay(service, decisions[0].selection_id)
        assert done.returncode == 2
        assert f"the models {gone.name} are not in the archive" in done.stderr


def is_advice(sequence: int, answer: Answer) -> bool:
    return answer.acknowledged_sequence == sequence and answer.advice_number > 0


def advised(gateway: Gateway) -> dict[str, response_pb2.ExecutionStrategyResponse]:
    """Advices that an order was given: ids as Status lists them, and what their strategies were (empty for a plan that
    was kept)."""
    decided = gateway.recommend(order(**COMMITTED), 30.0).response
    name = decided.order_id
    trend = {"current_conditions": "MARKET_CONDITION_TRENDING", "short_term_alpha_bps_per_day": 400.0}
    with AdaptStream(gateway) as stream:
        stream.send(name, 1, fill={"execution_id": "a", "quantity": 2_000, "price": 70.5})
        updates: list[dict[str, Any]] = [{"market_context": trend}, {"amend": {"quantity": 60_000}}]
        for sequence, update in enumerate(updates, start=2):
            stream.send(name, sequence, **update)
            stream.wait(partial(is_advice, sequence))
        stream.send(name, 4, force=True, working={"quantity": 500})
        stream.wait(partial(is_advice, 4))
    sent = {answer.advice_number: answer.response for answer in stream.advices()}
    reply = gateway.call("Status", status_pb2.StatusRequest(order_id=name))
    listed = status_pb2.StrategyExecutionStatus.FromString(reply.data).selections[1:]
    return {line.selection_id: sent[n] for n, line in enumerate(listed, start=1) if n in sent}


def test_advices_outlive_restarts_upgrades_and_markets(short_tmp: Path, folder: Path, old: Artifacts) -> None:
    """Each is rebuilt by a process with other artifacts, limits and market, byte for byte."""
    data_dir = short_tmp / "var"
    with live_service(data_dir, **using(old)) as service, Gateway(service.target) as gateway:
        now_ns = time.time_ns()
        gateway.update_market(market_update("AIG", now_ns, mid_price=71.0, spread_bps=4.0))
        sent = advised(gateway)
        assert len(sent) >= 3
        assert service.terminate() == 0
    shutil.rmtree(data_dir / "archive" / "reference")
    again = using(artifacts_in(folder / "newer", cost_scale=1.3), ESS_MAX_PARTICIPATION_RATE="0.05")
    with live_service(data_dir, **again) as service, Gateway(service.target) as gateway:
        gateway.update_market(market_update("AIG", time.time_ns(), mid_price=90.0, spread_bps=9.0))
        for adaptation_id, strategy in sent.items():
            found = replayed(gateway, adaptation_id)
            assert (found.verdict, list(found.differences)) == (IDENTICAL, [])
            ((stored,),) = service.rows("SELECT response FROM adaptations WHERE id = %s", adaptation_id)
            assert found.replayed_advice.SerializeToString(deterministic=True) == bytes(stored)
            assert found.recorded_advice == found.replayed_advice
            assert found.replayed_advice.response == strategy
            assert not found.HasField("recorded")
        done = ess_replay(service, next(iter(sent)))
        assert (done.returncode, done.stderr) == (0, "")
        assert "identical" in done.stdout
        with psycopg.connect(service.conninfo) as connection:
            connection.execute("SET session_replication_role = replica")
            changed = replayed(gateway, next(iter(sent))).recorded_advice
            changed.expected_gain_bps = 99.0
            query = "UPDATE adaptations SET response = %s WHERE id = %s"
            given = (changed.SerializeToString(deterministic=True), next(iter(sent)))
            assert connection.execute(query, given).rowcount == 1
        done = ess_replay(service, next(iter(sent)))
        assert done.returncode == 1
        assert "expected_gain_bps" in done.stdout
