"""What the engine would choose for a drawn case: the same functions as a request goes through."""

from __future__ import annotations

from dataclasses import dataclass

from engine.decision import Refusal
from engine.priced import NO_MULTIPLES, Priced, context_of, models_for, run_kernel
from engine.resolve import Resolved, resolve
from engine.snapshot import Snapshot
from engine.utility import weights_of
from training.contexts import Case


@dataclass(frozen=True, slots=True)
class Chosen:
    """The kernel's answer for one case; `candidate` is a position in the served set."""

    case: Case
    resolved: Resolved
    priced: Priced

    @property
    def candidate(self) -> int:
        return self.priced.best


def choose_for(case: Case, base: Snapshot) -> Chosen | None:
    """None where nothing is allowed, or where only a part of the order could be planned."""
    snapshot = case.snapshot(base)
    resolved = resolve(case.request, snapshot)
    if isinstance(resolved, Refusal):
        return None
    context = context_of(resolved, snapshot, weights_of(case.request.objective, case.request.urgency))
    models, _ = models_for(snapshot, context)
    priced = run_kernel(snapshot, resolved, context, NO_MULTIPLES, models)
    return Chosen(case, resolved, priced) if priced.best >= 0 else None
