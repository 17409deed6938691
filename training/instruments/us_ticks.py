"""AIG, BAC and SPY of 7-9 October 2013, from ticks: quotes, auctions and day statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from training.instruments.day_stats import DayStats, day_shares, realised_variance
from training.instruments.reference import US_BINS
from training.measures import Array
from training.readers import TICK_FOLDER, TICK_PRICE_SCALE, US_CLOSE_MS, US_OPEN_MS, read, second_quotes

TICK_SYMBOLS = ("AIG", "BAC", "SPY")
OPENING_BIT, CLOSING_BIT = 0x40, 0x80
# "Market centre official open/close": the consolidated tape does not add them to volume (CTA specification).
OFFICIAL_OPEN_BIT, OFFICIAL_CLOSE_BIT = 0x4000000, 0x1000000


def tick_trades(data: Path) -> Any:
    """Trades that are not marked suspicious, with prices in USD and the condition bits as a number."""
    frame = read(
        data / TICK_FOLDER / "trades_tick.parquet",
        ("symbol", "date", "ms", "px", "size", "exch", "cond", "suspicious"),
    )
    flags = frame["cond"].map({c: int(c, 16) for c in frame["cond"].unique()})
    frame = frame.assign(flags=flags, px=frame["px"] / TICK_PRICE_SCALE)
    return frame[frame["suspicious"] == 0]


def second_grid() -> Array:
    """Each second from 09:31 (the first minute is wild) to the close, in ms since New York midnight."""
    return np.arange(US_OPEN_MS + 60_000, US_CLOSE_MS, 1_000, dtype=np.float64)


def nbbo_grid_from_bars(data: Path, symbol: str) -> dict[int, tuple[Array, Array]]:
    """National best bid and offer (USD) at each second of the session, by date, from second bars."""
    return second_quotes(data, symbol, second_grid())


def spread_bps_of(grids: dict[int, tuple[Array, Array]]) -> tuple[float, float, float]:
    """Median and mean quoted spread (bps) over equal time steps, and the last mid; locked ones left out."""
    spreads, last_mid = [], 0.0
    for date in sorted(grids):
        bid, ask = grids[date]
        good = np.isfinite(bid) & np.isfinite(ask) & (bid > 0) & (ask > bid)
        mid = (bid[good] + ask[good]) / 2
        spreads.append((ask[good] - bid[good]) / mid * 1e4)
        last_mid = float(mid[-1])
    every = np.concatenate(spreads)
    return float(np.median(every)), float(np.mean(every)), last_mid


def auction_sizes(own: Any, official_bit: int, flagged_bit: int) -> Any:
    """Auction volume by date: the larger of the flagged prints and the exchange's official print.

    NYSE prints an auction once, flagged. Arca's flagged prints cover it in part only (none on 2013-10-08);
    the size of its official print is the better record.
    """
    dates = sorted(own["date"].unique())
    flagged = (
        own[(own["flags"] & flagged_bit) != 0].groupby("date")["size"].sum().reindex(dates, fill_value=0)
    )
    official = (
        own[(own["flags"] & official_bit) != 0].groupby("date")["size"].max().reindex(dates, fill_value=0)
    )
    return np.maximum(flagged, official)


def tick_day_stats(trades: Any, grids: dict[int, tuple[Array, Array]], symbol: str) -> DayStats:
    """Volume, curve, auction shares and 5-minute realised variance (of mids) of a tick symbol."""
    own = trades[trades["symbol"] == symbol]
    opening = auction_sizes(own, OFFICIAL_OPEN_BIT, OPENING_BIT)
    closing = auction_sizes(own, OFFICIAL_CLOSE_BIT, CLOSING_BIT)
    marks = OPENING_BIT | CLOSING_BIT | OFFICIAL_OPEN_BIT | OFFICIAL_CLOSE_BIT
    ordinary = own[(own["flags"] & marks) == 0]
    total = ordinary.groupby("date")["size"].sum() + opening + closing
    continuous = ordinary[(ordinary["ms"] >= US_OPEN_MS) & (ordinary["ms"] < US_CLOSE_MS)]
    bins = ((continuous["ms"] - US_OPEN_MS) * US_BINS // (US_CLOSE_MS - US_OPEN_MS)).astype(int)
    table = continuous.groupby([continuous["date"], bins])["size"].sum().unstack(fill_value=0)
    table = table.reindex(columns=range(US_BINS), fill_value=0)
    variances = [realised_variance(((b + a) / 2)[::60], 5) for b, a in (grids[d] for d in sorted(grids))]
    return DayStats(
        volume_shares=total.to_numpy(dtype=np.float64),
        curve=day_shares(table.to_numpy(dtype=np.float64)),
        open_auction_fraction=float(opening.sum() / total.sum()),
        close_auction_fraction=float(closing.sum() / total.sum()),
        realised_variance=np.array(variances),
        overnight_variance=float("nan"),  # three days: two nights say nothing
        last_price=spread_bps_of(grids)[2],
        days=len(total),
    )
