"""The decision as one compiled call over arrays: price every candidate, mask, choose, rank, find the frontier.

No fast-math, no threads, no allocation beyond the result arrays, so the same inputs give the same bytes on the same
CPU baseline. Everything the call needs lies in arrays that the snapshot holds ready; `context` is one short vector.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

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
from engine.layout import QUEUE_SHARE as QUEUE_SHARE
from engine.layout import SPREAD_TICKS as SPREAD_TICKS
from engine.scoring.features import (
    FEATURES,
    HEAD_COMPLETION,
    HEAD_DEVIATION,
    HEAD_SIGMA,
    HEAD_SPREAD,
    HEAD_TIME,
    HEAD_UNFILLED,
    RANKING,
    ROUGH_TREES,
    STRUCTURAL_PART,
    fill_features,
    fill_scales,
)
from engine.scoring.trees import first_trees, rest_of_head, score_head

# Columns of a surface (engine/pricing.py, OUTPUTS): a constant, so that the compiler can unroll the loops.
COLUMNS = 10
# The powers in which surfaces are interpolated; see _locate.
PARTICIPATION_POWER = 0.6
HORIZON_POWER = 0.5
POOL_POWER = -0.5

# A price limit farther away than this is none (engine/resolve.py).
NO_LIMIT_BPS = 1e8
# Utilities that round to the same multiple of this are tied.
TIE_BPS = 1e-4

_INV_SQRT2 = 0.7071067811865476


@njit(cache=True)
def _ndtr(x):
    return 0.5 * math.erfc(-x * _INV_SQRT2)


@njit(cache=True)
def _locate(axis, power, x):
    """(lower index, weight of the upper neighbour), clamped to the axis.

    `axis` and `x` are logarithms; within a cell the weight is linear in exp(power * x), a power of the quantity itself,
    because the model is close to straight in those: impact in participation^0.6, risk in horizon^0.5, an auction's
    impact in share^-0.5.
    """
    last = axis.shape[0] - 1
    if x <= axis[0]:
        return 0, 0.0
    if x >= axis[last]:
        return last - 1, 1.0
    low = 0
    high = last
    while high - low > 1:
        middle = (low + high) >> 1
        if axis[middle] <= x:
            low = middle
        else:
            high = middle
    weight = math.expm1(power * (x - axis[low])) / math.expm1(power * (axis[low + 1] - axis[low]))
    return low, min(max(weight, 0.0), 1.0)


@njit(cache=True)
def _blend(values, weights, shape, i, fi, j, fj, k, fk, out):
    """Adds up the columns of one shape in the cell (i, j, k) over the conditions' weights into `out`."""
    for column in range(COLUMNS):
        out[column] = 0.0
    for condition in range(weights.shape[0]):
        weight = weights[condition]
        if weight <= 0.0:
            continue
        for corner in range(8):
            a = corner & 1
            b = (corner >> 1) & 1
            c = corner >> 2
            share = weight * (fi if a else 1.0 - fi) * (fj if b else 1.0 - fj) * (fk if c else 1.0 - fk)
            if share == 0.0:
                continue
            for column in range(COLUMNS):
                out[column] += share * values[condition, shape, i + a, j + b, k + c, column]


@njit(cache=True)
def interpolate(
    values, axis_p, axis_t, axis_s, weights, shape, log_p, log_t, log_s, out
):
    """The columns of one shape at one point, over the conditions' weights, into `out`."""
    i, fi = _locate(axis_p, PARTICIPATION_POWER, log_p)
    j, fj = _locate(axis_t, HORIZON_POWER, log_t)
    k, fk = _locate(axis_s, POOL_POWER, log_s)
    _blend(values, weights, shape, i, fi, j, fj, k, fk, out)


@njit(cache=True)
def _volume_until(cumulative, minute):
    """Share of daily volume until a minute of the session; `cumulative` has one entry a minute, from 0."""
    last = cumulative.shape[0] - 1
    at = min(max(minute, 0.0), float(last))
    low = min(int(at), last - 1)
    return cumulative[low] + (at - low) * (cumulative[low + 1] - cumulative[low])


