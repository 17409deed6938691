"""The utility table: a point for every objective and urgency, ordered as their names say, hashed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from engine import utility
from engine.decide import decide
from engine.decision import Decision
from engine.utility import UtilityWeights
from engine.values import Objective, Urgency
from tests.helpers import world


@pytest.mark.parametrize("objective", Objective)
def test_weights_are_positive_and_rise_with_urgency(objective: Objective) -> None:
    found = [utility.weights_of(objective, urgency) for urgency in Urgency]
    for name in ("risk_aversion", "time_price_bps_per_day"):
        values = [getattr(weights, name) for weights in found]
        assert all(math.isfinite(value) and value > 0.0 for value in values)
        assert values == sorted(values)
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("urgency", Urgency)
def test_each_objective_is_the_most_of_what_it_is_named_for(urgency: Urgency) -> None:
    found = {objective: utility.weights_of(objective, urgency) for objective in Objective}
    cheapest = found[Objective.MINIMIZE_COST]
    assert all(cheapest.risk_aversion <= weights.risk_aversion for weights in found.values())
    assert all(cheapest.time_price_bps_per_day <= weights.time_price_bps_per_day for weights in found.values())
    assert max(found, key=lambda objective: found[objective].risk_aversion) is Objective.MINIMIZE_RISK
    assert max(found, key=lambda objective: found[objective].time_price_bps_per_day) is Objective.MINIMIZE_TIME


@pytest.mark.parametrize("objective", Objective)
@pytest.mark.parametrize("urgency", Urgency)
@pytest.mark.parametrize("name", ["risk_aversion", "time_price_bps_per_day"])
def test_the_hash_covers_every_number(objective: Objective, urgency: Urgency, name: str) -> None:
    def weighing(asked: Objective, how: Urgency) -> UtilityWeights:
        weights = utility.weights_of(asked, how)
        if (asked, how) != (objective, urgency):
            return weights
        return replace(weights, **{name: getattr(weights, name) * (1.0 + 1e-12)})

    before = utility.table_sha256()
    assert before == utility.table_sha256(utility.weights_of)
    assert len(before) == 64
    assert utility.table_sha256(weighing) != before


@pytest.mark.parametrize("share", [0.001, 0.02, 0.08])
def test_more_urgency_is_not_slower(share: float) -> None:
    """A higher price of time cannot make the mean execution time longer, with the price of risk as it is: both rise
    together here, and the least of a sum of lines moves towards the smaller slope."""
    for objective in Objective:
        times = []
        for urgency in Urgency:
            answer = decide(world.order(share=share, objective=objective, urgency=urgency, minutes=30.0), world.usual())
            assert isinstance(answer, Decision)
            times.append(answer.chosen.outcomes.mean_execution_minutes)
        assert times[-1] <= times[0] + 1e-6, (objective, times)


def test_objectives_get_what_they_ask_for() -> None:
    """Against the balanced choice: less cost, less risk, less time, each by its own objective."""

    def chosen(objective: Objective) -> Decision:
        answer = decide(world.order(share=0.03, objective=objective, minutes=10.0), world.usual())
        assert isinstance(answer, Decision)
        return answer

    balanced = chosen(Objective.BALANCED_EXECUTION)
    assert chosen(Objective.MINIMIZE_COST).breakdown.expected_cost_bps <= balanced.breakdown.expected_cost_bps + 1e-9
    risk = chosen(Objective.MINIMIZE_RISK).breakdown.standard_deviation_bps
    assert risk <= balanced.breakdown.standard_deviation_bps + 1e-9
    time = chosen(Objective.MINIMIZE_TIME).chosen.outcomes.mean_execution_minutes
    assert time <= balanced.chosen.outcomes.mean_execution_minutes + 1e-9
