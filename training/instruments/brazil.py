"""Instruments of Brazil: B3's trades of March and April 2025."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from training.instruments.day_stats import DayStats, daily_sigma, day_shares, realised_variance, shrink
from training.instruments.draft import Draft, make_draft
from training.instruments.reference import BR_BINS, BR_REFERENCE
from training.measures import robust_clip, sample_last
from training.readers import b3_trades

B3_NEW_HOURS = "2025-03-10"  # from here the continuous phase ends at 16:55, before that at 17:55
B3_SESSION_START = 600  # 10:00 Sao Paulo
B3_CALL_START = 1015  # 16:55: what prints up to 17:30 comes from the closing call
B3_SESSION_MINUTES = B3_CALL_START - B3_SESSION_START
B3_CALL_END = 1050


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
    """Volume, curve over the 415 minutes until the closing call, auctions, five-minute variance of trade prices."""
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


def br_drafts(data: Path, prior_days: float) -> list[Draft]:
    """B3 symbols of March-April 2025."""
    every = b3_trades(data, tuple(BR_REFERENCE))
    every = every[every["day"] >= B3_NEW_HOURS]
    trades = {s: every[every["symbol"] == s] for s in BR_REFERENCE}
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
            "volume_curve_fraction": f"measured: {source}, the 415 minutes until the closing call, shrunk to B3's mean",
            "auctions": f"measured: {source}, auction prints at the open; prints 16:55-17:30 for the close, "
            "median day (shares with 3 days: median of the shares); too high if other trades are thinned",
        }
        drafts.append(draft)
    return drafts
