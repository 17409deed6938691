"""RecommendBatch: the orders of a program trade in one call, each decided exactly as by Recommend.

Every order is a task of its own, begun in the order of the request (so two with one order id are decided in that
order, the second as a retry), and one order a turn of the loop: calls of other gateways get their turn between.
What an order waits for (the disk, PostgreSQL) does not hold the next one up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from engine.decision import Fault
from service.errors import RpcError, exhausted, invalid
from service.handlers import Call, Stages, StrategyHandlers
from service.mapping.baskets import Basket, BasketAnswer, map_basket
from service.mapping.validation import MalformedMessageError

# So many orders may wait for the disk at once; more would only hold memory.
MOST_WAITING: Final = 512

Write = Callable[[bytes], Awaitable[None]]


class Baskets:
    """Serves RecommendBatch. `most_baskets` at once on a worker: more would share the same two hands."""

    def __init__(self, handlers: StrategyHandlers, most_baskets: int, currency_of: Callable[[str], str]) -> None:
        self._handlers = handlers
        self._most = most_baskets
        self._running = 0
        self._currency_of = currency_of

    async def recommend(self, data: bytes, call: Call, write: Write) -> None:
        """Writes the results in chunks, in the order of the requests, then the totals.

        INVALID_ARGUMENT for faults of the basket itself; an order's own are in its result. RESOURCE_EXHAUSTED where
        too many baskets are under way.
        """
        try:
            basket = map_basket(data)
        except MalformedMessageError as error:
            raise invalid([Fault("", str(error))]) from error
        if isinstance(basket, list):
            raise invalid(basket)
        if self._running >= self._most:
            raise exhausted(f"{self._most} baskets are under way on this worker", 200)
        self._running += 1
        try:
            await self._recommend(basket, call, write)
        finally:
            self._running -= 1

    async def _recommend(self, basket: Basket, call: Call, write: Write) -> None:
        answer = BasketAnswer(basket, self._currency_of)
        waiting: deque[asyncio.Task[bytes]] = deque()
        try:
            for order in basket.orders:
                waiting.append(
                    asyncio.create_task(self._handlers.recommend_message(order, call, Stages(), basket.tags))
                )
                await asyncio.sleep(0)
                while len(waiting) >= MOST_WAITING or (waiting and waiting[0].done()):
                    await _take(waiting, answer, write)
            while waiting:
                await _take(waiting, answer, write)
        finally:
            for task in waiting:  # only where the call was given up; what is recorded stays
                task.cancel()
        await write(answer.last())


async def _take(waiting: deque[asyncio.Task[bytes]], answer: BasketAnswer, write: Write) -> None:
    """The oldest result, and the chunk that it completes."""
    try:
        response = await waiting[0]
    except RpcError as error:
        chunk = answer.add_error(error.code.value[0], error.text, error.details)
    else:
        chunk = answer.add_response(response)
    waiting.popleft()
    if chunk is not None:
        await write(chunk)
