"""The contract's messages from plain arguments, with the specification's short names for enum values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal, TypeAlias

from execution_strategy.v1 import adaptation_pb2, enums_pb2, events_pb2, request_pb2, response_pb2, status_pb2

from clients.python.errors import ServiceError, error_of_status

Order: TypeAlias = request_pb2.ExecutionStrategyRequest
Decision: TypeAlias = response_pb2.ExecutionStrategyResponse
Update: TypeAlias = adaptation_pb2.StrategyAdaptationRequest
Adaptation: TypeAlias = adaptation_pb2.StrategyAdaptation
OrderStatus: TypeAlias = status_pb2.StrategyExecutionStatus
OutcomeReceipt: TypeAlias = status_pb2.ReportOutcomeResponse
PerformanceReport: TypeAlias = status_pb2.StrategyPerformanceReport
BasketSummary: TypeAlias = response_pb2.BasketSummary
Event: TypeAlias = events_pb2.ExecutionStrategyEvent

Side = Literal["BUY", "SELL", "SELL_SHORT"]
Objective = Literal[
    "MINIMIZE_COST", "MINIMIZE_RISK", "MINIMIZE_TIME", "MAXIMIZE_ALPHA_CAPTURE", "BALANCED_EXECUTION"
]
Urgency = Literal["LOW", "NORMAL", "HIGH", "URGENT"]
EndState = Literal["COMPLETED", "CANCELLED", "EXPIRED"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an order ended: cost and impact are fractions of notional (0.001 = 10 bps, positive where it hurt),
    quantities in shares, prices in the instrument's currency. None: not known. With `final_mid_price`, the mid when the
    order ended, the service tells the market's own move from what trading cost, and learns sooner."""

    cost: float
    time_minutes: float
    filled_quantity: float
    average_price: float
    market_impact: float | None = None
    arrival_mid_price: float | None = None
    interval_vwap: float | None = None
    interval_volume: float | None = None
    final_mid_price: float | None = None
    dark_quantity: float | None = None


