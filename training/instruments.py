"""The seed of instruments and venues, calibrated from the real data.

    python -m training.instruments --data ../shared/data --out store/seed/instruments.json

writes `instruments.json`, and beside it `venues.json` and `impact.json`. The same data give the same bytes:
no clock, no random state outside a seeded bootstrap, sorted keys, floats rounded to six significant digits.
Every figure carries its origin, "measured: ..." or "assumed: ...". The data files themselves never enter the
repository; `store/seed/README.md` says what each figure is worth.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]
from scipy import optimize  # type: ignore[import-untyped, unused-ignore]
from scipy.stats import norm  # type: ignore[import-untyped, unused-ignore]

from engine.values import VenueKind
from training.impact_fit import (
    IMPACT_SOURCE,
    TICK_DATES,
    TICK_FOLDER,
    US_CLOSE_MS,
    US_OPEN_MS,
    Array,
    Summer2007,
    impact_json,
    read,
    robust_clip,
    round_figure,
    sample_last,
    summer_2007,
)

Market = Literal["US", "BR", "CN"]

US_BINS = 26  # 15 minutes of 09:30-16:00
CN_BINS = 24  # 10 minutes of the 240 traded; the lunch break is cut out
BR_BINS = 24  # 20 minutes of the 480 that exchange_calendars gives BVMF
NEW_YORK = ZoneInfo("America/New_York")
SHANGHAI = ZoneInfo("Asia/Shanghai")
SAO_PAULO = ZoneInfo("America/Sao_Paulo")


# --------------------------------------------------------------------------------------------------------
# What is collected of one instrument before it becomes JSON


@dataclass
class Draft:
    """One instrument while its figures come together; `provenance` says where each one came from."""

    instrument_id: str
    description: str
    market: Market
    primary_mic: str
    calendar: str
    currency: str
    tick_size: float
    lot_size_shares: float
    shares_outstanding: float
    as_of_ns: int
    mid_price: float
    spread_bps: float
    typical_spread_bps: float
    daily_volatility_fraction: float
    average_daily_volume_shares: float
    curve: Array
    open_auction_fraction: float
    close_auction_fraction: float
    provenance: dict[str, str]
    lit_share: dict[str, float] = field(default_factory=dict)
    off_exchange_fraction: float = 0.0


@dataclass(frozen=True)
class DayStats:
    """A symbol over several days: volume, curve and volatility, all measured on its continuous session."""

    volume_shares: Array  # whole-day volume, auctions included, one entry a day
    curve: Array  # mean over the days of the share of continuous volume in each bin
    open_auction_fraction: float
    close_auction_fraction: float
    realised_variance: Array  # one entry a day, of 5-minute log returns inside the session
    overnight_variance: float  # mean squared close-to-open log return; nan where days do not follow on
    last_price: float
    days: int
    curve_noise: float = float("nan")  # variance of a day's bin share around the mean, summed over the bins


def one_day(
    volume_shares: float, curve: Array, opening: float, closing: float, variance: float, last_price: float
) -> DayStats:
    """Statistics of a symbol of which one day (or one figure of each kind) is known."""
    return DayStats(
        np.array([volume_shares]), curve, opening, closing, np.array([variance]), float("nan"), last_price, 1
    )


# --------------------------------------------------------------------------------------------------------
# Small statistics


def realised_variance(prices: Array, step: int = 1) -> float:
    """Realised variance of one session, a fraction squared (Zhou 1996, averaged over starting points).

    `prices` stand on an equal grid that is `step` to five minutes. Squared returns plus twice their first
    autocovariance: a tick's bounce adds to the first and is taken back by the second, which matters where the
    tick is wide (a 4-yuan stock bounces 24 bps). Never under a quarter of the plain sum.
    """
    good = np.log(prices[np.isfinite(prices) & (prices > 0)])
    estimates = []
    for start in range(step):
        returns = robust_clip(np.diff(good[start::step]))
        if returns.size < 3:
            return float("nan")
        covered = (good.size - 1) / step / returns.size  # the starting points cut off part of the session
        plain, bounce = float(returns @ returns), 2 * float(returns[1:] @ returns[:-1])
        estimates.append(covered * max(plain + bounce, plain / 4))
    return float(np.mean(estimates))


def shrink(curve: Array, days: float, market_curve: Array, prior_days: float) -> Array:
    """Own curve weighted days/(days + prior_days) against the market's average (empirical Bayes)."""
    weight = days / (days + prior_days)
    mixed = weight * curve + (1.0 - weight) * market_curve
    mixed = np.maximum(mixed, 1e-4)
    normed: Array = mixed / mixed.sum()
    return normed


def rounded_curve(curve: Array) -> list[float]:
    """Six significant digits, with the rounding's remainder put into the largest bin: the sum stays 1."""
    values = [round_figure(float(x)) for x in curve]
    largest = int(np.argmax(curve))
    values[largest] = float(f"{1.0 - math.fsum(v for i, v in enumerate(values) if i != largest):.12g}")
    return values


def local_ns(date: str, clock: str, zone: ZoneInfo) -> int:
    """Nanoseconds since the epoch of a local wall clock, e.g. ("2013-10-09", "16:00")."""
    return int(pd.Timestamp(f"{date} {clock}").tz_localize(zone).tz_convert("UTC").value)


# --------------------------------------------------------------------------------------------------------
# US ticks of 2013: AIG, BAC, SPY

TICK_SYMBOLS = ("AIG", "BAC", "SPY")
# By the data's exchange letter. C, M and W (National, Chicago, CBOE: under 2 % together) are left out.
EXCHANGE_LETTERS = "NQTPZYKJBX"
EXCHANGE_MICS = ("XNYS", "XNAS", "XNAS", "ARCX", "BATS", "BATY", "EDGX", "EDGA", "XBOS", "XPSX")
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
    frame = frame.assign(flags=flags, px=frame["px"] / 1e4)
    return frame[frame["suspicious"] == 0]


def tick_spread_bars(data: Path, symbol: str) -> Any:
    """Second quote bars (closing bid and ask) of one symbol in the session, USD."""
    frame = read(data / TICK_FOLDER / "bars_second_quote.parquet", ("symbol", "date", "ms", "bc", "ac"))
    frame = frame[(frame["symbol"] == symbol) & (frame["date"].isin(TICK_DATES))]
    return frame.assign(bid=frame["bc"] / 1e4, ask=frame["ac"] / 1e4)


def second_grid() -> Array:
    """Each second from 09:31 (the first minute is wild) to the close, in ms since New York midnight."""
    return np.arange(US_OPEN_MS + 60_000, US_CLOSE_MS, 1_000, dtype=np.float64)


def nbbo_grid_from_bars(data: Path, symbol: str) -> dict[int, tuple[Array, Array]]:
    """National best bid and offer (USD) at each second of the session, by date, from second bars."""
    grid = second_grid()
    result = {}
    for date, day in tick_spread_bars(data, symbol).groupby("date"):
        times = day["ms"].to_numpy(dtype=np.float64)
        result[int(date)] = (
            sample_last(times, day["bid"].to_numpy(dtype=np.float64), grid),
            sample_last(times, day["ask"].to_numpy(dtype=np.float64), grid),
        )
    return result


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


def day_shares(table: Array) -> Array:
    """Mean over the days (rows) of each bin's share of the day; days without volume left out."""
    table = table[table.sum(axis=1) > 0]
    shares: Array = (table / table.sum(axis=1, keepdims=True)).mean(axis=0)
    return shares


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


