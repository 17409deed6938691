"""Corrections in a decision: added to what the kernel priced, before anything is chosen for good.

The kernel scored every candidate that may be chosen; a correction moves cost and utility of each by a few bps, so that
the choice, the frontier and the flips are made again from the same rows. Masks stay: what a hard limit rules out stays
out. Without corrections in force nothing here is called.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine import kernel as k
from engine.assumptions import StructuralAssumptions
from engine.catalogue import CandidateSet
from engine.learning.corrections import MOST_CORRECTION_BPS, Learned
from engine.learning.effects import EFFECTS, bucket_of, leakage_bps
from engine.learning.exploration import Explored, explored
from engine.learning.fit import effects_row

Array = NDArray[np.float64]

DARK_RATIO = 3  # column of CandidateSet.numbers


@dataclass(frozen=True, slots=True)
class Corrected:
    """best: the choice after corrections; count: length of the hull; online_bps (n,): what was added to each."""

    best: int
    count: int
    online_bps: Array


def impact_of(metrics: Array) -> Array:
    """(n,) predicted impact of each candidate, bps: what its record tells as `market_impact`."""
    found: Array = np.maximum(metrics[:, k.IMPACT_COST] + metrics[:, k.CORRECTION_IMPACT], 0.0)
    return found


def corrected(learned: Learned, catalogue: CandidateSet, assumptions: StructuralAssumptions, context: Array,
              metrics: Array, mask: NDArray[np.int64], best_of_algorithm: NDArray[np.int64], hull: NDArray[np.int64],
              flips: Array, sizes: Array) -> Corrected:
    """Adds the corrections to the metrics (in place), chooses again, and fills the result arrays anew.

    Of other sizes nothing is said: the kernel chose there without corrections.
    """
    size_days = float(context[k.QUANTITY] / context[k.DAILY_VOLUME])
    sigma_bps = float(context[k.SIGMA_BPS])
    impact = impact_of(metrics)
    leaked = leakage_bps(sigma_bps, size_days, assumptions) * catalogue.numbers[:, DARK_RATIO] ** 2
    scaled = learned.impact * impact + learned.dark * leaked
    shifts = learned.shifts_bps[:, bucket_of(size_days)][catalogue.algorithm]
    online: Array = np.clip(scaled + shifts, -MOST_CORRECTION_BPS, MOST_CORRECTION_BPS)
    for column in (k.UTILITY, k.STRUCTURAL_UTILITY, k.COST, k.CORRECTION):
        metrics[:, column] += online
    metrics[:, k.UTILITY_PER_SIGMA] += scaled / sigma_bps
    best = int(k.choose(catalogue.algorithm, metrics, mask, best_of_algorithm))
    count = int(k.frontier(metrics, mask, hull))
    axes = (
        (k.UTILITY_PER_SPREAD, context[k.SPREAD_BPS]), (k.UTILITY_PER_SIGMA, context[k.SIGMA_BPS]),
        (k.MEAN_MINUTES, context[k.ALPHA_BPS_PER_DAY] / context[k.SESSION_MINUTES]),
    )
    for out, (column, current) in zip(flips, axes, strict=True):
        k.flip(catalogue.algorithm, metrics, mask, best, column, current, out)
    sizes[:, 1] = -1.0
    return Corrected(best, count, online)


def tried(learned: Learned, catalogue: CandidateSet, assumptions: StructuralAssumptions, context: Array,
          metrics: Array, best_of_algorithm: NDArray[np.int64], best: int, salt: str) -> Explored:
    """The choice of one order under the exploration budget. `salt` tells orders apart: same order, same draw."""
    rivals = best_of_algorithm[best_of_algorithm >= 0]
    utilities = metrics[rivals, k.UTILITY]
    near = rivals[utilities <= metrics[best, k.UTILITY] + learned.exploration.regret_cap_bps]
    if len(near) < 2:
        return Explored(best, 1.0, False)
    size_days = float(context[k.QUANTITY] / context[k.DAILY_VOLUME])
    leaked = leakage_bps(float(context[k.SIGMA_BPS]), size_days, assumptions)
    impact = impact_of(metrics)
    rows = np.zeros((len(near), EFFECTS))
    for out, n in zip(rows, near.tolist(), strict=True):
        dark = leaked * float(catalogue.numbers[n, DARK_RATIO]) ** 2
        effects_row(int(catalogue.algorithm[n]), bucket_of(size_days), float(impact[n]), dark, out)
    seed = hashlib.sha256(f"{learned.sha256}|{salt}".encode()).digest()
    return explored(learned, near, metrics[near, k.UTILITY], rows, best, int.from_bytes(seed[:16], "big"))
