"""Golden figures of Obizhaeva & Wang (2013), continuous limit: 100,000 shares over one day."""

from __future__ import annotations

import pytest

from engine.models import obizhaeva_wang

SOURCE = "Obizhaeva & Wang (2013), section 6, recomputed"

# resilience (1/day), block (shares), tolerance
ROWS = [
    (1.0, 33_333.3, 0.05, SOURCE),
    (2.231, 23_635.1, 0.05, SOURCE),
    (20.0, 4_545.5, 0.05, SOURCE),
]


@pytest.mark.parametrize(("resilience", "expected", "tolerance", "source"), ROWS)
def test_blocks_and_rate(resilience: float, expected: float, tolerance: float, source: str) -> None:
    schedule = obizhaeva_wang.continuous_schedule(1e5, 1.0, resilience)
    assert schedule.block_shares == pytest.approx(expected, abs=tolerance, rel=0), source
    assert schedule.rate_shares_per_day == pytest.approx(resilience * schedule.block_shares, rel=1e-12)
    worked = 2.0 * schedule.block_shares + schedule.rate_shares_per_day * schedule.horizon_days
    assert worked == pytest.approx(1e5, rel=1e-12)
