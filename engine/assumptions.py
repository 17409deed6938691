"""Every number of the structural model that is not a request's or an instrument's, in one frozen table.

Each line says where it comes from: "measured" figures are in `store/seed/impact.json` with their data, "published"
ones name the paper, "assumed" ones are this project's and are listed as such in the artifact's manifest. The whole
table is written into the manifest, so a surface always says what it was built from.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.values import CONDITIONS, MarketCondition


@dataclass(frozen=True, slots=True)
class ConditionDynamics:
    """How the market moves in one condition, relative to the same instrument on an ordinary day.

    The first three scale long-run figures that came from the snapshot. Times are in trading days, drifts and bursts
    in units of the daily volatility.
    """

    volatility_multiplier: float
    volume_multiplier: float
    spread_multiplier: float
    drift_sd_per_day: float = 0.0  # random drift of unknown sign, in daily volatilities a day
    drift_life_days: float = 1.0
    reversion_per_day: float = 0.0  # Ornstein-Uhlenbeck pull
    burst_variance: float = 0.0  # extra variance rate at the start, decaying
    burst_life_days: float = 0.1
    passive_fill_multiplier: float = 1.0
    adverse_selection_multiplier: float = 1.0
    dark_fill_multiplier: float = 1.0
    spread_dispersion: float = 0.30  # sd of the log spread within a day: what waiting for tight moments can use
    volume_noise_multiplier: float = 1.0


CONDITION_DYNAMICS: dict[MarketCondition, ConditionDynamics] = {
    MarketCondition.NORMAL: ConditionDynamics(1.0, 1.0, 1.0),
    MarketCondition.HIGH_VOLATILITY: ConditionDynamics(
        2.0, 1.4, 1.6, adverse_selection_multiplier=1.3, passive_fill_multiplier=1.1, spread_dispersion=0.45,
        volume_noise_multiplier=1.2,
    ),
    MarketCondition.LOW_LIQUIDITY: ConditionDynamics(
        1.1, 0.45, 2.2, passive_fill_multiplier=0.75, adverse_selection_multiplier=1.1, dark_fill_multiplier=0.6,
        spread_dispersion=0.50, volume_noise_multiplier=1.4,
    ),
    MarketCondition.TRENDING: ConditionDynamics(
        1.2, 1.15, 1.1, drift_sd_per_day=1.5, drift_life_days=0.5, adverse_selection_multiplier=1.25,
    ),
    MarketCondition.MEAN_REVERTING: ConditionDynamics(
        0.95, 0.95, 1.0, reversion_per_day=8.0, adverse_selection_multiplier=0.8,
    ),
    MarketCondition.NEWS_DRIVEN: ConditionDynamics(
        1.7, 1.8, 1.8, burst_variance=4.0, burst_life_days=0.08, adverse_selection_multiplier=1.6,
        dark_fill_multiplier=0.8, spread_dispersion=0.55, volume_noise_multiplier=1.5,
    ),
}


@dataclass(frozen=True, slots=True)
class StructuralAssumptions:
    """The structural model's constants.

    Impact. The cost of trading at constant participation rho over T days is, in daily volatilities,
        temporary_eta * rho^temporary_exponent + transient_y * sqrt(rho * T) + permanent_gamma/2 * X/V * (Theta/V)^(1/4)
    temporary_exponent and permanent_gamma after Almgren, Thum, Hauptmann and Li (2005); the transient part is a
    propagator with square-root instantaneous response and decay t^-1/2 (Gatheral 2010: exponents sum to 1, so no
    round trip pays), which reproduces the square-root law. The two temporary weights split Almgren's eta = 0.142 so
    that his IBM and DRI examples are met within a few bps (assumed).
    """

    temporary_eta: float = 0.071
    temporary_exponent: float = 0.6
    transient_y: float = 0.15
    transient_exponent: float = 0.5
    decay_exponent: float = 0.5
    permanent_gamma: float = 0.314

    # Part of the half-spread that a resting order keeps. Measured: orders at the quote lost 113 % [90, 136] of the
    # half-spread within five minutes (SEC Rule 605, December 2016; store/seed/impact.json), so nothing is kept; the
    # excess over 100 % is not told apart from zero.
    passive_capture: float = 0.0
    # The mid moves against a passive fill by this many volatilities of its waiting time (assumed).
    passive_adverse: float = 0.05
    # Share of market volume that a resting order at the touch gets, median and log-sd (assumed).
    touch_flow_share: float = 0.10
    touch_flow_log_sd: float = 1.0
    # Never more than this is hoped to fill passively.
    max_passive_share: float = 0.80
    # Minutes-scale noise of volume around its curve, log-sd (measured: 0.52-0.57 over 21 days of 2016); day-level
    # forecast error, log-sd (measured: 0.40-0.43 without any forecast; a forecast is assumed to take off a little).
    volume_noise_log_sd: float = 0.55
    volume_forecast_log_sd: float = 0.35
    # Within-day spread of the volume curve that a clock schedule ignores, log-sd over a whole day.
    volume_curve_log_sd: float = 0.45
    # A remainder is cleaned up within this many days at the horizon, crossing this many half-spreads.
    cleanup_days: float = 5.0 / 390.0
    cleanup_half_spreads: float = 1.3
    # Information that dark venues leak, in volatilities, at dark ratio 1 and this order size (assumed).
    dark_leakage: float = 0.03
    dark_leakage_size_days: float = 0.05
    # Closing auctions: impact of an imbalance of the auction's whole volume, in volatilities (assumed).
    auction_impact_y: float = 0.25
    # Displayed depth within one spread, as a share of daily volume (assumed).
    book_depth_share: float = 4e-4
    conditions: dict[MarketCondition, ConditionDynamics] = field(default_factory=lambda: dict(CONDITION_DYNAMICS))

    def dynamics(self) -> tuple[ConditionDynamics, ...]:
        """In the order of CONDITIONS."""
        return tuple(self.conditions[condition] for condition in CONDITIONS)


DEFAULT_ASSUMPTIONS = StructuralAssumptions()
