"""Updates without a number among those of a stream that counts on without knowing of them: none is lost, none counts
twice, and the records give the same life again."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.order_life.assigned import MOST_RANGES, has_number, with_number, without_number
from engine.order_life.machine import Verdict, apply, replayed
from engine.order_life.state import Opening, OrderLife, broken_rules, opened
from engine.order_life.updates import Fill, Resume, Update
from store.order_codec import pack_update, unpack_update

START = opened(Opening("O", "I", 1, 10_000, 50.0, 0))


def fill(name: str) -> Fill:
    return Fill(name, 10, 50.0)


def without_a_number(life: OrderLife, name: str, event_ns: int) -> Update:
    """As the keeper takes it."""
    return Update(life.state.sequence + 1, event_ns, fill(name), is_assigned=True)


# True: an update of the stream; False: one without a number.
@given(kinds=st.lists(st.booleans(), min_size=1, max_size=30), order=st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_every_fill_counts_once(kinds: list[bool], order: Any) -> None:
    life, number = START, 0
    journal: list[Update] = []
    for at, is_streamed in enumerate(kinds):
        if is_streamed:
            number += 1
            update = Update(number, 1_001 - at, fill(f"s{number}"))  # a gateway's clock may be anything
        else:
            update = without_a_number(life, f"o{at}", 1 + at)
        step = apply(life, update)
        assert step.verdict is Verdict.APPLIED
        life = step.life
        journal += step.accepted
        assert apply(life, update).verdict is Verdict.REPEATED
        assert apply(life, update).life == life
    assert life.state.filled_units == 10 * len(kinds)
    assert life.state.fills == len(kinds)
    assert broken_rules(life.state) == []
    order.shuffle(journal)
    assert replayed(START, journal) == life
    assert replayed(START, [unpack_update(pack_update(update, None))[0] for update in journal]) == life


@given(streamed=st.integers(0, 5), once=st.integers(1, 5))
def test_a_stream_that_resumes_sends_its_own_again(streamed: int, once: int) -> None:
    """Its last update was on its way when the stream was cut, and AdaptOnce had taken the number."""
    life = START
    for number in range(1, streamed + 1):
        life = apply(life, Update(number, 1, fill(f"s{number}"))).life
    for at in range(once):
        life = apply(life, without_a_number(life, f"o{at}", 1)).life
    view = Resume(streamed, life.state.epoch, 10 * streamed, 50.0, 0, 0)
    life = apply(life, Update(0, 2, view)).life
    step = apply(life, Update(streamed + 1, 3, fill("cut"), epoch=life.state.epoch))
    assert step.verdict is Verdict.APPLIED
    assert step.life.state.fills == streamed + once + 1
    assert apply(step.life, Update(streamed + 1, 3, fill("cut"))).verdict is Verdict.REPEATED


def test_a_gateway_that_counts_them_itself_goes_on_as_before() -> None:
    life = apply(START, without_a_number(START, "a", 1)).life
    step = apply(life, Update(2, 2, fill("b")))
    assert (step.verdict, step.life.state.sequence) == (Verdict.APPLIED, 2)


@given(numbers=st.sets(st.integers(1, 200), max_size=60), gone=st.sets(st.integers(1, 200)))
def test_ranges_are_a_set_of_the_newest_numbers(numbers: set[int], gone: set[int]) -> None:
    ranges: tuple[tuple[int, int], ...] = ()
    for number in sorted(numbers):
        ranges = with_number(ranges, number)
        assert len(ranges) <= MOST_RANGES
    kept = {number for number in numbers if has_number(ranges, number)}
    assert not kept or kept == {number for number in numbers if number >= min(kept)}
    for number in gone:
        ranges = without_number(ranges, number)
    assert {n for n in range(1, 201) if has_number(ranges, n)} == kept - gone


def test_records_of_before_are_read_and_written_as_before() -> None:
    update = Update(3, 5, fill("x"))
    assert unpack_update(pack_update(update, None))[0] == update
    assert pack_update(replace(update, is_assigned=True), None) != pack_update(update, None)
