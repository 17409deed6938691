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
from engine.learning.compiled import DARK_RATIO, correct, impacts
from engine.learning.corrections import MOST_CORRECTION_BPS, Learned
from engine.learning.effects import EFFECTS, bucket_of, leakage_bps
from engine.learning.exploration import Explored, explored
from engine.learning.fit import effects_row

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Corrected:
    """best: the choice after corrections; hull: of the frontier; online_bps (n,): what outcomes added to each."""

    best: int
    hull: NDArray[np.int64]
    online_bps: Array


def impact_of(metrics: Array) -> Array:
    """(n,) predicted impact of each candidate, bps: what its record tells as `market_impact`."""
    found: Array = impacts(metrics)
    return found


def corrected(online: Array, kept: Array, catalogue: CandidateSet, assumptions: StructuralAssumptions, context: Array,
              metrics: Array, mask: NDArray[np.int64], best_of_algorithm: NDArray[np.int64], flips: Array,
              sizes: Array) -> Corrected:
    """Adds corrections to the metrics (in place), chooses again, and fills the result arrays anew. online: effects
    (EFFECTS,) from outcomes; kept: those that the artifact itself holds."""
    size_days = float(context[k.QUANTITY] / context[k.DAILY_VOLUME])
    leaked = leakage_bps(float(context[k.SIGMA_BPS]), size_days, assumptions)
    online_bps, hull = np.empty(len(metrics)), np.empty(len(metrics), dtype=np.int64)
    best, count = correct(
        online, kept, bucket_of(size_days), leaked, MOST_CORRECTION_BPS, catalogue.algorithm, catalogue.numbers,
        context, metrics, mask, best_of_algorithm, hull, flips, sizes, online_bps,
    )
    return Corrected(int(best), hull[:count], online_bps)


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
