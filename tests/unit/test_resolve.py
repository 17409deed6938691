"""From request and snapshot to numbers: what is missing, what is stale, what was said, and the edges of every input.

Warnings are errors here: no input that is allowed may make numpy complain.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.assumptions import CONDITION_DYNAMICS
from engine.decide import decide
from engine.decision import Decision, Refusal, RefusalKind, SlicePhase
from engine.resolve import resolve, turnover_factor, window_share
from engine.snapshot import InstrumentView, Limits, prepare_view
from engine.values import Bar, MarketCondition, Objective, Side, Urgency
from tests.helpers import world
from tests.helpers.decision_checks import assert_sound

FIGURES = ("mid_price", "spread_bps", "daily_volatility_fraction", "average_daily_volume_shares")
NAMES = ("mid_price", "spread_bps", "daily_volatility", "average_daily_volume")


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # numpy's
        yield


def view_with(**market: object) -> dict[str, InstrumentView]:
    view = world.views()[world.US]
    return {world.US: replace(view, market=replace(view.market, **market))}  # type: ignore[arg-type]


def sound(**fields: object) -> Decision:
    """The decision on an order, checked."""
    request = world.order(**fields)  # type: ignore[arg-type]
    answer = decide(request, world.usual())
    assert isinstance(answer, Decision), answer
    assert_sound(answer, request, world.usual())
    return answer


def refused(**fields: object) -> Refusal:
    answer = decide(world.order(**fields), world.usual())  # type: ignore[arg-type]
    assert isinstance(answer, Refusal), answer
    assert answer.kind is RefusalKind.PRECONDITION
    return answer


# What is missing.


def test_every_unknown_figure_is_named() -> None:
    unknown = world.snapshot(changed=view_with(**dict.fromkeys(FIGURES)))
    answer = decide(world.order(), unknown)
    assert isinstance(answer, Refusal)
    assert answer.kind is RefusalKind.PRECONDITION
    assert [fault.field for fault in answer.faults] == [f"market_context.{name}" for name in NAMES]


@pytest.mark.parametrize(("figure", "name"), list(zip(FIGURES, NAMES, strict=True)))
@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -1.0])
def test_a_figure_that_is_none_is_named(figure: str, name: str, bad: float | None) -> None:
    """The snapshot fails closed on NaN, infinities and nonsense, and a figure in the request mends it."""
    broken = world.snapshot(changed=view_with(**{figure: bad}))
    answer = decide(world.order(), broken)
    assert isinstance(answer, Refusal)
    assert [fault.field for fault in answer.faults] == [f"market_context.{name}"]
    said = getattr(world.views()[world.US].market, figure)
    assert isinstance(decide(world.order(**{figure: said}), broken), Decision)


@pytest.mark.parametrize("figure", ["mid_price", "daily_volatility_fraction", "average_daily_volume_shares"])
def test_zero_is_no_figure_but_for_a_spread(figure: str) -> None:
    assert isinstance(decide(world.order(), world.snapshot(changed=view_with(**{figure: 0.0}))), Refusal)
    assert isinstance(decide(world.order(), world.snapshot(changed=view_with(spread_bps=0.0))), Decision)


def test_alpha_must_be_finite() -> None:
    broken = world.snapshot(changed=view_with(short_term_alpha_bps_per_day=math.nan))
    answer = decide(world.order(), broken)
    assert isinstance(answer, Refusal)
    assert [fault.field for fault in answer.faults] == ["market_context.short_term_alpha_bps_per_day"]


def test_all_that_is_missing_is_named_at_once() -> None:
    beyond = world.at(world.US, 0, 90)
    request = world.order(allowed_venues=frozenset({"XXXX"}), dark_pool_preference=True, start_ns=beyond)
    answer = decide(request, world.snapshot(changed=view_with(mid_price=None)))
    assert isinstance(answer, Refusal)
    assert [fault.field for fault in answer.faults] == [
        "market_context.mid_price", "constraints.venue_restrictions", "constraints.dark_pool_preference",
        "effective_time",
    ]


def test_unknown_instruments_and_broken_lots_are_invalid() -> None:
    unknown = decide(replace(world.order(), instrument_id="NOPE"), world.usual())
    assert isinstance(unknown, Refusal)
    assert (unknown.kind, unknown.faults[0].field) == (RefusalKind.INVALID, "instrument_id")
    lot = world.views()[world.CHINA].instrument.lot_size_shares
    broken = decide(world.order(world.CHINA, quantity_shares=lot * 1.5), world.usual())
    assert isinstance(broken, Refusal)
    assert (broken.kind, broken.faults[0].field) == (RefusalKind.INVALID, "quantity")


# Where figures come from.


def test_the_request_goes_before_the_snapshot() -> None:
    inputs = sound(mid_price=250.0, spread_bps=3.0).inputs
    assert (inputs.mid_price, inputs.spread_bps) == (250.0, 3.0)
    assert inputs.from_snapshot == ("daily_volatility", "average_daily_volume")


@pytest.mark.parametrize("condition", list(CONDITION_DYNAMICS))
def test_long_run_figures_are_scaled_by_the_condition(condition: MarketCondition) -> None:
    market, dynamics = world.views()[world.US].market, CONDITION_DYNAMICS[condition]
    inputs = world.resolved(world.order(condition=condition)).inputs
    assert inputs.daily_volatility_fraction == pytest.approx(
        (market.daily_volatility_fraction or 0.0) * dynamics.volatility_multiplier
    )
    assert inputs.average_daily_volume_shares == pytest.approx(
        (market.average_daily_volume_shares or 0.0) * dynamics.volume_multiplier
    )
    said = world.resolved(world.order(condition=condition, daily_volatility_fraction=0.02)).inputs
    assert said.daily_volatility_fraction == 0.02


def test_stale_data_are_told_and_a_fresh_quote_is_of_this_moment() -> None:
    request = world.order(condition=MarketCondition.LOW_LIQUIDITY)
    old, new = request.start_ns - 3 * world.DAY_NS, request.start_ns - world.MINUTE_NS
    stale = decide(request, world.snapshot(changed=view_with(as_of_ns=old, spread_bps=4.0)))
    fresh = decide(request, world.snapshot(changed=view_with(as_of_ns=new, spread_bps=4.0)))
    assert isinstance(stale, Decision)
    assert isinstance(fresh, Decision)
    assert any("3 days old" in warning for warning in stale.warnings)
    assert not any("days old" in warning for warning in fresh.warnings)
    assert fresh.inputs.spread_bps == 4.0
    assert stale.inputs.spread_bps == pytest.approx(
        4.0 * CONDITION_DYNAMICS[MarketCondition.LOW_LIQUIDITY].spread_multiplier
    )


@pytest.mark.parametrize(
    ("age_minutes", "said", "told"),
    [
        (14.0, (), ""),
        (16.0, (), "the snapshot's mid_price, spread_bps are 16 minutes old"),
        (16.0, ("mid_price",), "the snapshot's spread_bps is 16 minutes old"),
        (16.0, ("mid_price", "spread_bps"), ""),
        (300.0, ("spread_bps",), "the snapshot's mid_price is 5 hours old"),
        (4320.0, ("mid_price",), "the snapshot's spread_bps, daily_volatility, average_daily_volume are 3 days old"),
        (4320.0, ("mid_price", "spread_bps"), "the snapshot's daily_volatility, average_daily_volume are 3 days old"),
        (4320.0, FIGURES, ""),
    ],
)
def test_every_old_figure_of_the_snapshot_that_is_used_is_named(age_minutes: float, said: tuple[str, ...],
                                                                told: str) -> None:
    usual = world.views()[world.US].market
    own: dict[str, Any] = {name: getattr(usual, name) for name in said}
    request = world.order(**own)
    as_of = request.start_ns - round(age_minutes * world.MINUTE_NS)
    found = world.resolved(request, world.snapshot(changed=view_with(as_of_ns=as_of)))
    assert [text for text in found.warnings if "old" in text] == ([told] if told else [])


def test_a_figure_is_as_old_as_it_is_beside_newer_ones() -> None:
    """A source that tells mids alone leaves the rest as old as it was: told, and its spread no quote of this moment."""
    condition = MarketCondition.LOW_LIQUIDITY
    request = world.order(condition=condition)
    now, old = request.start_ns - world.MINUTE_NS, request.start_ns - 3 * world.DAY_NS
    later = old + world.DAY_NS
    given = view_with(as_of_ns=now, spread_bps=4.0, figure_times_ns=(now, old, old, later, now))
    found = world.resolved(request, world.snapshot(changed=given))
    assert [text for text in found.warnings if "old" in text] == [
        "the snapshot's spread_bps, daily_volatility are 3 days old",
        "the snapshot's average_daily_volume is 2 days old",
    ]
    multiplier = CONDITION_DYNAMICS[condition].spread_multiplier
    assert found.inputs.spread_bps == pytest.approx(4.0 * multiplier)
    quoted = view_with(as_of_ns=now, spread_bps=4.0, figure_times_ns=(old, now, now, now, now))
    fresh = world.resolved(request, world.snapshot(changed=quoted))
    assert [text for text in fresh.warnings if "old" in text] == ["the snapshot's mid_price is 3 days old"]
    assert fresh.inputs.spread_bps == 4.0


def test_an_old_alpha_is_named_too() -> None:
    request = world.order()
    as_of = request.start_ns - 16 * world.MINUTE_NS
    given = world.snapshot(changed=view_with(as_of_ns=as_of, short_term_alpha_bps_per_day=30.0))
    (told,) = (text for text in world.resolved(request, given).warnings if "old" in text)
    assert told == "the snapshot's mid_price, spread_bps, short_term_alpha_bps_per_day are 16 minutes old"
    own = world.order(short_term_alpha_bps_per_day=0.0)
    assert not any("alpha" in text for text in world.resolved(own, given).warnings)


@pytest.mark.parametrize("known", [30.0, 0.0])
def test_a_snapshot_s_alpha_is_listed_where_it_is_used(known: float) -> None:
    figures: dict[str, Any] = {name: getattr(world.views()[world.US].market, name) for name in FIGURES}
    given = world.snapshot(changed=view_with(short_term_alpha_bps_per_day=known))
    own: tuple[dict[str, Any], ...] = ({}, {"short_term_alpha_bps_per_day": 5.0})
    used, said = (world.resolved(world.order(**figures, **each), given).inputs for each in own)
    assert (used.from_snapshot, used.short_term_alpha_bps_per_day) == (("short_term_alpha_bps_per_day",), known)
    assert used.snapshot_as_of_ns == world.views()[world.US].market.as_of_ns
    assert (said.from_snapshot, said.snapshot_as_of_ns) == ((), 0)


def test_old_bars_say_nothing_about_the_condition() -> None:
    request = world.order(condition=MarketCondition.UNSPECIFIED)
    answer = decide(request, world.usual())
    assert isinstance(answer, Decision)
    assert answer.assessment.condition is MarketCondition.NORMAL
    assert answer.assessment.detected


def test_bars_of_the_request_are_classified() -> None:
    start = world.at(world.US, 60.0)
    rng = np.random.default_rng(1)
    mids = 240.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, 60)))
    bars = tuple(
        Bar(start - (59 - n) * world.MINUTE_NS, float(mids[n]), 200_000.0, 3.0) for n in range(60)
    )
    request = world.order(condition=MarketCondition.UNSPECIFIED, bars=bars)
    answer = decide(request, world.usual())
    assert isinstance(answer, Decision)
    assert_sound(answer, request, world.usual())
    assert answer.assessment.evidence != "no recent bars"


def minute_bars(until_ns: int, count: int) -> tuple[Bar, ...]:
    """Wild ones, the last of which ends at `until_ns`."""
    mids = 240.0 * np.exp(np.cumsum(np.random.default_rng(2).normal(0.0, 0.004, count)))
    return tuple(
        Bar(until_ns - (count - 1 - n) * world.MINUTE_NS, float(mids[n]), 200_000.0, 3.0) for n in range(count)
    )


@pytest.mark.parametrize("said", [MarketCondition.UNSPECIFIED, MarketCondition.TRENDING])
def test_too_few_bars_say_no_condition(said: MarketCondition) -> None:
    """The contract's `data_condition` is what the data say where there are enough; fewer contradict nobody."""
    start = world.at(world.US, 60.0)
    few, enough = (
        world.resolved(world.order(condition=said, bars=minute_bars(start, count))) for count in (3, 60)
    )
    assert few.assessment.data_condition is MarketCondition.UNSPECIFIED
    assert "only 3 usable minutes" in few.assessment.evidence
    assert not [text for text in few.warnings if "the data say" in text]
    assert enough.assessment.data_condition not in (MarketCondition.UNSPECIFIED, said)
    contradicted = [text for text in enough.warnings if "the data say" in text]
    assert bool(contradicted) == (said is not MarketCondition.UNSPECIFIED)


