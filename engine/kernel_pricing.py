"""From the surfaces to a base for every candidate: one part of the decision call (engine/kernel.py).

What only depends on a candidate's window of time is worked out once a window: some 290 candidates share about 20.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from engine.compiled import clear, copy_into, uncounted
from engine.kernel_limit import ndtr
from engine.kernel_rows import row_one, swept_sigmas
from engine.kernel_surfaces import HORIZON_POWER, PARTICIPATION_POWER, POOL_POWER, blend, locate
from engine.layout import (
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
    CLEANUP_HALF_SPREADS,
    DAILY_VOLUME,
    DARK_REQUIRED,
    DARK_SHARE,
    MASK_DARK_REQUIRED,
    MASK_DUPLICATE,
    MASK_NO_CLOSE,
    MASK_NO_DARK_VENUE,
    MASK_PARTICIPATION,
    MASK_UNPRICED,
    MAX_PARTICIPATION,
    MINUTES_TO_CLOSE,
    QUANTITY,
    SESSION_MINUTES,
    START_MINUTE,
    STRUCTURAL_UTILITY,
    UTILITY,
    VOLUME_FORECAST,
    VOLUME_NOISE,
)


@uncounted
def _volume_until(cumulative, minute):
    """Share of daily volume until a minute of the session; `cumulative` has one entry a minute, from 0."""
    last = cumulative.shape[0] - 1
    at = min(max(minute, 0.0), float(last))
    low = min(int(at), last - 1)
    return cumulative[low] + (at - low) * (cumulative[low + 1] - cumulative[low])


@uncounted
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


@uncounted
def _slowest_minutes(cumulative, start, out):
    """out[m]: least share of daily volume in any minute from that of `start` until minute m + 1 of the session.

    Where a clock schedule participates most.
    """
    least = np.inf
    for minute in range(int(min(start, out.shape[0] - 1.0)), out.shape[0]):
        least = min(least, cumulative[minute + 1] - cumulative[minute])
        out[minute] = least


# What is known of a window (a horizon in minutes), whichever candidate trades in it; the second row also needs a size.
(
    SPAN_MINUTES, SPAN_VOLUME, SPAN_PACE, SPAN_DAYS, SPAN_J, SPAN_FJ, SPAN_NOISE,
    SPAN_PARTICIPATION, SPAN_I, SPAN_FI, SPAN_BEYOND,
) = range(11)
SPANS = 11


@njit(cache=True)
def prepare(
    axis_t, axis_s, rule, pace, numbers, cumulative, context, windows, kinds, spans, pools, masks
):
    """What does not depend on the quantity, for every candidate; returns how many spans there are.

    windows (n, 3): minutes, share of daily volume in them, highest over mean pace of the clock. kinds (n,): a
    candidate's row of spans (n, SPANS). pools (2, 2): where the dark and the auction's share lie on the surfaces' axis.
    masks (n,): what rules a candidate out before it is priced.
    """
    available = context[AVAILABLE_MINUTES]
    before = _volume_until(cumulative, context[START_MINUTE])
    slowest = np.empty(cumulative.shape[0] - 1)
    _slowest_minutes(cumulative, context[START_MINUTE], slowest)
    for which in range(2):
        share = context[AUCTION_SHARE] if which == 1 else context[DARK_SHARE]
        k, fk = locate(axis_s, POOL_POWER, math.log(max(share, 1e-6)))
        pools[which, 0], pools[which, 1] = k, fk
    count = 0
    for n in range(rule.shape[0]):
        mask = 0
        minutes = available
        if rule[n] == 0:
            if numbers[n, 1] >= available - 1e-9:
                mask |= MASK_DUPLICATE
            minutes = min(numbers[n, 0], available)
        elif rule[n] == 2 and (context[AUCTION_SHARE] <= 0.0 or available < context[MINUTES_TO_CLOSE] - 1e-6):
            mask |= MASK_NO_CLOSE
        if numbers[n, 3] > 0.0 and context[DARK_SHARE] <= 0.0:
            mask |= MASK_NO_DARK_VENUE
        if context[DARK_REQUIRED] > 0.0 and numbers[n, 3] <= 0.0:
            mask |= MASK_DARK_REQUIRED
        masks[n] = mask
        if mask & MASK_UNPRICED:
            continue
        kind = 0
        while kind < count and spans[kind, SPAN_MINUTES] != minutes:
            kind += 1
        if kind == count:
            _span(axis_t, cumulative, context, before, slowest, minutes, spans[kind])
            count += 1
        kinds[n] = kind
        windows[n, 0], windows[n, 1] = minutes, spans[kind, SPAN_VOLUME]
        windows[n, 2] = spans[kind, SPAN_PACE] if pace[n] == 0 else 1.0
    return count


@uncounted
def _span(axis_t, cumulative, context, before, slowest, minutes, span):
    """Fills what is known of a window whatever the size. `before`: share of the day's volume until the start."""
    start = context[START_MINUTE]
    window = max(_volume_until(cumulative, start + minutes) - before, 1e-9)
    factor = 1.0
    if minutes > 1.0:
        end = min(math.ceil(start + minutes), slowest.shape[0])
        factor = max(window / minutes / max(slowest[end - 1], 1e-12), 1.0)
    span[SPAN_MINUTES], span[SPAN_VOLUME], span[SPAN_PACE] = minutes, window, factor
    _place_horizon(axis_t, context, minutes, span)
    span[SPAN_NOISE] = math.sqrt(context[VOLUME_FORECAST] ** 2 + context[VOLUME_NOISE] ** 2 / (1.0 + minutes / 15.0))


