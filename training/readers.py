"""The market data folder: where it is, and its files that several modules read, in plain units and clocks.

The folder is described by its own README (columns, units, caveats). It is never committed and never needed at
run time; every function takes its root, and `find_root` returns None where there is none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

from training.measures import Array, sample_last

ROOT_VARIABLE = "ESS_MARKET_DATA"
TICK_FOLDER = "us_tick_lean"
BARS_FOLDER = "us_intraday_bars"
LOB_FOLDER = "us_lob_small"
DARK_FOLDER = "us_venue_share_dark"
B3_FOLDER = "b3_l1_trades_2025"
CN_FOLDER = "cn_minute_202403"

NEW_YORK = ZoneInfo("America/New_York")
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
US_OPEN_MS, US_CLOSE_MS = 34_200_000, 57_600_000  # ms since New York midnight
US_OPEN_MINUTE, US_MINUTES = 570, 390
TICK_PRICE_SCALE = 1e4
TICK_DATES = (20131007, 20131008, 20131009)
CN_PRICE_SCALE, CN_LOT_SHARES = 1e3, 100.0


def find_root(project_root: Path) -> Path | None:
    """The data folder: the environment variable first, then `../shared/data` beside the project."""
    named = os.environ.get(ROOT_VARIABLE)
    root = Path(named) if named else project_root.parent / "shared" / "data"
    return root if root.is_dir() else None


def read(path: Path, columns: Sequence[str]) -> Any:
    """A parquet file's columns as a frame, categories as text (pandas is untyped, hence Any)."""
    frame = pq.read_table(path, columns=list(columns)).to_pandas()
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].astype(str)
    return frame


def second_quotes(data: Path, symbol: str, grid: Array) -> dict[int, tuple[Array, Array]]:
    """National best bid and offer (USD) of October 2013 by date, from second bars.

    `grid` is in ms since New York midnight.
    """
    frame = read(data / TICK_FOLDER / "bars_second_quote.parquet", ("symbol", "date", "ms", "bc", "ac"))
    frame = frame[(frame["symbol"] == symbol) & frame["date"].isin(TICK_DATES)]
    result = {}
    for date, day in frame.groupby("date"):
        times = day["ms"].to_numpy(dtype=np.float64)
        bid, ask = (day[side].to_numpy(dtype=np.float64) / TICK_PRICE_SCALE for side in ("bc", "ac"))
        result[int(date)] = sample_last(times, bid, grid), sample_last(times, ask, grid)
    return result


def amzn_best_quotes(data: Path, grid: Array) -> tuple[Array, Array]:
    """AMZN's best bid and ask (USD) on Nasdaq on 2012-06-21; `grid` in seconds since New York midnight."""
    frame = read(data / LOB_FOLDER / "AMZN_2012-06-21_fullday_bbo_depth3.parquet", ("secs", "ask1", "bid1"))
    times = frame["secs"].to_numpy(dtype=np.float64)
    bid, ask = (frame[side].to_numpy(dtype=np.float64) / 100 for side in ("bid1", "ask1"))
    return sample_last(times, bid, grid), sample_last(times, ask, grid)


def bars_2016(data: Path, symbol: str) -> Any:
    """AAPL or MSFT, one-minute bars of 2016-04-15..2016-05-13 on New York's clock, USD."""
    frame = read(
        data / BARS_FOLDER / "msft_aapl_1min_2016.parquet", ("symbol", "ts", "open", "close", "volume")
    )
    return on_new_york_clock(frame[frame["symbol"] == symbol])


def on_new_york_clock(bars: Any) -> Any:
    """Bars stamped in UTC at their start (`ts`), with New York `date` (20160415) and `minute` since 09:30."""
    local = bars["ts"].dt.tz_localize("UTC").dt.tz_convert(NEW_YORK).dt
    return bars.assign(
        date=local.year * 10_000 + local.month * 100 + local.day,
        minute=local.hour * 60 + local.minute - US_OPEN_MINUTE,
    )


def us_bar_table(bars: Any, value: str, width_minutes: int) -> Any:
    """Rows by date, columns by minute of the session, from bars on New York's clock; nan where none is."""
    inside = bars[(bars["minute"] >= 0) & (bars["minute"] < US_MINUTES)]
    how = "sum" if value == "volume" else "last"
    table = inside.pivot_table(index="date", columns="minute", values=value, aggfunc=how)
    return table.reindex(columns=range(0, US_MINUTES, width_minutes))


def b3_trades(data: Path, symbols: Sequence[str]) -> Any:
    """Brazilian trades of March and April 2025 in order, with Sao Paulo `day` and `minute` of the day."""
    columns = ("symbol", "ts_utc", "rpt_seq", "event", "px", "size", "aggressor")
    frame = read(data / B3_FOLDER / "b3_l1_trades.parquet", columns)
    trades = frame[(frame["event"] == "trade") & frame["symbol"].isin(symbols)]
    trades = trades.sort_values(["ts_utc", "rpt_seq"], kind="stable")
    local = trades["ts_utc"].dt.tz_convert(SAO_PAULO).dt
    return trades.assign(
        day=local.strftime("%Y-%m-%d"), minute=local.hour * 60 + local.minute + local.second / 60
    )


def cn_minute_days(data: Path) -> Iterator[tuple[int, Any]]:
    """Each day of March 2024 as (20240301, one-minute bars of every stock); index rows (.IDX) left out.

    Columns: `code`, `minute` of the day (bars stamped at their end), `close_cny`, `volume_shares`.
    """
    for path in sorted((data / CN_FOLDER).glob("bars1m_*.parquet")):
        bars = read(path, ("code", "minute", "close", "volume"))
        bars = bars[bars["code"].str.endswith((".SH", ".SZ"))]
        yield (
            int(path.stem.split("_")[1]),
            bars.assign(
                close_cny=bars["close"] / CN_PRICE_SCALE, volume_shares=bars["volume"] * CN_LOT_SHARES
            ),
        )
