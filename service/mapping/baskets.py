"""Baskets as the contract's messages: what is asked, the results in chunks, and the totals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final, NamedTuple

from execution_strategy.v1 import enums_pb2, request_pb2, response_pb2
from google.rpc import status_pb2

from engine.decision import Fault
from service.mapping.validation import parse

# The contract's bounds of RecommendBatchRequest.
MOST_ORDERS: Final = 5_000
MOST_ID_CHARACTERS: Final = 100
CHUNK_RESULTS: Final = 100
# Costs of orders in two instruments correlate so much, with the sign of their sides; in one instrument wholly (assumed;
# proto/execution_strategy/v1/README.md).
MARKET_CORRELATION: Final = 0.3
_BPS: Final = 1e4
RequestMessage = request_pb2.ExecutionStrategyRequest


class BasketLine(NamedTuple):
    """One order: `notional` with the sign of its side, expected cost and its standard deviation in bps."""

    instrument_id: str
    notional: float
    cost_bps: float
    deviation_bps: float


@dataclass(frozen=True, slots=True)
class Basket:
    """Orders that were read and not checked yet, and what is kept with the record of each."""

    orders: Sequence[request_pb2.ExecutionStrategyRequest]
    tags: dict[str, str]


def map_basket(data: bytes) -> Basket | list[Fault]:
    """The basket, or its own faults: orders are checked one by one, so that one fault does not stop the others.
    Raises MalformedMessageError."""
    message = parse(request_pb2.RecommendBatchRequest, data)
    faults: list[Fault] = []
    count = len(message.requests)
    if not 1 <= count <= MOST_ORDERS:
        faults.append(Fault("requests", f"a basket has 1 to {MOST_ORDERS} orders, not {count}"))
    if len(message.basket_id) > MOST_ID_CHARACTERS:
        faults.append(Fault("basket_id", f"at most {MOST_ID_CHARACTERS} characters, not {len(message.basket_id)}"))
    if faults:
        return faults
    return Basket(tuple(message.requests), {"basket_id": message.basket_id} if message.basket_id else {})


class BasketAnswer:
    """Takes the results in order and gives them out in chunks of CHUNK_RESULTS. `currency_of` names the currency of an
    instrument (ISO 4217)."""

    def __init__(self, basket: Basket, currency_of: Callable[[str], str]) -> None:
        self._orders = basket.orders
        self._currency_of = currency_of
        self._chunk = response_pb2.RecommendBatchResponse()
        self._index = self._decided = 0
        self._notional: dict[str, float] = {}
        self._lines: list[BasketLine] = []
        self._counted: set[str] = set()

    def add_response(self, data: bytes) -> bytes | None:
        """The decision of the next order; a chunk to send, where one is complete."""
        result = self._next()
        result.response.MergeFromString(data)
        self._decided += 1
        self._count(self._orders[result.index], result.response)
        return self._complete()

    def add_error(self, code: int, text: str, status: bytes) -> bytes | None:
        """Why the next order has none: what Recommend would have ended with; `status` is a google.rpc.Status or
        empty."""
        error = self._next().error
        if status:
            error.MergeFromString(status)
        else:
            error.CopyFrom(status_pb2.Status(code=code, message=text))
        return self._complete()

    def last(self) -> bytes:
        """What is left, and the totals."""
        # Without exchange rates nothing weighs one currency against another.
        cost, deviation = basket_risk(self._lines) if len(self._notional) == 1 else (0.0, 0.0)
        self._chunk.summary.CopyFrom(
            response_pb2.BasketSummary(
                decided=self._decided,
                refused=self._index - self._decided,
                notional=self._notional,
                expected_cost_bps=cost,
                standard_deviation_bps=deviation,
            )
        )
        return self._chunk.SerializeToString()

    def _next(self) -> response_pb2.BatchResult:
        index = self._index
        self._index += 1
        return self._chunk.results.add(index=index, order_id=self._orders[index].order_id)

    def _complete(self) -> bytes | None:
        if len(self._chunk.results) < CHUNK_RESULTS or self._index == len(self._orders):
            return None
        data = self._chunk.SerializeToString()
        self._chunk.Clear()
        return data

    def _count(
        self, order: request_pb2.ExecutionStrategyRequest, response: response_pb2.ExecutionStrategyResponse
    ) -> None:
        """Adds the order to the totals; one that the basket repeats is traded once, and is in them already."""
        if order.order_id in self._counted:
            return
        self._counted.add(order.order_id)
        outcomes = response.expected_outcomes
        notional = order.quantity * response.resolved_inputs.mid_price
        currency = self._currency_of(order.instrument_id)
        self._notional[currency] = self._notional.get(currency, 0.0) + notional
        sign = 1.0 if order.side == enums_pb2.ORDER_SIDE_BUY else -1.0
        self._lines.append(
            BasketLine(
                order.instrument_id, sign * notional, outcomes.estimated_cost * _BPS,
                outcomes.cost_standard_deviation * _BPS,
            )
        )  # fmt: skip


def basket_risk(lines: Sequence[BasketLine]) -> tuple[float, float]:
    """Expected cost and its standard deviation of a basket, both in bps of its notional; zeros for an empty basket.

    With s_i the sum over an instrument's orders of their signed shares times their standard deviations:
    SD^2 = (1 - c) sum(s_i^2) + c (sum(s_i))^2. An order that was split is as risky as it was.
    """
    total = sum(abs(line.notional) for line in lines)
    if total <= 0.0:
        return 0.0, 0.0
    cost = sum(abs(line.notional) * line.cost_bps for line in lines) / total
    signed: dict[str, float] = {}
    for line in lines:
        signed[line.instrument_id] = signed.get(line.instrument_id, 0.0) + line.notional / total * line.deviation_bps
    common, alone = sum(signed.values()) ** 2, sum(one * one for one in signed.values())
    return cost, sqrt((1.0 - MARKET_CORRELATION) * alone + MARKET_CORRELATION * common)
