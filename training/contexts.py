"""Orders to learn from and to be judged by: drawn around the instruments that were calibrated from real data.

Context `index` of a `purpose` is the same whatever else is drawn, so that work can be cut into pieces, resumed and
spread over machines. Purposes have disjoint seeds: nothing that is judged was ever trained on.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.assumptions import DEFAULT_ASSUMPTIONS
from engine.catalogue import candidate_set
from engine.conditions import ConditionEstimate
from engine.decision import Refusal
from engine.priced import context_of
from engine.request import Constraints, Context, OrderRequest
from engine.resolve import Resolved, resolve
from engine.sessions import MINUTE_NS, Sessions
from engine.simulator.orders import SimulatedOrder, order_of
from engine.snapshot import InstrumentView, Limits, Snapshot, VenueDirectory, prepare_view
from engine.surfaces import Surfaces
from engine.utility import table_sha256, weights_of
from engine.values import (
    CONDITIONS,
    Instrument,
    MarketCondition,
    MarketState,
    Objective,
    Side,
    TradingSession,
    Urgency,
    VenueKind,
)

SEED_FILE = Path(__file__).resolve().parent.parent / "store" / "seed" / "instruments.json"

MONDAY_NS = 1_767_571_200 * 10**9  # 2026-01-05T00:00Z; the day itself means nothing
HOUR_NS = 60 * MINUTE_NS
OPEN_NS = MONDAY_NS + 14 * HOUR_NS
# Minutes of the continuous session by calendar; China's has a break of 90 minutes after 120.
SESSION_MINUTES = {"XNYS": 390, "XNAS": 390, "BVMF": 420, "XSHG": 240}


class Purpose(IntEnum):
    """What a context is for. The numbers are part of the seeds and never change."""

    TRAIN = 1
    CALIBRATE = 2
    CONFIDENCE = 3
    JUDGE = 4
    PARITY = 5


@dataclass(frozen=True, slots=True)
class Case:
    """One order with the world that it is decided in.

    `axis` multiplies what the order and its market show: ("volatility", 2.0) and the like, for tests out of
    distribution.
    """

    purpose: Purpose
    index: int
    request: OrderRequest
    view: InstrumentView
    weights: NDArray[np.float64]

    @property
    def condition(self) -> MarketCondition:
        return CONDITIONS[int(np.argmax(self.weights))]

    def snapshot(self, base: Snapshot) -> Snapshot:
        """The base with this order's instrument as it is now."""
        return replace(base, views={self.request.instrument_id: self.view})

    def seed(self, stage: int) -> tuple[int, ...]:
        """Seed of this order's market paths in one stage of the work."""
        return (20261122, int(self.purpose), self.index, stage)


@dataclass(frozen=True, slots=True)
class Scene:
    """A case resolved: what the kernel reads and what the simulator runs."""

    case: Case
    resolved: Resolved
    context: NDArray[np.float64]
    order: SimulatedOrder


def sessions_of(calendar: str) -> Sessions:
    """One long-lived made-up day of the calendar's usual length."""
    minutes = SESSION_MINUTES.get(calendar, 390)
    if calendar == "XSHG":
        day = TradingSession(
            OPEN_NS, OPEN_NS + 330 * MINUTE_NS, OPEN_NS + 120 * MINUTE_NS, OPEN_NS + 210 * MINUTE_NS
        )
    else:
        day = TradingSession(OPEN_NS, OPEN_NS + minutes * MINUTE_NS)
    return Sessions.of([day])


@cache
def instruments() -> tuple[tuple[Instrument, MarketState], ...]:
    """The seed instruments and their market, in the order of the file."""
    found = []
    for row in json.loads(SEED_FILE.read_text())["instruments"]:
        fields = {name: value for name, value in row.items() if name not in ("market", "provenance")}
        instrument = msgspec.convert(fields, Instrument, strict=False)
        found.append((instrument, msgspec.convert(row["market"], MarketState, strict=False)))
    return tuple(found)


def base_snapshot(surfaces: Surfaces) -> Snapshot:
    """A snapshot without instruments or models: cases bring their own view."""
    return Snapshot(
        catalogue=candidate_set(), surfaces=surfaces, surfaces_sha256="", assumptions=DEFAULT_ASSUMPTIONS,
        utility_sha256=table_sha256(), engine_version="training", limits=Limits(), directory=VenueDirectory({}, {}),
        views={},
    )


def start_ns_of(calendar: str, minute: float) -> int:
    """The instant of a trading minute of the made-up day."""
    pause = 90 if calendar == "XSHG" and minute >= 120 else 0
    return OPEN_NS + round((minute + pause) * MINUTE_NS)


@dataclass(frozen=True, slots=True)
class Axis:
    """A shift of what orders look like: volatility, spread or volume, times a factor."""

    name: str = ""
    factor: float = 1.0

    def on(self, name: str) -> float:
        return self.factor if name == self.name else 1.0