def test_bars_of_another_time_are_left_out_and_said() -> None:
    """What ends after the start tells of nothing that is known then; a bar may end a minute late, not more."""
    start = world.at(world.US, 120.0)
    day = minute_bars(start + 30 * world.MINUTE_NS, 150)
    known = tuple(bar for bar in day if bar.end_ns <= start + world.MINUTE_NS)
    assert len(known) == 121
    given: dict[str, Any] = {"condition": MarketCondition.UNSPECIFIED, "minutes": 120.0}
    found, wanted = (world.resolved(world.order(bars=bars, **given)) for bars in (day, known))
    assert found.assessment == wanted.assessment
    assert found.weights.tolist() == wanted.weights.tolist()
    assert [text for text in found.warnings if text not in wanted.warnings] == [
        "29 of 150 recent_bars were left out: they end after the start"
    ]


@pytest.mark.parametrize("ends_minutes", [60.0, -45.0])  # before the hour, and of the future
def test_bars_that_all_are_of_another_time_are_none(ends_minutes: float) -> None:
    start = world.at(world.US, 120.0)
    bars = minute_bars(start - round(ends_minutes * world.MINUTE_NS), 40)
    given: dict[str, Any] = {"condition": MarketCondition.UNSPECIFIED, "minutes": 120.0}
    found, without = (world.resolved(world.order(bars=some, **given)) for some in (bars, ()))
    assert found.assessment == without.assessment
    assert [text for text in found.warnings if text not in without.warnings] == [
        "recent_bars were left out: none ends within the hour before the start"
    ]
    # The snapshot's own, which are of now, are read then.
    view = world.views()[world.US]
    market = replace(view.market, bars=minute_bars(start, 40))
    fresh = prepare_view(view.instrument, market, view.sessions, 570.0)
    given_fresh = world.snapshot(changed={world.US: fresh})
    assert world.resolved(world.order(bars=bars, **given), given_fresh).assessment == (
        world.resolved(world.order(**given), given_fresh).assessment
    )
    assert world.resolved(world.order(bars=bars, **given), given_fresh).assessment.evidence != "no recent bars"


