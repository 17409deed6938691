"""An answer's chosen strategy as wire bytes: the slices are most of its fields, and no protobuf object is made for any.

As `service/mapping/wire.py`, which this stands on: the bytes are those of the contract's messages serialised
deterministically, and a test holds them against `responses.response_of`.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from execution_strategy.v1 import response_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec.structs import astuple
from numba import njit

from engine import telling as at
from engine.decision import SLICE_BEGINS, SLICE_LASTS, SLICE_LOTS, SLICE_PHASE, Decision
from engine.told import Told
from service.mapping.wire import (
    BYTES,
    DOUBLE,
    VARINT,
    ToldWriter,
    outcomes_bytes,
    put_bytes,
    put_double,
    put_outcomes,
    put_raw,
    put_varint,
    tag_of,
    varint_bytes,
    write_told,
)

NS: Final = 1_000_000_000
_RESPONSE = response_pb2.ExecutionStrategyResponse.DESCRIPTOR
_STRATEGY = response_pb2.ExecutionStrategy.DESCRIPTOR
_PLAN = response_pb2.TimeAllocation.DESCRIPTOR
_SLICE = response_pb2.ScheduleSlice.DESCRIPTOR
STRATEGY_TAG: Final = tag_of(_RESPONSE, "recommended_strategy", BYTES)
OUTCOMES_TAG: Final = tag_of(_RESPONSE, "expected_outcomes", BYTES)
BREAKDOWN_TAG: Final = tag_of(_RESPONSE, "cost_breakdown", BYTES)
CREATED_TAG: Final = tag_of(_RESPONSE, "created_at", BYTES)
SEED_TAG: Final = tag_of(response_pb2.EngineVersions.DESCRIPTOR, "seed", VARINT)
PLAN_TAG: Final = tag_of(_STRATEGY, "time_allocation", BYTES)
CONTROLS_TAG: Final = tag_of(_STRATEGY, "risk_controls", BYTES)
START_TAG, END_TAG, SLICES_TAG = (tag_of(_PLAN, name, BYTES) for name in ("start_time", "end_time", "slices"))
HORIZON_TAG: Final = tag_of(_PLAN, "horizon_minutes", DOUBLE)
SLICE_START_TAG: Final = tag_of(_SLICE, "start_time", BYTES)
DURATION_TAG, QUANTITY_TAG = (tag_of(_SLICE, name, DOUBLE) for name in ("duration_seconds", "quantity"))
PHASE_TAG: Final = tag_of(_SLICE, "phase", VARINT)
SECONDS_TAG, NANOS_TAG = (tag_of(Timestamp.DESCRIPTOR, name, VARINT) for name in ("seconds", "nanos"))
# In the order of their numbers, which is that of the fields of `RiskControls` and the first of `ResolvedInputs`; of the
# breakdown as TOLD_BREAKDOWN has it.
CONTROL_TAGS: Final = tuple(
    tag_of(response_pb2.RiskControls.DESCRIPTOR, name, DOUBLE)
    for name in (
        "max_participation_rate", "max_slice_quantity", "price_limit", "price_collar_bps", "max_spread_bps",
        "volatility_trigger_ratio", "schedule_shortfall_trigger_fraction",
    )
)  # fmt: skip
CAUSE_TAGS: Final = tuple(
    tag_of(response_pb2.CostBreakdown.DESCRIPTOR, name, DOUBLE)
    for name in (
        "spread_bps", "impact_bps", "fees_bps", "dark_saving_bps", "learned_correction_bps", "expected_cost_bps",
        "timing_risk_bps", "alpha_bps", "time_bps", "utility_bps", "standard_deviation_bps",
    )
)  # fmt: skip
INPUT_TAGS: Final = tuple(
    tag_of(response_pb2.ResolvedInputs.DESCRIPTOR, name, DOUBLE)
    for name in (
        "mid_price", "spread_bps", "daily_volatility", "average_daily_volume", "short_term_alpha_bps_per_day",
        "available_minutes", "expected_market_volume", "max_participation_rate",
    )
)  # fmt: skip
# Of one slice: two times of at most 11 bytes each with tag and length, two figures, a phase.
_MOST_OF_SLICE: Final = 64
_MOST_SIGNED: Final = 2**63 - 1
_double = struct.Struct("<d").pack


@lru_cache(maxsize=4_096)
def _venue_start(name: str) -> bytes:
    """The map entry of a venue up to its share's eight bytes, which are its last."""
    entry = response_pb2.ExecutionStrategy(venue_allocation={name: 1.0})
    return bytes(entry.SerializeToString()[:-8])


