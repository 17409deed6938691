"""Golden figures of Almgren, Thum, Hauptmann & Li (2005): IBM and DRI, 10 % of a day's volume."""

from __future__ import annotations

import pytest

from engine.models import almgren_2005

SOURCE = "Almgren, Thum, Hauptmann & Li (2005), table 3, recomputed"

# name: X (shares), V (shares/day), Theta (shares), sigma (daily fraction)
STOCKS = {
    "IBM": (656_100.0, 6.561e6, 1728e6, 0.0157),
    "DRI": (192_900.0, 1.929e6, 168e6, 0.0226),
}

PERMANENT = [("IBM", 19.86, 5e-3, SOURCE), ("DRI", 21.68, 5e-3, SOURCE)]

# stock, horizon (days), cost J (bps), tolerance
COST = [
    ("IBM", 0.1, 32.2, 0.05, SOURCE),
    ("IBM", 0.2, 24.6, 0.05, SOURCE),
    ("IBM", 0.5, 18.4, 0.05, SOURCE),
    ("DRI", 0.1, 42.9, 0.05, SOURCE),
    ("DRI", 0.2, 32.0, 0.05, SOURCE),
    ("DRI", 0.5, 23.1, 0.05, SOURCE),
]


@pytest.mark.parametrize(("stock", "expected", "tolerance", "source"), PERMANENT)
def test_permanent_impact(stock: str, expected: float, tolerance: float, source: str) -> None:
    impact_bps = almgren_2005.permanent_impact_bps(*STOCKS[stock])
    assert float(impact_bps) == pytest.approx(expected, abs=tolerance, rel=0), source


@pytest.mark.parametrize(("stock", "horizon_days", "expected", "tolerance", "source"), COST)
def test_cost(stock: str, horizon_days: float, expected: float, tolerance: float, source: str) -> None:
    quantity, volume, outstanding, sigma = STOCKS[stock]
    cost_bps = float(almgren_2005.cost_bps(quantity, volume, outstanding, sigma, horizon_days))
    assert cost_bps == pytest.approx(expected, abs=tolerance, rel=0), source
    permanent_bps = float(almgren_2005.permanent_impact_bps(quantity, volume, outstanding, sigma))
    temporary_bps = float(almgren_2005.temporary_impact_bps(quantity, volume, sigma, horizon_days))
    assert cost_bps == pytest.approx(permanent_bps / 2.0 + temporary_bps, rel=1e-12)
