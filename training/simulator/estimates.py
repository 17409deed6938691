"""From runs to forecasts: mean cost, standard deviation and utility of each candidate, with their errors.

    U = E[IS] + lambda SD[IS] + (alpha + time_price) mean execution time          (QUANT.md, section 4)

E[IS] leaves out what is zero by construction: the martingale part, and for candidates that do not look at the mid
the drift as well (mirrored paths cancel it). SD[IS]: the martingale's variance is the analytic variance of holding,
E[sum x^2 sigma^2 dt]; only the rest, and its covariance with the martingale, is sampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.catalogue import CandidateSet
from engine.simulator.execute import (
    DARK_FILLED,
    DRIFT_PART,
    END_MINUTE,
    HELD_VARIANCE,
    MARTINGALE,
    MEAN_TIME,
    PASSIVE_FILLED,
    SIGMA_PART,
    SPREAD_PART,
    UNFILLED,
    Run,
)
from engine.simulator.orders import SimulatedOrder

Array = NDArray[np.float64]

# An order counts as complete from this share on.
COMPLETE = 0.995
LOOKS_AT_MID = "OPPORTUNISTIC"  # the algorithm that trades by where the mid is


def looks_at_mid(catalogue: CandidateSet) -> NDArray[np.bool_]:
    """(n,) whether a candidate looks at the mid, so that the second of each mirrored pair has to be run too."""
    return np.array([c.spec.name == LOOKS_AT_MID for c in catalogue.candidates])


@dataclass(frozen=True, slots=True)
class Parts:
    """Per candidate, what the learned models learn; (n,) each. spread_part in quoted spreads, sigma_part (without
    permanent impact) and deviation in daily volatilities, mean_time in trading days, the rest shares."""

    spread_part: Array
    sigma_part: Array
    deviation: Array
    mean_time: Array
    unfilled: Array
    dark: Array
    passive: Array
    completion: Array
    end_time: Array


def fees_bps(order: SimulatedOrder, dark: Array, passive: Array) -> Array:
    """Fees of the whole order by how it was filled."""
    crossed = 1.0 - dark - passive
    fees: Array = dark * order.dark_fee_bps + passive * order.maker_fee_bps + crossed * order.taker_fee_bps
    return fees


def columns(run: Run, mirrored: bool) -> dict[int, Array]:
    """The results as float64; for candidates that were run on the first halves only these are all there is."""
    paths = run.values.shape[1]
    used = paths if mirrored or paths == run.pairs else run.pairs
    return {column: run.values[:, :used, column].astype(np.float64) for column in range(run.values.shape[2])}


def parts_of(order: SimulatedOrder, run: Run, price_inline: bool) -> Parts:
    """Averages over paths. `price_inline`: the run holds both halves of the pairs."""
    found = columns(run, price_inline)
    spread, sigma = found[SPREAD_PART], found[SIGMA_PART]
    drift, martingale = found[DRIFT_PART], found[MARTINGALE]
    if price_inline:
        sigma_mean = (sigma + drift).mean(axis=1)
    else:
        sigma_mean = sigma.mean(axis=1)
    variance = deviation_variance(order, spread, sigma, drift, martingale, found[HELD_VARIANCE], price_inline)
    day = order.session_minutes
    return Parts(
        spread_part=spread.mean(axis=1), sigma_part=sigma_mean, deviation=np.sqrt(variance),
        mean_time=found[MEAN_TIME].mean(axis=1) / day, unfilled=found[UNFILLED].mean(axis=1),
        dark=found[DARK_FILLED].mean(axis=1), passive=found[PASSIVE_FILLED].mean(axis=1),
        completion=(found[UNFILLED] <= 1.0 - COMPLETE).mean(axis=1), end_time=found[END_MINUTE].mean(axis=1) / day,
    )


def deviation_variance(order: SimulatedOrder, spread: Array, sigma: Array, drift: Array, martingale: Array,
                       held_variance: Array, price_inline: bool) -> Array:
    """(n,) variance of the shortfall in daily variances; see the module. Spread counts through the order's own ratio of
    spread to volatility."""
    own = sigma + spread * (order.spread_bps / order.sigma_bps)
    if price_inline:
        rest = own + drift
        rest = rest - rest.mean(axis=1, keepdims=True)
        variance = held_variance.mean(axis=1) + (rest**2).mean(axis=1) + 2.0 * (rest * martingale).mean(axis=1)
    else:
        # In a mirrored pair drift and martingale turn their signs together and `own` keeps its own, so the cross terms
        # with `own` cancel exactly.
        own = own - own.mean(axis=1, keepdims=True)
        moved = (drift**2).mean(axis=1) + 2.0 * (drift * martingale).mean(axis=1)
        variance = held_variance.mean(axis=1) + moved + (own**2).mean(axis=1)
    least: Array = np.maximum(variance, 1e-12)
    return least


def cost_bps(order: SimulatedOrder, parts: Parts) -> Array:
    """E[IS] of each candidate, bps of the whole order."""
    own = order.spread_bps * parts.spread_part + order.sigma_bps * parts.sigma_part
    return own + order.permanent_bps + fees_bps(order, parts.dark, parts.passive)


def utility_bps(order: SimulatedOrder, parts: Parts) -> Array:
    """U of each candidate."""
    waiting = (order.alpha_bps_per_day + order.time_price_bps_per_day) * parts.mean_time
    return cost_bps(order, parts) + order.risk_aversion * order.sigma_bps * parts.deviation + waiting


def shortfalls_bps(order: SimulatedOrder, run: Run, price_inline: bool) -> Array:
    """(n, paths) implementation shortfall of each path with everything in it: what an interval has to cover. For
    candidates that do not look at the mid both halves of a pair are given: first all first ones."""
    found = columns(run, price_inline)
    moved = found[MARTINGALE] + found[DRIFT_PART]
    own = order.spread_bps * found[SPREAD_PART] + order.sigma_bps * found[SIGMA_PART] + order.permanent_bps
    own = own + fees_bps(order, found[DARK_FILLED], found[PASSIVE_FILLED])
    if price_inline:
        return own + order.sigma_bps * moved
    return np.concatenate((own + order.sigma_bps * moved, own - order.sigma_bps * moved), axis=1)


def path_utilities_bps(order: SimulatedOrder, run: Run, price_inline: bool) -> Array:
    """(n, pairs) influence of each pair on U: averages to U up to the curvature of the square root, so that differences
    between candidates on common paths have an honest standard error."""
    found = columns(run, price_inline)
    day = order.session_minutes
    waiting = (order.alpha_bps_per_day + order.time_price_bps_per_day) / day
    sigma = found[SIGMA_PART] + (found[DRIFT_PART] if price_inline else 0.0)
    cost = order.spread_bps * found[SPREAD_PART] + order.sigma_bps * sigma + order.permanent_bps
    cost = cost + fees_bps(order, found[DARK_FILLED], found[PASSIVE_FILLED]) + waiting * found[MEAN_TIME]
    own = found[SIGMA_PART] + found[SPREAD_PART] * (order.spread_bps / order.sigma_bps)
    drift, martingale = found[DRIFT_PART], found[MARTINGALE]
    if price_inline:
        rest = own + drift
        rest = rest - rest.mean(axis=1, keepdims=True)
        square = found[HELD_VARIANCE] + rest**2 + 2.0 * rest * martingale
    else:
        own = own - own.mean(axis=1, keepdims=True)
        square = found[HELD_VARIANCE] + drift**2 + 2.0 * drift * martingale + own**2
    deviation = np.sqrt(np.maximum(square.mean(axis=1, keepdims=True), 1e-12))
    risk = order.risk_aversion * order.sigma_bps * 0.5 * (deviation + square / deviation)
    values: Array = cost + risk
    if price_inline and values.shape[1] == 2 * run.pairs:
        values = 0.5 * (values[:, : run.pairs] + values[:, run.pairs :])
    return values
