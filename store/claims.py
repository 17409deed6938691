"""Which order ids are taken, and by which request. Pure memory, bounded; one table a host.

Exactness: within a host the table decides. An order whose decision PostgreSQL does not have yet is always in it, with
its place in the journal; an id that left the table (or had no room in it) is known by a filter that has no false "no",
and for those the keeper asks PostgreSQL; orders of earlier lives whose segments are gone are known by `store.taken`,
what PostgreSQL had at the start by `store.older`. An order that another host took since the start is not seen here:
asking for every fresh order would cost a round trip each. The `orders` table settles that one when the row is written,
and marks the later decision CONFLICTED (before the reply, where the reply waits for it).
"""

from __future__ import annotations

import asyncio
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

from store.older import OlderOrders
from store.seen import SeenFilter
from store.selection_rows import RowStatus
from store.uuids import uuid_of


class Verdict(StrEnum):
    """ACCEPTED: a fresh order. DUPLICATE: the same order and request. CONFLICT: the order with another request."""

    ACCEPTED = "ACCEPTED"
    DUPLICATE = "DUPLICATE"
    CONFLICT = "CONFLICT"


@dataclass(slots=True)
class Claim:
    """Who has an order. `response` is None where it was let go to save memory. `sequence` is the decision's place in
    the journal (0: not known here), `durable` is there until it is on disk. `settled` means that the
    drainer is done with it, and `status` is what became of the row (None: pending, set aside, or not known here)."""

    request_hash: str
    selection_id: str
    response: bytes | None
    settled: bool = False
    status: RowStatus | None = None
    sequence: int = 0
    durable: asyncio.Future[Any] | None = None


# What is kept of a settled claim. There may be hundreds of thousands, and as an object with its texts each would take
# 290 bytes; a hash of a request and a selection's id are numbers: 90 bytes with place and status.
_FORM: Final = struct.Struct("<32s16sqb")
_STATUSES: Final = (None, *RowStatus)
_NUMBER_OF_STATUS: Final = {status: number for number, status in enumerate(_STATUSES)}
_Settled: TypeAlias = bytes | tuple[str, str, RowStatus | None, int]


def _packed(request_hash: str, selection_id: str, status: RowStatus | None, sequence: int) -> _Settled:
    """Texts of another form than ours stay as they are."""
    try:
        digest, number = bytes.fromhex(request_hash), bytes.fromhex(selection_id.replace("-", ""))
    except ValueError:
        return request_hash, selection_id, status, sequence
    if len(digest) != 32 or len(number) != 16 or digest.hex() != request_hash or uuid_of(number) != selection_id:
        return request_hash, selection_id, status, sequence
    return _FORM.pack(digest, number, sequence, _NUMBER_OF_STATUS[status])


def _unpacked(settled: _Settled, response: bytes | None) -> Claim:
    if isinstance(settled, bytes):
        digest, number, sequence, status = _FORM.unpack(settled)
        return Claim(digest.hex(), uuid_of(number), response, True, _STATUSES[status], sequence)
    request_hash, selection_id, row_status, sequence = settled
    return Claim(request_hash, selection_id, response, True, row_status, sequence)


