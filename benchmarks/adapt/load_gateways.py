"""Gateways with thousands of open orders on streams: they send on a beat whatever comes back, send again what was not
acknowledged, and resume where a stream broke."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from execution_strategy.v1 import response_pb2, service_pb2, status_pb2

from benchmarks.adapt.load_orders import Answer, GatewayOrder, instruments, kept, order_message
from tests.helpers.live_service import SERVICE

_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 200),
    # As docs/order-life.md asks of gateways: a dead connection is noticed without traffic.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
# What an update was refused for a moment is sent again after so long; one that nobody answers at all much later, since
# sending more to who is slow already makes it slower.
LOOK_AGAIN_S = 0.25
AGAIN_AFTER_S = 20.0
CALLS_AT_ONCE = 24
CALL_TIMEOUT_S = 20.0
BACK_WITHIN_S = 60.0
Status = status_pb2.StrategyExecutionStatus


@dataclass(slots=True)
class Tally:
    """What happened on the streams. Latencies in seconds, from when an update should have been sent, and from when it
    was written."""

    from_due_s: list[float] = field(default_factory=list)
    from_written_s: list[float] = field(default_factory=list)
    answers: int = 0
    repeats: int = 0
    reconnections: int = 0
    errors: Counter[str] = field(default_factory=Counter)


def channel_to(target: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(target, options=_OPTIONS)


class Gateway:
    """One stream over a connection of its own, with its orders."""

    def __init__(self, target: str, orders: Sequence[GatewayOrder], seed: int, tally: Tally) -> None:
        self._target = target
        self._orders = orders
        self._by_id = {order.order_id: order for order in orders}
        self._chance = random.Random(seed)
        self._tally = tally
        self._call: Any = None
        self._sent = self._done = 0
        self._refused: set[str] = set()
        self._is_open = asyncio.Event()
        self._writing = asyncio.Lock()  # gRPC takes one message of a call at a time
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, resumes: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._stay(resumes)), loop.create_task(self._again())]

    async def stop(self) -> None:
        if self._call is not None:
            with suppress(Exception):
                await self._call.done_writing()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def unacknowledged(self) -> int:
        return self._sent - self._done

    def has(self, number: int) -> bool:
        """Whether there is an order of its own for this number."""
        return number < len(self._orders)

    async def amend(self, number: int) -> None:
        """An update that is answered with an advice."""
        await self.send(number, time.perf_counter(), "amend")

    def forget_latencies(self) -> None:
        self._tally.from_due_s.clear()
        self._tally.from_written_s.clear()

    async def send(self, number: int, due_s: float, kind: str = "") -> None:
        """The gateway's update of this number, whichever order's turn it is; of any kind unless one is given."""
        order = self._orders[number % len(self._orders)]
        data = order.next_update(self._chance, kind).SerializeToString()
        order.noted(data, due_s, time.perf_counter())
        self._sent += 1
        await self._write(data)

    async def _write(self, data: bytes) -> None:
        """What cannot be written now is sent again later: it stays unacknowledged."""
        if self._is_open.is_set():
            with suppress(grpc.RpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
                async with self._writing:
                    await self._call.write(data)

    async def _stay(self, resumes: bool) -> None:
        while True:
            async with channel_to(self._target) as channel:
                make: Any = channel.stream_stream(f"/{SERVICE}/Adapt")
                self._call = make()
                try:
                    if resumes:
                        await self._resume()
                    self._is_open.set()
                    async for data in self._call:
                        self._take(Answer.FromString(data))
                except (grpc.RpcError, asyncio.InvalidStateError, grpc.aio.UsageError) as error:
                    self._tally.errors[code_of(error)] += 1
                self._is_open.clear()
            resumes = True
            self._tally.reconnections += 1
            await asyncio.sleep(0.1)

    def _take(self, answer: Answer) -> None:
        now_s = time.perf_counter()
        tally = self._tally
        tally.answers += 1
        if answer.error:
            tally.errors[answer.error[:100]] += 1
            self._refused.add(answer.order_id)
        order = self._by_id.get(answer.order_id)
        if order is None:
            return
        for sent in order.answered(answer):
            self._done += 1
            tally.from_due_s.append(now_s - sent.due_s)
            tally.from_written_s.append(now_s - sent.written_s)

    async def _again(self) -> None:
        """Sends again what could not be recorded, and what nobody answered."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            refused, self._refused = self._refused, set()
            now_s = time.perf_counter()
            for order in self._orders:
                first = next(iter(order.pending.values()), None)
                late = first is not None and now_s - max(first.written_s, order.repeated_s) > AGAIN_AFTER_S
                if late or order.order_id in refused:
                    order.repeated_s = now_s
                    self._tally.repeats += len(order.pending)
                    await self._send_pending(order)

    async def _send_pending(self, order: GatewayOrder) -> None:
        for sent in tuple(order.pending.values()):
            await self._write(sent.data)

    async def _resume(self) -> None:
        """Every order's own view, and after it what the service may not have taken."""
        async with self._writing:
            for order in self._orders:
                resume, pending = order.resume(), tuple(order.pending.values())
                for data in (resume.SerializeToString(), *(sent.data for sent in pending)):
                    await self._call.write(data)


