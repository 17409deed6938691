"""An order as a worker follows it, and an update of it on its way: what `service.order_desk` works with."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from engine.order_life.state import Opening, OrderState
from engine.order_life.updates import Change, Market
from engine.order_life.watch import Watch
from engine.records import AdaptationRecord
from service.mapping.adaptation import Answer
from service.order_guard import Owner
from store.order_port import UpdateVerdict
from store.submission import Acknowledgement, UpdateCall


@dataclass(slots=True)
class Followed:
    """An order as this worker knows it. The keeper has the truth; `advice_number` tells whether this is still it.

    `decided`: the response of its decision, kept only where AdaptOnce asks for it (with one an order of every stream,
    it would be most of what an order takes). last_advice, in_force: the newest advice that is recorded, and the one
    whose plan is followed, as they were sent; empty where there is none. last_number: of last_advice; the watch's may
    be ahead, of an advice on its way to the disk. told_number: of the newest advice up to which the order's stream is
    known to have been told; AdaptOnce, and other workers, give others. mid_ns: when the gateway told a mid in an
    update that was begun; the state here learns of it only when that is recorded."""

    selection_id: str
    owner: Owner
    opening: Opening
    watch: Watch
    state: OrderState | None
    decided: bytes = b""
    last_advice: bytes = b""
    last_number: int = 0
    in_force: bytes = b""
    told_number: int = 0
    mid_ns: int = 0

    @property
    def is_told(self) -> bool:
        return self.told_number >= self.last_number

    @property
    def newest_mid_ns(self) -> int:
        """When the gateway last told a mid, with the request or since; 0 where it never did."""
        said_ns = 0 if self.watch.request.context.mid_price is None else self.opening.decided_ns
        return max(said_ns, self.mid_ns, 0 if self.state is None else self.state.mid_told_ns)

    def begun(self, change: Change, event_ns: int) -> None:
        """An update of it was begun."""
        if isinstance(change, Market) and change.context.mid_price is not None:
            self.mid_ns = max(self.mid_ns, event_ns)

    def advised(self, record: AdaptationRecord, is_plan: bool, is_told: bool) -> None:
        """An advice of it was recorded. One without a plan does not tell a stream of a plan that it was not told of."""
        if is_told and (is_plan or self.is_told):
            self.told_number = record.advice_number
        self.last_advice, self.last_number = record.response, record.advice_number
        if is_plan:
            self.in_force = record.response


class Taken(msgspec.Struct, frozen=True):
    """What became of an update. has_ended: the gateway said its last word on the order. is_halted: the message says
    that the order is halted."""

    message: Answer
    verdict: UpdateVerdict
    followed: Followed
    has_ended: bool = False
    is_halted: bool = False


@dataclass(slots=True)
class Taking:
    """An update on its way into the journal: what the keeper is asked, and the change as it is kept."""

    followed: Followed
    call: UpdateCall
    change: Change
    is_forced: bool
    acknowledgement: Acknowledgement
    number: int
    is_once: bool


@dataclass(frozen=True, slots=True)
class Due:
    """An advice that stands in its message and is to be journaled before that may go out. is_told: to the stream."""

    record: AdaptationRecord
    is_plan: bool
    is_told: bool
