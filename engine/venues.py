"""Where the order goes: lit by liquidity share and cost, dark greedily by the tails of hidden liquidity.

Shares are fixed multiples of 1e-6 and sum to 1 exactly but for the rounding of doubles.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.models.dark_allocation import allocate_greedy
from engine.values import Venue

PARTS = 1_000_000
DARK_UNITS = 50
# A lit venue's share falls by half for every so many bps that it is dearer than the cheapest.
HALF_SHARE_BPS = 0.75
# Below this a lit venue is not worth a connection.
LEAST_SHARE = 0.01


def allocate(lit: tuple[Venue, ...], dark: tuple[Venue, ...], quantity_shares: float, dark_ratio: float,
             passive: bool, auction_ratio: float, primary_mic: str) -> dict[str, float]:
    """MIC -> share of the order. `lit` is not empty; `dark` may be, then nothing goes dark whatever the ratio."""
    shares: dict[str, float] = {}
    dark_part = dark_shares(dark, quantity_shares * dark_ratio) if dark and dark_ratio > 0.0 else {}
    for mic, share in dark_part.items():
        shares[mic] = share * dark_ratio
    rest = 1.0 - sum(shares.values())
    lit_part = lit_shares(lit, passive)
    if auction_ratio > 0.0:
        listing = primary_mic if primary_mic in lit_part else max(lit_part, key=lambda mic: lit_part[mic])
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


def dark_shares(dark: tuple[Venue, ...], quantity_shares: float) -> dict[str, float]:
    """Ganchev et al. (2010): unit after unit to the venue most likely to have one more. What no venue has a chance
    for stays with them in proportion, since resting there costs nothing while the lit part works."""
    unit = quantity_shares / DARK_UNITS
    sizes: NDArray[np.float64] = unit * np.arange(1.0, DARK_UNITS + 1.0)
    tails = np.vstack([tail_at(venue, sizes) for venue in dark])
    units = allocate_greedy(tails, DARK_UNITS).astype(np.float64)
    if units.sum() == 0.0:
        units = np.array([max(v.volume_share_fraction, 1e-9) for v in dark])
    return {v.mic: float(u) for v, u in zip(dark, units / units.sum(), strict=True) if u > 0.0}


def tail_at(venue: Venue, sizes_shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(hidden >= size), linear in log size between the venue's points, its last value falling off beyond them."""
    known, chance = np.array(venue.tail_size_shares), np.array(venue.tail_probability)
    if len(known) == 0:
        return np.zeros(len(sizes_shares))
    inside = np.interp(np.log(sizes_shares), np.log(known), chance)
    beyond = chance[-1] * (known[-1] / sizes_shares) ** 1.5
    found = np.where(sizes_shares > known[-1], beyond, inside)
    return np.minimum.accumulate(found)


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
