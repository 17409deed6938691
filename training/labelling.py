"""What the simulated market says of some candidates of one drawn order, on common random numbers.

Which candidates are looked at, what serving would see of them, and what came of them. A pure function of the order's
index, the spec, the code and the instruments, whoever works it out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from engine import kernel as k
from engine.catalogue import CATALOGUE, CandidateSet, candidate_set
from engine.scoring.features import FEATURES, RANKING, fill_features, fill_scales
from engine.scoring.models import DOMAIN_NAMES
from engine.simulator.execute import execute
from engine.simulator.market import MarketPaths, simulate_market
from engine.simulator.orders import SimulatedOrder
from engine.simulator.policies import PolicyTemplate, policies_of, template_of
from engine.simulator.world import DEFAULT_WORLD, WorldParameters
from engine.snapshot import Snapshot, cumulative_curve
from engine.surfaces import Surfaces, surfaces_from_arrays
from store.artifacts import bytes_to_arrays, load_artifact
from training.contexts import (
    SESSION_MINUTES,
    Case,
    Purpose,
    Scene,
    base_snapshot,
    draw_case,
    instruments,
    scene_of,
)
from training.simulator.estimates import Parts, cost_bps, looks_at_mid, parts_of, shortfalls_bps
from training.surfaces import FILE_NAME, SHIPPED_DIR

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

STAGE_LABELS = 0  # of the market's seeds; the oracle's stages are others

# What is known of a row afterwards; the columns of Labels.truth. Spread in quoted spreads, sigma (without permanent
# impact) and deviation in daily volatilities, time and end_time in trading days, the others shares.
TRUTHS: tuple[str, ...] = (
    "spread", "sigma", "deviation", "time", "unfilled", "dark", "passive", "completion", "end_time",
)
(
    TRUE_SPREAD, TRUE_SIGMA, TRUE_DEVIATION, TRUE_TIME, TRUE_UNFILLED, TRUE_DARK, TRUE_PASSIVE, TRUE_COMPLETION,
    TRUE_END_TIME,
) = range(9)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which allowed candidates of an order are labelled: the best by the surfaces, the best of every algorithm (more of
    those that rest, of which the surfaces know least), and random ones of the rest."""

    best: int = 40
    best_of_each: int = 2
    best_of_resting: int = 8
    random: int = 25


EVERYTHING = Selection(best=1_000_000)


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """`count` orders from `first` on. `pairs` of paths each; `draws` shortfalls are kept of every candidate."""

    purpose: Purpose
    first: int
    count: int
    pairs: int = 64
    draws: int = 8
    selection: Selection = field(default_factory=Selection)
    seed: int = 0
    world: WorldParameters = field(default_factory=lambda: DEFAULT_WORLD)
    surfaces_sha256: str = ""

    @property
    def name(self) -> str:
        return f"{self.purpose.name.lower()}-{self.first:07d}-{self.count}.npz"


# ---- what every worker holds ready


@cache
def served() -> CandidateSet:
    return candidate_set()


@cache
def served_template() -> PolicyTemplate:
    return template_of(served())


@cache
def served_inline() -> NDArray[np.bool_]:
    return looks_at_mid(served())


@cache
def shipped_surfaces() -> tuple[Surfaces, str]:
    """The structural surfaces and their artifact's hash."""
    artifact = load_artifact(SHIPPED_DIR)
    return surfaces_from_arrays(bytes_to_arrays(artifact.files[FILE_NAME])), artifact.sha256


@cache
def shipped_base() -> Snapshot:
    return base_snapshot(shipped_surfaces()[0])


@cache
def instrument_positions() -> dict[str, int]:
    return {instrument.instrument_id: n for n, (instrument, _) in enumerate(instruments())}


@cache
def curve_of(instrument: int) -> Array:
    """Cumulative volume by minute of an instrument of the seed file, as its orders see it."""
    found = instruments()[instrument][0]
    return cumulative_curve(found, float(SESSION_MINUTES.get(found.calendar, 390)))


# ---- one order


@dataclass(frozen=True, slots=True)
class PricedOrder:
    """All served candidates by some surfaces: windows (n, 3), bases (n, BASES), metrics (n, METRICS), mask (n,)."""

    windows: Array
    bases: Array
    metrics: Array
    mask: Indices


def price_served(surfaces: Surfaces, weights: Array, cumulative: Array, context: Array) -> PricedOrder:
    """The kernel's own pricing of one order."""
    catalogue = served()
    count = len(catalogue.candidates)
    found = PricedOrder(
        np.zeros((count, 3)), np.zeros((count, k.BASES)), np.empty((count, k.METRICS)), np.empty(count, dtype=np.int64)
    )
    k.price_bases(
        surfaces.values, surfaces.log_participation, surfaces.log_horizon_days, surfaces.log_pool_share, weights,
        catalogue.algorithm, catalogue.shape, catalogue.rule, catalogue.pace, catalogue.rests, catalogue.numbers,
        cumulative, context, found.windows, found.bases, found.metrics, found.mask,
    )
    return found


def chosen_rows(priced: PricedOrder, selection: Selection, rng: np.random.Generator) -> Indices:
    """Candidates to label, rising; at most as many as are allowed."""
    allowed = np.flatnonzero(priced.mask == 0)
    ranked = allowed[np.argsort(priced.metrics[allowed, k.UTILITY], kind="stable")]
    taken = np.zeros(len(priced.mask), dtype=np.bool_)
    taken[ranked[: selection.best]] = True
    own = served().algorithm[ranked]
    for algorithm, spec in enumerate(CATALOGUE):
        most = selection.best_of_resting if spec.rests else selection.best_of_each
        taken[ranked[own == algorithm][:most]] = True
    others = ranked[~taken[ranked]]
    taken[rng.permutation(others)[: selection.random]] = True
    return np.flatnonzero(taken)


