"""Gradient-boosted trees as arrays, and the compiled walk through them.

A table holds the trees of every group (an algorithm of the catalogue) and head (one predicted quantity) behind each
other, each tree in preorder: a node, all below its left child, all below its right one. `row[feature] <= threshold`
goes left, so a value that is no number goes right; nothing else is known about missing values.

A score is what ONNX Runtime gives for the same trees, bit for bit. Measured with 1.28 and 1.32, one thread, 1 to 5,000
rows, 1 to 300 trees: TreeEnsembleRegressor adds float32 leaf values in float32 in the order of the trees, whatever the
number of rows, and the base value last. LightGBM adds float64; the difference is what training.export_check bounds.

The walk reads `nodes`, one 64-bit word a node: bits 32-63 are the float32 threshold (of a leaf its value), bits 16-31
how many nodes further the right child stands (of a leaf 0), bits 0-15 the feature. The left child is the next node, so
every step goes forward, and a table that was checked (`TreeTable` checks itself) can neither loop nor leave its tree.
Eight trees are walked in step, because what a plain walk waits for is mispredicted branches: 8 to 10 ns a tree of 31
leaves against 40 ns (24 rows, 5 heads, 40 trees, 12 groups).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.compiled import uncounted

Float32s: TypeAlias = NDArray[np.float32]
Int32s: TypeAlias = NDArray[np.int32]
Int64s: TypeAlias = NDArray[np.int64]
Walk: TypeAlias = tuple[Int64s, Int32s, Int32s, Float32s]

LEAF = -1  # in place of a feature, and of a leaf's children
FURTHEST_CHILD = 0xFFFF  # nodes between a node and its right child: 16 bits of the word
MOST_FEATURES = 0x7FFF

_DTYPES: dict[str, type[np.generic]] = {
    "feature": np.int16, "threshold": np.float32, "left": np.int32, "right": np.int32, "value": np.float32,
    "root": np.int32, "first_tree": np.int32, "base": np.float32,
}
_NODE_ARRAYS = ("feature", "threshold", "left", "right", "value")
_NAMES = ("groups", "heads", "features")
_TWO_DIMENSIONAL = ("first_tree", "base")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_CHILD_BITS = 0xFFFF0000
_LANES = 8


@dataclass(frozen=True, slots=True, eq=False)
class TreeTable:
    """The trees of all groups and heads; a value of this class has been checked, and its arrays cannot be written to.

    feature (nodes,) int16, LEAF at a leaf; threshold (nodes,) float32; left, right (nodes,) int32, LEAF at a leaf;
    value (nodes,) float32, what a leaf adds; root (trees,) int32; first_tree (groups, heads + 1) int32: the trees of
    head h of group g are first_tree[g, h] up to first_tree[g, h + 1]; base (groups, heads) float32, added at the end.
    `schema_sha256` names the schema of the features that rows must follow. `nodes` is made from the rest.

    Raises ValueError that names every fault.
    """

    feature: NDArray[np.int16]
    threshold: Float32s
    left: Int32s
    right: Int32s
    value: Float32s
    root: Int32s
    first_tree: Int32s
    base: Float32s
    groups: tuple[str, ...]
    heads: tuple[str, ...]
    features: tuple[str, ...]
    schema_sha256: str
    nodes: Int64s = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # What is in the wrong shape cannot be looked into, so there are two rounds.
        for check in (_form_faults, _content_faults):
            faults = list(check(self))
            if faults:
                raise ValueError("trees: " + "; ".join(faults))
        for name, dtype in _DTYPES.items():
            object.__setattr__(self, name, _frozen(np.array(getattr(self, name), dtype=dtype, order="C")))
        object.__setattr__(self, "nodes", _frozen(_packed(self)))

    def __reduce__(self) -> tuple[type[TreeTable], tuple[Any, ...]]:
        """Pickled arrays come back such that they can be written, for which the compiler makes all its functions once
        more; so a table is made, and checked, again."""
        return TreeTable, tuple(getattr(self, one.name) for one in fields(self) if one.init)

    @property
    def walk(self) -> Walk:
        """The first arguments of the compiled functions: nodes, root, first_tree, base."""
        return self.nodes, self.root, self.first_tree, self.base

    @property
    def trees(self) -> int:
        return len(self.root)


def names_sha256(groups: tuple[str, ...], heads: tuple[str, ...], features: tuple[str, ...]) -> str:
    """A schema's hash where nothing more is known than names and their order."""
    names = {"groups": groups, "heads": heads, "features": features}
    return hashlib.sha256(json.dumps(names, sort_keys=True).encode()).hexdigest()


