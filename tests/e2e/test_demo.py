"""The demonstration as a newcomer runs it, and what a stop in the middle of work leaves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg

from store.embedded import EmbeddedPostgres
from tests.helpers.live_service import Gateway, Reply, Response, finished, live_service, order
from tests.helpers.running_host import environment, eventually, is_alive


def mentions(path: Path) -> list[int]:
    """Living processes whose command line or environment names a path."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        if pid == os.getpid():
            continue
        try:
            text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if os.fsencode(str(path)) in text and is_alive(pid):
            found.append(pid)
    return found


def test_the_demo(short_tmp: Path) -> None:
    begun_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "demo"],
        env=environment(short_tmp / "unused", TMPDIR=str(short_tmp), COLUMNS="200"),
        capture_output=True, text=True, timeout=110, check=False, cwd=short_tmp, start_new_session=True,
    )  # fmt: skip
    took_s = time.monotonic() - begun_s
    print(f"demo {took_s:.1f} s")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert took_s < 60
    summary = re.search(
        r"(\d+) of (\d+) orders decided, (\d+) rows in PostgreSQL, service exit code 0", done.stdout
    )
    assert summary is not None
    assert int(summary[1]) == int(summary[2]) == int(summary[3]) >= 30
    assert "the same decision" in done.stdout
    assert "strategy_selections in PostgreSQL" in done.stdout
    assert "Expected cost" in done.stdout
    assert "Else" in done.stdout
    eventually(lambda: not mentions(short_tmp), within_s=5, what="nothing left running")
    assert list(short_tmp.glob("ess-demo-*")) == []
    assert not (short_tmp / "unused").exists()


def test_a_demo_that_cannot_start_says_why_and_leaves_nothing(short_tmp: Path) -> None:
    """Its service is killed before it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "demo"],
        env=environment(short_tmp / "unused", TMPDIR=str(short_tmp)),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=short_tmp, start_new_session=True,
    )  # fmt: skip
    supervisors: list[int] = []

    def started() -> bool:
        supervisors[:] = [pid for pid in mentions(short_tmp) if b"serve" in command(pid)]
        return bool(supervisors)

    eventually(started, within_s=20, what="the demo's service")
    os.kill(supervisors[0], signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "did not start" in output
    assert "Traceback" not in output
    eventually(lambda: not mentions(short_tmp), within_s=20, what="nothing left running")
    assert list(short_tmp.glob("ess-demo-*")) == []


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def kept_after(data_dir: Path) -> dict[str, bytes]:
    """order id -> response, from the database of a service that has stopped."""
    with EmbeddedPostgres(data_dir) as conninfo, psycopg.connect(conninfo) as connection:
        rows = connection.execute("SELECT order_id, response FROM strategy_selections").fetchall()
    return {order_id: bytes(response) for order_id, response in rows}


def test_a_stop_answers_what_is_in_flight_and_writes_what_was_acknowledged(short_tmp: Path) -> None:
    """PostgreSQL is made to wait, so that commits are surely in flight when the signal comes."""
    data_dir = short_tmp / "var"
    with live_service(data_dir, ESS_WORKERS="2") as service:
        clients = [Gateway(service.target) for _ in range(6)]
        answered: dict[str, bytes] = {}
        with psycopg.connect(service.conninfo) as blocker:
            blocker.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            for index in range(60):
                reply = clients[index % 6].recommend(order())
                answered[reply.response.order_id] = reply.data
            waiting = [
                clients[index % 6].start("Recommend", order(acknowledgement="COMMITTED"))
                for index in range(60)
            ]
            status = [clients[0].recommend(order()) for _ in range(2)]
            assert not any(call.done() for call in waiting)
            service.process.send_signal(signal.SIGTERM)
            refused = threading.Event()

            def closed() -> bool:
                with Gateway(service.target) as late:
                    if late.recommend(order(dry_run=True), timeout_s=1.0).code != "OK":
                        refused.set()
                return refused.is_set()

            eventually(closed, within_s=4, what="no new calls taken")
            blocker.rollback()
        replies: list[Reply] = [finished(call) for call in waiting]
        assert {reply.code for reply in replies} == {"OK"}
        assert service.process.wait(20) == 0
        for client in clients:
            client.__exit__()
        for reply in (*replies, *status):
            answered[Response.FromString(reply.data).order_id] = reply.data
    kept = kept_after(data_dir)
    assert len(answered) == 122
    assert {order_id: kept.get(order_id) for order_id in answered} == answered


def test_a_stop_under_load_loses_nothing_that_was_answered(short_tmp: Path) -> None:
    data_dir = short_tmp / "var"
    with live_service(data_dir) as service, Gateway(service.target) as one, Gateway(service.target) as two:
        calls = []
        for index in range(300):
            changes = {"acknowledgement": "COMMITTED"} if index % 2 else {}
            calls.append((one, two)[index % 3 == 0].start("Recommend", order(**changes)))
            if index == 150:
                eventually(lambda: any(call.done() for call in calls), within_s=10, what="the first answers")
                service.process.send_signal(signal.SIGTERM)
        replies = [finished(call) for call in calls]
        assert service.process.wait(20) == 0
    codes = {reply.code for reply in replies}
    assert codes <= {"OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"}, codes
    answered = {reply.response.order_id: reply.data for reply in replies if reply.code == "OK"}
    assert answered
    kept = kept_after(data_dir)
    assert {order_id: kept.get(order_id) for order_id in answered} == answered
