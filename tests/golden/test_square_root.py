"""Golden figures of the square-root law: sizes at which the power is exact by hand."""

from __future__ import annotations

import pytest

from engine.models import square_root

# X/V, sigma (daily fraction), Y, delta, impact (bps), tolerance, source
ROWS = [
    (0.01, 0.02, 1.0, 0.5, 20.0, 1e-9, "0.01^0.5 = 0.1, of 200 bps"),
    (0.25, 0.02, 0.8, 0.5, 80.0, 1e-9, "0.25^0.5 = 0.5, of 160 bps"),
    (1.0, 0.02, 0.9, 0.489, 180.0, 1e-9, "1 to any power is 1: Y sigma"),
    (1e-4, 0.02, 1.0, 0.489, 2.2132, 5e-5, "1e-4^0.489 = 10^-1.956 = 0.0110662, of 200 bps"),
]


@pytest.mark.parametrize(
    ("relative_size", "sigma", "prefactor", "exponent", "expected", "tolerance", "source"), ROWS
)
def test_impact(
    relative_size: float,
    sigma: float,
    prefactor: float,
    exponent: float,
    expected: float,
    tolerance: float,
    source: str,
) -> None:
    impact_bps = square_root.impact_bps(
        relative_size * 1e6, 1e6, sigma, prefactor=prefactor, exponent=exponent
    )
    assert float(impact_bps) == pytest.approx(expected, abs=tolerance, rel=0), source


def test_default_is_the_measured_exponent_and_order_one() -> None:
    default_bps = float(square_root.impact_bps(1e4, 1e6, 0.02))
    assert default_bps == float(square_root.impact_bps(1e4, 1e6, 0.02, prefactor=1.0, exponent=0.489))
    assert square_root.SQUARE_ROOT_EXPONENT == 0.5
