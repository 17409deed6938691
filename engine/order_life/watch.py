"""One order under watch: every update through the triggers, and only after one of them the remainder decided anew."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from statistics import median
from typing import Final

import msgspec
from msgspec import structs

from engine.assumptions import StructuralAssumptions
from engine.order_life.now import Order, Quote, context_now, figures_now, quote_of
from engine.order_life.plan import Figures, Plan, amended_plan, demand_of, minutes_left, plan_of, remainder_of
from engine.order_life.reading import Reading, day_of, minutes_of_bars, read
from engine.order_life.readvise import PRESSING, Action, Advice, readvise
from engine.order_life.rules import RULES, Rules
from engine.order_life.state import OrderState
from engine.order_life.triggers import Fired, Look, Trigger, fired, first_look, look_now
from engine.order_life.updates import Amend, Change, Market, shares_of
from engine.request import OrderRequest
from engine.simulator.market import Levels
from engine.snapshot import InstrumentView, Snapshot
from engine.values import Bar, MarketCondition
from engine.words import exact


class Amended(IntEnum):
    """Whether the plan in force was made before the order's newest amendment. UNSEEN: nobody has looked for another
    yet. UNMET: there was none to be found."""

    NO = 0
    UNSEEN = 1
    UNMET = 2


# Of an amendment that came while the order was paused or halted, or that no plan could meet when it came.
AMENDED_BEFORE: Final = Fired(Trigger.AMENDED, "the plan in force is older than the order's amendment", True)


@dataclass(frozen=True, slots=True)
class Watch:
    """`request` is the order as it was recommended; amendments are in its state. started_ns: of its first plan, from
    which a time limit counts. first: the figures that plan was made with."""

    request: OrderRequest
    started_ns: int
    plan: Plan
    look: Look
    first: Figures
    advice_number: int = 0
    switched_ns: int = 0
    amended: Amended = Amended.NO


class Watched(msgspec.Struct, frozen=True):
    """The watch after an update, and the advice if there was reason for one."""

    watch: Watch
    advice: Advice | None = None
    remainder: OrderRequest | None = None


def watch_of(request: OrderRequest, started_ns: int, plan: Plan, view: InstrumentView, number: int = 0,
             look: Look | None = None, rules: Rules = RULES) -> Watch:
    """From the plan in force; `look` is the last advice's, where there was one."""
    if look is None:
        look = first_look(plan, demand_of(view, plan, plan.figures, plan.planned_units, plan.made_ns), rules)
    return Watch(request, started_ns, plan, look, plan.figures, number)


def seen(watch: Watch, state: OrderState, change: Change | None, snapshot: Snapshot, now_ns: int,
         forced: str = "", rules: Rules = RULES) -> Watched:
    """An update that was applied, or (None) a look without one. `forced`: look again whatever there is, and why."""
    view = snapshot.views.get(watch.request.instrument_id)
    if view is None:
        return Watched(watch)
    if state.has_ended:  # another amendment may open it again
        return Watched(amended(watch, change, view))
    bars = change.context.bars if isinstance(change, Market) else ()
    # A gateway that names the condition is believed: its bars are read where the order is looked at, not before.
    is_told = bool(bars) and state.context.condition is not MarketCondition.UNSPECIFIED
    reading = None
    if bars:
        watch = begun(watch, view, state, bars, snapshot.assumptions, rules)
        if not is_told:
            reading = reading_of(view, bars, snapshot.assumptions)
        view = with_reading(view, bars, reading)
        state = steadied(state, bars, rules.spread_minutes)
    was_unseen = watch.amended is Amended.UNSEEN
    watch = amended(watch, change, view)
    plan = watch.plan
    order = Order(watch.request, state, view, watch.first, watch.look.figures)
    quote = quote_of(order)
    if quote.mid_price != state.mid_price:
        state = structs.replace(state, mid_price=quote.mid_price)
        order = structs.replace(order, state=state)
    figures = figures_now(order, quote.spread_bps, snapshot.assumptions, now_ns, rules)
    demand = demand_of(view, plan, figures, state.open_units, max(now_ns, watch.started_ns))
    now = look_now(plan, state, figures, demand, now_ns, rules)
    why = fired(change, plan, state, watch.look, now, rules)
    if was_unseen and not isinstance(change, Amend):
        why = (AMENDED_BEFORE, *why)
    if forced:
        why = (Fired(Trigger.REQUESTED, forced), *why)
    if state.is_paused or not why or is_young(watch, why, now_ns, rules):
        # What is not looked at is not seen: the end of the pause, or of the plan's first minutes, looks again.
        return Watched(watch)
    if is_told:
        reading = reading_of(view, bars, snapshot.assumptions)
        view = with_reading(view, bars, reading)
        order = structs.replace(order, view=view)
    known = None if reading is None else day_of(reading)
    return look_again(replace(watch, look=now), order, quote, why, snapshot, now_ns, rules, known)


