"""Real days that orders can be replayed on: `real_days(data_dir, replay)`.

A day is in when its minutes have prices from the open to the close of continuous trading, at least half of
them with volume, and when its volatility and volume could be known without it: from at least two earlier days
of the symbol within `MOST_DAYS_APART`, else from at least two other ones, else from the seed's instrument
where that was made of another day. Volatilities are of whole days, as in requests: the continuous session's
realised variance times the market's whole-day over intraday variance.

`replay=True` gives the days kept for replay (split.py), which no figure of the calibration has seen; their
volatility and volume may come from days of both kinds. `replay=False` gives the others, and reads nothing of
the days kept.
"""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from training.calibration.days import MarketDay
from training.calibration.formats import RULE_605, calibration_day, read_folder
from training.calibration.split import is_replay_day
from training.calibration.streams import STREAM
from training.calibration.trades import TICK_QUOTES, TICK_TRADES
from training.instruments.day_stats import realised_variance
from training.instruments.us import SPREAD_RULE, assumed_us_spread_bps
from training.measures import Array

# Whole-day over intraday variance. Measured: median of 313 US stocks of 2007, of 1,586 Chinese codes of March
# 2024, PETR4 of March and April 2025 (store/seed/README.md). Another market is given the middle one.
OVERNIGHT_FACTOR = {"US": 1.336, "CN": 1.195, "BR": 1.273}
OTHER_OVERNIGHT_FACTOR = 1.273
# Median latent spread of Chinese stocks, bps (training.instruments.china: a censored fit to 17 stocks).
CN_LATENT_SPREAD_BPS = 3.55
LEAST_TRADED_PART = 0.5
LEAST_OTHER_DAYS = 2
MOST_DAYS_APART = 45
SEED_FILE = Path(__file__).resolve().parents[2] / "store" / "seed" / "instruments.json"
# Minute bars of the same days say all that is wanted here.
NOT_NEEDED = frozenset({TICK_QUOTES, TICK_TRADES, STREAM, RULE_605})


@dataclass(frozen=True, slots=True)
class RealDay:
    """One real session, breaks and calls cut out; n minutes of continuous trading.

    minute_mid: (n + 1,) at the minutes' edges, in currency; the last trade where there are no quotes (see
    origin). minute_volume_shares, minute_spread_bps: (n,). The daily figures were known without this day.
    `calendar` is a name of exchange_calendars, `first_minute` how many minutes into its session the path
    begins.
    """

    symbol: str
    date: int
    calendar: str
    minute_mid: Array
    minute_volume_shares: Array
    minute_spread_bps: Array
    daily_volatility_fraction: float
    average_daily_volume_shares: float
    tick_size: float
    origin: str
    first_minute: int = 0

    @property
    def minutes(self) -> int:
        return int(self.minute_volume_shares.size)


@dataclass(frozen=True, slots=True)
class Known:
    """What was known of a day without it."""

    daily_volatility_fraction: float
    average_daily_volume_shares: float
    origin: str


def real_days(data_dir: Path, replay: bool) -> list[RealDay]:
    """The days of a folder that can be replayed, by date and symbol; see the module."""
    keep = _every_day if replay else calibration_day
    days = [d for d in read_folder(Path(data_dir), keep, NOT_NEEDED).days if is_replayable(d)]
    by_symbol: dict[str, list[MarketDay]] = defaultdict(list)
    for day in _best_of_each(days):
        by_symbol[day.symbol].append(day)
    found = []
    for own in by_symbol.values():
        for day in own:
            if is_replay_day(day.symbol, day.date) != replay:
                continue
            known = known_without(day, own)
            if known is not None:
                found.append(_real_day(day, known))
    return sorted(found, key=lambda d: (d.date, d.symbol))


def _every_day(symbol: str, date: int) -> bool:
    return True


def _best_of_each(days: Sequence[MarketDay]) -> list[MarketDay]:
    """One of each symbol and date: quotes before trades."""
    best: dict[tuple[str, int], MarketDay] = {}
    for day in days:
        key = (day.symbol, day.date)
        if key not in best or (day.price_is_mid and not best[key].price_is_mid):
            best[key] = day
    return list(best.values())


