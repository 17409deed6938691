"""The catalogue's rows: what the code brings is inserted where it is missing; what an operator set stays."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg

from engine.records import JsonObject
from store.errors import StoreError, StoreUnavailable

_CONNECT_TIMEOUT_S = 10

_INSERT = """
INSERT INTO execution_strategies (strategy_name, strategy_type, algorithm_mapping, parameter_ranges)
VALUES (%s, %s, %s::jsonb, %s::jsonb)
ON CONFLICT (strategy_name) DO NOTHING
"""
SELECT_ROWS = """
SELECT strategy_name, strategy_type, algorithm_mapping, parameter_ranges, enabled
FROM execution_strategies ORDER BY strategy_name
"""


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """One strategy as the table holds it."""

    strategy_name: str
    strategy_type: str
    algorithm_mapping: JsonObject
    parameter_ranges: JsonObject
    enabled: bool = True


def sync_catalogue(conninfo: str, rows: Iterable[CatalogueRow]) -> int:
    """Inserts the strategies that the table does not have, enabled; how many that were."""
    try:
        values = [
            (
                row.strategy_name,
                row.strategy_type,
                json.dumps(row.algorithm_mapping, allow_nan=False),
                json.dumps(row.parameter_ranges, allow_nan=False),
            )
            for row in rows
        ]
    except ValueError as error:
        raise StoreError(f"a catalogue row is no JSON: {error}") from None
    if not values:
        return 0
    try:
        with _connect(conninfo) as connection, connection.cursor() as cursor:
            cursor.executemany(_INSERT, values)
            return max(cursor.rowcount, 0)
    except psycopg.OperationalError as error:
        raise StoreUnavailable(f"the catalogue could not be written: {error}") from error
    except psycopg.DataError as error:
        raise StoreError(f"a catalogue row is refused by the database: {error}") from error


def load_catalogue(conninfo: str) -> tuple[CatalogueRow, ...]:
    """Every strategy, by name, with the operator's settings."""
    try:
        with _connect(conninfo) as connection:
            return tuple(CatalogueRow(*row) for row in connection.execute(SELECT_ROWS))
    except psycopg.OperationalError as error:
        raise StoreUnavailable(f"the catalogue could not be loaded: {error}") from error


def _connect(conninfo: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(conninfo, connect_timeout=_CONNECT_TIMEOUT_S, application_name="ess-catalogue")
