"""From LightGBM's boosters to what is served: one ONNX model a group of heads, and the table of the same trees.

The table is read back from the ONNX models, so both come from the same bytes; onnxmltools converts each booster.
Two things must be mended on the way, because LightGBM compares float64 and ONNX float32, and features are float32:

- a threshold is rounded down to float32, so that `x <= t` has the same answer for every float32 x;
- LightGBM takes every |x| <= 1e-35 for 0 before it compares, which matters as it really splits at +-1e-35 (on either
  side of the values that are 0). Such a threshold moves to the next float32 that has the same answers without that.

Scores are raw scores. Leaf values are rounded to float32 and added in float32, see engine.scoring.trees;
`check_export` proves that routing is the same and bounds what the sums differ by.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import lightgbm
import numpy as np
import onnx
import onnxmltools
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnxmltools.convert.common.data_types import FloatTensorType

from engine.scoring.onnx_scorer import INPUT, OUTPUT, CompiledScorer, OnnxScorer, largest_ratio
from engine.scoring.trees import LEAF, Float32s, Int32s, TreeTable, leaves_of, magnitudes, names_sha256

Attributes: TypeAlias = Mapping[str, Any]
Boosters: TypeAlias = Mapping[tuple[str, str], lightgbm.Booster]

# Of the sum of |leaf values|. Float32 sums keep it up to about 80 trees a head (largest of 200,000 rows: 6e-7 with 40
# trees, 7e-7 to 1e-6 with 100, 1.2e-6 to 1.4e-6 with 200); more trees than that need another way to add.
TOLERANCE = 1e-6
CHUNK_ROWS = 50_000

# All old: any runtime of the last years reads them, and they say all that is needed here.
_IR_VERSION = 8
_OPSET = 15
_ML_OPSET = 3

_ENSEMBLE = "TreeEnsembleRegressor"
# Objectives whose raw score is the prediction itself. `custom` has no link that LightGBM knows.
_WITHOUT_LINK = frozenset(
    ("regression", "regression_l1", "huber", "fair", "quantile", "mape", "custom", "lambdarank", "rank_xendcg")
)
_ZERO = np.float32(1e-35)  # LightGBM's kZeroThreshold
_CATEGORICAL = 1  # bits of LightGBM's decision_type
_MISSING_SHIFT, _MISSING_MASK, _MISSING_ZERO = 2, 3, 1


class ExportMismatch(Exception):
    """What was exported does not answer as the boosters do."""


@dataclass(frozen=True, slots=True)
class Exported:
    """`models`: the ONNX bytes in the order of `table.groups`; `table`: the same trees, for the compiled walk."""

    models: tuple[bytes, ...]
    table: TreeTable


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


def export(
    boosters: Boosters,
    groups: Sequence[str],
    heads: Sequence[str],
    features: Sequence[str],
    *,
    base: Mapping[tuple[str, str], float] | None = None,
    raw_heads: Collection[str] = (),
    schema_sha256: str | None = None,
) -> Exported:
    """Equal boosters give equal bytes.

    boosters: by (group, head); a head without one is the constant `base`. base: added to the scores, 0 where none is
    named. raw_heads: heads whose objective has a link (a logarithm, a logit) and whose score before it is wanted; any
    other booster with a link is refused. schema_sha256: of the features' schema; their names' hash if None.

    Raises ValueError that names every booster that cannot be exported, and why: categorical or linear trees, several
    classes, averaged trees, features of other names, zero as a missing value (the only default direction that would
    matter, as inputs are never NaN), thresholds beyond float32.
    """
    base = {} if base is None else base
    texts = {key: _BoosterText.of(booster) for key, booster in boosters.items()}
    faults = [
        f"no such group and head: {key}"
        for key in (*texts, *base)
        if key[0] not in groups or key[1] not in heads
    ]
    faults += [f"base of {key} is {value}" for key, value in base.items() if not np.isfinite(np.float32(value))]
    for (group, head), text in texts.items():
        faults += [f"{group}/{head} {fault}" for fault in text.faults(features, head in raw_heads)]
    if faults:
        raise ValueError("cannot export: " + "; ".join(faults))
    names = (tuple(groups), tuple(heads), tuple(features))
    schema = names_sha256(*names) if schema_sha256 is None else schema_sha256
    models = tuple(
        _model_of(
            {head: texts.get((group, head)) for head in heads},
            {head: base.get((group, head), 0.0) for head in heads},
            {"group": group, "features": json.dumps(names[2]), "heads": json.dumps(names[1]), "schema_sha256": schema},
            len(features),
        )
        for group in groups
    )
    return Exported(models, table_from_models(models))


# ---- LightGBM's side


@dataclass(frozen=True, slots=True)
class _BoosterText:
    """LightGBM's own text format (v4): the lines of the header, and of every tree its keys and values.

    The text rather than the JSON dump, because it can be read back: so the mended thresholds go through LightGBM and
    onnxmltools like any others.
    """

    header: tuple[str, ...]
    trees: tuple[dict[str, str], ...]

    @classmethod
    def of(cls, booster: lightgbm.Booster) -> _BoosterText:
        """The trees that `predict` uses: up to the best iteration, if training stopped early."""
        text, _, _ = booster.model_to_string().partition("\nend of trees")
        header, *blocks = text.split("\nTree=")
        trees = [dict(line.split("=", 1) for line in block.splitlines()[1:] if "=" in line) for block in blocks]
        return cls(tuple(line for line in header.splitlines() if line), tuple(trees))

    def value(self, key: str) -> str:
        return next((line.partition("=")[2] for line in self.header if line.startswith(f"{key}=")), "")

    def faults(self, features: Sequence[str], raw: bool) -> Iterator[str]:
        """Why it cannot be exported."""
        if not self.trees:
            yield "has no trees"
        if self.value("num_class") != "1" or self.value("num_tree_per_iteration") != "1":
            yield "predicts several classes"
        if "average_output" in self.header:
            yield "averages its trees (boosting=rf)"
        objective = (self.value("objective") or "custom").split()
        if not raw and (objective[0] not in _WITHOUT_LINK or "sqrt" in objective):
            yield f"has a link between score and prediction (objective {' '.join(objective)})"
        yield from self._feature_faults(features)
        if any(tree["num_cat"] != "0" for tree in self.trees):
            yield "has categorical splits"
        if any(tree.get("is_linear", "0") != "0" for tree in self.trees):
            yield "has linear models in its leaves"
        decisions = np.concatenate([np.zeros(0, np.int64), *(_integers(tree["decision_type"]) for tree in self.trees)])
        if np.any((decisions >> _MISSING_SHIFT) & _MISSING_MASK == _MISSING_ZERO):
            yield "sends zeros in a default direction (zero_as_missing)"
        if any(not np.all(np.isfinite(mended(_floats(tree["threshold"])))) for tree in self.trees):
            yield "has thresholds beyond float32"

    def _feature_faults(self, features: Sequence[str]) -> Iterator[str]:
        names = self.value("feature_names").split()
        unnamed = [f"Column_{number}" for number in range(len(features))]
        # LightGBM writes an underscore for every blank.
        if names not in (unnamed, ["_".join(name.split()) for name in features]):
            yield f"was trained on other features ({len(names)}: {', '.join(names[:5])} ...)"

    def mended(self) -> lightgbm.Booster:
        """The same trees with float32 thresholds, without what would make a converter change the raw score."""
        # tree_sizes are offsets into the text that was; without them the trees are read one after the other.
        lines = [line for line in self.header if not line.startswith(("tree_sizes=", "objective="))]
        lines.append("objective=regression")
        for number, tree in enumerate(self.trees):
            thresholds = " ".join(f"{float(number):.17g}" for number in mended(_floats(tree["threshold"])))
            lines += ["", f"Tree={number}"]
            lines += [f"{key}={thresholds if key == 'threshold' else value}" for key, value in tree.items()]
        return lightgbm.Booster(model_str="\n".join((*lines, "", "end of trees", "")))

    def leaves(self, tree: int) -> list[int]:
        """LightGBM's numbers of the leaves, in preorder."""
        left, right = (_integers(self.trees[tree][side]) for side in ("left_child", "right_child"))
        found: list[int] = []
        waiting = [0] if len(left) else [-1]  # a child below 0 is leaf -1 - child
        while waiting:
            node = waiting.pop()
            if node < 0:
                found.append(-1 - node)
            else:
                waiting += [int(right[node]), int(left[node])]
        return found