@njit(cache=True)
def _minute_at(cumulative, volume):
    """The first minute by which a share of daily volume has traded, which must be in reach."""
    low = 0
    high = cumulative.shape[0] - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if cumulative[middle] < volume:
            low = middle
        else:
            high = middle
    traded = cumulative[high] - cumulative[low]
    if traded <= 0.0:
        return float(high)
    return low + min(max((volume - cumulative[low]) / traded, 0.0), 1.0)


@njit(cache=True)
def _slowest_minutes(cumulative, start, out):
    """out[m]: least share of daily volume in any minute from that of `start` until minute m + 1 of the session.

    Where a clock schedule participates most.
    """
    least = np.inf
    for minute in range(int(min(start, out.shape[0] - 1.0)), out.shape[0]):
        least = min(least, cumulative[minute + 1] - cumulative[minute])
        out[minute] = least


@njit(cache=True)
def _prepare(
    axis_t, axis_s, rule, pace, numbers, cumulative, context, windows, places, masks
):
    """What does not depend on the quantity, for every candidate.

    windows (n, 3): minutes, share of daily volume in them, highest over mean pace of the clock. places (n, 4): where
    horizon and pool share lie on the surfaces' axes. masks (n,): what rules a candidate out before it is priced.
    """
    start = context[START_MINUTE]
    available = context[AVAILABLE_MINUTES]
    session = context[SESSION_MINUTES]
    before = _volume_until(cumulative, start)
    slowest = np.empty(cumulative.shape[0] - 1)
    _slowest_minutes(cumulative, start, slowest)
    for n in range(rule.shape[0]):
        mask = 0
        pool = context[DARK_SHARE]
        minutes = available
        if rule[n] == 0:
            if numbers[n, 1] >= available - 1e-9:
                mask |= MASK_DUPLICATE
            minutes = min(numbers[n, 0], available)
        elif rule[n] == 2:
            pool = context[AUCTION_SHARE]
            if pool <= 0.0 or available < context[MINUTES_TO_CLOSE] - 1e-6:
                mask |= MASK_NO_CLOSE
        if numbers[n, 3] > 0.0 and context[DARK_SHARE] <= 0.0:
            mask |= MASK_NO_DARK_VENUE
        if context[DARK_REQUIRED] > 0.0 and numbers[n, 3] <= 0.0:
            mask |= MASK_DARK_REQUIRED
        masks[n] = mask
        if mask & MASK_UNPRICED:
            continue
        window = max(_volume_until(cumulative, start + minutes) - before, 1e-9)
        factor = 1.0
        if pace[n] == 0 and minutes > 1.0:
            end = min(math.ceil(start + minutes), slowest.shape[0])
            factor = max(window / minutes / max(slowest[end - 1], 1e-12), 1.0)
        windows[n, 0], windows[n, 1], windows[n, 2] = minutes, window, factor
        j, fj = _locate(axis_t, HORIZON_POWER, math.log(minutes / session))
        # Shapes that use no pool are the same at every pool share, so that one plane of the surface will do.
        k, fk = 0, 0.0
        if numbers[n, 3] > 0.0 or rule[n] == 2:
            k, fk = _locate(axis_s, POOL_POWER, math.log(max(pool, 1e-6)))
        places[n, 0], places[n, 1], places[n, 2], places[n, 3] = j, fj, k, fk


