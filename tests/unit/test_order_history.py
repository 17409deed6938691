"""An order's history as it is told: what a gateway sent, and what of it had no effect."""

from __future__ import annotations

from execution_strategy.v1 import overview_pb2

from engine.order_life.updates import Amend, Change, ExecutionState, Fill, Resume, Terminal, Update
from service.mapping.overview import history_of
from store.order_codec import pack_update
from store.order_port import KeptOrder, OrderBasis, OrderRecords


def told(*changes: Change) -> list[tuple[str, float, str]]:
    """(kind, shares, detail) of each."""
    updates = tuple(pack_update(Update(n, n, change), None) for n, change in enumerate(changes, start=1))
    basis = OrderBasis("s", "o", "AIG", 1, "TWAP", "TWAP", "", b"", b"")
    history = overview_pb2.OrderHistory.FromString(history_of(OrderRecords(KeptOrder(basis), updates)))
    return [(event.kind, event.quantity, event.detail) for event in history.events]


def test_a_fill_that_came_twice_is_told_as_one_that_was_counted_before() -> None:
    found = told(Fill("a", 1_000_000, 78.0), Fill("b", 2_000_000, 78.0), Fill("a", 1_000_000, 78.0))
    assert found == [
        ("FILL", 1.0, ""), ("FILL", 2.0, ""), ("FILL", 1.0, "no effect: execution a was counted before"),
    ]  # fmt: skip


def test_what_came_after_the_end_is_told_as_without_effect_but_for_fills() -> None:
    found = told(
        Terminal(ExecutionState.EXPIRED), Amend(units=5_000_000), Fill("late", 1_000_000, 78.0),
        Terminal(ExecutionState.CANCELLED), Resume(4, 1, 1_000_000, 78.0, 0, 0),
    )  # fmt: skip
    assert [detail for _, _, detail in found] == [
        "EXPIRED", "no effect: the order had ended (EXPIRED)", "", "no effect: the order had ended (EXPIRED)",
        "resumed: 1 shares filled",
    ]  # fmt: skip
