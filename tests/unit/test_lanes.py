"""Trees whose nodes stand side by side: the same float32 as the walk, whatever the trees, rows and machine."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.priced import NO_LANES
from engine.scoring.lane_tree import MOST_LEAVES, ROW_WIDTH
from engine.scoring.lanes import (
    MOST_CUTS,
    NO_NUMBER,
    add_lanes,
    bin_rows,
    lane_arrays,
    lane_rows,
    most_leaves,
)
from engine.scoring.trees import LEAF, TreeTable, add_trees, score_rows, table_from_arrays
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
    st.integers(0, 2**32), st.tuples(*[st.integers(0, 9)] * 4), st.integers(1, MOST_LEAVES), st.integers(0, 24)
)
def test_the_same_as_the_walk_to_the_bit(seed: int, counts: tuple[int, int, int, int], most: int, rows: int) -> None:
    table = random_table(seed, counts, most)
    seen = random_rows(table, seed + 1, rows)
    for group in range(len(GROUPS)):
        walked, found = np.empty((2, rows, len(HEADS)), dtype=np.float32)
        score_rows(*table.walk, np.full(rows, group), seen, np.arange(len(HEADS)), walked)
        lane_rows(*lane_arrays(table), group, seen, found)
        np.testing.assert_array_equal(found, walked)


@pytest.mark.parametrize("most", [MOST_LEAVES // 2, MOST_LEAVES])
def test_a_sum_goes_on_where_another_ended_for_the_rows_that_are_named(most: int) -> None:
    table = random_table(3, (12, 0, 5, 0), most)
    feature, limit, left_of, value, cut, *_ = lane_arrays(table)
    rows = np.full((20, ROW_WIDTH), np.nan, dtype=np.float32)
    rows[:, : len(FEATURES)] = random_rows(table, 4, 20)
    members = np.array([17, 3, 4, 11, 0])
    bins = np.full((20, ROW_WIDTH), 77, dtype=np.uint8)
    bin_rows(cut, 0, rows, members, len(members), bins)
    totals = np.linspace(-1.0, 1.0, 20).astype(np.float32)
    expected = totals.copy()
    for member in members:
        expected[member] = add_trees(table.nodes, table.root, 2, 11, totals[member], rows[member])
    add_lanes(feature, limit, left_of, value, 2, 7, bins, members, len(members), totals)
    add_lanes(feature, limit, left_of, value, 7, 11, bins, members, len(members), totals)
    np.testing.assert_array_equal(totals, expected)


def test_only_as_many_rows_as_are_counted() -> None:
    table = random_table(8, (6, 0, 0, 0), MOST_LEAVES)
    feature, limit, left_of, value, *_ = lane_arrays(table)
    totals = np.zeros(4, dtype=np.float32)
    add_lanes(feature, limit, left_of, value, 0, 6, np.zeros((4, ROW_WIDTH), np.uint8), np.arange(4), 2, totals)
    assert np.all(totals[:2] != 0.0)
    assert np.all(totals[2:] == 0.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 24))
def test_a_bin_is_how_many_thresholds_lie_below(seed: int, trees: int, count: int) -> None:
    table = random_table(seed, (trees // 2, trees // 3, trees // 4, 0), 12)
    *_, cut, _, _ = lane_arrays(table)
    rows = random_rows(table, seed + 1, count)
    # Neighbours that have figures in common, and members in any order.
    rows[1::2, 0] = rows[: len(rows) - 1 : 2, 0]
    members = np.random.default_rng(seed + 2).permutation(count)[: 1 + count // 2]
    for group in range(len(GROUPS)):
        bins = np.full((count, ROW_WIDTH), 201, dtype=np.uint8)
        bin_rows(cut, group, rows, members, len(members), bins)
        first, end = np.append(table.root, len(table.feature))[table.first_tree[group, [0, -1]]]
        for row in range(count):
            for column in range(len(FEATURES)):
                own = np.unique(table.threshold[first:end][table.feature[first:end] == column])
                figure = rows[row, column]
                expected = NO_NUMBER if np.isnan(figure) else np.sum(own < figure)
                assert bins[row, column] == (expected if row in members else 201)


def test_no_trees_are_of_the_same_types() -> None:
    """Arrays of another type would have the whole decision call compiled once more, at a worker's first order."""
    pairs: list[tuple[Any, Any]] = list(zip(NO_LANES, lane_arrays(random_table(1, (2, 1, 1, 1), 5)), strict=True))
    for none, some in pairs:
        assert (none.dtype, none.ndim, none.flags.writeable, none.flags.c_contiguous) == (
            some.dtype, some.ndim, False, some.flags.c_contiguous,
        )


