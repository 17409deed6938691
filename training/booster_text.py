"""LightGBM's trees as it writes them, with thresholds that mean the same to who compares float32.

Two things must be mended on the way to ONNX, because LightGBM compares float64 and ONNX float32, and features are
float32:

- a threshold is rounded down to float32, so that `x <= t` has the same answer for every float32 x;
- LightGBM takes every |x| <= 1e-35 for 0 before it compares, which matters as it really splits at +-1e-35 (on either
  side of the values that are 0). Such a threshold moves to the next float32 that has the same answers without that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray

from engine.scoring.trees import Float32s

# Objectives whose raw score is the prediction itself. `custom` has no link that LightGBM knows.
_WITHOUT_LINK = frozenset(
    ("regression", "regression_l1", "huber", "fair", "quantile", "mape", "custom", "lambdarank", "rank_xendcg")
)
_ZERO = np.float32(1e-35)  # LightGBM's kZeroThreshold
_MISSING_SHIFT, _MISSING_MASK, _MISSING_ZERO = 2, 3, 1  # bits of LightGBM's decision_type


@dataclass(frozen=True, slots=True)
class BoosterText:
    """LightGBM's own text format (v4): the lines of the header, and of every tree its keys and values.

    The text rather than the JSON dump, because it can be read back: so the mended thresholds go through LightGBM and
    onnxmltools like any others.
    """

    header: tuple[str, ...]
    trees: tuple[dict[str, str], ...]

    @classmethod
    def of(cls, booster: lightgbm.Booster) -> BoosterText:
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
