"""What recent one-minute bars say of the market, as bounded numbers: the features of `engine.conditions`.

Returns are first divided by what the instrument's daily volatility and the intraday curve predict for their minute
(variance proportional to expected volume, the subordination of Clark 1973; fitted exponent 0.9-1.1 on US and B3
stocks), so each is free of units and of the clock.

- level: realised volatility by 1-minute and by 5-minute returns, bipower volatility (Barndorff-Nielsen and
  Shephard 2004), spread and volume, each as the log of a ratio to typical, and how dry the volume is;
- news: share of the variance that jumps make (1 - bipower/realised), the largest move and its excess over
  4.5 sigma, the volume and the volatility after it, the highest ten-minute block of variance, the highest
  five minutes of volume;
- direction: t-statistic of the drift, agreement of the two halves, path efficiency, variance ratios at 5
  and 20 minutes (Lo and MacKinlay 1988), augmented Dickey-Fuller t-statistic (one lag);
- what is known: share of unchanged prices, of minutes without volume, missing spread, missing volume.

Each is even in the sign of the returns: a rising and a falling market are the same condition.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

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
    CONSTANT,
    LOG_VOLATILITY,
    LOG_VOLATILITY_5MIN,
    LOG_BIPOWER_VOLATILITY,
    LOG_SPREAD,
    LOG_VOLUME,
    VOLUME_DROUGHT,
    JUMP_SHARE,
    LARGEST_MOVE,
    LARGEST_MOVE_EXCESS,
    VOLUME_AFTER_MOVE,
    VOLATILITY_AFTER_MOVE,
    VARIANCE_BLOCK_PEAK,
    VOLUME_BURST,
    DRIFT_T,
    DRIFT_T_SQUARED,
    HALVES_AGREE,
    PATH_EFFICIENCY,
    LOG_VARIANCE_RATIO_5,
    LOG_VARIANCE_RATIO_20,
    DICKEY_FULLER_T,
    UNCHANGED_SHARE,
    NO_VOLUME_SHARE,
    SPREAD_MISSING,
    VOLUME_MISSING,
) = range(len(FEATURES))
N_FEATURES = len(FEATURES)

LEVEL_HALF_LIFE_MINUTES = 45.0

# The bounds give every input a bounded influence: no single minute or figure decides alone.
_MIN_CURVE, _MAX_CURVE = 0.2, 3.0
_MAX_RETURN = 30.0
_MAX_VOLUME_RATIO = 20.0
_MAX_LOG_SPREAD = 2.0
_SPIKE_SIGMAS, _CUT_SIGMAS, _UNIT_SIGMAS = 6.0, 5.0, 3.5
_TINY = 1e-12

# Rows of `bars` (4, minutes), oldest minute first; nan, or anything impossible, is not known.
MID, VOLUME, SPREAD, EXPECTED = 0, 1, 2, 3


@njit(cache=True)
def usable_minutes(bars: NDArray[np.float64]) -> int:
    """Minutes with a price."""
    usable = 0
    for price in bars[MID]:
        if 0.0 < price < math.inf:
            usable += 1
    return usable


@njit(cache=True)
def bounded(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


@njit(cache=True)
def _log_bounded(value: float, low: float, high: float) -> float:
    return bounded(math.log(max(value, 1e-9)), low, high)


@njit(cache=True)
def features_of(bars: NDArray[np.float64], figures: tuple[float, float, float]) -> NDArray[np.float64]:
    """All features, in the order of FEATURES. `bars` (4, n) with at least two valid prices."""
    out = np.zeros(N_FEATURES)
    out[CONSTANT] = 1.0
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
        if average_volume > 0.0 and 0.0 < bars[EXPECTED, t] < math.inf:
            weight = bounded(bars[EXPECTED, t] / average_volume, _MIN_CURVE, _MAX_CURVE)
        variance += weight
        price = bars[MID, t]
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
        returns[i] = bounded(returns[i], -_MAX_RETURN, _MAX_RETURN)
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
        cut[i] = bounded(returns[i], -limit, limit)
    return cut


@njit(cache=True)
def _volume_ratios(bars: NDArray[np.float64], average_volume: float) -> tuple[NDArray[np.float64], bool]:
    """Volume over expected volume of each minute, capped; 1 where it is not known; and whether none is."""
    n = bars.shape[1]
    ratios = np.ones(n)
    missing = True
    for t in range(n):
        volume, expected = bars[VOLUME, t], bars[EXPECTED, t]
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
    out[LOG_VOLATILITY] = 0.5 * _log_bounded(weighted / weights, -3.0, 4.0)
    out[LOG_VOLATILITY_5MIN] = 0.5 * _log_bounded(_overlapping_variance(cut, step), -3.0, 4.0)
    out[LOG_BIPOWER_VOLATILITY] = 0.5 * _log_bounded(bipower, -3.0, 4.0)
    if realised > _TINY:
        out[JUMP_SHARE] = bounded(1.0 - bipower / realised, 0.0, 1.0)
    out[UNCHANGED_SHARE] = zeros / n
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
        spread = bars[SPREAD, t]
        if typical_bps > 0.0 and 0.0 <= spread < math.inf:
            total += weight * _log_bounded(spread / typical_bps, -_MAX_LOG_SPREAD, _MAX_LOG_SPREAD)
            weights += weight
        weight *= fade
    if weights > 0.0:
        out[LOG_SPREAD] = total / weights
    else:
        out[SPREAD_MISSING] = 1.0


@njit(cache=True)
def _volume_features(ratios: NDArray[np.float64], missing: bool, out: NDArray[np.float64]) -> None:
    if missing:
        out[VOLUME_MISSING] = 1.0
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
    out[LOG_VOLUME] = _log_bounded(total / weights, -3.0, 3.0)
    out[VOLUME_DROUGHT] = max(-0.5 - out[LOG_VOLUME], 0.0)
    out[VOLUME_BURST] = _log_bounded(peak / max(float(np.mean(ratios)), _TINY), 0.0, 3.0)
    # Thin names explain some empty minutes away, but not an hour of them.
    out[NO_VOLUME_SHARE] = min(zeros / n, 0.5)


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
    out[LARGEST_MOVE] = _log_bounded(abs(returns[at]) / sigma, -1.0, 3.5)
    out[LARGEST_MOVE_EXCESS] = max(out[LARGEST_MOVE] - 1.5, 0.0)
    first = minute_of[at]
    # The added 0.05 keeps ratios of next to nothing near 1.
    near, whole = float(np.mean(ratios[first : first + 5])), float(np.mean(ratios))
    out[VOLUME_AFTER_MOVE] = _log_bounded((near + 0.05) / (whole + 0.05), -2.0, 3.0)
    after = _mean_square(returns, at + 1, min(at + 16, n))
    elsewhere = _mean_square_outside(returns, at, at + 16)
    out[VOLATILITY_AFTER_MOVE] = 0.5 * _log_bounded((after + 0.05) / (elsewhere + 0.05), -3.0, 3.0)
    peak = 0.0
    for start in range(0, n - 9):
        peak = max(peak, _mean_square(returns, start, start + 10))
    out[VARIANCE_BLOCK_PEAK] = 0.5 * _log_bounded((peak + 0.05) / (realised + 0.05), 0.0, 3.0)


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
    out[DRIFT_T] = min(t, 6.0)
    out[DRIFT_T_SQUARED] = min(t, 6.0) ** 2 / 10.0
    out[HALVES_AGREE] = bounded(early * late / (math.sqrt(half) * math.sqrt(n - half)), -4.0, 8.0)
    length, running = 0.0, 0.0
    for i in range(n):
        running += unit[i]
        if i % 5 == 4 or i == n - 1:
            length += abs(running)
            running = 0.0
    out[PATH_EFFICIENCY] = abs(early + late) / length if length > 0.0 else 0.0


@njit(cache=True)
def _reversion_features(unit: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    n = unit.size
    if np.sum(np.abs(unit)) == 0.0:
        return  # a price that never moved neither trends nor reverts
    out[LOG_VARIANCE_RATIO_5] = _log_bounded(_overlapping_variance(unit, min(5, n // 2)), -2.5, 1.5)
    out[LOG_VARIANCE_RATIO_20] = _log_bounded(_overlapping_variance(unit, min(20, n // 3)), -2.5, 2.0)
    out[DICKEY_FULLER_T] = _dickey_fuller_t(unit)


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
    return bounded(slope / math.sqrt(max(residual * sll / determinant, _TINY)), -8.0, 2.0)
