"""What is told of a decision's candidates as plain arrays, and the same as values for whoever asks.

An answer's writer reads the arrays; the values of a dozen candidates are made only where somebody looks at them.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import telling as at
from engine.catalogue import Candidate, CandidateSet
from engine.decision import Alternative, Choice, CostBreakdown, FrontierPoint, Outcomes, ParameterValue

Row = list[float]
CAUSE_NAMES = ("alpha", "dark saving", "fees", "impact", "learned correction", "spread", "time", "timing risk")
NO_CAUSE = "no cause stands out"
LEAST_TOLD_BPS = 0.005


class Told:
    """told (1 + alternatives, telling.TOLD): the choice, then the alternatives, best first. points (frontier, 4):
    telling.POINT columns. Never changed."""

    def __init__(self, catalogue: CandidateSet, told: NDArray[np.float64], points: NDArray[np.float64]) -> None:
        self.catalogue = catalogue
        self.told = told
        self.points = points
        self.own: Row = told[0].tolist()
        self._alternatives: tuple[Alternative, ...] | None = None
        self._frontier: tuple[FrontierPoint, ...] | None = None

    @property
    def best(self) -> int:
        return int(self.own[at.TOLD_INDEX])

    @property
    def next_best(self) -> Row | None:
        """Of the first alternative."""
        return self.told[1].tolist() if len(self.told) > 1 else None

    @property
    def alternatives(self) -> tuple[Alternative, ...]:
        if self._alternatives is None:
            candidates = self.catalogue.candidates
            self._alternatives = tuple(
                Alternative(
                    choice_of(candidates[int(row[at.TOLD_INDEX])], row), row[at.TOLD_UTILITY_GAP],
                    row[at.TOLD_COST_GAP], reason_of(row),
                )
                for row in self.told[1:].tolist()
            )
        return self._alternatives

    @property
    def frontier(self) -> tuple[FrontierPoint, ...]:
        """The hull, and the chosen candidate even where it lies above it."""
        if self._frontier is None:
            candidates, best = self.catalogue.candidates, self.best
            found = []
            for index, cost, deviation, minutes in self.points.tolist():
                candidate = candidates[int(index)]
                found.append(
                    FrontierPoint(
                        candidate.strategy_name, candidate.spec.name, cost, deviation, minutes, int(index) == best
                    )
                )
            self._frontier = tuple(found)
        return self._frontier

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Told):
            return NotImplemented
        return self.alternatives == other.alternatives and self.frontier == other.frontier


class Telling(msgspec.Struct, frozen=True):
    """What `engine.telling.tell` found: rivals are (utility, spread, impact) of every one where no model says how sure
    the choice is; bits those of the mask that bind; sure the models' confidence."""

    told: Told
    rivals: list[Row]
    bits: int
    sure: float


def reason_of(row: Row) -> str:
    """The cause in which an alternative loses most, and the one in which it gains most, with bps. An answer's writer
    (service/mapping/wire.py) says the same of arrays."""
    worst, best = row[at.TOLD_WORST_GAP], row[at.TOLD_BEST_GAP]
    words = f"{CAUSE_NAMES[int(row[at.TOLD_WORST])]} {worst:+.2f}" if worst > LEAST_TOLD_BPS else NO_CAUSE
    return f"{words}, {CAUSE_NAMES[int(row[at.TOLD_BEST])]} {best:+.2f}" if best < -LEAST_TOLD_BPS else words


def choice_of(candidate: Candidate, row: Row) -> Choice:
    # By position, which is several times as fast: the columns are in the order of the fields.
    cost, minutes, *others = row[: at.TOLD_BREAKDOWN]
    return Choice(
        candidate.strategy_name, candidate.spec.name, parameters_of(candidate, row),
        Outcomes(cost, int(minutes), *others),
    )


def breakdown_of(row: Row) -> CostBreakdown:
    return CostBreakdown(*row[at.TOLD_BREAKDOWN : at.TOLD_UTILITY_GAP])


def parameters_of(candidate: Candidate, row: Row) -> dict[str, ParameterValue]:
    """The candidate's own parameters and the three that every strategy has."""
    found: dict[str, ParameterValue] = dict(candidate.parameters)
    if "duration_minutes" in found:
        found["duration_minutes"] = row[at.TOLD_MINUTES]
    if "participation_rate" not in found:
        found["participation_rate"] = row[at.TOLD_PARTICIPATION]
    found["dark_pool_ratio"] = candidate.dark_pool_ratio
    found["volatility_adjustment"] = candidate.spec.volatility_adjustment
    return found
