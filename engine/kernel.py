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
    TEMPORARY_ETA, TEMPORARY_EXPONENT, TRANSIENT_Y, CLEANUP_DAYS, CLEANUP_HALF_SPREADS, PERMANENT_GAMMA,
) = range(29)
CONTEXT_LENGTH = 29

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

_INV_SQRT2 = 0.7071067811865476


@njit(cache=True)
def _ndtr(x):  # type: ignore[no-untyped-def]
    return 0.5 * math.erfc(-x * _INV_SQRT2)


@njit(cache=True)
def _locate(axis, x):  # type: ignore[no-untyped-def]
    """(lower index, weight of the upper neighbour), clamped to the axis."""
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
    return low, (x - axis[low]) / (axis[low + 1] - axis[low])


@njit(cache=True)
def interpolate(values, axis_p, axis_t, axis_s, weights, shape, log_p, log_t, log_s, out):  # type: ignore[no-untyped-def]
    """Adds up the columns of one shape at one point over the conditions' weights into `out`."""
    outputs = out.shape[0]
    i, fi = _locate(axis_p, log_p)
    j, fj = _locate(axis_t, log_t)
    k, fk = _locate(axis_s, log_s)
    for column in range(outputs):
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
            cell = values[condition, shape, i + a, j + b, k + c]
            for column in range(outputs):
                out[column] += share * cell[column]


@njit(cache=True)
def _volume_between(cumulative, start, end):  # type: ignore[no-untyped-def]
    """Share of daily volume between two minutes of the session; `cumulative` has one entry a minute, from 0."""
    last = cumulative.shape[0] - 1
    first = min(max(start, 0.0), last)
    second = min(max(end, 0.0), last)
    a = min(int(first), last - 1)
    b = min(int(second), last - 1)
    low = cumulative[a] + (first - a) * (cumulative[a + 1] - cumulative[a])
    high = cumulative[b] + (second - b) * (cumulative[b + 1] - cumulative[b])
    return high - low


@njit(cache=True)
def _minutes_for(cumulative, start, available, share):  # type: ignore[no-untyped-def]
    """Minutes from `start` until `share` of daily volume has traded; more than `available` if it never does."""
    if _volume_between(cumulative, start, start + available) < share:
        return available * 2.0
    low = 0.0
    high = available
    for _ in range(40):
        middle = 0.5 * (low + high)
        if _volume_between(cumulative, start, start + middle) < share:
            low = middle
        else:
            high = middle
    return high


@njit(cache=True)
def _slowest_minute(cumulative, start, minutes):  # type: ignore[no-untyped-def]
    """Least share of daily volume in any minute of the window: where a clock schedule participates most."""
    last = cumulative.shape[0] - 1
    first = min(int(start), last - 1)
    end = min(int(math.ceil(start + minutes)), last)
    least = cumulative[first + 1] - cumulative[first]
    for minute in range(first + 1, end):
        least = min(least, cumulative[minute + 1] - cumulative[minute])
    return least


