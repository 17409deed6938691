"""What a gateway must remember of its orders under way so that a stream that was cut goes on from the last sequence.

Pure: no thread, no socket, no clock. Both sessions (`adapt_session`, `adapt_session_aio`) are this and a transport.
How the service counts and resumes: docs/order-life.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from clients.python.messages import Adaptation, Order, Update

# Refusals that nobody took; older ones are dropped, and counted.
MOST_ERRORS: Final = 1_000


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

    def next(self, update: dict[str, Any]) -> Update:
        """The update under the next number, kept until it is acknowledged."""
        message = Update(order_id=self.order_id, sequence=self.sequence + 1, **update)
        message.event_time.GetCurrentTime()
        self.sequence += 1
        self.pending.append(message)
        return message

    def came(self, answer: Adaptation) -> int:
        """An answer of the service; how many updates it acknowledges for the first time."""
        self.epoch = max(self.epoch, answer.epoch)
        if answer.acknowledged_sequence < self.acknowledged:
            return 0
        done = 0
        while self.pending and self.pending[0].sequence <= answer.acknowledged_sequence:
            message = self.pending.popleft()
            done += 1
            fill = message.fill
            if message.WhichOneof("update") == "fill" and fill.execution_id not in self._fills.seen:
                self._fills.seen.add(fill.execution_id)
                self._fills.add(fill.quantity, fill.price)
        self.acknowledged = answer.acknowledged_sequence
        self.sequence = max(self.sequence, self.acknowledged)
        if answer.HasField("progress"):
            # As of exactly this number: the service fills both from one state.
            self._filled = answer.progress.filled_quantity
            self._working = answer.progress.working_quantity
            self._cancelled = answer.progress.cancelled_quantity
        return done

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
        known = self.checkpoint
        if known == Checkpoint():
            return list(self.pending)
        resume = Update(
            order_id=self.order_id,
            resume={
                "acknowledged_sequence": known.acknowledged_sequence, "epoch": known.epoch,
                "filled_quantity": known.filled_quantity, "average_price": known.average_price,
                "working_quantity": known.working_quantity, "cancelled_quantity": known.cancelled_quantity,
                "request": self.request,
            },
        )  # fmt: skip
        return [resume, *self.pending]


class SessionState:
    """All orders of a session, and the answers that wait to be taken: the newest advice an order, every refusal."""

    def __init__(self) -> None:
        self._orders: dict[str, OrderState] = {}
        self._advices: dict[str, Adaptation] = {}
        self._errors: deque[Adaptation] = deque(maxlen=MOST_ERRORS)
        self.pending = 0
        self.errors_dropped = 0

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

    def came(self, answer: Adaptation) -> None:
        order = self._orders.get(answer.order_id)
        if order is not None:
            self.pending -= order.came(answer)
        if answer.error:
            self.errors_dropped += len(self._errors) == self._errors.maxlen
            self._errors.append(answer)
        elif answer.advice_number:
            kept = self._advices.get(answer.order_id)
            # After a resume the newest advice comes again.
            if kept is None or answer.advice_number >= kept.advice_number:
                self._advices[answer.order_id] = answer

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

    def checkpoint(self, order_id: str) -> Checkpoint:
        return self._orders[order_id].checkpoint

    def resumption(self) -> Iterable[Update]:
        """All that a new connection begins with."""
        return [message for order in self._orders.values() for message in order.resumption()]
