"""What execution costs and how markets jitter, fitted on the real data: `store/seed/impact.json`.

Three independent fits, each with its origin: price impact across stocks (Almgren et al. 2005 style, 2007),
fills and adverse selection of limit orders (SEC Rule 605, 2016), and the noise of volume and spread around
their daily shape (2012-2016). `training/instruments.py` runs them and writes the file. Also here: the small
readers and statistics that both modules use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

Array = npt.NDArray[np.float64]

BOOTSTRAP_DRAWS = 2_000
BOOTSTRAP_SEED = 20_070_703


# --------------------------------------------------------------------------------------------------------
# Readers and statistics shared with training/instruments.py


def round_figure(value: float, digits: int = 6) -> float:
    """Six significant digits: enough for any figure here, and free of the last-bit noise of a platform."""
    if value == 0.0 or not math.isfinite(value):
        return 0.0
    return float(f"{value:.{digits}g}")


def read(path: Path, columns: Sequence[str]) -> Any:
    """A parquet file's columns as a frame, categories as text (pandas is untyped, hence Any)."""
    frame = pq.read_table(path, columns=list(columns)).to_pandas()
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].astype(str)
    return frame


def sample_last(times: Array, values: Array, grid: Array) -> Array:
    """The last value known at each point of the grid, nan before the first."""
    index = np.searchsorted(times, grid, side="right") - 1
    picked: Array = np.where(index >= 0, values[np.maximum(index, 0)], np.nan)
    return picked


def robust_clip(returns: Array, sigmas: float = 6.0) -> Array:
    """Returns clipped at six robust deviations, so that a bad print does not become volatility."""
    if returns.size == 0:
        return returns
    scale = 1.4826 * float(np.median(np.abs(returns)))
    if scale == 0.0:
        scale = float(np.std(returns))
    bound = sigmas * scale if scale > 0.0 else np.inf
    clipped: Array = np.clip(returns, -bound, bound)
    return clipped


def clip_row(row: Any) -> Any:
    """A stock's returns, clipped at six robust deviations; missing days stay missing."""
    good = row.notna()
    out = row.copy()
    out[good] = robust_clip(row[good].to_numpy(dtype=np.float64))
    return out


def autocorrelation(series: Sequence[Array], lag: int) -> float:
    """Autocorrelation at a lag, pooled over several stretches (no pair crosses from one day to the next)."""
    pairs = [(s[:-lag], s[lag:]) for s in series if s.size > lag]
    before, after = (np.concatenate([p[i] for p in pairs]) for i in (0, 1))
    good = np.isfinite(before) & np.isfinite(after)
    return float(np.corrcoef(before[good], after[good])[0, 1])


# --------------------------------------------------------------------------------------------------------
# Summer 2007: tables of stock by day

IMPACT_FOLDER = "us_taq_impact_2007"
# Columns carry numbers, no dates. Column 9 has no closing price in any stock and half the usual volume (the
# half day before 4 July 2007), so the columns are the trading days from 20 June to 15 August 2007.
IMPACT_HALF_DAY = 9
IMPACT_SOURCE = "us_taq_impact_2007, 20 Jun-15 Aug 2007 (dates inferred from the half day)"
FLOW_HORIZON_DAYS = 6.0 / 6.5  # the imbalance runs from 09:30 to 15:30


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


# Below this a row holds another tape than its ticker's (RTN at 0.16 million a day, MXM, MKC, CMT), or an
# illiquid stock (RLH) whose ADV is too thin to divide by.
LEAST_DAY_VALUE_USD = 2e6
DAY_VALUE_RANGE = (
    0.1,
    10.0,
)  # of the stock's median: outside, a day's tape is cut short or holds a bad print


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


# --------------------------------------------------------------------------------------------------------
# Power-law fit with a day effect


@dataclass(frozen=True)
class PowerFit:
    """y = a_day + coefficient * sign(x) * |x|**exponent, 95 % intervals from resampling whole days."""

    coefficient: float
    coefficient_interval: tuple[float, float]
    exponent: float
    exponent_interval: tuple[float, float]
    explained_fraction: float