def mended(thresholds: NDArray[np.float64]) -> Float32s:
    """The float32 thresholds that send every float32 where LightGBM sends it; infinite where there is none."""
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    down = np.nextafter(nearest, np.float32(-np.inf))
    rounded = np.where(nearest.astype(np.float64) > thresholds, down, nearest)
    # All |x| <= _ZERO are 0 to LightGBM: they go left together if 0 <= t, and right together if not.
    together = np.where(thresholds >= 0.0, _ZERO, np.nextafter(-_ZERO, np.float32(-np.inf)))
    return np.where(np.abs(thresholds) <= float(_ZERO), together, rounded).astype(np.float32)


def _integers(text: str) -> NDArray[np.int64]:
    return np.array([int(word) for word in text.split()], dtype=np.int64)


def _floats(text: str) -> NDArray[np.float64]:
    return np.array([float(word) for word in text.split()], dtype=np.float64)


# ---- ONNX's side


def _model_of(
    heads: Mapping[str, _BoosterText | None], base: Mapping[str, float], metadata: Mapping[str, str], features: int
) -> bytes:
    """One group: an ensemble a head, side by side. Nothing in it tells when or by which version it was made."""
    nodes, outputs = [], []
    for number, (head, text) in enumerate(heads.items()):
        attributes = _CONSTANT if text is None else _converted(text.mended(), features)
        outputs.append(f"head_{number}")
        nodes.append(_ensemble(attributes, base[head], outputs[-1]))
    nodes.append(helper.make_node("Concat", outputs, [OUTPUT], name="concat", axis=1))
    graph = helper.make_graph(
        nodes,
        "trees",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, len(outputs)])],
    )
    model = helper.make_model(
        graph,
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)],
    )
    helper.set_model_props(model, dict(sorted(metadata.items())))
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


