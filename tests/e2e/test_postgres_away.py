"""PostgreSQL stops answering, and then dies, under a running service."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from execution_strategy.v1 import enums_pb2, overview_pb2, replay_pb2, status_pb2
from google.protobuf.message import Message

from store.embedded import EmbeddedPostgres
from tests.helpers.command_line import ess_at
from tests.helpers.live_service import Gateway, LiveService, live_service, order
from tests.helpers.running_host import eventually, health, is_alive
from tests.helpers.urls import url_of


def parent_of(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def server_pids(postmaster: int) -> list[int]:
    """The postmaster and the processes that it started."""
    every = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return [postmaster, *(pid for pid in every if parent_of(pid) == postmaster)]


@contextlib.contextmanager
def frozen(postmaster: int) -> Iterator[None]:
    """The database neither answers nor ends."""
    pids = server_pids(postmaster)
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def count(service: LiveService, *order_ids: str) -> int:
    ((found,),) = service.rows(
        "SELECT count(*) FROM strategy_selections WHERE order_id = ANY(%s)", list(order_ids)
    )
    return int(found)


def assert_goes_on(gateway: Gateway) -> tuple[list[str], str]:
    """What holds while PostgreSQL is away; the orders answered, and the one that was not."""
    answered = []
    for _ in range(20):
        request = order()
        begun_s = time.monotonic()
        first = gateway.recommend(request)
        assert first.code == "OK"
        assert time.monotonic() - begun_s < 1.0
        assert gateway.recommend(request).data == first.data
        assert gateway.recommend(order(order_id=request.order_id, quantity=1)).code == "ALREADY_EXISTS"
        answered.append(request.order_id)
    status = gateway.call("Status", status_pb2.StatusRequest(order_id=answered[-1]))
    assert status.code == "OK"
    waits = order(acknowledgement="COMMITTED")
    for timeout_s in (1.0, 3.0):
        begun_s = time.monotonic()
        reply = gateway.recommend(waits, timeout_s=timeout_s)
        took_s = time.monotonic() - begun_s
        assert reply.code == "UNAVAILABLE", reply
        assert "commit" in reply.text
        assert 0.5 * timeout_s < took_s < timeout_s, "at the deadline, and before it"
    assert gateway.recommend(order(constraints={"price_limit": 1.0})).code == "FAILED_PRECONDITION"
    assert_says_why(gateway, "Status", status_pb2.StatusRequest(order_id="never-sent"))
    assert_says_why(gateway, "GetOrderHistory", overview_pb2.OrderHistoryRequest(order_id="never-sent"))
    assert_says_why(gateway, "Replay", replay_pb2.ReplayRequest(selection_id=str(uuid.uuid4())))
    assert health(gateway.channel) == "SERVING"
    return answered, waits.order_id


def assert_says_why(gateway: Gateway, method: str, question: Message) -> None:
    """What only PostgreSQL knows: told to be away before the caller's deadline, which would say nothing."""
    for timeout_s in (3.0, 5.0):
        reply = gateway.call(method, question, timeout_s=timeout_s)
        assert reply.code == "UNAVAILABLE", (method, timeout_s, reply)
        assert "within" in reply.text or "PostgreSQL" in reply.text, (method, timeout_s, reply)


def assert_tells_what_decides(service: LiveService) -> None:
    """`ess artifacts` says what this host knows, and of the rest that it is not known."""
    listed = ess_at(service, "artifacts", "list")
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.count("active") == 2
    assert "PostgreSQL does not answer" in listed.stdout
    back = ess_at(service, "artifacts", "rollback", "--reason", "a test")
    assert (back.returncode, "PostgreSQL does not answer" in back.stderr) == (1, True), back.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_answers_go_on_without_postgresql_and_are_caught_up(workers: str) -> None:
    with (
        live_service(ESS_WORKERS=workers, ESS_DRAIN_TIMEOUT_S="2") as service,
        Gateway(service.target) as gateway,
    ):
        before = order(acknowledgement="COMMITTED")
        old = gateway.recommend(before)
        assert old.code == "OK"
        postmaster = service.postgres_pid
        with frozen(postmaster):
            answered, waiting = assert_goes_on(gateway)
            assert gateway.recommend(before).data == old.data
            assert_tells_what_decides(service)
        eventually(lambda: count(service, *answered, waiting) == 21, within_s=15, what="all caught up")
        retry = gateway.recommend(order(order_id=waiting, acknowledgement="COMMITTED"))
        assert retry.response.acknowledgement == enums_pb2.ACKNOWLEDGEMENT_CLASS_COMMITTED
        assert count(service, waiting) == 1

        os.kill(postmaster, signal.SIGKILL)
        eventually(lambda: not is_alive(postmaster), within_s=5, what="PostgreSQL dead")
        meanwhile = order()
        assert gateway.recommend(meanwhile).code == "OK"
        eventually(lambda: kept(service, meanwhile.order_id), within_s=20, what="PostgreSQL back, and caught up")
        assert gateway.recommend(before).data == old.data
        assert gateway.recommend(order(acknowledgement="COMMITTED")).code == "OK"
        assert "the embedded PostgreSQL is back" in service.output
        assert service.terminate() == 0