@uncounted
def size_spans(axis_p, context, spans, count):
    """Fills what a window and the order's size say together."""
    size_days = context[QUANTITY] / context[DAILY_VOLUME]
    for kind in range(count):
        _place_participation(axis_p, size_days / spans[kind, SPAN_VOLUME], spans[kind])


@uncounted
def _place_horizon(axis_t, context, minutes, span):
    """Where a window's length lies on the surfaces' axis."""
    days = minutes / context[SESSION_MINUTES]
    j, fj = locate(axis_t, HORIZON_POWER, math.log(days))
    span[SPAN_DAYS], span[SPAN_J], span[SPAN_FJ] = days, j, fj


@uncounted
def _place_participation(axis_p, participation, span):
    """Where what an order is of the volume lies on the surfaces' axis, and how far beyond its end."""
    log_participation = math.log(max(participation, 1e-12))
    i, fi = locate(axis_p, PARTICIPATION_POWER, log_participation)
    span[SPAN_PARTICIPATION], span[SPAN_I], span[SPAN_FI] = participation, i, fi
    span[SPAN_BEYOND] = log_participation - axis_p[axis_p.shape[0] - 1]


# Inlined, as are its parts that every candidate goes through: the call itself, with a dozen arrays to hand over, cost a
# quarter of the whole.
@njit(cache=True, inline="always")
def _base_one(
    values, axis_p, axis_t, weights, shape, rule, numbers, cumulative, context, pace, span, pools, mask, only_allowed,
    own, coefficient, base
):
    """Fills a candidate's base from the surfaces; returns its mask. `pace`: highest over mean pace of its clock.
    `only_allowed` leaves masked ones unfinished. `own` (SPANS,) and `coefficient` are written on."""
    limit = context[MAX_PARTICIPATION]
    if rule == 1:
        capacity = _span_at_rate(axis_p, axis_t, cumulative, context, span, numbers[2], own)
        span = own
        peak = numbers[2]
        part = context[CARRY_OVER]
        if capacity < 1.0 - 1e-9 and (part <= 0.0 or capacity < part):
            # A schedule of the whole order would break the rate; a part of it, if it is not less, may still be wanted.
            mask |= MASK_PARTICIPATION
    else:
        peak = (1.0 - numbers[4]) * span[SPAN_PARTICIPATION] * numbers[5] * pace
        capacity = limit / max(peak, 1e-12)
        if rule == 2:
            auction_volume = context[AUCTION_SHARE] * context[DAILY_VOLUME]
            peak = max(peak, context[QUANTITY] * numbers[4] / max(auction_volume, 1e-9))
    if peak > limit * (1.0 + 1e-9):
        mask |= MASK_PARTICIPATION
    if only_allowed and mask != 0:
        return mask

    # Shapes that use no pool are the same at every pool share, so that one plane of the surface will do.
    k, fk = 0, 0.0
    if rule == 2:
        k, fk = int(pools[1, 0]), pools[1, 1]
    elif numbers[3] > 0.0:
        k, fk = int(pools[0, 0]), pools[0, 1]
    blend(
        values, weights, shape, int(span[SPAN_I]), span[SPAN_FI], int(span[SPAN_J]), span[SPAN_FJ], k, fk, coefficient
    )
    if span[SPAN_BEYOND] > 0.0:
        # Only what goes into the auction is not bound by the volume until then; its impact is a square root.
        coefficient[1] *= math.exp(0.5 * span[SPAN_BEYOND])
    _fill_base(coefficient, context, span, capacity, peak, base)
    return mask


