"""The sections of the benchmark: one module each, found by name, loaded only where it runs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, TypeAlias, cast

Figures: TypeAlias = dict[str, Any]
# (short, seed) -> figures by name, ready for JSON. A short run shows that it runs; its figures prove little.
Measure: TypeAlias = Callable[[bool, int], Figures]

SECTIONS: Final[dict[str, str]] = {
    "gain": "benchmarks.adapt.gain",
    "learning": "benchmarks.adapt.learning",
    "load": "benchmarks.adapt.load",
}


def measure_of(name: str) -> Measure:
    """Raises KeyError for a section that there is not."""
    return cast(Measure, import_module(SECTIONS[name]).measure)