def code_of(error: BaseException) -> str:
    return str(error.code().name) if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__


async def beat(gateways: Sequence[Gateway], updates: int, rate: float) -> None:
    """So many updates at that rate, spread over the gateways; each has its moment whether or not others are late."""
    start_s = time.perf_counter() + 0.05

    async def one(place: int, gateway: Gateway) -> None:
        for number in range(place, updates, len(gateways)):
            due_s = start_s + number / rate
            ahead_s = due_s - time.perf_counter()
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)
            await gateway.send(number // len(gateways), due_s)

    await asyncio.gather(*(one(place, gateway) for place, gateway in enumerate(gateways)))


async def echoes(target: str, count: int, rate: float, connections: int) -> list[float]:
    """Calls of the null baseline, each at its moment, over so many connections; seconds from that moment."""
    channels = [channel_to(target) for _ in range(connections)]
    message = service_pb2.EchoRequest(payload=b"x" * 60, response_bytes=120).SerializeToString()
    start_s = time.perf_counter() + 0.05
    took_s: list[float] = []

    async def one(place: int) -> None:
        ask: Any = channels[place].unary_unary(f"/{SERVICE}/Echo")
        for number in range(place, count, connections):
            due_s = start_s + number / rate
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            await ask(message, timeout=CALL_TIMEOUT_S)
            took_s.append(time.perf_counter() - due_s)

    try:
        await asyncio.gather(*(one(place) for place in range(connections)))
    finally:
        for channel in channels:
            await channel.close()
    return took_s


async def all_acknowledged(gateways: Sequence[Gateway], within_s: float, most_left: int = 0) -> int:
    """Waits until no more than so many are not acknowledged; how many those are."""
    deadline_s = time.perf_counter() + within_s
    while True:
        left = sum(gateway.unacknowledged for gateway in gateways)
        if left <= most_left or time.perf_counter() > deadline_s:
            return left
        await asyncio.sleep(0.05)


async def opened(target: str, count: int, connections: int = 4) -> list[GatewayOrder]:
    """So many orders, each decided by the service."""
    names, prefix = instruments(), uuid.uuid4().hex[:8]
    channels = [channel_to(target) for _ in range(connections)]
    asks: list[Any] = [channel.unary_unary(f"/{SERVICE}/Recommend") for channel in channels]
    found: list[GatewayOrder] = []
    numbers = iter(range(count))

    async def one(ask: Any) -> None:
        for number in numbers:
            message = order_message(f"load-{prefix}-{number}", number, names)
            data = await ask(message.SerializeToString(), timeout=CALL_TIMEOUT_S)
            response = response_pb2.ExecutionStrategyResponse.FromString(data)
            found.append(kept(response, names[number % len(names)][1]))

    try:
        await asyncio.gather(*(one(asks[n % connections]) for n in range(CALLS_AT_ONCE)))
    finally:
        for channel in channels:
            await channel.close()
    return found


async def _answered(ask: Any, question: status_pb2.StatusRequest) -> bytes:
    """The answer, however often a service that is just coming back has to be asked."""
    deadline_s = time.perf_counter() + BACK_WITHIN_S
    while True:
        try:
            answer: bytes = await ask(question.SerializeToString(), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or time.perf_counter() > deadline_s:
                raise
            await asyncio.sleep(0.05)
        else:
            return answer


async def statuses(target: str, orders: Iterable[GatewayOrder]) -> dict[str, Status]:
    """What the service says of each order, without the ages, which pass by themselves."""
    found: dict[str, Status] = {}
    waiting = iter(tuple(orders))
    async with channel_to(target) as channel:
        ask: Any = channel.unary_unary(f"/{SERVICE}/Status")

        async def one() -> None:
            for order in waiting:
                status = Status.FromString(await _answered(ask, status_pb2.StatusRequest(order_id=order.order_id)))
                for name in ("update_age_seconds", "market_data_age_seconds", "scheduled_fraction"):
                    status.ClearField(name)
                found[order.order_id] = status

        await asyncio.gather(*(one() for _ in range(CALLS_AT_ONCE)))
    return found
