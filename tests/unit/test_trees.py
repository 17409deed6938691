"""Trees as arrays: the walk against a plain one, sums in ONNX Runtime's order, storing, and every refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numba import njit

from engine.scoring.onnx_scorer import CompiledScorer, OnnxScorer, largest_ratio, parity
from engine.scoring.trees import (
    LEAF,
    Float32s,
    TreeTable,
    arrays_of,
    first_trees,
    leaves_of,
    magnitudes,
    names_sha256,
    rest_of_head,
    rough_rows,
    score_head,
    score_rows,
    table_from_arrays,
)
from store.artifacts import arrays_to_bytes, bytes_to_arrays

GROUPS, HEADS, FEATURES = ("TWAP", "VWAP"), ("mean", "sd"), ("size", "spread", "time")


def random_tree(rng: np.random.Generator, leaves: int) -> list[tuple[int, float, int, int, float]]:
    """(feature, threshold, left, right, value) of each node, in preorder, indices from 0."""
    if leaves == 1:
        return [(LEAF, 0.0, LEAF, LEAF, float(rng.normal()))]
    below = int(rng.integers(1, leaves))
    left, right = random_tree(rng, below), random_tree(rng, leaves - below)

    def moved(nodes: list[tuple[int, float, int, int, float]], by: int) -> list[tuple[int, float, int, int, float]]:
        return [(f, t, a if a < 0 else a + by, b if b < 0 else b + by, v) for f, t, a, b, v in nodes]

    top = (int(rng.integers(len(FEATURES))), float(rng.normal()), 1, 1 + len(left), 0.0)
    return [top, *moved(left, 1), *moved(right, 1 + len(left))]


def arrays(trees: list[list[list[tuple[int, float, int, int, float]]]], base: float = 0.0) -> dict[str, Any]:
    """What is stored, of the trees of each (group, head) in order."""
    root: list[int] = []
    first = [0]
    nodes: list[tuple[int, float, int, int, float]] = []
    for head in trees:
        for tree in head:
            by = len(nodes)
            root.append(by)
            nodes += [(f, t, a if a < 0 else a + by, b if b < 0 else b + by, v) for f, t, a, b, v in tree]
        first.append(len(root))
    columns = list(zip(*nodes, strict=True)) or [()] * 5
    bounds = [first[g * len(HEADS) : (g + 1) * len(HEADS) + 1] for g in range(len(GROUPS))]
    return {
        "feature": np.array(columns[0], np.int16), "threshold": np.array(columns[1], np.float32),
        "left": np.array(columns[2], np.int32), "right": np.array(columns[3], np.int32),
        "value": np.array(columns[4], np.float32), "root": np.array(root, np.int32),
        "first_tree": np.array(bounds, np.int32), "base": np.full((len(GROUPS), len(HEADS)), base, np.float32),
        "groups": np.array(GROUPS), "heads": np.array(HEADS), "features": np.array(FEATURES),
        "schema_sha256": np.array(names_sha256(GROUPS, HEADS, FEATURES)),
    }


def random_arrays(counts: tuple[int, int, int, int], base: float = 0.25, seed: int = 1) -> dict[str, Any]:
    """A table with this many trees in each of the four heads."""
    rng = np.random.default_rng(seed)
    return arrays([[random_tree(rng, int(rng.integers(1, 40))) for _ in range(count)] for count in counts], base)


def constants(*values: float) -> list[list[tuple[int, float, int, int, float]]]:
    return [[(LEAF, 0.0, LEAF, LEAF, value)] for value in values]


def plainly(table: TreeTable, group: int, head: int, row: Float32s) -> np.float32:
    """The score as the definition says it."""
    total = np.float32(0.0)
    for tree in range(table.first_tree[group, head], table.first_tree[group, head + 1]):
        at = int(table.root[tree])
        while table.feature[at] != LEAF:
            at = int(table.left[at] if row[table.feature[at]] <= table.threshold[at] else table.right[at])
        total = np.float32(total + table.value[at])
    return np.float32(total + table.base[group, head])


@njit
def _from_compiled_code(nodes, root, first_tree, base, row):  # type: ignore[no-untyped-def]
    return score_head(nodes, root, first_tree, base, 1, 0, row) + score_head(nodes, root, first_tree, base, 1, 1, row)


@pytest.mark.parametrize("counts", [(0, 1, 7, 8), (9, 16, 17, 40), (3, 0, 0, 5)])
def test_scores_are_those_of_a_plain_walk_bit_for_bit(counts: tuple[int, int, int, int]) -> None:
    table = table_from_arrays(random_arrays(counts))
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(200, len(FEATURES))).astype(np.float32)
    # A row that stands on a threshold goes left.
    inner = np.flatnonzero(table.feature != LEAF)
    rows[:50, 0] = rng.choice(table.threshold[inner], 50)
    groups = rng.integers(0, len(GROUPS), len(rows))
    out = np.empty((len(rows), len(HEADS)), np.float32)
    score_rows(*table.walk, groups, rows, np.arange(len(HEADS)), out)
    pairs = list(zip(groups, rows, strict=True))
    expected = [[plainly(table, group, head, row) for head in range(len(HEADS))] for group, row in pairs]
    assert np.array_equal(out, np.array(expected))
    one = score_head(*table.walk, int(groups[0]), 1, rows[0])
    assert (one, type(one)) == (expected[0][1], float)  # numba boxes a float32 as Python's float


def test_heads_may_be_asked_for_in_any_order_and_from_compiled_code() -> None:
    table = table_from_arrays(random_arrays((4, 9, 12, 3)))
    rows = np.random.default_rng(3).normal(size=(20, len(FEATURES))).astype(np.float32)
    both, reverse = np.empty((20, 2), np.float32), np.empty((20, 2), np.float32)
    groups = np.ones(20, np.int64)
    score_rows(*table.walk, groups, rows, np.array([0, 1]), both)
    score_rows(*table.walk, groups, rows, np.array([1, 0]), reverse)
    assert np.array_equal(both, reverse[:, ::-1])
    assert _from_compiled_code(*table.walk, rows[0]) == pytest.approx(float(both[0].sum()))


def test_float32_sums_go_in_the_trees_order_and_the_base_comes_last() -> None:
    """As ONNX Runtime adds: with the base first, or in float64, the first head would be 2."""
    table = table_from_arrays(arrays([constants(1e8, 1.0, 1.0), constants(1.0, 1.0, 1e8), [], []], base=-1e8))
    scores = CompiledScorer(table).score(0, np.zeros((1, len(FEATURES)), np.float32))
    assert scores.tolist() == [[0.0, 0.0]]
    table = table_from_arrays(arrays([constants(1e8, -1e8, 1.0), constants(1e8, 1.0, -1e8), [], []]))
    scores = CompiledScorer(table).score(0, np.zeros((1, len(FEATURES)), np.float32))
    assert scores.tolist() == [[1.0, 0.0]]


def test_what_is_no_number_goes_right_and_infinities_compare() -> None:
    stump = [(1, 0.5, 1, 2, 0.0), (LEAF, 0.0, LEAF, LEAF, -1.0), (LEAF, 0.0, LEAF, LEAF, 1.0)]
    scorer = CompiledScorer(table_from_arrays(arrays([[stump], [], [], []])))
    values = [-np.inf, -0.0, 0.5, np.nextafter(np.float32(0.5), np.float32(1.0)), np.inf, np.nan]
    rows = np.zeros((len(values), len(FEATURES)), np.float32)
    rows[:, 1] = values
    assert scorer.score(0, rows)[:, 0].tolist() == [-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]


def test_leaves_and_magnitudes_are_those_of_the_scores() -> None:
    table = table_from_arrays(random_arrays((11, 2, 1, 5), base=-3.0))
    rows = np.random.default_rng(4).normal(size=(50, len(FEATURES))).astype(np.float32)
    leaves = leaves_of(table, 0, 0, rows)
    assert leaves.shape == (50, 11)
    assert np.all(table.feature[leaves] == LEAF)
    expected = np.cumsum(table.value[leaves], axis=1, dtype=np.float32)[:, -1] + table.base[0, 0]
    assert np.array_equal(CompiledScorer(table).score(0, rows)[:, 0], expected)
    assert magnitudes(table, 0, 0, rows) == pytest.approx(np.abs(table.value[leaves]).sum(axis=1) + 3.0, rel=1e-6)


def test_storing_and_reading_gives_the_same_table_and_the_same_bytes() -> None:
    table = table_from_arrays(random_arrays((3, 4, 0, 2)))
    data = arrays_to_bytes(arrays_of(table))
    again = table_from_arrays(bytes_to_arrays(data))
    assert arrays_to_bytes(arrays_of(again)) == data
    assert (again.groups, again.heads, again.features, again.schema_sha256) == (
        GROUPS, HEADS, FEATURES, names_sha256(GROUPS, HEADS, FEATURES)
    )
    assert np.array_equal(again.nodes, table.nodes)
    assert again.trees == 9


def test_a_table_cannot_be_written_to_and_does_not_share_what_it_was_made_from() -> None:
    stored = random_arrays((2, 2, 2, 2))
    table = table_from_arrays(stored)
    for name in ("feature", "threshold", "left", "right", "value", "root", "first_tree", "base", "nodes"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(table, name)[...] = 0
    before = table.threshold.copy()
    stored["threshold"][:] = 7.0
    assert np.array_equal(table.threshold, before)


def corrupt(name: str, index: Any, value: Any) -> dict[str, Any]:
    """Two trees of 3 leaves: nodes 0 and 5 are roots, 0, 1, 5, 6 inner."""
    tree = [
        (0, 0.0, 1, 4, 0.0), (1, 0.5, 2, 3, 0.0), (LEAF, 0.0, LEAF, LEAF, 1.0), (LEAF, 0.0, LEAF, LEAF, 2.0),
        (LEAF, 0.0, LEAF, LEAF, 3.0),
    ]
    stored = arrays([[tree, tree], [], [], []])
    stored[name][index] = value
    return stored


def test_the_table_that_is_corrupted_here_is_sound() -> None:
    assert table_from_arrays(corrupt("threshold", 0, 1.0)).trees == 2


@pytest.mark.parametrize(
    ("name", "index", "value", "fault"),
    [
        ("right", 1, 10, "go back or out of their tree"),
        ("right", 1, -7, "go back or out of their tree"),
        ("right", 1, 5, "go back or out of their tree"),  # into the next tree
        ("right", 1, 0, "go back or out of their tree"),  # round in circles
        ("right", 1, 1, "go back or out of their tree"),  # its own child
        ("right", 1, 2, "go back or out of their tree"),  # both children are the same node
        ("right", 1, 4, "have no parent, or several"),  # shared with the root
        ("right", 0, 3, "have no parent, or several"),
        ("right", 2, 3, "are children of leaves"),
        ("left", 0, 2, "are not the next node"),
        ("left", 0, 0, "are not the next node"),
        ("left", 0, 2_000_000_000, "are not the next node"),
        ("left", 2, 3, "are children of leaves"),
        ("feature", 0, 3, "are neither -1 nor one of 3"),
        ("feature", 0, -2, "are neither -1 nor one of 3"),
        ("feature", 0, LEAF, "are children of leaves"),
        ("feature", 2, 0, "are not the next node"),
        ("threshold", 0, np.nan, "1 of threshold are not finite"),
        ("threshold", 0, np.inf, "1 of threshold are not finite"),
        ("value", 3, -np.inf, "1 of value are not finite \\(first at 3\\)"),
        ("base", (1, 1), np.nan, "1 of base are not finite \\(first at 3\\)"),
        ("root", 0, 1, "do not begin with a root"),
        ("root", 1, 0, "root does not rise"),
        ("root", 1, 10, "root does not rise"),
        ("root", 1, -5, "root does not rise"),
        ("root", 1, 4, "have no parent, or several"),
        ("first_tree", (0, 1), 3, "first_tree falls, or leaves trees out"),
        ("first_tree", (0, 0), 1, "first_tree does not run from 0 to 2"),
        ("first_tree", (1, 2), 9, "first_tree does not run from 0 to 2"),
        ("first_tree", (1, 0), 1, "first_tree falls, or leaves trees out"),
    ],
)
def test_a_corrupt_table_is_refused(name: str, index: Any, value: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        table_from_arrays(corrupt(name, index, value))


def test_every_fault_is_named_at_once() -> None:
    stored = corrupt("right", 1, 10)
    stored["value"][2] = np.nan
    stored["feature"][5] = 99
    with pytest.raises(ValueError, match=r"value are not finite.*neither -1 nor one of 3.*out of their tree"):
        table_from_arrays(stored)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"feature": np.zeros(10, np.int64)}, "feature is int64 of shape"),
        ({"threshold": np.zeros((10, 1), np.float32)}, "threshold is float32 of shape"),
        ({"value": np.zeros(9, np.float32)}, "node arrays differ in length"),
        ({"base": np.zeros((2, 3), np.float32)}, "base has shape"),
        ({"first_tree": np.zeros((2, 2), np.int32)}, "first_tree has shape"),
        ({"groups": np.array(["TWAP", "TWAP"])}, "groups are empty, nameless or named twice"),
        ({"features": np.array(["size", ""])}, "features are empty, nameless or named twice"),
        ({"heads": np.array([1, 2])}, "heads hold no text"),
        ({"schema_sha256": np.array("abc")}, "schema_sha256 is no SHA-256"),
    ],
)
def test_arrays_of_another_form_are_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        table_from_arrays({**corrupt("value", 2, 1.0), **changes})


def test_missing_arrays_are_named() -> None:
    stored = corrupt("value", 2, 1.0)
    del stored["root"], stored["heads"]
    with pytest.raises(ValueError, match="trees lack root, heads"):
        table_from_arrays(stored)


def test_a_right_child_beyond_sixteen_bits_is_refused() -> None:
    """The right child of the root stands 2 depth + 2 nodes away: 65,534 fit, 65,536 do not."""
    for depth, sound in ((32_766, True), (32_767, False)):
        nodes = [(0, 0.0, at + 1, 2 * depth - at, 0.0) for at in range(depth)]
        nodes += [(LEAF, 0.0, LEAF, LEAF, 1.0)] * (depth + 1)
        # One level more, so that the arm stands left of a last leaf.
        tree = [(0, 1.0, 1, len(nodes) + 1, 0.0)]
        tree += [(f, t, a if a < 0 else a + 1, b if b < 0 else b + 1, v) for f, t, a, b, v in nodes]
        tree.append((LEAF, 0.0, LEAF, LEAF, 5.0))
        stored = arrays([[tree], [], [], []])
        if sound:
            rows = np.array([[2.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.5, 0.0, 0.0]], np.float32)
            assert CompiledScorer(table_from_arrays(stored)).score(0, rows)[:, 0].tolist() == [5.0, 1.0, 1.0]
        else:
            with pytest.raises(ValueError, match="65535 nodes away"):
                table_from_arrays(stored)


def test_the_scorer_refuses_rows_of_another_form() -> None:
    scorer = CompiledScorer(table_from_arrays(random_arrays((1, 1, 1, 1))))
    assert (scorer.groups, scorer.heads, scorer.features) == (2, 2, 3)
    good = np.zeros((4, 3), np.float32)
    assert scorer.score(1, good[:0]).shape == (0, 2)
    for group in (-1, 2):
        with pytest.raises(IndexError):
            scorer.score(group, good)
    bad: list[Any] = [good.astype(np.float64), good[:, :2], good[0], np.asfortranarray(good)]
    for rows in bad:
        with pytest.raises(ValueError, match="rows are"):
            scorer.score(0, rows)


def test_onnx_models_of_another_form_are_refused() -> None:
    with pytest.raises(ValueError, match="no models"):
        OnnxScorer(())
    with pytest.raises(ValueError, match="model of group 0 is not readable"):
        OnnxScorer((b"no model",))


def test_ratios_hide_nothing() -> None:
    assert largest_ratio(np.zeros(2), np.zeros(2)) == 0.0
    assert largest_ratio(np.array([0.0, 2.0]), np.array([0.0, 4.0])) == 0.5
    assert largest_ratio(np.array([1.0]), np.array([0.0])) == np.inf
    assert largest_ratio(np.array([np.nan]), np.array([1.0])) == np.inf
    assert largest_ratio(np.zeros(0), np.zeros(0)) == 0.0


def test_parity_counts_what_is_the_same() -> None:
    table = table_from_arrays(random_arrays((1, 1, 1, 1)))
    moved = arrays_of(table)
    moved["base"] = moved["base"].copy()
    moved["base"][1, 0] += np.float32(1.0)
    rows = np.zeros((5, 3), np.float32)
    other = CompiledScorer(table_from_arrays(moved))
    report = parity(CompiledScorer(table), other, {0: rows, 1: rows})
    assert (report.rows, report.scores, report.identical, report.exact) == (10, 20, 15, False)
    assert report.largest_relative_difference == pytest.approx(1.0 / float(magnitudes(other.table, 1, 0, rows)[0]))
    assert parity(other, other, {0: rows}).exact


def test_onnx_runtime_has_no_telemetry() -> None:
    """From 1.29 on the wheels send it home unless an environment variable is set; pyproject.toml stays below."""
    libraries = list((Path(onnxruntime.__file__).parent / "capi").glob("*.so*"))
    assert libraries
    for library in libraries:
        assert b"OneCollector" not in library.read_bytes(), library.name


# ---- the first trees, and the rest of them


@pytest.mark.parametrize("most", [1, 3, 8, 16, 40])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 30])
def test_first_trees_and_the_rest_are_the_whole_score_bit_for_bit(count: int, most: int) -> None:
    rng = np.random.default_rng(count * 100 + most)
    table = table_from_arrays(random_arrays((count, count + 1, 2, 1), seed=count))
    rows = rng.normal(size=(20, len(FEATURES))).astype(np.float32)
    groups = np.zeros(len(rows), dtype=np.int64)
    out = np.empty((len(rows), len(HEADS)), dtype=np.float32)
    rough_rows(*table.walk, groups, rows, most, out)
    nodes, root, first_tree, base = table.walk
    for number, row in enumerate(rows):
        for head in range(len(HEADS)):
            rough = first_trees(nodes, root, first_tree, 0, head, row, most)
            whole = score_head(*table.walk, 0, head, row)
            assert rest_of_head(*table.walk, 0, head, row, most, rough) == whole
            assert out[number, head] == np.float32(rough + base[0, head])
            if most >= count + 1:
                assert out[number, head] == whole