# Inlined: the call itself, with a dozen arrays to hand over, cost a quarter of the whole.
@njit(cache=True, inline="always")
def _base_one(
    values, axis_p, axis_t, weights, shape, rule, numbers, cumulative, context, window, place, mask, only_allowed,
    coefficient, base
):
    """Fills a candidate's base from the surfaces; returns its mask. `only_allowed` leaves masked ones unfinished."""
    quantity = context[QUANTITY]
    daily_volume = context[DAILY_VOLUME]
    size_days = quantity / daily_volume
    limit = context[MAX_PARTICIPATION]
    minutes = window[0]
    traded = window[1]
    lasting = minutes
    j, fj = int(place[0]), place[1]

    # Horizon and participation.
    if rule == 1:
        # It trades on at its rate until it is done, so what counts is the volume of all the time there is.
        lasting = context[AVAILABLE_MINUTES]
        capacity = numbers[2] * traded / size_days
        if capacity > 1.0:
            start = context[START_MINUTE]
            until = _volume_until(cumulative, start) + size_days / numbers[2]
            minutes = min(max(_minute_at(cumulative, until) - start, 1.0), lasting)
            traded = max(_volume_until(cumulative, start + minutes) - _volume_until(cumulative, start), 1e-9)
            j, fj = _locate(axis_t, HORIZON_POWER, math.log(minutes / context[SESSION_MINUTES]))
        participation = min(size_days / traded, numbers[2])
        peak = numbers[2]
        if capacity < 1.0 - 1e-9 and context[CARRY_OVER] <= 0.0:
            # A schedule of the whole order would break the rate; a part of it may still be wanted.
            mask |= MASK_PARTICIPATION
    else:
        participation = size_days / traded
        peak = (1.0 - numbers[4]) * participation * numbers[5] * window[2]
        capacity = limit / max(peak, 1e-12)
        if rule == 2:
            peak = max(peak, quantity * numbers[4] / max(context[AUCTION_SHARE] * daily_volume, 1e-9))
    if peak > limit * (1.0 + 1e-9):
        mask |= MASK_PARTICIPATION
    if only_allowed and mask != 0:
        return mask

    horizon_days = minutes / context[SESSION_MINUTES]
    log_participation = math.log(max(participation, 1e-12))
    i, fi = _locate(axis_p, PARTICIPATION_POWER, log_participation)
    _blend(values, weights, shape, i, fi, j, fj, int(place[2]), place[3], coefficient)
    beyond = log_participation - axis_p[axis_p.shape[0] - 1]
    if beyond > 0.0:
        # Only what goes into the auction is not bound by the volume until then; its impact is a square root.
        coefficient[1] *= math.exp(0.5 * beyond)

    # What the volume's own noise leaves undone: E[(1 - kW)+] of a lognormal W with mean 1 (Black-Scholes's put).
    noise = math.sqrt(context[VOLUME_FORECAST] ** 2 + context[VOLUME_NOISE] ** 2 / (1.0 + lasting / 15.0))
    d1 = math.log(max(capacity, 1e-12)) / noise + 0.5 * noise
    short = 0.0
    done = 1.0
    if d1 < 9.0:
        short = min(max(_ndtr(noise - d1) - capacity * _ndtr(-d1), 0.0), 1.0)
        done = _ndtr(d1 - noise)
    filled = 1.0 - short

    # What is left over is swept at the horizon, and that is never cheaper than what was done before it: it pays the
    # displacement too. Without this a larger order could cost less by failing.
    swept = _swept(short * size_days, context)
    base[BASE_SPREAD] = filled * coefficient[0] + short * max(coefficient[0], 0.5 * context[CLEANUP_HALF_SPREADS])
    base[BASE_DARK_SPREAD] = filled * coefficient[8]
    base[BASE_SIGMA] = filled * coefficient[1] + short * max(coefficient[1], swept)
    base[BASE_DARK_SIGMA] = filled * coefficient[9]
    base[BASE_DEVIATION] = filled * coefficient[2] + short * max(coefficient[2], math.sqrt(horizon_days))
    base[BASE_TIME] = horizon_days * (filled * coefficient[3] + short)
    base[BASE_UNFILLED] = short + filled * coefficient[4]
    base[BASE_COMPLETION] = coefficient[5] * done
    base[BASE_DARK] = filled * coefficient[6]
    base[BASE_PASSIVE] = filled * coefficient[7]
    base[BASE_MINUTES] = minutes
    base[BASE_PARTICIPATION] = participation
    base[BASE_PEAK] = peak
    base[BASE_LEARNED_SPREAD] = 0.0
    base[BASE_LEARNED_SIGMA] = 0.0
    return mask


@njit(cache=True)
def _swept(left_days, context):
    """Daily volatilities paid a share for sweeping this many days' volume at the horizon."""
    if left_days <= 0.0:
        return 0.0
    paid = context[TEMPORARY_ETA] * (left_days / context[CLEANUP_DAYS]) ** context[TEMPORARY_EXPONENT]
    return paid + context[TRANSIENT_Y] * math.sqrt(left_days)


