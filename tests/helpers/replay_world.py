"""Worlds with real hashes for the tests of replays: artifacts on disk, snapshots of them, requests as a gateway sends
them, and records kept in memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from execution_strategy.v1 import request_pb2, response_pb2

from engine.assumptions import DEFAULT_ASSUMPTIONS
from engine.catalogue import candidate_set, shape_keys
from engine.decide import decide
from engine.decision import Decision
from engine.pricing import OUTPUTS
from engine.records import SelectionRecord
from engine.request import OrderRequest
from engine.resolve import bars_read
from engine.snapshot import Limits, Snapshot, VenueDirectory, prepare_view
from engine.utility import table_sha256
from engine.values import Bar
from service.engine_build import EngineBuild, this_build
from service.mapping.inputs import InputsEncoder
from service.mapping.requests import MappedRequest, map_request
from service.mapping.responses import Naming, answer_of, record_of
from service.mapping.wire import ToldWriter
from service.models import ARRAYS_FILE, load_models
from service.reference import sources_of
from service.replay import Replayer
from service.replay_library import Library
from service.version import VERSION
from service.world import directory_of, surfaces_of
from store.archive import Archive
from store.artifacts import arrays_to_bytes, bytes_to_arrays, load_artifact, write_artifact
from store.instruments import read_seed
from store.record_reader import RecordedAdaptation, RecordedSelection
from tests.helpers import world

SHIPPED = Path(__file__).resolve().parents[2] / "store" / "shipped"
ACKNOWLEDGEMENT = 1


@dataclass(frozen=True)
class Artifacts:
    """Folders of a pair that belongs together."""

    surfaces: Path
    models: Path


def shipped_surfaces() -> Path:
    return SHIPPED / "surfaces"


def artifacts_in(folder: Path, cost_scale: float = 1.0) -> Artifacts:
    """The shipped surfaces, all costs times a scale, and the shipped trees with a refit made up for them: a pair of its
    own hash for every scale."""
    shipped = load_artifact(shipped_surfaces())
    arrays = dict(bytes_to_arrays(shipped.files["surfaces.npz"]))
    arrays["values"] = (arrays["values"] * np.float32(cost_scale)).astype(np.float32)
    surfaces = folder / "surfaces"
    manifest = write_artifact(
        surfaces, shipped.manifest.kind, {"surfaces.npz": arrays_to_bytes(arrays)}, shipped.manifest.metadata,
        created_by=f"a test, scale {cost_scale}",
    )
    models = load_artifact(SHIPPED / "models")
    learned: dict[str, Any] = dict(bytes_to_arrays(models.files[ARRAYS_FILE]))
    shape = (6, len(shape_keys()), len(OUTPUTS))
    learned["factors"] = np.exp(np.random.default_rng(11).normal(0.0, 0.02, shape))
    write_artifact(
        folder / "models", models.manifest.kind, {**models.files, ARRAYS_FILE: arrays_to_bytes(learned)},
        {**models.manifest.metadata, "surfaces_sha256": manifest.sha256, "utility_sha256": table_sha256()},
        created_by=f"a test, scale {cost_scale}",
    )
    return Artifacts(surfaces, folder / "models")


def snapshot_of(artifacts: Artifacts, learned: bool = True, venue_names: bool = False,
                limits: Limits | None = None) -> Snapshot:
    """The test world's instruments under these artifacts."""
    surfaces = load_artifact(artifacts.surfaces)
    models = load_models(artifacts.models, surfaces.sha256).models if learned else None
    return Snapshot(
        catalogue=candidate_set(), surfaces=surfaces_of(surfaces, models), surfaces_sha256=surfaces.sha256,
        assumptions=DEFAULT_ASSUMPTIONS, utility_sha256=table_sha256(), engine_version=VERSION,
        limits=limits or Limits(), directory=directory(), views=dict(world.views()), venue_names=venue_names,
        models=models,
    )


def directory() -> VenueDirectory:
    return directory_of(read_seed().data.venues)


