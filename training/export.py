"""From LightGBM's boosters to what is served: one ONNX model a group of heads, and the table of the same trees.

The table is read back from the ONNX models, so both come from the same bytes; onnxmltools converts each booster, whose
thresholds were mended before (`training.booster_text`). Scores are raw scores. Leaf values are rounded to float32 and
added in float32, see engine.scoring.trees; `training.export_check` proves that routing is the same and bounds what the
sums differ by.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import lightgbm
import numpy as np
import onnx
import onnxmltools
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnxmltools.convert.common.data_types import FloatTensorType

from engine.scoring.onnx_scorer import INPUT, OUTPUT
from engine.scoring.trees import LEAF, TreeTable, names_sha256
from training.booster_text import BoosterText

Attributes: TypeAlias = Mapping[str, Any]
Boosters: TypeAlias = Mapping[tuple[str, str], lightgbm.Booster]

# All old: any runtime of the last years reads them, and they say all that is needed here.
_IR_VERSION = 8
_OPSET = 15
_ML_OPSET = 3

_ENSEMBLE = "TreeEnsembleRegressor"


class ExportMismatch(Exception):
    """What was exported does not answer as the boosters do."""


@dataclass(frozen=True, slots=True)
class Exported:
    """`models`: the ONNX bytes in the order of `table.groups`; `table`: the same trees, for the compiled walk."""

    models: tuple[bytes, ...]
    table: TreeTable


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
    texts = {key: BoosterText.of(booster) for key, booster in boosters.items()}
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


def _model_of(
    heads: Mapping[str, BoosterText | None], base: Mapping[str, float], metadata: Mapping[str, str], features: int
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
