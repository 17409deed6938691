"""The order state machine against an independent naive model: one token a share, moved one by one."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from engine.order_life.machine import Verdict, apply, replayed
from engine.order_life.state import Opening, OrderLife, broken_rules, opened
from engine.order_life.updates import (
    Amend,
    Cancel,
    Change,
    ExecutionState,
    Fill,
    Market,
    Pause,
    Resume,
    Terminal,
    Unpause,
    Update,
    Working,
)
from engine.request import Context

SMALL = st.integers(1, 12)
ENDS = st.sampled_from([ExecutionState.COMPLETED, ExecutionState.CANCELLED, ExecutionState.EXPIRED])
CHANGES = st.one_of(
    st.builds(Fill, st.integers(0, 9).map(str), SMALL, st.floats(1, 100)),
    st.builds(Cancel, SMALL, st.booleans()),
    st.builds(Working, st.integers(0, 20)),
    st.builds(Amend, st.one_of(st.none(), st.integers(1, 30))),
    st.builds(Pause), st.builds(Unpause),
    st.builds(Terminal, ENDS),
    st.builds(Market, st.builds(Context, mid_price=st.floats(1, 100))),
)  # fmt: skip


class Tokens:
    """The naive model: every share is a token in a bucket."""

    def __init__(self, parent: int) -> None:
        self.bucket = Counter(unscheduled=parent)
        self.seen: set[str] = set()
        self.ended = False
        self.paused = False

    def move(self, count: int, sources: tuple[str, ...], target: str | None) -> int:
        moved = 0
        for _ in range(count):
            source = next((name for name in sources if self.bucket[name]), None)
            if source is None:
                break
            self.bucket[source] -= 1
            if target is not None:
                self.bucket[target] += 1
            moved += 1
        return moved

    def take(self, change: Change) -> None:
        if isinstance(change, Fill):
            if change.execution_id not in self.seen:
                self.seen.add(change.execution_id)
                moved = self.move(change.units, ("working", "unscheduled", "cancelled"), "filled")
                self.bucket["over"] += change.units - moved
        elif self.ended:
            return
        elif isinstance(change, Cancel):
            sources = ("working", "unscheduled") if change.is_final else ("working",)
            self.move(change.units, sources, "cancelled" if change.is_final else "unscheduled")
        elif isinstance(change, Working):
            self.move(self.bucket["working"], ("working",), "unscheduled")
            self.move(change.units, ("unscheduled",), "working")
        elif isinstance(change, Amend) and change.units is not None:
            self._amend(change.units)
        elif isinstance(change, Pause | Unpause):
            self.paused = isinstance(change, Pause)
        elif isinstance(change, Terminal):
            self.move(10_000, ("working", "unscheduled"), "cancelled")
            self.ended = True

    def _amend(self, parent: int) -> None:
        before = sum(self.bucket[name] for name in ("unscheduled", "working", "cancelled", "filled"))
        for _ in range(before - parent):
            if not self.move(1, ("unscheduled", "working", "cancelled"), None):
                self.move(1, ("filled",), "over")
        for _ in range(parent - before):
            if not self.move(1, ("over",), "filled"):
                self.bucket["unscheduled"] += 1

    def adopt(self, filled: int, working: int, cancelled: int) -> None:
        """The gateway's figures, as far as the order has room: what is filled first. After the end nothing works."""
        parent = sum(self.bucket[name] for name in ("unscheduled", "working", "cancelled", "filled"))
        self.bucket = Counter(unscheduled=parent, over=max(0, filled - parent))
        self.move(filled, ("unscheduled",), "filled")
        self.move(cancelled, ("unscheduled",), "cancelled")
        self.move(working, ("unscheduled",), "working")
        if self.ended:
            self.move(10_000, ("working", "unscheduled"), "cancelled")

    def parts(self) -> tuple[int, ...]:
        b = self.bucket
        return (b["filled"] + b["over"], b["working"], b["unscheduled"], b["cancelled"], b["over"])


def parts_of(life: OrderLife) -> tuple[int, ...]:
    s = life.state
    return (s.filled_units, s.working_units, s.unscheduled_units, s.cancelled_units, s.overfill_units)