def venues_bytes(shares: dict[str, float]) -> bytes:
    """venue_allocation by the names that the answer has."""
    return _venues(tuple(shares.items()))


@lru_cache(maxsize=4_096)
def _venues(shares: tuple[tuple[str, float], ...]) -> bytes:
    """An instrument's are often the same: only what goes dark depends on an order's size."""
    return b"".join([_venue_start(name) + _double(share) for name, share in sorted(shares)])


class Written(NamedTuple):
    """Fields of an answer, of `resolved_inputs` those that are figures, and of `versions` the seed (of these two
    without tag and length)."""

    strategy: bytes
    outcomes: bytes
    breakdown: bytes
    alternatives: bytes
    frontier: bytes
    inputs: bytes
    created: bytes
    seed: bytes


def write_figures(
    writer: ToldWriter, decision: Decision, told: Told, venues: dict[str, float], created_at_ns: int
) -> Written | None:
    """What an answer has of arrays and figures, in one compiled call; None where figures are too large to be written
    here (`wire.put_reason`). `venues`: shares by the names that the answer has."""
    schedule, seed = decision.schedule, decision.versions.seed
    placed = venues_bytes(venues)
    kept = writer.kept(told.catalogue)
    out = writer.room(told, kept.longest + len(placed) + _MOST_OF_SLICE * (len(schedule.table) + 10))
    figures = (
        *astuple(decision.risk_controls), schedule.horizon_minutes, *astuple(decision.inputs)[: len(INPUT_TAGS)],
    )  # fmt: skip
    strategy, outcomes, breakdown, alternatives, frontier, inputs, created, end = put_all(
        out, told.told, told.points, kept.data, kept.ends, kept.places, np.frombuffer(placed, np.uint8),
        schedule.table, schedule.lot_size_shares, (schedule.start_ns, schedule.end_ns, created_at_ns), figures,
        seed if seed <= _MOST_SIGNED else seed - (1 << 64),
    )
    if end < 0:
        return None
    data = out[:end].tobytes()
    return Written(
        data[:strategy], data[strategy:outcomes], data[outcomes:breakdown], data[breakdown:alternatives],
        data[alternatives:frontier], data[frontier:inputs], data[inputs:created], data[created:],
    )


@njit(cache=True)
def _time_bytes(instant_ns):
    """How long a Timestamp is."""
    seconds, nanos = instant_ns // NS, instant_ns % NS
    return (1 + varint_bytes(seconds) if seconds != 0 else 0) + (1 + varint_bytes(nanos) if nanos != 0 else 0)


@njit(cache=True)
def _put_time(out, place, tag, instant_ns):
    seconds, nanos = instant_ns // NS, instant_ns % NS
    out[place], out[place + 1] = tag, _time_bytes(instant_ns)
    place += 2
    if seconds != 0:
        out[place] = SECONDS_TAG
        place = put_varint(out, place + 1, seconds)
    if nanos != 0:
        out[place] = NANOS_TAG
        place = put_varint(out, place + 1, nanos)
    return place


@njit(cache=True)
def _put_slices(out, place, table, lot_size_shares):
    bits = np.empty(2)
    raw = bits.view(np.int64)
    for row in table:
        bits[0], bits[1] = row[SLICE_LASTS] / 1e9, row[SLICE_LOTS] * lot_size_shares
        size = 2 + _time_bytes(row[SLICE_BEGINS]) + 2
        for figure in range(2):
            size += 9 if raw[figure] != 0 else 0
        out[place], out[place + 1] = SLICES_TAG, size
        place = _put_time(out, place + 2, SLICE_START_TAG, row[SLICE_BEGINS])
        place = put_double(out, place, DURATION_TAG, raw[0])
        place = put_double(out, place, QUANTITY_TAG, raw[1])
        out[place], out[place + 1] = PHASE_TAG, row[SLICE_PHASE]
        place += 2
    return place


