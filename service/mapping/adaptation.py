"""Updates of orders as the engine's values, and advices as the contract's messages."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import msgspec
from execution_strategy.v1 import adaptation_pb2, enums_pb2, request_pb2, response_pb2

from engine.decision import Decision, Fault, ParameterValue
from engine.order_life.plan import Figures, Plan, Step, deadline_of
from engine.order_life.readvise import Advice
from engine.order_life.state import Opening, OrderState
from engine.order_life.updates import (
    Amend,
    Cancel,
    Change,
    ExecutionState,
    Fill,
    Market,
    Pause,
    Resume,
    Terminal,
    Unpause,
    Update,
    Working,
    shares_of,
    units_of,
)
from engine.request import OrderRequest
from engine.snapshot import InstrumentView, Snapshot, VenueDirectory
from engine.values import MarketCondition, Urgency, VenueKind
from service.mapping.refusals import MAX_ERROR
from service.mapping.requests import (
    map_bars,
    map_constraints,
    map_context,
    map_request,
    timestamp_ns,
)
from service.mapping.responses import Naming, response_of, time_of
from service.mapping.validation import parse, rule_faults
from store.order_port import OrderBasis

# An event time ahead of this host's clock by more than this is a mistake, or a clock that is wrong.
CLOCK_SKEW_NS: Final = 5_000_000_000
MOST_SEQUENCE: Final = 2**62  # numbers of updates and epochs lie below
# The rules of an order id as they stand in the .proto.
_ORDER_ID: Final = re.compile(r"[!-~]{1,100}").fullmatch
_MOST: Final = 1e12  # the .proto's bound of quantities and prices
_ADVICE: Final = ("advice_number", "action", "trigger", "expected_gain_bps", "cannot_complete")


Answer: TypeAlias = adaptation_pb2.StrategyAdaptation


def read_update(data: bytes) -> adaptation_pb2.StrategyAdaptationRequest:
    """Raises MalformedMessageError."""
    return parse(adaptation_pb2.StrategyAdaptationRequest, data)


class RefusedUpdate(msgspec.Struct, frozen=True, gc=False):
    """An update that breaks the contract, as far as it could be read, and everything that is wrong with it."""

    order_id: str
    sequence: int
    faults: list[Fault]


class MappedUpdate(msgspec.Struct, frozen=True, gc=False):
    """`request` is the one that a resuming gateway brings for a service that never saw the order."""

    order_id: str
    update: Update
    is_forced: bool
    request: bytes | None = None

    @property
    def is_resume(self) -> bool:
        return isinstance(self.update.change, Resume)


def map_update(
    message: adaptation_pb2.StrategyAdaptationRequest, directory: VenueDirectory, now_ns: int, once: bool
) -> MappedUpdate | list[Fault]:
    """The update, or every fault in it. `once`: of AdaptOnce, where sequence 0 takes the next number."""
    kind = message.WhichOneof("update")
    faults = [] if keeps_rules(message, kind) else rule_faults(message)
    event_ns = now_ns
    if message.HasField("event_time"):
        event_ns = timestamp_ns("event_time", message.event_time, faults) or now_ns
        if event_ns > now_ns + CLOCK_SKEW_NS:
            faults.append(Fault("event_time", "lies in the future"))
    sequence = message.sequence
    if sequence == 0 and kind != "resume" and not once:
        faults.append(Fault("sequence", "counts the order's updates from 1; 0 only with resume"))
    if sequence >= MOST_SEQUENCE:
        faults.append(Fault("sequence", "must be less than 2^62"))
    if kind == "resume":
        _check_resume(message, faults)
    change = None if faults else _change_of(message, kind, directory, faults)
    if faults or change is None:
        return faults
    request = None
    if kind == "resume" and message.resume.HasField("request"):
        request = message.resume.request.SerializeToString()
    return MappedUpdate(message.order_id, Update(sequence, min(event_ns, now_ns), change), message.force, request)


def _check_resume(message: adaptation_pb2.StrategyAdaptationRequest, faults: list[Fault]) -> None:
    resume = message.resume
    for name in ("acknowledged_sequence", "epoch"):
        if getattr(resume, name) >= MOST_SEQUENCE:
            faults.append(Fault(f"resume.{name}", "must be less than 2^62"))
    if resume.HasField("request") and resume.request.order_id != message.order_id:
        faults.append(Fault("resume.request.order_id", "must be the update's order_id"))
    if resume.request.dry_run:
        faults.append(Fault("resume.request.dry_run", "a dry run cannot be resumed"))


def keeps_rules(message: adaptation_pb2.StrategyAdaptationRequest, kind: str | None) -> bool:
    """Whether a fill, a cancel or a working quantity plainly keeps the .proto's rules: nearly every update is one of
    these and does, and asking the rules costs as much as all the rest of the mapping. False says nothing: the rules are
    asked. That no rule is broken where this is true is held by tests/unit/test_mapping_updates.py."""
    if kind == "fill":
        fill = message.fill
        if not (
            0 < len(fill.execution_id) <= 100 and 0.0 < fill.quantity <= _MOST and 0.0 < fill.price <= _MOST
            and len(fill.venue) <= 64 and (not fill.HasField("fee") or math.isfinite(fill.fee))
        ):  # fmt: skip
            return False
    elif kind == "working":
        if not 0.0 <= message.working.quantity <= _MOST:
            return False
    elif kind != "cancel" or not 0.0 < message.cancel.quantity <= _MOST:
        return False
    return _ORDER_ID(message.order_id) is not None


def _change_of(
    message: adaptation_pb2.StrategyAdaptationRequest, kind: str | None, directory: VenueDirectory, faults: list[Fault]
) -> Change | None:
    def units(name: str, shares: float) -> int:
        found = units_of(shares)
        if found is None:
            faults.append(Fault(name, "is finer than a millionth of a share, or too large"))
        return found or 0

    if kind == "fill":
        fill = message.fill
        return Fill(
            fill.execution_id, units("fill.quantity", fill.quantity), fill.price, fill.venue,
            fill.fee if fill.HasField("fee") else float("nan"),
        )  # fmt: skip
    if kind == "cancel":
        return Cancel(units("cancel.quantity", message.cancel.quantity), message.cancel.final)
    if kind == "working":
        return Working(units("working.quantity", message.working.quantity))
    if kind == "market_context":
        context = message.market_context
        return Market(map_context(context, map_bars("market_context.recent_bars", context.recent_bars, faults)))
    if kind == "amend":
        return _amend_of(message.amend, directory, faults)
    if kind == "pause":
        return Pause(message.pause.reason)
    if kind == "unpause":
        return Unpause()
    if kind == "terminal":
        return Terminal(ExecutionState(message.terminal.state))
    view = message.resume
    return Resume(
        view.acknowledged_sequence, view.epoch, units("resume.filled_quantity", view.filled_quantity),
        view.average_price, units("resume.working_quantity", view.working_quantity),
        units("resume.cancelled_quantity", view.cancelled_quantity), view.arrival_mid_price,
    )  # fmt: skip


def _amend_of(amend: adaptation_pb2.AmendUpdate, directory: VenueDirectory, faults: list[Fault]) -> Amend:
    quantity = None
    if amend.HasField("quantity"):
        quantity = units_of(amend.quantity)
        if quantity is None:
            faults.append(Fault("amend.quantity", "is finer than a millionth of a share, or too large"))
    constraints = None
    if amend.HasField("constraints"):
        constraints = map_constraints(amend.constraints, directory, faults)
    return Amend(quantity, constraints, Urgency(amend.urgency) if amend.urgency else None)


def fee_of(fill: Fill, view: InstrumentView | None, directory: VenueDirectory) -> float:
    """Fees of a fill by its venue's schedule: the taker's rate, since nobody said that it rested."""
    if view is None:
        return 0.0
    venues, mic = view.instrument.venues, directory.find(fill.venue) if fill.venue else None
    rate = next((venue.taker_fee_bps for venue in venues if venue.mic == mic), None) if mic else None
    if rate is None:
        lit = [venue.taker_fee_bps for venue in venues if venue.kind is VenueKind.LIT]
        rate = sum(lit) / len(lit) if lit else 0.0
    return rate / 1e4 * fill.price * shares_of(fill.units)


@dataclass(frozen=True, slots=True)
class Begun:
    """A decision as an order's life begins with it."""

    request: OrderRequest
    opening: Opening
    plan: Plan
    started_ns: int


