"""One step of an order's life: `apply(life, update)`.

Sequences count from 1 without gaps. A number that was applied is acknowledged again and changes nothing; one that is
ahead waits, unacknowledged, until those before it came. A number that the service gave to an update without one is
still the gateway's: its own update under it counts. What the gateway says happened is never argued with: a fill
counts after a cancel and after the end. What it may not do (amend an order that ended) is refused in words; its number
counts as used, so that nothing behind it waits for ever.

The applied updates, in the order of `Step.accepted`, give the same life again (`replayed`).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec
from msgspec.structs import replace

from engine.order_life.assigned import has_number, with_number, without_number
from engine.order_life.state import Money, OrderLife, OrderState, settled
from engine.order_life.told import told_after
from engine.order_life.updates import (
    MOST_UNITS,
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
    shares_of,
)
from engine.words import exact

# Updates of one order that may wait for a missing one. A gateway has no reason to run so far ahead of a number.
MOST_HELD: Final = 256


class Verdict(Enum):
    """HELD: waits for a missing number. REFUSED: no effect, and `Step.reason` says why."""

    APPLIED = 1
    REPEATED = 2
    HELD = 3
    REFUSED = 4


class NoteKind(Enum):
    """What is worth telling of an update that was applied."""

    OVERFILL = 1
    LATE_FILL = 2
    DUPLICATE_FILL = 3
    OVERCOMMITTED = 4
    OVERCANCELLED = 5
    BELOW_FILLED = 6
    DISAGREES = 7
    NO_EFFECT = 8
    ADOPTED = 9


@dataclass(frozen=True, slots=True)
class Note:
    """`sequence`: of NO_EFFECT, the update's."""

    kind: NoteKind
    text: str
    sequence: int = 0


class Step(msgspec.Struct, frozen=True, gc=False):
    """`accepted`: what changed the life, to be kept before anything is acknowledged; more than one where waiting
    updates followed. `reason`: why the update itself had no effect."""

    life: OrderLife
    verdict: Verdict
    accepted: tuple[Update, ...] = ()
    notes: tuple[Note, ...] = ()
    reason: str = ""


def apply(life: OrderLife, update: Update) -> Step:
    """The life after one update, and what became of it."""
    state = life.state
    if update.epoch and update.epoch < state.epoch:
        text = f"the order was resumed elsewhere: epoch {update.epoch} is older than {state.epoch}"
        return Step(life, Verdict.REFUSED, reason=text)
    if isinstance(update.change, Resume):
        return _resumed(life, update, update.change)
    if update.sequence <= state.sequence:
        if not _is_unused(state, update):
            return _repeated(life, update)
        update = replace(update, after=update.after or state.sequence)
    if update.sequence > state.sequence + 1:
        return _held(life, update)
    life, notes, reason = _changed(life, update)
    verdict = Verdict.REFUSED if reason else Verdict.APPLIED
    first = update if update.epoch == state.epoch else replace(update, epoch=state.epoch)
    if not life.held:
        return Step(life, verdict, (first,), notes, reason)
    life, accepted, more = _released(life)
    return Step(life, verdict, (first, *accepted), (*notes, *more), reason)


def replayed(life: OrderLife, updates: Iterable[Update]) -> OrderLife:
    """The life after updates that were accepted before, in any order that their epochs and numbers allow.

    Two owners may both have taken updates under one number before the older was fenced: what the older took beyond the
    point where the newer went on does not count.
    """
    ordered = sorted(updates, key=_place)
    begins = {u.epoch: u.change.reached for u in reversed(ordered) if isinstance(u.change, Resume)}
    for update in ordered:
        place = max(update.sequence, update.after)
        if all(place <= begin for epoch, begin in begins.items() if epoch > update.epoch):
            life = apply(life, replace(update, epoch=0)).life
    return life


def _place(update: Update) -> tuple[int, int, bool, int, int]:
    """Where an update stands among those of its order."""
    is_late = update.after > 0
    return update.epoch, update.after if is_late else update.sequence, is_late, update.sequence, update.event_ns