# --------------------------------------------------------------------------------------------------------
# US bars: AAPL, MSFT, PLTR; the US average curve

BARS_FOLDER = "us_intraday_bars"


def us_bar_table(frame: Any, value: str, width_minutes: int) -> Any:
    """Rows by New York date, columns by minute of the session, from bars stamped in UTC at their start."""
    local = frame["ts"].dt.tz_localize("UTC").dt.tz_convert(NEW_YORK)
    minute = local.dt.hour * 60 + local.dt.minute - 570
    keep = (minute >= 0) & (minute < 390)
    kept = frame[keep].assign(day=local[keep].dt.strftime("%Y-%m-%d"), minute=minute[keep])
    how = "sum" if value == "volume" else "last"
    table = kept.pivot_table(index="day", columns="minute", values=value, aggfunc=how)
    return table.reindex(columns=range(0, 390, width_minutes))


def us_bar_stats(frame: Any, width_minutes: int, open_fraction: float, close_fraction: float) -> DayStats:
    """Day statistics of bars (columns ts, close, open, volume).

    The first bar holds the opening auction; its measured share of the listing market's volume is taken out
    before the curve is made. The closing auction has a bar of its own at 16:00, outside the session.
    """
    volume = us_bar_table(frame, "volume", width_minutes).fillna(0.0)
    close = us_bar_table(frame, "close", width_minutes)
    first = us_bar_table(frame, "open", width_minutes).bfill(axis=1).iloc[:, 0].to_numpy(dtype=np.float64)
    full = (volume.to_numpy() > 0).mean(axis=1) > 0.95
    stamps = frame["ts"].dt.tz_localize("UTC").dt.tz_convert(NEW_YORK).dt.strftime("%Y-%m-%d")
    total = frame.groupby(stamps)["volume"].sum().reindex(volume.index).to_numpy(dtype=np.float64)
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
    """Five-minute bars of January-February 2025 (UTC, stamped at their start), USD."""
    frame = read(
        data / BARS_FOLDER / "polygon_5min.parquet", ("symbol", "timestamp", "open", "close", "volume")
    ).rename(columns={"timestamp": "ts"})
    return frame[(frame["symbol"] == symbol) & (frame["ts"] >= "2025-01-01")]


def minute_bars_2016(data: Path, symbol: str) -> Any:
    """One-minute bars of 2016-04-15..2016-05-13 (UTC, stamped at their start), USD."""
    frame = read(
        data / BARS_FOLDER / "msft_aapl_1min_2016.parquet", ("symbol", "ts", "open", "close", "volume")
    )
    return frame[frame["symbol"] == symbol]


def aapl_curve_2019(data: Path, open_fraction: float) -> tuple[Array, int]:
    """AAPL's volume curve of 124 days of 2019, the opening auction taken out of its first bin.

    Its last bin is no higher than the continuous one of 2025, so the closing auction cannot be in it.
    """
    table = pd.read_csv(data / BARS_FOLDER / "aapl_volume_15min_2019H1.csv.gz", index_col=0)
    days = table.to_numpy(dtype=np.float64).T.copy()
    totals = days.sum(axis=1)
    days[:, 0] = np.maximum(days[:, 0] - open_fraction * totals, days[:, 1])
    return day_shares(days), len(days)


# --------------------------------------------------------------------------------------------------------
# AMZN 2012, S&P names 2007, venue shares 2014, Rule 605

LOB_FOLDER = "us_lob_small"
DARK_FOLDER = "us_venue_share_dark"


def amzn_quotes(data: Path) -> tuple[dict[int, tuple[Array, Array]], Array]:
    """AMZN's Nasdaq best quotes on 2012-06-21 at each second, and its mids every minute, USD."""
    frame = read(data / LOB_FOLDER / "AMZN_2012-06-21_fullday_bbo_depth3.parquet", ("secs", "ask1", "bid1"))
    seconds = frame["secs"].to_numpy(dtype=np.float64)
    grid = np.arange(34_260.0, 57_600.0, 1.0)
    bid = sample_last(seconds, frame["bid1"].to_numpy(dtype=np.float64) / 100, grid)
    ask = sample_last(seconds, frame["ask1"].to_numpy(dtype=np.float64) / 100, grid)
    return {20120621: (bid, ask)}, ((bid + ask) / 2)[::60]


def amzn_nasdaq_afternoon_shares(data: Path) -> float:
    """Shares executed on Nasdaq from 12:22:34 to the close (LOBSTER types 4 and 5)."""
    frame = read(data / LOB_FOLDER / "AMZN_2012-06-21_L1_messages_book_from44553s.parquet", ("Type", "Size"))
    return float(frame[frame["Type"].isin((4, 5))]["Size"].sum())


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


# --------------------------------------------------------------------------------------------------------
# Brazil, B3 2025

B3_FOLDER = "b3_l1_trades_2025"
B3_NEW_HOURS = "2025-03-10"  # from here the continuous phase ends at 16:55, before that at 17:55
B3_SESSION_START, B3_SESSION_MINUTES = 600, 480  # 10:00 Sao Paulo; the length exchange_calendars gives BVMF
B3_CALL_START = 1015  # 16:55: what prints up to 17:30 comes from the closing call
B3_CALL_END = 1050


def b3_trades(data: Path, symbol: str) -> Any:
    """Trades of one symbol with Sao Paulo day and minute."""
    frame = read(
        data / B3_FOLDER / "b3_l1_trades.parquet", ("symbol", "ts_utc", "event", "px", "size", "aggressor")
    )
    own = frame[(frame["symbol"] == symbol) & (frame["event"] == "trade") & (frame["ts_utc"] >= B3_NEW_HOURS)]
    local = own["ts_utc"].dt.tz_convert(SAO_PAULO)
    return own.assign(
        day=local.dt.strftime("%Y-%m-%d"), minute=local.dt.hour * 60 + local.dt.minute + local.dt.second / 60
    )


def b3_spread_bps(trades: Any) -> float:
    """Median spread (bps) between buyer- and seller-initiated trades within ten seconds of each other.

    The book updates are thinned, which makes quoted spreads too wide; a buy print and a sell print close in
    time bracket the spread that was really there. Floor: one tick. The mean would count the price's own
    moves.
    """
    signed = trades[trades["aggressor"].isin((3.0, 4.0))]
    side = np.where(signed["aggressor"].to_numpy() == 4.0, 1.0, -1.0)
    price = signed["px"].to_numpy(dtype=np.float64)
    when = signed["ts_utc"].astype("int64").to_numpy(dtype=np.float64)
    turn = (side[1:] * side[:-1] < 0) & (np.diff(when) < 10e9)
    gap = (price[1:] - price[:-1]) * side[1:]
    gap = np.maximum(gap[turn], 0.01) / price[1:][turn] * 1e4
    return float(np.median(gap))


