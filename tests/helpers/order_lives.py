"""Orders under watch in the small world of tests/helpers/world.py."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.decide import decide
from engine.decision import Decision
from engine.order_life.machine import apply
from engine.order_life.plan import deadline_of, plan_of
from engine.order_life.readvise import Advice
from engine.order_life.state import Opening, OrderLife, opened
from engine.order_life.updates import UNITS_PER_SHARE, Change, Fill, Update
from engine.order_life.watch import Watch, seen, watch_of
from engine.request import OrderRequest
from engine.snapshot import Snapshot
from tests.helpers import world


@dataclass(slots=True)
class Followed:
    """One order, from its decision on."""

    request: OrderRequest
    decision: Decision
    life: OrderLife
    watch: Watch
    snapshot: Snapshot
    advices: list[Advice] = field(default_factory=list)

    def tell(self, now_ns: int, change: Change, forced: str = "") -> Advice | None:
        step = apply(self.life, Update(self.life.state.sequence + 1, now_ns, change))
        self.life = step.life
        return self.look(now_ns, change, forced)

    def look(self, now_ns: int, change: Change | None = None, forced: str = "") -> Advice | None:
        watched = seen(self.watch, self.life.state, change, self.snapshot, now_ns, forced)
        self.watch = watched.watch
        if watched.advice is not None:
            self.advices.append(watched.advice)
        return watched.advice

    def on_schedule(self, now_ns: int) -> Advice | None:
        """A fill that brings the order to where its plan wants it."""
        due = self.watch.plan.filled_units + self.watch.plan.due_units(now_ns)
        lot = round(self.snapshot.views[self.request.instrument_id].instrument.lot_size_shares * UNITS_PER_SHARE)
        units = (due - self.life.state.filled_units) // lot * lot
        name = f"x{self.life.state.sequence}"
        if units <= 0:
            return self.look(now_ns)
        return self.tell(now_ns, Fill(name, units, self.decision.inputs.mid_price))


def followed(request: OrderRequest, snapshot: Snapshot | None = None) -> Followed:
    """The order decided, and watched from then on."""
    snapshot = snapshot or world.usual()
    decision = decide(request, snapshot)
    assert isinstance(decision, Decision), decision
    units = round(request.quantity_shares * UNITS_PER_SHARE)
    life = opened(
        Opening(request.order_id, request.instrument_id, request.side.sign, units, decision.inputs.mid_price,
                request.start_ns)
    )  # fmt: skip
    view = snapshot.views[request.instrument_id]
    start_ns = decision.schedule.start_ns
    plan = plan_of(decision, life.state, start_ns, deadline_of(view, request.constraints, start_ns))
    return Followed(request, decision, life, watch_of(request, start_ns, plan, view), snapshot)
