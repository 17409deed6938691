"""What a price limit leaves of an order: the formulas against simulated paths, and what decisions make of them."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import kernel as k
from engine.kernel_limit import under_limit
from engine.priced import NO_MULTIPLES, run_kernel
from engine.values import Side
from tests.helpers import world

Array = NDArray[np.float64]

PATHS, STEPS = 4_000, 1_000
SIGMA_BPS, SESSION_MINUTES = 200.0, 390.0
# In standard deviations of the mid over the horizon.
ROOMS = np.array([-3.0, -2.0, -1.5, -1.0, -0.5, -0.1, 0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0])
HORIZONS = (15.0, 120.0, 390.0)


def wander_of(minutes: float) -> float:
    return SIGMA_BPS * math.sqrt(minutes / SESSION_MINUTES)


@cache
def worked(minutes: float, pace: float) -> tuple[Array, Array]:
    """(share done on average, part of the paths on which all is done) at every room: an order worked evenly while the
    mid is on the good side of its limit, which makes up for what it missed at `pace` times its even pace."""
    rng = np.random.default_rng(round(minutes))
    moves = rng.standard_normal((STEPS, PATHS // 2)) * (wander_of(minutes) / math.sqrt(STEPS))
    mids = np.cumsum(np.concatenate((moves, -moves), axis=1), axis=0)
    limits = (ROOMS * wander_of(minutes))[:, None]
    done = np.zeros((len(ROOMS), PATHS))
    for step in range(STEPS):
        wanted = np.minimum(pace / STEPS, (step + 1.0) / STEPS - done)
        done += np.where(mids[step] <= limits, wanted, 0.0)
    return done.mean(axis=1), (done > 1.0 - 1e-9).mean(axis=1)


def formulas(minutes: float) -> tuple[Array, Array]:
    """The same from the formulas: share, chance."""
    found = [under_limit(room * wander_of(minutes), wander_of(minutes)) for room in ROOMS]
    return np.array([kept for _, kept, _ in found]), np.array([completes for completes, _, _ in found])


@pytest.mark.parametrize("minutes", HORIZONS)
def test_an_order_that_makes_up_at_twice_its_pace(minutes: float) -> None:
    """Standard errors are below 0.01; steps that are seen only at their ends are worth as much at the limit itself."""
    kept, completes = formulas(minutes)
    share, chance = worked(minutes, 2.0)
    assert np.abs(kept - share).max() < 0.035
    assert np.abs(completes - chance).max() < 0.03


@pytest.mark.parametrize("minutes", HORIZONS)
def test_it_lies_between_one_that_never_makes_up_and_one_that_does_at_once(minutes: float) -> None:
    kept, completes = formulas(minutes)
    (never, no_chance), (at_once, best_chance) = worked(minutes, 1.0), worked(minutes, math.inf)
    assert np.all(never - 0.02 <= kept)
    assert np.all(kept <= at_once + 0.02)
    # Steps reach a limit less often than the path that they are taken from.
    assert np.all(completes <= best_chance + 0.02)
    assert np.all(completes >= no_chance - 0.06)


def test_known_values() -> None:
    """At the mid: half of the paths end on the good side, and the last visit is at three quarters of the time."""
    completes, kept, reach = under_limit(0.0, 80.0)
    assert completes == pytest.approx(0.5 * 0.75)
    assert kept == pytest.approx(math.sqrt(0.5 * 0.75))
    assert reach == pytest.approx(1.0)
    assert under_limit(1e9, 80.0) == (1.0, 1.0, 0.0)
    assert under_limit(-1e9, 80.0) == (0.0, 0.0, 0.0)
    assert under_limit(-160.0, 80.0)[2] == pytest.approx(math.erfc(2.0 / math.sqrt(2.0)))


@pytest.mark.parametrize("wander", [1e-9, 3.0, 80.0, 2e4])
def test_more_room_is_never_worse_and_nothing_jumps(wander: float) -> None:
    rooms = np.concatenate((np.linspace(-41.0, 41.0, 8_201), np.linspace(-1e-6, 1e-6, 201)))
    rooms.sort()
    found = np.array([under_limit(room * wander, wander)[:2] for room in rooms])
    assert found.min() >= 0.0
    assert found.max() <= 1.0
    steps = np.diff(found, axis=0)
    assert steps.min() >= -1e-15
    assert np.all(steps <= 0.9 * np.diff(rooms)[:, None] + 1e-12)
    assert np.all(found[:, 0] <= found[:, 1] + 1e-300)  # far beyond, what is left of a float
    assert found[0].tolist() == [0.0, 0.0]
    assert found[-1].tolist() == [1.0, 1.0]


def priced_with_room(room_bps: float) -> tuple[Array, NDArray[np.int64]]:
    """(metrics, mask) of a usual order whose limit lies so far from the mid."""
    request = world.order(share=0.005, side=Side.BUY)
    context = world.kernel_context(request)
    context[k.LIMIT_ROOM_BPS] = room_bps
    priced = run_kernel(world.usual(), world.resolved(request), context, NO_MULTIPLES)
    return priced.metrics, priced.mask


def test_no_price_jumps_as_the_mid_crosses_the_limit() -> None:
    """A hair beyond the mid costs and completes as a hair inside."""
    (beyond, _), (inside, _) = priced_with_room(-1e-7), priced_with_room(1e-7)
    priced = np.isfinite(beyond[:, k.UTILITY])
    for column in (k.COMPLETION_PROBABILITY, k.UTILITY, k.COST, k.DEVIATION_BPS, k.MEAN_MINUTES, k.UNFILLED):
        assert beyond[priced, column] == pytest.approx(inside[priced, column], rel=1e-6, abs=1e-6)
    free, _ = priced_with_room(1e9)
    part = inside[priced, k.COMPLETION_PROBABILITY] / np.maximum(free[priced, k.COMPLETION_PROBABILITY], 1e-300)
    assert part[free[priced, k.COMPLETION_PROBABILITY] > 1e-9] == pytest.approx(0.375, rel=1e-6)


def test_completion_rises_and_what_waits_falls_with_the_room() -> None:
    found = [priced_with_room(room)[0] for room in np.linspace(-300.0, 300.0, 61)]
    priced = np.isfinite(found[0][:, k.UTILITY])
    completion = np.array([metrics[priced, k.COMPLETION_PROBABILITY] for metrics in found])
    unfilled = np.array([metrics[priced, k.UNFILLED] for metrics in found])
    assert np.diff(completion, axis=0).min() >= 0.0
    assert np.diff(unfilled, axis=0).max() <= 1e-15
    assert (completion[-1] > completion[0]).all()
