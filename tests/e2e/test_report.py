"""`ess report` over a real PostgreSQL: the page in a real browser, CSV and Parquet read back, and what is refused."""

from __future__ import annotations

import asyncio
import csv
import json
import random
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as parquet
import pytest

from reports.performance_tables import COLUMNS
from service.report_command import ReportPlan, fault_of
from store.retention import RetentionPlan, retire
from tests.contract.test_performance import DAY_NS, MONDAY_NS, drain, ended, made
from tests.e2e.test_cli import ess
from tests.helpers.browser import browser_or_skip
from tests.helpers.report_pages import facts_of, opened
from tests.helpers.urls import url_of

ORDERS = 160
STRATEGIES = ("VWAP", "TWAP", "Adaptive VWAP with Dark Pool", "Implementation Shortfall <b>&")
NAMES = ("forecasts", "daily", "lines", "orders")
FILES = {"report.html", *(f"{name}.{kind}" for name in NAMES for kind in ("csv", "parquet"))}


def drawn_orders() -> list[Any]:
    """Orders of four strategies, of which one is dearer than forecast, with their outcomes over three days."""
    chance = random.Random(11)
    orders, outcomes = [], []
    for number in range(ORDERS):
        strategy = STRATEGIES[number % 4]
        forecast = chance.uniform(0.0002, 0.003)
        expected = {"estimated_cost": forecast, "cost_quantile_10": forecast - 0.001,
                    "cost_quantile_90": forecast + 0.001,
                    "completion_probability": chance.choice([0.55, 0.85, 0.97])}  # fmt: skip
        order = made(strategy_name=strategy, algorithm="VWAP" if number % 2 else "TWAP", expected_outcomes=expected,
                     objective=chance.choice(["MINIMIZE_COST", "MINIMIZE_RISK"]),
                     venue_allocation={"XNYS": 0.5, chance.choice(["XNAS", "BATS"]): 0.5})  # fmt: skip
        cost = forecast + chance.gauss(0.002 if strategy == "TWAP" else 0.0, 0.0007)
        part = 1.0 if chance.random() < expected["completion_probability"] else 0.5
        orders.append(order)
        outcomes.append(ended(order, cost, MONDAY_NS + chance.randrange(3) * DAY_NS, market_impact=cost / 3,
                              filled_quantity=order.quantity_shares * part))  # fmt: skip
    return [*orders, *outcomes]


def report(database: str, out: Path, *options: str, first: str = "2025-06-16", last: str = "2025-06-18",
           ) -> subprocess.CompletedProcess[str]:  # fmt: skip
    words = ("report", "--from", first, "--to", last, "--out", str(out), *options)
    return ess(*words, ESS_DATABASE_URL=url_of(database))


