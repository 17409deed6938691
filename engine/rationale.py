"""The same numbers in words. Nothing is said here that is not a field of the decision."""

from __future__ import annotations

from typing import NamedTuple

from engine.catalogue import Candidate, HorizonRule
from engine.decision import Assessment, CostBreakdown, Flip, Outcomes, ResolvedInputs
from engine.request import OrderRequest
from engine.values import MarketCondition


class Unit(NamedTuple):
    """How an input is told; what is less than `least` in `small`, so that it does not read as 0."""

    label: str
    form: str
    least: float = 0.0
    small: str = ""


UNITS = {
    "spread_bps": Unit("the spread", "{:.1f} bps", 1.0, "{:.2g} bps"),
    "daily_volatility": Unit("daily volatility", "{:.2%}"),
    "short_term_alpha_bps_per_day": Unit("short-term alpha", "{:+.0f} bps a day", 10.0, "{:+.2g} bps a day"),
    # Lots may be parts of a share.
    "quantity": Unit("the quantity", "{:,.15g} shares"),
}
CONDITION_WORDS = {condition: condition.name.replace("_", " ").lower() for condition in MarketCondition}
NO_MODELS = (
    "Decided by the structural model alone: no learned models are loaded, or too little of the deadline was left."
)
# Causes that matter less are not told.
LEAST_BPS = 0.05


class Rival(NamedTuple):
    """The first alternative; its utility difference is below 0 where the choice was drawn to learn."""

    strategy_name: str
    utility_difference_bps: float
    cost_difference_bps: float
    reason: str


def rationale(request: OrderRequest, candidate: Candidate, participation: float, horizon_minutes: float,
              outcomes: Outcomes, breakdown: CostBreakdown, assessment: Assessment, inputs: ResolvedInputs,
              rival: Rival | None, binding: tuple[str, ...], flips: tuple[Flip, ...],
              warnings: tuple[str, ...], has_models: bool) -> str:
    """One paragraph: what, why, against whom, what binds, what would change it. `has_models`: there were models to ask;
    where those that there were had no say, a warning tells why."""
    pace = pace_words(candidate, participation, horizon_minutes, outcomes.time_minutes)
    completion = completion_words(candidate, outcomes.completion_probability)
    parts = [
        opening(request, candidate, pace, inputs), condition_words(assessment), cost_words(breakdown, completion),
        runner_up(rival),
    ]
    if binding:
        parts.append(f"Binding: {', '.join(binding)}.")
    if flips:
        parts.append(flip_words(flips))
    if not has_models:
        parts.append(NO_MODELS)
    if warnings:
        parts.append(f"Note: {'; '.join(warnings)}.")
    return " ".join(parts)


def opening(request: OrderRequest, candidate: Candidate, pace: str, inputs: ResolvedInputs) -> str:
    size = request.quantity_shares / inputs.average_daily_volume_shares
    verb = "buy" if request.side.sign > 0 else "sell"
    return (
        f"{candidate.strategy_name} {pace} to {verb} {size:.2%} of daily volume, for {request.objective._name_} at "
        f"{request.urgency._name_} urgency ({candidate.spec.description})."
    )


def pace_words(candidate: Candidate, participation: float, horizon_minutes: float, expected_minutes: int) -> str:
    """What rests whole has no pace: it is done when it is filled."""
    if candidate.spec.rests_whole:
        return f"for up to {horizon_minutes:.0f} min ({expected_minutes} expected)"
    return f"over {horizon_minutes:.0f} min at {participation:.1%} of volume"


def condition_words(assessment: Assessment) -> str:
    name = CONDITION_WORDS[assessment.condition]
    if not assessment.detected:
        return f"Market taken as {name}, as the request says."
    return f"Market taken as {name} ({assessment.probability:.0%}: {assessment.evidence})."


def completion_words(candidate: Candidate, completion: float) -> str:
    """What follows the market's volume goes on until it is done, however long its horizon was forecast to be."""
    until = " by the deadline" if candidate.spec.rule is HorizonRule.RATE else ""
    return f"completion {completion:.0%}{until}"


def cost_words(breakdown: CostBreakdown, completion: str) -> str:
    """Causes that matter, largest first; they sum to the utility but for those that do not."""
    causes = (
        ("spread", breakdown.spread_bps), ("impact", breakdown.impact_bps), ("fees", breakdown.fees_bps),
        ("dark saving", breakdown.dark_saving_bps), ("learned correction", breakdown.learned_correction_bps),
        ("timing risk", breakdown.timing_risk_bps), ("alpha", breakdown.alpha_bps), ("time", breakdown.time_bps),
    )  # fmt: skip
    shown = [(abs(value), f"{label} {value:+.1f}") for label, value in causes if abs(value) >= LEAST_BPS]
    shown.sort(reverse=True)
    listed = ", ".join([text for _, text in shown])
    return (
        f"Expected cost {breakdown.expected_cost_bps:z.1f} bps +/- {breakdown.standard_deviation_bps:.1f}, "
        f"{completion}; utility {breakdown.utility_bps:z.1f} bps = {listed or '0'}."
    )


def runner_up(rival: Rival | None) -> str:
    if rival is None:
        return "No other algorithm is allowed."
    gap = rival.utility_difference_bps
    said, how = ("Next best", "worse") if gap >= 0.0 else ("Best as far as is known", "better")
    return (
        f"{said}: {rival.strategy_name}, {abs(gap):.2f} bps {how} in utility "
        f"({rival.cost_difference_bps:+z.2f} in cost; {rival.reason})."
    )


def flip_words(flips: tuple[Flip, ...]) -> str:
    """Of at least one."""
    said = []
    for flip in flips[:3]:
        unit, value = UNITS[flip.input_name], flip.flip_value
        direction = "above" if value > flip.current_value else "below"
        form = unit.form if abs(value) >= unit.least else unit.small
        said.append(f"{flip.strategy_name} if {unit.label} were {direction} {form.format(value)}")
    return f"Would change to {'; to '.join(said)}."