def begun_of(basis: OrderBasis, snapshot: Snapshot) -> Begun | None:
    """From the record of a decision; None where its instrument is not known any more."""
    message = request_pb2.ExecutionStrategyRequest.FromString(basis.request)
    mapped = map_request(message, snapshot, basis.created_at_ns)
    view = snapshot.views.get(basis.instrument_id)
    if isinstance(mapped, list) or view is None:
        return None
    order = mapped.order
    response = response_pb2.ExecutionStrategyResponse.FromString(basis.response)
    opening = Opening(
        basis.order_id, basis.instrument_id, order.side.sign, units_of(order.quantity_shares) or 0,
        response.resolved_inputs.mid_price, basis.created_at_ns,
    )  # fmt: skip
    started_ns = time_of(response.recommended_strategy.time_allocation.start_time)
    deadline_ns = deadline_of(view, order.constraints, started_ns)
    news = order.context.news_impact_score or 0.0
    return Begun(order, opening, plan_in(response, basis.created_at_ns, deadline_ns, news), started_ns)


def plan_in(
    response: response_pb2.ExecutionStrategyResponse, made_ns: int, deadline_ns: int, news: float = 0.0
) -> Plan:
    """The plan that a recommended strategy makes, of an order without fills. news: the score that it was made with."""
    strategy, inputs = response.recommended_strategy, response.resolved_inputs
    controls = strategy.risk_controls
    parameters: dict[str, ParameterValue] = {}
    for name, value in strategy.parameters.items():
        parameters[name] = value.bool_value if value.HasField("bool_value") else value.number_value
    steps = []
    for part in strategy.time_allocation.slices:
        if part.phase != enums_pb2.SLICE_PHASE_CARRY_OVER:
            start_ns = time_of(part.start_time)
            end_ns = start_ns + round(part.duration_seconds * 1e9)
            steps.append(Step(start_ns, end_ns, units_of(part.quantity) or 0))
    return Plan(
        algorithm=strategy.algorithm, strategy_name=strategy.strategy_name, parameters=parameters, made_ns=made_ns,
        deadline_ns=deadline_ns, steps=tuple(steps), filled_units=0, market_shares=0.0,
        figures=Figures(
            MarketCondition(response.condition.condition), inputs.daily_volatility, inputs.spread_bps,
            inputs.average_daily_volume, inputs.short_term_alpha_bps_per_day, news,
        ),
        price_limit=controls.price_limit, max_participation_rate=controls.max_participation_rate,
        participation_rate=float(parameters.get("participation_rate", 0.0)),
        volatility_trigger_ratio=controls.volatility_trigger_ratio,
        shortfall_trigger_fraction=controls.schedule_shortfall_trigger_fraction,
        expected_impact_bps=response.expected_outcomes.market_impact * 1e4,
    )  # fmt: skip


