"""Ten thousand random valid orders: no decision breaks a constraint, and every refusal is true.

The orders are of every side, objective, urgency and condition, 0.01 % to 40 % of daily volume, at any hour, with any
mixture of constraints. A refusal must be PRECONDITION and name fields; taking the named constraints away must make
the order decidable.
"""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.decide import decide
from engine.decision import Decision, Refusal, RefusalKind
from engine.request import Constraints, OrderRequest
from tests.helpers import world
from tests.helpers.decision_checks import assert_sound

ORDERS = 10_000
SEED = 20260105
UNSET: dict[str, Any] = {
    "max_participation_rate": None, "time_limit_minutes": None, "price_limit": None, "excluded_venues": frozenset(),
    "allowed_venues": frozenset(), "dark_pool_preference": False, "min_completion_probability": None,
}
FIELDS = {name: (name,) for name in UNSET} | {"venue_restrictions": ("excluded_venues", "allowed_venues")}


def freed(request: OrderRequest, refusal: Refusal) -> OrderRequest:
    """The order without the constraints that the refusal names."""
    dropped: dict[str, Any] = {}
    for fault in refusal.faults:
        room, _, name = fault.field.partition(".")
        assert room == "constraints", fault
        dropped |= {constraint: UNSET[constraint] for constraint in FIELDS[name]}
    return replace(request, constraints=replace(request.constraints, **dropped))


def assert_true_refusal(request: OrderRequest, refusal: Refusal) -> None:
    """Without the constraints named it is decided. Only a refusal for want of venues comes before anything is priced,
    so that another reason may follow; it too must be true."""
    assert refusal.kind is RefusalKind.PRECONDITION, refusal
    assert refusal.faults
    if [fault.field for fault in refusal.faults] == ["quantity"]:
        assert_too_large(request)
        return
    answer = decide(freed(request, refusal), world.usual())
    if isinstance(answer, Refusal):
        assert all("venue of the instrument is left" in fault.description for fault in refusal.faults), refusal
        assert_true_refusal(freed(request, refusal), answer)


def assert_too_large(request: OrderRequest) -> None:
    """Not even a twentieth of it fits into the session's volume under the service's own limit; a small order does."""
    bare = replace(request, constraints=Constraints())
    inputs = world.resolved(bare).inputs
    assert 0.05 * request.quantity_shares > inputs.max_participation_rate * inputs.expected_market_volume_shares
    assert isinstance(decide(bare, world.usual()), Refusal)
    lot = world.views()[request.instrument_id].instrument.lot_size_shares
    assert isinstance(decide(replace(bare, quantity_shares=lot), world.usual()), Decision)


@pytest.mark.timeout(90)
def test_no_decision_breaks_a_constraint() -> None:
    rng = np.random.default_rng(SEED)
    chosen: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # numpy's
        for number in range(ORDERS):
            request = world.random_order(rng, number)
            answer = decide(request, world.usual())
            if isinstance(answer, Decision):
                chosen[answer.chosen.algorithm] += 1
                assert_sound(answer, request, world.usual())
                continue
            refused.update(fault.field for fault in answer.faults)
            assert_true_refusal(request, answer)
    assert sum(chosen.values()) > 0.6 * ORDERS, refused
    assert len(chosen) >= 10, chosen
    assert set(refused) <= {"quantity"} | {f"constraints.{name}" for name in FIELDS}, refused
    assert len(refused) >= 4, refused
