"""Where the order goes: lit by liquidity share and cost, dark greedily by the tails of hidden liquidity.

Shares are fixed multiples of 1e-6 and sum to 1 exactly but for the rounding of doubles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.models.dark_allocation import allocate_into
from engine.values import Venue

Array: TypeAlias = NDArray[np.float64]

PARTS = 1_000_000
DARK_UNITS = 50
STEPS = np.arange(1.0, DARK_UNITS + 1.0)
# A lit venue's share falls by half for every so many bps that it is dearer than the cheapest.
HALF_SHARE_BPS = 0.75
# Below this a lit venue is not worth a connection.
LEAST_SHARE = 0.01
# How a tail falls beyond the largest size that is known of it.
TAIL_POWER = 1.5


@dataclass(frozen=True, slots=True)
class VenueFacts:
    """What some venues say whatever the order is: worked out once an instrument, and anew where a request restricts
    them. Fees are weighted by liquidity share. crossing, resting: `lit_shares`."""

    mics: frozenset[str]
    taker_fee_bps: float
    maker_fee_bps: float
    dark_fee_bps: float
    dark_share: float
    crossing: Mapping[str, float]
    resting: Mapping[str, float]
    dark: tuple[Venue, ...]
    tails: DarkTails
    # What `allocate` gave of orders of which nothing goes dark: it does not depend on their size.
    _lit_only: dict[tuple[bool, float, str], dict[str, float]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class DarkTails:
    """P(hidden >= size) of dark venues: log_sizes, chances (venues, most points), `counts` (venues,) of them known,
    `last_sizes` and `last_chances` (venues, 1) the last points, 0 where there is none."""

    log_sizes: NDArray[np.float64]
    chances: NDArray[np.float64]
    counts: NDArray[np.int64]
    last_sizes: NDArray[np.float64]
    last_chances: NDArray[np.float64]


def facts_of(lit: tuple[Venue, ...], dark: tuple[Venue, ...]) -> VenueFacts:
    taker, maker, dark_fee = fees_bps(lit, dark)
    return VenueFacts(
        frozenset([venue.mic for venue in (*lit, *dark)]), taker, maker, dark_fee,
        sum([venue.volume_share_fraction for venue in dark], 0.0), lit_shares(lit, False) if lit else {},
        lit_shares(lit, True) if lit else {}, dark, tails_of(dark),
    )  # fmt: skip


def tails_of(dark: tuple[Venue, ...]) -> DarkTails:
    count, most = len(dark), max((len(venue.tail_size_shares) for venue in dark), default=0)
    found = DarkTails(
        np.zeros((count, most)), np.zeros((count, most)), np.zeros(count, dtype=np.int64), np.zeros((count, 1)),
        np.zeros((count, 1)),
    )  # fmt: skip
    for row, venue in enumerate(dark):
        known = len(venue.tail_size_shares)
        found.counts[row] = known
        if known:
            found.log_sizes[row, :known] = np.log(np.array(venue.tail_size_shares))
            found.chances[row, :known] = venue.tail_probability
            found.last_sizes[row], found.last_chances[row] = venue.tail_size_shares[-1], venue.tail_probability[-1]
    return found


def fees_bps(lit: tuple[Venue, ...], dark: tuple[Venue, ...]) -> tuple[float, float, float]:
    """(taker, maker, dark) fees, weighted by liquidity share."""
    return mean_fee(lit, "taker_fee_bps"), mean_fee(lit, "maker_fee_bps"), mean_fee(dark, "taker_fee_bps")


def lit_volume_left(left: tuple[Venue, ...], every: tuple[Venue, ...]) -> float:
    """Part of the volume on `every` lit venue that trades on those left, 0 to 1; 1 where nothing is known of it.

    Dark venues are no part of it: what can be had there is bounded by their own share."""
    whole = sum([venue.volume_share_fraction for venue in every])
    if len(left) == len(every) or whole <= 0.0:
        return 1.0
    return float(sum([venue.volume_share_fraction for venue in left]) / whole)


def mean_fee(venues: tuple[Venue, ...], name: str) -> float:
    total = sum([venue.volume_share_fraction for venue in venues])
    if total <= 0.0:
        return float(getattr(venues[0], name)) if venues else 0.0
    return float(sum([getattr(v, name) * v.volume_share_fraction for v in venues]) / total)


def allocate(venues: VenueFacts, quantity_shares: float, dark_ratio: float, passive: bool, auction_ratio: float,
             primary_mic: str) -> dict[str, float]:
    """MIC -> share of the order. There is a lit venue; where there is no dark one, nothing goes dark whatever the
    ratio."""
    if venues.dark and dark_ratio > 0.0:
        dark = dark_shares(venues, quantity_shares * dark_ratio)
        return with_lit(venues, {mic: share * dark_ratio for mic, share in dark.items()}, passive, auction_ratio,
                        primary_mic)  # fmt: skip
    key = (passive, auction_ratio, primary_mic)
    if key not in venues._lit_only:
        venues._lit_only[key] = with_lit(venues, {}, passive, auction_ratio, primary_mic)
    return dict(venues._lit_only[key])


def with_lit(venues: VenueFacts, shares: dict[str, float], passive: bool, auction_ratio: float,
             primary_mic: str) -> dict[str, float]:
    """The dark venues' `shares` with those of the lit ones beside them."""
    rest = 1.0 - sum(shares.values())
    lit_part = venues.resting if passive else venues.crossing
    if auction_ratio > 0.0:
        # However small its part of the day is: it holds the auction. Elsewhere only where no venue is the primary one.
        listing = primary_mic if primary_mic in venues.mics else max(lit_part, key=lambda mic: lit_part[mic])
        shares[listing] = auction_ratio * rest
        rest *= 1.0 - auction_ratio
    for mic, share in lit_part.items():
        shares[mic] = shares.get(mic, 0.0) + share * rest
    return rounded(shares)