def kept(service: LiveService, order_id: str) -> bool:
    """Whether the row is there; not while the database is still coming up."""
    with contextlib.suppress(psycopg.OperationalError, StopIteration, RuntimeError, AssertionError):
        return count(service, order_id) == 1
    return False


def test_a_stop_needs_no_postgresql_and_the_next_start_neither(short_tmp: Path) -> None:
    """A database of the user's own is nobody's to start again: what it lacks stays in the journal until it is back."""
    own = EmbeddedPostgres(short_tmp / "own")
    url = url_of(own.start())
    with live_service(short_tmp / "var", ESS_DATABASE_URL=url, ESS_DRAIN_TIMEOUT_S="10") as service:
        with Gateway(service.target) as gateway:
            before = order(acknowledgement="COMMITTED")
            old = gateway.recommend(before)
            assert old.code == "OK"
            os.kill(server_of(short_tmp / "own"), signal.SIGKILL)
            answered, waiting = assert_goes_on(gateway)
        begun_s = time.monotonic()
        assert service.terminate() == 0
        assert time.monotonic() - begun_s < 5.0, "it does not wait for PostgreSQL"
        assert "21 entries wait in the journal" in service.output
    own.stop()
    # Its socket is gone: the service starts, and is exact about every order from the first call on.
    with live_service(short_tmp / "var", ESS_DATABASE_URL=url) as again:
        with Gateway(again.target) as gateway:
            for order_id in (*answered, waiting):
                status = gateway.call("Status", status_pb2.StatusRequest(order_id=order_id))
                assert status.code == "OK"
                other = gateway.recommend(order(order_id=order_id, quantity=1))
                assert other.code == "ALREADY_EXISTS"
            # Whether another host had it before, only PostgreSQL could say; all else this host knows.
            assert gateway.recommend(before).code == "UNAVAILABLE"
            again_journaled = gateway.recommend(order(order_id=before.order_id, acknowledgement="JOURNALED"))
            assert again_journaled.response.selection_id == old.response.selection_id
            fresh = order()
            assert gateway.recommend(fresh).code == "OK"
            assert health(gateway.channel) == "SERVING"
            conninfo = own.start()
            wanted = [before.order_id, *answered, waiting, fresh.order_id]
            eventually(lambda: in_order(conninfo) == wanted, within_s=30, what="all caught up, in order")
        assert again.terminate() == 0
    own.stop()


def test_a_first_start_without_postgresql(short_tmp: Path) -> None:
    """Nothing was ever there: reference data come from the seed, and the database is made when it answers."""
    own = EmbeddedPostgres(short_tmp / "own")
    url = url_of(own.start())
    own.stop()
    with live_service(short_tmp / "var", ESS_DATABASE_URL=url, ESS_WORKERS="2") as service:
        with Gateway(service.target) as gateway:
            requests = [order() for _ in range(10)]
            replies = [gateway.recommend(request) for request in requests]
            assert {reply.code for reply in replies} == {"OK"}
            assert [gateway.recommend(request).data for request in requests] == [reply.data for reply in replies]
            conninfo = own.start()
            wanted = [request.order_id for request in requests]
            eventually(lambda: in_order(conninfo) == wanted, within_s=30, what="migrated and caught up")
            assert gateway.recommend(order(acknowledgement="COMMITTED")).code == "OK"
        assert service.terminate() == 0
    own.stop()


def test_a_database_that_answers_but_is_wrong_stops_the_start(short_tmp: Path) -> None:
    with EmbeddedPostgres(short_tmp / "own") as conninfo:
        url = url_of(conninfo).replace("/postgres?", "/nobodys?").replace("/ess?", "/nobodys?")
        service = LiveService(short_tmp / "var", ESS_DATABASE_URL=url)
        try:
            assert service.wait_ended(30) != 0
            assert "nobodys" in service.output
        finally:
            service.end()


def in_order(conninfo: str) -> list[str]:
    """The orders in the order of the journal; none while the database or its tables are not there."""
    with contextlib.suppress(psycopg.Error), psycopg.connect(conninfo, connect_timeout=2) as connection:
        found = connection.execute("SELECT order_id FROM strategy_selections ORDER BY sequence").fetchall()
        return [row[0] for row in found]
    return []


def server_of(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
