"""What the learner makes of a report: an outcome of the forecast, or none; and no odd figure moves a correction."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from engine.learning.fit import LEAST_OUTCOMES, corrections_of
from engine.learning.outcomes import Outcome
from store.learning_rows import FILLED_TOLERANCE, MOST_MOVE_DAYS, outcome_from

QUANTITY, VOLUME, SIGMA, MID = 1_000.0, 100_000.0, 0.02, 100.0
ALGORITHMS = ("VWAP", "TWAP", "POV")


def row(number: int = 0, cost: float = 0.0010, side: str = "BUY", **actual: Any) -> tuple[Any, ...]:
    """As PostgreSQL gives it: forecast 10 bps, deviation 20."""
    expected = {"estimated_cost": 0.0010, "cost_standard_deviation": 0.0020, "market_impact": 0.0006}
    told = {"cost": cost, "time_minutes": 30.0, "filled_quantity": QUANTITY, "average_price": MID, **actual}
    return (
        f"{number:08d}", number, ALGORITHMS[number % 3], "BALANCED_EXECUTION", "NORMAL", side, QUANTITY, VOLUME, SIGMA,
        MID, json.dumps(expected), json.dumps(told), 0.0, "",
    )  # fmt: skip


def outcome(*args: Any, **kwargs: Any) -> Outcome | None:
    return outcome_from(row(*args, **kwargs), json.loads)


@pytest.mark.parametrize("part", [1.0, 1.0 - FILLED_TOLERANCE, 1.0 + FILLED_TOLERANCE])
def test_what_was_filled_about_as_forecast_counts(part: float) -> None:
    found = outcome(filled_quantity=QUANTITY * part)
    assert found is not None
    assert found.surprise_bps == pytest.approx(0.0)


@pytest.mark.parametrize("part", [0.0, 0.5, 0.89, 1.11, 3.0, 1e300])
def test_an_order_that_was_cut_short_or_grew_is_not_what_was_forecast(part: float) -> None:
    assert outcome(filled_quantity=QUANTITY * part) is None


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize(
    ("final", "counts"), [(101.0, True), (111.0, True), (90.0, True), (114.0, False), (1.0, False), (10_000.0, False)]
)
def test_a_move_that_no_market_makes_is_not_told(final: float, counts: bool, side: str) -> None:
    found = outcome(side=side, final_mid_price=final)
    assert found is not None
    assert (found.market_move_bps is not None) is counts
    if found.market_move_bps is not None:
        sign = 1.0 if side == "BUY" else -1.0
        assert found.market_move_bps == pytest.approx(sign * 1e4 * np.log(final / MID))
        assert abs(found.market_move_bps) <= MOST_MOVE_DAYS * SIGMA * 1e4


def test_odd_prices_are_read_all_the_same() -> None:
    found = outcome(arrival_mid_price=1e300, final_mid_price=1e-300, interval_vwap=1e300, average_price=1e-300)
    assert found is not None
    assert found.market_move_bps is None
    assert found.vwap_slippage_bps is not None


def test_cancelled_orders_and_a_mid_in_cents_move_no_correction() -> None:
    rng = np.random.default_rng(3)
    reports = []
    for number in range(2 * LEAST_OUTCOMES):
        noise = float(rng.normal(0.0, 0.0020))
        final = MID * float(np.exp(1.6 * noise))
        if number % 5 == 0:  # nothing was done, and nothing paid
            reports.append(row(number, 0.0, filled_quantity=0.0, average_price=0.0))
        else:
            reports.append(row(number, 0.0010 + noise, final_mid_price=final))
    reports[1] = row(1, 0.0010, final_mid_price=MID * 100.0)
    found = corrections_of([one for one in (outcome_from(each, json.loads) for each in reports) if one], "s", "m")
    assert found.outcomes == 8 * LEAST_OUTCOMES // 5
    assert not any(found.values)
    assert found.alarms == ()
