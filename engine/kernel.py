"""The decision as one compiled call over arrays: price every candidate, mask, choose, rank, find the frontier.

No fast-math, no threads, no allocation beyond the result arrays, so the same inputs give the same bytes on the same
CPU baseline. Everything the call needs lies in arrays that the snapshot holds ready; `context` is one short vector.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Positions in the context vector.
(
    QUANTITY, DAILY_VOLUME, SIGMA_BPS, SPREAD_BPS, START_MINUTE, AVAILABLE_MINUTES, SESSION_MINUTES, MINUTES_TO_CLOSE,
    AUCTION_SHARE, DARK_SHARE, TAKER_FEE_BPS, MAKER_FEE_BPS, DARK_FEE_BPS, RISK_AVERSION, TIME_PRICE, ALPHA_BPS_PER_DAY,
    MAX_PARTICIPATION, LIMIT_ROOM_BPS, MIN_COMPLETION, DARK_REQUIRED, TURNOVER_FACTOR, VOLUME_NOISE, VOLUME_FORECAST,
    TEMPORARY_ETA, TEMPORARY_EXPONENT, TRANSIENT_Y, CLEANUP_DAYS, CLEANUP_HALF_SPREADS, PERMANENT_GAMMA, CARRY_OVER,
) = range(30)
CONTEXT_LENGTH = 30

# Columns of the metrics.
(
    UTILITY, COST, DEVIATION_BPS, SPREAD_COST, IMPACT_COST, FEES, DARK_SAVING, ALPHA_COST, TIME_COST, HORIZON_MINUTES,
    MEAN_MINUTES, COMPLETION_PROBABILITY, UNFILLED, PARTICIPATION, PEAK_PARTICIPATION, DARK_FILLED, PASSIVE_FILLED,
    UTILITY_PER_SPREAD, UTILITY_PER_SIGMA,
) = range(19)
METRICS = 19

# Bits of the mask: why a candidate may not be chosen.
MASK_DUPLICATE = 1  # a shorter duration already fills the time there is
MASK_PARTICIPATION = 2
MASK_NO_DARK_VENUE = 4
MASK_DARK_REQUIRED = 8
MASK_PRICE_LIMIT = 16
MASK_COMPLETION = 32
MASK_NO_CLOSE = 64  # no auction, or the time limit ends before it
MASK_NOT_FINITE = 128
# These are not worth pricing: they are no choice at all here.
MASK_UNPRICED = MASK_DUPLICATE | MASK_NO_DARK_VENUE | MASK_NO_CLOSE

# Columns of a surface (engine/pricing.py, OUTPUTS): a constant, so that the compiler can unroll the loops.
COLUMNS = 10
# The powers in which surfaces are interpolated; see _locate.
PARTICIPATION_POWER = 0.6
HORIZON_POWER = 0.5
POOL_POWER = -0.5

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
def _price_one(
    values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, context, window, place, mask,
    only_allowed, coefficient, row
):
    """Fills one row of the metrics; returns the candidate's mask. `only_allowed` leaves masked rows unfinished."""
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

    # A price limit may be crossed: then the rest waits, and is charged at the horizon like any remainder.
    sigma = context[SIGMA_BPS]
    spread = context[SPREAD_BPS]
    room = context[LIMIT_ROOM_BPS]
    wander = max(sigma * math.sqrt(horizon_days), 1e-9)
    reach = 2.0 * _ndtr(-abs(room) / wander) if abs(room) < 40.0 * wander else 0.0
    if room < 0.0:
        short = 1.0 - (1.0 - short) * reach
        done *= reach
        if rests == 0 or reach < 1e-3:
            mask |= MASK_PRICE_LIMIT
    else:
        short = short + (1.0 - short) * 0.5 * reach
        done *= 1.0 - reach
    filled = 1.0 - short

    # Cost by cause, bps. What is left over is swept at the horizon, and that is never cheaper than what was done
    # before it: it pays the displacement too. Without this a larger order could cost less by failing.
    left = short * size_days
    swept_sigma = 0.0
    if left > 0.0:
        swept_sigma = context[TEMPORARY_ETA] * (left / context[CLEANUP_DAYS]) ** context[TEMPORARY_EXPONENT]
        swept_sigma += context[TRANSIENT_Y] * math.sqrt(left)
    permanent = 0.5 * context[PERMANENT_GAMMA] * size_days * context[TURNOVER_FACTOR]
    per_spread = filled * coefficient[0] + short * max(coefficient[0], 0.5 * context[CLEANUP_HALF_SPREADS])
    per_sigma = filled * coefficient[1] + short * max(coefficient[1], swept_sigma) + permanent
    dark_per_spread = filled * coefficient[8]
    dark_per_sigma = filled * coefficient[9]
    dark = filled * coefficient[6]
    passive = filled * coefficient[7]
    fees = dark * context[DARK_FEE_BPS] + passive * context[MAKER_FEE_BPS]
    fees += (1.0 - dark - passive) * context[TAKER_FEE_BPS]
    cost = spread * (per_spread + dark_per_spread) + sigma * (per_sigma + dark_per_sigma) + fees
    per_deviation = filled * coefficient[2] + short * max(coefficient[2], math.sqrt(horizon_days))
    deviation = sigma * per_deviation
    mean_days = horizon_days * (filled * coefficient[3] + short)
    completion = coefficient[5] * done
    if room >= 0.0 and rests == 0 and 0.5 * spread + 0.5 * sigma * per_sigma > room:
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
    row[HORIZON_MINUTES] = minutes
    row[MEAN_MINUTES] = mean_days * context[SESSION_MINUTES]
    row[COMPLETION_PROBABILITY] = completion
    row[UNFILLED] = short + filled * coefficient[4]
    row[PARTICIPATION] = participation
    row[PEAK_PARTICIPATION] = peak
    row[DARK_FILLED] = dark
    row[PASSIVE_FILLED] = passive
    row[UTILITY_PER_SPREAD] = per_spread + dark_per_spread
    row[UTILITY_PER_SIGMA] = per_sigma + dark_per_sigma + context[RISK_AVERSION] * per_deviation
    return mask


