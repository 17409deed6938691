"""Triggers and what follows from them, on real decisions."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from msgspec import structs

from engine import kernel as k
from engine.catalogue import ALGORITHM_NAMES, RESTING_WHOLE, CatalogueChoice
from engine.decision import Decision
from engine.order_life.machine import apply
from engine.order_life.plan import remainder_of
from engine.order_life.readvise import Action, forgiven, readvise
from engine.order_life.rollout import Played
from engine.order_life.rules import Switching
from engine.order_life.triggers import Fired, Trigger
from engine.order_life.updates import UNITS_PER_SHARE, Amend, Cancel, Market, Pause, Unpause, Update
from engine.order_life.watch import noted, steadied
from engine.request import Constraints, Context
from engine.values import Bar, MarketCondition
from tests.helpers import world
from tests.helpers.order_lives import Followed, followed
from tests.helpers.world import MINUTE_NS


def under_way(share: float = 0.01, minutes: float = 4.0) -> tuple[Followed, int]:
    """An order on its schedule, and an instant two minutes later."""
    order = followed(world.order(share=share))
    now_ns = order.watch.started_ns + round(minutes * MINUTE_NS)
    order.on_schedule(now_ns)
    assert order.advices == []
    return order, now_ns + 2 * MINUTE_NS


def planned(decision: Decision) -> float:
    return math.fsum(part.quantity_shares for part in decision.schedule.slices)


def test_on_schedule_in_a_market_with_noise_nothing_is_advised() -> None:
    """Needless switches cost: an hour of figures that wander by a fifth asks for nothing."""
    rng = random.Random(5)
    order = followed(world.order(share=0.01))
    inputs, start_ns = order.decision.inputs, order.watch.started_ns
    for minute in range(1, 60):
        now_ns = start_ns + minute * MINUTE_NS
        figures = Context(
            condition=MarketCondition.NORMAL, mid_price=inputs.mid_price * (1 + rng.gauss(0, 0.0005)),
            spread_bps=inputs.spread_bps * rng.uniform(0.8, 1.2),
            daily_volatility_fraction=inputs.daily_volatility_fraction * rng.uniform(0.8, 1.2),
            average_daily_volume_shares=inputs.average_daily_volume_shares * rng.uniform(0.85, 1.15),
        )
        order.tell(now_ns, Market(figures))
        order.on_schedule(now_ns)
    assert [advice.action for advice in order.advices if advice.action is not Action.KEEP] == []


@pytest.mark.parametrize(
    ("context", "trigger"),
    [
        (Context(condition=MarketCondition.HIGH_VOLATILITY), Trigger.CONDITION_CHANGED),
        (Context(daily_volatility_fraction=0.06), Trigger.VOLATILITY),
        (Context(spread_bps=9.0), Trigger.LIQUIDITY),
        (Context(average_daily_volume_shares=1e7), Trigger.LIQUIDITY),
        (Context(news_impact_score=0.4), Trigger.NEWS),
        (Context(short_term_alpha_bps_per_day=150.0), Trigger.CONDITION_CHANGED),
    ],
)
def test_each_change_of_the_market_is_seen_once(context: Context, trigger: Trigger) -> None:
    order, now_ns = under_way()
    advice = order.tell(now_ns, Market(context))
    assert advice is not None
    assert advice.trigger is trigger
    assert order.tell(now_ns + 1, Market(context)) is None


def test_a_drift_against_the_order_makes_it_hurry() -> None:
    order, now_ns = under_way()
    trend = Context(condition=MarketCondition.TRENDING, short_term_alpha_bps_per_day=300.0)
    advice = order.tell(now_ns, Market(trend))
    assert advice is not None
    assert advice.decision is not None
    assert advice.gain_bps > 1.0
    assert planned(advice.decision) * UNITS_PER_SHARE == order.life.state.open_units
    assert advice.decision.schedule.end_ns < order.decision.schedule.end_ns
    assert "TRENDING" in advice.rationale


def test_small_gains_do_not_switch() -> None:
    """The same change with a margin too high for it is kept, and says what was missing."""
    order, now_ns = under_way()
    context = Context(condition=MarketCondition.TRENDING, short_term_alpha_bps_per_day=300.0)
    switched = replace(order).tell(now_ns, Market(context))
    assert switched is not None
    assert switched.action is Action.SWITCH
    state = structs.replace(order.life.state, context=context)
    view = order.snapshot.views[order.request.instrument_id]
    remainder = remainder_of(order.request, state, view, context, order.watch.plan.deadline_ns, now_ns, 1)
    assert remainder is not None
    why = (Fired(Trigger.CONDITION_CHANGED, "a trend"),)
    strict = Switching(tolerance_bps=50.0, tolerance_errors=0.0)
    kept = readvise(remainder, order.watch.plan, state, why, order.snapshot, now_ns, strict)
    assert kept.action is Action.KEEP
    assert "must gain 50.0 bps" in kept.rationale
    costly = readvise(remainder, order.watch.plan, state, why, order.snapshot, now_ns, Switching(switch_bps=50.0))
    assert costly.action is Action.KEEP


def test_a_young_plan_is_left_unless_it_presses() -> None:
    order, now_ns = under_way()
    trend = Context(condition=MarketCondition.TRENDING, short_term_alpha_bps_per_day=300.0)
    first = order.tell(now_ns, Market(trend))
    assert first is not None
    assert first.decision is not None
    order.on_schedule(now_ns + MINUTE_NS)
    back = Market(Context(condition=MarketCondition.NORMAL))
    assert order.tell(now_ns + MINUTE_NS, back) is None
    # What was not looked at then is looked at when the plan is no longer young.
    order.on_schedule(now_ns + 6 * MINUTE_NS)
    assert order.advices[-1].trigger is Trigger.CONDITION_CHANGED
    assert len(order.advices) == 2


def test_amendments_recast_the_schedule() -> None:
    order, now_ns = under_way()
    twice = order.life.state.parent_units * 2
    advice = order.tell(now_ns, Amend(units=twice))
    assert advice is not None
    assert advice.trigger is Trigger.AMENDED
    assert advice.decision is not None
    assert planned(advice.decision) * UNITS_PER_SHARE == order.life.state.open_units


def test_a_new_time_limit_counts_from_the_start() -> None:
    order, now_ns = under_way(share=0.002)
    advice = order.tell(now_ns, Amend(constraints=Constraints(time_limit_minutes=20)))
    assert advice is not None
    assert advice.decision is not None
    assert advice.decision.schedule.end_ns <= order.watch.started_ns + 20 * MINUTE_NS
    assert not advice.cannot_complete


def test_what_cannot_be_done_is_said_early() -> None:
    """Ten minutes for what takes an hour: said at once, with a plan for the part that fits."""
    order, now_ns = under_way(share=0.05)
    advice = order.tell(now_ns, Amend(constraints=Constraints(time_limit_minutes=10)))
    assert advice is not None
    assert advice.cannot_complete
    assert advice.decision is not None
    assert planned(advice.decision) * UNITS_PER_SHARE < order.life.state.open_units
    assert "can be done in time" in advice.rationale


def test_the_deadline_is_told_while_a_fifth_of_the_time_is_left_to_act() -> None:
    """Nothing is filled: the service says so before the rest can no longer be done."""
    order = followed(world.order(share=0.01, time_limit_minutes=90))
    told = None
    for minute in range(1, 90):
        advice = order.look(order.watch.started_ns + minute * MINUTE_NS)
        if advice is not None and told is None and advice.trigger is Trigger.DEADLINE:
            told = (minute, advice.cannot_complete)
    assert told is not None
    assert told[1] is False
    assert order.advices[0].trigger is Trigger.SCHEDULE_SHORTFALL


def test_beyond_the_price_limit_it_says_so_and_goes_on_when_the_price_is_back() -> None:
    order = followed(world.order(share=0.01))
    mid = order.decision.inputs.mid_price
    start_ns = order.watch.started_ns
    limited = order.tell(start_ns + MINUTE_NS, Amend(constraints=Constraints(price_limit=mid * 1.01)))
    assert limited is not None
    assert not limited.cannot_complete
    beyond = order.tell(start_ns + 2 * MINUTE_NS, Market(Context(mid_price=mid * 1.05)))
    assert beyond is not None
    assert (beyond.trigger, beyond.cannot_complete) == (Trigger.PRICE_LIMIT, True)
    back = order.tell(start_ns + 3 * MINUTE_NS, Market(Context(mid_price=mid)))
    assert back is not None
    assert (back.trigger, back.cannot_complete) == (Trigger.PRICE_LIMIT, False)


def unmet(order: Followed) -> Amend:
    venues = order.snapshot.views[order.request.instrument_id].instrument.venues
    return Amend(constraints=Constraints(excluded_venues=frozenset(venue.mic for venue in venues)))


def test_limits_that_no_plan_keeps_hold_the_order_back_until_one_does() -> None:
    order, now_ns = under_way()
    held = order.tell(now_ns, unmet(order))
    assert held is not None
    assert (held.action, held.trigger, held.cannot_complete) == (Action.PAUSE, Trigger.AMENDED, True)
    # Any other look finds none either, and must not say KEEP.
    later = order.tell(now_ns + 5 * MINUTE_NS, Market(Context(news_impact_score=0.9)))
    assert later is not None
    assert later.action is Action.PAUSE
    assert order.tell(now_ns + 6 * MINUTE_NS, Market(Context(news_impact_score=0.9))) is None
    met = order.tell(now_ns + 7 * MINUTE_NS, Amend(constraints=Constraints()))
    assert met is not None
    assert met.decision is not None
    after = order.look(now_ns + 8 * MINUTE_NS, None, "asked")
    assert after is not None
    assert after.action is not Action.PAUSE


def test_an_amendment_during_a_pause_is_looked_at_after_it() -> None:
    order, now_ns = under_way()
    order.tell(now_ns, Pause("desk"))
    assert order.tell(now_ns + 1, unmet(order)) is None
    advice = order.tell(now_ns + MINUTE_NS, Unpause())
    assert advice is not None
    assert advice.action is Action.PAUSE


def test_an_amendment_during_a_halt_is_looked_at_after_it() -> None:
    order, now_ns = under_way()
    change = Amend(units=order.life.state.parent_units * 2)
    order.life = apply(order.life, Update(order.life.state.sequence + 1, now_ns, change)).life
    order.watch = noted(order.watch, change, order.snapshot)
    advice = order.look(now_ns + MINUTE_NS)
    assert advice is not None
    assert advice.trigger is Trigger.AMENDED
    assert advice.decision is not None
    assert planned(advice.decision) * UNITS_PER_SHARE == order.life.state.open_units
    assert order.look(now_ns + 2 * MINUTE_NS) is None


def test_a_completion_that_nothing_promises_is_told_and_the_order_goes_on() -> None:
    order, now_ns = under_way(share=0.05)
    mid = order.decision.inputs.mid_price
    limits = Constraints(price_limit=mid * 1.0005, min_completion_probability=0.999)
    advice = order.tell(now_ns, Amend(constraints=limits))
    assert advice is not None
    assert advice.decision is not None
    assert advice.cannot_complete
    assert "as likely as 0.999" in advice.rationale


def test_the_price_to_stop_at_is_the_amended_one() -> None:
    order, now_ns = under_way()
    mid = order.decision.inputs.mid_price
    order.tell(now_ns, Amend(constraints=Constraints(price_limit=mid * 0.99)))
    assert order.watch.plan.price_limit == pytest.approx(mid * 0.99)


def test_a_pause_is_left_alone_and_its_end_looks_again() -> None:
    order, now_ns = under_way()
    assert order.tell(now_ns, Pause("desk")) is None
    assert order.tell(now_ns + 1, Market(Context(daily_volatility_fraction=0.08))) is None
    advice = order.tell(now_ns + 20 * MINUTE_NS, Unpause())
    assert advice is not None
    assert advice.decision is not None
    assert "pause" in advice.rationale


def test_an_order_that_ended_is_not_looked_at() -> None:
    order, now_ns = under_way()
    assert order.tell(now_ns, Cancel(order.life.state.parent_units, True)) is None
    assert order.look(now_ns, None, "asked") is None


def test_asking_looks_again_whatever_there_is() -> None:
    order, now_ns = under_way()
    advice = order.look(now_ns, None, "the gateway asked")
    assert advice is not None
    assert advice.trigger is Trigger.REQUESTED


def test_the_same_look_gives_the_same_advice() -> None:
    (one, now_ns), (other, _) = under_way(), under_way()
    change = Amend(units=one.life.state.parent_units * 3)
    assert one.tell(now_ns, change) == other.tell(now_ns, change)


def test_what_follows_the_volume_is_not_over_before_its_deadline() -> None:
    order, _ = under_way()
    plan = order.watch.plan
    scheduled, following = replace(plan, algorithm="TWAP"), replace(plan, algorithm="POV")
    assert not scheduled.is_over(plan.end_ns - 1)
    assert scheduled.is_over(plan.end_ns)
    assert not following.is_over(min(plan.end_ns, plan.deadline_ns - 1))
    assert following.is_over(plan.deadline_ns)


@pytest.mark.parametrize("algorithm", sorted(RESTING_WHOLE))
def test_what_rests_whole_is_not_behind_before_its_end(algorithm: str) -> None:
    """It fills as the market comes, by no clock; its end with something left looks again."""
    choices = tuple(CatalogueChoice(name, enabled=name == algorithm) for name in ALGORITHM_NAMES)
    order = followed(world.order(share=0.001), world.snapshot(choices=choices))
    plan = order.watch.plan
    assert plan.planned_units == order.life.state.parent_units
    assert plan.end_ns < plan.deadline_ns
    for now_ns in range(plan.made_ns, plan.end_ns, MINUTE_NS):
        assert plan.due_units(now_ns) == 0
        assert order.look(now_ns) is None
    assert plan.due_units(plan.end_ns) == plan.planned_units
    advice = order.look(plan.end_ns)
    assert advice is not None
    assert advice.trigger is Trigger.SCHEDULE_SHORTFALL
    assert advice.decision is not None
    assert "the plan is over" in advice.rationale


def test_a_plan_that_is_over_is_made_anew_once() -> None:
    order, _ = under_way()
    order.watch = replace(order.watch, plan=replace(order.watch.plan, algorithm="TWAP"))
    end_ns = order.watch.plan.end_ns
    assert end_ns < order.watch.plan.deadline_ns
    advice = order.look(end_ns)
    assert advice is not None
    assert advice.decision is not None
    assert "the plan is over" in advice.rationale
    assert order.watch.plan.made_ns == end_ns
    assert order.look(end_ns + 1) is None


def test_one_wide_quote_is_no_wide_market() -> None:
    order, now_ns = under_way()
    inputs = order.decision.inputs
    spreads = (1.0, 1.0, 1.0, 1.0, 3.0)
    bars = tuple(
        Bar(now_ns - (4 - at) * MINUTE_NS, inputs.mid_price, 1e4, factor * inputs.spread_bps)
        for at, factor in enumerate(spreads)
    )
    wide = Context(spread_bps=3.0 * inputs.spread_bps, bars=bars)
    state = structs.replace(order.life.state, context=replace(wide, bars=()))
    assert steadied(state, bars, 5).context.spread_bps == inputs.spread_bps
    assert steadied(state, bars[:4], 5).context.spread_bps == 3.0 * inputs.spread_bps


def test_a_late_plan_is_left_only_where_its_lateness_was_not_priced() -> None:
    """The participation limit alone does not end a plan that was played out late as it is; an amendment may."""
    switching, played = Switching(), Played(0, 1.0, 2.0)
    market, amended = (Fired(Trigger.LIQUIDITY, "a drought"),), (Fired(Trigger.AMENDED, "a limit", True),)
    own = (Fired(Trigger.DEADLINE, "pressed"),)
    strict = replace(switching, playing=replace(switching.playing, keeps_late=False))
    late = k.MASK_PARTICIPATION
    assert forgiven(market, switching, played) & late
    assert forgiven(own, strict, None) & late
    assert not forgiven(market, strict, played) & late
    assert not forgiven(market, switching, None) & late
    assert not forgiven(market, switching, Played(0, 1.0)) & late
    assert not forgiven(amended, switching, played) & late


def test_a_gateway_that_names_the_condition_is_believed_whatever_its_bars_say() -> None:
    """Its bars are read only where the order is looked at, which changes nothing of what is seen."""
    order, now_ns = under_way()
    said = Context(condition=MarketCondition.NORMAL)
    assert order.tell(now_ns, Market(said)) is None
    assert order.watch.look.figures.condition is MarketCondition.NORMAL
