"""The service for a program on an event loop. The same calls as `client.Client`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, MutableMapping
from datetime import date
from types import TracebackType
from typing import Any

import grpc
from execution_strategy.v1 import status_pb2

from clients.python import messages
from clients.python.adapt_session_aio import AsyncAdaptSession
from clients.python.channel import ChannelSettings, open_async_channel
from clients.python.client import settings_of, stub_of
from clients.python.errors import error_of, is_worth_resuming
from clients.python.messages import (
    Basket,
    Decision,
    Event,
    Order,
    OrderStatus,
    Outcome,
    OutcomeReceipt,
    PerformanceReport,
)


class AsyncClient:
    """Made on the loop that uses it. Calls raise `errors.ServiceError` and its kinds."""

    def __init__(self, address: str | None = None, settings: ChannelSettings | None = None) -> None:
        """`address` instead of that of the settings."""
        self.settings = settings_of(address, settings)
        self._channel = open_async_channel(self.settings)
        self._stub = stub_of(self._channel)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

    async def recommend(self, order: Order, timeout_s: float | None = None) -> Decision:
        """Decides one order. The same order again gives the same decision."""
        decision: Decision = await self._call(self._stub.Recommend, order, timeout_s)
        return decision

    async def recommend_batch(
        self, orders: Iterable[Order], basket_id: str = "", timeout_s: float | None = None
    ) -> Basket:
        """Decides a program trade: see `client.Client.recommend_batch`."""
        limit_s = self.settings.report_timeout_s if timeout_s is None else timeout_s
        reader = messages.BasketReader()
        try:
            async for chunk in self._stub.RecommendBatch(
                messages.basket_request(orders, basket_id), timeout=limit_s, metadata=self.settings.metadata,
                wait_for_ready=self.settings.wait_for_ready,
            ):  # fmt: skip
                reader.take(chunk)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        return reader.basket()

    async def status(self, order_id: str, timeout_s: float | None = None) -> OrderStatus:
        request = status_pb2.StatusRequest(order_id=order_id)
        status: OrderStatus = await self._call(self._stub.Status, request, timeout_s)
        return status

    async def report_outcome(
        self, order_id: str, outcome: Outcome, selection_id: str = "", timeout_s: float | None = None
    ) -> OutcomeReceipt:
        """How an order ended. Written once: the same again is answered, another is AlreadyExists."""
        request = messages.outcome_request(order_id, outcome, selection_id)
        receipt: OutcomeReceipt = await self._call(self._stub.ReportOutcome, request, timeout_s)
        return receipt

    async def performance(
        self, first: date, last: date, algorithm: str = "", timeout_s: float | None = None
    ) -> PerformanceReport:
        """How strategies did between two days, UTC, both included."""
        request = messages.performance_request(first, last, algorithm)
        limit_s = self.settings.report_timeout_s if timeout_s is None else timeout_s
        report: PerformanceReport = await self._call(self._stub.Performance, request, limit_s)
        return report

    def adapt(self) -> AsyncAdaptSession:
        """A session for orders under way, resumed after every cut. Use it with `async with`."""
        return AsyncAdaptSession(self._stub, self.settings.backoff, tuple(self.settings.metadata))

    async def stream_events(
        self, cursors: MutableMapping[str, int] | None = None, *, from_now: bool = False, heartbeat_s: int = 15,
        with_heartbeats: bool = False,
    ) -> AsyncIterator[Event]:  # fmt: skip
        """Events for ever, at least once, resumed after every cut: see `client.Client.stream_events`."""
        seen: MutableMapping[str, int] = {} if cursors is None else cursors
        failures = 0
        while True:
            request = messages.events_request(seen, from_now, heartbeat_s)
            try:
                async for event in self._stub.StreamEvents(
                    request, metadata=self.settings.metadata, wait_for_ready=True
                ):
                    failures = 0
                    is_heartbeat = event.WhichOneof("payload") == "heartbeat"
                    if with_heartbeats or not is_heartbeat:
                        yield event
                    if event.cursor.journal_id:
                        seen[event.cursor.journal_id] = event.cursor.sequence
            except grpc.aio.AioRpcError as error:
                if not is_worth_resuming(error):
                    raise error_of(error) from error
            failures += 1
            await asyncio.sleep(self.settings.backoff.delay_s(failures, random.random()))

    async def _call(self, method: Any, request: Any, timeout_s: float | None) -> Any:
        limit_s = self.settings.timeout_s if timeout_s is None else timeout_s
        try:
            return await method(
                request, timeout=limit_s, metadata=self.settings.metadata, wait_for_ready=self.settings.wait_for_ready
            )
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
