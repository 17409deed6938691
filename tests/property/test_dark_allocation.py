"""Properties of the dark pools' model: the Kaplan-Meier tail is a tail, and the empirical one without censoring; greedy
equals brute force.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.models.dark_allocation import (
    allocate_greedy,
    allocate_greedy_reference,
    expected_fill_units,
    kaplan_meier_tail,
)

# Seeded and without a database: the same examples on every machine, and no files left behind.
seeded = settings(derandomize=True, database=None, deadline=None, max_examples=60)


@st.composite
def tail_tables(draw: st.DrawFn, venues: int = 4, steps: int = 5) -> NDArray[np.float64]:
    """Non-increasing rows in [0, 1]. Few levels make many ties, which is where an order of venues shows."""
    shape = (draw(st.integers(1, venues)), draw(st.integers(1, steps)))
    levels = draw(st.sampled_from([1, 3, 10, 10_000]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return np.sort(rng.integers(0, levels + 1, size=shape) / levels, axis=1)[:, ::-1].copy()


@st.composite
def fills(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sends and what each showed of its hidden liquidity."""
    pairs = draw(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=30))
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table.min(axis=1)


@seeded
@given(fills(), st.integers(1, 20), st.integers(0, 3))
def test_kaplan_meier_is_a_tail(
    observed: tuple[NDArray[np.int64], NDArray[np.int64]], steps: int, optimistic: int
) -> None:
    tail = kaplan_meier_tail(*observed, steps, optimistic_steps=optimistic)
    assert tail.shape == (steps,)
    assert ((tail >= 0.0) & (tail <= 1.0)).all()
    assert (np.diff(tail) <= 0.0).all()
    # A tail can be allocated as it stands.
    allocate_greedy(tail[None, :], 5)


@seeded
@given(st.lists(st.integers(0, 12), min_size=1, max_size=30), st.integers(1, 20), st.integers(1, 10))
def test_kaplan_meier_without_censoring_is_empirical(hidden: list[int], steps: int, margin: int) -> None:
    found = kaplan_meier_tail(np.array(hidden) + margin, hidden, steps)
    empirical = [np.mean(np.array(hidden) >= units) for units in range(1, steps + 1)]
    assert found == pytest.approx(empirical, abs=1e-12)


@seeded
@given(fills(), st.integers(1, 20))
def test_kaplan_meier_equals_its_definition(
    observed: tuple[NDArray[np.int64], NDArray[np.int64]], steps: int
) -> None:
    sent, filled = observed
    tail, product = [], 1.0
    for level in range(steps):
        at_risk = int(((filled >= level) & (sent > level)).sum())
        events = int(((filled == level) & (sent > filled)).sum())
        product = product * (1.0 - events / at_risk) if at_risk else 0.0
        tail.append(product)
    assert kaplan_meier_tail(sent, filled, steps) == pytest.approx(tail, abs=1e-12)


def best_fills(tails: NDArray[np.float64]) -> list[float]:
    """The largest expected fill over every allocation of at most 0, 1, ..., venues * steps units."""
    venues, steps = tails.shape
    gained = np.hstack((np.zeros((venues, 1)), np.cumsum(tails, axis=1)))
    allocations = np.array(list(itertools.product(range(steps + 1), repeat=venues)))
    fill = gained[np.arange(venues), allocations].sum(axis=1)
    total = allocations.sum(axis=1)
    return [float(fill[total <= units].max()) for units in range(venues * steps + 1)]


@seeded
@given(tail_tables())
def test_greedy_equals_brute_force(tails: NDArray[np.float64]) -> None:
    for units, best in enumerate(best_fills(tails)):
        allocation = allocate_greedy(tails, units)
        assert allocation.sum() <= units
        assert expected_fill_units(tails, allocation) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize(("venues", "steps"), [(1, 4), (2, 3), (3, 2)])
def test_greedy_equals_brute_force_on_every_small_case(venues: int, steps: int) -> None:
    """Every table over five levels, at every size. Sums of quarters are exact, so the equality is too."""
    rows = list(itertools.combinations_with_replacement((1.0, 0.75, 0.5, 0.25, 0.0), steps))
    for table in itertools.product(rows, repeat=venues):
        tails = np.array(table)
        for units, best in enumerate(best_fills(tails)):
            allocation = allocate_greedy(tails, units)
            assert expected_fill_units(tails, allocation) == best
            assert allocation.tolist() == allocate_greedy_reference(tails, units).tolist()


@seeded
@given(tail_tables(venues=9, steps=12), st.integers(0, 130))
def test_compiled_greedy_equals_reference(tails: NDArray[np.float64], units: int) -> None:
    assert allocate_greedy(tails, units).tolist() == allocate_greedy_reference(tails, units).tolist()


@seeded
@given(tail_tables(), st.integers(0, 12))
def test_greedy_never_takes_units_back(tails: NDArray[np.float64], units: int) -> None:
    assert (allocate_greedy(tails, units) <= allocate_greedy(tails, units + 1)).all()