@pytest.fixture
def filled(database: str) -> str:
    asyncio.run(drain(database, drawn_orders()))
    return database


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_pages_and_files_say_what_the_database_has(filled: str, tmp_path: Path) -> None:
    out = tmp_path / "a" / "report"
    done = report(filled, out, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said["orders"] == ORDERS
    assert {Path(name).name for name in said["files"]} == FILES == {path.name for path in out.iterdir()}
    orders = read_csv(out / "orders.csv")
    with psycopg.connect(filled) as connection:
        query = "SELECT order_id, (actual_outcomes ->> 'cost')::float8 FROM strategy_selections"
        costs: dict[str, float] = dict(connection.execute(query).fetchall())
    assert {row["order_id"]: float(row["cost"]) for row in orders} == costs
    lines = read_csv(out / "lines.csv")
    assert {row["by"] for row in lines} == {"strategy", "objective", "condition", "size", "venue"}
    twap = next(row for row in lines if row["label"] == "TWAP")
    assert twap["cost_not_distinguishable"] == "false"
    assert float(twap["avg_cost_lower"]) < float(twap["avg_cost"]) < float(twap["avg_cost_upper"])
    assert sum(int(row["orders_executed"]) for row in read_csv(out / "daily.csv")) == ORDERS
    page = (out / "report.html").read_text()
    assert f"{ORDERS} orders" in page
    assert "not distinguishable yet" in page
    assert "<b>&amp;" not in page
    assert "Implementation Shortfall &lt;b&gt;&amp;" in page
    assert "orders from 2025-06-16 to 2025-06-18" in report(filled, out).stdout


def test_parquet_has_what_csv_has(filled: str, tmp_path: Path) -> None:
    assert report(filled, tmp_path).returncode == 0
    for name in NAMES:
        rows = parquet.read_table(tmp_path / f"{name}.parquet").to_pylist()
        plain = read_csv(tmp_path / f"{name}.csv")
        assert len(rows) == len(plain) > 0
        assert list(rows[0]) == list(plain[0]) == list(COLUMNS[name])
        for row, texts in zip(rows, plain, strict=True):
            for column, value in row.items():
                said = texts[column]
                if isinstance(value, bool):
                    assert said == str(value).lower()
                elif isinstance(value, float):
                    assert float(said) == value
                elif isinstance(value, list):
                    assert said == ";".join(value)
                else:
                    assert said == ("" if value is None else str(value))


@pytest.mark.parametrize("width", [1200, 390])
def test_pictures_are_drawn(filled: str, tmp_path: Path, width: int) -> None:
    browser = browser_or_skip()
    assert report(filled, tmp_path, "--no-parquet").returncode == 0
    facts = facts_of(browser, tmp_path / "report.html", width)
    assert (facts["errors"], facts["loaded"], facts["lang"], facts["links"]) == ([], [], "en", True)
    assert facts["tooWide"] == 0
    seen = facts["seen"]
    assert isinstance(seen, list)
    # Two reliabilities and the coverage; cost, impact and success of five kinds.
    assert len(seen) == 3 + 3 * 5
    assert len({picture["name"] for picture in seen}) == len(seen)
    for picture in seen:
        assert picture["width"] > 250
        assert picture["drawn"] >= 1
        assert picture["inside"] is True
        assert "rgb" in picture["colour"]


def test_the_page_itself_runs_and_fetches_nothing(filled: str, tmp_path: Path) -> None:
    browser = browser_or_skip()
    assert report(filled, tmp_path, "--no-parquet").returncode == 0
    done = opened(browser, tmp_path / "report.html", "--virtual-time-budget=2000", "--dump-dom")
    assert done.returncode == 0
    assert "CONSOLE" not in done.stderr
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)""", page)
    assert not re.search(r"url\(|@import|<script|<iframe|<link|<img|\bon[a-z]+=", page)
    assert "default-src 'none'" in page
    # Every picture is named, and every kind of lines has its table.
    assert page.count("<svg viewBox") == page.count('role="img"')
    assert page.count("<table>") == 3 + 5 + 1


def test_one_algorithm_and_a_range_without_outcomes(filled: str, tmp_path: Path) -> None:
    done = report(filled, tmp_path, "--json", "--algorithm", "TWAP", "--no-parquet")
    assert json.loads(done.stdout)["orders"] == ORDERS // 2
    assert {path.suffix for path in tmp_path.iterdir()} == {".html", ".csv"}
    done = report(filled, tmp_path, "--json", first="2020-01-01", last="2020-01-01")
    assert (done.returncode, json.loads(done.stdout)["orders"]) == (0, 0)
    assert "No outcome was reported" in (tmp_path / "report.html").read_text()
    assert parquet.read_table(tmp_path / "orders.parquet").num_rows == 0
    assert (tmp_path / "orders.csv").read_text() == ",".join(COLUMNS["orders"]) + "\n"


def test_weeks_that_retention_took_away_are_named(filled: str, tmp_path: Path) -> None:
    whole = report(filled, tmp_path, "--no-parquet", last="2025-06-30")
    assert "ess retention took" not in whole.stdout + (tmp_path / "report.html").read_text()
    asyncio.run(drain(filled, [made(created_at_ns=MONDAY_NS + 14 * DAY_NS)], journal_id="later"))
    retire(filled, RetentionPlan(keep_weeks=1), now=lambda: datetime(2025, 7, 2, tzinfo=UTC))
    words = "ess retention took away the week of 2025-06-16: what was decided or reported then is not counted here"
    left = report(filled, tmp_path, "--no-parquet", last="2025-06-30")
    assert left.stdout.splitlines()[:2] == ["0 orders from 2025-06-16 to 2025-06-30", words]
    assert words in (tmp_path / "report.html").read_text()
    told = report(filled, tmp_path, "--no-parquet", "--json", first="2025-06-25", last="2025-06-30")
    assert json.loads(told.stdout)["retired_weeks"] == ["2025-06-16"], "decided in it, and reported in the next"
    told = report(filled, tmp_path, "--no-parquet", "--json", first="2025-07-01", last="2025-07-02")
    assert json.loads(told.stdout)["retired_weeks"] == []


def test_an_algorithm_that_there_is_not_is_refused(filled: str, tmp_path: Path) -> None:
    done = report(filled, tmp_path / "x", "--algorithm", "NOPE", "--no-parquet")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such algorithm" in done.stderr
    assert "VWAP" in done.stderr
    assert not (tmp_path / "x").exists()
    assert "did you mean TWAP?" in report(filled, tmp_path / "x", "--algorithm", "twap", "--no-parquet").stderr
    known = report(filled, tmp_path / "x", "--json", "--algorithm", "POV", "--no-parquet")
    assert (known.returncode, json.loads(known.stdout)["orders"]) == (0, 0)
    with psycopg.connect(filled) as connection:  # one that a catalogue of before had is in the records
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE strategy_selections SET algorithm = 'OLD_ONE' WHERE algorithm = 'TWAP'")
    old = report(filled, tmp_path / "y", "--json", "--algorithm", "OLD_ONE", "--no-parquet")
    assert (old.returncode, json.loads(old.stdout)["orders"]) == (0, ORDERS // 2)


def test_what_cannot_be_reported_says_why(database: str, tmp_path: Path) -> None:
    done = report(database, tmp_path / "x", last="2025-06-01")
    assert (done.returncode, done.stdout) == (2, "")
    assert "before --from" in done.stderr
    (tmp_path / "file").write_text("")
    done = report(database, tmp_path / "file" / "x")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    nobody = "postgresql://nobody@127.0.0.1:1/none"
    done = ess("report", "--from", "2025-06-16", "--to", "2025-06-16", "--out", str(tmp_path / "y"),
               ESS_DATABASE_URL=nobody)  # fmt: skip
    assert done.returncode == 69
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize("day", ["2025-02-30", "20250616", "2025-W10-1", "", "yesterday"])
def test_days_that_are_none(day: str, tmp_path: Path) -> None:
    assert "--from" in fault_of(ReportPlan(day, "2025-06-16", tmp_path, "", False))
    assert "--to" in fault_of(ReportPlan("2025-06-16", day, tmp_path, "", False))