def lit_shares(lit: tuple[Venue, ...], passive: bool) -> dict[str, float]:
    """Liquidity share, discounted by the fee that the strategy would mostly pay there."""
    fees = {v.mic: v.maker_fee_bps if passive else v.taker_fee_bps for v in lit}
    cheapest = min(fees.values())
    weights = {
        v.mic: max(v.volume_share_fraction, 1e-9) * math.exp2(-(fees[v.mic] - cheapest) / HALF_SHARE_BPS) for v in lit
    }
    total = sum(weights.values())
    # Where every venue is small, all stay.
    kept = {mic: w for mic, w in weights.items() if w / total >= LEAST_SHARE} or weights
    kept_total = sum(kept.values())
    return {mic: w / kept_total for mic, w in kept.items()}


def dark_shares(venues: VenueFacts, quantity_shares: float) -> dict[str, float]:
    """Ganchev et al. (2010): unit after unit to the venue most likely to have one more. What no venue has a chance
    for stays with them in proportion, since resting there costs nothing while the lit part works."""
    units, tails = np.empty(len(venues.dark), dtype=np.int64), venues.tails
    sizes_shares = quantity_shares / DARK_UNITS * STEPS
    if not allocate_units(
        tails.log_sizes, tails.chances, tails.counts, tails.last_sizes, sizes_shares, np.log(sizes_shares),
        beyond_of(tails, sizes_shares), units,
    ):
        raise ValueError("tails of dark venues must lie in [0, 1] and not rise")
    given: list[Any] = units.tolist()
    total: float = sum(given)
    if total == 0:
        weights = np.array([max(v.volume_share_fraction, 1e-9) for v in venues.dark])
        given, total = weights.tolist(), float(weights.sum())
    return {v.mic: u / total for v, u in zip(venues.dark, given, strict=True) if u > 0}


def beyond_of(tails: DarkTails, sizes_shares: Array) -> Array:
    """(venues, sizes) chances of sizes beyond the last that is known of a venue."""
    return tails.last_chances * (tails.last_sizes / sizes_shares) ** TAIL_POWER


@njit(cache=True)
def allocate_units(
    log_sizes: Array, chances: Array, counts: NDArray[np.int64], last_sizes: Array, sizes: Array, logs: Array,
    beyond: Array, units: NDArray[np.int64],
) -> bool:
    """The DARK_UNITS into `units` (venues,); False where tails are not sound. beyond: `beyond_of`."""
    tails = np.zeros((counts.shape[0], sizes.shape[0]))
    fill_tails(log_sizes, chances, counts, last_sizes, sizes, logs, beyond, tails)
    sound: bool = allocate_into(tails, DARK_UNITS, units)
    return sound


@njit(cache=True)
def fill_tails(
    log_sizes: Array, chances: Array, counts: NDArray[np.int64], last_sizes: Array, sizes: Array, logs: Array,
    beyond: Array, found: Array,
) -> None:
    """P(hidden >= size) into `found` (venues, sizes), which holds zeros: linear in log size between a venue's points,
    as numpy.interp draws its lines, its last value falling off beyond them; never rising."""
    for venue in range(counts.shape[0]):
        last = counts[venue] - 1
        if last < 0:
            continue
        low, least = 0, np.inf
        for step in range(sizes.shape[0]):
            x = logs[step]
            if sizes[step] > last_sizes[venue, 0]:
                chance = beyond[venue, step]
            elif x < log_sizes[venue, 0]:
                chance = chances[venue, 0]
            elif x >= log_sizes[venue, last]:
                chance = chances[venue, last]
            else:
                while log_sizes[venue, low + 1] <= x:
                    low += 1
                chance = chances[venue, low]
                if x != log_sizes[venue, low]:
                    rise = chances[venue, low + 1] - chances[venue, low]
                    slope = rise / (log_sizes[venue, low + 1] - log_sizes[venue, low])
                    chance = slope * (x - log_sizes[venue, low]) + chances[venue, low]
            least = min(least, chance)
            found[venue, step] = least


def rounded(shares: dict[str, float]) -> dict[str, float]:
    """Whole millionths by largest remainder, by falling share, then MIC."""
    total = sum(shares.values())
    exact = {mic: share / total * PARTS for mic, share in shares.items()}
    parts = {mic: math.floor(value) for mic, value in exact.items()}
    left = PARTS - sum(parts.values())
    by_remainder = sorted(exact, key=lambda mic: (parts[mic] - exact[mic], mic))
    for mic in by_remainder[:left]:
        parts[mic] += 1
    ordered = sorted((mic for mic in parts if parts[mic] > 0), key=lambda mic: (-parts[mic], mic))
    return {mic: parts[mic] / PARTS for mic in ordered}