def _repeated(life: OrderLife, update: Update) -> Step:
    """A number that was taken before. What cannot have been applied is no repetition, but the work of a session that
    did not know where the order stood: acknowledged, it would be lost."""
    state = life.state
    missing = _never_applied(life, update.change)
    if not missing or update.sequence <= state.adopted_sequence:
        return Step(life, Verdict.REPEATED)
    text = f"number {update.sequence} is another update's, and {missing}: resume the order, and send it after number "
    return Step(life, Verdict.REFUSED, reason=f"{text}{state.sequence}")


def _never_applied(life: OrderLife, change: Change) -> str:
    """What an update would have left behind, had it been applied; empty where that is there, or nothing can tell."""
    state = life.state
    if isinstance(change, Fill):
        return "" if change.execution_id in life.executions else "this fill is not counted"
    if isinstance(change, Terminal):
        return "" if state.ended is not None else "the order has not ended"
    if isinstance(change, Cancel) and change.is_final:
        # A fill that came late takes back of what was cancelled.
        was_cancelled = state.cancelled_units > 0 or state.late_fill_units > 0
        return "" if was_cancelled or state.open_units == 0 else "nothing of the order is cancelled"
    return ""


def _is_unused(state: OrderState, update: Update) -> bool:
    """Whether the service gave that number away, and the gateway comes with its own update under it."""
    return bool(state.assigned) and not update.is_assigned and has_number(state.assigned, update.sequence)


def _held(life: OrderLife, update: Update) -> Step:
    if any(waiting.sequence == update.sequence for waiting in life.held):
        return Step(life, Verdict.HELD)
    if len(life.held) >= MOST_HELD:
        text = f"{MOST_HELD} updates wait for number {life.state.sequence + 1}; send that first"
        return Step(life, Verdict.REFUSED, reason=text)
    held = list(life.held)
    insort(held, update, key=lambda waiting: waiting.sequence)
    return Step(replace(life, held=tuple(held)), Verdict.HELD)


def _released(life: OrderLife) -> tuple[OrderLife, tuple[Update, ...], tuple[Note, ...]]:
    """Applies the waiting updates that are no longer ahead."""
    accepted: list[Update] = []
    notes: list[Note] = []
    while life.held and life.held[0].sequence <= life.state.sequence + 1:
        following, rest = life.held[0], life.held[1:]
        life = replace(life, held=rest)
        if following.sequence == life.state.sequence + 1:
            life, told, reason = _changed(life, following)
            accepted.append(replace(following, epoch=life.state.epoch))
            notes += told
            if reason:
                text = f"update {following.sequence}: {reason}"
                notes.append(Note(NoteKind.NO_EFFECT, text, following.sequence))
    return life, tuple(accepted), tuple(notes)


def _changed(life: OrderLife, update: Update) -> tuple[OrderLife, tuple[Note, ...], str]:
    """The next update in line: (life, notes, why it had no effect)."""
    state = _seen(life.state, update)
    change = update.change
    if isinstance(change, Fill):
        return _filled(replace(life, state=state), change, update.mid_price)
    notes: tuple[Note, ...] = ()
    reason = ""
    if state.ended is not None:
        reason = f"the order has ended ({state.ended.name})"
    elif isinstance(change, Cancel):
        state, notes = _cancelled(state, change)
    elif isinstance(change, Working):
        state, notes = _working(state, change)
    elif isinstance(change, Market):
        state = _market(state, change, update.event_ns)
    elif isinstance(change, Amend):
        state, notes, reason = _amended(state, change)
    elif isinstance(change, Pause):
        state = replace(state, is_paused=True)
    elif isinstance(change, Unpause):
        state = replace(state, is_paused=False)
    elif isinstance(change, Terminal):
        state, notes = _ended(state, change)
    return replace(life, state=state), notes, reason


def _seen(state: OrderState, update: Update) -> OrderState:
    """What every update brings beside its change. The mid at its end is the last that an order has."""
    mid = (update.mid_price if state.ended is None else 0.0) or state.mid_price
    assigned = state.assigned
    if update.is_assigned:
        assigned = with_number(assigned, update.sequence)
    elif assigned:
        assigned = without_number(assigned, update.sequence)
    return replace(
        state, sequence=max(state.sequence, update.sequence), assigned=assigned,
        updated_ns=update.event_ns if update.event_ns > state.updated_ns else state.updated_ns,
        begun_ns=state.begun_ns or update.event_ns, mid_price=mid,
        arrival_mid_price=state.arrival_mid_price or mid, spread_bps=update.spread_bps or state.spread_bps,
    )