@njit(cache=True, inline="always")
def _row_one(base, rests, context, mask, row):
    """From a base to a row of the metrics; returns the mask with what only shows here.

    A price limit may be crossed: then the rest waits, and is charged at the horizon like any remainder.
    """
    size_days = context[QUANTITY] / context[DAILY_VOLUME]
    sigma = context[SIGMA_BPS]
    spread = context[SPREAD_BPS]
    room = context[LIMIT_ROOM_BPS]
    horizon_days = base[BASE_MINUTES] / context[SESSION_MINUTES]
    wander = max(sigma * math.sqrt(horizon_days), 1e-9)
    reach = 2.0 * _ndtr(-abs(room) / wander) if abs(room) < 40.0 * wander else 0.0
    completion = base[BASE_COMPLETION]
    if room < 0.0:
        waits = 1.0 - reach
        completion *= reach
        if rests == 0 or reach < 1e-3:
            mask |= MASK_PRICE_LIMIT
    else:
        waits = 0.5 * reach
        completion *= 1.0 - reach
    kept = 1.0 - waits

    permanent = 0.5 * context[PERMANENT_GAMMA] * size_days * context[TURNOVER_FACTOR]
    per_spread = base[BASE_SPREAD]
    per_sigma = base[BASE_SIGMA]
    learned_spread = base[BASE_LEARNED_SPREAD]
    learned_sigma = base[BASE_LEARNED_SIGMA]
    per_deviation = base[BASE_DEVIATION]
    mean_days = base[BASE_TIME]
    unfilled = base[BASE_UNFILLED]
    if waits > 0.0:
        swept = _swept((waits + kept * unfilled) * size_days, context)
        cleaned = 0.5 * context[CLEANUP_HALF_SPREADS]
        whole_spread = kept * (per_spread + learned_spread) + waits * max(per_spread + learned_spread, cleaned)
        whole_sigma = kept * (per_sigma + learned_sigma) + waits * max(per_sigma + learned_sigma, swept)
        per_spread = kept * per_spread + waits * max(per_spread, cleaned)
        per_sigma = kept * per_sigma + waits * max(per_sigma, swept)
        learned_spread = whole_spread - per_spread
        learned_sigma = whole_sigma - per_sigma
        per_deviation = kept * per_deviation + waits * max(per_deviation, math.sqrt(horizon_days))
        mean_days = kept * mean_days + waits * horizon_days
        unfilled = kept * unfilled + waits
    per_sigma += permanent
    dark_per_spread = kept * base[BASE_DARK_SPREAD]
    dark_per_sigma = kept * base[BASE_DARK_SIGMA]
    dark = kept * base[BASE_DARK]
    passive = kept * base[BASE_PASSIVE]
    fees = dark * context[DARK_FEE_BPS] + passive * context[MAKER_FEE_BPS]
    fees += (1.0 - dark - passive) * context[TAKER_FEE_BPS]
    correction = spread * learned_spread + sigma * learned_sigma
    cost = spread * (per_spread + dark_per_spread) + sigma * (per_sigma + dark_per_sigma) + correction + fees
    deviation = sigma * per_deviation
    if room >= 0.0 and rests == 0 and 0.5 * spread + 0.5 * sigma * (per_sigma + learned_sigma) > room:
        mask |= MASK_PRICE_LIMIT
    if completion < context[MIN_COMPLETION]:
        mask |= MASK_COMPLETION

    alpha = context[ALPHA_BPS_PER_DAY] * mean_days
    time = context[TIME_PRICE] * mean_days
    utility = cost + context[RISK_AVERSION] * deviation + alpha + time
    if not math.isfinite(utility):
        mask |= MASK_NOT_FINITE

    # Adding 0 turns a negative zero (a saving of nothing) into a plain one.
    row[UTILITY] = utility + 0.0
    row[COST] = cost + 0.0
    row[DEVIATION_BPS] = deviation
    row[SPREAD_COST] = spread * per_spread + 0.0
    row[IMPACT_COST] = sigma * per_sigma + 0.0
    row[FEES] = fees + 0.0
    row[DARK_SAVING] = spread * dark_per_spread + sigma * dark_per_sigma + 0.0
    row[ALPHA_COST] = alpha + 0.0
    row[TIME_COST] = time
    row[HORIZON_MINUTES] = base[BASE_MINUTES]
    row[MEAN_MINUTES] = mean_days * context[SESSION_MINUTES]
    row[COMPLETION_PROBABILITY] = completion
    row[UNFILLED] = unfilled
    row[PARTICIPATION] = base[BASE_PARTICIPATION]
    row[PEAK_PARTICIPATION] = base[BASE_PEAK]
    row[DARK_FILLED] = dark
    row[PASSIVE_FILLED] = passive
    row[UTILITY_PER_SPREAD] = per_spread + dark_per_spread + learned_spread
    row[UTILITY_PER_SIGMA] = per_sigma + dark_per_sigma + learned_sigma + context[RISK_AVERSION] * per_deviation
    row[CORRECTION] = correction + 0.0
    row[CORRECTION_IMPACT] = sigma * learned_sigma + 0.0
    return mask


