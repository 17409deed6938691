"""Trees whose nodes stand side by side: all tests of a tree at once for one row, and nobody branches.

A walk of one row waits for a node's word before it knows the next one. Here every node of a tree is tested, which gives
one bit a node. A leaf is out where a node fails that has it on its left; the lowest leaf that is not out is the one that
the walk would have ended in (QuickScorer: Lucchese et al. 2015). A tree lies in registers while all rows of its group
go through it, so that rows need not come in eights. docs/adr/0040 has what was measured.

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

MOST_LEAVES = 32  # bits of a word
ROW_WIDTH = 32  # columns of a row: the features, then room of no meaning
HALF = 16  # nodes, leaves or columns in one of the widest registers

# feature (trees, nodes) uint8, threshold (trees, nodes) float32; for every leaf the bits of the nodes that have it on
# their left, left_of (trees, nodes) uint32, and its value (trees, nodes) float32; first_tree and base as in TreeTable.
# There are HALF or MOST_LEAVES nodes; those that a tree does not have concern no leaf.
LaneArrays: TypeAlias = tuple[
    NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint32], NDArray[np.float32], NDArray[np.int32],
    NDArray[np.float32],
]


def most_leaves(table: TreeTable) -> int:
    """Of any tree of a table."""
    return int(np.add.reduceat(table.feature == LEAF, table.root).max(initial=0)) if table.trees else 0


def lane_arrays(table: TreeTable) -> LaneArrays:
    """The first arguments of `add_lanes`. Raises ValueError for trees of more than MOST_LEAVES leaves, and for more
    features than a row has columns."""
    leaves = most_leaves(table)
    if leaves > MOST_LEAVES:
        raise ValueError(f"a tree has {leaves} leaves; at most {MOST_LEAVES} can be scored in lanes")
    if len(table.features) > ROW_WIDTH:
        raise ValueError(f"{len(table.features)} features; at most {ROW_WIDTH} can be scored in lanes")
    shape = (table.trees, HALF if leaves <= HALF else MOST_LEAVES)
    feature, threshold = np.zeros(shape, dtype=np.uint8), np.full(shape, np.inf, dtype=np.float32)
    left_of, value = np.zeros(shape, dtype=np.uint32), np.zeros(shape, dtype=np.float32)
    _fill(table.feature, table.threshold, table.right, table.value, table.root, feature, threshold, left_of, value)
    for array in (feature, threshold, left_of, value):
        array.setflags(write=False)  # as a TreeTable's are: for what can be written the compiler makes another function
    return feature, threshold, left_of, value, table.first_tree, table.base


@njit(cache=True)
def _fill(features, thresholds, right, values, root, feature, threshold, left_of, value):
    """Numbers nodes and leaves of every tree from the left. Nodes stand in preorder, so a subtree's leaves follow each
    other: those left of a node are the ones before its right child."""
    before = np.zeros(features.shape[0] + 1, dtype=np.int64)
    for node in range(features.shape[0]):
        before[node + 1] = before[node] + (features[node] < 0)
    for tree in range(root.shape[0]):
        end = root[tree + 1] if tree + 1 < root.shape[0] else features.shape[0]
        own = before[root[tree]]
        at = 0
        for node in range(root[tree], end):
            if features[node] < 0:
                value[tree, before[node] - own] = values[node]
                continue
            feature[tree, at], threshold[tree, at] = features[node], thresholds[node]
            for leaf in range(before[node] - own, before[right[node]] - own):
                left_of[tree, leaf] |= np.uint32(np.uint64(1) << np.uint64(at))
            at += 1


def _looked_up(context: Any, builder: Any, row: Any, columns: Any) -> Any:
    """The row's figures in 16 columns: from two registers where the machine can, one by one elsewhere."""
    floats, words = ir.VectorType(ir.FloatType(), HALF), ir.VectorType(ir.IntType(32), HALF)
    if "+avx512f" in context.codegen().magic_tuple()[2]:
        halves = [
            builder.load(builder.bitcast(builder.gep(row, [ir.Constant(ir.IntType(64), first)]), floats.as_pointer()),
                         align=4)
            for first in (0, HALF)
        ]
        kind = ir.FunctionType(floats, [floats, words, floats])
        permute = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpermi2var.ps.512")
        return builder.call(permute, [halves[0], columns, halves[1]])
    found = ir.Constant(floats, ir.Undefined)
    for lane in range(HALF):
        place = ir.Constant(ir.IntType(32), lane)
        column = builder.zext(builder.extract_element(columns, place), ir.IntType(64))
        found = builder.insert_element(found, builder.load(builder.gep(row, [column])), place)
    return found