@njit(cache=True)
def _price_one(values, axis_p, axis_t, axis_s, weights, algorithm, shape, rule, pace, rests, numbers, cumulative,
               context, coefficient, row):  # type: ignore[no-untyped-def]
    """Fills one row of the metrics; returns the candidate's mask."""
    mask = 0
    quantity = context[QUANTITY]
    daily_volume = context[DAILY_VOLUME]
    size_days = quantity / daily_volume
    available = context[AVAILABLE_MINUTES]
    start = context[START_MINUTE]
    limit = context[MAX_PARTICIPATION]
    pool = context[DARK_SHARE]
    continuous = quantity
    capacity = 0.0

    # Horizon and participation.
    if rule == 0:
        if numbers[1] >= available - 1e-9:
            mask |= MASK_DUPLICATE
        minutes = min(numbers[0], available)
    elif rule == 1:
        needed = _minutes_for(cumulative, start, available, size_days / numbers[2])
        minutes = min(max(needed, 1.0), available)
    else:
        minutes = available
        pool = context[AUCTION_SHARE]
        continuous = quantity * (1.0 - numbers[4])
        if pool <= 0.0 or available < context[MINUTES_TO_CLOSE] - 1e-6:
            mask |= MASK_NO_CLOSE
            pool = 0.02
    window = max(_volume_between(cumulative, start, start + minutes), 1e-9)
    participation = size_days / window
    if rule == 1:
        capacity = numbers[2] * window / size_days
        participation = min(participation, numbers[2])
        peak = participation
    else:
        pace_factor = 1.0
        if pace == 0 and minutes > 1.0:
            slowest = max(_slowest_minute(cumulative, start, minutes), 1e-12)
            pace_factor = window / minutes / slowest
        peak = continuous / quantity * participation * numbers[5] * max(pace_factor, 1.0)
        capacity = limit / max(peak, 1e-12)
        if rule == 2:
            peak = max(peak, quantity * numbers[4] / max(pool * daily_volume, 1e-9))
    if peak > limit * (1.0 + 1e-9):
        mask |= MASK_PARTICIPATION
    if numbers[3] > 0.0 and context[DARK_SHARE] <= 0.0:
        mask |= MASK_NO_DARK_VENUE
    if context[DARK_REQUIRED] > 0.0 and numbers[3] <= 0.0:
        mask |= MASK_DARK_REQUIRED

    if mask & (MASK_DUPLICATE | MASK_NO_DARK_VENUE | MASK_NO_CLOSE):
        row[:] = 0.0
        row[UTILITY] = np.inf
        return mask
    horizon_days = minutes / context[SESSION_MINUTES]
    interpolate(values, axis_p, axis_t, axis_s, weights, shape, math.log(max(participation, 1e-12)),
                math.log(horizon_days), math.log(max(pool, 1e-6)), coefficient)

    # What the volume's own noise leaves undone: E[(1 - kW)+] of a lognormal W with mean 1 (Black-Scholes's put).
    noise = math.sqrt(context[VOLUME_FORECAST] ** 2 + context[VOLUME_NOISE] ** 2 / (1.0 + minutes / 15.0))
    d1 = math.log(max(capacity, 1e-12)) / noise + 0.5 * noise
    short = max(_ndtr(noise - d1) - capacity * _ndtr(-d1), 0.0)
    done = _ndtr(d1 - noise)

    # A price limit may be crossed: then the rest waits, and is charged at the horizon like any remainder.
    sigma = context[SIGMA_BPS]
    spread = context[SPREAD_BPS]
    room = context[LIMIT_ROOM_BPS]
    wander = max(sigma * math.sqrt(horizon_days), 1e-9)
    reach = 2.0 * _ndtr(-abs(room) / wander)
    if room < 0.0:
        short = 1.0 - (1.0 - short) * reach
        done *= reach
        if rests == 0 or reach < 1e-3:
            mask |= MASK_PRICE_LIMIT
    else:
        short = short + (1.0 - short) * 0.5 * reach
        done *= 1.0 - reach
    filled = 1.0 - short

    # Cost by cause, bps.
    temporary = context[TEMPORARY_ETA]
    left = short * size_days
    swept_sigma = temporary * (left / context[CLEANUP_DAYS]) ** context[TEMPORARY_EXPONENT]
    swept_sigma = short * (swept_sigma + context[TRANSIENT_Y] * math.sqrt(left))
    swept_spread = short * 0.5 * context[CLEANUP_HALF_SPREADS]
    permanent = 0.5 * context[PERMANENT_GAMMA] * size_days * context[TURNOVER_FACTOR]
    per_spread = filled * coefficient[0] + swept_spread
    per_sigma = filled * coefficient[1] + swept_sigma + permanent
    dark_per_spread = filled * coefficient[8]
    dark_per_sigma = filled * coefficient[9]
    dark = filled * coefficient[6]
    passive = filled * coefficient[7]
    fees = dark * context[DARK_FEE_BPS] + passive * context[MAKER_FEE_BPS]
    fees += (1.0 - dark - passive) * context[TAKER_FEE_BPS]
    cost = spread * (per_spread + dark_per_spread) + sigma * (per_sigma + dark_per_sigma) + fees
    per_deviation = filled * coefficient[2] + short * math.sqrt(horizon_days)
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

    row[UTILITY] = utility
    row[COST] = cost
    row[DEVIATION_BPS] = deviation
    row[SPREAD_COST] = spread * per_spread
    row[IMPACT_COST] = sigma * per_sigma
    row[FEES] = fees
    row[DARK_SAVING] = spread * dark_per_spread + sigma * dark_per_sigma
    row[ALPHA_COST] = alpha
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
def price(values, axis_p, axis_t, axis_s, weights, algorithm, shape, rule, pace, rests, numbers, cumulative, context,
          metrics, mask):  # type: ignore[no-untyped-def]
    """Prices all candidates: fills `metrics` (n, METRICS) and `mask` (n,)."""
    coefficient = np.empty(values.shape[5])
    for n in range(algorithm.shape[0]):
        mask[n] = _price_one(values, axis_p, axis_t, axis_s, weights, algorithm[n], shape[n], rule[n], pace[n],
                             rests[n], numbers[n], cumulative, context, coefficient, metrics[n])