@njit(cache=True)
def _price_prepared(
    values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, context, windows, places, masks,
    only_allowed, bases, metrics, mask
):
    """Prices all candidates that `_prepare` did not rule out; the others get an empty row and an infinite utility."""
    coefficient = np.empty(values.shape[5])
    for n in range(shape.shape[0]):
        mask[n] = masks[n]
        if masks[n] & MASK_UNPRICED:
            metrics[n, :] = 0.0
            metrics[n, UTILITY] = np.inf
            continue
        mask[n] = _base_one(
            values, axis_p, axis_t, weights, shape[n], rule[n], numbers[n], cumulative, context, windows[n],
            places[n], masks[n], only_allowed, coefficient, bases[n]
        )
        if only_allowed and mask[n] != 0:
            metrics[n, UTILITY] = np.inf
            continue
        mask[n] = _row_one(bases[n], rests[n], context, mask[n], metrics[n])
        metrics[n, STRUCTURAL_UTILITY] = metrics[n, UTILITY]


@njit(cache=True)
def price(
    values, axis_p, axis_t, axis_s, weights, algorithm, shape, rule, pace, rests, numbers, cumulative, context, metrics,
    mask
):
    """Prices all candidates by the surfaces: fills `metrics` (n, METRICS) and `mask` (n,)."""
    count = algorithm.shape[0]
    bases = np.zeros((count, BASES))
    windows = np.zeros((count, 3))
    price_bases(
        values, axis_p, axis_t, axis_s, weights, algorithm, shape, rule, pace, rests, numbers, cumulative, context,
        windows, bases, metrics, mask
    )


@njit(cache=True)
def price_bases(
    values, axis_p, axis_t, axis_s, weights, algorithm, shape, rule, pace, rests, numbers, cumulative, context, windows,
    bases, metrics, mask
):
    """The same, with every candidate's window (n, 3) and base (n, BASES): what training starts from."""
    count = algorithm.shape[0]
    places = np.empty((count, 4))
    masks = np.empty(count, dtype=np.int64)
    _prepare(axis_t, axis_s, rule, pace, numbers, cumulative, context, windows, places, masks)
    _price_prepared(
        values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, context, windows, places, masks,
        False, bases, metrics, mask
    )


@njit(cache=True)
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


@njit(cache=True)
def _crossing(slope_own, gap, slope, direction):
    """How far along `direction` a line that lies `gap` above ours comes down to it; infinite if it never does."""
    closing = (slope_own - slope) * direction
    if closing <= 1e-15:
        return np.inf
    return max(gap, 0.0) / closing


