"""Which of the six market conditions an instrument is in, read from its recent one-minute bars.

Used when a request leaves the condition unspecified. Two steps, both pure:

1. FEATURES: bounded numbers. Returns are first divided by what the instrument's daily volatility and the
   intraday curve predict for their minute (variance proportional to expected volume, the subordination of
   Clark 1973; fitted exponent 0.9-1.1 on US and B3 stocks), so each is free of units and of the clock.
   - level: realised volatility by 1-minute and by 5-minute returns, bipower volatility (Barndorff-Nielsen and
     Shephard 2004), spread and volume, each as the log of a ratio to typical, and how dry the volume is;
   - news: share of the variance that jumps make (1 - bipower/realised), the largest move and its excess over
     4.5 sigma, the volume and the volatility after it, the highest ten-minute block of variance, the highest
     five minutes of volume;
   - direction: t-statistic of the drift, agreement of the two halves, path efficiency, variance ratios at 5
     and 20 minutes (Lo and MacKinlay 1988), augmented Dickey-Fuller t-statistic (one lag);
   - what is known: share of unchanged prices, of minutes without volume, missing spread, missing volume.
   Each is even in the sign of the returns: a rising and a falling market are the same condition.
2. A multinomial logistic on those features whose coefficients are interpolated in the logarithm of the
   window's length, because ten minutes tell less than two hours. `engine.condition_weights` holds them,
   fitted offline on simulated paths by `training.conditions`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.condition_weights import KNOT_MINUTES, PRIOR, WEIGHTS
from engine.values import CONDITIONS, MarketCondition

FEATURES: tuple[str, ...] = (
    "constant",
    "log_volatility",
    "log_volatility_5min",
    "log_bipower_volatility",
    "log_spread",
    "log_volume",
    "volume_drought",
    "jump_share",
    "largest_move",
    "largest_move_excess",
    "volume_after_move",
    "volatility_after_move",
    "variance_block_peak",
    "volume_burst",
    "drift_t",
    "drift_t_squared",
    "halves_agree",
    "path_efficiency",
    "log_variance_ratio_5",
    "log_variance_ratio_20",
    "dickey_fuller_t",
    "unchanged_share",
    "no_volume_share",
    "spread_missing",
    "volume_missing",
)

# Their places, for the compiled code (which knows no strings).
(
    _CONSTANT,
    _LOG_VOLATILITY,
    _LOG_VOLATILITY_5MIN,
    _LOG_BIPOWER_VOLATILITY,
    _LOG_SPREAD,
    _LOG_VOLUME,
    _VOLUME_DROUGHT,
    _JUMP_SHARE,
    _LARGEST_MOVE,
    _LARGEST_MOVE_EXCESS,
    _VOLUME_AFTER_MOVE,
    _VOLATILITY_AFTER_MOVE,
    _VARIANCE_BLOCK_PEAK,
    _VOLUME_BURST,
    _DRIFT_T,
    _DRIFT_T_SQUARED,
    _HALVES_AGREE,
    _PATH_EFFICIENCY,
    _LOG_VARIANCE_RATIO_5,
    _LOG_VARIANCE_RATIO_20,
    _DICKEY_FULLER_T,
    _UNCHANGED_SHARE,
    _NO_VOLUME_SHARE,
    _SPREAD_MISSING,
    _VOLUME_MISSING,
) = range(len(FEATURES))

LOOKBACK_MINUTES = 120  # older bars say little of the condition now, and the cost stays bounded
MIN_USABLE_MINUTES = 10
LEVEL_HALF_LIFE_MINUTES = 45.0

_N_FEATURES = len(FEATURES)
_KNOTS = np.log(np.array(KNOT_MINUTES, dtype=np.float64))
# Handed to the compiled code as an argument: numba's cache would not notice a change of a global array.
_WEIGHTS = np.array(WEIGHTS, dtype=np.float64).reshape(len(KNOT_MINUTES), -1, len(CONDITIONS))

# The bounds give every input a bounded influence: no single minute or figure decides alone.
_MIN_CURVE, _MAX_CURVE = 0.2, 3.0
_MAX_RETURN = 30.0
_MAX_VOLUME_RATIO = 20.0
_MAX_LOG_SPREAD = 2.0
_SPIKE_SIGMAS, _CUT_SIGMAS, _UNIT_SIGMAS = 6.0, 5.0, 3.5
_TINY = 1e-12

# Rows of the workspace that the compiled code reads.
_MID, _VOLUME, _SPREAD, _EXPECTED = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class TypicalMarket:
    """What is usual for the instrument.

    `daily_volatility_fraction` is the standard deviation of the continuous session's log return,
    `spread_bps` the median quoted spread, `volume_per_minute_shares` the day's average, `minutes_per_day` the
    length of the continuous session. A figure that is not positive or not finite counts as unknown.
    """

    daily_volatility_fraction: float
    spread_bps: float
    volume_per_minute_shares: float
    minutes_per_day: float


@dataclass(frozen=True, slots=True)
class ConditionEstimate:
    """The most probable condition and how sure that is.

    `probabilities` follow `engine.values.CONDITIONS` and sum to 1; they assume the base rates `PRIOR` of
    `engine.condition_weights`. `minutes_observed` counts the minutes with a usable price that were looked at.
    """

    condition: MarketCondition
    probabilities: tuple[float, ...]
    evidence: str
    minutes_observed: int


def classify(
    mid_price: NDArray[np.float64],
    volume_shares: NDArray[np.float64],
    spread_bps: NDArray[np.float64],
    expected_volume_shares: NDArray[np.float64],
    typical: TypicalMarket,
) -> ConditionEstimate:
    """The condition of the market over the last minutes.

    The arrays hold one entry a minute of trading time, oldest first, all of one length n >= 0; only the last
    LOOKBACK_MINUTES are read. NaN (or any impossible value: a price <= 0, a negative volume or spread) means
    not known. `expected_volume_shares` is what the intraday curve predicts for each minute. With fewer than
    MIN_USABLE_MINUTES prices the answer is the prior. Raises ValueError when the lengths differ.
    """
    bars = _workspace(mid_price, volume_shares, spread_bps, expected_volume_shares)
    figures = _figures(typical)
    usable = _usable_minutes(bars)
    if usable < MIN_USABLE_MINUTES:
        return _prior_estimate(usable)
    values = _features(bars, figures)
    scores = _probabilities(values, float(usable), _KNOTS, _WEIGHTS)
    probabilities = tuple(scores.tolist())
    condition = CONDITIONS[probabilities.index(max(probabilities))]
    return ConditionEstimate(condition, probabilities, _evidence(condition, values.tolist(), usable), usable)


def window_features(
    mid_price: NDArray[np.float64],
    volume_shares: NDArray[np.float64],
    spread_bps: NDArray[np.float64],
    expected_volume_shares: NDArray[np.float64],
    typical: TypicalMarket,
) -> NDArray[np.float64]:
    """The features of `classify`, shape (len(FEATURES),), for training and for reports.

    The window must hold at least MIN_USABLE_MINUTES prices.
    """
    bars = _workspace(mid_price, volume_shares, spread_bps, expected_volume_shares)
    return _features(bars, _figures(typical))


def _workspace(
    mid_price: NDArray[np.float64],
    volume_shares: NDArray[np.float64],
    spread_bps: NDArray[np.float64],
    expected_volume_shares: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The last minutes as one array (4, n): one compiled signature whatever the caller's dtype or flags."""
    n = len(mid_price)
    if not len(volume_shares) == len(spread_bps) == len(expected_volume_shares) == n:
        raise ValueError("the bar arrays differ in length")
    start = max(0, n - LOOKBACK_MINUTES)
    bars = np.empty((4, n - start))
    bars[_MID] = mid_price[start:]
    bars[_VOLUME] = volume_shares[start:]
    bars[_SPREAD] = spread_bps[start:]
    bars[_EXPECTED] = expected_volume_shares[start:]
    return bars


