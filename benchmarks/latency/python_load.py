"""The load generator for where no C++ compiler is: Echo and Recommend from Python, latencies from the intended moment.

It shares the interpreter's lock with gRPC's own thread: its pauses count as the service's. Streams are left out.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np

from service.mapping.contract_messages import ECHO, RECOMMEND

SEED = 1
# BUFFERED, JOURNALED and COMMITTED as field 11 of a Recommend.
CLASSES = {"recommend": b"", "buffered": b"\x58\x01", "journaled": b"\x58\x02", "committed": b"\x58\x03"}
FIRST_ANSWER_BYTES = 4_000
# So short a block is one call.
WARM_S = 1e-6


class _Block:
    """Counts of one block; `ended` is set when nothing is under way and nothing more will be sent."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.latencies_ns: list[int] = []
        self.codes: Counter[str] = Counter()
        self.sent = self.in_time = self.latest_ns = self.under_way = 0
        self.end_ns = 0
        self.lock = threading.Condition()

    def report(self, block_s: float) -> dict[str, Any]:
        values, counts = np.unique(np.array(self.latencies_ns, dtype=np.int64), return_counts=True)
        return {
            "part": self.part, "sent": self.sent, "not_sent": 0, "in_time": self.in_time, "elapsed_s": block_s,
            "ok_per_s": self.in_time / block_s, "latest_send_us": self.latest_ns / 1e3, "codes": dict(self.codes),
            "histogram_ns": [[int(value), int(count)] for value, count in zip(values, counts, strict=True)],
        }  # fmt: skip


class _Load:
    def __init__(self, target: str, orders: Sequence[bytes], prefix: str, channels: int, deadline_s: float) -> None:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
        self.channels = [grpc.insecure_channel(target, options=options) for _ in range(channels)]
        self._recommends: list[Any] = [channel.unary_unary(RECOMMEND.path) for channel in self.channels]
        self._echoes: list[Any] = [channel.unary_unary(ECHO.path) for channel in self.channels]
        self._orders = orders
        self._prefix = prefix
        self._deadline_s = deadline_s
        self._answer_bytes = [FIRST_ANSWER_BYTES] * len(orders)
        self._turn = 0
        self._turns = threading.Lock()

    def send(self, block: _Block, kind: str, intended_ns: int, again: bool) -> None:
        with self._turns:
            self._turn += 1
            turn = self._turn
        place = turn % len(self._orders)
        order = RECOMMEND.request(order_id=f"{self._prefix}-{turn}").SerializeToString() + self._orders[place]
        if kind == "echo":
            data = ECHO.request(payload=order, response_bytes=self._answer_bytes[place]).SerializeToString()
            call = self._echoes[turn % len(self._echoes)].future(data, timeout=self._deadline_s)
        else:
            data = order + CLASSES[kind]
            call = self._recommends[turn % len(self._recommends)].future(data, timeout=self._deadline_s)
        call.add_done_callback(lambda done: self._ended(block, kind, intended_ns, place, again, done))

    def _ended(self, block: _Block, kind: str, intended_ns: int, place: int, again: bool, done: Any) -> None:
        now_ns = time.monotonic_ns()
        repeat = again and now_ns < block.end_ns
        with block.lock:
            block.codes[done.code().name] += 1
            if done.code() is grpc.StatusCode.OK:
                block.latencies_ns.append(now_ns - intended_ns)
                block.in_time += now_ns <= block.end_ns
                if kind != "echo":
                    self._answer_bytes[place] = len(done.result())
            block.sent += repeat
            block.under_way -= not repeat
            block.lock.notify_all()
        if repeat:
            self.send(block, kind, time.monotonic_ns(), again)

    def block(self, part: str, block_s: float, random: np.random.Generator) -> dict[str, Any]:
        block = _Block(part)
        kind, is_open, number = split(part)
        begun_ns = time.monotonic_ns()
        block.end_ns = begun_ns + int(block_s * 1e9)
        if is_open:
            moment_ns = begun_ns + random.exponential(1e9 / number)
            while moment_ns < block.end_ns:
                time.sleep(max(0.0, (moment_ns - time.monotonic_ns()) / 1e9))
                block.latest_ns = max(block.latest_ns, int(time.monotonic_ns() - moment_ns))
                with block.lock:
                    block.sent += 1
                    block.under_way += 1
                self.send(block, kind, int(moment_ns), again=False)
                moment_ns += random.exponential(1e9 / number)
        else:
            block.sent = block.under_way = int(number)
            for _ in range(int(number)):
                self.send(block, kind, time.monotonic_ns(), again=True)
        with block.lock:
            block.lock.wait_for(lambda: block.under_way == 0, timeout=self._deadline_s + block_s + 10.0)
        return block.report(block_s)


def split(part: str) -> tuple[str, bool, float]:
    """(kind, whether the loop is open, calls a second or calls under way)."""
    sign = "@" if "@" in part else "*"
    kind, _, number = part.partition(sign)
    if kind not in {"echo", *CLASSES}:
        raise RuntimeError(f"{part}: this generator has no streams")
    return kind, sign == "@", float(number)


def load(target: str, orders: Sequence[bytes], prefix: str, parts: Sequence[str], rounds: int, block_s: float,
         channels: int, deadline_s: float, warm_calls: int) -> dict[str, Any]:  # fmt: skip
    """The report of `blocks.measured`; every other round is backwards."""
    random = np.random.default_rng(SEED)
    made = _Load(target, orders, prefix, channels, deadline_s)
    try:
        for _ in range(warm_calls):
            for kind in ("recommend", "echo"):
                made.block(f"{kind}*1", WARM_S, random)
        order = list(parts)
        blocks = []
        for _ in range(rounds):
            blocks += [made.block(part, block_s, random) for part in order]
            order.reverse()
    finally:
        for channel in made.channels:
            channel.close()
    return {"generator": "python", "arrivals": "poisson", "blocks": blocks}
