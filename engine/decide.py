"""A decision from beginning to end: resolve, price, choose, allocate, schedule, explain, look once more.

Pure: the same request and snapshot give the same decision. The numeric work is one compiled call (engine/kernel.py);
the rest here turns its arrays into values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import kernel as k
from engine.catalogue import ALGORITHM_NAMES, Candidate, CandidateSet, HorizonRule
from engine.confidence import domain_figures, usual_ratios
from engine.decision import (
    NOTHING_LEARNED,
    CostBreakdown,
    Decision,
    Fault,
    FixParameter,
    Flip,
    Learning,
    ParameterValue,
    Refusal,
    RefusalKind,
    Versions,
)
from engine.learning.effects import EFFECTS
from engine.learning.serving import corrected, tried
from engine.rationale import Rival, rationale
from engine.request import OrderRequest
from engine.resolve import Resolved, resolve, turnover_factor
from engine.risk import faults_of, risk_controls
from engine.schedule import Plan, make_schedule
from engine.scoring.lanes import MOST_LEAVES, LaneArrays
from engine.scoring.models import Models
from engine.scoring.trees import Walk
from engine.snapshot import Snapshot
from engine.telling import (
    POINT,
    RIVAL,
    TOLD,
    TOLD_COST_GAP,
    TOLD_INDEX,
    TOLD_MINUTES,
    TOLD_PARTICIPATION,
    TOLD_UTILITY_GAP,
    tell,
)
from engine.told import Told, breakdown_of, choice_of, reason_of
from engine.utility import UtilityWeights, weights_of
from engine.venues import allocate

MAX_ALTERNATIVES = 5
NO_MULTIPLES = np.empty(0)
# Changes farther away than this many times the input (for alpha: daily volatilities a day) are not worth telling.
FARTHEST_FLIP = 3.0
FIRST = itemgetter(0)
# An order of which even less fits into the session is a mistake or another day's business.
LEAST_FITTING_FRACTION = 0.05
SIZE_MULTIPLES = (0.5, 2.0)
# Shares at the best price over daily volume, in units of (spread / daily volatility)^2: measured at 0.14 to 0.76 on 12
# of 13 stocks whose depth itself differs by a factor of 50 (docs/calibration.md). Bounds of the usual queue.
QUEUE_OVER_SPREAD_MOVE = 0.45
LEAST_QUEUE_SHARE, MOST_QUEUE_SHARE = 3e-5, 0.02
MOST_SPREAD_MOVES = 1e3  # daily volatilities that a spread may be wide: the queue is at its bound long before
# How far the structural model's differences between algorithms may be off: a part of the difference in what the
# two pay, and a floor. Assumed; the learned models replace this by a calibrated probability.
MODEL_ERROR_FRACTION = 0.15
MODEL_ERROR_FLOOR_BPS = 0.25
MOST_EXPONENT = 700.0


# What the kernel walks where there are no models: no trees at all.
NO_TREES: Walk = (
    np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32), np.zeros((1, 1), dtype=np.int32),
    np.zeros((1, 1), dtype=np.float32),
)
NO_LANES: LaneArrays = (
    np.zeros((0, MOST_LEAVES), dtype=np.uint8), np.zeros((0, MOST_LEAVES), dtype=np.float32),
    np.zeros((0, MOST_LEAVES), dtype=np.uint32), np.zeros((0, MOST_LEAVES), dtype=np.float32),
    np.zeros((1, 1), dtype=np.int32), np.zeros((1, 1), dtype=np.float32),
)
for _array in (*NO_TREES, *NO_LANES):
    _array.setflags(write=False)  # as a TreeTable's are: for what can be written the compiler makes another function
NO_KNOTS = np.zeros((2, 1))
NO_EFFECTS = np.zeros(EFFECTS)
NO_RIVALS = np.empty((0, RIVAL))
NOTHING_KEPT = np.zeros(2 + len(ALGORITHM_NAMES), dtype=np.int64)


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

# Plain floats: a row of what is told, or of a rival's figures.
Row: TypeAlias = list[float]


class Priced(msgspec.Struct, frozen=True):
    """What the kernel found for one order; the arrays are the kernel's own.

    features (n, FEATURES): filled for the candidates that the models scored. structural: what the surfaces alone would
    choose. models: those that had a say, None where the decision is structural.
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


