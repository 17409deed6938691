"""The benchmark of decisions: its statistics, its baselines, rows that can be resumed, targets that are told."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks import judging, quality
from benchmarks.judge import artifact, baselines, figures, market, orders, page, parity, replayed, targets
from benchmarks.judge.orders import Job, Row, best_fixed, fixed_row, known_row, order_row, path_of, run_jobs
from benchmarks.judge.service import Decided, decided, load_service
from benchmarks.judge.statistics import (
    Bootstrap,
    area_under_curve,
    brier_skill,
    clustered_mean,
    error_if_calibrated,
    reliability,
    wilson,
)
from engine import kernel as k
from engine.catalogue import ALGORITHM_NAMES, candidate_set
from engine.values import Objective
from training.calibration.real_days import RealDay
from training.contexts import Axis, Purpose, draw_case
from training.judging_grid import judging_grid
from training.simulator import round_trips
from training.verdict import DEFAULT_RULES
from training.workers import Serial

QUICK = replace(DEFAULT_RULES, second_pairs=96, final_pairs=128, most_pairs=128, batch_pairs=32, draws=16)


@cache
def fixed() -> dict[int, int]:
    return best_fixed([fixed_row(Job("fixed", Purpose.TRAIN, index)) for index in range(0, 60, 6)])


def job(index: int, **other: object) -> Job:
    return replace(Job("main", Purpose.JUDGE, index, fixed=fixed(), rules=QUICK), **other)  # type: ignore[arg-type]


@cache
def rows() -> tuple[Row, ...]:
    return tuple(order_row(job(index)) for index in range(12))


def decided_case(index: int) -> Decided:
    found = decided(draw_case(Purpose.JUDGE, index), load_service())
    assert found is not None
    return found


# ---- statistics


def test_wilson_s_interval() -> None:
    """8 of 10: [0.490, 0.943] (Brown, Cai and DasGupta 2001)."""
    found = wilson(np.arange(10) < 8)
    assert (found.value, found.count) == (0.8, 10)
    assert found.lower == pytest.approx(0.4902, abs=1e-4)
    assert found.upper == pytest.approx(0.9433, abs=1e-4)


def test_bootstrap_of_a_mean_is_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 2_000)
    found = Bootstrap.of(len(values), 2_000, 2).mean(values)
    assert found.value == pytest.approx(values.mean())
    assert found.upper - found.lower == pytest.approx(2 * 1.96 * values.std() / np.sqrt(2_000), rel=0.1)


def test_clusters_widen_the_interval_of_what_they_share() -> None:
    clusters = np.repeat(np.arange(20), 100)
    values = np.random.default_rng(3).normal(size=20)[clusters]
    found = clustered_mean(values, clusters, 2_000, 4)
    alone = Bootstrap.of(len(values), 500, 5).mean(values)
    assert found.upper - found.lower > 4.0 * (alone.upper - alone.lower)
    assert found.value == pytest.approx(values.mean())


def test_calibration_error() -> None:
    stated = np.repeat([0.2, 0.8], 50)
    assert reliability(stated, stated).error == pytest.approx(0.0)
    assert reliability(stated, np.zeros(100)).error == pytest.approx(0.5)
    assert int(reliability(stated, stated).counts.sum()) == 100
    # With few orders even perfect probabilities look off; with many they do not.
    assert error_if_calibrated(np.full(50, 0.5), 50, 1) > error_if_calibrated(np.full(5_000, 0.5), 50, 1)


def test_ranking_and_skill_of_probabilities() -> None:
    true = np.array([True, True, False, False])
    assert area_under_curve(np.array([0.9, 0.8, 0.2, 0.1]), true) == 1.0
    assert area_under_curve(np.array([0.1, 0.2, 0.8, 0.9]), true) == 0.0
    assert area_under_curve(np.full(4, 0.5), true) == 0.5
    assert np.isnan(area_under_curve(np.ones(4), np.ones(4, dtype=np.bool_)))
    assert brier_skill(true.astype(float), true.astype(float)) == 1.0
    assert brier_skill(np.full(4, 0.5), true.astype(float)) == 0.0


# ---- baselines


@pytest.mark.parametrize("index", range(0, 60, 7))
def test_baselines_are_allowed_and_are_what_they_are_called(index: int) -> None:
    found = decided_case(index)
    case = draw_case(Purpose.JUDGE, index)
    chosen = baselines.baselines_of(case.request, found, fixed()[int(case.request.objective)])
    assert set(chosen) | {"chosen", "structural", "unfitted"} == set(figures.CHOICES)
    for name, algorithm in (("always_twap", "TWAP"), ("always_vwap", "VWAP"), ("always_pov", "POV")):
        own = candidate_set().algorithm == ALGORITHM_NAMES.index(algorithm)
        if found.allowed[own].any():
            assert judging_grid().candidates[chosen[name]].spec.name == algorithm
    assert set(chosen.values()) <= set(found.choosable.tolist())


def test_the_usual_schedule_is_the_shortest_at_a_tenth_of_volume() -> None:
    found = next(found for found in map(decided_case, range(60)) if found.allowed.all() or found.allowed.sum() > 200)
    served = candidate_set()
    horizons = baselines.horizons_of(served, found.metrics, found.resolved.inputs.available_minutes)
    chosen = baselines.by_participation("TWAP", 0.10, found, horizons)
    own = np.flatnonzero((served.algorithm == ALGORITHM_NAMES.index("TWAP")) & found.allowed)
    slow = own[found.metrics[own, k.PARTICIPATION] <= 0.10]
    assert chosen == slow[np.argmin(horizons[slow])]


def test_the_nearest_keeps_shape_then_algorithm() -> None:
    served = candidate_set()
    horizons = np.maximum(served.numbers[:, 0], 30.0)
    twaps = np.flatnonzero(served.algorithm == ALGORITHM_NAMES.index("TWAP"))
    allowed = np.ones(len(served.candidates), dtype=np.bool_)
    assert baselines.nearest(int(twaps[5]), allowed, horizons) == twaps[5]
    allowed[twaps[5]] = False
    assert baselines.nearest(int(twaps[5]), allowed, horizons) in (twaps[4], twaps[6])
    allowed[twaps] = False
    other = baselines.nearest(int(twaps[5]), allowed, horizons)
    assert allowed[other]
    assert abs(np.log(horizons[other] / horizons[twaps[5]])) == pytest.approx(0.0)
    povs = np.flatnonzero(served.algorithm == ALGORITHM_NAMES.index("POV"))
    allowed[povs[-1]] = False
    assert baselines.nearest(int(povs[-1]), allowed, horizons) == povs[-2]


def test_the_best_fixed_candidate_loses_least() -> None:
    losses = np.ones((4, len(candidate_set().candidates)))
    losses[:, 7] = 0.5
    known: list[Row] = [{"objective": int(Objective.MINIMIZE_COST), "losses_bps": loss.tolist()} for loss in losses]
    known.append({"objective": int(Objective.MINIMIZE_COST), "losses_bps": None})
    assert best_fixed(known)[int(Objective.MINIMIZE_COST)] == 7


# ---- rows


def test_a_row_is_the_same_again_and_survives_json() -> None:
    again = order_row(job(3))
    assert {**rows()[3], "seconds": 0} == {**again, "seconds": 0}
    assert json.loads(json.dumps(again)) == again


def test_rows_are_taken_from_an_earlier_run(tmp_path: Path) -> None:
    jobs = [job(index) for index in (0, 1)]
    path = path_of(tmp_path, jobs[0])
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"index": 0, "status": "kept from before"}))
    seen: list[int] = []
    found = run_jobs(jobs, Serial(), tmp_path, lambda: seen.append(1))
    assert found[0]["status"] == "kept from before"
    assert found[1]["status"] == rows()[1]["status"]
    assert len(seen) == 2
    assert known_row(path_of(tmp_path, jobs[1])) == found[1]
    path.write_text("{half")
    assert known_row(path) is None


def test_other_worlds_axes_and_rules_have_other_places(tmp_path: Path) -> None:
    base = job(0)
    others = [
        base, job(0, axis=Axis("spread", 2.0)), job(0, world=orders.world_with("impact_factor", 2.0)),
        job(0, rules=DEFAULT_RULES), job(1), job(0, fixed={}),
    ]
    assert len({path_of(tmp_path, other) for other in others}) == len(others)


def test_few_orders_still_go_round() -> None:
    assert quality.indices(240) == list(range(240))
    few = quality.indices(60)
    assert len(set(few)) == 60
    cases = [draw_case(Purpose.JUDGE, index).request for index in few]
    assert {case.objective for case in cases} == set(Objective)
    assert len({case.urgency for case in cases}) == 4


# ---- figures


def test_figures_hold_together() -> None:
    own = figures.judged_of(rows())
    found = figures.accuracy_figures(own) | figures.skill_figures(own) | figures.interval_figures(own)
    found |= figures.confidence_figures(own) | figures.completion_figures(own) | figures.order_figures(rows())
    hits = [row["choices"]["chosen"]["within"] for row in own]
    assert found["accuracy"] == pytest.approx(np.mean(hits), abs=1e-4)
    assert found["accuracy_lower"] <= found["accuracy"]
    assert found["prune_recall"] >= found["accuracy"]
    assert found["served_recall"] >= found["prune_recall"]
    assert sum(line["orders"] for line in found["accuracy_by"]["condition"].values()) == len(own)
    assert found["interval_draws"] == 16 * len(own)
    assert set(found["baselines"]) == {*figures.CHOICES, "random"}
    json.dumps(found, allow_nan=False)


def test_a_better_service_has_more_skill() -> None:
    own = [json.loads(json.dumps(row)) for row in figures.judged_of(rows())]
    before = figures.skill_figures(own)
    for row in own:
        row["choices"]["chosen"] |= {"regret_bps": 0.0, "within": True}
    after = figures.skill_figures(own)
    assert after["skill_over_random"] == after["skill_over_best_fixed"] == 1.0
    assert after["skill_over_random"] >= before["skill_over_random"]
    assert after["learned_over_structural_bps"] >= before["learned_over_structural_bps"]


def test_shifted_orders_are_compared_with_themselves() -> None:
    own = figures.judged_of(rows())
    lower = [{**row, "confidence": row["confidence"] - 0.1} for row in own]
    found = figures.foreign_figures({"spread x2": lower}, {"impact_factor x2": own}, own)
    assert found["confidence_change_ood_seen"] == pytest.approx(-0.1)
    assert found["ood_unseen"]["impact_factor x2"]["confidence_change"] == 0.0
    assert found["regret_ood_unseen"] == found["regret_ood_unseen_worst"]


def test_targets_are_told_and_missing_figures_are_misses() -> None:
    wanted = targets.Target("x", least=0.78, most=0.82)
    assert [wanted.missed(value) for value in (0.77, 0.78, 0.82, 0.83, None, "0.8")] == [
        True, False, False, True, True, True,
    ]
    assert targets.Target("x", least=0.0, strict=True).missed(0.0)
    assert targets.Target("x", most=0.0).missed(1e-9)
    told = targets.misses({})
    assert len(told) == len(targets.TARGETS)
    assert told[0] == "missed: accuracy is None, wanted >= 0.93"


def test_what_the_artifact_says_of_itself(tmp_path: Path) -> None:
    times = tmp_path / "timing.json"
    times.write_text(json.dumps({"models_sha256": "mine", "training_minutes": 41.5, "workers": 2, "seconds": {}}))
    evaluation = {"parity_rows": 1_000_000, "parity_largest_relative_difference": 1e-8}
    service = replace(load_service(), models_sha256="mine", evaluation=evaluation, no_models="")
    found = artifact.artifact_figures(service, times)
    assert (found["onnx_parity_rows"], found["training_minutes"], found["artifact_reason"]) == (1_000_000, 41.5, "")
    # Times of other models are none of these.
    other = artifact.artifact_figures(replace(service, models_sha256="another"), times)
    assert other["training_minutes"] is None
    assert "training_minutes" in other["artifact_reason"]


def test_parity_is_a_share_of_orders_or_nothing() -> None:
    service = replace(load_service(), no_models="there are none")
    pieces = [{"orders": 3, "same": 3, "rows": 20}, {"orders": 1, "same": 0, "rows": 5}]
    found = parity.parity_figures(pieces, service)
    assert (found["compiled_parity"], found["compiled_parity_orders"]) == (0.75, 4)
    assert parity.parity_figures([], service)["compiled_parity_reason"] == "there are none"


# ---- the market and real days


def test_the_impact_law_is_concave_and_finishes() -> None:
    own = market.law("fixed participation", market.usual_turnover_factor(), 100)
    assert np.all(np.diff(own.own.mean(axis=1)[::4]) > 0.0)
    slope, lower, upper = own.exponents(with_permanent=True)
    assert lower <= slope <= upper < 1.0


def test_a_straight_line_has_its_exponent() -> None:
    flat = market.Law(np.tile(market.SIZES[:, None] ** 0.5, (1, 10)), 0.0 * market.SIZES)
    assert flat.exponents(with_permanent=True) == pytest.approx((0.5, 0.5, 0.5))


def real_day(calendar: str) -> RealDay:
    minutes = {"XNYS": 390, "XSHG": 237}[calendar]
    rng = np.random.default_rng(5)
    mid = 20.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02 / np.sqrt(minutes), minutes + 1)))
    volume = rng.lognormal(np.log(5e6 / minutes), 0.5, minutes)
    return RealDay(
        "MADE", 20240301, calendar, mid, volume, np.full(minutes, 6.0), 0.02, 5e6, 0.01, "made up",
    )


@pytest.mark.parametrize("calendar", ["XNYS", "XSHG"])
def test_an_order_on_a_real_day(calendar: str) -> None:
    day = real_day(calendar)
    buy, sell = (replayed.replay_row(replayed.order_of(day, sign)) for sign in (1, -1))
    assert buy is not None
    assert sell is not None
    assert buy["algorithm"] == sell["algorithm"]
    assert set(buy["shortfall_bps"]) == set(replayed.NAMES)
    # Where the day went helps one side as much as it hurts the other; what is left is what trading costs.
    for name in replayed.NAMES:
        assert 0.0 < buy["shortfall_bps"][name] + sell["shortfall_bps"][name] < 200.0
        assert buy["utility_bps"][name] == pytest.approx(sell["utility_bps"][name], rel=0.2)


def test_the_service_sees_only_what_was_before() -> None:
    day = real_day("XSHG")
    order = replayed.order_of(day, 1)
    bars = order.case.request.context.bars
    assert len(bars) <= replayed.BARS
    assert all(bar.end_ns <= order.case.request.start_ns for bar in bars)
    start = round(order.case.view.cumulative.size) - 1
    assert start == day.minutes


def test_without_data_there_is_a_reason(tmp_path: Path) -> None:
    found = replayed.replay_figures(tmp_path / "none", True, lambda done, total: None)
    assert found["replay"] is None
    assert "none" in found["replay_reason"]


# ---- the program


def test_it_refuses_another_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "judging.json"
    other.write_text(json.dumps({**judging.committed(), "world_sha256": "a"}))
    assert quality.main(["--short"], other) == 2
    assert 'world_sha256: "a" is committed' in capsys.readouterr().err


def test_the_page_takes_full_runs_only() -> None:
    with pytest.raises(ValueError, match="short look"):
        page.filled(f"{page.BEGIN}\n{page.END}", {"short": True})
    with pytest.raises(ValueError, match="no <!-- figures -->"):
        page.filled("nothing", {"short": False})
    assert page.BEGIN in page.PAGE.read_text()


def test_round_trips_of_the_report_are_those_of_the_search() -> None:
    assert set(round_trips.VERSIONS) == {"kernel", "instantaneous", "spread"}
    assert round_trips.greatest_upper((-0.10, -0.12)) > -0.10
