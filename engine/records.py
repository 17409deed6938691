"""What is remembered. Plain values that a store can encode without knowing how they were made.

Every record has an id and a `created_at_ns` that are fixed before it is journaled, so that writing it twice changes
nothing, and may carry the event that tells the firm of it. What every decision makes is a struct (docs/adr/0016).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

import msgspec

from engine.values import Bar

# A JSON object. Not spelled out recursively: decoders of other modules must be able to resolve it.
JsonObject: TypeAlias = dict[str, Any]


class RecordKind(IntEnum):
    """Kinds of records in the journal. The numbers are stored and never change."""

    SELECTION = 1
    ADAPTATION = 2
    OUTCOME = 3
    OPERATION = 4
    REFERENCE = 5
    UPDATE = 6


class Event(msgspec.Struct, frozen=True):
    """What leaves through the outbox with a record. `payload` is the whole event as JSON text, event id and timestamp
    included, exactly as it is delivered. `kind` is its name in the contract ("execution_strategy_selected");
    `aggregate_id` what deliveries are ordered by (the order id; of operations the scope's subject)."""

    event_id: str
    kind: str
    aggregate_kind: str
    aggregate_id: str
    payload: str


class SelectionRecord(msgspec.Struct, frozen=True):
    """One decision as it is kept. Ids and `created_at_ns` are fixed before it is handed over, so that writing it
    twice changes nothing. `request` and `response` are the canonical bytes of the contract's messages;
    `request_hash` is the SHA-256 (hex) of the request's content. The dictionaries become JSON columns.
    `inputs` is all that a replay needs beside request, reference data and artifacts (service/mapping/inputs.py)."""

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
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    inputs: bytes = b""
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class UpdateRecord:
    """One accepted update of an open order. `sequence` counts the order's updates from 1; `request` is canonical."""

    update_id: str
    order_id: str
    sequence: int
    created_at_ns: int
    kind: str
    request: bytes
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class AdaptationRecord:
    """One advice for an open order. `response` is the canonical bytes of what was sent; `inputs` as of a selection."""

    adaptation_id: str
    order_id: str
    selection_id: str
    advice_number: int
    created_at_ns: int
    action: str
    trigger: str
    rationale: str
    expected_gain_bps: float
    response: bytes
    inputs: bytes = b""
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """How an order ended: what strategy_selections.actual_outcomes and performance_score become, once."""

    outcome_id: str
    order_id: str
    selection_id: str
    created_at_ns: int
    actual_outcomes: JsonObject
    performance_score: float
    request: bytes
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class OperationRecord:
    """What an operator, a risk officer or the service itself did: HALTED, RESUMED, LIMITS_CHANGED, ARTIFACT_ACTIVATED,
    DRIFT_ALARM, JOURNAL_CORRUPTION."""

    operation_id: str
    created_at_ns: int
    kind: str
    scope: str
    subject: str
    actor: str
    reason: str
    detail: JsonObject
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class ReferenceRecord:
    """Data that decisions were made from and that changes seldom, kept once under the hash of its content.

    `kind`: "reference" (candidates, venue names, assumptions), "instrument", "sessions" of a calendar, "build" of the
    engine. `content` is compressed; `sha256` (hex) is of what it was before, so that it names the same data whatever
    compressed them (store/archive.py).
    """

    reference_id: str
    created_at_ns: int
    kind: str
    sha256: str
    content: bytes


Record: TypeAlias = (
    SelectionRecord | UpdateRecord | AdaptationRecord | OutcomeRecord | OperationRecord | ReferenceRecord
)


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
