"""Other models are put in force while the service runs: everywhere or nowhere, with a reason, and over restarts; and a
change of the catalogue reaches every worker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from execution_strategy.v1 import admin_pb2, overview_pb2, replay_pb2

from store.embedded import EmbeddedPostgres
from tests.helpers.artifacts import found_sound, other_models, rename_in_manifest, tamper
from tests.helpers.command_line import ess_at
from tests.helpers.live_service import ADMIN, Gateway, LiveService, Reply, live_service, order
from tests.helpers.running_host import eventually
from tests.helpers.urls import url_of

# Of a busy machine: an artifact's check that found no idle time in 30 s begins anew, and may take 60 then.
WITHIN_S = 100.0
IDENTICAL = 1
# A change of the catalogue holds at every worker within this; measured far below a second.
CATALOGUE_WITHIN_S = 5.0


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture(scope="module")
def own(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    folder: Path = tmp_path_factory.mktemp("artifacts")
    with live_service(folder / "data", ESS_WORKERS="2", ESS_ARTIFACTS_DIR=str(shelf), ESS_HOST_ID="host-a",
                      ESS_LEARNING_INTERVAL_S="3") as service:  # fmt: skip
        yield service


def activate(target: str, sha256: str, *, shadow: bool = False, reason: str = "a test") -> Reply:
    message = admin_pb2.ActivateArtifactRequest(manifest_sha256=sha256, shadow=shadow, reason=reason)
    with Gateway(target) as gateway:
        return gateway.call("ActivateArtifact", message, WITHIN_S, ADMIN)


def activated(target: str, sha256: str, **more: Any) -> admin_pb2.ActivateArtifactResponse:
    reply = activate(target, sha256, **more)
    assert reply.code == "OK", reply
    return admin_pb2.ActivateArtifactResponse.FromString(reply.data)


def listed(target: str) -> admin_pb2.ListArtifactsResponse:
    with Gateway(target) as gateway:
        reply = gateway.call("ListArtifacts", admin_pb2.ListArtifactsRequest(), WITHIN_S, ADMIN)
    assert reply.code == "OK", reply
    return admin_pb2.ListArtifactsResponse.FromString(reply.data)


def deciding(target: str) -> set[str]:
    """Which models decide, over enough connections to reach both workers."""
    found = set()
    for _ in range(8):
        with Gateway(target) as gateway:
            found.add(gateway.recommend(order(dry_run=True)).response.versions.models_sha256)
    return found


def described(target: str) -> list[str]:
    """The models that a worker shows with their card."""
    with Gateway(target) as gateway:
        reply = gateway.call("DescribeService", overview_pb2.DescribeServiceRequest(), WITHIN_S)
    assert reply.code == "OK", reply
    shown = overview_pb2.ServiceDescription.FromString(reply.data).artifacts
    assert all(one.card for one in shown if one.kind == "models")
    return [one.manifest_sha256 for one in shown if one.kind == "models"]


def operations(service: LiveService, subject: str) -> list[str]:
    query = "SELECT kind FROM operations WHERE subject = %s ORDER BY created_at"
    return [row[0] for row in service.rows(query, subject)]


@pytest.mark.timeout(240)
def test_models_are_activated_everywhere_recorded_and_kept_over_a_restart(
    shelf: Path, tmp_path: Path
) -> None:
    with live_service(tmp_path / "data", ESS_WORKERS="2", ESS_ARTIFACTS_DIR=str(shelf)) as service:
        (before,) = deciding(service.target)
        wanted = other_models(shelf, "kept")
        with Gateway(service.target) as gateway:
            old = gateway.recommend(order()).response
        answer = activated(service.target, wanted, reason="better on Monday")
        assert (answer.manifest_sha256, answer.previous_manifest_sha256) == (wanted, before)
        assert [worker.confirmed for worker in answer.workers] == [True, True]
        # By the answer it holds everywhere.
        assert deciding(service.target) == {wanted}
        assert [described(service.target) for _ in range(4)] == [[wanted]] * 4
        again = activated(service.target, wanted)
        assert again.already_active
        eventually(lambda: "ARTIFACT_ACTIVATED" in operations(service, wanted), within_s=15.0, what="the record")
        assert "ACTIVATION_REQUESTED" in operations(service, wanted)
        actor, reason = service.rows(
            "SELECT actor, reason FROM operations WHERE kind = 'ARTIFACT_ACTIVATED' AND subject = %s", wanted
        )[0]
        assert (actor, reason) == ("anybody on this host", "better on Monday")
        found = {one.manifest_sha256: one for one in listed(service.target).artifacts}
        assert (found[wanted].active, found[before].active) == (True, False)
        with Gateway(service.target) as gateway:
            new = gateway.recommend(order()).response
            for decided in (old, new):
                assert replayed(gateway, service, decided.selection_id) == IDENTICAL
        assert service.terminate() == 0
    with live_service(tmp_path / "data", ESS_ARTIFACTS_DIR=str(shelf)) as again_up:
        assert deciding(again_up.target) == {wanted}


def replayed(gateway: Gateway, service: LiveService, selection_id: str) -> int:
    query = "SELECT count(*) FROM strategy_selections WHERE id = %s::text::uuid"
    eventually(lambda: bool(service.rows(query, selection_id)[0][0]), within_s=15.0, what="the record")
    reply = gateway.call("Replay", replay_pb2.ReplayRequest(selection_id=selection_id), WITHIN_S)
    assert reply.code == "OK", reply
    return replay_pb2.ReplayResponse.FromString(reply.data).verdict


@pytest.mark.parametrize("fault", ["tampered", "parity", "surfaces"])
def test_what_is_not_sound_is_refused_and_nothing_changes(own: LiveService, shelf: Path, fault: str) -> None:
    before = deciding(own.target)
    metadata = {"surfaces_sha256": "0" * 64} if fault == "surfaces" else {}
    wanted = other_models(shelf, fault, metadata=metadata, leaf_by=0.25 if fault == "parity" else 0.0)
    if fault == "tampered":
        tamper(shelf / fault)
    reply = activate(own.target, wanted)
    assert (reply.code, "ARTIFACT_UNFIT" in reply.text) == ("FAILED_PRECONDITION", True), reply
    words = {"tampered": "models.npz is corrupt", "parity": "disagree", "surfaces": "surfaces_sha256"}
    assert words[fault] in reply.text
    assert deciding(own.target) == before
    eventually(lambda: "ACTIVATION_REFUSED" in operations(own, wanted), within_s=15.0, what="the record")
    assert "ARTIFACT_ACTIVATED" not in operations(own, wanted)


def test_nothing_outside_the_folder_is_an_artifact(own: LiveService, shelf: Path, tmp_path: Path) -> None:
    outside = other_models(tmp_path, "outside")
    (shelf / "link").symlink_to(tmp_path / "outside", target_is_directory=True)
    climbing = other_models(shelf, "climbing")
    (tmp_path / "secret").write_text("not yours")
    rename_in_manifest(shelf / "climbing", "card.md", "../../secret")
    shown = {one.manifest_sha256 for one in listed(own.target).artifacts}
    for sha256 in (outside, climbing):
        assert sha256 not in shown
        assert activate(own.target, sha256).code == "NOT_FOUND"


def test_a_shadow_is_loaded_listed_and_answers_nobody(own: LiveService, shelf: Path) -> None:
    before = deciding(own.target)
    wanted = other_models(shelf, "shadow")
    found_sound(own.data_dir, shelf / "shadow")
    activated(own.target, wanted, shadow=True)
    assert deciding(own.target) == before
    found = {one.manifest_sha256: one for one in listed(own.target).artifacts}
    assert (found[wanted].shadow, found[wanted].active) == (True, False)
    with Gateway(own.target) as gateway:
        for _ in range(3):
            assert gateway.recommend(order()).code == "OK"

    def scored() -> admin_pb2.Artifact:
        return next(one for one in listed(own.target).artifacts if one.manifest_sha256 == wanted)

    eventually(lambda: scored().shadow_scores >= 3, within_s=60.0, what="scores of the shadow")
    # It is the same models under another name.
    assert scored().shadow_same_choice == scored().shadow_scores


class Ghost:
    """A host that PostgreSQL knows and nobody runs: it says what the test wants."""

    def __init__(self, service: LiveService, lease: str) -> None:
        self._service = service
        self._do(f"INSERT INTO control_hosts VALUES ('ghost', 0, now(), now() + interval '{lease}')")
        self._do("INSERT INTO artifact_workers (host_id, worker_index, models_sha256) VALUES ('ghost', 0, 'x')")

    def _do(self, query: str, *parameters: object) -> None:
        self._service.rows(query + " RETURNING 1", *parameters)

    def newest(self, table: str) -> int:
        return int(self._service.rows(f"SELECT coalesce(max(number), 0) FROM {table}")[0][0])

    def says(self, column: str, number: int, state: str = "PREPARED") -> None:
        self._do(f"UPDATE artifact_workers SET {column} = %s, proposal_state = %s, reason = 'disk gone'"
                 " WHERE host_id = 'ghost'", number, state)  # fmt: skip

    def gone(self) -> None:
        self._do("DELETE FROM artifact_workers WHERE host_id = 'ghost'")
        self._do("DELETE FROM control_hosts WHERE host_id = 'ghost'")


def in_flight(gateway: Gateway, sha256: str) -> Any:
    message = admin_pb2.ActivateArtifactRequest(manifest_sha256=sha256, reason="a test")
    ask: Any = gateway.channel.unary_unary(f"/{ADMIN}/ActivateArtifact")
    return ask.future(message.SerializeToString(), timeout=WITHIN_S)


def test_a_host_that_fails_after_the_swap_takes_everybody_back(own: LiveService, shelf: Path) -> None:
    before = deciding(own.target)
    wanted = other_models(shelf, "rolled-back")
    found_sound(own.data_dir, shelf / "rolled-back")
    ghost = Ghost(own, "1 hour")
    try:
        proposals, promotions = ghost.newest("artifact_proposals"), ghost.newest("model_promotions")
        with Gateway(own.target) as gateway:
            call = in_flight(gateway, wanted)
            eventually(lambda: ghost.newest("artifact_proposals") > proposals, within_s=20.0, what="the proposal")
            ghost.says("proposal", ghost.newest("artifact_proposals"))
            eventually(lambda: ghost.newest("model_promotions") > promotions, within_s=30.0, what="the swap")
            ghost.says("failed_number", ghost.newest("model_promotions"))
            error = call.exception()
        assert error.code().name == "FAILED_PRECONDITION", error
        assert "rolled back: ghost/0: disk gone" in error.details()
        assert deciding(own.target) == before
        eventually(lambda: "ACTIVATION_ROLLED_BACK" in operations(own, wanted), within_s=15.0, what="the record")
    finally:
        ghost.gone()


def test_a_host_whose_lease_ran_out_is_not_waited_for(own: LiveService, shelf: Path) -> None:
    (before,) = deciding(own.target)
    wanted = other_models(shelf, "without-the-dead")
    found_sound(own.data_dir, shelf / "without-the-dead")
    ghost = Ghost(own, "-1 second")
    try:
        answer = activated(own.target, wanted)
        assert {(worker.host_id, worker.confirmed) for worker in answer.workers} == {("host-a", True), ("ghost", False)}
        assert activated(own.target, before).manifest_sha256 == before
        assert deciding(own.target) == {before}
    finally:
        ghost.gone()


@pytest.mark.timeout(240)
def test_of_two_hosts_one_without_the_artifact_keeps_both_on_the_old(shelf: Path, short_tmp: Path) -> None:
    database = EmbeddedPostgres(short_tmp / "own")
    url = url_of(database.start())
    wanted = other_models(shelf, "one-host-only")
    try:
        with (
            live_service(short_tmp / "a", ESS_DATABASE_URL=url, ESS_HOST_ID="a", ESS_ARTIFACTS_DIR=str(shelf)) as first,
            live_service(short_tmp / "b", ESS_DATABASE_URL=url, ESS_HOST_ID="b",
                         ESS_ARTIFACTS_DIR=str(short_tmp / "empty")) as second,
        ):
            before = deciding(first.target)
            found_sound(first.data_dir, shelf / "one-host-only")
            reply = activate(first.target, wanted)
            assert (reply.code, "b/0" in reply.text) == ("FAILED_PRECONDITION", True), reply
            assert deciding(first.target) == deciding(second.target) == before
            other_models(short_tmp / "empty", "late")
            wanted = other_models(short_tmp / "empty", "both")
            assert other_models(shelf, "both") == wanted
            for service, folder in ((first, shelf), (second, short_tmp / "empty")):
                found_sound(service.data_dir, folder / "both")
            answer = activated(first.target, wanted)
            assert {(worker.host_id, worker.confirmed) for worker in answer.workers} == {("a", True), ("b", True)}
            assert deciding(first.target) == deciding(second.target) == {wanted}
    finally:
        database.stop()


def chosen(target: str) -> set[str]:
    found = set()
    for _ in range(8):
        with Gateway(target) as gateway:
            found.add(gateway.recommend(order(dry_run=True)).response.recommended_strategy.algorithm)
    return found


def test_an_algorithm_that_is_disabled_is_chosen_no_more_by_any_worker(own: LiveService) -> None:
    with Gateway(own.target) as gateway:
        first = gateway.recommend(order()).response
        algorithm = first.recommended_strategy.algorithm
        change = "UPDATE execution_strategies SET enabled = %s WHERE algorithm_mapping ->> 'algorithm' = %s RETURNING 1"
        own.rows(change, False, algorithm)
        begun_s = time.monotonic()
        try:
            eventually(lambda: algorithm not in chosen(own.target), within_s=CATALOGUE_WITHIN_S, what="the change")
            print(f"held after at most {time.monotonic() - begun_s:.2f} s")
            second = gateway.recommend(order()).response
            assert second.recommended_strategy.algorithm != algorithm
            assert algorithm not in {one.algorithm for one in second.alternative_strategies}
        finally:
            own.rows(change, True, algorithm)
        eventually(lambda: chosen(own.target) == {algorithm}, within_s=CATALOGUE_WITHIN_S, what="the change back")
        for decided in (first, second):
            assert replayed(gateway, own, decided.selection_id) == IDENTICAL
    kinds = [row[0] for row in own.rows("SELECT kind FROM operations")]
    assert kinds.count("CATALOGUE_CHANGED") == 2


def test_a_catalogue_that_leaves_nothing_is_not_taken(own: LiveService) -> None:
    before = chosen(own.target)
    names = [row[0] for row in own.rows("SELECT strategy_name FROM execution_strategies WHERE enabled")]
    change = "UPDATE execution_strategies SET enabled = %s WHERE strategy_name = ANY(%s) RETURNING 1"
    own.rows(change, False, names)
    try:
        eventually(lambda: "the catalogue leaves no candidate" in own.output, within_s=10.0, what="the log's word")
        assert chosen(own.target) == before
    finally:
        own.rows(change, True, names)


def test_the_command_line_lists_activates_and_rolls_back(own: LiveService, shelf: Path, tmp_path: Path) -> None:
    (before,) = deciding(own.target)
    wanted = other_models(tmp_path, "by-folder")
    done = ess_at(own, "artifacts", "activate", str(tmp_path / "by-folder"), "--reason", "a test", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["manifest_sha256"] == wanted
    assert deciding(own.target) == {wanted}
    told = ess_at(own, "artifacts", "list", "--json")
    assert [one["active"] for one in json.loads(told.stdout)["artifacts"] if one["manifest_sha256"] == wanted] == [True]
    assert wanted[:12] in ess_at(own, "artifacts", "list").stdout
    back = ess_at(own, "artifacts", "rollback", "--reason", "a test")
    assert (back.returncode, deciding(own.target)) == (0, {before}), back.stderr
    unknown = ess_at(own, "artifacts", "activate", "0" * 64, "--reason", "a test")
    assert (unknown.returncode, "NOT_FOUND" in unknown.stderr) == (1, True)


def test_events_tell_of_an_activation(own: LiveService) -> None:
    query = "SELECT payload::text FROM outbox WHERE payload::text LIKE '%%ACTIVATION_REQUESTED%%' LIMIT 1"
    eventually(lambda: bool(own.rows(query)), within_s=15.0, what="an event")
    assert json.loads(own.rows(query)[0][0])
