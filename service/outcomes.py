"""`ReportOutcome`: how an order ended, written once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Protocol

import grpc

from service.errors import RpcError, exhausted, invalid, malformed, not_yours
from service.identity import may_change
from service.mapping.order_status import MappedOutcome, map_outcome, outcome_record, outcome_response
from service.mapping.validation import MalformedMessageError
from service.reply_time import reply_wait_s
from store.errors import JournalFull, StoreError
from store.order_port import KeptOrder
from store.submission import Acknowledgement, KeeperPort


class Call(Protocol):
    """What a handler may know of its call."""

    def time_remaining(self) -> float | None: ...


class Outcomes:
    def __init__(
        self, keeper: KeeperPort, acknowledgement: Acknowledgement, number: int, clock_ns: Callable[[], int],
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:  # fmt: skip
        self._keeper = keeper
        self._acknowledgement = acknowledgement
        self._number = number
        self._clock_ns = clock_ns
        self._new_id = new_id

    async def report(self, data: bytes, call: Call) -> bytes:
        """The first report of an order's outcome; the same again gives the same answer, another is refused."""
        try:
            mapped = map_outcome(data)
        except MalformedMessageError as error:
            raise malformed(error) from error
        if isinstance(mapped, list):
            raise invalid(mapped)
        try:
            async with asyncio.timeout(reply_wait_s(call.time_remaining())):
                order = await self._keeper.order(mapped.order_id)
                if order is None:
                    raise RpcError(grpc.StatusCode.NOT_FOUND, f"no decision for order {mapped.order_id}")
                if not may_change(order.basis.gateway):
                    raise not_yours(mapped.order_id)
                if mapped.selection_id not in ("", order.basis.selection_id):
                    raise _other_selection(mapped, order)
                record = outcome_record(mapped, order, self._new_id(), self._clock_ns())
                answer = await self._keeper.report(record, self._acknowledgement)
        except JournalFull as error:
            raise exhausted(f"the journal is full: {error}", 1_000) from error
        except (StoreError, TimeoutError) as error:
            text = f"the outcome could not be recorded: {error}; the same report again is safe"
            raise RpcError(grpc.StatusCode.UNAVAILABLE, text) from error
        if not answer.is_new and answer.kept.request != record.request:
            text = f"order {mapped.order_id} has another outcome already; it is written once"
            raise RpcError(grpc.StatusCode.ALREADY_EXISTS, text)
        return outcome_response(answer, self._number)


def _other_selection(mapped: MappedOutcome, order: KeptOrder) -> RpcError:
    """An outcome is what the whole order came to, and is held against what was forecast for the whole of it."""
    text = f"order {mapped.order_id} has no selection {mapped.selection_id}"
    if any(advice.adaptation_id == mapped.selection_id for advice in order.advices):
        text = (
            f"{mapped.selection_id} is an advice; an outcome is of the whole order {mapped.order_id}: name its"
            f" decision {order.basis.selection_id}, or none"
        )
    return RpcError(grpc.StatusCode.NOT_FOUND, text)
