"""Small market data files in every format that calibration reads, written by the tests themselves."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CALIBRATION_DATES = (20240301, 20240304, 20240307, 20240308, 20240311, 20240312)


def write(path: Path, frame: pd.DataFrame) -> Path:
    """A frame as parquet or CSV, by the file's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


def random_prices(minutes: int, seed: int, start: float = 100.0, sd: float = 8e-4) -> np.ndarray[Any, Any]:
    """(minutes + 1) prices of a random walk in cents."""
    moves = np.random.default_rng(seed).standard_t(6, minutes) * sd
    return np.round(start * np.exp(np.concatenate(([0.0], np.cumsum(moves)))), 2)


def utc_bars(symbol: str, date: str, seed: int, minutes: int = 390, open_utc: str = "13:30") -> pd.DataFrame:
    """A New York summer day of minute bars, stamped in UTC at their start."""
    price = random_prices(minutes, seed)
    volume = np.round(np.random.default_rng(seed + 1).lognormal(9.0, 0.6, minutes))
    stamps = pd.date_range(f"{date} {open_utc}", periods=minutes, freq="min")
    return pd.DataFrame({
        "symbol": symbol, "ts": stamps, "open": price[:-1], "close": price[1:], "volume": volume,
    })


def china_bars(codes: Sequence[str], seed: int) -> pd.DataFrame:
    """One day's minute bars of some codes, the opening call at 570 and the closing one at 900."""
    minutes = np.concatenate((np.arange(570, 691), np.arange(781, 898), [898, 899, 900]))
    parts = []
    for i, code in enumerate(codes):
        price = np.round(random_prices(minutes.size - 1, seed + 100 * i, 20.0) * 1000).astype(int)
        volume = np.round(np.random.default_rng(seed + i).lognormal(4.0, 0.8, minutes.size)).astype(int) + 1
        parts.append(pd.DataFrame({
            "code": code, "minute": minutes, "open": price, "close": price, "high": price, "low": price,
            "volume": volume,
        }))
    return pd.concat(parts, ignore_index=True)


def tick_bars(symbol: str, date: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A US day of minute bars: quotes a cent wide, and trades."""
    price = np.round(random_prices(390, seed, 50.0, 5e-4) * 10_000).astype(int) // 100 * 100
    ms = 34_200_000 + 60_000 * np.arange(390)
    quotes = pd.DataFrame({
        "symbol": symbol, "date": date, "ms": ms, "bo": price[:-1], "bc": price[1:], "ao": price[:-1] + 100,
        "ac": price[1:] + 100,
    })
    volume = np.random.default_rng(seed).integers(1_000, 9_000, 390)
    trades = pd.DataFrame({
        "symbol": symbol, "date": date, "ms": ms, "o": price[:-1], "h": price[1:], "l": price[1:], "c": price[1:],
        "v": volume,
    })
    return quotes, trades


def lobster_messages(rows: Sequence[Sequence[float]]) -> pd.DataFrame:
    """Messages with the book beside them: Secs, Type, OrderID, Size, Price, TradeDirection, then ask and bid."""
    names = ["Secs", "Type", "OrderID", "Size", "Price", "TradeDirection", "Askp1", "Asks1", "Bidp1", "Bids1"]
    frame = pd.DataFrame([list(row) for row in rows], columns=names)
    whole = ["Type", "OrderID", "Size", "TradeDirection", "Asks1", "Bids1"]
    return frame.astype(dict.fromkeys(whole, "int64"))


def depth_stream(path: Path, lines: Sequence[tuple[int, dict[str, Any]] | str]) -> Path:
    """A depth stream of (nanoseconds, JSON) or of raw lines."""
    text = "\n".join(line if isinstance(line, str) else f"{line[0]} {json.dumps(line[1])}" for line in lines)
    with gzip.open(path, "wt") as file:
        file.write(text + "\n")
    return path


def small_folder(root: Path, codes: int = 6) -> Path:
    """A folder from which most of a calibration can be made: US and Chinese minutes, and an order book."""
    for day in pd.bdate_range("2016-05-02", "2016-05-20"):
        date = day.strftime("%Y-%m-%d")
        write(root / "bars" / f"{date}.csv", utc_bars("ABC", date, int(day.strftime("%d"))))
    names = [f"{600000 + i}.SH" for i in range(codes)]
    for i, number in enumerate(CALIBRATION_DATES):
        write(root / "china" / f"bars1m_{number}.parquet", china_bars(names, 1_000 * i))
    write(root / "book" / "XYZ_2012-06-21_messages.parquet", busy_book())
    return root


def busy_book(seed: int = 5, events: int = 12_000) -> pd.DataFrame:
    """A US day of an order book around a random walk: orders come, go and trade at the touch."""
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.uniform(34_201.0, 57_599.0, events))
    middle = 2_000 + np.cumsum(rng.choice([-1, 0, 1], events, p=[0.02, 0.96, 0.02]))
    wide = rng.choice([1, 2, 3], events)
    rows = []
    for i in range(events):
        bid, ask = int(middle[i]), int(middle[i] + wide[i])
        side = int(rng.choice([-1, 1]))
        kind = int(rng.choice([1, 3, 4], p=[0.5, 0.2, 0.3]))
        price = (bid if side > 0 else ask) / 100
        rows.append((seconds[i], kind, i, 100, price, side, ask / 100, 100 * int(rng.integers(1, 6)), bid / 100,
                     100 * int(rng.integers(1, 6))))  # fmt: skip
    return lobster_messages(rows)
