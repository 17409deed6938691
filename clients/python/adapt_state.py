"""What a gateway must remember of its orders under way so that a stream that was cut goes on from the last sequence.

Pure: no thread, no socket, no clock. Both sessions (`adapt_session`, `adapt_session_aio`) are this and a transport.
How the service counts and resumes: docs/order-life.md.

A refusal names its update by its number, and says what becomes of the number. Where that is free, all updates behind it
wait at the service, under numbers that are known there. So it is given to a `working` of the quantity that works
already, which changes nothing and lets the others go on, as soon as everything before it is acknowledged: that quantity
is certain then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from execution_strategy.v1 import enums_pb2

from clients.python.errors import UpdateRefused
from clients.python.messages import Adaptation, Order, Update

# Refusals that nobody took; older ones are dropped, and counted.
MOST_ERRORS: Final = 1_000
# So many updates wait at the service for one before them; those beyond are refused, and sent again after it.
MOST_HELD: Final = 256
# What becomes of a refused update's number.
USED: Final = enums_pb2.REFUSED_NUMBER_USED
UNCERTAIN: Final = enums_pb2.REFUSED_NUMBER_UNCERTAIN
AHEAD: Final = enums_pb2.REFUSED_NUMBER_AHEAD
FENCED: Final = enums_pb2.REFUSED_NUMBER_FENCED


@dataclass(frozen=True, slots=True)
class RefusedUpdate:
    """An update that had no effect and is not sent again. `reason`: the service's words."""

    update: Update
    reason: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An order as of `acknowledged_sequence`: what a gateway that starts anew needs to go on. Shares, and the mean
    price of the fills in the instrument's currency."""

    acknowledged_sequence: int = 0
    epoch: int = 0
    filled_quantity: float = 0.0
    average_price: float = 0.0
    working_quantity: float = 0.0
    cancelled_quantity: float = 0.0


@dataclass(slots=True)
class _Fills:
    """Fills up to the acknowledged sequence, and the ids of all; an id counts once."""

    quantity: float = 0.0
    notional: float = 0.0
    seen: set[str] = field(default_factory=set)

    def add(self, quantity: float, price: float) -> None:
        self.quantity += quantity
        self.notional += quantity * price

    @property
    def average_price(self) -> float:
        return self.notional / self.quantity if self.quantity > 0.0 else 0.0


