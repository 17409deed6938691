"""Minute bars of trades. Three layouts, each a parquet or CSV (.csv, .csv.gz) with a header; a row is one
bar.

utc bars        symbol, ts (or timestamp), open, close, volume[, bid, ask]: the bar's start in UTC, prices in
                currency, volume in shares; bid and ask, where given, are the quotes at the bar's end. Bars of
                several minutes are told by their spacing. The market is the United States, or what
                `market.json` beside the file says.
china bars      code (600000.SH), minute of the local day at the bar's end, open, close, high, low in 1/1000
                yuan, volume in lots of 100 shares; the date stands in the file's name
                (bars1m_20240301.parquet). The bar of 09:30 is the opening call, that of 15:00 the closing
                one.
us tick bars    a pair in one folder: quotes (symbol, date, ms, bo, bc, ao, ac[, bsz, asz]) and trades
                (symbol, date, ms, o, h, l, c, v); ms since New York's midnight at the bar's start, prices in
                USD x 10,000, shares. Bars of a second and of a minute are told apart by `ms`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.calibration.clocks import CHINA, UNITED_STATES, Clock, clock_of
from training.calibration.days import (
    LAST_TRADE,
    MID_OF_QUOTES,
    DataSet,
    Keep,
    MarketDay,
    QuoteDay,
    RowCount,
    drop_short_days,
    keep_known_days,
    last_known,
    split_first_minute,
)
from training.measures import Array
from training.readers import CN_LOT_SHARES, CN_PRICE_SCALE, TICK_PRICE_SCALE

UTC_BARS, CHINA_BARS = "utc bars", "china bars"
QUOTE_BARS, TRADE_BARS = "us tick bars (quotes)", "us tick bars (trades)"
LEAST_TRADED_PART = 0.3  # a day of which fewer bars have a price says nothing of a minute
MS_PER_MINUTE = 60_000


def read_utc_bars(path: Path, frame: Any, data: DataSet, keep: Keep) -> None:
    """Days of one file of utc bars."""
    clock = clock_of(path.parent, UNITED_STATES)
    count = RowCount(path.name, UTC_BARS, len(frame))
    frame = frame.rename(columns={"timestamp": "ts"})
    stamp = _utc(frame["ts"])
    frame = frame.assign(ts=stamp)
    frame = count.drop_bad(frame, "no time", frame["ts"].isna())
    frame = _sound_prices(count, frame)
    local = frame["ts"].dt.tz_convert(clock.zone).dt
    minute = clock.trading_minute(
        (local.hour * 60 + local.minute + local.second / 60).to_numpy(dtype=np.float64)
    )
    frame = frame.assign(date=local.year * 10_000 + local.month * 100 + local.day, minute=minute)
    frame = count.drop_bad(frame, "a second bar of its minute", frame.duplicated(["symbol", "ts"]))
    frame = count.drop_unused(frame, "outside continuous trading", ~np.isfinite(frame["minute"]))
    frame = drop_short_days(count, keep_known_days(count, frame, keep), clock)
    for (symbol, date), rows in frame.groupby(["symbol", "date"], observed=True):
        day = _utc_day(str(symbol), int(date), rows.sort_values("minute"), clock, path.name)
        if day is None:
            count.add_bad("too few bars in the day", len(rows))
        else:
            data.days.append(day)
    data.files.append(count.report())


def _utc(stamps: Any) -> Any:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

    return pd.to_datetime(stamps, utc=True, errors="coerce")


def _sound_prices(count: RowCount, frame: Any) -> Any:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

    numbers = {c: pd.to_numeric(frame[c], errors="coerce") for c in ("open", "close", "volume")}
    frame = frame.assign(**numbers)
    frame = count.drop_bad(frame, "no price", ~((frame["open"] > 0) & (frame["close"] > 0)))
    return count.drop_bad(frame, "no volume", ~(frame["volume"] >= 0))


def _utc_day(symbol: str, date: int, rows: Any, clock: Clock, source: str) -> MarketDay | None:
    minute = rows["minute"].to_numpy(dtype=np.float64)
    width = int(np.median(np.diff(minute))) if minute.size > 2 else 0
    if width < 1 or clock.minutes % width or minute.size < LEAST_TRADED_PART * clock.minutes / width:
        return None
    slots = clock.minutes // width
    at = (minute // width).astype(np.int64)
    close, volume = _placed(at, rows["close"], slots), _placed(at, rows["volume"], slots, 0.0)
    price = filled(np.concatenate(([float(rows["open"].iloc[0])], close)))
    quoted = {"bid", "ask"} <= set(rows.columns)
    spread = np.full(slots, np.nan)
    if quoted:
        bid, ask = _placed(at, rows["bid"], slots), _placed(at, rows["ask"], slots)
        mid = (bid + ask) / 2.0
        spread = np.where(ask > bid, (ask - bid) / mid * 1e4, np.nan)
        price = filled(np.concatenate(([price[0]], np.where(ask >= bid, mid, np.nan))))
    volume, opening = split_first_minute(volume)
    return MarketDay(
        symbol,
        date,
        clock,
        price,
        volume,
        spread,
        MID_OF_QUOTES if quoted else LAST_TRADE,
        source,
        width,
        opening,
    )


def _placed(at: Any, values: Any, slots: int, missing: float = float("nan")) -> Array:
    out: Array = np.full(slots, missing)
    out[at] = values.to_numpy(dtype=np.float64)
    return out


def filled(price: Array) -> Array:
    """Each gap filled with the price before it; the leading ones with the first that there is."""
    good = np.isfinite(price) & (price > 0)
    index = np.maximum.accumulate(np.where(good, np.arange(price.size), -1))
    first = int(np.argmax(good))
    out: Array = price[np.where(index >= 0, index, first)]
    return out


def read_china_bars(path: Path, frame: Any, data: DataSet, keep: Keep) -> None:
    """Days of one file of china bars."""
    count = RowCount(path.name, CHINA_BARS, len(frame))
    found = re.search(r"(\d{8})", path.stem)
    if found is None:
        count.add_bad("no date in the file's name", len(frame))
        data.files.append(count.report())
        return
    date = int(found.group(1))
    frame = frame.assign(code=frame["code"].astype(str), date=date)
    frame = count.drop_unused(frame, "an index, not a stock", ~frame["code"].str.endswith((".SH", ".SZ")))
    frame = count.drop_bad(frame, "no volume", ~(frame["volume"] >= 0))
    frame = count.drop_bad(frame, "no price though it traded", (frame["close"] <= 0) & (frame["volume"] > 0))
    frame = count.drop_bad(frame, "a second bar of its minute", frame.duplicated(["code", "minute"]))
    frame = keep_known_days(count, frame, keep, "code")
    frame = count.drop_unused(frame, "a minute of no trading hour", ~frame["minute"].between(570, 900))
    for code, rows in frame.groupby("code"):
        day = _china_day(str(code), date, rows, path.name)
        if day is None:
            count.add_bad("hardly traded on the day", len(rows))
        else:
            data.days.append(day)
    data.files.append(count.report())


def _china_day(code: str, date: int, rows: Any, source: str) -> MarketDay | None:
    minute = rows["minute"].to_numpy(dtype=np.int64)
    volume = rows["volume"].to_numpy(dtype=np.float64) * CN_LOT_SHARES
    close = rows["close"].to_numpy(dtype=np.float64) / CN_PRICE_SCALE
    # Bars are stamped at their end, so minute 571 is the first of continuous trading.
    slot = CHINA.trading_minute(minute - 1.0)
    inside = np.isfinite(slot)
    at = slot[inside].astype(np.int64)
    price, shares = np.full(CHINA.minutes, np.nan), np.zeros(CHINA.minutes)
    price[at] = np.where(close[inside] > 0, close[inside], np.nan)
    shares[at] = volume[inside]
    if (shares > 0).mean() < LEAST_TRADED_PART:
        return None
    opening = close[(minute == 570) & (close > 0)]
    edges = filled(np.concatenate((opening[:1] if opening.size else [np.nan], price)))
    return MarketDay(
        code,
        date,
        CHINA,
        edges,
        shares,
        np.full(CHINA.minutes, np.nan),
        LAST_TRADE,
        source,
        open_auction_shares=float(volume[minute == 570].sum()),
        close_auction_shares=float(volume[minute > 897].sum()),
    )


def read_tick_bars(
    quotes: Sequence[tuple[Path, Any]], trades: Sequence[tuple[Path, Any]], data: DataSet, keep: Keep
) -> None:
    """Days of the pairs of quote and trade bars of one folder: minutes give days, seconds give quotes."""
    kept_quotes = [_tick_rows(path, frame, QUOTE_BARS, ("bc", "ac"), data, keep) for path, frame in quotes]
    kept_trades = [_tick_rows(path, frame, TRADE_BARS, ("c",), data, keep) for path, frame in trades]
    for source, frame in kept_quotes:
        for (symbol, date), rows in frame.groupby(["symbol", "date"], observed=True):
            if _by_the_minute(frame):
                _minute_day(str(symbol), int(date), rows, kept_trades, source, data)
            else:
                _second_quotes(str(symbol), int(date), rows, source, data)


def _by_the_minute(frame: Any) -> bool:
    return bool((frame["ms"] % MS_PER_MINUTE == 0).all())


def _tick_rows(
    path: Path, frame: Any, name: str, prices: Sequence[str], data: DataSet, keep: Keep
) -> tuple[str, Any]:
    clock = UNITED_STATES
    count = RowCount(path.name, name, len(frame))
    frame = frame.assign(symbol=frame["symbol"].astype(str))
    minute = clock.trading_minute(frame["ms"].to_numpy(dtype=np.float64) / MS_PER_MINUTE)
    frame = frame.assign(minute=minute)
    frame = count.drop_unused(frame, "outside continuous trading", ~np.isfinite(frame["minute"]))
    frame = drop_short_days(count, keep_known_days(count, frame, keep), clock)
    for price in prices:
        frame = count.drop_bad(frame, "no price", ~(frame[price] > 0))
    if "bc" in frame:
        frame = count.drop_bad(frame, "crossed quotes", frame["ac"] < frame["bc"])
    frame = count.drop_bad(frame, "a second bar of its time", frame.duplicated(["symbol", "date", "ms"]))
    data.files.append(count.report())
    return path.name, frame.sort_values(["symbol", "date", "ms"])


def _minute_day(
    symbol: str, date: int, rows: Any, trades: Sequence[tuple[str, Any]], source: str, data: DataSet
) -> None:
    clock = UNITED_STATES
    at = rows["minute"].to_numpy(dtype=np.int64)
    bid, ask = (_placed(at, rows[c], clock.minutes) / TICK_PRICE_SCALE for c in ("bc", "ac"))
    first_bid, first_ask = (_placed(at, rows[c], clock.minutes) / TICK_PRICE_SCALE for c in ("bo", "ao"))
    mid = (bid + ask) / 2.0
    # Mean of the minute's first and last quoted spread: the bars hold no time-weighted one.
    spread = ((ask - bid) + (first_ask - first_bid)) / 2.0 / mid * 1e4
    volume = None
    for _, frame in trades:
        own = frame[(frame["symbol"] == symbol) & (frame["date"] == date)]
        if _by_the_minute(frame) and len(own):
            volume = _placed(own["minute"].to_numpy(dtype=np.int64), own["v"], clock.minutes, 0.0)
    if volume is None or np.isfinite(mid).mean() < LEAST_TRADED_PART:
        return
    start = (first_bid[0] + first_ask[0]) / 2.0
    volume, opening = split_first_minute(volume)
    price = filled(np.concatenate(([start], mid)))
    data.days.append(
        MarketDay(
            symbol, date, clock, price, volume, spread, MID_OF_QUOTES, source, open_auction_shares=opening
        )
    )


def _second_quotes(symbol: str, date: int, rows: Any, source: str, data: DataSet) -> None:
    clock = UNITED_STATES
    times = rows["minute"].to_numpy(dtype=np.float64) * 60.0
    grid = np.arange(0.0, clock.minutes * 60.0)
    sizes = {"bsz", "asz"} <= set(rows.columns)

    def on_grid(column: str, scale: float) -> Array:
        return last_known(times, rows[column].to_numpy(dtype=np.float64) / scale, grid)

    nothing = np.full(grid.size, np.nan)
    data.quotes.append(
        QuoteDay(
            symbol,
            date,
            clock,
            1.0,
            on_grid("bc", TICK_PRICE_SCALE),
            on_grid("ac", TICK_PRICE_SCALE),
            on_grid("bsz", 1.0) if sizes else nothing,
            on_grid("asz", 1.0) if sizes else nothing,
            source,
        )
    )