class OrderMachine(RuleBasedStateMachine):
    """A gateway that sends ahead, again and late, over a service that restarts."""

    @initialize(parent=st.integers(1, 25))
    def begin(self, parent: int) -> None:
        self.opening = Opening("O", "I", 1, parent, 50.0, 0)
        self.life = opened(self.opening)
        self.model = Tokens(parent)
        self.sent: list[Change] = []  # by number, from 1
        self.journal: list[Update] = []
        self.modelled = 0

    def give(self, update: Update) -> Verdict:
        step = apply(self.life, update)
        self.life = step.life
        self.journal += step.accepted
        while self.modelled < self.life.state.sequence:
            self.model.take(self.sent[self.modelled])
            self.modelled += 1
        return step.verdict

    def update(self, number: int) -> Update:
        return Update(number, number, self.sent[number - 1])

    @rule(change=CHANGES)
    def next_in_line(self, change: Change) -> None:
        self.sent.append(change)
        ahead = len(self.sent) > self.life.state.sequence + 1
        verdict = self.give(self.update(len(self.sent)))
        assert (verdict is Verdict.HELD) == ahead

    @rule(changes=st.lists(CHANGES, min_size=2, max_size=4), order=st.randoms(use_true_random=False))
    def out_of_order(self, changes: list[Change], order: Any) -> None:
        first = len(self.sent) + 1
        self.sent += changes
        numbers = list(range(first, len(self.sent) + 1))
        order.shuffle(numbers)
        for number in numbers:
            self.give(self.update(number))

    @rule(change=CHANGES)
    def lost(self, change: Change) -> None:
        """It never arrives by itself; the gateway sends it again some time."""
        self.sent.append(change)

    @precondition(lambda self: self.life.state.sequence > 0)
    @rule(data=st.data())
    def repeated(self, data: st.DataObject) -> None:
        before = self.life
        number = data.draw(st.integers(1, before.state.sequence))
        assert self.give(self.update(number)) is Verdict.REPEATED
        assert self.life is before

    @rule()
    def send_again_from_the_acknowledged(self) -> None:
        for number in range(self.life.state.sequence + 1, len(self.sent) + 1):
            self.give(self.update(number))
        assert self.life.state.sequence == len(self.sent)
        assert self.life.held == ()

    @rule()
    def restart(self) -> None:
        """What waited was never acknowledged, and is gone; everything else is as it was."""
        again = replayed(opened(self.opening), self.journal)
        assert again == replace(self.life, held=())
        self.life = again

    @rule(behind=st.integers(0, 3))
    def reconnect(self, behind: int) -> None:
        """The gateway's view is the model's as of its number; only where it is not behind may it matter."""
        state = self.life.state
        acknowledged = max(0, state.sequence - behind)
        filled, working, _, cancelled, _ = self.model.parts()
        view = Resume(acknowledged, state.epoch, filled, state.average_price, working, cancelled)
        assert self.give(Update(0, state.updated_ns, view)) is Verdict.APPLIED
        assert self.life.state.epoch == state.epoch + 1
        zombie = Update(self.life.state.sequence + 1, 0, Fill("zombie", 1, 1.0), epoch=state.epoch)
        assert self.give(zombie) is Verdict.REFUSED

    @rule(ahead=st.integers(1, 4), filled=st.integers(0, 20), working=st.integers(0, 20), cancelled=st.integers(0, 20))
    def reconnect_ahead(self, ahead: int, filled: int, working: int, cancelled: int) -> None:
        """Updates went to a host that is gone, and only the gateway knows of them: its figures count, whatever they
        are, and what waited behind them follows."""
        state = self.life.state
        known = state.sequence + ahead
        self.sent += [Pause()] * max(0, known - len(self.sent))  # numbers that never come here
        self.model.adopt(filled, working, cancelled)
        self.modelled = known
        view = Resume(known, state.epoch, filled, 50.0 if filled else 0.0, working, cancelled)
        assert self.give(Update(0, known, view)) is Verdict.APPLIED
        assert self.life.state.epoch == state.epoch + 1
        behind = Update(0, known, replace(view, epoch=state.epoch, acknowledged_sequence=known + 50))
        assert self.give(behind) is Verdict.REFUSED

    @rule(filled=st.integers(0, 20), working=st.integers(0, 20), cancelled=st.integers(0, 20))
    def reconnect_and_disagree(self, filled: int, working: int, cancelled: int) -> None:
        """At the same number the gateway is right."""
        state = self.life.state
        self.model.adopt(filled, working, cancelled)
        view = Resume(state.sequence, state.epoch, filled, 50.0 if filled else 0.0, working, cancelled)
        assert self.give(Update(0, state.updated_ns, view)) is Verdict.APPLIED

    @invariant()
    def every_share_is_somewhere(self) -> None:
        assert broken_rules(self.life.state) == []
        assert parts_of(self.life) == self.model.parts()
        assert self.life.state.is_paused == (self.model.paused and not self.model.ended)


TestOrderMachine = OrderMachine.TestCase
TestOrderMachine.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


@given(changes=st.lists(CHANGES, min_size=1, max_size=12), order=st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_any_arrival_order_gives_the_same_life(changes: list[Change], order: Any) -> None:
    updates = [Update(number, number, change) for number, change in enumerate(changes, start=1)]
    straight = opened(Opening("O", "I", -1, 20, 50.0, 0))
    for update in updates:
        straight = apply(straight, update).life
    shuffled = updates * 2
    order.shuffle(shuffled)
    life = opened(Opening("O", "I", -1, 20, 50.0, 0))
    for update in shuffled:
        life = apply(life, update).life
    assert life == straight


@given(
    before=st.lists(CHANGES, max_size=5), older=st.lists(CHANGES, max_size=4), newer=st.lists(CHANGES, max_size=4),
    view=st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20)), order=st.randoms(use_true_random=False),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_a_new_owner_goes_on_and_the_old_one_is_fenced(before: list[Change], older: list[Change], newer: list[Change],
                                                       view: tuple[int, int, int], order: Any) -> None:
    """Two hosts share the first updates; the second goes on after a resume, the first takes some more."""
    start = opened(Opening("O", "I", 1, 20, 50.0, 0))
    journal: list[Update] = []

    def run(life: OrderLife, updates: list[Update]) -> OrderLife:
        for update in updates:
            step = apply(life, update)
            journal.extend(step.accepted)
            life = step.life
        return life

    shared = run(start, [Update(n, n, change) for n, change in enumerate(before, start=1)])
    count = len(before)
    run(shared, [Update(count + n, n, change) for n, change in enumerate(older, start=1)])
    resume = Update(0, 99, Resume(count, 1, view[0], 50.0, view[1], view[2]))
    taken = run(shared, [resume, *(Update(count + n, n, change) for n, change in enumerate(newer, start=1))])
    assert broken_rules(taken.state) == []
    order.shuffle(journal)
    assert replayed(start, journal) == taken
