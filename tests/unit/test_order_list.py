"""The list of changed orders: newest first, pages, what came after a revision, and what is forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from store.order_list import MOST_LOOKED, OrderList, OrderQuery, page_of
from store.order_port import KeptOrder, OrderBasis


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


class Ended:
    """Orders of which those named have ended."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.read = 0

    def has_ended(self, order_id: str) -> bool:
        return order_id in self.names

    async def order(self, order_id: str) -> KeptOrder | None:
        self.read += 1
        return KeptOrder(OrderBasis("s", order_id, "AIG", 1, "VWAP", "VWAP", "", b"", b""))


async def test_pages_pass_over_what_ended_without_reading_it() -> None:
    found = OrderList(10_000)
    for revision in range(1, MOST_LOOKED + 4):
        found.changed(f"o{revision}", revision)
    orders = Ended(*(f"o{revision}" for revision in range(3, MOST_LOOKED + 3)))
    first = await page_of(found, orders, OrderQuery(most=5, open_only=True), "j")
    assert [one.order.basis.order_id for one in first.orders] == [f"o{MOST_LOOKED + 3}"]
    assert (first.next_before, orders.read) == (4, 1), "a page looks at so many and no more"
    rest = await page_of(found, orders, OrderQuery(most=5, open_only=True, before=first.next_before), "j")
    assert [(one.order.basis.order_id, one.revision) for one in rest.orders] == [("o2", 2), ("o1", 1)]
    assert (rest.next_before, rest.revision) == (0, MOST_LOOKED + 3)


async def test_a_revision_of_another_journal_says_nothing() -> None:
    found = OrderList(10)
    found.changed("a", 1)
    asked = OrderQuery(changed_after=99, journal_id="other")
    assert len((await page_of(found, Ended(), asked, "j")).orders) == 1
    asked = OrderQuery(changed_after=99, journal_id="j")
    assert (await page_of(found, Ended(), asked, "j")).orders == ()
