"""The learned trees behind one face: ONNX Runtime as the reference, the compiled walk as what serves.

Pure: models come in as bytes. Only this module may import onnxruntime (import-linter holds that), and only where a
model is read: a process that decides scores with the compiled walk alone, and its memory need not hold the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.scoring.lanes import lane_arrays, lane_rows
from engine.scoring.trees import Float32s, TreeTable, magnitudes, score_rows

if TYPE_CHECKING:
    import onnxruntime

INPUT = "features"
OUTPUT = "scores"

_FATAL_ONLY = 4  # log severity: what goes wrong is raised, and the engine does not write to a process's stderr


class Scorer(Protocol):
    """What predicts. `score(group, rows)`: rows (n, features) float32, C order; gives (n, heads) float32.

    Raises ValueError for rows of another form, IndexError for a group that there is not.
    """

    @property
    def groups(self) -> int: ...

    @property
    def heads(self) -> int: ...

    @property
    def features(self) -> int: ...

    def score(self, group: int, rows: Float32s) -> Float32s: ...


class OnnxScorer:
    """ONNX Runtime over one model a group, in the groups' order."""

    def __init__(self, models: Sequence[bytes]) -> None:
        """Raises ValueError if a model is not readable, or is not of the form that training.export writes."""
        if not models:
            raise ValueError("no models")
        self._sessions = tuple(_session(group, model) for group, model in enumerate(models))
        forms = {(_columns(session.get_inputs()), _columns(session.get_outputs())) for session in self._sessions}
        if len(forms) != 1:
            raise ValueError(f"models differ in features and heads: {sorted(forms)}")
        ((self._features, self._heads),) = forms

    @property
    def groups(self) -> int:
        return len(self._sessions)

    @property
    def heads(self) -> int:
        return self._heads

    @property
    def features(self) -> int:
        return self._features

    def score(self, group: int, rows: Float32s) -> Float32s:
        """See Scorer."""
        _check(self, group, rows)
        (found,) = self._sessions[group].run([OUTPUT], {INPUT: rows})
        return np.asarray(found, dtype=np.float32)


class CompiledScorer:
    """The compiled walk over a table, from Python. The decision call uses the same functions without this class."""

    def __init__(self, table: TreeTable) -> None:
        self.table = table
        self._every_head = np.arange(len(table.heads), dtype=np.int64)

    @property
    def groups(self) -> int:
        return len(self.table.groups)

    @property
    def heads(self) -> int:
        return len(self.table.heads)

    @property
    def features(self) -> int:
        return len(self.table.features)

    def score(self, group: int, rows: Float32s) -> Float32s:
        """See Scorer."""
        _check(self, group, rows)
        out: Float32s = np.empty((len(rows), self.heads), dtype=np.float32)
        score_rows(*self.table.walk, np.full(len(rows), group, dtype=np.int64), rows, self._every_head, out)
        return out


class LaneScorer(CompiledScorer):
    """The same table with all nodes of a tree at once, as the decision call scores its ranking heads."""

    def __init__(self, table: TreeTable) -> None:
        """Raises ValueError for a table that cannot be scored so (`lane_faults`)."""
        super().__init__(table)
        self._arrays = lane_arrays(table)

    def score(self, group: int, rows: Float32s) -> Float32s:
        """See Scorer."""
        _check(self, group, rows)
        out: Float32s = np.empty((len(rows), self.heads), dtype=np.float32)
        lane_rows(*self._arrays, group, rows, out)
        return out


@dataclass(frozen=True, slots=True)
class ParityReport:
    """How near the compiled walk is to the reference."""

    rows: int
    scores: int
    identical: int
    largest_relative_difference: float
    """|difference| over the sum of |leaf values| (and |base|) that the score is made of."""

    @property
    def exact(self) -> bool:
        return self.identical == self.scores


def parity(reference: Scorer, compiled: CompiledScorer, rows_by_group: Mapping[int, Float32s]) -> ParityReport:
    """Scores the rows of every group with both. Raises ValueError if they are not made for the same form of rows."""
    forms = [(scorer.groups, scorer.heads, scorer.features) for scorer in (reference, compiled)]
    if forms[0] != forms[1]:
        raise ValueError(f"groups, heads and features differ: {forms[0]} and {forms[1]}")
    identical, largest = 0, 0.0
    for group, rows in rows_by_group.items():
        expected, found = reference.score(group, rows), compiled.score(group, rows)
        identical += int(np.count_nonzero(expected == found))
        for head in range(compiled.heads):
            difference = np.abs(expected[:, head].astype(np.float64) - found[:, head])
            largest = max(largest, largest_ratio(difference, magnitudes(compiled.table, group, head, rows)))
    rows_in_all = sum(len(rows) for rows in rows_by_group.values())
    return ParityReport(rows_in_all, rows_in_all * compiled.heads, identical, largest)


def largest_ratio(difference: NDArray[np.float64], scale: NDArray[np.float64]) -> float:
    """The largest of difference / scale, (n,) each; 0 where nothing differs, infinite where a scale of 0 does."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(difference == 0.0, 0.0, difference / scale)
    # NaN must not hide: it compares with nothing.
    return float(np.max(np.where(np.isnan(ratio), np.inf, ratio), initial=0.0))


def _session(group: int, model: bytes) -> onnxruntime.InferenceSession:
    """One thread that does not spin, no memory kept between calls, plain operators, silence."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False  # patterns are kept for every number of rows
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.use_deterministic_compute = True
    options.log_severity_level = _FATAL_ONLY
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # each kind of failure is a class of its own, below nothing but Exception
        raise ValueError(f"model of group {group} is not readable: {error}") from None
    inputs = [(found.name, found.type) for found in session.get_inputs()]
    outputs = [(found.name, found.type) for found in session.get_outputs()]
    if inputs != [(INPUT, "tensor(float)")] or outputs != [(OUTPUT, "tensor(float)")]:
        raise ValueError(f"model of group {group} takes {inputs} and gives {outputs}")
    return session


def _columns(tensors: list[onnxruntime.NodeArg]) -> int:
    shape = tensors[0].shape
    if len(shape) != 2 or not isinstance(shape[1], int):
        raise ValueError(f"{tensors[0].name} has shape {shape}, not (rows, a number)")
    return shape[1]


def _check(scorer: Scorer, group: int, rows: Float32s) -> None:
    if not 0 <= group < scorer.groups:
        raise IndexError(f"group {group} is not one of {scorer.groups}")
    if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] != scorer.features or not rows.flags.c_contiguous:
        raise ValueError(f"rows are {rows.dtype} of shape {rows.shape}, not float32 (n, {scorer.features}) in C order")
