"""One-minute bars from the real market data folder, in one shape whatever the market."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray

from engine.conditions import TypicalMarket
from training.readers import (
    TICK_FOLDER,
    TICK_PRICE_SCALE,
    US_MINUTES,
    US_OPEN_MS,
    b3_trades,
    bars_2016,
    cn_minute_days,
    read,
    us_bar_table,
)

MS_PER_MINUTE = 60_000
# B3's opening auction ends by 10:15 local time and its closing call starts after 16:45.
B3_OPEN_MINUTE = 10 * 60 + 15
B3_MINUTES = 390
CN_MORNING = (571, 690)  # minute labels of the continuous session; 570 carries the opening auction
CN_AFTERNOON = (781, 897)  # from 14:57 on there is only the closing auction
CURVE_BIN_MINUTES = 15


@dataclass(frozen=True, slots=True)
class SessionBars:
    """One continuous session, one entry a minute of trading time (breaks cut out), NaN where not known.

    `mid_price` in currency, `volume_shares` in shares, `spread_bps` the quoted spread in bps of the mid.
    """

    symbol: str
    date: int
    mid_price: NDArray[np.float64]
    volume_shares: NDArray[np.float64]
    spread_bps: NDArray[np.float64]


def us_2013_sessions(root: Path, symbols: Sequence[str] = ("AIG", "BAC", "SPY")) -> list[SessionBars]:
    """NBBO mid and spread with consolidated volume, 2013-10-04..09 (`us_tick_lean`, minute bars)."""
    folder, key_columns = root / TICK_FOLDER, ("symbol", "date", "ms")
    quote_columns, trade_columns = (*key_columns, "bo", "bc", "ao", "ac"), (*key_columns, "v")
    quotes = _us_minutes(read(folder / "bars_minute_quote.parquet", quote_columns), symbols)
    trades = _us_minutes(read(folder / "bars_minute_trade.parquet", trade_columns), symbols)
    mid = (quotes["bc"] + quotes["ac"]) / 2.0
    # Mean of the minute's first and last quoted spread: the bars hold no time-weighted one.
    quotes["spread_bps"] = ((quotes["ao"] - quotes["bo"]) + (quotes["ac"] - quotes["bc"])) / 2.0 / mid * 1e4
    quotes["mid"] = mid / TICK_PRICE_SCALE
    volume = dict(iter(trades.groupby(["symbol", "date"])))
    return [
        SessionBars(
            symbol=str(key[0]),
            date=int(key[1]),
            mid_price=_on_minutes(rows["minute"], rows["mid"], US_MINUTES),
            volume_shares=_on_minutes(volume[key]["minute"], volume[key]["v"], US_MINUTES, missing=0.0),
            spread_bps=_on_minutes(rows["minute"], rows["spread_bps"], US_MINUTES),
        )
        for key, rows in quotes.groupby(["symbol", "date"])
    ]


def us_2016_sessions(root: Path) -> list[SessionBars]:
    """MSFT and AAPL, 21 days of 2016: last trade for the mid, no spread (`us_intraday_bars`)."""
    sessions: list[SessionBars] = []
    for symbol in ("AAPL", "MSFT"):
        bars = bars_2016(root, symbol)
        price, volume = us_bar_table(bars, "close", 1), us_bar_table(bars, "volume", 1).fillna(0.0)
        sessions.extend(
            SessionBars(
                symbol=symbol,
                date=int(date),
                mid_price=price.loc[date].to_numpy(np.float64),
                volume_shares=volume.loc[date].to_numpy(np.float64),
                spread_bps=np.full(US_MINUTES, np.nan),
            )
            for date in price.index
        )
    return sessions


def b3_sessions(root: Path, symbols: Sequence[str] = ("PETR4",)) -> list[SessionBars]:
    """Brazilian stocks, March and April 2025 (`b3_l1_trades_2025`).

    The mid is halfway between the last buyer-initiated and the last seller-initiated trade, because the book
    updates are thinned; for the same reason the spread is not known.
    """
    trades = b3_trades(root, symbols)
    trades = trades.assign(minute=np.floor(trades["minute"]).astype(int) - B3_OPEN_MINUTE)
    sessions = (
        _b3_session(str(symbol), int(str(day).replace("-", "")), rows)
        for (symbol, day), rows in trades.groupby(["symbol", "day"])
    )
    return [s for s in sessions if s is not None]


def _b3_session(symbol: str, date: int, day: pd.DataFrame) -> SessionBars | None:
    if day["minute"].iloc[0] > 0:
        return None  # a half day (Ash Wednesday opens at 13:00)
    bought = day["px"].where(day["aggressor"] == 4).ffill()
    sold = day["px"].where(day["aggressor"] == 3).ffill()
    day = day.assign(mid=(bought + sold) / 2.0)
    last = day.groupby("minute")["mid"].last()
    mid = last.reindex(range(last.index.min(), B3_MINUTES)).ffill().reindex(range(B3_MINUTES))
    volume = day[day["aggressor"].isin([3, 4])].groupby("minute")["size"].sum()
    return SessionBars(
        symbol=symbol,
        date=date,
        mid_price=mid.to_numpy(np.float64),
        volume_shares=volume.reindex(range(B3_MINUTES), fill_value=0.0).to_numpy(np.float64),
        spread_bps=np.full(B3_MINUTES, np.nan),
    )


def cn_2024_sessions(root: Path, keep_every: int = 1) -> list[SessionBars]:
    """Shanghai and Shenzhen stocks, six days of March 2024: last trade for the mid, no spread.

    `keep_every` thins the market to the codes divisible by it, the same ones every day, for a quick look.
    """
    sessions: list[SessionBars] = []
    for date, day in cn_minute_days(root):
        codes = [code for code in sorted(day["code"].unique()) if int(code[:6]) % keep_every == 0]
        morning, afternoon = day["minute"].between(*CN_MORNING), day["minute"].between(*CN_AFTERNOON)
        day = day[(morning | afternoon) & day["code"].isin(codes)]
        price = day.pivot(index="code", columns="minute", values="close_cny")
        volume = day.pivot(index="code", columns="minute", values="volume_shares")
        sessions.extend(
            SessionBars(
                symbol=str(code),
                date=date,
                mid_price=price.loc[code].to_numpy(np.float64),
                volume_shares=volume.loc[code].to_numpy(np.float64),
                spread_bps=np.full(price.shape[1], np.nan),
            )
            for code in price.index
        )
    return sessions


def typical_of(sessions: Iterable[SessionBars]) -> tuple[TypicalMarket, NDArray[np.float64]]:
    """Typical figures and the expected volume of each minute (shares), from some sessions of equal length.

    Volatility is that of the open-to-close return: root mean over days of the realised variance of
    five-minute returns, which one tick of noise inflates less than one-minute ones.
    """
    days = list(sessions)
    volume = np.nanmean([s.volume_shares for s in days], axis=0)
    variance = float(np.mean([_realised_variance(s.mid_price, 5) for s in days]))
    known = [s.spread_bps[np.isfinite(s.spread_bps)] for s in days]
    spreads = np.concatenate(known)
    typical = TypicalMarket(
        daily_volatility_fraction=variance**0.5,
        spread_bps=float(np.median(spreads)) if spreads.size else float("nan"),
        volume_per_minute_shares=float(volume.mean()),
        minutes_per_day=float(volume.size),
    )
    return typical, _binned(volume)


def _realised_variance(mid_price: NDArray[np.float64], step_minutes: int) -> float:
    """Sum of squared log returns over `step_minutes`, averaged over the offsets (subsampling)."""
    log_price = np.log(mid_price[np.isfinite(mid_price)])
    moves = log_price[step_minutes:] - log_price[:-step_minutes]
    return float(np.sum(moves**2)) / step_minutes


def _binned(volume_shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The curve averaged in bins: a few days are too noisy minute by minute."""
    bins = np.arange(volume_shares.size) // CURVE_BIN_MINUTES
    sums = np.bincount(bins, weights=volume_shares)
    return np.asarray(sums / np.bincount(bins), dtype=np.float64)[bins]


def _us_minutes(bars: pd.DataFrame, symbols: Sequence[str]) -> pd.DataFrame:
    bars = bars[bars["symbol"].isin(symbols)].copy()
    bars["minute"] = (bars["ms"] - US_OPEN_MS) // MS_PER_MINUTE
    return bars[bars["minute"].between(0, US_MINUTES - 1)]


def _on_minutes(
    minute: pd.Series, value: pd.Series, minutes: int, missing: float = float("nan")
) -> NDArray[np.float64]:
    out = np.full(minutes, missing)
    out[minute.to_numpy(np.int64)] = value.to_numpy(np.float64)
    return out
