"""A small world for the engine's tests: seed instruments, made-up sessions, and orders of every kind.

Sessions are not those of a calendar: six weekdays from Monday 2026-01-05, of 390 minutes (the third a half day of
210), or of 240 minutes with a lunch break for the Chinese instruments.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine import kernel, utility
from engine.assumptions import DEFAULT_ASSUMPTIONS
from engine.catalogue import CatalogueChoice, all_shapes, candidate_set
from engine.priced import context_of
from engine.request import Constraints, Context, OrderRequest
from engine.resolve import Resolved, resolve
from engine.sessions import Sessions
from engine.snapshot import InstrumentView, Limits, Snapshot, VenueDirectory, prepare_view
from engine.surfaces import Surfaces, build_surfaces
from engine.values import Instrument, MarketCondition, MarketState, Objective, Side, TradingSession, Urgency

SEED_FILE = Path(__file__).resolve().parents[2] / "store" / "seed" / "instruments.json"

SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
MONDAY_NS = 1_767_571_200 * SECOND_NS  # 2026-01-05T00:00Z
DAYS = 6
HALF_DAY = 2

US_OPEN_NS = MONDAY_NS + 14 * HOUR_NS + 30 * MINUTE_NS
CHINA_OPEN_NS = MONDAY_NS + 1 * HOUR_NS + 30 * MINUTE_NS

US = "AAPL"
CHINA = "000333.SZ"
NO_DARK = "BBAS3"


def us_sessions() -> Sessions:
    """390 minutes, the third day 210."""
    found = []
    for day in range(DAYS):
        minutes = 210 if day == HALF_DAY else 390
        opens = US_OPEN_NS + day * DAY_NS
        found.append(TradingSession(opens, opens + minutes * MINUTE_NS))
    return Sessions.of(found)


def china_sessions() -> Sessions:
    """120 minutes, 90 minutes of lunch, 120 minutes."""
    opens = [CHINA_OPEN_NS + day * DAY_NS for day in range(DAYS)]
    return Sessions.of(
        [
            TradingSession(at, at + 330 * MINUTE_NS, at + 120 * MINUTE_NS, at + 210 * MINUTE_NS)
            for at in opens
        ]
    )


@cache
def surfaces() -> Surfaces:
    """Built once a process."""
    return build_surfaces(all_shapes(), DEFAULT_ASSUMPTIONS)


@cache
def views() -> Mapping[str, InstrumentView]:
    """Every seed instrument with its sessions."""
    found = {}
    for row in json.loads(SEED_FILE.read_text())["instruments"]:
        fields = {name: value for name, value in row.items() if name not in ("market", "provenance")}
        instrument = msgspec.convert(fields, Instrument, strict=False)
        market = msgspec.convert(row["market"], MarketState, strict=False)
        chinese = instrument.instrument_id.endswith((".SZ", ".SH"))
        sessions = china_sessions() if chinese else us_sessions()
        found[instrument.instrument_id] = prepare_view(instrument, market, sessions, 570.0)
    return found


def snapshot(choices: tuple[CatalogueChoice, ...] = (), limits: Limits | None = None,
             changed: Mapping[str, InstrumentView] | None = None) -> Snapshot:
    """The world, with an operator's choices, other limits or other views where given."""
    return Snapshot(
        catalogue=candidate_set(choices), surfaces=surfaces(), surfaces_sha256="surfaces",
        assumptions=DEFAULT_ASSUMPTIONS, utility_sha256=utility.table_sha256(), engine_version="test",
        limits=limits or Limits(), directory=VenueDirectory({}, {}), views={**views(), **(changed or {})},
    )


@cache
def usual() -> Snapshot:
    return snapshot()


def lots_of(instrument_id: str, share_of_volume: float) -> float:
    """A quantity in whole lots, about this share of the instrument's daily volume."""
    view = views()[instrument_id]
    lot = view.instrument.lot_size_shares
    volume = view.market.average_daily_volume_shares or 0.0
    return max(1, round(share_of_volume * volume / lot)) * lot


def at(instrument_id: str, minutes: float, day: int = 0) -> int:
    """An instant, so many minutes of wall time after a day's open."""
    opens = CHINA_OPEN_NS if instrument_id.endswith((".SZ", ".SH")) else US_OPEN_NS
    return opens + day * DAY_NS + round(minutes * MINUTE_NS)