class OrderState:
    """One order. `pending` are updates that the service has not acknowledged, oldest first."""

    def __init__(self, order_id: str, request: Order | None, checkpoint: Checkpoint) -> None:
        self.order_id = order_id
        self.request = request
        self.pending: deque[Update] = deque()
        self.acknowledged = self.sequence = checkpoint.acknowledged_sequence
        self.epoch = checkpoint.epoch
        self._working = checkpoint.working_quantity
        self._cancelled = checkpoint.cancelled_quantity
        self._filled = checkpoint.filled_quantity
        self._fills = _Fills()
        self._fills.add(checkpoint.filled_quantity, checkpoint.average_price)
        self.refused: deque[RefusedUpdate] = deque(maxlen=MOST_ERRORS)
        self._free: set[int] = set()  # numbers that wait for an update that changes nothing
        self._given = 0  # the one that it was sent under on this connection
        self._refused_last = 0  # numbers up to this may have been given back
        self._ahead: set[int] = set()  # to be sent again when the order has come nearer

    def next(self, update: dict[str, Any]) -> Update:
        """The update under the next number, kept until it is acknowledged."""
        message = Update(order_id=self.order_id, sequence=self.sequence + 1, **update)
        message.event_time.GetCurrentTime()
        self.sequence += 1
        if self._refused_last >= self.sequence:  # a number that came back has another fate
            kept = [one for one in self.refused if one.update.sequence != self.sequence]
            self.refused.clear()
            self.refused.extend(kept)
        self.pending.append(message)
        return message

    def came(self, answer: Adaptation) -> int:
        """An answer of the service; how many updates it settles: acknowledges for the first time, or refuses with
        their numbers. `after` comes next."""
        self.epoch = max(self.epoch, answer.epoch)
        fence = next((one for one in answer.refusals if one.number == FENCED), None)
        if fence is not None:
            done = self._fenced(fence.sequence, fence.error, answer.acknowledged_sequence)
            self._stands(answer)
            return done
        done = sum(self._refuse(one.sequence, one.number, one.error) for one in answer.refusals)
        if answer.acknowledged_sequence < self.acknowledged:
            return done
        done += self._taken(answer.acknowledged_sequence)
        self.acknowledged = answer.acknowledged_sequence
        self.sequence = max(self.sequence, self.acknowledged)
        self._stands(answer)
        return done

    def _stands(self, answer: Adaptation) -> None:
        """The quantities, as of exactly the number that is acknowledged: the service fills both from one state. After a
        fence too: a resume at that number with older ones would take another session's fills away."""
        if answer.HasField("progress") and answer.acknowledged_sequence >= self.acknowledged:
            self._filled = answer.progress.filled_quantity
            self._working = answer.progress.working_quantity
            self._cancelled = answer.progress.cancelled_quantity

    def _taken(self, last: int) -> int:
        """Everything up to that number is safe; how many updates waited for it."""
        done = 0
        while self.pending and self.pending[0].sequence <= last:
            message = self.pending.popleft()
            done += 1
            self._free.discard(message.sequence)
            fill = message.fill
            if message.WhichOneof("update") == "fill" and fill.execution_id not in self._fills.seen:
                self._fills.seen.add(fill.execution_id)
                self._fills.add(fill.quantity, fill.price)
        return done

    def _fenced(self, first: int, reason: str, acknowledged: int) -> int:
        """Resumed elsewhere: from the first update that was refused for it, what is acknowledged under our numbers is
        not ours, and nothing that waits will be."""
        done = self._taken(min(first - 1, acknowledged)) + len(self.pending)
        self.refused.extend(RefusedUpdate(one, reason) for one in self.pending if one.sequence not in self._free)
        self.pending.clear()
        self._free.clear()
        self._ahead.clear()
        # Whoever goes on with the order goes on from there: the numbers behind it are free again.
        self._refused_last = max(self._refused_last, self.sequence)
        self.sequence = self.acknowledged = max(self.acknowledged, acknowledged)
        return done

    def _refuse(self, sequence: int, number: int, reason: str) -> int:
        """One refusal; how many updates wait no more by it."""
        at = next((at for at, one in enumerate(self.pending) if one.sequence == sequence), None)
        if at is None or number == UNCERTAIN:
            return 0
        if number == AHEAD:
            self._ahead.add(sequence)
            return 0
        if sequence not in self._free:
            self.refused.append(RefusedUpdate(self.pending[at], reason))
        if number == USED:
            del self.pending[at]
            self._free.discard(sequence)
            return 1
        self.pending[at] = Update(order_id=self.order_id, sequence=sequence)
        self._free.add(sequence)
        return 0

    def after(self) -> list[Update]:
        """What to send after an answer that came: what lets the others go on, and what came too far ahead before."""
        found = self._nothing()
        near = self.acknowledged + MOST_HELD
        again = [one for one in self.pending if one.sequence in self._ahead and one.sequence <= near]
        self._ahead.difference_update(one.sequence for one in again)
        return [*found, *(one for one in again if one.sequence not in self._free)]

    def _nothing(self) -> list[Update]:
        """An update that changes nothing, where the next number is free; once a connection, since where that is
        refused too nothing is taken of this order."""
        first = self.pending[0] if self.pending else None
        if first is None or first.sequence not in self._free or first.sequence == self._given:
            return []
        self._given = first.sequence
        # Without a time of its own: that may be what was refused.
        self.pending[0] = Update(
            order_id=self.order_id, sequence=first.sequence, working={"quantity": self._working}
        )
        return [self.pending[0]]

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(
            self.acknowledged, self.epoch, self._filled, self._fills.average_price if self._filled > 0.0 else 0.0,
            self._working, self._cancelled,
        )  # fmt: skip

    def resumption(self) -> list[Update]:
        """What a new connection begins with for this order: the resume, then what was not acknowledged. Of an order
        that the service never answered about there is nothing to resume; what it may have taken is acknowledged
        again."""
        self._given = 0
        self._ahead.clear()  # all that waits is sent again, and what is refused is refused again
        again = [*self._nothing(), *(one for one in self.pending if one.sequence not in self._free)]
        return again if self.checkpoint == Checkpoint() else [self._resume(), *again]

    def _resume(self) -> Update:
        known = self.checkpoint
        return Update(
            order_id=self.order_id,
            resume={
                "acknowledged_sequence": known.acknowledged_sequence, "epoch": known.epoch,
                "filled_quantity": known.filled_quantity, "average_price": known.average_price,
                "working_quantity": known.working_quantity, "cancelled_quantity": known.cancelled_quantity,
                "request": self.request,
            },
        )  # fmt: skip


