"""Precomputed cost surfaces: the exact model on a grid, for every condition and every shape of algorithm.

Array layout: (condition, shape, participation, horizon, pool share, output), float32, C order. The kernel finds the
cell by the logarithms and interpolates linearly in powers of participation, horizon and pool share (engine/kernel.py,
_locate), which keeps the monotonicity that the exact model has on the grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.algorithms.flow import Algorithm, Array, Setting
from engine.assumptions import StructuralAssumptions
from engine.pricing import DEVIATION, OUTPUTS, coefficients

# Denser where the model bends: resting orders from a few per cent of volume, bursts and reversion from a few minutes.
# 5.4 MB; errors against the exact model are measured in tests/golden/test_surfaces.py.
PARTICIPATION_GRID: Array = np.concatenate((np.geomspace(2e-4, 0.01, 4)[:-1], np.geomspace(0.01, 1.0, 15)))
HORIZON_DAYS_GRID: Array = np.concatenate((np.geomspace(1.0 / 390.0, 0.02, 3)[:-1], np.geomspace(0.02, 1.0, 8)))
POOL_SHARE_GRID: Array = np.geomspace(0.005, 0.45, 5)


@dataclass(frozen=True, slots=True)
class Surfaces:
    """The surfaces with their axes, ready for the kernel; see the module for the layout."""

    values: NDArray[np.float32]
    log_participation: Array
    log_horizon_days: Array
    log_pool_share: Array

    @property
    def shapes(self) -> int:
        return int(self.values.shape[1])


def build_surfaces(
    shapes: tuple[Algorithm, ...],
    assumptions: StructuralAssumptions,
    progress: Callable[[int, int], None] | None = None,
) -> Surfaces:
    """Evaluates the exact model on the whole grid. `progress(done, total)` is called after every shape."""
    dynamics = assumptions.dynamics()
    grid = (len(PARTICIPATION_GRID), len(HORIZON_DAYS_GRID), len(POOL_SHARE_GRID))
    values = np.empty((len(dynamics), len(shapes), *grid, len(OUTPUTS)), dtype=np.float32)
    for position, algorithm in enumerate(shapes):
        for condition, market in enumerate(dynamics):
            setting = Setting(
                PARTICIPATION_GRID[:, None, None], HORIZON_DAYS_GRID[None, :, None], POOL_SHARE_GRID[None, None, :],
                market, assumptions,
            )
            found = coefficients(algorithm, setting)
            # Under a reverting mid a part that is surely left over can look safer than one that may be; risk is
            # never taken to fall with size.
            found[..., DEVIATION] = np.maximum.accumulate(found[..., DEVIATION], axis=0)
            values[condition, position] = found
        if progress is not None:
            progress(position + 1, len(shapes))
    arrays: dict[str, NDArray[np.generic]] = {"values": values, **axes()}
    return surfaces_from_arrays(arrays)


def axes() -> dict[str, Array]:
    """The axes as they are stored."""
    return {
        "log_participation": np.log(PARTICIPATION_GRID),
        "log_horizon_days": np.log(HORIZON_DAYS_GRID),
        "log_pool_share": np.log(POOL_SHARE_GRID),
    }


def surfaces_from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> Surfaces:
    """From stored arrays. Raises ValueError naming every missing array, wrong shape and value that is not finite."""
    names = ("values", "log_participation", "log_horizon_days", "log_pool_share")
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ValueError(f"surfaces lack {', '.join(missing)}")
    values = np.ascontiguousarray(arrays["values"], dtype=np.float32)
    lines = [np.ascontiguousarray(arrays[name], dtype=np.float64) for name in names[1:]]
    expected = (*values.shape[:2], *(len(line) for line in lines), len(OUTPUTS))
    faults = []
    if values.ndim != 6 or values.shape != expected:
        faults.append(f"values have shape {values.shape}, the axes want {expected}")
    if not np.all(np.isfinite(values)):
        faults.append("values are not all finite")
    falling = [name for name, line in zip(names[1:], lines, strict=True) if np.any(np.diff(line) <= 0)]
    faults += [f"{name} does not rise" for name in falling]
    if faults:
        raise ValueError("; ".join(faults))
    return Surfaces(values, *lines)


def arrays_of(surfaces: Surfaces) -> dict[str, NDArray[np.generic]]:
    """What is stored."""
    return {
        "values": surfaces.values,
        "log_participation": surfaces.log_participation,
        "log_horizon_days": surfaces.log_horizon_days,
        "log_pool_share": surfaces.log_pool_share,
    }


def scaled(surfaces: Surfaces, factors: Array) -> Surfaces:
    """The surfaces times a refit's factors, (conditions, shapes, outputs), all positive. Raises ValueError otherwise.

    One factor for a whole line of participation keeps what rises along it rising.
    """
    expected = (*surfaces.values.shape[:2], surfaces.values.shape[-1])
    if factors.shape != expected or not np.all(np.isfinite(factors)) or np.any(factors <= 0.0):
        raise ValueError(f"factors must be positive, of shape {expected}; they have shape {factors.shape}")
    values = (surfaces.values * factors[:, :, None, None, None, :]).astype(np.float32)
    return Surfaces(values, surfaces.log_participation, surfaces.log_horizon_days, surfaces.log_pool_share)