def with_bars(snapshot: Snapshot, name: str, rng: np.random.Generator, until_ns: int, count: int) -> Snapshot:
    """The instrument with a market of this moment: bars up to it, a minute each, and figures that moved."""
    view = snapshot.views[name]
    mid = view.market.mid_price or 50.0
    mids = mid * np.exp(np.cumsum(rng.normal(0.0, 6e-4 * float(rng.choice((0.3, 1.0, 4.0))), count)))
    volumes = rng.integers(0, 40_000, count)
    bars = tuple(
        Bar(until_ns - (count - 1 - n) * world.MINUTE_NS, float(mids[n]), float(volumes[n]), float(rng.gamma(4.0, 0.8)))
        for n in range(count)
    )
    market = replace(view.market, as_of_ns=until_ns, mid_price=float(mids[-1]), bars=bars)
    changed = prepare_view(view.instrument, market, view.sessions, view.open_local_minute)
    return replace(snapshot, views={**snapshot.views, name: changed})


def message_of(order: OrderRequest) -> request_pb2.ExecutionStrategyRequest:
    """The order as a gateway would send it, without an effective time: the arrival decides."""
    message = request_pb2.ExecutionStrategyRequest(
        order_id=order.order_id, instrument_id=order.instrument_id, quantity=order.quantity_shares
    )
    numbers = {
        "side": order.side, "objective": order.objective, "urgency": order.urgency,
    }
    for name, number in numbers.items():
        setattr(message, name, int(number))
    constraints, context = order.constraints, order.context
    for name in ("max_participation_rate", "time_limit_minutes", "price_limit", "min_completion_probability"):
        if (value := getattr(constraints, name)) is not None:
            setattr(message.constraints, name, value)
    message.constraints.venue_restrictions.extend(sorted(constraints.excluded_venues))
    message.constraints.allowed_venues.extend(sorted(constraints.allowed_venues))
    message.constraints.dark_pool_preference = constraints.dark_pool_preference
    target = message.market_context
    condition: Any = int(context.condition)  # the generated types have no way from a number to an enum
    target.current_conditions = condition
    target.volatility_regime, target.time_of_day = context.volatility_regime, context.time_of_day
    figures = {
        "liquidity_score": context.liquidity_score, "news_impact_score": context.news_impact_score,
        "mid_price": context.mid_price, "spread_bps": context.spread_bps,
        "daily_volatility": context.daily_volatility_fraction,
        "average_daily_volume": context.average_daily_volume_shares,
        "short_term_alpha_bps_per_day": context.short_term_alpha_bps_per_day,
    }
    for name, figure in figures.items():
        if figure is not None:
            setattr(target, name, figure)
    for bar in context.bars:
        added = target.recent_bars.add(mid_price=bar.mid_price, volume=bar.volume_shares, spread_bps=bar.spread_bps)
        added.end_time.seconds, added.end_time.nanos = divmod(bar.end_ns, 10**9)
    return message


def decided(message: request_pb2.ExecutionStrategyRequest, snapshot: Snapshot, encoder: InputsEncoder,
            now_ns: int) -> SelectionRecord | None:
    """The record of a decision, made as the handler makes it; None where the order is refused."""
    mapped = map_request(message, snapshot, now_ns)
    if not isinstance(mapped, MappedRequest):
        return None
    decision = decide(mapped.order, snapshot)
    if not isinstance(decision, Decision):
        return None
    naming = Naming(snapshot.directory, snapshot.venue_names)
    selection_id = str(uuid.uuid4())
    answer = answer_of(decision, naming, selection_id, now_ns, ACKNOWLEDGEMENT, ToldWriter())
    order = mapped.order
    own_bars = bool(bars_read(order.context.bars, decision.schedule.start_ns))
    inputs = encoder.encode(snapshot, order.instrument_id, now_ns, ACKNOWLEDGEMENT, own_bars)
    return record_of(decision, mapped, naming, answer, selection_id, now_ns, "", inputs, encoder.build_id)


