"""Which orders of a host changed, and when: what a list of them is read from.

Bounded, in memory, and rebuilt from the journal at a start. A revision is the place of an order's newest record in the
journal, so whoever has seen everything up to one asks for what came after it, across restarts too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from store.order_port import KeptOrder

# Orders that one page looks at, at most: of many that have ended, only so many are passed over at a time.
MOST_LOOKED: Final = 2_000


@dataclass(frozen=True, slots=True)
class OrderQuery:
    """Orders that changed after one revision and before another (0: up to now), the last changed first."""

    changed_after: int = 0
    before: int = 0
    most: int = 50
    open_only: bool = False
    journal_id: str = ""


@dataclass(frozen=True, slots=True)
class ListedOrder:
    """`revision`: place of its newest record in the journal."""

    revision: int
    order: KeptOrder


@dataclass(frozen=True, slots=True)
class OrderPage:
    """`next_before` asks for the page after this one; 0 on the last. `revision`: the newest of all orders."""

    journal_id: str
    revision: int
    orders: tuple[ListedOrder, ...]
    next_before: int


class OrderList:
    """The last changed orders of a journal; those that did not change for longest are forgotten first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._changed: OrderedDict[str, int] = OrderedDict()  # revision by order id, rising

    @property
    def revision(self) -> int:
        return next(reversed(self._changed.values()), 0)

    def clear(self) -> None:
        self._changed.clear()

    def changed(self, order_id: str, revision: int) -> None:
        """A record of the order is in the journal. Revisions never fall."""
        self._changed[order_id] = revision
        self._changed.move_to_end(order_id)
        if len(self._changed) > self._capacity:
            self._changed.popitem(last=False)

    def restore(self, older: Iterable[tuple[str, int]]) -> None:
        """Orders that were read apart from the changes that came after them."""
        found = dict(older)
        found.update(self._changed)
        newest = sorted(found.items(), key=lambda pair: pair[1])[-self._capacity :]
        self._changed = OrderedDict(newest)

    def newest(self, changed_after: int, before: int) -> Iterator[tuple[str, int]]:
        """(order id, revision), newest first. Stays sound while orders change: it is a copy of this moment's."""
        for order_id, revision in list(reversed(self._changed.items())):
            if revision <= changed_after:
                return
            if before == 0 or revision < before:
                yield order_id, revision


class Orders(Protocol):
    """What a page needs of the orders themselves."""

    def has_ended(self, order_id: str) -> bool: ...

    async def order(self, order_id: str) -> KeptOrder | None: ...


async def page_of(changed: OrderList, orders: Orders, query: OrderQuery, journal_id: str) -> OrderPage:
    """A page of the orders that a journal knows. A revision of another journal says nothing of this one: everything
    is new then. Raises StoreUnavailable."""
    revision = changed.revision
    after = query.changed_after if query.journal_id in ("", journal_id) else 0
    found: list[ListedOrder] = []
    looked, last = 0, 0
    for order_id, changed_at in changed.newest(after, query.before):
        if len(found) >= query.most or looked >= MOST_LOOKED:
            return OrderPage(journal_id, revision, tuple(found), last)
        looked, last = looked + 1, changed_at
        if query.open_only and orders.has_ended(order_id):
            continue
        order = await orders.order(order_id)
        if order is None or (query.open_only and order.state is not None and order.state.has_ended):
            continue
        found.append(ListedOrder(changed_at, order))
    return OrderPage(journal_id, revision, tuple(found), 0)
