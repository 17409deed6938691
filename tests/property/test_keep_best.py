"""Pruning without sorting: the same candidates as by a stable sort."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.kernel_choice import keep_best
from engine.layout import MASK_PARTICIPATION, MASK_PRUNED

ALGORITHMS = 4
# Few figures, so that many are equal; some are none.
FIGURES = st.sampled_from([*np.arange(6) / 4, np.inf, np.nan])


def by_sorting(
    algorithm: NDArray[np.int64], utilities: NDArray[np.float64], allowed: NDArray[np.bool_], most: int,
    least: NDArray[np.int64],
) -> set[int]:
    ranked = sorted(np.flatnonzero(allowed).tolist(), key=lambda n: (np.isnan(utilities[n]), utilities[n]))
    kept = {n for a in range(ALGORITHMS) for n in [m for m in ranked if algorithm[m] == a][: least[a]]}
    for n in ranked:
        if len(kept) >= most:
            break
        kept.add(n)
    return kept


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(0, 24), st.integers(0, 26), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_keeps_what_a_stable_sort_keeps(data: st.DataObject, count: int, most: int, least: list[int]) -> None:
    rows = data.draw(
        st.lists(st.tuples(st.integers(0, ALGORITHMS - 1), FIGURES, st.booleans()), min_size=count, max_size=count)
    )
    algorithm = np.array([row[0] for row in rows], dtype=np.int64)
    utilities = np.array([row[1] for row in rows], dtype=np.float64)
    allowed = np.array([row[2] for row in rows], dtype=np.bool_)
    mask = np.where(allowed, 0, MASK_PARTICIPATION).astype(np.int64)
    left = keep_best(algorithm, utilities, mask, most, np.array(least, dtype=np.int64))
    expected = by_sorting(algorithm, utilities, allowed, most, np.array(least))
    assert set(np.flatnonzero(mask == 0).tolist()) == expected
    assert left == len(expected)
    assert np.all(mask[~allowed] == MASK_PARTICIPATION)
    pruned = allowed & (mask != 0)
    assert np.all(mask[pruned] == MASK_PRUNED)
