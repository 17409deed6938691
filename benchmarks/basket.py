"""One RecommendBatch of 1,000 orders against 1,000 Recommend calls on one channel.

The calls are made in both ways that a gateway may make them: each after the answer to the one before, and with
IN_FLIGHT under way at once. A round makes half of each kind of calls before the basket and half after it, so that
whatever else the machine does falls on all. The speedup is the median of the rounds' ratios, its interval the
bootstrap's (95 %); the rounds' range is told beside it.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
from execution_strategy.v1 import request_pb2, response_pb2

from service.demo import closed_time
from service.mapping.contract_json import from_object

ORDERS: Final = 1_000
SHORT_ORDERS: Final = 250
ROUNDS: Final = 9
SEED: Final = 20261126
BOOTSTRAPS: Final = 2_000
# A worker lets 32 calls wait for it; half of that is never refused.
IN_FLIGHT: Final = 16
TARGET_SPEEDUP: Final = 3.0
_SERVICE: Final = "/execution_strategy.v1.ExecutionStrategyService"
_NAMES: Final = ("AIG", "AAPL", "BAC", "GE", "IBM")


class Trade:
    """Makes orders that nobody decided before."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._numbers = 0

    def fresh(self, orders: int) -> list[request_pb2.ExecutionStrategyRequest]:
        when = closed_time(time.time())
        made = []
        for _ in range(orders):
            self._numbers += 1
            message = request_pb2.ExecutionStrategyRequest()
            faults = from_object({
                "order_id": f"basket-{self._numbers:06d}", "instrument_id": _NAMES[self._numbers % len(_NAMES)],
                "side": "BUY", "quantity": 1_000 + 10 * (self._numbers % 997), "objective": "BALANCED_EXECUTION",
                "urgency": "NORMAL", "effective_time": when, "market_context": {"time_of_day": "MORNING"},
            }, message)  # fmt: skip
            if faults:
                raise ValueError(faults)
            made.append(message)
        return made

    def as_basket(self, orders: list[request_pb2.ExecutionStrategyRequest]) -> int:
        ask: Any = self._channel.unary_stream(f"{_SERVICE}/RecommendBatch")
        data = request_pb2.RecommendBatchRequest(requests=orders).SerializeToString()
        chunks = [response_pb2.RecommendBatchResponse.FromString(part) for part in ask(data, timeout=120.0)]
        return int(chunks[-1].summary.decided)

    def one_by_one(self, orders: list[request_pb2.ExecutionStrategyRequest]) -> int:
        ask: Any = self._channel.unary_unary(f"{_SERVICE}/Recommend")
        return sum(self._is_decision(ask(order.SerializeToString(), timeout=30.0)) for order in orders)

    def in_flight(self, orders: list[request_pb2.ExecutionStrategyRequest]) -> int:
        ask: Any = self._channel.unary_unary(f"{_SERVICE}/Recommend")
        under_way: deque[Any] = deque()
        decided = 0
        for order in orders:
            if len(under_way) == IN_FLIGHT:
                decided += self._is_decision(under_way.popleft().result())
            under_way.append(ask.future(order.SerializeToString(), timeout=30.0))
        return decided + sum(self._is_decision(call.result()) for call in under_way)

    def _is_decision(self, data: bytes) -> bool:
        return bool(response_pb2.ExecutionStrategyResponse.FromString(data).selection_id)


def cpu_s(worker: int) -> float:
    """CPU time of a worker's threads so far; what else the machine does is not in it."""
    total_ns = 0
    for task in Path(f"/proc/{worker}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread may end while it is looked at
            total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def measure(address: str, worker: int, short: bool) -> dict[str, Any]:
    """Seconds of each way (median of the rounds), the basket's speed over both, and the worker's CPU time an order.
    worker: its process."""
    count = SHORT_ORDERS if short else ORDERS
    options = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
    with grpc.insecure_channel(address, options=options) as channel:
        trade = Trade(channel)
        ways: dict[str, Callable[[list[request_pb2.ExecutionStrategyRequest]], int]] = {
            "batch": trade.as_basket, "one_by_one": trade.one_by_one, "in_flight": trade.in_flight,
        }  # fmt: skip
        trade.in_flight(trade.fresh(50))  # connected and warm
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            halves = ["one_by_one", "in_flight"]
            spent, worked = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
            for name in (*halves, "batch", *halves):
                orders = trade.fresh(count // 2 if name in halves else count)
                begun_s, before_s = time.perf_counter(), cpu_s(worker)
                decided = ways[name](orders)
                spent[name] += time.perf_counter() - begun_s
                worked[name] += cpu_s(worker) - before_s
                if decided != len(orders):
                    raise RuntimeError(f"{name}: {decided} of {len(orders)} orders were decided")
            for name, taken_s in spent.items():
                seconds[name].append(taken_s)
                cpu[name].append(worked[name] / count * 1e6)
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = np.array(seconds["one_by_one"]) / np.array(seconds["batch"])
    drawn = np.random.default_rng(SEED).choice(ratios, (BOOTSTRAPS, ROUNDS))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return {
        "batch_orders": count, "batch_rounds": ROUNDS,
        "batch_s": round(middle["batch"], 3), "one_by_one_s": round(middle["one_by_one"], 3),
        "in_flight_s": round(middle["in_flight"], 3),
        "batch_speedup": round(float(np.median(ratios)), 2),
        "batch_speedup_interval": [round(float(low), 2), round(float(high), 2)],
        "batch_speedup_range": [round(float(ratios.min()), 2), round(float(ratios.max()), 2)],
        "batch_speedup_over_16_in_flight": round(middle["in_flight"] / middle["batch"], 2),
        **{f"{name}_cpu_us": round(statistics.median(cpu[name])) for name in ways},
    }  # fmt: skip