@njit(cache=True)
def _flip_towards(algorithm, metrics, mask, best, column, direction):
    """(distance, candidate) of the nearest change of algorithm along one direction; (inf, -1) if there is none.

    Walks along the least of the own algorithm's lines, since another parameter of the same algorithm is no change,
    until a line of another algorithm lies below it by one unit of a tie.
    """
    own = best
    for n in range(algorithm.shape[0]):
        if mask[n] == 0 and algorithm[n] == algorithm[best] and metrics[n, UTILITY] < metrics[own, UTILITY]:
            own = n
    travelled = 0.0
    for _ in range(algorithm.shape[0]):
        slope_own = metrics[own, column]
        level = metrics[own, UTILITY] + direction * travelled * slope_own
        nearest_own, next_own = np.inf, -1
        nearest_other = np.inf
        for n in range(algorithm.shape[0]):
            if mask[n] != 0 or n == own:
                continue
            gap = metrics[n, UTILITY] + direction * travelled * metrics[n, column] - level
            if algorithm[n] == algorithm[best]:
                ahead = _crossing(slope_own, gap, metrics[n, column], direction)
                # Of lines that cross at once the one that falls most is the least from there on.
                steeper = ahead == nearest_own and next_own >= 0 and (
                    metrics[n, column] * direction < metrics[next_own, column] * direction
                )
                if ahead < nearest_own or steeper:
                    nearest_own, next_own = ahead, n
            else:
                nearest_other = min(nearest_other, _crossing(slope_own, gap + TIE_BPS, metrics[n, column], direction))
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
    for n in range(algorithm.shape[0]):
        if mask[n] != 0 or algorithm[n] == algorithm[best]:
            continue
        utility = np.round((metrics[n, UTILITY] + direction * travelled * metrics[n, column]) * 1e4)
        if utility < least:
            first, least = n, utility
    return travelled, first


@njit(cache=True)
def flip(algorithm, metrics, mask, best, slope_column, current, out):
    """Nearest values of one input, below and above, beyond which another algorithm would be chosen.

    Utilities are straight lines in spread, volatility and alpha, so crossings are exact; masks are taken as they are.
    out: [value below or nan, candidate, value above or nan, candidate].
    """
    for side in range(2):
        direction = 1.0 if side == 1 else -1.0
        distance, candidate = _flip_towards(algorithm, metrics, mask, best, slope_column, direction)
        out[2 * side] = current + direction * distance if candidate >= 0 else np.nan
        out[2 * side + 1] = candidate


@njit(cache=True)
def _keep_best(algorithm, utilities, mask, most, least):
    """Leaves the best `most` allowed candidates by `utilities` (n,), and at least the best `least[a]` of every
    algorithm; the others get MASK_PRUNED. Returns how many are left."""
    count = algorithm.shape[0]
    kept = np.zeros(count, dtype=np.bool_)
    own = np.zeros(least.shape[0], dtype=np.int64)
    ranked = _ranked(utilities, mask)
    left = 0
    for n in ranked:
        if own[algorithm[n]] < least[algorithm[n]]:
            own[algorithm[n]] += 1
            kept[n] = True
            left += 1
    for n in ranked:
        if left >= most:
            break
        if not kept[n]:
            kept[n] = True
            left += 1
    for n in range(count):
        if mask[n] == 0 and not kept[n]:
            mask[n] = MASK_PRUNED
    return left


@njit(cache=True)
def _head(trees, group, head, features):
    return score_head(trees[0], trees[1], trees[2], trees[3], group, head, features)


@njit(cache=True)
def _learned_base(scores, rule, numbers, context, window, base):
    """Replaces what the ranking heads (scores (RANKING,) float32) know in a base; what they add to spread and sigma
    stands apart there."""
    scales = np.empty(RANKING)
    fill_scales(rule, numbers, context, window, scales)
    # Dark savings stay as they were split; the head speaks of the sum.
    spread = base[BASE_SPREAD] + base[BASE_DARK_SPREAD]
    sigma = base[BASE_SIGMA] + base[BASE_DARK_SIGMA]
    learned_spread = STRUCTURAL_PART * spread + scales[0] * scores[HEAD_SPREAD]
    learned_sigma = STRUCTURAL_PART * sigma + scales[1] * scores[HEAD_SIGMA]
    deviation = STRUCTURAL_PART * base[BASE_DEVIATION]
    deviation += scales[2] * scores[HEAD_DEVIATION]
    days = STRUCTURAL_PART * base[BASE_TIME] + scales[3] * scores[HEAD_TIME]
    unfilled = STRUCTURAL_PART * base[BASE_UNFILLED] + scales[4] * scores[HEAD_UNFILLED]
    learned_spread = max(learned_spread, 0.0)
    base[BASE_LEARNED_SPREAD] = learned_spread - spread
    base[BASE_LEARNED_SIGMA] = learned_sigma - sigma
    base[BASE_DEVIATION] = max(deviation, 1e-3 * scales[2])
    base[BASE_TIME] = min(max(days, 0.0), scales[3])
    base[BASE_UNFILLED] = min(max(unfilled, 0.0), 1.0)