def _words(units: int) -> str:
    return exact(shares_of(units))


def _filled(life: OrderLife, fill: Fill, mid_price: float) -> tuple[OrderLife, tuple[Note, ...], str]:
    state = life.state
    if fill.execution_id in life.executions:
        note = Note(NoteKind.DUPLICATE_FILL, f"execution {fill.execution_id} was counted before")
        return life, (note,), ""
    if life.executions.is_full:
        return life, (), f"the order has {life.executions.count} fills, more cannot be told from duplicates"
    if state.filled_units + fill.units > MOST_UNITS:
        return life, (), "more would be filled than can be counted"
    notes = []
    late = max(0, min(fill.units - state.open_units, state.cancelled_units))
    if late or state.ended is not None:
        notes.append(Note(NoteKind.LATE_FILL, f"{_words(late or fill.units)} filled after the cancel or the end"))
    shares, money, sign = shares_of(fill.units), state.money, state.opening.side_sign
    mid = mid_price or state.mid_price or fill.price
    money = replace(
        money, notional=money.notional + fill.price * shares, fees=money.fees + fill.fee,
        over_mid=money.over_mid + sign * (fill.price - mid) * shares,
    )
    was_over = state.overfill_units
    state = replace(
        settled(
            state, parent=state.parent_units, filled=state.filled_units + fill.units,
            working=max(0, state.working_units - fill.units), cancelled=state.cancelled_units,
        ),
        fills=state.fills + 1, late_fill_units=state.late_fill_units + late, money=money,
    )
    if state.overfill_units > was_over:
        notes.append(Note(NoteKind.OVERFILL, f"{_words(state.overfill_units)} filled beyond the order"))
    return OrderLife(state, life.executions.added(fill.execution_id), life.held), tuple(notes), ""


def _cancelled(state: OrderState, change: Cancel) -> tuple[OrderState, tuple[Note, ...]]:
    """From the market first; a final one then from what is unscheduled."""
    there = state.open_units if change.is_final else state.working_units
    taken = min(change.units, there)
    notes: tuple[Note, ...] = ()
    if change.units > there:
        text = f"{_words(change.units)} cancelled, but only {_words(there)} were there"
        notes = (Note(NoteKind.OVERCANCELLED, text),)
    state = settled(
        state, parent=state.parent_units, filled=state.filled_units,
        working=max(0, state.working_units - taken),
        cancelled=state.cancelled_units + (taken if change.is_final else 0),
    )
    return state, notes


def _working(state: OrderState, change: Working) -> tuple[OrderState, tuple[Note, ...]]:
    notes: tuple[Note, ...] = ()
    if change.units > state.open_units:
        text = f"{_words(change.units)} work in the market, {_words(state.open_units)} are left to trade"
        notes = (Note(NoteKind.OVERCOMMITTED, text),)
    state = settled(
        state, parent=state.parent_units, filled=state.filled_units, working=change.units,
        cancelled=state.cancelled_units,
    )
    return state, notes


def _market(state: OrderState, change: Market, event_ns: int) -> OrderState:
    context, money = told_after(state.context, change.context), state.money
    newest = max(money.last_bar_ns, state.opening.decided_ns)
    bars = [bar for bar in change.context.bars if newest < bar.end_ns <= max(event_ns, newest) + 60_000_000_000]
    if bars:
        money = replace(
            money, last_bar_ns=max(bar.end_ns for bar in bars),
            market_notional=money.market_notional + sum(bar.mid_price * bar.volume_shares for bar in bars),
            market_shares=money.market_shares + sum(bar.volume_shares for bar in bars),
        )
    mid, spread_bps = change.context.mid_price, change.context.spread_bps
    mid_told_ns = state.mid_told_ns if mid is None else max(state.mid_told_ns, event_ns)
    mid = mid or state.mid_price
    return replace(
        state, context=context, money=money, mid_price=mid, arrival_mid_price=state.arrival_mid_price or mid,
        spread_bps=state.spread_bps if spread_bps is None else spread_bps,
        quoted_ns=state.quoted_ns if spread_bps is None else max(state.quoted_ns, event_ns), mid_told_ns=mid_told_ns,
    )


