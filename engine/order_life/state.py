"""Where an order stands. One rule holds after every step:

    filled + working + unscheduled + cancelled = parent + overfill, every term >= 0

Filled, working, cancelled and parent are kept; the other two follow. What is kept is brought into the rule by
`settled`, the only place that does: a fill is a fact, so it takes what it needs from the market, from what is
unscheduled, from what was thought cancelled, and what is still too much is the overfill.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from engine.order_life.assigned import Ranges
from engine.order_life.executions import Executions
from engine.order_life.updates import ExecutionState, Update, shares_of
from engine.request import Constraints, Context
from engine.values import Urgency

NO_CONTEXT = Context()
NO_EXECUTIONS = Executions()


class Opening(msgspec.Struct, frozen=True, gc=False):
    """What an order's life begins with: from its decision, or from a resuming gateway."""

    order_id: str
    instrument_id: str
    side_sign: int
    parent_units: int
    decision_mid_price: float
    decided_ns: int


class Money(msgspec.Struct, frozen=True, gc=False):
    """Sums over the fills and the market, in the instrument's currency, from which costs are computed.

    notional: price x shares. over_mid: (price - mid at the fill) x shares, against the order. fees: less rebates.
    market_notional, market_shares: of the bars that ended since the decision, up to `last_bar_ns`.
    """

    notional: float = 0.0
    over_mid: float = 0.0
    fees: float = 0.0
    market_notional: float = 0.0
    market_shares: float = 0.0
    last_bar_ns: int = 0


class OrderState(msgspec.Struct, frozen=True, gc=False):
    """An order after its update `sequence`. Small: what a worker is told with every answer.

    epoch: of the owner, 1 for the first; every resume begins another. ended: set by the gateway's last word only.
    arrival_mid_price: when the order reached the market (its first update that knew a mid). context: what the gateway
    said so far (see `engine.order_life.told`), without bars. constraints, urgency: as amended, None while they are the
    request's. quoted_ns, mid_told_ns: when the gateway told the spread and the mid in `context`. assigned: numbers up
    to `sequence` that the service gave, and the gateway has not used. adopted_sequence: up to which the figures are, or
    may be, the gateway's word in a resume, and not the sum of updates that came; 0 where they never were.
    """

    opening: Opening
    parent_units: int
    filled_units: int = 0
    working_units: int = 0
    cancelled_units: int = 0
    sequence: int = 0
    epoch: int = 1
    is_paused: bool = False
    ended: ExecutionState | None = None
    fills: int = 0
    late_fill_units: int = 0
    arrival_mid_price: float = 0.0
    mid_price: float = 0.0
    spread_bps: float = 0.0
    begun_ns: int = 0
    updated_ns: int = 0
    money: Money = Money()
    context: Context = NO_CONTEXT
    constraints: Constraints | None = None
    urgency: Urgency | None = None
    quoted_ns: int = 0
    assigned: Ranges = ()
    mid_told_ns: int = 0
    adopted_sequence: int = 0

    @property
    def overfill_units(self) -> int:
        return max(0, self.filled_units - self.parent_units)

    @property
    def open_units(self) -> int:
        """Working or unscheduled: what may still be traded."""
        return max(0, self.parent_units - self.filled_units - self.cancelled_units)

    @property
    def unscheduled_units(self) -> int:
        return self.open_units - self.working_units

    @property
    def average_price(self) -> float:
        return self.money.notional / shares_of(self.filled_units) if self.filled_units else 0.0

    @property
    def has_ended(self) -> bool:
        """The gateway said so, or nothing is left. An amendment upwards may open the second kind again."""
        return self.ended is not None or self.open_units == 0

    @property
    def execution_state(self) -> ExecutionState:
        if self.ended is not None:
            return self.ended
        if self.open_units == 0:
            return ExecutionState.COMPLETED if self.filled_units else ExecutionState.CANCELLED
        if self.is_paused:
            return ExecutionState.PAUSED
        return ExecutionState.WORKING if self.updated_ns else ExecutionState.RECOMMENDED


class OrderLife(msgspec.Struct, frozen=True, gc=False):
    """The state with what it takes to apply the next update: ids seen, and updates that wait for a missing one."""

    state: OrderState
    executions: Executions = NO_EXECUTIONS
    held: tuple[Update, ...] = ()


def opened(opening: Opening) -> OrderLife:
    """A life before its first update."""
    return OrderLife(OrderState(opening, opening.parent_units))


def settled(state: OrderState, *, parent: int, filled: int, working: int, cancelled: int) -> OrderState:
    """The state with these quantities, brought into the rule."""
    left = max(0, parent - filled)
    cancelled = min(cancelled, left)
    working = min(working, left - cancelled)
    return replace(
        state, parent_units=parent, filled_units=filled, working_units=working, cancelled_units=cancelled
    )


def broken_rules(state: OrderState) -> list[str]:
    """What is wrong with a state; empty for every one that `apply` gives."""
    terms = {
        "filled": state.filled_units,
        "working": state.working_units,
        "unscheduled": state.unscheduled_units,
        "cancelled": state.cancelled_units,
        "overfill": state.overfill_units,
        "parent": state.parent_units,
    }
    faults = [f"{name} is {value}" for name, value in terms.items() if value < 0]
    left = state.filled_units + state.working_units + state.unscheduled_units + state.cancelled_units
    if left != state.parent_units + state.overfill_units:
        faults.append(f"the parts sum to {left}, not to parent and overfill: {terms}")
    return faults
