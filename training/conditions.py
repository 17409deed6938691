"""Fit the condition classifier's coefficients on simulated paths.

    python -m training.conditions            writes engine/condition_weights.py
    python -m training.conditions --check    fits again and compares with the committed coefficients

The features come from `engine.conditions.window_features`, the function that serving uses. Paths are drawn
equally from the six conditions and weighted to the base rates PRIOR. The fit is a multinomial logistic with a
small ridge: convex, and finished by Newton's method, so that the answer does not hang on threads or rounding.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped, unused-ignore]

from engine import condition_weights
from engine.condition_features import FEATURES
from engine.conditions import MIN_USABLE_MINUTES, window_features
from engine.values import CONDITIONS
from training.regimes import TYPICAL, RegimePath, simulate

SEED = 20_250_101
HELD_OUT_SEED = 20_250_102
PATHS_PER_CONDITION = 16_000
HELD_OUT_PATHS_PER_CONDITION = 4_000
SHORTEST_MINUTES, LONGEST_MINUTES = 10, 120
# Base rates: assumed. Most hours are ordinary, and no labelled history says how many exactly.
PRIOR = (0.4, 0.12, 0.12, 0.12, 0.12, 0.12)
KNOT_MINUTES = (12.0, 30.0, 60.0, 120.0)
RIDGE = 1e-5
NEWTON_STEPS = 4
DECIMALS = 3
CHECK_TOLERANCE = 0.0011  # one unit of the last decimal
RELIABILITY_BINS = 15
OUT = Path(condition_weights.__file__)

HEADER = '''"""Coefficients of `engine.conditions`, written by `python -m training.conditions`; never edited.

Origin: {paths} paths simulated by `training.regimes`, seed {seed}, {shortest}-{longest} minutes,
fitted with a ridge of {ridge}.
Held-out simulated paths (seed {held_out}) at the base rates below; error is the expected calibration error:
{measured}"""

# Base rates, in the order of engine.values.CONDITIONS. Assumed, not measured.
PRIOR: tuple[float, ...] = {prior}

# Window lengths at which the coefficients stand; between them they are linear in the logarithm of minutes.
KNOT_MINUTES: tuple[float, ...] = {knots}

# [knot][feature][condition]. Only differences between conditions count.
WEIGHTS: tuple[tuple[tuple[float, ...], ...], ...] = (
'''


@dataclass(frozen=True, slots=True)
class Sample:
    """Features (paths, features), index into CONDITIONS (paths,), usable minutes (paths,)."""

    features: NDArray[np.float64]
    truth: NDArray[np.int64]
    minutes: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scorecard:
    """How good probabilities are, at base rates given: shares but for `log_loss` (nats).

    `calibration_error` is the expected one of the most probable condition, `class_calibration_error` the
    mean over the conditions of each one's own probability.
    """

    accuracy: float
    recall: tuple[float, ...]
    calibration_error: float
    class_calibration_error: float
    log_loss: float


def draw_paths(seed: int, per_condition: int, shortest: int, longest: int) -> Iterator[RegimePath]:
    """Paths of the six conditions in turn, of log-uniform length in minutes, ends included."""
    rng = np.random.default_rng(seed)
    for i in range(per_condition * len(CONDITIONS)):
        minutes = int(np.exp(rng.uniform(np.log(shortest), np.log(longest + 1))))
        yield simulate(CONDITIONS[i % len(CONDITIONS)], minutes, rng)


def score(
    probabilities: NDArray[np.float64], truth: NDArray[np.int64], prior: Sequence[float] = PRIOR
) -> Scorecard:
    """`probabilities` (paths, conditions) against `truth` (paths,), the classes weighted to `prior`."""
    counts = np.bincount(truth, minlength=len(prior))
    weight = (np.array(prior) / counts)[truth]
    chosen = probabilities.argmax(axis=1)
    hit = (chosen == truth).astype(np.float64)
    own = probabilities[np.arange(truth.size), truth]
    return Scorecard(
        accuracy=float(weight @ hit),
        recall=tuple(float(hit[truth == c].mean()) for c in range(len(prior))),
        calibration_error=_calibration_error(probabilities.max(axis=1), hit, weight),
        class_calibration_error=float(
            np.mean(
                [
                    _calibration_error(probabilities[:, c], (truth == c).astype(np.float64), weight)
                    for c in range(len(prior))
                ]
            )
        ),
        log_loss=float(-(weight @ np.log(np.maximum(own, 1e-12)))),
    )


def _calibration_error(
    stated: NDArray[np.float64], happened: NDArray[np.float64], weight: NDArray[np.float64]
) -> float:
    """Weighted mean over equal bins of |stated - observed| (Naeini et al. 2015); `weight` sums to 1."""
    bins = np.minimum((stated * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    gaps = np.bincount(bins, weights=weight * (stated - happened), minlength=RELIABILITY_BINS)
    return float(np.abs(gaps).sum())


def sample(seed: int, per_condition: int, shortest: int, longest: int) -> Sample:
    """Features of drawn paths; those with too few usable minutes are left out."""
    features: list[NDArray[np.float64]] = []
    truth: list[int] = []
    minutes: list[int] = []
    for path in draw_paths(seed, per_condition, shortest, longest):
        usable = int(np.isfinite(path.mid_price).sum())
        if usable < MIN_USABLE_MINUTES:
            continue
        bars = (path.mid_price, path.volume_shares, path.spread_bps, path.expected_volume_shares)
        features.append(window_features(*bars, TYPICAL))
        truth.append(CONDITIONS.index(path.condition))
        minutes.append(usable)
    return Sample(np.array(features), np.array(truth), np.array(minutes, dtype=np.float64))


def knot_shares(minutes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight of each knot, (paths, knots): hat functions of log minutes, flat outside, as in the engine."""
    knots = np.log(KNOT_MINUTES)
    return np.stack([np.interp(np.log(minutes), knots, hat) for hat in np.eye(len(knots))], axis=1)