def is_replayable(day: MarketDay) -> bool:
    """Whether the day is whole: one-minute prices throughout, that move, and volume in at least half of the
    minutes."""
    return (
        day.width_minutes == 1
        and bool(np.isfinite(day.price).all() and (day.price > 0).all())
        and float((day.volume_shares > 0).mean()) >= LEAST_TRADED_PART
        and float(np.std(day.returns)) > 0.0
    )


def known_without(day: MarketDay, own: Sequence[MarketDay]) -> Known | None:
    """Volatility and volume of other days of the symbol, or of the seed; None where nothing is known."""
    others = [
        d for d in own if d.date != day.date and abs(_days_between(d.date, day.date)) <= MOST_DAYS_APART
    ]
    earlier = [d for d in others if d.date < day.date]
    for chosen, name in ((earlier, "earlier"), (others, "other")):
        if len(chosen) >= LEAST_OTHER_DAYS:
            variance = float(np.mean([realised_variance(d.price, 5) for d in chosen]))
            factor = OVERNIGHT_FACTOR.get(day.clock.name, OTHER_OVERNIGHT_FACTOR)
            volume = float(np.mean([d.total_shares for d in chosen]))
            if variance > 0.0 and volume > 0.0:
                return Known(
                    float(np.sqrt(variance * factor)), volume, f"{len(chosen)} {name} days of the symbol"
                )
    return _of_the_seed(day)


def _of_the_seed(day: MarketDay) -> Known | None:
    found = seed_instruments().get(day.symbol)
    if found is None:
        return None
    market = found["market"]
    # The seed's figures of an instrument come from up to two months before their date.
    if -1 <= days_apart(market["as_of_ns"], day.date) <= 62:
        return None
    as_of = _as_of(market["as_of_ns"])
    return Known(
        float(market["daily_volatility_fraction"]),
        float(market["average_daily_volume_shares"]),
        f"the seed's instrument of {as_of.isoformat()}",
    )


@cache
def seed_instruments() -> dict[str, Any]:
    """The seed's records by instrument."""
    rows = json.loads(SEED_FILE.read_text())["instruments"]
    return {str(row["instrument_id"]): row for row in rows}


def days_apart(as_of_ns: int, date: int) -> int:
    """Days from a date (20240301) to the instant that a figure stands at."""
    return (_as_of(as_of_ns) - _date(date)).days


def _as_of(as_of_ns: int) -> datetime.date:
    return datetime.datetime.fromtimestamp(as_of_ns / 1e9, datetime.UTC).date()


def _days_between(first: int, second: int) -> int:
    return (_date(first) - _date(second)).days


def _date(number: int) -> datetime.date:
    return datetime.date(number // 10_000, number // 100 % 100, number % 100)


def _real_day(day: MarketDay, known: Known) -> RealDay:
    spread, spread_origin = minute_spread(day, known)
    return RealDay(
        day.symbol,
        day.date,
        day.clock.calendar,
        day.price,
        np.nan_to_num(day.volume_shares),
        spread,
        known.daily_volatility_fraction,
        known.average_daily_volume_shares,
        day.clock.tick_size,
        f"{day.source}: {day.price_of}; spread {spread_origin}; volatility and volume of {known.origin}",
        day.clock.first_minute,
    )


def minute_spread(day: MarketDay, known: Known) -> tuple[Array, str]:
    """The quoted spread of each minute (bps), never under one tick, and where it comes from."""
    mid = (day.price[1:] + day.price[:-1]) / 2.0
    tick_bps = day.clock.tick_size / mid * 1e4
    quoted = np.isfinite(day.spread_bps)
    if quoted.mean() >= LEAST_TRADED_PART:
        usual = float(np.median(day.spread_bps[quoted]))
        return np.maximum(np.where(quoted, day.spread_bps, usual), tick_bps), "of the quotes"
    if np.isfinite(day.traded_spread_bps):
        return np.maximum(
            day.traded_spread_bps, tick_bps
        ), "of the day, buys against sells within 10 s, median"
    if day.clock.name == "CN":
        return np.maximum(
            CN_LATENT_SPREAD_BPS, tick_bps
        ), f"assumed: one tick, {CN_LATENT_SPREAD_BPS} bps at least"
    if day.clock.name == "US":
        usual = assumed_us_spread_bps(float(day.price[0]), known.average_daily_volume_shares)
        return np.maximum(usual, tick_bps), SPREAD_RULE
    return tick_bps, "assumed: one tick"
