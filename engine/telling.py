"""What is told of a decision beside the choice, gathered from the kernel's arrays in one compiled call: the rivals in
order with the describing heads' words on them, the frontier's points, what binds, how sure the choice is.

It runs after the choice is final: outcomes that were learned from, or an exploration, may change the kernel's.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.confidence import scored_confidence
from engine.kernel_choice import bits_alone
from engine.layout import COST, DEVIATION_BPS, HORIZON_MINUTES, METRICS, UTILITY
from engine.scoring.trees import score_head

# Columns of a told candidate: its row of the metrics, then its index, then the heads.
TOLD_INDEX = METRICS
TOLD_HEADS_AT = METRICS + 1
# Columns of a told frontier point.
POINT_INDEX, POINT_COST, POINT_DEVIATION, POINT_MINUTES = range(4)


@njit(cache=True)
def _sorted_rivals(algorithm, metrics, best, best_of_algorithm, out):
    """The best of every other algorithm into `out`, best first, ties (1e-4 bps) by catalogue order; how many."""
    count = 0
    for a in range(best_of_algorithm.shape[0]):
        rival = best_of_algorithm[a]
        if rival < 0 or algorithm[rival] == algorithm[best]:
            continue
        utility = np.round(metrics[rival, UTILITY] * 1e4)
        at = count
        while at > 0:
            other = np.round(metrics[out[at - 1], UTILITY] * 1e4)
            if other < utility or (other == utility and out[at - 1] < rival):
                break
            out[at] = out[at - 1]
            at -= 1
        out[at] = rival
        count += 1
    return count


@njit(cache=True)
def _sorted_points(metrics, best, hull, out):
    """The hull, and the best even where it lies above it, by rising deviation, then catalogue order, into `out` (more
    than the hull has rows) as POINT columns; how many."""
    count = 0
    is_there = False
    for at in range(hull.shape[0] + 1):
        if at < hull.shape[0]:
            n = hull[at]
            is_there = is_there or n == best
        elif is_there:
            break
        else:
            n = best
        deviation = metrics[n, DEVIATION_BPS]
        place = count
        while place > 0:
            other = out[place - 1, POINT_DEVIATION]
            if other < deviation or (other == deviation and out[place - 1, POINT_INDEX] < n):
                break
            out[place] = out[place - 1]
            place -= 1
        out[place, POINT_INDEX], out[place, POINT_COST] = n, metrics[n, COST]
        out[place, POINT_DEVIATION], out[place, POINT_MINUTES] = deviation, metrics[n, HORIZON_MINUTES]
        count += 1
    return count


@njit(cache=True)
def tell(
    algorithm, metrics, mask, best, structural, best_of_algorithm, hull, features, context, weights, describing, heads,
    confidence, knots, most
):
    """(told (1 + rivals, METRICS + 1 + heads): the best, then its rivals; points (frontier, 4); bits that bind;
    confidence). most: how many rivals the describing `heads` (k,) speak of; below 0 there are no models, heads are 0
    and the confidence is -1."""
    rivals = np.empty(best_of_algorithm.shape[0], dtype=np.int64)
    count = _sorted_rivals(algorithm, metrics, best, best_of_algorithm, rivals)
    told = np.zeros((1 + count, TOLD_HEADS_AT + heads.shape[0]))
    for at in range(1 + count):
        n = best if at == 0 else rivals[at - 1]
        told[at, :METRICS] = metrics[n]
        told[at, TOLD_INDEX] = n
        if at <= most:
            for head in range(heads.shape[0]):
                told[at, TOLD_HEADS_AT + head] = score_head(
                    describing[0], describing[1], describing[2], describing[3], algorithm[n], heads[head], features[n]
                )
    points = np.empty((hull.shape[0] + 1, 4))
    found = _sorted_points(metrics, best, hull, points)
    sure = -1.0
    if most >= 0:
        sure = scored_confidence(
            confidence, knots, metrics, mask, algorithm, best, structural, context, weights
        )
    return told, points[:found], bits_alone(metrics, mask, best), sure
