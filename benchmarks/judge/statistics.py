"""Figures with their intervals: shares, means and ratios over orders, calibration and ranking of probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NORMAL_QUANTILE_975 = 1.959963984540054
BINS = 10


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval and the number of orders behind it."""

    value: float
    lower: float
    upper: float
    count: int


def wilson(hits: NDArray[np.bool_]) -> Estimate:
    """A share of independent orders (Wilson 1927)."""
    n, z = len(hits), NORMAL_QUANTILE_975
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    share = float(hits.mean())
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * float(np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)))
    return Estimate(share, max(0.0, middle - reach), min(1.0, middle + reach), n)


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Resamples of whole orders, the same for every figure, so that figures can be compared."""

    draws: NDArray[np.int64]

    @classmethod
    def of(cls, count: int, times: int, seed: int) -> Bootstrap:
        rng = np.random.default_rng(seed)
        return cls(rng.integers(0, max(count, 1), (times, count)))

    def mean(self, values: Array) -> Estimate:
        """Mean over orders, percentile interval."""
        return self.ratio(values, np.ones(len(values)))

    def ratio(self, above: Array, below: Array) -> Estimate:
        """mean(above) / mean(below)."""
        count = len(above)
        if count == 0:
            return Estimate(float("nan"), float("nan"), float("nan"), 0)
        # One draw after the other: all at once would be hundreds of megabytes for nothing.
        found = np.array([above[rows].sum() / below[rows].sum() for rows in self.draws])
        lower, upper = np.quantile(found, (0.025, 0.975))
        return Estimate(float(above.sum() / below.sum()), float(lower), float(upper), count)


def clustered_mean(values: Array, clusters: NDArray[np.int64], times: int, seed: int) -> Estimate:
    """Mean over rows, whole clusters resampled (days, for orders on real ones)."""
    names, at = np.unique(clusters, return_inverse=True)
    sums = np.bincount(at, values, len(names))
    counts: Array = np.bincount(at, minlength=len(names)).astype(np.float64)
    found = Bootstrap.of(len(names), times, seed).ratio(sums.astype(np.float64), counts)
    return Estimate(found.value, found.lower, found.upper, len(values))


@dataclass(frozen=True, slots=True)
class Reliability:
    """Bins of equally many orders by stated probability: mean stated, share that came true, number."""

    stated: Array
    true: Array
    counts: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error."""
        return float(np.sum(self.counts * np.abs(self.stated - self.true)) / np.sum(self.counts))


def reliability(stated: Array, true: Array) -> Reliability:
    """`true` may be shares (of paths) as well as outcomes."""
    order = np.argsort(stated, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    return Reliability(
        np.array([stated[part].mean() for part in parts]), np.array([true[part].mean() for part in parts]),
        np.array([len(part) for part in parts], dtype=np.int64),
    )


def error_if_calibrated(stated: Array, times: int, seed: int) -> float:
    """Mean calibration error that perfectly calibrated probabilities would show with as many orders: the floor."""
    rng = np.random.default_rng(seed)
    found = [reliability(stated, (rng.random(len(stated)) < stated).astype(np.float64)).error for _ in range(times)]
    return float(np.mean(found))


def brier_skill(stated: Array, true: Array) -> float:
    """1 - Brier score over that of the constant share; not a number where all outcomes are alike."""
    constant = float(np.mean((true - true.mean()) ** 2))
    return float(1.0 - np.mean((stated - true) ** 2) / constant) if constant > 0.0 else float("nan")


def area_under_curve(stated: Array, true: NDArray[np.bool_]) -> float:
    """Probability that a true one was given more than a false one, ties half; not a number without both."""
    positives, negatives = int(true.sum()), int((~true).sum())
    if positives == 0 or negatives == 0:
        return float("nan")
    values, at, counts = np.unique(stated, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - 0.5 * (counts - 1))[at] if len(values) else np.empty(0)
    above = float(ranks[true].sum()) - positives * (positives + 1) / 2.0
    return above / (positives * negatives)
