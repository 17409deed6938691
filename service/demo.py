"""`ess demo`: the main job on real-looking orders, from an empty folder to rows in PostgreSQL.

The instruments and their figures are the seed's, which come from real market data; the orders are made up: all
objectives and urgencies, 0.05 % to 30 % of daily volume, planned for the next session so that it works at any hour.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from service.client import Answer, ServiceClient
from service.data_dir import SERVICE_FILE
from service.tables import decisions_table, print_answer

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
ROWS_TIMEOUT_S = 10.0
POLL_S = 0.05
SHOWN_IN_FULL = 4
OBJECTIVES = ("MINIMIZE_COST", "MINIMIZE_RISK", "MINIMIZE_TIME", "MAXIMIZE_ALPHA_CAPTURE", "BALANCED_EXECUTION")
URGENCIES = ("LOW", "NORMAL", "HIGH", "URGENT")
SIZES_OF_ADV = (0.0005, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
INSTRUMENTS = (
    "AAPL", "MSFT", "SPY", "AIG", "BAC", "PLTR", "GE", "IBM", "RLH", "PETR4", "VALE3", "MDIA3", "600519.SH",
    "601288.SH", "300122.SZ",
)
TIMES = ("OPEN", "MORNING", "MIDDAY", "AFTERNOON")
# A few orders with what gateways really send: constraints, contexts, a condition of their own.
SPECIALS: tuple[dict[str, Any], ...] = (
    {"constraints": {"max_participation_rate": 0.08}},
    {"constraints": {"time_limit_minutes": 45}},
    {"constraints": {"dark_pool_preference": True}, "instrument_id": "AIG"},
    {"constraints": {"venue_restrictions": ["DARK_POOL_1", "XBOS"]}, "instrument_id": "GE"},
    {"market_context": {"current_conditions": "HIGH_VOLATILITY"}},
    {"market_context": {"current_conditions": "NEWS_DRIVEN", "news_impact_score": 0.9}},
    {"market_context": {"current_conditions": "LOW_LIQUIDITY", "liquidity_score": 0.2}},
    {"market_context": {"current_conditions": "TRENDING", "short_term_alpha_bps_per_day": 60.0}},
    {"market_context": {"current_conditions": "MEAN_REVERTING", "spread_bps": 12.0}},
)
COUNT = 36
DAY_S = 86_400


def closed_time(now_s: float) -> str:
    """A coming 08:00 UTC, when no exchange of the seed is open: plans then start at the hour that `time_of_day` says in
    the next session, at whatever hour the demo runs."""
    day = int(now_s) // DAY_S + 1
    return time.strftime("%Y-%m-%dT08:00:00Z", time.gmtime(day * DAY_S))


def demo_orders(daily_volumes: dict[str, tuple[float, float]]) -> list[dict[str, Any]]:
    """COUNT orders; `daily_volumes` is (average daily volume, lot) by instrument."""
    orders = []
    effective_time = closed_time(time.time())
    for index in range(COUNT):
        order: dict[str, Any] = {
            "order_id": f"demo-{index + 1:03d}",
            "instrument_id": INSTRUMENTS[index % len(INSTRUMENTS)],
            "side": ("BUY", "SELL", "SELL_SHORT")[(0, 1, 0, 1, 2)[index % 5]],
            "objective": OBJECTIVES[index % len(OBJECTIVES)],
            "urgency": URGENCIES[(index // 2) % len(URGENCIES)],
            "market_context": {"time_of_day": TIMES[index % len(TIMES)]},
            "effective_time": effective_time,
        }
        size = SIZES_OF_ADV[(index * 4) % len(SIZES_OF_ADV)]
        if index % 4 == 3:
            special = SPECIALS[(index // 4) % len(SPECIALS)]
            if "constraints" in special:
                size = min(size, 0.01)  # what a tight constraint leaves room for
            order |= {key: value for key, value in special.items() if key != "market_context"}
            order["market_context"] |= special.get("market_context", {})
        volume, lot = daily_volumes[order["instrument_id"]]
        order["quantity"] = max(1, math.floor(size * volume / lot)) * lot
        orders.append(order)
    return orders


def seed_volumes() -> dict[str, tuple[float, float]]:
    """(average daily volume, lot) of the seed's instruments."""
    from store.instruments import read_seed

    data = read_seed().data
    return {
        name: (data.market[name].average_daily_volume_shares or 0.0, instrument.lot_size_shares)
        for name, instrument in data.instruments.items()
    }


