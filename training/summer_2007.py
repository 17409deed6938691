"""Summer 2007: tables of stock by day (`us_taq_impact_2007`), their cross-section and their stock-days."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd  # type: ignore[import-untyped, unused-ignore]

from training.measures import Array, robust_clip

IMPACT_FOLDER = "us_taq_impact_2007"
# Columns carry numbers, no dates. Column 9 has no closing price in any stock and half the usual volume (the
# half day before 4 July 2007), so the columns are the trading days from 20 June to 15 August 2007.
IMPACT_HALF_DAY = 9
IMPACT_SOURCE = "us_taq_impact_2007, 20 Jun-15 Aug 2007 (dates inferred from the half day)"
# Below this a row holds another tape than its ticker's (RTN at 0.16 million a day, MXM, MKC, CMT), or an
# illiquid stock (RLH) whose ADV is too thin to divide by.
LEAST_DAY_VALUE_USD = 2e6
# Of the stock's median: outside, a day's tape is cut short or holds a bad print.
DAY_VALUE_RANGE = (0.1, 10.0)


def impact_table(data: Path, name: str) -> Any:
    """One wide table (stock by day), without unnamed rows and rows that repeat another under a new name."""
    table = pd.read_csv(
        data / IMPACT_FOLDER / f"{name}.csv.gz", keep_default_na=False, na_values=["", "NaN", "nan"]
    )
    table = table.dropna(subset=["Stock"]).drop_duplicates("Stock").set_index("Stock")
    return table.drop(index=["JAVA"], errors="ignore").apply(pd.to_numeric, errors="coerce")


@dataclass(frozen=True)
class Summer2007:
    """By ticker: ADV (shares and USD), daily volatility, last price.

    `overnight_factor` is the median over stocks of whole-day over intraday variance.
    """

    adv_shares: Any
    adv_usd: Any
    volatility: Any
    last_price: Any
    overnight_factor: float


def summer_2007(data: Path) -> Summer2007:
    """Cross-section of summer 2007 from arrival, terminal and average prices and the day's value.

    The folder's own volatility table is left alone: it is flat across stocks (0.23-0.27 for consumer staples
    and miners alike) and grows with the column, so it carries no cross-section.
    """
    value, terminal = impact_table(data, "totalDailyValueDf"), impact_table(data, "terminalPriceDf")
    arrival, vwap = impact_table(data, "arrivalPriceDf"), impact_table(data, "vwapCloseDf")
    keep = [c for c in value.columns if int(c) != IMPACT_HALF_DAY]
    shares = (value[keep] / vwap[keep].where(vwap[keep] > 0)).median(axis=1)
    close_to_close = np.log(terminal[keep]).diff(axis=1).iloc[:, 1:].apply(clip_row, axis=1)
    intraday = np.log(terminal[keep] / arrival[keep].where(arrival[keep] > 0)).apply(clip_row, axis=1)
    ratio = ((close_to_close**2).mean(axis=1) / (intraday**2).mean(axis=1)).median()
    return Summer2007(
        shares,
        value[keep].median(axis=1),
        np.sqrt((close_to_close**2).mean(axis=1)),
        terminal.ffill(axis=1).iloc[:, -1],
        float(ratio),
    )


def clip_row(row: Any) -> Any:
    """A stock's returns, clipped at six robust deviations; missing days stay missing."""
    good = row.notna()
    out = row.copy()
    out[good] = robust_clip(row[good].to_numpy(dtype=np.float64))
    return out


@dataclass(frozen=True)
class StockDays:
    """Aligned arrays over stock-days, and why the others were dropped.

    `flow` is the signed imbalance to 15:30 over the stock's median daily value, `flow_of_day` over the day's
    own; `realised` (arrival to VWAP at 15:30) and `lasting` (arrival to close) are returns in units of the
    stock's daily volatility.
    """

    day: npt.NDArray[np.int64]
    flow: Array
    flow_of_day: Array
    realised: Array
    lasting: Array
    dropped: dict[str, int]


def stock_days(data: Path) -> StockDays:
    """Every usable stock-day of the 2007 tables."""
    summer = summer_2007(data)
    names = ("imbalanceDf", "arrivalPriceDf", "vwap330Df", "terminalPriceDf", "totalDailyValueDf")
    tables = [impact_table(data, n) for n in names]
    raw = len(pd.read_csv(data / IMPACT_FOLDER / "imbalanceDf.csv.gz", usecols=["Stock"]))
    rows, columns = tables[0].shape
    keep = [c for c in tables[0].columns if int(c) != IMPACT_HALF_DAY]
    shape = (rows, len(keep))
    signed, start, average, end, value = (t[keep].to_numpy(dtype=np.float64).ravel() for t in tables)
    day = np.broadcast_to(np.array([int(c) for c in keep]), shape).ravel()
    sigma, adv = (
        np.broadcast_to(x.to_numpy(dtype=np.float64)[:, None], shape).ravel()
        for x in (summer.volatility, summer.adv_usd)
    )
    relative = value / adv
    reasons = {
        "day value outside 0.1-10 times the stock's median": ~(
            (relative > DAY_VALUE_RANGE[0]) & (relative < DAY_VALUE_RANGE[1])
        ),
        "median day value under 2 million USD": adv < LEAST_DAY_VALUE_USD,
        "no arrival price": ~(start > 0),
        "no closing price": ~(end > 0),
        "no VWAP to 15:30": ~(average > 0),
    }
    dropped = {"repeated or unnamed stock": (raw - rows) * columns, "half day": rows}
    good = np.ones(day.size, dtype=bool)
    for reason, bad in reversed(reasons.items()):
        dropped[reason] = int((good & bad).sum())  # a stock-day counts once, under its first reason
        good &= ~bad
    # Six daily volatilities: a takeover day says nothing of impact and would rule the squares.
    realised = np.clip((average[good] / start[good] - 1) / sigma[good], -6, 6)
    lasting = np.clip((end[good] / start[good] - 1) / sigma[good], -6, 6)
    return StockDays(
        day[good].astype(np.int64),
        signed[good] / adv[good],
        signed[good] / value[good],
        realised,
        lasting,
        dropped,
    )