def is_young(watch: Watch, why: tuple[Fired, ...], now_ns: int, rules: Rules) -> bool:
    """Whether the plan was changed a moment ago and nothing presses."""
    presses = any(reason.trigger in PRESSING or reason.recasts for reason in why)
    return not presses and now_ns - watch.switched_ns < rules.switching.dwell_ns


def noted(watch: Watch, change: Change | None, snapshot: Snapshot) -> Watch:
    """What an update changes of the plan's frame, without looking at the market: while the order is halted."""
    view = snapshot.views.get(watch.request.instrument_id)
    return watch if view is None else amended(watch, change, view)


def amended(watch: Watch, change: Change | None, view: InstrumentView) -> Watch:
    """The watch after an amendment that nobody has looked at yet."""
    if not isinstance(change, Amend):
        return watch
    plan = watch.plan
    if change.constraints is not None:
        plan = amended_plan(plan, view, change.constraints, watch.started_ns)
    return replace(watch, plan=plan, amended=Amended.UNSEEN)


def amended_since(watch: Watch, before: OrderState | None, state: OrderState, view: InstrumentView) -> Watch:
    """The watch of the newest advice, or of the decision (`before` None), with what was amended since then: nobody may
    have looked at it, while the order was halted or paused, say."""
    now = Amend(state.parent_units, state.constraints, state.urgency)
    then = Amend(state.opening.parent_units)
    if before is not None:
        then = Amend(before.parent_units, before.constraints, before.urgency)
    return watch if then == now else amended(watch, now, view)


def look_again(watch: Watch, order: Order, quote: Quote, why: tuple[Fired, ...], snapshot: Snapshot, now_ns: int,
               rules: Rules = RULES, known: Levels | None = None) -> Watched:
    """Decides the remainder anew. known: of the day, from its bars."""
    plan, number, state, view = watch.plan, watch.advice_number + 1, order.state, order.view
    start_ns = max(now_ns, watch.started_ns)  # an order for later stays one for later
    if watch.amended is Amended.UNMET:
        why = (*why, AMENDED_BEFORE)
    # New limits that no plan keeps: the one in force may break them.
    is_bound = watch.amended is not Amended.NO and state.constraints is not None
    context = context_now(order, quote, watch.look.figures, now_ns)
    remainder = remainder_of(watch.request, state, view, context, plan.deadline_ns, start_ns, number)
    if remainder is None:
        left, _ = minutes_left(view, start_ns, plan.deadline_ns)
        text = (
            f"{exact(shares_of(state.open_units))} are left, {left:.0f} minutes before the deadline: "
            "no whole lot or no minute to plan with"
        )
        advice = Advice(Action.KEEP, why[0].trigger, f"{why[0].words}; {text}", cannot_complete=left < 1.0)
        return Watched(unmet(watch, number), held_back(advice) if is_bound else advice)
    if view is not snapshot.views[watch.request.instrument_id]:
        snapshot = replace(snapshot, views={**snapshot.views, watch.request.instrument_id: view})
    advice = readvise(remainder, plan, state, why, snapshot, start_ns, rules.switching, known)
    if advice.decision is None:
        watch = unmet(watch, number)
        advice = held_back(advice) if is_bound else advice
    else:
        plan = plan_of(advice.decision, state, now_ns, plan.deadline_ns)
        demand = demand_of(view, plan, plan.figures, state.open_units, start_ns)
        # What was seen stays seen: the new plan was made for these very figures.
        look = structs.replace(
            first_look(plan, demand, rules), figures=watch.look.figures, is_near_limit=watch.look.is_near_limit
        )
        watch = replace(watch, plan=plan, switched_ns=start_ns, look=look, amended=Amended.NO)
    return Watched(replace(watch, advice_number=number), advice, remainder)