def b3_day_stats(trades: Any) -> DayStats:
    """Volume, curve over the calendar's 480 minutes, auctions, five-minute variance of trade prices."""
    auction = trades["aggressor"] == 2.0
    total = trades.groupby("day")["size"].sum()
    opening = trades[auction & (trades["minute"] < B3_SESSION_START + 15)]["size"].sum()
    call = (trades["minute"] >= B3_CALL_START) & (trades["minute"] < B3_CALL_END)
    # The after-market (from 17:30) trades at the closing price: part of the day's volume, not of the curve.
    continuous = trades[
        (trades["minute"] < B3_CALL_START) & ~(auction & (trades["minute"] < B3_SESSION_START + 15))
    ]
    # The median day: an index or options expiry can send half a day's volume through the call.
    closing = trades[call].groupby("day")["size"].sum().reindex(total.index, fill_value=0) / total
    width = B3_SESSION_MINUTES / BR_BINS
    bins = ((continuous["minute"] - B3_SESSION_START) / width).astype(int)
    table = continuous.groupby([continuous["day"], bins])["size"].sum().unstack(fill_value=0)
    table = table.reindex(columns=range(BR_BINS), fill_value=0)
    grid = np.arange(B3_SESSION_START + 10.0, B3_CALL_START + 1.0)
    prices = [
        sample_last(day["minute"].to_numpy(dtype=np.float64), day["px"].to_numpy(dtype=np.float64), grid)
        for _, day in trades.groupby("day")
    ]
    first = np.array([p[np.isfinite(p)][0] for p in prices])
    last = np.array([p[-1] for p in prices])
    overnight = robust_clip(np.log(first[1:] / last[:-1]))
    return DayStats(
        volume_shares=total.to_numpy(dtype=np.float64),
        curve=day_shares(table.to_numpy(dtype=np.float64)),
        open_auction_fraction=float(opening / total.sum()),
        close_auction_fraction=float(closing.median()),
        realised_variance=np.array([realised_variance(p, 5) for p in prices]),
        overnight_variance=float(np.mean(overnight**2)),
        last_price=float(last[-1]),
        days=len(total),
    )


# --------------------------------------------------------------------------------------------------------
# China, minute bars of March 2024 and Shenzhen snapshots of June 2022

CN_FOLDER = "cn_minute_202403"
CN_L2_FOLDER = "cn_l3_l2_dolphindb"


@dataclass(frozen=True)
class CnPanel:
    """Every code's minute bars as arrays (code, day, slot). Slot 0 is the opening call's bar, stamped 09:30.

    Slots 1-240 are the minutes of trading, the lunch break cut out; the last is the bar of the closing call
    (14:57-15:00). `close_cny` holds 0 where a code has no bar.
    """

    codes: list[str]
    close_cny: Array
    volume_shares: Array


def cn_panel(data: Path) -> CnPanel:
    """All six days of March 2024. Index rows (.IDX) are left out."""
    days = []
    for path in sorted((data / CN_FOLDER).glob("bars1m_*.parquet")):
        day = read(path, ("code", "minute", "close", "volume"))
        days.append(day[day["code"].str.endswith((".SH", ".SZ"))])
    codes = sorted({code for day in days for code in day["code"].unique()})
    place = {code: i for i, code in enumerate(codes)}
    close, volume = np.zeros((2, len(codes), len(days), 241))
    for at, day in enumerate(days):
        row = day["code"].map(place).to_numpy(dtype=np.int64)
        minute = day["minute"].to_numpy(dtype=np.int64)
        slot = np.where(minute <= 690, minute - 570, minute - 780 + 120)
        close[row, at, slot] = day["close"].to_numpy(dtype=np.float64) / 1e3
        volume[row, at, slot] = day["volume"].to_numpy(dtype=np.float64) * 100.0
    return CnPanel(codes, close, volume)


def forward_filled(prices: Array) -> Array:
    """Prices (day by slot), zeros replaced by the day's last price before them, nan before the first."""
    index = np.where(prices > 0, np.arange(prices.shape[1]), -1)
    last = np.maximum.accumulate(index, axis=1)
    filled: Array = np.where(last >= 0, np.take_along_axis(prices, np.maximum(last, 0), axis=1), np.nan)
    return filled


def cn_day_stats(close_cny: Array, volume_shares: Array) -> DayStats:
    """Statistics of one code from its bars (day by slot); days without volume are left out."""
    traded = volume_shares.sum(axis=1) > 0
    volume, prices = volume_shares[traded], forward_filled(close_cny[traded])
    total = volume.sum(axis=1)
    inside = volume[:, 1:].copy()
    inside[:, -1] = 0.0  # the closing call
    table = inside.reshape(len(inside), CN_BINS, -1).sum(axis=2)
    return DayStats(
        volume_shares=total,
        curve=day_shares(table),
        open_auction_fraction=float(volume[:, 0].sum() / total.sum()),
        close_auction_fraction=float(volume[:, -1].sum() / total.sum()),
        realised_variance=np.array([realised_variance(p, 5) for p in prices]),
        overnight_variance=mean_square(np.log(prices[1:, 0] / prices[:-1, -1])),
        last_price=float(prices[-1, -1]),
        days=len(total),
        curve_noise=curve_noise(table),
    )


def cn_all_stats(panel: CnPanel) -> dict[str, DayStats]:
    """Statistics of every code that trades."""
    rows = zip(panel.codes, panel.close_cny, panel.volume_shares, strict=True)
    return {code: cn_day_stats(close, volume) for code, close, volume in rows if volume.sum() > 0}


def mean_square(values: Array) -> float:
    """Mean of the squares of what is finite; nan where nothing is."""
    good = values[np.isfinite(values)]
    return float(np.mean(good**2)) if good.size else float("nan")


def curve_noise(table: Array) -> float:
    """Sum over the bins of the day-to-day variance of a bin's share (dimensionless)."""
    table = table[table.sum(axis=1) > 0]
    if len(table) < 2:
        return float("nan")
    return float((table / table.sum(axis=1, keepdims=True)).var(axis=0, ddof=1).sum())


@dataclass(frozen=True)
class CnMarket:
    """Pooled over all codes: mean curve, whole-day over intraday variance, and the curve prior in days."""

    curve: Array
    overnight_factor: float
    prior_days: float


def cn_market(stats: Sequence[DayStats]) -> CnMarket:
    """Mean curve, median (intraday + overnight) / intraday variance, and the empirical-Bayes prior.

    The prior is the day-to-day variance of a curve over the variance of true curves between stocks: that many
    days of its own make a stock's curve worth as much as the market's average.
    """
    curve = np.mean([s.curve for s in stats], axis=0)
    noise = float(np.nanmean([s.curve_noise for s in stats]))
    spread = float(np.var([s.curve for s in stats], axis=0).sum())
    between = max(spread - noise * float(np.mean([1 / s.days for s in stats])), 1e-9)
    ratio = [
        1 + s.overnight_variance / np.nanmean(s.realised_variance)
        for s in stats
        if np.nanmean(s.realised_variance) > 0 and np.isfinite(s.overnight_variance)
    ]
    return CnMarket(curve, float(np.median(ratio)), noise / between)


def szse_snapshot(data: Path, code: str) -> Any:
    """One Shenzhen code's snapshots of 2022-06-01: second of the day, best bid and ask (CNY), volume."""
    frame = read(
        data / CN_L2_FOLDER / "szse_snapshot10_20220601_5stocks.parquet",
        ("SecurityID", "MDTime", "BuyPrice1", "SellPrice1", "TotalVolumeTrade", "LastPx"),
    )
    own = frame[(frame["SecurityID"] == code)].sort_values("MDTime")
    parts = own["MDTime"].str.split(":", expand=True).astype(float)
    return own.assign(second=parts[0] * 3600 + parts[1] * 60 + parts[2])


