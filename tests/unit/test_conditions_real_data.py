"""The condition classifier on real bars: what it says of days whose character is known from outside.

Windows of 60 minutes, a new one every 30. Typical figures and volume curves come from the other days of the
same symbol, never from the day judged; PETR4's turmoil is judged against its calm March.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.conditions import TypicalMarket, classify
from engine.values import CONDITIONS, MarketCondition
from training import market_data, readers
from training.market_data import SessionBars, typical_of

WINDOW_MINUTES, STEP_MINUTES = 60, 30
TURMOIL_FROM = 20250407
CN_MORNING_MINUTES = 120
EXCITED = (MarketCondition.HIGH_VOLATILITY, MarketCondition.NEWS_DRIVEN)
CN_KEEP_EVERY = 19

Array = NDArray[np.float64]
Reference = tuple[TypicalMarket, Array]
Verdicts = list[MarketCondition]

ROOT = readers.find_root(Path(__file__).resolve().parents[2])
pytestmark = pytest.mark.skipif(
    ROOT is None, reason="no real market data: set ESS_MARKET_DATA, or put the folder at ../shared/data"
)


def root() -> Path:
    assert ROOT is not None
    return ROOT


def judge(session: SessionBars, reference: Reference, starts: Iterable[int] | None = None) -> Verdicts:
    """The verdict on each window of a session."""
    typical, expected = reference
    last_start = session.mid_price.size - WINDOW_MINUTES
    windows = [
        slice(start, start + WINDOW_MINUTES) for start in starts or range(0, last_start + 1, STEP_MINUTES)
    ]
    return [
        classify(
            session.mid_price[w], session.volume_shares[w], session.spread_bps[w], expected[w], typical
        ).condition
        for w in windows
    ]


def share(verdicts: Verdicts, *conditions: MarketCondition) -> float:
    return sum(v in conditions for v in verdicts) / len(verdicts)


def by_symbol(sessions: Iterable[SessionBars]) -> dict[str, list[SessionBars]]:
    found: dict[str, list[SessionBars]] = defaultdict(list)
    for session in sessions:
        found[session.symbol].append(session)
    return found


def against_other_days(
    days: Sequence[SessionBars], starts: Sequence[int] | None = None, volume_scale: float = 1.0
) -> Verdicts:
    """Each day judged by what is typical of the others; `volume_scale` multiplies the volume expected."""
    verdicts: Verdicts = []
    for day in days:
        typical, expected = typical_of(other for other in days if other is not day)
        per_minute = typical.volume_per_minute_shares * volume_scale
        scaled = dataclasses.replace(typical, volume_per_minute_shares=per_minute)
        verdicts += judge(day, (scaled, expected * volume_scale), starts)
    return verdicts


def report(name: str, verdicts: Verdicts) -> None:
    shares = ", ".join(f"{c.name} {share(verdicts, c):.2f}" for c in CONDITIONS)
    print(f"{name}: {len(verdicts)} windows: {shares}")


@pytest.fixture(scope="module")
def petr4() -> tuple[list[SessionBars], list[SessionBars]]:
    """(calm days of March 2025, the turmoil of 7-9 April 2025)"""
    days = market_data.b3_sessions(root())
    return [d for d in days if d.date < TURMOIL_FROM], [d for d in days if d.date >= TURMOIL_FROM]


@pytest.fixture(scope="module")
def chinese() -> dict[str, list[SessionBars]]:
    """Stocks with a price that moves on all six days: about 75 of the market's 1,580."""
    moving = (
        s
        for s in market_data.cn_2024_sessions(root(), CN_KEEP_EVERY)
        if np.isfinite(s.mid_price).sum() > WINDOW_MINUTES and np.nanstd(s.mid_price) > 0.0
    )
    return {symbol: days for symbol, days in by_symbol(moving).items() if len(days) == 6}


@pytest.fixture(scope="module")
def traded_value(chinese: dict[str, list[SessionBars]]) -> dict[str, float]:
    """Mean daily traded value of each Chinese stock, CNY."""
    return {
        symbol: float(np.mean([np.nansum(d.mid_price * d.volume_shares) for d in days]))
        for symbol, days in chinese.items()
    }


@pytest.mark.parametrize("symbol", ["AIG", "BAC", "SPY"])
def test_us_stocks_with_quotes_are_mostly_normal(symbol: str) -> None:
    """4-9 October 2013, NBBO mid and spread, 48 windows each.

    Measured: AIG 0.83 normal, 0.02 news, 0 low liquidity; BAC 0.90, 0, 0; SPY 0.90, 0, 0.
    """
    verdicts = against_other_days(market_data.us_2013_sessions(root(), [symbol]))
    report(symbol, verdicts)
    assert share(verdicts, MarketCondition.NORMAL) >= 0.75
    assert share(verdicts, MarketCondition.LOW_LIQUIDITY, MarketCondition.NEWS_DRIVEN) <= 0.10


