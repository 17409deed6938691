"""The report's tables as CSV, which people open in a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest

from reports.performance_tables import COLUMNS, csv_text


@pytest.mark.parametrize(
    ("order_id", "cell"),
    [
        ('=HYPERLINK("http://x/?"&A1)', "'=HYPERLINK(\"http://x/?\"&A1)"), ("@SUM(1)", "'@SUM(1)"), ("+1", "'+1"),
        ("-7", "'-7"), ("order=1", "order=1"), ("'=1", "'=1"),
    ],
)  # fmt: skip
def test_no_order_id_is_a_formula_and_numbers_stay_numbers(order_id: str, cell: str) -> None:
    row = dict.fromkeys(COLUMNS["orders"]) | {"order_id": order_id, "cost": -0.5, "venues": ["=a", "b"]}
    (read,) = csv.DictReader(io.StringIO(csv_text(COLUMNS["orders"], [row]), newline=""))
    assert (read["order_id"], read["cost"], read["venues"], read["market_impact"]) == (cell, "-0.5", "'=a;b", "")