def table_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> TreeTable:
    """From stored arrays (`arrays_of`). Raises ValueError naming every missing array, or every fault in them."""
    missing = [name for name in (*_DTYPES, *_NAMES, "schema_sha256") if name not in arrays]
    if missing:
        raise ValueError(f"trees lack {', '.join(missing)}")
    texts = [name for name in (*_NAMES, "schema_sha256") if arrays[name].dtype.kind != "U"]
    if texts:
        raise ValueError(f"trees: {', '.join(texts)} hold no text")
    numbers: dict[str, Any] = {name: arrays[name] for name in _DTYPES}
    names: dict[str, Any] = {name: tuple(str(text) for text in arrays[name].ravel()) for name in _NAMES}
    return TreeTable(**numbers, **names, schema_sha256="".join(str(text) for text in arrays["schema_sha256"].ravel()))


def arrays_of(table: TreeTable) -> dict[str, NDArray[Any]]:
    """What is stored; `nodes` is made again from it."""
    stored: dict[str, NDArray[Any]] = {name: getattr(table, name) for name in _DTYPES}
    # The width is fixed by the content, so equal tables give equal bytes.
    stored.update({name: np.array(getattr(table, name), dtype=np.str_) for name in _NAMES})
    stored["schema_sha256"] = np.array(table.schema_sha256, dtype=np.str_)
    return stored


# ---- checks


def _form_faults(table: TreeTable) -> Iterator[str]:
    """Types, shapes and names."""
    for name, dtype in _DTYPES.items():
        array = getattr(table, name)
        dimensions = 2 if name in _TWO_DIMENSIONAL else 1
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != dimensions:
            found = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            yield f"{name} is {found}, not {np.dtype(dtype)} with {dimensions} dimension{'s' * (dimensions > 1)}"
    lengths = {name: np.size(getattr(table, name)) for name in _NODE_ARRAYS}
    if len(set(lengths.values())) > 1:
        yield f"node arrays differ in length ({', '.join(f'{name} {n}' for name, n in lengths.items())})"
    for name in _NAMES:
        names = getattr(table, name)
        if not names or len(set(names)) < len(names) or not all(names):
            yield f"{name} are empty, nameless or named twice"
    if len(table.features) > MOST_FEATURES:
        yield f"{len(table.features)} features are over {MOST_FEATURES}"
    if not _SHA256.match(table.schema_sha256):
        yield "schema_sha256 is no SHA-256"
    for name, columns in (("first_tree", len(table.heads) + 1), ("base", len(table.heads))):
        shape, expected = np.shape(getattr(table, name)), (len(table.groups), columns)
        if len(shape) == 2 and shape != expected:
            yield f"{name} has shape {shape}, groups and heads want {expected}"


def _content_faults(table: TreeTable) -> Iterator[str]:
    """Numbers and indices, of arrays that have the right form."""
    yield from _named("threshold", ~np.isfinite(table.threshold), "are not finite")
    yield from _named("value", ~np.isfinite(table.value), "are not finite")
    yield from _named("base", ~np.isfinite(table.base).ravel(), "are not finite")
    outside = (table.feature < LEAF) | (table.feature >= len(table.features))
    yield from _named("feature", outside, f"are neither {LEAF} nor one of {len(table.features)}")
    trees = table.first_tree.astype(np.int64)
    if trees[0, 0] != 0 or trees[-1, -1] != len(table.root):
        yield f"first_tree does not run from 0 to {len(table.root)}"
    if np.any(np.diff(trees, axis=1) < 0) or np.any(trees[1:, 0] != trees[:-1, -1]):
        yield "first_tree falls, or leaves trees out"
    bounds = np.append(table.root.astype(np.int64), len(table.feature))
    if bounds[0] != 0:
        yield "nodes do not begin with a root"
    elif np.any(np.diff(bounds) <= 0):
        yield "root does not rise, or goes beyond the nodes"
    else:
        yield from _structure_faults(table, bounds)