@uncounted
def _span_at_rate(axis_p, axis_t, cumulative, context, span, rate, own):
    """Fills `own`, the window of a candidate that trades on at its rate until it is done: what counts is the volume of
    all the time there is (`span`). Returns how many times the order that is, at this rate."""
    copy_into(own, span)
    size_days = context[QUANTITY] / context[DAILY_VOLUME]
    capacity = rate * span[SPAN_VOLUME] / size_days
    if capacity > 1.0:
        start = context[START_MINUTE]
        before = _volume_until(cumulative, start)
        done = _minute_at(cumulative, before + size_days / rate)
        minutes = min(max(done - start, 1.0), context[AVAILABLE_MINUTES])
        own[SPAN_MINUTES] = minutes
        own[SPAN_VOLUME] = max(_volume_until(cumulative, start + minutes) - before, 1e-9)
        _place_horizon(axis_t, context, minutes, own)
    _place_participation(axis_p, min(size_days / own[SPAN_VOLUME], rate), own)
    return capacity


@njit(cache=True, inline="always")
def _undone(capacity, noise):
    """(share that the volume's own noise leaves undone, probability that it leaves nothing) where the volume expected
    is `capacity` times what is needed: E[(1 - kW)+] of a lognormal W with mean 1 (Black-Scholes's put)."""
    d1 = math.log(max(capacity, 1e-12)) / noise + 0.5 * noise
    if d1 < 9.0:
        late = ndtr(noise - d1)
        return min(max(late - capacity * ndtr(-d1), 0.0), 1.0), 1.0 - late
    return 0.0, 1.0


@njit(cache=True, inline="always")
def _fill_base(coefficient, context, span, capacity, peak, base):
    """Fills a base from the surfaces' columns (engine/pricing.py, OUTPUTS).

    What is left over is swept at the horizon, and that is never cheaper than what was done before it: it pays the
    displacement too. Without this a larger order could cost less by failing.
    """
    short, done = _undone(capacity, span[SPAN_NOISE])
    filled = 1.0 - short
    days = span[SPAN_DAYS]
    swept = swept_sigmas(short * (context[QUANTITY] / context[DAILY_VOLUME]), context)
    base[BASE_SPREAD] = filled * coefficient[0] + short * max(coefficient[0], 0.5 * context[CLEANUP_HALF_SPREADS])
    base[BASE_DARK_SPREAD] = filled * coefficient[8]
    base[BASE_SIGMA] = filled * coefficient[1] + short * max(coefficient[1], swept)
    base[BASE_DARK_SIGMA] = filled * coefficient[9]
    base[BASE_DEVIATION] = filled * coefficient[2] + short * max(coefficient[2], math.sqrt(days))
    base[BASE_TIME] = days * (filled * coefficient[3] + short)
    base[BASE_UNFILLED] = short + filled * coefficient[4]
    base[BASE_COMPLETION] = coefficient[5] * done
    base[BASE_DARK] = filled * coefficient[6]
    base[BASE_PASSIVE] = filled * coefficient[7]
    base[BASE_MINUTES] = span[SPAN_MINUTES]
    base[BASE_PARTICIPATION] = span[SPAN_PARTICIPATION]
    base[BASE_PEAK] = peak
    base[BASE_LEARNED_SPREAD] = 0.0
    base[BASE_LEARNED_SIGMA] = 0.0


@njit(cache=True)
def price_prepared(
    values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, context, windows, kinds, spans, pools,
    masks, only_allowed, bases, metrics, mask
):
    """Prices all candidates that `prepare` did not rule out; the others get an empty row and an infinite utility, and
    with `only_allowed` what is masked the utility alone."""
    _price_each(
        values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, context, windows, kinds, spans, pools,
        masks, only_allowed, bases, metrics, mask, np.empty(SPANS), np.empty(values.shape[5])
    )


@uncounted
def _price_each(
    values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, context, windows, kinds, spans, pools,
    masks, only_allowed, bases, metrics, mask, own, coefficient
):
    for n in range(shape.shape[0]):
        mask[n] = masks[n]
        if masks[n] & MASK_UNPRICED:
            if not only_allowed:
                clear(metrics[n])
            metrics[n, UTILITY] = np.inf
            continue
        mask[n] = _base_one(
            values, axis_p, axis_t, weights, shape[n], rule[n], numbers[n], cumulative, context, windows[n, 2],
            spans[kinds[n]], pools, masks[n], only_allowed, own, coefficient, bases[n]
        )
        if only_allowed and mask[n] != 0:
            metrics[n, UTILITY] = np.inf
            continue
        mask[n] = row_one(bases[n], rests[n], context, mask[n], metrics[n])
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
    kinds = np.zeros(count, dtype=np.int64)
    spans = np.empty((count, SPANS))
    pools = np.empty((2, 2))
    masks = np.empty(count, dtype=np.int64)
    known = prepare(
        axis_t, axis_s, rule, pace, numbers, cumulative, context, windows, kinds, spans, pools, masks
    )
    size_spans(axis_p, context, spans, known)
    price_prepared(
        values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, context, windows, kinds, spans, pools,
        masks, False, bases, metrics, mask
    )
