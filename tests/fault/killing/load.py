"""Gateways that send orders, retry some, and note what was answered: what the checks hold the service to."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from execution_strategy.v1 import enums_pb2, response_pb2

from tests.helpers.live_service import SERVICE, order

CLASSES = ("JOURNALED", "COMMITTED", "BUFFERED")
CALL_TIMEOUT_S = 3.0
# As a sensible gateway does: a service that is away is not called a thousand times a second.
REFUSED_PAUSE_S = 0.05
# How an order is sent: once more after an answer, by two connections at once, or anew.
RETRY, TWINS = 0.15, 0.08
_CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 100),
)


@dataclass(slots=True)
class SentOrder:
    """An order and what was answered to it. `request` is sent again as it is; `rival` asks for something else."""

    order_id: str
    acknowledgement: str
    request: bytes
    rival: bytes
    # Distinct OK answers, with the request that each was given to.
    answers: dict[bytes, bytes] = field(default_factory=dict)
    is_first_answered: bool = False  # the first attempt was answered, so its place in the order of things is known

    @property
    def must_be_kept(self) -> bool:
        return bool(self.answers) and self.acknowledgement != "BUFFERED"


@dataclass(slots=True)
class Outcomes:
    """How calls ended, by class and code, and the latencies of those that were answered."""

    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[tuple[float, float]] = field(default_factory=list)  # (when, how long), for JOURNALED

    def add(self, other: Outcomes) -> None:
        self.codes += other.codes
        self.texts += other.texts
        self.latencies_ms += other.latencies_ms

    def failed(self, *but: str) -> int:
        """Calls that did not end well, of every class but the named ones. ALREADY_EXISTS answers a rival."""
        fine = ("OK", "ALREADY_EXISTS")
        return sum(n for (kind, code), n in self.codes.items() if code not in fine and kind not in but)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Weights of the classes, and the mean pause between the calls of one client."""

    weights: tuple[float, float, float] = (0.65, 0.2, 0.15)
    pause_s: float = 0.006
    retry: float = RETRY
    twins: float = TWINS
    call_timeout_s: float = CALL_TIMEOUT_S
    fixed_rate: bool = False  # calls start on a beat of `pause_s` whether or not answers are slow


