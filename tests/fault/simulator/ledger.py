"""What the simulated gateways were told, and so what the service has to stand by."""

from __future__ import annotations

from dataclasses import dataclass, field

from store.claims import Verdict
from store.submission import Acknowledgement, Submission
from tests.fault.simulator.database import FakeDatabase


@dataclass(slots=True)
class Told:
    """The answer that an order was given, and the class under which it was."""

    selection_id: str
    response: bytes
    safe: bool  # JOURNALED or COMMITTED: it must be there whatever happens
    floor: int  # how many fresh answers had been given before this order was first sent
    is_fresh: bool


@dataclass(slots=True)
class Ledger:
    """Of all lives of a host."""

    told: dict[str, Told] = field(default_factory=dict)  # by order id
    fresh: list[str] = field(default_factory=list)  # selections in the order in which gateways heard of them
    recorded: set[str] = field(default_factory=set)  # ids of other records that are safe
    contested: set[str] = field(default_factory=set)  # orders that another host decided too
    violations: list[str] = field(default_factory=list)
    answers: int = 0
    repeats: int = 0

    def hear(
        self,
        order_id: str,
        submission: Submission,
        acknowledgement: Acknowledgement,
        floor: int,
        database: FakeDatabase,
    ) -> None:
        """An answer arrived."""
        self.answers += 1
        if submission.verdict is Verdict.CONFLICT:
            return  # another request has the order; whoever sent a rival knows that
        assert submission.response is not None
        if acknowledgement is Acknowledgement.COMMITTED and submission.selection_id not in database.selections:
            self.violations.append(f"lost committed: {order_id}: PostgreSQL has no {submission.selection_id}")
        safe = acknowledgement is not Acknowledgement.BUFFERED
        before = self.told.get(order_id)
        if before is None:
            is_fresh = submission.verdict is Verdict.ACCEPTED
            self.told[order_id] = Told(submission.selection_id, submission.response, safe, floor, is_fresh)
            if is_fresh:
                self.fresh.append(submission.selection_id)
            return
        self.repeats += 1
        if (before.selection_id, before.response) != (submission.selection_id, submission.response):
            # What PostgreSQL refuses for its content is set aside and owns no order: a later life may decide it again.
            excused = self.contested | database.poison
            if before.safe and order_id not in excused:
                self.violations.append(
                    f"claims: {order_id}: {before.selection_id} was acknowledged, and then {submission.selection_id}"
                )
            if order_id in self.contested or not before.safe:
                self.told[order_id] = Told(submission.selection_id, submission.response, safe, floor, False)
        elif safe:
            before.safe = True

    def forget_buffered(self) -> None:
        """A crash: what was promised in memory only is nobody's promise any more."""
        self.told = {order_id: told for order_id, told in self.told.items() if told.safe}

    def check_against(self, database: FakeDatabase) -> list[str]:
        """At rest, everything drained: whatever was told is there, as it was told, once, in order."""
        found = [*self.violations, *database.violations]
        for order_id, told in self.told.items():
            row = database.selections.get(told.selection_id)
            if row is None:
                if order_id not in database.aside.values():
                    found.append(f"lost: {order_id}: {told.selection_id} was acknowledged")
            elif row.response != told.response:
                found.append(f"changed: {order_id}: {told.selection_id} is stored with other bytes")
        found += self._out_of_order(database)
        return found

    def _out_of_order(self, database: FakeDatabase) -> list[str]:
        """Whoever was answered before an order was sent stands before it in the chain."""
        highest, before = 0, [0]
        for selection_id in self.fresh:
            highest = max(highest, database.sequences.get(selection_id, 0))
            before.append(highest)
        return [
            f"reordered: {order_id}: {database.sequences[told.selection_id]} does not follow {before[told.floor]}"
            for order_id, told in self.told.items()
            if told.is_fresh
            and told.selection_id in database.sequences
            and database.sequences[told.selection_id] <= before[told.floor]
        ]
