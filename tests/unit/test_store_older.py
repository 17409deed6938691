"""Orders that PostgreSQL had before this host started: never a wrong no, seldom a wrong yes."""

from __future__ import annotations

import pytest

from store.older import OlderOrders, hash_of


def page(name: str, count: int) -> bytes:
    return b"".join(hash_of(f"{name}-{number}") for number in range(count))


def test_nothing_is_known_and_nothing_is_taken_before_the_first_page() -> None:
    assert "o" not in OlderOrders()
    assert OlderOrders().count == 0


@pytest.mark.parametrize("slab_orders", [100_000, 700], ids=["one slab", "many slabs"])
def test_what_was_added_is_known_and_else_hardly_anything(slab_orders: int) -> None:
    older = OlderOrders(slab_orders)
    for number in range(10):
        older.add(page(f"day{number}-Zürich", 500))
    assert older.count == 5_000
    assert all(f"day{day}-Zürich-{number}" in older for day in range(10) for number in range(500))
    assert sum(f"fresh-{number}" in older for number in range(5_000)) <= 1
