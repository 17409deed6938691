"""What a gateway must remember of its orders under way so that a stream that was cut goes on from the last sequence.

Pure: no thread, no socket, no clock. Both sessions (`adapt_session`, `adapt_session_aio`) are this and a transport.
How the service counts and resumes: docs/order-life.md.

A refusal does not name its update, and where that one did not use its number up all behind it wait at the service. So
the session asks: a resume on the same stream is answered with the number up to which everything was taken (told from
other answers by its new epoch), and the first update beyond that was refused. Its number is used by a `working` of the
quantity that works already, which changes nothing and lets the others go on: theirs are known at the service.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from clients.python.errors import UpdateRefused
from clients.python.messages import Adaptation, Order, Update

# Refusals that nobody took; older ones are dropped, and counted.
MOST_ERRORS: Final = 1_000
# So many updates wait at the service for one before them; those beyond are refused, and sent again after it.
MOST_HELD: Final = 256
# Of an order that nobody resumed.
FIRST_EPOCH: Final = 1
# How the service ends a refusal of what it could not record: the very same update may do better on another connection.
WORTH_REPEATING: Final = "send it again"


@dataclass(frozen=True, slots=True)
class RefusedUpdate:
    """An update that had no effect and is not sent again. `reason`: the service's words; where several updates of an
    order were refused at a time, they may be those on another of them."""

    update: Update
    reason: str


@dataclass(frozen=True, slots=True)
class _Question:
    """A resume on its way, sent after the update with the number `last`. Its answer has a later epoch."""

    epoch: int
    last: int


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
        self._reasons: deque[str] = deque(maxlen=MOST_ERRORS)
        self._question: _Question | None = None
        self._must_ask = False
        self._is_fenced = False
        self._suspect = 0
        self._replaced = 0  # the newest number that was given to nothing

    def next(self, update: dict[str, Any]) -> Update:
        """The update under the next number, kept until it is acknowledged."""
        message = Update(order_id=self.order_id, sequence=self.sequence + 1, **update)
        message.event_time.GetCurrentTime()
        self.sequence += 1
        self.pending.append(message)
        return message

    def came(self, answer: Adaptation) -> int:
        """An answer of the service; how many updates it settles: acknowledges for the first time, or refuses with the
        order. `after` comes next."""
        if answer.error and self._question is None and 0 < self.epoch < answer.epoch:
            self._is_fenced = True  # resumed elsewhere: what is acknowledged under our numbers is not ours
        self.epoch = max(self.epoch, answer.epoch)
        if answer.error and self._is_fenced:
            self.refused.extend(RefusedUpdate(message, answer.error) for message in self.pending)
            done = len(self.pending)
            self.pending.clear()
            self.acknowledged = max(self.acknowledged, answer.acknowledged_sequence)
            self.sequence = max(self.sequence, self.acknowledged)
            return done
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

    def after(self, answer: Adaptation) -> list[Update]:
        """What to send after an answer that came: what is needed to learn which update was refused, and to go on."""
        found: list[Update] = []
        is_answered = self._question is not None and answer.epoch > self._question.epoch
        # Asking would take an order back that was resumed elsewhere.
        if answer.error and not self._is_fenced and not is_worth_repeating(answer):
            self._reasons.append(answer.error)
            self._must_ask = True
        if self._question is not None and is_answered:
            last, self._question = self._question.last, None
            if self.pending and self.pending[0].sequence == self._replaced:
                return []  # nothing is taken of this order; all that waits does so until the next connection
            if self.pending and self.pending[0].sequence <= last:
                found = self._suspected(last)
        if self._question is not None:
            return found
        if self.pending and self._must_ask:
            return [*found, self._resume(self.sequence)]
        if not found and not self.pending:
            self._reasons.clear()  # of updates that used their numbers up
            self._must_ask = False
        return found

    def _suspected(self, last: int) -> list[Update]:
        """The first update that waits was sent before the question and was not taken before its answer. Asked a second
        time that is so for good: at first a worker may still have been reading the order, and the question passed."""
        first = self.pending[0].sequence
        if first != self._suspect:
            self._suspect, self._must_ask = first, True
            return []
        self._must_ask = self._must_ask or len(self.pending) > 1  # others may have been refused behind it
        return self._without_the_first(last)

    def _without_the_first(self, last: int) -> list[Update]:
        """Puts what changes nothing in the place of the first update that waits."""
        refused = self.pending.popleft()
        # Refusals come in the order of the numbers.
        reason = self._reasons.popleft() if len(self._reasons) > 1 else "".join(self._reasons)
        self.refused.append(RefusedUpdate(refused, reason))
        self._replaced = refused.sequence
        # Without a time of its own: that may be what was refused.
        nothing = Update(order_id=self.order_id, sequence=refused.sequence, working={"quantity": self._working})
        self.pending.appendleft(nothing)
        behind = [message for message in self.pending if refused.sequence < message.sequence <= last]
        return [nothing, *(behind if len(behind) > MOST_HELD else ())]

    def _resume(self, last: int) -> Update:
        known = self.checkpoint
        self._question, self._must_ask = _Question(max(self.epoch, FIRST_EPOCH), last), False
        return Update(
            order_id=self.order_id,
            resume={
                "acknowledged_sequence": known.acknowledged_sequence, "epoch": known.epoch,
                "filled_quantity": known.filled_quantity, "average_price": known.average_price,
                "working_quantity": known.working_quantity, "cancelled_quantity": known.cancelled_quantity,
                "request": self.request,
            },
        )  # fmt: skip

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
        # All that waits is sent again, and what is refused is refused again.
        self._question, self._must_ask, self._is_fenced, self._suspect = None, False, False, 0
        self._reasons.clear()
        if self.checkpoint == Checkpoint():
            return list(self.pending)
        # Nothing was sent before it on this connection: its answer says of no update that it was refused.
        return [self._resume(self.acknowledged), *self.pending]


def is_worth_repeating(answer: Adaptation) -> bool:
    """Whether an update was refused for what has nothing to do with it: a disk, a database, a deadline."""
    return WORTH_REPEATING in answer.error.lower()


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
            after = order.after(answer)
            self.must_reconnect = self.must_reconnect or (is_worth_repeating(answer) and bool(order.pending))
        if answer.error:
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