def within(values: Array, day: npt.NDArray[np.int64]) -> Array:
    """Values less their day's mean: takes the market's common move out."""
    codes = np.unique(day, return_inverse=True)[1]
    mean = np.bincount(codes, weights=values) / np.bincount(codes)
    centred: Array = values - mean[codes]
    return centred


def day_sums(
    flow: Array, response: Array, day: npt.NDArray[np.int64], exponents: Array
) -> tuple[Array, Array, Array]:
    """By exponent and day: sums of regressor squared and regressor times response; response squared."""
    codes = np.unique(day, return_inverse=True)[1]
    y = within(response, day)
    squares, crosses = [], []
    for exponent in exponents:
        f = within(np.sign(flow) * np.abs(flow) ** exponent, day)
        squares.append(np.bincount(codes, weights=f * f))
        crosses.append(np.bincount(codes, weights=f * y))
    return (
        np.array(squares),
        np.array(crosses),
        np.asarray(np.bincount(codes, weights=y * y), dtype=np.float64),
    )


def power_fit(flow: Array, response: Array, day: npt.NDArray[np.int64], exponents: Array) -> PowerFit:
    """Least squares over a grid of exponents (the coefficient is closed form), bootstrap over days.

    Days are resampled whole because the stocks of one day move together.
    """
    squares, crosses, total = day_sums(flow, response, day, exponents)
    fit = squares.sum(axis=1), crosses.sum(axis=1)
    gain = fit[1] ** 2 / fit[0]
    best = int(np.argmax(gain))
    random = np.random.default_rng(BOOTSTRAP_SEED)
    days = total.size
    drawn = []
    for _ in range(BOOTSTRAP_DRAWS):
        count = np.bincount(random.integers(0, days, days), minlength=days)
        s, c = squares @ count, crosses @ count
        at = int(np.argmax(c**2 / s))
        drawn.append((c[at] / s[at], exponents[at]))
    low, high = np.percentile(np.array(drawn), [2.5, 97.5], axis=0)
    return PowerFit(
        float(fit[1][best] / fit[0][best]),
        (float(low[0]), float(high[0])),
        float(exponents[best]),
        (float(low[1]), float(high[1])),
        float(gain[best] / total.sum()),
    )


def fit_json(fit: PowerFit) -> dict[str, Any]:
    """A fit as JSON."""
    return {
        "coefficient": round_figure(fit.coefficient, 4),
        "coefficient_interval95": [round_figure(x, 4) for x in fit.coefficient_interval],
        "exponent": round_figure(fit.exponent, 4),
        "exponent_interval95": [round_figure(x, 4) for x in fit.exponent_interval],
        "explained_fraction": round_figure(fit.explained_fraction, 4),
    }


def binned_response(days: StockDays, bins: int = 12) -> list[dict[str, float]]:
    """Mean signed response by size of flow, with its standard error: the picture behind the fit."""
    size = np.abs(days.flow)
    signed = np.sign(days.flow) * within(days.realised, days.day)
    edges = np.quantile(size, np.linspace(0, 1, bins + 1))
    which = np.clip(np.searchsorted(edges, size, side="right") - 1, 0, bins - 1)
    return [
        {
            "flow_of_adv": round_figure(float(size[which == b].mean()), 4),
            "response_of_daily_sigma": round_figure(float(signed[which == b].mean()), 4),
            "standard_error": round_figure(
                float(signed[which == b].std() / math.sqrt((which == b).sum())), 4
            ),
        }
        for b in range(bins)
    ]


def impact_sensitivity(days: StockDays, grid: Array) -> dict[str, Any]:
    """The realised fit under other choices: the same day's value, and without the largest flows."""
    small = np.abs(days.flow) < 0.3
    return {
        "flow over the same day's value": fit_json(
            power_fit(days.flow_of_day, days.realised, days.day, grid)
        ),
        "flow under 30 % of ADV": fit_json(
            power_fit(days.flow[small], days.realised[small], days.day[small], grid)
        ),
        "exponent held at 0.5": fit_json(power_fit(days.flow, days.realised, days.day, np.array([0.5]))),
    }


