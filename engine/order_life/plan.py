"""The plan that an order follows, and the figures it is watched by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from engine.catalogue import CATALOGUE, RESTING_WHOLE, HorizonRule
from engine.decision import Decision, ParameterValue, SlicePhase
from engine.order_life.state import OrderState
from engine.order_life.updates import UNITS_PER_SHARE, shares_of
from engine.request import Constraints, Context, OrderRequest
from engine.resolve import window_share
from engine.sessions import MINUTE_NS, instant_of, locate, minute_of
from engine.snapshot import InstrumentView
from engine.values import MarketCondition

RULE_OF: Final = {spec.name: spec.rule for spec in CATALOGUE}
# A closing call lasts three to ten minutes from the end of continuous trading, and its fills come after it.
AUCTION_NS: Final = 15 * MINUTE_NS


class Figures(msgspec.Struct, frozen=True, gc=False):
    """The market as far as a plan depends on it."""

    condition: MarketCondition
    volatility_fraction: float
    spread_bps: float
    daily_volume_shares: float
    alpha_bps_per_day: float
    news: float


class Step(msgspec.Struct, frozen=True, gc=False):
    """A slice: from, until, and how much. Plans have dozens, and thousands of plans are in force."""

    start_ns: int
    end_ns: int
    units: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is followed since `made_ns`. filled_units, market_shares: of the order and its market at that moment.

    deadline_ns: when the order must be done, by its time limit or the close. price_limit: where to stop.
    """

    algorithm: str
    strategy_name: str
    parameters: Mapping[str, ParameterValue]
    made_ns: int
    deadline_ns: int
    steps: tuple[Step, ...]
    filled_units: int
    market_shares: float
    figures: Figures
    price_limit: float
    max_participation_rate: float
    participation_rate: float
    volatility_trigger_ratio: float
    shortfall_trigger_fraction: float
    expected_impact_bps: float

    @property
    def planned_units(self) -> int:
        return sum(step.units for step in self.steps)

    @property
    def end_ns(self) -> int:
        """Of the last slice; when it was made where there is none."""
        return max((step.end_ns for step in self.steps), default=self.made_ns)

    def is_over(self, now_ns: int) -> bool:
        """Whether its time has come to an end; what follows the market's volume goes on until the deadline."""
        return self.progress(now_ns)[2]

    def progress(self, now_ns: int) -> tuple[int, int, bool]:
        """(planned units, due units, whether it is over) in one walk: asked with every update. What rests whole fills
        as the market comes: nothing of it is due before the end. A slice of no length is in the closing auction, and
        due when that has had its time."""
        planned, due, end_ns = 0, 0, self.made_ns
        by_clock = self.algorithm not in RESTING_WHOLE
        for number, step in enumerate(self.steps):
            units, until_ns = step.units, step.end_ns
            if until_ns == step.start_ns:
                until_ns += AUCTION_NS
            planned += units
            if number == 0 or until_ns > end_ns:
                end_ns = until_ns
            if now_ns >= until_ns:
                due += units
            elif by_clock and step.end_ns > now_ns > step.start_ns:
                due += units * (now_ns - step.start_ns) // (until_ns - step.start_ns)
        follows = RULE_OF[self.algorithm] is HorizonRule.RATE and now_ns < self.deadline_ns
        return planned, due, bool(self.steps) and now_ns >= end_ns and not follows

    def due_units(self, now_ns: int) -> int:
        """What the slices want done by now, beside what was filled before."""
        return self.progress(now_ns)[1]