@njit(cache=True)
def choose(algorithm, metrics, mask, best_of_algorithm):  # type: ignore[no-untyped-def]
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
def frontier(metrics, mask, out):  # type: ignore[no-untyped-def]
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
def flip(algorithm, metrics, mask, best, slope_column, current, out):  # type: ignore[no-untyped-def]
    """Nearest values of one input, below and above, at which another algorithm has the least utility.

    Utilities are straight lines in spread, volatility and alpha, so crossings are exact; masks are taken as they are.
    out: [value below or nan, candidate, value above or nan, candidate].
    """
    out[0] = np.nan
    out[1] = -1.0
    out[2] = np.nan
    out[3] = -1.0
    for n in range(algorithm.shape[0]):
        if mask[n] != 0 or algorithm[n] == algorithm[best]:
            continue
        slope = metrics[best, slope_column] - metrics[n, slope_column]
        if abs(slope) < 1e-12:
            continue
        value = current + (metrics[n, UTILITY] - metrics[best, UTILITY]) / slope
        if slope > 0.0 and (math.isnan(out[2]) or value < out[2]):
            out[2] = value
            out[3] = n
        if slope < 0.0 and (math.isnan(out[0]) or value > out[0]):
            out[0] = value
            out[1] = n


@njit(cache=True)
def decide(values, axis_p, axis_t, axis_s, weights, algorithm, shape, rule, pace, rests, numbers, cumulative, context,
           metrics, mask, best_of_algorithm, hull, flips, sizes):  # type: ignore[no-untyped-def]
    """Everything numeric of a decision in one call.

    metrics (n, METRICS), mask (n,), best_of_algorithm (algorithms,), hull (up to its length), flips (3, 4) for spread,
    sigma and alpha, sizes (k, 2): column 0 holds multiples of the quantity, column 1 gets the best candidate there.
    Returns (best, length of hull); best is -1 where every candidate is masked.
    """
    price(values, axis_p, axis_t, axis_s, weights, algorithm, shape, rule, pace, rests, numbers, cumulative, context,
          metrics, mask)
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
        masks = np.empty_like(mask)
        bests = np.empty_like(best_of_algorithm)
        for k in range(sizes.shape[0]):
            other[QUANTITY] = context[QUANTITY] * sizes[k, 0]
            price(values, axis_p, axis_t, axis_s, weights, algorithm, shape, rule, pace, rests, numbers, cumulative,
                  other, scratch, masks)
            sizes[k, 1] = choose(algorithm, scratch, masks, bests)
    return best, count


def empty_results(candidates: int, algorithms: int, sizes: NDArray[np.float64]) -> tuple[
    NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64],
    NDArray[np.float64],
]:
    """Result arrays for `decide`: metrics, mask, best_of_algorithm, hull, flips, sizes."""
    return (
        np.empty((candidates, METRICS)),
        np.empty(candidates, dtype=np.int64),
        np.empty(algorithms, dtype=np.int64),
        np.empty(32, dtype=np.int64),
        np.empty((3, 4)),
        np.column_stack((sizes, np.full(len(sizes), -1.0))),
    )
