"""LightGBM, ONNX Runtime and the compiled walk agree, whatever the trees.

1. Every row ends in LightGBM's leaf, with thresholds that float32 does not hold and rows one ulp beside them.
2. The compiled score is ONNX Runtime's bit for bit, for any number of trees (the walk goes by eights) and of rows.
3. It is LightGBM's within 1e-6 of the sum of |leaf values|.
4. Storing the table changes nothing.
5. Whatever single number of a stored table is changed, it is refused or walks to an end inside its trees.

Ensembles are written in LightGBM's own text format and read by LightGBM, so that thresholds are free: training would
never choose most of them.
"""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

import lightgbm
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.scoring.onnx_scorer import CompiledScorer, OnnxScorer, parity
from engine.scoring.trees import TreeTable, arrays_of, leaves_of, table_from_arrays
from store.artifacts import arrays_to_bytes, bytes_to_arrays
from training.export import export
from training.export_check import check_export, threshold_rows

GROUPS, HEADS, FEATURES = ("A", "B"), ("x", "y"), ("f0", "f1", "f2")

ZERO = float(np.float32(1e-35))
halfway = st.floats(-1e6, 1e6, width=32).map(
    lambda x: (x + float(np.nextafter(np.float32(x), np.float32(np.inf)))) / 2
)
thresholds = st.one_of(
    st.floats(-10.0, 10.0),
    st.floats(-1e30, 1e30),
    halfway,
    st.sampled_from([0.0, -0.0, ZERO, -ZERO, 1e-300, -1e-300, 1e-40, -1e-40, 1e300, 0.1, 0.3, 1.0000000000000002]),
)
leaf_values = st.floats(-1e3, 1e3).filter(lambda x: x == 0 or abs(x) > 1e-3)
splits = st.tuples(st.integers(0, len(FEATURES) - 1), thresholds)
# A tree: the leaf that every further split divides, and the split.
trees = st.tuples(
    st.lists(st.tuples(st.integers(0, 50), splits), max_size=9), st.lists(leaf_values, min_size=10, max_size=10)
)
ensembles = st.lists(trees, min_size=1, max_size=19)
seeds = st.integers(0, 2**32 - 1)

Tree: TypeAlias = tuple[list[tuple[int, tuple[int, float]]], list[float]]


def tree_text(number: int, tree: Tree) -> str:
    """Grown as LightGBM grows: split k divides leaf l into l (left) and k + 1 (right)."""
    divisions, values = tree
    left: list[int] = []
    right: list[int] = []
    for split, (choice, _) in enumerate(divisions):
        leaf = choice % (split + 1)
        for children in (left, right):
            if ~leaf in children:
                children[children.index(~leaf)] = split
        left.append(~leaf)
        right.append(~(split + 1))
    leaves = len(divisions) + 1

    def row(name: str, found: list[str]) -> str:
        return f"{name}={' '.join(found)}"

    return "\n".join((
        f"Tree={number}", f"num_leaves={leaves}", "num_cat=0",
        row("split_feature", [str(feature) for _, (feature, _) in divisions]),
        row("split_gain", ["1"] * len(divisions)),
        row("threshold", [repr(threshold) for _, (_, threshold) in divisions]),
        row("decision_type", ["2"] * len(divisions)),
        row("left_child", [str(child) for child in left]),
        row("right_child", [str(child) for child in right]),
        row("leaf_value", [repr(value) for value in values[:leaves]]),
        row("leaf_count", ["1"] * leaves), row("internal_count", ["1"] * len(divisions)),
        "is_linear=0", "shrinkage=1", "",
    ))


def booster(ensemble: list[tuple[list[tuple[int, tuple[int, float]]], list[float]]]) -> lightgbm.Booster:
    header = (
        "tree", "version=v4", "num_class=1", "num_tree_per_iteration=1", "label_index=0",
        f"max_feature_idx={len(FEATURES) - 1}", "objective=regression", f"feature_names={' '.join(FEATURES)}",
        f"feature_infos={' '.join(['[-1:1]'] * len(FEATURES))}", "",
    )
    bodies = [tree_text(number, tree) for number, tree in enumerate(ensemble)]
    return lightgbm.Booster(model_str="\n".join((*header, *bodies, "end of trees", "")))


@settings(max_examples=150, deadline=None)
@given(st.lists(ensembles, min_size=1, max_size=3), st.floats(-100, 100, width=32), seeds, st.integers(0, 70))
def test_the_three_agree(ensembles: list[list[Tree]], base: float, seed: int, count: int) -> None:
    keys = [("A", "x"), ("B", "y"), ("B", "x")]
    boosters = {key: booster(ensemble) for key, ensemble in zip(keys, ensembles, strict=False)}
    exported = export(boosters, GROUPS, HEADS, FEATURES, base={("A", "x"): base, ("A", "y"): 2 * base})
    report = check_export(exported, boosters, rows=200, seed=seed)
    assert report.largest_relative_difference <= 1e-6
    stored = table_from_arrays(bytes_to_arrays(arrays_to_bytes(arrays_of(exported.table))))
    # Plainly random rows too, and as many as a decision has.
    rows = np.random.default_rng(seed).normal(size=(count, len(FEATURES))).astype(np.float32)
    assert parity(OnnxScorer(exported.models), CompiledScorer(stored), {0: rows, 1: rows}).exact


@cache
def sound_table() -> TreeTable:
    trees = [([(0, (0, 0.5)), (1, (1, 0.25)), (0, (2, 0.125))], [1.0] * 10)] * 3
    return export({("A", "x"): booster(trees)}, GROUPS, HEADS, FEATURES).table


indices = st.sampled_from(("feature", "left", "right", "root", "first_tree"))
numbers = st.one_of(st.integers(-3, 30), st.integers(-(2**15), 2**15 - 1))


@settings(max_examples=200, deadline=None)
@given(indices, st.integers(0, 10**6), numbers)
def test_a_changed_index_is_refused_or_harmless(name: str, place: int, value: int) -> None:
    arrays = arrays_of(sound_table())
    arrays[name] = arrays[name].copy()
    arrays[name].flat[place % arrays[name].size] = value
    try:
        table = table_from_arrays(arrays)
    except ValueError:
        return
    rows = threshold_rows(table, np.random.default_rng(0), 10)
    for group in range(len(GROUPS)):
        assert np.all(np.isfinite(CompiledScorer(table).score(group, rows)))
        for head in range(len(HEADS)):
            assert np.all(table.feature[leaves_of(table, group, head, rows)] == -1)
