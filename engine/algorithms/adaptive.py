"""Schedules that react: ADAPTIVE_TWAP (the specification's) and ADAPTIVE_VWAP, both with an optional dark part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.algorithms.flow import (
    STEPS,
    Array,
    Flow,
    Setting,
    child_passive_share,
    expected_dark_share,
    spread,
    zeros,
)
from engine.algorithms.scheduled import clock_noise_log_sd, curve_noise_log_sd, ramp_weights


def reacting_flow(setting: Setting, weights: Array, noise: Array, dark_ratio: float, patience: float,
                  reaction: float) -> Flow:
    """A schedule that slows when spread or volatility is high and hurries when both are low.

    `reaction` (0 to 1) is how much of the dispersion of the spread it uses; the saving is the lognormal mean of the
    cheaper moments, 1 - exp(-reaction x dispersion), a third of it lost to catching up at the end.
    """
    dark = expected_dark_share(setting, dark_ratio, 0.6) if dark_ratio > 0.0 else zeros(setting)
    passive = child_passive_share(setting, patience) * (1.0 - dark)
    saving = (1.0 - np.exp(-reaction * setting.market.spread_dispersion)) * (2.0 / 3.0)
    none = zeros(setting)
    return Flow(
        aggressive=spread(1.0 - dark - passive, weights),
        passive=spread(passive, weights),
        dark=spread(dark, np.ones(STEPS)),
        auction=none,
        remainder=none,
        completion=np.ones(setting.shape),
        volume_noise_log_sd=noise,
        spread_saving=np.broadcast_to(saving, setting.shape),
        mid_gain=none,
        footprint=0.5,
        book_walk=none,
        patience=patience,
        dark_ratio=dark_ratio,
    )


@dataclass(frozen=True, slots=True)
class AdaptiveTwap:
    """TWAP that leans on quiet moments: half the clock schedule's participation noise, a slightly late profile."""

    dark_ratio: float
    reaction: float = 0.5

    def __call__(self, setting: Setting) -> Flow:
        noise = 0.7 * clock_noise_log_sd(setting)
        return reacting_flow(setting, ramp_weights(0.25), noise, self.dark_ratio, 0.6, self.reaction)


@dataclass(frozen=True, slots=True)
class AdaptiveVwap:
    """VWAP whose curve is re-forecast from the volume seen: less noise than VWAP, less reaction than ADAPTIVE_TWAP
    because the curve must still be kept."""

    dark_ratio: float
    reaction: float = 0.3

    def __call__(self, setting: Setting) -> Flow:
        noise = 0.6 * curve_noise_log_sd(setting)
        return reacting_flow(setting, ramp_weights(0.1), noise, self.dark_ratio, 0.5, self.reaction)
