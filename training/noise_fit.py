"""How volume and spread jitter around their daily shape, minute by minute (2012-2016)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.measures import Array, round_figure
from training.readers import (
    TICK_DATES,
    TICK_FOLDER,
    US_CLOSE_MS,
    US_MINUTES,
    US_OPEN_MS,
    amzn_best_quotes,
    bars_2016,
    read,
    second_quotes,
    us_bar_table,
)


def autocorrelation(series: Sequence[Array], lag: int) -> float:
    """Autocorrelation at a lag, pooled over several stretches (no pair crosses from one day to the next)."""
    pairs = [(s[:-lag], s[lag:]) for s in series if s.size > lag]
    before, after = (np.concatenate([p[i] for p in pairs]) for i in (0, 1))
    good = np.isfinite(before) & np.isfinite(after)
    return float(np.corrcoef(before[good], after[good])[0, 1])


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
    trades = trades[
        (trades["symbol"] == symbol) & (trades["ms"] >= US_OPEN_MS) & (trades["ms"] < US_CLOSE_MS)
    ]
    quotes = second_quotes(data, symbol, np.arange(US_OPEN_MS, US_CLOSE_MS, 1_000, dtype=np.float64))
    volume, spread, variance = [], [], []
    for date in TICK_DATES:
        day = trades[trades["date"] == date]
        minute = ((day["ms"] - US_OPEN_MS) // 60_000).to_numpy(dtype=np.int64)
        shares = day["v"].to_numpy(dtype=np.float64)
        volume.append(np.bincount(minute, weights=shares, minlength=US_MINUTES))
        s, v = minute_spread_and_variance(*quotes[date])
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
    bid, ask = amzn_best_quotes(data, 34_201.0 + np.arange(US_MINUTES * 60, dtype=np.float64))
    spread, variance = minute_spread_and_variance(bid, ask)
    return spread[None, :], variance[None, :]


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
        shares = us_bar_table(bars_2016(data, symbol), "volume", 1).to_numpy(dtype=np.float64)
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
