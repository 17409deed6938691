"""Rows of the outbox as the drainer writes them: by SQL, in one transaction with the journal's cursor, and a NOTIFY."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg


@dataclass(frozen=True, slots=True)
class Written:
    """An event of a test."""

    event_id: str
    order_id: str
    sequence: int
    part: int
    payload: str


def chain_hash(sequence: int) -> bytes:
    return hashlib.sha256(str(sequence).encode()).digest()


def event(order_id: str, sequence: int, part: int = 0) -> Written:
    """An outcome event: the smallest kind that belongs to an order."""
    event_id = str(uuid.uuid4())
    payload = {
        "event_id": event_id,
        "timestamp": "2025-06-21T10:00:00.000Z",
        "execution_outcome_reported": {
            "order_id": order_id, "selection_id": str(sequence), "cost": 0.001, "performance_score": 0.5,
        },
    }  # fmt: skip
    return Written(event_id, order_id, sequence, part, json.dumps(payload))


def write(
    conninfo: str, journal_id: str, events: Sequence[Written], *, host_id: str = "host-a", drained: int | None = None
) -> None:
    """One batch of a drainer; `drained` where its last records told nothing."""
    with psycopg.connect(conninfo, autocommit=True) as connection, connection.transaction():
        connection.cursor().executemany(
            "INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, created_at, journal_id, sequence,"
            " part, chain_hash) VALUES"
            " (%s, 'order', %s, 'execution_outcome_reported', %s::text::json, %s, %s, %s, %s, %s)",
            [
                (e.event_id, e.order_id, e.payload, datetime.now(UTC), journal_id, e.sequence, e.part,
                 chain_hash(e.sequence))
                for e in events
            ],
        )  # fmt: skip
        last = max([e.sequence for e in events] if drained is None else [drained])
        connection.execute(
            "INSERT INTO journals AS held (journal_id, host_id, drained_sequence, drained_hash) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (journal_id) DO UPDATE SET drained_sequence = excluded.drained_sequence,"
            " drained_hash = excluded.drained_hash",
            (journal_id, host_id, last, chain_hash(last)),
        )
        if events:
            connection.execute("SELECT pg_notify('ess_outbox', %s)", (journal_id,))
