"""AAPL, MSFT, PLTR and SPY from bars of 2016, 2019 and 2025: day statistics and volume curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]

from training.instruments.day_stats import DayStats, day_shares, realised_variance
from training.instruments.reference import US_BINS
from training.measures import Array, robust_clip
from training.readers import BARS_FOLDER, on_new_york_clock, read, us_bar_table


def us_bar_stats(frame: Any, width_minutes: int, open_fraction: float, close_fraction: float) -> DayStats:
    """Day statistics of bars on New York's clock.

    The first bar holds the opening auction; its measured share of the listing market's volume is taken out
    before the curve is made. The closing auction has a bar of its own at 16:00, outside the session.
    """
    volume = us_bar_table(frame, "volume", width_minutes).fillna(0.0)
    close = us_bar_table(frame, "close", width_minutes)
    first = us_bar_table(frame, "open", width_minutes).bfill(axis=1).iloc[:, 0].to_numpy(dtype=np.float64)
    full = (volume.to_numpy() > 0).mean(axis=1) > 0.95
    total = frame.groupby("date")["volume"].sum().reindex(volume.index).to_numpy(dtype=np.float64)
    table = volume.to_numpy(dtype=np.float64).copy()
    table[:, 0] = np.maximum(table[:, 0] - open_fraction * total, table[:, 1])
    bins = table.reshape(len(table), US_BINS, -1).sum(axis=2)
    prices = close.ffill(axis=1).to_numpy(dtype=np.float64)
    path = np.column_stack([first, prices])
    variance = np.array([realised_variance(day, 5 // width_minutes) for day in path])
    overnight = robust_clip(np.log(first[1:] / prices[:-1, -1]))
    return DayStats(
        volume_shares=total[full],
        curve=day_shares(bins[full]),
        open_auction_fraction=open_fraction,
        close_auction_fraction=close_fraction,
        realised_variance=variance[full],
        overnight_variance=float(np.nanmean(overnight**2)),
        last_price=float(prices[-1, -1]),
        days=int(full.sum()),
    )


def polygon_bars(data: Path, symbol: str) -> Any:
    """Five-minute bars of January-February 2025 on New York's clock, USD."""
    frame = read(
        data / BARS_FOLDER / "polygon_5min.parquet", ("symbol", "timestamp", "open", "close", "volume")
    ).rename(columns={"timestamp": "ts"})
    return on_new_york_clock(frame[(frame["symbol"] == symbol) & (frame["ts"] >= "2025-01-01")])


def aapl_curve_2019(data: Path, open_fraction: float) -> tuple[Array, int]:
    """AAPL's volume curve of 124 days of 2019, the opening auction taken out of its first bin.

    Its last bin is no higher than the continuous one of 2025, so the closing auction cannot be in it.
    """
    table = pd.read_csv(data / BARS_FOLDER / "aapl_volume_15min_2019H1.csv.gz", index_col=0)
    days = table.to_numpy(dtype=np.float64).T.copy()
    totals = days.sum(axis=1)
    days[:, 0] = np.maximum(days[:, 0] - open_fraction * totals, days[:, 1])
    return day_shares(days), len(days)
