"""From an order to its prices: the kernel's context vector, the models that have a say, the compiled call.

engine/kernel.py is the call itself; engine/decide.py begins here and goes on with what the call found.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import kernel as k
from engine.catalogue import ALGORITHM_NAMES
from engine.confidence import domain_figures
from engine.decision import Refusal
from engine.request import OrderRequest
from engine.resolve import Resolved, resolve, turnover_factor
from engine.scoring.lane_tree import MOST_LEAVES
from engine.scoring.lanes import LaneArrays
from engine.scoring.models import Describing, Models
from engine.scoring.trees import Walk
from engine.snapshot import Snapshot
from engine.told import Telling
from engine.utility import UtilityWeights, weights_of

NO_MULTIPLES = np.empty(0)
SIZE_MULTIPLES = (0.5, 2.0)
# Shares at the best price over daily volume, in units of (spread / daily volatility)^2: measured at 0.14 to 0.76 on 12
# of 13 stocks whose depth itself differs by a factor of 50 (docs/calibration.md). Bounds of the usual queue.
QUEUE_OVER_SPREAD_MOVE = 0.45
LEAST_QUEUE_SHARE, MOST_QUEUE_SHARE = 3e-5, 0.02
MOST_SPREAD_MOVES = 1e3  # daily volatilities that a spread may be wide: the queue is at its bound long before
MOST_EXPONENT = 700.0

# What the kernel walks where there are no models: no trees at all.
NO_TREES: Walk = (
    np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32), np.zeros((1, 1), dtype=np.int32),
    np.zeros((1, 1), dtype=np.float32),
)
NO_LANES: LaneArrays = (
    np.zeros((0, MOST_LEAVES), dtype=np.uint8), np.zeros((0, MOST_LEAVES), dtype=np.uint8),
    np.zeros((0, MOST_LEAVES), dtype=np.uint32), np.zeros((0, MOST_LEAVES), dtype=np.float32),
    np.zeros((1, 0, 0), dtype=np.float32), np.zeros((1, 1), dtype=np.int32),
    np.zeros((1, 1), dtype=np.float32),
)
for _array in (*NO_TREES, *NO_LANES):
    _array.setflags(write=False)  # as a TreeTable's are: for what can be written the compiler makes another function
# No describing heads either, and the map that would calibrate their completion.
NO_DESCRIBING: Describing = (*NO_TREES, np.zeros((2, 1)))
NOTHING_KEPT = np.zeros(2 + len(ALGORITHM_NAMES), dtype=np.int64)

# What the kernel reads of the models: trees, describing heads, how many candidates are scored.
KernelModels: TypeAlias = tuple[LaneArrays, Describing, NDArray[np.int64]]


def figure_of(log: float) -> float:
    """What a logarithm stands for; infinite where no float is so large."""
    return math.exp(log) if log < MOST_EXPONENT else math.inf


# How a figure that the models never saw is told.
DOMAIN_WORDS: dict[str, Callable[[float], str]] = {
    "log_size_days": lambda x: f"{figure_of(x):.3g} of a day's volume",
    "log_available_minutes": lambda x: f"{figure_of(x):.3g} minutes to trade in",
    "log_spread_ticks": lambda x: f"a spread of {figure_of(x):.3g} ticks",
    "log_limit": lambda x: f"a participation limit of {figure_of(x):.3g}",
    "log_sigma_bps": lambda x: f"a daily volatility of {figure_of(x) / 1e4:.3g}",
    "log_spread_over_sigma": lambda x: f"a spread of {figure_of(x):.3g} daily volatilities",
    "dark_share": lambda x: f"a dark share of {x:.3g}",
    "auction_share": lambda x: f"a closing auction of {x:.3g} of the day's volume",
}


class Prepared(msgspec.Struct, frozen=True):
    """An order whose gaps are filled, with the kernel's context vector."""

    resolved: Resolved
    context: NDArray[np.float64]
    models: Models | None
    multiples: NDArray[np.float64]


class Priced(msgspec.Struct, frozen=True):
    """What the kernel found for one order; the arrays are the kernel's own.

    features (n, FEATURES): filled for the candidates that the models scored. structural: what the surfaces alone would
    choose. models: those that had a say, None where the decision is structural. telling: what is told of `best`, where
    that was worked out along with the prices.
    """

    metrics: NDArray[np.float64]
    mask: NDArray[np.int64]
    best_of_algorithm: NDArray[np.int64]
    hull: NDArray[np.int64]
    flips: NDArray[np.float64]
    sizes: NDArray[np.float64]
    features: NDArray[np.float32]
    context: NDArray[np.float64]
    best: int
    structural: int
    models: Models | None
    algorithm: NDArray[np.int64]
    online_bps: NDArray[np.float64] | None = None
    propensity: float = 1.0
    explored: bool = False
    telling: Telling | None = None


def prepare(request: OrderRequest, snapshot: Snapshot) -> Prepared | Refusal:
    """What prices are asked with, or every reason why there can be none."""
    resolved = resolve(request, snapshot)
    if isinstance(resolved, Refusal):
        return resolved
    weights = weights_of(request.objective, request.urgency)
    return prepared_of(resolved, snapshot, context_of(resolved, snapshot, weights))