@pytest.mark.parametrize("news", [0.0, 0.3, 1.0])
def test_news_moves_the_mixture(news: float) -> None:
    found = world.resolved(world.order(condition=MarketCondition.UNSPECIFIED, news_impact_score=news))
    assert found.weights.sum() == pytest.approx(1.0)
    assert found.weights[-1] == pytest.approx(news)


def test_regime_and_liquidity_score() -> None:
    plain = world.resolved(world.order()).inputs
    extreme = world.resolved(world.order(volatility_regime="extreme")).inputs
    assert extreme.daily_volatility_fraction == pytest.approx(2.5 * plain.daily_volatility_fraction)
    for score, factor in ((0.0, 0.5), (0.5, 1.0), (1.0, 2.0)):
        inputs = world.resolved(world.order(liquidity_score=score)).inputs
        assert inputs.average_daily_volume_shares == pytest.approx(factor * plain.average_daily_volume_shares)


# Time.


@pytest.mark.parametrize(
    ("said", "minute"),
    [("OPEN", 0.0), ("MIDDAY", 175.5), ("CLOSE", 358.8), ("09:30", 0.0), ("12:00", 150.0), ("12:00:45", 150.75),
     ("16:00", 385.0), ("", 0.0)],
)
def test_time_of_day_picks_the_start_while_the_market_is_closed(said: str, minute: float) -> None:
    request = world.order(minutes=-300.0, time_of_day=said)
    found = world.resolved(request)
    assert found.point.minute == pytest.approx(minute)
    assert any("closed" in warning for warning in found.warnings)
    answer = decide(request, world.usual())
    if isinstance(answer, Decision):
        assert_sound(answer, request, world.usual())


