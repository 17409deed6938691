"""Off-policy estimates find what another policy costs from what one policy logged."""

from __future__ import annotations

import numpy as np
import pytest

from engine.learning.evaluation import MOST_WEIGHT, Estimate, Logged, evaluate

# Two actions; the logged policy takes the first with 0.8, the other policy always the second.
COSTS = (10.0, 7.0)


def logged(count: int, seed: int, predicted: tuple[float, float] = (9.0, 9.0)) -> list[Logged]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        action = int(rng.random() >= 0.8)
        cost = COSTS[action] + float(rng.normal(0.0, 5.0))
        found.append(Logged((0.8, 0.2)[action], float(action == 1), cost, predicted[action], predicted[1]))
    return found


def holds(found: Estimate, truth: float) -> bool:
    return found.lower <= truth <= found.upper


def test_every_estimate_holds_the_truth_about_as_often_as_it_says() -> None:
    runs = [evaluate(logged(600, seed)) for seed in range(200)]
    for name in ("ips", "snips", "dr"):
        held = np.mean([holds(getattr(run, name), COSTS[1]) for run in runs])
        assert 0.90 <= held <= 0.99, (name, held)
        assert np.mean([getattr(run, name).mean for run in runs]) == pytest.approx(COSTS[1], abs=0.15)
    # 0.8 x 10 + 0.2 x 7, less 7.
    assert np.mean([holds(run.gain, 2.4) for run in runs]) >= 0.90


def test_a_model_that_is_right_makes_the_estimate_surer() -> None:
    right, wrong = evaluate(logged(600, 1, predicted=COSTS)), evaluate(logged(600, 1, predicted=(30.0, -20.0)))
    assert right.dr.upper - right.dr.lower < wrong.dr.upper - wrong.dr.lower
    assert right.snips.upper - right.snips.lower < right.ips.upper - right.ips.lower


def test_the_same_policy_is_the_logged_one() -> None:
    rows = [Logged(1.0, 1.0, cost, 5.0, 5.0) for cost in (4.0, 6.0, 8.0)]
    found = evaluate(rows)
    assert found.ips == found.snips == found.dr == found.logged
    assert (found.gain.mean, found.matched, found.effective) == (0.0, 3, pytest.approx(3.0))


def test_weights_are_cut_and_told_and_bad_propensities_refused() -> None:
    rows = [Logged(0.001, 1.0, 5.0, 5.0, 5.0), Logged(1.0, 0.0, 5.0, 5.0, 5.0)]
    found = evaluate(rows)
    assert (found.clipped, found.ips.mean) == (1, pytest.approx(5.0 * MOST_WEIGHT / 2.0))
    with pytest.raises(ValueError, match="propensity"):
        evaluate([Logged(0.0, 1.0, 5.0, 5.0, 5.0)])
    with pytest.raises(ValueError, match="no logged"):
        evaluate([])
