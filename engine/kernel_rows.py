"""From a candidate's base to a row of the metrics: one part of the decision call (engine/kernel.py).

Surfaces and trees both go through here. What an algorithm costs whatever the price is in its base; here its price limit
comes in (engine/kernel_limit.py), fees, alpha and the price of time.
"""

from __future__ import annotations

import math

from numba import njit

from engine.compiled import uncounted
from engine.kernel_limit import under_limit
from engine.layout import (
    ALPHA_BPS_PER_DAY,
    ALPHA_COST,
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
    CLEANUP_DAYS,
    CLEANUP_HALF_SPREADS,
    COMPLETION_PROBABILITY,
    CORRECTION,
    CORRECTION_IMPACT,
    COST,
    DAILY_VOLUME,
    DARK_FEE_BPS,
    DARK_FILLED,
    DARK_SAVING,
    DEVIATION_BPS,
    FEES,
    HORIZON_MINUTES,
    IMPACT_COST,
    LIMIT_ROOM_BPS,
    MAKER_FEE_BPS,
    MASK_COMPLETION,
    MASK_NOT_FINITE,
    MASK_PRICE_LIMIT,
    MEAN_MINUTES,
    MIN_COMPLETION,
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
)

# What rests beyond a limit that the mid reaches less likely than this is no plan.
LEAST_REACH = 1e-3


@uncounted
def swept_sigmas(left_days, context):
    """Daily volatilities paid a share for sweeping this many days' volume at the horizon."""
    if left_days <= 0.0:
        return 0.0
    paid = context[TEMPORARY_ETA] * (left_days / context[CLEANUP_DAYS]) ** context[TEMPORARY_EXPONENT]
    return paid + context[TRANSIENT_Y] * math.sqrt(left_days)


@njit(cache=True, inline="always")
def row_one(base, rests, context, mask, row):
    """From a base to a row of the metrics; returns the mask with what only shows here."""
    days = base[BASE_MINUTES] / context[SESSION_MINUTES]
    room = context[LIMIT_ROOM_BPS]
    completes, kept, reach = under_limit(room, max(context[SIGMA_BPS] * math.sqrt(days), 1e-9))
    paid = _fill_row(base, _with_rest(base, kept, days, context), kept, completes, context, row)
    return mask | _row_mask(room, reach, rests, paid, context, row)


@uncounted
def _with_rest(base, kept, days, context):
    """(spread, sigma, what the models add to each, deviation, days, unfilled) of a base of which only the share `kept`
    is done: the rest waits, and is charged at the horizon (`days`) like any remainder."""
    per_spread, per_sigma = base[BASE_SPREAD], base[BASE_SIGMA]
    learned_spread, learned_sigma = base[BASE_LEARNED_SPREAD], base[BASE_LEARNED_SIGMA]
    deviation, mean_days, unfilled = base[BASE_DEVIATION], base[BASE_TIME], base[BASE_UNFILLED]
    waits = 1.0 - kept
    if waits > 0.0:
        swept = swept_sigmas((waits + kept * unfilled) * (context[QUANTITY] / context[DAILY_VOLUME]), context)
        cleaned = 0.5 * context[CLEANUP_HALF_SPREADS]
        whole_spread = kept * (per_spread + learned_spread) + waits * max(per_spread + learned_spread, cleaned)
        whole_sigma = kept * (per_sigma + learned_sigma) + waits * max(per_sigma + learned_sigma, swept)
        per_spread = kept * per_spread + waits * max(per_spread, cleaned)
        per_sigma = kept * per_sigma + waits * max(per_sigma, swept)
        learned_spread = whole_spread - per_spread
        learned_sigma = whole_sigma - per_sigma
        deviation = kept * deviation + waits * max(deviation, math.sqrt(days))
        mean_days = kept * mean_days + waits * days
        unfilled = kept * unfilled + waits
    return per_spread, per_sigma, learned_spread, learned_sigma, deviation, mean_days, unfilled


@uncounted
def _fill_row(base, rates, kept, completes, context, row):
    """Fills the row; returns the bps by which spread and impact move the average price, at half their size."""
    per_spread, per_sigma, learned_spread, learned_sigma, per_deviation, mean_days, unfilled = rates
    sigma, spread = context[SIGMA_BPS], context[SPREAD_BPS]
    size_days = context[QUANTITY] / context[DAILY_VOLUME]
    per_sigma += 0.5 * context[PERMANENT_GAMMA] * size_days * context[TURNOVER_FACTOR]
    dark_per_spread = kept * base[BASE_DARK_SPREAD]
    dark_per_sigma = kept * base[BASE_DARK_SIGMA]
    dark = kept * base[BASE_DARK]
    passive = kept * base[BASE_PASSIVE]
    fees = dark * context[DARK_FEE_BPS] + passive * context[MAKER_FEE_BPS]
    fees += (1.0 - dark - passive) * context[TAKER_FEE_BPS]
    correction = spread * learned_spread + sigma * learned_sigma
    cost = spread * (per_spread + dark_per_spread) + sigma * (per_sigma + dark_per_sigma) + correction + fees
    deviation = sigma * per_deviation
    alpha = context[ALPHA_BPS_PER_DAY] * mean_days
    time = context[TIME_PRICE] * mean_days

    # Adding 0 turns a negative zero (a saving of nothing) into a plain one.
    row[UTILITY] = cost + context[RISK_AVERSION] * deviation + alpha + time + 0.0
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
    row[COMPLETION_PROBABILITY] = base[BASE_COMPLETION] * completes
    row[UNFILLED] = unfilled
    row[PARTICIPATION] = base[BASE_PARTICIPATION]
    row[PEAK_PARTICIPATION] = base[BASE_PEAK]
    row[DARK_FILLED] = dark
    row[PASSIVE_FILLED] = passive
    row[UTILITY_PER_SPREAD] = per_spread + dark_per_spread + learned_spread
    row[UTILITY_PER_SIGMA] = per_sigma + dark_per_sigma + learned_sigma + context[RISK_AVERSION] * per_deviation
    row[CORRECTION] = correction + 0.0
    row[CORRECTION_IMPACT] = sigma * learned_sigma + 0.0
    return 0.5 * spread + 0.5 * sigma * (per_sigma + learned_sigma)


@uncounted
def _row_mask(room, reach, rests, paid, context, row):
    """Bits of what a row shows. Beyond the mid only what rests may wait for the price, and not for one out of reach;
    what crosses must be able to pay its way (`paid`, bps) inside the limit."""
    mask = 0
    if room < 0.0:
        if rests == 0 or reach < LEAST_REACH:
            mask |= MASK_PRICE_LIMIT
    elif rests == 0 and paid > room:
        mask |= MASK_PRICE_LIMIT
    if row[COMPLETION_PROBABILITY] < context[MIN_COMPLETION]:
        mask |= MASK_COMPLETION
    if not math.isfinite(row[UTILITY]):
        mask |= MASK_NOT_FINITE
    return mask