def test_the_clock_wins_while_the_market_is_open() -> None:
    found = world.resolved(world.order(minutes=30.0, time_of_day="CLOSE"))
    assert found.point.minute == pytest.approx(30.0)
    assert any("disagrees" in warning for warning in found.warnings)


def test_a_day_whose_holidays_nobody_told_yet_is_planned_and_said() -> None:
    view = world.views()[world.US]
    sessions = replace(view.sessions, assumed_from_ns=int(view.sessions.open_ns[1]))
    given = world.snapshot(changed={world.US: replace(view, sessions=sessions)})
    said = [any("holidays" in w for w in world.resolved(world.order(day=day), given).warnings) for day in (0, 1)]
    assert said == [False, True]


def test_window_share_is_the_curve() -> None:
    curve = world.views()[world.US].cumulative
    assert window_share(curve, 0.0, 390.0) == pytest.approx(float(curve[-1]))
    assert window_share(curve, 10.5, 1.0) == pytest.approx(float(np.interp(11.5, range(391), curve) - np.interp(
        10.5, range(391), curve)))
    assert window_share(curve, 380.0, 100.0) == pytest.approx(float(curve[-1] - curve[380]))


# The edges of every input.


@pytest.mark.parametrize("instrument", [world.US, world.CHINA, world.NO_DARK])
def test_one_lot(instrument: str) -> None:
    lot = world.views()[instrument].instrument.lot_size_shares
    answer = sound(instrument_id=instrument, quantity_shares=lot)
    assert len(answer.schedule.slices) == 1