def _structure_faults(table: TreeTable, bounds: Int64s) -> Iterator[str]:
    """Children: forward, inside their tree, and each node of one parent. So no walk can loop or leave its tree."""
    position = np.arange(bounds[-1])
    end = np.repeat(bounds[1:], np.diff(bounds))
    left, right = table.left.astype(np.int64), table.right.astype(np.int64)
    leaf = table.feature == LEAF
    yield from _named("left", leaf & (left != LEAF), "are children of leaves")
    yield from _named("right", leaf & (right != LEAF), "are children of leaves")
    yield from _named("left", ~leaf & (left != position + 1), "are not the next node")
    backward = ~leaf & ((right <= position + 1) | (right >= end))
    yield from _named("right", backward, "go back or out of their tree")
    yield from _named("right", ~leaf & (right - position > FURTHEST_CHILD), f"are over {FURTHEST_CHILD} nodes away")
    parents = np.zeros(len(position) + 1, dtype=np.int64)
    np.add.at(parents, position[~leaf] + 1, 1)
    np.add.at(parents, right[~leaf & ~backward], 1)
    expected = np.ones(len(position), dtype=np.int64)
    expected[bounds[:-1]] = 0
    yield from _named("node", parents[:-1] != expected, "have no parent, or several")


def _named(what: str, bad: NDArray[np.bool_], words: str) -> Iterator[str]:
    """One sentence for all that is bad in an array, with where it begins."""
    if np.any(bad):
        yield f"{np.count_nonzero(bad)} of {what} {words} (first at {int(np.argmax(bad))})"


def _packed(table: TreeTable) -> Int64s:
    """The words that are walked; see the module for the bits."""
    leaf = table.feature == LEAF
    number = np.where(leaf, table.value, table.threshold).astype(np.float32).view(np.int32).astype(np.int64)
    further = np.where(leaf, 0, table.right.astype(np.int64) - np.arange(len(leaf)))
    return (number << 32) | (further << 16) | np.where(leaf, 0, table.feature).astype(np.int64)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array


# ---- the walk


@uncounted
def _number(word):
    """Threshold or leaf value."""
    return np.int32(word >> 32).view(np.float32)


@uncounted
def _further(word, row):
    """How many nodes on the next one stands; 0 at a leaf. Without a branch: half of them would be mispredicted."""
    further = (word >> 16) & 0xFFFF
    inner = np.int64(further != 0)
    right = np.int64(not (row[np.uintp(word & 0xFFFF)] <= _number(word)))
    return np.uintp(inner + ((further - inner) & -right))


@uncounted
def add_trees(nodes, root, first, end, total, row):
    """`total` (float32) plus what the trees from `first` up to `end` say of one row, added one after the other."""
    last = end - 1
    for tree in range(first, end, _LANES):
        # Lanes beyond the last tree walk it again, and are not added. Unsigned: numba looks for indices below 0.
        n0 = np.uintp(root[tree])
        n1 = np.uintp(root[min(tree + 1, last)])
        n2 = np.uintp(root[min(tree + 2, last)])
        n3 = np.uintp(root[min(tree + 3, last)])
        n4 = np.uintp(root[min(tree + 4, last)])
        n5 = np.uintp(root[min(tree + 5, last)])
        n6 = np.uintp(root[min(tree + 6, last)])
        n7 = np.uintp(root[min(tree + 7, last)])
        while True:
            w0, w1, w2, w3 = nodes[n0], nodes[n1], nodes[n2], nodes[n3]
            w4, w5, w6, w7 = nodes[n4], nodes[n5], nodes[n6], nodes[n7]
            if (w0 | w1 | w2 | w3 | w4 | w5 | w6 | w7) & _CHILD_BITS == 0:
                break
            n0 += _further(w0, row)
            n1 += _further(w1, row)
            n2 += _further(w2, row)
            n3 += _further(w3, row)
            n4 += _further(w4, row)
            n5 += _further(w5, row)
            n6 += _further(w6, row)
            n7 += _further(w7, row)
        # In the order of the trees, like ONNX Runtime: float32 sums depend on it.
        there = end - tree
        for word in (w0, w1, w2, w3, w4, w5, w6, w7):
            if there > 0:
                total += _number(word)
            there -= 1
    return total


