"""Passive fills from order-by-order data: one small order joins the queue at the touch at a random moment of
each minute.

It rests at its price and is never moved. Those who stood there before it are ahead of it; executions take
from the front, cancellations of orders that came before it bring it forward, those of later ones do not. It
is filled by the first share that trades there with nobody ahead, by any trade at a worse price, or by an
opposite quote that reaches its price. What is ahead is never more than what the book shows while its price is
the best one.

What the mid did: from just before the fill to one and five minutes after it, against the order, in
half-spreads of the moment before the fill, which is what it earned: 1 means that all of it is gone, as in
Rule 605's realised spread.

The same order may be moved along instead: `pegged` ones are placed anew, at the end of the queue, at each
whole minute after which their side's best price is another. That is how the simulator's resting policies stay
at the touch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from training.calibration.days import ADD, OrderFlow
from training.measures import Array

HORIZONS_MINUTES = (1.0, 5.0, 10.0)
AFTER_MINUTES = (1.0, 5.0)
SEED = 20_250_602
JOINS_A_MINUTE = 2  # on each side
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PassiveFills:
    """One entry an order: minutes until it filled (inf: not within the longest horizon), what was ahead of it
    (shares), and of the filled ones the moves against it and the half-spread it earned, in ticks (nan for the
    others)."""

    symbol: str
    waited_minutes: Array
    ahead_shares: Array
    moved_1_ticks: Array
    moved_5_ticks: Array
    half_spread_ticks: Array


def passive_fills(flow: OrderFlow, pegged: bool = False) -> PassiveFills:
    """Orders that join at random moments of every minute on both sides, seeded."""
    when = flow.clock.elapsed(flow.time_s / 60.0)
    rng = np.random.default_rng(SEED)
    first, last = float(when[0]), float(when[-1]) - max(HORIZONS_MINUTES) - max(AFTER_MINUTES)
    starts = np.arange(np.ceil(max(first, 1.0)), last)
    joins = np.sort((starts[:, None] + rng.random((starts.size, JOINS_A_MINUTE))).ravel())
    at = np.searchsorted(when, joins, side="right") - 1
    sound = (at >= 0) & (flow.bid[at] > 0) & (flow.ask[at] > flow.bid[at])
    joins, at = joins[sound], at[sound]
    added = first_added(flow)
    columns = (
        when,
        flow.kind.astype(np.int64),
        flow.order,
        flow.price,
        flow.shares,
        flow.side.astype(np.int64),
        flow.bid,
        flow.ask,
        flow.bid_shares,
        flow.ask_shares,
        added,
    )
    parts = [join_queue(joins, at, side, max(HORIZONS_MINUTES), pegged, *columns) for side in (1, -1)]
    found = np.concatenate(parts)
    return PassiveFills(flow.symbol, *(found[:, i] for i in range(5)))


def first_added(flow: OrderFlow) -> NDArray[np.int64]:
    """(n) where the event's order was added, -1 where it stood before the data begin."""
    dense = np.unique(flow.order, return_inverse=True)[1]
    first = np.full(int(dense.max(initial=0)) + 1, -1, dtype=np.int64)
    place = np.flatnonzero(flow.kind == ADD)[::-1]
    first[dense[place]] = place
    found: NDArray[np.int64] = first[dense]
    return found


@njit(cache=True)
def join_queue(
    joins: Array,
    at: Counts,
    side: int,
    horizon: float,
    pegged: bool,
    when: Array,
    kind: Counts,
    order: Counts,
    price: Counts,
    shares: Counts,
    sides: Counts,
    bid: Counts,
    ask: Counts,
    bid_shares: Counts,
    ask_shares: Counts,
    added: Counts,
) -> Array:
    """(joins, 5): waited, ahead at first, moves after one and five minutes, half-spread; moves and
    half-spread in ticks."""
    own, own_shares = (bid, bid_shares) if side > 0 else (ask, ask_shares)
    opposite = ask if side > 0 else bid
    out = np.full((joins.size, 5), np.nan)
    for j in range(joins.size):
        out[j, 0], out[j, 1] = np.inf, own_shares[at[j]]
        k, mine = fill_of(
            joins[j], at[j], side, horizon, pegged, when, kind, price, shares, sides, own, own_shares, opposite, added
        )
        if k >= 0:
            out[j, 0] = when[k] - joins[j]
            follow(out[j], k, mine, side, when, bid, ask)
    return out


