"""Trees for eight rows at once: the same float32 as the walk, whatever the trees and rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.scoring.lanes import LANES, MOST_LEAVES, add_lanes, lane_arrays, lane_rows, most_leaves
from engine.scoring.trees import TreeTable, add_trees, score_rows, table_from_arrays
from tests.unit.test_trees import FEATURES, GROUPS, HEADS, arrays, constants, random_tree

ODD = (np.nan, np.inf, -np.inf, 0.0, -0.0)


def random_table(seed: int, counts: tuple[int, int, int, int], most: int) -> TreeTable:
    rng = np.random.default_rng(seed)
    heads = [[random_tree(rng, int(rng.integers(1, most + 1))) for _ in range(count)] for count in counts]
    return table_from_arrays(arrays(heads, 0.25))


def random_rows(table: TreeTable, seed: int, count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Some figures are thresholds themselves, some are none at all."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, len(FEATURES))).astype(np.float32)
    drawn = rng.choice(np.append(table.threshold, ODD), rows.shape).astype(np.float32)
    return np.where(rng.random(rows.shape) < 0.5, drawn, rows)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32), st.tuples(*[st.integers(0, 9)] * 4), st.integers(1, MOST_LEAVES), st.integers(1, 3 * LANES)
)
def test_the_same_as_the_walk_to_the_bit(seed: int, counts: tuple[int, int, int, int], most: int, rows: int) -> None:
    table = random_table(seed, counts, most)
    seen = random_rows(table, seed + 1, rows)
    for group in range(len(GROUPS)):
        walked, found = np.empty((2, rows, len(HEADS)), dtype=np.float32)
        score_rows(*table.walk, np.full(rows, group), seen, np.arange(len(HEADS)), walked)
        lane_rows(*lane_arrays(table), group, seen, found)
        np.testing.assert_array_equal(found, walked)


def test_a_sum_goes_on_where_another_ended() -> None:
    table = random_table(3, (12, 0, 5, 0), 31)
    feature, threshold, kept, value, *_ = lane_arrays(table)
    rows = random_rows(table, 4, LANES)
    total = np.linspace(-1.0, 1.0, LANES).astype(np.float32)
    expected = [add_trees(table.nodes, table.root, 2, 11, start, row) for start, row in zip(total, rows, strict=True)]
    add_lanes(feature, threshold, kept, value, 2, 7, np.ascontiguousarray(rows.T), total)
    add_lanes(feature, threshold, kept, value, 7, 11, np.ascontiguousarray(rows.T), total)
    np.testing.assert_array_equal(total, np.array(expected, dtype=np.float32))


def test_a_tree_of_too_many_leaves_is_refused() -> None:
    rng = np.random.default_rng(5)
    heads = [constants(1.0), [random_tree(rng, MOST_LEAVES + 1)], constants(2.0), constants(3.0)]
    table = table_from_arrays(arrays(heads))
    assert most_leaves(table) == MOST_LEAVES + 1
    with pytest.raises(ValueError, match="33 leaves"):
        lane_arrays(table)


def test_the_fullest_tree_that_fits_uses_every_bit() -> None:
    rng = np.random.default_rng(6)
    table = table_from_arrays(arrays([[random_tree(rng, MOST_LEAVES)], *[constants(0.0)] * 3]))
    rows = random_rows(table, 7, 500)
    found, walked = np.empty((2, 500, 2), dtype=np.float32)
    lane_rows(*lane_arrays(table), 0, rows, found)
    score_rows(*table.walk, np.zeros(500, dtype=np.int64), rows, np.arange(2), walked)
    np.testing.assert_array_equal(found, walked)
