"""Trees whose nodes stand side by side: all tests of a tree at once for one row, and nobody branches.

A walk of one row waits for a node's word before it knows the next one. Here every node of a tree is tested, which gives
a bit for each. A leaf is out where a node fails that has it on its left; the lowest leaf that is not out is the one in
which the walk would have ended (QuickScorer: Lucchese et al. 2015). A tree lies in registers while all rows of its
group go through it, so that rows need not come in eights. docs/adr/0040 and 0045 have what was measured.

What is compared are bins, a byte each: a figure's bin is how many of the thresholds that its group's trees have for
this feature lie below it, and a node fails where the bin is greater than the number of the node's own threshold, which
is when the figure is greater than the threshold. So a row is a register of bytes, on machines without the widest
registers too.

The sums are those of the walk to the bit: the same leaves, added in the order of the trees in float32. A comparison
with NaN fails as it does in the walk, so that such a row goes right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.compiled import uncounted
from engine.scoring.lane_tree import BLOCK, MOST_LEAVES, ROW_WIDTH, add_tree, count_below
from engine.scoring.trees import LEAF, TreeTable

NO_NUMBER: Final = 255  # the bin of NaN: beyond every threshold
MOST_CUTS: Final = NO_NUMBER - 1  # thresholds of one feature in one group

# feature and limit (trees, nodes) uint8: which column, and the number of its threshold among the cuts; for every leaf
# the bits of the nodes that have it on their left, left_of (trees, nodes) uint32, and its value (trees, nodes) float32;
# cut (groups, features, BLOCK + BLOCK ** 2) float32: the last of every block of thresholds, then all, which rise and
# end in infinities; first_tree and base as in TreeTable. There is room for MOST_LEAVES nodes; those that a tree does
# not have never fail.
LaneArrays: TypeAlias = tuple[
    NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float32], NDArray[np.float32],
    NDArray[np.int32], NDArray[np.float32],
]
# Group, feature, its nodes in the group's trees, their thresholds in order, and which of these each node has.
_Cuts: TypeAlias = tuple[int, int, NDArray[np.intp], NDArray[np.float32], NDArray[np.intp]]


def most_leaves(table: TreeTable) -> int:
    """Of any tree of a table."""
    return int(np.add.reduceat(table.feature == LEAF, table.root).max(initial=0)) if table.trees else 0


def lane_faults(table: TreeTable) -> list[str]:
    """Why a table cannot be scored in lanes: trees of more than MOST_LEAVES leaves, more features than a row has
    columns, more than MOST_CUTS thresholds of one feature in one group."""
    return _faults(table, list(_cuts_of(table)))


def lane_arrays(table: TreeTable) -> LaneArrays:
    """What scores a table in lanes. Raises ValueError naming everything that keeps it from being scored so."""
    cuts = list(_cuts_of(table))
    if faults := _faults(table, cuts):
        raise ValueError("; ".join(faults))
    cut = np.full((len(table.groups), len(table.features), BLOCK + BLOCK**2), np.inf, dtype=np.float32)
    number = np.zeros(len(table.feature), dtype=np.uint8)  # of every node's threshold among its feature's cuts
    for group, column, nodes, own, numbers in cuts:
        cut[group, column, BLOCK : BLOCK + len(own)] = own
        number[nodes] = numbers
    cut[:, :, :BLOCK] = cut[:, :, 2 * BLOCK - 1 :: BLOCK]
    shape = (table.trees, MOST_LEAVES)
    feature, limit = np.zeros(shape, dtype=np.uint8), np.full(shape, NO_NUMBER, dtype=np.uint8)
    left_of, value = np.zeros(shape, dtype=np.uint32), np.zeros(shape, dtype=np.float32)
    _fill(table.feature, number, table.right, table.value, table.root, feature, limit, left_of, value)
    for array in (feature, limit, left_of, value, cut):
        array.setflags(write=False)  # as a TreeTable's are: for what can be written the compiler makes another function
    return feature, limit, left_of, value, cut, table.first_tree, table.base


def _cuts_of(table: TreeTable) -> Iterator[_Cuts]:
    bounds = np.append(table.root, len(table.feature))
    for group in range(len(table.groups)):
        first, end = bounds[table.first_tree[group, 0]], bounds[table.first_tree[group, -1]]
        for column in range(len(table.features)):
            nodes = np.flatnonzero(table.feature[first:end] == column) + first
            yield group, column, nodes, *np.unique(table.threshold[nodes], return_inverse=True)


def _faults(table: TreeTable, cuts: list[_Cuts]) -> list[str]:
    found: list[str] = []
    if (leaves := most_leaves(table)) > MOST_LEAVES:
        found.append(f"a tree has {leaves} leaves, the decision call takes at most {MOST_LEAVES}")
    if len(table.features) > ROW_WIDTH:
        found.append(f"{len(table.features)} features, the decision call takes at most {ROW_WIDTH}")
    return found + [
        f"the trees of {table.groups[group]} have {len(own)} thresholds for {table.features[column]}, "
        f"the decision call takes at most {MOST_CUTS}"
        for group, column, _, own, _ in cuts if len(own) > MOST_CUTS
    ]


@njit(cache=True)
def _fill(features, numbers, right, values, root, feature, limit, left_of, value):
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
            feature[tree, at], limit[tree, at] = features[node], numbers[node]
            for leaf in range(before[node] - own, before[right[node]] - own):
                left_of[tree, leaf] |= np.uint32(np.uint64(1) << np.uint64(at))
            at += 1


@uncounted
def _bin_of(cut, figure):
    """How many of a feature's cuts lie below the figure. Each block is counted whole: two lines of the cache and a few
    instructions, where a search takes eight steps, each of which waits for the one before."""
    if figure != figure:
        return np.uint8(NO_NUMBER)
    block = count_below(cut, 0, figure)
    return np.uint8(BLOCK * block + count_below(cut, BLOCK * (1 + block), figure))


@uncounted
def bin_rows(cut, group, rows, members, count, bins):
    """bins (n, ROW_WIDTH) uint8 of rows (n, at least the features) float32 for the trees of a group, of the `count`
    rows that `members` int64 names. Neighbours have much in common, and what they have is looked up once."""
    for at in range(count):
        row = members[at]
        before = members[at - 1] if at > 0 else row
        for column in range(cut.shape[1]):
            figure = rows[row, column]
            if at > 0 and figure == rows[before, column]:
                bins[row, column] = bins[before, column]
            else:
                bins[row, column] = _bin_of(cut[group, column], figure)


@uncounted
def add_lanes(feature, limit, left_of, value, first, end, bins, members, count, totals):
    """totals (n,) float32 plus what the trees from `first` up to `end` say of bins (n, ROW_WIDTH) uint8, added one
    after the other, for the `count` rows that `members` int64 names. Nothing is checked: the arrays must be
    `lane_arrays`'s, the bins those of the trees' group, and all of them C-contiguous."""
    for tree in range(first, end):
        add_tree(feature, limit, left_of, value, tree, bins, members, count, totals)


@njit(cache=True)
def lane_rows(feature, limit, left_of, value, cut, first_tree, base, group, rows, out):
    """Fills out (n, heads) float32 with every head's scores of rows (n, features) float32 of one group."""
    count = rows.shape[0]
    bins = np.zeros((count, ROW_WIDTH), dtype=np.uint8)
    members = np.arange(count)
    totals = np.empty(count, dtype=np.float32)
    bin_rows(cut, group, rows, members, count, bins)
    for head in range(base.shape[1]):
        totals[:] = 0.0
        first, end = first_tree[group, head], first_tree[group, head + 1]
        add_lanes(feature, limit, left_of, value, first, end, bins, members, count, totals)
        for n in range(count):
            out[n, head] = totals[n] + base[group, head]
