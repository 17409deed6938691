"""Checks of numeric arguments, gathered so that one error names every bad one.

Two bounds stand behind every check. A magnitude above `LARGEST_MAGNITUDE` is refused because float64 no
longer counts single shares there; a divisor below `SMALLEST_POSITIVE` is refused because a quotient of the
two could overflow. Between them no formula of this folder can return NaN or an unintended infinity.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

BPS_PER_UNIT = 1e4
SMALLEST_POSITIVE = 1e-30
LARGEST_MAGNITUDE = 1e15


class Faults:
    """Collects the faults of one call's arguments; `raise_any` then raises them as a single ValueError."""

    def __init__(self) -> None:
        self._messages: list[str] = []

    def add(self, message: str) -> None:
        """Record one fault; the message starts with the argument's name."""
        self._messages.append(message)

    def raise_any(self) -> None:
        """Raise ValueError with every fault so far, if there is one."""
        if self._messages:
            raise ValueError("; ".join(self._messages))

    def within(self, name: str, value: ArrayLike, low: float, high: float, rule: str = "") -> FloatArray:
        """Return `value` as float64, recording a fault unless every element is real and in [low, high]."""
        numbers = _real_numbers(value)
        if numbers is None:
            self.add(f"{name} must be a real number or an array of them, got {value!r}")
            return np.zeros(())
        # Written as "not inside" so that NaN, which compares false, is outside.
        outside = ~((numbers >= low) & (numbers <= high))
        if outside.any():
            first = float(numbers[outside].flat[0])
            self.add(f"{name} must be {rule or 'a number'} in [{low:g}, {high:g}], got {first!r}")
        return numbers

    def positive(self, name: str, value: ArrayLike) -> FloatArray:
        """`within` for a finite number above zero."""
        return self.within(name, value, SMALLEST_POSITIVE, LARGEST_MAGNITUDE, "positive and finite,")

    def non_negative(self, name: str, value: ArrayLike) -> FloatArray:
        """`within` for a finite number that may be zero."""
        return self.within(name, value, 0.0, LARGEST_MAGNITUDE, "non-negative and finite,")

    def scalar(self, name: str, checked: FloatArray) -> float:
        """Return an already checked array as one float, recording a fault if it is not a single number."""
        if checked.ndim != 0:
            self.add(f"{name} must be a single number, got shape {checked.shape}")
            return 0.0
        return float(checked)

    def positive_scalar(self, name: str, value: ArrayLike) -> float:
        """`positive` for one number."""
        return self.scalar(name, self.positive(name, value))

    def non_negative_scalar(self, name: str, value: ArrayLike) -> float:
        """`non_negative` for one number."""
        return self.scalar(name, self.non_negative(name, value))

    def count(self, name: str, value: int, low: int, high: int) -> None:
        """Record a fault unless `value` is a whole number (not a bool) in [low, high]."""
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
            self.add(f"{name} must be a whole number, got {value!r}")
        elif not low <= value <= high:
            self.add(f"{name} must lie in [{low}, {high}], got {value}")

    def same_shape(self, named: Mapping[str, FloatArray]) -> None:
        """Record a fault unless the arrays broadcast against each other."""
        try:
            np.broadcast_shapes(*(array.shape for array in named.values()))
        except ValueError:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in named.items())
            self.add(f"shapes do not broadcast: {shapes}")


def checked_arrays(
    *,
    non_negative: Mapping[str, ArrayLike],
    positive: Mapping[str, ArrayLike],
    fraction: Mapping[str, ArrayLike] = MappingProxyType({}),
) -> dict[str, FloatArray]:
    """Return the arguments as float64 arrays that broadcast together, or raise all faults as one ValueError.

    `fraction` arguments must lie in (0, 1].
    """
    faults = Faults()
    arrays = {name: faults.non_negative(name, value) for name, value in non_negative.items()}
    arrays |= {name: faults.positive(name, value) for name, value in positive.items()}
    for name, value in fraction.items():
        arrays[name] = faults.within(name, value, SMALLEST_POSITIVE, 1.0, "a fraction")
    faults.same_shape(arrays)
    faults.raise_any()
    return arrays


def _real_numbers(value: ArrayLike) -> FloatArray | None:
    """Convert to float64; None for strings, booleans, complex numbers, None and ragged lists."""
    try:
        raw = np.asarray(value)
    except ValueError:
        return None
    if raw.dtype.kind not in "fiu" and raw.size:
        return None
    return raw.astype(np.float64)
