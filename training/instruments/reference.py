"""What no data file holds of an instrument: name, listing, shares outstanding, market rules (assumed)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from training.instruments.dark import TAIL_ORIGIN
from training.instruments.venues import BR_FEE_SOURCE, CN_FEE_SOURCE, US_FEE_SOURCE
from training.readers import NEW_YORK, SAO_PAULO

SHANGHAI = ZoneInfo("Asia/Shanghai")
Market = Literal["US", "BR", "CN"]

# Bins of a volume curve.
US_BINS = 26  # 15 minutes of 09:30-16:00
CN_BINS = 24  # measured as 10 minutes of the day's 240, the lunch break cut out; told of those until the closing call
BR_BINS = 24  # a 24th of the 415 minutes until the closing call

# Minutes of a day in China, and of its continuous trading, until 14:57.
CN_DAY_MINUTES, CN_MINUTES = 240.0, 237.0


@dataclass(frozen=True)
class Reference:
    """Public reference data. `shares_outstanding` is approximate, at about the date of the market data."""

    description: str
    primary_mic: str
    shares_outstanding: float
    source: str
    tick_size: float = 0.01
    lot_size_shares: float = 1.0


def br_share(description: str, shares_outstanding: float, source: str) -> Reference:
    """A Brazilian share; funds trade in units instead."""
    return Reference(description, "BVMF", shares_outstanding, source, lot_size_shares=100.0)


def cn_share(description: str, primary_mic: str, shares_outstanding: float, source: str) -> Reference:
    """A Chinese share."""
    return Reference(description, primary_mic, shares_outstanding, source, lot_size_shares=100.0)


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
    "PETR4": br_share("Petrobras preferred", 5.4465e9, "company filings 2025 (preferred shares)"),
    "VALE3": br_share("Vale", 4.539e9, "company filings 2025"),
    "BBAS3": br_share("Banco do Brasil", 5.7309e9, "company filings 2025"),
    "CMIG4": br_share("Cemig preferred", 1.904e9, "company filings 2025 (preferred shares)"),
    "RECV3": br_share("PetroReconcavo", 2.93e8, "company filings 2025"),
    "MDIA3": br_share("M. Dias Branco", 3.39e8, "company filings 2025"),
    "XPML11": Reference("XP Malls real-estate fund", "BVMF", 5.67e7, "fund units, 2025"),
    "ETHE11": Reference("Hashdex Ethereum ETF", "BVMF", 1.2e7, "order of magnitude of fund units, 2025"),
}

CN_REFERENCE = {
    "600519.SH": cn_share("Kweichow Moutai", "XSHG", 1.2562e9, "annual report 2023"),
    "601288.SH": cn_share("Agricultural Bank of China (A shares)", "XSHG", 3.19244e11, "annual report 2023"),
    "600030.SH": cn_share("CITIC Securities (A and H shares)", "XSHG", 1.482e10, "annual report 2023"),
    "600887.SH": cn_share("Inner Mongolia Yili", "XSHG", 6.366e9, "annual report 2023"),
    "600000.SH": cn_share("Shanghai Pudong Development Bank", "XSHG", 2.9352e10, "annual report 2023"),
    "600536.SH": cn_share("China National Software", "XSHG", 8.5e8, "annual report 2023"),
    "600104.SH": cn_share("SAIC Motor", "XSHG", 1.1575e10, "annual report 2023"),
    "601333.SH": cn_share("Guangshen Railway (A and H shares)", "XSHG", 7.0835e9, "annual report 2023"),
    "600020.SH": cn_share("Henan Zhongyuan Expressway", "XSHG", 2.2474e9, "annual report 2023"),
    "600865.SH": cn_share("Baida Group", "XSHG", 3.762e8, "annual report 2023"),
    "000858.SZ": cn_share("Wuliangye Yibin", "XSHE", 3.8816e9, "annual report 2023"),
    "002594.SZ": cn_share("BYD (A and H shares)", "XSHE", 2.9111e9, "annual report 2023"),
    "000333.SZ": cn_share("Midea Group", "XSHE", 6.98e9, "annual report 2023"),
    "300122.SZ": cn_share("Chongqing Zhifei Biological", "XSHE", 1.6e9, "annual report 2022"),
    "300288.SZ": cn_share("Guiyang Longmaster", "XSHE", 3.379e8, "annual report 2022"),
    "300918.SZ": cn_share("Shandong Nanshan Fashion", "XSHE", 3.6e8, "annual report 2022"),
}
SNAPSHOT_NAMES = ("300122.SZ", "300288.SZ", "300918.SZ")


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


NO_TAIL_ORIGIN = "assumed: no dark venue in this market"
RULES: dict[Market, MarketRules] = {
    "US": MarketRules(
        "XNYS",
        "USD",
        NEW_YORK,
        "16:00",
        "assumed: Rule 612 of Regulation NMS, 0.01 USD",
        "assumed: one share, the least that can be traded; the round lot is 100 (Regulation NMS)",
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
