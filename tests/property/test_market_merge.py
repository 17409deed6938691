"""How new figures change what is held of a market.

1. Never older: `as_of_ns` does not go back, and an update that is older changes nothing.
2. None leaves a figure; a figure replaces it.
3. Bars are ascending, one an end, at most 390, the newest of all that were told; the later told wins.
4. Sending an update twice is as good as once.
5. Bars in pieces or in one give the same.
6. A figure that is not finite changes nothing.
7. A figure is as old as the update that told it, whatever others told since.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from engine.records import MarketUpdate
from engine.values import Bar, MarketFigure, MarketState
from store.market import MAX_BARS, MarketVerdict, merge
from store.market_rows import bars_json, figures_json, state_from

FIGURES = (
    "mid_price",
    "spread_bps",
    "daily_volatility_fraction",
    "average_daily_volume_shares",
    "short_term_alpha_bps_per_day",
)

figures = st.one_of(st.none(), st.floats(-1e9, 1e9))
bars = st.builds(
    Bar,
    end_ns=st.integers(0, 600),
    mid_price=st.floats(1, 1e6),
    volume_shares=st.floats(0, 1e9),
    spread_bps=st.floats(0, 1e3),
)
updates = st.builds(
    MarketUpdate,
    instrument_id=st.just("X"),
    as_of_ns=st.integers(0, 50),
    **dict.fromkeys(FIGURES, figures),
    bars=st.lists(bars, max_size=30).map(tuple),
)
# Long runs of bars, so that the bound is reached.
runs = st.builds(
    lambda start, count, price: tuple(Bar(start + i, price, 1.0, 1.0) for i in range(count)),
    st.integers(0, 400),
    st.integers(0, 450),
    st.floats(1, 100),
)


def apply(all_updates: list[MarketUpdate]) -> MarketState:
    state = MarketState(as_of_ns=0)
    for update in all_updates:
        state, _ = merge(state, update)
    return state


@given(st.lists(updates), updates)
def test_time_never_goes_back_and_the_old_changes_nothing(
    past: list[MarketUpdate], update: MarketUpdate
) -> None:
    held = apply(past)
    state, verdict = merge(held, update)
    assert state.as_of_ns == max(held.as_of_ns, update.as_of_ns)
    assert (verdict is MarketVerdict.STALE) == (update.as_of_ns < held.as_of_ns)
    if verdict is MarketVerdict.STALE:
        assert state is held


@given(st.lists(updates), updates)
def test_none_leaves_and_a_figure_replaces(past: list[MarketUpdate], update: MarketUpdate) -> None:
    held = apply(past)
    assume(update.as_of_ns >= held.as_of_ns)
    state, _ = merge(held, update)
    for name in FIGURES:
        told = getattr(update, name)
        assert getattr(state, name) == (getattr(held, name) if told is None else told)


@given(st.lists(updates))
def test_a_figure_is_as_old_as_the_update_that_told_it(told: list[MarketUpdate]) -> None:
    state, expected, newest_ns = MarketState(as_of_ns=0), dict.fromkeys(FIGURES, 0), 0
    for update in told:
        state, verdict = merge(state, update)
        if verdict is MarketVerdict.STALE:
            continue
        newest_ns = update.as_of_ns
        for name in FIGURES:
            if getattr(update, name) is not None:
                expected[name] = update.as_of_ns
    for name, figure in zip(FIGURES, MarketFigure, strict=True):
        if getattr(state, name) is not None:
            assert state.taken_ns(figure) == expected[name]
    assert state.as_of_ns == newest_ns
    assert len(state.figure_times_ns) in (0, len(MarketFigure))
    # One form only, and it is kept as it is.
    assert state_from(json.loads(figures_json(state)), json.loads(bars_json(state))) == state


@given(st.lists(runs, max_size=4), runs)
def test_bars_are_ordered_unique_bounded_and_the_newest(
    past: list[tuple[Bar, ...]], new: tuple[Bar, ...]
) -> None:
    told = [*past, new]
    state = apply([MarketUpdate("X", 1, bars=run) for run in told])
    ends = [bar.end_ns for bar in state.bars]
    expected = {bar.end_ns: bar for run in told for bar in run}
    assert ends == sorted(expected)[-MAX_BARS:] or len(expected) > MAX_BARS
    assert ends == sorted(set(ends))
    assert len(ends) <= MAX_BARS
    if expected:
        assert ends[-1] == max(expected)
    for bar in new:
        if bar.end_ns in ends:
            assert bar in state.bars


@given(st.lists(updates), updates)
def test_twice_is_as_good_as_once(past: list[MarketUpdate], update: MarketUpdate) -> None:
    once = apply([*past, update])
    assert apply([*past, update, update]) == once


@given(st.lists(bars, max_size=40), st.integers(0, 40))
def test_bars_in_pieces_or_in_one(told: list[Bar], cut: int) -> None:
    whole = apply([MarketUpdate("X", 5, bars=tuple(told))])
    parts = apply(
        [MarketUpdate("X", 5, bars=tuple(told[:cut])), MarketUpdate("X", 5, bars=tuple(told[cut:]))]
    )
    assert parts == whole


@given(
    updates,
    st.sampled_from([*FIGURES, "bars"]),
    st.sampled_from([math.nan, math.inf, -math.inf]),
)
def test_what_is_not_finite_changes_nothing(update: MarketUpdate, name: str, bad: float) -> None:
    held = MarketState(as_of_ns=0, mid_price=1.0)
    value = (Bar(1, 1.0, bad, 1.0),) if name == "bars" else bad
    changed: dict[str, Any] = {name: value}
    state, verdict = merge(held, dataclasses.replace(update, **changed))
    assert verdict is MarketVerdict.INVALID
    assert state is held


def test_the_bound_holds_over_a_day_of_minutes() -> None:
    state = MarketState(as_of_ns=0)
    for minute in range(1000):
        state, _ = merge(state, MarketUpdate("X", minute, bars=(Bar(minute, 1.0, 1.0, 1.0),)))
    assert [bar.end_ns for bar in state.bars] == list(range(610, 1000))
