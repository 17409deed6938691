"""A gateway's end of `Adapt`: sends updates, and keeps what comes back."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from execution_strategy.v1 import adaptation_pb2

from tests.helpers.live_service import SERVICE, Gateway

Request = adaptation_pb2.StrategyAdaptationRequest
Answer = adaptation_pb2.StrategyAdaptation


class AdaptStream:
    """Used as a context; `read` in a thread of its own, as a gateway would."""

    def __init__(self, gateway: Gateway) -> None:
        self._sent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.answers: list[Answer] = []
        self.error: grpc.RpcError | None = None
        self._came = threading.Condition()
        call: Any = gateway.channel.stream_stream(f"/{SERVICE}/Adapt")
        self.call = call(iter(self._sent.get, None))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> AdaptStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def send(self, order_id: str, sequence: int, **update: Any) -> None:
        self._sent.put(Request(order_id=order_id, sequence=sequence, **update).SerializeToString())

    def send_bytes(self, data: bytes) -> None:
        self._sent.put(data)

    def finish(self, within_s: float = 10.0) -> None:
        self._sent.put(None)
        self._reader.join(within_s)
        self.call.cancel()

    def wait(self, holds: Callable[[Answer], bool], within_s: float = 10.0) -> Answer:
        """The first answer of which it holds."""
        deadline_s = time.monotonic() + within_s
        with self._came:
            for position in itertools.count():
                while position >= len(self.answers):
                    left_s = deadline_s - time.monotonic()
                    assert self.error is None, self.error
                    assert left_s > 0, self.answers[-3:]
                    self._came.wait(left_s)
                if holds(self.answers[position]):
                    return self.answers[position]
        raise AssertionError

    def acknowledged(self, order_id: str, sequence: int) -> Answer:
        return self.wait(lambda a: a.order_id == order_id and a.acknowledged_sequence >= sequence)

    def advices(self) -> Iterator[Answer]:
        return (answer for answer in self.answers if answer.advice_number)

    def _read(self) -> None:
        try:
            for data in self.call:
                with self._came:
                    self.answers.append(Answer.FromString(data))
                    self._came.notify_all()
        except grpc.RpcError as error:
            with self._came:
                self.error = error
                self._came.notify_all()