@uncounted
def score_head(nodes, root, first_tree, base, group, head, row):
    """The float32 score of one row (features,) float32: callable from compiled code, `score_head(*table.walk, ...)`.

    Nothing is checked: group, head and the row's length must be the table's.
    """
    first, end = first_tree[group, head], first_tree[group, head + 1]
    return add_trees(nodes, root, first, end, np.float32(0.0), row) + base[group, head]


@uncounted
def first_trees(nodes, root, first_tree, group, head, row, most):
    """What the first `most` trees of a head say, without its base: a rough score, and where `rest_of_head` goes on."""
    first = first_tree[group, head]
    return add_trees(nodes, root, first, min(first + most, first_tree[group, head + 1]), np.float32(0.0), row)


@uncounted
def rest_of_head(nodes, root, first_tree, base, group, head, row, most, rough):
    """The score, from what `first_trees` gave: the very float32 that `score_head` gives."""
    first, end = first_tree[group, head], first_tree[group, head + 1]
    return add_trees(nodes, root, min(first + most, end), end, np.float32(rough), row) + base[group, head]


@uncounted
def score_rows(nodes, root, first_tree, base, groups, rows, heads, out):
    """Fills out (n, len(heads)) float32: the scores of rows (n, features) float32, each in its group (n,)."""
    for n in range(rows.shape[0]):
        for k in range(heads.shape[0]):
            out[n, k] = score_head(nodes, root, first_tree, base, groups[n], heads[k], rows[n])


@uncounted
def rough_rows(nodes, root, first_tree, base, groups, rows, most, out):
    """Fills out (n, heads) float32: what the first `most` trees of every head say, its base included."""
    for n in range(rows.shape[0]):
        for head in range(out.shape[1]):
            rough = first_trees(nodes, root, first_tree, groups[n], head, rows[n], most)
            out[n, head] = rough + base[groups[n], head]


@uncounted
def leaves_rows(nodes, root, first_tree, group, head, rows, out):
    """Fills out (n, trees of the head) int32: at which node each row ends. A walk of its own, one tree at a time."""
    first = first_tree[group, head]
    for n in range(rows.shape[0]):
        for tree in range(first, first_tree[group, head + 1]):
            at = np.uintp(root[tree])
            while nodes[at] & _CHILD_BITS != 0:
                at += _further(nodes[at], rows[n])
            out[n, tree - first] = at


def magnitudes(table: TreeTable, group: int, head: int, rows: Float32s) -> NDArray[np.float64]:
    """(n,): what differences are measured against, the sum of |leaf value| where a row ends and of |base|."""
    leaves = leaves_of(table, group, head, rows)
    sums: NDArray[np.float64] = np.abs(table.value[leaves]).sum(axis=1, dtype=np.float64)
    return sums + abs(float(table.base[group, head]))


def leaves_of(table: TreeTable, group: int, head: int, rows: Float32s) -> Int32s:
    """The node that each row ends in, (n, trees of the head)."""
    trees = int(table.first_tree[group, head + 1] - table.first_tree[group, head])
    out: Int32s = np.empty((len(rows), trees), dtype=np.int32)
    leaves_rows(table.nodes, table.root, table.first_tree, group, head, rows, out)
    return out