@njit(cache=True)
def fill_of(
    join: float, at: int, side: int, horizon: float, pegged: bool, when: Array, kind: Counts, price: Counts,
    shares: Counts, sides: Counts, own: Counts, own_shares: Counts, opposite: Counts, added: Counts,
) -> tuple[int, int]:  # fmt: skip
    """(the event that fills an order that joined behind event `at`, its price then); -1 where none within the horizon
    does. A pegged order looks every minute where its side's best price is, and joins the end of the queue there.
    own, own_shares: its side's best price and what stands there; opposite: the other side's best price."""
    mine, ahead = own[at], own_shares[at]
    look = join + 1.0
    k = at + 1
    while k < when.size and when[k] <= join + horizon:
        if pegged and when[k] > look:
            look += 1.0
            if own[k - 1] > 0 and own[k - 1] != mine:
                at = k - 1
                mine, ahead = own[at], own_shares[at]
        filled = False
        if sides[k] == side and kind[k] != 0 and price[k] > 0:
            if price[k] == mine:
                if kind[k] == 2:
                    filled = shares[k] > ahead
                    ahead -= shares[k]
                elif added[k] <= at:
                    ahead -= shares[k]
            elif kind[k] == 2 and (price[k] - mine) * side < 0:
                filled = True
        if opposite[k] > 0 and (opposite[k] - mine) * side <= 0:
            filled = True
        if filled:
            return k, mine
        if own[k] == mine:
            ahead = min(ahead, own_shares[k])
        ahead = max(ahead, 0)
        k += 1
    return -1, mine


@njit(cache=True)
def follow(row: Array, k: int, mine: int, side: int, when: Array, bid: Counts, ask: Counts) -> None:
    """Fills in what the mid does after a fill by event `k`, and the half-spread that it earned; nothing where the book
    was empty on a side or had passed the price."""
    before = 0.5 * (bid[k - 1] + ask[k - 1])
    half = (before - mine) * side
    if half <= 0.0 or bid[k - 1] == 0 or ask[k - 1] == 0:
        return
    row[4] = half
    for column, minutes in ((2, 1.0), (3, 5.0)):
        later = np.searchsorted(when, when[k] + minutes, side="right") - 1
        if bid[later] > 0 and ask[later] > 0:
            row[column] = (before - 0.5 * (bid[later] + ask[later])) * side


def block_terms(found: PassiveFills, size: int = 60) -> Array:
    """(blocks, 7) sums of stretches of orders that follow on each other, which share a market: count, filled
    within each of HORIZONS_MINUTES, move after one minute, after five, half-spreads earned (of those with all
    three known)."""
    moved = np.isfinite(found.moved_1_ticks) & np.isfinite(found.moved_5_ticks)
    columns: list[Array] = [np.ones(found.waited_minutes.size)]
    columns += [np.asarray(found.waited_minutes <= horizon, dtype=np.float64) for horizon in HORIZONS_MINUTES]
    columns += [
        np.where(moved, x, 0.0) for x in (found.moved_1_ticks, found.moved_5_ticks, found.half_spread_ticks)
    ]
    count = max(1, found.waited_minutes.size // size)
    return np.array(
        [
            [float(part.sum()) for part in parts]
            for parts in zip(*(np.array_split(column, count) for column in columns), strict=True)
        ]
    )


def fill_rates(terms: Array) -> Array:
    """Share filled within each of HORIZONS_MINUTES."""
    total = terms.sum(axis=0)
    found: Array = total[1:4] / total[0]
    return found


def moved_half_spreads(terms: Array) -> Array:
    """Mean move of the mid against the filled orders after one and five minutes, in half-spreads of before
    the fill.

    1 means that the half-spread which the fill earned is gone.
    """
    total = terms.sum(axis=0)
    found: Array = total[4:6] / total[6]
    return found
