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
from engine.learning.effects import (
    BUCKETS,
    DARK,
    EFFECTS,
    FIRST_CELL,
    GLOBALS,
    IMPACT,
    SHIFT,
    bucket_of,
    leakage_bps,
)
from engine.learning.exploration import Explored, explored
from engine.learning.fit import effects_row

Array = NDArray[np.float64]

DARK_RATIO = 3  # column of CandidateSet.numbers


@dataclass(frozen=True, slots=True)
class Corrected:
    """best: the choice after corrections; count: length of the hull; online_bps (n,): what outcomes added to each."""

    best: int
    count: int
    online_bps: Array


def impact_of(metrics: Array) -> Array:
    """(n,) predicted impact of each candidate, bps: what its record tells as `market_impact`."""
    found: Array = np.maximum(metrics[:, k.IMPACT_COST] + metrics[:, k.CORRECTION_IMPACT], 0.0)
    return found


def added_bps(values: Array, catalogue: CandidateSet, assumptions: StructuralAssumptions, context: Array,
              metrics: Array) -> tuple[Array, Array]:
    """What effects (EFFECTS,) say of every candidate, (n,) bps each: the part that grows with volatility, and all."""
    size_days = float(context[k.QUANTITY] / context[k.DAILY_VOLUME])
    leaked = leakage_bps(float(context[k.SIGMA_BPS]), size_days, assumptions)
    scaled = values[IMPACT] * impact_of(metrics) + values[DARK] * leaked * catalogue.numbers[:, DARK_RATIO] ** 2
    bucket = bucket_of(size_days)
    own = values[SHIFT] + values[GLOBALS:FIRST_CELL] + values[FIRST_CELL + bucket :: BUCKETS]
    total: Array = np.clip(scaled + own[catalogue.algorithm], -MOST_CORRECTION_BPS, MOST_CORRECTION_BPS)
    return scaled, total


def corrected(online: Array, kept: Array | None, catalogue: CandidateSet, assumptions: StructuralAssumptions,
              context: Array, metrics: Array, mask: NDArray[np.int64], best_of_algorithm: NDArray[np.int64],
              hull: NDArray[np.int64], flips: Array, sizes: Array) -> Corrected:
    """Adds corrections to the metrics (in place), chooses again, and fills the result arrays anew. online: effects from
    outcomes; kept: those that the artifact itself holds.

    Of other sizes nothing is said: the kernel chose there without corrections.
    """
    scaled, online_bps = added_bps(online, catalogue, assumptions, context, metrics)
    added = online_bps
    if kept is not None:
        also_scaled, also = added_bps(kept, catalogue, assumptions, context, metrics)
        scaled, added = scaled + also_scaled, added + also
    for column in (k.UTILITY, k.STRUCTURAL_UTILITY, k.COST, k.CORRECTION):
        metrics[:, column] += added
    metrics[:, k.UTILITY_PER_SIGMA] += scaled / context[k.SIGMA_BPS]
    best = int(k.choose(catalogue.algorithm, metrics, mask, best_of_algorithm))
    count = int(k.frontier(metrics, mask, hull))
    axes = (
        (k.UTILITY_PER_SPREAD, context[k.SPREAD_BPS]), (k.UTILITY_PER_SIGMA, context[k.SIGMA_BPS]),
        (k.MEAN_MINUTES, context[k.ALPHA_BPS_PER_DAY] / context[k.SESSION_MINUTES]),
    )
    for out, (column, current) in zip(flips, axes, strict=True):
        k.flip(catalogue.algorithm, metrics, mask, best, column, current, out)
    sizes[:, 1] = -1.0
    return Corrected(best, count, online_bps)


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
