"""Ten thousand random valid orders: no decision breaks a constraint, and every refusal is true.

The orders are of every side, objective, urgency and condition, 0.01 % to 40 % of daily volume, at any hour, with any
mixture of constraints. A refusal must be PRECONDITION and name fields; taking the named constraints away must make
the order decidable.
"""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from engine.decide import decide
from engine.decision import Decision, Refusal, RefusalKind
from engine.request import OrderRequest
from tests.helpers import world
from tests.helpers.decision_checks import assert_sound

ORDERS = 10_000
SEED = 20260105
UNSET = {
    "max_participation_rate": None, "time_limit_minutes": None, "price_limit": None, "excluded_venues": frozenset(),
    "allowed_venues": frozenset(), "dark_pool_preference": False, "min_completion_probability": None,
}
FIELDS = {name: (name,) for name in UNSET} | {"venue_restrictions": ("excluded_venues", "allowed_venues")}


def freed(request: OrderRequest, refusal: Refusal) -> OrderRequest:
    """The order without the constraints that the refusal names."""
    dropped = {}
    for fault in refusal.faults:
        room, _, name = fault.field.partition(".")
        assert room == "constraints", fault
        dropped |= {constraint: UNSET[constraint] for constraint in FIELDS[name]}
    return replace(request, constraints=replace(request.constraints, **dropped))


@pytest.mark.timeout(90)
def test_no_decision_breaks_a_constraint() -> None:
    rng = np.random.default_rng(SEED)
    chosen: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(ORDERS):
            request = world.random_order(rng, number)
            answer = decide(request, world.usual())
            if isinstance(answer, Decision):
                chosen[answer.chosen.algorithm] += 1
                assert_sound(answer, request, world.usual())
                continue
            assert answer.kind is RefusalKind.PRECONDITION, answer
            assert answer.faults
            refused.update(fault.field for fault in answer.faults)
            assert isinstance(decide(freed(request, answer), world.usual()), Decision), (answer, request)
    assert sum(chosen.values()) > 0.8 * ORDERS, refused
    assert len(chosen) >= 8, chosen
    assert set(refused) <= {f"constraints.{name}" for name in FIELDS}, refused
    assert len(refused) >= 4, refused
