"""Orders with outcomes, as the performance report reads them."""

from __future__ import annotations

from typing import Any

from engine.performance import Executed


def executed(cost: float = 0.001, **changes: Any) -> Executed:
    """Filled completely, within a forecast of 10 bps +/- 10."""
    values: dict[str, Any] = {
        "day": "2025-06-16",
        "strategy_name": "VWAP",
        "objective": "MINIMIZE_COST",
        "condition": "NORMAL",
        "quantity_shares": 1_000.0,
        "daily_volume_shares": 50_000.0,
        "venues": ("XNAS", "XNYS"),
        "predicted_cost": 0.001,
        "predicted_low": 0.0,
        "predicted_high": 0.002,
        "cost": cost,
        "impact": 0.0005,
        "filled_shares": 1_000.0,
    }
    return Executed(**{**values, **changes})
