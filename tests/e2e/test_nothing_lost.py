"""What was acknowledged as JOURNALED is there after whatever died, and the same bytes are given again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest
from execution_strategy.v1 import enums_pb2, status_pb2

from store.embedded import EmbeddedPostgres
from tests.helpers.live_service import Gateway, LiveService, Reply, Request, live_service, order
from tests.helpers.running_host import eventually, health, is_alive
from tests.helpers.urls import url_of

JOURNALED = enums_pb2.ACKNOWLEDGEMENT_CLASS_JOURNALED


def pid_of(service: LiveService, name: str) -> int:
    """Of the newest process of this name that the supervisor started."""
    lines = [json.loads(line) for line in service.output.splitlines() if line.startswith("{")]
    started = [line for line in lines if line.get("event") == "process started" and line["name"] == name]
    return int(started[-1]["pid"])


def ask(service: LiveService, message: Request, timeout_s: float = 10.0) -> Reply:
    """On a connection of its own, so that any worker may get it."""
    with Gateway(service.target) as client:
        return client.recommend(message, timeout_s)


def ask_status(service: LiveService, order_id: str) -> Reply:
    """On a connection of its own too."""
    with Gateway(service.target) as client:
        return client.call("Status", status_pb2.StatusRequest(order_id=order_id))


def kill_worker(service: LiveService) -> None:
    for victim in service.about["workers"]:
        os.kill(victim, signal.SIGKILL)


def kill_keeper(service: LiveService) -> None:
    os.kill(pid_of(service, "keeper"), signal.SIGKILL)


def kill_supervisor(service: LiveService) -> None:
    service.process.kill()


def kill_all(service: LiveService) -> None:
    os.killpg(service.process.pid, signal.SIGKILL)


def answers_of(service: LiveService, requests: list[Request]) -> list[Reply]:
    replies = [ask(service, message) for message in requests]
    assert {reply.code for reply in replies} == {"OK"}
    assert {reply.response.acknowledgement for reply in replies} == {JOURNALED}
    return replies


def test_journaled_decisions_survive_killed_workers_and_keepers() -> None:
    requests: list[Request] = []
    replies: list[Reply] = []
    with live_service(ESS_WORKERS="2", ESS_DRAIN_BATCH_MS="500") as service:
        for kill in (kill_worker, kill_keeper):
            requests += (fresh := [order() for _ in range(20)])
            replies += answers_of(service, fresh)
            kill(service)  # right after the last answer
            check(service, requests, replies)


@pytest.mark.parametrize("kill", [kill_supervisor, kill_all])
def test_journaled_decisions_survive_a_killed_service(
    short_tmp: Path, kill: Callable[[LiveService], None]
) -> None:
    requests = [order() for _ in range(20)]
    with live_service(short_tmp / "var", ESS_WORKERS="2", ESS_DRAIN_BATCH_MS="500") as service:
        replies = answers_of(service, requests)
        kill(service)
        eventually(lambda: not service.pids(), within_s=20, what="everything gone")
    (short_tmp / "var" / "service.json").unlink()  # what the dead one left: the next is ready when its own is there
    with live_service(short_tmp / "var", ESS_WORKERS="2") as again:
        check(again, requests, replies)


def check(service: LiveService, requests: list[Request], replies: list[Reply]) -> None:
    for message, reply in zip(requests, replies, strict=True):
        assert answered(partial(ask, service, message)).data == reply.data
        found = answered(partial(ask_status, service, message.order_id))
        assert status_pb2.StrategyExecutionStatus.FromString(found.data).current == reply.response
        answered(partial(ask, service, order(order_id=message.order_id, quantity=1)), "ALREADY_EXISTS")
    wanted = {message.order_id: reply.data for message, reply in zip(requests, replies, strict=True)}
    eventually(lambda: stored(service) == wanted, within_s=30, what="every row, once, with the very bytes")


def stored(service: LiveService) -> dict[str, bytes]:
    with contextlib.suppress(psycopg.OperationalError):
        rows = service.rows("SELECT order_id, response FROM strategy_selections")
        assert len(rows) == len({row[0] for row in rows})
        return {row[0]: bytes(row[1]) for row in rows}
    return {}


def answered(call: Callable[[], Reply], code: str = "OK") -> Reply:
    """As gateways do: again while a process is away. One worker may be back some milliseconds before the other, so
    an answer to one call says nothing of the next, on a connection of its own."""
    found: list[Reply] = []

    def is_answered() -> bool:
        found.append(call())
        assert found[-1].code in {code, "UNAVAILABLE"}, found[-1]
        return found[-1].code == code

    eventually(is_answered, within_s=30, what="an answer")
    return found[-1]


def stand_by_more_often(service: LiveService, times: int) -> bool:
    return service.output.count("a keeper stands by") > times


def test_a_killed_keeper_is_back_in_under_a_second() -> None:
    with live_service(ESS_WORKERS="2") as service, Gateway(service.target) as gateway:
        before = order()
        old = gateway.recommend(before)
        took_s: list[float] = []
        for number in range(3):
            eventually(
                partial(stand_by_more_often, service, number),
                within_s=20,
                what="another one stands by",
            )
            victim = pid_of(service, "keeper")
            os.kill(victim, signal.SIGKILL)
            begun_s = time.monotonic()
            codes = []
            while (reply := gateway.recommend(order(), timeout_s=2.0)).code != "OK":
                codes.append(reply.code)
                assert time.monotonic() - begun_s < 20
            took_s.append(time.monotonic() - begun_s)
            assert set(codes) <= {"UNAVAILABLE"}
            assert not is_alive(victim)
            assert gateway.recommend(before).data == old.data
            assert gateway.recommend(order(order_id=before.order_id, quantity=1)).code == "ALREADY_EXISTS"
            eventually(lambda: health(gateway.channel) == "SERVING", within_s=2, what="SERVING again")
        print("keeper_restart_s", [round(value, 3) for value in took_s])
        # The best of three: other programs of this machine are not measured.
        assert min(took_s) < 1.0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_journal_refuses_and_is_back_by_itself(short_tmp: Path, workers: str) -> None:
    own = EmbeddedPostgres(short_tmp / "own")
    url = url_of(own.start())
    limits = {"ESS_JOURNAL_MAX_BYTES": "1048576", "ESS_JOURNAL_SEGMENT_BYTES": "1048576", "ESS_WORKERS": workers}
    with live_service(short_tmp / "var", ESS_DATABASE_URL=url, ESS_HTTP_ADDRESS="127.0.0.1:0", **limits) as service:
        with Gateway(service.target) as gateway:
            own.stop()
            taken: list[Request] = []
            answers: list[Reply] = []
            while (reply := gateway.recommend(message := order(acknowledgement="JOURNALED"))).code == "OK":
                taken.append(message)
                answers.append(reply)
                assert len(taken) < 2_000
            assert reply.code == "RESOURCE_EXHAUSTED", reply
            for name in ("BUFFERED", "JOURNALED", "COMMITTED"):
                assert gateway.recommend(order(acknowledgement=name)).code == "RESOURCE_EXHAUSTED"
            eventually(lambda: health(gateway.channel) == "NOT_SERVING", within_s=2, what="NOT_SERVING")
            assert service.http("/readyz")[0] == 503
            # What was decided is answered all the same.
            assert gateway.recommend(taken[0]).data == answers[0].data
            assert gateway.recommend(order(order_id=taken[0].order_id, quantity=1)).code == "ALREADY_EXISTS"
            refused = message
            conninfo = own.start()
            eventually(lambda: health(gateway.channel) == "SERVING", within_s=30, what="SERVING by itself")
            eventually(lambda: service.http("/readyz")[0] == 200, within_s=5, what="/readyz")
            assert gateway.recommend(refused).code == "OK"
            wanted = len(taken) + 1
            eventually(lambda: count(conninfo) == wanted, within_s=30, what="nothing dropped")
        assert service.terminate() == 0
    own.stop()


def count(conninfo: str) -> int:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(conninfo) as connection:
        row = connection.execute("SELECT count(*) FROM strategy_selections").fetchone()
        return int(row[0]) if row else 0
    return -1


def test_a_damaged_journal_stops_the_start_and_says_where(short_tmp: Path) -> None:
    with live_service(short_tmp / "var") as service:
        for _ in range(10):
            assert ask(service, order()).code == "OK"
        service.process.kill()
        eventually(lambda: not service.pids(), within_s=20, what="everything gone")
    (segment,) = (short_tmp / "var" / "journal").glob("*.segment")
    data = bytearray(segment.read_bytes())
    data[9_000] ^= 1
    segment.write_bytes(data)
    damaged = LiveService(short_tmp / "var")
    try:
        assert damaged.wait_ended(90) != 0
        assert segment.name in damaged.output
        assert "entry" in damaged.output
        assert "docs/journal.md" in damaged.output
    finally:
        damaged.end()


def test_status_sees_a_decision_at_once_on_every_worker(live_two: LiveService) -> None:
    clients = [Gateway(live_two.target) for _ in range(12)]
    for name in ("BUFFERED", "JOURNALED"):
        for index in range(12):
            message = order(acknowledgement=name)
            reply = clients[index].recommend(message)
            for client in clients:
                found = client.call("Status", status_pb2.StatusRequest(order_id=message.order_id))
                assert status_pb2.StrategyExecutionStatus.FromString(found.data).current == reply.response
    for client in clients:
        client.__exit__()


def test_orders_at_both_workers_while_the_keeper_is_killed_stay_exact(short_tmp: Path) -> None:
    """Each order is sent by two gateways with different requests, again and again, until it is answered."""
    with live_service(short_tmp / "var", ESS_WORKERS="2") as service:
        winners: dict[str, set[bytes]] = {}
        guard = threading.Lock()

        def send(quantity: int) -> None:
            with Gateway(service.target) as client:
                for number in range(60):
                    message = order(order_id=f"race-{number}", quantity=quantity)
                    while (reply := client.recommend(message)).code == "UNAVAILABLE":
                        threading.Event().wait(0.005)
                    assert reply.code in {"OK", "ALREADY_EXISTS"}, reply
                    if reply.code == "OK":
                        with guard:
                            winners.setdefault(message.order_id, set()).add(reply.data)

        senders = [threading.Thread(target=send, args=(1_000 + index,)) for index in range(4)]
        for sender in senders:
            sender.start()
        for _ in range(3):
            threading.Event().wait(0.4)
            kill_keeper(service)
            eventually(lambda: ask(service, order()).code == "OK", within_s=20, what="the keeper is back")
        for sender in senders:
            sender.join(60)
        assert sorted(winners) == sorted(f"race-{number}" for number in range(60))
        assert {len(found) for found in winners.values()} == {1}, "two answers for one order"
        wanted = {order_id: next(iter(found)) for order_id, found in winners.items()}
        eventually(
            lambda: {name: data for name, data in stored(service).items() if name.startswith("race-")} == wanted,
            within_s=30,
            what="each decision is the one that was answered",
        )
