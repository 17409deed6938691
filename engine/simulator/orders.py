"""An order as the simulator sees it: exactly what request and snapshot show, in units of the instrument's own day.

Shares are in average daily volumes, prices in daily volatilities or in quoted spreads, times in trading minutes. So a
path's cost is spread x A + sigma x B with A and B free of both, the way the structural surfaces are (engine/pricing).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine import kernel as k

LEAST_SPREAD_TICKS = 1.0
MOST_SPREAD_TICKS = 200.0


@dataclass(frozen=True, slots=True)
class SimulatedOrder:
    """One parent order.

    size_days: quantity over average daily volume. expected_volume: (minutes,) share of daily volume expected in each
    minute from the start until the last that the order may trade in. weights: (6,) probabilities of CONDITIONS.
    spread_ticks, queue_share: the instrument's usual spread in ticks, and queue at the touch over daily volume.
    """

    size_days: float
    start_minute: float
    session_minutes: float
    expected_volume: NDArray[np.float64]
    weights: NDArray[np.float64]
    sigma_bps: float
    spread_bps: float
    spread_ticks: float
    queue_share: float
    dark_share: float
    auction_share: float
    max_participation: float
    taker_fee_bps: float
    maker_fee_bps: float
    dark_fee_bps: float
    turnover_factor: float
    risk_aversion: float
    time_price_bps_per_day: float
    alpha_bps_per_day: float

    @property
    def minutes(self) -> int:
        return len(self.expected_volume)

    @property
    def permanent_bps(self) -> float:
        """Linear permanent impact on a whole order: the same for every way of trading it."""
        return self.sigma_bps * self.permanent_per_sigma

    @property
    def permanent_per_sigma(self) -> float:
        return 0.5 * 0.314 * self.size_days * self.turnover_factor


def order_of(context: NDArray[np.float64], weights: NDArray[np.float64],
             cumulative: NDArray[np.float64]) -> SimulatedOrder:
    """From the kernel's context vector: what the decision reads is what the market is simulated around.

    The closing auction is in reach only where the order may trade until the close.
    """
    start, available = context[k.START_MINUTE], context[k.AVAILABLE_MINUTES]
    minutes = max(1, math.floor(available + 1e-6))
    at = np.minimum(start + np.arange(minutes + 1), len(cumulative) - 1.0)
    volume = np.diff(np.interp(at, np.arange(len(cumulative)), cumulative))
    reaches_close = available >= context[k.MINUTES_TO_CLOSE] - 1e-6
    return SimulatedOrder(
        size_days=float(context[k.QUANTITY] / context[k.DAILY_VOLUME]), start_minute=float(start),
        session_minutes=float(context[k.SESSION_MINUTES]), expected_volume=np.maximum(volume, 1e-9),
        weights=np.array(weights, dtype=np.float64), sigma_bps=float(context[k.SIGMA_BPS]),
        spread_bps=float(context[k.SPREAD_BPS]),
        spread_ticks=float(min(max(context[k.SPREAD_TICKS], LEAST_SPREAD_TICKS), MOST_SPREAD_TICKS)),
        queue_share=float(context[k.QUEUE_SHARE]),
        dark_share=float(context[k.DARK_SHARE]),
        auction_share=float(context[k.AUCTION_SHARE]) if reaches_close else 0.0,
        max_participation=float(context[k.MAX_PARTICIPATION]), taker_fee_bps=float(context[k.TAKER_FEE_BPS]),
        maker_fee_bps=float(context[k.MAKER_FEE_BPS]), dark_fee_bps=float(context[k.DARK_FEE_BPS]),
        turnover_factor=float(context[k.TURNOVER_FACTOR]), risk_aversion=float(context[k.RISK_AVERSION]),
        time_price_bps_per_day=float(context[k.TIME_PRICE]), alpha_bps_per_day=float(context[k.ALPHA_BPS_PER_DAY]),
    )
