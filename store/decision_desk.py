"""Takes decisions: each order has one, the first that came, and whoever brings another hears of that one.

Between the claim of an order and the journal's taking of its record nothing is awaited, so claims are exact, and the
order of answers is the order of the chain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from engine.records import RecordKind
from store.claims import Claim, Verdict
from store.controls_board import ControlBoard
from store.decisions import Decisions
from store.errors import RecordSetAside, StoreUnavailable
from store.journal_line import JournalLine
from store.selection_reader import SelectionSource
from store.selection_rows import OrderOwner, RowStatus
from store.submission import Acknowledgement, StoredSelection, Submission


class Begun(msgspec.Struct, frozen=True):
    """An answer that holds as soon as `durable` is done; at once where that is None."""

    submission: Submission
    durable: asyncio.Future[Any] | None


class DecisionDesk:
    """Belongs to the keeper's event loop."""

    def __init__(
        self, decisions: Decisions, line: JournalLine, source: SelectionSource, controls: ControlBoard,
        changed: Callable[[str, int], None],
    ) -> None:  # fmt: skip
        """`changed` is told of every order that a decision was taken of, with its place in the journal."""
        self._decisions = decisions
        self._claims = decisions.claims
        self._line = line
        self._source = source
        self._controls = controls
        self._changed = changed

    async def submit(
        self, selection: StoredSelection, payload: bytes, acknowledgement: Acknowledgement,
        controls_number: int | None = None,
    ) -> Submission:  # fmt: skip
        """`KeeperPort.submit`, of a record that was encoded where it was made. `controls_number`: of the halts and
        limits that its maker knew; where others hold by the time that the record can be taken, it is not."""
        known = self._controls.view.number if controls_number is None else controls_number
        begun = self.begin(selection, payload, acknowledgement)
        if begun is not None:
            if begun.durable is not None:
                await asyncio.shield(begun.durable)
            return begun.submission
        order_id = selection.order_id
        if self._claims.must_ask(order_id):
            await self._ask(order_id)
            if known != self._controls.view.number:
                raise StoreUnavailable("halts or limits were changed meanwhile; ask again")
        verdict, claim = self._claim(selection, payload, acknowledgement)
        if acknowledgement is not Acknowledgement.BUFFERED and claim.durable is not None:
            # The future belongs to every waiter: one that gives up must not cancel it for the others.
            await asyncio.shield(claim.durable)
        if verdict is Verdict.CONFLICT:
            return _conflict(claim)
        if acknowledgement is Acknowledgement.COMMITTED:
            return await self._when_committed(order_id, selection.request_hash, verdict, claim)
        response = await self._decisions.response(order_id, claim)
        return Submission(verdict, claim.selection_id, response, None, claim.status)

    def begin(
        self, selection: StoredSelection, payload: bytes, acknowledgement: Acknowledgement
    ) -> Begun | None:
        """As `submit` up to the answer, without waiting for anything: nearly always possible. None (and no record
        taken) where PostgreSQL or the journal must be read first, and for COMMITTED."""
        if acknowledgement is Acknowledgement.COMMITTED or self._claims.must_ask(selection.order_id):
            return None
        verdict, claim = self._claim(selection, payload, acknowledgement)
        durable = None if acknowledgement is Acknowledgement.BUFFERED else claim.durable
        if verdict is Verdict.CONFLICT:
            return Begun(_conflict(claim), durable)
        if claim.response is None:
            return None
        return Begun(Submission(verdict, claim.selection_id, claim.response, None, claim.status), durable)

    def _claim(
        self, selection: StoredSelection, payload: bytes, acknowledgement: Acknowledgement
    ) -> tuple[Verdict, Claim]:
        """The claim and the journal's taking, with nothing awaited between."""
        order_id = selection.order_id
        verdict, claim = self._claims.claim(
            order_id, selection.request_hash, selection.selection_id, selection.response
        )
        if verdict is not Verdict.ACCEPTED:
            if claim.durable is not None and claim.durable.done():
                claim.durable.result()  # the record that has the order did not get to the disk: JournalFailed
            return verdict, claim
        try:
            sequence, durable = self._line.append(
                RecordKind.SELECTION, payload, selection.selection_id,
                acknowledgement is not Acknowledgement.BUFFERED, claim,
            )  # fmt: skip
        except BaseException:
            self._claims.release(order_id, selection.selection_id)
            raise
        claim.sequence, claim.durable = sequence, durable
        self._decisions.taken(sequence, selection)
        self._changed(order_id, sequence)
        return verdict, claim

    async def _ask(self, order_id: str) -> None:
        """PostgreSQL may know the order: its decision is claimed where there is one."""
        was_seen = self._claims.was_seen(order_id)
        owner = await self._decisions.ask_owner(order_id, self._line.drainer.is_failing)
        if owner is None and not was_seen and self._claims.was_seen(order_id):
            # Decided, drained and let go of while the question was on its way: its answer is from before that.
            owner = await self._decisions.ask_owner(order_id, self._line.drainer.is_failing)
        if owner is not None:
            self._claims.remember(order_id, owner.request_hash, owner.selection_id)

    async def _when_committed(
        self, order_id: str, request_hash: str, verdict: Verdict, claim: Claim
    ) -> Submission:
        status, owner = claim.status, None
        if not claim.settled:
            commit = await self._line.drainer.committed(claim.sequence, claim.selection_id)
            status, owner = commit.status, commit.owner
        if owner is None and status is not RowStatus.RECORDED:
            # Another host's, or its answer was lost, or PostgreSQL refused the row: only PostgreSQL can say.
            owner = await self._source.owner_of(order_id)
            if owner is None:
                raise RecordSetAside(f"the decision {claim.selection_id} of this order could not be stored")
            status = RowStatus.RECORDED
        if owner is not None and owner.selection_id != claim.selection_id:
            return await self._lost(order_id, request_hash, owner)
        return Submission(
            verdict, claim.selection_id, await self._decisions.response(order_id, claim), None, status
        )

    async def _lost(self, order_id: str, request_hash: str, owner: OrderOwner) -> Submission:
        """Another host had the order. Who waits for the commit gets what is exact across hosts: its decision."""
        self._claims.replace(order_id, owner.request_hash, owner.selection_id)
        if owner.request_hash != request_hash:
            other = owner.request_hash
            return Submission(Verdict.CONFLICT, owner.selection_id, None, other, RowStatus.RECORDED)
        response = await self._decisions.stored_response(order_id, owner.selection_id)
        return Submission(Verdict.DUPLICATE, owner.selection_id, response, None, RowStatus.RECORDED)


def _conflict(claim: Claim) -> Submission:
    return Submission(Verdict.CONFLICT, claim.selection_id, None, claim.request_hash, claim.status)
