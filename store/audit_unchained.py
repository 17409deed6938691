"""Rows from before there was a journal: no chain holds them, but migration 0002 took a digest of every week."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from store.audit_walk import Finding, Problem

# As migration 0002 computes it, under the same settings of the session.
_SETTINGS: Final = """
SELECT set_config('timezone', 'UTC', true), set_config('bytea_output', 'hex', true),
  set_config('extra_float_digits', '1', true)
"""
_WEEKS: Final = """
WITH found AS (
  SELECT date_trunc('week', created_at) AS week, count(*) AS rows, sha256(string_agg(sha256(convert_to(ROW(
    id, order_id, strategy_name, selection_rationale, market_conditions, expected_outcomes, created_at, created_at_ns,
    instrument_id, side, quantity, objective, urgency, algorithm, confidence, parameters, venue_allocation, versions,
    tags, gateway, request_hash, request, response
  )::text, 'UTF8')), '' ORDER BY id, created_at)) AS digest
  FROM strategy_selections WHERE journal_id IS NULL GROUP BY 1
)
SELECT to_char(week, 'YYYY-MM-DD'), coalesce(known.rows, 0), coalesce(found.rows, 0),
  coalesce(known.digest, '') = coalesce(found.digest, ''),
  EXISTS (SELECT FROM retired_partitions WHERE journal_id = '' AND retired_partitions.week = known.week)
FROM unchained_rows AS known FULL JOIN found USING (week) ORDER BY week
"""


def check_unchained(connection: psycopg.Connection[TupleRow], report: Callable[[Finding], None]) -> int:
    """Reports weeks that are not what they were; how many such rows there are."""
    connection.execute(_SETTINGS)
    total = 0
    for week, known, found, is_same, is_retired in connection.execute(_WEEKS).fetchall():
        total += found
        if is_same or (is_retired and found == 0):
            continue
        detail = f"the week of {week} had {known} rows from before the journal, and has {found}"
        if known == found:
            detail = f"rows from before the journal were edited in the week of {week}"
        report(Finding(Problem.BEFORE_JOURNAL, "strategy_selections", "", "", 0, detail))
    return total
