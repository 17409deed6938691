"""Simulated one-minute bars with a known market condition: small, seeded, until the simulator replaces it.

One path is a window of (mid, volume, spread) that ends now, while the condition named lasts. What all
conditions share is randomised far beyond what one instrument shows, so that a classifier learns to look
through it: the level of volatility and volume on the day, clustering, fat tails, the hour, how well the
intraday curve fits, the tick, the noise of a price that is not quite a mid, thin trading, missing figures.
The ranges come from 60-minute windows of real bars (US 2013 and 2016, B3 2025, China 2024): the log ratio of
volatility to typical has a standard deviation of 0.35-0.39 there, that of volume 0.48-0.71, that of one
minute's volume 0.5-1.1 (2.5 in a thinned tape), and 5-80 % of the minutes leave the price unchanged. What the
conditions do is assumed, in one place: `_draw_severity`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.conditions import TypicalMarket
from engine.values import MarketCondition

TYPICAL = TypicalMarket(
    daily_volatility_fraction=0.02,
    spread_bps=5.0,
    volume_per_minute_shares=10_000.0,
    minutes_per_day=390.0,
)
START_PRICE = 100.0
_MINUTES_PER_DAY = 390
_TAIL_DEGREES = 5.0  # Student t: kurtosis of real standardised one-minute returns is 3.6-6.2
_VOLATILITY_MEMORY_MINUTES = 60.0
_HYSTERESIS_TICKS = 0.25  # how far beyond half a tick the true price must go (Robert and Rosenbaum 2011)


@dataclass(frozen=True, slots=True)
class RegimePath:
    """One window, arrays of shape (minutes,), oldest first; NaN where a figure is missing."""

    condition: MarketCondition
    mid_price: NDArray[np.float64]
    volume_shares: NDArray[np.float64]
    spread_bps: NDArray[np.float64]
    expected_volume_shares: NDArray[np.float64]


@dataclass(slots=True)
class _Severity:
    """What a condition does from its onset on. Multipliers of the normal market; 1 or 0 changes nothing.

    A burst multiplies by 1 + burst x exp(-age / fade). `drift_sigma` and `jump_sigma` are in standard
    deviations of one typical minute, `reversion_per_minute` is the Ornstein-Uhlenbeck rate.
    """

    onset: int = 0
    volatility: float = 1.0
    volume: float = 1.0
    spread: float = 1.0
    drift_sigma: float = 0.0
    jump_sigma: float = 0.0
    reversion_per_minute: float = 0.0
    volatility_burst: float = 0.0
    volume_burst: float = 0.0
    spread_burst: float = 0.0
    fade_minutes: float = 60.0


def simulate(condition: MarketCondition, minutes: int, rng: np.random.Generator) -> RegimePath:
    """A window of `minutes` >= 2 bars of the instrument TYPICAL, in `condition` at its end."""
    severity = _draw_severity(condition, minutes, rng)
    curve = _volume_curve(minutes, rng)
    age = np.arange(minutes, dtype=np.float64) - severity.onset
    log_volatility = _log_volatility(minutes, rng)
    sigma = _minute_sigma(severity, age, curve, log_volatility, rng)
    shocks = rng.standard_t(_TAIL_DEGREES, minutes) * np.sqrt((_TAIL_DEGREES - 2.0) / _TAIL_DEGREES)
    true_log = _log_price(
        shocks * sigma,
        _drift(severity, age, sigma, rng),
        severity.onset,
        severity.reversion_per_minute,
    )
    volume = _volume(severity, age, curve, log_volatility, shocks, rng)
    path = RegimePath(
        condition=condition,
        mid_price=_observed_price(true_log, rng),
        volume_shares=volume,
        spread_bps=_spread(severity, age, log_volatility, rng),
        expected_volume_shares=TYPICAL.volume_per_minute_shares * curve,
    )
    _lose_some(path, rng)
    return path


def _draw_severity(condition: MarketCondition, minutes: int, rng: np.random.Generator) -> _Severity:
    """How hard the condition bites and when it began. Assumed, not measured: no data labels conditions."""
    onset = _draw_onset(minutes, rng)
    if condition is MarketCondition.HIGH_VOLATILITY:
        return _Severity(
            onset=onset,
            volatility=rng.uniform(2.0, 3.0),
            volume=rng.uniform(1.2, 2.2),
            spread=rng.uniform(1.1, 1.6),
        )
    if condition is MarketCondition.LOW_LIQUIDITY:
        # Where the spread is pinned at one tick, only the volume dries up.
        pinned = rng.random() < 0.25
        return _Severity(
            onset=onset,
            volatility=rng.uniform(0.8, 1.4),
            volume=float(np.exp(rng.uniform(np.log(0.03), np.log(0.3)))) if pinned else rng.uniform(0.3, 0.5),
            spread=rng.uniform(1.0, 1.5) if pinned else rng.uniform(2.0, 3.0),
        )
    if condition is MarketCondition.TRENDING:
        return _Severity(
            onset=onset,
            volatility=rng.uniform(1.0, 1.2),
            volume=rng.uniform(1.0, 1.4),
            drift_sigma=rng.choice((-1.0, 1.0)) * rng.uniform(0.35, 0.75),
            fade_minutes=rng.uniform(60.0, 180.0),
        )
    if condition is MarketCondition.MEAN_REVERTING:
        half_life_minutes = np.exp(rng.uniform(np.log(1.5), np.log(4.0)))
        return _Severity(onset=onset, reversion_per_minute=float(np.log(2.0) / half_life_minutes))
    if condition is MarketCondition.NEWS_DRIVEN:
        return _Severity(
            onset=minutes - int(rng.integers(2, max(3, min(45, minutes - 2)))),
            jump_sigma=rng.choice((-1.0, 1.0)) * rng.uniform(5.0, 12.0),
            volatility_burst=rng.uniform(1.0, 2.5),
            volume_burst=rng.uniform(2.0, 6.0),
            spread_burst=rng.uniform(0.2, 1.0),
            fade_minutes=rng.uniform(15.0, 40.0),
        )
    return _Severity()


def _draw_onset(minutes: int, rng: np.random.Generator) -> int:
    """Mostly the condition is older than the window; else it began in the window's first half."""
    if minutes < 30 or rng.random() < 0.7:
        return 0
    return int(rng.integers(1, minutes // 2))


def _volume_curve(minutes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A U-shaped day of mean 1 (MSFT and AAPL, 21 days of 2016), cut at a random hour."""
    start = rng.integers(0, _MINUTES_PER_DAY - minutes + 1)
    minute = np.arange(_MINUTES_PER_DAY)
    day = 0.75 + 2.4 * np.exp(-minute / 25.0) + 1.2 * np.exp(-(_MINUTES_PER_DAY - 1 - minute) / 25.0)
    return np.asarray((day / day.mean())[start : start + minutes])


def _log_volatility(minutes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Log ratio of volatility to typical: a level for the day and a slow walk around it."""
    keep = np.exp(-1.0 / _VOLATILITY_MEMORY_MINUTES)
    walk = _autoregressive(rng.standard_normal(minutes + 1), keep)[1:]
    return np.asarray(-0.06 + 0.27 * rng.standard_normal() + 0.2 * walk)


def _minute_sigma(
    severity: _Severity,
    age: NDArray[np.float64],
    curve: NDArray[np.float64],
    log_volatility: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Standard deviation of each return, in typical minutes; variance follows the curve only roughly."""
    level = np.where(age >= 0.0, severity.volatility, 1.0) + severity.volatility_burst * _fade(severity, age)
    return np.asarray(level * np.exp(log_volatility) * curve ** (0.5 * rng.uniform(0.6, 1.2)))


def _fade(severity: _Severity, age: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(age >= 0.0, np.exp(-np.maximum(age, 0.0) / severity.fade_minutes), 0.0)


def _drift(
    severity: _Severity, age: NDArray[np.float64], sigma: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Decaying drift, and the jump spread over one to three minutes, in typical minutes."""
    moves = severity.drift_sigma * sigma * _fade(severity, age)
    if severity.jump_sigma != 0.0:
        parts = rng.dirichlet(np.array([4.0, 1.0, 0.5]))
        stop = min(severity.onset + 3, age.size)
        moves[severity.onset : stop] += severity.jump_sigma * parts[: stop - severity.onset]
    return moves


def _volume(
    severity: _Severity,
    age: NDArray[np.float64],
    curve: NDArray[np.float64],
    log_volatility: NDArray[np.float64],
    shocks: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Shares of each minute: persistent lognormal noise, more where the price moves, holes in thin names."""
    thin = rng.random() < 0.25
    deviation = rng.uniform(0.8, 1.6) if thin else rng.uniform(0.4, 1.1)
    noise = deviation * _autoregressive(rng.standard_normal(age.size), 0.4) + 0.25 * (np.abs(shocks) - 0.8)
    level = 0.4 * rng.standard_normal() - 0.08 + 0.6 * log_volatility
    multiple = np.where(age >= 0.0, severity.volume, 1.0) + severity.volume_burst * _fade(severity, age)
    volume = multiple * curve * np.exp(level + noise - 0.5 * deviation**2)
    if thin:
        trading = rng.uniform(0.5, 1.0)
        volume = np.where(rng.random(age.size) < trading, volume / trading, 0.0)
    return np.asarray(TYPICAL.volume_per_minute_shares * volume)


def _spread(
    severity: _Severity,
    age: NDArray[np.float64],
    log_volatility: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Quoted spread in bps, from pinned at one tick (no noise) to loose."""
    deviation = rng.uniform(0.0, 0.3)
    noise = deviation * _autoregressive(rng.standard_normal(age.size), 0.7) + 0.5 * deviation * log_volatility
    multiple = np.where(age >= 0.0, severity.spread, 1.0) + severity.spread_burst * _fade(severity, age)
    return np.asarray(TYPICAL.spread_bps * multiple * np.exp(0.15 * rng.standard_normal() + noise))


def _observed_price(true_log: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """What the bars show of the true log price: noise in some markets, then ticks of very different size."""
    minute = TYPICAL.daily_volatility_fraction / np.sqrt(TYPICAL.minutes_per_day)
    if rng.random() < 0.4:
        true_log = true_log + rng.uniform(0.0, 0.7) * rng.standard_normal(true_log.size)
    tick_sigma = np.exp(rng.uniform(np.log(0.05), np.log(2.5)))
    offset = rng.uniform(0.0, tick_sigma)
    seen = _on_ticks(true_log + offset, tick_sigma, 0.5 + _HYSTERESIS_TICKS)
    return np.asarray(START_PRICE * np.exp(minute * seen))


def _lose_some(path: RegimePath, rng: np.random.Generator) -> None:
    """Missing figures, in place: no spread in a tenth of the paths, no volume in a few, gaps in a tenth."""
    if rng.random() < 0.1:
        path.spread_bps[:] = np.nan
    if rng.random() < 0.03:
        path.volume_shares[:] = np.nan
    if rng.random() < 0.1:
        path.mid_price[1:][rng.random(path.mid_price.size - 1) < 0.05] = np.nan


@njit(cache=True)
def _autoregressive(noise: NDArray[np.float64], keep: float) -> NDArray[np.float64]:
    """Stationary AR(1) of unit variance, driven by standard normal `noise`."""
    out = noise.copy()
    for t in range(1, noise.size):
        out[t] = keep * out[t - 1] + np.sqrt(1.0 - keep * keep) * noise[t]
    return out


@njit(cache=True)
def _log_price(
    diffusion: NDArray[np.float64], drift: NDArray[np.float64], onset: int, reversion_per_minute: float
) -> NDArray[np.float64]:
    """True log price in typical minutes: drift and diffusion, from the onset on pulled to its level then."""
    out = np.empty(diffusion.size)
    keep = np.exp(-reversion_per_minute)
    level, anchor = 0.0, 0.0
    for t in range(diffusion.size):
        if t == onset:
            anchor = level
        pulled = anchor + keep * (level - anchor) if t >= onset else level
        level = pulled + drift[t] + diffusion[t]
        out[t] = level
    return out


@njit(cache=True)
def _on_ticks(values: NDArray[np.float64], tick: float, reach_ticks: float) -> NDArray[np.float64]:
    """Each value on the grid; the grid price moves only once the value is `reach_ticks` away from it."""
    out = np.empty(values.size)
    seen = np.round(values[0] / tick) * tick
    for t in range(values.size):
        if abs(values[t] - seen) > reach_ticks * tick:
            seen = np.round(values[t] / tick) * tick
        out[t] = seen
    return out
