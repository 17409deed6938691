"""How long a halt takes beside an Echo of the same service, and that nothing is decided after its answer."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from execution_strategy.v1 import admin_pb2, enums_pb2, service_pb2

from tests.helpers.live_service import ADMIN, Gateway, LiveService, live_service, order

NAME: Final = "halts"
TARGETS: Final = {"decisions_after_halt": 0}
TIMES, SHORT_TIMES = 400, 40
ROUNDS, SHORT_ROUNDS = 30, 5
SENDERS: Final = 4
# How long orders are sent before a halt and during it.
LOADED_S: Final = 0.3
CALL_S: Final = 20.0


def halt(gateway: Gateway, scope: enums_pb2.Scope, subject: str = "") -> str:
    message = admin_pb2.HaltRequest(scope=scope, subject=subject, reason="benchmark")
    reply = gateway.call("Halt", message, CALL_S, ADMIN)
    assert reply.code == "OK", reply
    return str(admin_pb2.HaltResponse.FromString(reply.data).halt_id)


def resume(gateway: Gateway, halt_id: str) -> None:
    message = admin_pb2.ResumeRequest(halt_id=halt_id, reason="benchmark")
    assert gateway.call("Resume", message, CALL_S, ADMIN).code == "OK"


@dataclass(slots=True)
class Sender:
    """A gateway that sends one order after the other; `calls` holds (begun, code, when it was decided), Unix ns."""

    target: str
    calls: list[tuple[int, str, int]] = field(default_factory=list)

    def run(self, ended: threading.Event) -> None:
        with Gateway(self.target) as gateway:
            while not ended.is_set():
                begun_ns = time.time_ns()
                reply = gateway.recommend(order(), CALL_S)
                decided_ns = reply.response.created_at.ToNanoseconds() if reply.code == "OK" else 0
                self.calls.append((begun_ns, reply.code, decided_ns))


def latencies(service: LiveService, times: int) -> tuple[list[float], list[float]]:
    """Milliseconds of halts and of Echos in turn, on one connection. Each halt is of an instrument, and is resumed."""
    halts, echos = [], []
    echo = service_pb2.EchoRequest(payload=b"x" * 100, response_bytes=100)
    with Gateway(service.target) as gateway:
        for _ in range(times):
            begun_s = time.perf_counter()
            halt_id = halt(gateway, enums_pb2.SCOPE_INSTRUMENT, "AIG")
            halts.append((time.perf_counter() - begun_s) * 1e3)
            resume(gateway, halt_id)
            begun_s = time.perf_counter()
            assert gateway.call("Echo", echo, CALL_S).code == "OK"
            echos.append((time.perf_counter() - begun_s) * 1e3)
    return halts, echos


def decided_after(service: LiveService, rounds: int) -> dict[str, int]:
    """Orders sent over several connections, to both workers, while the firm is halted and resumed again and again.
    Those that were decided although they were sent after a halt's answer and taken up before its end was asked for, by
    the service's own stamp: one that was sent before that end may be taken up, and rightly decided, after it."""
    ended, senders = threading.Event(), [Sender(service.target) for _ in range(SENDERS)]
    threads = [threading.Thread(target=one.run, args=(ended,), daemon=True) for one in senders]
    windows: list[tuple[int, int]] = []
    pause = threading.Event()
    try:
        for thread in threads:
            thread.start()
        with Gateway(service.target) as officer:
            for _ in range(rounds):
                pause.wait(LOADED_S)
                halt_id = halt(officer, enums_pb2.SCOPE_FIRM)
                begun_ns = time.time_ns()
                pause.wait(LOADED_S)
                windows.append((begun_ns, time.time_ns()))
                resume(officer, halt_id)
    finally:
        ended.set()
        for thread in threads:
            thread.join(CALL_S + 5.0)
    calls = [call for one in senders for call in one.calls]
    within = [
        code for sent_ns, code, decided_ns in calls
        if any(begun < sent_ns and (decided_ns or sent_ns) < end for begun, end in windows)
    ]  # fmt: skip
    codes = [code for _, code, _ in calls]
    return {
        "decisions_after_halt": within.count("OK"), "refused_after_halt": within.count("FAILED_PRECONDITION"),
        "decided_between_halts": codes.count("OK"), "halts_under_load": rounds,
        "other_codes": sum(code not in ("OK", "FAILED_PRECONDITION") for code in codes),
    }  # fmt: skip


def measure(short: bool, seed: int) -> dict[str, Any]:
    with live_service(ESS_WORKERS="2", ESS_ECHO="true") as service:
        halts, echos = latencies(service, SHORT_TIMES if short else TIMES)
        counts = decided_after(service, SHORT_ROUNDS if short else ROUNDS)
    return {
        "halt_p50_ms": quantile(halts, 0.5), "halt_p99_ms": quantile(halts, 0.99),
        "echo_p50_ms": quantile(echos, 0.5), "echo_p99_ms": quantile(echos, 0.99), "halts": len(halts), **counts,
    }  # fmt: skip


def quantile(values: list[float], share: float) -> float:
    return round(float(np.quantile(values, share)), 3)
