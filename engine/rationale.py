"""The same numbers in words. Nothing is said here that is not a field of the decision."""

from __future__ import annotations

from typing import NamedTuple

from engine.catalogue import Candidate
from engine.decision import Assessment, CostBreakdown, Flip, ResolvedInputs
from engine.request import OrderRequest

UNITS = {
    "spread_bps": ("the spread", "{:.1f} bps"),
    "daily_volatility": ("daily volatility", "{:.2%}"),
    "short_term_alpha_bps_per_day": ("short-term alpha", "{:+.0f} bps a day"),
    "quantity": ("the quantity", "{:,.0f} shares"),
}
CAUSES = (
    ("spread", "spread_bps"), ("impact", "impact_bps"), ("fees", "fees_bps"), ("dark saving", "dark_saving_bps"),
    ("timing risk", "timing_risk_bps"), ("alpha", "alpha_bps"), ("time", "time_bps"),
)


class Rival(NamedTuple):
    """The first alternative."""

    strategy_name: str
    utility_difference_bps: float
    cost_difference_bps: float
    reason: str


def rationale(request: OrderRequest, candidate: Candidate, participation: float, horizon_minutes: float,
              breakdown: CostBreakdown, completion: float, assessment: Assessment, inputs: ResolvedInputs,
              rival: Rival | None, binding: tuple[str, ...], flips: tuple[Flip, ...],
              warnings: tuple[str, ...]) -> str:
    """One paragraph: what, why, against whom, what binds, what would change it."""
    return " ".join(
        part
        for part in (
            opening(request, candidate, participation, horizon_minutes, inputs),
            condition_words(assessment),
            cost_words(breakdown, completion),
            runner_up(rival),
            f"Binding: {', '.join(binding)}." if binding else "",
            flip_words(flips),
            f"Note: {'; '.join(warnings)}." if warnings else "",
        )
        if part
    )


def opening(request: OrderRequest, candidate: Candidate, participation: float, horizon_minutes: float,
            inputs: ResolvedInputs) -> str:
    size = request.quantity_shares / inputs.average_daily_volume_shares
    verb = "buy" if request.side.sign > 0 else "sell"
    return (
        f"{candidate.strategy_name} over {horizon_minutes:.0f} min at {participation:.1%} of volume to {verb} "
        f"{size:.2%} of daily volume, for {request.objective.name} at {request.urgency.name} urgency "
        f"({candidate.spec.description})."
    )


def condition_words(assessment: Assessment) -> str:
    name = assessment.condition.name.replace("_", " ").lower()
    if not assessment.detected:
        return f"Market taken as {name}, as the request says."
    return f"Market taken as {name} ({assessment.probability:.0%}: {assessment.evidence})."


def cost_words(breakdown: CostBreakdown, completion: float) -> str:
    """Causes that matter, largest first."""
    shown = []
    for label, name in CAUSES:
        value = getattr(breakdown, name)
        if abs(value) >= 0.05:
            shown.append((abs(value), f"{label} {value:+.1f}"))
    listed = ", ".join(text for _, text in sorted(shown, reverse=True))
    return (
        f"Expected cost {breakdown.expected_cost_bps:.1f} bps +/- {breakdown.standard_deviation_bps:.1f}, completion "
        f"{completion:.0%}; utility {breakdown.utility_bps:.1f} bps = {listed or '0'}."
    )


def runner_up(rival: Rival | None) -> str:
    if rival is None:
        return "No other algorithm is allowed."
    return (
        f"Next best: {rival.strategy_name}, {rival.utility_difference_bps:.2f} bps worse in utility "
        f"({rival.cost_difference_bps:+.2f} in cost; {rival.reason})."
    )


def flip_words(flips: tuple[Flip, ...]) -> str:
    said = []
    for flip in flips[:3]:
        label, form = UNITS[flip.input_name]
        direction = "above" if flip.flip_value > flip.current_value else "below"
        said.append(f"{flip.strategy_name} if {label} were {direction} {form.format(flip.flip_value)}")
    return f"Would change to {'; to '.join(said)}." if said else ""
