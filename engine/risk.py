"""What the gateway must stop at, and the last look at a decision before it leaves: limits fail closed."""

from __future__ import annotations

import math

from engine.decision import Decision, RiskControls, Schedule
from engine.resolve import Resolved
from engine.snapshot import Limits
from engine.words import exact

VOLATILITY_TRIGGER_RATIO = 1.6
SHORTFALL_TRIGGER_FRACTION = 0.10
SPREAD_CAP_RATIO = 3.0
SLICE_HEADROOM = 1.5


def risk_controls(resolved: Resolved, schedule: Schedule, limits: Limits) -> RiskControls:
    """Bounds for the gateway, from the plan and the limits."""
    request, inputs = resolved.request, resolved.inputs
    # The collar is wide enough for the day's own noise over the horizon and never wider than the configured one,
    # unless that is narrower than the noise of one standard deviation.
    wander_bps = inputs.daily_volatility_fraction * 1e4 * math.sqrt(schedule.horizon_minutes / resolved.day_minutes)
    collar_bps = max(min(limits.price_collar_bps, 4.0 * wander_bps + 5.0 * inputs.spread_bps), wander_bps)
    price = inputs.mid_price * (1.0 + request.side.sign * collar_bps / 1e4)
    limit = request.constraints.price_limit
    if limit is not None and request.side.sign * (limit - price) <= 0.0:
        price, collar_bps = limit, 0.0
    return RiskControls(
        max_participation_rate=inputs.max_participation_rate,
        max_slice_shares=min(request.quantity_shares, schedule.largest_shares * SLICE_HEADROOM),
        # A sell's collar of more than the whole price still leaves a price to stop at.
        price_limit=price if price > 0.0 else resolved.view.instrument.tick_size,
        price_collar_bps=collar_bps,
        max_spread_bps=max(SPREAD_CAP_RATIO * inputs.spread_bps, 1.0),
        volatility_trigger_ratio=VOLATILITY_TRIGGER_RATIO,
        schedule_shortfall_trigger_fraction=SHORTFALL_TRIGGER_FRACTION,
    )


def broken_limits(decision: Decision, resolved: Resolved) -> list[str]:
    """The request's own limits that a decision breaks. Comparisons are made so that NaN counts as broken."""
    request, constraints = resolved.request, resolved.request.constraints
    outcomes, controls = decision.chosen.outcomes, decision.risk_controls
    faults = []
    if not float(decision.chosen.parameters["participation_rate"]) <= controls.max_participation_rate * (1.0 + 1e-9):
        faults.append("the strategy's rate is above the participation limit")
    least = constraints.min_completion_probability
    if least is not None and not outcomes.completion_probability >= least:
        faults.append("completion is less likely than required")
    limit, sign = constraints.price_limit, request.side.sign
    if limit is not None and not sign * (controls.price_limit - limit) <= 1e-12 * limit:
        faults.append("the price control is beyond the price limit")
    if constraints.dark_pool_preference and resolved.dark and not decision.chosen.parameters["dark_pool_ratio"]:
        faults.append("the strategy uses no dark venue")
    time_limit = constraints.time_limit_minutes
    if time_limit is not None and not decision.schedule.horizon_minutes <= time_limit + 1e-9:
        faults.append("the strategy takes longer than the time limit")
    return faults


def faults_of(decision: Decision, resolved: Resolved) -> list[str]:
    """Everything about a decision that must not leave the house; empty for a sound one. Comparisons are made so that
    NaN counts as a fault."""
    request = resolved.request
    faults = broken_limits(decision, resolved)
    shares = decision.venue_allocation
    if not abs(sum(shares.values()) - 1.0) <= 1e-9 or not all(share >= 0.0 for share in shares.values()):
        faults.append("venue shares do not sum to 1")
    faults += [f"venue {mic} is not allowed" for mic in shares if mic not in resolved.venues.mics]
    planned = decision.schedule.planned_shares
    if not abs(planned - request.quantity_shares) <= 1e-9 * request.quantity_shares:
        faults.append(f"schedule plans {exact(planned)} of {exact(request.quantity_shares)}")
    if not decision.schedule.horizon_minutes <= resolved.inputs.available_minutes + 1e-6:
        faults.append("schedule runs beyond the time there is")
    if decision.schedule.end_ns > resolved.point.session.close_ns:
        faults.append("schedule runs beyond the close")
    outcomes = decision.chosen.outcomes
    numbers = (
        outcomes.cost_fraction, outcomes.market_impact_fraction, outcomes.completion_probability,
        outcomes.standard_deviation_fraction, outcomes.utility_bps, decision.confidence,
        decision.risk_controls.price_limit, decision.breakdown.expected_cost_bps,
    )
    if not all(map(math.isfinite, numbers)):
        faults.append("a forecast is not a number")
    if not 0.0 <= outcomes.completion_probability <= 1.0 or not 0.0 <= decision.confidence <= 1.0:
        faults.append("a probability lies outside 0 to 1")
    return faults
