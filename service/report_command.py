"""What `ess report` runs: outcomes between two days, from PostgreSQL, as a page and as files for other programs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from engine.catalogue import ALGORITHM_NAMES
from engine.forecast_check import ForecastCheck, check_forecasts
from engine.performance import Executed, Performance, performance_of
from reports.performance_page import performance_page
from reports.performance_tables import (
    COLUMNS,
    Row,
    csv_text,
    daily_rows,
    forecast_rows,
    line_rows,
    order_rows,
)
from service.records_commands import BAD_INPUT, NOT_SOUND, SOUND, UNAVAILABLE, owner_database
from service.settings import Settings
from store.errors import StoreError
from store.performance_reader import PerformanceReader, Span, TooManyOrders
from store.pool import PoolSettings, make_pool
from store.server_checks import SERVICE_ROLE

# More than the call takes: nobody waits for a reply here, and no decision either.
MOST_ORDERS: Final = 1_000_000
STATEMENT_TIMEOUT_S: Final = 900.0
STEPS: Final = ("reading outcomes", "computing figures", "writing files")
NEEDS_PYARROW: Final = (
    "Parquet needs the extra `report`: pip install 'execution-strategy-service[report]', or `make setup-dev` in the "
    "repository; --no-parquet does without"
)

# A step of the work is done; its number is told, from 0.
OnStep = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ReportPlan:
    """What was asked for: days "YYYY-MM-DD", UTC, both included."""

    first_day: str
    last_day: str
    out: Path
    algorithm: str
    with_parquet: bool


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of a report. `retired`: the Mondays of weeks whose orders it lacks."""

    plan: ReportPlan
    rows: Sequence[Executed]
    found: Performance
    check: ForecastCheck | None
    retired: Sequence[str] = ()

    @property
    def gap(self) -> str:
        """What is not in it, or nothing."""
        if not self.retired:
            return ""
        first, last, count = self.retired[0], self.retired[-1], len(self.retired)
        weeks = f"the week of {first}" if count == 1 else f"{count} weeks from that of {first} to that of {last}"
        return f"ess retention took away {weeks}: what was decided or reported then is not counted here"


def run(settings: Settings, plan: ReportPlan, as_json: bool, on_step: OnStep = lambda _: None) -> int:
    """Writes the files; says what it wrote. The exit code: 0, 1 more orders than a report takes, 2 bad input,
    69 no database, or no pyarrow for what was asked."""
    fault = fault_of(plan)
    if fault:
        return _refuse(BAD_INPUT, fault)
    if plan.with_parquet and not has_pyarrow():
        return _refuse(UNAVAILABLE, NEEDS_PYARROW)
    try:
        with owner_database(settings) as conninfo:
            rows, retired = asyncio.run(_read(conninfo, Span(plan.first_day, plan.last_day, plan.algorithm)))
    except TooManyOrders as error:
        return _refuse(NOT_SOUND, f"{error}; ask for fewer days")
    except StoreError as error:
        return _refuse(UNAVAILABLE, str(error))
    if not rows and plan.algorithm and plan.algorithm not in ALGORITHM_NAMES:
        # One of before that is in the records is reported, whatever the catalogue has now.
        return _refuse(BAD_INPUT, unknown_algorithm(plan.algorithm))
    on_step(0)
    report = Report(plan, rows, performance_of(rows), check_forecasts(rows), retired)
    on_step(1)
    try:
        written = write(report)
    except OSError as error:
        return _refuse(BAD_INPUT, f"{plan.out} cannot be written: {error}")
    on_step(2)
    print(json.dumps(summary(report, written), indent=2) if as_json else text(report, written))
    return SOUND


def fault_of(plan: ReportPlan) -> str:
    """What is wrong with the days, or nothing."""
    days = []
    for name, day in (("--from", plan.first_day), ("--to", plan.last_day)):
        try:
            days.append(date.fromisoformat(day))
        except ValueError:
            return f"{name} {day}: not a day, which is written YYYY-MM-DD"
        if days[-1].isoformat() != day:
            return f"{name} {day}: a day is written YYYY-MM-DD"
    if days[1] < days[0]:
        return f"--to {plan.last_day} is before --from {plan.first_day}"
    return "--algorithm must not contain NUL" if "\0" in plan.algorithm else ""


