"""How the inner functions of the decision call are compiled.

numba counts references to arrays: a row of one, handed to a function, is an atomic increment and a decrement, some five
nanoseconds each, and pricing a few hundred candidates does thousands of them. Where several threads decide, they write
to the same counters of the arrays that all share. Functions that are compiled by `uncounted` do not count: what they
are given lives as long as their caller, and they must make no array themselves (numba refuses them then).
"""

from __future__ import annotations

from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

# An option that numba has for itself and does not document; a version without it fails here, at import.
_OPTIONS: Final[dict[str, Any]] = {"cache": True, "_nrt": False}
uncounted: Final[Any] = njit(**_OPTIONS)


@uncounted
def copy_into(out: NDArray[Any], values: NDArray[Any]) -> None:
    """One row into another of the same length. An assignment of slices would first ask whether they overlap."""
    for column in range(out.shape[0]):
        out[column] = values[column]


@uncounted
def clear(out: NDArray[Any]) -> None:
    """Zeros all over a row."""
    for column in range(out.shape[0]):
        out[column] = 0.0
