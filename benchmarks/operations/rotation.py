"""Certificates replaced under load, by one that the same authority signed: no call is refused, and new connections see
the new one."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from execution_strategy.v1 import service_pb2

from benchmarks.operations.common import SERVER, Guarded, guarded_service
from tests.helpers.certificates import Issued

NAME: Final = "rotation"
TARGETS: Final = {"rotation_refused": 0, "rotation_unseen": 0}
TIMES, SHORT_TIMES = 10, 2
BETWEEN_S: Final = 0.5
ECHO: Final = "/execution_strategy.v1.ExecutionStrategyService/Echo"
DATA: Final = service_pb2.EchoRequest(payload=b"x", response_bytes=8).SerializeToString()


@dataclass(slots=True)
class Caller:
    """Calls over a connection that stays, or over a new one each time."""

    guarded: Guarded
    is_new_each_time: bool
    calls: int = 0
    refused: int = 0

    def run(self, ended: threading.Event) -> None:
        channel = self.guarded.channel("gateway")
        while not ended.is_set():
            if self.is_new_each_time:
                channel.close()
                channel = self.guarded.channel("gateway")
            ask: Any = channel.unary_unary(ECHO)
            self.calls += 1
            try:
                ask(DATA, timeout=20.0)
            except grpc.RpcError:
                self.refused += 1
        channel.close()


def served(guarded: Guarded) -> bytes:
    """The certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=str(guarded.authority.certificate))
    shown = guarded.clients["gateway"]
    context.load_cert_chain(shown.certificate, shown.key)
    context.set_alpn_protocols(["h2"])
    host, _, port = guarded.service.target.rpartition(":")
    with (
        socket.create_connection((host, int(port)), 10.0) as raw,
        context.wrap_socket(raw, server_hostname=SERVER) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


def replace_files(files: Issued, other: Issued) -> None:
    """As a certificate manager does: each file whole, one after the other."""
    for target, source in ((files.certificate, other.certificate), (files.key, other.key)):
        partial = Path(f"{target}.new")
        shutil.copyfile(source, partial)
        partial.replace(target)


def measure(short: bool, seed: int) -> dict[str, Any]:
    times, unseen = SHORT_TIMES if short else TIMES, 0
    with guarded_service() as guarded:
        ended, callers = threading.Event(), [Caller(guarded, False), Caller(guarded, True)]
        threads = [threading.Thread(target=one.run, args=(ended,), daemon=True) for one in callers]
        for thread in threads:
            thread.start()
        pause = threading.Event()
        try:
            for number in range(times):
                pause.wait(BETWEEN_S)
                other = guarded.authority.issue(f"server-{number}", f"DNS:{SERVER}", "IP:127.0.0.1")
                replace_files(guarded.files, other)
                wanted = ssl.PEM_cert_to_DER_cert(other.certificate.read_text())
                unseen += served(guarded) != wanted
            pause.wait(BETWEEN_S)
        finally:
            ended.set()
            for thread in threads:
                thread.join(25.0)
    return {
        "rotation_refused": sum(one.refused for one in callers), "rotation_unseen": unseen, "rotations": times,
        "calls": sum(one.calls for one in callers), "new_connections": callers[1].calls,
    }  # fmt: skip
