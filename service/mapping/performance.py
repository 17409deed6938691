"""`Performance`: the request's days, and the report as the contract's message."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, Final

from execution_strategy.v1 import response_pb2, status_pb2

from engine.catalogue import ALGORITHM_NAMES
from engine.decision import Fault
from engine.performance import Line, Performance
from service.mapping.validation import MalformedMessageError, parse, rule_faults
from store.performance_reader import MOST_DAYS, Forecast, Span

_DATES: Final = ("start_date", "end_date")


def map_performance(data: bytes) -> Span | list[Fault]:
    """Raises MalformedMessageError."""
    message = parse(status_pb2.PerformanceRequest, data)
    faults = rule_faults(message)
    told = {fault.field for fault in faults}
    days: dict[str, date] = {}
    for name in _DATES:
        try:
            days[name] = date.fromisoformat(getattr(message, name))
        except ValueError:
            # The rule of the .proto says how a date is written, but lets 30 February pass.
            if name not in told:
                faults.append(Fault(name, f"{getattr(message, name)} is no day"))
    if len(days) == len(_DATES) and not told.intersection(_DATES):
        count = (days["end_date"] - days["start_date"]).days + 1
        if count < 1:
            faults.append(Fault("end_date", "must not be before start_date"))
        elif count > MOST_DAYS:
            faults.append(Fault("end_date", f"must be at most {MOST_DAYS} days from start_date, not {count}"))
    if faults:
        return faults
    if "\0" in message.algorithm:
        return [Fault("algorithm", "must not contain NUL")]
    return Span(message.start_date, message.end_date, message.algorithm)


def algorithm_fault(name: str) -> list[Fault]:
    """Where no order of the days has that algorithm: whether there is one of that name. One of before that stands in
    records is reported, whatever the catalogue has now."""
    if not name or name in ALGORITHM_NAMES:
        return []
    near = {one.casefold(): one for one in ALGORITHM_NAMES}.get(name.casefold())
    hint = f"did you mean {near}?" if near else f"there are {', '.join(ALGORITHM_NAMES)}"
    return [Fault("algorithm", f"{name}: no such algorithm, and no order of those days has it; {hint}")]


def forecast_of(response: bytes) -> Forecast:
    """The forecast of a recorded decision; zeros where it cannot be read."""
    try:
        message = parse(response_pb2.ExecutionStrategyResponse, response)
    except MalformedMessageError:
        return Forecast(0.0, 0.0, 0.0)
    outcomes = message.expected_outcomes
    return Forecast(outcomes.estimated_cost, outcomes.cost_quantile_10, outcomes.cost_quantile_90)


def performance_report(span: Span, found: Performance) -> bytes:
    message = status_pb2.StrategyPerformanceReport(start_date=span.first_day, end_date=span.last_day)
    _add_lines(message.by_strategy, found.by_strategy)
    _add_lines(message.by_objective, found.by_objective)
    _add_lines(message.by_condition, found.by_condition)
    _add_lines(message.by_size, found.by_size)
    _add_lines(message.by_venue, found.by_venue)
    for day in found.daily:
        message.daily.add(
            strategy_name=day.strategy_name, execution_date=day.day, orders_executed=day.orders,
            avg_cost=day.cost, avg_market_impact=day.impact or 0.0, success_rate=day.success_rate,
        )  # fmt: skip
    return bytes(message.SerializeToString(deterministic=True))


def _add_lines(target: Any, lines: Iterable[Line]) -> None:
    for line in lines:
        target.add(
            label=line.label, orders_executed=line.orders, avg_cost=line.cost, avg_cost_lower=line.cost_lower,
            avg_cost_upper=line.cost_upper, avg_market_impact=line.impact or 0.0, success_rate=line.success_rate,
            predicted_cost=line.predicted_cost, interval_coverage=line.interval_coverage,
            not_distinguishable=line.not_distinguishable,
        )  # fmt: skip
