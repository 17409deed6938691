"""Trees whose nodes stand side by side: all tests of a tree at once for one row, and nobody branches.

A walk of one row waits for a node's word before it knows the next one. Here every node of a tree is tested, which gives
a bit for each. A leaf is out where a node fails that has it on its left; the lowest leaf that is not out is the one in
which the walk would have ended (QuickScorer: Lucchese et al. 2015). A tree lies in registers while all rows of its
group go through it, so that rows need not come in eights. docs/adr/0040 has what was measured.

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


# What the intrinsic below is made of: LLVM's own vectors, since numba's loops over nodes are not turned into them (its
# arrays may overlap for all that the compiler knows).
_WIDE, _WORD = ir.IntType(64), ir.IntType(32)
_FLOATS, _WORDS, _BYTES = (ir.VectorType(kind, HALF) for kind in (ir.FloatType(), _WORD, ir.IntType(8)))


def _load(builder: Any, data: Any, at: Any, kind: Any, align: int) -> Any:
    """A vector from where `at` stands in an array."""
    return builder.load(builder.bitcast(builder.gep(data, [at]), kind.as_pointer()), align=align)


def _looked_up(context: Any, builder: Any, row: Any, columns: Any) -> Any:
    """The row's figures in HALF columns: from two registers where the machine can, one by one elsewhere."""
    if "+avx512f" in context.codegen().magic_tuple()[2]:
        halves = [_load(builder, row, ir.Constant(_WIDE, first), _FLOATS, 4) for first in (0, HALF)]
        kind = ir.FunctionType(_FLOATS, [_FLOATS, _WORDS, _FLOATS])
        permute = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpermi2var.ps.512")
        return builder.call(permute, [halves[0], columns, halves[1]])
    found = ir.Constant(_FLOATS, ir.Undefined)
    for lane in range(HALF):
        place = ir.Constant(_WORD, lane)
        column = builder.zext(builder.extract_element(columns, place), _WIDE)
        found = builder.insert_element(found, builder.load(builder.gep(row, [column])), place)
    return found


def _word_of(builder: Any, flags: list[Any]) -> Any:
    """The bits of one or two vectors of flags as one word; what there is no vector for is 0."""
    found = ir.Constant(_WORD, 0)
    for half, part in enumerate(flags):
        number = builder.zext(builder.bitcast(part, ir.IntType(HALF)), _WORD)
        found = builder.or_(found, builder.shl(number, ir.Constant(_WORD, HALF * half)))
    return found


def _splat(builder: Any, word: Any) -> Any:
    """A word in every lane."""
    one = builder.insert_element(ir.Constant(_WORDS, ir.Undefined), word, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(one, ir.Constant(_WORDS, ir.Undefined), ir.Constant(_WORDS, [0] * HALF))


@intrinsic
def _add_tree(typingctx: Any, feature: Any, threshold: Any, left_of: Any, value: Any, tree: Any, nodes: Any, rows: Any,
              members: Any, count: Any, totals: Any) -> Any:
    """totals (n,) float32 plus what one tree of `nodes` (a literal) says of rows (n, ROW_WIDTH) float32, for the
    `count` rows that `members` int64 names. Machines without such registers get them in pieces."""
    if not isinstance(nodes, types.Literal):
        return None
    width = nodes.literal_value
    signature = types.void(feature, threshold, left_of, value, types.intp, nodes, rows, members, types.intp, totals)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        features, thresholds, lefts, values, _, _, figures, names, _, sums = (
            context.make_array(kind)(context, builder, argument).data if isinstance(kind, types.Array) else argument
            for kind, argument in zip(signature.args, arguments, strict=True)
        )
        first = builder.mul(arguments[4], ir.Constant(_WIDE, width))
        starts = [builder.add(first, ir.Constant(_WIDE, half)) for half in range(0, width, HALF)]
        # Before the loop, so that the tree stays in registers.
        columns = [builder.zext(_load(builder, features, at, _BYTES, 1), _WORDS) for at in starts]
        limits = [_load(builder, thresholds, at, _FLOATS, 4) for at in starts]
        sides = [_load(builder, lefts, at, _WORDS, 4) for at in starts]
        flag, none = ir.IntType(1), ir.Constant(_WORDS, [0] * HALF)
        lowest = builder.module.declare_intrinsic("llvm.cttz", [_WORD], ir.FunctionType(_WORD, [_WORD, flag]))
        with cgutils.for_range(builder, arguments[8]) as loop:
            member = builder.load(builder.gep(names, [loop.index]))
            row = builder.gep(figures, [builder.mul(member, ir.Constant(_WIDE, ROW_WIDTH))])
            # Unordered: a figure that is none is greater than any threshold.
            fails = _splat(builder, _word_of(builder, [
                builder.fcmp_unordered(">", _looked_up(context, builder, row, column), limit)
                for column, limit in zip(columns, limits, strict=True)
            ]))
            stays = _word_of(builder, [
                builder.icmp_unsigned("==", builder.and_(side, fails), none) for side in sides
            ])
            leaf = builder.zext(builder.call(lowest, [stays, ir.Constant(flag, 1)]), _WIDE)
            said = builder.load(builder.gep(values, [builder.add(first, leaf)]))
            total = builder.gep(sums, [member])
            builder.store(builder.fadd(builder.load(total), said), total)
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
            add_tree(feature, threshold, left_of, value, tree, HALF, rows, members, count, totals)
    else:
        for tree in range(first, end):
            add_tree(feature, threshold, left_of, value, tree, MOST_LEAVES, rows, members, count, totals)


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
