"""Algorithms that wait: LIQUIDITY_SEEKING, OPPORTUNISTIC, PASSIVE_PEG and ICEBERG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.algorithms.flow import (
    STEPS,
    Flow,
    Setting,
    child_passive_share,
    expected_capped_share,
    expected_dark_share,
    ndtr,
    reversion_gain,
    spread,
    zeros,
)
from engine.algorithms.scheduled import curve_noise_log_sd, ramp_weights


@dataclass(frozen=True, slots=True)
class LiquiditySeeking:
    """Rests `dark_ratio` of what is left in dark venues all the time and works the rest lit, later and later, so
    that the dark part has time to fill. What is hoped for dark and does not come ends up lit."""

    dark_ratio: float

    def __call__(self, setting: Setting) -> Flow:
        dark = expected_dark_share(setting, self.dark_ratio, 1.0)
        passive = 0.8 * child_passive_share(setting, 0.5) * (1.0 - dark)
        late = ramp_weights(0.9 * self.dark_ratio)
        none = zeros(setting)
        return Flow(
            aggressive=spread(1.0 - dark - passive, late),
            passive=spread(passive, late),
            dark=spread(dark, ramp_weights(-0.6)),
            auction=none,
            remainder=none,
            completion=np.ones(setting.shape),
            volume_noise_log_sd=0.8 * curve_noise_log_sd(setting),
            spread_saving=none,
            mid_gain=none,
            footprint=0.35,
            book_walk=none,
            patience=0.5,
            dark_ratio=self.dark_ratio,
        )


def occupation_fill(speed: float) -> tuple[float, float]:
    """(expected filled share, probability of a full fill) when an order trades at `speed` times its schedule while
    the price is on the good side: the time a Brownian path spends there follows Levy's arcsine law.

    E[min(1, speed A)] with A arcsine on (0, 1), by the midpoint rule in its own quantiles.
    """
    quantiles = (np.arange(2000) + 0.5) / 2000
    occupation = np.sin(0.5 * np.pi * quantiles) ** 2
    return float(np.minimum(1.0, speed * occupation).mean()), float((speed * occupation >= 1.0).mean())


@dataclass(frozen=True, slots=True)
class Opportunistic:
    """Price-inline: trades at `speed` times the even pace while the price is at or better than arrival, waits else."""

    speed: float

    def __call__(self, setting: Setting) -> Flow:
        filled, complete = occupation_fill(self.speed)
        passive = child_passive_share(setting, 0.7) * filled
        shares = np.full(setting.shape, filled)
        none = zeros(setting)
        early = ramp_weights(-0.5)
        return Flow(
            aggressive=spread(shares - passive, early),
            passive=spread(passive, early),
            dark=spread(none, np.ones(STEPS)),
            auction=none,
            remainder=1.0 - shares,
            completion=np.full(setting.shape, complete),
            volume_noise_log_sd=1.2 * curve_noise_log_sd(setting),
            spread_saving=np.full(setting.shape, 0.1),
            mid_gain=reversion_gain(setting, 0.4),
            footprint=0.4,
            book_walk=none,
            patience=0.7,
        )


def resting_flow(setting: Setting, flow_share: float, footprint: float, log_sd: float) -> Flow:
    """An order that only rests: it gets E[min(1, F/participation)] of lognormal flow F, the rest is left over."""
    a = setting.assumptions
    median = flow_share * setting.market.passive_fill_multiplier
    # Over longer horizons good and bad stretches average out.
    width = log_sd / np.sqrt(1.0 + 8.0 * setting.horizon_days)
    filled = np.broadcast_to(expected_capped_share(setting.participation, median, width), setting.shape)
    filled = a.max_passive_share * filled
    complete = a.max_passive_share * (1.0 - ndtr((np.log(setting.participation) - np.log(median)) / width))
    none = zeros(setting)
    return Flow(
        aggressive=spread(none, np.ones(STEPS)),
        passive=spread(filled, ramp_weights(-0.3)),
        dark=spread(none, np.ones(STEPS)),
        auction=none,
        remainder=1.0 - filled,
        completion=np.broadcast_to(complete, setting.shape),
        volume_noise_log_sd=none,
        spread_saving=none,
        mid_gain=reversion_gain(setting, 0.2),
        footprint=footprint,
        book_walk=none,
        patience=1.0,
    )


@dataclass(frozen=True, slots=True)
class PassivePeg:
    """Pegged to the near touch, re-priced as it moves: the whole queue position is lost at every move, the share of
    flow is the touch's."""

    def __call__(self, setting: Setting) -> Flow:
        a = setting.assumptions
        return resting_flow(setting, a.touch_flow_share, 0.5, a.touch_flow_log_sd)


@dataclass(frozen=True, slots=True)
class Iceberg:
    """Shows `display_ratio` of what rests; every refill goes to the end of the queue, so it fills more slowly than
    the peg, but it shows less."""

    display_ratio: float

    def __call__(self, setting: Setting) -> Flow:
        a = setting.assumptions
        share = a.touch_flow_share * (0.45 + 0.45 * self.display_ratio)
        return resting_flow(setting, share, 0.1 + 0.35 * self.display_ratio, 1.2 * a.touch_flow_log_sd)


