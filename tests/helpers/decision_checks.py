"""What must be true of every decision, said as assertions about nothing but its request, its snapshot and itself."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from engine.catalogue import ALGORITHM_NAMES, RESTING_WHOLE
from engine.decision import Decision, Schedule, SlicePhase
from engine.request import OrderRequest
from engine.resolve import Resolved, volume_until
from engine.sessions import instant_of, minute_of
from engine.snapshot import Snapshot
from engine.told import Told
from engine.values import VenueKind
from tests.helpers import world

PLAIN = (str, int, float, bool)


def assert_sound(decision: Decision, request: OrderRequest, snapshot: Snapshot) -> None:
    """Every check below."""
    found = world.resolved(request, snapshot)
    assert_plain(decision)
    assert_constraints(decision, found)
    assert_venues(decision, request, snapshot)
    assert_schedule(decision.schedule, found, decision.chosen.algorithm in RESTING_WHOLE)
    assert_slices_are_allowed(decision)
    assert_participation(decision, found)
    assert_sums(decision)
    assert_times(decision)
    assert_order_of_choices(decision)


def assert_plain(value: object, path: str = "decision") -> None:
    """Plain Python values only, every number finite, no negative zero."""
    if is_dataclass(value) or isinstance(value, msgspec.Struct):
        names = [field.name for field in fields(value)] if is_dataclass(value) else value.__struct_fields__
        for name in names:
            assert_plain(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, Schedule):
        for name in ("start_ns", "end_ns", "horizon_minutes", "slices", "planned_shares", "largest_shares"):
            assert_plain(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, Told):
        assert_plain(value.alternatives, f"{path}.alternatives")
        assert_plain(value.frontier, f"{path}.frontier")
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            assert_plain(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            assert type(key) is str, path
            assert_plain(item, f"{path}[{key!r}]")
    elif not isinstance(value, Enum):
        assert type(value) in PLAIN, f"{path} is a {type(value)}"
        if type(value) is float:
            assert math.isfinite(value), f"{path} is {value}"
            assert not (value == 0.0 and math.copysign(1.0, value) < 0.0), f"{path} is -0.0"


def assert_constraints(decision: Decision, found: Resolved) -> None:
    """Time limit, close, participation, price limit, completion and dark preference."""
    constraints, controls = found.request.constraints, decision.risk_controls
    horizon = decision.schedule.horizon_minutes
    assert 0.0 < horizon <= found.minutes_to_close + 1e-9
    if constraints.time_limit_minutes is not None:
        assert horizon <= constraints.time_limit_minutes + 1e-9
        assert decision.chosen.outcomes.time_minutes <= constraints.time_limit_minutes
    limit = decision.inputs.max_participation_rate
    if constraints.max_participation_rate is not None:
        assert limit <= constraints.max_participation_rate
    assert controls.max_participation_rate <= limit
    assert float(decision.chosen.parameters["participation_rate"]) <= limit * (1.0 + 1e-9)
    assert decision.chosen.outcomes.completion_probability >= (constraints.min_completion_probability or 0.0)
    assert controls.price_limit > 0.0
    if constraints.price_limit is not None:
        sign = found.request.side.sign
        assert sign * (controls.price_limit - constraints.price_limit) <= 1e-12 * constraints.price_limit
    if constraints.dark_pool_preference and found.dark:
        assert float(decision.chosen.parameters["dark_pool_ratio"]) > 0.0
    assert decision.chosen.algorithm in ALGORITHM_NAMES


def assert_times(decision: Decision) -> None:
    """The last fill comes when the plan ends, or where the order waits for a price or in a queue, when it is filled."""
    outcomes, horizon = decision.chosen.outcomes, decision.schedule.horizon_minutes
    if decision.chosen.algorithm in {"OPPORTUNISTIC", "PASSIVE_PEG", "ICEBERG"}:
        horizon = min(horizon, 2.0 * outcomes.mean_execution_minutes)
    assert outcomes.time_minutes == max(1, math.ceil(horizon - 1e-9))


def assert_venues(decision: Decision, request: OrderRequest, snapshot: Snapshot) -> None:
    """Shares sum to 1, are positive, of allowed venues; dark ones exactly where the strategy is dark."""
    shares, constraints = decision.venue_allocation, request.constraints
    venues = {venue.mic: venue for venue in snapshot.views[request.instrument_id].instrument.venues}
    assert abs(math.fsum(shares.values()) - 1.0) <= 1e-9
    assert min(shares.values()) > 0.0
    assert set(shares) <= set(venues) - constraints.excluded_venues
    if constraints.allowed_venues:
        assert set(shares) <= constraints.allowed_venues
    dark = sum(share for mic, share in shares.items() if venues[mic].kind is VenueKind.DARK)
    assert abs(dark - float(decision.chosen.parameters["dark_pool_ratio"])) <= 1e-5


def assert_slices_are_allowed(decision: Decision) -> None:
    """The gateway may send what it is told to; what rests whole it may send at once."""
    sent = [piece for piece in decision.schedule.slices if piece.phase is not SlicePhase.CARRY_OVER]
    quantities = [piece.quantity_shares for piece in sent]
    most = decision.risk_controls.max_slice_shares
    assert max(quantities) <= most
    if decision.chosen.algorithm in RESTING_WHOLE:
        assert quantities == [most]


def assert_schedule(schedule: Schedule, found: Resolved, rests_whole: bool) -> None:
    """Whole lots that sum to the quantity, in time order, inside session and horizon, never in the break; what rests
    whole is one slice from start to end, over the break too."""
    request, session = found.request, found.point.session
    if rests_whole:
        (only,) = schedule.slices
        assert only.start_ns + round(only.duration_seconds * 1e9) == pytest.approx(schedule.end_ns, abs=1_000)
        assert not session.break_start_ns <= only.start_ns < session.break_end_ns
    lot = found.view.instrument.lot_size_shares
    assert schedule.slices
    assert sum(round(s.quantity_shares / lot) for s in schedule.slices) == round(request.quantity_shares / lot)
    assert schedule.start_ns >= request.start_ns
    assert session.open_ns <= schedule.start_ns <= schedule.end_ns <= session.close_ns
    before = schedule.start_ns
    for index, piece in enumerate(schedule.slices):
        assert piece.quantity_shares > 0.0
        lots = piece.quantity_shares / lot
        assert abs(lots - round(lots)) <= 1e-9 * lots
        end = piece.start_ns + round(piece.duration_seconds * 1e9)
        assert before <= piece.start_ns <= end <= schedule.end_ns + 1_000
        before = end
        if session.break_end_ns > session.break_start_ns and not rests_whole:
            assert end <= session.break_start_ns + 1_000 or piece.start_ns >= session.break_end_ns
        if piece.phase is SlicePhase.CLOSING_AUCTION:
            assert index == len(schedule.slices) - 1
            assert (piece.start_ns, piece.duration_seconds) == (session.close_ns, 0.0)
        if piece.phase is SlicePhase.CARRY_OVER:
            assert index == len(schedule.slices) - 1
            assert (piece.start_ns, piece.duration_seconds) == (schedule.end_ns, 0.0)
    until = instant_of(session, found.point.minute + schedule.horizon_minutes)
    assert schedule.end_ns <= max(until, schedule.start_ns) + 1_000


def assert_participation(decision: Decision, found: Resolved) -> None:
    """No slice plans more than the limit of the volume expected in it, but for one lot of rounding."""
    limit, lot = decision.inputs.max_participation_rate, found.view.instrument.lot_size_shares
    daily, session = decision.inputs.average_daily_volume_shares, found.point.session
    for piece in decision.schedule.slices:
        if piece.phase is SlicePhase.CARRY_OVER:
            continue
        if piece.phase is SlicePhase.CLOSING_AUCTION:
            volume = found.view.instrument.close_auction_fraction * daily
        else:
            start = minute_of(session, piece.start_ns)
            end = start + piece.duration_seconds / 60.0
            volume = (volume_until(found.cumulative, end) - volume_until(found.cumulative, start)) * daily
        assert piece.quantity_shares <= limit * volume * (1.0 + 1e-6) + lot * (1.0 + 1e-9), (decision.chosen, piece)


def assert_sums(decision: Decision) -> None:
    """The breakdown is additive, and the outcomes say the same numbers."""
    b, outcomes = decision.breakdown, decision.chosen.outcomes
    causes = (b.spread_bps, b.impact_bps, b.fees_bps, b.dark_saving_bps, b.learned_correction_bps)
    scale = max(1.0, sum(abs(cause) for cause in causes))
    assert abs(math.fsum(causes) - b.expected_cost_bps) <= 1e-9 * scale
    whole = (*causes, b.timing_risk_bps, b.alpha_bps, b.time_bps)
    assert abs(math.fsum(whole) - b.utility_bps) <= 1e-9 * max(1.0, sum(abs(cause) for cause in whole))
    assert abs(outcomes.cost_fraction * 1e4 - b.expected_cost_bps) <= 1e-9 * scale
    assert outcomes.utility_bps == b.utility_bps
    assert 0.0 <= outcomes.completion_probability <= 1.0
    assert 0.0 <= outcomes.risk_score <= 1.0
    assert 0.0 <= decision.confidence <= 1.0
    assert outcomes.quantile_10_fraction <= outcomes.cost_fraction <= outcomes.quantile_90_fraction


def assert_order_of_choices(decision: Decision) -> None:
    """Alternatives best first (but for a tie), every algorithm once, never better; one frontier point is chosen."""
    gaps = [alternative.utility_difference_bps for alternative in decision.alternatives]
    assert all(gap >= 0.0 for gap in gaps)
    assert all(later >= earlier - 1e-4 for earlier, later in pairwise(gaps))
    names = [decision.chosen.algorithm, *(alternative.choice.algorithm for alternative in decision.alternatives)]
    assert len(set(names)) == len(names)
    assert sum(point.chosen for point in decision.frontier) == 1
    deviations = [point.standard_deviation_bps for point in decision.frontier]
    assert deviations == sorted(deviations)
    hull = [point.expected_cost_bps for point in decision.frontier if not point.chosen]
    assert all(np.diff(hull) < 0.0)
