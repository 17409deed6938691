"""Every number of the simulated market, in one frozen table; its hash goes into each artifact and each report.

Impact, conditions and the auction's impact are the structural model's own (engine/assumptions.py): the simulator adds
what the closed forms leave out - stochastic volatility and volume, spreads that move, regimes that switch while an
order trades, queues, hidden liquidity. "measured" figures name their data (docs/calibration.md shows them beside the
simulated ones); the rest is assumed and listed as such in the calibration report.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.assumptions import DEFAULT_ASSUMPTIONS, StructuralAssumptions
from engine.values import CONDITIONS

# Mean stay in minutes and where it goes then, in the order of CONDITIONS (assumed; a stay is geometric).
MEAN_STAY_MINUTES = (240.0, 90.0, 120.0, 75.0, 120.0, 40.0)
NEXT_CONDITION = (
    (0.00, 0.25, 0.20, 0.25, 0.20, 0.10),
    (0.70, 0.00, 0.10, 0.15, 0.00, 0.05),
    (0.80, 0.10, 0.00, 0.00, 0.10, 0.00),
    (0.60, 0.20, 0.00, 0.00, 0.20, 0.00),
    (0.70, 0.10, 0.00, 0.20, 0.00, 0.00),
    (0.30, 0.50, 0.00, 0.20, 0.00, 0.00),
)
# Variance of one minute over the session's mean, at 13 even points of the session (measured: US minute bars;
# docs/calibration.md).
VARIANCE_CURVE = (3.71, 1.74, 1.17, 0.914, 0.737, 0.673, 0.643, 0.656, 0.566, 0.591, 0.534, 0.503, 0.564)


@dataclass(frozen=True, slots=True)
class WorldParameters:
    """The market around an order. Log-sds are of natural logarithms; persistences are e-folding minutes."""

    assumptions: StructuralAssumptions = field(default_factory=lambda: DEFAULT_ASSUMPTIONS)
    mean_stay_minutes: tuple[float, ...] = MEAN_STAY_MINUTES
    next_condition: tuple[tuple[float, ...], ...] = NEXT_CONDITION
    variance_curve: tuple[float, ...] = VARIANCE_CURVE

    # Volatility: an error of the day's forecast, and clustering within the day. Shocks are Student's t.
    volatility_day_log_sd: float = 0.22
    volatility_log_sd: float = 0.14
    volatility_persistence_minutes: float = 18.0
    shock_degrees: float = 15.0
    # News: jumps of this many standard deviations of a minute, this often a minute while the condition lasts.
    jump_sd: float = 4.0
    jump_rate_per_minute: float = 0.02

    # Volume around its curve: the day's forecast error, a minute's noise with memory, and how it follows volatility
    # and the size of the minute's own move.
    volume_day_log_sd: float = 0.28
    volume_log_sd: float = 0.69
    volume_persistence_minutes: float = 1.3
    volume_on_log_volatility: float = 1.2
    volume_on_shock: float = 0.34

    # Spread: relaxes from what is shown now; `spread_on_log_volatility` of the log volatility goes into it.
    spread_persistence_minutes: float = 1.15
    spread_on_log_volatility: float = 0.41
    # A spread that is pinned at one tick hardly moves; from this many ticks on it moves as the condition says.
    free_spread_ticks: float = 1.15

    # The touch: part of the volume that trades against resting orders on one side, its noise, and the noise of the
    # queue ahead of a new order, whose level is the instrument's (engine.priced.touch_of). An imbalance of order flow
    # shifts that part between the sides, and the mid moves with it by `information_half_spreads` half-spreads a
    # standard deviation (order flow of six stocks says 0.65 to 4.9, median 1.8; for small orders at the touch to lose
    # the 113 % of the half-spread that Rule 605 reports it would have to be 4.1: this lies between).
    touch_share: float = 0.30
    touch_log_sd: float = 0.42
    queue_log_sd: float = 1.1
    flow_tilt: float = 0.49
    information_half_spreads: float = 2.4

    # Hidden liquidity of dark venues within a minute: there or not, then Pareto; and a level of the whole order, which
    # is what a heavy tail over the horizon comes from.
    dark_mean_share: float = 0.20
    dark_presence: float = 0.25
    dark_tail: float = 1.5
    dark_level_log_sd: float = 0.80
    dark_least_fill: float = 1.0e-6
    leak_minutes: float = 20.0

    auction_volume_log_sd: float = 0.55
    # Worlds that differ from what was learned, for the tests out of distribution.
    impact_factor: float = 1.0
    dark_factor: float = 1.0
    leak_factor: float = 1.0

    def sha256(self) -> str:
        """Hash of the whole table, hex."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()

    def as_json(self) -> dict[str, object]:
        """As it stands in manifests."""
        found: dict[str, object] = asdict(self)
        assumptions = asdict(self.assumptions)
        assumptions["conditions"] = {c.name: asdict(d) for c, d in self.assumptions.conditions.items()}
        found["assumptions"] = assumptions
        return found

    def transitions(self) -> NDArray[np.float64]:
        """(6, 6) probabilities of the next minute's condition; rows sum to 1."""
        stay = 1.0 - 1.0 / np.array(self.mean_stay_minutes)
        matrix: NDArray[np.float64] = (1.0 - stay)[:, None] * np.array(self.next_condition)
        matrix[np.arange(len(CONDITIONS)), np.arange(len(CONDITIONS))] = stay
        return matrix

    def condition_table(self) -> NDArray[np.float64]:
        """(6, 13) the conditions' dynamics as the compiled code reads them (columns in market.py)."""
        table: NDArray[np.float64] = np.array([
            [
                d.volatility_multiplier, d.volume_multiplier, d.spread_multiplier, d.drift_sd_per_day,
                d.drift_life_days, d.reversion_per_day, d.burst_variance, d.burst_life_days,
                d.passive_fill_multiplier, d.adverse_selection_multiplier, d.dark_fill_multiplier,
                d.spread_dispersion, d.volume_noise_multiplier,
            ]
            for d in self.assumptions.dynamics()
        ])
        return table


DEFAULT_WORLD = WorldParameters()
