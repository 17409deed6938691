"""The first outcome of a selection becomes its `actual_outcomes` and `performance_score`; later ones change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

from store.market_rows import time_of
from store.pg_arrays import TextArray
from store.pool import Connection
from store.rows.copying import UnpackedEntry
from store.rows.tables import TABLES

# An outcome comes after its selection, but perhaps by another host's clock; so do two selections of one order.
_CLOCKS_DIFFER: Final = timedelta(days=1)

_SPAN_OF_ORDERS: Final = """
SELECT min(created_at), max(created_at) FROM orders WHERE order_id = ANY(%b::text[])
"""

# Between two times, so that only few partitions are looked at. Rows are locked in the order of ids: hosts that report
# on the same selections wait for each other, but not in a circle.
_SETTLE: Final = """
WITH open AS MATERIALIZED (
  SELECT id, created_at FROM strategy_selections
  WHERE id = ANY(%(ids)b::text[]::uuid[]) AND created_at BETWEEN %(first)s AND %(last)s
    AND actual_outcomes IS NULL AND performance_score IS NULL
  ORDER BY id FOR UPDATE
), told AS MATERIALIZED (
  SELECT DISTINCT ON (outcomes.selection_id)
    open.id, open.created_at, outcomes.actual_outcomes, outcomes.performance_score
  FROM open JOIN outcomes ON outcomes.selection_id = open.id
  WHERE outcomes.selection_id = ANY(%(ids)b::text[]::uuid[]) AND outcomes.created_at >= %(first)s
  ORDER BY outcomes.selection_id, outcomes.inserted_at, outcomes.sequence
)
UPDATE strategy_selections AS target
SET actual_outcomes = told.actual_outcomes::jsonb, performance_score = told.performance_score
FROM told
WHERE target.id = told.id AND target.created_at = told.created_at AND target.created_at BETWEEN %(first)s AND %(last)s
"""


_TOLD_BEFORE: Final = """
SELECT DISTINCT selection_id::text FROM outcomes
WHERE selection_id = ANY(%(ids)b::text[]::uuid[]) AND created_at >= %(first)s
"""


async def settle_outcomes(
    connection: Connection, selections: Sequence[UnpackedEntry], outcomes: Sequence[UnpackedEntry]
) -> None:
    """To be called when the rows of both are written. `selections`: an outcome by way of another host's journal may
    have come before them."""
    if outcomes:
        index = TABLES[outcomes[0].entry.kind].index_of("selection_id")
        ids = sorted({item.values[index] for item in outcomes} - {""})
        order_index = TABLES[outcomes[0].entry.kind].index_of("order_id")
        orders = sorted({item.values[order_index] for item in outcomes})
        (span,) = await _rows(connection, _SPAN_OF_ORDERS, TextArray(orders))
        if span[0] is not None:
            await _settle(connection, ids, span[0], span[1])
    if selections:
        moments = [item.created_at_ns for item in selections]
        first, last = time_of(min(moments)), time_of(max(moments))
        ids = [item.record_id for item in selections]
        # Hardly ever any, and asked first: settling locks what it looks at.
        told = await _rows(connection, _TOLD_BEFORE, {"ids": TextArray(ids), "first": first - _CLOCKS_DIFFER})
        if told:
            await _settle(connection, [row[0] for row in told], first, last)


async def _settle(connection: Connection, ids: Sequence[str], first: datetime, last: datetime) -> None:
    values = {"ids": TextArray(ids), "first": first - _CLOCKS_DIFFER, "last": last + _CLOCKS_DIFFER}
    await connection.execute(_SETTLE, values, prepare=False)


async def _rows(
    connection: Connection, query: LiteralString, values: TextArray | dict[str, object]
) -> list[tuple[Any, ...]]:
    """Never prepared: a plan that is kept from the time when a table was small reads all of it for ever."""
    given = (values,) if isinstance(values, TextArray) else values
    return await (await connection.execute(query, given, prepare=False)).fetchall()