class Considered(msgspec.Struct, frozen=True):
    """A decision with all that was priced for it; `resolved` and `priced` are None where nothing got so far."""

    decision: Decision | Refusal
    resolved: Resolved | None = None
    priced: Priced | None = None


def decide(request: OrderRequest, snapshot: Snapshot) -> Decision | Refusal:
    """The decision for one order, or every reason why there is none."""
    return consider(request, snapshot, explores=True).decision


def consider(request: OrderRequest, snapshot: Snapshot, explores: bool = False) -> Considered:
    """`decide`, with what every candidate was priced at. Only a first decision explores: an order that is under way is
    not switched to learn."""
    resolved = resolve(request, snapshot)
    if isinstance(resolved, Refusal):
        return Considered(resolved)
    weights = weights_of(request.objective, request.urgency)
    context = context_of(resolved, snapshot, weights)
    models, foreign = models_for(resolved, snapshot, context)
    if foreign:
        resolved = msgspec.structs.replace(resolved, warnings=(*resolved.warnings, foreign))
    priced = run_kernel(snapshot, resolved, context, size_multiples(resolved), models)
    return settled(resolved, snapshot, priced, explores)


def settled(resolved: Resolved, snapshot: Snapshot, priced: Priced, explores: bool) -> Considered:
    """What follows from an order's prices."""
    if priced.best < 0 and may_carry_over(resolved):
        resolved, priced = carried_over(resolved, snapshot, priced.context)
    if priced.best < 0:
        return Considered(impossible(resolved, snapshot, priced), resolved, priced)
    if snapshot.learned is not None or (priced.models is not None and priced.models.effects is not None):
        priced = with_learned(resolved, snapshot, priced, explores)
    if priced.explored:
        text = f"chosen to learn, with a probability of {priced.propensity:.1%}, among what is about as good"
        resolved = msgspec.structs.replace(resolved, warnings=(*resolved.warnings, text))
    return Considered(checked(resolved, snapshot, priced), resolved, priced)


def with_learned(resolved: Resolved, snapshot: Snapshot, priced: Priced, explores: bool) -> Priced:
    """The choice with what outcomes taught: corrected, and within the operators' budget explored."""
    learned, catalogue = snapshot.learned, snapshot.catalogue
    kept = None if priced.models is None else priced.models.effects
    if kept is not None or (learned is not None and learned.corrects):
        found = corrected(
            NO_EFFECTS if learned is None else learned.values, NO_EFFECTS if kept is None else kept, catalogue,
            snapshot.assumptions, priced.context, priced.metrics, priced.mask, priced.best_of_algorithm, priced.flips,
            priced.sizes,
        )
        priced = msgspec.structs.replace(priced, best=found.best, hull=found.hull, online_bps=found.online_bps)
    if learned is None or not (learned.explores and explores):
        return priced
    request = resolved.request
    pick = tried(
        learned, catalogue, snapshot.assumptions, priced.context, priced.metrics, priced.best_of_algorithm,
        priced.best, f"{request.order_id}|{request.seed}",
    )
    return msgspec.structs.replace(
        priced, best=pick.candidate, propensity=pick.propensity, explored=pick.explored
    )


def learning_of(priced: Priced) -> Learning:
    if priced.online_bps is None and priced.propensity == 1.0:
        return NOTHING_LEARNED
    online = 0.0 if priced.online_bps is None else float(priced.online_bps[priced.best])
    return Learning(online, priced.propensity, priced.explored)


