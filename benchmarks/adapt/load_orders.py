"""Orders as a gateway keeps them: what it told the service, what was acknowledged, and where the quantity must be.

The figures are counted here from the updates that were sent, by nothing of the service's own code: what the service
says of an order is held against them.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

from execution_strategy.v1 import adaptation_pb2, request_pb2, response_pb2, status_pb2

from tests.helpers.live_service import order, seed_reference

Update = adaptation_pb2.StrategyAdaptationRequest
Answer = adaptation_pb2.StrategyAdaptation

# How often an update is of which kind: mostly fills and market data; one in a hundred makes the service decide anew.
WEIGHTS = {"fill": 50, "market": 30, "working": 13, "cancel": 4, "pause": 2, "amend": 1}
LOTS = 400
OBJECTIVES = ("MINIMIZE_COST", "MINIMIZE_RISK", "MINIMIZE_TIME", "MAXIMIZE_ALPHA_CAPTURE", "BALANCED_EXECUTION")


@dataclass(frozen=True, slots=True)
class Figures:
    """Lots, and what was paid for those that were filled."""

    parent: int
    filled: int = 0
    working: int = 0
    cancelled: int = 0
    notional: float = 0.0

    @property
    def open(self) -> int:
        return self.parent - self.filled - self.cancelled


@dataclass(frozen=True, slots=True)
class Sent:
    """An update under way. due_s: when it should have been sent, on the clock of `time.perf_counter`."""

    data: bytes
    after: Figures
    due_s: float
    written_s: float


@dataclass(slots=True)
class GatewayOrder:
    """One order. `pending`: by number, what is not acknowledged yet; `figures`: after everything that was sent."""

    order_id: str
    lot: float
    mid_price: float
    spread_bps: float
    figures: Figures
    acknowledged: Figures
    sequence: int = 0
    acknowledged_sequence: int = 0
    epoch: int = 1
    is_paused: bool = False
    advices: int = 0
    repeated_s: float = 0.0
    pending: OrderedDict[int, Sent] = field(default_factory=OrderedDict)

    def next_update(self, chance: random.Random, kind: str = "") -> Update:
        """The next thing that happens to the order, already counted here; send `noted` of it."""
        self.sequence += 1
        message = Update(order_id=self.order_id, sequence=self.sequence)
        kind = kind or chance.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
        now = self.figures
        if kind in ("fill", "cancel") and now.working == 0:
            kind = "working"
        if kind == "fill":
            price = self.mid_price * (1.0 + chance.gauss(0.0, 2e-4))
            message.fill.execution_id = f"{self.order_id}/{self.sequence}"
            message.fill.quantity, message.fill.price = self.lot, price
            self.figures = replace(
                now, filled=now.filled + 1, working=now.working - 1, notional=now.notional + price * self.lot
            )
        elif kind == "cancel":
            message.cancel.quantity, message.cancel.final = self.lot, chance.random() < 0.5
            gone = int(message.cancel.final)
            self.figures = replace(now, working=now.working - 1, cancelled=now.cancelled + gone)
        elif kind == "market":
            self._market(message.market_context, chance)
        elif kind == "amend":
            message.amend.quantity = (now.parent + 20) * self.lot
            self.figures = replace(now, parent=now.parent + 20)
        elif kind == "pause":
            (message.unpause if self.is_paused else message.pause).SetInParent()
            self.is_paused = not self.is_paused
        else:
            level = min(chance.randint(2, 6), now.open)
            message.working.quantity = level * self.lot
            self.figures = replace(now, working=level)
        return message

    def _market(self, context: request_pb2.MarketContext, chance: random.Random) -> None:
        """Figures that wander as those of a quiet market do."""
        self.mid_price *= 1.0 + chance.gauss(0.0, 1e-4)
        context.mid_price, context.spread_bps = self.mid_price, self.spread_bps * chance.uniform(0.9, 1.1)

    def noted(self, data: bytes, due_s: float, written_s: float) -> None:
        self.pending[self.sequence] = Sent(data, self.figures, due_s, written_s)

    def answered(self, answer: Answer) -> list[Sent]:
        """Takes note; the updates that this acknowledges, oldest first."""
        if answer.epoch:
            self.epoch = max(self.epoch, answer.epoch)
        self.advices += bool(answer.advice_number)
        done = []
        while self.pending and next(iter(self.pending)) <= answer.acknowledged_sequence:
            self.acknowledged_sequence, sent = self.pending.popitem(last=False)
            self.acknowledged = sent.after
            done.append(sent)
        return done

    def resume(self) -> Update:
        """The order as it stood after the last acknowledged update."""
        known = self.acknowledged
        message = Update(order_id=self.order_id)
        view = message.resume
        view.acknowledged_sequence, view.epoch = self.acknowledged_sequence, self.epoch
        view.filled_quantity, view.working_quantity = known.filled * self.lot, known.working * self.lot
        view.cancelled_quantity = known.cancelled * self.lot
        view.average_price = known.notional / (known.filled * self.lot) if known.filled else 0.0
        return message

    def faults(self, status: status_pb2.StrategyExecutionStatus) -> list[str]:
        """What the service says of the order otherwise than it was told."""
        progress, known = status.progress, self.figures
        pairs: dict[str, tuple[Any, Any]] = {
            "sequence": (status.acknowledged_sequence, self.sequence),
            "parent": (progress.parent_quantity, known.parent * self.lot),
            "filled": (progress.filled_quantity, known.filled * self.lot),
            "working": (progress.working_quantity, known.working * self.lot),
            "cancelled": (progress.cancelled_quantity, known.cancelled * self.lot),
            "overfill": (progress.overfill_quantity, 0.0),
        }
        return [f"{self.order_id}: {name} is {said}, not {was}" for name, (said, was) in pairs.items() if said != was]


def order_message(order_id: str, number: int, names: list[tuple[str, float]]) -> request_pb2.ExecutionStrategyRequest:
    """One of many orders of all objectives; `names`: instruments with their lots."""
    name, lot = names[number % len(names)]
    return order(
        order_id=order_id, instrument_id=name, side="BUY" if number % 3 else "SELL", quantity=LOTS * lot,
        objective=OBJECTIVES[number % len(OBJECTIVES)],
    )  # fmt: skip


def instruments() -> list[tuple[str, float]]:
    """Those of the seed of which the orders here are at most 1 % of a day."""
    known, market = seed_reference()
    return [
        (name, known[name].lot_size_shares)
        for name in sorted(known)
        if (market[name].average_daily_volume_shares or 0.0) * 0.01 >= LOTS * known[name].lot_size_shares
    ]


def kept(response: response_pb2.ExecutionStrategyResponse, lot: float) -> GatewayOrder:
    """An order that was decided."""
    inputs, whole = response.resolved_inputs, Figures(LOTS)
    return GatewayOrder(response.order_id, lot, inputs.mid_price, max(inputs.spread_bps, 0.5), whole, whole)