def prepared_of(resolved: Resolved, snapshot: Snapshot, context: NDArray[np.float64]) -> Prepared:
    """The same of an order whose gaps are filled, and whose context was worked out."""
    models, foreign = models_for(snapshot, context)
    if foreign:
        resolved = msgspec.structs.replace(resolved, warnings=(*resolved.warnings, foreign))
    return Prepared(resolved, context, models, size_multiples(resolved))


def size_multiples(resolved: Resolved) -> NDArray[np.float64]:
    """Multiples of the quantity at which to look for another choice: about half and double, in whole lots."""
    lots = round(resolved.request.quantity_shares / resolved.view.instrument.lot_size_shares)
    others = [math.floor(lots * multiple) for multiple in SIZE_MULTIPLES]
    return np.array([other / lots for other in others if other > 0])


def context_of(resolved: Resolved, snapshot: Snapshot, weights: UtilityWeights) -> NDArray[np.float64]:
    """The kernel's context vector."""
    inputs, constraints = resolved.inputs, resolved.request.constraints
    a, venues = snapshot.assumptions, resolved.venues
    ticks, queue = touch_of(resolved)
    # In the order of the layout's positions (engine/layout.py): one array from one list costs a tenth of filling it.
    return np.array(
        [
            resolved.request.quantity_shares, inputs.average_daily_volume_shares,
            inputs.daily_volatility_fraction * 1e4, inputs.spread_bps, resolved.point.minute, inputs.available_minutes,
            resolved.day_minutes, resolved.minutes_to_close, resolved.close_auction_fraction,
            venues.dark_share, venues.taker_fee_bps, venues.maker_fee_bps, venues.dark_fee_bps, weights.risk_aversion,
            weights.time_price_bps_per_day, resolved.alpha_against_bps_per_day, inputs.max_participation_rate,
            resolved.limit_room_bps, constraints.min_completion_probability or 0.0,
            float(constraints.dark_pool_preference and len(resolved.dark) > 0),
            turnover_factor(resolved.view, inputs.average_daily_volume_shares), a.volume_noise_log_sd,
            a.volume_forecast_log_sd, a.temporary_eta, a.temporary_exponent, a.transient_y, a.cleanup_days,
            a.cleanup_half_spreads, a.permanent_gamma, 0.0, ticks, queue,
        ],
        dtype=np.float64,
    )


def touch_of(resolved: Resolved) -> tuple[float, float]:
    """(usual spread in ticks, usual queue at the touch over daily volume) of the instrument.

    A queue lasts about as long as the price takes to move by a spread, (spread / daily volatility)^2 days, and holds
    what trades against it in that time: depths measured follow that from narrow to wide spreads (docs/calibration.md).
    """
    instrument, market = resolved.view.instrument, resolved.view.market
    tick_bps = instrument.tick_size / resolved.inputs.mid_price * 1e4
    usual_sigma_bps = (market.daily_volatility_fraction or resolved.inputs.daily_volatility_fraction) * 1e4
    # Bounded before it is squared: figures that the rules allow reach beyond what a float can hold.
    lasts_days = min(instrument.typical_spread_bps / usual_sigma_bps, MOST_SPREAD_MOVES) ** 2
    queue = min(max(QUEUE_OVER_SPREAD_MOVE * lasts_days, LEAST_QUEUE_SHARE), MOST_QUEUE_SHARE)
    return instrument.typical_spread_bps / max(tick_bps, 1e-9), queue


def models_for(snapshot: Snapshot, context: NDArray[np.float64]) -> tuple[Models | None, str]:
    """(the models, nothing), or (None, why the structural answer is given) where they know nothing of such orders."""
    models = snapshot.models
    if models is None:
        return None, ""
    figures = domain_figures(context)
    outside = models.foreign(figures)
    if not outside:
        return models, ""
    words = ", ".join(DOMAIN_WORDS[name](figures[name]) for name in outside)
    return None, f"the models never saw an order like this ({words}), so the structural model decides"


def kernel_models(models: Models | None) -> KernelModels:
    return (NO_LANES, NO_DESCRIBING, NOTHING_KEPT) if models is None else (
        models.ranking_lanes, models.describing_walk, models.keep
    )


def run_kernel(snapshot: Snapshot, resolved: Resolved, context: NDArray[np.float64],
               multiples: NDArray[np.float64], models: Models | None = None) -> Priced:
    """One compiled call; without models the surfaces decide alone."""
    surfaces, catalogue = snapshot.surfaces, snapshot.catalogue
    results = k.empty_results(len(catalogue.candidates), len(ALGORITHM_NAMES), multiples)
    metrics, mask, best_of_algorithm, hull, flips, sizes, features = results
    trees, describing, keep = kernel_models(models)
    best, count, structural = k.decide(
        surfaces.values, surfaces.log_participation, surfaces.log_horizon_days, surfaces.log_pool_share,
        resolved.weights, catalogue.algorithm, catalogue.shape, catalogue.rule, catalogue.pace, catalogue.rests,
        catalogue.numbers, resolved.cumulative, context, trees, describing, keep, *results,
    )
    return Priced(
        metrics, mask, best_of_algorithm, hull[:count], flips, sizes, features, context, int(best), int(structural),
        models, catalogue.algorithm,
    )


def priced_of(prepared: Prepared, snapshot: Snapshot) -> Priced:
    """`run_kernel` for an order that was prepared."""
    return run_kernel(snapshot, prepared.resolved, prepared.context, prepared.multiples, prepared.models)
