"""Trees for eight rows at once: every node of a tree is tested for all rows, and nobody branches.

A walk of one row waits for a node's word before it knows the next one. Here the rows of one group stand side by side:
each node whose test fails takes the leaves of its left side out of a row's set of bits, and what is left lowest is the
leaf that the walk would have ended in (QuickScorer: Lucchese et al. 2015; by vectors: 2016). Measured here on trees of
31 leaves: 20 ns a tree for up to eight rows, where walking costs 9 to 11 ns a row.

The sums are those of the walk to the bit: the same leaves, added in the order of the trees in float32. A comparison
with NaN fails as it does in the walk, so that such a row goes right.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from engine.compiled import uncounted
from engine.scoring.trees import LEAF, TreeTable

LANES = 8
MOST_LEAVES = 32  # bits of a row's set
_EVERY_LEAF = 0xFFFFFFFF

# feature (trees, nodes) uint16 already times LANES, threshold (trees, nodes) float32, kept (trees, nodes) uint32: the
# leaves that are left where the test fails; value (trees, MOST_LEAVES) float32; first_tree and base as in TreeTable.
LaneArrays: TypeAlias = tuple[
    NDArray[np.uint16], NDArray[np.float32], NDArray[np.uint32], NDArray[np.float32], NDArray[np.int32],
    NDArray[np.float32],
]


def most_leaves(table: TreeTable) -> int:
    """Of any tree of a table."""
    return int(np.add.reduceat(table.feature == LEAF, table.root).max(initial=0)) if table.trees else 0


def lane_arrays(table: TreeTable) -> LaneArrays:
    """The first arguments of `add_lanes`. Raises ValueError for trees of more than MOST_LEAVES leaves."""
    leaves = most_leaves(table)
    if leaves > MOST_LEAVES:
        raise ValueError(f"a tree has {leaves} leaves; at most {MOST_LEAVES} can be scored in lanes")
    shape = (table.trees, max(leaves - 1, 1))
    feature, threshold = np.zeros(shape, dtype=np.uint16), np.full(shape, np.inf, dtype=np.float32)
    kept = np.full(shape, _EVERY_LEAF, dtype=np.uint32)
    value = np.zeros((table.trees, MOST_LEAVES), dtype=np.float32)
    _fill(table.feature, table.threshold, table.right, table.value, table.root, feature, threshold, kept, value)
    for array in (feature, threshold, kept, value):
        array.setflags(write=False)  # as a TreeTable's are: for what can be written the compiler makes another function
    return feature, threshold, kept, value, table.first_tree, table.base


@njit(cache=True)
def _fill(features, thresholds, right, values, root, feature, threshold, kept, value):
    """Numbers the leaves of every tree from the left. Nodes stand in preorder, so a subtree's leaves follow each other:
    those left of a node are the ones before its right child."""
    before = np.zeros(features.shape[0] + 1, dtype=np.int64)
    for node in range(features.shape[0]):
        before[node + 1] = before[node] + (features[node] < 0)
    for tree in range(root.shape[0]):
        end = root[tree + 1] if tree + 1 < root.shape[0] else features.shape[0]
        own = before[root[tree]]
        at = 0
        for node in range(root[tree], end):
            first = np.uint32(before[node] - own)
            if features[node] < 0:
                value[tree, first] = values[node]
                continue
            gone = np.uint64(before[right[node]] - before[node])
            bits = ((np.uint64(1) << gone) - np.uint64(1)) << np.uint64(first)
            feature[tree, at] = features[node] * LANES
            threshold[tree, at] = thresholds[node]
            kept[tree, at] = np.uint32(~bits & np.uint64(_EVERY_LEAF))
            at += 1


@intrinsic
def _add_tree(typingctx: Any, feature: Any, threshold: Any, kept: Any, value: Any, tree: Any, rows: Any,
              total: Any) -> Any:
    """total (LANES,) float32 plus what one tree says of rows (features, LANES) float32.

    In LLVM's own vectors, since numba's loops over lanes are not turned into them: its arrays may overlap for all that
    the compiler knows. Machines without such registers get the same in smaller pieces.
    """
    signature = types.void(feature, threshold, kept, value, types.intp, rows, total)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def array(position: int) -> Any:
            return context.make_array(signature.args[position])(context, builder, arguments[position])

        wide, word = ir.IntType(64), ir.IntType(32)
        floats, words = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(word, LANES)

        def splat(number: Any, kind: Any) -> Any:
            one = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(word, 0))
            return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), ir.Constant(words, [0] * LANES))

        nodes = cgutils.unpack_tuple(builder, array(0).shape)[1]
        first = builder.mul(arguments[4], nodes)
        every = ir.Constant(words, [_EVERY_LEAF] * LANES)
        left = cgutils.alloca_once_value(builder, every)
        with cgutils.for_range(builder, nodes) as loop:
            at = builder.add(first, loop.index)
            column = builder.zext(builder.load(builder.gep(array(0).data, [at])), wide)
            row = builder.bitcast(builder.gep(array(5).data, [column]), floats.as_pointer())
            limit = splat(builder.load(builder.gep(array(1).data, [at])), floats)
            passes = builder.fcmp_ordered("<=", builder.load(row, align=4), limit)
            stays = builder.select(passes, every, splat(builder.load(builder.gep(array(2).data, [at])), words))
            builder.store(builder.and_(builder.load(left), stays), left)
        leaves = builder.load(left)
        flag = ir.IntType(1)
        lowest = builder.module.declare_intrinsic("llvm.cttz", [word], ir.FunctionType(word, [word, flag]))
        values = builder.gep(array(3).data, [builder.mul(arguments[4], ir.Constant(wide, MOST_LEAVES))])
        for lane in range(LANES):
            bits = builder.extract_element(leaves, ir.Constant(word, lane))
            leaf = builder.zext(builder.call(lowest, [bits, ir.Constant(flag, 1)]), wide)
            sum_of_lane = builder.gep(array(6).data, [ir.Constant(wide, lane)])
            said = builder.load(builder.gep(values, [leaf]))
            builder.store(builder.fadd(builder.load(sum_of_lane), said), sum_of_lane)
        return context.get_dummy_value()

    return signature, generate


# To mypy an intrinsic has the argument that only the compiler gives it.
add_tree: Any = _add_tree


@uncounted
def add_lanes(feature, threshold, kept, value, first, end, rows, total):
    """total (LANES,) float32 plus what the trees from `first` up to `end` say of rows (features, LANES) float32, added
    one after the other. Nothing is checked: the arrays must be `lane_arrays`'s, and rows and total C-contiguous."""
    for tree in range(first, end):
        add_tree(feature, threshold, kept, value, tree, rows, total)


@njit(cache=True)
def lane_rows(feature, threshold, kept, value, first_tree, base, group, rows, out):
    """Fills out (n, heads) float32 with every head's scores of rows (n, features) float32 of one group."""
    block = np.zeros((rows.shape[1], LANES), dtype=np.float32)
    total = np.empty(LANES, dtype=np.float32)
    for start in range(0, rows.shape[0], LANES):
        count = min(LANES, rows.shape[0] - start)
        for lane in range(count):
            for column in range(rows.shape[1]):
                block[column, lane] = rows[start + lane, column]
        for head in range(base.shape[1]):
            total[:] = 0.0
            add_lanes(
                feature, threshold, kept, value, first_tree[group, head], first_tree[group, head + 1], block, total
            )
            for lane in range(count):
                out[start + lane, head] = total[lane] + base[group, head]