def plan_of(decision: Decision, state: OrderState, made_ns: int, deadline_ns: int) -> Plan:
    """The plan that a decision makes for an order in this state."""
    controls, inputs = decision.risk_controls, decision.inputs
    rate = decision.chosen.parameters["participation_rate"]
    return Plan(
        algorithm=decision.chosen.algorithm, strategy_name=decision.chosen.strategy_name,
        parameters=decision.chosen.parameters, made_ns=made_ns, deadline_ns=deadline_ns,
        steps=tuple(
            Step(s.start_ns, s.start_ns + round(s.duration_seconds * 1e9), round(s.quantity_shares * UNITS_PER_SHARE))
            for s in decision.schedule.slices
            if s.phase is not SlicePhase.CARRY_OVER
        ),
        filled_units=state.filled_units, market_shares=state.money.market_shares,
        figures=Figures(
            decision.assessment.condition, inputs.daily_volatility_fraction, inputs.spread_bps,
            inputs.average_daily_volume_shares, inputs.short_term_alpha_bps_per_day,
            state.context.news_impact_score or 0.0,
        ),
        price_limit=controls.price_limit, max_participation_rate=controls.max_participation_rate,
        participation_rate=float(rate), volatility_trigger_ratio=controls.volatility_trigger_ratio,
        shortfall_trigger_fraction=controls.schedule_shortfall_trigger_fraction,
        expected_impact_bps=decision.chosen.outcomes.market_impact_fraction * 1e4,
    )  # fmt: skip


def deadline_of(view: InstrumentView, constraints: Constraints, start_ns: int) -> int:
    """When an order that started at `start_ns` must be done: trading minutes of its limit, at most the close."""
    point = locate(view.sessions, start_ns)
    if point is None:
        return start_ns
    limit = constraints.time_limit_minutes
    minute = point.session_minutes if limit is None else min(point.session_minutes, point.minute + limit)
    return instant_of(point.session, minute)


def amended_plan(plan: Plan, view: InstrumentView, constraints: Constraints, started_ns: int) -> Plan:
    """The plan in force as far as it can keep to new constraints: until when it may go on, and where it has to stop."""
    limit = constraints.price_limit
    return replace(
        plan, deadline_ns=deadline_of(view, constraints, started_ns),
        price_limit=plan.price_limit if limit is None else limit,
    )


def minutes_left(view: InstrumentView, now_ns: int, deadline_ns: int) -> tuple[float, float]:
    """(trading minutes until the deadline, minute of the session they start at); 0 once it has passed."""
    point = locate(view.sessions, now_ns)
    if point is None or point.session.open_ns >= deadline_ns:
        return 0.0, 0.0
    return max(0.0, minute_of(point.session, deadline_ns) - point.minute), point.minute


def demand_of(view: InstrumentView, plan: Plan, figures: Figures, open_units: int, now_ns: int) -> float:
    """What is left over all that the participation limit allows until the deadline; above 1 it cannot be done."""
    left, minute = minutes_left(view, now_ns, plan.deadline_ns)
    share = window_share(view.curve_at(now_ns), minute, left)
    if plan.algorithm == "TARGET_CLOSE":
        share += view.instrument.close_auction_fraction
    allowed = plan.max_participation_rate * share * figures.daily_volume_shares
    shares = shares_of(open_units)
    return shares / allowed if allowed > 0.0 else (0.0 if shares == 0.0 else float("inf"))


def remainder_of(request: OrderRequest, state: OrderState, view: InstrumentView, context: Context, deadline_ns: int,
                 start_ns: int, number: int) -> OrderRequest | None:
    """The order of what is left, with its own limits and the newest market; None where no lot or minute is left."""
    lot = view.instrument.lot_size_shares
    lots = int(shares_of(state.open_units) / lot + 1e-9)
    left, _ = minutes_left(view, start_ns, deadline_ns)
    if lots < 1 or left < 1.0:
        return None
    constraints = state.constraints or request.constraints
    if constraints.time_limit_minutes is not None:
        constraints = replace(constraints, time_limit_minutes=int(left))
    # Another seed, so that the slices of each advice lie elsewhere; the same for a replay.
    seed = (request.seed + number * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    return replace(
        request, quantity_shares=lots * lot, start_ns=start_ns, seed=seed, constraints=constraints,
        urgency=state.urgency or request.urgency, context=context,
    )