def cn_trading_minute_of_second(second: Array) -> Array:
    """Minute of trading (0..240) of a wall-clock second; the lunch break maps to 120."""
    minute = second / 60
    slot: Array = np.where(minute <= 690, minute - 570, np.maximum(minute - 780, 0.0) + 120)
    return slot


def szse_stats(data: Path, code: str) -> tuple[DayStats, tuple[float, float]]:
    """Day statistics and (median, mean) quoted spread in bps of a Shenzhen stock's full day of snapshots."""
    own = szse_snapshot(data, code)
    slot = cn_trading_minute_of_second(own["second"].to_numpy(dtype=np.float64))
    traded = own["TotalVolumeTrade"].to_numpy(dtype=np.float64)
    bid, ask = own["BuyPrice1"].to_numpy(dtype=np.float64), own["SellPrice1"].to_numpy(dtype=np.float64)
    # Sampling on equal seconds of trading weighs each quote by the time it stood.
    grid = np.arange(1.0, 237.0, 1 / 20)
    quoted = (bid > 0) & (ask > bid)
    seen_bid, seen_ask = (sample_last(slot[quoted], side[quoted], grid) for side in (bid, ask))
    mid = (seen_bid + seen_ask) / 2
    spread = (seen_ask - seen_bid) / mid * 1e4
    edges = np.linspace(0.0, 240.0, CN_BINS + 1)
    opening = float(traded[slot < 0][-1])
    at_call = float(sample_last(slot, traded, np.array([237.0]))[0])
    reached = np.minimum(sample_last(slot, traded, edges[1:]), at_call)
    table = np.diff(np.concatenate(([opening], reached)))[None, :]
    total = float(traded.max())
    variance = realised_variance(mid[::20], 5)
    stats = one_day(
        total, day_shares(table), opening / total, (total - at_call) / total, variance, float(mid[-1])
    )
    return stats, (float(np.nanmedian(spread)), float(np.nanmean(spread)))


def sse_spread_ticks(data: Path) -> Any:
    """Median quoted spread (bps) and last mid (CNY) of Shanghai stocks, 2021-12-01, 09:35-10:30."""
    frame = read(
        data / CN_L2_FOLDER / "sse_snapshot10_20211201_30stocks_0915_1030.parquet",
        ("SecurityID", "DateTime", "BidPrice0", "OfferPrice0"),
    )
    clock = frame["DateTime"].astype(str).str[11:19]
    frame = frame[
        (clock >= "09:35:00") & (frame["BidPrice0"] > 0) & (frame["OfferPrice0"] > frame["BidPrice0"])
    ]
    mid = (frame["BidPrice0"] + frame["OfferPrice0"]) / 2
    frame = frame.assign(mid=mid, bps=(frame["OfferPrice0"] - frame["BidPrice0"]) / mid * 1e4)
    grouped = frame.groupby("SecurityID")
    return pd.DataFrame({"bps": grouped["bps"].median(), "price": grouped["mid"].last()})


# --------------------------------------------------------------------------------------------------------
# Reference data that no file here holds: names, listing, shares outstanding (assumed)


@dataclass(frozen=True)
class Reference:
    """Public reference data. `shares_outstanding` is approximate, at about the date of the market data."""

    description: str
    primary_mic: str
    shares_outstanding: float
    source: str
    tick_size: float = 0.01
    lot_size_shares: float = 1.0


US_REFERENCE = {
    "AIG": Reference("American International Group", "XNYS", 1.476e9, "10-Q Q3 2013"),
    "BAC": Reference("Bank of America", "XNYS", 1.068e10, "10-Q Q3 2013"),
    "SPY": Reference("SPDR S&P 500 ETF Trust", "ARCX", 9.0e8, "fund units outstanding, late 2013"),
    "AAPL": Reference("Apple", "XNAS", 1.5022e10, "10-Q Q1 fiscal 2025"),
    "MSFT": Reference("Microsoft", "XNAS", 7.86e9, "10-Q Q3 fiscal 2016"),
    "PLTR": Reference("Palantir Technologies", "XNAS", 2.345e9, "10-K 2024 (all classes)"),
    "AMZN": Reference("Amazon.com", "XNAS", 4.51e8, "10-Q Q2 2012"),
    "GE": Reference("General Electric", "XNYS", 1.025e10, "10-Q Q3 2007"),
    "WMT": Reference("Walmart", "XNYS", 4.07e9, "10-Q Q2 fiscal 2008"),
    "PG": Reference("Procter & Gamble", "XNYS", 3.13e9, "10-K fiscal 2007"),
    "IBM": Reference("International Business Machines", "XNYS", 1.37e9, "10-Q Q3 2007"),
    "KO": Reference("Coca-Cola", "XNYS", 2.31e9, "10-Q Q3 2007"),
    "FCX": Reference("Freeport-McMoRan", "XNYS", 3.81e8, "10-Q Q3 2007"),
    "EQR": Reference("Equity Residential", "XNYS", 2.75e8, "10-Q Q3 2007"),
    "NWL": Reference("Newell Rubbermaid", "XNYS", 2.77e8, "10-Q Q3 2007"),
    "RLH": Reference("Red Lion Hotels", "XNYS", 1.9e7, "10-Q Q3 2007"),
}
IMPACT_NAMES = ("GE", "WMT", "PG", "IBM", "KO", "FCX", "EQR", "NWL", "RLH")

BR_REFERENCE = {
    "PETR4": Reference("Petrobras preferred", "BVMF", 5.4465e9, "company filings 2025 (preferred shares)", lot_size_shares=100.0),
    "VALE3": Reference("Vale", "BVMF", 4.539e9, "company filings 2025", lot_size_shares=100.0),
    "BBAS3": Reference("Banco do Brasil", "BVMF", 5.7309e9, "company filings 2025", lot_size_shares=100.0),
    "CMIG4": Reference("Cemig preferred", "BVMF", 1.904e9, "company filings 2025 (preferred shares)", lot_size_shares=100.0),
    "RECV3": Reference("PetroReconcavo", "BVMF", 2.93e8, "company filings 2025", lot_size_shares=100.0),
    "MDIA3": Reference("M. Dias Branco", "BVMF", 3.39e8, "company filings 2025", lot_size_shares=100.0),
    "XPML11": Reference("XP Malls real-estate fund", "BVMF", 5.67e7, "fund units, 2025", lot_size_shares=1.0),
    "ETHE11": Reference(
        "Hashdex Ethereum ETF", "BVMF", 1.2e7, "order of magnitude of fund units, 2025", lot_size_shares=1.0
    ),
}