def run_demo(keep: bool) -> int:
    """Exit code 0 where every order was decided and every decision reached PostgreSQL."""
    console = Console(width=None if sys.stdout.isatty() else 220)
    folder = Path(tempfile.mkdtemp(prefix="ess-demo-"))
    try:
        return demonstrate(console, folder)
    except RuntimeError as error:
        print(f"ess: {error}", file=sys.stderr)
        return 1
    finally:
        if keep:
            console.print(f"kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def demonstrate(console: Console, folder: Path) -> int:
    """Starts, asks, shows, stops."""
    process = start_service(folder)
    try:
        address = wait_until_ready(process, folder)
        console.print(f"service ready on {address}, embedded PostgreSQL in {folder}")
        orders = demo_orders(seed_volumes())
        with ServiceClient(address) as client:
            answers = [client.recommend(order) for order in orders]
            repeated = client.recommend(orders[0])
        show(console, answers)
        same = repeated.response == answers[0].response
        console.print(f"the first order sent again: {'the same decision' if same else 'ANOTHER DECISION'}")
        decided = sum(answer.response is not None for answer in answers)
        rows = wait_for_rows(folder, decided)
        show_rows(console, rows)
    finally:
        code = stop_service(process)
    counts = f"{decided} of {len(answers)} orders decided, {len(rows)} rows in PostgreSQL"
    console.print(f"{counts}, service exit code {code}")
    return 0 if decided == len(answers) == len(rows) and same and code == 0 else 1


def start_service(folder: Path) -> subprocess.Popen[bytes]:
    """`ess serve` with settings of its own: nothing of this environment's ESS_ variables."""
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("ESS_")}
    environment |= {
        "ESS_DATA_DIR": str(folder / "var"), "ESS_GRPC_ADDRESS": "127.0.0.1:0", "ESS_HTTP_ADDRESS": "127.0.0.1:0",
    }
    command = [sys.executable, "-m", "service.cli", "serve"]
    with (folder / "service.log").open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def wait_until_ready(process: subprocess.Popen[bytes], folder: Path) -> str:
    """The address it listens on. Raises RuntimeError with its log if it ends or takes too long."""
    path = folder / "var" / SERVICE_FILE
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not path.exists():
        # Its end is waited for, its file is looked for in between.
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
        if process.returncode is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"the service did not start:\n{(folder / 'service.log').read_text()[-4000:]}")
    return str(json.loads(path.read_text())["grpc_address"])


def stop_service(process: subprocess.Popen[bytes]) -> int:
    """Asks it to stop and waits; its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def show(console: Console, answers: list[Answer]) -> None:
    console.print(decisions_table(answers, console.width))
    for answer in answers[:: max(1, len(answers) // SHOWN_IN_FULL)][:SHOWN_IN_FULL]:
        print_answer(console, answer)


def wait_for_rows(folder: Path, count: int) -> list[tuple[Any, ...]]:
    """The rows of strategy_selections, once all are there (the writer is asynchronous)."""
    from store.embedded import running_conninfo

    conninfo = running_conninfo(folder / "var")
    if conninfo is None:
        raise RuntimeError("the embedded PostgreSQL is not running")
    deadline_s = time.monotonic() + ROWS_TIMEOUT_S
    query = """SELECT order_id, strategy_name, algorithm, confidence, expected_outcomes->>'estimated_cost',
                      market_conditions->>'condition', created_at FROM strategy_selections ORDER BY order_id"""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        while True:
            rows = connection.execute(query).fetchall()
            if len(rows) >= count or time.monotonic() > deadline_s:
                return rows
            time.sleep(POLL_S)  # the writer is asynchronous, and says nothing to other processes


def show_rows(console: Console, rows: list[tuple[Any, ...]]) -> None:
    title = f"strategy_selections in PostgreSQL ({len(rows)} rows, the first 12 shown)"
    columns = ("order_id", "strategy_name", "algorithm", "confidence", "estimated_cost", "condition", "created_at")
    table = Table(*columns, title=title, header_style="bold")
    for order_id, name, algorithm, confidence, cost, condition, created_at in rows[:12]:
        table.add_row(order_id, name, algorithm, f"{confidence:.2f}", f"{float(cost):.6f}", condition,
                      f"{created_at:%Y-%m-%d %H:%M:%S.%f %Z}")
    console.print(table)
