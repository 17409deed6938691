"""The benchmark of adaptation: cases whose answer is known, and that its worlds are the committed ones."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.adapt import __main__ as runner
from benchmarks.adapt import worlds
from benchmarks.adapt.estimate import (
    COLUMNS,
    HELD,
    LEFT,
    SIGMA,
    SPREAD,
    TIME,
    Gains,
    picked_and_valued,
    remainder_rows,
    utility_of,
)
from benchmarks.adapt.gain import SHORT, Job, judge_job, natural_weights
from benchmarks.adapt.gateway import Tape
from benchmarks.adapt.judge import (
    Outcomes,
    Scene,
    accepted,
    clairvoyant_row,
    fixed_policy,
    run_fixed,
    scene_of,
    served,
    verdict,
)
from benchmarks.adapt.targets import missed_of
from benchmarks.adapt.walk import Walk, ground_of
from benchmarks.adapt.worlds import FULL, Use, draw_world, flows, stationary
from benchmarks.judge.statistics import Bootstrap
from engine.order_life.rules import RULES
from engine.simulator.execute import S_DONE, STATES, UNFILLED, execute
from engine.simulator.market import VOLUME, MarketPaths
from engine.simulator.policies import policies_of
from engine.simulator.world import DEFAULT_WORLD
from engine.values import CONDITIONS, MarketCondition
from training.grid_runs import grid_template
from training.judging_grid import served_in_grid


@cache
def scene(index: int, pairs: int = 3) -> Scene:
    found = scene_of(accepted(Use.TUNE, index, FULL)[0], pairs)
    assert found is not None
    return found


def test_the_worlds_are_the_committed_ones() -> None:
    assert worlds.differences() == []


def test_another_world_is_told(tmp_path: Path) -> None:
    file = tmp_path / "worlds.json"
    file.write_text(json.dumps(worlds.committed() | {"world_sha256": "another"}))
    assert len(worlds.differences(file)) == 1


def test_what_is_tuned_on_is_not_judged_on() -> None:
    seeds = {draw_world(use, index).seed for use in Use for index in range(20)}
    assert len(seeds) == 20 * len(Use)


def test_the_script_of_conditions_is_followed() -> None:
    found = scene(2)
    world, seen = found.world, found.paths.conditions
    assert (seen[:, : world.steer.change] == world.steer.first).all()
    assert (seen[:, world.steer.change] == world.steer.following).all()
    constant = scene_of(accepted(Use.TUNE_CONSTANT, 3, FULL)[0], 2)
    assert constant is not None
    assert (constant.paths.conditions == CONDITIONS.index(MarketCondition.TRENDING)).all()


def test_changes_come_as_often_as_they_go() -> None:
    shares, moved = stationary(DEFAULT_WORLD), flows(DEFAULT_WORLD)
    assert shares.sum() == pytest.approx(1.0)
    assert moved.sum(axis=0) == pytest.approx(moved.sum(axis=1))


def test_a_plan_followed_minute_by_minute_is_the_plan_left_alone() -> None:
    """Without any advice nothing is gained, to the last bit: both sides are one piece of arithmetic."""
    for index in range(6):
        begun = scene(index).begun(0, 1.0, RULES)
        assert begun is not None
        alone, walk = begun.walk.copied(), begun.walk
        assert walk.policy is not None
        alone.until(0, walk.policy.end)
        for minute in range(walk.policy.end):
            walk.until(minute, minute + 1)
        assert (walk.end() == alone.end()).all()


def test_a_fixed_candidate_from_the_start_is_what_the_simulator_runs() -> None:
    found = scene(2)
    warm = found.world.warm
    paths = MarketPaths(
        np.ascontiguousarray(found.paths.fields[:, warm:]), found.paths.auction_volume,
        found.paths.conditions[:, warm:],
    )  # fmt: skip
    chosen = [0, 60, 120, 200, 240]
    table = policies_of(grid_template(), found.ground.order, served_in_grid()[chosen])
    run = execute(found.ground.order, DEFAULT_WORLD, paths, table)
    policies = [fixed_policy(index, 0, found.ground) for index in chosen]
    own = run_fixed(found, 0, 1.0, np.zeros(STATES), 0, policies)
    done = run.values[:, 0, UNFILLED] == 0.0  # what leaves something over is cleaned up otherwise
    assert done.sum() >= 2
    assert own[done] == pytest.approx(run.values[done, 0].astype(np.float64), rel=1e-5, abs=1e-6)


def test_cleaning_up_keeps_to_the_participation_limit() -> None:
    """A minute's sweep of all of an order leaves most of it. It goes on at the limit, no faster, and what the limit
    does not let through until the last minute is left over; for the plan left alone as for a fixed candidate."""
    found = scene(2)
    warm, order = found.world.warm, found.ground.order
    index = next(n for n, c in enumerate(served().candidates) if c.spec.name == "AGGRESSIVE_SWEEP")
    for limit in (0.5, 1e-4):
        tight = replace(order, max_participation=limit)
        ground = ground_of(replace(
            tight, start_minute=order.start_minute - warm,
            expected_volume=np.concatenate((np.ones(warm), order.expected_volume)),
        ), DEFAULT_WORLD, warm)  # fmt: skip
        policy = fixed_policy(index, 0, ground)
        own = run_fixed(replace(found, ground=ground), 0, 1.0, np.zeros(STATES), 0, [policy])[0]
        allowed = limit * found.paths.fields[0, warm:, VOLUME].sum() / order.size_days
        assert own[UNFILLED] == pytest.approx(max(0.0, 1.0 - allowed), abs=1e-6)
        walk = Walk(ground, found.paths, 0, 1.0, warm)
        walk.take(policy)
        walk.until(0, policy.end)
        assert (walk.end() == own).all()


def rows_of(paths: int = 4, **columns: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    found = np.zeros((paths, COLUMNS))
    names = {"spread": SPREAD, "sigma": SIGMA, "held": HELD, "time": TIME, "left": LEFT}
    for name, value in columns.items():
        found[:, names[name]] = value
    return found


def test_a_utility_that_can_be_worked_out_by_hand() -> None:
    order = replace(
        scene(2).ground.order, spread_bps=4.0, sigma_bps=200.0, risk_aversion=0.5, time_price_bps_per_day=39.0,
        alpha_bps_per_day=0.0, session_minutes=390.0, taker_fee_bps=0.3, maker_fee_bps=0.0, dark_fee_bps=0.0,
        size_days=0.0,
    )  # fmt: skip
    found = utility_of(order, rows_of(spread=0.5, sigma=0.01, held=0.0004, time=20.0, left=1.0))
    assert found.spread_and_fees == pytest.approx(2.3)
    # spread and fees, impact, risk 0.5 x 200 x 0.02, twenty minutes at a tenth of a bps each
    assert found.total == pytest.approx(2.3 + 2.0 + 2.0 + 2.0)


def test_what_was_paid_before_the_change_is_not_counted() -> None:
    results, state = np.arange(10.0), np.zeros(STATES)
    state[S_DONE] = 0.25
    found = remainder_rows(results, state, 10)
    assert found[LEFT] == 0.75
    assert found[TIME] == results[5] - 7.5


def test_gains_of_known_savings() -> None:
    gains = Gains(np.array([1.0, 0.0]), np.array([2.0, 1.0]), np.array([10.0, 10.0]), np.ones(2))
    draws = Bootstrap.of(2, 200, 1)
    assert gains.gain(draws).value == pytest.approx(0.05)
    assert gains.ceiling(draws).value == pytest.approx(0.15)
    assert gains.captured(draws).value == pytest.approx(1.0 / 3.0)


def test_the_best_choice_is_picked_on_the_other_half() -> None:
    order = scene(2).ground.order
    halves = np.array([True, False, True, False])
    good, bad = rows_of(sigma=0.01, left=1.0), rows_of(sigma=0.05, left=1.0)
    assert picked_and_valued(order, [bad, good], halves) == pytest.approx(utility_of(order, good).total)
    # One that is good on the first half alone is found out on the other.
    lucky = bad.copy()
    lucky[halves, SIGMA] = 0.0
    found = picked_and_valued(order, [lucky, good], halves)
    assert found >= 0.5 * (utility_of(order, good).total + utility_of(order, bad).total) - 1e-9


def test_the_gateway_never_says_the_condition() -> None:
    found = scene(2)
    context = Tape(found.world, found.paths, 0, 1.0).context()
    assert context.condition is MarketCondition.UNSPECIFIED
    assert context.daily_volatility_fraction is None
    assert len(context.bars) == 60
    assert context.bars[-1].end_ns <= found.world.instant_ns(0)


def test_a_verdict_is_the_same_again_and_a_clairvoyant_gains() -> None:
    """A fixed order that meets a drought of liquidity."""
    world, _ = accepted(Use.TUNE, 44, FULL)
    assert world.after is MarketCondition.LOW_LIQUIDITY
    row = verdict(world, 4)
    assert row == verdict(world, 4)
    assert row["paths"] == 8
    assert row["candidates"] > 8
    assert row["told"] < row["alone"]


def test_a_constant_world_has_no_change_to_judge() -> None:
    row, _ = judge_job(Job(Use.TUNE_CONSTANT, 0, SHORT, RULES))
    assert row["condition"] == "NORMAL"
    assert row["alone"] > 0.0


def test_natural_weights_are_of_mean_one() -> None:
    rows = [{"after": condition.name} for condition in CONDITIONS]
    weights = natural_weights(rows, [1] * 6)
    assert weights.mean() == pytest.approx(1.0)
    assert weights[0] == weights.max()


def test_a_missed_target_is_told_and_a_short_run_asks_less() -> None:
    found = {"adaptive_gain": 0.02, "captured_share": 0.7, "worst_condition_lower": 0.0, "needless_switches": 0.01}
    assert missed_of("gain", found, short=False) == ["gain: adaptive_gain is 0.02, wanted >= 0.15"]
    assert missed_of("gain", found, short=True) == []
    assert missed_of("gain", {"error": "x"}, short=True) != []


def test_a_section_that_fails_is_told() -> None:
    found, missed = runner.run_section("nothing", True, 1)
    assert "error" in found
    assert len(missed) == 1


def toy_outcomes(pairs: int, **choices: float) -> Outcomes:
    """Rows whose utility is a choice's own cost and noise of a path that all choices share."""
    rng = np.random.default_rng(3)
    noise = 0.002 * rng.standard_normal(2 * pairs)
    rows = {}
    for name, sigma in choices.items():
        own = rows_of(2 * pairs, left=1.0)
        own[:, SIGMA] = sigma + noise
        rows[name] = list(own)
    fixed = [np.stack([row, row]) for row in rows["fixed"]]
    return Outcomes(
        alone=rows["alone"], adaptive=rows["adaptive"], told=rows["told"], fixed=fixed,
        pairs=[n // 2 for n in range(2 * pairs)],
    )  # fmt: skip


@pytest.mark.parametrize("best", ["alone", "adaptive", "told", "fixed"])
def test_the_ceiling_is_never_below_what_any_of_its_choices_saves(best: str) -> None:
    """Whoever is the best, the service from bars and the plan left alone included: the clairvoyant does as well."""
    order = scene(2).ground.order
    costs = {name: 0.05 + 0.01 * n for n, name in enumerate(("alone", "adaptive", "told", "fixed"))} | {best: 0.03}
    outcomes = toy_outcomes(20, **costs)
    row = clairvoyant_row(order, np.array(outcomes.alone), outcomes)
    rows = {"alone": outcomes.alone, "adaptive": outcomes.adaptive, "told": outcomes.told}
    noise_bps = 1e-9 + order.sigma_bps * 0.001
    for own in rows.values():
        assert row["clairvoyant"] <= utility_of(order, np.array(own)).total + noise_bps
    assert row["best_choice"].split()[0] == best


def test_a_real_order_s_ceiling_holds_what_the_service_did() -> None:
    """On real paths, within what picking on half of a few paths may cost."""
    world = accepted(Use.TUNE, 8, FULL)[0]
    row = verdict(world, 6)
    at_least = min(row["alone"], row["adaptive"])
    assert row["clairvoyant"] <= at_least + 0.1 * abs(row["alone"])
    assert row["candidates"] > 8
