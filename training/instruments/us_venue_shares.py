"""How a US stock's volume divides among exchanges, off exchange and the auctions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.instruments.us_ticks import (
    CLOSING_BIT,
    OFFICIAL_CLOSE_BIT,
    OFFICIAL_OPEN_BIT,
    OPENING_BIT,
    auction_sizes,
)
from training.readers import DARK_FOLDER, read

# By the data's exchange letter. C, M and W (National, Chicago, CBOE: under 2 % together) are left out.
EXCHANGE_LETTERS = "NQTPZYKJBX"
EXCHANGE_MICS = ("XNYS", "XNAS", "XNAS", "ARCX", "BATS", "BATY", "EDGX", "EDGA", "XBOS", "XPSX")
EXCHANGE_NAME_MIC = {
    "NYSE": "XNYS",
    "NASDAQ": "XNAS",
    "NASDAQ OMX": "XNAS",
    "NYSE Arca SM": "ARCX",
    "BATS": "BATS",
    "BATS Y": "BATY",
    "Direct Edge X": "EDGX",
    "Direct Edge A": "EDGA",
    "NASDAQ OMX BX": "XBOS",
    "NASDAQ OMX PSX": "XPSX",
}


@dataclass(frozen=True)
class VenueSplit:
    """Lit shares by MIC, off-exchange share, auction shares (all of the whole day's volume)."""

    lit: dict[str, float]
    off_exchange: float
    open_auction: float
    close_auction: float


def tick_venue_split(trades: Any, symbol: str) -> VenueSplit:
    """Shares of consolidated volume by exchange MIC, off exchange (D), and in the auctions."""
    own = trades[trades["symbol"] == symbol]
    opening = auction_sizes(own, OFFICIAL_OPEN_BIT, OPENING_BIT).sum()
    closing = auction_sizes(own, OFFICIAL_CLOSE_BIT, CLOSING_BIT).sum()
    counted = own[(own["flags"] & (OFFICIAL_OPEN_BIT | OFFICIAL_CLOSE_BIT)) == 0]
    total = float(counted["size"].sum())
    share = counted.groupby("exch")["size"].sum() / total
    lit: dict[str, float] = {}
    for code, mic in zip(EXCHANGE_LETTERS, EXCHANGE_MICS, strict=True):
        if code in share.index:
            lit[mic] = lit.get(mic, 0.0) + float(share[code])
    return VenueSplit(lit, float(share.get("D", 0.0)), float(opening / total), float(closing / total))


def venue_split_2014(data: Path, symbol: str) -> VenueSplit:
    """Volume by venue and session of one stock in January-June 2014 (TAQ)."""
    frame = read(
        data / DARK_FOLDER / "taq2014_volume_by_symbol_date_exchange_session.parquet",
        ("Symbol", "Exchange", "TOD", "Volume"),
    )
    own = frame[frame["Symbol"] == symbol]
    total = float(own["Volume"].sum())
    by_venue = own.groupby("Exchange")["Volume"].sum() / total
    lit: dict[str, float] = {}
    for name, mic in EXCHANGE_NAME_MIC.items():
        if by_venue.get(name, 0.0) > 0:
            lit[mic] = lit.get(mic, 0.0) + float(by_venue[name])
    session = own.groupby("TOD")["Volume"].sum() / total
    return VenueSplit(lit, float(by_venue.get("FINRA", 0.0)), float(session["Open"]), float(session["Close"]))


def average_split(splits: Sequence[VenueSplit]) -> VenueSplit:
    """Equal-weighted mean of several splits; a venue absent from one counts as 0 there."""
    mics = sorted({m for s in splits for m in s.lit})
    lit = {m: float(np.mean([s.lit.get(m, 0.0) for s in splits])) for m in mics}
    return VenueSplit(
        lit,
        *(
            float(np.mean([getattr(s, n) for s in splits]))
            for n in ("off_exchange", "open_auction", "close_auction")
        ),
    )
