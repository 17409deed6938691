"""The judge: racing changes nothing, the same order is judged alike everywhere, choices map to what they are here."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.simulator.world import DEFAULT_WORLD
from engine.snapshot import Snapshot
from tests.helpers import world
from training.contexts import Case, Purpose, base_snapshot, draw_case, scene_of
from training.grid_runs import grid_families, influences_bps, joined, run_pairs, same_here, undominated_of
from training.judging_grid import judging_grid, key_of, served_in_grid
from training.oracle import feasible_of, label_case, rows_of
from training.simulator.estimates import parts_of, utility_bps
from training.verdict import DEFAULT_RULES, Judged, Rules, Standing, Status

# Few paths: what is tested here are rules, not figures.
QUICK = replace(DEFAULT_RULES, second_pairs=96, final_pairs=128, most_pairs=128, batch_pairs=32, draws=8)
EVERYTHING = replace(QUICK, margin_errors=1e9, finalists=10_000)


@cache
def base() -> Snapshot:
    return base_snapshot(world.surfaces())


def case_of(index: int) -> Case:
    return draw_case(Purpose.JUDGE, index)


def judged(index: int, rules: Rules = QUICK, **groups: NDArray[np.int64]) -> Judged:
    """With the first and the last served candidate that are allowed here as choices."""
    case = case_of(index)
    scene = scene_of(case, base())
    assert scene is not None
    allowed = np.intersect1d(served_in_grid(), feasible_of(scene, base()))
    if len(allowed) < 2:
        return Judged(Status.ONE_FEASIBLE)
    return label_case(case, base(), {"chosen": int(allowed[0]), "other": int(allowed[-1])}, groups, rules=rules)


def same(first: Judged, second: Judged) -> bool:
    return pickle.dumps(first) == pickle.dumps(second)


def test_racing_changes_nothing() -> None:
    """Twenty orders, every feasible candidate run to the end, against the race. With so few paths the full race picks
    by luck among many, so both picks are run once more on fresh paths: the race lost nothing that is really better."""
    for index in range(40, 60):
        raced, full = judged(index), judged(index, EVERYTHING)
        assert raced.status is full.status
        if raced.status is not Status.JUDGED or raced.oracle == full.oracle:
            continue
        case = case_of(index)
        scene = scene_of(case, base())
        assert scene is not None
        both = np.array(sorted((raced.oracle, full.oracle)))
        fresh = influences_bps(scene, run_pairs(scene, DEFAULT_WORLD, both, case.seed(9_999), 1_500))
        mine, other = (fresh[list(both).index(one)] for one in (raced.oracle, full.oracle))
        behind = float((mine - other).mean())
        error = float((mine - other).std() / np.sqrt(1_500))
        assert behind <= 0.25 * raced.tolerance_bps + 3.0 * error


def test_the_same_order_is_judged_alike_and_travels() -> None:
    first, second = judged(0, served=served_in_grid()), judged(0, served=served_in_grid())
    assert same(first, second)
    again = pickle.loads(pickle.dumps(first))
    assert again.oracle == first.oracle
    assert again.choices == first.choices
    assert pickle.loads(pickle.dumps(label_case)) is label_case


def test_what_a_verdict_says_holds_together() -> None:
    found = judged(0, served=served_in_grid())
    assert found.status is Status.JUDGED
    assert found.tolerance_bps == max(0.5, 0.05 * abs(found.oracle_utility_bps))
    assert found.oracle in found.feasible
    assert found.oracle in found.equivalent
    assert found.gap_bps.shape == found.feasible.shape == found.undominated.shape
    assert np.all(np.isfinite(found.gap_bps))
    assert found.gap_bps[np.flatnonzero(found.feasible == found.oracle)[0]] == 0.0
    assert 0.0 <= found.random_accuracy <= 1.0
    assert found.random_regret_bps > 0.0
    for standing in (*found.choices.values(), *found.groups.values()):
        assert standing.within == (standing.regret_bps <= found.tolerance_bps)
        assert standing.utility_bps == pytest.approx(found.oracle_utility_bps + standing.regret_bps, abs=1e-9)
    realised = found.realised["chosen"]
    assert len(realised.draws_bps) == QUICK.draws
    assert 0.0 <= realised.completion <= 1.0
    assert realised.deviation_bps > 0.0


def test_a_group_s_best_is_no_worse_than_its_members() -> None:
    one = judged(0).choices["other"].candidate
    found = judged(0, one=np.array([one]), served=served_in_grid())
    assert found.groups["one"] == found.choices["other"]
    assert found.groups["served"].regret_bps <= found.groups["one"].regret_bps + found.tolerance_bps


def test_the_oracle_chosen_has_no_regret() -> None:
    oracle = judged(0).oracle
    found = label_case(case_of(0), base(), {"chosen": oracle}, rules=QUICK)
    assert found.choices["chosen"] == Standing(oracle, found.oracle_utility_bps, 0.0, 0.0, True)


def test_those_that_stay_are_the_same_as_if_nobody_had_left() -> None:
    case = case_of(0)
    scene = scene_of(case, base())
    assert scene is not None
    candidates = feasible_of(scene, base())[::9]
    runs = run_pairs(scene, DEFAULT_WORLD, candidates, case.seed(1), 16)
    kept = np.arange(len(candidates)) % 3 == 0
    some = rows_of(runs, kept)
    np.testing.assert_array_equal(some.candidates, candidates[kept])
    np.testing.assert_array_equal(influences_bps(scene, some), influences_bps(scene, runs)[kept])


def test_more_paths_where_another_may_still_be_better() -> None:
    """However surely the choice is known: what may be the oracle has to be known as well."""
    rules = replace(QUICK, most_pairs=512)
    found = []
    for index in (41, 44, 48, 52):
        oracle = judged(index, rules).oracle
        found.append(label_case(case_of(index), base(), {"chosen": oracle}, rules=rules))
    assert {verdict.pairs for verdict in found} == {128, 512}


def test_more_paths_until_the_difference_is_known() -> None:
    choices = {"chosen": judged(0).choices["other"].candidate}
    for wanted_error_bps, pairs in ((1e-6, 512), (1e6, 128)):
        rules = replace(QUICK, wanted_error_bps=wanted_error_bps, most_pairs=512)
        assert label_case(case_of(0), base(), choices, rules=rules).pairs == pairs


def test_other_worlds_are_judged_in_them() -> None:
    choices = {"chosen": judged(0).oracle}
    dear = label_case(case_of(0), base(), choices, world=replace(DEFAULT_WORLD, impact_factor=3.0), rules=QUICK)
    plain = label_case(case_of(0), base(), choices, rules=QUICK)
    assert dear.choices["chosen"].utility_bps > plain.choices["chosen"].utility_bps


def test_a_choice_outside_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="not in the grid: chosen"):
        label_case(case_of(0), base(), {"chosen": len(judging_grid().candidates)})


def test_utilities_are_those_of_the_estimates_whatever_the_batches() -> None:
    case = case_of(0)
    scene = scene_of(case, base())
    assert scene is not None
    candidates = feasible_of(scene, base())[::7]
    runs = joined([run_pairs(scene, DEFAULT_WORLD, candidates, case.seed(stage), 16) for stage in (1, 2)])
    assert runs.pairs == 32
    inline = np.array([judging_grid().candidates[n].spec.name == "OPPORTUNISTIC" for n in candidates])
    expected = np.empty(len(candidates))
    expected[~inline] = utility_bps(scene.order, parts_of(scene.order, runs.plain, False))
    expected[inline] = utility_bps(scene.order, parts_of(scene.order, runs.inline, True))
    np.testing.assert_allclose(influences_bps(scene, runs).mean(axis=1), expected, rtol=1e-9)


def test_a_duration_beyond_the_time_left_is_the_one_that_fills_it() -> None:
    family, minutes = grid_families()
    twaps = np.flatnonzero([c.spec.name == "TWAP" for c in judging_grid().candidates])
    assert len(set(family[twaps])) == 1
    for available in (33.0, 200.0, 500.0):
        here = same_here(twaps, available)
        for before, after in zip(twaps, here, strict=True):
            if minutes[before] <= available:
                assert after == before
            else:
                assert minutes[after] == minutes[twaps][minutes[twaps] >= available].min()
    rates = np.flatnonzero([c.spec.name == "POV" for c in judging_grid().candidates])
    np.testing.assert_array_equal(same_here(rates, 10.0), rates)


def test_what_is_the_same_here_keeps_its_other_parameters() -> None:
    every = np.arange(len(judging_grid().candidates))
    for before, after in zip(every, same_here(every, 40.0), strict=True):
        name, parameters = key_of(judging_grid().candidates[before])
        other, others = key_of(judging_grid().candidates[after])
        assert name == other
        assert [p for p in parameters if p[0] != "duration_minutes"] == [
            p for p in others if p[0] != "duration_minutes"
        ]


def test_undominated() -> None:
    cost = np.array([1.0, 2.0, 2.0, 3.0, 0.5, 1.0])
    deviation = np.array([2.0, 1.0, 2.0, 1.0, 3.0, 2.0])
    np.testing.assert_array_equal(undominated_of(cost, deviation), [True, True, False, False, True, True])