@intrinsic
def _add_tree(typingctx: Any, feature: Any, threshold: Any, left_of: Any, value: Any, tree: Any, nodes: Any, rows: Any,
              members: Any, count: Any, totals: Any) -> Any:
    """totals (n,) float32 plus what one tree of `nodes` (a literal) says of rows (n, ROW_WIDTH) float32, for the `count`
    rows that `members` int64 names. In LLVM's own vectors; machines without such registers get them in pieces."""
    if not isinstance(nodes, types.Literal):
        return None
    halves = nodes.literal_value // HALF
    signature = types.void(feature, threshold, left_of, value, types.intp, nodes, rows, members, types.intp, totals)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def data(position: int) -> Any:
            return context.make_array(signature.args[position])(context, builder, arguments[position]).data

        wide, word, flag = ir.IntType(64), ir.IntType(32), ir.IntType(1)
        floats, words = ir.VectorType(ir.FloatType(), HALF), ir.VectorType(word, HALF)
        bits, mask = ir.IntType(HALF * halves), ir.IntType(HALF)
        first = builder.mul(arguments[4], ir.Constant(wide, HALF * halves))

        def half_of(position: int, half: int, kind: Any, align: int) -> Any:
            at = builder.add(first, ir.Constant(wide, HALF * half))
            place = builder.bitcast(builder.gep(data(position), [at]), kind.as_pointer())
            return builder.load(place, align=align)

        narrow = ir.VectorType(ir.IntType(8), HALF)
        columns = [builder.zext(half_of(0, half, narrow, 1), words) for half in range(halves)]
        limits = [half_of(1, half, floats, 4) for half in range(halves)]
        lefts = [half_of(2, half, words, 4) for half in range(halves)]
        values = builder.gep(data(3), [first])

        def word_of(flags: Any) -> Any:
            """Bits of the halves' flags as one number."""
            found = ir.Constant(bits, 0)
            for half, part in enumerate(flags):
                number = builder.zext(builder.bitcast(part, mask), bits)
                found = builder.or_(found, builder.shl(number, ir.Constant(bits, HALF * half)))
            return found

        def splat(number: Any) -> Any:
            one = builder.insert_element(ir.Constant(words, ir.Undefined), number, ir.Constant(word, 0))
            return builder.shuffle_vector(one, ir.Constant(words, ir.Undefined), ir.Constant(words, [0] * HALF))

        lowest = builder.module.declare_intrinsic("llvm.cttz", [bits], ir.FunctionType(bits, [bits, flag]))
        none = ir.Constant(words, [0] * HALF)
        with cgutils.for_range(builder, arguments[8]) as loop:
            member = builder.load(builder.gep(data(7), [loop.index]))
            row = builder.gep(data(6), [builder.mul(member, ir.Constant(wide, ROW_WIDTH))])
            fails = word_of(
                # Not "greater": a figure that is none fails, too.
                builder.fcmp_unordered(">", _looked_up(context, builder, row, columns[half]), limits[half])
                for half in range(halves)
            )
            failed = splat(fails if bits.width == word.width else builder.zext(fails, word))
            stays = word_of(
                builder.icmp_unsigned("==", builder.and_(lefts[half], failed), none) for half in range(halves)
            )
            leaf = builder.zext(builder.call(lowest, [stays, ir.Constant(flag, 1)]), wide)
            total = builder.gep(data(9), [member])
            builder.store(builder.fadd(builder.load(total), builder.load(builder.gep(values, [leaf]))), total)
        return context.get_dummy_value()

    return signature, generate


# To mypy an intrinsic has the argument that only the compiler gives it.
add_tree: Any = _add_tree


@uncounted
def add_lanes(feature, threshold, left_of, value, first, end, rows, members, count, totals):
    """totals (n,) float32 plus what the trees from `first` up to `end` say of rows (n, ROW_WIDTH) float32, added one
    after the other, for the `count` rows that `members` int64 names. Nothing is checked: the arrays must be
    `lane_arrays`'s, and all of them C-contiguous."""
    if feature.shape[1] == HALF:
        for tree in range(first, end):
            add_tree(feature, threshold, left_of, value, tree, 16, rows, members, count, totals)
    else:
        for tree in range(first, end):
            add_tree(feature, threshold, left_of, value, tree, 32, rows, members, count, totals)


@njit(cache=True)
def lane_rows(feature, threshold, left_of, value, first_tree, base, group, rows, out):
    """Fills out (n, heads) float32 with every head's scores of rows (n, features) float32 of one group."""
    count = rows.shape[0]
    wide = np.zeros((count, ROW_WIDTH), dtype=np.float32)
    wide[:, : rows.shape[1]] = rows
    members = np.arange(count)
    totals = np.empty(count, dtype=np.float32)
    for head in range(base.shape[1]):
        totals[:] = 0.0
        first, end = first_tree[group, head], first_tree[group, head + 1]
        add_lanes(feature, threshold, left_of, value, first, end, wide, members, count, totals)
        for n in range(count):
            out[n, head] = totals[n] + base[group, head]
