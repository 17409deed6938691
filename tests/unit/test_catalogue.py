"""The catalogue: its arrays, what operators may change, and what every algorithm says of itself."""

from __future__ import annotations

import json

import numpy as np
import pytest

from engine import catalogue as c
from engine.decide import decide
from engine.decision import Decision, Refusal
from engine.simulator.policies import HABITS, REST
from engine.values import Objective
from tests.helpers import world
from tests.helpers.decision_checks import assert_sound

FULL = c.candidate_set()


def names(found: c.CandidateSet) -> list[str]:
    return list(dict.fromkeys(candidate.spec.name for candidate in found.candidates))


def test_at_least_ten_algorithms_each_with_a_fix_strategy() -> None:
    assert len(c.CATALOGUE) >= 10
    assert len({spec.fix_target_strategy for spec in c.CATALOGUE}) == len(c.CATALOGUE)
    assert names(FULL) == list(c.ALGORITHM_NAMES)


def test_arrays_match_the_candidates() -> None:
    assert len(FULL.candidates) == len(FULL.shape) == len(FULL.numbers)
    keys = c.shape_keys()
    for n, candidate in enumerate(FULL.candidates):
        spec, row = candidate.spec, FULL.numbers[n]
        assert c.ALGORITHM_NAMES[FULL.algorithm[n]] == spec.name
        assert keys[FULL.shape[n]] == (spec.name, candidate.parameters.get(spec.shape_parameter, 0.0))
        assert (FULL.rule[n], FULL.pace[n], bool(FULL.rests[n])) == (spec.rule, spec.pace, spec.rests)
        assert row[c.MINUTES] == candidate.parameters.get("duration_minutes", 0.0)
        assert row[c.RATE] == candidate.parameters.get("participation_rate", 0.0)
        assert row[c.PEAK_WEIGHT] >= 1.0
        assert row[c.PREVIOUS_MINUTES] < max(row[c.MINUTES], 1e-9)


def test_candidates_are_all_different() -> None:
    rows = {(candidate.shape, tuple(sorted(candidate.parameters.items()))) for candidate in FULL.candidates}
    assert len(rows) == len(FULL.candidates)


def test_profiles_have_mean_one_and_peaks_hold() -> None:
    for candidate in FULL.candidates:
        profile = c.profile_of(candidate)
        assert profile.mean() == pytest.approx(1.0, abs=1e-12)
        assert profile.min() >= 0.0
        assert c.peak_weight(candidate) >= profile.max()
        assert not profile.flags.writeable


def test_what_rests_whole_is_what_is_simulated_so() -> None:
    """The schedule that is sent has one slice exactly where the simulator has no curve."""
    assert {name for name, habit in HABITS.items() if habit.kind == REST} == c.RESTING_WHOLE
    for spec in c.CATALOGUE:
        if spec.rests_whole:
            assert spec.rests
            assert "whole order rests" in spec.description
            assert "what is left then is crossed" in spec.ranges["duration_minutes"].meaning


def test_an_opportunist_is_held_to_the_pace_it_trades_at() -> None:
    fast = next(x for x in FULL.candidates if x.parameters.get("speed") == 2.5)
    assert c.peak_weight(fast) == 2.5


def test_disabled_algorithms_are_gone() -> None:
    left = c.candidate_set([c.CatalogueChoice("POV", enabled=False), c.CatalogueChoice("TWAP", enabled=False)])
    assert set(names(left)) == set(c.ALGORITHM_NAMES) - {"POV", "TWAP"}
    world_without = world.snapshot(choices=(c.CatalogueChoice("POV", enabled=False),))
    for objective in Objective:
        request = world.order(objective=objective)
        answer = decide(request, world_without)
        assert isinstance(answer, Decision)
        assert_sound(answer, request, world_without)
        assert "POV" not in (answer.chosen.algorithm, *(a.choice.algorithm for a in answer.alternatives))