_MAY_BE_UNKNOWN: Final = (
    "market_impact", "arrival_mid_price", "interval_vwap", "interval_volume", "final_mid_price", "dark_quantity",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Basket:
    """What became of a basket: for each order, in the order in which they were given, its decision or why there is
    none; and the whole (expected cost and standard deviation in bps, notional by currency)."""

    outcomes: tuple[Decision | ServiceError, ...]
    summary: BasketSummary

    @property
    def refusals(self) -> dict[int, ServiceError]:
        """By index."""
        return {at: one for at, one in enumerate(self.outcomes) if isinstance(one, ServiceError)}


class BasketReader:
    """Puts the chunks of an answer together."""

    def __init__(self) -> None:
        self._outcomes: list[Decision | ServiceError] = []
        self._summary = BasketSummary()

    def take(self, chunk: response_pb2.RecommendBatchResponse) -> None:
        for result in chunk.results:
            decided = result.WhichOneof("outcome") == "response"
            self._outcomes.append(result.response if decided else error_of_status(result.error))
        self._summary = chunk.summary

    def basket(self) -> Basket:
        return Basket(tuple(self._outcomes), self._summary)


def basket_request(orders: Iterable[Order], basket_id: str) -> request_pb2.RecommendBatchRequest:
    return request_pb2.RecommendBatchRequest(requests=orders, basket_id=basket_id)


def new_order(
    order_id: str, instrument_id: str, side: Side, quantity: float, *, objective: Objective = "BALANCED_EXECUTION",
    urgency: Urgency = "NORMAL", constraints: Mapping[str, Any] | None = None,
    market_context: Mapping[str, Any] | None = None, effective_time: datetime | None = None, dry_run: bool = False,
    tags: Mapping[str, str] | None = None,
) -> Order:  # fmt: skip
    """An order to decide. Quantity in shares; `constraints` and `market_context` by the contract's field names;
    `effective_time` with a zone. Raises ValueError for a name that the contract does not know."""
    message = request_pb2.ExecutionStrategyRequest(
        order_id=order_id, instrument_id=instrument_id, side=enum_value(enums_pb2.OrderSide, "ORDER_SIDE", side),
        quantity=quantity, objective=enum_value(enums_pb2.ExecutionObjective, "EXECUTION_OBJECTIVE", objective),
        urgency=enum_value(enums_pb2.ExecutionUrgency, "EXECUTION_URGENCY", urgency), dry_run=dry_run,
        constraints=request_pb2.ExecutionConstraints(**constraints) if constraints else None,
        market_context=request_pb2.MarketContext(**market_context) if market_context else None, tags=tags or {},
    )  # fmt: skip
    if effective_time is not None:
        if effective_time.tzinfo is None:
            raise ValueError("effective_time needs a zone")
        message.effective_time.FromDatetime(effective_time)
    return message


def outcome_request(order_id: str, outcome: Outcome, selection_id: str = "") -> status_pb2.ReportOutcomeRequest:
    actual = status_pb2.ActualOutcomes(
        cost=outcome.cost, time_minutes=outcome.time_minutes, filled_quantity=outcome.filled_quantity,
        average_price=outcome.average_price,
    )  # fmt: skip
    for name in _MAY_BE_UNKNOWN:
        value = getattr(outcome, name)
        if value is not None:
            setattr(actual, name, value)
    return status_pb2.ReportOutcomeRequest(
        order_id=order_id, selection_id=selection_id, actual_outcomes=actual
    )


def performance_request(first: date, last: date, algorithm: str = "") -> status_pb2.PerformanceRequest:
    """Days UTC, both included."""
    days = (first.isoformat(), last.isoformat())
    return status_pb2.PerformanceRequest(start_date=days[0], end_date=days[1], algorithm=algorithm)


def events_request(
    cursors: Mapping[str, int], from_now: bool, heartbeat_s: int
) -> events_pb2.StreamEventsRequest:
    after = [events_pb2.EventCursor(journal_id=name, sequence=number) for name, number in sorted(cursors.items())]
    return events_pb2.StreamEventsRequest(
        resume_after=after, from_now=from_now, heartbeat_seconds=heartbeat_s
    )


# ---- updates of an order under way: the `update` of a StrategyAdaptationRequest, by its name


def fill(execution_id: str, quantity: float, price: float, venue: str = "", fee: float | None = None) -> dict[str, Any]:
    """Shares and instrument's currency. Raises ValueError for what the service would not take: a malformed update
    would stand in the way of those after it."""
    if not 1 <= len(execution_id) <= 100:
        raise ValueError("an execution id has 1 to 100 characters")
    message = adaptation_pb2.FillUpdate(
        execution_id=execution_id, quantity=_positive("quantity", quantity), price=_positive("price", price),
        venue=venue,
    )  # fmt: skip
    if fee is not None:
        message.fee = fee
    return {"fill": message}


def cancel(quantity: float, final: bool) -> dict[str, Any]:
    """`final`: gone for good; else it is to be placed again."""
    return {"cancel": adaptation_pb2.CancelUpdate(quantity=_positive("quantity", quantity), final=final)}


def working(quantity: float) -> dict[str, Any]:
    """All that works in the market now, shares."""
    if quantity != 0.0:
        _positive("quantity", quantity)
    return {"working": adaptation_pb2.WorkingUpdate(quantity=quantity)}


def market(**figures: Any) -> dict[str, Any]:
    """Fields of the contract's MarketContext."""
    return {"market_context": request_pb2.MarketContext(**figures)}


def amend(
    quantity: float | None = None, constraints: Mapping[str, Any] | None = None, urgency: Urgency | None = None
) -> dict[str, Any]:
    """What is None stays; constraints are given whole."""
    message = adaptation_pb2.AmendUpdate(
        constraints=None if constraints is None else request_pb2.ExecutionConstraints(**constraints)
    )
    if quantity is not None:
        message.quantity = _positive("quantity", quantity)
    if urgency is not None:
        message.urgency = enum_value(enums_pb2.ExecutionUrgency, "EXECUTION_URGENCY", urgency)
    return {"amend": message}


def pause(reason: str = "") -> dict[str, Any]:
    return {"pause": adaptation_pb2.PauseUpdate(reason=reason[:256])}


def unpause() -> dict[str, Any]:
    return {"unpause": adaptation_pb2.UnpauseUpdate()}


def terminal(state: EndState) -> dict[str, Any]:
    value = enum_value(enums_pb2.ExecutionState, "EXECUTION_STATE", state)
    return {"terminal": adaptation_pb2.TerminalUpdate(state=value)}


def enum_value(kind: Any, prefix: str, name: Sequence[str] | str) -> Any:
    """The contract's value of a short name. Raises ValueError."""
    return kind.Value(f"{prefix}_{name}")


def _positive(name: str, value: float) -> float:
    if not (math.isfinite(value) and 0.0 < value <= 1e12):
        raise ValueError(f"{name} must be above 0 and at most 1e12, not {value}")
    return value