def _figures(typical: TypicalMarket) -> tuple[float, float, float]:
    """(volatility of one average minute, spread_bps, volume a minute), 0 for what is not known."""
    daily, minutes = typical.daily_volatility_fraction, typical.minutes_per_day
    known = _known(daily) and _known(minutes)
    return (
        daily / math.sqrt(minutes) if known else 0.0,
        typical.spread_bps if _known(typical.spread_bps) else 0.0,
        typical.volume_per_minute_shares if _known(typical.volume_per_minute_shares) else 0.0,
    )


def _known(figure: float) -> bool:
    return math.isfinite(figure) and figure > 0.0


def _prior_estimate(usable: int) -> ConditionEstimate:
    condition = CONDITIONS[PRIOR.index(max(PRIOR))]
    evidence = f"only {usable} usable minutes of {MIN_USABLE_MINUTES} needed, so base rates"
    return ConditionEstimate(condition, PRIOR, evidence, usable)


def _evidence(condition: MarketCondition, values: Sequence[float], minutes: int) -> str:
    """The features that carry the verdict, in units a trader reads."""
    volatility = f"volatility {math.exp(values[_LOG_VOLATILITY]):.1f}x typical over {minutes} min"
    spread, volume = "spread unknown", "volume unknown"
    if values[_SPREAD_MISSING] == 0.0:
        spread = f"spread {math.exp(values[_LOG_SPREAD]):.1f}x"
    if values[_VOLUME_MISSING] == 0.0:
        volume = f"volume {math.exp(values[_LOG_VOLUME]):.1f}x"
    clause = f"{volatility}, {spread}, {volume}"
    if condition is MarketCondition.TRENDING:
        return f"{clause}, drift t {values[_DRIFT_T]:.1f}"
    if condition is MarketCondition.MEAN_REVERTING:
        return f"{clause}, long variance ratio {math.exp(values[_LOG_VARIANCE_RATIO_20]):.2f}"
    if condition is MarketCondition.NEWS_DRIVEN:
        move, after = math.exp(values[_LARGEST_MOVE]), math.exp(values[_VOLUME_AFTER_MOVE])
        return f"{clause}, largest move {move:.1f} sigma with {after:.1f}x the window's volume after it"
    return clause


