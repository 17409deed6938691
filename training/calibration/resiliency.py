"""How fast a book fills again after a large trade: spread and depth at the touch by the time since.

A large trade is larger than 99 % of its stream, trades of one instant and side taken together.
Spread and depth are over their medians of the whole stretch; depth is that of the side which was hit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.calibration.days import EXECUTE, DepthStream, OrderFlow
from training.measures import Array

LAGS_S = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0)
LARGE_QUANTILE = 0.99
LEAST_TRADES = 300


@dataclass(frozen=True, slots=True)
class Recovery:
    """(events, lags) spread and depth over their medians at LAGS_S after each large trade."""

    name: str
    spread: Array
    depth: Array


def of_flow(flow: OrderFlow) -> DepthStream:
    """An order flow as a stream: its best quotes, and executions signed by who began them."""
    minutes = flow.clock.trading_minute(flow.time_s / 60.0)
    inside = np.isfinite(minutes) & (flow.bid > 0) & (flow.ask > flow.bid)
    executed = inside & (flow.kind == EXECUTE)
    quotes = np.stack(
        [c[inside].astype(np.float64) for c in (flow.bid, flow.ask, flow.bid_shares, flow.ask_shares)], axis=1
    )
    # A resting buy order that executes was hit by a seller.
    trades = np.stack(
        [-flow.side[executed] * flow.shares[executed].astype(np.float64), flow.price[executed] * 1.0], axis=1
    )
    return DepthStream(flow.symbol, flow.time_s[inside], quotes, flow.time_s[executed], trades)


def recovery(stream: DepthStream) -> Recovery | None:
    """Spread and depth after the stream's large trades; None where it has too few trades."""
    when, size = _merged(stream)
    if when.size < LEAST_TRADES:
        return None
    # Above the quantile, not at it: where most trades have one size, that size is no large one.
    large = np.abs(size) > np.quantile(np.abs(size), LARGE_QUANTILE)
    large &= when < stream.quote_s[-1] - max(LAGS_S)
    lags = np.array(LAGS_S)
    at = np.searchsorted(stream.quote_s, when[large][:, None] + lags[None, :], side="right") - 1
    seen = stream.quotes[np.maximum(at, 0)]
    spread = seen[:, :, 1] - seen[:, :, 0]
    bought = size[large] > 0
    depth = np.where(bought[:, None], seen[:, :, 3], seen[:, :, 2])
    spreads, depths = stream.quotes[:, 1] - stream.quotes[:, 0], stream.quotes[:, 2:].ravel()
    return Recovery(stream.name, spread / _time_median(stream, spreads), depth / float(np.median(depths)))


def _time_median(stream: DepthStream, values: Array) -> float:
    grid = np.arange(stream.quote_s[0], stream.quote_s[-1], 0.5)
    return float(np.median(values[np.searchsorted(stream.quote_s, grid, side="right") - 1]))


def _merged(stream: DepthStream) -> tuple[Array, Array]:
    """Trades of one instant and side as one."""
    signed = stream.trades[:, 0]
    fresh = np.ones(signed.size, dtype=bool)
    fresh[1:] = (np.diff(stream.trade_s) > 1e-3) | (np.sign(signed[1:]) != np.sign(signed[:-1]))
    group = np.cumsum(fresh) - 1
    # What the trade did is seen after its last part.
    last = np.append(np.flatnonzero(fresh)[1:] - 1, signed.size - 1)
    sizes: Array = np.bincount(group, weights=signed).astype(np.float64)
    return stream.trade_s[last], sizes


def half_life_s(curve: Array) -> float:
    """Seconds until half of the excess right after the trade is gone (over what is left at the last lag)."""
    excess = (curve - curve[-1]) / (curve[0] - curve[-1]) if curve[0] != curve[-1] else np.zeros(curve.size)
    below = np.flatnonzero(excess <= 0.5)
    if below.size == 0 or below[0] == 0:
        return 0.0
    i = int(below[0])
    share = (excess[i - 1] - 0.5) / (excess[i - 1] - excess[i])
    return float(LAGS_S[i - 1] + share * (LAGS_S[i] - LAGS_S[i - 1]))
