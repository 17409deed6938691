"""Slices: lots, edges, jitter, breaks, auctions."""

from __future__ import annotations

import numpy as np
import pytest

from engine.catalogue import RESTING_WHOLE, Candidate, planned_profile
from engine.decision import SlicePhase
from engine.schedule import (
    MAX_SLICES,
    Plan,
    make_schedule,
    planned_shares,
    slice_edges,
    split_lots,
    uniform,
    volume_by,
)
from engine.sessions import locate
from tests.helpers import world

LOT = world.views()[world.US].instrument.lot_size_shares


def candidate(name: str, **parameters: float) -> Candidate:
    """The first candidate of an algorithm with these parameters."""
    for found in world.usual().catalogue.candidates:
        if found.spec.name == name and all(found.parameters[key] == value for key, value in parameters.items()):
            return found
    raise AssertionError(name)


def plan(name: str = "TWAP", instrument: str = world.US, minutes: float = 60.0, horizon: float = 120.0,
         quantity: float = 100_000.0, seed: int = 3, **parameters: float) -> Plan:
    view = world.views()[instrument]
    start_ns = world.at(instrument, minutes)
    point = locate(view.sessions, start_ns)
    assert point is not None
    return Plan(
        candidate=candidate(name, **parameters), quantity_shares=quantity,
        lot_size_shares=view.instrument.lot_size_shares, point=point, start_ns=start_ns, horizon_minutes=horizon,
        cumulative=view.cumulative, max_participation=0.3, daily_volume_shares=4e7, seed=seed,
    )


