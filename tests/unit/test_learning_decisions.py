"""Corrections and exploration in decisions: off they change no byte, on they stay within limits and budget, and what
is chosen, its price, its confidence and its propensity say so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalogue import ALGORITHM_NAMES
from engine.decide import consider, decide
from engine.decision import Decision
from engine.learning.corrections import ALARM_CONFIDENCE, Corrections, Exploration, Learned, no_corrections
from engine.learning.effects import EFFECTS, GLOBALS, IMPACT, SHIFT
from engine.learning.exploration import policy
from engine.snapshot import Snapshot
from engine.values import Objective
from service.learned import learned_bytes, learned_from, learned_of
from store.errors import ReferenceCorrupt
from tests.helpers import world

NO_EXPLORATION = Exploration()


def corrections(alarms: tuple[str, ...] = (), **effects: float) -> Corrections:
    """In force by name of an algorithm, or `shift`, `impact`."""
    values = np.zeros(EFFECTS)
    for name, value in effects.items():
        values[{"shift": SHIFT, "impact": IMPACT}.get(name, 0) if name.islower() else GLOBALS
               + ALGORITHM_NAMES.index(name)] = value
    told = tuple(values.tolist())
    return msgspec.structs.replace(no_corrections("surfaces", ""), values=told, mean=told, alarms=alarms)


def taught(exploration: Exploration = NO_EXPLORATION, alarms: tuple[str, ...] = (), **effects: float) -> Snapshot:
    return replace(world.usual(), learned=learned_of(corrections(alarms, **effects), exploration))


def decided(snapshot: Snapshot, order_id: str = "o", **fields: Any) -> Decision:
    found = decide(replace(world.order(**fields), order_id=order_id), snapshot)
    assert isinstance(found, Decision), found
    return found


def test_without_anything_in_force_nothing_is_held_and_no_byte_changes() -> None:
    assert learned_of(corrections(), Exploration()) is None
    assert learned_of(no_corrections("s", "m"), Exploration(0.0, 5.0)) is None
    before = decided(world.usual())
    assert (before.learning.propensity, before.learning.explored, before.versions.learned_sha256) == (1.0, False, "")
    assert decided(taught()) == before


@pytest.mark.parametrize("objective", list(Objective))
def test_a_shift_of_all_changes_the_price_and_nothing_else(objective: Objective) -> None:
    before = decided(world.usual(), objective=objective)
    after = decided(taught(shift=3.0), objective=objective)
    assert after.chosen.parameters == before.chosen.parameters
    assert after.chosen.outcomes.cost_fraction == pytest.approx(before.chosen.outcomes.cost_fraction + 3e-4)
    assert after.breakdown.learned_correction_bps == pytest.approx(before.breakdown.learned_correction_bps + 3.0)
    assert after.learning.online_correction_bps == pytest.approx(3.0)
    parts = after.breakdown
    total = parts.spread_bps + parts.impact_bps + parts.fees_bps + parts.dark_saving_bps + parts.learned_correction_bps
    assert total == pytest.approx(parts.expected_cost_bps)
    told = [[flip for flip in one.flips if flip.input_name != "quantity"] for one in (before, after)]
    assert [(flip.input_name, flip.algorithm) for flip in told[0]] == [
        (flip.input_name, flip.algorithm) for flip in told[1]
    ]
    assert [flip.flip_value for flip in told[0]] == pytest.approx([flip.flip_value for flip in told[1]])


def test_a_worse_algorithm_is_left_and_one_that_is_better_is_taken() -> None:
    before = decided(world.usual())
    after = decided(taught(NO_EXPLORATION, (), **{before.chosen.algorithm: 20.0}))
    assert after.chosen.algorithm != before.chosen.algorithm
    runner_up = before.alternatives[0]
    ahead_bps = -runner_up.utility_difference_bps - 0.5
    better = decided(taught(NO_EXPLORATION, (), **{runner_up.choice.algorithm: ahead_bps}))
    assert better.chosen.algorithm == runner_up.choice.algorithm
    assert better.learning.online_correction_bps == pytest.approx(ahead_bps)


def test_more_impact_than_predicted_trades_with_less_impact() -> None:
    before, after = decided(world.usual(), share=0.05), decided(taught(impact=2.0), share=0.05)
    base = after.chosen.outcomes.market_impact_fraction
    assert base <= before.chosen.outcomes.market_impact_fraction
    assert after.learning.online_correction_bps == pytest.approx(2e4 * base, rel=1e-6)


def test_an_alarm_takes_from_the_confidence_of_whom_it_names() -> None:
    plain = decided(world.usual())
    for alarms, factor in (
        (("ALL",), ALARM_CONFIDENCE), ((plain.chosen.algorithm,), ALARM_CONFIDENCE),
        ((plain.alternatives[0].choice.algorithm,), 1.0),
    ):
        found = decided(taught(alarms=alarms))
        assert found.chosen.algorithm == plain.chosen.algorithm
        assert found.confidence == pytest.approx(factor * plain.confidence)


def test_an_adaptation_never_explores() -> None:
    snapshot = taught(Exploration(1.0, 10.0))
    for number in range(20):
        found = consider(replace(world.order(), order_id=str(number)), snapshot)
        assert found.priced is not None
        assert (found.priced.propensity, found.priced.explored) == (1.0, False)


def test_exploring_tries_other_algorithms_about_as_often_as_it_says_and_says_so() -> None:
    snapshot = taught(Exploration(0.5, 4.0))
    plain = decided(world.usual())
    found = [decided(snapshot, f"order-{number}") for number in range(300)]
    assert {one.versions.learned_sha256 for one in found} == {snapshot.learned.sha256 if snapshot.learned else ""}
    others = [one for one in found if one.chosen.algorithm != plain.chosen.algorithm]
    assert others
    assert all(one.learning.explored and any("learn" in text for text in one.warnings) for one in others)
    best = [one.learning.propensity for one in found if not one.learning.explored]
    expected = 1.0 - float(np.mean(best))
    error = 4.0 * np.sqrt(expected * (1.0 - expected) / len(found))
    assert len(others) / len(found) == pytest.approx(expected, abs=error)
    again = decided(snapshot, "order-7")
    assert again == found[7]
    # What is better is not told to be worse, and nothing is told to change what was drawn.
    for one in others:
        better = one.chosen.outcomes.utility_bps - one.alternatives[0].choice.outcomes.utility_bps
        assert f"Best as far as is known: {plain.chosen.strategy_name}, {better:.2f} bps better" in one.rationale
        assert not one.flips
    kept = [one for one in found if not one.learning.explored]
    assert all("Next best: " in one.rationale and one.flips for one in kept)


@given(st.integers(0, 400), st.floats(0.001, 1.0), st.floats(0.01, 6.0), st.sampled_from(list(Objective)))
@settings(max_examples=60, deadline=None)
def test_nothing_is_explored_beyond_the_cap_or_outside_the_limits(
    number: int, budget: float, cap: float, objective: Objective
) -> None:
    fields: dict[str, Any] = {
        "objective": objective, "max_participation_rate": 0.08, "share": 0.004, "order_id": f"{number}",
    }
    plain = consider(world.order(**fields), world.usual())
    found = consider(world.order(**fields), taught(Exploration(budget, cap)), explores=True)
    assert plain.priced is not None
    assert found.priced is not None
    assert found.priced.mask[found.priced.best] == 0
    given_up = found.priced.metrics[found.priced.best, 0] - plain.priced.metrics[plain.priced.best, 0]
    assert given_up <= cap + 1e-9
    assert 0.0 < found.priced.propensity <= 1.0
    assert isinstance(found.decision, Decision)
    assert found.decision.risk_controls.max_participation_rate <= 0.08 + 1e-9


@given(
    st.lists(st.floats(0.0, 5.0), min_size=2, max_size=8), st.floats(1e-4, 1.0), st.integers(0, 2**32),
)
@settings(max_examples=80, deadline=None)
def test_the_budget_is_never_exceeded_and_probabilities_sum_to_one(
    gaps: list[float], budget: float, seed: int
) -> None:
    utilities = 10.0 + np.array(gaps)
    best = int(np.argmin(utilities))
    rows = np.zeros((len(gaps), EFFECTS))
    for at, row in enumerate(rows):
        row[SHIFT] = row[GLOBALS + at] = 1.0
    learned = Learned(corrections(), Exploration(budget, 5.0), "")
    odds = policy(learned, utilities, rows, best, np.random.default_rng(seed))
    assert odds.sum() == pytest.approx(1.0)
    assert np.all(odds >= 0.0)
    assert float(odds @ (utilities - utilities[best])) <= budget + 1e-9


def test_what_was_learned_comes_back_from_its_bytes() -> None:
    found = learned_of(corrections(("ALL",), impact=0.5), Exploration(0.1, 1.0))
    assert found is not None
    data = learned_bytes(found.corrections, found.exploration)
    assert learned_from(data) == found
    with pytest.raises(ReferenceCorrupt):
        learned_from(data[:-1])
    other = msgspec.structs.replace(found.corrections, names=("shift",))
    with pytest.raises(ReferenceCorrupt, match="other algorithms"):
        learned_from(learned_bytes(other, found.exploration))
