"""What the gateway must stop at, and the last look at a decision before it leaves: limits fail closed."""

from __future__ import annotations

import math

from engine.decision import Decision, RiskControls, Schedule
from engine.resolve import Resolved
from engine.snapshot import Limits

VOLATILITY_TRIGGER_RATIO = 1.6
SHORTFALL_TRIGGER_FRACTION = 0.10
SPREAD_CAP_RATIO = 3.0
SLICE_HEADROOM = 1.5


def risk_controls(resolved: Resolved, schedule: Schedule, limits: Limits) -> RiskControls:
    """Bounds for the gateway, from the plan and the limits."""
    request, inputs = resolved.request, resolved.inputs
    # The collar is wide enough for the day's own noise over the horizon and never wider than the configured one,
    # unless that is narrower than the noise of one standard deviation.
    wander_bps = inputs.daily_volatility_fraction * 1e4 * math.sqrt(
        schedule.horizon_minutes / resolved.point.session_minutes
    )
    collar_bps = max(min(limits.price_collar_bps, 4.0 * wander_bps + 5.0 * inputs.spread_bps), wander_bps)
    price = inputs.mid_price * (1.0 + request.side.sign * collar_bps / 1e4)
    limit = request.constraints.price_limit
    if limit is not None and request.side.sign * (limit - price) <= 0.0:
        price, collar_bps = limit, 0.0
    largest = max((s.quantity_shares for s in schedule.slices), default=0.0)
    return RiskControls(
        max_participation_rate=inputs.max_participation_rate,
        max_slice_shares=min(request.quantity_shares, largest * SLICE_HEADROOM),
        price_limit=max(price, 0.0),
        price_collar_bps=collar_bps,
        max_spread_bps=max(SPREAD_CAP_RATIO * inputs.spread_bps, 1.0),
        volatility_trigger_ratio=VOLATILITY_TRIGGER_RATIO,
        schedule_shortfall_trigger_fraction=SHORTFALL_TRIGGER_FRACTION,
    )


def faults_of(decision: Decision, resolved: Resolved) -> list[str]:
    """Everything about a decision that must not leave the house; empty for a sound one."""
    request = resolved.request
    faults = []
    shares = decision.venue_allocation
    if not shares or abs(sum(shares.values()) - 1.0) > 1e-9 or min(shares.values()) < 0.0:
        faults.append("venue shares do not sum to 1")
    allowed = {venue.mic for venue in (*resolved.lit, *resolved.dark)}
    faults += [f"venue {mic} is not allowed" for mic in shares if mic not in allowed]
    planned = math.fsum(s.quantity_shares for s in decision.schedule.slices)
    if abs(planned - request.quantity_shares) > 1e-9 * request.quantity_shares:
        faults.append(f"schedule plans {planned:g} of {request.quantity_shares:g}")
    if decision.schedule.horizon_minutes > resolved.inputs.available_minutes + 1e-6:
        faults.append("schedule runs beyond the time there is")
    if decision.schedule.end_ns > resolved.point.session.close_ns:
        faults.append("schedule runs beyond the close")
    outcomes = decision.chosen.outcomes
    numbers = (
        outcomes.cost_fraction, outcomes.market_impact_fraction, outcomes.completion_probability,
        outcomes.standard_deviation_fraction, outcomes.utility_bps, decision.confidence,
        decision.risk_controls.price_limit, decision.breakdown.expected_cost_bps,
    )
    if not all(math.isfinite(number) for number in numbers):
        faults.append("a forecast is not a number")
    if not 0.0 <= outcomes.completion_probability <= 1.0 or not 0.0 <= decision.confidence <= 1.0:
        faults.append("a probability lies outside 0 to 1")
    return faults
