"""Golden figures of Kissell's I-Star: 10 % of ADV at 25 % annual volatility and 20 % participation."""

from __future__ import annotations

import pytest

from engine.models import istar

SOURCE = "Kissell (2013), parameters (708, 0.55, 0.71, 0.50, 0.98), recomputed"

SIZE_ADV, SIGMA_ANNUAL, PARTICIPATION = 0.1, 0.25, 0.2

# figure (bps), expected, tolerance
ROWS = [
    ("instantaneous", 74.571, 5e-4, SOURCE),
    ("market_impact", 34.174, 5e-4, SOURCE),
    ("timing_risk", 57.735, 5e-4, SOURCE),
]


@pytest.mark.parametrize(("figure", "expected", "tolerance", "source"), ROWS)
def test_figures(figure: str, expected: float, tolerance: float, source: str) -> None:
    found = {
        "instantaneous": istar.instantaneous_impact_bps(SIZE_ADV, SIGMA_ANNUAL),
        "market_impact": istar.market_impact_bps(SIZE_ADV, SIGMA_ANNUAL, PARTICIPATION),
        "timing_risk": istar.timing_risk_bps(SIZE_ADV, SIGMA_ANNUAL, PARTICIPATION),
    }[figure]
    assert float(found) == pytest.approx(expected, abs=tolerance, rel=0), source
