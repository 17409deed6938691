"""`Performance`: how strategies did between two days.

Over connections of its own, few at a time, so that reports take nothing from decisions. A report writes nothing; the
days of strategy_performance are service/performance_days.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, Protocol

import grpc

from engine.decision import Fault
from engine.performance import Performance, performance_of
from service.connections import REPORTS
from service.errors import RpcError, exhausted, invalid, malformed, precondition
from service.mapping.performance import algorithm_fault, forecast_of, map_performance, performance_report
from service.mapping.validation import MalformedMessageError
from service.reply_time import MOST_WAIT_S, reply_wait_s
from store.errors import StoreUnavailable
from store.own_connection import within
from store.performance_reader import PerformanceReader, PerformanceSource, Span, TooManyOrders
from store.pool import PoolSettings, make_pool

MOST_RUNNING: Final = REPORTS
RETRY_MS: Final = 1_000


class Call(Protocol):
    """What a handler may know of its call."""

    def time_remaining(self) -> float | None: ...


class PerformanceReports:
    """All reports of one worker. Belongs to one event loop."""

    def __init__(self, source: PerformanceSource, *, close: Callable[[], Awaitable[None]] | None = None) -> None:
        self._source = source
        self._close = close
        self._running = 0

    async def report(self, data: bytes, call: Call) -> bytes:
        try:
            span = map_performance(data)
        except MalformedMessageError as error:
            raise malformed(error) from error
        if isinstance(span, list):
            raise invalid(span)
        if self._running >= MOST_RUNNING:
            raise exhausted(f"{MOST_RUNNING} reports are under way on this worker", RETRY_MS)
        limit_s = reply_wait_s(call.time_remaining())
        self._running += 1
        try:
            found = await within(limit_s, self._found(span))
        except TooManyOrders as error:
            raise precondition([Fault("end_date", f"{error}; ask for fewer days")]) from error
        except StoreUnavailable as error:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, f"no report can be made now: {error}") from error
        finally:
            self._running -= 1
        faults = algorithm_fault(span.algorithm) if not found.by_strategy else []
        if faults:
            raise invalid(faults)
        return performance_report(span, found)

    async def close(self) -> None:
        if self._close is not None:
            await self._close()

    async def _found(self, span: Span) -> Performance:
        rows = await self._source.executed(span)
        # Half a second for the most orders: not on the loop that decides.
        return await asyncio.to_thread(performance_of, rows)


async def open_performance(pool_settings: PoolSettings) -> PerformanceReports:
    """The first report opens the connections."""
    own = replace(
        pool_settings, min_size=0, max_size=MOST_RUNNING, max_waiting=MOST_RUNNING, acquire_timeout_s=2.0,
        statement_timeout_s=MOST_WAIT_S, writes=False, application_name="ess-performance",
    )  # fmt: skip
    pool = make_pool(own)
    await pool.open(wait=False)

    async def close() -> None:
        await pool.close(timeout=1.0)

    return PerformanceReports(PerformanceReader(pool, forecast_of), close=close)
