"""The order state machine, case by case."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from engine.order_life.executions import MOST_EXECUTIONS, Executions, digest_of
from engine.order_life.machine import MOST_HELD, NoteKind, Step, Verdict, apply, replayed
from engine.order_life.state import Opening, OrderLife, broken_rules, opened
from engine.order_life.updates import (
    UNITS_PER_SHARE,
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
    units_of,
)
from engine.request import Constraints, Context
from engine.values import Bar, Urgency

S = UNITS_PER_SHARE
OPENING = Opening("O-1", "AIG", 1, 1000 * S, 50.0, 1_000)


def after(*changes: Change, life: OrderLife | None = None) -> Step:
    """The last step of changes that come in order."""
    life = life or opened(OPENING)
    step = Step(life, Verdict.REPEATED)
    for change in changes:
        step = apply(life, Update(life.state.sequence + 1, 2_000 + life.state.sequence, change))
        assert broken_rules(step.life.state) == []
        life = step.life
    return step


def fill(name: str, shares: int, price: float = 50.0) -> Fill:
    return Fill(name, shares * S, price)


def parts(step: Step) -> tuple[int, ...]:
    """(filled, working, unscheduled, cancelled, parent, overfill) in shares."""
    s = step.life.state
    found = (
        s.filled_units, s.working_units, s.unscheduled_units, s.cancelled_units, s.parent_units, s.overfill_units,
    )  # fmt: skip
    return tuple(part // S for part in found)


def kinds(step: Step) -> list[NoteKind]:
    return [note.kind for note in step.notes]


def test_a_fill_takes_from_the_market_first() -> None:
    assert parts(after(Working(300 * S), fill("a", 200))) == (200, 100, 700, 0, 1000, 0)
    assert parts(after(Working(300 * S), fill("a", 400))) == (400, 0, 600, 0, 1000, 0)


def test_a_duplicate_execution_counts_once() -> None:
    step = after(fill("a", 200), fill("a", 200))
    assert parts(step) == (200, 0, 800, 0, 1000, 0)
    assert kinds(step) == [NoteKind.DUPLICATE_FILL]
    assert step.life.state.sequence == 2


def test_a_late_fill_takes_back_from_the_cancelled() -> None:
    step = after(Cancel(1000 * S, True), fill("late", 100))
    assert parts(step) == (100, 0, 0, 900, 1000, 0)
    assert kinds(step) == [NoteKind.LATE_FILL]
    step = after(fill("a", 100), Terminal(ExecutionState.CANCELLED), fill("later", 50))
    assert parts(step) == (150, 0, 0, 850, 1000, 0)
    assert step.life.state.execution_state is ExecutionState.CANCELLED
    assert step.life.state.late_fill_units == 50 * S


def test_an_overfill_is_told_and_kept() -> None:
    step = after(fill("a", 900), fill("b", 250))
    assert parts(step) == (1150, 0, 0, 0, 1000, 150)
    assert NoteKind.OVERFILL in kinds(step)
    assert step.life.state.execution_state is ExecutionState.COMPLETED


def test_the_mid_at_its_end_is_the_last_that_an_order_has() -> None:
    life = opened(OPENING)
    changes: list[tuple[int, Change]] = [
        (1, fill("a", 400)), (2, Terminal(ExecutionState.EXPIRED)), (3, Working(0)), (4, fill("late", 1)),
        (0, Resume(4, 1, 401 * S, 50.0, 0, 599 * S)),
    ]  # fmt: skip
    mids = []
    for number, (sequence, change) in enumerate(changes, start=1):
        life = apply(life, Update(sequence, number, change, mid_price=50.0 + number)).life
        mids.append(life.state.mid_price)
    assert mids == [51.0, 52.0, 52.0, 52.0, 52.0]


def test_two_quantities_that_differ_differ_in_words_too() -> None:
    over = after(Amend(units=3_000_000 * S), Working(3_000_001 * S))
    assert [note.text for note in over.notes] == ["3000001 work in the market, 3000000 are left to trade"]


def test_amendments_up_down_and_below_the_filled() -> None:
    down = after(fill("a", 400), Working(300 * S), Amend(units=500 * S))
    assert parts(down) == (400, 100, 0, 0, 500, 0)
    below = after(fill("a", 400), Amend(units=300 * S))
    assert parts(below) == (400, 0, 0, 0, 300, 100)
    assert kinds(below) == [NoteKind.BELOW_FILLED]
    up = after(Amend(units=900 * S), life=below.life)
    assert parts(up) == (400, 0, 500, 0, 900, 0)
    assert up.life.state.execution_state is ExecutionState.WORKING


def test_amended_constraints_and_urgency_stay() -> None:
    limits = Constraints(price_limit=51.0)
    state = after(Amend(constraints=limits), Amend(urgency=Urgency.URGENT)).life.state
    assert state.constraints == limits
    assert state.urgency is Urgency.URGENT


def test_cancels_that_are_not_final_go_back_to_be_placed() -> None:
    assert parts(after(Working(300 * S), Cancel(100 * S, False))) == (0, 200, 800, 0, 1000, 0)
    step = after(Working(300 * S), Cancel(400 * S, False))
    assert parts(step) == (0, 0, 1000, 0, 1000, 0)
    assert kinds(step) == [NoteKind.OVERCANCELLED]


def test_more_working_than_left_is_told() -> None:
    step = after(fill("a", 800), Working(300 * S))
    assert parts(step) == (800, 200, 0, 0, 1000, 0)
    assert kinds(step) == [NoteKind.OVERCOMMITTED]


def test_states_along_a_life() -> None:
    assert opened(OPENING).state.execution_state is ExecutionState.RECOMMENDED
    assert after(Working(0)).life.state.execution_state is ExecutionState.WORKING
    assert after(Pause("lunch")).life.state.execution_state is ExecutionState.PAUSED
    assert after(Pause(), Unpause()).life.state.execution_state is ExecutionState.WORKING
    assert after(Cancel(1000 * S, True)).life.state.execution_state is ExecutionState.CANCELLED
    assert after(Terminal(ExecutionState.EXPIRED)).life.state.execution_state is ExecutionState.EXPIRED
    assert after(Terminal(ExecutionState.COMPLETED)).life.state.execution_state is ExecutionState.CANCELLED


def test_after_the_end_only_fills_count() -> None:
    end = after(Terminal(ExecutionState.CANCELLED)).life
    step = after(Amend(units=2000 * S), life=end)
    assert step.verdict is Verdict.REFUSED
    assert "ended" in step.reason
    assert step.life.state.sequence == 2
    assert parts(step) == (0, 0, 0, 1000, 1000, 0)
    assert len(step.accepted) == 1


def test_a_repeated_number_changes_nothing() -> None:
    life = after(fill("a", 100)).life
    for change in (fill("a", 100), fill("a", 300), Cancel(300 * S, False)):
        step = apply(life, Update(1, 9_000, change))
        assert step.verdict is Verdict.REPEATED
        assert step.life is life
        assert step.accepted == ()


def test_a_fill_that_is_not_counted_is_refused_under_a_number_that_was_taken() -> None:
    """Acknowledged as a repetition it would be lost. What a resume told is made of fills whose ids nobody said."""
    life = after(fill("a", 100), fill("b", 100)).life
    step = apply(life, Update(1, 9_000, fill("other", 300)))
    assert step.verdict is Verdict.REFUSED
    assert "number 1 is another update's" in step.reason
    assert "after number 2" in step.reason
    assert step.life is life
    assert step.accepted == ()
    told = apply(life, Update(0, 9_000, resume(4, 0, filled=450))).life
    assert apply(told, Update(4, 9_500, fill("d", 150))).verdict is Verdict.REPEATED
    further = apply(told, Update(5, 9_600, fill("e", 50))).life
    assert apply(further, Update(5, 9_700, fill("e", 50))).verdict is Verdict.REPEATED
    assert apply(further, Update(5, 9_700, fill("f", 50))).verdict is Verdict.REFUSED


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (Terminal(ExecutionState.CANCELLED), "has not ended"),
        (Cancel(300 * S, True), "nothing of the order is cancelled"),
    ],
)
def test_a_cancel_or_an_end_that_cannot_have_been_applied_is_no_repetition(change: Change, why: str) -> None:
    """Acknowledged, its sender would take an order for over that still trades."""
    life = after(fill("a", 100), fill("b", 100)).life
    step = apply(life, Update(1, 9_000, change))
    assert step.verdict is Verdict.REFUSED
    assert why in step.reason
    assert (step.life, step.accepted) == (life, ())
    told = apply(life, Update(0, 9_000, resume(4, 0, filled=450))).life
    assert apply(told, Update(4, 9_500, change)).verdict is Verdict.REPEATED, "what the resume stands for"
    done = after(change, life=life).life
    assert apply(done, Update(3, 9_000, change)).verdict is Verdict.REPEATED


def test_a_cancel_that_late_fills_took_back_is_still_a_repetition() -> None:
    cancel = Cancel(1000 * S, True)
    life = after(cancel, fill("late", 1000), Amend(units=1500 * S)).life
    assert (life.state.cancelled_units, life.state.open_units) == (0, 500 * S)
    assert apply(life, Update(1, 9_000, cancel)).verdict is Verdict.REPEATED


def test_a_gap_waits_until_it_is_filled() -> None:
    life = opened(OPENING)
    third = apply(life, Update(3, 3, fill("c", 30)))
    second = apply(third.life, Update(2, 2, fill("b", 20)))
    assert (third.verdict, second.verdict) == (Verdict.HELD, Verdict.HELD)
    assert second.life.state == life.state
    first = apply(second.life, Update(1, 1, fill("a", 10)))
    assert [update.sequence for update in first.accepted] == [1, 2, 3]
    assert parts(first) == (60, 0, 940, 0, 1000, 0)
    assert first.life.held == ()


def test_too_many_waiting_updates_are_refused_in_words() -> None:
    life = opened(OPENING)
    for number in range(MOST_HELD):
        life = apply(life, Update(number + 2, 1, Working(0))).life
    step = apply(life, Update(MOST_HELD + 2, 1, Working(0)))
    assert step.verdict is Verdict.REFUSED
    assert "number 1" in step.reason
    assert step.life is life
    assert apply(life, Update(2, 1, Working(0))).verdict is Verdict.HELD
    assert apply(life, Update(1, 1, Working(0))).life.state.sequence == MOST_HELD + 1


def resume(acknowledged: int, epoch: int, filled: int = 0, working: int = 0, cancelled: int = 0) -> Resume:
    return Resume(acknowledged, epoch, filled * S, 50.0, working * S, cancelled * S)


def test_a_resume_that_knows_less_leaves_the_state() -> None:
    life = after(fill("a", 100), fill("b", 100)).life
    step = apply(life, Update(0, 9, resume(1, 1, filled=100)))
    assert parts(step) == (200, 0, 800, 0, 1000, 0)
    assert (step.life.state.sequence, step.life.state.epoch) == (2, 2)


def test_a_resume_that_knows_more_is_taken_over() -> None:
    life = after(fill("a", 100)).life
    waiting = apply(life, Update(8, 8, fill("h", 5))).life
    step = apply(waiting, Update(0, 9, resume(7, 4, filled=400, working=100, cancelled=50)))
    assert parts(step) == (405, 95, 450, 50, 1000, 0)
    assert (step.life.state.sequence, step.life.state.epoch) == (8, 5)
    assert kinds(step) == [NoteKind.ADOPTED]
    assert replayed(after(fill("a", 100)).life, step.accepted) == step.life


def test_after_the_last_word_a_resume_brings_fills_and_nothing_back_to_work() -> None:
    life = after(Working(300 * S), fill("a", 100), Terminal(ExecutionState.CANCELLED)).life
    same = apply(life, Update(0, 9, resume(3, 1, filled=100, working=200)))
    assert parts(same) == (100, 0, 0, 900, 1000, 0)
    assert kinds(same) == []
    more = apply(life, Update(0, 9, resume(4, 1, filled=150, working=150)))
    assert parts(more) == (150, 0, 0, 850, 1000, 0)
    assert more.life.state.execution_state is ExecutionState.CANCELLED


def test_a_resume_with_a_number_of_its_own_stands_for_all_before_it() -> None:
    step = apply(opened(OPENING), Update(6, 9, resume(2, 0, filled=300)))
    assert (step.life.state.sequence, step.life.state.filled_units) == (6, 300 * S)
    assert apply(step.life, Update(6, 9, resume(2, 0, filled=1))).verdict is Verdict.REPEATED


def test_the_older_owner_is_fenced() -> None:
    life = apply(after(fill("a", 100)).life, Update(0, 9, resume(1, 1, filled=100))).life
    late = apply(life, Update(2, 9, fill("b", 100), epoch=1))
    assert late.verdict is Verdict.REFUSED
    assert "epoch 1" in late.reason
    assert apply(life, Update(2, 9, fill("b", 100), epoch=2)).verdict is Verdict.APPLIED
    old = apply(life, Update(0, 9, resume(5, 1, filled=500)))
    assert old.verdict is Verdict.REFUSED
    assert old.life is life


def test_what_a_fenced_owner_took_does_not_count() -> None:
    """Both took number 2; the newer owner went on after 1."""
    first = after(fill("a", 100))
    older = apply(first.life, Update(2, 5, fill("x", 700), epoch=1))
    newer = apply(first.life, Update(0, 6, resume(1, 1, filled=100)))
    own = apply(newer.life, Update(2, 7, fill("b", 50)))
    taken = (*first.accepted, *older.accepted, *newer.accepted, *own.accepted)
    assert replayed(opened(OPENING), taken) == own.life


def test_costs_and_market_are_summed() -> None:
    life = opened(OPENING)
    bars = (Bar(2_000, 50.0, 100.0, 2.0), Bar(3_000, 51.0, 300.0, 2.0))
    life = apply(life, Update(1, 4_000, Market(Context(mid_price=50.5, bars=bars)))).life
    life = apply(life, Update(2, 5_000, Market(Context(bars=bars)))).life  # the same bars count once
    life = apply(life, Update(3, 6_000, Fill("a", 10 * S, 50.6, fee=0.25), mid_price=50.55)).life
    money = life.state.money
    assert money.market_shares == 400.0
    assert money.market_notional == pytest.approx(20_300.0)
    assert money.over_mid == pytest.approx(0.5)
    assert money.fees == 0.25
    assert life.state.arrival_mid_price == 50.5
    assert life.state.average_price == pytest.approx(50.6)


def test_ids_in_many_sets_are_all_found() -> None:
    found = Executions()
    for number in range(5_000):
        found = found.added(f"id-{number}")
    assert all(f"id-{number}" in found for number in range(5_000))
    assert "id-5000" not in found
    assert len(found.runs) <= 14
    assert found.count == 5_000
    assert sum(len(run) for run in found.runs) == 16 * 5_000


def test_an_id_that_two_others_spell_between_them_is_not_among_them() -> None:
    digest = digest_of("a")
    neighbours = bytes(8) + digest[:8] + digest[8:] + bytes(8)
    assert "a" not in Executions((neighbours,), 2)
    assert "a" in Executions((neighbours + digest,), 3)


def test_more_fills_than_can_be_told_apart_are_refused() -> None:
    full = replace(opened(OPENING), executions=Executions((), MOST_EXECUTIONS))
    step = after(fill("a", 1), life=full)
    assert step.verdict is Verdict.REFUSED
    assert "duplicates" in step.reason
    assert parts(step)[0] == 0


@pytest.mark.parametrize(("shares", "units"), [(0.1, 100_000), (1e12, 10**18), (1e-6, 1), (1e-7, None), (1e13, None)])
def test_units(shares: float, units: int | None) -> None:
    assert units_of(shares) == units
