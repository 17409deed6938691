"""Corrections from outcomes: a Bayesian regression of surprises on the hierarchy of effects, gated by evidence.

Reward. Arrival cost beyond its forecast, with the market's own move as a control: the report's final mid against its
arrival mid, less what predicted impact and leakage explain of it (their share is ours, not the market's; without this
the control would hide impact that the model does not know). Interval VWAP is no control here: it moves with our own
trading. Weights are the inverse variances that the forecasts themselves state, scaled to what was seen.

Evidence. An effect is in force once its Bayes factor against "no difference" reaches what its family's part of the
false alarm rate asks for. The Bayes factor of a normal prior over a normal likelihood is a martingale where nothing
differs, so by Ville's inequality the chance that any effect is EVER taken for real is at most SPENT, however often one
looks. That is exact for normal surprises of known variance; here the variance is estimated and costs have fatter tails,
so that FALSE_ALARM_RATE, which is stated, is larger, and benchmarks/adapt/learning.py measures what it is.

Sums run over outcomes sorted by selection id: the order in which they came does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.catalogue import ALGORITHM_NAMES
from engine.learning.corrections import Corrections, no_corrections
from engine.learning.effects import (
    ALGORITHMS,
    BUCKETS,
    DARK,
    EFFECTS,
    FIRST_CELL,
    GLOBALS,
    IMPACT,
    SHIFT,
    cell_of,
    effect_names,
    evidence_needed,
    prior_sds,
    tolerances,
)
from engine.learning.outcomes import Outcome
from engine.performance import SIZES

Array = NDArray[np.float64]

# Of the market's move an order that trades evenly pays half; each algorithm has its own part around that.
CONTROLS: Final = 1 + ALGORITHMS
CONTROL_MEAN, CONTROL_SD, OWN_CONTROL_SD = 0.5, 0.5, 0.25
# Nothing is told better than this, bps; and a forecast's variance is taken as off by at most these factors.
LEAST_DEVIATION_BPS = 0.5
LEAST_OF_MEDIAN = 0.25
LEAST_SCALE, MOST_SCALE = 0.05, 9.0
SCALE_ROUNDS = 2
# A reported cost farther off than this many of its own standard deviations counts as so far: one typing error must not
# move a firm's orders.
MOST_DEVIATIONS = 6.0
MOST_ACTIVE = 24
# Before that the variance itself is not known well enough for the stated false alarm rate.
LEAST_OUTCOMES = 400
# Reports with, or without, the market's move before their variance is taken apart from the rest's.
LEAST_GROUP = 30
MOST_IMPACT, LEAST_IMPACT = 4.0, -0.8
MOST_SHIFT_BPS = 25.0


@dataclass(frozen=True, slots=True)
class Fitted:
    """values, mean (EFFECTS,); log_evidence (EFFECTS,): of each effect alone against nothing; active: in the order in
    which the evidence took them; root (EFFECTS, EFFECTS)."""

    values: Array
    mean: Array
    root: Array
    log_evidence: Array
    active: tuple[int, ...]
    outcomes: int


@dataclass(frozen=True, slots=True)
class Normal:
    """Weighted sums over outcomes of effects and controls: gram (n, n), moments (n,), precision (n,) of the priors."""

    gram: Array
    moments: Array
    precision: Array


def corrections_of(outcomes: Iterable[Outcome], surfaces_sha256: str, models_sha256: str) -> Corrections:
    """The corrections that some outcomes carry, all of them of decisions by these artifacts."""
    found = fit(tuple(outcomes))
    if found is None:
        return no_corrections(surfaces_sha256, models_sha256)
    return Corrections(
        surfaces_sha256, models_sha256, found.outcomes, effect_names(), tuple(found.values.tolist()),
        tuple(found.mean.tolist()), found.root.astype("<f8").tobytes(), alarms_of(found.active),
    )


def fit(outcomes: Sequence[Outcome]) -> Fitted | None:
    """None where there are too few to say anything, or none with a finite figure."""
    rows = sorted((row for row in outcomes if is_usable(row)), key=lambda row: row.selection_id)
    if len(rows) < LEAST_OUTCOMES:
        return None
    effects, controls, controlled = design_of(rows)
    deviation = deviations_of(rows)
    surprise = np.array([row.surprise_bps for row in rows])
    surprise = np.clip(surprise, -MOST_DEVIATIONS * deviation, MOST_DEVIATIONS * deviation)
    normal = sums_of(effects, controls, surprise, 1.0 / deviation**2)
    for _ in range(SCALE_ROUNDS):
        scale = scale_of(effects, controls, controlled, surprise, deviation, normal, chosen_effects(normal))
        normal = sums_of(effects, controls, surprise, 1.0 / (scale * deviation**2 + LEAST_DEVIATION_BPS**2))
    active = chosen_effects(normal)
    return solved(normal, active, len(rows))


def deviations_of(rows: Sequence[Outcome]) -> Array:
    """(n,) how far off a forecast may be: what it says itself, but no order is to speak for many."""
    told = np.array([row.deviation_bps for row in rows])
    found: Array = np.maximum(told, max(LEAST_DEVIATION_BPS, LEAST_OF_MEDIAN * float(np.median(told))))
    return found


def is_usable(row: Outcome) -> bool:
    figures = (row.cost_bps, row.predicted_bps, row.deviation_bps, row.impact_bps, row.leakage_bps, row.size_days)
    return all(map(math.isfinite, figures)) and 0 <= row.algorithm < ALGORITHMS and row.size_days > 0.0


def effects_row(algorithm: int, bucket: int, impact_bps: float, leakage_bps: float, out: Array) -> None:
    """What each effect multiplies for one candidate, into `out` (EFFECTS,) of zeros."""
    out[SHIFT], out[IMPACT], out[DARK] = 1.0, impact_bps, leakage_bps
    out[GLOBALS + algorithm] = 1.0
    out[cell_of(algorithm, bucket)] = 1.0


def design_of(rows: Sequence[Outcome]) -> tuple[Array, Array, NDArray[np.bool_]]:
    """(effects (n, EFFECTS), controls (n, CONTROLS), whether the report told the market's move)."""
    every = np.arange(len(rows))
    algorithm = np.array([row.algorithm for row in rows])
    buckets = np.searchsorted([least for least, _ in SIZES[1:]], [row.size_days for row in rows], side="right")
    effects = np.zeros((len(rows), EFFECTS))
    effects[:, SHIFT] = 1.0
    effects[:, IMPACT] = [row.impact_bps for row in rows]
    effects[:, DARK] = [row.leakage_bps for row in rows]
    effects[every, GLOBALS + algorithm] = 1.0
    effects[every, cell_of(0, 0) + algorithm * BUCKETS + buckets] = 1.0
    told = np.array([row.market_move_bps is not None and math.isfinite(row.market_move_bps) for row in rows])
    moves = np.array([row.market_move_bps or 0.0 for row in rows])
    moves[~told] = 0.0
    deviation = deviations_of(rows)
    moves[told] = own_move(moves[told], effects[told][:, [SHIFT, IMPACT, DARK]], deviation[told])
    controls = np.zeros((len(rows), CONTROLS))
    controls[:, 0] = moves
    controls[every, 1 + algorithm] = moves
    return effects, controls, told


def own_move(moves: Array, ours: Array, deviation: Array) -> Array:
    """The market's own part of moves (n,): what our predicted impact and leakage (n, 3) do not explain."""
    if len(moves) <= ours.shape[1]:
        return np.zeros_like(moves)
    weighted = ours / deviation[:, None]
    found, *_ = np.linalg.lstsq(weighted, moves / deviation, rcond=None)
    left: Array = moves - ours @ found
    return left


def sums_of(effects: Array, controls: Array, surprise: Array, weight: Array) -> Normal:
    """Controls come after the effects; their priors' means are taken off the surprise."""
    columns = np.hstack((effects, controls))
    rest = surprise - CONTROL_MEAN * controls[:, 0]
    weighted = columns * weight[:, None]
    control_sd = np.array([CONTROL_SD, *([OWN_CONTROL_SD] * ALGORITHMS)])
    return Normal(weighted.T @ columns, weighted.T @ rest, 1.0 / np.concatenate((prior_sds(), control_sd)) ** 2)


def log_evidence_of(normal: Normal, active: Sequence[int]) -> Array:
    """(EFFECTS,) log Bayes factor of adding each effect to the active ones; the others are left out. Against every
    value within the tolerance: the least of them."""
    known = [*active, *range(EFFECTS, EFFECTS + CONTROLS)]
    inner = normal.gram[np.ix_(known, known)] + np.diag(normal.precision[known])
    across = normal.gram[:EFFECTS, known]
    both = np.linalg.solve(inner, np.column_stack((across.T, normal.moments[known])))
    precision = normal.precision[:EFFECTS]
    left = np.diag(normal.gram)[:EFFECTS] - np.einsum("ij,ji->i", across, both[:, :-1])
    total = precision + np.maximum(left, 0.0)
    moment = normal.moments[:EFFECTS] - across @ both[:, -1]
    beyond = np.maximum(np.abs(moment) - tolerances() * np.maximum(left, 0.0), 0.0)
    found: Array = 0.5 * (np.log(precision / total) + beyond**2 / total)
    found[list(active)] = -np.inf
    return found


def chosen_effects(normal: Normal) -> tuple[int, ...]:
    """One after the other, the one with most evidence beyond what it needs first."""
    active: list[int] = []
    needed = evidence_needed()
    while len(active) < MOST_ACTIVE:
        spare = log_evidence_of(normal, active) - needed
        best = int(np.argmax(spare))
        if not spare[best] >= 0.0:
            break
        active.append(best)
    return tuple(active)


def mean_of(normal: Normal, kept: Sequence[int]) -> Array:
    """(EFFECTS + CONTROLS,) posterior mean where only `kept` effects and the controls may differ from 0."""
    known = [*kept, *range(EFFECTS, EFFECTS + CONTROLS)]
    inner = normal.gram[np.ix_(known, known)] + np.diag(normal.precision[known])
    found = np.zeros(EFFECTS + CONTROLS)
    found[known] = np.linalg.solve(inner, normal.moments[known])
    return found


def scale_of(effects: Array, controls: Array, controlled: NDArray[np.bool_], surprise: Array, deviation: Array,
             normal: Normal, active: Sequence[int]) -> Array:
    """(n,) what the forecasts' variance is multiplied with: apart for reports with and without the market's move."""
    found = mean_of(normal, active)
    fitted = np.hstack((effects, controls)) @ found + CONTROL_MEAN * controls[:, 0]
    squares = ((surprise - fitted) / deviation) ** 2
    scale = np.ones(len(surprise))
    for group in (controlled, ~controlled):
        if np.count_nonzero(group) >= LEAST_GROUP:
            scale[group] = min(max(math.fsum(squares[group]) / np.count_nonzero(group), LEAST_SCALE), MOST_SCALE)
    return scale


def solved(normal: Normal, active: tuple[int, ...], outcomes: int) -> Fitted:
    values = mean_of(normal, active)[:EFFECTS]
    everything = range(EFFECTS)
    mean = mean_of(normal, everything)[:EFFECTS]
    covariance = np.linalg.inv(normal.gram + np.diag(normal.precision))[:EFFECTS, :EFFECTS]
    both = 0.5 * (covariance + covariance.T) + 1e-12 * np.eye(EFFECTS)
    root = np.asarray(np.linalg.cholesky(both), dtype=np.float64)
    return Fitted(bounded(values), bounded(mean), root, log_evidence_of(normal, ()), active, outcomes)


def bounded(values: Array) -> Array:
    """Within what any correction may be, whatever was reported."""
    found = np.clip(values, -MOST_SHIFT_BPS, MOST_SHIFT_BPS)
    for scale in (IMPACT, DARK):
        found[scale] = min(max(values[scale], LEAST_IMPACT), MOST_IMPACT)
    return found


def alarms_of(active: Sequence[int]) -> tuple[str, ...]:
    """Who is not what was predicted: "ALL" for a global effect, else algorithms by name."""
    found = set()
    for effect in active:
        if effect < GLOBALS:
            found.add("ALL")
        elif effect < FIRST_CELL:
            found.add(ALGORITHM_NAMES[effect - GLOBALS])
        else:
            found.add(ALGORITHM_NAMES[(effect - FIRST_CELL) // BUCKETS])
    return tuple(sorted(found))