@njit(cache=True)
def _score_roughly(
    trees, algorithm, rule, rests, numbers, cumulative, context, weights, windows, bases, features, mask, rough,
    utilities
):
    """What the first trees say of every allowed candidate: rough (n, 4) float32, and the utilities (n,) that
    follow. The bases stay as they are. What is left unfilled is not asked for: it moves no utility."""
    base = np.empty(BASES)
    row = np.empty(METRICS)
    scores = np.zeros(RANKING, dtype=np.float32)
    for n in range(algorithm.shape[0]):
        if mask[n] != 0:
            continue
        group = algorithm[n]
        fill_features(rule[n], numbers[n], cumulative, context, weights, windows[n], features[n])
        for head in range(HEAD_UNFILLED):
            rough[n, head] = first_trees(trees[0], trees[1], trees[2], group, head, features[n], ROUGH_TREES)
            scores[head] = rough[n, head] + trees[3][group, head]
        base[:] = bases[n]
        _learned_base(scores, rule[n], numbers[n], context, windows[n], base)
        base[BASE_UNFILLED] = bases[n, BASE_UNFILLED]
        _row_one(base, rests[n], context, 0, row)
        utilities[n] = row[UTILITY]


@njit(cache=True)
def _score(
    trees, describing, algorithm, rule, rests, numbers, context, windows, masks, bases, features, rough, metrics, mask
):
    """The models' word on every candidate that is left (mask 0): base, row and mask anew."""
    scores = np.empty(RANKING, dtype=np.float32)
    for n in range(algorithm.shape[0]):
        if mask[n] != 0:
            continue
        group = algorithm[n]
        for head in range(HEAD_UNFILLED):
            scores[head] = rest_of_head(
                trees[0], trees[1], trees[2], trees[3], group, head, features[n], ROUGH_TREES, rough[n, head]
            )
        scores[HEAD_UNFILLED] = _head(trees, group, HEAD_UNFILLED, features[n])
        _learned_base(scores, rule[n], numbers[n], context, windows[n], bases[n])
        if context[MIN_COMPLETION] > 0.0 or context[LIMIT_ROOM_BPS] < NO_LIMIT_BPS:
            bases[n, BASE_COMPLETION] = completion_of(describing, group, features[n])
        mask[n] = _row_one(bases[n], rests[n], context, masks[n], metrics[n])


@njit(cache=True)
def completion_of(describing, group, features):
    """The describing head's word on completion, as it comes. The map that calibrates it rises, so that the caller can
    turn what is asked for (MIN_COMPLETION) into this head's own figure."""
    return min(max(float(_head(describing, group, HEAD_COMPLETION, features)), 0.0), 1.0)


@njit(cache=True)
def _choose_learned(
    trees, describing, algorithm, rule, rests, numbers, cumulative, context, weights, windows, masks, bases, features,
    metrics, mask, best_of_algorithm, most, least
):
    """Prunes by the first trees, scores what is left, chooses. Where the models mask all that, the rest is scored."""
    rough = np.empty((algorithm.shape[0], HEAD_UNFILLED), dtype=np.float32)
    utilities = np.empty(algorithm.shape[0])
    _score_roughly(
        trees, algorithm, rule, rests, numbers, cumulative, context, weights, windows, bases, features, mask, rough,
        utilities
    )
    if _keep_best(algorithm, utilities, mask, most, least) == 0:
        return choose(algorithm, metrics, mask, best_of_algorithm)
    _score(
        trees, describing, algorithm, rule, rests, numbers, context, windows, masks, bases, features, rough, metrics,
        mask
    )
    best = choose(algorithm, metrics, mask, best_of_algorithm)
    if best >= 0:
        return best
    for n in range(algorithm.shape[0]):
        # Those scored above have bits of their own now; only the pruned come back.
        if mask[n] == MASK_PRUNED:
            mask[n] = 0
    _score(
        trees, describing, algorithm, rule, rests, numbers, context, windows, masks, bases, features, rough, metrics,
        mask
    )
    return choose(algorithm, metrics, mask, best_of_algorithm)


