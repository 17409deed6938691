"""Golden figures of Almgren & Chriss (2000): the paper's own example, recomputed to the digits given."""

from __future__ import annotations

import math

import pytest

from engine.models import almgren_chriss as ac

SOURCE = "Almgren & Chriss (2000), table 1 and section 2, recomputed"

EXAMPLE = ac.AlmgrenChrissParameters(
    quantity_shares=1e6,
    horizon_days=5.0,
    periods=5,
    sigma_daily_currency=0.95,
    half_spread_currency=0.0625,
    permanent_currency_per_share2=2.5e-7,
    temporary_currency_day_per_share2=2.5e-6,
)

# risk aversion (1/$), figure, expected, tolerance: half a unit of the last digit given.
SCALARS = [
    (1e-9, "kappa", 0.0194933, 5e-8, SOURCE),
    (1e-9, "half_life", 51.2997, 5e-5, SOURCE),
    (1e-9, "cost", 662_500.90, 5e-3, SOURCE),
    (1e-9, "variance", 1.0811918e12, 5e4, SOURCE),
    (1e-6, "kappa", 0.6070762, 5e-8, SOURCE),
    (1e-6, "half_life", 1.64724, 5e-6, SOURCE),
    (1e-6, "cost", 911_226.99, 5e-3, SOURCE),
    (1e-6, "variance", 3.6412857e11, 5e3, SOURCE),
]

# risk aversion (1/$), holdings x_0..x_5 (shares), tolerance.
HOLDINGS = [
    (1e-9, [1e6, 799_544.4, 599_392.6, 399_468.6, 199_696.3, 0.0], 0.05, SOURCE),
    (1e-6, [1e6, 541_955.6, 289_854.2, 147_897.5, 62_141.8, 0.0], 0.05, SOURCE),
]


def _figure(name: str, risk_aversion: float) -> float:
    holdings = ac.holdings_shares(EXAMPLE, risk_aversion)
    return {
        "kappa": ac.kappa_per_day(EXAMPLE, risk_aversion),
        "half_life": ac.half_life_days(EXAMPLE, risk_aversion),
        "cost": ac.expected_cost_currency(EXAMPLE, holdings),
        "variance": ac.variance_currency2(EXAMPLE, holdings),
    }[name]


def test_eta_tilde() -> None:
    assert EXAMPLE.eta_tilde == pytest.approx(2.375e-6, rel=1e-12)


@pytest.mark.parametrize(("risk_aversion", "figure", "expected", "tolerance", "source"), SCALARS)
def test_figures(risk_aversion: float, figure: str, expected: float, tolerance: float, source: str) -> None:
    assert _figure(figure, risk_aversion) == pytest.approx(expected, abs=tolerance, rel=0), source


@pytest.mark.parametrize(("risk_aversion", "expected", "tolerance", "source"), HOLDINGS)
def test_holdings(risk_aversion: float, expected: list[float], tolerance: float, source: str) -> None:
    holdings = ac.holdings_shares(EXAMPLE, risk_aversion)
    assert holdings == pytest.approx(expected, abs=tolerance, rel=0), source


def test_linear_limit() -> None:
    holdings = ac.linear_holdings_shares(EXAMPLE)
    assert ac.expected_cost_currency(EXAMPLE, holdings) == pytest.approx(662_500.0, abs=1e-6)
    assert ac.variance_currency2(EXAMPLE, holdings) == pytest.approx(1.083e12, rel=1e-12)
    assert ac.half_life_days(EXAMPLE, 0.0) == math.inf


def test_immediate_limit() -> None:
    holdings = ac.immediate_holdings_shares(EXAMPLE)
    assert ac.expected_cost_currency(EXAMPLE, holdings) == pytest.approx(2_562_500.0, abs=1e-6)
    assert ac.variance_currency2(EXAMPLE, holdings) == 0.0