CN_REFERENCE = {
    "600519.SH": Reference("Kweichow Moutai", "XSHG", 1.2562e9, "annual report 2023", lot_size_shares=100.0),
    "601288.SH": Reference("Agricultural Bank of China (A shares)", "XSHG", 3.19244e11, "annual report 2023", lot_size_shares=100.0),
    "600030.SH": Reference("CITIC Securities (A and H shares)", "XSHG", 1.482e10, "annual report 2023", lot_size_shares=100.0),
    "600887.SH": Reference("Inner Mongolia Yili", "XSHG", 6.366e9, "annual report 2023", lot_size_shares=100.0),
    "600000.SH": Reference("Shanghai Pudong Development Bank", "XSHG", 2.9352e10, "annual report 2023", lot_size_shares=100.0),
    "600536.SH": Reference("China National Software", "XSHG", 8.5e8, "annual report 2023", lot_size_shares=100.0),
    "600104.SH": Reference("SAIC Motor", "XSHG", 1.1575e10, "annual report 2023", lot_size_shares=100.0),
    "601333.SH": Reference("Guangshen Railway (A and H shares)", "XSHG", 7.0835e9, "annual report 2023", lot_size_shares=100.0),
    "600020.SH": Reference("Henan Zhongyuan Expressway", "XSHG", 2.2474e9, "annual report 2023", lot_size_shares=100.0),
    "600865.SH": Reference("Baida Group", "XSHG", 3.762e8, "annual report 2023", lot_size_shares=100.0),
    "000858.SZ": Reference("Wuliangye Yibin", "XSHE", 3.8816e9, "annual report 2023", lot_size_shares=100.0),
    "002594.SZ": Reference("BYD (A and H shares)", "XSHE", 2.9111e9, "annual report 2023", lot_size_shares=100.0),
    "000333.SZ": Reference("Midea Group", "XSHE", 6.98e9, "annual report 2023", lot_size_shares=100.0),
    "300122.SZ": Reference("Chongqing Zhifei Biological", "XSHE", 1.6e9, "annual report 2022", lot_size_shares=100.0),
    "300288.SZ": Reference("Guiyang Longmaster", "XSHE", 3.379e8, "annual report 2022", lot_size_shares=100.0),
    "300918.SZ": Reference("Shandong Nanshan Fashion", "XSHE", 3.6e8, "annual report 2022", lot_size_shares=100.0),
}
SNAPSHOT_NAMES = ("300122.SZ", "300288.SZ", "300918.SZ")


# --------------------------------------------------------------------------------------------------------
# Venues: names, fees, dark shares and tails


@dataclass(frozen=True)
class LitVenue:
    """An exchange and its fees: US in USD a share, elsewhere in bps of the notional."""

    mic: str
    name: str
    aliases: tuple[str, ...]
    country: str
    taker_fee: float
    maker_fee: float


US_LIT = (
    LitVenue("XNYS", "New York Stock Exchange", ("NYSE",), "US", 0.0027, -0.0015),
    LitVenue("XNAS", "Nasdaq", ("NASDAQ",), "US", 0.0030, -0.0015),
    LitVenue("ARCX", "NYSE Arca", ("ARCA", "NYSE_ARCA"), "US", 0.0030, -0.0021),
    LitVenue("BATS", "Cboe BZX", ("BZX",), "US", 0.0030, -0.0020),
    LitVenue("BATY", "Cboe BYX", ("BYX",), "US", -0.0016, 0.0018),
    LitVenue("EDGX", "Cboe EDGX", (), "US", 0.0030, -0.0020),
    LitVenue("EDGA", "Cboe EDGA", (), "US", -0.0002, 0.0005),
    LitVenue("XBOS", "Nasdaq BX", ("BX",), "US", -0.0004, 0.0020),
    LitVenue("XPSX", "Nasdaq PSX", ("PSX",), "US", 0.0029, -0.0020),
)
US_FEE_SOURCE = (
    "assumed: base-tier price lists as summarised publicly in November 2014 (rebates for adding: NYSE 15, "
    "Nasdaq 15, Arca 21, EDGX 20 mils; charges: BYX 18, EDGA 5, BX 20 mils; removal at or under the "
    "30-mil cap of Rule 610(c)); mils a share turned into bps at the seed's mid; no volume tiers"
)
BR_LIT = LitVenue("BVMF", "B3", ("B3", "BOVESPA"), "BR", 3.0, 3.0)
BR_FEE_SOURCE = (
    "assumed: B3 cash-equity fee schedule in force in early 2025, 0.0050 % trading + 0.0250 % settlement, "
    "both sides alike, no day-trade tiers"
)
CN_LIT = (
    LitVenue("XSHG", "Shanghai Stock Exchange", ("SSE",), "CN", 0.341, 0.341),
    LitVenue("XSHE", "Shenzhen Stock Exchange", ("SZSE",), "CN", 0.341, 0.341),
)
CN_FEE_SOURCE = (
    "assumed: exchange handling fee 0.00341 % a side (since 28 August 2023); the regulator's 0.002 %, the "
    "clearing house's transfer fee and the 0.05 % stamp duty on sells are taxes and levies, not venue "
    "fees, and are left out"
)


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


def lit_venue_json(venue: LitVenue, share: float, mid: float, per_share: bool) -> dict[str, Any]:
    """One lit venue of one instrument; US fees go from USD a share to bps at the mid."""
    to_bps = 1e4 / mid if per_share else 1.0
    return {
        "mic": venue.mic,
        "name": venue.name,
        "kind": int(VenueKind.LIT),
        "volume_share_fraction": round_figure(share),
        "taker_fee_bps": round_figure(venue.taker_fee * to_bps),
        "maker_fee_bps": round_figure(venue.maker_fee * to_bps),
        "tail_size_shares": [],
        "tail_probability": [],
    }


def us_venues(draft: Draft, dark: DarkShare) -> list[dict[str, Any]]:
    """Lit exchanges by measured share, then the three pools sharing the ATS part of off-exchange volume."""
    rows = [
        lit_venue_json(v, draft.lit_share[v.mic], draft.mid_price, True)
        for v in US_LIT
        if draft.lit_share.get(v.mic, 0.0) > 0
    ]
    for pool in US_DARK:
        sizes, tail = dark_tail(pool, draft.average_daily_volume_shares)
        fee = round_figure(pool.fee_usd * 1e4 / draft.mid_price)
        share = draft.off_exchange_fraction * dark.ats_of_off_exchange * dark.split[pool.mic]
        rows.append(
            {
                "mic": pool.mic,
                "name": pool.name,
                "kind": int(VenueKind.DARK),
                "volume_share_fraction": round_figure(share),
                "taker_fee_bps": fee,
                "maker_fee_bps": fee,
                "tail_size_shares": sizes,
                "tail_probability": tail,
            }
        )
    return rows


def venues_of(draft: Draft, dark: DarkShare) -> list[dict[str, Any]]:
    """The venues of one instrument; Brazil and China have the one exchange and no dark venue."""
    if draft.market == "US":
        return us_venues(draft, dark)
    lit = BR_LIT if draft.market == "BR" else next(v for v in CN_LIT if v.mic == draft.primary_mic)
    return [lit_venue_json(lit, 1.0, draft.mid_price, False)]


def directory_json() -> dict[str, Any]:
    """The directory of venues, by MIC."""
    lit_origin = "ISO 10383; exchange named as its members do"
    dark_origin = "ISO 10383; registered ATS, ranked by FINRA's weekly ATS shares of 2019"
    rows = [(v.mic, "LIT", v.name, v.aliases, v.country, lit_origin) for v in (*US_LIT, BR_LIT, *CN_LIT)]
    rows += [(d.mic, "DARK", d.name, d.aliases, "US", dark_origin) for d in US_DARK]
    names = ("mic", "kind", "name", "aliases", "country", "origin")
    return {"venues": [dict(zip(names, row, strict=True)) for row in sorted(rows)]}


# --------------------------------------------------------------------------------------------------------
# Drafts


@dataclass(frozen=True)
class MarketRules:
    """What all instruments of a market share: calendar, currency, wall clock of the close, origins."""

    calendar: str
    currency: str
    zone: ZoneInfo
    close: str
    tick_origin: str
    lot_origin: str
    fee_origin: str
    tail_origin: str


