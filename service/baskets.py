"""RecommendBatch: the orders of a program trade in one call, each decided exactly as by Recommend.

Every order is a task of its own, begun in the order of the request (so two with one order id are decided in that
order, the second as a retry), and one order a turn of the loop: calls of other gateways get their turn between.
What an order waits for (the disk, PostgreSQL) does not hold the next one up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from math import sqrt
from typing import Final

import grpc
from execution_strategy.v1 import enums_pb2, request_pb2, response_pb2
from google.rpc import status_pb2

from engine.decision import Fault
from service.errors import RpcError, exhausted, invalid
from service.handlers import Call, Stages, StrategyHandlers, read

# The contract's bounds of RecommendBatchRequest.
MOST_ORDERS: Final = 5_000
MOST_ID_CHARACTERS: Final = 100
CHUNK_RESULTS: Final = 100
# So many orders may wait for the disk at once; more would only hold memory.
MOST_WAITING: Final = 512
# Costs of two orders correlate so much, with the sign of their sides (assumed; proto/execution_strategy/v1/README.md).
MARKET_CORRELATION: Final = 0.3
_BPS: Final = 1e4

Write = Callable[[bytes], Awaitable[None]]


class Baskets:
    """Serves RecommendBatch. `most_baskets` at once on a worker: more would share the same two hands."""

    def __init__(self, handlers: StrategyHandlers, most_baskets: int, currency_of: Callable[[str], str]) -> None:
        self._handlers = handlers
        self._most = most_baskets
        self._running = 0
        self._currency_of = currency_of

    async def recommend(self, data: bytes, call: Call, write: Write) -> None:
        """Writes the results in chunks of at most CHUNK_RESULTS, in the order of the requests, then the totals.

        INVALID_ARGUMENT for faults of the basket itself; an order's own are in its result. RESOURCE_EXHAUSTED where
        too many baskets are under way.
        """
        message = read(request_pb2.RecommendBatchRequest, data)
        if faults := _basket_faults(message):
            raise invalid(faults)
        if self._running >= self._most:
            raise exhausted(f"{self._most} baskets are under way on this worker", 200)
        self._running += 1
        try:
            await self._recommend(message, call, write)
        finally:
            self._running -= 1

    async def _recommend(self, message: request_pb2.RecommendBatchRequest, call: Call, write: Write) -> None:
        totals = _Totals()
        waiting: deque[asyncio.Task[response_pb2.BatchResult]] = deque()
        chunk = response_pb2.RecommendBatchResponse()
        tags = {"basket_id": message.basket_id} if message.basket_id else {}

        async def take() -> None:
            result = await waiting.popleft()
            totals.add(message.requests[result.index], result, self._currency_of)
            chunk.results.append(result)
            if len(chunk.results) == CHUNK_RESULTS:
                await write(chunk.SerializeToString())
                chunk.Clear()

        try:
            for index, order in enumerate(message.requests):
                waiting.append(asyncio.create_task(self._one(index, order, call, tags)))
                await asyncio.sleep(0)
                while len(waiting) >= MOST_WAITING or (waiting and waiting[0].done()):
                    await take()
            while waiting:
                await take()
        finally:
            for task in waiting:  # only where the call was given up; what is recorded stays
                task.cancel()
        chunk.summary.CopyFrom(totals.summary())
        await write(chunk.SerializeToString())

    async def _one(
        self, index: int, order: request_pb2.ExecutionStrategyRequest, call: Call, tags: dict[str, str]
    ) -> response_pb2.BatchResult:
        result = response_pb2.BatchResult(index=index, order_id=order.order_id)
        try:
            answer = await self._handlers.recommend_message(order, call, Stages(), tags)
        except RpcError as error:
            result.error.CopyFrom(_status(error))
        else:
            result.response.MergeFromString(answer)
        return result


class _Totals:
    """The basket as a whole, order by order."""

    def __init__(self) -> None:
        self._decided = self._refused = 0
        self._notional: dict[str, float] = {}
        self._lines: list[tuple[float, float, float]] = []  # notional with the side's sign, cost bps, SD bps

    def add(
        self,
        order: request_pb2.ExecutionStrategyRequest,
        result: response_pb2.BatchResult,
        currency_of: Callable[[str], str],
    ) -> None:
        if not result.HasField("response"):
            self._refused += 1
            return
        self._decided += 1
        outcomes = result.response.expected_outcomes
        notional = order.quantity * result.response.resolved_inputs.mid_price
        currency = currency_of(order.instrument_id)
        self._notional[currency] = self._notional.get(currency, 0.0) + notional
        sign = 1.0 if order.side == enums_pb2.ORDER_SIDE_BUY else -1.0
        self._lines.append(
            (sign * notional, outcomes.estimated_cost * _BPS, outcomes.cost_standard_deviation * _BPS)
        )

    def summary(self) -> response_pb2.BasketSummary:
        # Without exchange rates nothing weighs one currency against another.
        cost, deviation = basket_risk(self._lines) if len(self._notional) == 1 else (0.0, 0.0)
        return response_pb2.BasketSummary(
            decided=self._decided,
            refused=self._refused,
            notional=self._notional,
            expected_cost_bps=cost,
            standard_deviation_bps=deviation,
        )


def basket_risk(lines: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Expected cost and its standard deviation of a basket, both in bps of its notional, from (notional with the sign
    of the side, expected cost in bps, standard deviation in bps) of each order; zeros for an empty basket.

    With s an order's standard deviation times its share and d its sign: SD^2 = (1 - c) sum(s^2) + c (sum(d s))^2.
    """
    total = sum(abs(notional) for notional, _, _ in lines)
    if total <= 0.0:
        return 0.0, 0.0
    cost = sum(abs(notional) * cost for notional, cost, _ in lines) / total
    signed = [notional / total * deviation for notional, _, deviation in lines]
    common, alone = sum(signed) ** 2, sum(one * one for one in signed)
    return cost, sqrt((1.0 - MARKET_CORRELATION) * alone + MARKET_CORRELATION * common)


def _basket_faults(message: request_pb2.RecommendBatchRequest) -> list[Fault]:
    """Of the basket itself; its orders are checked one by one, so that one fault does not stop the others."""
    faults: list[Fault] = []
    count = len(message.requests)
    if not 1 <= count <= MOST_ORDERS:
        faults.append(Fault("requests", f"a basket has 1 to {MOST_ORDERS} orders, not {count}"))
    if len(message.basket_id) > MOST_ID_CHARACTERS:
        faults.append(Fault("basket_id", f"at most {MOST_ID_CHARACTERS} characters, not {len(message.basket_id)}"))
    return faults


def _status(error: RpcError) -> status_pb2.Status:
    """What Recommend would have ended with, details and all."""
    if error.details:
        return status_pb2.Status.FromString(error.details)
    code: grpc.StatusCode = error.code
    return status_pb2.Status(code=code.value[0], message=error.text)
