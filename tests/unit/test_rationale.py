"""What an answer says against what its numbers are."""

from __future__ import annotations

import re
from functools import cache

import pytest

from engine.decide import decide
from engine.decision import (
    Alternative,
    Assessment,
    CostBreakdown,
    Decision,
    Flip,
    Outcomes,
    Refusal,
    ResolvedInputs,
    SlicePhase,
)
from engine.rationale import Rival, flip_words, rationale, runner_up
from engine.snapshot import Snapshot
from engine.values import MarketCondition, Objective, Urgency
from tests.helpers import world
from tests.helpers.decision_checks import assert_sound
from tests.helpers.learned_world import learned_world

CAUSES = {
    "alpha": "alpha_bps", "dark saving": "dark_saving_bps", "fees": "fees_bps", "impact": "impact_bps",
    "learned correction": "learned_correction_bps", "spread": "spread_bps", "time": "time_bps",
    "timing risk": "timing_risk_bps",
}
# How far a sum of so many figures in tenths may lie off, with what is too small to be told.
ROUNDING_BPS = 0.05 * (len(CAUSES) + 1)


def decided(snapshot: Snapshot, **fields: object) -> Decision:
    answer = decide(world.order(**fields), snapshot)  # type: ignore[arg-type]
    assert isinstance(answer, Decision), answer
    return answer


@cache
def answers() -> tuple[Decision, ...]:
    """Orders that the shipped models decide, of every objective and urgency."""
    found = [
        decided(learned_world(), instrument_id=name, objective=objective, urgency=urgency, share=share)
        for name, share in ((world.US, 0.03), ("RLH", 0.1), (world.CHINA, 0.01))
        for objective in Objective
        for urgency in Urgency
    ]
    assert not any(one.structural_only for one in found)
    return tuple(found)


def test_the_causes_told_sum_to_the_utility() -> None:
    told_of = 0
    for answer in answers():
        listed = re.search(r"utility (\S+) bps = (.*?)\. Next best", answer.rationale)
        assert listed is not None, answer.rationale
        figures = dict(one.rsplit(" ", 1) for one in listed[2].split(", "))
        assert sum(map(float, figures.values())) == pytest.approx(answer.breakdown.utility_bps, abs=ROUNDING_BPS)
        for name, figure in figures.items():
            assert float(figure) == pytest.approx(getattr(answer.breakdown, CAUSES[name]), abs=0.0501)
        told_of += "learned correction" in figures
    assert told_of > 20


def test_a_reason_may_be_what_the_models_add() -> None:
    """What an alternative loses most in is told, also where the structural causes do not have it."""
    others = [one for answer in answers() for one in answer.alternatives]
    told = [one.reason for one in others if one.reason.startswith("learned correction")]
    assert len(told) > 5, len(others)
    worse = [one for one in others if one.utility_difference_bps > 0.1]
    assert worse
    assert not [one.reason for one in worse if "no cause stands out" in one.reason]
    assert all(leads(one) for one in worse)


def leads(one: Alternative) -> bool:
    """Of eight causes that sum to a difference the greatest is at least an eighth of it."""
    greatest = float(one.reason.split(",")[0].rsplit(" ", 1)[1])
    return greatest >= one.utility_difference_bps / len(CAUSES) - 0.01


def test_a_rate_is_told_as_the_strategy_has_it() -> None:
    """Also of an order that is done within its first minute, where it comes to less of that minute's volume."""
    answer = decided(world.usual(), share=2e-5, objective=Objective.MINIMIZE_RISK, urgency=Urgency.URGENT)
    assert answer.chosen.algorithm == "POV"
    assert answer.schedule.horizon_minutes == 1.0
    rate = float(answer.chosen.parameters["participation_rate"])
    assert f" at {rate:.1%} of volume to buy" in answer.rationale


# What binds.


def test_a_time_limit_beyond_the_close_does_not_bind() -> None:
    fields = {"share": 0.02, "minutes": 300.0, "objective": Objective.MINIMIZE_COST, "urgency": Urgency.LOW}
    beyond = decided(world.usual(), time_limit_minutes=400, **fields)
    assert "session close in 90 min" in beyond.binding_constraints
    assert not [text for text in beyond.binding_constraints if text.startswith("time_limit")]
    within = decided(world.usual(), time_limit_minutes=88, **fields)
    assert "time_limit_minutes 88" in within.binding_constraints
    assert not [text for text in within.binding_constraints if text.startswith("session close")]