TAIL_ORIGIN = (
    "assumed: Lomax tail with an atom at zero (Ganchev et al. 2010 find zero-inflated power laws), "
    "parameters ranked by 2019 ATS shares and by kind of pool, scaled with ADV; see store/seed/README.md"
)
NO_TAIL_ORIGIN = "assumed: no dark venue in this market"
RULES: dict[Market, MarketRules] = {
    "US": MarketRules(
        "XNYS",
        "USD",
        NEW_YORK,
        "16:00",
        "assumed: Rule 612 of Regulation NMS, 0.01 USD",
        "assumed: round lot of 100 (Regulation NMS); odd lots are tradable",
        US_FEE_SOURCE,
        TAIL_ORIGIN,
    ),
    "BR": MarketRules(
        "BVMF",
        "BRL",
        SAO_PAULO,
        "17:00",
        "assumed: B3 rules, 0.01 BRL",
        "assumed: B3 standard lot, 100 for shares, 1 for funds (as are the sizes of the trades)",
        BR_FEE_SOURCE,
        NO_TAIL_ORIGIN,
    ),
    # exchange_calendars has no XSHE; Shenzhen keeps Shanghai's days and hours.
    "CN": MarketRules(
        "XSHG",
        "CNY",
        SHANGHAI,
        "15:00",
        "assumed: exchange rules, 0.01 CNY",
        "assumed: exchange rules, board lot of 100",
        CN_FEE_SOURCE,
        NO_TAIL_ORIGIN,
    ),
}


def daily_sigma(stats: DayStats, overnight_factor: float) -> float:
    """Daily volatility: realised plus overnight variance where at least 15 days follow on.

    Elsewhere the realised variance times the market's whole-day over intraday variance ratio.
    """
    intraday = float(np.nanmean(stats.realised_variance))
    if stats.days >= 15 and np.isfinite(stats.overnight_variance):
        return math.sqrt(intraday + stats.overnight_variance)
    return math.sqrt(intraday * overnight_factor)


def make_draft(
    symbol: str,
    reference: Reference,
    market: Market,
    date: str,
    stats: DayStats,
    spread_bps: tuple[float, float],
    sigma: float,
    curve: Array,
) -> Draft:
    """A draft from a symbol's statistics; `spread_bps` is (median, mean), `date` local."""
    rules = RULES[market]
    return Draft(
        instrument_id=symbol,
        description=reference.description,
        market=market,
        primary_mic=reference.primary_mic,
        calendar=rules.calendar,
        currency=rules.currency,
        tick_size=reference.tick_size,
        lot_size_shares=reference.lot_size_shares,
        shares_outstanding=reference.shares_outstanding,
        as_of_ns=local_ns(date, rules.close, rules.zone),
        mid_price=stats.last_price,
        spread_bps=spread_bps[1],
        typical_spread_bps=spread_bps[0],
        daily_volatility_fraction=sigma,
        average_daily_volume_shares=float(np.mean(stats.volume_shares)),
        curve=curve,
        open_auction_fraction=stats.open_auction_fraction,
        close_auction_fraction=stats.close_auction_fraction,
        provenance={
            "tick_size": rules.tick_origin,
            "lot_size_shares": rules.lot_origin,
            "fees": rules.fee_origin,
            "shares_outstanding": f"assumed: {reference.source}, rounded",
            "dark_tails": rules.tail_origin,
            "venue_shares": "assumed: the one exchange carries all volume",
        },
    )


# --------------------------------------------------------------------------------------------------------
# Drafts of the United States


@dataclass(frozen=True)
class UsMarket:
    """What US instruments share: venue splits by listing market, the average curve, the overnight factor."""

    nyse: VenueSplit
    nasdaq: VenueSplit
    curve: Array
    summer: Summer2007
    prior_days: float


NYSE_SPLIT_ORIGIN = (
    "assumed: as NYSE-listed stocks on average, measured in us_tick_lean AIG, BAC (7-9 Oct 2013) and "
    "us_venue_share_dark T, XOM, BAC (Jan-Jun 2014)"
)
NASDAQ_SPLIT_ORIGIN = (
    "assumed: as GOOG, the one Nasdaq-listed stock measured by venue and session (us_venue_share_dark, "
    "Jan-Jun 2014)"
)
ATS_ORIGIN = (
    "dark pools assumed: off-exchange share x ATS part of off-exchange volume (mean of 2019's weeks, tier 1, "
    "us_venue_share_dark), the three pools standing for all ATSs, split by their 2019 ATS shares; the rest "
    "of off-exchange volume (wholesalers, internalisers) and the smallest exchanges are left out"
)
MIDS_VARIANCE_US = (
    "5-minute realised variance of mids x the whole-day over intraday variance ratio of us_taq_impact_2007 "
    "(median over its stocks)"
)
US_CURVE_ORIGIN = (
    "assumed: the US mean curve, measured on seven symbols of 2013-2025 in us_tick_lean and us_intraday_bars"
)
LATENT_SPREAD_BPS, LATENT_ADV_USD, LATENT_SLOPE = 2.5, 4e8, -0.35
SPREAD_RULE = (
    "assumed: max(one tick, 2.5 bps x (ADV in USD / 400 million)^-0.35), set between AIG's 2.1 and AMZN's "
    "5.4 measured at about that turnover"
)


def assumed_us_spread_bps(mid: float, adv_shares: float) -> float:
    """The stated spread rule for US names without quotes in the data."""
    latent = LATENT_SPREAD_BPS * (adv_shares * mid / LATENT_ADV_USD) ** LATENT_SLOPE
    return float(max(0.01 / mid * 1e4, latent))


def us_draft(
    symbol: str,
    date: str,
    stats: DayStats,
    split: VenueSplit,
    shared: UsMarket,
    spread_bps: tuple[float, float],
) -> Draft:
    """A US draft from its statistics and its listing market's venue split."""
    curve = shrink(stats.curve, stats.days, shared.curve, shared.prior_days)
    sigma = daily_sigma(stats, shared.summer.overnight_factor)
    draft = make_draft(symbol, US_REFERENCE[symbol], "US", date, stats, spread_bps, sigma, curve)
    draft.lit_share, draft.off_exchange_fraction = split.lit, split.off_exchange
    return draft


def us_tick_drafts(data: Path, trades: Any, shared: UsMarket) -> list[Draft]:
    """AIG, BAC and SPY of 7-9 October 2013."""
    source = "us_tick_lean, 7-9 Oct 2013"
    drafts = []
    for symbol in TICK_SYMBOLS:
        grids = nbbo_grid_from_bars(data, symbol)
        median, mean, _ = spread_bps_of(grids)
        stats, split = tick_day_stats(trades, grids, symbol), tick_venue_split(trades, symbol)
        draft = us_draft(symbol, "2013-10-09", stats, split, shared, (median, mean))
        draft.provenance |= {
            "mid_price": f"measured: {source}, last NBBO mid of 9 Oct",
            "spread_bps": f"measured: {source}, NBBO each second (second bars); typical is the median",
            "daily_volatility_fraction": f"measured: {source}, {MIDS_VARIANCE_US}",
            "average_daily_volume_shares": f"measured: {source}, all trades, mean of 3 days",
            "volume_curve_fraction": f"measured: {source}, auctions taken out, shrunk to the US mean",
            "auctions": f"measured: {source}, flagged auction prints, or the official print if larger",
            "venue_shares": f"measured: {source}, volume by exch; {ATS_ORIGIN}",
        }
        drafts.append(draft)
    return drafts


