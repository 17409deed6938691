"""What a keeper is asked and answers, wherever it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from engine.order_life.state import Opening
from engine.order_life.updates import Update
from engine.records import (
    AdaptationRecord,
    MarketUpdate,
    OperationRecord,
    OutcomeRecord,
    Record,
    SelectionRecord,
)
from engine.throttle import Counted
from engine.values import MarketState
from store.claims import Verdict
from store.controls_port import ControlAnswer, ControlCallback, CountCall
from store.market import MarketVerdict
from store.order_list import OrderPage, OrderQuery
from store.order_port import KeptOrder, OrderRecords, OutcomeAnswer, UpdateAnswer
from store.selection_rows import RowStatus

if TYPE_CHECKING:  # it stands on this module
    from store.keeper_metrics import KeeperMetrics


class Acknowledgement(StrEnum):
    """What is known to be safe when an answer is given; never said before it is so."""

    BUFFERED = "BUFFERED"
    JOURNALED = "JOURNALED"
    COMMITTED = "COMMITTED"


class Condition(StrEnum):
    """Whether records are taken. FULL: no room in the journal, until some of it is drained. FAILED: the journal cannot
    be written, or is damaged. AWAY: the keeper cannot be reached from here."""

    READY = "READY"
    FULL = "FULL"
    FAILED = "FAILED"
    AWAY = "AWAY"


@dataclass(frozen=True, slots=True)
class KeeperState:
    """One moment of a keeper. `reason` is for people, empty when READY."""

    condition: Condition
    reason: str = ""


class Submission(msgspec.Struct, frozen=True):
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


class UpdateCall(msgspec.Struct, frozen=True, gc=False):
    """An update of an order. `opening`: what its life begins with, where this is the first. `record_id` and `now_ns`
    are fixed by whoever sends it. Sequence 0 takes the next one, but with a resume."""

    order_id: str
    update: Update
    opening: Opening
    record_id: str
    now_ns: int
    gateway: str = ""


class StoredSelection(msgspec.Struct, frozen=True):
    """One decision of an order. `status` says something only when it is `committed` in PostgreSQL; `durable` is false
    while it is not even on this host's disk."""

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
    durable: bool = True


def selection_of(record: SelectionRecord) -> StoredSelection:
    """What is told of a decision that nobody has committed yet."""
    return StoredSelection(
        record.selection_id, record.order_id, record.request_hash, record.instrument_id, record.created_at_ns,
        record.strategy_name, record.algorithm, record.selection_rationale, record.response,
        committed=False, status=RowStatus.RECORDED,
    )  # fmt: skip


MarketCallback: TypeAlias = Callable[[str, MarketState], None]
StateCallback: TypeAlias = Callable[[KeeperState], None]
Unsubscribe: TypeAlias = Callable[[], None]


class KeeperPort(Protocol):
    """The keeper itself, or one behind a socket."""

    async def submit(self, record: SelectionRecord, acknowledgement: Acknowledgement) -> Submission:
        """Claims the order and journals the decision; answers when the class is met.

        Raises RecordInvalid, JournalFull (nothing was taken); JournalFailed, StoreUnavailable (it may have been taken:
        the same record again gives what was stored); RecordSetAside (COMMITTED: PostgreSQL refuses the row);
        DecisionRetired (the order was decided before, and PostgreSQL does not have its decision any more).
        """
        ...

    async def record(self, record: Record, acknowledgement: Acknowledgement) -> None:
        """Journals a record of any other kind; returns when the class is met. Raises as `submit` does."""
        ...

    async def find(self, order_id: str) -> tuple[StoredSelection, ...]:
        """The decisions of an order, oldest first, whether PostgreSQL has them yet or not."""
        ...

    async def order(self, order_id: str) -> KeptOrder | None:
        """An order with its state and advices; None where nobody decided it. Raises StoreUnavailable."""
        ...

    async def orders(self, query: OrderQuery) -> OrderPage:
        """A page of this host's orders, the last changed first. Raises StoreUnavailable."""
        ...

    async def order_records(self, order_id: str) -> OrderRecords | None:
        """An order with its updates and outcome; None where nobody decided it. Raises StoreUnavailable."""
        ...

    async def figures(self) -> KeeperMetrics:
        """How the keeper is at this moment. Raises StoreUnavailable."""
        ...

    async def update(self, call: UpdateCall, acknowledgement: Acknowledgement) -> UpdateAnswer:
        """Applies an update and journals it; answers when the class is met. Raises as `submit` does; the same update
        again is REPEATED."""
        ...

    def begin_update(self, call: UpdateCall, acknowledgement: Acknowledgement) -> asyncio.Future[UpdateAnswer] | None:
        """As `update`, without a task: the answer comes when the class is met. None (and nothing was taken) where the
        order must be read first."""
        ...

    async def advise(self, record: AdaptationRecord, acknowledgement: Acknowledgement) -> bool:
        """Journals the next advice of an order; False where another worker gave one with its number."""
        ...

    async def report(self, record: OutcomeRecord, acknowledgement: Acknowledgement) -> OutcomeAnswer:
        """Journals the outcome of a selection, unless it has one."""
        ...

    async def apply_market(self, update: MarketUpdate) -> MarketVerdict: ...

    def subscribe(self, callback: MarketCallback) -> Unsubscribe:
        """Calls back with every held state now, and with every changed one from now on."""
        ...

    def watch_state(self, callback: StateCallback) -> Unsubscribe:
        """Calls back with the state now, and with every other one from now on."""
        ...

    async def operate(self, record: OperationRecord, wait_s: float) -> ControlAnswer:
        """Journals a halt, its end or a change of limits, and brings it to every worker of this host; waits at most so
        long for the other hosts. A halt that could not be journaled (the error says so) holds on this host all the
        same. Raises as `submit` does."""
        ...

    async def count(self, call: CountCall) -> Counted:
        """Counts a message against the throttles of the host. Raises StoreUnavailable."""
        ...

    def watch_controls(self, callback: ControlCallback) -> Unsubscribe:
        """Calls back with the halts and limits in force now, and with every change. A callback that returns has taken
        it: no decision that was made without it may be submitted after that."""
        ...
