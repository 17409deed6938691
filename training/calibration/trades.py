"""Trades and quotes, tick by tick. Two layouts, each a parquet or CSV with a header.

us ticks        a pair in one folder: trades (symbol, date, ms, px, size, exch, cond, suspicious), a row a
                trade, and quotes (symbol, date, ms, bid, bidsz, ask, asksz, exch[, suspicious]), a row a
                change of the national best bid or of the best ask, with 0 for the other side; the size is
                that of the exchange which shows it. ms since New York's midnight, prices in USD x 10,000,
                sizes in shares; exch D is off exchange; cond is a hexadecimal word of condition bits. Rows
                stand in the order in which they came.
one tape        symbol, ts_utc, rpt_seq, event ("trade" or "book"), px, size, aggressor (3 sold, 4 bought, 2
                auction), ask, bid: trades with who began them. The market is Brazil, or what `market.json`
                says. The mid is halfway between the last bought and the last sold trade, since book updates
                may be thinned.

A trade is at the bid (at the ask) when its price is no higher than the best bid (no lower than the best ask)
that stood before its millisecond, and it printed on an exchange.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.calibration.bars import LEAST_TRADED_PART, MS_PER_MINUTE, filled
from training.calibration.clocks import BRAZIL, UNITED_STATES, Clock, clock_of
from training.calibration.days import (
    MID_OF_TRADES,
    DataSet,
    Keep,
    MarketDay,
    QuoteDay,
    RowCount,
    TouchDay,
    keep_known_days,
    last_known,
)
from training.instruments.brazil import b3_spread_bps
from training.instruments.us_ticks import CLOSING_BIT, OFFICIAL_CLOSE_BIT, OFFICIAL_OPEN_BIT, OPENING_BIT
from training.measures import Array
from training.readers import TICK_PRICE_SCALE

TICK_TRADES, TICK_QUOTES, ONE_TAPE = "us ticks (trades)", "us ticks (quotes)", "one tape of trades and quotes"
AUCTION_BITS = OPENING_BIT | CLOSING_BIT | OFFICIAL_OPEN_BIT | OFFICIAL_CLOSE_BIT
OFF_EXCHANGE = "D"
SOLD, BOUGHT, AUCTION = 3, 4, 2


def read_ticks(
    trades: Sequence[tuple[Path, Any]], quotes: Sequence[tuple[Path, Any]], data: DataSet, keep: Keep
) -> None:
    """Quotes each second, and the volume at the touch where a day has both trades and quotes."""
    trade_rows = [(path.name, _sound_trades(path, frame, data, keep)) for path, frame in trades]
    for path, frame in quotes:
        for (symbol, date), rows in _sound_quotes(path, frame, data, keep).groupby(
            ["symbol", "date"], observed=True
        ):
            best = national_best(rows)
            data.quotes.append(_quote_day(str(symbol), int(date), best, path.name))
            for source, every in trade_rows:
                own = every[(every["symbol"] == symbol) & (every["date"] == date)]
                if len(own):
                    data.touches.append(_touch_day(str(symbol), int(date), own, best, source))


def _sound_trades(path: Path, frame: Any, data: DataSet, keep: Keep) -> Any:
    count = RowCount(path.name, TICK_TRADES, len(frame))
    frame = frame.assign(symbol=frame["symbol"].astype(str), exch=frame["exch"].astype(str))
    frame = count.drop_bad(frame, "marked suspicious", frame["suspicious"] != 0)
    frame = count.drop_bad(frame, "no price or no size", ~((frame["px"] > 0) & (frame["size"] > 0)))
    frame = keep_known_days(count, frame, keep)
    minute = UNITED_STATES.trading_minute(frame["ms"].to_numpy(dtype=np.float64) / MS_PER_MINUTE)
    frame = frame.assign(minute=minute)
    frame = count.drop_unused(frame, "outside continuous trading", ~np.isfinite(frame["minute"]))
    words = {c: int(str(c), 16) for c in frame["cond"].unique()}
    auction = frame["cond"].map(words).astype("int64") & AUCTION_BITS
    frame = count.drop_unused(frame, "print of an auction", auction != 0)
    data.files.append(count.report())
    return frame.sort_values(["symbol", "date", "ms"], kind="stable")


def _sound_quotes(path: Path, frame: Any, data: DataSet, keep: Keep) -> Any:
    count = RowCount(path.name, TICK_QUOTES, len(frame))
    frame = keep_known_days(count, frame, keep)
    if "suspicious" in frame:
        frame = count.drop_bad(frame, "marked suspicious", frame["suspicious"] != 0)
    frame = count.drop_bad(frame, "neither bid nor ask", ~((frame["bid"] > 0) | (frame["ask"] > 0)))
    close_ms = UNITED_STATES.segments[-1][1] * MS_PER_MINUTE
    frame = count.drop_unused(frame, "after the close", frame["ms"] >= close_ms)
    data.files.append(count.report())
    return frame


def national_best(rows: Any) -> tuple[Array, Array]:
    """Times (ms) and best bid, ask (USD) with the sizes there, (n, 4), where a millisecond ends, of one
    symbol's day."""
    when = rows["ms"].to_numpy(dtype=np.float64)
    columns = []
    for price, size in (("bid", "bidsz"), ("ask", "asksz")):
        shown = rows[price].to_numpy(dtype=np.float64)
        index = np.maximum.accumulate(np.where(shown > 0, np.arange(shown.size), -1))
        known, at = index >= 0, np.maximum(index, 0)
        columns.append(np.where(known, shown[at] / TICK_PRICE_SCALE, 0.0))
        columns.append(np.where(known, rows[size].to_numpy(dtype=np.float64)[at], 0.0))
    best = np.stack([columns[0], columns[2], columns[1], columns[3]], axis=1)
    # A bid and its ask change in rows of one millisecond: between them the pair is no pair.
    last = np.append(when[1:] > when[:-1], True)
    return when[last], best[last]