def checked(resolved: Resolved, snapshot: Snapshot, priced: Priced) -> Decision | Refusal:
    """The decision for `priced.best`, if it is sound."""
    decision = assemble(resolved, snapshot, priced)
    faults = faults_of(decision, resolved)
    if faults:
        return Refusal(RefusalKind.PRECONDITION, tuple(Fault("decision", text) for text in faults))
    return decision


def may_carry_over(resolved: Resolved) -> bool:
    """Whether an order too large for the rest of the session may be planned in part. One whose own limits are what
    stops it is refused instead: the client asked for what cannot be."""
    constraints = resolved.request.constraints
    asked = (
        constraints.max_participation_rate, constraints.time_limit_minutes, constraints.min_completion_probability
    )
    fitting = fitting_fraction(resolved, resolved.inputs.max_participation_rate)
    return all(limit is None for limit in asked) and fitting >= LEAST_FITTING_FRACTION


def fitting_fraction(resolved: Resolved, rate: float) -> float:
    """Part of the order, in whole lots, that fits under a rate of the volume expected until the close; at most 1."""
    lot = resolved.view.instrument.lot_size_shares
    lots = round(resolved.request.quantity_shares / lot)
    fitting = math.floor(rate * resolved.inputs.expected_market_volume_shares / lot * (1.0 + 1e-9) + 1e-6)
    return min(1.0, fitting / lots)


def carried_over(resolved: Resolved, snapshot: Snapshot, context: NDArray[np.float64]) -> tuple[Resolved, Priced]:
    """The order priced anew with plans that do not finish; what is left over is charged like any remainder."""
    context[k.CARRY_OVER] = 1.0
    context[k.MIN_COMPLETION] = 0.0  # such an order has no least completion (may_carry_over)
    priced = run_kernel(snapshot, resolved, context, NO_MULTIPLES)
    if priced.best < 0:
        return resolved, priced
    rate = float(priced.metrics[priced.best, k.PARTICIPATION])
    text = (
        f"only {fitting_fraction(resolved, rate):.1%} of the order fits under {rate:.0%} of the volume expected "
        "before the close; the rest is carried over"
    )
    return msgspec.structs.replace(resolved, warnings=(*resolved.warnings, text)), priced


def size_multiples(resolved: Resolved) -> NDArray[np.float64]:
    """Multiples of the quantity at which to look for another choice: about half and double, in whole lots."""
    lots = round(resolved.request.quantity_shares / resolved.view.instrument.lot_size_shares)
    others = [math.floor(lots * multiple) for multiple in SIZE_MULTIPLES]
    return np.array([other / lots for other in others if other > 0])


