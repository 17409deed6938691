"""The three dark pools: their share of off-exchange volume (measured) and their hidden size (assumed)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.measures import round_figure
from training.readers import DARK_FOLDER


@dataclass(frozen=True)
class DarkVenue:
    """An ATS: its hidden size H has P(H >= s) = present * (1 + s / (scale * ADV)) ** -exponent for s > 0."""

    mic: str
    ats_code: str
    name: str
    aliases: tuple[str, ...]
    present_probability: float
    scale_of_adv: float
    exponent: float
    fee_usd: float = 0.0010


# Ranked by the ATS shares of 2019 (UBS first, then LeveL, then BIDS) and by the kind of order each pool is
# known for: UBS and LeveL cross many small child orders, BIDS is a block pool, seldom there and large when it
# is. The first two exponents are near the off-exchange prints' own tails (Hill estimates 1.37-1.58 over AIG,
# BAC and SPY of 2013, prints above 500 shares or 2e-5 of ADV).
US_DARK = (
    DarkVenue("UBSA", "UBSA", "UBS ATS", ("DARK_POOL_1", "UBS_ATS"), 0.60, 6e-5, 1.6),
    DarkVenue("LEVL", "EBXL", "LeveL ATS", ("DARK_POOL_2", "LEVEL_ATS"), 0.42, 4e-5, 1.5),
    DarkVenue("BIDS", "BIDS", "BIDS ATS", ("DARK_POOL_3", "BIDS_ATS"), 0.18, 5e-4, 1.2),
)
TAIL_SIZE_OF_ADV = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
TAIL_ORIGIN = (
    "assumed: Lomax tail with an atom at zero (Ganchev et al. 2010 find zero-inflated power laws), "
    "parameters ranked by 2019 ATS shares and by kind of pool, scaled with ADV; see store/seed/README.md"
)


def dark_tail(venue: DarkVenue, adv_shares: float) -> tuple[list[float], list[float]]:
    """Sizes (shares, ascending round lots) and P(hidden >= size) of the assumed Lomax with a zero atom."""
    sizes: list[float] = []
    for fraction in TAIL_SIZE_OF_ADV:
        lots = max(math.ceil(fraction * adv_shares / 100.0), 1 if not sizes else int(sizes[-1] // 100) + 1)
        sizes.append(100.0 * float(f"{lots:.2g}"))
    scale = venue.scale_of_adv * adv_shares
    tail = [round_figure(venue.present_probability * (1 + s / scale) ** -venue.exponent) for s in sizes]
    return sizes, tail


@dataclass(frozen=True)
class DarkShare:
    """ATS share of off-exchange volume, and how the three pools split it."""

    ats_of_off_exchange: float
    split: dict[str, float]


def dark_share(data: Path) -> DarkShare:
    """Means of 2019's weeks: ATS part of off-exchange volume (tier 1), the three pools' relative shares."""
    folder = data / DARK_FOLDER
    off = json.loads((folder / "dv_ats_market_share_in_off_market.json").read_text())["t1"]
    ats = json.loads((folder / "dv_ats_market_share.json").read_text())["t1"]
    off_2019 = [v for w, v in zip(off["week"], off["atsPct"], strict=True) if w >= "2019"]
    level = {}
    for pool in US_DARK:
        weeks = zip(ats["week"], ats[pool.ats_code], strict=True)
        level[pool.mic] = float(np.mean([v for w, v in weeks if w >= "2019" and v is not None]))
    total = sum(level.values())
    return DarkShare(float(np.mean(off_2019)), {mic: x / total for mic, x in level.items()})