def _quote_day(symbol: str, date: int, best: tuple[Array, Array], source: str) -> QuoteDay:
    clock = UNITED_STATES
    grid_ms = (clock.segments[0][0] * 60.0 + np.arange(clock.minutes * 60.0)) * 1e3
    bid, ask, bid_shares, ask_shares = (last_known(best[0], best[1][:, i], grid_ms) for i in range(4))
    good = (bid > 0) & (ask > 0)
    return QuoteDay(
        symbol,
        date,
        clock,
        1.0,
        np.where(good, bid, np.nan),
        np.where(good, ask, np.nan),
        np.where(good, bid_shares, np.nan),
        np.where(good, ask_shares, np.nan),
        source,
    )


def _touch_day(symbol: str, date: int, trades: Any, best: tuple[Array, Array], source: str) -> TouchDay:
    clock = UNITED_STATES
    when = trades["ms"].to_numpy(dtype=np.float64) - 1.0  # what stood before the trade's millisecond
    bid, ask = (last_known(best[0], best[1][:, i], when) for i in (0, 1))
    price = trades["px"].to_numpy(dtype=np.float64) / TICK_PRICE_SCALE
    lit = (trades["exch"] != OFF_EXCHANGE).to_numpy()
    minute = trades["minute"].to_numpy(dtype=np.int64)
    shares = trades["size"].to_numpy(dtype=np.float64)
    known = (bid > 0) & (ask > bid)

    def by_minute(which: Any) -> Array:
        return np.bincount(minute[which], weights=shares[which], minlength=clock.minutes).astype(np.float64)

    return TouchDay(
        symbol,
        date,
        clock,
        by_minute(np.ones(price.size, dtype=bool)),
        by_minute(lit & known & (price <= bid + 1e-9)),
        by_minute(lit & known & (price >= ask - 1e-9)),
        by_minute(~lit),
        source,
    )


