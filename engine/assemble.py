"""From the chosen candidate to the decision: outcomes, venues, schedule, risk controls, what binds, what would change
it, how sure it is, and the words for all that."""

from __future__ import annotations

import math
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from engine import kernel as k
from engine.catalogue import ALGORITHM_NAMES, Candidate, CandidateSet, HorizonRule
from engine.confidence import domain_figures, log_ratio, usual_ratios
from engine.decision import (
    NOTHING_LEARNED,
    CostBreakdown,
    Decision,
    FixParameter,
    Flip,
    Learning,
    ParameterValue,
    ResolvedInputs,
    Versions,
)
from engine.fitting import fitting_fraction
from engine.kernel_choice import FARTHEST_FLIP
from engine.priced import NO_DESCRIBING, NO_TREES, Priced
from engine.rationale import Rival, rationale
from engine.resolve import Resolved
from engine.risk import risk_controls
from engine.schedule import Plan, make_schedule
from engine.scoring.models import Models
from engine.snapshot import Snapshot
from engine.telling import (
    POINT,
    RIVAL,
    TOLD,
    TOLD_COST_GAP,
    TOLD_INDEX,
    TOLD_MINUTES,
    TOLD_UTILITY,
    TOLD_UTILITY_GAP,
    tell,
)
from engine.told import Row, Telling, Told, breakdown_of, choice_of, reason_of
from engine.venues import allocate
from engine.words import exact

MAX_ALTERNATIVES = 5
FIRST = itemgetter(0)
# A spread less than this is this for the models' domain (engine.confidence.domain_figures).
LEAST_SPREAD_BPS = 1e-3
# How far the structural model's differences between algorithms may be off: a part of the difference in what the
# two pay, and a floor. Assumed; the learned models replace this by a calibrated probability.
MODEL_ERROR_FRACTION = 0.15
MODEL_ERROR_FLOOR_BPS = 0.25
# What that leaves out is large: it said 0.92 on average of 476 judged orders, and the surfaces were right in 0.47.
# Where one algorithm is left, as for an order that is planned in part, they were right in 59 of 60 (docs/adr/0051).
RIGHT_OF_STRUCTURAL = 0.5
# Beyond what the models learned from they were right in 0.88 of 562 judged orders, and said 0.96 (docs/adr/0051).
RIGHT_BEYOND = 0.9
NO_KNOTS = np.zeros((2, 1))
NO_RIVALS = np.empty((0, RIVAL))


