"""The event that tells of an order that two hosts decided: found while draining, so made here and not by the service.

It follows from the conflicted row alone (its ids and its time), so that writing again gives the same event, and an
audit can make it once more. Shape and id are the contract's: service/mapping/events.py `conflicted_event`.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Final

import msgspec

CONFLICTED: Final = "execution_strategy_conflicted"
_NAMESPACE: Final = uuid.UUID("5a1c6d5e-3f0b-4a86-9d0c-6c4f4e2b7a10")
_NS: Final = 1_000_000_000


def conflict_event(
    order_id: str, kept_selection_id: str, conflicted_selection_id: str, created_at_ns: int
) -> list[str]:
    """Event id, kind, kind and id of the aggregate, payload."""
    event_id = str(uuid.uuid5(_NAMESPACE, f"{CONFLICTED}:{conflicted_selection_id}"))
    stamp = datetime.fromtimestamp(created_at_ns // _NS, tz=UTC).isoformat()[:19]
    fields = {
        "event_id": event_id,
        "timestamp": f"{stamp}.{created_at_ns % _NS // 1_000_000:03d}Z",
        CONFLICTED: {
            "order_id": order_id,
            "kept_selection_id": kept_selection_id,
            "conflicted_selection_id": conflicted_selection_id,
        },
    }
    return [event_id, CONFLICTED, "order", order_id, msgspec.json.encode(fields).decode()]