def features_of(scene: Scene, priced: PricedOrder, chosen: Indices) -> tuple[Floats, Floats]:
    """(features, scales) of the chosen candidates, as serving fills them."""
    catalogue, resolved = served(), scene.resolved
    features = np.empty((len(chosen), FEATURES), dtype=np.float32)
    scales = np.empty((len(chosen), RANKING))
    for row, n in enumerate(chosen):
        rule, numbers, window = catalogue.rule[n], catalogue.numbers[n], priced.windows[n]
        fill_features(rule, numbers, resolved.cumulative, scene.context, resolved.weights, window, features[row])
        fill_scales(rule, numbers, scene.context, window, scales[row])
    return features, scales.astype(np.float32)


def truth_of(order: SimulatedOrder, world: WorldParameters, paths: MarketPaths, chosen: Indices,
             draws: Indices) -> tuple[Floats, Floats]:
    """(truth, draws) of the chosen candidates on the given paths. `draws`: columns of the shortfalls of both halves."""
    truth = np.empty((len(chosen), len(TRUTHS)), dtype=np.float32)
    drawn = np.empty((len(chosen), len(draws)), dtype=np.float32)
    inline = served_inline()[chosen]
    for rows, looks in ((~inline, False), (inline, True)):
        if not rows.any():
            continue
        run = execute(order, world, paths, policies_of(served_template(), order, chosen[rows]), looks)
        parts = parts_of(order, run, looks)
        truth[rows] = columns_of(parts)
        mean, sd = cost_bps(order, parts)[:, None], order.sigma_bps * parts.deviation[:, None]
        drawn[rows] = (shortfalls_bps(order, run, looks)[:, draws] - mean) / sd
    return truth, drawn


def columns_of(parts: Parts) -> Array:
    """(n, len(TRUTHS)) in the order of TRUTHS."""
    return np.column_stack([
        parts.spread_part, parts.sigma_part, parts.deviation, parts.mean_time, parts.unfilled, parts.dark,
        parts.passive, parts.completion, parts.end_time,
    ])


def draw_columns(rng: np.random.Generator, pairs: int, draws: int) -> Indices:
    """Columns of `shortfalls_bps`: no pair twice, every other one the second of its pair."""
    columns = rng.permutation(pairs)[:draws]
    columns[1::2] += pairs
    return columns


def ratios_of(case: Case) -> Array:
    """(3,) logarithms of volatility, spread and volume over the instrument's own long-run figures (RATIO_NAMES)."""
    usual = instruments()[instrument_positions()[case.request.instrument_id]][1]
    said = case.request.context
    pairs = (
        (said.daily_volatility_fraction, usual.daily_volatility_fraction), (said.spread_bps, usual.spread_bps),
        (said.average_daily_volume_shares, usual.average_daily_volume_shares),
    )
    return np.array([np.log(now / known) if now and known else 0.0 for now, known in pairs])


def domain_of(context: Array) -> Array:
    """(o, len(DOMAIN_NAMES)) of contexts (o, CONTEXT_LENGTH)."""
    spread = np.maximum(context[:, k.SPREAD_BPS], 1e-9)
    found = {
        "log_size_days": np.log(context[:, k.QUANTITY] / context[:, k.DAILY_VOLUME]),
        "log_available_minutes": np.log(context[:, k.AVAILABLE_MINUTES]),
        "log_spread_ticks": np.log(np.clip(context[:, k.SPREAD_TICKS], 1.0, 200.0)),
        "log_limit": np.log(context[:, k.MAX_PARTICIPATION]),
        "log_sigma_bps": np.log(context[:, k.SIGMA_BPS]),
        "log_spread_over_sigma": np.log(spread / context[:, k.SIGMA_BPS]),
        "dark_share": context[:, k.DARK_SHARE],
        "auction_share": context[:, k.AUCTION_SHARE],
    }
    return np.column_stack([found[name] for name in DOMAIN_NAMES])


@dataclass(frozen=True, slots=True)
class LabelledOrder:
    """One order's part of Labels."""

    scene: Scene
    ratios: Array
    allowed: int
    candidate: Indices
    features: Floats
    scales: Floats
    truth: Floats
    draws: Floats


def label_context(purpose: Purpose, index: int, spec: LabelSpec) -> LabelledOrder | None:
    """One order, or None where nothing is allowed."""
    case = draw_case(purpose, index)
    scene = scene_of(case, shipped_base())
    if scene is None:
        return None
    resolved = scene.resolved
    priced = price_served(shipped_surfaces()[0], resolved.weights, resolved.cumulative, scene.context)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((spec.seed, 11, int(purpose), index))))
    chosen = chosen_rows(priced, spec.selection, rng)
    if len(chosen) == 0:
        return None
    columns = draw_columns(rng, spec.pairs, spec.draws)
    paths = simulate_market(scene.order, spec.world, case.seed(STAGE_LABELS), spec.pairs)
    features, scales = features_of(scene, priced, chosen)
    truth, draws = truth_of(scene.order, spec.world, paths, chosen, columns)
    allowed = int((priced.mask == 0).sum())
    return LabelledOrder(scene, ratios_of(case), allowed, chosen, features, scales, truth, draws)
