"""RecommendBatch: the orders of a program trade in one call, each decided exactly as by Recommend.

Orders go through in parts of PART_ORDERS. Those alike share what is worked out before the prices, and a part's prices
are one compiled call in a thread of its own, without the interpreter's lock: meanwhile the loop writes the answers of
the part before. Every answer is a task of its own, begun in the order of the request (so two with one order id are
decided in that order, the second as a retry), and one answer a turn of the loop: calls of other gateways get their turn
between. What an order waits for (the disk, PostgreSQL) does not hold the next one up.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from engine.decide import conclude
from engine.decide_many import Sharing, price_by_snapshot
from engine.decision import Decision, Refusal
from engine.priced import Prepared, Priced
from engine.snapshot import Snapshot
from service.errors import RpcError, exhausted, invalid, malformed
from service.handlers import Asked, Call, Stages, StrategyHandlers
from service.mapping.baskets import Basket, BasketAnswer, RequestMessage, map_basket
from service.mapping.validation import MalformedMessageError

# Long enough that the two threads seldom wait for each other, short enough that the first prices come soon.
PART_ORDERS: Final = 40
# So many questions hold the loop for less time than one answer does.
QUESTIONS_A_TURN: Final = 5
# So many orders may wait for the disk at once; more would only hold memory.
MOST_WAITING: Final = 512

Write = Callable[[bytes], Awaitable[None]]


class Baskets:
    """Serves RecommendBatch. `most_baskets` at once on a worker: more would share the same two hands."""

    def __init__(
        self, handlers: StrategyHandlers, most_baskets: int, currency_of: Callable[[str], str],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self._handlers = handlers
        self._clock_ns = clock_ns
        # One: the loop is the other hand, and prices hold the lock for a moment at each end only.
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="basket-prices")
        self._most = most_baskets
        self._running = 0
        self._currency_of = currency_of

    def close(self) -> None:
        """When no basket is under way any more."""
        self._pool.shutdown(cancel_futures=True)

    async def recommend(self, data: bytes, call: Call, write: Write) -> None:
        """Writes the results in chunks, in the order of the requests, then the totals.

        INVALID_ARGUMENT for faults of the basket itself; an order's own are in its result. RESOURCE_EXHAUSTED where
        too many baskets are under way.
        """
        try:
            basket = map_basket(data)
        except MalformedMessageError as error:
            raise malformed(error) from error
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
        sharing = _Shared()
        try:
            before: _Part | None = None
            for begin in range(0, len(basket.orders), PART_ORDERS):
                part = await self._ask(basket.orders[begin : begin + PART_ORDERS], call, sharing)
                prices = self._price(part)
                if before is not None:
                    await self._conclude(before, basket, call, waiting, answer, write)
                await prices
                before = part
            if before is not None:
                await self._conclude(before, basket, call, waiting, answer, write)
            while waiting:
                await _take(waiting, answer, write)
        finally:
            for task in waiting:  # only where the call was given up; what is recorded stays
                task.cancel()
        await write(answer.last())

    async def _ask(self, orders: Sequence[RequestMessage], call: Call, sharing: _Shared) -> _Part:
        """What can be said of a part's orders before their prices; all are of one moment."""
        now_ns, part = self._clock_ns(), _Part()
        for number, order in enumerate(orders):
            try:
                asked = self._handlers.ask(order, call, now_ns)
            except RpcError as error:
                part.lines.append(error)
            else:
                found = sharing.of(asked.snapshot).prepare(asked.mapped.order)
                part.lines.append(_Line(asked, found))
            if number % QUESTIONS_A_TURN == 0:
                await asyncio.sleep(0)
        return part

    def _price(self, part: _Part) -> asyncio.Future[None]:
        """The part's prices, worked out by the other thread."""
        lines = [line for line in part.lines if isinstance(line, _Line) and isinstance(line.found, Prepared)]
        return asyncio.get_running_loop().run_in_executor(self._pool, _price_lines, lines)

    async def _conclude(
        self, part: _Part, basket: Basket, call: Call, waiting: deque[asyncio.Task[bytes]], answer: BasketAnswer,
        write: Write,
    ) -> None:  # fmt: skip
        for line in part.lines:
            waiting.append(asyncio.create_task(self._one(line, call, basket.tags)))
            await asyncio.sleep(0)
            while len(waiting) >= MOST_WAITING or (waiting and waiting[0].done()):
                await _take(waiting, answer, write)

    async def _one(self, line: _Line | RpcError, call: Call, tags: dict[str, str]) -> bytes:
        if isinstance(line, RpcError):
            raise line
        return await self._handlers.conclude(line.asked, line.decision(), call, Stages(), tags)


class _Line:
    """One order between its question and its answer."""

    __slots__ = ("asked", "found", "priced")

    def __init__(self, asked: Asked, found: Prepared | Refusal) -> None:
        self.asked = asked
        self.found = found
        self.priced: Priced | None = None

    def decision(self) -> Decision | Refusal:
        if isinstance(self.found, Refusal):
            return self.found
        assert self.priced is not None  # the part is priced before it is concluded
        return conclude(self.found, self.priced, self.asked.snapshot)


@dataclass(frozen=True, slots=True)
class _Part:
    """Orders that go through together, in their order; a refusal stands where a question ended with one."""

    lines: list[_Line | RpcError] = field(default_factory=list)


class _Shared:
    """What orders alike share; anew for every snapshot, and at most two are held (the models', and in haste)."""

    def __init__(self) -> None:
        self._known: deque[tuple[Snapshot, Sharing]] = deque(maxlen=2)

    def of(self, snapshot: Snapshot) -> Sharing:
        for known, sharing in self._known:
            if known is snapshot:
                return sharing
        self._known.append((snapshot, Sharing(snapshot)))
        return self._known[-1][1]


def _price_lines(lines: Sequence[_Line]) -> None:
    """In the other thread."""
    orders = [(line.found, line.asked.snapshot) for line in lines if isinstance(line.found, Prepared)]
    for line, priced in zip(lines, price_by_snapshot(orders), strict=True):
        line.priced = priced


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
