"""The learning benchmark corrects as the service does, and its outcomes are what its worlds say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.adapt.learning import Table, Truth, outcome_of, regrets
from benchmarks.adapt.learning_worlds import FIRST_ORDER, orders
from benchmarks.judge.service import load_service, priced
from engine import kernel as k
from engine.learning.effects import EFFECTS
from engine.learning.serving import corrected
from training.contexts import Purpose, draw_case

COUNT, PAIRS = 6, 4


@pytest.fixture(scope="module")
def table() -> Table:
    return Table.of(orders(COUNT, PAIRS, 0))


def test_the_table_corrects_as_a_decision_does(table: Table) -> None:
    values = np.random.default_rng(5).normal(0.0, 1.0, EFFECTS)
    found = table.corrected(values)
    service, checked, index = load_service().served, 0, FIRST_ORDER
    while checked < COUNT:
        case, index = draw_case(Purpose.JUDGE, index), index + 1
        word = priced(case, service)
        if word is None:
            continue
        kept = np.flatnonzero(word[1].mask == 0)
        if len(np.unique(word[1].algorithm[kept])) < 2:
            continue
        done = word[1]
        served = corrected(
            values, np.zeros(EFFECTS), service.catalogue, service.assumptions, done.context, done.metrics, done.mask,
            done.best_of_algorithm, done.flips, done.sizes,
        )
        assert found[checked, : len(kept)] == pytest.approx(done.metrics[kept, k.UTILITY], abs=1e-9)
        assert kept[table.choices(values)[checked]] == served.best
        checked += 1


def test_an_outcome_is_one_path_of_the_candidate(table: Table) -> None:
    order = table.orders[0]
    plain = outcome_of(order, order.best, Truth("as learned"), 3, 1, 1.0)
    worse = outcome_of(order, order.best, Truth("as learned", int(order.algorithm[order.best])), 3, 1, 1.0)
    assert plain.cost_bps == pytest.approx(float(order.worlds["as learned"].cost_bps[order.best, 3]))
    assert worse.cost_bps - plain.cost_bps == pytest.approx(5.0)
    assert plain.market_move_bps == pytest.approx(float(order.worlds["as learned"].move_bps[order.best, 3]))
    assert order.worlds["as learned"].cost_bps.shape == (len(order.algorithm), 2 * PAIRS)


def test_more_impact_costs_more_and_the_best_has_no_regret(table: Table) -> None:
    sizes = [np.mean(order.worlds["impact x2"].second_bps - order.worlds["as learned"].second_bps)
             for order in table.orders]  # fmt: skip
    assert min(sizes) > 0.0
    best = np.array([int(np.argmin(order.worlds["impact x2"].first_bps)) for order in table.orders])
    assert regrets(table, Truth("impact x2"), best) == pytest.approx(np.zeros(COUNT))
