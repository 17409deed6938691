"""What is left of an order, played out: cases whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.decide import Considered, consider
from engine.order_life.plan import remainder_of
from engine.order_life.rollout import (
    Field,
    Played,
    add_rivals,
    add_stay,
    displaced_by,
    played,
    rivals_of,
    run,
    utilities,
)
from engine.simulator.execute import RESULTS, constants_of, fitted_weights, minute_weights
from engine.simulator.orders import order_of
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


def play_out(order: Followed, now_ns: int, over: bool = False) -> Played:
    considered = remainder(order, now_ns)
    assert considered.priced is not None
    assert considered.resolved is not None
    found = played(
        considered.priced, considered.resolved, order.watch.plan, order.life.state, order.snapshot, now_ns, over
    )
    assert found is not None
    return found


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
    simulated = order_of(priced.context, resolved.weights, resolved.cumulative)
    constants = constants_of(simulated, DEFAULT_WORLD)
    displaced = displaced_by(simulated, constants, plan, state, resolved, now_ns)
    assert not displaced.any()
    players = Field()
    add_rivals(players, alike[:1], catalogue, simulated, displaced, 1.0)
    add_stay(players, plan, state, resolved, simulated, displaced, now_ns)
    found, _ = utilities(simulated, run(players, simulated, constants, DEFAULT_WORLD, (1, 2)))
    assert found[1] == pytest.approx(found[0], rel=0.02)


def test_what_was_filled_displaces_and_fades() -> None:
    order = followed(world.order(share=0.02))
    start_ns = order.watch.started_ns
    order.on_schedule(start_ns + 6 * MINUTE_NS)
    considered = remainder(order, start_ns + 6 * MINUTE_NS)
    priced, resolved = considered.priced, considered.resolved
    assert priced is not None
    assert resolved is not None
    simulated = order_of(priced.context, resolved.weights, resolved.cumulative)
    constants = constants_of(simulated, DEFAULT_WORLD)
    state = order.life.state
    made = replace(order.watch.plan, made_ns=start_ns + 6 * MINUTE_NS, filled_units=state.filled_units)
    at = [
        displaced_by(simulated, constants, made, state, resolved, start_ns + n * MINUTE_NS)[:6].sum()
        for n in (6, 10, 60)
    ]  # fmt: skip
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
    rivals = rivals_of(priced)
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
    found, paths = utilities(order, results)
    assert found == pytest.approx([3.0])
    assert paths.shape == (1, 8)
