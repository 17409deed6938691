"""Tables as files: what `ess retention` exports before it takes rows away."""

from __future__ import annotations

import gzip
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from store.on_disk import sync_folder


@dataclass(frozen=True, slots=True)
class ArchivedTable:
    """`sha256` (hex) is of the file as it lies there."""

    table: str
    file: str
    sha256: str
    rows: int


def archive_table(
    connection: psycopg.Connection[TupleRow], table: str, folder: Path, called: str = ""
) -> ArchivedTable:
    """All rows as gzipped CSV with a header, which COPY ... FROM reads again; on the disk when this returns. `called`:
    under which name, where that is not the table's own.

    Named by its content, so that a second export of the same name never overwrites another.
    """
    called = called or table
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{called}.csv.gz.partial"
    query = sql.SQL("COPY {} TO STDOUT (FORMAT csv, HEADER)").format(sql.Identifier(table))
    with partial.open("wb") as file, connection.cursor() as cursor:
        # Without a time in the header, the same rows give the same file.
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as zipped,
            cursor.copy(query) as copy,
        ):
            for block in copy:
                zipped.write(block)
        rows = cursor.rowcount
        file.flush()
        os.fsync(file.fileno())
    with partial.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    final = folder / f"{called}.{digest[:16]}.csv.gz"
    partial.replace(final)
    sync_folder(folder)
    return ArchivedTable(called, final.name, digest, rows)