def test_us_stocks_without_quotes_are_mostly_normal() -> None:
    """MSFT and AAPL, 21 days of April and May 2016, last trades and no spread, 504 windows.

    Measured: MSFT 0.85 normal, AAPL 0.88; low liquidity 0.00 and 0.00.
    """
    days = by_symbol(market_data.us_2016_sessions(root()))
    for symbol in ("MSFT", "AAPL"):
        verdicts = against_other_days(days[symbol])
        report(symbol, verdicts)
        assert share(verdicts, MarketCondition.NORMAL) >= 0.75
        assert share(verdicts, MarketCondition.LOW_LIQUIDITY) <= 0.05


def test_known_news_stands_out() -> None:
    """MSFT fell 7 % on 22 April 2016, after its results; AAPL slid in the afternoon of 28 April.

    Measured share of high volatility or news: MSFT on the day 0.75, on its other days 0.02; AAPL in the last
    150 minutes of the day 0.75 (of four windows), on its other days 0.01.
    """
    days = by_symbol(market_data.us_2016_sessions(root()))
    for symbol, date, starts in (("MSFT", 20160422, None), ("AAPL", 20160428, range(240, 331, 30))):
        event = next(d for d in days[symbol] if d.date == date)
        others = [d for d in days[symbol] if d is not event]
        seen = judge(event, typical_of(others), starts)
        report(f"{symbol} {date}", seen)
        report(f"{symbol} otherwise", against_other_days(others))
        assert share(seen, *EXCITED) >= 0.60
        assert share(against_other_days(others), *EXCITED) <= 0.05


def test_calm_march_of_petr4_is_mostly_normal(petr4: tuple[list[SessionBars], list[SessionBars]]) -> None:
    """18 days, 216 windows. Measured: 0.79 normal, 0 high volatility, 0.11 news, 0.05 low liquidity.

    The tape is thinned, so its volume is lumpier than a real one's: hence the news.
    """
    verdicts = against_other_days(petr4[0])
    report("PETR4 March", verdicts)
    assert share(verdicts, MarketCondition.NORMAL) >= 0.70
    assert share(verdicts, *EXCITED) <= 0.20


def test_the_turmoil_of_april_2025_is_seen(petr4: tuple[list[SessionBars], list[SessionBars]]) -> None:
    """PETR4, 7-9 April against its March, 36 windows.

    Measured: 0.78 high volatility or news (0.36 and 0.42), seven times March's 0.11; on 9 April 1.00.
    """
    calm, turmoil = petr4
    usual = share(against_other_days(calm), *EXCITED)
    reference = typical_of(calm)
    verdicts = [v for day in turmoil for v in judge(day, reference)]
    report("PETR4 April", verdicts)
    seen = share(verdicts, *EXCITED)
    assert seen >= 0.65
    assert seen >= 4.0 * usual


def test_chinese_stocks_against_their_own_typical(chinese: dict[str, list[SessionBars]]) -> None:
    """75 stocks x 6 days, 2,700 windows.

    Measured: 0.61 normal, 0.21 mean-reverting, 0.07 news, 0.03 low liquidity. The mean reversion is an
    artefact: these bars hold last trades, not mids, and the price bounces between bid and ask.
    """
    verdicts = [v for days in chinese.values() for v in against_other_days(days)]
    report("China", verdicts)
    assert share(verdicts, MarketCondition.NORMAL) >= 0.50
    assert share(verdicts, MarketCondition.LOW_LIQUIDITY) <= 0.10
    assert share(verdicts, MarketCondition.TRENDING) <= 0.05


def test_illiquid_chinese_stocks_are_illiquid_beside_the_median_one(
    chinese: dict[str, list[SessionBars]], traded_value: dict[str, float]
) -> None:
    """The volume expected is that of the median traded value; own volatility; no spread in the data.

    Measured share of low liquidity: bottom fifth by value 0.77, middle fifth 0.07, top fifth 0.01.
    """
    order = sorted(traded_value, key=lambda symbol: traded_value[symbol])
    fifth = len(order) // 5
    median = traded_value[order[len(order) // 2]]

    def low(symbols: Sequence[str]) -> float:
        verdicts: Verdicts = []
        for symbol in symbols:
            verdicts += against_other_days(chinese[symbol], volume_scale=median / traded_value[symbol])
        report("China beside the median", verdicts)
        return share(verdicts, MarketCondition.LOW_LIQUIDITY)

    assert low(order[:fifth]) >= 0.60
    assert low(order[2 * fifth : 3 * fifth]) <= 0.20
    assert low(order[-fifth:]) <= 0.05


def test_the_lunch_break_makes_no_news(chinese: dict[str, list[SessionBars]]) -> None:
    """Windows across the break (its 90 minutes cut out) against those that begin after it, 450 each.

    Measured: high volatility or news 0.17 across the break, 0.13 after it; low liquidity 0.05 and 0.02.
    """
    across, beside = [CN_MORNING_MINUTES - 30], [CN_MORNING_MINUTES]
    rates: list[float] = []
    for starts in (across, beside):
        verdicts = [v for days in chinese.values() for v in against_other_days(days, starts)]
        report(f"China from minute {starts[0]}", verdicts)
        rates.append(share(verdicts, *EXCITED))
    assert rates[0] <= rates[1] + 0.10
