"""The performance report as rows with plain column names, for CSV and Parquet. Fractions stay fractions of notional."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from engine.forecast_check import Bin, ForecastCheck
from engine.performance import Executed, Line, Performance, size_of

Cell: TypeAlias = str | int | float | bool | list[str] | None
Row: TypeAlias = Mapping[str, Cell]
# What a formula of a spreadsheet begins with.
FORMULAS: Final = ("=", "+", "-", "@")
# In the order of the pages; kinds of lines by what they group by.
KINDS = ("strategy", "objective", "condition", "size", "venue")
# By table: t text, i integer, f float, b bool, d day ("YYYY-MM-DD"), l list of texts.
COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "lines": {
        "by": "t", "label": "t", "orders_executed": "i", "avg_cost": "f", "avg_cost_lower": "f", "avg_cost_upper": "f",
        "predicted_cost": "f", "cost_not_distinguishable": "b", "avg_market_impact": "f",
        "avg_market_impact_lower": "f", "avg_market_impact_upper": "f", "success_rate": "f", "success_rate_lower": "f",
        "success_rate_upper": "f", "success_not_distinguishable": "b", "interval_coverage": "f",
    },
    "daily": {
        "strategy_name": "t", "execution_date": "d", "orders_executed": "i", "avg_cost": "f", "avg_market_impact": "f",
        "success_rate": "f",
    },
    "orders": {
        "order_id": "t", "execution_date": "d", "strategy_name": "t", "objective": "t", "condition": "t", "size": "t",
        "venues": "l", "quantity": "f", "average_daily_volume": "f", "predicted_cost": "f", "predicted_cost_10": "f",
        "predicted_cost_90": "f", "predicted_completion": "f", "cost": "f", "market_impact": "f",
        "filled_quantity": "f", "is_complete": "b", "is_within": "b", "is_success": "b",
    },
    "forecasts": {
        "of": "t", "orders": "i", "predicted_from": "f", "predicted_to": "f", "predicted": "f", "actual": "f",
        "actual_lower": "f", "actual_upper": "f", "not_distinguishable": "b",
    },
}  # fmt: skip


def lines_by_kind(found: Performance) -> dict[str, tuple[Line, ...]]:
    groups = (found.by_strategy, found.by_objective, found.by_condition, found.by_size, found.by_venue)
    return dict(zip(KINDS, groups, strict=True))


def line_rows(found: Performance) -> list[Row]:
    return [
        {
            "by": kind, "label": line.label, "orders_executed": line.orders, "avg_cost": line.cost,
            "avg_cost_lower": line.cost_lower, "avg_cost_upper": line.cost_upper, "predicted_cost": line.predicted_cost,
            "cost_not_distinguishable": line.not_distinguishable, "avg_market_impact": line.impact,
            "avg_market_impact_lower": line.impact_lower, "avg_market_impact_upper": line.impact_upper,
            "success_rate": line.success_rate, "success_rate_lower": line.success_lower,
            "success_rate_upper": line.success_upper,
            "success_not_distinguishable": line.success_not_distinguishable,
            "interval_coverage": line.interval_coverage,
        }
        for kind, lines in lines_by_kind(found).items()
        for line in lines
    ]  # fmt: skip


def daily_rows(found: Performance) -> list[Row]:
    """As strategy_performance has them, with today and days that are not written yet."""
    return [
        {
            "strategy_name": day.strategy_name, "execution_date": day.day, "orders_executed": day.orders,
            "avg_cost": day.cost, "avg_market_impact": day.impact, "success_rate": day.success_rate,
        }
        for day in found.daily
    ]  # fmt: skip


def order_rows(rows: Sequence[Executed]) -> list[Row]:
    """By day and order id."""
    return [
        {
            "order_id": row.order_id, "execution_date": row.day, "strategy_name": row.strategy_name,
            "objective": row.objective, "condition": row.condition, "size": size_of(row), "venues": list(row.venues),
            "quantity": row.quantity_shares, "average_daily_volume": row.daily_volume_shares,
            "predicted_cost": row.predicted_cost, "predicted_cost_10": row.predicted_low,
            "predicted_cost_90": row.predicted_high, "predicted_completion": row.predicted_completion,
            "cost": row.cost, "market_impact": row.impact, "filled_quantity": row.filled_shares,
            "is_complete": row.is_complete, "is_within": row.is_within, "is_success": row.is_success,
        }
        for row in sorted(rows, key=lambda row: (row.day, row.order_id))
    ]  # fmt: skip


def forecast_rows(check: ForecastCheck | None) -> list[Row]:
    if check is None:
        return []
    return [*_bin_rows("cost", check.cost), *_bin_rows("completion", check.completion)]


def csv_text(columns: Iterable[str], rows: Sequence[Row]) -> str:
    """RFC 4180 with a head; an empty cell where nothing is known, several names with semicolons between. A text that a
    spreadsheet would take for a formula (a gateway chooses its orders' ids) has an apostrophe before it."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _csv_cell(cell) for name, cell in row.items()})
    return out.getvalue()


def _csv_cell(cell: Cell) -> str | int | float | None:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    text = ";".join(cell) if isinstance(cell, list) else cell
    return f"'{text}" if isinstance(text, str) and text.startswith(FORMULAS) else text


def _bin_rows(of: str, bins: Sequence[Bin]) -> list[Row]:
    return [
        {
            "of": of, "orders": found.orders, "predicted_from": found.predicted_low,
            "predicted_to": found.predicted_high, "predicted": found.predicted, "actual": found.actual.mean,
            "actual_lower": found.actual.lower, "actual_upper": found.actual.upper,
            "not_distinguishable": found.not_distinguishable,
        }
        for found in bins
    ]  # fmt: skip
