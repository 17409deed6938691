"""What tests of several rooms share: a real PostgreSQL, records, and waiting without sleeping."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import shutil
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from engine.records import SelectionRecord
from store.embedded import EmbeddedPostgres
from store.migrate import migrate
from tests.helpers.databases import TEMPLATE, execute, fresh_database

# Rooms whose tests start services, kill them and look at a clock: one at a time, whatever runs beside them.
_ALONE = ("tests/e2e/", "tests/fault/")
# Of these rooms what looks at no clock and shares none of their services: it need not wait for the others.
_BESIDE = (
    "tests/e2e/test_artifact_check.py", "tests/e2e/test_calibration_report.py", "tests/e2e/test_learning.py",
    "tests/e2e/test_replay.py", "tests/e2e/test_report.py", "tests/fault/test_journal_damage.py",
    "tests/fault/test_journal_syscalls.py", "tests/fault/test_simulator.py",
)  # fmt: skip
_numbers = itertools.count()


class MakeRecord(Protocol):
    def __call__(self, order_id: str | None = None, **changes: Any) -> SelectionRecord: ...


Eventually = Callable[..., Awaitable[None]]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run side by side: files go to processes as they come, but those of `_ALONE` to one process, all of
    them except `_BESIDE`."""
    from xdist.scheduler.loadfile import LoadFileScheduling

    scheduler = LoadFileScheduling(config, log)
    file_of = scheduler._split_scope
    scheduler._split_scope = lambda node_id: "services" if _is_alone(node_id) else file_of(node_id)
    return scheduler


def _is_alone(node_id: str) -> bool:
    return node_id.startswith(_ALONE) and node_id.partition("::")[0] not in _BESIDE


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A folder whose path is short enough for a socket (pytest's own often is not)."""
    folder = Path(tempfile.mkdtemp(prefix="ess-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The conninfo of a server for the session, with a migrated template database."""
    folder = Path(tempfile.mkdtemp(prefix="ess-test-"))
    try:
        with EmbeddedPostgres(folder) as conninfo:
            execute(conninfo, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
            migrate(make_conninfo(conninfo, dbname=TEMPLATE))
            yield conninfo
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def empty_database(postgres: str) -> Iterator[str]:
    """The conninfo of a fresh database without any table."""
    with fresh_database(postgres, "template1") as conninfo:
        yield conninfo


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """The conninfo of a fresh migrated database."""
    with fresh_database(postgres) as conninfo:
        yield conninfo


@pytest.fixture
def make_record() -> MakeRecord:
    """A sound record of a new order; fields by name change it."""

    def make(order_id: str | None = None, **changes: Any) -> SelectionRecord:
        number = next(_numbers)
        values: dict[str, Any] = {
            "selection_id": str(uuid.uuid4()),
            "order_id": f"order-{number}" if order_id is None else order_id,
            "request_hash": hashlib.sha256(f"request {number}".encode()).hexdigest(),
            "created_at_ns": 1_750_500_000_000_000_123 + number,
            "instrument_id": "AAPL",
            "side": "BUY",
            "quantity_shares": 1000.0,
            "objective": "MINIMIZE_COST",
            "urgency": "NORMAL",
            "strategy_name": "Adaptive TWAP with Dark Pool",
            "algorithm": "ADAPTIVE_TWAP",
            "selection_rationale": "High volatility, so it is spread over time.",
            "confidence": 0.87,
            "market_conditions": {"condition": "NORMAL"},
            "expected_outcomes": {"estimated_cost": 0.0025, "estimated_time_minutes": 45},
            "parameters": {"participation_rate": 0.15, "volatility_adjustment": True},
            "venue_allocation": {"XNYS": 0.4, "XNAS": 0.6},
            "versions": {"engine": "1"},
            "request": b"\x00request",
            "response": f"response {number}".encode(),
            "gateway": "gateway-1",
            "tags": {"desk": "a"},
        }
        return SelectionRecord(**{**values, **changes})

    return make


@pytest.fixture
def eventually() -> Eventually:
    """Waits until a condition holds; fails when it does not within the deadline."""

    async def wait(condition: Callable[[], bool], deadline_s: float = 10.0) -> None:
        end_s = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < end_s, "the condition did not come true in time"
            await asyncio.sleep(0.005)

    return wait
