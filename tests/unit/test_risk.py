"""The last look at a decision before it leaves: what is no number is a fault wherever it stands."""

from __future__ import annotations

import copy
import math
from typing import Any

import msgspec
import pytest

from engine.decide import decide
from engine.decision import Decision
from engine.risk import faults_of
from tests.helpers import world

ORDER = world.order()


@pytest.fixture(scope="module")
def decision() -> Decision:
    found = decide(ORDER, world.usual())
    assert isinstance(found, Decision), found
    assert faults_of(found, world.resolved(ORDER)) == []
    return found


def changed(decision: Decision, path: str, value: Any) -> Decision:
    """The decision with the figure at `outer.inner` replaced."""
    name, _, inner = path.partition(".")
    held = getattr(decision, name)
    made = copy.copy(held)
    if isinstance(made, dict):
        made[inner] = value
    elif isinstance(made, msgspec.Struct):
        made = msgspec.structs.replace(made, **{inner: value})
    else:
        setattr(made, inner, value)
    return msgspec.structs.replace(decision, **{name: made})


@pytest.mark.parametrize("figure", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("schedule.planned_shares", "schedule plans"),
        ("schedule.horizon_minutes", "schedule runs beyond the time"),
        ("risk_controls.price_limit", "a forecast is not a number"),
    ],
)
def test_a_figure_that_is_no_number_is_a_fault(decision: Decision, path: str, told: str, figure: float) -> None:
    found = faults_of(changed(decision, path, figure), world.resolved(ORDER))
    assert any(fault.startswith(told) for fault in found), found


@pytest.mark.parametrize("figure", [math.nan, math.inf, -0.1])
@pytest.mark.parametrize("which", [0, -1])
def test_a_venue_share_that_is_none_is_a_fault(decision: Decision, which: int, figure: float) -> None:
    mic = list(decision.venue_allocation)[which]
    found = faults_of(changed(decision, f"venue_allocation.{mic}", figure), world.resolved(ORDER))
    assert "venue shares do not sum to 1" in found
    empty = msgspec.structs.replace(decision, venue_allocation={})
    assert "venue shares do not sum to 1" in faults_of(empty, world.resolved(ORDER))
