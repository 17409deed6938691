"""Small statistics on arrays that several modules use."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def round_figure(value: float, digits: int = 6) -> float:
    """Six significant digits: enough for any figure here, and free of the last-bit noise of a platform."""
    if value == 0.0 or not math.isfinite(value):
        return 0.0
    return float(f"{value:.{digits}g}")


def sample_last(times: Array, values: Array, grid: Array) -> Array:
    """The last value known at each point of the grid, nan before the first."""
    index = np.searchsorted(times, grid, side="right") - 1
    picked: Array = np.where(index >= 0, values[np.maximum(index, 0)], np.nan)
    return picked


def robust_clip(returns: Array, sigmas: float = 6.0) -> Array:
    """Returns clipped at six robust deviations, so that a bad print does not become volatility."""
    if returns.size == 0:
        return returns
    scale = 1.4826 * float(np.median(np.abs(returns)))
    if scale == 0.0:
        scale = float(np.std(returns))
    bound = sigmas * scale if scale > 0.0 else np.inf
    clipped: Array = np.clip(returns, -bound, bound)
    return clipped
