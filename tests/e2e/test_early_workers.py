"""Workers are started while the host is still prepared: whatever happens meanwhile, none of them stays behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.running_host import RunningHost, answering_pids, eventually, is_alive, running_host


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The preparation of a host waits until somebody writes here."""
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


@pytest.fixture
def preparing(tmp_path: Path, gate: Path) -> Iterator[RunningHost]:
    with running_host(tmp_path / "var", ESS_WORKERS="2", TINY_PREPARE_WAITS=str(gate)) as host:
        yield host


def early_pids(host: RunningHost, mark: str = "loaded", count: int = 2) -> set[int]:
    """Processes that load, or have loaded, before the host is prepared."""
    eventually(lambda: len([*host.data_dir.glob(f"{mark}-*")]) == count, within_s=10, what=f"{count} workers {mark}")
    return {int(path.name.partition("-")[2]) for path in host.data_dir.glob(f"{mark}-*")}


def open_gate(gate: Path) -> None:
    gate.write_bytes(b"prepared")


def nobody_is_left(host: RunningHost, workers: set[int]) -> None:
    """After the supervisor: its workers ended before it, multiprocessing's tracker ends with it."""
    assert not any(map(is_alive, workers))
    eventually(lambda: host.pids() == [], within_s=5, what="no process is left")


def test_workers_load_before_the_host_is_prepared_and_serve_first(preparing: RunningHost, gate: Path) -> None:
    loaded = early_pids(preparing)
    assert "host prepared" not in preparing.output
    assert "process started" not in preparing.output
    open_gate(gate)
    preparing.wait_ready()
    assert set(preparing.about["workers"]) == answering_pids(preparing.target, 2) == loaded


def test_a_worker_that_is_started_again_takes_the_usual_way(preparing: RunningHost, gate: Path) -> None:
    loaded = early_pids(preparing)
    open_gate(gate)
    preparing.wait_ready()
    victim = min(loaded)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: victim not in preparing.about["workers"], within_s=10, what="another worker")
    assert early_pids(preparing) == loaded  # the new one was told everything from the start


@pytest.mark.parametrize("moment", ["begun", "loading", "loaded"])
def test_a_killed_supervisor_leaves_no_early_worker(moment: str, tmp_path: Path, gate: Path) -> None:
    hangs = {"TINY_PRELOAD_HANGS": "1"} if moment == "loading" else {}
    with running_host(tmp_path / "var", ESS_WORKERS="2", TINY_PREPARE_WAITS=str(gate), **hangs) as host:
        if moment == "begun":
            eventually(lambda: len(host.pids()) > 1, within_s=10, what="the first process")
        else:
            early_pids(host, moment)
        host.process.kill()
        eventually(lambda: host.pids() == [], within_s=5, what="no process is left")
    with running_host(tmp_path / "var") as again:  # the folder's lock is free
        again.wait_ready()


@pytest.mark.parametrize("hangs", ["", "1"])
def test_a_stop_while_the_host_is_prepared(hangs: str, tmp_path: Path, gate: Path) -> None:
    variables = {"TINY_PREPARE_WAITS": str(gate), "TINY_PRELOAD_HANGS": hangs}
    with running_host(tmp_path / "var", ESS_WORKERS="2", **variables) as host:
        loading = early_pids(host, "loading")
        host.signal_group(signal.SIGTERM)
        open_gate(gate)
        assert host.wait_ended() == 0
        nobody_is_left(host, loading)
        assert (host.data_dir / "closed").exists()
        assert not (host.data_dir / "service.json").exists()


def test_a_failing_preparation_leaves_no_early_worker(tmp_path: Path, gate: Path) -> None:
    variables = {"TINY_PREPARE_WAITS": str(gate), "TINY_PREPARE_FAILS": "1"}
    with running_host(tmp_path / "var", ESS_WORKERS="2", **variables) as host:
        loaded = early_pids(host)
        open_gate(gate)
        assert host.wait_ended() == os.EX_UNAVAILABLE
        nobody_is_left(host, loaded)
        assert "ess: the host could not be prepared: no database today" in host.output


def test_an_early_worker_that_died_is_replaced(preparing: RunningHost, gate: Path) -> None:
    loaded = early_pids(preparing)
    victim = min(loaded)
    os.kill(victim, signal.SIGKILL)
    open_gate(gate)
    preparing.wait_ready()
    workers = set(preparing.about["workers"])
    assert len(workers) == 2
    assert workers & loaded == loaded - {victim}


def test_what_fails_in_loading_does_not_end_the_service(tmp_path: Path, gate: Path) -> None:
    variables = {"TINY_PREPARE_WAITS": str(gate), "TINY_PRELOAD_FAILS": "1"}
    with running_host(tmp_path / "var", **variables) as host:
        loading = early_pids(host, "loading", 1)
        open_gate(gate)
        host.wait_ready()
        assert not loading & set(host.about["workers"])
        host.process.send_signal(signal.SIGTERM)
        assert host.wait_ended() == 0