@njit(cache=True)
def _usable_minutes(bars: NDArray[np.float64]) -> int:
    usable = 0
    for price in bars[_MID]:
        if 0.0 < price < math.inf:
            usable += 1
    return usable


@njit(cache=True)
def _bounded(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


@njit(cache=True)
def _log_bounded(value: float, low: float, high: float) -> float:
    return _bounded(math.log(max(value, 1e-9)), low, high)


@njit(cache=True)
def _features(bars: NDArray[np.float64], figures: tuple[float, float, float]) -> NDArray[np.float64]:
    """All features, in the order of FEATURES. `bars` (4, n) with at least two valid prices."""
    out = np.zeros(_N_FEATURES)
    out[_CONSTANT] = 1.0
    returns, minute_of = _standard_returns(bars, figures[0], figures[2])
    ratios, volume_missing = _volume_ratios(bars, figures[2])
    sigma = _robust_sigma(returns)
    _drop_spikes(returns, _SPIKE_SIGMAS * sigma)
    cut = _cut(returns, _CUT_SIGMAS * sigma)
    bipower = _volatility_features(returns, cut, out)
    _spread_feature(bars, figures[1], out)
    _volume_features(ratios, volume_missing, out)
    _news_features(returns, minute_of, ratios, math.sqrt(bipower), out)
    unit = _unit(cut, math.sqrt(bipower))
    _drift_features(unit, out)
    _reversion_features(unit, out)
    return out


@njit(cache=True)
def _standard_returns(
    bars: NDArray[np.float64], minute_volatility: float, average_volume: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Log returns over what is typical for their minutes, and the minute each ends in.

    Variance is proportional to the expected volume of the minutes that a return spans (several across a gap).
    Without a typical volatility the window's own is used, so that its ratio reads 1.
    """
    n = bars.shape[1]
    returns = np.empty(n)
    minute_of = np.empty(n, dtype=np.int64)
    count, variance, last = 0, 0.0, 0.0
    scale = minute_volatility if minute_volatility > 0.0 else 1.0
    for t in range(n):
        weight = 1.0
        if average_volume > 0.0 and 0.0 < bars[_EXPECTED, t] < math.inf:
            weight = _bounded(bars[_EXPECTED, t] / average_volume, _MIN_CURVE, _MAX_CURVE)
        variance += weight
        price = bars[_MID, t]
        if not 0.0 < price < math.inf:
            continue
        if last > 0.0:
            moved = math.log(price) - math.log(last)
            # The rounding of doubles is no move: a tick is a millionth at least.
            moved = moved if abs(moved) > 1e-12 else 0.0
            returns[count] = moved / (scale * math.sqrt(variance))
            minute_of[count] = t
            count += 1
        last, variance = price, 0.0
    returns = returns[:count]
    if minute_volatility <= 0.0:
        returns = returns / math.sqrt(max(_mean_square(returns, 0, count), 1e-24))
    for i in range(count):
        returns[i] = _bounded(returns[i], -_MAX_RETURN, _MAX_RETURN)
    return returns, minute_of[:count]


@njit(cache=True)
def _robust_sigma(returns: NDArray[np.float64]) -> float:
    """Upper quartile of the sizes over that of a normal, and never less than a typical minute.

    The floor keeps an illiquid name whose price mostly stands still from being all outliers.
    """
    sizes = np.sort(np.abs(returns))
    return max(float(sizes[(3 * sizes.size) // 4]) / 1.15, 1.0)


@njit(cache=True)
def _drop_spikes(returns: NDArray[np.float64], limit: float) -> None:
    """Merge, in place, a huge return and its immediate reversal: a bad print, neither news nor volatility."""
    for i in range(1, returns.size):
        first, second = returns[i - 1], returns[i]
        if min(abs(first), abs(second)) > limit and abs(first + second) < 0.3 * abs(first):
            returns[i - 1], returns[i] = 0.0, first + second


@njit(cache=True)
def _cut(returns: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    cut = np.empty(returns.size)
    for i in range(returns.size):
        cut[i] = _bounded(returns[i], -limit, limit)
    return cut


@njit(cache=True)
def _volume_ratios(bars: NDArray[np.float64], average_volume: float) -> tuple[NDArray[np.float64], bool]:
    """Volume over expected volume of each minute, capped; 1 where it is not known; and whether none is."""
    n = bars.shape[1]
    ratios = np.ones(n)
    missing = True
    for t in range(n):
        volume, expected = bars[_VOLUME, t], bars[_EXPECTED, t]
        if not 0.0 < expected < math.inf:
            expected = average_volume
        if 0.0 <= volume < math.inf and expected > 0.0:
            ratios[t] = min(volume / expected, _MAX_VOLUME_RATIO)
            missing = False
    return ratios, missing


@njit(cache=True)
def _volatility_features(
    returns: NDArray[np.float64], cut: NDArray[np.float64], out: NDArray[np.float64]
) -> float:
    """Log ratios of volatility, from the returns with outliers cut; returns the bipower variance of a minute.

    The jump share compares it with the variance of the returns as they are.
    """
    n = returns.size
    realised = _mean_square(returns, 0, n)
    bipower, weighted, weights, zeros = 0.0, 0.0, 0.0, 0
    fade = 0.5 ** (1.0 / LEVEL_HALF_LIFE_MINUTES)
    weight = 1.0
    for i in range(n - 1, -1, -1):
        square = cut[i] * cut[i]
        weighted += weight * square
        weights += weight
        weight *= fade
        if i > 0:
            bipower += abs(cut[i] * cut[i - 1])
        if square == 0.0:
            zeros += 1
    bipower *= 0.5 * math.pi / (n - 1)
    step = min(5, n // 2)
    out[_LOG_VOLATILITY] = 0.5 * _log_bounded(weighted / weights, -3.0, 4.0)
    out[_LOG_VOLATILITY_5MIN] = 0.5 * _log_bounded(_overlapping_variance(cut, step), -3.0, 4.0)
    out[_LOG_BIPOWER_VOLATILITY] = 0.5 * _log_bounded(bipower, -3.0, 4.0)
    if realised > _TINY:
        out[_JUMP_SHARE] = _bounded(1.0 - bipower / realised, 0.0, 1.0)
    out[_UNCHANGED_SHARE] = zeros / n
    return bipower


@njit(cache=True)
def _overlapping_variance(returns: NDArray[np.float64], step: int) -> float:
    """Mean square of the sums of `step` successive returns, divided by `step`."""
    total, running = 0.0, 0.0
    for i in range(returns.size):
        running += returns[i]
        if i >= step:
            running -= returns[i - step]
        if i >= step - 1:
            total += running * running
    return total / ((returns.size - step + 1) * step)


@njit(cache=True)
def _spread_feature(bars: NDArray[np.float64], typical_bps: float, out: NDArray[np.float64]) -> None:
    fade = 0.5 ** (1.0 / LEVEL_HALF_LIFE_MINUTES)
    weight, total, weights = 1.0, 0.0, 0.0
    for t in range(bars.shape[1] - 1, -1, -1):
        spread = bars[_SPREAD, t]
        if typical_bps > 0.0 and 0.0 <= spread < math.inf:
            total += weight * _log_bounded(spread / typical_bps, -_MAX_LOG_SPREAD, _MAX_LOG_SPREAD)
            weights += weight
        weight *= fade
    if weights > 0.0:
        out[_LOG_SPREAD] = total / weights
    else:
        out[_SPREAD_MISSING] = 1.0


@njit(cache=True)
def _volume_features(ratios: NDArray[np.float64], missing: bool, out: NDArray[np.float64]) -> None:
    if missing:
        out[_VOLUME_MISSING] = 1.0
        return
    n = ratios.size
    fade = 0.5 ** (1.0 / LEVEL_HALF_LIFE_MINUTES)
    weight, total, weights, zeros = 1.0, 0.0, 0.0, 0
    for t in range(n - 1, -1, -1):
        total += weight * ratios[t]
        weights += weight
        weight *= fade
        if ratios[t] == 0.0:
            zeros += 1
    peak = 0.0
    for t in range(n - 4):
        peak = max(peak, float(np.mean(ratios[t : t + 5])))
    out[_LOG_VOLUME] = _log_bounded(total / weights, -3.0, 3.0)
    out[_VOLUME_DROUGHT] = max(-0.5 - out[_LOG_VOLUME], 0.0)
    out[_VOLUME_BURST] = _log_bounded(peak / max(float(np.mean(ratios)), _TINY), 0.0, 3.0)
    # Thin names explain some empty minutes away, but not an hour of them.
    out[_NO_VOLUME_SHARE] = min(zeros / n, 0.5)


@njit(cache=True)
def _news_features(
    returns: NDArray[np.float64],
    minute_of: NDArray[np.int64],
    ratios: NDArray[np.float64],
    bipower_sigma: float,
    out: NDArray[np.float64],
) -> None:
    """The largest move and what followed it, against the rest of the window."""
    n = returns.size
    at = _largest_move(returns)
    realised = _mean_square(returns, 0, n)
    sigma = max(bipower_sigma, 1.0)
    out[_LARGEST_MOVE] = _log_bounded(abs(returns[at]) / sigma, -1.0, 3.5)
    out[_LARGEST_MOVE_EXCESS] = max(out[_LARGEST_MOVE] - 1.5, 0.0)
    first = minute_of[at]
    # The added 0.05 keeps ratios of next to nothing near 1.
    near, whole = float(np.mean(ratios[first : first + 5])), float(np.mean(ratios))
    out[_VOLUME_AFTER_MOVE] = _log_bounded((near + 0.05) / (whole + 0.05), -2.0, 3.0)
    after = _mean_square(returns, at + 1, min(at + 16, n))
    elsewhere = _mean_square_outside(returns, at, at + 16)
    out[_VOLATILITY_AFTER_MOVE] = 0.5 * _log_bounded((after + 0.05) / (elsewhere + 0.05), -3.0, 3.0)
    peak = 0.0
    for start in range(0, n - 9):
        peak = max(peak, _mean_square(returns, start, start + 10))
    out[_VARIANCE_BLOCK_PEAK] = 0.5 * _log_bounded((peak + 0.05) / (realised + 0.05), 0.0, 3.0)


@njit(cache=True)
def _largest_move(returns: NDArray[np.float64]) -> int:
    """Index of the largest return, the latest of several that differ by rounding alone."""
    limit = (1.0 - 1e-9) * float(np.max(np.abs(returns)))
    at = returns.size - 1
    while abs(returns[at]) < limit:
        at -= 1
    return at


@njit(cache=True)
def _mean_square(returns: NDArray[np.float64], start: int, stop: int) -> float:
    if stop <= start:
        return 1.0
    total = 0.0
    for i in range(start, stop):
        total += returns[i] * returns[i]
    return total / (stop - start)


@njit(cache=True)
def _mean_square_outside(returns: NDArray[np.float64], start: int, stop: int) -> float:
    total, count = 0.0, 0
    for i in range(returns.size):
        if i < start or i >= stop:
            total += returns[i] * returns[i]
            count += 1
    return total / count if count > 0 else 1.0


@njit(cache=True)
def _unit(cut: NDArray[np.float64], bipower_sigma: float) -> NDArray[np.float64]:
    """Returns of root mean square 1, cut harder than before: one jump is no trend."""
    limit = _UNIT_SIGMAS * max(bipower_sigma, 0.5 * math.sqrt(_mean_square(cut, 0, cut.size)))
    unit = _cut(cut, limit)
    return np.asarray(unit / math.sqrt(max(_mean_square(unit, 0, unit.size), _TINY)))


@njit(cache=True)
def _drift_features(unit: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """`unit` has root mean square 1, so that a sum over its root count is a t-statistic under no drift."""
    n = unit.size
    half = n // 2
    early, late = np.sum(unit[:half]), np.sum(unit[half:])
    t = abs(early + late) / math.sqrt(n)
    out[_DRIFT_T] = min(t, 6.0)
    out[_DRIFT_T_SQUARED] = min(t, 6.0) ** 2 / 10.0
    out[_HALVES_AGREE] = _bounded(early * late / (math.sqrt(half) * math.sqrt(n - half)), -4.0, 8.0)
    length, running = 0.0, 0.0
    for i in range(n):
        running += unit[i]
        if i % 5 == 4 or i == n - 1:
            length += abs(running)
            running = 0.0
    out[_PATH_EFFICIENCY] = abs(early + late) / length if length > 0.0 else 0.0


@njit(cache=True)
def _reversion_features(unit: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    n = unit.size
    if np.sum(np.abs(unit)) == 0.0:
        return  # a price that never moved neither trends nor reverts
    out[_LOG_VARIANCE_RATIO_5] = _log_bounded(_overlapping_variance(unit, min(5, n // 2)), -2.5, 1.5)
    out[_LOG_VARIANCE_RATIO_20] = _log_bounded(_overlapping_variance(unit, min(20, n // 3)), -2.5, 2.0)
    out[_DICKEY_FULLER_T] = _dickey_fuller_t(unit)


@njit(cache=True)
def _dickey_fuller_t(unit: NDArray[np.float64]) -> float:
    """t-statistic of b in dy_i = a + b y_{i-1} + c dy_{i-1} + e, with dy = `unit`; within [-8, 2].

    Said and Dickey 1984 with one lag, which absorbs the bounce of a noisy price.
    """
    n = unit.size
    m = n - 1
    mean_y, mean_lag, mean_move, level = 0.0, 0.0, 0.0, 0.0
    for i in range(1, n):
        level += unit[i - 1]
        mean_y += level / m
        mean_lag += unit[i - 1] / m
        mean_move += unit[i] / m
    syy, sll, syl, sym, slm, smm = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    level = 0.0
    for i in range(1, n):
        level += unit[i - 1]
        y, lag, move = level - mean_y, unit[i - 1] - mean_lag, unit[i] - mean_move
        syy += y * y
        sll += lag * lag
        syl += y * lag
        sym += y * move
        slm += lag * move
        smm += move * move
    determinant = syy * sll - syl * syl
    # A straight line leaves nothing but rounding to regress on.
    if m <= 3 or sll <= 1e-9 * m or determinant <= 1e-9 * syy * sll:
        return 0.0
    slope = (sym * sll - slm * syl) / determinant
    other = (slm * syy - sym * syl) / determinant
    residual = max(smm - slope * sym - other * slm, 1e-6 * smm) / (m - 3)
    return _bounded(slope / math.sqrt(max(residual * sll / determinant, _TINY)), -8.0, 2.0)


@njit(cache=True)
def _knot_shares(minutes: float, knots: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.zeros(knots.size)
    at = _bounded(math.log(max(minutes, 1.0)), knots[0], knots[-1])
    right = min(int(np.searchsorted(knots, at)), knots.size - 1)
    left = max(right - 1, 0)
    share = (at - knots[left]) / (knots[right] - knots[left]) if right > left else 0.0
    shares[left] += 1.0 - share
    shares[right] += share
    return shares


@njit(cache=True)
def _probabilities(
    values: NDArray[np.float64], minutes: float, knots: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Softmax of the interpolated linear scores, shape (6,). `weights` (knots, features, conditions)."""
    shares = _knot_shares(minutes, knots)
    scores = np.zeros(weights.shape[2])
    for k in range(weights.shape[0]):
        if shares[k] > 0.0:
            for f in range(weights.shape[1]):
                for c in range(weights.shape[2]):
                    scores[c] += shares[k] * values[f] * weights[k, f, c]
    scores = np.exp(scores - np.max(scores))
    return scores / np.sum(scores)
