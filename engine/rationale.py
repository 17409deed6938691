"""The same numbers in words. Nothing is said here that is not a field of the decision."""

from __future__ import annotations

from engine.catalogue import Candidate
from engine.decision import Alternative, Assessment, CostBreakdown, Flip, ResolvedInputs
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


def rationale(request: OrderRequest, candidate: Candidate, participation: float, horizon_minutes: float,
              breakdown: CostBreakdown, completion: float, assessment: Assessment, inputs: ResolvedInputs,
              alternatives: tuple[Alternative, ...], binding: tuple[str, ...], flips: tuple[Flip, ...],
              warnings: tuple[str, ...]) -> str:
    """One paragraph: what, why, against whom, what binds, what would change it."""
    return " ".join(
        part
        for part in (
            opening(request, candidate, participation, horizon_minutes, inputs),
            condition_words(assessment),
            cost_words(breakdown, completion),
            runner_up(alternatives),
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


def runner_up(alternatives: tuple[Alternative, ...]) -> str:
    if not alternatives:
        return "No other algorithm is allowed."
    first = alternatives[0]
    return (
        f"Next best: {first.choice.strategy_name}, {first.utility_difference_bps:.2f} bps worse in utility "
        f"({first.cost_difference_bps:+.2f} in cost; {first.reason})."
    )


def flip_words(flips: tuple[Flip, ...]) -> str:
    said = []
    for flip in flips[:3]:
        label, form = UNITS[flip.input_name]
        direction = "above" if flip.flip_value > flip.current_value else "below"
        said.append(f"{flip.strategy_name} if {label} were {direction} {form.format(flip.flip_value)}")
    return f"Would change to {'; to '.join(said)}." if said else ""


def reason_against(chosen: CostBreakdown, other: CostBreakdown) -> str:
    """The cause in which an alternative loses most, and the one in which it gains most."""
    # The figures in the order of CAUSES, written out: this runs for every alternative.
    gaps = (
        (other.spread_bps - chosen.spread_bps, "spread"), (other.impact_bps - chosen.impact_bps, "impact"),
        (other.fees_bps - chosen.fees_bps, "fees"), (other.dark_saving_bps - chosen.dark_saving_bps, "dark saving"),
        (other.timing_risk_bps - chosen.timing_risk_bps, "timing risk"), (other.alpha_bps - chosen.alpha_bps, "alpha"),
        (other.time_bps - chosen.time_bps, "time"),
    )
    worst, best = max(gaps), min(gaps)
    words = f"{worst[1]} {worst[0]:+.2f}" if worst[0] > 0.005 else "no cause stands out"
    return f"{words}, {best[1]} {best[0]:+.2f}" if best[0] < -0.005 else words