def us_bar_drafts(data: Path, shared: UsMarket) -> list[Draft]:
    """AAPL and PLTR of January-February 2025, MSFT of April-May 2016."""
    split = shared.nasdaq
    in_2025, in_2016 = "5-minute bars, 39 days of Jan-Feb 2025", "1-minute bars, 21 days, 15 Apr-13 May 2016"
    sets = (
        ("AAPL", "2025-02-28", polygon_bars(data, "AAPL"), 5, in_2025),
        ("PLTR", "2025-02-28", polygon_bars(data, "PLTR"), 5, in_2025),
        ("MSFT", "2016-05-13", minute_bars_2016(data, "MSFT"), 1, in_2016),
    )
    drafts = []
    for symbol, date, bars, width, what in sets:
        stats = us_bar_stats(bars, width, split.open_auction, split.close_auction)
        spread = assumed_us_spread_bps(stats.last_price, float(np.mean(stats.volume_shares)))
        draft = us_draft(symbol, date, stats, split, shared, (spread, spread))
        source = curve_source = f"us_intraday_bars, {what}"
        if symbol == "AAPL":
            curve_2019, days = aapl_curve_2019(data, split.open_auction)
            draft.curve = shrink(curve_2019, days, shared.curve, shared.prior_days)
            curve_source = f"us_intraday_bars, 15-minute volume, {days} days of 2019"
        draft.provenance |= {
            "mid_price": f"measured: {source}, last close in the session (a trade price)",
            "spread_bps": SPREAD_RULE,
            "daily_volatility_fraction": f"measured: {source}, 5-minute realised plus overnight variance",
            "average_daily_volume_shares": f"measured: {source}, mean, extended hours included",
            "volume_curve_fraction": f"measured: {curve_source}, auctions taken out, shrunk to the US mean",
            "auctions": NASDAQ_SPLIT_ORIGIN,
            "venue_shares": f"{NASDAQ_SPLIT_ORIGIN}; {ATS_ORIGIN}",
        }
        drafts.append(draft)
    return drafts


def amzn_draft(data: Path, shared: UsMarket) -> Draft:
    """AMZN of 21 June 2012."""
    grids, minute_mids = amzn_quotes(data)
    median, mean, mid = spread_bps_of(grids)
    split = shared.nasdaq
    # 12:22:34 is 172.57 of 390 minutes in, in bin 11 of 15 minutes: what follows is the rest of the curve.
    after = float(shared.curve[12:].sum() + shared.curve[11] * (180 - 172.57) / 15)
    volume = amzn_nasdaq_afternoon_shares(data) / after / split.lit["XNAS"]
    variance = realised_variance(minute_mids, 5)
    stats = one_day(volume, shared.curve, split.open_auction, split.close_auction, variance, mid)
    draft = us_draft("AMZN", "2012-06-21", stats, split, shared, (median, mean))
    source = "us_lob_small, AMZN 21 Jun 2012"
    draft.provenance |= {
        "mid_price": f"measured: {source}, last Nasdaq mid",
        "spread_bps": f"measured: {source}, Nasdaq's best quotes each second (never under the NBBO's)",
        "daily_volatility_fraction": f"measured: {source}, {MIDS_VARIANCE_US}",
        "average_daily_volume_shares": f"measured: {source}, Nasdaq executions from 12:22:34 on, scaled by "
        "the US curve and by Nasdaq's 2014 share of GOOG",
        "volume_curve_fraction": US_CURVE_ORIGIN,
        "auctions": NASDAQ_SPLIT_ORIGIN,
        "venue_shares": f"{NASDAQ_SPLIT_ORIGIN}; {ATS_ORIGIN}",
    }
    return draft


def us_impact_drafts(shared: UsMarket) -> list[Draft]:
    """Names of summer 2007: ADV and volatility measured, spread by the stated rule."""
    summer, split = shared.summer, shared.nyse
    drafts = []
    for symbol in IMPACT_NAMES:
        mid, volume = float(summer.last_price[symbol]), float(summer.adv_shares[symbol])
        # Close-to-close variance brought to the session's, so that one rule makes everybody's daily figure.
        variance = float(summer.volatility[symbol]) ** 2 / summer.overnight_factor
        stats = one_day(volume, shared.curve, split.open_auction, split.close_auction, variance, mid)
        spread = assumed_us_spread_bps(mid, volume)
        draft = us_draft(symbol, "2007-08-15", stats, split, shared, (spread, spread))
        draft.provenance |= {
            "mid_price": f"measured: {IMPACT_SOURCE}, last terminal price",
            "spread_bps": SPREAD_RULE,
            "daily_volatility_fraction": f"measured: {IMPACT_SOURCE}, close-to-close returns, robust",
            "average_daily_volume_shares": f"measured: {IMPACT_SOURCE}, median of day value over VWAP",
            "volume_curve_fraction": US_CURVE_ORIGIN,
            "auctions": NYSE_SPLIT_ORIGIN,
            "venue_shares": f"{NYSE_SPLIT_ORIGIN}; {ATS_ORIGIN}",
        }
        drafts.append(draft)
    return drafts


def us_market(data: Path, trades: Any, prior_days: float) -> UsMarket:
    """Venue splits by listing market, the US average curve, the cross-section of 2007."""
    nasdaq = venue_split_2014(data, "GOOG")
    nyse = [tick_venue_split(trades, s) for s in ("AIG", "BAC")]
    nyse += [venue_split_2014(data, s) for s in ("T", "XOM", "BAC")]
    opening, closing = nasdaq.open_auction, nasdaq.close_auction
    curves = [tick_day_stats(trades, nbbo_grid_from_bars(data, s), s).curve for s in TICK_SYMBOLS]
    curves.append(aapl_curve_2019(data, opening)[0])
    curves += [us_bar_stats(polygon_bars(data, s), 5, opening, closing).curve for s in ("PLTR", "SPY")]
    curves.append(us_bar_stats(minute_bars_2016(data, "MSFT"), 1, opening, closing).curve)
    return UsMarket(average_split(nyse), nasdaq, np.mean(curves, axis=0), summer_2007(data), prior_days)


# --------------------------------------------------------------------------------------------------------
# Drafts of Brazil


def br_drafts(data: Path, prior_days: float) -> list[Draft]:
    """B3 symbols of March-April 2025."""
    trades = {s: b3_trades(data, s) for s in BR_REFERENCE}
    stats = {s: b3_day_stats(t) for s, t in trades.items()}
    market_curve = np.mean([s.curve for s in stats.values()], axis=0)
    petr = stats["PETR4"]
    factor = 1.0 + petr.overnight_variance / float(np.nanmean(petr.realised_variance))
    calls = [s.close_auction_fraction for name, s in stats.items() if BR_REFERENCE[name].lot_size_shares > 1]
    drafts = []
    for symbol, reference in BR_REFERENCE.items():
        own = stats[symbol]
        first, last = str(trades[symbol]["day"].min()), str(trades[symbol]["day"].max())
        curve = shrink(own.curve, own.days, market_curve, prior_days)
        spread, sigma = b3_spread_bps(trades[symbol]), daily_sigma(own, factor)
        draft = make_draft(symbol, reference, "BR", last, own, (spread, spread), sigma, curve)
        if own.days < 15 and reference.lot_size_shares > 1:
            draft.close_auction_fraction = float(np.median(calls))
        source = f"b3_l1_trades_2025, {symbol}, {own.days} days, {first}..{last}"
        stressed = " (a turmoil)" if own.days < 15 else " (7-9 April a turmoil)"
        draft.provenance |= {
            "mid_price": f"measured: {source}, last trade of the continuous session",
            "spread_bps": f"measured: {source}, buys against sells within 10 s, median, floor one tick",
            "daily_volatility_fraction": f"measured: {source}{stressed}, 5-minute realised variance of "
            "trades plus overnight",
            "average_daily_volume_shares": f"measured: {source}, the trades held in the file (a lower bound)",
            "volume_curve_fraction": f"measured: {source}, the calendar's 480 minutes, shrunk to B3's mean",
            "auctions": f"measured: {source}, auction prints at the open; prints 16:55-17:30 for the close, "
            "median day (shares with 3 days: median of the shares); too high if other trades are thinned",
        }
        drafts.append(draft)
    return drafts


