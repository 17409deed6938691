"""The exact structural model: from an algorithm's flows to cost, risk and time coefficients.

A candidate's cost in bps is
    spread_bps * (SPREAD + DARK_SPREAD) + sigma_bps * (IMPACT + DARK_IMPACT) + fees + permanent impact
and its standard deviation sigma_bps * DEVIATION, so the coefficients depend on neither spread nor volatility and one
surface serves every instrument. Sources: Almgren and Chriss (2000) for the variance of holding; Almgren et al. (2005)
for temporary and permanent impact; Gatheral (2010) and Bouchaud et al. (2004) for the propagator; the flows are each
algorithm's own (engine/algorithms).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from engine.algorithms.flow import CELL_MID, STEPS, Algorithm, Array, Flow, Setting
from engine.assumptions import ConditionDynamics, StructuralAssumptions

# Columns of a surface.
SPREAD, IMPACT, DEVIATION, MEAN_TIME, REMAINDER, COMPLETION, DARK, PASSIVE, DARK_SPREAD, DARK_IMPACT = range(10)
OUTPUTS = (
    "spread", "impact", "deviation", "mean_time", "remainder", "completion", "dark", "passive", "dark_spread",
    "dark_impact",
)


def coefficients(algorithm: Algorithm, setting: Setting) -> Array:
    """All columns of OUTPUTS for one algorithm, (..., len(OUTPUTS)). Raises ValueError for settings out of range."""
    check_setting(setting)
    flow = algorithm(setting)
    filled = flow.aggressive + flow.passive + flow.dark
    impact, dark_impact = impact_coefficients(flow, setting)
    out = np.empty((*setting.shape, len(OUTPUTS)))
    out[..., SPREAD], out[..., DARK_SPREAD] = spread_coefficients(flow, setting)
    # A gain on the mid never turns a whole candidate into a money machine.
    out[..., IMPACT] = np.maximum(impact - flow.mid_gain, -dark_impact)
    out[..., DARK_IMPACT] = dark_impact
    out[..., DEVIATION] = deviation_coefficient(filled, flow, setting)
    out[..., MEAN_TIME] = (filled * CELL_MID).mean(axis=-1) + flow.remainder + flow.auction
    out[..., REMAINDER] = flow.remainder
    out[..., COMPLETION] = flow.completion
    out[..., DARK] = flow.dark.mean(axis=-1)
    out[..., PASSIVE] = flow.passive.mean(axis=-1)
    return out


def check_setting(setting: Setting) -> None:
    """Participation and horizon positive and finite, pool share finite and not negative."""
    faults = [
        name
        for name, values, least in (
            ("participation", setting.participation, np.nextafter(0.0, 1.0)),
            ("horizon_days", setting.horizon_days, np.nextafter(0.0, 1.0)),
            ("pool_share", setting.pool_share, 0.0),
        )
        if not np.all(np.isfinite(values)) or np.any(values < least)
    ]
    if faults:
        raise ValueError(f"not finite or too small: {', '.join(faults)}")


def spread_coefficients(flow: Flow, setting: Setting) -> tuple[Array, Array]:
    """(as if dark fills crossed, what dark fills save), in quoted spreads."""
    a = setting.assumptions
    crossing = flow.aggressive.mean(axis=-1) * (0.5 * (1.0 - flow.spread_saving) + flow.book_walk)
    resting = -0.5 * a.passive_capture * flow.passive.mean(axis=-1)
    cleanup = 0.5 * a.cleanup_half_spreads * flow.remainder
    dark = 0.5 * flow.dark.mean(axis=-1)
    return crossing + resting + cleanup + dark, -dark


def impact_coefficients(flow: Flow, setting: Setting) -> tuple[Array, Array]:
    """(all impact as if dark fills crossed, what dark fills save), in daily volatilities."""
    lit = temporary(flow.aggressive, flow, setting)
    as_if_lit = temporary(flow.aggressive + flow.dark, flow, setting)
    own = transient(flow, setting) + adverse_selection(flow, setting) + auction(flow, setting)
    return as_if_lit + own + cleanup_coefficient(flow.remainder, setting), lit - as_if_lit


def temporary(aggressive: Array, flow: Flow, setting: Setting) -> Array:
    """eta rho^beta, with the lognormal mean of volume^-beta for participation that strays from plan."""
    a = setting.assumptions
    beta = a.temporary_exponent
    strays = np.exp(0.5 * beta * (beta + 1.0) * flow.volume_noise_log_sd**2)
    paid: Array = a.temporary_eta * setting.participation**beta * (aggressive ** (1.0 + beta)).mean(axis=-1) * strays
    return paid


@cache
def propagator(decay_exponent: float) -> Array:
    """(STEPS, STEPS) lower-triangular integrals of (u - s)^-gamma over the cells s, seen from the middle of u,
    scaled so that a constant rate on a constant rate gives 1."""
    edges = np.linspace(0.0, 1.0, STEPS + 1)
    power = 1.0 - decay_exponent
    since = np.maximum(CELL_MID[:, None] - edges[None, :], 0.0) ** power / power
    kernel = since[:, :-1] - since[:, 1:]
    scaled: Array = kernel / kernel.sum(axis=1).mean()
    return scaled


def visible(flow: Flow) -> Array:
    """Rate that others can see, (..., STEPS)."""
    return flow.aggressive + flow.footprint * (flow.passive + flow.dark)


def transient(flow: Flow, setting: Setting) -> Array:
    """Every fill pays the displacement that earlier ones left."""
    a = setting.assumptions
    displaced = visible(flow) ** a.transient_exponent @ propagator(a.decay_exponent).T
    filled = flow.aggressive + flow.passive + flow.dark
    paid = (filled * displaced).mean(axis=-1)
    # What is left over and what waits for the auction pay the displacement at the end; the auction resets half.
    paid = paid + displaced[..., -1] * (flow.remainder + 0.5 * flow.auction)
    cost: Array = a.transient_y * setting.size_days**a.transient_exponent * paid
    return cost


def adverse_selection(flow: Flow, setting: Setting) -> Array:
    """What resting costs beyond the spread.

    Passive fills come when the price moves through them, and children that do not fill chase a price that ran away,
    so patience is charged on all of the order, not on the lucky part. Dark venues learn of us with the share that is
    shown to them, and what they know is worth more the larger the order.
    """
    a, harm = setting.assumptions, setting.market.adverse_selection_multiplier
    waiting_days = np.minimum(setting.horizon_days / 8.0, 15.0 / 390.0)
    resting = a.passive_adverse * flow.patience * np.sqrt(waiting_days)
    leaked = a.dark_leakage * flow.dark_ratio**2 * np.sqrt(setting.size_days / a.dark_leakage_size_days)
    return harm * np.broadcast_to(resting + leaked, setting.shape)


def auction(flow: Flow, setting: Setting) -> Array:
    """Square root of our part of the auction's volume; the pool share is the auction's part of daily volume."""
    imbalance = flow.auction * setting.size_days / np.maximum(setting.pool_share, 1e-6)
    return setting.assumptions.auction_impact_y * np.sqrt(imbalance) * flow.auction


def cleanup_coefficient(remainder: Array, setting: Setting) -> Array:
    """Daily volatilities paid for sweeping the remainder at the horizon, over a few minutes."""
    a = setting.assumptions
    left_days = remainder * setting.size_days
    rate = left_days / a.cleanup_days
    swept = a.temporary_eta * rate**a.temporary_exponent + a.transient_y * left_days**a.transient_exponent
    return remainder * swept


def deviation_coefficient(filled: Array, flow: Flow, setting: Setting) -> Array:
    """sqrt(T x'Cx): Almgren-Chriss's variance of holding under the condition's covariance of the mid, plus what the
    random remainder adds."""
    done = np.cumsum(filled, axis=-1) / STEPS
    held = np.maximum(1.0 - done + 0.5 * filled / STEPS, 0.0)
    horizon = np.broadcast_to(setting.horizon_days, setting.shape)
    uncertain = flow.remainder * (1.0 - flow.remainder)
    variance = np.empty(setting.shape)
    for days in np.unique(horizon):
        at = horizon == days
        matrix = covariance(float(days), setting.market)
        x = held[at]
        spread_of_held = uncertain[at][:, None] * CELL_MID**2
        variance[at] = np.einsum("gi,ij,gj->g", x, matrix, x) + spread_of_held @ np.diag(matrix)
    return np.sqrt(np.maximum(variance, 0.0))


def covariance(horizon_days: float, market: ConditionDynamics) -> Array:
    """(STEPS, STEPS) covariance of the mid's increments over the cells, in daily variances.

    Reverting mids: increments of a stationary Ornstein-Uhlenbeck process. Bursts: a variance rate that decays.
    Trends: a drift of unknown sign that decays, known only by its standard deviation.
    """
    cell = horizon_days / STEPS
    at = CELL_MID * horizon_days
    matrix = np.diag(cell * (1.0 + market.burst_variance * np.exp(-at / market.burst_life_days)))
    if market.reversion_per_day > 0.0:
        theta = market.reversion_per_day
        step = 1.0 - np.exp(-theta * cell)
        apart = np.abs(np.subtract.outer(np.arange(STEPS), np.arange(STEPS)))
        matrix = -(step**2) * np.exp(-theta * cell * np.maximum(apart - 1, 0)) / (2.0 * theta)
        np.fill_diagonal(matrix, step / theta)
    if market.drift_sd_per_day > 0.0:
        drift = market.drift_sd_per_day * np.exp(-at / market.drift_life_days) * cell
        matrix = matrix + np.outer(drift, drift)
    return matrix


def setting_of(participation: float, horizon_days: float, pool_share: float, market: ConditionDynamics,
               assumptions: StructuralAssumptions) -> Setting:
    """One point as a Setting."""
    one = np.ones(())
    return Setting(participation * one, horizon_days * one, pool_share * one, market, assumptions)