CONTEXT_FIELDS = frozenset(Context.__dataclass_fields__)
CONSTRAINT_FIELDS = frozenset(Constraints.__dataclass_fields__)


def order(instrument_id: str = US, share: float = 0.01, minutes: float = 60.0, day: int = 0,
          **fields: Any) -> OrderRequest:
    """A balanced buy an hour after the open; any field of the request, its constraints or its context by name."""
    said = {n: v for n, v in fields.items() if n in CONTEXT_FIELDS}
    context = Context(**{"condition": MarketCondition.NORMAL, **said})
    constraints = Constraints(**{n: v for n, v in fields.items() if n in CONSTRAINT_FIELDS})
    rest = {n: v for n, v in fields.items() if n not in CONTEXT_FIELDS | CONSTRAINT_FIELDS}
    defaults: dict[str, Any] = {
        "order_id": "order", "instrument_id": instrument_id, "side": Side.BUY,
        "quantity_shares": lots_of(instrument_id, share), "objective": Objective.BALANCED_EXECUTION,
        "urgency": Urgency.NORMAL, "start_ns": at(instrument_id, minutes, day), "seed": 7,
    }
    return OrderRequest(**{**defaults, **rest}, constraints=constraints, context=context)


def explicit(request: OrderRequest, **figures: float) -> OrderRequest:
    """The same order with every market figure said by the request, so that changing one moves nothing else."""
    market = views()[request.instrument_id].market
    said: dict[str, Any] = {
        "mid_price": request.context.mid_price or market.mid_price,
        "spread_bps": market.spread_bps if request.context.spread_bps is None else request.context.spread_bps,
        "daily_volatility_fraction": request.context.daily_volatility_fraction or market.daily_volatility_fraction,
        "average_daily_volume_shares": (
            request.context.average_daily_volume_shares or market.average_daily_volume_shares
        ),
        "short_term_alpha_bps_per_day": request.context.short_term_alpha_bps_per_day or 0.0,
    }
    return replace(request, context=replace(request.context, **{**said, **figures}))


def resolved(request: OrderRequest, world: Snapshot | None = None) -> Resolved:
    """The order resolved; fails where it is refused."""
    found = resolve(request, world or usual())
    assert isinstance(found, Resolved), found
    return found


def kernel_context(request: OrderRequest, world: Snapshot | None = None) -> NDArray[np.float64]:
    world = world or usual()
    weights = utility.weights_of(request.objective, request.urgency)
    return context_of(resolved(request, world), world, weights)


# Everything below draws orders: the same distribution for hypothesis and for a numpy generator.