class OrderClaims:
    """Claims that are not settled are never evicted; their number is bounded by the journal's size. Responses are
    bounded apart, whatever PostgreSQL does: what was let go is read again from the journal or from PostgreSQL.

    A claim that is settled is an object of its own each time it is looked at."""

    def __init__(
        self,
        capacity: int = 200_000,
        response_capacity: int = 20_000,
        seen: SeenFilter | None = None,
        taken_before: Callable[[str], bool] = lambda _: False,
        older: OlderOrders | None = None,
    ) -> None:
        self._capacity = capacity
        self._response_capacity = response_capacity
        self._seen = seen or SeenFilter()
        self._taken_before = taken_before  # by an earlier life of this host, whose segments may be gone
        self.older = older or OlderOrders()  # what PostgreSQL had, as far as it was loaded
        self._open: dict[str, Claim] = {}
        self._settled: OrderedDict[str, _Settled] = OrderedDict()
        self._responses: OrderedDict[str, bytes] = OrderedDict()
        # Until the loader says otherwise there may be orders of earlier runs that nothing here knows.
        self.older_unknown = True

    def __len__(self) -> int:
        return len(self._open) + len(self._settled)

    def look(self, order_id: str) -> Claim | None:
        claim = self._open.get(order_id)
        if claim is None and (settled := self._settled.get(order_id)) is not None:
            self._settled.move_to_end(order_id)
            claim = _unpacked(settled, self._responses.get(order_id))
        if claim is not None and claim.response is not None:
            self._responses.move_to_end(order_id)
        return claim

    def open_claims(self) -> Iterator[tuple[str, Claim]]:
        """Those that are not settled, by order id."""
        return iter(tuple(self._open.items()))

    def must_ask(self, order_id: str) -> bool:
        """Whether PostgreSQL may know the order though this table does not."""
        if order_id in self._open or order_id in self._settled:
            return False
        return self.older_unknown or self.was_seen(order_id)

    def was_seen(self, order_id: str) -> bool:
        """Whether the order was here before, almost surely: to decide it again without asking would be wrong."""
        return order_id in self._seen or self._taken_before(order_id) or order_id in self.older

    def claim(
        self, order_id: str, request_hash: str, selection_id: str, response: bytes
    ) -> tuple[Verdict, Claim]:
        """Takes the order if it is free; otherwise says who has it."""
        held = self.look(order_id)
        if held is None:
            fresh = Claim(request_hash, selection_id, response)
            self._open[order_id] = fresh
            self._keep_response(order_id, response)
            return Verdict.ACCEPTED, fresh
        same = held.request_hash == request_hash
        return (Verdict.DUPLICATE if same else Verdict.CONFLICT), held

    def settle(self, order_id: str, selection_id: str, status: RowStatus | None) -> None:
        """The drainer is done with the claim; from now on it may be evicted."""
        claim = self._open.get(order_id)
        if claim is None or claim.selection_id != selection_id:
            return
        del self._open[order_id]
        # Whoever waits for it holds this object, and reads its response there.
        claim.settled, claim.status, claim.durable = True, status, None
        self._keep(order_id, claim.request_hash, selection_id, status, claim.sequence)

    def release(self, order_id: str, selection_id: str) -> None:
        """Gives back an order that was claimed but is not in the journal."""
        claim = self._open.get(order_id)
        if claim is not None and claim.selection_id == selection_id:
            del self._open[order_id]
            self._responses.pop(order_id, None)

    def restore(self, order_id: str, request_hash: str, selection_id: str, sequence: int) -> None:
        """A decision that stands in the journal and is not known to be in PostgreSQL. Of two for one order the first
        has it; one that PostgreSQL was known to have goes before what the journal says."""
        held = self._open.get(order_id)
        if held is None and order_id not in self._settled:
            self._open[order_id] = Claim(request_hash, selection_id, None, sequence=sequence)
        elif held is not None and held.selection_id == selection_id:
            held.sequence, held.durable = sequence, None

    def remember(
        self, order_id: str, request_hash: str, selection_id: str,
        status: RowStatus | None = RowStatus.RECORDED, sequence: int = 0,
    ) -> None:  # fmt: skip
        """A row of `orders`, or a drained entry of the journal. A claim that is held already stays as it is."""
        if order_id not in self._open and order_id not in self._settled:
            self._keep(order_id, request_hash, selection_id, status, sequence)

    def replace(self, order_id: str, request_hash: str, selection_id: str) -> None:
        """The order turned out to belong to somebody else before anybody was told that it was ours."""
        self._settled.pop(order_id, None)
        self._responses.pop(order_id, None)
        self.remember(order_id, request_hash, selection_id)

    def keep_response(self, order_id: str, response: bytes) -> None:
        """A response that had to be fetched is likely to be asked for again."""
        claim = self._open.get(order_id)
        if claim is not None:
            claim.response = response
        if claim is not None or order_id in self._settled:
            self._keep_response(order_id, response)

    def _keep(
        self, order_id: str, request_hash: str, selection_id: str, status: RowStatus | None, sequence: int
    ) -> None:
        self._settled[order_id] = _packed(request_hash, selection_id, status, sequence)
        while len(self._settled) > self._capacity:
            evicted, _ = self._settled.popitem(last=False)
            self._responses.pop(evicted, None)
            self._seen.add(evicted)

    def _keep_response(self, order_id: str, response: bytes) -> None:
        self._responses[order_id] = response
        self._responses.move_to_end(order_id)
        while len(self._responses) > self._response_capacity:
            oldest, _ = self._responses.popitem(last=False)
            if (claim := self._open.get(oldest)) is not None:
                claim.response = None
