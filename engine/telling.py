"""What is told of a decision beside the choice, gathered from the kernel's arrays in one compiled call: the rivals in
order with the describing heads' words on them, the frontier's points, what binds, how sure the choice is.

It runs after the choice is final: outcomes that were learned from, or an exploration, may change the kernel's.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from engine.confidence import scored_confidence
from engine.kernel_choice import bits_alone
from engine.kernel_completion import completion_of
from engine.kernel_limit import NO_LIMIT_BPS
from engine.layout import (
    ALPHA_COST,
    COMPLETION_PROBABILITY,
    CORRECTION,
    CORRECTION_IMPACT,
    COST,
    DARK_SAVING,
    DEVIATION_BPS,
    FEES,
    HORIZON_MINUTES,
    IMPACT_COST,
    LIMIT_ROOM_BPS,
    MEAN_MINUTES,
    PARTICIPATION,
    RISK_AVERSION,
    SIGMA_BPS,
    SPREAD_COST,
    TIME_COST,
    UTILITY,
)
from engine.scoring.features import HEAD_Q10, HEAD_Q50, HEAD_Q90
from engine.scoring.trees import score_head

NORMAL_QUANTILE_90 = 1.2815515655446004
# No fill comes before the middle of the first minute on average, as it is simulated; what the models say of a small
# order that rests can lie below that, even at 0.
LEAST_MEAN_MINUTES = 0.5

# Columns of what is told of a candidate. The first ten are `decision.Outcomes`, the next eleven
# `decision.CostBreakdown`, in the order of their fields; then how far it lies behind the choice, our part of the volume
# in continuous trading, its horizon and index, and the cause (below) in which it loses most and gains most, with bps.
TOLD_OUTCOMES, TOLD_BREAKDOWN, TOLD_UTILITY_GAP, TOLD_COST_GAP, TOLD_PARTICIPATION, TOLD_MINUTES, TOLD_INDEX = (
    0, 10, 21, 22, 23, 24, 25,
)
TOLD_WORST, TOLD_WORST_GAP, TOLD_BEST, TOLD_BEST_GAP = range(26, 30)
TOLD_UTILITY = 9  # of the outcomes
TOLD = 30
# Causes of a breakdown, by name, so that equal gaps are told of the same one as ever: alpha, dark saving, fees, impact,
# learned correction, spread, time, timing risk; their columns of the breakdown. They sum to the utility.
CAUSE_COLUMNS = (7, 3, 2, 1, 4, 0, 8, 6)
# Columns of a told frontier point, and of what is told of every rival.
POINT_INDEX, POINT_COST, POINT_DEVIATION, POINT_MINUTES = range(4)
POINT = 4
RIVAL = 3


@njit(cache=True)
def _describe(row, features, group, context, lower_scale, upper_scale, describing, has_models, out):
    """Quantiles (bps) and completion from the describing heads, calibrated, into out (3,); without models from a normal
    distribution and the surfaces.

    The interval is stretched around its median so that it covers 80 % in the order's condition (the scales). Only what
    volume and time leave undone is in the head's completion; under a price limit the row has it, which the limit took
    its part of, and which a least completion was held against.
    """
    cost, deviation = row[COST], row[DEVIATION_BPS]
    if not has_models:
        reach = NORMAL_QUANTILE_90 * deviation
        out[0], out[1] = cost - reach, cost + reach
        completion = row[COMPLETION_PROBABILITY]
    else:
        nodes, root, first_tree, base, _ = describing
        middle = float(score_head(nodes, root, first_tree, base, group, HEAD_Q50, features))
        lowest = float(score_head(nodes, root, first_tree, base, group, HEAD_Q10, features))
        highest = float(score_head(nodes, root, first_tree, base, group, HEAD_Q90, features))
        out[0] = cost + deviation * (middle - lower_scale * max(middle - lowest, 0.0))
        out[1] = cost + deviation * (middle + upper_scale * max(highest - middle, 0.0))
        if context[LIMIT_ROOM_BPS] < NO_LIMIT_BPS:
            completion = row[COMPLETION_PROBABILITY]
        else:
            completion = completion_of(describing, group, features)
    out[2] = min(1.0, max(0.0, completion))


@njit(cache=True)
def _last_fill_minutes(row, rests):
    """Minutes until the last fill. Most algorithms trade until their plan ends. One that `rests` waits for a price or
    in a queue, and is done when it is filled: evenly on average, so that its last fill comes at twice the mean time."""
    horizon = row[HORIZON_MINUTES]
    return min(horizon, 2.0 * max(row[MEAN_MINUTES], LEAST_MEAN_MINUTES)) if rests != 0 else horizon


@njit(cache=True)
def _tell_one(row, n, auction_ratio, rests, context, described, chosen, out):
    """A candidate's outcomes, breakdown and differences to the `chosen` (its own row of what is told) into `out`."""
    cost, deviation, sigma = row[COST], row[DEVIATION_BPS], context[SIGMA_BPS]
    impact = row[IMPACT_COST] + row[CORRECTION_IMPACT]
    out[0] = cost / 1e4
    out[1] = max(1.0, math.ceil(_last_fill_minutes(row, rests) - 1e-9))
    out[2] = (impact if impact > 0.0 else 0.0) / 1e4
    out[3] = described[2]
    out[4] = min(1.0, deviation / sigma) if sigma > 0.0 else 0.0
    out[5] = deviation / 1e4
    out[6], out[7] = described[0] / 1e4, described[1] / 1e4
    out[8], out[9] = max(row[MEAN_MINUTES], LEAST_MEAN_MINUTES), row[UTILITY]
    at = TOLD_BREAKDOWN
    out[at], out[at + 1], out[at + 2] = row[SPREAD_COST], row[IMPACT_COST], row[FEES]
    out[at + 3], out[at + 4], out[at + 5] = row[DARK_SAVING], row[CORRECTION], cost
    out[at + 6], out[at + 7] = context[RISK_AVERSION] * deviation, row[ALPHA_COST]
    out[at + 8], out[at + 9], out[at + 10] = row[TIME_COST], row[UTILITY], deviation
    gap = row[UTILITY] - chosen[at + 9]
    out[TOLD_UTILITY_GAP] = gap if gap > 0.0 else 0.0
    out[TOLD_COST_GAP] = cost - chosen[at + 5]
    out[TOLD_PARTICIPATION] = row[PARTICIPATION] * (1.0 - auction_ratio)
    out[TOLD_MINUTES], out[TOLD_INDEX] = row[HORIZON_MINUTES], n
    worst, best = 0, 0
    for cause in range(len(CAUSE_COLUMNS)):
        column = at + CAUSE_COLUMNS[cause]
        gap = out[column] - chosen[column]
        # Of equal ones the last by name loses most, and the first gains most.
        if cause == 0 or gap >= out[TOLD_WORST_GAP]:
            worst, out[TOLD_WORST_GAP] = cause, gap
        if cause == 0 or gap < out[TOLD_BEST_GAP]:
            best, out[TOLD_BEST_GAP] = cause, gap
    out[TOLD_WORST], out[TOLD_BEST] = worst, best


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
    algorithm, rests, numbers, metrics, mask, best, structural, best_of_algorithm, hull, features, context, weights,
    lower_scale, upper_scale, describing, confidence, knots, has_models, told, points, rivals
):
    """Fills told (1 + rivals told, TOLD): the best, then as many rivals as there is room for; points (more than the
    hull has rows, POINT columns); rivals (every algorithm or none, 3): utility, spread and impact. (rows of told, rows
    of points, rivals, bits that bind, confidence, which is -1 without models).

    The caller makes the arrays: one that is given back costs more than the work done on it. knots (2, k): the map that
    calibrates confidence.
    """
    order = np.empty(best_of_algorithm.shape[0], dtype=np.int64)
    count = _sorted_rivals(algorithm, metrics, best, best_of_algorithm, order)
    rows = min(count + 1, told.shape[0])
    described = np.empty(3)
    for at in range(rows):
        n = best if at == 0 else order[at - 1]
        _describe(
            metrics[n], features[n], algorithm[n], context, lower_scale, upper_scale, describing, has_models, described,
        )  # fmt: skip
        if at == 0:
            told[0, :] = 0.0
        _tell_one(metrics[n], n, numbers[n, 4], rests[n], context, described, told[0], told[at])
    for at in range(min(count, rivals.shape[0])):
        rivals[at, 0] = metrics[order[at], UTILITY]
        rivals[at, 1], rivals[at, 2] = metrics[order[at], SPREAD_COST], metrics[order[at], IMPACT_COST]
    found = _sorted_points(metrics, best, hull, points)
    sure = -1.0
    if has_models:
        sure = scored_confidence(
            confidence, knots, metrics, mask, algorithm, best, structural, context, weights
        )
    return rows, found, count, bits_alone(metrics, mask, best), sure
