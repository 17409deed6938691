"""What is left of an order, played out: cases whose answer is known."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from engine.decide import Considered, consider
from engine.order_life.plan import Plan, remainder_of
from engine.order_life.rollout import (
    Field,
    Ground,
    Played,
    add_rivals,
    add_stay,
    ground_of,
    played,
    rivals_of,
    run,
    utilities,
)
from engine.order_life.rules import RULES, Switching
from engine.simulator.execute import (
    DARK_FILLED,
    PASSIVE_FILLED,
    RESULTS,
    UNFILLED,
    X_REACH,
    fitted_weights,
    minute_weights,
)
from engine.simulator.market import VOLUME, Levels, simulate_market
from engine.simulator.orders import order_of
from engine.simulator.policies import AUCTION_RATIO
from engine.simulator.world import DEFAULT_WORLD
from engine.values import MarketCondition
from tests.helpers import world
from tests.helpers.order_lives import Followed, followed
from tests.helpers.world import MINUTE_NS


def remainder(order: Followed, now_ns: int) -> Considered:
    """The rest decided anew, as after a trigger."""
    state = order.life.state
    context = replace(state.context, condition=MarketCondition.NORMAL)
    view = order.snapshot.views[order.request.instrument_id]
    rest = remainder_of(order.request, state, view, context, order.watch.plan.deadline_ns, now_ns, 1)
    assert rest is not None
    return consider(rest, order.snapshot)


def play_out(order: Followed, now_ns: int, over: bool = False, switching: Switching = RULES.switching,
             known: Levels | None = None) -> Played:
    considered = remainder(order, now_ns)
    assert considered.priced is not None
    assert considered.resolved is not None
    found = played(
        considered.priced, considered.resolved, order.watch.plan, order.life.state, order.snapshot, now_ns, over,
        switching, known,
    )
    assert found is not None
    return found


def ground_at(order: Followed, now_ns: int, plan: Plan | None = None, known: Levels | None = None) -> Ground:
    considered, state = remainder(order, now_ns), order.life.state
    assert considered.priced is not None
    assert considered.resolved is not None
    return ground_of(
        considered.priced, considered.resolved, plan or order.watch.plan, state, order.snapshot, now_ns,
        RULES.switching.playing, known,
    )  # fmt: skip


def test_the_same_remainder_is_played_the_same() -> None:
    order = followed(world.order(share=0.01))
    now_ns = order.watch.started_ns + 5 * MINUTE_NS
    order.on_schedule(now_ns)
    assert play_out(order, now_ns) == play_out(order, now_ns)


def test_a_plan_of_this_moment_is_worth_what_the_same_plan_is_made_anew() -> None:
    """Keeping and making anew are one piece of arithmetic, on the same paths."""
    order = followed(world.order(share=0.01))
    now_ns = order.watch.started_ns
    considered = remainder(order, now_ns)
    priced, resolved, plan, state = considered.priced, considered.resolved, order.watch.plan, order.life.state
    assert priced is not None
    assert resolved is not None
    catalogue = order.snapshot.catalogue
    alike = [
        n for n, c in enumerate(catalogue.candidates)
        if c.spec.name == plan.algorithm and all(plan.parameters[name] == v for name, v in c.parameters.items())
    ]  # fmt: skip
    ground = ground_at(order, now_ns)
    assert not ground.displaced.any()
    players = Field()
    add_rivals(players, alike[:1], catalogue, ground.order, ground.displaced, 1.0)
    add_stay(players, plan, state, resolved, ground, now_ns)
    found, _, _ = utilities(ground.order, run(players, ground, (1, 2), 48))
    assert found[1] == pytest.approx(found[0], rel=0.02)


def test_what_was_filled_displaces_and_fades() -> None:
    order = followed(world.order(share=0.02))
    start_ns = order.watch.started_ns
    order.on_schedule(start_ns + 6 * MINUTE_NS)
    made = replace(order.watch.plan, made_ns=start_ns + 6 * MINUTE_NS, filled_units=order.life.state.filled_units)
    at = [ground_at(order, start_ns + n * MINUTE_NS, made).displaced[:6].sum() for n in (6, 10, 60)]
    assert at[0] > at[1] > at[2] > 0.0


def test_a_plan_that_is_over_is_not_kept() -> None:
    order = followed(world.order(share=0.01))
    found = play_out(order, order.watch.started_ns + 5 * MINUTE_NS, over=True)
    assert found.keep_bps is None
    assert found.error_bps == 0.0


def test_rivals_are_allowed_and_of_every_algorithm() -> None:
    considered = remainder(followed(world.order(share=0.01)), followed(world.order(share=0.01)).watch.started_ns)
    priced = considered.priced
    assert priced is not None
    rivals = rivals_of(priced, 12)
    assert len(set(rivals)) == len(rivals)
    assert (priced.mask[rivals] == 0).all()
    assert set(priced.algorithm[rivals]) == set(priced.algorithm[priced.mask == 0])


def test_the_weights_that_are_served_are_the_fitted_ones() -> None:
    assert minute_weights(0.5) == pytest.approx(fitted_weights(0.5), rel=1e-9)


def test_utilities_of_a_certain_cost() -> None:
    """A spread of 4 bps crossed by half, no risk, ten minutes at a tenth of a bp: nothing else."""
    considered = remainder(followed(world.order(share=0.01)), followed(world.order(share=0.01)).watch.started_ns)
    assert considered.priced is not None
    assert considered.resolved is not None
    order = replace(
        order_of(considered.priced.context, considered.resolved.weights, considered.resolved.cumulative),
        spread_bps=4.0, taker_fee_bps=0.0, maker_fee_bps=0.0, dark_fee_bps=0.0, time_price_bps_per_day=39.0,
        alpha_bps_per_day=0.0, session_minutes=390.0,
    )  # fmt: skip
    results = np.zeros((1, 8, RESULTS))
    results[..., 0], results[..., 5] = 0.5, 10.0
    results[..., UNFILLED] = 0.25
    found, paths, left = utilities(order, results)
    assert found == pytest.approx([3.0])
    assert paths.shape == (1, 8)
    assert left == pytest.approx([0.25])


def test_a_day_known_to_be_quiet_is_played_quiet() -> None:
    """Volume two standard deviations below what was forecast, and sure of it."""
    order = followed(world.order(share=0.01))
    ground = ground_at(order, order.watch.started_ns)
    usual, quiet = (
        simulate_market(ground.order, DEFAULT_WORLD, (1, 2), 400, known=known).fields[:, :, VOLUME].mean()
        for known in (None, Levels(volume=-2.0, root=(1.0, 0.0, 0.0)))
    )
    ratio = float(np.exp(-2.0 * DEFAULT_WORLD.volume_day_log_sd - 0.5 * DEFAULT_WORLD.volume_day_log_sd**2))
    assert quiet / usual == pytest.approx(ratio, rel=0.05)
    assert play_out(order, order.watch.started_ns, known=Levels(volume=-2.0)) != play_out(order, order.watch.started_ns)


def limited(room_sigmas: float, share: float = 0.05) -> Followed:
    """An order to buy or sell with a price limit so many daily volatilities beyond the mid, to be followed."""
    free = world.order(share=share)
    resolved = consider(free, followed(free).snapshot).resolved
    assert resolved is not None
    away = free.side.sign * room_sigmas * resolved.inputs.daily_volatility_fraction
    limit = resolved.inputs.mid_price * (1.0 + away)
    return followed(replace(free, constraints=replace(free.constraints, price_limit=limit)))


def in_a_while(order: Followed, minutes: int = 15) -> int:
    now_ns = order.watch.started_ns + minutes * MINUTE_NS
    order.on_schedule(now_ns)
    return now_ns


def everybody(order: Followed, now_ns: int) -> tuple[Ground, Field]:
    """All rivals, and the plan in force last."""
    considered = remainder(order, now_ns)
    assert considered.priced is not None
    assert considered.resolved is not None
    ground, players = ground_at(order, now_ns), Field()
    add_rivals(players, rivals_of(considered.priced, 12), order.snapshot.catalogue, ground.order, ground.displaced, 1.0)
    add_stay(players, order.watch.plan, order.life.state, considered.resolved, ground, now_ns)
    return ground, players


def test_beyond_its_price_limit_nothing_of_an_order_trades() -> None:
    """Not hidden either; what is left is charged at the end, as everywhere."""
    order = limited(0.3)
    ground, players = everybody(order, in_a_while(order))
    ground.constants[X_REACH] = -1e3
    results = run(players, ground, (1, 2), 24)
    auction = np.array([numbers[AUCTION_RATIO] for numbers in players.numbers])
    assert (auction == 0.0).any()
    assert results[auction == 0.0][..., UNFILLED] == pytest.approx(1.0)
    assert not results[..., DARK_FILLED].any()
    assert not results[..., PASSIVE_FILLED].any()


def test_the_nearer_the_limit_the_more_is_left() -> None:
    order = limited(0.3)
    ground, players = everybody(order, in_a_while(order))
    here, left = float(ground.constants[X_REACH]), []
    for further in (-0.4, -0.2, 0.0, 0.4, 50.0, np.inf):
        ground.constants[X_REACH] = here + further
        left.append(run(players, ground, (1, 2), 48)[..., UNFILLED].mean(axis=1))
    assert all((nearer >= farther - 1e-12).all() for nearer, farther in itertools.pairwise(left))
    assert (left[0] > left[2] + 0.05).any()
    assert np.array_equal(left[-2], left[-1]), "a limit that no path comes to is none"


def test_the_limit_of_the_remainder_is_where_the_paths_stop() -> None:
    order = limited(0.3)
    now_ns = in_a_while(order)
    ground = ground_at(order, now_ns)
    resolved = remainder(order, now_ns).resolved
    assert resolved is not None
    assert ground.displaced[:6].sum() > 0.0
    wanted = ground.displaced[:6].sum() + resolved.limit_room_bps / ground.order.sigma_bps
    assert ground.constants[X_REACH] == pytest.approx(wanted)
    free = followed(world.order(share=0.05))
    assert ground_at(free, in_a_while(free)).constants[X_REACH] > 1e5


def test_who_wins_under_a_near_limit_wins_with_it_on_fresh_paths() -> None:
    """Played without the limit, what works slowly looks best, and is left with what it could not do."""
    gains, lefts = [], []
    for share in (0.01, 0.02, 0.03, 0.05, 0.08):
        order = limited(0.05, share)
        ground, players = everybody(order, in_a_while(order, 3))
        reach = float(ground.constants[X_REACH])
        picked = []
        for at in (reach, np.inf):
            ground.constants[X_REACH] = at
            picked.append(int(np.argmin(utilities(ground.order, run(players, ground, (1, 2), 48))[0])))
        ground.constants[X_REACH] = reach
        found, _, left = utilities(ground.order, run(players, ground, (3, 4), 400))
        gains.append(found[picked[1]] - found[picked[0]])
        lefts.append(left[picked[1]] - left[picked[0]])
    assert max(gains) > 0.5
    assert np.mean(gains) > 0.2
    assert np.mean(lefts) > 0.0


def test_the_best_is_confirmed_on_fresh_paths() -> None:
    """Whoever must gain nothing is played twice, and the second time says by how much; who must gain a lot is not."""
    order = followed(world.order(share=0.01))
    now_ns = order.watch.started_ns + 5 * MINUTE_NS
    order.on_schedule(now_ns)
    once = play_out(order, now_ns, switching=replace(RULES.switching, tolerance_bps=1e6))
    twice = play_out(order, now_ns, switching=replace(RULES.switching, tolerance_bps=-1e6, tolerance_fraction=-1e6))
    assert twice.confirmed
    assert not once.confirmed
    assert twice.best == once.best
    assert twice.best_bps != once.best_bps
    assert twice.error_bps < once.error_bps
