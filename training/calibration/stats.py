"""A measured figure with its interval, unit and origin, and the resampling that makes the interval."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.measures import Array, round_figure

DRAWS = 300
LEAST_UNITS = 3
SEED = 20_250_601

Statistic = Callable[[Array], Any]  # of (units, ...) terms


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity. `value` is a number or a curve; `interval95` one pair, or a pair for each point.

    `samples` says how many of `sampled` (days, minutes, orders) it was taken from.
    """

    value: float | tuple[float, ...]
    unit: str
    interval95: tuple[Any, ...] | None
    samples: int
    sampled: str
    origin: str
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """As it stands in calibration.json."""
        found: dict[str, Any] = {
            "value": _rounded(self.value),
            "unit": self.unit,
            "interval95": _rounded(self.interval95),
            "samples": self.samples,
            "sampled": self.sampled,
            "origin": self.origin,
        }
        return found | ({"note": self.note} if self.note else {})


def _rounded(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, tuple | list):
        return [_rounded(v) for v in value]
    number = float(value)
    return round_figure(number, 4) if np.isfinite(number) else None


def resampled(terms: Array, statistic: Statistic, draws: int = DRAWS) -> tuple[Any, ...] | None:
    """95 % interval of a statistic (a number or a curve) of (units, ...) terms, whole units drawn with
    replacement.

    None where fewer than three units would make the interval a pretence.
    """
    if len(terms) < LEAST_UNITS:
        return None
    random = np.random.default_rng(SEED)
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a draw may miss a condition altogether
        drawn = [np.ravel(statistic(terms[random.integers(0, len(terms), len(terms))])) for _ in range(draws)]
        low, high = np.nanpercentile(np.stack(drawn), [2.5, 97.5], axis=0)
    if low.size == 1:
        return (float(low[0]), float(high[0]))
    return tuple(zip(low.tolist(), high.tolist(), strict=True))


def figure(
    terms: Any,
    statistic: Statistic,
    unit: str,
    sampled: str,
    origin: str,
    note: str = "",
    samples: int | None = None,
) -> Figure | None:
    """The statistic of all units' terms with its interval; None where there is nothing to measure."""
    rows: Array = np.asarray(terms, dtype=np.float64)
    if rows.size == 0:
        return None
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # what is unknown in every unit stays unknown
        value = np.ravel(statistic(rows))
    if not np.isfinite(value).any():
        return None
    shown: float | tuple[float, ...] = float(value[0]) if value.size == 1 else tuple(float(v) for v in value)
    return Figure(
        shown,
        unit,
        resampled(rows, statistic),
        len(rows) if samples is None else samples,
        sampled,
        origin,
        note,
    )


def mean(terms: Array) -> Array:
    """Mean over the units, point by point."""
    found: Array = np.nanmean(terms, axis=0)
    return found


def median(terms: Array) -> Array:
    """Median over the units."""
    found: Array = np.asarray(np.nanmedian(terms, axis=0))
    return found


def ratio(terms: Array) -> Array:
    """Sum of the first column over the sum of the second: a rate over units of unequal size."""
    top, bottom = terms.sum(axis=0)
    found: Array = np.asarray(top / bottom if bottom else np.nan)
    return found


def root_ratio(terms: Array) -> Array:
    """Root of the sum of the first column over that of the second: a standard deviation from squares and
    counts."""
    top, bottom = terms.sum(axis=0)
    found: Array = np.asarray(np.sqrt(top / bottom) if bottom and top > 0.0 else np.nan)
    return found


def bin_means(values: Array, bins: int) -> Array:
    """Means of an array in even bins of its length (its last axis)."""
    edges = np.round(np.linspace(0, values.shape[-1], bins + 1)).astype(np.int64)
    if np.isfinite(values).all():
        sums: Array = np.add.reduceat(values, edges[:-1], axis=-1)
        return sums / np.diff(edges)
    parts = [np.nanmean(values[..., a:b], axis=-1) for a, b in itertools.pairwise(edges)]
    found: Array = np.stack(parts, axis=-1)
    return found
