"""When to look at an order again: cheap comparisons with every update, against the thresholds of `rules.Rules`.

Each compares with the last look, not with the plan: what was looked at once and kept does not ask again until it has
moved as far again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import msgspec

from engine.order_life.plan import Figures, Plan
from engine.order_life.rules import RULES, Rules
from engine.order_life.state import OrderState
from engine.order_life.updates import Amend, Change, Unpause, shares_of
from engine.words import exact


class Trigger(IntEnum):
    """What made the service look again. The numbers are those of the contract."""

    NONE = 0
    CONDITION_CHANGED = 1
    VOLATILITY = 2
    PARTICIPATION_DRIFT = 3
    SCHEDULE_SHORTFALL = 4
    PRICE_LIMIT = 5
    NEWS = 6
    AMENDED = 7
    DEADLINE = 8
    HALT = 9
    LIQUIDITY = 10
    REQUESTED = 11


class Look(msgspec.Struct, frozen=True, gc=False):
    """What was seen when the order was last looked at. shortfall: fraction of the plan that was not done in time.
    participation: our share of the market since the plan was made, the plan's own while the bars say too little."""

    at_ns: int
    figures: Figures
    participation: float
    shortfall: float = 0.0
    is_near_limit: bool = False
    is_pressed: bool = False
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Fired:
    """`recasts`: the schedule in force does not fit any more, whatever is decided."""

    trigger: Trigger
    words: str
    recasts: bool = False


def look_now(plan: Plan, state: OrderState, figures: Figures, demand: float, now_ns: int,
             rules: Rules = RULES) -> Look:
    """What there is to see; compared with the last look it says whether anything changed."""
    mid = state.mid_price
    room_bps = math.inf
    if mid > 0.0:
        room_bps = state.opening.side_sign * (plan.price_limit / mid - 1.0) * 1e4
    planned, due, is_over = plan.progress(now_ns)
    behind = due - max(0, state.filled_units - plan.filled_units)
    return Look(
        now_ns, figures, participation_of(plan, state, rules), max(0.0, behind / planned) if planned else 0.0,
        room_bps <= rules.limit_spreads * figures.spread_bps, demand > rules.deadline_demand,
        is_over,
    )


def fired(change: Change | None, plan: Plan, state: OrderState, before: Look, now: Look,
          rules: Rules = RULES) -> tuple[Fired, ...]:
    """Everything that changed since the last look, the most pressing first; empty nearly always."""
    found = []
    if isinstance(change, Amend):
        found.append(Fired(Trigger.AMENDED, "quantity or constraints were amended", True))
    if isinstance(change, Unpause):
        found.append(Fired(Trigger.SCHEDULE_SHORTFALL, "trading goes on after a pause", True))
    if now.is_near_limit != before.is_near_limit:
        side = "near or beyond" if now.is_near_limit else "back on the good side of"
        found.append(Fired(Trigger.PRICE_LIMIT, f"the mid {state.mid_price:g} is {side} {plan.price_limit:g}"))
    if now.is_pressed and not before.is_pressed:
        text = f"what is left needs more than {rules.deadline_demand:.0%} of what the limits allow until the deadline"
        found.append(Fired(Trigger.DEADLINE, text))
    found += market_changes(plan, before.figures, now.figures, rules)
    if now.is_over and not before.is_over:
        left = shares_of(state.open_units)
        found.append(Fired(Trigger.SCHEDULE_SHORTFALL, f"the plan is over and {exact(left)} are left", True))
    elif now.shortfall > before.shortfall + plan.shortfall_trigger_fraction:
        found.append(Fired(Trigger.SCHEDULE_SHORTFALL, f"{now.shortfall:.0%} of the plan is behind schedule"))
    if left_band(before.participation, now.participation, rules.participation_ratio):
        text = f"{now.participation:.1%} of the volume, the plan was {plan.participation_rate:.1%}"
        found.append(Fired(Trigger.PARTICIPATION_DRIFT, text))
    return tuple(found)


def market_changes(plan: Plan, old: Figures, new: Figures, rules: Rules) -> list[Fired]:
    found = []
    if new.news >= old.news + rules.news_step:
        found.append(Fired(Trigger.NEWS, f"the news score rose from {old.news:g} to {new.news:g}"))
    if new.condition is not old.condition:
        text = f"the market turned from {old.condition.name} to {new.condition.name}"
        found.append(Fired(Trigger.CONDITION_CHANGED, text))
    elif abs(new.alpha_bps_per_day - old.alpha_bps_per_day) > (
        rules.alpha_step_volatilities * old.volatility_fraction * 1e4
    ):
        text = f"expected drift from {old.alpha_bps_per_day:.0f} to {new.alpha_bps_per_day:.0f} bps a day"
        found.append(Fired(Trigger.CONDITION_CHANGED, text))
    if left_band(old.volatility_fraction, new.volatility_fraction, plan.volatility_trigger_ratio):
        text = f"daily volatility from {old.volatility_fraction:.2%} to {new.volatility_fraction:.2%}"
        found.append(Fired(Trigger.VOLATILITY, text))
    if left_band(max(old.spread_bps, 0.1), max(new.spread_bps, 0.1), rules.spread_ratio):
        text = f"the spread from {old.spread_bps:.1f} to {new.spread_bps:.1f} bps"
        found.append(Fired(Trigger.LIQUIDITY, text))
    elif left_band(old.daily_volume_shares, new.daily_volume_shares, rules.volume_ratio):
        text = f"expected daily volume from {old.daily_volume_shares:.3g} to {new.daily_volume_shares:.3g} shares"
        found.append(Fired(Trigger.LIQUIDITY, text))
    return found


def left_band(old: float, new: float, ratio: float) -> bool:
    return new > old * ratio or new * ratio < old


def participation_of(plan: Plan, state: OrderState, rules: Rules) -> float:
    traded = state.money.market_shares - plan.market_shares
    if traded < rules.least_market_fraction * plan.figures.daily_volume_shares:
        return max(plan.participation_rate, rules.least_participation)
    return max(shares_of(max(0, state.filled_units - plan.filled_units)) / traded, rules.least_participation)


def first_look(plan: Plan, demand: float, rules: Rules = RULES) -> Look:
    """What the plan was made for: nothing that it knew of is news."""
    return Look(plan.made_ns, plan.figures, max(plan.participation_rate, rules.least_participation), 0.0, False,
                demand > rules.deadline_demand)