def context_of(resolved: Resolved, snapshot: Snapshot, weights: UtilityWeights) -> NDArray[np.float64]:
    """The kernel's context vector."""
    inputs, constraints = resolved.inputs, resolved.request.constraints
    a, instrument = snapshot.assumptions, resolved.view.instrument
    venues = resolved.venues
    ticks, queue = touch_of(resolved)
    # In the order of the layout's positions (engine/layout.py): one array from one list costs a tenth of filling it.
    return np.array(
        [
            resolved.request.quantity_shares, inputs.average_daily_volume_shares,
            inputs.daily_volatility_fraction * 1e4, inputs.spread_bps, resolved.point.minute, inputs.available_minutes,
            resolved.point.session_minutes, resolved.minutes_to_close, instrument.close_auction_fraction,
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


def models_for(resolved: Resolved, snapshot: Snapshot, context: NDArray[np.float64]) -> tuple[Models | None, str]:
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


def run_kernel(snapshot: Snapshot, resolved: Resolved, context: NDArray[np.float64],
               multiples: NDArray[np.float64], models: Models | None = None) -> Priced:
    """One compiled call; without models the surfaces decide alone."""
    surfaces, catalogue = snapshot.surfaces, snapshot.catalogue
    results = k.empty_results(len(catalogue.candidates), len(ALGORITHM_NAMES), multiples)
    metrics, mask, best_of_algorithm, hull, flips, sizes, features = results
    trees, describing, keep = NO_LANES, NO_TREES, NOTHING_KEPT
    if models is not None:
        trees, describing, keep = models.ranking_lanes, models.describing_walk, models.keep
        context[k.MIN_COMPLETION] = models.raw_completion(context[k.MIN_COMPLETION])
    best, count, structural = k.decide(
        surfaces.values, surfaces.log_participation, surfaces.log_horizon_days, surfaces.log_pool_share,
        resolved.weights, catalogue.algorithm, catalogue.shape, catalogue.rule, catalogue.pace, catalogue.rests,
        catalogue.numbers, resolved.cumulative, context, trees, describing, keep, *results,
    )
    return Priced(
        metrics, mask, best_of_algorithm, hull[:count], flips, sizes, features, context, int(best), int(structural),
        models, catalogue.algorithm,
    )


def reach_words(resolved: Resolved) -> str:
    """Why a price limit leaves nothing."""
    room = resolved.limit_room_bps
    if room < 0.0:
        return f"the limit lies {-room:.1f} bps beyond the mid, out of reach"
    return f"the limit leaves {room:.1f} bps from the mid, less than any strategy left would pay"


# Constraint -> what is wrong with it when it clashes. In the order in which clashes are told.
CLASHES: tuple[tuple[str, Callable[[Resolved], str]], ...] = (
    ("max_participation_rate", lambda r: f"no schedule fits under {r.inputs.max_participation_rate:g} of volume"),
    ("time_limit_minutes", lambda r: f"no strategy that is allowed fits into {r.inputs.available_minutes:.0f} minutes"),
    ("price_limit", reach_words),
    ("dark_pool_preference", lambda r: "no strategy that uses dark venues is left"),
    (
        "min_completion_probability",
        lambda r: f"no strategy is as likely as {r.request.constraints.min_completion_probability:g} to complete",
    ),
)


def impossible(resolved: Resolved, snapshot: Snapshot, priced: Priced) -> Refusal:
    """Names the constraints that clash: the smallest sets of them without which the order could be decided.

    Each set is tried, since constraints work on one another (a longer horizon completes more, and reaches a price
    limit more often). Constraints that clash with each other are each enough alone, so all of them are named.
    """
    constraints = resolved.request.constraints
    present = [name for name, _ in CLASHES if getattr(constraints, name) not in (None, False)]
    for count in range(1, len(present) + 1):
        enough = [names for names in combinations(present, count) if decidable_without(resolved, snapshot, names)]
        if enough:
            clashing = set().union(*enough)
            faults = [Fault(f"constraints.{name}", words(resolved)) for name, words in CLASHES if name in clashing]
            return Refusal(RefusalKind.PRECONDITION, tuple(faults))
    if np.any(priced.mask == k.MASK_NOT_FINITE):
        fault = Fault("market_context", "the forecasts are not finite for these inputs")
        return Refusal(RefusalKind.PRECONDITION, (fault,))
    text = (
        f"none of {len(snapshot.catalogue.candidates)} candidates trades it, or a {LEAST_FITTING_FRACTION:.0%} part of "
        f"it, in {resolved.inputs.available_minutes:.0f} minutes under the service's limit of "
        f"{snapshot.limits.max_participation_rate:g} of volume"
    )
    return Refusal(RefusalKind.PRECONDITION, (Fault("quantity", text),))


def decidable_without(resolved: Resolved, snapshot: Snapshot, names: tuple[str, ...]) -> bool:
    """Whether some candidate is allowed once these constraints are dropped."""
    unset: dict[str, Any] = {name: False if name == "dark_pool_preference" else None for name in names}
    constraints = replace(resolved.request.constraints, **unset)
    freed = resolve(replace(resolved.request, constraints=constraints), snapshot)
    if isinstance(freed, Refusal):
        return False
    weights = weights_of(freed.request.objective, freed.request.urgency)
    context = context_of(freed, snapshot, weights)
    if run_kernel(snapshot, freed, context, NO_MULTIPLES).best >= 0:
        return True
    return may_carry_over(freed) and carried_over(freed, snapshot, context)[1].best >= 0


def assemble(resolved: Resolved, snapshot: Snapshot, priced: Priced) -> Decision:
    """Turns the kernel's arrays into a decision."""
    request, catalogue, best = resolved.request, snapshot.catalogue, priced.best
    candidate = catalogue.candidates[best]
    told, rivals, bits, sure = told_of(priced, catalogue, resolved)
    row = told.own
    breakdown = breakdown_of(row)
    binding = binding_constraints(resolved, bits, row)
    flips = flips_of(resolved, catalogue, priced)
    schedule = make_schedule(plan_of(resolved, candidate, row, float(priced.metrics[best, k.PARTICIPATION])))
    chosen = choice_of(candidate, row)
    confidence = confidence_in(priced, snapshot, breakdown, rivals, resolved, sure)
    text = rationale(
        request, candidate, row[TOLD_PARTICIPATION], schedule.horizon_minutes, breakdown,
        chosen.outcomes.completion_probability, resolved.assessment, resolved.inputs, rival_of(told), binding, flips,
        resolved.warnings,
    )
    return Decision(
        order_id=request.order_id, chosen=chosen,
        venue_allocation=allocate(
            resolved.venues, request.quantity_shares, candidate.dark_pool_ratio, candidate.spec.rests,
            float(candidate.parameters.get("auction_ratio", 0.0)), resolved.view.instrument.primary_mic,
        ),
        schedule=schedule, risk_controls=risk_controls(resolved, schedule, snapshot.limits), rationale=text,
        breakdown=breakdown, told=told, confidence=confidence,
        assessment=resolved.assessment, binding_constraints=binding, flips=flips,
        inputs=resolved.inputs,
        versions=Versions(
            snapshot.engine_version, snapshot.surfaces_sha256, snapshot.models.sha256 if snapshot.models else "",
            snapshot.utility_sha256, request.seed, snapshot.learned.sha256 if snapshot.learned else "",
        ),
        fix_target_strategy=candidate.spec.fix_target_strategy,
        fix_parameters=fix_parameters(candidate, chosen.parameters), structural_only=priced.models is None,
        warnings=resolved.warnings, learning=learning_of(priced),
    )


def told_of(priced: Priced, catalogue: CandidateSet, resolved: Resolved) -> tuple[Told, list[Row], int, float]:
    """`engine.telling.tell`: what is told, (utility, spread, impact) of every rival where no model says how sure the
    choice is, bits that bind, confidence."""
    models = priced.models
    describing, completion, confidence, knots, rivals = NO_TREES, NO_KNOTS, NO_TREES, NO_KNOTS, NO_RIVALS
    if models is not None:
        describing, completion = models.describing_walk, models.completion_map
        confidence, knots = models.confidence_walk, models.confidence_map
    else:
        rivals = np.empty((len(ALGORITHM_NAMES), RIVAL))
    told, points = np.empty((1 + MAX_ALTERNATIVES, TOLD)), np.empty((len(priced.hull) + 1, POINT))
    rows, found, others, bits, sure = tell(
        catalogue.algorithm, catalogue.numbers, priced.metrics, priced.mask, priced.best, priced.structural,
        priced.best_of_algorithm, priced.hull, priced.features, priced.context, resolved.weights,
        *interval_scales(priced, resolved), describing, completion, confidence, knots, models is not None, told, points,
        rivals,
    )
    return Told(catalogue, told[:rows], points[:found]), rivals[:others].tolist(), bits, sure


def rival_of(told: Told) -> Rival | None:
    """The first alternative, as the rationale tells of it."""
    row = told.next_best
    if row is None:
        return None
    candidate = told.catalogue.candidates[int(row[TOLD_INDEX])]
    return Rival(candidate.strategy_name, row[TOLD_UTILITY_GAP], row[TOLD_COST_GAP], reason_of(row))


def plan_of(resolved: Resolved, candidate: Candidate, row: Row, participation: float) -> Plan:
    return Plan(
        candidate=candidate, quantity_shares=resolved.request.quantity_shares,
        lot_size_shares=resolved.view.instrument.lot_size_shares, point=resolved.point, start_ns=resolved.start_ns,
        horizon_minutes=row[TOLD_MINUTES], cumulative=resolved.cumulative,
        max_participation=resolved.inputs.max_participation_rate,
        daily_volume_shares=resolved.inputs.average_daily_volume_shares, seed=resolved.request.seed,
        # Everything but a rate is only chosen where the whole order fits.
        fitting_fraction=(
            fitting_fraction(resolved, participation) if candidate.spec.rule is HorizonRule.RATE else 1.0
        ),
    )


def interval_scales(priced: Priced, resolved: Resolved) -> tuple[float, float]:
    """How far the lower and the upper half of a cost interval are stretched in the order's condition."""
    if priced.models is None:
        return 1.0, 1.0
    weights = resolved.weights.tolist()
    if 1.0 in weights:
        lower, upper = priced.models.interval_scale[weights.index(1.0)].tolist()
    else:
        lower, upper = (resolved.weights @ priced.models.interval_scale).tolist()
    return lower, upper


def binding_constraints(resolved: Resolved, bits: int, row: Row) -> tuple[str, ...]:
    """Constraints that alone keep a candidate of better utility out, and a time limit that the choice runs into."""
    constraints, inputs = resolved.request.constraints, resolved.inputs
    found = []
    if bits & k.MASK_PARTICIPATION:
        found.append(f"max_participation_rate {inputs.max_participation_rate:g}")
    if bits & k.MASK_DARK_REQUIRED:
        found.append("dark_pool_preference")
    # "No limit" is a very wide one for the kernel: with absurd figures candidates pay even more than that.
    if bits & k.MASK_PRICE_LIMIT and constraints.price_limit is not None:
        found.append(f"price_limit {constraints.price_limit:g}")
    if bits & k.MASK_COMPLETION:
        found.append(f"min_completion_probability {constraints.min_completion_probability:g}")
    horizon = row[TOLD_MINUTES]
    if constraints.time_limit_minutes is not None and horizon >= inputs.available_minutes - 1e-6:
        found.append(f"time_limit_minutes {constraints.time_limit_minutes}")
    elif horizon >= resolved.minutes_to_close - 1e-6:
        found.append(f"session close in {resolved.minutes_to_close:.0f} min")
    return tuple(found)


def flips_of(resolved: Resolved, catalogue: CandidateSet, priced: Priced) -> tuple[Flip, ...]:
    """What would change the choice: nearest crossings in spread, volatility and alpha, and the sizes looked at.

    Under a price limit the odds of reaching it change with volatility, and what it allows with both, so that utilities
    are no straight lines there: nothing is said about those two.
    """
    request, inputs = resolved.request, resolved.inputs
    spread, volatility, alpha = priced.flips.tolist()
    found: list[tuple[float, Flip]] = []
    if request.constraints.price_limit is None:
        told, sigma = inputs.spread_bps, inputs.daily_volatility_fraction
        crossings(spread, "spread_bps", told, 1.0, 0.0, told, catalogue, found)
        crossings(volatility, "daily_volatility", sigma, 1e-4, 0.0, sigma, catalogue, found)
    crossings(
        alpha, "short_term_alpha_bps_per_day", inputs.short_term_alpha_bps_per_day,
        request.side.sign * resolved.point.session_minutes, -math.inf, inputs.daily_volatility_fraction * 1e4,
        catalogue, found,
    )  # fmt: skip
    own = catalogue.candidates[priced.best].spec
    quantity, lot = request.quantity_shares, resolved.view.instrument.lot_size_shares
    for multiple, index in priced.sizes.tolist():
        candidate = catalogue.candidates[int(index)]
        distance = abs(math.log(multiple))
        if index >= 0 and candidate.spec is not own and distance <= FARTHEST_FLIP:
            other = round(quantity * multiple / lot) * lot
            found.append((distance, Flip("quantity", quantity, other, candidate.spec.name, candidate.strategy_name)))
    found.sort(key=FIRST)
    return tuple([flip for _, flip in found])


def crossings(row: Row, name: str, current: float, unit: float, least: float, scale: float, catalogue: CandidateSet,
              found: list[tuple[float, Flip]]) -> None:
    """The two of an input where they are worth telling, with how far they are. `row`: crossing and candidate, twice."""
    for crossing, index in ((row[0], row[1]), (row[2], row[3])):
        value = crossing * unit + 0.0
        if index >= 0 and least < value < math.inf:
            distance = abs(value - current) / max(scale, 1e-9)
            if distance <= FARTHEST_FLIP:
                candidate = catalogue.candidates[int(index)]
                flip = Flip(name, current, value, candidate.spec.name, candidate.strategy_name)
                found.append((distance, flip))


def confidence_in(priced: Priced, snapshot: Snapshot, own: CostBreakdown, rivals: list[Row], resolved: Resolved,
                  sure: float) -> float:
    """The calibrated probability (`sure`) where models decided, the structural one elsewhere."""
    kept = 1.0
    if snapshot.learned is not None:
        kept = snapshot.learned.confidence_factor(ALGORITHM_NAMES[priced.algorithm[priced.best]])
    if priced.models is None:
        return kept * confidence_of(own, rivals, resolved)
    return kept * (sure * priced.models.thinness(usual_ratios(resolved)))


def confidence_of(own: CostBreakdown, rivals: list[Row], resolved: Resolved) -> float:
    """Probability that no other algorithm is better by more than the tolerance max(0.5 bps, 5 % of |U|).

    Errors of the structural model are taken as independent and normal, their size a part of what tells two
    algorithms apart; an uncertain market condition takes off its share. Assumed, not calibrated (see the contract's
    README); the learned models bring the calibrated one.
    """
    tolerance = max(0.5, 0.05 * abs(own.utility_bps))
    log_chance = 0.0
    for utility, spread, impact in rivals:
        gap = utility - own.utility_bps
        differing = abs(spread - own.spread_bps) + abs(impact - own.impact_bps)
        error = MODEL_ERROR_FLOOR_BPS + MODEL_ERROR_FRACTION * (differing + 0.1 * abs(own.utility_bps))
        log_chance += math.log(max(0.5 * math.erfc(-(gap + tolerance) / error / math.sqrt(2.0)), 1e-12))
    known = resolved.assessment.probability
    return min(1.0, max(0.0, math.exp(log_chance) * (0.6 + 0.4 * known)))


# FIX 959 codes.
FIX_FLOAT, FIX_PERCENTAGE, FIX_BOOLEAN = 6, 11, 13


def fix_parameters(candidate: Candidate, parameters: dict[str, ParameterValue]) -> tuple[FixParameter, ...]:
    """StrategyParametersGrp (957-960) of a choice, in the order of the parameters."""
    found = []
    for name, value in parameters.items():
        if isinstance(value, bool):
            found.append(FixParameter(name, FIX_BOOLEAN, "Y" if value else "N"))
            continue
        known = candidate.spec.ranges.get(name)
        code = known.fix_type if known is not None else FIX_PERCENTAGE
        found.append(FixParameter(name, code, format(value, ".10g")))
    return tuple(found)
