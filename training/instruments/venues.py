"""The venues and their fees (assumed), and the directory that names them: `venues.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from training.instruments.dark import US_DARK


@dataclass(frozen=True)
class LitVenue:
    """An exchange and its fees: US in USD a share, elsewhere in bps of the notional."""

    mic: str
    name: str
    aliases: tuple[str, ...]
    country: str
    taker_fee: float
    maker_fee: float


US_LIT = (
    LitVenue("XNYS", "New York Stock Exchange", ("NYSE",), "US", 0.0027, -0.0015),
    LitVenue("XNAS", "Nasdaq", ("NASDAQ",), "US", 0.0030, -0.0015),
    LitVenue("ARCX", "NYSE Arca", ("ARCA", "NYSE_ARCA"), "US", 0.0030, -0.0021),
    LitVenue("BATS", "Cboe BZX", ("BZX",), "US", 0.0030, -0.0020),
    LitVenue("BATY", "Cboe BYX", ("BYX",), "US", -0.0016, 0.0018),
    LitVenue("EDGX", "Cboe EDGX", (), "US", 0.0030, -0.0020),
    LitVenue("EDGA", "Cboe EDGA", (), "US", -0.0002, 0.0005),
    LitVenue("XBOS", "Nasdaq BX", ("BX",), "US", -0.0004, 0.0020),
    LitVenue("XPSX", "Nasdaq PSX", ("PSX",), "US", 0.0029, -0.0020),
)
US_FEE_SOURCE = (
    "assumed: base-tier price lists as summarised publicly in November 2014 (rebates for adding: NYSE 15, "
    "Nasdaq 15, Arca 21, EDGX 20 mils; charges: BYX 18, EDGA 5, BX 20 mils; removal at or under the "
    "30-mil cap of Rule 610(c)); mils a share turned into bps at the seed's mid; no volume tiers"
)
BR_LIT = LitVenue("BVMF", "B3", ("B3", "BOVESPA"), "BR", 3.0, 3.0)
BR_FEE_SOURCE = (
    "assumed: B3 cash-equity fee schedule in force in early 2025, 0.0050 % trading + 0.0250 % settlement, "
    "both sides alike, no day-trade tiers"
)
CN_LIT = (
    LitVenue("XSHG", "Shanghai Stock Exchange", ("SSE",), "CN", 0.341, 0.341),
    LitVenue("XSHE", "Shenzhen Stock Exchange", ("SZSE",), "CN", 0.341, 0.341),
)
CN_FEE_SOURCE = (
    "assumed: exchange handling fee 0.00341 % a side (since 28 August 2023); the regulator's 0.002 %, the "
    "clearing house's transfer fee and the 0.05 % stamp duty on sells are taxes and levies, not venue "
    "fees, and are left out"
)


def directory_json() -> dict[str, Any]:
    """The directory of venues, by MIC."""
    lit_origin = "ISO 10383; exchange named as its members do"
    dark_origin = "ISO 10383; registered ATS, ranked by FINRA's weekly ATS shares of 2019"
    rows = [(v.mic, "LIT", v.name, v.aliases, v.country, lit_origin) for v in (*US_LIT, BR_LIT, *CN_LIT)]
    rows += [(d.mic, "DARK", d.name, d.aliases, "US", dark_origin) for d in US_DARK]
    names = ("mic", "kind", "name", "aliases", "country", "origin")
    return {"venues": [dict(zip(names, row, strict=True)) for row in sorted(rows)]}
