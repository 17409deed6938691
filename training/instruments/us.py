"""Instruments of the United States: what they share, and a draft from each kind of data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.instruments.day_stats import DayStats, daily_sigma, one_day, realised_variance, shrink
from training.instruments.draft import Draft, make_draft
from training.instruments.reference import IMPACT_NAMES, US_REFERENCE
from training.instruments.us_bars import aapl_curve_2019, polygon_bars, us_bar_stats
from training.instruments.us_ticks import (
    TICK_SYMBOLS,
    nbbo_grid_from_bars,
    second_grid,
    spread_bps_of,
    tick_day_stats,
)
from training.instruments.us_venue_shares import VenueSplit, average_split, tick_venue_split, venue_split_2014
from training.measures import Array
from training.readers import LOB_FOLDER, amzn_best_quotes, bars_2016, read
from training.summer_2007 import IMPACT_SOURCE, Summer2007, summer_2007

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


@dataclass(frozen=True)
class UsMarket:
    """What US instruments share: venue splits by listing market, the average curve, the overnight factor."""

    nyse: VenueSplit
    nasdaq: VenueSplit
    curve: Array
    summer: Summer2007
    prior_days: float


def us_market(data: Path, trades: Any, prior_days: float) -> UsMarket:
    """Venue splits by listing market, the US average curve, the cross-section of 2007."""
    nasdaq = venue_split_2014(data, "GOOG")
    nyse = [tick_venue_split(trades, s) for s in ("AIG", "BAC")]
    nyse += [venue_split_2014(data, s) for s in ("T", "XOM", "BAC")]
    opening, closing = nasdaq.open_auction, nasdaq.close_auction
    curves = [tick_day_stats(trades, nbbo_grid_from_bars(data, s), s).curve for s in TICK_SYMBOLS]
    curves.append(aapl_curve_2019(data, opening)[0])
    curves += [us_bar_stats(polygon_bars(data, s), 5, opening, closing).curve for s in ("PLTR", "SPY")]
    curves.append(us_bar_stats(bars_2016(data, "MSFT"), 1, opening, closing).curve)
    return UsMarket(average_split(nyse), nasdaq, np.mean(curves, axis=0), summer_2007(data), prior_days)


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
        ("MSFT", "2016-05-13", bars_2016(data, "MSFT"), 1, in_2016),
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


def amzn_quotes(data: Path) -> tuple[dict[int, tuple[Array, Array]], Array]:
    """AMZN's Nasdaq best quotes on 2012-06-21 at each second, and its mids every minute, USD."""
    bid, ask = amzn_best_quotes(data, second_grid() / 1_000)
    return {20120621: (bid, ask)}, ((bid + ask) / 2)[::60]


def amzn_nasdaq_afternoon_shares(data: Path) -> float:
    """Shares executed on Nasdaq from 12:22:34 to the close (LOBSTER types 4 and 5)."""
    frame = read(data / LOB_FOLDER / "AMZN_2012-06-21_L1_messages_book_from44553s.parquet", ("Type", "Size"))
    return float(frame[frame["Type"].isin((4, 5))]["Size"].sum())


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
