"""What people look at, as the contract's messages: lines about orders, an order's history, instruments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from execution_strategy.v1 import enums_pb2, overview_pb2, request_pb2, response_pb2, status_pb2

from engine.decision import Fault
from engine.order_life.updates import Amend, Cancel, Fill, Pause, Resume, Terminal, Update, Working, shares_of
from engine.snapshot import Snapshot
from engine.values import MarketState
from service.mapping.order_status import Moment, add_life
from service.mapping.responses import set_time, status_of
from service.mapping.validation import parse, rule_faults
from store.errors import RecordInvalid
from store.order_codec import kind_name, unpack_update
from store.order_list import ListedOrder, OrderPage, OrderQuery
from store.order_port import KeptAdvice, KeptOrder, OrderBasis, OrderRecords
from store.selection_rows import RowStatus
from store.submission import StoredSelection

DEFAULT_PAGE: Final = 50
_FIGURES: Final = (
    ("mid_price", "mid_price"), ("spread_bps", "spread_bps"), ("daily_volatility", "daily_volatility_fraction"),
    ("average_daily_volume", "average_daily_volume_shares"),
)  # fmt: skip


def query_of(data: bytes) -> OrderQuery | list[Fault]:
    """Raises MalformedMessageError."""
    message = parse(overview_pb2.ListOrdersRequest, data)
    faults = rule_faults(message)
    if faults:
        return faults
    before = int(message.page_token or 0)
    if max(before, message.changed_after) >= 2**63:
        return [Fault("page_token" if before >= 2**63 else "changed_after", "no journal is that long")]
    most = message.page_size if message.HasField("page_size") else DEFAULT_PAGE
    return OrderQuery(message.changed_after, before, most, message.open_only, message.journal_id)


def order_id_of(data: bytes) -> str | list[Fault]:
    """The order whose history is asked for. Raises MalformedMessageError."""
    message = parse(overview_pb2.OrderHistoryRequest, data)
    return rule_faults(message) or message.order_id


def status_at(order: KeptOrder, moment: Moment) -> status_pb2.StrategyExecutionStatus:
    message = status_of(order.basis.order_id, (_selection(order.basis),), moment.now_ns, 0)
    add_life(message, order, moment)
    return message


def summary_of(listed: ListedOrder, moment: Moment) -> overview_pb2.OrderSummary:
    """One line about an order."""
    order = listed.order
    status = status_at(order, moment)
    request = request_pb2.ExecutionStrategyRequest.FromString(order.basis.request)
    strategy = status.current.recommended_strategy
    message = overview_pb2.OrderSummary(
        order_id=order.basis.order_id, instrument_id=order.basis.instrument_id, side=request.side,
        objective=request.objective, urgency=request.urgency, state=status.state, algorithm=strategy.algorithm,
        strategy_name=strategy.strategy_name, progress=status.progress, scheduled_fraction=status.scheduled_fraction,
        filled_fraction=status.filled_fraction, expected_cost_bps=status.current.cost_breakdown.expected_cost_bps,
        average_price=status.cost_so_far.average_price, confidence=status.current.confidence,
        plan_end_time=strategy.time_allocation.end_time, rationale=order.basis.selection_rationale,
        revision=listed.revision,
    )  # fmt: skip
    set_time(message.created_at, order.basis.created_at_ns)
    if status.HasField("cost_so_far"):
        message.cost_so_far_bps = status.cost_so_far.total_bps
    if order.advices:
        advice = order.advices[-1]
        message.advice_number, message.rationale = advice.advice_number, advice.rationale
        message.action, message.trigger = _action(advice), _trigger(advice)
        set_time(message.advised_at, advice.created_at_ns)
    return message


def page_of(page: OrderPage, orders: Iterable[overview_pb2.OrderSummary]) -> bytes:
    message = overview_pb2.ListOrdersResponse(
        orders=orders, journal_id=page.journal_id, revision=page.revision,
        next_page_token=str(page.next_before) if page.next_before else "",
    )  # fmt: skip
    return bytes(message.SerializeToString())


def history_of(records: OrderRecords) -> bytes:
    basis = records.order.basis
    message = overview_pb2.OrderHistory(
        order_id=basis.order_id, request=request_pb2.ExecutionStrategyRequest.FromString(basis.request),
        first=response_pb2.ExecutionStrategyResponse.FromString(basis.response),
        events_left_out=records.updates_left_out,
    )  # fmt: skip
    events = list(_update_events(records.updates))
    events += [_advice_event(advice) for advice in records.order.advices]
    message.events.extend(sorted(events, key=lambda event: (event.time.seconds, event.time.nanos)))
    if records.outcome is not None:
        report = status_pb2.ReportOutcomeRequest.FromString(records.outcome.request)
        message.outcome.CopyFrom(report.actual_outcomes)
        message.performance_score = records.outcome.performance_score
    return bytes(message.SerializeToString())


def instruments_of(snapshot: Snapshot) -> bytes:
    message = overview_pb2.ListInstrumentsResponse()
    for name in sorted(snapshot.views):
        instrument, market = snapshot.views[name].instrument, snapshot.views[name].market
        line = message.instruments.add(
            instrument_id=name, description=instrument.description, primary_mic=instrument.primary_mic,
            currency=instrument.currency, lot_size=instrument.lot_size_shares,
        )  # fmt: skip
        _add_figures(line, market)
    return bytes(message.SerializeToString())


def _add_figures(line: overview_pb2.InstrumentFigures, market: MarketState) -> None:
    for ours, theirs in _FIGURES:
        value = getattr(market, theirs)
        if value is not None:
            setattr(line, ours, value)
    if market.as_of_ns:
        set_time(line.as_of, market.as_of_ns)


def _selection(basis: OrderBasis) -> StoredSelection:
    return StoredSelection(
        basis.selection_id, basis.order_id, "", basis.instrument_id, basis.created_at_ns, basis.strategy_name,
        basis.algorithm, basis.selection_rationale, basis.response, committed=True, status=RowStatus.RECORDED,
    )  # fmt: skip


def _unpacked(data: bytes) -> Update | None:
    """None for an update that this build cannot read: its neighbours are told all the same."""
    try:
        return unpack_update(data)[0]
    except RecordInvalid:
        return None


def _update_events(updates: Iterable[bytes]) -> Iterator[overview_pb2.OrderEvent]:
    """Each as the gateway sent it. What is known to have had no effect says so, or whoever adds up the fills would
    count one twice."""
    seen: set[str] = set()
    end = ""
    for data in updates:
        update = _unpacked(data)
        if update is None:
            continue
        change, event = update.change, _update_event(update)
        if isinstance(change, Fill):
            if change.execution_id in seen:
                event.detail = f"no effect: execution {change.execution_id} was counted before"
            seen.add(change.execution_id)
        elif end and not isinstance(change, Resume):
            event.detail = f"no effect: the order had ended ({end})"
        if isinstance(change, Terminal):
            end = end or change.state.name
        yield event


def _update_event(update: Update) -> overview_pb2.OrderEvent:
    change = update.change
    message = overview_pb2.OrderEvent(kind=kind_name(change), sequence=update.sequence, detail=_words_of(change))
    if isinstance(change, Fill):
        message.price, message.venue = change.price, change.venue
    if isinstance(change, Fill | Cancel | Working) or (isinstance(change, Amend) and change.units is not None):
        message.quantity = shares_of(change.units or 0)
    set_time(message.time, update.event_ns)
    return message


def _words_of(change: Any) -> str:
    if isinstance(change, Cancel):
        return "cancelled for good" if change.is_final else "back from the market"
    if isinstance(change, Pause):
        return change.reason
    if isinstance(change, Terminal):
        return change.state.name
    if isinstance(change, Resume):
        return f"resumed: {shares_of(change.filled_units):,.0f} shares filled"
    if isinstance(change, Amend):
        kept = [name for name in change.__struct_fields__ if getattr(change, name) is not None]
        return "changed: " + ", ".join("quantity" if name == "units" else name for name in kept)
    return ""


def _advice_event(advice: KeptAdvice) -> overview_pb2.OrderEvent:
    message = overview_pb2.OrderEvent(
        kind="ADVICE", sequence=advice.advice_number, detail=advice.rationale, action=_action(advice),
        trigger=_trigger(advice),
    )  # fmt: skip
    set_time(message.time, advice.created_at_ns)
    return message


def _action(advice: KeptAdvice) -> enums_pb2.AdaptationAction:
    return cast(enums_pb2.AdaptationAction, enums_pb2.AdaptationAction.Value(f"ADAPTATION_ACTION_{advice.action}"))


def _trigger(advice: KeptAdvice) -> enums_pb2.AdaptationTrigger:
    return cast(enums_pb2.AdaptationTrigger, enums_pb2.AdaptationTrigger.Value(f"ADAPTATION_TRIGGER_{advice.trigger}"))