def _amended(state: OrderState, change: Amend) -> tuple[OrderState, tuple[Note, ...], str]:
    notes: tuple[Note, ...] = ()
    if change.units is not None:
        if change.units < state.filled_units:
            text = f"amended to {_words(change.units)}, {_words(state.filled_units)} are filled already"
            notes = (Note(NoteKind.BELOW_FILLED, text),)
        state = settled(
            state, parent=change.units, filled=state.filled_units, working=state.working_units,
            cancelled=state.cancelled_units,
        )
    return replace(
        state, constraints=change.constraints or state.constraints, urgency=change.urgency or state.urgency
    ), notes, ""


def _ended(state: OrderState, change: Terminal) -> tuple[OrderState, tuple[Note, ...]]:
    """Nothing works any more, and nothing is left to do: what was not filled is gone."""
    notes: tuple[Note, ...] = ()
    left, end = state.open_units, change.state
    if end is ExecutionState.COMPLETED and state.filled_units == 0:
        end = ExecutionState.CANCELLED
    if left and change.state is ExecutionState.COMPLETED:
        notes = (Note(NoteKind.DISAGREES, f"told complete with {_words(left)} not filled"),)
    state = settled(
        state, parent=state.parent_units, filled=state.filled_units, working=0,
        cancelled=state.cancelled_units + left,
    )
    return replace(state, ended=end, is_paused=False), notes


def _resumed(life: OrderLife, update: Update, view: Resume) -> Step:
    """The gateway is back, here or from another owner. Whoever knows more updates is right about the quantities; at the
    same number the gateway is, and the difference is told."""
    state = life.state
    of_its_own = update.sequence > 0
    if of_its_own and update.sequence <= state.sequence:
        return Step(life, Verdict.REPEATED)
    known = update.sequence - 1 if of_its_own else view.acknowledged_sequence
    if known > state.sequence and 0 < view.epoch < state.epoch:  # 0: it was never told one
        text = f"epoch {view.epoch} is older than {state.epoch}: another gateway has gone on with the order"
        return Step(life, Verdict.REFUSED, reason=text)
    notes: tuple[Note, ...] = ()
    if known >= state.sequence:
        is_ahead, filled = known > state.sequence, state.filled_units
        state, notes = _adopted(state, view, is_ahead)
        if is_ahead or state.filled_units != filled:
            state = replace(state, adopted_sequence=known)
    sequence = max(state.sequence, update.sequence if of_its_own else known)
    epoch = max(state.epoch, view.epoch) + 1
    state = replace(
        _seen(state, replace(update, sequence=0)), sequence=sequence, epoch=epoch,
        arrival_mid_price=view.arrival_mid_price or state.arrival_mid_price or update.mid_price,
    )
    kept = tuple(waiting for waiting in life.held if waiting.sequence > sequence)
    life, accepted, more = _released(OrderLife(state, life.executions, kept))
    record = replace(update, epoch=epoch, change=replace(view, reached=sequence))
    return Step(life, Verdict.APPLIED, (record, *accepted), (*notes, *more))


def _adopted(state: OrderState, view: Resume, is_ahead: bool) -> tuple[OrderState, tuple[Note, ...]]:
    before = (state.filled_units, state.working_units, state.cancelled_units)
    if state.ended is not None:  # after the last word only fills count, whatever a gateway says that forgot it
        left = max(0, state.parent_units - view.filled_units)
        view = replace(view, working_units=0, cancelled_units=left)
    if before == (view.filled_units, view.working_units, view.cancelled_units):
        return state, ()
    filled = shares_of(view.filled_units)
    money: Money = state.money
    if view.filled_units != state.filled_units:
        # What the fills we never saw paid over the mid and in fees is not known: as the average of those we saw.
        scale = view.filled_units / state.filled_units if state.filled_units else 0.0
        money = replace(
            money, notional=view.average_price * filled, over_mid=money.over_mid * scale, fees=money.fees * scale
        )
    state = replace(
        settled(
            state, parent=state.parent_units, filled=view.filled_units, working=view.working_units,
            cancelled=view.cancelled_units,
        ),
        money=money,
    )
    words = f"{_words(before[0])} filled here, {exact(filled)} at the gateway: its figures were taken over"
    return state, (Note(NoteKind.ADOPTED if is_ahead else NoteKind.DISAGREES, words),)
