"""What can happen to an order, as a gateway tells it. Quantities are whole millionths of a share.

With whole numbers the invariant of `engine.order_life.state` is exact: no sum of fills drifts, whatever their order.
Thousands of these are made a second, and of a hundred thousand orders some are always alive: msgspec structs without
the garbage collector's books are made at a fraction of the cost, and it need not walk them. None can hold itself.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeAlias

import msgspec

from engine.request import Constraints, Context
from engine.values import Urgency

UNITS_PER_SHARE: Final = 1_000_000
# What 64 bits hold; the contract's largest quantity is a ninth of it.
MOST_UNITS: Final = 2**63 - 1
# A quantity finer than a millionth of a share is refused, but for what a float cannot help.
_TOLERANCE: Final = 1e-9


class ExecutionState(IntEnum):
    """Where an order is in its life. The numbers are those of the contract."""

    RECOMMENDED = 1
    WORKING = 2
    PAUSED = 3
    HALTED = 4
    COMPLETED = 5
    CANCELLED = 6
    EXPIRED = 7


class Fill(msgspec.Struct, frozen=True, gc=False):
    """`fee` is in the instrument's currency, less rebates."""

    execution_id: str
    units: int
    price: float
    venue: str = ""
    fee: float = 0.0


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """Final: gone for good. Otherwise back from the market, to be placed again."""

    units: int
    is_final: bool


class Working(msgspec.Struct, frozen=True, gc=False):
    """All that is in the market now: a level, no change."""

    units: int


class Market(msgspec.Struct, frozen=True, gc=False):
    context: Context


class Amend(msgspec.Struct, frozen=True, gc=False):
    """None leaves what is there."""

    units: int | None = None
    constraints: Constraints | None = None
    urgency: Urgency | None = None


class Pause(msgspec.Struct, frozen=True, gc=False):
    reason: str = ""


class Unpause(msgspec.Struct, frozen=True, gc=False):
    pass


class Terminal(msgspec.Struct, frozen=True, gc=False):
    state: ExecutionState


class Resume(msgspec.Struct, frozen=True, gc=False):
    """The gateway's own view. In an update with sequence 0 it is the view after `acknowledged_sequence`; in one with a
    sequence of its own it stands for everything before that. `reached` is set when it is accepted: the number after
    which its epoch goes on."""

    acknowledged_sequence: int
    epoch: int
    filled_units: int
    average_price: float
    working_units: int
    cancelled_units: int
    arrival_mid_price: float = 0.0
    reached: int = 0


Change: TypeAlias = Fill | Cancel | Working | Market | Amend | Pause | Unpause | Terminal | Resume


class Update(msgspec.Struct, frozen=True, gc=False):
    """One change of one order.

    `epoch` is that of the owner whom the sender knows, 0 where it knows none. `mid_price` and `spread_bps` are the
    snapshot's where that was newer than the gateway's word when it came, else 0: the order's state has that word. They
    are kept with the update, so that costs replay. is_assigned: it came without a number, and the service gave it this
    one. after: of a gateway's update under a number that was given away, the number that the order had reached when it
    came; 0 for one that came in line.
    """

    sequence: int
    event_ns: int
    change: Change
    epoch: int = 0
    mid_price: float = 0.0
    spread_bps: float = 0.0
    is_assigned: bool = False
    after: int = 0


def units_of(shares: float) -> int | None:
    """Whole units; None for a quantity that is finer than a unit, or more than 64 bits hold."""
    exact = shares * UNITS_PER_SHARE
    if not 0.0 <= exact < MOST_UNITS / 2:
        return None
    units = round(exact)
    return units if abs(exact - units) <= max(_TOLERANCE * exact, 1e-6) else None


def shares_of(units: int) -> float:
    return units / UNITS_PER_SHARE