def design(drawn: Sample) -> NDArray[np.float64]:
    """Features times knot weights, (paths, knots x features)."""
    product = knot_shares(drawn.minutes)[:, :, None] * drawn.features[:, None, :]
    return product.reshape(drawn.truth.size, -1)


def fit(drawn: Sample) -> NDArray[np.float64]:
    """Coefficients (knots x features, conditions) of the ridge multinomial logistic at base rates PRIOR."""
    columns = design(drawn)
    scale = np.maximum(np.sqrt(np.mean(columns**2, axis=0)), 1e-6)
    columns = columns / scale
    target = np.eye(len(CONDITIONS))[drawn.truth]
    weight = (np.array(PRIOR) / np.bincount(drawn.truth))[drawn.truth]
    shape = (columns.shape[1], len(CONDITIONS))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        coefficients = flat.reshape(shape)
        chance = softmax(columns @ coefficients)
        own = np.sum(chance * target, axis=1)
        value = -float(weight @ np.log(np.maximum(own, 1e-300))) + RIDGE * float(np.sum(flat**2))
        slope = columns.T @ ((chance - target) * weight[:, None]) + 2.0 * RIDGE * coefficients
        return value, slope.ravel()

    found = minimize(
        loss, np.zeros(shape[0] * shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 1000}
    )
    flat = np.asarray(found.x, dtype=np.float64)
    for _ in range(NEWTON_STEPS):
        chance = softmax(columns @ flat.reshape(shape))
        flat = flat - np.linalg.solve(_curvature(columns, chance, weight), loss(flat)[1])
    steepest = float(np.abs(loss(flat)[1]).max())
    if steepest > 1e-12:
        raise RuntimeError(f"the fit did not converge: a slope of {steepest:.1e} is left")
    return np.asarray(flat.reshape(shape) / scale[:, None])


def _curvature(
    columns: NDArray[np.float64], chance: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Second derivative of the loss by the flat coefficients (features x conditions, squared)."""
    features, conditions = columns.shape[1], chance.shape[1]
    out = np.empty((features, conditions, features, conditions))
    for a in range(conditions):
        for b in range(a, conditions):
            spread = weight * chance[:, a] * ((1.0 if a == b else 0.0) - chance[:, b])
            block = columns.T @ (columns * spread[:, None])
            out[:, a, :, b] = block
            out[:, b, :, a] = block
    size = features * conditions
    return out.reshape(size, size) + 2.0 * RIDGE * np.eye(size)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def measure(coefficients: NDArray[np.float64]) -> str:
    """Held-out figures as lines of the header."""
    lines = []
    for shortest, longest in ((10, 29), (30, 59), (60, 120)):
        drawn = sample(HELD_OUT_SEED, HELD_OUT_PATHS_PER_CONDITION, shortest, longest)
        card = score(softmax(design(drawn) @ coefficients), drawn.truth)
        recall = " ".join(f"{r:.2f}" for r in card.recall)
        lines.append(
            f"  {shortest}-{longest} minutes: accuracy {card.accuracy:.3f}, recall {recall}, "
            f"error {card.calibration_error:.3f}\n"
        )
    return "".join(lines)


def render(coefficients: NDArray[np.float64]) -> str:
    """The module's text."""
    text = HEADER.format(
        paths=PATHS_PER_CONDITION * len(CONDITIONS),
        seed=SEED,
        shortest=SHORTEST_MINUTES,
        longest=LONGEST_MINUTES,
        ridge=RIDGE,
        held_out=HELD_OUT_SEED,
        measured=measure(coefficients),
        prior=PRIOR,
        knots=KNOT_MINUTES,
    )
    table = coefficients.reshape(len(KNOT_MINUTES), len(FEATURES), len(CONDITIONS))
    for knot, rows in zip(KNOT_MINUTES, table, strict=True):
        text += f"    (  # {knot:.0f} minutes\n"
        for name, row in zip(FEATURES, rows, strict=True):
            numbers = ", ".join(f"{value:.{DECIMALS}f}" for value in row)
            text += f"        ({numbers}),  # {name}\n"
        text += "    ),\n"
    return text + ")\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fit the condition classifier.")
    parser.add_argument("--check", action="store_true", help="compare with the committed coefficients")
    chosen = parser.parse_args(arguments)
    coefficients = fit(sample(SEED, PATHS_PER_CONDITION, SHORTEST_MINUTES, LONGEST_MINUTES))
    if chosen.check:
        kept = np.array(condition_weights.WEIGHTS)
        worst = float(np.abs(kept.reshape(coefficients.shape) - coefficients).max())
        print(f"largest difference from the committed coefficients: {worst:.4f}")
        return 0 if worst <= CHECK_TOLERANCE else 1
    text = render(coefficients)
    OUT.write_text(text, encoding="utf-8")
    print(text[: text.index("# Base rates")])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
