"""What is remembered. Plain values that a store can encode without knowing how they were made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from engine.values import Bar

# A JSON object. Not spelled out recursively: decoders of other modules must be able to resolve it.
JsonObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SelectionRecord:
    """One decision as it is kept. Ids and `created_at_ns` are fixed before it is handed over, so that writing it
    twice changes nothing. `request` and `response` are the canonical bytes of the contract's messages;
    `request_hash` is the SHA-256 (hex) of the request's content. The dictionaries become JSON columns."""

    selection_id: str
    order_id: str
    request_hash: str
    created_at_ns: int
    instrument_id: str
    side: str
    quantity_shares: float
    objective: str
    urgency: str
    strategy_name: str
    algorithm: str
    selection_rationale: str
    confidence: float
    market_conditions: JsonObject
    expected_outcomes: JsonObject
    parameters: JsonObject
    venue_allocation: JsonObject
    versions: JsonObject
    request: bytes
    response: bytes
    gateway: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MarketUpdate:
    """New figures of one instrument; None leaves what is there. `bars` are appended, oldest first."""

    instrument_id: str
    as_of_ns: int
    mid_price: float | None = None
    spread_bps: float | None = None
    daily_volatility_fraction: float | None = None
    average_daily_volume_shares: float | None = None
    short_term_alpha_bps_per_day: float | None = None
    bars: tuple[Bar, ...] = ()
