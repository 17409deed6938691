"""The service for a program that waits for its answers. One channel; for any thread."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import replace
from datetime import date
from types import TracebackType
from typing import Any

import grpc
from execution_strategy.v1 import service_pb2_grpc, status_pb2

from clients.python import messages
from clients.python.adapt_session import AdaptSession
from clients.python.channel import ChannelSettings, open_channel
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


class Client:
    """Calls raise `errors.ServiceError` and its kinds. Close it, or use it as a context manager."""

    def __init__(self, address: str | None = None, settings: ChannelSettings | None = None) -> None:
        """`address` instead of that of the settings."""
        self.settings = settings_of(address, settings)
        self._channel = open_channel(self.settings)
        self._stub = stub_of(self._channel)
        self._closed = threading.Event()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._closed.set()
        self._channel.close()

    def recommend(self, order: Order, timeout_s: float | None = None) -> Decision:
        """Decides one order. The same order again gives the same decision."""
        decision: Decision = self._call(self._stub.Recommend, order, timeout_s)
        return decision

    def recommend_batch(
        self, orders: Iterable[Order], basket_id: str = "", timeout_s: float | None = None
    ) -> Basket:
        """Decides a program trade, at most 5,000 orders, each as `recommend` would. One that is refused does not stop
        the others: its `ServiceError` stands in its place. Raises only for the basket as a whole."""
        limit_s = self.settings.report_timeout_s if timeout_s is None else timeout_s
        reader = messages.BasketReader()
        try:
            for chunk in self._stub.RecommendBatch(
                messages.basket_request(orders, basket_id), timeout=limit_s, metadata=self.settings.metadata,
                wait_for_ready=self.settings.wait_for_ready,
            ):  # fmt: skip
                reader.take(chunk)
        except grpc.RpcError as error:
            raise error_of(error) from error
        return reader.basket()

    def status(self, order_id: str, timeout_s: float | None = None) -> OrderStatus:
        status: OrderStatus = self._call(self._stub.Status, status_pb2.StatusRequest(order_id=order_id), timeout_s)
        return status

    def report_outcome(
        self, order_id: str, outcome: Outcome, selection_id: str = "", timeout_s: float | None = None
    ) -> OutcomeReceipt:
        """How an order ended. Written once: the same again is answered, another is AlreadyExists."""
        request = messages.outcome_request(order_id, outcome, selection_id)
        receipt: OutcomeReceipt = self._call(self._stub.ReportOutcome, request, timeout_s)
        return receipt

    def performance(
        self, first: date, last: date, algorithm: str = "", timeout_s: float | None = None
    ) -> PerformanceReport:
        """How strategies did between two days, UTC, both included."""
        request = messages.performance_request(first, last, algorithm)
        limit_s = self.settings.report_timeout_s if timeout_s is None else timeout_s
        report: PerformanceReport = self._call(self._stub.Performance, request, limit_s)
        return report

    def adapt(self) -> AdaptSession:
        """A session for orders under way, resumed after every cut."""
        return AdaptSession(self._stub, self.settings.backoff, tuple(self.settings.metadata))

    def stream_events(
        self, cursors: MutableMapping[str, int] | None = None, *, from_now: bool = False, heartbeat_s: int = 15,
        with_heartbeats: bool = False,
    ) -> Iterator[Event]:  # fmt: skip
        """Events for ever, at least once, resumed after every cut.

        `cursors` (journal to sequence) are yours to keep: one moves when the next event is asked for, that is after
        you have handled the one before. With `from_now` journals that are not in them begin where they are at each
        connection. Other statuses than UNAVAILABLE and RESOURCE_EXHAUSTED are raised.
        """
        seen: MutableMapping[str, int] = {} if cursors is None else cursors
        failures = 0
        while not self._closed.is_set():
            request = messages.events_request(seen, from_now, heartbeat_s)
            try:
                for event in self._stub.StreamEvents(
                    request, metadata=self.settings.metadata, wait_for_ready=True
                ):
                    failures = 0
                    is_heartbeat = event.WhichOneof("payload") == "heartbeat"
                    if with_heartbeats or not is_heartbeat:
                        yield event
                    if event.cursor.journal_id:
                        seen[event.cursor.journal_id] = event.cursor.sequence
            except grpc.RpcError as error:
                if self._closed.is_set():
                    return
                if not is_worth_resuming(error):
                    raise error_of(error) from error
            failures += 1
            self._closed.wait(self.settings.backoff.delay_s(failures, random.random()))

    def _call(self, method: Any, request: Any, timeout_s: float | None) -> Any:
        limit_s = self.settings.timeout_s if timeout_s is None else timeout_s
        try:
            return method(
                request, timeout=limit_s, metadata=self.settings.metadata, wait_for_ready=self.settings.wait_for_ready
            )
        except grpc.RpcError as error:
            raise error_of(error) from error


def stub_of(channel: Any) -> Any:
    """The generated stub, whose code has no types."""
    make: Any = service_pb2_grpc.ExecutionStrategyServiceStub
    return make(channel)


def settings_of(address: str | None, settings: ChannelSettings | None) -> ChannelSettings:
    found = settings or ChannelSettings()
    return found if address is None else replace(found, address=address)