def draw_case(purpose: Purpose, index: int, axis: Axis = Axis()) -> Case:
    """The `index`-th case of a purpose. Objectives, urgencies and conditions go round, so that every one of the 120
    combinations is equally frequent."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((20261122, 7, int(purpose), index))))
    instrument, usual = instruments()[int(rng.integers(len(instruments())))]
    mid = float(usual.mid_price or 50.0)
    tick_bps = instrument.tick_size / mid * 1e4
    volatility = float(usual.daily_volatility_fraction or 0.02) * lognormal(rng, 0.35) * axis.on("volatility")
    spread_bps = max(float(usual.spread_bps or 5.0) * lognormal(rng, 0.45) * axis.on("spread"), tick_bps)
    volume = float(usual.average_daily_volume_shares or 1e6) * lognormal(rng, 0.5) * axis.on("volume")
    session = float(SESSION_MINUTES.get(instrument.calendar, 390))
    start = draw_start(rng, session)
    weights = draw_weights(rng, CONDITIONS[index % len(CONDITIONS)])
    stated = bool(np.count_nonzero(weights) == 1)
    constraints = draw_constraints(rng, instrument)
    # A shift of the volume finds the same order in another market.
    quantity = draw_quantity(rng, instrument, volume / axis.on("volume"), session, start, constraints)
    alpha = 0.0 if rng.random() < 0.6 else float(rng.normal(0.0, 0.35) * volatility * 1e4)
    sessions = sessions_of(instrument.calendar)
    condition = CONDITIONS[int(np.argmax(weights))]
    request = OrderRequest(
        order_id=f"{purpose.name}-{index}", instrument_id=instrument.instrument_id,
        side=Side.BUY if rng.random() < 0.5 else Side.SELL, quantity_shares=quantity,
        objective=list(Objective)[(index // 6) % 5], urgency=list(Urgency)[(index // 30) % 4],
        start_ns=start_ns_of(instrument.calendar, start), seed=index, constraints=constraints,
        context=Context(
            condition=condition if stated else MarketCondition.UNSPECIFIED, mid_price=mid, spread_bps=spread_bps,
            daily_volatility_fraction=volatility, average_daily_volume_shares=volume,
            short_term_alpha_bps_per_day=alpha,
        ),
    )
    view = prepare_view(instrument, replace(usual, bars=()), sessions, 570.0)
    estimate = ConditionEstimate(condition, tuple(float(w) for w in weights), "drawn", 60)
    view = replace(view, estimate=estimate, estimate_as_of_ns=request.start_ns)
    return Case(purpose, index, request, view, weights)


def lognormal(rng: np.random.Generator, log_sd: float) -> float:
    return math.exp(log_sd * float(rng.standard_normal()))


def draw_start(rng: np.random.Generator, session_minutes: float) -> float:
    """Whole minutes: a third of the orders come with the open, the rest all day until 15 minutes before the end."""
    if rng.random() < 0.3:
        return float(rng.integers(0, 10))
    return float(rng.integers(0, int(session_minutes) - 15))


def draw_weights(rng: np.random.Generator, main: MarketCondition) -> NDArray[np.float64]:
    """Mostly the condition is stated; else it was detected, with doubt."""
    weights = np.zeros(len(CONDITIONS))
    position = CONDITIONS.index(main)
    if rng.random() < 0.75:
        weights[position] = 1.0
        return weights
    share = float(rng.uniform(0.5, 0.95))
    others = rng.permutation([n for n in range(len(CONDITIONS)) if n != position])[: int(rng.integers(1, 3))]
    weights[position] = share
    weights[others] = (1.0 - share) * rng.dirichlet(np.ones(len(others)))
    weights[weights < 0.02] = 0.0
    normed: NDArray[np.float64] = weights / weights.sum()
    return normed


def draw_constraints(rng: np.random.Generator, instrument: Instrument) -> Constraints:
    """Half of the orders carry none."""
    limit = None if rng.random() < 0.6 else float(np.round(np.exp(rng.uniform(np.log(0.05), np.log(0.30))), 3))
    minutes = None if rng.random() < 0.6 else int(np.exp(rng.uniform(np.log(10.0), np.log(300.0))))
    dark = tuple(venue.mic for venue in instrument.venues if venue.kind is VenueKind.DARK)
    preferred = bool(dark) and rng.random() < 0.08
    excluded = frozenset(dark) if dark and not preferred and rng.random() < 0.1 else frozenset()
    return Constraints(
        max_participation_rate=limit, time_limit_minutes=minutes, excluded_venues=excluded,
        dark_pool_preference=preferred,
    )


def draw_quantity(rng: np.random.Generator, instrument: Instrument, volume: float, session_minutes: float,
                  start: float, constraints: Constraints) -> float:
    """Whole lots, 0.02 % to 25 % of daily volume, log-uniform, of which at most 80 % of what its limits leave."""
    left = session_minutes - start
    if constraints.time_limit_minutes is not None:
        left = min(left, float(constraints.time_limit_minutes))
    most = 0.8 * (constraints.max_participation_rate or 0.30) * 0.8 * left / session_minutes
    share = math.exp(rng.uniform(math.log(2e-4), math.log(0.25)))
    while share > most:
        share = most * float(rng.uniform(0.05, 1.0))
    lot = instrument.lot_size_shares
    return max(1, round(share * volume / lot)) * lot


def scene_of(case: Case, base: Snapshot) -> Scene | None:
    """The case resolved, or None where the request cannot be planned at all."""
    snapshot = case.snapshot(base)
    resolved = resolve(case.request, snapshot)
    if isinstance(resolved, Refusal):
        return None
    weights = weights_of(case.request.objective, case.request.urgency)
    context = context_of(resolved, snapshot, weights)
    order = order_of(context, resolved.weights, resolved.cumulative)
    return Scene(case, resolved, context, order)