def fill_progress(message: adaptation_pb2.OrderProgress, state: OrderState) -> None:
    parent, filled, working, cancelled = (
        state.parent_units, state.filled_units, state.working_units, state.cancelled_units
    )  # fmt: skip
    left = parent - filled
    message.parent_quantity = shares_of(parent)
    message.filled_quantity = shares_of(filled)
    message.working_quantity = shares_of(working)
    message.unscheduled_quantity = shares_of(left - working - cancelled) if left > 0 else 0.0
    message.cancelled_quantity = shares_of(cancelled)
    message.overfill_quantity = shares_of(-left) if left < 0 else 0.0


def acknowledged(
    order_id: str, state: OrderState, acknowledgement: int, error: str = "", notes: tuple[str, ...] = ()
) -> adaptation_pb2.StrategyAdaptation:
    """The answer to an update, without an advice."""
    message = adaptation_pb2.StrategyAdaptation(
        order_id=order_id, acknowledged_sequence=state.sequence,
        acknowledgement=cast(enums_pb2.AcknowledgementClass, acknowledgement), epoch=state.epoch,
        rationale="; ".join(notes), error=error[:MAX_ERROR],
    )  # fmt: skip
    fill_progress(message.progress, state)
    return message


def state_again(message: adaptation_pb2.StrategyAdaptation, state: OrderState) -> None:
    """The order as it is by now."""
    message.acknowledged_sequence, message.epoch = state.sequence, state.epoch
    fill_progress(message.progress, state)


def add_advice(
    message: adaptation_pb2.StrategyAdaptation, advice: Advice, number: int, naming: Naming, selection_id: str,
    created_at_ns: int,
) -> None:  # fmt: skip
    """Puts an advice into the answer to the update that led to it."""
    message.advice_number = number
    message.action = cast(enums_pb2.AdaptationAction, int(advice.action))
    message.trigger = cast(enums_pb2.AdaptationTrigger, int(advice.trigger))
    message.rationale = _with_notes(message, advice.rationale)
    message.expected_gain_bps = advice.gain_bps
    message.cannot_complete = advice.cannot_complete
    decision: Decision | None = advice.decision
    if decision is not None:
        message.response.CopyFrom(
            response_of(decision, naming, selection_id, created_at_ns, message.acknowledgement)
        )


def add_stop(message: adaptation_pb2.StrategyAdaptation, trigger: int | None, rationale: str) -> None:
    """The order is to be pulled from the market: a notice, no numbered advice. None: a halt is why."""
    number = enums_pb2.ADAPTATION_TRIGGER_HALT if trigger is None else trigger
    message.action = enums_pb2.ADAPTATION_ACTION_STOP
    message.trigger = cast(enums_pb2.AdaptationTrigger, number)
    message.rationale = _with_notes(message, rationale)


