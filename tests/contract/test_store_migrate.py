"""Migrations against a real server."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from service.prepare import catalogue_rows
from store.catalogue import sync_catalogue
from store.errors import DatabaseNewer, MigrationChanged, MigrationError
from store.instruments import seed
from store.migrate import MIGRATIONS_DIR, migrate, read_migrations

SPECIFIED = {
    "execution_strategies": (
        "id strategy_name strategy_type algorithm_mapping parameter_ranges performance_metrics enabled created_at"
    ),
    "strategy_selections": (
        "id order_id strategy_name selection_rationale market_conditions expected_outcomes actual_outcomes"
        " performance_score created_at"
    ),
    "strategy_performance": (
        "id strategy_name execution_date orders_executed avg_cost avg_market_impact success_rate created_at"
    ),
}


def columns(conninfo: str, table: str) -> dict[str, tuple[str, str, str | None]]:
    query = (
        "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_name = %s ORDER BY ordinal_position"
    )
    with psycopg.connect(conninfo) as connection:
        return {
            name: (kind, null, default) for name, kind, null, default in connection.execute(query, (table,))
        }


def test_the_first_run_applies_all_and_the_second_nothing(empty_database: str) -> None:
    applied = migrate(empty_database)
    assert [row.version for row in applied] == [migration.version for migration in read_migrations()]
    assert applied[0].applied_at.tzinfo is not None
    assert migrate(empty_database) == []


def test_a_login_that_may_only_append_can_start_on_a_migrated_database(empty_database: str) -> None:
    migrate(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as owner:
        owner.execute("CREATE ROLE ess_test_login LOGIN IN ROLE ess_service")
        try:
            login = make_conninfo(empty_database, user="ess_test_login")
            with psycopg.connect(login) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("CREATE TABLE mine ()")
            assert migrate(login) == []
            seed(login)
            sync_catalogue(login, catalogue_rows())
        finally:
            owner.execute("DROP ROLE ess_test_login")


def test_the_specified_tables_have_the_specified_columns(database: str) -> None:
    for table, names in SPECIFIED.items():
        found = columns(database, table)
        assert list(found)[: len(names.split())] == names.split()
        assert found["id"][0] == "uuid"
        assert found["id"][2] == "gen_random_uuid()"
        assert found["created_at"][0] == "timestamp with time zone"
        assert found["created_at"][2] == "now()"
        assert {kind for kind, _, _ in found.values()} <= {
            "uuid", "character varying", "text", "jsonb", "double precision", "timestamp with time zone",
            "boolean", "date", "integer", "bigint", "bytea", "json", "smallint",
        }  # fmt: skip
    assert columns(database, "execution_strategies")["enabled"][2] == "true"
    assert list(columns(database, "execution_strategies")) == SPECIFIED["execution_strategies"].split()


def test_the_newest_row_of_a_day_outlives_migration_0003(empty_database: str, tmp_path: Path) -> None:
    for path in sorted(MIGRATIONS_DIR.glob("000[12]_*.sql")):
        shutil.copy(path, tmp_path)
    migrate(empty_database, tmp_path)
    with psycopg.connect(empty_database) as connection:
        rows = (("VWAP", 1, "2025-06-17"), ("VWAP", 2, "2025-06-18"), ("TWAP", 3, "2025-06-17"))
        for strategy_name, orders, created_at in rows:
            connection.execute(
                "INSERT INTO strategy_performance (strategy_name, execution_date, orders_executed, created_at)"
                " VALUES (%s, '2025-06-16', %s, %s)",
                (strategy_name, orders, created_at),
            )
    migrate(empty_database)
    with psycopg.connect(empty_database) as connection:
        query = "SELECT strategy_name, orders_executed FROM strategy_performance ORDER BY 1"
        assert connection.execute(query).fetchall() == [("TWAP", 3), ("VWAP", 2)]


def test_an_edited_file_is_refused(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (x integer);")
    migrate(empty_database, tmp_path)
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (x bigint);")
    with pytest.raises(MigrationChanged, match="0001_a"):
        migrate(empty_database, tmp_path)


def test_a_newer_database_is_refused(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1;")
    (tmp_path / "0002_b.sql").write_text("SELECT 2;")
    migrate(empty_database, tmp_path)
    (tmp_path / "0002_b.sql").unlink()
    with pytest.raises(DatabaseNewer, match="0002_b"):
        migrate(empty_database, tmp_path)


def test_an_older_version_goes_on_where_newer_files_say_that_it_can(empty_database: str, tmp_path: Path) -> None:
    """A version is rolled back, and the newer one comes again."""
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (x integer);")
    added = tmp_path / "0002_b.sql"
    added.write_text("-- usable-from: 0001\nALTER TABLE a ADD COLUMN y integer;")
    with psycopg.connect(empty_database) as connection:  # as it was made before there was such a word
        connection.execute(
            "CREATE TABLE schema_migrations (version integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
    assert [row.usable_from for row in migrate(empty_database, tmp_path)] == [None, 1]
    script = added.read_text()
    added.unlink()
    assert migrate(empty_database, tmp_path) == []
    added.write_text(script)
    assert migrate(empty_database, tmp_path) == []


def test_a_failing_file_leaves_nothing_of_itself_and_all_before_it(
    empty_database: str, tmp_path: Path
) -> None:
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (x integer);")
    (tmp_path / "0002_b.sql").write_text("CREATE TABLE b (x integer); SELECT 1 / 0;")
    with pytest.raises(MigrationError, match="division by zero"):
        migrate(empty_database, tmp_path)
    assert columns(empty_database, "a")
    assert not columns(empty_database, "b")
    (tmp_path / "0002_b.sql").write_text("CREATE TABLE b (x integer);")
    assert [row.version for row in migrate(empty_database, tmp_path)] == [2]


def test_two_starters_at_once_apply_each_file_once(empty_database: str) -> None:
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(len(migrate(empty_database)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results) == [0, 0, 0, len(read_migrations())]


def test_no_server_is_a_clear_error(short_tmp: Path) -> None:
    with pytest.raises(MigrationError, match="could not be migrated"):
        migrate(f"host={short_tmp} dbname=x")
