"""A service whose `Adapt` a test writes: it takes numbers in turn, refuses what it is told to, and sees when what came.
Other calls go to the real service."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from execution_strategy.v1 import adaptation_pb2

from service.mapping.refusals import FREE, UNCERTAIN
from tests.helpers.native_clients import Forward

UNRECORDED = "the update could not be recorded: the disk is slow; send it again"


@dataclass
class Script:
    """Updates by what they are: "working 2" is one of 2 shares. `unrecorded`: taken, but told not to be, once.
    `faulty`: refused without using a number. delay_s: that another update is listened for before one is answered."""

    unrecorded: set[str] = field(default_factory=set)
    faulty: set[str] = field(default_factory=set)
    delay_s: float = 0.0
    came: list[tuple[int, str]] = field(default_factory=list)
    early: list[str] = field(default_factory=list)  # had another behind them before anything acknowledged them
    taken: int = 0
    epoch: int = 1

    def answer(self, update: adaptation_pb2.StrategyAdaptationRequest, what: str) -> adaptation_pb2.StrategyAdaptation:
        found = adaptation_pb2.StrategyAdaptation(order_id=update.order_id)
        if what in self.faulty:
            found.error = "working.quantity: is finer than a millionth of a share, or too large"
            found.refusals.add(sequence=update.sequence, error=found.error, number=FREE)
            return found
        if what == "resume":
            self.epoch += 1
        elif update.sequence == self.taken + 1:
            self.taken += 1
        if what in self.unrecorded:
            self.unrecorded.remove(what)
            found.error = UNRECORDED
            found.refusals.add(sequence=update.sequence, error=found.error, number=UNCERTAIN)
            return found
        found.acknowledged_sequence, found.epoch = self.taken, self.epoch
        return found


class _Scripted(Forward):
    def __init__(self, channel: grpc.Channel, script: Script) -> None:
        super().__init__(channel)
        self._script = script

    def service(self, details: Any) -> Any:
        if details.method.endswith("/Adapt"):
            return grpc.stream_stream_rpc_method_handler(self._adapt)
        return super().service(details)

    def _adapt(self, messages: Iterator[bytes], _context: Any) -> Iterator[bytes]:
        script = self._script
        read: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

        def reading() -> None:
            with contextlib.suppress(Exception):  # the client has cut the stream
                for data in messages:
                    read.put(data)
            read.put(None)

        threading.Thread(target=reading, daemon=True).start()
        behind: list[bytes | None] = []
        while (data := behind.pop() if behind else read.get()) is not None:
            update = adaptation_pb2.StrategyAdaptationRequest.FromString(data)
            kind = str(update.WhichOneof("update"))
            what = f"working {update.working.quantity:g}" if kind == "working" else kind
            script.came.append((update.sequence, what))
            with contextlib.suppress(queue.Empty):
                behind.append(read.get(timeout=script.delay_s))
            if update.sequence > script.taken and behind and behind[0] is not None:
                script.early.append(what)
            yield script.answer(update, what).SerializeToString()


@contextlib.contextmanager
def scripted_service(upstream: str, script: Script) -> Iterator[str]:
    """Its address."""
    with grpc.insecure_channel(upstream) as channel:
        server = grpc.server(ThreadPoolExecutor(16), handlers=[_Scripted(channel, script)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait(10.0)