# The least that an ensemble can be: a leaf that adds nothing.
_CONSTANT: Attributes = {
    "nodes_treeids": [0], "nodes_nodeids": [0], "nodes_featureids": [0], "nodes_modes": ["LEAF"], "nodes_values": [0.0],
    "nodes_truenodeids": [0], "nodes_falsenodeids": [0],
    "target_treeids": [0], "target_nodeids": [0], "target_ids": [0], "target_weights": [0.0],
}


def _converted(booster: lightgbm.Booster, features: int) -> Attributes:
    """The attributes of the one ensemble that onnxmltools makes of a booster."""
    model: ModelProto = onnxmltools.convert_lightgbm(
        booster, "trees", [(INPUT, FloatTensorType([None, features]))], target_opset=_OPSET
    )
    kinds = [node.op_type for node in model.graph.node]
    if kinds != [_ENSEMBLE, "Identity"]:
        raise ExportMismatch(f"onnxmltools made {kinds} of a booster")
    return _attributes(model.graph.node[0])


def _ensemble(attributes: Attributes, base: float, output: str) -> NodeProto:
    """Default directions are left out: no input is NaN, and without them all that is no number goes right."""
    kept = {name: attributes[name] for name in sorted(_CONSTANT)}
    return helper.make_node(
        _ENSEMBLE, [INPUT], [output], name=output, domain="ai.onnx.ml", aggregate_function="SUM",
        base_values=[float(np.float32(base))], n_targets=1, post_transform="NONE", **kept,
    )


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def table_from_models(models: Sequence[bytes]) -> TreeTable:
    """Reads the table out of models that `export` wrote, in the groups' order.

    Raises ValueError for models that differ in heads, features or schema, and for trees that TreeTable refuses.
    """
    try:
        return _read(tuple(onnx.load_from_string(model) for model in models))
    except KeyError as error:
        raise ValueError(f"a model lacks {error}: none of training.export") from None


