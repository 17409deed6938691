"""What a keeper is asked and answers about open orders."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from engine.order_life.state import OrderState


class UpdateVerdict(StrEnum):
    """What became of an update; see engine.order_life.machine.Verdict."""

    APPLIED = "APPLIED"
    REPEATED = "REPEATED"
    HELD = "HELD"
    REFUSED = "REFUSED"


class UpdateAnswer(msgspec.Struct, frozen=True, gc=False):
    """`state` after the update, safe in the class that was asked for. advice_number: of the order's newest advice.
    applied: the sequences that changed the state, more than one where waiting updates followed. without_effect: those
    of the waiting ones that had none, with why."""

    verdict: UpdateVerdict
    state: OrderState
    advice_number: int
    applied: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ""
    without_effect: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class KeptAdvice:
    """One advice of an order; `response` and `inputs` stand only in the newest, and in the one that made the plan in
    force."""

    adaptation_id: str
    selection_id: str
    advice_number: int
    created_at_ns: int
    action: str
    trigger: str
    rationale: str
    response: bytes = b""
    inputs: bytes = b""


@dataclass(frozen=True, slots=True)
class OrderBasis:
    """The decision that an order began with, and whose it is: the gateway that made it, and the request's tags."""

    selection_id: str
    order_id: str
    instrument_id: str
    created_at_ns: int
    strategy_name: str
    algorithm: str
    selection_rationale: str
    request: bytes
    response: bytes
    gateway: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeptOutcome:
    """How an order ended, as it was first reported."""

    outcome_id: str
    selection_id: str
    request: bytes
    performance_score: float


@dataclass(frozen=True, slots=True)
class KeptOrder:
    """All that a worker needs to follow an order. `state` is None before its first update."""

    basis: OrderBasis
    state: OrderState | None = None
    advices: tuple[KeptAdvice, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderRecords:
    """What was recorded of an order. updates: `UpdateRecord.request`, oldest first, as far as PostgreSQL has them;
    updates_left_out: how many older ones there are."""

    order: KeptOrder
    updates: tuple[bytes, ...] = ()
    updates_left_out: int = 0
    outcome: KeptOutcome | None = None


@dataclass(frozen=True, slots=True)
class OutcomeAnswer:
    """`kept` is the first report of the selection; `is_new` whether it is this one."""

    kept: KeptOutcome
    is_new: bool
