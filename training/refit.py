"""The structural surfaces refitted on labels: one positive factor a (condition, shape, output).

What a factor can mend is a level, not a shape, so this is the baseline that the trees have to beat, the pruning in
front of them, and what decides where they know nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine import kernel as k
from engine.catalogue import shape_keys
from engine.pricing import (
    DARK,
    DARK_IMPACT,
    DARK_SPREAD,
    DEVIATION,
    IMPACT,
    MEAN_TIME,
    OUTPUTS,
    PASSIVE,
    SPREAD,
)
from engine.surfaces import Surfaces
from engine.values import CONDITIONS
from training.labelling import (
    TRUE_DARK,
    TRUE_DEVIATION,
    TRUE_PASSIVE,
    TRUE_SIGMA,
    TRUE_SPREAD,
    TRUE_TIME,
    curve_of,
    price_served,
    served,
)
from training.labels import Labels

Array = NDArray[np.float64]

LEAST_FACTOR, MOST_FACTOR = 0.3, 3.0
# Orders whose condition is surer than this say something of that condition's factor.
SURE = 0.9
# So many rows pull a factor half of the way from its shape's to its own.
ROWS_OF_A_PRIOR = 200.0
ROUNDS = 8


@dataclass(frozen=True, slots=True)
class BaseParts:
    """Structural figures of labelled rows, (r,) each, as TRUTHS has them: dark savings included."""

    spread: Array
    sigma: Array
    deviation: Array
    time: Array
    unfilled: Array
    dark: Array
    passive: Array


def base_parts(labels: Labels, surfaces: Surfaces) -> BaseParts:
    """Every labelled row priced by some surfaces, by the kernel."""
    bases = np.empty((labels.rows, k.BASES))
    for order in range(labels.orders):
        rows = slice(labels.first_row[order], labels.first_row[order + 1])
        curve = curve_of(int(labels.instrument[order]))
        priced = price_served(surfaces, labels.weights[order], curve, labels.context[order])
        bases[rows] = priced.bases[labels.candidate[rows]]
    return BaseParts(
        spread=bases[:, k.BASE_SPREAD] + bases[:, k.BASE_DARK_SPREAD],
        sigma=bases[:, k.BASE_SIGMA] + bases[:, k.BASE_DARK_SIGMA], deviation=bases[:, k.BASE_DEVIATION],
        time=bases[:, k.BASE_TIME], unfilled=bases[:, k.BASE_UNFILLED], dark=bases[:, k.BASE_DARK],
        passive=bases[:, k.BASE_PASSIVE],
    )


def utility_of(labels: Labels, parts: BaseParts) -> Array:
    """(r,) utility in bps that some figures amount to, permanent impact left out: it is the order's, not a choice's."""
    context = labels.context[labels.order_of_row]
    fees = parts.dark * context[:, k.DARK_FEE_BPS] + parts.passive * context[:, k.MAKER_FEE_BPS]
    fees = fees + (1.0 - parts.dark - parts.passive) * context[:, k.TAKER_FEE_BPS]
    cost = context[:, k.SPREAD_BPS] * parts.spread + context[:, k.SIGMA_BPS] * parts.sigma + fees
    waiting = (context[:, k.ALPHA_BPS_PER_DAY] + context[:, k.TIME_PRICE]) * parts.time
    found: Array = cost + context[:, k.RISK_AVERSION] * context[:, k.SIGMA_BPS] * parts.deviation + waiting
    return found


def true_parts(labels: Labels) -> BaseParts:
    """The labels' own figures in the same form."""
    truth = labels.truth.astype(np.float64)
    return BaseParts(
        truth[:, TRUE_SPREAD], truth[:, TRUE_SIGMA], truth[:, TRUE_DEVIATION], truth[:, TRUE_TIME], truth[:, 4],
        truth[:, TRUE_DARK], truth[:, TRUE_PASSIVE],
    )


def tolerances(labels: Labels, utility: Array) -> Array:
    """(r,) the judge's tolerance of each row's order, from its best labelled candidate; permanent impact counts."""
    best = np.minimum.reduceat(utility, labels.first_row[:-1])
    context = labels.context
    size = context[:, k.QUANTITY] / context[:, k.DAILY_VOLUME]
    permanent = 0.5 * context[:, k.PERMANENT_GAMMA] * size * context[:, k.TURNOVER_FACTOR] * context[:, k.SIGMA_BPS]
    found: Array = np.maximum(0.5, 0.05 * np.abs(best + permanent))[labels.order_of_row]
    return found


def robust_factor(truth: Array, known: Array, weight: Array) -> float:
    """Weighted least squares through the origin, with Huber's weights against outliers."""
    factor = 1.0
    for _ in range(ROUNDS):
        errors = (truth - factor * known) * np.sqrt(weight)
        spread = 1.4826 * float(np.median(np.abs(errors))) + 1e-12
        held = weight * np.minimum(1.0, 1.5 * spread / np.maximum(np.abs(errors), 1e-12))
        factor = float((held * known * truth).sum() / max(float((held * known * known).sum()), 1e-12))
    return factor


def refit(labels: Labels, surfaces: Surfaces) -> Array:
    """(conditions, shapes, outputs) factors. Outputs that labels do not speak of keep 1."""
    known, truth = base_parts(labels, surfaces), true_parts(labels)
    context = labels.context[labels.order_of_row]
    tolerance = tolerances(labels, utility_of(labels, truth))
    by_spread, by_sigma = (context[:, k.SPREAD_BPS] / tolerance) ** 2, (context[:, k.SIGMA_BPS] / tolerance) ** 2
    even = np.ones(labels.rows)
    rows = (
        (truth.spread, known.spread, by_spread, (SPREAD, DARK_SPREAD)),
        (truth.sigma, known.sigma, by_sigma, (IMPACT, DARK_IMPACT)),
        (truth.deviation, known.deviation, by_sigma, (DEVIATION,)),
        (truth.time, known.time, 1.0 / np.maximum(labels.scales[:, 3].astype(np.float64), 1e-3) ** 2, (MEAN_TIME,)),
        (truth.dark, known.dark, even, (DARK,)),
        (truth.passive, known.passive, even, (PASSIVE,)),
    )
    factors = np.ones((len(CONDITIONS), len(shape_keys()), len(OUTPUTS)))
    weights = labels.weights[labels.order_of_row]
    sure, condition = weights.max(axis=1) > SURE, weights.argmax(axis=1)
    shape = served().shape[labels.candidate]
    for true, structural, weight, outputs in rows:
        capped = np.minimum(weight, np.percentile(weight, 95.0))
        for number in range(factors.shape[1]):
            own = sure & (shape == number) & (np.abs(structural) > 1e-9)
            if own.sum() < 20:
                continue
            level = robust_factor(true[own], structural[own], capped[own])
            for position in range(len(CONDITIONS)):
                part = own & (condition == position)
                count = float(part.sum())
                single = robust_factor(true[part], structural[part], capped[part]) if count >= 20 else level
                shrunk = (count * single + ROWS_OF_A_PRIOR * level) / (count + ROWS_OF_A_PRIOR)
                factors[position, number, outputs] = min(max(shrunk, LEAST_FACTOR), MOST_FACTOR)
    return factors
