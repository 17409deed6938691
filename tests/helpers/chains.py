"""Records of every kind, and journals made of them without a journal."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterable
from typing import Any

from engine.records import (
    AdaptationRecord,
    Event,
    OperationRecord,
    OutcomeRecord,
    Record,
    ReferenceRecord,
    SelectionRecord,
    UpdateRecord,
)
from store.chain import first_hash, next_hash
from store.journal.port import Entry
from store.payload import encode, kind_of

# A Wednesday; its week began on 2025-06-16.
MOMENT_NS = 1_750_240_800_000_000_123
WEEK_NS = 7 * 86_400_000_000_000
_numbers = itertools.count(1)


def event(aggregate_id: str, kind: str = "execution_strategy_selected") -> Event:
    event_id = str(uuid.uuid4())
    payload = json.dumps({"event_id": event_id, kind: {"order_id": aggregate_id, "text": "Zürich  ≥ 1"}})
    return Event(event_id, kind, "order", aggregate_id, payload)


def selection(order_id: str | None = None, **changes: Any) -> SelectionRecord:
    number = next(_numbers)
    order = f"order-{number}" if order_id is None else order_id
    values: dict[str, Any] = {
        "selection_id": str(uuid.uuid4()),
        "order_id": order,
        "request_hash": f"{number:064x}",
        "created_at_ns": MOMENT_NS + number * 1_000_003,
        "instrument_id": "AAPL",
        "side": "BUY",
        "quantity_shares": 1000.0,
        "objective": "MINIMIZE_COST",
        "urgency": "NORMAL",
        "strategy_name": "Adaptive TWAP",
        "algorithm": "ADAPTIVE_TWAP",
        "selection_rationale": "High volatility: spread over time, 12 % of volume.",
        "confidence": 0.1 + 0.2,
        "market_conditions": {"condition": "NORMAL", "spread": 1e-7},
        "expected_outcomes": {"estimated_cost": 0.0025, "estimated_time_minutes": 45},
        "parameters": {"b": 0.15, "a": True, "ü": None},
        "venue_allocation": {"XNYS": 0.4, "XNAS": 0.6},
        "versions": {"engine": "1"},
        "request": b"\x00request",
        "response": f"response {number}".encode(),
        "gateway": "gateway-1",
        "tags": {"desk": "a"},
        "inputs": b"\xff\x00inputs",
        "event": event(order),
    }
    return SelectionRecord(**{**values, **changes})


def update(order_id: str, sequence: int = 1, **changes: Any) -> UpdateRecord:
    values: dict[str, Any] = {
        "update_id": str(uuid.uuid4()),
        "order_id": order_id,
        "sequence": sequence,
        "created_at_ns": MOMENT_NS + next(_numbers) * 1_000_003,
        "kind": "FILL",
        "request": b"fill",
        "gateway": "gateway-1",
    }
    return UpdateRecord(**{**values, **changes})


def adaptation(of: SelectionRecord, **changes: Any) -> AdaptationRecord:
    values: dict[str, Any] = {
        "adaptation_id": str(uuid.uuid4()),
        "order_id": of.order_id,
        "selection_id": of.selection_id,
        "advice_number": 1,
        "created_at_ns": of.created_at_ns + 5_000_000_123,
        "action": "SWITCH",
        "trigger": "VOLATILITY",
        "rationale": "Volatility doubled.",
        "expected_gain_bps": -0.0,
        "response": b"advice",
        "inputs": b"",
        "event": event(of.order_id, "execution_strategy_adapted"),
    }
    return AdaptationRecord(**{**values, **changes})


def outcome(of: SelectionRecord, **changes: Any) -> OutcomeRecord:
    values: dict[str, Any] = {
        "outcome_id": str(uuid.uuid4()),
        "order_id": of.order_id,
        "selection_id": of.selection_id,
        "created_at_ns": of.created_at_ns + 60_000_000_456,
        "actual_outcomes": {"cost": 0.003, "filled": 1},
        "performance_score": 0.75,
        "request": b"report",
        "event": event(of.order_id, "execution_outcome_reported"),
    }
    return OutcomeRecord(**{**values, **changes})


def operation(**changes: Any) -> OperationRecord:
    values: dict[str, Any] = {
        "operation_id": str(uuid.uuid4()),
        "created_at_ns": MOMENT_NS + next(_numbers) * 1_000_003,
        "kind": "HALTED",
        "scope": "INSTRUMENT",
        "subject": "AAPL",
        "actor": "risk@example.org",
        "reason": "news",
        "detail": {"ticket": 7},
        "event": event("AAPL", "operations"),
    }
    return OperationRecord(**{**values, **changes})


def reference(**changes: Any) -> ReferenceRecord:
    values: dict[str, Any] = {
        "reference_id": str(uuid.uuid4()),
        "created_at_ns": MOMENT_NS + next(_numbers) * 1_000_003,
        "kind": "reference",
        "sha256": "ab" * 32,
        "content": bytes(range(256)),
    }
    return ReferenceRecord(**{**values, **changes})


def one_of_each() -> list[Record]:
    """A little life of one order, and what stands around it."""
    chosen = selection()
    return [
        reference(),
        operation(),
        chosen,
        update(chosen.order_id),
        adaptation(chosen),
        outcome(chosen),
        selection(event=None),
    ]


def entries_of(journal_id: str, records: Iterable[Record], after: Entry | None = None) -> list[Entry]:
    """The entries of a journal that go on after one of its entries, or begin."""
    chain_hash = first_hash(journal_id) if after is None else after.chain_hash
    sequence = 0 if after is None else after.sequence
    entries: list[Entry] = []
    for record in records:
        sequence += 1
        kind, payload = kind_of(record), encode(record)
        chain_hash = next_hash(chain_hash, sequence, kind, payload)
        entries.append(Entry(sequence, kind, payload, chain_hash))
    return entries
