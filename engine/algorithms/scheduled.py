"""Algorithms that follow a schedule fixed at the start: TWAP, VWAP, POV and implementation shortfall."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from engine.algorithms.flow import CELL_MID, STEPS, Array, Flow, Setting, child_passive_share, spread, zeros


def scheduled_flow(setting: Setting, weights: Array, patience: float, noise_log_sd: Array) -> Flow:
    """A schedule of (STEPS,) or (..., STEPS) weights of mean 1, each child resting first and crossing then."""
    passive = child_passive_share(setting, patience)
    none = zeros(setting)
    return Flow(
        aggressive=spread(1.0 - passive, weights),
        passive=spread(passive, weights),
        dark=spread(none, np.ones(STEPS)),
        auction=none,
        remainder=none,
        completion=np.ones(setting.shape),
        volume_noise_log_sd=np.broadcast_to(noise_log_sd, setting.shape),
        spread_saving=none,
        mid_gain=none,
        footprint=0.5,
        book_walk=none,
        patience=patience,
    )


def clock_noise_log_sd(setting: Setting) -> Array:
    """Participation of a clock schedule strays with the volume's noise and with the curve it ignores."""
    a = setting.assumptions
    curve = a.volume_curve_log_sd * np.sqrt(np.minimum(1.0, setting.horizon_days))
    noise = a.volume_noise_log_sd * setting.market.volume_noise_multiplier
    return np.broadcast_to(np.sqrt(noise**2 + curve**2), setting.shape)


def curve_noise_log_sd(setting: Setting) -> Array:
    """A schedule along the forecast curve strays with the noise around it and the day's forecast error."""
    a = setting.assumptions
    noise = 0.85 * a.volume_noise_log_sd * setting.market.volume_noise_multiplier
    return np.broadcast_to(math.hypot(noise, a.volume_forecast_log_sd), setting.shape)


@dataclass(frozen=True, slots=True)
class Twap:
    """Equal quantities in equal clock time."""

    def __call__(self, setting: Setting) -> Flow:
        return scheduled_flow(setting, np.ones(STEPS), 0.6, clock_noise_log_sd(setting))


@dataclass(frozen=True, slots=True)
class Vwap:
    """Quantities along the forecast volume curve. A little less patient than TWAP: the curve must be kept."""

    def __call__(self, setting: Setting) -> Flow:
        return scheduled_flow(setting, np.ones(STEPS), 0.5, curve_noise_log_sd(setting))


@dataclass(frozen=True, slots=True)
class Pov:
    """A constant share of the volume as it comes: no participation noise, but it chases bursts, which come with
    moves, and has little time to wait at the touch."""

    chase: float = 0.012

    def __call__(self, setting: Setting) -> Flow:
        flow = scheduled_flow(setting, np.ones(STEPS), 0.35, zeros(setting))
        chased = -self.chase * setting.market.volume_noise_multiplier * np.sqrt(setting.horizon_days)
        return replace_gain(flow, np.broadcast_to(chased, setting.shape))


@dataclass(frozen=True, slots=True)
class ImplementationShortfall:
    """Almgren and Chriss (2000): holdings sinh(k(1-u))/sinh(k), so the rate is k cosh(k(1-u))/sinh(k).

    `kappa_horizon` is kappa x T, the trade-off between impact and risk; 0 would be TWAP.
    """

    kappa_horizon: float

    def __call__(self, setting: Setting) -> Flow:
        return scheduled_flow(setting, shortfall_weights(self.kappa_horizon), 0.45, curve_noise_log_sd(setting))


def shortfall_weights(kappa_horizon: float) -> Array:
    """(STEPS,) rates of mean exactly 1: differences of the holdings over the cells."""
    edges = np.linspace(0.0, 1.0, STEPS + 1)
    holdings = np.sinh(kappa_horizon * (1.0 - edges)) / math.sinh(kappa_horizon)
    return -np.diff(holdings) * STEPS


def ramp_weights(slope: float) -> Array:
    """(STEPS,) rates 1 + slope (u - 1/2) of mean 1; |slope| <= 2."""
    return 1.0 + slope * (CELL_MID - 0.5)


def replace_gain(flow: Flow, mid_gain: Array) -> Flow:
    """The same flow with another expected gain on the mid."""
    return replace(flow, mid_gain=mid_gain)