@njit(cache=True)
def _put_doubles(out, place, tag, tags, bits, first):
    """A message of figures alone, as a field."""
    size = 0
    for column in range(len(tags)):
        size += 9 if bits[first + column] != 0 else 0
    out[place], out[place + 1] = tag, size
    place += 2
    for column in range(len(tags)):
        place = put_double(out, place, tags[column], bits[first + column])
    return place


@njit(cache=True)
def put_chosen(out, told, data, ends, places, venues, table, lot_size_shares, times, figures):
    """Strategy, outcomes and breakdown into `out`, which must be long enough; where each ends. times: start and end of
    the schedule first, ns. figures (8 or more,): the controls, then the horizon in minutes."""
    bits, controls = told.view(np.int64)[0], figures.view(np.int64)
    n = int(told[0, at.TOLD_INDEX])
    # The slices go where they will stand if lengths take as many bytes as they may; they are moved down then.
    room = 2 * 10 + ends[n, 2] - ends[n, 0] + venues.shape[0] + 3 * 64
    slices = _put_slices(out, room, table, lot_size_shares) - room
    plan = 4 + _time_bytes(times[0]) + _time_bytes(times[1]) + (9 if controls[7] != 0 else 0) + slices
    size = ends[n, 2] - ends[n, 0] + venues.shape[0] + 1 + varint_bytes(plan) + plan + 2
    for control in range(len(CONTROL_TAGS)):
        size += 9 if controls[control] != 0 else 0
    out[0] = STRATEGY_TAG
    begin = put_varint(out, 1, size)
    place = put_bytes(out, begin, data, ends[n, 0], ends[n, 2])
    if places[n, 0] >= 0:
        put_raw(out, begin + places[n, 0] - ends[n, 0], bits[at.TOLD_MINUTES])
    if places[n, 1] >= 0:
        put_raw(out, begin + places[n, 1] - ends[n, 0], bits[at.TOLD_PARTICIPATION])
    place = put_bytes(out, place, venues, 0, venues.shape[0])
    out[place] = PLAN_TAG
    place = put_varint(out, place + 1, plan)
    place = _put_time(out, place, START_TAG, times[0])
    place = _put_time(out, place, END_TAG, times[1])
    place = put_double(out, place, HORIZON_TAG, controls[7])
    place = put_bytes(out, place, out, room, room + slices)
    strategy = _put_doubles(out, place, CONTROLS_TAG, CONTROL_TAGS, controls, 0)
    size = outcomes_bytes(told[0], bits)
    out[strategy] = OUTCOMES_TAG
    outcomes = put_outcomes(out, put_varint(out, strategy + 1, size), told[0], bits)
    return strategy, outcomes, _put_doubles(out, outcomes, BREAKDOWN_TAG, CAUSE_TAGS, bits, at.TOLD_BREAKDOWN)


@njit(cache=True)
def _put_seed(out, place, seed):
    """A field of 64 bits without a sign, given as a number with one."""
    if seed == 0:
        return place
    out[place] = SEED_TAG
    rest = (seed >> 7) & (2**57 - 1)
    if rest == 0:
        return put_varint(out, place + 1, seed)
    out[place + 1] = (seed & 127) | 128
    return put_varint(out, place + 2, rest)


@njit(cache=True)
def put_all(out, told, points, data, ends, places, venues, table, lot_size_shares, times, figures, seed):
    """The parts of `Written` one after another; where each ends, all -1 where that cannot be written here. times: those
    of `put_chosen`, then when the answer was made. figures (16,): those of `put_chosen`, then the inputs'."""
    own = np.empty(len(figures))
    for figure in range(len(figures)):
        own[figure] = figures[figure]
    strategy, outcomes, breakdown = put_chosen(
        out, told, data, ends, places, venues, table, lot_size_shares, times, own
    )
    alternatives, frontier = write_told(out, breakdown, told, points, data, ends, places)
    if frontier < 0:
        return -1, -1, -1, -1, -1, -1, -1, -1
    bits, inputs = own.view(np.int64), frontier
    for column in range(len(INPUT_TAGS)):
        inputs = put_double(out, inputs, INPUT_TAGS[column], bits[8 + column])
    created = _put_time(out, inputs, CREATED_TAG, times[2])
    return strategy, outcomes, breakdown, alternatives, frontier, inputs, created, _put_seed(out, created, seed)
