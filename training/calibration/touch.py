"""Volume that trades against resting orders at the touch: its share, its noise, how it leans, and what that
tells.

In a minute `a` shares trade against the best ask and `b` against the best bid, of V in all. The lean w = (a -
b)/(a + b) is the flow's sign and strength; the mid moves with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.calibration.days import QuoteDay, TouchDay
from training.measures import Array

LEAST_TRADES_SHARES = 1.0


@dataclass(frozen=True, slots=True)
class TouchMinutes:
    """Minutes of a day with volume at the touch: log share of both sides, lean, the mid's move in
    half-spreads."""

    log_share: Array
    lean: Array
    move_half_spreads: Array


def side_share_terms(day: TouchDay) -> tuple[float, float]:
    """(volume at the touch of one side on average, all volume): their ratio is the share of one side."""
    both = np.nansum(day.at_bid_shares) + np.nansum(day.at_ask_shares)
    return float(both) / 2.0, float(np.nansum(day.volume_shares))


def off_exchange_terms(day: TouchDay) -> tuple[float, float]:
    """(volume off exchanges, all volume)."""
    return float(np.nansum(day.off_exchange_shares)), float(np.nansum(day.volume_shares))


def touch_minutes(day: TouchDay, quotes: QuoteDay) -> TouchMinutes:
    """The day's minutes that have both sides' volume and quotes."""
    per_minute = round(60.0 / quotes.step_s)
    edges = np.concatenate((quotes.mid[::per_minute], quotes.mid[-1:]))[: day.clock.minutes + 1]
    half = ((quotes.ask - quotes.bid) / 2.0)[::per_minute][: day.clock.minutes]
    half = np.where(half > 0, half, np.nan)
    both = day.at_bid_shares + day.at_ask_shares
    with np.errstate(divide="ignore", invalid="ignore"):
        lean = (day.at_ask_shares - day.at_bid_shares) / both
        log_share = np.log(both / day.volume_shares)
        move = np.diff(edges) / half
    good = (both >= LEAST_TRADES_SHARES) & np.isfinite(log_share) & np.isfinite(move)
    return TouchMinutes(log_share[good], lean[good], move[good])


def minute_blocks(found: TouchMinutes, size: int = 30) -> Array:
    """(blocks, 7) sums of stretches of minutes: count, lean, its square, move, lean x move, log share, its
    square.

    Moves beyond 30 half-spreads are cut there. Stretches are the units to resample.
    """
    move = np.clip(found.move_half_spreads, -30.0, 30.0)
    columns = (
        np.ones_like(move),
        found.lean,
        found.lean**2,
        move,
        found.lean * move,
        found.log_share,
        found.log_share**2,
    )
    count = max(1, move.size // size)
    return np.array(
        [
            [float(part.sum()) for part in parts]
            for parts in zip(*(np.array_split(column, count) for column in columns), strict=True)
        ]
    )


def lean_sd(terms: Array) -> float:
    """Standard deviation of a minute's lean: the simulator's `flow_tilt`."""
    n, lean, square = terms.sum(axis=0)[:3]
    return float(np.sqrt(square / n - (lean / n) ** 2))


def information(terms: Array) -> float:
    """Half-spreads that the mid moves in a minute whose lean is one standard deviation, by least squares."""
    n, lean, _, move, product = terms.sum(axis=0)[:5]
    return float((product / n - lean / n * move / n) / lean_sd(terms))


def share_log_sd(terms: Array) -> float:
    """Log-sd of the share of both sides together."""
    total = terms.sum(axis=0)
    return float(np.sqrt(max(total[6] / total[0] - (total[5] / total[0]) ** 2, 0.0)))
