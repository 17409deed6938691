"""The supervisor with real processes, signals and gRPC. What must hold stands in the tests' names."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.helpers.running_host import (
    RunningHost,
    answering_pid,
    answering_pids,
    channel_to,
    eventually,
    health,
    is_alive,
    running_host,
)


class HeldCall:
    """A stream that is in flight until it is released."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        echo: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream("/tiny.Tiny/Echo")
        self._answers = echo(iter(self._requests.get, None), timeout=30.0)
        assert self.ask(b"held") == b"held"

    def ask(self, request: bytes) -> bytes:
        self._requests.put(request)
        return bytes(next(self._answers))

    def release(self) -> grpc.StatusCode:
        self._requests.put(None)
        assert next(self._answers, None) is None
        return self.code()

    def code(self) -> grpc.StatusCode:
        code: grpc.StatusCode = self._answers.code()
        return code


@pytest.fixture(scope="module")
def shared_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    data_dir = tmp_path_factory.mktemp("shared") / "var"
    with running_host(data_dir, ESS_WORKERS="3", ESS_HTTP_ADDRESS="127.0.0.1:0") as host:
        host.wait_ready()
        yield host


def test_several_workers_answer_on_one_free_port(shared_host: RunningHost) -> None:
    about = shared_host.about
    assert answering_pids(shared_host.target, 3) == set(about["workers"])
    assert about["pid"] == shared_host.process.pid
    assert f"ready grpc={shared_host.target}" in shared_host.output
    keeper = int((shared_host.data_dir / "keeper.pid").read_text())
    assert is_alive(keeper)


def test_http_tells_live_and_ready(shared_host: RunningHost) -> None:
    assert shared_host.http("/livez")[0] == 200
    code, body = shared_host.http("/readyz")
    assert code == 200
    assert json.loads(body)["services"] == {
        "": "SERVING",
        "execution_strategy.v1.ExecutionStrategyService": "SERVING",
    }


def test_a_killed_worker_comes_back(shared_host: RunningHost) -> None:
    victim, *others = shared_host.about["workers"]
    os.kill(victim, signal.SIGKILL)
    took_s = eventually(
        lambda: victim not in shared_host.about["workers"],
        within_s=10,
        what="service.json names the new worker",
    )
    print(f"restart_s {took_s:.3f}")
    answering = answering_pids(shared_host.target, 3)
    assert answering == set(shared_host.about["workers"])
    assert set(others) < answering
    assert '"ended":"by SIGKILL"' in shared_host.output


def test_a_killed_keeper_comes_back(shared_host: RunningHost) -> None:
    path = shared_host.data_dir / "keeper.pid"
    victim = path.read_text()
    os.kill(int(victim), signal.SIGKILL)
    eventually(lambda: path.read_text() not in {victim, ""}, within_s=10, what="another keeper")
    assert is_alive(int(path.read_text()))


def test_a_second_instance_on_the_data_folder_is_refused(shared_host: RunningHost) -> None:
    before = shared_host.about
    second = RunningHost(shared_host.data_dir)
    try:
        assert second.wait_ended() != 0
        assert f"in use by the service with pid {shared_host.process.pid}" in second.output
    finally:
        second.end()
    assert shared_host.about == before
    assert answering_pid(shared_host.target) in before["workers"]


def test_a_port_that_a_running_instance_shares_is_refused(shared_host: RunningHost, tmp_path: Path) -> None:
    with running_host(tmp_path / "var", ESS_GRPC_ADDRESS=shared_host.target) as newcomer:
        assert newcomer.wait_ended() != 0
        assert f"{shared_host.target} is already in use by pid" in newcomer.output


def test_a_foreign_listener_with_reuseport_is_refused(tmp_path: Path) -> None:
    with socket.socket() as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        foreign.bind(("127.0.0.1", 0))
        foreign.listen()
        address = f"127.0.0.1:{foreign.getsockname()[1]}"
        with running_host(tmp_path / "var", ESS_GRPC_ADDRESS=address) as host:
            assert host.wait_ended() != 0
            assert f"{address} is already in use by pid {os.getpid()}" in host.output
            assert not (tmp_path / "var" / "closed").exists()


def test_a_group_wide_sigterm_lets_calls_finish_and_drains_in_order(tmp_path: Path) -> None:
    with running_host(tmp_path / "var", ESS_WORKERS="2", ESS_HTTP_ADDRESS="127.0.0.1:0") as host:
        host.wait_ready()
        with channel_to(host.target) as channel:
            call = HeldCall(channel)
            host.signal_group(signal.SIGTERM)
            eventually(
                lambda: host.http("/readyz")[0] == 503, within_s=3, what="/readyz says 503 while draining"
            )
            assert host.http("/livez")[0] == 200
            assert not (host.data_dir / "keeper.drained").exists()
            assert call.ask(b"still there") == b"still there"
            assert call.release() is grpc.StatusCode.OK
        assert host.wait_ended() == 0
        assert (host.data_dir / "keeper.drained").exists()
        assert (host.data_dir / "closed").exists()
        assert not (host.data_dir / "service.json").exists()
        eventually(lambda: host.pids() == [], within_s=3, what="no process left")