def impact_of_2007(data: Path) -> dict[str, Any]:
    """Impact of signed flow: concave fit of the realised part, linear permanent part, temporary remainder."""
    days = stock_days(data)
    grid = np.arange(0.10, 1.5001, 0.005)
    remainder = days.realised - days.lasting / 2
    rate = days.flow / FLOW_HORIZON_DAYS
    temporary = power_fit(rate, remainder, days.day, np.array([0.6]))
    return {
        "origin": f"measured: {IMPACT_SOURCE}; day effects taken out, 95 % intervals by {BOOTSTRAP_DRAWS} "
        f"bootstrap draws of whole days (seed {BOOTSTRAP_SEED})",
        "meaning": "arrival-to-VWAP (09:30-15:30) return over daily volatility = coefficient * sign * "
        "|signed flow / ADV| ** exponent; the flow is the market's whole imbalance, not one order",
        "stock_days_used": int(days.flow.size),
        "stock_days_dropped": days.dropped,
        "realised": fit_json(power_fit(days.flow, days.realised, days.day, grid)),
        "arrival_to_close": fit_json(power_fit(days.flow, days.lasting, days.day, grid)),
        "sensitivity_of_realised": impact_sensitivity(days, grid),
        "almgren_permanent_linear": fit_json(power_fit(days.flow, days.lasting, days.day, np.array([1.0]))),
        "almgren_temporary": fit_json(temporary)
        | {
            "identified": bool(temporary.coefficient_interval[0] > 0),
            "free_exponent": fit_json(power_fit(rate, remainder, days.day, grid)),
            "meaning": "realised less half of arrival-to-close, on |X/(V T)| ** 0.6 with T = 6/6.5 day",
        },
        "binned_realised_response": binned_response(days),
    }


# --------------------------------------------------------------------------------------------------------
# Rule 605, December 2016

RULE605_SOURCE = "rule605_virtu, SEC Rule 605 report of one wholesaler, December 2016"
ORDER_TYPES = {
    11: "market",
    12: "marketable_limit",
    13: "inside_the_quote",
    14: "at_the_quote",
    15: "near_the_quote",
}
SIZE_BUCKETS = {21: "100-499", 22: "500-1999", 23: "2000-4999", 24: "5000+"}
TIME_COLUMNS = ("exec_0_9s", "exec_10_29s", "exec_30_59s", "exec_60_299s", "exec_5_30m")


def rule605(data: Path) -> Any:
    """The report with executed shares and, in every row, the symbol's spread paid by marketable orders."""
    frame = read(
        data / "rule605_virtu" / "rule605_virtu.parquet",
        (
            "symbol",
            "order_type",
            "size_bucket",
            "covered_shares",
            "exec_here_shares",
            "exec_away_shares",
            *TIME_COLUMNS,
            "avg_realized_spread",
            "avg_effective_spread",
        ),
    )
    frame = frame.assign(executed=frame["exec_here_shares"] + frame["exec_away_shares"])
    crossing = frame[
        frame["order_type"].isin((11, 12)) & (frame["executed"] > 0) & (frame["avg_effective_spread"] > 0)
    ]
    paid = (crossing["avg_effective_spread"] * crossing["executed"]).groupby(crossing["symbol"]).sum()
    spread = paid / crossing.groupby("symbol")["executed"].sum()
    return frame.assign(symbol_spread=frame["symbol"].map(spread))