def recorded(record: SelectionRecord) -> RecordedSelection:
    """What a store gives back of it."""
    return RecordedSelection(
        record.selection_id, record.order_id, record.request_hash, record.created_at_ns, record.request,
        record.response, record.inputs,
    )


@dataclass
class Records:
    """A RecordSource and ReferenceSource in memory."""

    selections: dict[str, RecordedSelection] = field(default_factory=dict)
    adaptations: dict[str, RecordedAdaptation] = field(default_factory=dict)
    references: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def add(self, record: SelectionRecord | RecordedSelection) -> str:
        kept = recorded(record) if isinstance(record, SelectionRecord) else record
        self.selections[kept.selection_id] = kept
        return kept.selection_id

    async def selection(self, selection_id: str) -> RecordedSelection | None:
        return self.selections.get(selection_id)

    async def adaptation(self, adaptation_id: str) -> RecordedAdaptation | None:
        return self.adaptations.get(adaptation_id)

    async def reference(self, sha256: str) -> bytes | None:
        self.asked.append(sha256)
        return self.references.get(sha256)


@dataclass
class Host:
    """A host with an archive: what a start leaves there, and replays over it."""

    archive: Archive
    records: Records
    snapshot: Snapshot
    build: EngineBuild = field(default_factory=this_build)

    def start(self, artifacts: Artifacts) -> None:
        """Archives what decisions refer to, as the keeper does."""
        for packed in sources_of(self.snapshot, self.build).packed:
            self.archive.keep_reference(packed)
        for folder in (artifacts.surfaces, artifacts.models):
            self.archive.keep_artifact(folder)

    def encoder(self) -> InputsEncoder:
        return InputsEncoder(self.build.build_id, self.snapshot)

    def replayer(self, most_at_once: int = 2) -> Replayer:
        return Replayer(self.records, Library(self.archive, self.records, self.snapshot), self.build, most_at_once)


def response_in(data: bytes) -> response_pb2.ExecutionStrategyResponse:
    return response_pb2.ExecutionStrategyResponse.FromString(data)


def random_messages(rng: np.random.Generator, snapshot: Snapshot,
                    count: int) -> Iterator[tuple[request_pb2.ExecutionStrategyRequest, Snapshot, int]]:
    """(request, the snapshot it meets, arrival): detected and said conditions, fresh and stale bars, bars of the
    request's own, lunch breaks, closed markets, carried-over orders, venue limits."""
    for number in range(count):
        order = world.random_order(rng, number)
        name, now_ns = order.instrument_id, order.start_ns
        if rng.random() < 0.5:
            now_ns = world.at(name, float(rng.uniform(1.0, 380.0)), int(rng.integers(0, world.DAYS - 1)))
        met = snapshot
        if rng.random() < 0.6:
            age_minutes = float(rng.choice((0.0, 3.0, 59.0, 61.0, 3_000.0)))
            until_ns = now_ns - round(age_minutes * world.MINUTE_NS)
            met = with_bars(snapshot, name, rng, until_ns, int(rng.choice((1, 12, 60, 390))))
        if rng.random() < 0.15:
            own_ns = now_ns - round(float(rng.choice((0.0, 0.0, 45.0, 90.0, -30.0))) * world.MINUTE_NS)
            own = with_bars(snapshot, name, rng, own_ns, 30).views[name].market.bars
            order = replace(order, context=replace(order.context, bars=own))
        if rng.random() < 0.15:  # too large for the rest of the session, and nothing else asked for
            order = replace(
                order, quantity_shares=world.lots_of(name, 0.6),
                constraints=replace(
                    order.constraints, max_participation_rate=None, time_limit_minutes=None,
                    min_completion_probability=None,
                ),
            )
        message = message_of(order)
        if rng.random() < 0.2:
            message.effective_time.seconds = now_ns // 10**9 + int(rng.integers(-600, 5_000))
        yield message, met, now_ns