# --------------------------------------------------------------------------------------------------------
# Drafts of China


def cn_latent_spread_bps(data: Path) -> float:
    """Median spread (bps) that Chinese stocks would have without a tick: censored (Tobit) log-normal fit.

    14 Shanghai stocks (2021-12-01) and the three Shenzhen ones (2022-06-01). Where the median spread is one
    tick, all that is known is that the latent one is no wider. 17 stocks identify no slope in turnover.
    """
    table = sse_spread_ticks(data)
    rows = [(float(b), 100.0 / float(p)) for b, p in zip(table["bps"], table["price"], strict=True)]
    for code in SNAPSHOT_NAMES:
        own, spread_bps = szse_stats(data, code)
        rows.append((spread_bps[0], 100.0 / own.last_price))
    spread, tick = np.log(np.array(rows)).T
    bound = spread < tick + math.log(1.3)

    def loss(theta: Array) -> float:
        scale = math.exp(theta[1])
        free = norm.logpdf((spread[~bound] - theta[0]) / scale) - theta[1]
        return -float(free.sum() + norm.logcdf((tick[bound] - theta[0]) / scale).sum())

    found = optimize.minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    return float(np.exp(found.x[0]))


def cn_draft(
    code: str, date: str, stats: DayStats, market: CnMarket, spread_bps: tuple[float, float]
) -> Draft:
    """A Chinese draft from its statistics."""
    curve = shrink(stats.curve, stats.days, market.curve, market.prior_days)
    sigma = daily_sigma(stats, market.overnight_factor)
    return make_draft(code, CN_REFERENCE[code], "CN", date, stats, spread_bps, sigma, curve)


def cn_provenance(source: str) -> dict[str, str]:
    """Origins of what both kinds of Chinese data measure."""
    return {
        "mid_price": f"measured: {source}, last price",
        "daily_volatility_fraction": f"measured: {source}, 5-minute realised variance x the whole-day over "
        "intraday ratio (median of all codes of cn_minute_202403)",
        "average_daily_volume_shares": f"measured: {source}, auctions included",
        "volume_curve_fraction": f"measured: {source}, 24 bins of 10 minutes, lunch cut out, shrunk to the "
        "mean of all codes of cn_minute_202403",
        "auctions": f"measured: {source}, opening call and closing call (14:57-15:00)",
    }


def cn_minute_drafts(data: Path, stats: dict[str, DayStats], market: CnMarket) -> list[Draft]:
    """Names of the minute bars of March 2024."""
    latent = cn_latent_spread_bps(data)
    origin = (
        f"assumed: max(one tick, {latent:.3g} bps), the latter the median of a censored fit to quoted "
        "spreads of 14 Shanghai stocks (1 Dec 2021) and 3 Shenzhen stocks (1 Jun 2022) in cn_l3_l2_dolphindb"
    )
    drafts = []
    for code in (c for c in CN_REFERENCE if c not in SNAPSHOT_NAMES):
        spread = max(100.0 / stats[code].last_price, latent)
        draft = cn_draft(code, "2024-03-12", stats[code], market, (spread, spread))
        draft.provenance |= cn_provenance("cn_minute_202403, 6 days, 1-12 Mar 2024") | {"spread_bps": origin}
        drafts.append(draft)
    return drafts


def cn_snapshot_drafts(data: Path, market: CnMarket) -> list[Draft]:
    """Shenzhen names of the full-day snapshots of June 2022."""
    source = "cn_l3_l2_dolphindb, ten-level snapshots of 1 Jun 2022 (one day)"
    drafts = []
    for code in SNAPSHOT_NAMES:
        own, spread_bps = szse_stats(data, code)
        draft = cn_draft(code, "2022-06-01", own, market, spread_bps)
        draft.provenance |= cn_provenance(source) | {
            "spread_bps": f"measured: {source}, continuous session, by time; typical is the median"
        }
        drafts.append(draft)
    return drafts


# --------------------------------------------------------------------------------------------------------
# Writing


def instrument_json(draft: Draft, dark: DarkShare) -> dict[str, Any]:
    """The seed's record: every field of Instrument, then `market` and `provenance`."""
    measured = sum(v.startswith("measured") for v in draft.provenance.values())
    return {
        "instrument_id": draft.instrument_id,
        "description": draft.description,
        "primary_mic": draft.primary_mic,
        "calendar": draft.calendar,
        "currency": draft.currency,
        "tick_size": draft.tick_size,
        "lot_size_shares": draft.lot_size_shares,
        "shares_outstanding": draft.shares_outstanding,
        "venues": venues_of(draft, dark),
        "volume_curve_fraction": rounded_curve(draft.curve),
        "open_auction_fraction": round_figure(draft.open_auction_fraction),
        "close_auction_fraction": round_figure(draft.close_auction_fraction),
        "typical_spread_bps": round_figure(draft.typical_spread_bps),
        "origin": f"seed calibrated from real data: {measured} of {len(draft.provenance)} figures measured, "
        "the others assumed; see provenance and store/seed/README.md",
        "market": {
            "as_of_ns": draft.as_of_ns,
            "mid_price": round_figure(draft.mid_price),
            "spread_bps": round_figure(draft.spread_bps),
            "daily_volatility_fraction": round_figure(draft.daily_volatility_fraction),
            "average_daily_volume_shares": round_figure(draft.average_daily_volume_shares),
        },
        "provenance": draft.provenance,
    }


def build_drafts(data: Path) -> list[Draft]:
    """Every instrument, from every folder."""
    stats = cn_all_stats(cn_panel(data))
    market = cn_market(list(stats.values()))
    trades = tick_trades(data)
    shared = us_market(data, trades, market.prior_days)
    drafts = [
        *us_tick_drafts(data, trades, shared),
        *us_bar_drafts(data, shared),
        amzn_draft(data, shared),
        *us_impact_drafts(shared),
        *br_drafts(data, market.prior_days),
        *cn_minute_drafts(data, stats, market),
        *cn_snapshot_drafts(data, market),
    ]
    return sorted(drafts, key=lambda d: d.instrument_id)


def write_json(path: Path, value: Any) -> None:
    """Pretty JSON, sorted keys, one trailing newline: the same value gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes instruments.json, and venues.json and impact.json beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("store/seed/instruments.json"))
    chosen = parser.parse_args(arguments)
    dark = dark_share(chosen.data)
    write_json(chosen.out, {"instruments": [instrument_json(d, dark) for d in build_drafts(chosen.data)]})
    write_json(chosen.out.with_name("venues.json"), directory_json())
    write_json(chosen.out.with_name("impact.json"), impact_json(chosen.data))


if __name__ == "__main__":
    main()
