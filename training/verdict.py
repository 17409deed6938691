"""How an order is judged, and what a verdict of the oracle (`training.oracle`) says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

NOBODY: Indices = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Rules:
    """How an order is judged; part of the benchmark's hash (benchmarks/judging.json).

    A candidate leaves the race when it is behind the best by more than the tolerance and `margin_errors` standard
    errors of their difference; it may still be better while it is behind by less than `open_errors` of them.
    `final_pairs` and `most_pairs` count both halves.
    """

    tolerance_bps: float = 0.5
    tolerance_share: float = 0.05
    first_pairs: int = 48
    second_pairs: int = 192
    margin_errors: float = 4.0
    open_errors: float = 2.0
    finalists: int = 40
    finalists_of_group: int = 4
    final_pairs: int = 512
    most_pairs: int = 32_768
    batch_pairs: int = 256
    wanted_error_bps: float = 0.15
    draws: int = 64

    def tolerance_of(self, utility_bps: float) -> float:
        return max(self.tolerance_bps, self.tolerance_share * abs(utility_bps))

    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


DEFAULT_RULES = Rules()


class Status(Enum):
    """Whether there was anything to judge."""

    JUDGED = "judged"
    ONE_FEASIBLE = "one feasible candidate"
    NONE_FEASIBLE = "no feasible candidate"
    UNPLANNED = "refused before pricing"


@dataclass(frozen=True, slots=True)
class Standing:
    """A choice beside the oracle, valued on the same half of the paths. `candidate` is its index in the grid."""

    candidate: int
    utility_bps: float
    regret_bps: float
    error_bps: float
    within: bool


@dataclass(frozen=True, slots=True)
class Realised:
    """What one choice came to on the valued half: draws of its shortfall, independent of each other."""

    cost_bps: float
    deviation_bps: float
    completion: float
    draws_bps: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """One order's verdict. The oracle's figures are of the valued half.

    choices: every named choice; groups: the best of every named group, picked and valued like the oracle.
    feasible: candidates that could be chosen; `gap_bps` is each one's distance from the oracle as well as the race
    knows it, `undominated` whether nothing had both less cost and less risk. equivalent: finalists within tolerance.
    """

    status: Status
    oracle: int = -1
    oracle_utility_bps: float = 0.0
    tolerance_bps: float = 0.0
    choices: Mapping[str, Standing] = field(default_factory=dict)
    groups: Mapping[str, Standing] = field(default_factory=dict)
    realised: Mapping[str, Realised] = field(default_factory=dict)
    feasible: Indices = field(default_factory=lambda: NOBODY)
    gap_bps: Array = field(default_factory=lambda: np.empty(0))
    undominated: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    equivalent: Indices = field(default_factory=lambda: NOBODY)
    finalists: int = 0
    pairs: int = 0
    error_bps: float = 0.0
    inline_share: float = 0.0

    @property
    def random_regret_bps(self) -> float:
        """Expected regret of a random choice among the feasible candidates that are not dominated."""
        return float(self.gap_bps[self.undominated].mean())

    @property
    def random_accuracy(self) -> float:
        """Probability that a random feasible choice is within the tolerance."""
        return float((self.gap_bps <= self.tolerance_bps).mean())

    @property
    def random_undominated_accuracy(self) -> float:
        return float((self.gap_bps[self.undominated] <= self.tolerance_bps).mean())
