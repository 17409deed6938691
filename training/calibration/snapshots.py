"""Snapshots of the book every few seconds, ten levels of which the first is read. Two layouts, parquet or
CSV.

shenzhen        MDDate (2022.06.01), MDTime (09:30:03.000), SecurityID (300122.SZ), BuyPrice1, SellPrice1,
                BuyOrderQty1, SellOrderQty1, TotalVolumeTrade: local time, yuan, shares; the volume is the
                day's so far.
shanghai        DateTime (2021.12.01T09:30:02.000), SecurityID (600103), BidPrice0, OfferPrice0, BidOrderQty0,
                OfferOrderQty0, TotalVolumeTrade.

Days that do not reach the afternoon give quotes only, no day of minutes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from training.calibration.clocks import CHINA, Clock, clock_of
from training.calibration.days import DataSet, Keep, QuoteDay, RowCount, keep_known_days, last_known
from training.calibration.orders import clock_grid_s, minute_day

SHENZHEN, SHANGHAI = "snapshots (Shenzhen)", "snapshots (Shanghai)"
STEP_S = 3.0
SHENZHEN_NAMES = {
    "BuyPrice1": "bid",
    "SellPrice1": "ask",
    "BuyOrderQty1": "bid_shares",
    "SellOrderQty1": "ask_shares",
}
SHANGHAI_NAMES = {
    "BidPrice0": "bid",
    "OfferPrice0": "ask",
    "BidOrderQty0": "bid_shares",
    "OfferOrderQty0": "ask_shares",
}


def read_shenzhen(path: Path, frame: Any, data: DataSet, keep: Keep) -> None:
    """Snapshots as Shenzhen sends them."""
    _read(
        path,
        frame,
        SHENZHEN,
        frame["MDDate"].astype(str),
        frame["MDTime"].astype(str),
        frame["SecurityID"].astype(str),
        SHENZHEN_NAMES,
        data,
        keep,
    )


def read_shanghai(path: Path, frame: Any, data: DataSet, keep: Keep) -> None:
    """Snapshots as Shanghai sends them."""
    stamp = frame["DateTime"].astype(str).str.split("T", n=1, expand=True)
    codes = frame["SecurityID"].astype(str).str.zfill(6) + ".SH"
    _read(path, frame, SHANGHAI, stamp[0], stamp[1], codes, SHANGHAI_NAMES, data, keep)


def _read(
    path: Path,
    frame: Any,
    name: str,
    dates: Any,
    times: Any,
    codes: Any,
    names: dict[str, str],
    data: DataSet,
    keep: Keep,
) -> None:
    count = RowCount(path.name, name, len(frame))
    parts = times.str.split(":", expand=True).astype(float)
    frame = frame.rename(columns=names).assign(
        code=codes,
        date=dates.str.replace(".", "").astype(int),
        second=parts[0] * 3600 + parts[1] * 60 + parts[2],
    )
    frame = keep_known_days(count, frame, keep, "code")
    clock = clock_of(path.parent, CHINA)
    early, late = clock.segments[0][0] * 60.0, clock.segments[-1][1] * 60.0
    frame = count.drop_unused(frame, "before continuous trading", frame["second"] < early)
    # What the day's volume reaches in the closing call is read from these rows, their quotes are not.
    closing = frame.groupby(["code", "date"])["TotalVolumeTrade"].max()
    frame = count.drop_unused(frame, "after continuous trading", frame["second"] >= late)
    frame = count.drop_bad(frame, "one side of the book is empty", ~((frame["bid"] > 0) & (frame["ask"] > 0)))
    frame = count.drop_bad(frame, "crossed quotes", frame["ask"] <= frame["bid"])
    data.files.append(count.report())
    for (code, date), rows in frame.sort_values("second", kind="stable").groupby(["code", "date"]):
        _one_day(str(code), int(date), rows, float(closing[(code, date)]), clock, path.name, data)


def _one_day(code: str, date: int, rows: Any, total: float, clock: Clock, source: str, data: DataSet) -> None:
    times = rows["second"].to_numpy(dtype=np.float64)
    grid = clock_grid_s(clock, STEP_S)
    sides = [
        last_known(times, rows[c].to_numpy(dtype=np.float64), grid)
        for c in ("bid", "ask", "bid_shares", "ask_shares")
    ]
    known = grid <= times[-1] + 120.0
    sides = [np.where(known, side, np.nan) for side in sides]
    quotes = QuoteDay(code, date, clock, STEP_S, sides[0], sides[1], sides[2], sides[3], source)
    data.quotes.append(quotes)
    if known.mean() < 0.95:
        return
    traded = rows["TotalVolumeTrade"].to_numpy(dtype=np.float64)
    edges = clock_grid_s(clock, 60.0)
    so_far = np.concatenate((last_known(times, traded, edges), traded[-1:]))
    so_far[0] = traded[0] if not np.isfinite(so_far[0]) else so_far[0]
    volume = np.maximum(np.diff(so_far), 0.0)
    data.days.append(minute_day(quotes, volume, float(so_far[0]), max(total - float(traded[-1]), 0.0)))