def splitmix64(seed: int, index: int) -> float:
    """As Steele, Lea and Flood (2014) write it, in whole numbers."""
    mask = (1 << 64) - 1
    x = (seed + index * 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return ((x ^ (x >> 31)) >> 11) / 2.0**53


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
def test_uniform_is_splitmix64(seed: int) -> None:
    found = [uniform(np.uint64(seed), index) for index in range(1, 24)]
    assert found == [splitmix64(seed, index) for index in range(1, 24)]
    # The first output of the reference implementation for seed 0 is 0xE220A8397B1DCDAF.
    assert uniform(np.uint64(0), 1) == (0xE220A8397B1DCDAF >> 11) / 2.0**53


@pytest.mark.parametrize("horizon", [0.5, 1.0, 5.0, 5.1, 37.0, 120.0, 390.0])
@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
def test_edges_rise_and_keep_to_their_places(horizon: float, seed: int) -> None:
    edges = slice_edges(horizon, np.uint64(seed), -1.0)
    count = len(edges) - 1
    assert 1 <= count <= MAX_SLICES
    assert (edges[0], edges[-1]) == (0.0, horizon)
    assert np.all(np.diff(edges) >= 0.79 * horizon / count)
    assert np.max(np.abs(edges - np.linspace(0.0, horizon, count + 1))) <= 0.1 * horizon / count + 1e-12


@pytest.mark.parametrize("break_minutes", [0.01, 2.0, 33.3, 119.99])
@pytest.mark.parametrize("horizon", [4.0, 120.0])
def test_one_edge_lies_on_the_break(break_minutes: float, horizon: float) -> None:
    edges = slice_edges(horizon, np.uint64(5), break_minutes)
    assert np.all(np.diff(edges) > 0.0)
    assert (break_minutes in edges.tolist()) is (break_minutes < horizon)


def test_lots_sum_and_follow_the_path() -> None:
    rng = np.random.default_rng(4)
    for _ in range(300):
        planned = np.concatenate(([0.0], np.sort(rng.random(rng.integers(1, 24))), [1.0]))
        lots = int(10 ** rng.uniform(0.0, 12.0))
        counts = split_lots(lots, planned)
        assert counts.min() >= 0
        assert counts.sum() == lots
        assert np.max(np.abs(counts - np.diff(planned) * lots)) <= 1.0 + 1e-3


def test_no_lots_and_one_lot() -> None:
    planned = np.linspace(0.0, 1.0, 25)
    assert split_lots(0, planned).tolist() == [0] * 24
    assert split_lots(1, planned).sum() == 1


def test_planned_shares_follow_clock_or_volume() -> None:
    edges = np.array([0.0, 30.0, 60.0])
    even, curve = np.ones(32), np.concatenate((np.linspace(0.0, 0.6, 31), np.linspace(0.6, 0.8, 31)[1:]))
    assert planned_shares(edges, even, False, curve, 0.0).tolist() == [0.0, 0.5, 1.0]
    assert planned_shares(edges, even, True, curve, 0.0) == pytest.approx([0.0, 0.75, 1.0])
    # Where no volume is expected, the clock has to do.
    assert planned_shares(edges, even, True, np.zeros(61), 0.0).tolist() == [0.0, 0.5, 1.0]
    front = planned_profile("IMPLEMENTATION_SHORTFALL", 2.0)
    held = np.sinh(2.0 * 0.5) / np.sinh(2.0)
    assert planned_shares(edges, front, False, curve, 0.0)[1] == pytest.approx(1.0 - held)


def test_volume_by_a_minute_is_what_numpy_draws_between_whole_ones() -> None:
    rng = np.random.default_rng(5)
    curve = np.cumsum(rng.random(391))
    minutes = np.concatenate((rng.uniform(-5.0, 395.0, 500), np.arange(391.0), [1e-12, 389.9999999999999]))
    assert [volume_by(curve, minute) for minute in minutes] == np.interp(minutes, np.arange(391.0), curve).tolist()


def test_one_lot_is_one_slice() -> None:
    schedule = make_schedule(plan(quantity=LOT))
    assert [s.quantity_shares for s in schedule.slices] == [LOT]


def test_a_trillion_shares_sum_exactly() -> None:
    schedule = make_schedule(plan(quantity=1e12))
    assert sum(s.quantity_shares for s in schedule.slices) == 1e12
    assert len(schedule.slices) == MAX_SLICES


def test_slices_stop_for_lunch() -> None:
    session = plan(instrument=world.CHINA).point.session
    for minutes in (100.0, 115.0, 119.9):
        schedule = make_schedule(plan(instrument=world.CHINA, minutes=minutes, horizon=60.0, quantity=50_000.0))
        for piece in schedule.slices:
            end = piece.start_ns + round(piece.duration_seconds * 1e9)
            assert end <= session.break_start_ns or piece.start_ns >= session.break_end_ns
        assert schedule.slices[-1].start_ns > session.break_end_ns
        assert schedule.end_ns == world.at(world.CHINA, minutes + 90.0 + 60.0)


@pytest.mark.parametrize("name", sorted(RESTING_WHOLE))
def test_what_rests_whole_is_one_slice_from_start_to_end(name: str) -> None:
    """As it is simulated: all of it at the touch from the first minute on, whatever the seed."""
    schedule = make_schedule(plan(name, seed=1))
    (only,) = schedule.slices
    assert (only.start_ns, only.quantity_shares) == (world.at(world.US, 60.0), 100_000.0)
    assert (only.duration_seconds, only.phase) == (120.0 * 60.0, SlicePhase.CONTINUOUS)
    assert schedule.end_ns == world.at(world.US, 180.0)
    assert (schedule.planned_shares, schedule.largest_shares) == (100_000.0, 100_000.0)
    assert schedule == make_schedule(plan(name, seed=2))


def test_what_rests_whole_rests_over_lunch() -> None:
    (only,) = make_schedule(plan("PASSIVE_PEG", world.CHINA, minutes=100.0, horizon=60.0, quantity=50_000.0)).slices
    assert only.start_ns == world.at(world.CHINA, 100.0)
    assert only.duration_seconds == (60.0 + 90.0) * 60.0
    (later,) = make_schedule(plan("PASSIVE_PEG", world.CHINA, minutes=130.0, horizon=60.0, quantity=50_000.0)).slices
    assert later.start_ns == world.at(world.CHINA, 210.0)
    assert later.duration_seconds == 60.0 * 60.0


@pytest.mark.parametrize(("ratio", "auction"), [(1.0, 100_000.0), (0.25, 25_000.0)])
def test_auction_comes_last_at_the_close(ratio: float, auction: float) -> None:
    made = plan("TARGET_CLOSE", minutes=300.0, horizon=90.0, auction_ratio=ratio)
    schedule = make_schedule(made)
    last = schedule.slices[-1]
    assert (last.phase, last.quantity_shares, last.duration_seconds) == (SlicePhase.CLOSING_AUCTION, auction, 0.0)
    assert last.start_ns == schedule.end_ns == made.point.session.close_ns
    assert sum(s.quantity_shares for s in schedule.slices) == 100_000.0
    assert (len(schedule.slices) == 1) is (ratio == 1.0)


def test_a_lot_too_small_to_divide_is_not_for_the_auction() -> None:
    schedule = make_schedule(plan("TARGET_CLOSE", minutes=300.0, horizon=90.0, quantity=LOT, auction_ratio=0.5))
    assert [s.phase for s in schedule.slices] == [SlicePhase.CONTINUOUS]


def test_other_seeds_move_edges_and_the_same_does_not() -> None:
    assert make_schedule(plan(seed=1)) == make_schedule(plan(seed=1))
    assert make_schedule(plan(seed=1)) != make_schedule(plan(seed=2))
    assert make_schedule(plan(seed=2**64 + 1)) == make_schedule(plan(seed=1))


@pytest.mark.parametrize("name", ["TWAP", "VWAP", "ADAPTIVE_TWAP", "LIQUIDITY_SEEKING", "IMPLEMENTATION_SHORTFALL"])
def test_jitter_does_not_lift_a_slice_above_the_highest_pace(name: str) -> None:
    """Pace along the algorithm's own clock, over slices of any width."""
    found = candidate(name)
    profile = planned_profile(name, found.parameters.get(found.spec.shape_parameter, 0.0))
    for seed in range(50):
        edges = slice_edges(120.0, np.uint64(seed), -1.0)
        shares = planned_shares(edges, profile, False, np.linspace(0.0, 1.0, 391), 0.0)
        pace = np.diff(shares) / (np.diff(edges) / 120.0)
        assert pace.max() <= profile.max() * (1.0 + 1e-12)
