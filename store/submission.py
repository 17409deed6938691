"""What a keeper is asked and answers, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from engine.records import MarketUpdate, SelectionRecord
from engine.values import MarketState
from store.claims import Verdict
from store.market import MarketVerdict
from store.selection_rows import RowStatus


class Acknowledgement(StrEnum):
    """What is known to be safe when an answer is given; never said before it is so."""

    BUFFERED = "BUFFERED"
    JOURNALED = "JOURNALED"
    COMMITTED = "COMMITTED"


@dataclass(frozen=True, slots=True)
class Submission:
    """The answer to a record.

    `selection_id` and `response` are those that the order has: the record's own when ACCEPTED, the stored ones
    when DUPLICATE. On CONFLICT there is no response, and `other_request_hash` is what the order was decided for.
    `status` is None while PostgreSQL has not committed the row.
    """

    verdict: Verdict
    selection_id: str
    response: bytes | None
    other_request_hash: str | None = None
    status: RowStatus | None = None


@dataclass(frozen=True, slots=True)
class StoredSelection:
    """One decision of an order. `status` says something only when it is committed."""

    selection_id: str
    order_id: str
    request_hash: str
    instrument_id: str
    created_at_ns: int
    strategy_name: str
    algorithm: str
    selection_rationale: str
    response: bytes
    committed: bool
    status: RowStatus


MarketCallback: TypeAlias = Callable[[str, MarketState], None]
Unsubscribe: TypeAlias = Callable[[], None]


class KeeperPort(Protocol):
    """The keeper itself, or one behind a socket."""

    async def submit(self, record: SelectionRecord, wait_commit: bool = False) -> Submission: ...

    async def find(self, order_id: str) -> tuple[StoredSelection, ...]: ...

    async def apply_market(self, update: MarketUpdate) -> MarketVerdict: ...

    def subscribe(self, callback: MarketCallback) -> Unsubscribe: ...