def unmet(watch: Watch, number: int) -> Watch:
    """After an advice without a plan."""
    after = Amended.NO if watch.amended is Amended.NO else Amended.UNMET
    return replace(watch, advice_number=number, amended=after)


def held_back(advice: Advice) -> Advice:
    """Nothing is to be sent by a plan that may break the amended limits."""
    text = f"{advice.rationale}; the plan in force was made before the amendment and may not keep to it: send nothing"
    return replace(advice, action=Action.PAUSE, rationale=text, cannot_complete=True)


def begun(watch: Watch, view: InstrumentView, state: OrderState, bars: tuple[Bar, ...],
          assumptions: StructuralAssumptions, rules: Rules) -> Watch:
    """The watch with its first look made by the filter too, from the bars until the plan was made: a plan is left for
    what changed since, not because two readers of the same bars differ. No look but the first is as old as its plan
    while no advice was given."""
    plan, look = watch.plan, watch.look
    if watch.advice_number or look.at_ns != plan.made_ns or not bars:
        return watch
    earlier = tuple(bar for bar in bars if bar.end_ns <= plan.made_ns)
    then = with_reading(view, earlier, reading_of(view, earlier, assumptions))
    figures = look.figures
    if then is not view:
        order = Order(watch.request, state, then, watch.first, figures)
        seen_then = figures_now(order, figures.spread_bps, assumptions, plan.made_ns, rules)
        # Only what hangs on the condition: spread, news and drift were in the plan's own inputs.
        figures = structs.replace(
            figures, condition=seen_then.condition, volatility_fraction=seen_then.volatility_fraction,
            daily_volume_shares=seen_then.daily_volume_shares,
        )  # fmt: skip
    return replace(watch, look=structs.replace(look, at_ns=plan.made_ns + 1, figures=figures))


def reading_of(view: InstrumentView, bars: tuple[Bar, ...], assumptions: StructuralAssumptions) -> Reading | None:
    """What the filter reads from the gateway's own bars; None where it sent too few."""
    minutes = minutes_of_bars(view, bars)
    return None if minutes is None else read(minutes, assumptions)


def with_reading(view: InstrumentView, bars: tuple[Bar, ...], reading: Reading | None) -> InstrumentView:
    """The view with the condition that was read."""
    if reading is None:
        return view
    return replace(view, estimate=reading.estimate(), estimate_as_of_ns=bars[-1].end_ns)


def steadied(state: OrderState, bars: tuple[Bar, ...], minutes: int) -> OrderState:
    """The state with the median spread of the newest bars in place of the quote of this moment: that one is noise for
    a plan of more than a minute."""
    spreads = [bar.spread_bps for bar in bars[-minutes:] if 0.0 < bar.spread_bps < math.inf]
    if len(spreads) < minutes:
        return state
    context = replace(state.context, spread_bps=median(spreads))
    return structs.replace(state, context=context, quoted_ns=max(state.quoted_ns, bars[-1].end_ns))