class SessionState:
    """All orders of a session, and the answers that wait to be taken: the newest advice an order, every refusal."""

    def __init__(self) -> None:
        self._orders: dict[str, OrderState] = {}
        self._advices: dict[str, Adaptation] = {}
        self._errors: deque[Adaptation] = deque(maxlen=MOST_ERRORS)
        self.pending = 0
        self.errors_dropped = 0
        # Something could not be recorded: on another connection everything that waits is sent again.
        self.must_reconnect = False

    def follow(self, order_id: str, request: Order | None = None, checkpoint: Checkpoint | None = None) -> OrderState:
        """From now on. `request` lets a host that never saw the order go on with it. Following it again changes
        nothing."""
        if order_id not in self._orders:
            self._orders[order_id] = OrderState(order_id, request, checkpoint or Checkpoint())
        return self._orders[order_id]

    def follows(self, order_id: str) -> bool:
        return order_id in self._orders

    def forget(self, order_id: str) -> None:
        """An order that has ended: nothing more is kept of it."""
        gone = self._orders.pop(order_id, None)
        if gone is not None:
            self.pending -= len(gone.pending)
        self._advices.pop(order_id, None)

    def update(self, order_id: str, update: dict[str, Any]) -> Update:
        message = self.follow(order_id).next(update)
        self.pending += 1
        return message

    def came(self, answer: Adaptation) -> list[Update]:
        """An answer of the service; what is to be sent after it."""
        order = self._orders.get(answer.order_id)
        after: list[Update] = []
        if order is not None:
            self.pending -= order.came(answer)
            after = order.after()
            uncertain = any(one.number == UNCERTAIN for one in answer.refusals)
            self.must_reconnect = self.must_reconnect or (uncertain and bool(order.pending))
        if answer.error or answer.refusals:
            self.errors_dropped += len(self._errors) == self._errors.maxlen
            self._errors.append(answer)
        elif answer.advice_number:
            kept = self._advices.get(answer.order_id)
            # After a resume the newest advice comes again.
            if kept is None or answer.advice_number >= kept.advice_number:
                self._advices[answer.order_id] = answer
        return after

    @property
    def has_answers(self) -> bool:
        return bool(self._errors or self._advices)

    def take(self) -> list[Adaptation]:
        """Advices and refusals since the last time."""
        taken = [*self._errors, *self._advices.values()]
        self._errors.clear()
        self._advices.clear()
        return taken

    def acknowledged(self, order_id: str) -> int:
        order = self._orders.get(order_id)
        return order.acknowledged if order is not None else 0

    def is_settled(self, order_id: str, sequence: int) -> bool:
        """Whether the update was acknowledged, or refused."""
        return self.acknowledged(order_id) >= sequence or self._refusal(order_id, sequence) is not None

    def raise_refused(self, order_id: str, sequence: int) -> None:
        """Raises UpdateRefused where the update was refused."""
        found = self._refusal(order_id, sequence)
        if found is not None:
            raise UpdateRefused(order_id, sequence, found.reason)

    def _refusal(self, order_id: str, sequence: int) -> RefusedUpdate | None:
        order = self._orders.get(order_id)
        refused = order.refused if order is not None else ()
        return next((one for one in refused if one.update.sequence == sequence), None)

    def refused(self, order_id: str) -> tuple[RefusedUpdate, ...]:
        """An order's updates that had no effect, whose numbers were given to nothing; the last 1,000, oldest first."""
        order = self._orders.get(order_id)
        return tuple(order.refused) if order is not None else ()

    def checkpoint(self, order_id: str) -> Checkpoint:
        return self._orders[order_id].checkpoint

    def resumption(self) -> Iterable[Update]:
        """All that a new connection begins with."""
        self.must_reconnect = False
        return [message for order in self._orders.values() for message in order.resumption()]