OTHER_MACHINE = """
import sys
import numpy as np
from numba.core.registry import cpu_target
from engine.scoring.lanes import lane_arrays, lane_rows
from engine.scoring.trees import score_rows
from tests.unit.test_lanes import random_rows, random_table

assert cpu_target.target_context.codegen().magic_tuple()[2] == sys.argv[1]
for most in (9, 31):
    table = random_table(most, (7, 3, 0, 5), most)
    rows = random_rows(table, most + 1, 50)
    walked, found = np.empty((2, 50, 2), dtype=np.float32)
    score_rows(*table.walk, np.zeros(50, dtype=np.int64), rows, np.arange(2), walked)
    lane_rows(*lane_arrays(table), 0, rows, found)
    np.testing.assert_array_equal(found, walked)
print("same")
"""
HERE = {name for name, there in llvmlite.binding.get_host_cpu_features().items() if there}
# Without registers of 32 bytes, and with them where this machine can run that.
MACHINES = ["", *(["+avx,+avx2"] if {"avx", "avx2"} <= HERE else [])]


@pytest.mark.parametrize("features", MACHINES)
def test_machines_without_the_widest_registers_get_the_same(tmp_path: Path, features: str) -> None:
    """numba compiles for a plain machine of this kind; its cache must not be shared with the usual one."""
    environment = {
        **os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path),
    }
    ran = subprocess.run(
        [sys.executable, "-c", OTHER_MACHINE, features], env=environment, capture_output=True, text=True, timeout=300,
        check=False,
    )
    assert ran.stdout.strip() == "same", ran.stderr


def test_a_tree_of_too_many_leaves_is_refused() -> None:
    rng = np.random.default_rng(5)
    heads = [constants(1.0), [random_tree(rng, MOST_LEAVES + 1)], constants(2.0), constants(3.0)]
    table = table_from_arrays(arrays(heads))
    assert most_leaves(table) == MOST_LEAVES + 1
    with pytest.raises(ValueError, match="33 leaves"):
        lane_arrays(table)


def stump(threshold: float) -> list[tuple[int, float, int, int, float]]:
    return [(1, threshold, 1, 2, 0.0), (LEAF, 0.0, LEAF, LEAF, -threshold), (LEAF, 0.0, LEAF, LEAF, threshold)]


def test_as_many_thresholds_as_a_byte_tells_apart() -> None:
    stumps = [stump(0.5 * number) for number in range(MOST_CUTS)]
    # The other group's are counted apart.
    table = table_from_arrays(arrays([stumps, [stump(1.0)], [stump(-1.0)], [stump(-2.0)]]))
    rows = np.array([[9.0, x, 9.0] for x in (*np.arange(-1.0, 130.0, 0.25), *ODD)], dtype=np.float32)
    found, walked = np.empty((2, len(rows), 2), dtype=np.float32)
    lane_rows(*lane_arrays(table), 0, rows, found)
    score_rows(*table.walk, np.zeros(len(rows), dtype=np.int64), rows, np.arange(2), walked)
    np.testing.assert_array_equal(found, walked)


def test_more_thresholds_than_a_byte_tells_apart_are_refused() -> None:
    stumps = [stump(0.5 * number) for number in range(MOST_CUTS)]
    table = table_from_arrays(arrays([stumps, [stump(-0.5)], constants(1.0), constants(1.0)]))
    with pytest.raises(ValueError, match=r"TWAP have 255 thresholds for spread.* at most 254"):
        lane_arrays(table)


def test_every_fault_is_named() -> None:
    rng = np.random.default_rng(5)
    heads = [[random_tree(rng, MOST_LEAVES + 1)], [stump(0.5 * n) for n in range(300)], constants(2.0), constants(3.0)]
    names = tuple(f"feature_{number}" for number in range(ROW_WIDTH + 1))
    with pytest.raises(ValueError, match=r"33 leaves.*33 features.*TWAP have 3\d\d thresholds for feature_1"):
        lane_arrays(replace(table_from_arrays(arrays(heads)), features=names))


def test_the_fullest_tree_that_fits_uses_every_bit() -> None:
    rng = np.random.default_rng(6)
    table = table_from_arrays(arrays([[random_tree(rng, MOST_LEAVES)], *[constants(0.0)] * 3]))
    rows = random_rows(table, 7, 500)
    found, walked = np.empty((2, 500, 2), dtype=np.float32)
    lane_rows(*lane_arrays(table), 0, rows, found)
    score_rows(*table.walk, np.zeros(500, dtype=np.int64), rows, np.arange(2), walked)
    np.testing.assert_array_equal(found, walked)


def test_rows_of_too_many_features_are_refused() -> None:
    table = random_table(11, (1, 1, 1, 1), 3)
    names = tuple(f"feature_{number}" for number in range(ROW_WIDTH + 1))
    with pytest.raises(ValueError, match="33 features"):
        lane_arrays(replace(table, features=names))
