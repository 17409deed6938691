"""Instruments of China: minute bars of March 2024, Shenzhen's snapshots of June 2022."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]
from scipy import optimize  # type: ignore[import-untyped, unused-ignore]
from scipy.stats import norm  # type: ignore[import-untyped, unused-ignore]

from training.instruments.day_stats import (
    DayStats,
    curve_noise,
    daily_sigma,
    day_shares,
    mean_square,
    one_day,
    realised_variance,
    shrink,
)
from training.instruments.draft import Draft, make_draft
from training.instruments.reference import CN_BINS, CN_DAY_MINUTES, CN_MINUTES, CN_REFERENCE, SNAPSHOT_NAMES
from training.measures import Array, sample_last
from training.readers import cn_minute_days, read

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
    """All six days of March 2024."""
    days = [day for _, day in cn_minute_days(data)]
    codes = sorted({code for day in days for code in day["code"].unique()})
    place = {code: i for i, code in enumerate(codes)}
    close, volume = np.zeros((2, len(codes), len(days), 241))
    for at, day in enumerate(days):
        row = day["code"].map(place).to_numpy(dtype=np.int64)
        minute = day["minute"].to_numpy(dtype=np.int64)
        slot = np.where(minute <= 690, minute - 570, minute - 780 + 120)
        close[row, at, slot] = day["close_cny"].to_numpy(dtype=np.float64)
        volume[row, at, slot] = day["volume_shares"].to_numpy(dtype=np.float64)
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


def until_call(curve: Array) -> Array:
    """A curve of 24 bins of ten minutes, the last with seven of continuous trading, as 24 equal bins of those 237
    minutes, which is what an instrument's curve is of; within a bin trading is taken to be even."""
    edges = np.minimum(np.linspace(0.0, CN_DAY_MINUTES, CN_BINS + 1), CN_MINUTES)
    traded = np.concatenate(([0.0], np.cumsum(curve)))
    found: Array = np.diff(np.interp(np.linspace(0.0, CN_MINUTES, CN_BINS + 1), edges, traded))
    return found


def cn_draft(
    code: str, date: str, stats: DayStats, market: CnMarket, spread_bps: tuple[float, float]
) -> Draft:
    """A Chinese draft from its statistics."""
    curve = shrink(stats.curve, stats.days, market.curve, market.prior_days)
    sigma = daily_sigma(stats, market.overnight_factor)
    return make_draft(code, CN_REFERENCE[code], "CN", date, stats, spread_bps, sigma, until_call(curve))


def cn_provenance(source: str) -> dict[str, str]:
    """Origins of what both kinds of Chinese data measure."""
    return {
        "mid_price": f"measured: {source}, last price",
        "daily_volatility_fraction": f"measured: {source}, 5-minute realised variance x the whole-day over "
        "intraday ratio (median of all codes of cn_minute_202403)",
        "average_daily_volume_shares": f"measured: {source}, auctions included",
        "volume_curve_fraction": f"measured: {source}, 24 bins of the 237 minutes until the closing call, lunch "
        "cut out, from bins of 10 minutes shrunk to the mean of all codes of cn_minute_202403",
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