def _read(loaded: Sequence[ModelProto]) -> TreeTable:
    metadata = [{entry.key: entry.value for entry in model.metadata_props} for model in loaded]
    shared = {(found["features"], found["heads"], found["schema_sha256"]) for found in metadata}
    if len(shared) != 1:
        raise ValueError(f"models differ in features, heads or schema: {sorted(shared)}")
    ((features, heads, schema),) = shared
    parts = _Parts()
    first, base = [], []
    for model in loaded:
        makers = {node.output[0]: node for node in model.graph.node}
        found = [_attributes(makers[name]) for name in makers[OUTPUT].input]
        bounds = [len(parts.root)]
        for attributes in found:
            parts.add(attributes)
            bounds.append(len(parts.root))
        first.append(bounds)
        base.append([attributes["base_values"][0] for attributes in found])
    return TreeTable(
        **parts.arrays(),
        first_tree=np.array(first, dtype=np.int32),
        base=np.array(base, dtype=np.float32),
        groups=tuple(found["group"] for found in metadata),
        heads=tuple(json.loads(heads)),
        features=tuple(json.loads(features)),
        schema_sha256=schema,
    )


class _Parts:
    """Gathers trees in preorder."""

    def __init__(self) -> None:
        self.root: list[int] = []
        self._feature: list[int] = []
        self._threshold: list[float] = []
        self._right: list[int] = []
        self._value: list[float] = []

    def add(self, attributes: Attributes) -> None:
        """All trees of an ensemble, in their order. A lone leaf that adds nothing is left out: a constant has none."""
        trees, values = attributes["nodes_treeids"], attributes["nodes_values"]
        if len(trees) == 1 and attributes["target_weights"] == [0.0]:
            return
        keys = list(zip(trees, attributes["nodes_nodeids"], strict=True))
        place = {key: at for at, key in enumerate(keys)}
        leaves = zip(attributes["target_treeids"], attributes["target_nodeids"], strict=True)
        weight = dict(zip(leaves, attributes["target_weights"], strict=True))
        if len(place) < len(keys) or len(weight) < len(attributes["target_weights"]):
            raise ValueError("a node or a leaf value stands twice in a model")
        for tree in dict.fromkeys(trees):
            self.root.append(len(self._feature))
            # (node, the position of the parent whose right child it is, or -1)
            waiting = [(0, -1)]
            while waiting:
                node, parent = waiting.pop()
                at = place[tree, node]
                position = len(self._feature)
                if position - self.root[-1] > len(keys):
                    raise ValueError("a tree of a model goes round in circles")
                if parent >= 0:
                    self._right[parent] = position
                mode = attributes["nodes_modes"][at]
                if mode == b"LEAF":
                    self._append(LEAF, 0.0, weight[tree, node])
                elif mode == b"BRANCH_LEQ":
                    self._append(attributes["nodes_featureids"][at], values[at], 0.0)
                    waiting.append((attributes["nodes_falsenodeids"][at], position))
                    waiting.append((attributes["nodes_truenodeids"][at], -1))
                else:
                    raise ValueError(f"a model has a node of mode {mode!r}")

    def _append(self, feature: int, threshold: float, value: float) -> None:
        self._feature.append(feature)
        self._threshold.append(threshold)
        self._right.append(LEAF)
        self._value.append(value)

    def arrays(self) -> dict[str, Any]:
        """All arrays of the nodes, and root."""
        feature = np.array(self._feature, dtype=np.int16)
        following = np.arange(1, len(feature) + 1, dtype=np.int32)
        return {
            "feature": feature,
            "threshold": np.array(self._threshold, dtype=np.float32),
            "left": np.where(feature == LEAF, np.int32(LEAF), following),
            "right": np.array(self._right, dtype=np.int32),
            "value": np.array(self._value, dtype=np.float32),
            "root": np.array(self.root, dtype=np.int32),
        }


# ---- proof


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
        text = _BoosterText.of(booster)
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