def read_one_tape(path: Path, frame: Any, data: DataSet, keep: Keep) -> None:
    """Days and touched volume of one tape of trades."""
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

    clock = clock_of(path.parent, BRAZIL)
    count = RowCount(path.name, ONE_TAPE, len(frame))
    frame = frame.assign(
        symbol=frame["symbol"].astype(str), ts=pd.to_datetime(frame["ts_utc"], utc=True, errors="coerce")
    )
    frame = count.drop_bad(frame, "no time", frame["ts"].isna())
    local = frame["ts"].dt.tz_convert(clock.zone).dt
    of_day = local.hour * 60 + local.minute + (local.second + local.microsecond / 1e6) / 60
    frame = frame.assign(
        date=local.year * 10_000 + local.month * 100 + local.day,
        of_day=of_day,
        minute=clock.trading_minute(of_day.to_numpy(dtype=np.float64)),
    )
    frame = keep_known_days(count, frame, keep)
    frame = count.drop_unused(frame, "book update (they are thinned)", frame["event"].astype(str) != "trade")
    frame = count.drop_bad(frame, "no price or no size", ~((frame["px"] > 0) & (frame["size"] > 0)))
    frame = count.drop_bad(frame, "a trade that came twice", frame.duplicated(["symbol", "date", "rpt_seq"]))
    frame = frame.sort_values(["ts", "rpt_seq"], kind="stable")
    for (symbol, date), rows in frame.groupby(["symbol", "date"], observed=True):
        _tape_day(str(symbol), int(date), rows, clock, path.name, data, count)
    data.files.append(count.report())


def _tape_day(
    symbol: str, date: int, rows: Any, clock: Clock, source: str, data: DataSet, count: RowCount
) -> None:
    auction = (rows["aggressor"] == AUCTION).to_numpy()
    minute = rows["minute"].to_numpy(dtype=np.float64)
    inside = np.isfinite(minute) & np.isin(rows["aggressor"], (SOLD, BOUGHT))
    at = minute[inside].astype(np.int64)
    own = rows[inside]
    if np.unique(at).size < LEAST_TRADED_PART * clock.minutes:
        count.add_bad("hardly traded on the day", len(rows))
        return
    shares = own["size"].to_numpy(dtype=np.float64)
    bought = (own["aggressor"] == BOUGHT).to_numpy()
    price = own["px"].to_numpy(dtype=np.float64)
    volume = np.bincount(at, weights=shares, minlength=clock.minutes).astype(np.float64)
    mid = (_last_where(price, bought) + _last_where(price, ~bought)) / 2.0
    edges = filled(
        np.concatenate(([price[0]], last_known(minute[inside], mid, np.arange(1.0, clock.minutes + 1.0))))
    )
    at_bid, at_ask = (
        np.bincount(at[w], weights=shares[w], minlength=clock.minutes).astype(np.float64)
        for w in (~bought, bought)
    )
    early, late = rows["of_day"] < clock.segments[0][0], rows["of_day"] >= clock.segments[-1][1]
    calls = [float(rows["size"][auction & when].sum()) for when in (early, late)]
    data.days.append(
        MarketDay(
            symbol,
            date,
            clock,
            edges,
            volume,
            np.full(clock.minutes, np.nan),
            MID_OF_TRADES,
            source,
            open_auction_shares=calls[0],
            close_auction_shares=calls[1],
            traded_spread_bps=b3_spread_bps(own.assign(ts_utc=own["ts"]))
            if bought.any() and not bought.all()
            else float("nan"),
        )
    )
    data.touches.append(
        TouchDay(symbol, date, clock, volume, at_bid, at_ask, np.zeros(clock.minutes), source)
    )


def _last_where(values: Array, holds: Any) -> Array:
    """At each point the last value where `holds`; before the first one, the first."""
    out: Array = filled(np.where(holds, values, np.nan)) if holds.any() else values.copy()
    return out
