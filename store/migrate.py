"""Brings a database to the schema that this code needs, by numbered SQL files, each in a transaction of its own.

A session lock keeps two starters apart, so give it a direct connection, not one through a pooler in transaction
mode. An applied file never changes: its SHA-256 stands in `schema_migrations`, and a difference stops the start.

A file that older code can live with says so, in a line of its own: `-- usable-from: 0006` lets code that knows the
files up to 0006 go on with the schema, so that a new version can be rolled back. It stands in the row, since that code
does not have the file. Without the line only code that knows the file starts.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

import psycopg
from psycopg.rows import class_row

from store.errors import DatabaseNewer, MigrationChanged, MigrationError, MigrationFilesInvalid

MIGRATIONS_DIR = Path(__file__).parent / "migrations"

_log = logging.getLogger(__name__)
_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_USABLE_FROM = re.compile(r"^-- usable-from: *(\S*) *$", re.MULTILINE)
_LOCK_ID = 0x4553_535F_4D49_4752  # "ESS_MIGR"
_LOCK_TIMEOUT_S = 60
_CONNECT_TIMEOUT_S = 10

_CREATE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
  version integer PRIMARY KEY,
  name text NOT NULL,
  sha256 text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now(),
  usable_from integer
)
"""
# Of a database that was made before there was such a column.
_ADD_USABLE_FROM = "ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS usable_from integer"
_APPLIED = """
SELECT version, name, sha256, applied_at, (to_jsonb(held) ->> 'usable_from')::integer AS usable_from
FROM schema_migrations AS held ORDER BY version
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    version: int
    name: str
    sha256: str
    script: str

    @property
    def usable_from(self) -> int | None:
        """Code that knows the files up to this number can use the schema too; None: only code that knows this one.
        Raises ValueError for what is no number."""
        found = _USABLE_FROM.findall(self.script)
        if not found:
            return None
        if len(found) > 1 or re.fullmatch(r"\d{4}", found[0]) is None or not 0 < int(found[0]) < self.version:
            name = f"{self.version:04d}_{self.name}"
            raise ValueError(f"{name} is usable from {', '.join(found)}, which is no file before it")
        return int(found[0])


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """One row of `schema_migrations`."""

    version: int
    name: str
    sha256: str
    applied_at: datetime
    usable_from: int | None = None


def read_migrations(folder: Path = MIGRATIONS_DIR) -> tuple[Migration, ...]:
    """The files in order; every fault of their names and numbers at once."""
    faults: list[str] = []
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.match(path.name)
        if match is None:
            faults.append(f"{path.name} is not named NNNN_name.sql")
            continue
        # A checkout may turn line ends; that is no change of the migration.
        script = path.read_text(encoding="utf-8").replace("\r\n", "\n")
        digest = hashlib.sha256(script.encode()).hexdigest()
        found.append(Migration(int(match[1]), match[2], digest, script))
    for migration in found:
        try:
            _ = migration.usable_from
        except ValueError as error:
            faults.append(str(error))
    numbers = [migration.version for migration in found]
    if numbers != list(range(1, len(numbers) + 1)):
        faults.append(f"the numbers must be 1, 2, 3, ... without gap or repeat, and are {numbers}")
    if faults:
        raise MigrationFilesInvalid("; ".join(faults))
    return tuple(found)


def migrate(conninfo: str, folder: Path = MIGRATIONS_DIR) -> list[AppliedMigration]:
    """Applies what is missing and returns it; an empty list when the database is up to date."""
    migrations = read_migrations(folder)
    try:
        with psycopg.connect(
            conninfo, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S, application_name="ess-migrate"
        ) as connection:
            connection.add_notice_handler(_say)
            return _migrate_locked(connection, migrations)
    except psycopg.Error as error:
        raise MigrationError(f"the database could not be migrated: {error}") from error


def _say(notice: psycopg.errors.Diagnostic) -> None:
    """What a script could not do and went on without (a managed server that lets nobody make roles)."""
    if notice.severity_nonlocalized == "WARNING":
        _log.warning("migration: %s", notice.message_primary)


def _migrate_locked(
    connection: psycopg.Connection[tuple[object, ...]], migrations: tuple[Migration, ...]
) -> list[AppliedMigration]:
    connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{_LOCK_TIMEOUT_S}s",))
    connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK_ID,))
    try:
        # Asked first: a login that may only append may not create, not even what is there.
        if connection.execute("SELECT to_regclass('schema_migrations')").fetchone() == (None,):
            connection.execute(_CREATE)
        applied = applied_migrations(connection)
        check_history(migrations, applied)
        missing = migrations[len(applied) :]
        if missing:
            connection.execute(_ADD_USABLE_FROM)
        return [_apply(connection, migration) for migration in missing]
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK_ID,))


def applied_migrations(connection: psycopg.Connection[tuple[object, ...]]) -> list[AppliedMigration]:
    """What `schema_migrations` holds, oldest first."""
    with connection.cursor(row_factory=class_row(AppliedMigration)) as cursor:
        cursor.execute(_APPLIED)
        return cursor.fetchall()


def check_history(migrations: tuple[Migration, ...], applied: Iterable[AppliedMigration]) -> None:
    """Refuses a database whose past is not a beginning of our files, or one and files that say that ours are enough;
    every difference at once."""
    known = {migration.version: migration for migration in migrations}
    rows = list(applied)
    newer = [row for row in rows if row.version not in known]
    unusable = [row for row in newer if row.usable_from is None or row.usable_from not in known]
    if unusable:
        raise DatabaseNewer(
            f"the database holds migrations that this version does not know ({_names(unusable)}); "
            "run the version that made them, or a later one"
        )
    if newer:
        _log.warning("the database was migrated by a newer version, which this one can live with: %s", _names(newer))
    changed = [row for row in rows if row.version in known and known[row.version].sha256 != row.sha256]
    if changed:
        details = "; ".join(
            f"{row.version:04d}_{row.name} was applied with SHA-256 {row.sha256[:12]}... "
            f"and its file now has {known[row.version].sha256[:12]}..."
            for row in changed
        )
        raise MigrationChanged(f"applied migrations were edited: {details}; write a new migration instead")
    if [row.version for row in rows] != list(range(1, len(rows) + 1)):
        raise MigrationChanged(f"schema_migrations has gaps: {[row.version for row in rows]}")


def _names(rows: Iterable[AppliedMigration]) -> str:
    return ", ".join(f"{row.version:04d}_{row.name}" for row in rows)


def _apply(connection: psycopg.Connection[tuple[object, ...]], migration: Migration) -> AppliedMigration:
    with connection.transaction():
        # The scripts are files of this package, not input: bytes go to the server as they are.
        connection.execute(migration.script.encode())
        row = connection.execute(
            "INSERT INTO schema_migrations (version, name, sha256, usable_from) VALUES (%s, %s, %s, %s)"
            " RETURNING applied_at",
            (migration.version, migration.name, migration.sha256, migration.usable_from),
        ).fetchone()
    assert row is not None
    return AppliedMigration(
        migration.version, migration.name, migration.sha256, cast(datetime, row[0]), migration.usable_from
    )
