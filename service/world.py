"""Keeps the one snapshot that decisions read, and swaps it whole when market data change."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from engine.assumptions import DEFAULT_ASSUMPTIONS
from engine.catalogue import CatalogueChoice, candidate_set, shape_keys
from engine.limits import HardLimits
from engine.scoring.models import Models
from engine.sessions import Sessions
from engine.snapshot import InstrumentView, Limits, Snapshot, VenueDirectory, prepare_view
from engine.surfaces import Surfaces, scaled, surfaces_from_arrays
from engine.utility import table_sha256
from engine.values import MarketState
from service.reference_file import Reference
from store.artifacts import Artifact, bytes_to_arrays
from store.catalogue import CatalogueRow
from store.errors import StoreError
from store.reference_rows import VenueEntry

# Market data of this long are taken into the snapshot together; well under the 100 ms that are promised.
GATHER_S = 0.005


log = structlog.get_logger(__name__)


class SurfacesMismatchError(StoreError):
    """The surfaces were built for other shapes or constants than this build has."""


def directory_of(venues: Mapping[str, VenueEntry]) -> VenueDirectory:
    """MICs, names and aliases, upper case, to MICs; and the name by which a venue is shown."""
    by_name: dict[str, str] = {}
    shown: dict[str, str] = {}
    for mic, entry in venues.items():
        for name in (mic, entry.name, *entry.aliases):
            by_name.setdefault(name.upper(), mic)
        shown[mic] = entry.aliases[0] if entry.aliases else mic
    return VenueDirectory(by_name, shown)


def choices_of(rows: tuple[CatalogueRow, ...]) -> list[CatalogueChoice]:
    """What operators left of each algorithm: `enabled`, and min and max of every parameter."""
    found = []
    for row in rows:
        limits: dict[str, tuple[float, float]] = {}
        for name, allowed in row.parameter_ranges.items():
            if isinstance(allowed, Mapping):
                limits[name] = (float(allowed["min"]), float(allowed["max"]))
        found.append(CatalogueChoice(str(row.algorithm_mapping["algorithm"]), row.enabled, limits))
    return found


def check_surfaces(artifact: Artifact) -> None:
    """Refuses surfaces of other shapes: prices would silently belong to other algorithms."""
    built_for = artifact.manifest.metadata.get("shapes")
    ours = [[name, value] for name, value in shape_keys()]
    if built_for != ours:
        raise SurfacesMismatchError(
            f"surfaces {artifact.sha256[:12]} were built for {len(built_for or [])} other shapes; run `make train`"
        )


def surfaces_of(artifact: Artifact, models: Models | None) -> Surfaces:
    """The surfaces that price: those of the artifact, with the refit that models bring in them."""
    check_surfaces(artifact)
    surfaces = surfaces_from_arrays(bytes_to_arrays(artifact.files["surfaces.npz"]))
    return surfaces if models is None else scaled(surfaces, models.factors)


def build_snapshot(reference: Reference, sessions: Mapping[str, Sessions], artifact: Artifact, limits: Limits,
                   engine_version: str, venue_names: bool, models: Models | None = None) -> Snapshot:
    """The first snapshot."""
    surfaces = surfaces_of(artifact, models)
    views = {
        name: prepare_view(
            instrument, reference.market[name], sessions[instrument.calendar],
            reference.zone_open_minute.get(instrument.calendar, 570.0),
        )
        for name, instrument in reference.instruments.items()
    }
    return Snapshot(
        catalogue=candidate_set(choices_of(reference.catalogue)), surfaces=surfaces, surfaces_sha256=artifact.sha256,
        assumptions=DEFAULT_ASSUMPTIONS, utility_sha256=table_sha256(), engine_version=engine_version, limits=limits,
        directory=directory_of(reference.venues), views=views, venue_names=venue_names,
        models=models,
    )


def tightened(limits: Limits, firm: HardLimits | None) -> Limits:
    """The configured limits, or the firm's where those are stricter."""
    if firm is None:
        return limits
    rate, collar_bps = firm.max_participation_rate, firm.price_collar_bps
    return replace(
        limits,
        max_participation_rate=min(limits.max_participation_rate, rate if rate is not None else math.inf),
        price_collar_bps=min(limits.price_collar_bps, collar_bps if collar_bps is not None else math.inf),
    )


class World:
    """Holds the snapshot. Single-threaded: lives on the worker's event loop."""

    def __init__(self, snapshot: Snapshot, *, surfaces: Surfaces | None = None,
                 on_swap: Callable[[Snapshot, Iterable[str]], None] = lambda _snapshot, _names: None) -> None:
        """`on_swap` is told of every new snapshot, and of the instruments that are new in it. `surfaces`: those that
        price without models, where the snapshot's have a refit in them."""
        self._snapshot = snapshot
        self._plain = surfaces or snapshot.surfaces
        self._structural = self._without_models(snapshot)
        self._structural_of = snapshot
        self._configured = snapshot.limits
        self._on_swap = on_swap
        self._changed: dict[str, MarketState] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    @property
    def structural(self) -> Snapshot:
        """The same without models and what was learned: what a service would decide by that has neither."""
        if self._structural_of is not self._snapshot:
            self._structural, self._structural_of = self._without_models(self._snapshot), self._snapshot
        return self._structural

    def _without_models(self, snapshot: Snapshot) -> Snapshot:
        return replace(snapshot, models=None, learned=None, surfaces=self._plain)

    def currency_of(self, instrument_id: str) -> str:
        """ISO 4217; empty for an instrument that is not known."""
        view = self._snapshot.views.get(instrument_id)
        return view.instrument.currency if view is not None else ""

    def limits_changed(self, firm: HardLimits | None) -> None:
        """Plans heed the firm's hard limits from the start, so that few decisions break them at the end."""
        limits = tightened(self._configured, firm)
        if limits != self._snapshot.limits:
            self._snapshot = replace(self._snapshot, limits=limits)
            self._on_swap(self._snapshot, ())

    def market_changed(self, instrument_id: str, state: MarketState) -> None:
        """Called by the keeper; the snapshot follows within GATHER_S."""
        view = self._snapshot.views.get(instrument_id)
        if view is None or view.market == state:
            return
        self._changed[instrument_id] = state
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self.swap)

    def replace(self, **parts: Any) -> None:
        """Other corrections, or other models with their surfaces: one new snapshot."""
        self._snapshot = replace(self._snapshot, **parts)
        self._on_swap(self._snapshot, self._snapshot.views)

    def swap(self) -> None:
        """One new snapshot for everything that changed since the last."""
        self._timer = None
        changed, self._changed = self._changed, {}
        views: dict[str, InstrumentView] = dict(self._snapshot.views)
        for name, state in changed.items():
            old = views[name]
            try:
                views[name] = prepare_view(old.instrument, state, old.sessions, old.open_local_minute)
            except Exception:  # figures of one instrument must not keep those of the others out
                log.exception("market data could not be taken into the snapshot", instrument=name)
        self._snapshot = replace(self._snapshot, views=views)
        self._on_swap(self._snapshot, changed)
