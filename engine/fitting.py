"""Orders that no candidate takes whole: those that may be planned in part, and why others are refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import kernel as k
from engine.decision import Fault, Refusal, RefusalKind
from engine.priced import NO_MULTIPLES, Priced, context_of, models_for, run_kernel
from engine.resolve import Resolved, resolve
from engine.snapshot import Snapshot
from engine.utility import weights_of

# An order of which even less fits into the session is a mistake or another day's business.
LEAST_FITTING_FRACTION = 0.05


def may_carry_over(resolved: Resolved) -> bool:
    """Whether an order too large for the rest of the session may be planned in part. One whose own limits are what
    stops it is refused instead: the client asked for what cannot be."""
    constraints = resolved.request.constraints
    asked = (
        constraints.max_participation_rate, constraints.time_limit_minutes, constraints.min_completion_probability
    )
    fitting = fitting_fraction(resolved, resolved.inputs.max_participation_rate)
    return all(limit is None for limit in asked) and fitting >= LEAST_FITTING_FRACTION


def fitting_fraction(resolved: Resolved, rate: float) -> float:
    """Part of the order, in whole lots, that fits under a rate of the volume expected until the close; at most 1."""
    lot = resolved.view.instrument.lot_size_shares
    lots = round(resolved.request.quantity_shares / lot)
    fitting = math.floor(rate * resolved.inputs.expected_market_volume_shares / lot * (1.0 + 1e-9) + 1e-6)
    return min(1.0, fitting / lots)


def carried_over(resolved: Resolved, snapshot: Snapshot, context: NDArray[np.float64]) -> tuple[Resolved, Priced]:
    """The order priced anew with plans that do not finish; what is left over is charged like any remainder. A rate at
    which not one lot fits is no plan."""
    lots = round(resolved.request.quantity_shares / resolved.view.instrument.lot_size_shares)
    context[k.CARRY_OVER] = (1.0 - 1e-6) / lots
    context[k.MIN_COMPLETION] = 0.0  # such an order has no least completion (may_carry_over)
    priced = run_kernel(snapshot, resolved, context, NO_MULTIPLES)
    if priced.best < 0:
        return resolved, priced
    rate = float(priced.metrics[priced.best, k.PARTICIPATION])
    text = (
        f"only {fitting_fraction(resolved, rate):.1%} of the order fits under {rate * 100:.4g}% of the volume expected "
        "before the close; the rest is carried over"
    )
    told: tuple[str, ...] = (text,)
    if snapshot.models is not None:
        told = (text, "the models never saw an order that is planned in part, so the structural model decides")
    return msgspec.structs.replace(resolved, warnings=(*resolved.warnings, *told)), priced


def reach_words(resolved: Resolved) -> str:
    """Why a price limit leaves nothing."""
    room = resolved.limit_room_bps
    if room < 0.0:
        return f"the limit lies {-room:.1f} bps beyond the mid, where only what rests may wait, if with a chance"
    return f"the limit leaves {room:z.1f} bps from the mid, less than any strategy left would pay"


def venue_words(resolved: Resolved) -> str:
    """Why the venues that are left do not do."""
    limit = f"the limit there is {resolved.inputs.max_participation_rate:.3g} of the market's volume"
    closed = "" if resolved.close_auction_fraction > 0.0 else ", and there is no closing auction"
    return f"the lit venues left have {resolved.lit_left_fraction:.1%} of the volume on lit ones: {limit}{closed}"


# Both lists of venues are one constraint: what is left by both of them together.
VENUES = "venues"
# Constraint -> what is wrong with it when it clashes. In the order in which clashes are told.
CLASHES: tuple[tuple[str, Callable[[Resolved], str]], ...] = (
    ("max_participation_rate", lambda r: f"no schedule fits under {r.inputs.max_participation_rate:g} of volume"),
    ("time_limit_minutes", lambda r: f"no strategy that is allowed fits into {r.inputs.available_minutes:.0f} minutes"),
    ("price_limit", reach_words),
    (VENUES, venue_words),
    ("dark_pool_preference", lambda r: "no strategy that uses dark venues is left"),
    (
        "min_completion_probability",
        lambda r: f"no strategy is as likely as {r.request.constraints.min_completion_probability:g} to complete",
    ),
)


def impossible(resolved: Resolved, snapshot: Snapshot, priced: Priced) -> Refusal:
    """Names the constraints that clash: the smallest sets of them without which the order could be decided.

    Each set is tried, since constraints work on one another (a longer horizon completes more, and reaches a price
    limit more often). Constraints that clash with each other are each enough alone, so all of them are named.
    """
    present = [name for name, _ in CLASHES if is_set(resolved, name)]
    for count in range(1, len(present) + 1):
        enough = [names for names in combinations(present, count) if decidable_without(resolved, snapshot, names)]
        if enough:
            clashing = set().union(*enough)
            faults = [
                Fault(f"constraints.{field}", words(resolved))
                for name, words in CLASHES if name in clashing for field in fields_of(resolved, name)
            ]  # fmt: skip
            return Refusal(RefusalKind.PRECONDITION, tuple(faults))
    if np.any(priced.mask == k.MASK_NOT_FINITE):
        fault = Fault("market_context", "the forecasts are not finite for these inputs")
        return Refusal(RefusalKind.PRECONDITION, (fault,))
    text = (
        f"none of {len(snapshot.catalogue.candidates)} candidates trades it, or a {LEAST_FITTING_FRACTION:.0%} part of "
        f"it, in {resolved.inputs.available_minutes:.0f} minutes under the service's limit of "
        f"{snapshot.limits.max_participation_rate:g} of volume"
    )
    return Refusal(RefusalKind.PRECONDITION, (Fault("quantity", text),))


def is_set(resolved: Resolved, name: str) -> bool:
    """Whether the request has a constraint; one on venues only where it takes lit volume or the auction away."""
    if name == VENUES:
        auction = resolved.view.instrument.close_auction_fraction
        return resolved.lit_left_fraction < 1.0 or resolved.close_auction_fraction < auction
    return getattr(resolved.request.constraints, name) not in (None, False)


def fields_of(resolved: Resolved, name: str) -> list[str]:
    """The request's own fields of a constraint."""
    if name != VENUES:
        return [name]
    constraints = resolved.request.constraints
    lists = (("allowed_venues", constraints.allowed_venues), ("venue_restrictions", constraints.excluded_venues))
    return [field for field, venues in lists if venues]


def decidable_without(resolved: Resolved, snapshot: Snapshot, names: tuple[str, ...]) -> bool:
    """Whether some candidate is allowed once these constraints are dropped."""
    unset: dict[str, Any] = {}
    for name in names:
        if name == VENUES:
            unset |= {"allowed_venues": frozenset(), "excluded_venues": frozenset()}
        else:
            unset[name] = False if name == "dark_pool_preference" else None
    constraints = replace(resolved.request.constraints, **unset)
    freed = resolve(replace(resolved.request, constraints=constraints), snapshot)
    if isinstance(freed, Refusal):
        return False
    weights = weights_of(freed.request.objective, freed.request.urgency)
    context = context_of(freed, snapshot, weights)
    models, _ = models_for(snapshot, context)
    if run_kernel(snapshot, freed, context, NO_MULTIPLES, models).best >= 0:
        return True
    return may_carry_over(freed) and carried_over(freed, snapshot, context)[1].best >= 0
