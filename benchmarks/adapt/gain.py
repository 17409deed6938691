"""What adapting gains over leaving an order alone, in worlds whose condition changes inside its life."""

from __future__ import annotations

from benchmarks.adapt.sections import Figures


def measure(short: bool, seed: int) -> Figures:
    """The figures of QUANT.md section 5, "Adaptation"."""
    raise NotImplementedError(f"arrives with the worlds (short={short}, seed={seed})")
