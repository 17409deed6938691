"""What people look at: lists of orders, an order's history, instruments, the service itself.

Off the decisions' path: a page is worked out an order at a time, and decisions get the loop between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import grpc
import structlog

from engine.snapshot import Snapshot
from service.errors import RpcError, exhausted, invalid, malformed
from service.keeper_readings import keeper_values
from service.mapping.description import CallCounts, Figure, Running, description
from service.mapping.order_status import Moment
from service.mapping.overview import (
    history_of,
    instruments_of,
    order_id_of,
    page_of,
    query_of,
    summary_of,
)
from service.mapping.validation import MalformedMessageError
from service.order_market import moment_of
from service.reply_time import reply_wait_s
from service.telemetry import Telemetry
from service.world import World
from store.errors import StoreError
from store.own_connection import within
from store.submission import Condition, KeeperPort, KeeperState

# Of a worker: a page is some milliseconds of the loop that decides.
MOST_RUNNING: Final = 4
RETRY_MS: Final = 200

log = structlog.get_logger(__name__)


class DescribedArtifacts(Protocol):
    """The artifacts that a snapshot decides from, as the contract's messages."""

    async def of(self, snapshot: Snapshot) -> tuple[bytes, ...]: ...


class Overview:
    """Belongs to one event loop."""

    def __init__(
        self, world: World, keeper: KeeperPort, telemetry: Telemetry, running: Running,
        artifacts: DescribedArtifacts, clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self._world = world
        self._keeper = keeper
        self._telemetry = telemetry
        self._of = running
        self._artifacts = artifacts
        self._clock_ns = clock_ns
        self._state = KeeperState(Condition.READY)
        self._running = 0
        keeper.watch_state(self._keeper_changed)

    def _keeper_changed(self, state: KeeperState) -> None:
        self._state = state

    async def list_orders(self, data: bytes) -> bytes:
        try:
            query = query_of(data)
        except MalformedMessageError as error:
            raise malformed(error) from error
        if isinstance(query, list):
            raise invalid(query)
        self._enter()
        try:
            page = await self._keeper.orders(query)
            lines = []
            for listed in page.orders:
                lines.append(summary_of(listed, self._moment(listed.order.basis.instrument_id)))
                await asyncio.sleep(0)
        except StoreError as error:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, f"orders cannot be listed now: {error}") from error
        finally:
            self._running -= 1
        return page_of(page, lines)

    async def history(self, data: bytes, remaining_s: float | None) -> bytes:
        try:
            order_id = order_id_of(data)
        except MalformedMessageError as error:
            raise malformed(error) from error
        if isinstance(order_id, list):
            raise invalid(order_id)
        self._enter()
        try:
            records = await within(reply_wait_s(remaining_s), self._keeper.order_records(order_id), "the keeper")
        except StoreError as error:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, f"the order cannot be looked up now: {error}") from error
        finally:
            self._running -= 1
        if records is None:
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"no decision for order {order_id}")
        return history_of(records)

    async def instruments(self, _data: bytes) -> bytes:
        return instruments_of(self._world.snapshot)

    async def describe(self, _data: bytes) -> bytes:
        """What can be told is told: a keeper that is away costs its own figures only."""
        figures: list[Figure] = []
        try:
            figures = [Figure(*value) for value in keeper_values(await self._keeper.figures())]
        except StoreError as error:
            log.info("the keeper's figures are missing", reason=str(error))
        told = {figure.name for figure in figures}
        readings = self._telemetry.totals().readings
        figures += [
            Figure(reading.name, reading.description, reading.unit, value)
            for reading, value in readings if reading.name not in told
        ]  # fmt: skip
        condition = (self._state.condition.value, self._state.reason)
        snapshot = self._world.snapshot
        artifacts = await self._artifacts.of(snapshot)
        return description(self._of, snapshot, artifacts, condition, figures, self._calls())

    def _calls(self) -> Mapping[str, CallCounts]:
        found = {}
        for method, seen in self._telemetry.snapshot().methods.items():
            refused = sum(count for code, count in seen.codes.items() if code != "OK")
            duration = seen.duration
            found[method] = CallCounts(duration.count, refused, duration.p50_us / 1e6, duration.p99_us / 1e6)
        return found

    def _moment(self, instrument_id: str) -> Moment:
        """As `Status` does."""
        return moment_of(self._world.snapshot, instrument_id, self._clock_ns())

    def _enter(self) -> None:
        if self._running >= MOST_RUNNING:
            raise exhausted(f"{MOST_RUNNING} overviews are under way on this worker", RETRY_MS)
        self._running += 1