def test_a_trillion_shares() -> None:
    answer = refused(quantity_shares=1e12)
    assert [fault.field for fault in answer.faults] == ["quantity"]
    # The same with a volume that can take it.
    sound(quantity_shares=1e12, average_daily_volume_shares=1e14)


@pytest.mark.parametrize("spread", [0.0, 1e-300, 1e-12, 5e3])
@pytest.mark.parametrize("volatility", [5e-324, 1e-300, 1e-9, 0.02, 10.0, 1e3])
def test_spread_and_volatility_of_every_size(spread: float, volatility: float) -> None:
    for side in Side:
        sound(side=side, spread_bps=spread, daily_volatility_fraction=volatility, short_term_alpha_bps_per_day=-0.0)


@pytest.mark.parametrize("alpha", [-1e6, -50.0, -5e-324, 0.0, 50.0, 1e6])
def test_alpha_of_every_size(alpha: float) -> None:
    for side in (Side.BUY, Side.SELL):
        sound(side=side, short_term_alpha_bps_per_day=alpha)


@pytest.mark.parametrize("objective", Objective)
@pytest.mark.parametrize("urgency", Urgency)
def test_every_objective_and_urgency(objective: Objective, urgency: Urgency) -> None:
    sound(objective=objective, urgency=urgency)


@pytest.mark.parametrize("minutes", [1, 2, 5, 389, 1440])
def test_time_limits(minutes: int) -> None:
    answer = sound(share=0.0001, time_limit_minutes=minutes, minutes=0.0)
    assert answer.schedule.horizon_minutes <= min(minutes, 390)
    assert answer.inputs.available_minutes == min(minutes, 390)