def _with_notes(message: adaptation_pb2.StrategyAdaptation, words: str) -> str:
    """Behind what is said of the update itself: an overfill, say, or figures that differ."""
    return f"{message.rationale}; {words}" if message.rationale else words


def add_end_of_halt(message: adaptation_pb2.StrategyAdaptation) -> None:
    """The order may go on by the plan in force."""
    message.action = enums_pb2.ADAPTATION_ACTION_KEEP
    message.trigger = enums_pb2.ADAPTATION_TRIGGER_HALT
    message.rationale = "the halt is over; go on by the plan in force"


def repeat_advice(message: adaptation_pb2.StrategyAdaptation, data: bytes, in_force: bytes) -> None:
    """A gateway gets the newest advice again, with the plan in force: it may have missed both."""
    last = advice_again(data)
    for name in _ADVICE:
        setattr(message, name, getattr(last, name))
    message.rationale = _with_notes(message, last.rationale)
    if in_force:
        message.response.CopyFrom(advice_again(in_force).response)


def without_advice(message: adaptation_pb2.StrategyAdaptation) -> None:
    """Takes an advice out again that another worker was faster with."""
    for name in (*_ADVICE, "rationale", "response"):
        message.ClearField(name)


def advice_again(data: bytes) -> adaptation_pb2.StrategyAdaptation:
    """An advice as it was sent."""
    return adaptation_pb2.StrategyAdaptation.FromString(data)


def merged(
    waiting: adaptation_pb2.StrategyAdaptation, newer: adaptation_pb2.StrategyAdaptation
) -> adaptation_pb2.StrategyAdaptation:
    """One message for two that a slow reader has not taken: the newest state, the newest advice, every refusal."""
    found = _merged(waiting, newer)
    if found is waiting:
        found.refusals.extend(newer.refusals)
    elif waiting.refusals:
        refusals = [*waiting.refusals, *newer.refusals]
        del found.refusals[:]
        found.refusals.extend(refusals)
    return found


def _merged(
    waiting: adaptation_pb2.StrategyAdaptation, newer: adaptation_pb2.StrategyAdaptation
) -> adaptation_pb2.StrategyAdaptation:
    """All but the refusals."""
    if waiting.error and newer.error:
        newer.error = f"{waiting.error}; {newer.error}"[:MAX_ERROR]
    elif waiting.error:
        newer.error = waiting.error
    if waiting.advice_number == 0:
        if waiting.epoch and not newer.epoch:  # a refused update's error says nothing of the state
            for name in ("acknowledged_sequence", "acknowledgement", "epoch"):
                setattr(newer, name, getattr(waiting, name))
            if waiting.HasField("progress"):
                newer.progress.CopyFrom(waiting.progress)
        if waiting.action and not newer.action:  # a notice is not taken back by a bare acknowledgement
            for name in ("action", "trigger", "rationale"):
                setattr(newer, name, getattr(waiting, name))
        return newer
    if newer.action and not newer.advice_number:  # a notice goes before the advice, which stays beside it
        for name in ("action", "trigger", "rationale"):
            setattr(waiting, name, getattr(newer, name))
    if newer.advice_number:
        newer.advices_skipped += waiting.advices_skipped + 1
        return newer
    for name in ("acknowledged_sequence", "acknowledgement", "epoch", "error"):
        if newer.epoch or name == "error":
            setattr(waiting, name, getattr(newer, name))
    if newer.HasField("progress"):
        waiting.progress.CopyFrom(newer.progress)
    return waiting


def stop_in(message: adaptation_pb2.StrategyAdaptation) -> str:
    """What a message says beside the plan in force where that is not to be followed now; empty where it is."""
    if message.action in (enums_pb2.ADAPTATION_ACTION_PAUSE, enums_pb2.ADAPTATION_ACTION_STOP):
        name = enums_pb2.AdaptationAction.Name(message.action).rsplit("_", 1)[1]
        return f"{name}, do not follow this plan: {message.rationale}"
    return f"cannot complete: {message.rationale}" if message.cannot_complete else ""


def response_in(data: bytes) -> bytes:
    """The strategy that an advice brought."""
    return bytes(advice_again(data).response.SerializeToString(deterministic=True))


def strategy_of(message: adaptation_pb2.StrategyAdaptation) -> response_pb2.ExecutionStrategy | None:
    return message.response.recommended_strategy if message.HasField("response") else None
