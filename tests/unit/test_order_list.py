"""The list of changed orders: newest first, pages, what came after a revision, and what is forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from store.order_list import OrderList


def test_the_last_changed_is_first() -> None:
    found = OrderList(10)
    for revision, name in enumerate(("a", "b", "a", "c"), start=1):
        found.changed(name, revision)
    assert list(found.newest(0, 0)) == [("c", 4), ("a", 3), ("b", 2)]
    assert list(found.newest(2, 0)) == [("c", 4), ("a", 3)]
    assert list(found.newest(0, 4)) == [("a", 3), ("b", 2)]
    assert found.revision == 4


def test_who_did_not_change_for_longest_is_forgotten() -> None:
    found = OrderList(2)
    for revision, name in enumerate(("a", "b", "a", "c"), start=1):
        found.changed(name, revision)
    assert list(found.newest(0, 0)) == [("c", 4), ("a", 3)]


def test_changes_while_it_is_read_do_not_disturb() -> None:
    found = OrderList(10)
    for revision in range(1, 6):
        found.changed(f"o{revision}", revision)
    seen = []
    for name, revision in found.newest(0, 0):
        seen.append(revision)
        found.changed(name, 10 + revision)
    assert seen == [5, 4, 3, 2, 1]


def test_decisions_read_apart_take_their_place_before_what_came_later() -> None:
    found = OrderList(10)
    found.changed("a", 7)
    found.restore([("a", 1), ("b", 9), ("c", 2)])
    assert list(found.newest(0, 0)) == [("b", 9), ("a", 7), ("c", 2)]


@given(st.lists(st.sampled_from("abcdefgh"), max_size=60), st.integers(1, 10), st.integers(1, 7))
def test_following_by_revision_misses_nothing_that_is_held(names: list[str], capacity: int, every: int) -> None:
    """A reader that asks now and then for what changed since ends with the newest of every order that is held."""
    found = OrderList(capacity)
    known: dict[str, int] = {}
    place = 0
    for revision, name in enumerate(names, start=1):
        found.changed(name, revision)
        if revision % every == 0:
            known.update(found.newest(place, 0))
            place = found.revision
    known.update(found.newest(place, 0))
    held = dict(found.newest(0, 0))
    assert held.items() <= known.items()
    assert len(held) == min(capacity, len(set(names)))
