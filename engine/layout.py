"""Where things stand in the arrays that the compiled code reads and fills: constants, known to the compiler."""

from __future__ import annotations

# Positions in the context vector.
(
    QUANTITY, DAILY_VOLUME, SIGMA_BPS, SPREAD_BPS, START_MINUTE, AVAILABLE_MINUTES, SESSION_MINUTES, MINUTES_TO_CLOSE,
    AUCTION_SHARE, DARK_SHARE, TAKER_FEE_BPS, MAKER_FEE_BPS, DARK_FEE_BPS, RISK_AVERSION, TIME_PRICE, ALPHA_BPS_PER_DAY,
    MAX_PARTICIPATION, LIMIT_ROOM_BPS, MIN_COMPLETION, DARK_REQUIRED, TURNOVER_FACTOR, VOLUME_NOISE, VOLUME_FORECAST,
    TEMPORARY_ETA, TEMPORARY_EXPONENT, TRANSIENT_Y, CLEANUP_DAYS, CLEANUP_HALF_SPREADS, PERMANENT_GAMMA, CARRY_OVER,
    SPREAD_TICKS, QUEUE_SHARE,
) = range(32)
CONTEXT_LENGTH = 32

# Columns of the metrics.
(
    UTILITY, COST, DEVIATION_BPS, SPREAD_COST, IMPACT_COST, FEES, DARK_SAVING, ALPHA_COST, TIME_COST, HORIZON_MINUTES,
    MEAN_MINUTES, COMPLETION_PROBABILITY, UNFILLED, PARTICIPATION, PEAK_PARTICIPATION, DARK_FILLED, PASSIVE_FILLED,
    UTILITY_PER_SPREAD, UTILITY_PER_SIGMA, CORRECTION, CORRECTION_IMPACT,
    STRUCTURAL_UTILITY,
) = range(22)
METRICS = 22

# What a candidate costs before a price limit is looked at, the same from surfaces and from trees: spread in quoted
# spreads, sigma in daily volatilities (without permanent impact), each with what dark fills save apart; deviation in
# daily volatilities, time in trading days, the rest shares or probabilities. What the models add to spread and sigma
# stands apart (LEARNED), so that an answer can say how much that is.
(
    BASE_SPREAD, BASE_DARK_SPREAD, BASE_SIGMA, BASE_DARK_SIGMA, BASE_DEVIATION, BASE_TIME, BASE_UNFILLED,
    BASE_COMPLETION, BASE_DARK, BASE_PASSIVE, BASE_MINUTES, BASE_PARTICIPATION, BASE_PEAK, BASE_LEARNED_SPREAD,
    BASE_LEARNED_SIGMA,
) = range(15)
BASES = 15

# Bits of the mask: why a candidate may not be chosen.
MASK_DUPLICATE = 1  # a shorter duration already fills the time there is
MASK_PARTICIPATION = 2
MASK_NO_DARK_VENUE = 4
MASK_DARK_REQUIRED = 8
MASK_PRICE_LIMIT = 16
MASK_COMPLETION = 32
MASK_NO_CLOSE = 64  # no auction, or the time limit ends before it
MASK_NOT_FINITE = 128
MASK_RIVAL = 1024  # with MASK_PRUNED: scored after all, for what another alpha would choose
MASK_ELSEWHERE = 512  # pruned at the order's own size, so not looked at at another one
MASK_PRUNED = 256  # allowed, but the surfaces put it too far behind to be scored by the models
# These are not worth pricing: they are no choice at all here.
MASK_LEFT_OUT = MASK_PRUNED | MASK_RIVAL  # allowed, and not chosen from
MASK_UNPRICED = MASK_DUPLICATE | MASK_NO_DARK_VENUE | MASK_NO_CLOSE | MASK_ELSEWHERE