def symbol_bootstrap(frame: Any, statistic: Callable[[Array], float]) -> tuple[float, float]:
    """95 % interval of a statistic of sums; `frame` holds the terms by symbol, symbols are resampled."""
    sums = frame.to_numpy(dtype=np.float64)
    random = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = [
        statistic(sums[random.integers(0, len(sums), len(sums))].sum(axis=0)) for _ in range(BOOTSTRAP_DRAWS)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def ratio_json(rows: Any, numerator: Any, denominator: Any, offset: float = 0.0) -> dict[str, Any]:
    """offset + sum(numerator) / sum(denominator), with its interval over symbols and the shares behind it."""
    sums = pd.DataFrame({"n": numerator, "d": denominator}).groupby(rows["symbol"]).sum()

    def ratio(total: Array) -> float:
        return offset + float(total[0] / total[1]) if total[1] else 0.0

    value = ratio(sums.to_numpy(dtype=np.float64).sum(axis=0))
    low, high = symbol_bootstrap(sums, ratio)
    return {
        "value": round_figure(value, 4),
        "interval95": [round_figure(low, 4), round_figure(high, 4)],
        "executed_shares": int(rows["executed"].sum()),
        "symbols": len(sums),
    }


def rows_of(frame: Any, order_type: int, buckets: Sequence[int]) -> Any:
    """The report's rows of one order type and some size buckets."""
    return frame[(frame["order_type"] == order_type) & frame["size_bucket"].isin(buckets)]


def realised_over_effective(frame: Any, order_type: int, buckets: Sequence[int]) -> dict[str, Any] | None:
    """Realised over effective spread of marketable orders: what the other side keeps after five minutes."""
    rows = rows_of(frame, order_type, buckets)
    rows = rows[rows["executed"] > 0]
    rows = rows[rows["avg_effective_spread"] > 0]
    if rows["executed"].sum() < 20_000:
        return None
    # One odd lot in a halted stock can move the mean: realised spreads are held within five effective ones.
    bound = 5 * rows["avg_effective_spread"]
    realised = rows["avg_realized_spread"].clip(-bound, bound)
    return ratio_json(rows, realised * rows["executed"], rows["avg_effective_spread"] * rows["executed"])


def passive_adverse_selection(frame: Any, order_type: int, buckets: Sequence[int]) -> dict[str, Any] | None:
    """Share of the earned half-spread that a resting order loses within five minutes of its fill.

    The report gives resting orders no effective spread. A fill at the quote earns the spread of its symbol,
    taken from the marketable orders; a realised spread of minus that means nothing was lost, zero that all
    was: adverse share = 1 + realised / spread. Above 1 the fill lost more than it earned.
    """
    rows = rows_of(frame, order_type, buckets)
    rows = rows[rows["executed"] > 0]
    rows = rows[rows["symbol_spread"] > 0]
    if rows["executed"].sum() < 20_000:
        return None
    bound = 5 * rows["symbol_spread"]
    realised = rows["avg_realized_spread"].clip(-bound, bound)
    return ratio_json(rows, realised * rows["executed"], rows["symbol_spread"] * rows["executed"], offset=1.0)


def fill_probability(frame: Any, order_type: int, buckets: Sequence[int]) -> dict[str, Any]:
    """Executed over covered shares of a type of limit order, and how long the filled ones waited."""
    rows = rows_of(frame, order_type, buckets)
    waits = rows[list(TIME_COLUMNS)].sum()
    total = max(float(waits.sum()), 1.0)
    return ratio_json(rows, rows["executed"], rows["covered_shares"]) | {
        "waited_fraction": {
            name.removeprefix("exec_"): round_figure(float(waits[name]) / total, 4) for name in TIME_COLUMNS
        }
    }


def rule605_figures(data: Path) -> dict[str, Any]:
    """Spread ratios, adverse selection and fill probabilities by order type and size bucket."""
    frame = rule605(data)
    buckets = {label: (bucket,) for bucket, label in SIZE_BUCKETS.items()} | {"all": tuple(SIZE_BUCKETS)}
    by_size: dict[str, dict[str, Any]] = {}
    for order_type, name in ORDER_TYPES.items():
        figure = realised_over_effective if order_type in (11, 12) else fill_probability
        by_size[name] = {label: figure(frame, order_type, chosen) for label, chosen in buckets.items()}
    adverse = {label: passive_adverse_selection(frame, 14, chosen) for label, chosen in buckets.items()}
    return {
        "origin": f"measured: {RULE605_SOURCE}; share-weighted, spreads held within five effective ones, "
        f"95 % intervals by {BOOTSTRAP_DRAWS} bootstrap draws of symbols",
        "caveat": "retail-like flow of one market centre; a cancelled share counts as not filled, and most "
        "are cancelled at once, so fill probability is a floor for an order that waits; null = under 20,000 "
        "executed shares",
        "realised_over_effective_spread": {n: by_size[n] for n in ("market", "marketable_limit")},
        "passive_adverse_selection_of_spread": {"at_the_quote": adverse},
        "fill_probability": {n: by_size[n] for n in ("inside_the_quote", "at_the_quote", "near_the_quote")},
    }


# --------------------------------------------------------------------------------------------------------
# Noise of volume and spread around their daily shape

TICK_FOLDER = "us_tick_lean"
TICK_DATES = (20131007, 20131008, 20131009)
US_OPEN_MS, US_CLOSE_MS = 34_200_000, 57_600_000  # ms since New York midnight
SESSION_MINUTES = 390


def shape_free(log_values: Array, bin_size: int = 15) -> Array:
    """Log values (day by time) less the mean of their bin of the day and of their day.

    The first and last bin stay out: they hold the auctions and a steep slope.
    """
    inner = log_values[:, bin_size:-bin_size]
    bins = np.arange(inner.shape[1]) // bin_size
    per_day = inner - np.nanmean(inner, axis=1, keepdims=True)
    shape = np.array([np.nanmean(per_day[:, bins == b]) for b in range(bins.max() + 1)])
    residual: Array = per_day - shape[bins]
    centred: Array = residual - np.nanmean(residual, axis=1, keepdims=True)
    return centred


def positive_log(values: Array) -> Array:
    """Natural log, nan where nothing traded."""
    logged: Array = np.log(np.where(values > 0, values, np.nan))
    return logged


def persistence_json(residual: Array) -> dict[str, float]:
    """Standard deviation and autocorrelations (1, 5, 30 minutes) of residual logs, day by minute."""
    rows = list(residual)
    return {"sd": round_figure(float(np.nanstd(residual)), 4)} | {
        f"autocorrelation_{lag}_min": round_figure(autocorrelation(rows, lag), 4) for lag in (1, 5, 30)
    }


def tick_minutes(data: Path, symbol: str) -> tuple[Array, Array, Array]:
    """AIG, BAC or SPY of October 2013, day by minute: volume (shares), mean spread (bps), variance.

    The variance is the sum of squared ten-second returns of the mid, a fraction squared.
    """
    trades = read(data / TICK_FOLDER / "bars_second_trade.parquet", ("symbol", "date", "ms", "v"))
    quotes = read(data / TICK_FOLDER / "bars_second_quote.parquet", ("symbol", "date", "ms", "bc", "ac"))
    volume, spread, variance = [], [], []
    for date in TICK_DATES:
        t = trades[(trades["symbol"] == symbol) & (trades["date"] == date)]
        t = t[(t["ms"] >= US_OPEN_MS) & (t["ms"] < US_CLOSE_MS)]
        minute = ((t["ms"] - US_OPEN_MS) // 60_000).to_numpy(dtype=np.int64)
        volume.append(
            np.bincount(minute, weights=t["v"].to_numpy(dtype=np.float64), minlength=SESSION_MINUTES)
        )
        q = quotes[(quotes["symbol"] == symbol) & (quotes["date"] == date)]
        grid = US_OPEN_MS + 1000.0 * np.arange(SESSION_MINUTES * 60, dtype=np.float64)
        times = q["ms"].to_numpy(dtype=np.float64)
        bid, ask = (sample_last(times, q[c].to_numpy(dtype=np.float64), grid) for c in ("bc", "ac"))
        s, v = minute_spread_and_variance(bid, ask)
        spread.append(s)
        variance.append(v)
    return np.array(volume), np.array(spread), np.array(variance)


def minute_spread_and_variance(bid: Array, ask: Array) -> tuple[Array, Array]:
    """From bid and ask each second: mean spread (bps) and sum of squared 10-second returns by minute."""
    mid = (bid + ask) / 2
    bps = np.where(ask > bid, (ask - bid) / mid * 1e4, np.nan).reshape(-1, 60)
    returns = np.diff(np.log(mid[::10]), prepend=np.nan).reshape(-1, 6)
    return np.nanmean(bps, axis=1), np.nansum(returns**2, axis=1)


def amzn_minutes(data: Path) -> tuple[Array, Array]:
    """AMZN of 21 June 2012 on Nasdaq, one day by minute: mean spread (bps) and squared 10-second returns."""
    frame = read(
        data / "us_lob_small" / "AMZN_2012-06-21_fullday_bbo_depth3.parquet", ("secs", "ask1", "bid1")
    )
    times = frame["secs"].to_numpy(dtype=np.float64)
    grid = 34_201.0 + np.arange(SESSION_MINUTES * 60, dtype=np.float64)
    bid, ask = (sample_last(times, frame[c].to_numpy(dtype=np.float64), grid) for c in ("bid1", "ask1"))
    spread, variance = minute_spread_and_variance(bid, ask)
    return spread[None, :], variance[None, :]


def minute_volume_2016(data: Path, symbol: str) -> Array:
    """AAPL or MSFT, 21 days of April-May 2016, volume (shares) by day and minute."""
    frame = read(data / "us_intraday_bars" / "msft_aapl_1min_2016.parquet", ("symbol", "ts", "volume"))
    own = frame[frame["symbol"] == symbol]
    minute = own["ts"].dt.hour * 60 + own["ts"].dt.minute - 810  # 13:30 UTC is 09:30 in New York in summer
    inside = (minute >= 0) & (minute < SESSION_MINUTES)
    table = own[inside].pivot_table(index=own["ts"].dt.date[inside], columns=minute[inside], values="volume")
    volumes: Array = table.reindex(columns=range(SESSION_MINUTES)).to_numpy(dtype=np.float64)
    return volumes


def five_minute_log(values: Array) -> Array:
    """Log of five-minute sums, day by bin; nan where the sum is 0."""
    return positive_log(np.nansum(values.reshape(len(values), -1, 5), axis=2))


def shape_free_correlation(first: Array, second: Array) -> float:
    """Correlation of two quantities (day by minute) in five-minute logs, half-hour shape and day out."""
    a, b = (shape_free(five_minute_log(x), bin_size=6).ravel() for x in (first, second))
    good = np.isfinite(a) & np.isfinite(b)
    return round_figure(float(np.corrcoef(a[good], b[good])[0, 1]), 4)


def noise_figures(data: Path) -> dict[str, Any]:
    """Dispersion and persistence of minute volume and spread; their correlations with volatility."""
    volume, spread, with_spread, with_volume = {}, {}, {}, {}
    for symbol in ("AIG", "BAC", "SPY"):
        shares, bps, variance = tick_minutes(data, symbol)
        volume[f"{symbol} 2013 (3 days)"] = persistence_json(shape_free(positive_log(shares)))
        spread[f"{symbol} 2013 (3 days, one tick wide)"] = persistence_json(shape_free(positive_log(bps)))
        with_spread[symbol] = shape_free_correlation(bps, variance)
        with_volume[symbol] = shape_free_correlation(shares, variance)
    for symbol in ("AAPL", "MSFT"):
        shares = minute_volume_2016(data, symbol)
        volume[f"{symbol} 2016 (21 days)"] = persistence_json(shape_free(positive_log(shares))) | {
            "sd_of_log_daily_volume": round_figure(
                float(np.std(np.log(np.nansum(shares, axis=1)), ddof=1)), 4
            )
        }
    bps, variance = amzn_minutes(data)
    spread["AMZN 2012 (1 day, 13 ticks wide)"] = persistence_json(shape_free(positive_log(bps)))
    with_spread["AMZN"] = shape_free_correlation(bps, variance)
    return {
        "origin": "measured: us_tick_lean AIG, BAC, SPY 7-9 Oct 2013 (second bars), us_intraday_bars AAPL, "
        "MSFT 15 Apr-13 May 2016 (minute bars), us_lob_small AMZN 21 Jun 2012; natural logs of one-minute "
        "volume and mean spread, quarter-hour shape and day level taken out, first and last quarter-hour "
        "left out",
        "log_minute_volume": volume,
        "log_minute_spread": spread,
        "correlation_log_spread_log_variance_5min": with_spread,
        "correlation_log_volume_log_variance_5min": with_volume,
    }


def impact_json(data: Path) -> dict[str, Any]:
    """The whole of impact.json."""
    return {
        "impact_2007": impact_of_2007(data),
        "rule605_2016": rule605_figures(data),
        "noise": noise_figures(data),
    }