@njit(cache=True)
def _choose_at_sizes(
    values, axis_p, axis_t, trees, describing, algorithm, shape, rule, rests, numbers, cumulative, context, weights,
    windows, places, masks, bases, keep, sizes
):
    """The best candidate at other multiples of the quantity, into column 1 of `sizes`."""
    candidates = algorithm.shape[0]
    other = context.copy()
    metrics = np.empty((candidates, METRICS))
    no_least = np.zeros(keep.shape[0] - 2, dtype=np.int64)
    mask = np.empty(candidates, dtype=np.int64)
    bests = np.empty(keep.shape[0] - 2, dtype=np.int64)
    seen = np.empty((candidates, FEATURES), dtype=np.float32)
    for size in range(sizes.shape[0]):
        other[QUANTITY] = context[QUANTITY] * sizes[size, 0]
        other[MIN_COMPLETION] = 0.0 if keep[1] > 0 else context[MIN_COMPLETION]
        _price_prepared(
            values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, other, windows, places, masks,
            True, bases, metrics, mask
        )
        if keep[1] > 0:
            other[MIN_COMPLETION] = context[MIN_COMPLETION]
            sizes[size, 1] = _choose_learned(
                trees, describing, algorithm, rule, rests, numbers, cumulative, other, weights, windows, masks, bases,
                seen, metrics, mask, bests, keep[1], no_least
            )
        else:
            sizes[size, 1] = choose(algorithm, metrics, mask, bests)


@njit(cache=True)
def decide(
    values, axis_p, axis_t, axis_s, weights, algorithm, shape, rule, pace, rests, numbers, cumulative, context, trees,
    describing, keep, metrics, mask, best_of_algorithm, hull, flips, sizes, features
):
    """Everything numeric of a decision in one call.

    trees, describing: the models' arrays (engine/scoring/trees.py). keep (2 + algorithms,): candidates that all trees
    score, for the order and for another size of it (0 leaves the decision to the surfaces), and how many at least of
    every algorithm. metrics (n, METRICS), mask (n,),
    best_of_algorithm (algorithms,), hull (up to its length), flips (3, 4) for spread, sigma and alpha, sizes (k, 2):
    column 0 holds multiples of the quantity, column 1 gets the best candidate there, features (n, FEATURES) float32 of
    what was scored. Returns (best, length of hull, best by the surfaces); best is -1 where every candidate is masked.
    """
    candidates = algorithm.shape[0]
    windows = np.zeros((candidates, 3))
    places = np.empty((candidates, 4))
    masks = np.empty(candidates, dtype=np.int64)
    bases = np.zeros((candidates, BASES))
    _prepare(axis_t, axis_s, rule, pace, numbers, cumulative, context, windows, places, masks)
    other = context.copy()
    if keep[0] > 0:
        # How likely an order completes is for the models to say.
        other[MIN_COMPLETION] = 0.0
    _price_prepared(
        values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, other, windows, places, masks,
        False, bases, metrics, mask
    )
    structural = choose(algorithm, metrics, mask, best_of_algorithm)
    best = structural
    if keep[0] > 0:
        best = _choose_learned(
            trees, describing, algorithm, rule, rests, numbers, cumulative, context, weights, windows, masks, bases,
            features, metrics, mask, best_of_algorithm, keep[0], keep[2:]
        )
    if best < 0:
        return best, 0, structural
    count = frontier(metrics, mask, hull)
    flip(algorithm, metrics, mask, best, UTILITY_PER_SPREAD, context[SPREAD_BPS], flips[0])
    flip(algorithm, metrics, mask, best, UTILITY_PER_SIGMA, context[SIGMA_BPS], flips[1])
    flip(algorithm, metrics, mask, best, MEAN_MINUTES, context[ALPHA_BPS_PER_DAY] / context[SESSION_MINUTES], flips[2])
    if sizes.shape[0] > 0:
        if keep[0] > 0:
            # What the surfaces ruled out at this size is not looked at again at another.
            for n in range(candidates):
                if mask[n] & MASK_PRUNED:
                    masks[n] |= MASK_ELSEWHERE
        _choose_at_sizes(
            values, axis_p, axis_t, trees, describing, algorithm, shape, rule, rests, numbers, cumulative, context,
            weights, windows, places, masks, bases, keep, sizes
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