def assemble(resolved: Resolved, snapshot: Snapshot, priced: Priced) -> Decision:
    """Turns the kernel's arrays into a decision."""
    request, catalogue, best = resolved.request, snapshot.catalogue, priced.best
    candidate = catalogue.candidates[best]
    telling = priced.telling or telling_of(priced, catalogue, resolved)
    told = telling.told
    row = told.own
    breakdown = breakdown_of(row)
    binding = binding_constraints(resolved, telling.bits, row)
    flips = flips_of(resolved, catalogue, priced)
    schedule = make_schedule(plan_of(resolved, candidate, row, float(priced.metrics[best, k.PARTICIPATION])))
    chosen = choice_of(candidate, row)
    confidence = confidence_in(priced, snapshot, breakdown, telling.rivals, resolved, telling.sure)
    text = rationale(
        request, candidate, float(chosen.parameters["participation_rate"]), schedule.horizon_minutes, chosen.outcomes,
        breakdown, resolved.assessment, resolved.inputs, rival_of(told, priced.explored), binding, flips,
        resolved.warnings, snapshot.models is not None,
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


def telling_of(priced: Priced, catalogue: CandidateSet, resolved: Resolved) -> Telling:
    """`engine.telling.tell` of the choice."""
    models = priced.models
    describing, confidence, knots, rivals = NO_DESCRIBING, NO_TREES, NO_KNOTS, NO_RIVALS
    if models is not None:
        describing, confidence, knots = models.describing_walk, models.confidence_walk, models.confidence_map
    else:
        rivals = np.empty((len(ALGORITHM_NAMES), RIVAL))
    told, points = np.empty((1 + MAX_ALTERNATIVES, TOLD)), np.empty((len(priced.hull) + 1, POINT))
    rows, found, others, bits, sure = tell(
        catalogue.algorithm, catalogue.rests, catalogue.numbers, priced.metrics, priced.mask, priced.best,
        priced.structural, priced.best_of_algorithm, priced.hull, priced.features, priced.context, resolved.weights,
        *interval_scales(models, resolved.weights), describing, confidence, knots, models is not None, told, points,
        rivals,
    )
    return Telling(Told(catalogue, told[:rows], points[:found]), rivals[:others].tolist(), bits, sure)


def rival_of(told: Told, explored: bool) -> Rival | None:
    """The first alternative, as the rationale tells of it: better than what was chosen to learn."""
    row = told.next_best
    if row is None:
        return None
    candidate = told.catalogue.candidates[int(row[TOLD_INDEX])]
    gap = row[TOLD_UTILITY] - told.own[TOLD_UTILITY] if explored else row[TOLD_UTILITY_GAP]
    return Rival(candidate.strategy_name, gap, row[TOLD_COST_GAP], reason_of(row))


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


def interval_scales(models: Models | None, weights: NDArray[np.float64]) -> tuple[float, float]:
    """How far the lower and the upper half of a cost interval are stretched in the order's condition."""
    if models is None:
        return 1.0, 1.0
    shares = weights.tolist()
    if 1.0 in shares:
        lower, upper = models.interval_scale[shares.index(1.0)].tolist()
    else:
        lower, upper = (weights @ models.interval_scale).tolist()
    return lower, upper


def binding_constraints(resolved: Resolved, bits: int, row: Row) -> tuple[str, ...]:
    """Constraints that alone keep a candidate of better utility out, and what ends the time that the choice uses up:
    the time limit, or the close."""
    constraints, inputs = resolved.request.constraints, resolved.inputs
    found = []
    if bits & k.MASK_PARTICIPATION:
        found.append(f"max_participation_rate {inputs.max_participation_rate:g}")
    if bits & k.MASK_DARK_REQUIRED:
        found.append("dark_pool_preference")
    # "No limit" is a very wide one for the kernel: with absurd figures candidates pay even more than that.
    if bits & k.MASK_PRICE_LIMIT and constraints.price_limit is not None:
        found.append(f"price_limit {exact(constraints.price_limit)}")
    if bits & k.MASK_COMPLETION:
        found.append(f"min_completion_probability {constraints.min_completion_probability:g}")
    if row[TOLD_MINUTES] >= inputs.available_minutes - 1e-6:
        limit = constraints.time_limit_minutes
        # A limit that ends after the close is no limit.
        if limit is not None and limit <= resolved.minutes_to_close:
            found.append(f"time_limit_minutes {limit}")
        else:
            found.append(f"session close in {resolved.minutes_to_close:.0f} min")
    return tuple(found)


def flips_of(resolved: Resolved, catalogue: CandidateSet, priced: Priced) -> tuple[Flip, ...]:
    """What would change the choice: nearest crossings in spread, volatility and alpha, and the sizes looked at.

    Under a price limit the odds of reaching it change with volatility, and what it allows with both, so that utilities
    are no straight lines there: nothing is said about those two. Nor of anything where the choice was drawn to learn.
    """
    if priced.explored:
        return ()
    request, inputs = resolved.request, resolved.inputs
    spread, volatility, alpha = priced.flips.tolist()
    found: list[tuple[float, Flip]] = []
    if request.constraints.price_limit is None:
        told, sigma = inputs.spread_bps, inputs.daily_volatility_fraction
        crossings(spread, "spread_bps", told, 1.0, 0.0, told, catalogue, found)
        crossings(volatility, "daily_volatility", sigma, 1e-4, 0.0, sigma, catalogue, found)
    crossings(
        alpha, "short_term_alpha_bps_per_day", inputs.short_term_alpha_bps_per_day,
        request.side.sign * resolved.day_minutes, -math.inf, inputs.daily_volatility_fraction * 1e4,
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
    models = priced.models
    return tuple([flip for _, flip in found if models is None or is_known_at(flip, inputs, models)])


def is_known_at(flip: Flip, inputs: ResolvedInputs, models: Models) -> bool:
    """Whether the models would still decide there: beyond what they learned from the surfaces do, of which a crossing
    of theirs says nothing. Alpha is no part of that (engine.priced.models_for)."""
    value = flip.flip_value
    if flip.input_name == "quantity":
        return models.knows("log_size_days", log_ratio(value, inputs.average_daily_volume_shares))
    spread_bps, sigma_bps = inputs.spread_bps, inputs.daily_volatility_fraction * 1e4
    if flip.input_name == "spread_bps":
        spread_bps = value
    elif flip.input_name == "daily_volatility":
        sigma_bps = value * 1e4
        if not models.knows("log_sigma_bps", math.log(sigma_bps)):
            return False
    else:
        return True
    return models.knows("log_spread_over_sigma", log_ratio(max(spread_bps, LEAST_SPREAD_BPS), sigma_bps))


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


def learning_of(priced: Priced) -> Learning:
    if priced.online_bps is None and priced.propensity == 1.0:
        return NOTHING_LEARNED
    online = 0.0 if priced.online_bps is None else float(priced.online_bps[priced.best])
    return Learning(online, priced.propensity, priced.explored)


def confidence_in(priced: Priced, snapshot: Snapshot, own: CostBreakdown, rivals: list[Row], resolved: Resolved,
                  sure: float) -> float:
    """The calibrated probability (`sure`) where models decided, the structural one elsewhere."""
    kept = 1.0
    if snapshot.learned is not None:
        kept = snapshot.learned.confidence_factor(ALGORITHM_NAMES[priced.algorithm[priced.best]])
    if priced.models is None:
        right = RIGHT_OF_STRUCTURAL if rivals else 1.0
        return kept * (right * confidence_of(own, rivals, resolved))
    if priced.models.beyond(domain_figures(priced.context)):
        kept *= RIGHT_BEYOND
    return kept * (sure * priced.models.thinness(usual_ratios(resolved)))


def confidence_of(own: CostBreakdown, rivals: list[Row], resolved: Resolved) -> float:
    """Probability that no other algorithm is better by more than the tolerance max(0.5 bps, 5 % of |U|).

    Errors of the structural model are taken as independent and normal, their size a part of what tells two
    algorithms apart; an uncertain market condition takes off its share. Assumed, and on average twice what came true
    (RIGHT_OF_STRUCTURAL, see the contract's README); the learned models bring the calibrated one.
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