def log_uniform(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(np.log(low), np.log(high)).map(lambda x: float(np.exp(x)))


@st.composite
def contexts(draw: st.DrawFn) -> Context:
    """Conditions said or to be detected, and figures over wide ranges or left to the snapshot."""
    return Context(
        condition=draw(st.sampled_from(MarketCondition)),
        volatility_regime=draw(st.sampled_from(("", "", "LOW", "EXTREME"))),
        liquidity_score=draw(st.none() | st.floats(0.0, 1.0)),
        news_impact_score=draw(st.none() | st.floats(0.0, 1.0)),
        time_of_day=draw(st.sampled_from(("", "", "OPEN", "CLOSE", "11:15"))),
        spread_bps=draw(st.none() | st.just(0.0) | log_uniform(0.05, 200.0)),
        daily_volatility_fraction=draw(st.none() | log_uniform(1e-4, 0.5)),
        short_term_alpha_bps_per_day=draw(st.none() | st.floats(-300.0, 300.0)),
    )


@st.composite
def orders(draw: st.DrawFn, constrained: bool = True, alpha: bool = True) -> OrderRequest:
    """Valid orders of every kind; some of them cannot be met."""
    instrument_id = draw(st.sampled_from(sorted(views())))
    view = views()[instrument_id]
    side = draw(st.sampled_from(Side))
    context = draw(contexts())
    if not alpha:
        context = replace(context, short_term_alpha_bps_per_day=0.0)
    constraints = Constraints()
    if constrained:
        mid = view.market.mid_price or 1.0
        room_bps = draw(st.none() | st.floats(-100.0, 600.0))
        mics = [venue.mic for venue in view.instrument.venues]
        constraints = Constraints(
            max_participation_rate=draw(st.none() | log_uniform(0.002, 1.0)),
            time_limit_minutes=draw(st.none() | st.integers(1, 500)),
            price_limit=None if room_bps is None else mid * (1.0 + side.sign * room_bps / 1e4),
            excluded_venues=draw(st.frozensets(st.sampled_from(mics), max_size=len(mics) // 2)),
            dark_pool_preference=draw(st.sampled_from((False, False, True))),
            min_completion_probability=draw(st.none() | st.floats(0.0, 1.0)),
        )
    return OrderRequest(
        order_id="order", instrument_id=instrument_id, side=side,
        quantity_shares=lots_of(instrument_id, draw(log_uniform(1e-4, 0.4))),
        objective=draw(st.sampled_from(Objective)), urgency=draw(st.sampled_from(Urgency)),
        start_ns=draw(st.integers(MONDAY_NS, MONDAY_NS + (DAYS - 1) * DAY_NS)),
        seed=draw(st.integers(0, 2**64 - 1)), constraints=constraints, context=context,
    )


def random_order(rng: np.random.Generator, number: int) -> OrderRequest:
    """The same, from a generator: faster, and seeded by number."""

    def maybe(chance: float, value: float) -> float | None:
        return float(value) if rng.random() < chance else None

    def between(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    names = sorted(views())
    instrument_id = names[int(rng.integers(len(names)))]
    view = views()[instrument_id]
    side = list(Side)[int(rng.integers(3))]
    mics = [venue.mic for venue in view.instrument.venues]
    few = [mic for mic in mics if rng.random() < 0.2]
    room_bps = rng.uniform(-60.0, 500.0)
    limit = None
    if rng.random() < 0.25:
        limit = (view.market.mid_price or 1.0) * (1.0 + side.sign * room_bps / 1e4)
    minutes = rng.integers(1, 420) if rng.random() < 0.3 else None
    constraints = Constraints(
        max_participation_rate=maybe(0.35, between(0.004, 0.6)),
        time_limit_minutes=None if minutes is None else int(minutes), price_limit=limit,
        excluded_venues=frozenset(few) if rng.random() < 0.3 else frozenset(),
        allowed_venues=frozenset(few) if rng.random() < 0.1 else frozenset(),
        dark_pool_preference=bool(rng.random() < 0.08),
        min_completion_probability=maybe(0.25, rng.uniform(0.2, 1.0)),
    )
    context = Context(
        condition=MarketCondition(int(rng.integers(0, 7))),
        liquidity_score=maybe(0.2, rng.random()), news_impact_score=maybe(0.2, rng.random()),
        time_of_day=("", "", "", "OPEN", "CLOSE", "14:30")[int(rng.integers(6))],
        spread_bps=maybe(0.3, between(0.1, 100.0)), daily_volatility_fraction=maybe(0.3, between(1e-3, 0.2)),
        short_term_alpha_bps_per_day=maybe(0.3, rng.normal(0.0, 60.0)),
    )
    return OrderRequest(
        order_id=f"order-{number}", instrument_id=instrument_id, side=side,
        quantity_shares=lots_of(instrument_id, between(1e-4, 0.4)),
        objective=Objective(int(rng.integers(1, 6))), urgency=Urgency(int(rng.integers(1, 5))),
        start_ns=MONDAY_NS + int(rng.integers((DAYS - 1) * DAY_NS)), seed=int(rng.integers(0, 2**63)),
        constraints=constraints, context=context,
    )


@dataclass(frozen=True)
class Prices:
    """What the kernel makes of one context: a row of metrics and a mask for every candidate."""

    metrics: NDArray[np.float64]
    mask: NDArray[np.int64]

    def column(self, name: int) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self.metrics[:, name]
        return found


def prices(context: NDArray[np.float64], found: Resolved, given: Snapshot | None = None) -> Prices:
    """Every candidate at one context vector."""
    given = given or usual()
    catalogue, built = given.catalogue, given.surfaces
    metrics = np.empty((len(catalogue.candidates), kernel.METRICS))
    mask = np.empty(len(catalogue.candidates), dtype=np.int64)
    kernel.price(
        built.values, built.log_participation, built.log_horizon_days, built.log_pool_share, found.weights,
        catalogue.algorithm, catalogue.shape, catalogue.rule, catalogue.pace, catalogue.rests, catalogue.numbers,
        found.cumulative, context, metrics, mask,
    )
    return Prices(metrics, mask)
