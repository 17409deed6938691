"""Reported outcomes for offline work: plain and synchronous, in read-only transactions of their own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from engine.learning.outcomes import Outcome
from store import learning_rows as rows
from store.errors import StoreUnavailable
from store.learning_rows import Pair

EXPECTED: Final = 10  # the column of OUTCOMES that holds the forecast


@dataclass(frozen=True, slots=True)
class Told:
    """An outcome with the interval that was told, bps; both without what a correction had added."""

    outcome: Outcome
    low_bps: float
    high_bps: float


def read_history(conninfo: str, surfaces_sha256: str, models_sha256: str,
                 most: int = rows.MOST_OUTCOMES) -> list[Told]:
    """Of decisions by these artifacts, the newest. Raises StoreUnavailable."""
    values = Pair(surfaces_sha256, models_sha256).values() | {"most": most, "days": rows.WINDOW_DAYS}
    try:
        with psycopg.connect(conninfo, application_name="ess-train") as connection:
            connection.execute("SET TRANSACTION READ ONLY")
            found = connection.execute(rows.OUTCOMES.encode(), values, binary=True).fetchall()
    except psycopg.Error as error:
        raise StoreUnavailable(f"PostgreSQL did not answer: {error}") from error
    told = {one.outcome.selection_id: one for one in map(told_from, found) if one is not None}
    return list(told.values())


def told_from(row: tuple[Any, ...]) -> Told | None:
    outcome = rows.outcome_from(row, json.loads)
    if outcome is None:
        return None
    expected = json.loads(row[EXPECTED])
    if "cost_quantile_10" not in expected or "cost_quantile_90" not in expected:
        return None
    online = expected.get("online_correction", 0.0)
    return Told(
        outcome, 1e4 * (expected["cost_quantile_10"] - online), 1e4 * (expected["cost_quantile_90"] - online)
    )