def unknown_algorithm(name: str) -> str:
    near = {one.casefold(): one for one in ALGORITHM_NAMES}.get(name.casefold())
    hint = f"did you mean {near}?" if near else f"there are {', '.join(ALGORITHM_NAMES)}"
    return f"--algorithm {name}: no such algorithm, and no order of those days has it; {hint}"


def has_pyarrow() -> bool:
    import importlib.util

    return importlib.util.find_spec("pyarrow") is not None


async def _read(conninfo: str, span: Span) -> tuple[list[Executed], tuple[str, ...]]:
    """The orders, and the weeks whose orders are gone."""
    # The contract's code is loaded only where a report is made.
    from service.mapping.performance import forecast_of

    settings = PoolSettings(
        conninfo, max_size=1, acquire_timeout_s=5.0, statement_timeout_s=STATEMENT_TIMEOUT_S,
        application_name="ess-report", role=SERVICE_ROLE,
    )  # fmt: skip
    async with make_pool(settings) as pool:
        reader = PerformanceReader(pool, forecast_of, MOST_ORDERS)
        return await reader.executed(span), await reader.retired_weeks(span)


def write(report: Report) -> list[Path]:
    """Every file, each whole or not at all. Raises OSError."""
    plan = report.plan
    plan.out.mkdir(parents=True, exist_ok=True)
    html = performance_page(plan.first_day, plan.last_day, report.found, report.check, report.gap)
    written = [_replace(plan.out / "report.html", html.encode())]
    for name, rows in tables(report).items():
        written.append(_replace(plan.out / f"{name}.csv", csv_text(COLUMNS[name], rows).encode()))
        if plan.with_parquet:
            written.append(_replace(plan.out / f"{name}.parquet", parquet(name, rows)))
    return written


def tables(report: Report) -> Mapping[str, list[Row]]:
    """By the files' names."""
    return {
        "lines": line_rows(report.found),
        "daily": daily_rows(report.found),
        "orders": order_rows(report.rows),
        "forecasts": forecast_rows(report.check),
    }


def parquet(name: str, rows: Sequence[Row]) -> bytes:
    """The file's content; the types are the table's, whatever the rows hold."""
    import pyarrow as arrow
    import pyarrow.parquet as files

    kinds: dict[str, Any] = {
        "t": arrow.string(), "i": arrow.int64(), "f": arrow.float64(), "b": arrow.bool_(), "d": arrow.date32(),
        "l": arrow.list_(arrow.string()),
    }  # fmt: skip
    schema = arrow.schema([(column, kinds[kind]) for column, kind in COLUMNS[name].items()])
    values: dict[str, list[Any]] = {column: [row[column] for row in rows] for column in COLUMNS[name]}
    for column, kind in COLUMNS[name].items():
        if kind == "d":
            values[column] = [date.fromisoformat(str(day)) for day in values[column]]
    sink = arrow.BufferOutputStream()
    files.write_table(arrow.table(values, schema=schema), sink, compression="zstd")
    return bytes(sink.getvalue())


def summary(report: Report, written: Sequence[Path]) -> dict[str, object]:
    """For programs."""
    check = report.check
    return {
        "start_date": report.plan.first_day,
        "end_date": report.plan.last_day,
        "orders": len(report.rows),
        "retired_weeks": list(report.retired),
        "mean_error": check.error.mean if check else None,
        "mean_error_lower": check.error.lower if check else None,
        "mean_error_upper": check.error.upper if check else None,
        "within_interval": check.coverage.within.mean if check else None,
        "files": [str(path) for path in written],
    }


def text(report: Report, written: Sequence[Path]) -> str:
    """For people."""
    lines = [f"{len(report.rows):,} orders from {report.plan.first_day} to {report.plan.last_day}"]
    if report.gap:
        lines.append(report.gap)
    if report.check is not None:
        error, within = report.check.error, report.check.coverage.within
        lines.append(
            f"cost less forecast {error.mean * 1e4:+.2f} bps [{error.lower * 1e4:.2f}, {error.upper * 1e4:.2f}]; "
            f"{within.mean:.1%} [{within.lower:.1%}, {within.upper:.1%}] within the 80 % interval"
        )
    return "\n".join([*lines, *map(str, written)])


def _replace(path: Path, content: bytes) -> Path:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
    return path


def _refuse(code: int, reason: str) -> int:
    print(f"ess: {reason}", file=sys.stderr)
    return code