class LoadClient(threading.Thread):
    """One gateway with two connections; one order at a time."""

    def __init__(self, target: str, number: int, seed: int, plan: LoadPlan) -> None:
        super().__init__(name=f"load-{number}", daemon=True)
        self._random = random.Random(seed * 1_000 + number)
        self._plan = plan
        self._channels = [grpc.insecure_channel(target, options=_CHANNEL_OPTIONS) for _ in range(2)]
        self._asks: list[Any] = [c.unary_unary(f"/{SERVICE}/Recommend") for c in self._channels]
        self._stop_asked = threading.Event()
        self._prefix = f"{seed}-{number}-{uuid.uuid4().hex[:6]}"
        self.sent: list[SentOrder] = []
        self.outcomes = Outcomes()
        self.fault: BaseException | None = None

    def stop(self) -> None:
        self._stop_asked.set()

    def run(self) -> None:
        try:
            due_s = time.monotonic()
            while not self._stop_asked.is_set():
                self._step()
                if self._plan.fixed_rate:
                    due_s = max(due_s + self._plan.pause_s, time.monotonic() - 0.25)
                    self._stop_asked.wait(max(0.0, due_s - time.monotonic()))
                else:
                    self._stop_asked.wait(self._random.expovariate(1.0 / self._plan.pause_s))
        except BaseException as error:
            self.fault = error
        finally:
            for channel in self._channels:
                channel.close()

    def _step(self) -> None:
        chance = self._random.random()
        if self.sent and chance < self._plan.retry:
            self._send(self._random.choice(self.sent[-200:]), is_first=False)
            return
        fresh = self._new_order()
        self.sent.append(fresh)
        if chance < self._plan.retry + self._plan.twins:
            self._send_twins(fresh)
        else:
            self._send(fresh, is_first=True)

    def _new_order(self) -> SentOrder:
        (kind,) = self._random.choices(CLASSES, self._plan.weights)
        order_id = f"{self._prefix}-{len(self.sent)}"
        quantity = 100 * self._random.randint(10, 900)
        fields = {"order_id": order_id, "acknowledgement": kind}
        request = order(quantity=quantity, **fields).SerializeToString()
        return SentOrder(order_id, kind, request, order(quantity=quantity + 100, **fields).SerializeToString())

    def _send(self, sent: SentOrder, is_first: bool) -> None:
        ask = self._random.choice(self._asks)
        begun_s = time.monotonic()
        try:
            answer: bytes = ask(sent.request, timeout=self._plan.call_timeout_s)
        except grpc.RpcError as error:
            self._note_failure(sent, error)
            return
        if is_first and sent.acknowledgement == "JOURNALED":
            ended_s = time.monotonic()
            self.outcomes.latencies_ms.append((ended_s, (ended_s - begun_s) * 1e3))
        sent.is_first_answered = sent.is_first_answered or is_first
        self._note_answer(sent, sent.request, answer)

    def _send_twins(self, sent: SentOrder) -> None:
        """The same order by both connections (so often by both workers), and a rival of it, all at once."""
        requests = [sent.request, sent.request, sent.rival]
        self._random.shuffle(requests)
        calls = [
            (request, self._asks[index % 2].future(request, timeout=self._plan.call_timeout_s))
            for index, request in enumerate(requests)
        ]
        for request, call in calls:
            try:
                self._note_answer(sent, request, call.result())
            except grpc.RpcError as error:
                self._note_failure(sent, error)

    def _note_answer(self, sent: SentOrder, request: bytes, answer: bytes) -> None:
        self.outcomes.codes[sent.acknowledgement, "OK"] += 1
        sent.answers.setdefault(answer, request)

    def _note_failure(self, sent: SentOrder, error: Any) -> None:
        code = error.code().name
        self.outcomes.codes[sent.acknowledgement, code] += 1
        if code == "UNAVAILABLE":
            self._stop_asked.wait(REFUSED_PAUSE_S)
        if code not in ("OK", "ALREADY_EXISTS"):
            self.outcomes.texts[f"{sent.acknowledgement} {code}: {error.details() or ''}"[:160]] += 1


class Load:
    """Several clients at once; everything that they sent stays known."""

    def __init__(self, target: str, clients: int, seed: int, plan: LoadPlan | None = None) -> None:
        self._clients = [LoadClient(target, n, seed, plan or LoadPlan()) for n in range(clients)]

    def start(self) -> None:
        for client in self._clients:
            client.start()

    def stop(self) -> None:
        for client in self._clients:
            client.stop()
        for client in self._clients:
            client.join(30.0)
            assert not client.is_alive(), f"{client.name} does not end"
        faults = [client.fault for client in self._clients if client.fault is not None]
        if faults:
            raise RuntimeError("a load client failed") from faults[0]

    @property
    def by_client(self) -> Sequence[Sequence[SentOrder]]:
        return [client.sent for client in self._clients]

    @property
    def outcomes(self) -> Outcomes:
        total = Outcomes()
        for client in self._clients:
            total.add(client.outcomes)
        return total

    @property
    def acknowledged(self) -> int:
        """Orders whose answer must be kept, so far."""
        return sum(one.must_be_kept for client in self._clients for one in tuple(client.sent))

    @property
    def answered(self) -> int:
        return sum(n for (_, code), n in self.outcomes.codes.items() if code == "OK")


@contextmanager
def load(target: str, clients: int, seed: int, plan: LoadPlan | None = None) -> Iterator[Load]:
    running = Load(target, clients, seed, plan)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def recorded(data: bytes) -> response_pb2.ExecutionStrategyResponse:
    return response_pb2.ExecutionStrategyResponse.FromString(data)


def without_class(data: bytes) -> bytes:
    """The answer as it is the same for every class that it may be asked for again under."""
    message = recorded(data)
    message.acknowledgement = enums_pb2.ACKNOWLEDGEMENT_CLASS_UNSPECIFIED
    return bytes(message.SerializeToString(deterministic=True))


def class_of(data: bytes) -> str:
    name = enums_pb2.AcknowledgementClass.Name(recorded(data).acknowledgement)
    return str(name).removeprefix("ACKNOWLEDGEMENT_CLASS_")
