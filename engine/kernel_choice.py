"""Who is the best of those that were priced, who comes next, and what would change it: one part of the decision call
(engine/kernel.py)."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from engine.compiled import uncounted
from engine.layout import (
    COST,
    DEVIATION_BPS,
    MASK_LEFT_OUT,
    MASK_PRUNED,
    STRUCTURAL_UTILITY,
    UTILITY,
)

# Utilities that round to the same multiple of this are tied.
TIE_BPS = 1e-4
# Changes farther away than this many times the input (for alpha: daily volatilities a day) are not worth telling.
FARTHEST_FLIP = 3.0


@uncounted
def choose(algorithm, metrics, mask, best_of_algorithm):
    """Index of the allowed candidate of least utility, -1 if none; ties (1e-4 bps) go to catalogue order.

    `best_of_algorithm` gets the same for every algorithm.
    """
    best = -1
    for a in range(best_of_algorithm.shape[0]):
        best_of_algorithm[a] = -1
    for n in range(algorithm.shape[0]):
        if mask[n] != 0:
            continue
        utility = np.round(metrics[n, UTILITY] * 1e4)
        if best < 0 or utility < np.round(metrics[best, UTILITY] * 1e4):
            best = n
        own = best_of_algorithm[algorithm[n]]
        if own < 0 or utility < np.round(metrics[own, UTILITY] * 1e4):
            best_of_algorithm[algorithm[n]] = n
    return best


@uncounted
def least_of(utilities, mask):
    """`choose` from utilities (n,) alone."""
    best = -1
    for n in range(mask.shape[0]):
        if mask[n] == 0 and (best < 0 or np.round(utilities[n] * 1e4) < np.round(utilities[best] * 1e4)):
            best = n
    return best


@njit(cache=True)
def _ranked(values, mask):
    """Allowed candidates by rising value (n,); equal ones in catalogue order."""
    allowed = np.flatnonzero(mask == 0)
    own = np.empty(allowed.shape[0])
    for position in range(allowed.shape[0]):
        own[position] = values[allowed[position]]
    return allowed[np.argsort(own, kind="mergesort")]


@njit(cache=True)
def frontier(metrics, mask, out):
    """Lower hull of (variance, cost) over the allowed candidates, by rising variance; returns how many were written.

    The hull ends at the least cost: beyond it more variance buys nothing.
    """
    count = 0
    for n in _ranked(metrics[:, DEVIATION_BPS], mask):
        x = metrics[n, DEVIATION_BPS] ** 2
        y = metrics[n, COST]
        if count > 0 and y >= metrics[out[count - 1], COST] - 1e-12:
            continue
        while count > 0 and metrics[out[count - 1], DEVIATION_BPS] ** 2 >= x:
            count -= 1
        while count >= 2:
            first = out[count - 2]
            second = out[count - 1]
            x1 = metrics[first, DEVIATION_BPS] ** 2
            y1 = metrics[first, COST]
            x2 = metrics[second, DEVIATION_BPS] ** 2
            y2 = metrics[second, COST]
            if (y2 - y1) * (x - x1) >= (y - y1) * (x2 - x1):
                count -= 1
            else:
                break
        if count < out.shape[0]:
            out[count] = n
            count += 1
    return count


@uncounted
def _crossing(slope_own, gap, slope, direction):
    """How far along `direction` a line that lies `gap` above ours comes down to it; infinite if it never does."""
    closing = (slope_own - slope) * direction
    if closing <= 1e-15:
        return np.inf
    return max(gap, 0.0) / closing


@uncounted
def nearest_change(algorithm, utilities, slopes, allowed, guessed, best, direction):
    """(distance, candidate) of the nearest change of algorithm along one direction; (inf, -1) if there is none.

    Walks along the least of the own algorithm's lines, since another parameter of the same algorithm is no change,
    until a line of another algorithm lies below it by one unit of a tie. `allowed`: candidates, rising. Where the walk
    would go on along a line that is only `guessed` (n,), it ends with that line.
    """
    own = best
    for n in allowed:
        if algorithm[n] == algorithm[best] and utilities[n] < utilities[own]:
            own = n
    travelled = 0.0
    for _ in range(algorithm.shape[0]):
        if guessed[own]:
            return travelled, own
        slope_own = slopes[own]
        level = utilities[own] + direction * travelled * slope_own
        nearest_own, next_own = np.inf, -1
        nearest_other = np.inf
        for n in allowed:
            if n == own:
                continue
            gap = utilities[n] + direction * travelled * slopes[n] - level
            if algorithm[n] == algorithm[best]:
                ahead = _crossing(slope_own, gap, slopes[n], direction)
                # Of lines that cross at once the one that falls most is the least from there on.
                steeper = ahead == nearest_own and next_own >= 0 and (
                    slopes[n] * direction < slopes[next_own] * direction
                )
                if ahead < nearest_own or steeper:
                    nearest_own, next_own = ahead, n
            else:
                nearest_other = min(nearest_other, _crossing(slope_own, gap + TIE_BPS, slopes[n], direction))
        if nearest_other <= nearest_own:
            travelled += nearest_other
            break
        travelled += nearest_own
        own = next_own
    if not math.isfinite(travelled):
        return np.inf, -1
    # Whoever is the least there, ties as ever.
    first = -1
    least = np.inf
    for n in allowed:
        if algorithm[n] == algorithm[best]:
            continue
        utility = np.round((utilities[n] + direction * travelled * slopes[n]) * 1e4)
        if utility < least:
            first, least = n, utility
    return travelled, first


@njit(cache=True)
def flip(algorithm, metrics, allowed, best, slope_column, current, out):
    """Nearest values of one input, below and above, beyond which another algorithm would be chosen.

    Utilities are straight lines in spread, volatility and alpha, so crossings are exact; masks are taken as they are.
    allowed: candidates, rising. out: [value below or nan, candidate, value above or nan, candidate].
    """
    utilities, slopes = metrics[:, UTILITY], metrics[:, slope_column]
    guessed = np.zeros(algorithm.shape[0], dtype=np.bool_)
    for side in range(2):
        direction = 1.0 if side == 1 else -1.0
        distance, candidate = nearest_change(algorithm, utilities, slopes, allowed, guessed, best, direction)
        out[2 * side] = current + direction * distance if candidate >= 0 else np.nan
        out[2 * side + 1] = candidate


@njit(cache=True)
def with_rivals(metrics, mask, best):
    """Candidates (rising) whose lines count for what another alpha would choose: what is allowed, and what was scored
    for that alone, unless it is better than the choice as things are."""
    count = 0
    found = np.empty(mask.shape[0], dtype=np.int64)
    for n in range(mask.shape[0]):
        rival = mask[n] == MASK_LEFT_OUT and metrics[n, UTILITY] >= metrics[best, UTILITY]
        if mask[n] == 0 or rival:
            found[count] = n
            count += 1
    return found[:count]


@uncounted
def bits_alone(metrics, mask, best):
    """Bits of the mask that each alone keep out a candidate whose utility by the surfaces is better than that of
    `best`. Surfaces priced the masked ones too, so that like is compared with like."""
    found = 0
    limit = metrics[best, STRUCTURAL_UTILITY] - TIE_BPS
    for n in range(mask.shape[0]):
        if metrics[n, STRUCTURAL_UTILITY] < limit and mask[n] & (mask[n] - 1) == 0:
            found |= mask[n]
    return found


@uncounted
def _is_better(utility, other):
    """Strictly; anything is better than what is no number."""
    return utility < other or (other != other and utility == utility)


@uncounted
def _insert(utilities, out, count, n):
    """`n` into `out`, the best so far by utilities (n,) in order, `count` of them. Equal ones are in catalogue order if
    that is how they come. The last one falls out of a full `out`. Returns how many there are."""
    if count == out.shape[0]:
        if count == 0 or not _is_better(utilities[n], utilities[out[count - 1]]):
            return count
        count -= 1
    at = count
    while at > 0 and _is_better(utilities[n], utilities[out[at - 1]]):
        out[at] = out[at - 1]
        at -= 1
    out[at] = n
    return count + 1


@njit(cache=True)
def keep_best(algorithm, utilities, mask, most, least):
    """Leaves the best `most` allowed candidates by `utilities` (n,), and at least the best `least[a]` of every
    algorithm; the others get MASK_PRUNED. Returns how many are left."""
    count = algorithm.shape[0]
    kept = np.zeros(count, dtype=np.bool_)
    best = np.empty(min(most, count), dtype=np.int64)
    own = np.empty((least.shape[0], min(np.max(least), count)), dtype=np.int64)
    return _keep_best(
        algorithm, utilities, mask, most, least, kept, best, own, np.zeros(least.shape[0], dtype=np.int64)
    )


@uncounted
def _keep_best(algorithm, utilities, mask, most, least, kept, best, own, own_count):
    """The last four are of no meaning after."""
    found = 0
    for n in range(algorithm.shape[0]):
        if mask[n] == 0:
            found = _insert(utilities, best, found, n)
            a = algorithm[n]
            own_count[a] = _insert(utilities, own[a, :least[a]], own_count[a], n)
    left = 0
    for a in range(least.shape[0]):
        for at in range(own_count[a]):
            kept[own[a, at]] = True
            left += 1
    for at in range(found):
        if left >= most:
            break
        if not kept[best[at]]:
            kept[best[at]] = True
            left += 1
    for n in range(algorithm.shape[0]):
        if mask[n] == 0 and not kept[n]:
            mask[n] = MASK_PRUNED
    return left