def test_a_price_limit_is_told_as_it_was_given() -> None:
    mid = 620_000.0
    answer = decided(
        world.usual(), share=0.05, mid_price=mid, price_limit=620_123.45, objective=Objective.MINIMIZE_TIME,
        urgency=Urgency.URGENT,
    )  # fmt: skip
    assert "price_limit 620123.45" in answer.binding_constraints


def test_a_limit_beyond_the_mid_is_not_told_to_be_out_of_reach() -> None:
    """Dark strategies cross, which none may beyond the mid; what rests might be reached there."""
    mid = world.views()[world.US].market.mid_price or 0.0
    request = world.order(price_limit=mid * 0.9995, dark_pool_preference=True)
    answer = decide(request, world.usual())
    assert isinstance(answer, Refusal)
    told = {fault.field: fault.description for fault in answer.faults}
    assert set(told) == {"constraints.price_limit", "constraints.dark_pool_preference"}
    assert "5.0 bps beyond the mid, where only what rests may wait" in told["constraints.price_limit"]


# An order that is planned in part.


def test_what_is_planned_in_part_trades_something() -> None:
    """A slow rate suits an order whose alpha is with it, but not one at which no lot is traded before the close."""
    fields = {
        "instrument_id": world.CHINA, "minutes": 329.0, "quantity_shares": 400.0,
        "average_daily_volume_shares": 70_000.0, "short_term_alpha_bps_per_day": -10_000.0,
        "objective": Objective.MINIMIZE_COST,
    }  # fmt: skip
    request = world.order(**fields)  # type: ignore[arg-type]
    answer = decided(world.usual(), **fields)
    assert_sound(answer, request, world.usual())
    phases = [piece.phase for piece in answer.schedule.slices]
    assert phases == [SlicePhase.CONTINUOUS, SlicePhase.CARRY_OVER]
    assert answer.risk_controls.max_slice_shares >= 100.0


def test_of_a_part_the_rate_is_told_exactly_and_why_no_model_spoke() -> None:
    answer = decided(learned_world(), share=0.5)
    assert answer.structural_only
    rate = float(answer.chosen.parameters["participation_rate"])
    assert any(f"fits under {rate * 100:.4g}% of the volume" in text for text in answer.warnings)
    assert "never saw an order that is planned in part, so the structural model decides" in answer.rationale
    without = decided(world.usual(), share=0.5)
    assert not [text for text in without.warnings if "never saw" in text]


def test_a_decision_without_models_says_so() -> None:
    assert "structural model alone" in decided(world.usual()).rationale
    assert not [one for one in answers() if "structural model alone" in one.rationale]


# Figures that round to nothing.


def flip(name: str, current: float, value: float) -> Flip:
    return Flip(name, current, value, "POV", "Percentage of Volume")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (flip("quantity", 0.014, 0.007), "the quantity were below 0.007 shares"),
        (flip("quantity", 200.0, 1_234_567.0), "the quantity were above 1,234,567 shares"),
        (flip("short_term_alpha_bps_per_day", 0.0, -0.3), "short-term alpha were below -0.3 bps a day"),
        (flip("short_term_alpha_bps_per_day", 0.0, 0.031), "short-term alpha were above +0.031 bps a day"),
        (flip("spread_bps", 2.0, 0.031), "the spread were below 0.031 bps"),
        (flip("spread_bps", 2.0, 17.06), "the spread were above 17.1 bps"),
        (flip("short_term_alpha_bps_per_day", 0.0, 292.4), "short-term alpha were above +292 bps a day"),
    ],
)
def test_a_small_change_is_not_told_as_none(changed: Flip, words: str) -> None:
    assert flip_words((changed,)) == f"Would change to Percentage of Volume if {words}."


def test_nothing_is_told_without_a_sign() -> None:
    breakdown = CostBreakdown(0.3, 0.0, -0.34, 0.0, 0.0, -0.04, 0.0, 0.0, 0.0, -0.04, 1.0)
    request = world.order()
    inputs = ResolvedInputs(100.0, 1.0, 0.02, 1e6, 0.0, 390.0, 1e6, 0.3, 0, ())
    outcomes = Outcomes(-4e-6, 5, 0.0, 1.0, 0.0, 1e-4, -1e-4, 1e-4, 2.5, -0.04)
    text = rationale(
        request, world.usual().catalogue.candidates[0], 0.1, 5.0, outcomes, breakdown,
        Assessment(MarketCondition.NORMAL, False, 1.0, MarketCondition.NORMAL, ""), inputs, None, (), (), (), True,
    )  # fmt: skip
    assert "Expected cost 0.0 bps" in text
    assert "utility 0.0 bps" in text
    assert "(+0.00 in cost; fees +0.10)" in runner_up(Rival("TWAP", 0.1, -0.001, "fees +0.10"))
