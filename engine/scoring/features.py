"""What the trees see of a candidate: one function for training and serving.

Neither volatility nor spread is among the features: models predict coefficients of both (engine/pricing.py), so that
cost is straight in them whatever the trees say. What spread and volatility usually are makes an instrument's queues and
ticks what they are, and that is a feature: it does not move with the order's own market.
"""

from __future__ import annotations

import hashlib
import math

from engine.compiled import uncounted
from engine.layout import (
    AUCTION_SHARE,
    DAILY_VOLUME,
    DARK_SHARE,
    MAX_PARTICIPATION,
    QUANTITY,
    QUEUE_SHARE,
    SESSION_MINUTES,
    SPREAD_TICKS,
    START_MINUTE,
)

FEATURE_NAMES: tuple[str, ...] = (
    "log_load",  # order over the volume it may take: participation, or for a rate the part of what the rate allows
    "log_window_share",  # what it may take, over average daily volume: the size itself would be the sum of these two
    "log_horizon_days",  # of a duration, until the close, or for a rate of all the time there is
    "log_horizon_minutes",
    "start_fraction",  # of the session
    "log_intensity",  # volume expected in the horizon over what an even day would have
    "late_share",  # part of that volume in the second half of the horizon
    "log_pool_share",  # dark share of volume, or the closing auction's; 0 where the candidate uses neither
    "parameter",  # what makes its shape: kappa x horizon, dark ratio, speed, display, auction ratio, rate
    "high_volatility", "low_liquidity", "trending", "mean_reverting", "news_driven",  # probabilities
    "log_spread_ticks",  # the instrument's usual spread
    "log_limit",
    "log_queue_share",  # the instrument's usual queue at the touch over its daily volume
)
FEATURES = len(FEATURE_NAMES)
# The one feature that an order's size moves. Risk and what is left over never fall in it, completion never rises.
RISING_FEATURES: tuple[str, ...] = ("log_load",)

# What the ranking heads say, and how a head's word becomes a figure: base part of the structural figure, plus the
# head times its scale (`scales`).
RANKING_HEADS: tuple[str, ...] = ("spread", "sigma", "deviation", "time", "unfilled")
DESCRIBING_HEADS: tuple[str, ...] = ("quantile_10", "quantile_50", "quantile_90", "completion", "end_time")
HEAD_SPREAD, HEAD_SIGMA, HEAD_DEVIATION, HEAD_TIME, HEAD_UNFILLED = range(5)  # the last moves no utility
RANKING = 5
HEAD_Q10, HEAD_Q50, HEAD_Q90, HEAD_COMPLETION, HEAD_END_TIME = range(5)
DESCRIBING = 5
# So many trees of every ranking head are walked for every allowed candidate; the rest only for those that they leave.
ROUGH_TREES = 8
# Half of a figure stays structural, which rises with size of itself; the trees add what is missing to the other half.
STRUCTURAL_PART = 0.5


def schema_sha256() -> str:
    """Hash of names and order of features and heads, hex: a model made for others is refused."""
    text = "\n".join((*FEATURE_NAMES, "|", *RANKING_HEADS, "|", *DESCRIBING_HEADS, f"{STRUCTURAL_PART!r}"))
    return hashlib.sha256(text.encode()).hexdigest()


@uncounted
def _volume_until(cumulative, minute):
    last = cumulative.shape[0] - 1
    at = min(max(minute, 0.0), float(last))
    low = min(int(at), last - 1)
    return cumulative[low] + (at - low) * (cumulative[low + 1] - cumulative[low])


@uncounted
def load_of(rule, numbers, context, window):
    """Order over the volume it may take in its window, > 0."""
    size_days = context[QUANTITY] / context[DAILY_VOLUME]
    if rule == 1:
        return max(size_days / (numbers[2] * window[1]), 1e-9)
    return max(size_days / window[1], 1e-9)


@uncounted
def fill_features(rule, numbers, cumulative, context, weights, window, out):
    """FEATURE_NAMES of one candidate into `out` (float32).

    `numbers` is the candidate's row of CandidateSet.numbers, `window` its (minutes, share of daily volume, ...) of the
    kernel, `weights` the conditions'. The parts are functions of their own, since candidates share most of them.
    """
    fill_order_features(context, weights, out)
    fill_window_features(cumulative, context, window, out)
    fill_load_features(rule, numbers, context, window, out)
    out[7] = pool_feature(rule, numbers, context)
    out[8] = numbers[6]


@uncounted
def fill_order_features(context, weights, out):
    """What is the same for every candidate of an order."""
    out[4] = context[START_MINUTE] / context[SESSION_MINUTES]
    for condition in range(1, weights.shape[0]):
        out[8 + condition] = weights[condition]
    out[14] = math.log(min(max(context[SPREAD_TICKS], 1.0), 200.0))
    out[15] = math.log(context[MAX_PARTICIPATION])
    out[16] = math.log(max(context[QUEUE_SHARE], 1e-6))


@uncounted
def fill_window_features(cumulative, context, window, out):
    """What a horizon says, whatever trades in it."""
    start = context[START_MINUTE]
    minutes = window[0]
    traded = window[1]
    half = _volume_until(cumulative, start + 0.5 * minutes)
    end = _volume_until(cumulative, start + minutes)
    out[2] = math.log(minutes / context[SESSION_MINUTES])
    out[3] = math.log(minutes)
    out[5] = math.log(traded / minutes * context[SESSION_MINUTES])
    out[6] = min(max((end - half) / max(traded, 1e-12), 0.0), 1.0)


@uncounted
def fill_load_features(rule, numbers, context, window, out):
    """What the order's size says of a horizon, or of a rate in it."""
    size_days = context[QUANTITY] / context[DAILY_VOLUME]
    load = load_of(rule, numbers, context, window)
    out[0] = math.log(load)
    out[1] = math.log(max(size_days / load, 1e-9))


@uncounted
def pool_feature(rule, numbers, context):
    """Of the pool that a candidate draws on."""
    pool = 1.0
    if rule == 2:
        pool = context[AUCTION_SHARE]
    elif numbers[3] > 0.0:
        pool = context[DARK_SHARE]
    return math.log(max(pool, 1e-3))


@uncounted
def fill_scales(rule, numbers, context, window, out):
    """How much one unit of each ranking head is worth, (RANKING,): spreads, daily volatilities, days, a share.

    The scale of the sigma head rises with size a little more slowly than impact does.
    """
    size_days = context[QUANTITY] / context[DAILY_VOLUME]
    load = load_of(rule, numbers, context, window)
    rate = numbers[2] if rule == 1 else load
    days = window[0] / context[SESSION_MINUTES]
    out[0] = 1.0
    out[1] = 0.07 * rate**0.5 + 0.15 * size_days**0.45
    out[2] = math.sqrt(days)
    out[3] = days
    out[4] = 1.0