def test_a_process_that_died_as_the_stop_began_is_told(tmp_path: Path) -> None:
    """Both in one wake-up of the supervisor, which is stopped meanwhile: records may have died with the process."""
    with running_host(tmp_path / "var", ESS_WORKERS="2") as host:
        host.wait_ready()
        eventually(lambda: "a keeper stands by" in host.output, within_s=20, what="nothing left to do but wait")
        victim = host.about["workers"][0]
        os.kill(host.process.pid, signal.SIGSTOP)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not is_alive(victim), within_s=5, what="killed")
        host.process.send_signal(signal.SIGTERM)
        os.kill(host.process.pid, signal.SIGCONT)
        assert host.wait_ended() == os.EX_SOFTWARE
        assert "process did not stop in order" in host.output
        assert '"ended":"by SIGKILL"' in host.output


def test_sigterm_says_not_serving_before_connections_go(tmp_path: Path) -> None:
    with running_host(tmp_path / "var") as host:
        host.wait_ready()
        with channel_to(host.target) as channel:
            call: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(
                "/grpc.health.v1.Health/Watch"
            )
            watch = call(b"", timeout=20.0)
            assert next(watch) == b"\x08\x01"
            assert health(channel) == "SERVING"
            host.process.send_signal(signal.SIGTERM)
            assert next(watch) == b"\x08\x02"
            watch.cancel()
        assert host.wait_ended() == 0


def test_a_second_signal_hastens(tmp_path: Path) -> None:
    with running_host(tmp_path / "var", ESS_DRAIN_TIMEOUT_S="60") as host:
        host.wait_ready()
        with channel_to(host.target) as channel:
            call = HeldCall(channel)
            host.process.send_signal(signal.SIGINT)
            eventually(lambda: '"stopping"' in host.output, within_s=3, what="stopping")
            assert call.ask(b"in flight") == b"in flight"
            host.process.send_signal(signal.SIGINT)
            assert host.wait_ended(within_s=5) == 0
            assert call.code() is not grpc.StatusCode.OK


def test_a_crash_looping_worker_ends_the_service_with_its_error(tmp_path: Path) -> None:
    with running_host(tmp_path / "var", TINY_CRASHES="1") as host:
        assert host.wait_ended() != 0
        assert "ess: worker-0 died 3 times before it was ready" in host.output
        assert "surfaces are corrupt" in host.output
        assert "hunter2" not in host.output
        assert (host.data_dir / "closed").exists()
        assert not (host.data_dir / "service.json").exists()


def test_a_start_has_as_long_as_its_journal_takes_to_be_read(tmp_path: Path) -> None:
    """A host whose PostgreSQL was away for hours would otherwise be ended in the middle of every start."""
    slow = {"TINY_BUILDS_FOR_S": "8", "ESS_STARTUP_TIMEOUT_S": "3"}
    with running_host(tmp_path / "none", **slow) as host:
        assert host.wait_ended(within_s=60.0) == os.EX_UNAVAILABLE
        assert "it was not ready within 3 s (ESS_STARTUP_TIMEOUT_S)" in host.output
    journal = tmp_path / "var" / "journal"
    journal.mkdir(parents=True)
    with (journal / f"{1:020}.segment").open("wb") as file:
        file.truncate(60_000_000)  # no block of it is written
    with running_host(tmp_path / "var", **slow) as host:
        host.wait_ready(within_s=60.0)
        assert "not ready within" not in host.output


def test_a_worker_that_dies_without_a_word_ends_the_service_too(tmp_path: Path) -> None:
    with running_host(tmp_path / "var", TINY_DIES="1") as host:
        assert host.wait_ended() != 0
        assert "it ended with code 7 without saying why" in host.output


def test_a_failing_preparation_is_told(tmp_path: Path) -> None:
    with running_host(tmp_path / "var", TINY_PREPARE_FAILS="1") as host:
        assert host.wait_ended() != 0
        assert "ess: the host could not be prepared: no database today" in host.output


def test_a_killed_supervisor_takes_everything_with_it_and_the_next_start_works(tmp_path: Path) -> None:
    with running_host(tmp_path / "var", ESS_WORKERS="2", ESS_HTTP_ADDRESS="127.0.0.1:0") as host:
        host.wait_ready()
        target, workers = host.target, host.about["workers"]
        host.process.kill()
        took_s = eventually(lambda: not any(map(is_alive, workers)), within_s=5, what="workers gone")
        eventually(lambda: host.pids() == [], within_s=5, what="keeper and HTTP gone")
        print(f"orphans_gone_s {took_s:.3f}")
        # The keeper drained after the last worker, not when the supervisor died.
        assert (host.data_dir / "keeper.drained").exists()
    with running_host(tmp_path / "var", ESS_GRPC_ADDRESS=target) as again:
        eventually(lambda: again.output.count("ready grpc=") == 2, within_s=15, what="ready again")
        assert answering_pid(target) in again.about["workers"]
        again.process.send_signal(signal.SIGTERM)
        assert again.wait_ended() == 0


def test_a_unix_socket_serves_one_worker(tmp_path: Path) -> None:
    with running_host(tmp_path / "var", ESS_GRPC_ADDRESS=f"unix:{tmp_path}/ess.sock") as host:
        print(f"startup_s {host.wait_ready():.3f}")
        assert answering_pid(host.target) in host.about["workers"]
        host.process.send_signal(signal.SIGTERM)
        assert host.wait_ended() == 0


def test_all_bad_settings_stop_the_start_at_once(tmp_path: Path) -> None:
    with running_host(tmp_path / "var", ESS_WORKERS="none", ESS_WORKRES="2") as host:
        assert host.wait_ended() == os.EX_CONFIG
        assert "ESS_WORKERS='none'" in host.output
        assert "ESS_WORKRES" in host.output
