"""Algorithms at the ends of the horizon: TARGET_CLOSE, which waits for the auction, and AGGRESSIVE_SWEEP, which does
not wait at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.algorithms.flow import STEPS, Flow, Setting, child_passive_share, spread, zeros
from engine.algorithms.scheduled import curve_noise_log_sd, ramp_weights


@dataclass(frozen=True, slots=True)
class TargetClose:
    """`auction_ratio` of the order into the closing auction, the rest ramped up towards it."""

    auction_ratio: float

    def __call__(self, setting: Setting) -> Flow:
        auction = np.full(setting.shape, self.auction_ratio)
        passive = child_passive_share(setting, 0.5) * (1.0 - auction)
        none = zeros(setting)
        return Flow(
            aggressive=spread(1.0 - auction - passive, ramp_weights(1.8)),
            passive=spread(passive, ramp_weights(1.8)),
            dark=spread(none, np.ones(STEPS)),
            auction=auction,
            remainder=none,
            completion=np.ones(setting.shape),
            volume_noise_log_sd=curve_noise_log_sd(setting),
            spread_saving=none,
            mid_gain=none,
            footprint=0.4,
            book_walk=none,
            patience=0.5,
        )


@dataclass(frozen=True, slots=True)
class AggressiveSweep:
    """Everything crosses at once: the price walks through the book, whose displayed depth is a share of daily volume,
    by half a spread for every depth taken, square-rooted beyond the first as hidden liquidity answers."""

    def __call__(self, setting: Setting) -> Flow:
        depths = setting.size_days / setting.assumptions.book_depth_share
        none = zeros(setting)
        return Flow(
            aggressive=np.ones((*setting.shape, STEPS)),
            passive=spread(none, np.ones(STEPS)),
            dark=spread(none, np.ones(STEPS)),
            auction=none,
            remainder=none,
            completion=np.full(setting.shape, 0.995),
            volume_noise_log_sd=none,
            spread_saving=none,
            mid_gain=none,
            footprint=1.0,
            patience=0.0,
            book_walk=np.where(depths < 1.0, 0.5 * depths, np.sqrt(np.maximum(depths, 1.0)) - 0.5),
        )
