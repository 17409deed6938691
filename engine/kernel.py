"""The decision as one compiled call over arrays: price every candidate, mask, choose, rank, find the frontier.

No fast-math, no threads, no allocation beyond the result arrays, so the same inputs give the same bytes on the same
CPU baseline. Everything the call needs lies in arrays that the snapshot holds ready; `context` is one short vector.
Its parts are in kernel_surfaces.py (interpolation), kernel_pricing.py (from surfaces to a base), kernel_learned.py
(what trees say), kernel_rows.py (from a base to metrics), kernel_limit.py (what a price limit leaves) and
kernel_choice.py (who is best); the layout's names are given on, since whoever prices needs both.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.kernel_choice import TIE_BPS as TIE_BPS
from engine.kernel_choice import bits_alone as bits_alone
from engine.kernel_choice import choose, frontier, least_of, with_rivals
from engine.kernel_choice import flip as flip
from engine.kernel_choice import keep_best as keep_best
from engine.kernel_learned import choose_learned, ruled_out
from engine.kernel_limit import NO_LIMIT_BPS as NO_LIMIT_BPS
from engine.kernel_pricing import SPANS, prepare, price_prepared, size_spans
from engine.kernel_pricing import price as price
from engine.kernel_pricing import price_bases as price_bases
from engine.kernel_surfaces import interpolate as interpolate
from engine.layout import (
    ALPHA_BPS_PER_DAY,
    ALPHA_COST,
    AUCTION_SHARE,
    AVAILABLE_MINUTES,
    BASE_COMPLETION,
    BASE_DARK,
    BASE_DARK_SIGMA,
    BASE_DARK_SPREAD,
    BASE_DEVIATION,
    BASE_LEARNED_SIGMA,
    BASE_LEARNED_SPREAD,
    BASE_MINUTES,
    BASE_PARTICIPATION,
    BASE_PASSIVE,
    BASE_PEAK,
    BASE_SIGMA,
    BASE_SPREAD,
    BASE_TIME,
    BASE_UNFILLED,
    BASES,
    CARRY_OVER,
    CLEANUP_DAYS,
    CLEANUP_HALF_SPREADS,
    COMPLETION_PROBABILITY,
    CORRECTION,
    CORRECTION_IMPACT,
    COST,
    DAILY_VOLUME,
    DARK_FEE_BPS,
    DARK_FILLED,
    DARK_REQUIRED,
    DARK_SAVING,
    DARK_SHARE,
    DEVIATION_BPS,
    FEES,
    HORIZON_MINUTES,
    IMPACT_COST,
    LIMIT_ROOM_BPS,
    MAKER_FEE_BPS,
    MASK_COMPLETION,
    MASK_DARK_REQUIRED,
    MASK_DUPLICATE,
    MASK_ELSEWHERE,
    MASK_NO_CLOSE,
    MASK_NO_DARK_VENUE,
    MASK_NOT_FINITE,
    MASK_PARTICIPATION,
    MASK_PRICE_LIMIT,
    MASK_PRUNED,
    MASK_UNPRICED,
    MAX_PARTICIPATION,
    MEAN_MINUTES,
    METRICS,
    MIN_COMPLETION,
    MINUTES_TO_CLOSE,
    PARTICIPATION,
    PASSIVE_FILLED,
    PEAK_PARTICIPATION,
    PERMANENT_GAMMA,
    QUANTITY,
    RISK_AVERSION,
    SESSION_MINUTES,
    SIGMA_BPS,
    SPREAD_BPS,
    SPREAD_COST,
    START_MINUTE,
    STRUCTURAL_UTILITY,
    TAKER_FEE_BPS,
    TEMPORARY_ETA,
    TEMPORARY_EXPONENT,
    TIME_COST,
    TIME_PRICE,
    TRANSIENT_Y,
    TURNOVER_FACTOR,
    UNFILLED,
    UTILITY,
    UTILITY_PER_SIGMA,
    UTILITY_PER_SPREAD,
    VOLUME_FORECAST,
    VOLUME_NOISE,
)
from engine.layout import CONTEXT_LENGTH as CONTEXT_LENGTH
from engine.layout import MASK_LEFT_OUT as MASK_LEFT_OUT
from engine.layout import QUEUE_SHARE as QUEUE_SHARE
from engine.layout import SPREAD_TICKS as SPREAD_TICKS
from engine.scoring.features import FEATURES


@njit(cache=True)
def _choose_at_sizes(
    values, axis_p, axis_t, algorithm, shape, rule, rests, numbers, cumulative, context, weights, windows, kinds, spans,
    known, pools, masks, bases, sizes
):
    """The best candidate by the surfaces at other multiples of the quantity, into column 1 of `sizes`."""
    candidates = algorithm.shape[0]
    other = context.copy()
    metrics = np.empty((candidates, METRICS))
    mask = np.empty(candidates, dtype=np.int64)
    for size in range(sizes.shape[0]):
        other[QUANTITY] = context[QUANTITY] * sizes[size, 0]
        size_spans(axis_p, other, spans, known)
        price_prepared(
            values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, other, windows, kinds, spans,
            pools, masks, True, bases, metrics, mask
        )
        sizes[size, 1] = least_of(metrics[:, UTILITY], mask)


@njit(cache=True)
def decide(
    values, axis_p, axis_t, axis_s, weights, algorithm, shape, rule, pace, rests, numbers, cumulative, context, trees,
    describing, keep, metrics, mask, best_of_algorithm, hull, flips, sizes, features
):
    """Everything numeric of a decision in one call.

    trees, describing: the models' arrays (engine/scoring/lanes.py, trees.py). keep (2 + algorithms,): candidates that
    all trees score, for the order and for another size of it (0 leaves the decision to the surfaces), and how many at
    least of every algorithm. metrics (n, METRICS), mask (n,),
    best_of_algorithm (algorithms,), hull (up to its length), flips (3, 4) for spread, sigma and alpha, sizes (k, 2):
    column 0 holds multiples of the quantity, column 1 gets the best candidate there, features (n, FEATURES) float32 of
    what was scored. Returns (best, length of hull, best by the surfaces); best is -1 where every candidate is masked.
    """
    candidates = algorithm.shape[0]
    windows = np.zeros((candidates, 3))
    kinds = np.zeros(candidates, dtype=np.int64)
    spans = np.empty((candidates, SPANS))
    pools = np.empty((2, 2))
    masks = np.empty(candidates, dtype=np.int64)
    # The models look at the order and at its other sizes together.
    together = sizes.shape[0] if keep[0] > 0 and keep[1] > 0 else 0
    bases = np.empty((1 + together, candidates, BASES))
    known = prepare(
        axis_t, axis_s, rule, pace, numbers, cumulative, context, windows, kinds, spans, pools, masks
    )
    size_spans(axis_p, context, spans, known)
    other = context.copy()
    if keep[0] > 0:
        # How likely an order completes is for the models to say.
        other[MIN_COMPLETION] = 0.0
    price_prepared(
        values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, other, windows, kinds, spans,
        pools, masks, False, bases[0], metrics, mask
    )
    structural = choose(algorithm, metrics, mask, best_of_algorithm)
    best = structural
    if keep[0] > 0:
        best = choose_learned(
            values, axis_p, axis_t, trees, describing, algorithm, shape, rule, rests, numbers, cumulative, context,
            weights, windows, kinds, spans, known, pools, masks, bases, features, metrics, mask, best_of_algorithm,
            keep, sizes
        )
    if best < 0:
        return best, 0, structural
    count = frontier(metrics, mask, hull)
    allowed = np.flatnonzero(mask == 0)
    alpha = context[ALPHA_BPS_PER_DAY] / context[SESSION_MINUTES]
    flip(algorithm, metrics, allowed, best, UTILITY_PER_SPREAD, context[SPREAD_BPS], flips[0])
    flip(algorithm, metrics, allowed, best, UTILITY_PER_SIGMA, context[SIGMA_BPS], flips[1])
    flip(algorithm, metrics, with_rivals(metrics, mask, best), best, MEAN_MINUTES, alpha, flips[2])
    if sizes.shape[0] > 0 and together == 0:
        _choose_at_sizes(
            values, axis_p, axis_t, algorithm, shape, rule, rests, numbers, cumulative, context, weights, windows,
            kinds, spans, known, pools, ruled_out(masks, mask), bases[0], sizes
        )
    return best, count, structural


def empty_results(candidates: int, algorithms: int, sizes: NDArray[np.float64]) -> tuple[
    NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64],
    NDArray[np.float64], NDArray[np.float32],
]:
    """Result arrays for `decide`: metrics, mask, best_of_algorithm, hull, flips, sizes, features."""
    multiples = np.empty((len(sizes), 2))
    multiples[:, 0] = sizes
    multiples[:, 1] = -1.0
    return (
        np.empty((candidates, METRICS)),
        np.empty(candidates, dtype=np.int64),
        np.empty(algorithms, dtype=np.int64),
        np.empty(candidates, dtype=np.int64),
        np.empty((3, 4)),
        multiples,
        np.empty((candidates, FEATURES), dtype=np.float32),
    )
