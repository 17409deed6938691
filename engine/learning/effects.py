"""The hierarchy of effects that a correction is made of, and what each of them multiplies.

    correction = shift + impact x predicted impact + dark x predicted leakage      (global)
               + one shift an algorithm                                            (algorithm)
               + one shift an algorithm and size of order                          (cell)

Shifts are in bps of the order. `impact` and `dark` are parts: 1.0 says that the real figure is twice the predicted one.
2,000 outcomes cannot feed flat cells, so each level only explains what the levels above leave over: its prior is
narrower, and it needs stronger evidence (fit.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.assumptions import StructuralAssumptions
from engine.catalogue import ALGORITHM_NAMES
from engine.performance import SIZES

Array = NDArray[np.float64]

ALGORITHMS: Final = len(ALGORITHM_NAMES)
BUCKETS: Final = len(SIZES)
SHIFT, IMPACT, DARK = range(3)
GLOBALS: Final = 3
FIRST_CELL: Final = GLOBALS + ALGORITHMS
EFFECTS: Final = FIRST_CELL + ALGORITHMS * BUCKETS


# The stated chance of any false alarm, ever. What the thresholds spend of it is less: the bound holds for normal
# surprises of known variance, and costs have fatter tails and a variance that is estimated.
FALSE_ALARM_RATE: Final = 0.05
SPENT: Final = 0.02


@dataclass(frozen=True, slots=True)
class Family:
    """Effects of one level. prior_sd: of each before anything is known (bps; `impact` and `dark` have no unit).
    tolerance: as large as this an effect may be without the model counting as wrong. share: of SPENT, the chance that
    any of them is ever taken for real where nothing differs."""

    first: int
    count: int
    prior_sd: tuple[float, ...]
    tolerance: tuple[float, ...]
    share: float


# Assumed: a model that is off by more than a few bps or by half of its impact would not have passed its evaluation.
FAMILIES: Final = (
    Family(0, GLOBALS, (3.0, 0.7, 1.0), (0.3, 0.05, 0.1), 0.4),
    Family(GLOBALS, ALGORITHMS, (4.0,) * ALGORITHMS, (0.3,) * ALGORITHMS, 0.4),
    Family(FIRST_CELL, ALGORITHMS * BUCKETS, (2.0,) * (ALGORITHMS * BUCKETS), (0.5,) * (ALGORITHMS * BUCKETS), 0.2),
)


def prior_sds() -> Array:
    """(EFFECTS,)."""
    return np.concatenate([np.array(family.prior_sd) for family in FAMILIES])


def tolerances() -> Array:
    """(EFFECTS,)."""
    return np.concatenate([np.array(family.tolerance) for family in FAMILIES])


def evidence_needed() -> Array:
    """(EFFECTS,) log Bayes factor from which an effect is taken for real: its family's part of SPENT, shared among
    its members (Ville's inequality, added up)."""
    return np.concatenate([
        np.full(family.count, math.log(family.count / (family.share * SPENT))) for family in FAMILIES
    ])


def effect_names() -> tuple[str, ...]:
    """For people, and for the check that corrections belong to this build's hierarchy."""
    cells = [f"{name} {label}" for name in ALGORITHM_NAMES for _, label in SIZES]
    return ("shift", "impact", "dark leakage", *ALGORITHM_NAMES, *cells)


def bucket_of(size_days: float) -> int:
    """Position in SIZES of quantity over average daily volume."""
    return sum(1 for least, _ in SIZES[1:] if size_days >= least)


def cell_of(algorithm: int, bucket: int) -> int:
    return FIRST_CELL + algorithm * BUCKETS + bucket


def leakage_bps(sigma_bps: float, size_days: float, assumptions: StructuralAssumptions) -> float:
    """Predicted leakage of an order that rests all of itself dark; a candidate's is this times its dark ratio squared
    (the structural formula of engine/pricing.py)."""
    return sigma_bps * assumptions.dark_leakage * math.sqrt(size_days / assumptions.dark_leakage_size_days)
