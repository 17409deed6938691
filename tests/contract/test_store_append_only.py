"""History cannot be changed: by the service's role, by triggers for everybody else; and what migration 0002 carries."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from store.audit import audit
from store.audit_walk import Problem
from store.migrate import MIGRATIONS_DIR, migrate
from store.pool import Pool, PoolSettings, make_pool
from store.postgres_sink import PostgresSink
from store.rows.tables import OUTBOX, PARTITIONED
from store.server_checks import SERVICE_ROLE, faults_of_server
from tests.helpers.chains import entries_of, one_of_each
from tests.helpers.databases import fresh_database

APPEND_ONLY = (*PARTITIONED, "set_aside", "retired_partitions")


async def fill(database: str) -> str:
    """Every table has a row."""
    records = one_of_each()
    async with make_pool(PoolSettings(database, role=SERVICE_ROLE)) as pool:
        sink = PostgresSink(pool, "host-a")
        await sink.position("journal-a")
        await sink.write(entries_of("journal-a", [*records, records[1]]))
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO retired_partitions (week, journal_id, first_sequence, last_sequence, previous_hash, last_hash)"
            " VALUES ('2001-01-01', 'x', 1, 2, '', '')"
        )
    return database


@pytest.fixture
async def filled(database: str) -> str:
    return await fill(database)


@pytest.fixture(scope="module")
def kept(postgres: str) -> Iterator[str]:
    """As `filled`, one for all that is refused and so changes nothing."""
    with fresh_database(postgres) as database:
        yield asyncio.run(fill(database))


def refusal(database: str, statement: str, role: str | None = None) -> str:
    """What the server says; the test fails where it says nothing."""
    with psycopg.connect(database) as connection:
        if role is not None:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
            connection.execute(statement.encode())
    return str(refused.value)


async def user_of(pool: Pool) -> str:
    """With whose rights its connections work."""
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT current_user::text")).fetchone()
    assert row is not None
    return str(row[0])


async def test_the_services_connections_have_the_role_that_may_only_append(database: str) -> None:
    async with make_pool(PoolSettings(database, role=SERVICE_ROLE)) as pool:
        assert await user_of(pool) == SERVICE_ROLE


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("role", [None, SERVICE_ROLE])
def test_no_row_is_changed_deleted_or_truncated(kept: str, table: str, role: str | None) -> None:
    column = "week" if table == "retired_partitions" else "created_at"
    wording = "append-only" if role is None else "permission denied"
    assert wording in refusal(kept, f"UPDATE {table} SET {column} = {column}", role)
    assert wording in refusal(kept, f"DELETE FROM {table}", role)
    assert wording in refusal(kept, f"TRUNCATE {table}", role)


@pytest.mark.parametrize("table", PARTITIONED)
def test_a_partition_is_no_way_around(kept: str, table: str) -> None:
    partition = f"{table}_p20250616"
    for statement in (
        f"UPDATE {partition} SET sequence = 9",
        f"DELETE FROM {partition}",
        f"TRUNCATE {partition}",
    ):
        assert "append-only" in refusal(kept, statement)
        assert "permission denied" in refusal(kept, statement, SERVICE_ROLE)


def test_every_column_of_a_selection_but_two_is_fixed(kept: str) -> None:
    with psycopg.connect(kept) as connection:
        names = [row[0] for row in connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'strategy_selections'"
        )]  # fmt: skip
    assert len(names) > 30
    for name in sorted({*names} - {"actual_outcomes", "performance_score"}):
        assert "append-only" in refusal(kept, f"UPDATE strategy_selections SET {name} = {name}")


def test_an_outcome_is_set_once_and_not_taken_back(filled: str) -> None:
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute("SET ROLE ess_service")
        fresh = "UPDATE strategy_selections SET actual_outcomes = '{}', performance_score = 1"
        assert connection.execute(f"{fresh} WHERE performance_score IS NULL".encode()).rowcount == 1
        assert (
            connection.execute(
                "UPDATE strategy_selections SET performance_score = performance_score"
            ).rowcount
            == 2
        )
    for values in ("actual_outcomes = '{\"a\": 1}'", "actual_outcomes = NULL", "performance_score = 0.3",
                   "performance_score = NULL"):  # fmt: skip
        for role in (None, SERVICE_ROLE):
            assert "append-only" in refusal(filled, f"UPDATE strategy_selections SET {values}", role)


def test_a_cursor_never_goes_back(kept: str) -> None:
    statement = "UPDATE journals SET drained_sequence = drained_sequence - 1"
    for role in (None, SERVICE_ROLE):
        assert "append-only" in refusal(kept, statement, role)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE outbox",
        "ALTER TABLE outbox DISABLE TRIGGER ALL",
        "CREATE TABLE x (y integer)",
        "DELETE FROM orders",
        "UPDATE orders SET request_hash = ''",
        "INSERT INTO retired_partitions (week) VALUES (now())",
        "INSERT INTO schema_migrations VALUES (9, 'x', 'y')",
        "UPDATE journals SET journal_id = 'x'",
        "SELECT ess_make_partition(now())",
        "SET session_replication_role = replica",
        "ALTER TABLE strategy_selections DETACH PARTITION strategy_selections_p20250616",
    ],
)
def test_the_service_may_not(kept: str, statement: str) -> None:
    assert any(word in refusal(kept, statement, SERVICE_ROLE) for word in ("denied", "must be owner"))


def test_what_makes_partitions_keeps_its_bounds_and_looks_nothing_up_by_the_callers_path(filled: str) -> None:
    with psycopg.connect(filled, autocommit=True) as connection:
        # A table of the same name where the caller looks first must not be taken for ours.
        connection.execute(
            "CREATE SCHEMA other; GRANT ALL ON SCHEMA other TO ess_service; SET ROLE ess_service"
        )
        connection.execute("SET search_path = other, public; CREATE TABLE other.outbox (x integer)")
        assert connection.execute("SELECT ess_make_partition_of('2024-05-01')").fetchone() == (True,)
        assert connection.execute("SELECT ess_make_partition_of('2024-05-01')").fetchone() == (False,)
        with pytest.raises(psycopg.DataError, match="more than a year ahead"):
            connection.execute("SELECT ess_make_partition_of(now() + interval '2 years')")
        with pytest.raises(psycopg.DataError):
            connection.execute("SELECT ess_make_partitions(105)")
        owner = (
            "SELECT tableowner FROM pg_tables WHERE tablename = 'outbox_p20240429' AND schemaname = 'public'"
        )
        assert connection.execute(owner).fetchone() == ("postgres",)


OLD_ROW = """
INSERT INTO strategy_selections (
  order_id, strategy_name, market_conditions, created_at, created_at_ns, instrument_id, side, quantity, objective,
  urgency, algorithm, confidence, parameters, venue_allocation, versions, request_hash, request, response,
  performance_score
) VALUES (
  %s, 'TWAP', '{"b": 1, "a": [0.1, null]}', %s, 7, 'AAPL', 'BUY', 0.1, 'MINIMIZE_COST', 'NORMAL', 'TWAP', 0.3, '{}',
  '{"XNYS": 1.0}', '{}', 'hash', '\\x00ff', '', 0.5
)
"""


@pytest.fixture
def before_0002(empty_database: str, tmp_path: Path) -> str:
    """A database of the first version, with decisions in it."""
    shutil.copy(MIGRATIONS_DIR / "0001_first_tables.sql", tmp_path)
    migrate(empty_database, tmp_path)
    with psycopg.connect(empty_database) as connection:
        for order_id, moment in (
            ("a", "2019-03-04 00:00Z"),
            ("b", "2025-06-18 12:00Z"),
            ("c", "2025-06-22 23:59:59.999999Z"),
        ):
            connection.execute(OLD_ROW, (order_id, moment))
    return empty_database


def test_decisions_from_before_are_carried_over(before_0002: str) -> None:
    query = (
        "SELECT order_id, created_at, market_conditions::jsonb, request, performance_score, status, inserted_at"
        " FROM strategy_selections ORDER BY order_id"
    )
    with psycopg.connect(before_0002) as connection:
        before = connection.execute(query).fetchall()
    migrate(before_0002)
    with psycopg.connect(before_0002) as connection:
        assert connection.execute(query).fetchall() == before
        where = (
            "SELECT tableoid::regclass::text, journal_id, sequence FROM strategy_selections ORDER BY order_id"
        )
        assert connection.execute(where).fetchall() == [
            ("strategy_selections_p20190304", None, None), ("strategy_selections_p20250616", None, None),
            ("strategy_selections_p20250616", None, None),
        ]  # fmt: skip


def test_an_audit_counts_them_and_sees_edits_among_them(before_0002: str) -> None:
    migrate(before_0002)
    report = audit(before_0002)
    assert (report.is_sound, report.rows_before_journal) == (True, 3)
    for edit in (
        "UPDATE strategy_selections SET confidence = 0.31 WHERE order_id = 'a'",
        "UPDATE strategy_selections SET order_id = 'd' WHERE order_id = 'b'",
        "DELETE FROM strategy_selections WHERE order_id = 'a'",
        OLD_ROW.replace("%s", "'x'", 1).replace("%s", "'2025-06-18'"),
    ):
        with psycopg.connect(before_0002) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute(edit.encode())
        assert Problem.BEFORE_JOURNAL in {finding.problem for finding in audit(before_0002).findings}, edit


@pytest.fixture
def plain_user(postgres: str, empty_database: str) -> Iterator[str]:
    """Who owns a database and may make no role, as on a managed server."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        name = sql.Identifier(str(connection.info.dbname))
        connection.execute("CREATE ROLE plain LOGIN")
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO plain").format(name))
    yield make_conninfo(empty_database, user="plain")
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("DROP OWNED BY plain CASCADE")
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO postgres").format(name))
        connection.execute("DROP ROLE plain")


async def test_who_may_make_no_role_is_told_so_and_triggers_still_hold(
    plain_user: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert migrate(plain_user)
    assert "ess_service" in caplog.text
    async with make_pool(PoolSettings(plain_user, role=SERVICE_ROLE)) as pool:
        assert await user_of(pool) == "plain"
        sink = PostgresSink(pool, "host-a")
        await sink.position("journal-a")
        await sink.write(entries_of("journal-a", one_of_each()))
    assert "append-only" in refusal(plain_user, f"DELETE FROM {OUTBOX}")
    assert audit(plain_user).is_sound


def test_a_server_that_does_not_keep_what_it_commits_is_refused(database: str) -> None:
    assert faults_of_server(database) == []
    (fault,) = faults_of_server(make_conninfo(database, options="-c synchronous_commit=off"))
    assert "synchronous_commit" in fault
    (fault,) = faults_of_server(make_conninfo(database, options="-c default_transaction_read_only=on"))
    assert "read-only" in fault
