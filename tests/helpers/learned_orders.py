"""Selections with outcomes as records, as a service would have written them: for the store and for training."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from engine.records import OutcomeRecord, Record, SelectionRecord
from tests.helpers.chains import outcome, selection

ALGORITHMS = ("VWAP", "TWAP", "POV")


def decided(number: int, surfaces: str, models: str, algorithm: str, **expected: Any) -> SelectionRecord:
    forecast = {
        "estimated_cost": 0.0010, "cost_standard_deviation": 0.0020, "market_impact": 0.0006,
        "cost_quantile_10": -0.0015, "cost_quantile_90": 0.0036, "estimated_time_minutes": 30,
        "online_correction": 0.0, "propensity": 1.0, "explored": False, **expected,
    }
    return selection(
        created_at_ns=time.time_ns() - 3_600_000_000_000 + number, algorithm=algorithm, strategy_name=algorithm,
        quantity_shares=1_000.0, versions={"surfaces_sha256": surfaces, "models_sha256": models},
        market_conditions={
            "condition": "NORMAL", "average_daily_volume": 100_000.0, "daily_volatility": 0.02, "mid_price": 100.0,
        },
        expected_outcomes=forecast, parameters={"dark_pool_ratio": 0.0},
    )  # fmt: skip


def ended(of: SelectionRecord, cost: float, **actual: Any) -> OutcomeRecord:
    told = {"cost": cost, "time_minutes": 30.0, "filled_quantity": 1_000.0, "average_price": 100.0, **actual}
    return outcome(of, created_at_ns=of.created_at_ns + 60_000_000_000, actual_outcomes=told)


def history(count: int, surfaces: str, models: str, worse_bps: float = 0.0, seed: int = 0) -> list[Record]:
    """The first algorithm pays `worse_bps` more than forecast; all are off by their own standard deviation besides."""
    rng = np.random.default_rng(seed)
    records: list[Record] = []
    for number in range(count):
        algorithm = ALGORITHMS[number % len(ALGORITHMS)]
        made = decided(number, surfaces, models, algorithm)
        extra = worse_bps if algorithm == ALGORITHMS[0] else 0.0
        cost = 0.0010 + 1e-4 * extra + float(rng.normal(0.0, 0.0020))
        records += [made, ended(made, cost)]
    return records
