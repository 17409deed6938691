"""One executed order as the learner sees it: what ReportOutcome carried, and what the record of its selection says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """Costs in bps of the order, positive when they hurt it.

    predicted_bps: as the artifact forecast it, without any correction. deviation_bps: the forecast's own standard
    deviation. impact_bps, leakage_bps: predicted parts that the effects scale. market_move_bps: from the arrival mid to
    the mid at the order's end, against the order; None where the report told none. utility_bps: forecast, corrected.
    """

    selection_id: str
    reported_ns: int
    algorithm: int
    objective: str
    condition: str
    size_days: float
    predicted_bps: float
    deviation_bps: float
    impact_bps: float
    leakage_bps: float
    cost_bps: float
    market_move_bps: float | None
    vwap_slippage_bps: float | None = None
    propensity: float = 1.0
    explored: bool = False

    @property
    def surprise_bps(self) -> float:
        """What the order cost beyond its forecast."""
        return self.cost_bps - self.predicted_bps
