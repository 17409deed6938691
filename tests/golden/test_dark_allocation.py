"""Golden figures of the Kaplan-Meier tail and the greedy allocation: small tables worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from engine.models.dark_allocation import allocate_greedy, expected_fill_units, kaplan_meier_tail

# sent, filled, steps, optimistic steps, tail P(hidden >= 1..steps), source
TAILS = [
    (
        [5, 5, 5, 5],
        [0, 1, 3, 4],
        6,
        0,
        [3 / 4, 2 / 4, 2 / 4, 1 / 4, 0.0, 0.0],
        "uncensored: the empirical tail",
    ),
    # Level 0: 1 event of 4. Level 1: none of 2 (the send of 1, filled in full, could not show it).
    # Level 2: 1 event of 2. Level 3: none of 1. From level 4 on nothing was ever sent.
    ([4, 1, 4, 4], [0, 1, 2, 4], 6, 0, [3 / 4, 3 / 4, 3 / 8, 3 / 8, 0.0, 0.0], "product with censoring"),
    ([4, 1, 4, 4], [0, 1, 2, 4], 6, 1, [3 / 4, 3 / 4, 3 / 8, 3 / 8, 3 / 8, 0.0], "one optimistic step"),
    ([2, 3], [2, 3], 4, 0, [1.0, 1.0, 1.0, 0.0], "all censored: sure as far as it was sent"),
    ([], [], 3, 0, [0.0, 0.0, 0.0], "no observations: nothing promised"),
    ([], [], 3, 2, [1.0, 1.0, 0.0], "no observations, two optimistic steps"),
    ([0], [0], 2, 0, [0.0, 0.0], "a send of nothing says nothing"),
]

TABLE = np.array([[0.9, 0.5, 0.1], [0.8, 0.5, 0.4], [0.3, 0.0, 0.0]])

# units, allocation, expected fill, source
ALLOCATIONS = [
    (0, [0, 0, 0], 0.0, "nothing to allocate"),
    (1, [1, 0, 0], 0.9, "best first unit"),
    (3, [2, 1, 0], 2.2, "the tie at 0.5 goes to the earlier venue"),
    (6, [2, 3, 1], 3.4, "0.4 and 0.3 before 0.1"),
    (7, [3, 3, 1], 3.5, "all units with a chance"),
    (9, [3, 3, 1], 3.5, "the rest has no chance and is left"),
]


@pytest.mark.parametrize(("sent", "filled", "steps", "optimistic", "expected", "source"), TAILS)
def test_kaplan_meier(
    sent: list[int], filled: list[int], steps: int, optimistic: int, expected: list[float], source: str
) -> None:
    tail = kaplan_meier_tail(sent, filled, steps, optimistic_steps=optimistic)
    assert tail == pytest.approx(expected, abs=1e-15), source


@pytest.mark.parametrize(("units", "expected", "fill", "source"), ALLOCATIONS)
def test_greedy(units: int, expected: list[int], fill: float, source: str) -> None:
    allocation = allocate_greedy(TABLE, units)
    assert allocation.tolist() == expected, source
    assert expected_fill_units(TABLE, allocation) == pytest.approx(fill, abs=1e-12), source