@njit(cache=True)
def _price_prepared(
    values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, context, windows, places, masks,
    only_allowed, metrics, mask
):
    """Prices all candidates that `_prepare` did not rule out; the others get an empty row and an infinite utility."""
    coefficient = np.empty(values.shape[5])
    for n in range(shape.shape[0]):
        mask[n] = masks[n]
        if masks[n] & MASK_UNPRICED:
            metrics[n, :] = 0.0
            metrics[n, UTILITY] = np.inf
            continue
        mask[n] = _price_one(
            values, axis_p, axis_t, weights, shape[n], rule[n], rests[n], numbers[n], cumulative, context, windows[n],
            places[n], masks[n], only_allowed, coefficient, metrics[n]
        )


@njit(cache=True)
def price(
    values, axis_p, axis_t, axis_s, weights, algorithm, shape, rule, pace, rests, numbers, cumulative, context, metrics,
    mask
):
    """Prices all candidates: fills `metrics` (n, METRICS) and `mask` (n,)."""
    count = algorithm.shape[0]
    windows = np.empty((count, 3))
    places = np.empty((count, 4))
    masks = np.empty(count, dtype=np.int64)
    _prepare(axis_t, axis_s, rule, pace, numbers, cumulative, context, windows, places, masks)
    _price_prepared(
        values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, context, windows, places, masks,
        False, metrics, mask
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
def frontier(metrics, mask, out):
    """Lower hull of (variance, cost) over the allowed candidates, by rising variance; returns how many were written.

    The hull ends at the least cost: beyond it more variance buys nothing.
    """
    order = np.argsort(metrics[:, DEVIATION_BPS], kind="mergesort")
    count = 0
    for position in range(order.shape[0]):
        n = order[position]
        if mask[n] != 0:
            continue
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
def decide(
    values, axis_p, axis_t, axis_s, weights, algorithm, shape, rule, pace, rests, numbers, cumulative, context, metrics,
    mask, best_of_algorithm, hull, flips, sizes
):
    """Everything numeric of a decision in one call.

    metrics (n, METRICS), mask (n,), best_of_algorithm (algorithms,), hull (up to its length), flips (3, 4) for spread,
    sigma and alpha, sizes (k, 2): column 0 holds multiples of the quantity, column 1 gets the best candidate there.
    Returns (best, length of hull); best is -1 where every candidate is masked.
    """
    candidates = algorithm.shape[0]
    windows = np.empty((candidates, 3))
    places = np.empty((candidates, 4))
    masks = np.empty(candidates, dtype=np.int64)
    _prepare(axis_t, axis_s, rule, pace, numbers, cumulative, context, windows, places, masks)
    _price_prepared(
        values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, context, windows, places, masks,
        False, metrics, mask
    )
    best = choose(algorithm, metrics, mask, best_of_algorithm)
    if best < 0:
        return best, 0
    count = frontier(metrics, mask, hull)
    flip(algorithm, metrics, mask, best, UTILITY_PER_SPREAD, context[SPREAD_BPS], flips[0])
    flip(algorithm, metrics, mask, best, UTILITY_PER_SIGMA, context[SIGMA_BPS], flips[1])
    flip(algorithm, metrics, mask, best, MEAN_MINUTES, context[ALPHA_BPS_PER_DAY] / context[SESSION_MINUTES], flips[2])
    if sizes.shape[0] > 0:
        other = context.copy()
        scratch = np.empty_like(metrics)
        found = np.empty_like(mask)
        bests = np.empty_like(best_of_algorithm)
        for size in range(sizes.shape[0]):
            other[QUANTITY] = context[QUANTITY] * sizes[size, 0]
            _price_prepared(
                values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, other, windows, places, masks,
                True, scratch, found
            )
            sizes[size, 1] = choose(algorithm, scratch, found, bests)
    return best, count


def empty_results(candidates: int, algorithms: int, sizes: NDArray[np.float64]) -> tuple[
    NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64],
    NDArray[np.float64],
]:
    """Result arrays for `decide`: metrics, mask, best_of_algorithm, hull, flips, sizes."""
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
    )
