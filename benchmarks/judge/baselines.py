"""What decisions are compared with. Every baseline picks one of the candidates that are served and allowed here.

always TWAP, always VWAP: over the shortest duration at which the order is at most 10 % of the volume expected; the
longest there is where none is. always POV: 10 % of volume. Best fixed: the one candidate that is best on average over
training orders of the same objective. Rule table: `rule_table` below. Where what is wanted is not allowed the nearest
that is takes its place: the same shape with the nearest horizon, then the same algorithm, then any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.service import Decided
from engine import kernel as k
from engine.catalogue import ALGORITHM_NAMES, CandidateSet, HorizonRule, candidate_set
from engine.request import OrderRequest
from engine.values import Objective, Urgency
from training.judging_grid import served_in_grid

Array = NDArray[np.float64]

USUAL_PARTICIPATION = 0.10
# Participation by urgency in the rule table: ours, in the range that practitioners' texts call passive to aggressive
# (Kissell, The Science of Algorithmic Trading and Portfolio Management, 2014).
PACE: Mapping[Urgency, float] = {
    Urgency.LOW: 0.05, Urgency.NORMAL: 0.10, Urgency.HIGH: 0.20, Urgency.URGENT: 0.30,
}
SMALL, MODERATE = 0.01, 0.15
ADVERSE_ALPHA_SIGMAS = 0.10


def horizons_of(served: CandidateSet, metrics: Array, available_minutes: float) -> Array:
    """(served,) minutes that each candidate would take, whether allowed or not."""
    horizons = np.minimum(served.numbers[:, 0], available_minutes)
    horizons[served.rule == int(HorizonRule.CLOSE)] = available_minutes
    rates = served.rule == int(HorizonRule.RATE)
    horizons[rates] = metrics[rates, k.HORIZON_MINUTES]
    return np.maximum(horizons, 1.0)


def nearest(target: int, allowed: NDArray[np.bool_], horizons: Array) -> int:
    """The allowed candidate that is most like the target (indices among the served)."""
    served = candidate_set()
    if allowed[target]:
        return target
    distance = np.abs(np.log(horizons / horizons[target]))
    # Rates are told apart by their rate: slow ones share the horizon of all the time there is.
    rates = np.maximum(served.numbers[:, 2], 1e-3)
    if served.rule[target] == int(HorizonRule.RATE):
        same = served.algorithm == served.algorithm[target]
        distance = np.where(same, np.abs(np.log(rates / rates[target])), distance)
    distance = distance + 100.0 * (served.shape != served.shape[target])
    distance = distance + 10_000.0 * (served.algorithm != served.algorithm[target])
    return int(np.argmin(np.where(allowed, distance, np.inf)))


def by_participation(name: str, most: float, decided: Decided, horizons: Array) -> int:
    """The shortest candidate of an algorithm that is at most a part of the volume expected, the longest where none is;
    of several shapes the first. Masked ones count: what stands in for them is found by `nearest`."""
    served = candidate_set()
    own = np.flatnonzero(served.algorithm == ALGORITHM_NAMES.index(name))
    own = own[served.shape[own] == served.shape[own[0]]]
    priced = own[np.isfinite(decided.metrics[own, k.UTILITY])]
    own = priced if len(priced) else own
    slow = own[decided.metrics[own, k.PARTICIPATION] <= most]
    wanted = slow[np.argmin(horizons[slow])] if len(slow) else own[np.argmax(horizons[own])]
    return nearest(int(wanted), decided.allowed, horizons)


def at_rate(rate: float, decided: Decided, horizons: Array) -> int:
    """POV at a rate, or the nearest to it."""
    served = candidate_set()
    povs = np.flatnonzero(served.algorithm == ALGORITHM_NAMES.index("POV"))
    wanted = povs[np.argmin(np.abs(np.log(served.numbers[povs, 2] / rate)))]
    return nearest(int(wanted), decided.allowed, horizons)


def rule_table(request: OrderRequest, decided: Decided, horizons: Array) -> int:
    """A published table of which algorithm suits which order, with numbers where it has none.

    After B. Hanke, R. Kissell, C. Li and R. Malamut, "Trade Strategy and Execution" (CFA Program, Level III), whose
    text says: scheduled algorithms for orders without a view on the price, small against expected volume; arrival price
    for those that expect adverse moves or shun risk, up to about 15 % of expected volume; liquidity seeking for large
    urgent ones; dark strategies for large ones without urgency; routing at once for small urgent ones. Participation
    by urgency (PACE) and the adverse move (a tenth of a daily volatility a day) are ours.
    """
    resolved = decided.resolved
    load = request.quantity_shares / max(resolved.inputs.expected_market_volume_shares, 1.0)
    pace = PACE[request.urgency]
    urgent = request.urgency in (Urgency.HIGH, Urgency.URGENT)
    sigma_bps = resolved.inputs.daily_volatility_fraction * 1e4
    adverse = resolved.alpha_against_bps_per_day > ADVERSE_ALPHA_SIGMAS * sigma_bps
    shuns_risk = request.objective in (Objective.MINIMIZE_RISK, Objective.MAXIMIZE_ALPHA_CAPTURE)
    if request.urgency is Urgency.URGENT and load <= SMALL:
        return by_participation("AGGRESSIVE_SWEEP", math.inf, decided, horizons)
    if load > MODERATE:
        name = "LIQUIDITY_SEEKING" if resolved.dark else "ADAPTIVE_VWAP" if urgent else "VWAP"
        return by_participation(name, pace, decided, horizons)
    if urgent or adverse or shuns_risk:
        return by_participation("IMPLEMENTATION_SHORTFALL", pace, decided, horizons)
    if request.objective is Objective.MINIMIZE_TIME:
        return at_rate(pace, decided, horizons)
    return by_participation("VWAP", pace, decided, horizons)


def baselines_of(request: OrderRequest, decided: Decided, fixed: int) -> dict[str, int]:
    """Every baseline's choice, as an index in the judging grid. `fixed`: the best fixed candidate of the objective."""
    horizons = horizons_of(candidate_set(), decided.metrics, decided.resolved.inputs.available_minutes)
    grid = served_in_grid()
    chosen = {
        "always_twap": by_participation("TWAP", USUAL_PARTICIPATION, decided, horizons),
        "always_vwap": by_participation("VWAP", USUAL_PARTICIPATION, decided, horizons),
        "always_pov": at_rate(USUAL_PARTICIPATION, decided, horizons),
        "rule_table": rule_table(request, decided, horizons),
        "best_fixed": nearest(fixed, decided.allowed, horizons),
    }
    return {name: int(grid[index]) for name, index in chosen.items()}
