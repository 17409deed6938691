"""What a decision minimises: one table, with units, hashed into every record.

    U = E[IS] + risk_aversion * SD[IS] + (alpha + time_price) * mean execution time        (bps of the whole order)

E and SD in bps, time in trading days, alpha in bps a day against the order. `risk_aversion` is bps of cost that one
bps of standard deviation is worth; `time_price` is bps a trading day of waiting costs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from engine.values import Objective, Urgency


@dataclass(frozen=True, slots=True)
class UtilityWeights:
    risk_aversion: float
    time_price_bps_per_day: float


RISK_AVERSION: dict[Objective, float] = {
    Objective.MINIMIZE_COST: 0.04,
    Objective.MINIMIZE_RISK: 0.50,
    Objective.MINIMIZE_TIME: 0.12,
    Objective.MAXIMIZE_ALPHA_CAPTURE: 0.12,
    Objective.BALANCED_EXECUTION: 0.20,
}
TIME_PRICE_BPS_PER_DAY: dict[Objective, float] = {
    Objective.MINIMIZE_COST: 1.0,
    Objective.MINIMIZE_RISK: 5.0,
    Objective.MINIMIZE_TIME: 120.0,
    Objective.MAXIMIZE_ALPHA_CAPTURE: 45.0,
    Objective.BALANCED_EXECUTION: 15.0,
}
URGENCY_ON_RISK: dict[Urgency, float] = {
    Urgency.LOW: 0.5, Urgency.NORMAL: 1.0, Urgency.HIGH: 1.75, Urgency.URGENT: 3.0,
}
URGENCY_ON_TIME: dict[Urgency, float] = {
    Urgency.LOW: 0.4, Urgency.NORMAL: 1.0, Urgency.HIGH: 2.5, Urgency.URGENT: 6.0,
}


WEIGHTS: dict[tuple[Objective, Urgency], UtilityWeights] = {
    (objective, urgency): UtilityWeights(
        risk_aversion=RISK_AVERSION[objective] * URGENCY_ON_RISK[urgency],
        time_price_bps_per_day=TIME_PRICE_BPS_PER_DAY[objective] * URGENCY_ON_TIME[urgency],
    )
    for objective in Objective
    for urgency in Urgency
}


def weights_of(objective: Objective, urgency: Urgency) -> UtilityWeights:
    """The point of the weight space for one objective and urgency."""
    return WEIGHTS[objective, urgency]


def table_sha256(weighing: Callable[[Objective, Urgency], UtilityWeights] = weights_of) -> str:
    """Hash of the whole table, hex: two decisions with the same hash weighed things alike."""
    rows = []
    for objective in Objective:
        for urgency in Urgency:
            weights = weighing(objective, urgency)
            figures = f"{weights.risk_aversion!r}:{weights.time_price_bps_per_day!r}"
            rows.append(f"{objective.name}:{urgency.name}:{figures}")
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()
