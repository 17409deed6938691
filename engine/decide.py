"""A decision from beginning to end: resolve, price, choose, allocate, schedule, explain, look once more.

Pure: the same request and snapshot give the same decision. The numeric work is one compiled call (engine/kernel.py),
which engine/priced.py makes; engine/fitting.py sees to orders that nothing takes whole, engine/assemble.py turns the
arrays of what was chosen into values.
"""

from __future__ import annotations

import msgspec
import numpy as np

from engine.assemble import assemble
from engine.decision import Decision, Fault, Refusal, RefusalKind
from engine.fitting import carried_over, impossible, may_carry_over
from engine.learning.effects import EFFECTS
from engine.learning.serving import corrected, tried
from engine.priced import Prepared, Priced, prepare, priced_of
from engine.request import OrderRequest
from engine.resolve import Resolved
from engine.risk import faults_of
from engine.snapshot import Snapshot

NO_EFFECTS = np.zeros(EFFECTS)


class Considered(msgspec.Struct, frozen=True):
    """A decision with all that was priced for it; `resolved` and `priced` are None where nothing got so far."""

    decision: Decision | Refusal
    resolved: Resolved | None = None
    priced: Priced | None = None


def decide(request: OrderRequest, snapshot: Snapshot) -> Decision | Refusal:
    """The decision for one order, or every reason why there is none."""
    return consider(request, snapshot, explores=True).decision


def consider(request: OrderRequest, snapshot: Snapshot, explores: bool = False) -> Considered:
    """`decide`, with what every candidate was priced at. Only a first decision explores: an order that is under way is
    not switched to learn."""
    prepared = prepare(request, snapshot)
    if isinstance(prepared, Refusal):
        return Considered(prepared)
    return settled(prepared.resolved, snapshot, priced_of(prepared, snapshot), explores)


def conclude(prepared: Prepared, priced: Priced, snapshot: Snapshot) -> Decision | Refusal:
    """The decision for one order that was priced, or every reason why there is none; as a first decision it may
    explore."""
    return settled(prepared.resolved, snapshot, priced, explores=True).decision


def settled(resolved: Resolved, snapshot: Snapshot, priced: Priced, explores: bool) -> Considered:
    """What follows from an order's prices."""
    if priced.best < 0 and may_carry_over(resolved):
        resolved, priced = carried_over(resolved, snapshot, priced.context)
    if priced.best < 0:
        return Considered(impossible(resolved, snapshot, priced), resolved, priced)
    if snapshot.learned is not None or (priced.models is not None and priced.models.effects is not None):
        priced = with_learned(resolved, snapshot, priced, explores)
    if priced.explored:
        text = f"chosen to learn, with a probability of {priced.propensity:.1%}, among what is about as good"
        resolved = msgspec.structs.replace(resolved, warnings=(*resolved.warnings, text))
    return Considered(checked(resolved, snapshot, priced), resolved, priced)


def with_learned(resolved: Resolved, snapshot: Snapshot, priced: Priced, explores: bool) -> Priced:
    """The choice with what outcomes taught: corrected, and within the operators' budget explored."""
    learned, catalogue = snapshot.learned, snapshot.catalogue
    kept = None if priced.models is None else priced.models.effects
    if kept is not None or (learned is not None and learned.corrects):
        found = corrected(
            NO_EFFECTS if learned is None else learned.values, NO_EFFECTS if kept is None else kept, catalogue,
            snapshot.assumptions, priced.context, priced.metrics, priced.mask, priced.best_of_algorithm, priced.flips,
            priced.sizes,
        )
        priced = msgspec.structs.replace(
            priced, best=found.best, hull=found.hull, online_bps=found.online_bps, telling=None
        )
    if learned is None or not (learned.explores and explores):
        return priced
    request = resolved.request
    pick = tried(
        learned, catalogue, snapshot.assumptions, priced.context, priced.metrics, priced.best_of_algorithm,
        priced.best, f"{request.order_id}|{request.seed}",
    )
    return msgspec.structs.replace(
        priced, best=pick.candidate, propensity=pick.propensity, explored=pick.explored, telling=None
    )


def checked(resolved: Resolved, snapshot: Snapshot, priced: Priced) -> Decision | Refusal:
    """The decision for `priced.best`, if it is sound."""
    decision = assemble(resolved, snapshot, priced)
    faults = faults_of(decision, resolved)
    if faults:
        return Refusal(RefusalKind.PRECONDITION, tuple(Fault("decision", text) for text in faults))
    return decision