def test_a_limit_far_away_changes_nothing_much() -> None:
    plain, limited = sound(), sound(price_limit=1e9)
    assert limited.breakdown == plain.breakdown
    assert limited.chosen == plain.chosen
    assert limited.risk_controls.price_limit == plain.risk_controls.price_limit


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_limit_on_the_near_side_leaves_only_what_rests(side: Side) -> None:
    """20 bps behind the mid nothing can cross; what rests may be filled if the price comes."""
    mid = world.views()[world.US].market.mid_price or 0.0
    answer = sound(side=side, price_limit=mid * (1.0 - side.sign * 0.0002))
    assert answer.chosen.algorithm in ("OPPORTUNISTIC", "PASSIVE_PEG", "ICEBERG")
    assert answer.risk_controls.price_limit == pytest.approx(mid * (1.0 - side.sign * 0.0002))
    assert answer.risk_controls.price_collar_bps == 0.0


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL_SHORT])
def test_a_limit_out_of_reach_is_refused_by_name(side: Side) -> None:
    mid = world.views()[world.US].market.mid_price or 0.0
    answer = refused(side=side, price_limit=mid * (1.0 - side.sign * 0.5))
    assert [fault.field for fault in answer.faults] == ["constraints.price_limit"]


def test_a_limit_on_the_far_side_binds_the_controls() -> None:
    mid = world.views()[world.US].market.mid_price or 0.0
    answer = sound(price_limit=mid * 1.002)
    assert answer.risk_controls.price_limit == pytest.approx(mid * 1.002)


def test_certain_completion() -> None:
    """A probability of 1 can be had where the market's volume is many times what is needed, and is refused by name
    where it is not."""
    assert sound(share=1e-4, min_completion_probability=1.0).chosen.outcomes.completion_probability == 1.0
    answer = refused(share=0.09, min_completion_probability=1.0, max_participation_rate=0.13)
    assert {fault.field for fault in answer.faults} <= {
        "constraints.min_completion_probability", "constraints.max_participation_rate",
    }


def test_constraints_that_clash_with_each_other_are_both_named() -> None:
    """10 % of volume in 20 minutes at a tenth of it: the limit or the time has to give."""
    answer = refused(share=0.01, minutes=60.0, time_limit_minutes=20, max_participation_rate=0.1)
    assert {fault.field for fault in answer.faults} == {
        "constraints.time_limit_minutes", "constraints.max_participation_rate",
    }


def test_too_large_for_the_session_is_planned_in_part() -> None:
    """Half a day's volume under 30 % of it: what fits is scheduled, the rest carried over, and both are said."""
    answer = sound(share=0.5)
    carried = answer.schedule.slices[-1]
    assert carried.phase is SlicePhase.CARRY_OVER
    planned = sum(s.quantity_shares for s in answer.schedule.slices[:-1])
    assert 0.4 < carried.quantity_shares / (planned + carried.quantity_shares) < 0.6
    assert any("carried over" in warning for warning in answer.warnings)
    assert answer.chosen.outcomes.completion_probability < 0.1
    assert answer.risk_controls.max_slice_shares < carried.quantity_shares


@pytest.mark.parametrize("own", [{"max_participation_rate": 0.3}, {"time_limit_minutes": 380}])
def test_too_large_for_its_own_limits_is_refused(own: dict[str, float]) -> None:
    answer = refused(share=0.5, **own)
    assert [fault.field for fault in answer.faults] == [f"constraints.{next(iter(own))}"]


def test_far_too_large_for_the_service_names_the_quantity() -> None:
    answer = refused(share=20.0)
    assert [fault.field for fault in answer.faults] == ["quantity"]
    assert "0.3" in answer.faults[0].description
    wider = world.snapshot(limits=Limits(max_participation_rate=1.0))
    assert isinstance(decide(world.order(share=0.3, minutes=0.0), wider), Decision)


def test_turnover_factor_is_bounded_below() -> None:
    view = world.views()[world.US]
    assert turnover_factor(view, view.instrument.shares_outstanding * 10.0) == 1.0
    assert turnover_factor(view, view.instrument.shares_outstanding / 81.0) == pytest.approx(3.0)


def test_resolve_keeps_the_request() -> None:
    request = world.order()
    found = resolve(request, world.usual())
    assert not isinstance(found, Refusal)
    assert found.request is request