def test_narrowed_ranges_keep_to_them() -> None:
    choices = (c.CatalogueChoice("TWAP", limits={"duration_minutes": (20.0, 60.0)}),)
    left = [x.parameters["duration_minutes"] for x in c.candidate_set(choices).candidates if x.spec.name == "TWAP"]
    assert left == [20.0, 30.0, 45.0, 60.0]
    row = next(n for n, x in enumerate(c.candidate_set(choices).candidates) if x.spec.name == "TWAP")
    assert c.candidate_set(choices).numbers[row, c.PREVIOUS_MINUTES] == 0.0
    # An operator may narrow what there is, never add to it.
    wide = (c.CatalogueChoice("POV", limits={"participation_rate": (0.0, 1.0)}),)
    assert len(c.candidate_set(wide).candidates) == len(FULL.candidates)


@pytest.mark.parametrize("only", c.ALGORITHM_NAMES)
def test_one_algorithm_alone(only: str) -> None:
    """Every algorithm can decide by itself; where it cannot, the refusal does not name what nobody asked for."""
    choices = tuple(c.CatalogueChoice(name, enabled=name == only) for name in c.ALGORITHM_NAMES)
    alone = world.snapshot(choices=choices)
    request = world.order(share=0.0002)
    answer = decide(request, alone)
    assert isinstance(answer, Decision), answer
    assert_sound(answer, request, alone)
    assert answer.alternatives == ()
    assert {flip.algorithm for flip in answer.flips} == set()
    none = decide(world.order(world.NO_DARK, share=0.9), alone)
    if only == "POV":  # which can at least begin
        assert isinstance(none, Decision)
        return
    assert isinstance(none, Refusal)
    assert [fault.field for fault in none.faults] == ["quantity"]


def test_only_the_close_and_a_time_limit_before_it() -> None:
    choices = tuple(c.CatalogueChoice(name, enabled=name == "TARGET_CLOSE") for name in c.ALGORITHM_NAMES)
    alone = world.snapshot(choices=choices)
    answer = decide(world.order(share=0.001, time_limit_minutes=30), alone)
    assert isinstance(answer, Refusal)
    assert [fault.field for fault in answer.faults] == ["constraints.time_limit_minutes"]


def test_all_faults_of_a_choice_are_told_at_once() -> None:
    choices = [c.CatalogueChoice("NOPE"), c.CatalogueChoice("TWAP", limits={"speed": (1.0, 2.0)})]
    with pytest.raises(ValueError, match="unknown algorithm NOPE; TWAP has no parameter speed"):
        c.candidate_set(choices)


def test_a_catalogue_without_candidates_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves no candidate"):
        c.candidate_set([c.CatalogueChoice(name, enabled=False) for name in c.ALGORITHM_NAMES])


def test_unknown_shapes_are_refused() -> None:
    with pytest.raises(KeyError):
        c.shape_of("NOPE", 0.0)


@pytest.mark.parametrize("spec", c.CATALOGUE, ids=lambda spec: spec.name)
def test_what_is_kept_of_an_algorithm_is_json(spec: c.AlgorithmSpec) -> None:
    ranges = json.loads(json.dumps(c.parameter_ranges_json(spec)))
    assert set(ranges) == set(spec.ranges)
    for name, found in ranges.items():
        assert found["min"] == min(spec.ranges[name].values)
        assert found["max"] == max(spec.ranges[name].values)
    mapping = json.loads(json.dumps(c.algorithm_mapping_json(spec)))
    assert mapping["fix"]["847"] == spec.fix_target_strategy


def test_dark_names() -> None:
    found = {x.strategy_name for x in FULL.candidates if x.spec.name == "ADAPTIVE_TWAP"}
    assert found == {"Adaptive TWAP", "Adaptive TWAP with Dark Pool"}
    assert np.count_nonzero(FULL.numbers[:, c.DARK_RATIO] > 0.0) > 0
