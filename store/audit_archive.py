"""Puts the weeks that `ess retention` exported back beside the tables, for one audit.

Rows that went are otherwise believed to be what they were: whoever can write into `retired_partitions` could have rows
vanish. With the files of the archive they are walked over like all others, and nothing is believed.

Everything is temporary and of the one session: tables that hold the files' rows, and views that are called as the
tables are and show both.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from store.audit_walk import Finding, Problem
from store.rows.tables import OUTBOX, TABLES

Connection = psycopg.Connection[TupleRow]
_BLOCK_BYTES: Final = 1 << 20
_CHAINED: Final = (*(table.name for table in TABLES.values()), OUTBOX)
_FILES: Final = """
SELECT DISTINCT held.key, held.value ->> 'file', held.value ->> 'sha256'
FROM retired_partitions, jsonb_each(archive) AS held ORDER BY 1, 2
"""


def lay_beside(connection: Connection, folder: Path, report: Callable[[Finding], None]) -> int:
    """How many files were read. One that is not there, not what was exported, or no such table is reported, and not
    read. To be called before the transaction that the audit looks at begins."""
    files = connection.execute(_FILES).fetchall()
    for table in _CHAINED:
        _make_place(connection, table)
    taken = 0
    for partition, file, sha256 in files:
        fault = _take(connection, str(partition), folder, str(file), str(sha256))
        taken += not fault
        if fault:
            report(Finding(fault[0], "retired_partitions", str(file), "", 0, fault[1]))
    for table in _CHAINED:
        _show_both(connection, table)
    connection.commit()
    return taken


def _take(
    connection: Connection, partition: str, folder: Path, file: str, sha256: str
) -> tuple[Problem, str] | None:  # fmt: skip
    """What is wrong with a file, or nothing."""
    table = partition.rpartition("_p")[0]
    if table not in _CHAINED or Path(file).name != file:
        return Problem.FORGED, f"retention exports no table {partition!r} into {file!r}"
    path = folder / file
    try:
        with path.open("rb") as held:
            found = hashlib.file_digest(held, "sha256").hexdigest()
    except OSError as error:
        return Problem.MISSING, f"{path} cannot be read: {error.strerror or error}"
    if found != sha256:
        return Problem.EDITED, f"{path} is not what was exported: its SHA-256 is {found}"
    try:
        with connection.transaction():
            _copy(connection, table, path)
    except (psycopg.Error, OSError, EOFError, zlib.error, UnicodeDecodeError, StopIteration) as error:
        if connection.closed:
            raise
        return Problem.EDITED, f"{path} holds no rows of {table}: {error}"
    return None


def _copy(connection: Connection, table: str, path: Path) -> None:
    with gzip.open(path, "rb") as rows, connection.cursor() as cursor:
        # By name: a table may have got columns since.
        columns = next(csv.reader([rows.readline().decode()]))
        query = sql.SQL("COPY pg_temp.{} ({}) FROM STDIN (FORMAT csv)").format(
            _place(table), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        with cursor.copy(query) as copy:
            while block := rows.read(_BLOCK_BYTES):
                copy.write(block)


def _make_place(connection: Connection, table: str) -> None:
    query = sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {} INCLUDING DEFAULTS)")
    connection.execute(query.format(_place(table), sql.Identifier(table)))


def _show_both(connection: Connection, table: str) -> None:
    """From here on this session finds both by the table's own name: temporary names are looked for first."""
    row = connection.execute("SELECT current_schema()").fetchone()
    assert row is not None
    place, held = _place(table), sql.Identifier(row[0], table)
    connection.execute(sql.SQL("CREATE INDEX ON pg_temp.{} (journal_id, sequence)").format(place))
    connection.execute(sql.SQL("ANALYZE pg_temp.{}").format(place))
    query = sql.SQL("CREATE TEMPORARY VIEW {} AS SELECT * FROM {} UNION ALL SELECT * FROM pg_temp.{}")
    connection.execute(query.format(sql.Identifier(table), held, place))


def _place(table: str) -> sql.Identifier:
    return sql.Identifier(f"ess_archived_{table}")
