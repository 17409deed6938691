"""Proof that what was exported answers as the boosters do.

Routing is the same for rows that ask every node what is hard; scores are ONNX Runtime's bit for bit, and LightGBM's
within TOLERANCE.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import pairwise

import lightgbm
import numpy as np
from numpy.typing import NDArray

from engine.scoring.onnx_scorer import CompiledScorer, OnnxScorer, largest_ratio
from engine.scoring.trees import LEAF, Float32s, Int32s, TreeTable, leaves_of, magnitudes
from training.booster_text import BoosterText
from training.export import Boosters, Exported, ExportMismatch

# Of the sum of |leaf values|. Float32 sums keep it up to about 80 trees a head (largest of 200,000 rows: 6e-7 with 40
# trees, 7e-7 to 1e-6 with 100, 1.2e-6 to 1.4e-6 with 200); more trees than that need another way to add.
TOLERANCE = 1e-6
CHUNK_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was compared. A report exists only if all of it held."""

    rows: int
    scores: int
    leaves: int
    routing_identical: bool
    onnx_identical: bool
    largest_relative_difference: float
    """|compiled - LightGBM| over the sum of |leaf values| (and |base|) that the score is made of."""


def check_export(
    exported: Exported,
    boosters: Boosters,
    *,
    rows: int = 1_000_000,
    seed: int = 0,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ExportReport:
    """Compares table, ONNX models and boosters on `threshold_rows`, at least `rows` of them over all groups.

    Every row goes through every head of its group. `progress(done, planned)` counts rows; more are planned where the
    nodes of a group need more than its share. Raises ExportMismatch, which
    says where, if a row ends in another leaf than LightGBM's, if the table's score is not ONNX Runtime's bit for bit,
    or if it differs from LightGBM's by more than TOLERANCE of the sum of |leaf values|.
    """
    table = exported.table
    rng = np.random.default_rng(seed)
    reference, compiled = OnnxScorer(exported.models), CompiledScorer(table)
    proofs = {key: _Proof.of(table, key, booster) for key, booster in boosters.items()}
    share = -(-rows // len(table.groups))
    planned = share * len(table.groups)
    done, leaves, largest = 0, 0, 0.0
    for group, name in enumerate(table.groups):
        every = threshold_rows(table, rng, share, groups=(group,))
        planned += len(every) - share
        for start in range(0, len(every), CHUNK_ROWS):
            part = every[start : start + CHUNK_ROWS]
            scores = compiled.score(group, part)
            _same_bits(name, reference.score(group, part), scores)
            for head, head_name in enumerate(table.heads):
                proof = proofs.get((name, head_name))
                if proof is not None:
                    leaves += proof.same_leaves(part, threads)
                    largest = max(largest, proof.difference(part, scores[:, head], threads))
            done += len(part)
            if progress is not None:
                progress(done, planned)
    return ExportReport(done, done * len(table.heads), leaves, True, True, largest)


@dataclass(frozen=True, slots=True)
class _Proof:
    """One booster beside its trees in the table."""

    table: TreeTable
    where: str
    group: int
    head: int
    booster: lightgbm.Booster
    leaf_numbers: Int32s
    """LightGBM's number of every leaf of the head, by its node's distance from the head's first node."""
    offset: int

    @classmethod
    def of(cls, table: TreeTable, key: tuple[str, str], booster: lightgbm.Booster) -> _Proof:
        group, head = table.groups.index(key[0]), table.heads.index(key[1])
        where = "/".join(key)
        trees = range(table.first_tree[group, head], table.first_tree[group, head + 1])
        text = BoosterText.of(booster)
        # A booster that is a constant 0 has one tree, and the table none.
        if len(text.trees) != len(trees) and not (len(trees) == 0 and len(text.trees) == 1):
            raise ExportMismatch(f"{where}: the booster has {len(text.trees)} trees, the table {len(trees)}")
        bounds = [int(bound) for bound in (*table.root[trees.start : trees.stop], _end(table, trees.stop))]
        numbers = np.full(bounds[-1] - bounds[0], LEAF, dtype=np.int32)
        for tree, (begin, end) in enumerate(pairwise(bounds)):
            places = np.flatnonzero(table.feature[begin:end] == LEAF) + begin - bounds[0]
            if len(places) != len(text.leaves(tree)):
                raise ExportMismatch(f"{where}: tree {tree} has other leaves than the booster's")
            numbers[places] = text.leaves(tree)
        return cls(table, where, group, head, booster, numbers, bounds[0])

    def same_leaves(self, rows: Float32s, threads: int) -> int:
        """How many leaves were compared."""
        found = self.leaf_numbers[leaves_of(self.table, self.group, self.head, rows) - self.offset]
        if found.shape[1] == 0:
            return 0
        expected = np.asarray(self.booster.predict(rows, pred_leaf=True, num_threads=threads)).reshape(found.shape)
        wrong = np.argwhere(found != expected)
        if len(wrong):
            row, tree = (int(index) for index in wrong[0])
            raise ExportMismatch(
                f"{self.where}: {len(wrong)} of {found.size} leaves differ; first tree {tree}: leaf {found[row, tree]}"
                f", LightGBM's {expected[row, tree]}, for {rows[row].tolist()}"
            )
        return found.size

    def difference(self, rows: Float32s, scores: Float32s, threads: int) -> float:
        """The largest difference, relative to what the score is made of."""
        raw = np.asarray(self.booster.predict(rows, raw_score=True, num_threads=threads), dtype=np.float64)
        expected = raw + float(self.table.base[self.group, self.head])
        difference = np.abs(scores.astype(np.float64) - expected)
        largest = largest_ratio(difference, magnitudes(self.table, self.group, self.head, rows))
        if largest > TOLERANCE:
            raise ExportMismatch(f"{self.where}: scores differ by {largest:.3g} of the sum of |leaf values|")
        return largest


def _same_bits(group: str, expected: Float32s, found: Float32s) -> None:
    wrong = np.argwhere(expected != found)
    if len(wrong):
        row, head = (int(index) for index in wrong[0])
        raise ExportMismatch(
            f"{group}: {len(wrong)} of {found.size} scores are not ONNX Runtime's; first head {head}: "
            f"{found[row, head]!r}, ONNX Runtime's {expected[row, head]!r}"
        )


# ---- rows that ask what is hard


def threshold_rows(
    table: TreeTable, rng: np.random.Generator, count: int, *, groups: Collection[int] | None = None
) -> Float32s:
    """Rows (at least `count`, features) float32 that ask every node of the groups (of all, if None) what is hard.

    Every node that a float32 row can reach gets three rows that reach it, with its threshold and one ulp below and
    above it in its feature, the rest random within what leads there. Rows up to `count` are random; half of their
    values are thresholds of the feature, or one ulp beside.
    """
    chosen = range(len(table.groups)) if groups is None else groups
    low, high = _spans(table)
    trees = [tree for group in chosen for tree in range(table.first_tree[group, 0], table.first_tree[group, -1])]
    parts = [_rows_of_tree(table, rng, tree, low, high) for tree in trees]
    parts.append(_random_rows(table, rng, max(0, count - sum(len(part) for part in parts)), low, high))
    return np.ascontiguousarray(np.concatenate(parts))


def _end(table: TreeTable, tree: int) -> int:
    """Where the nodes before a tree end."""
    return int(table.root[tree]) if tree < table.trees else len(table.feature)


def _spans(table: TreeTable) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(lowest, highest) value to draw for every feature: its thresholds and a tenth more on both sides."""
    low, high = np.full(len(table.features), np.inf), np.full(len(table.features), -np.inf)
    inner = table.feature != LEAF
    np.minimum.at(low, table.feature[inner], table.threshold[inner].astype(np.float64))
    np.maximum.at(high, table.feature[inner], table.threshold[inner].astype(np.float64))
    unused = low > high
    low[unused], high[unused] = -1.0, 1.0
    margin = 0.1 * (high - low) + 0.01 * np.maximum(np.abs(low), np.abs(high)) + 1e-6
    limit = float(np.finfo(np.float32).max)
    return np.maximum(low - margin, -limit), np.minimum(high + margin, limit)


def _rows_of_tree(
    table: TreeTable, rng: np.random.Generator, tree: int, low: NDArray[np.float64], high: NDArray[np.float64]
) -> Float32s:
    """Three rows for every node that can be reached."""
    begin, end = int(table.root[tree]), _end(table, tree + 1)
    above, upto = _boxes(table, begin, end)
    inner = np.flatnonzero((table.feature[begin:end] != LEAF) & np.all(above < upto, axis=1))
    above, upto = np.repeat(above[inner], 3, axis=0), np.repeat(upto[inner], 3, axis=0)
    bottom, top = np.maximum(above.astype(np.float64), low), np.minimum(upto.astype(np.float64), high)
    drawn = (top - rng.random(top.shape) * (top - bottom)).astype(np.float32)
    # Rounding may have gone to the open end.
    rows: Float32s = np.clip(drawn, np.nextafter(above, np.float32(np.inf)), upto)
    features = np.repeat(table.feature[begin:end][inner], 3)
    around = _nudged(np.repeat(table.threshold[begin:end][inner], 3), np.tile((-1, 0, 1), len(inner)))
    rows[np.arange(len(rows)), features] = around
    return rows


def _boxes(table: TreeTable, begin: int, end: int) -> tuple[Float32s, Float32s]:
    """Of every node of a tree: the values that lead there, in every feature above the one and up to the other."""
    above = np.full((end - begin, len(table.features)), -np.inf, dtype=np.float32)
    upto = np.full_like(above, np.finfo(np.float32).max)
    for node in range(end - begin):
        feature, threshold = int(table.feature[begin + node]), table.threshold[begin + node]
        if feature == LEAF:
            continue
        left, right = int(table.left[begin + node]) - begin, int(table.right[begin + node]) - begin
        above[left], upto[left] = above[node], upto[node]
        above[right], upto[right] = above[node], upto[node]
        upto[left, feature] = min(upto[node, feature], threshold)
        above[right, feature] = max(above[node, feature], threshold)
    return above, upto


def _random_rows(
    table: TreeTable, rng: np.random.Generator, count: int, low: NDArray[np.float64], high: NDArray[np.float64]
) -> Float32s:
    rows: Float32s = (low + rng.random((count, len(low))) * (high - low)).astype(np.float32)
    for feature in range(len(low)):
        thresholds = np.unique(table.threshold[table.feature == feature])
        if len(thresholds):
            picked = np.flatnonzero(rng.random(count) < 0.5)
            rows[picked, feature] = _nudged(rng.choice(thresholds, len(picked)), rng.integers(-1, 2, len(picked)))
    return rows


def _nudged(numbers: Float32s, ulps: NDArray[np.int64]) -> Float32s:
    """One float32 below, the same, or one above; never infinite."""
    limit = np.finfo(np.float32).max
    moved = np.nextafter(numbers, np.where(ulps < 0, -limit, limit).astype(np.float32))
    result: Float32s = np.where(ulps == 0, numbers, moved).astype(np.float32)
    return result
