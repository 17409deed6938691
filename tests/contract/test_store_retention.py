"""Old weeks go, and the audit still says what it said; and both at a terminal."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from engine.records import Record
from store.audit import audit, database_heads
from store.audit_walk import KnownHead, Problem
from store.errors import RetentionRefused
from store.journal.port import Entry
from store.partitions import week_of, week_start
from store.pool import PoolSettings, make_pool
from store.postgres_sink import PostgresSink
from store.retention import RetentionPlan, RetentionReport, retire
from tests.helpers.chains import MOMENT_NS, WEEK_NS, entries_of, operation, outcome, reference, selection

JOURNAL = "journal-a"
# 2025-06-18 is the moment of the records; three weeks later their week is old where two are kept.
NOW = datetime(2025, 7, 9, 12, 0, tzinfo=UTC)


async def drained(database: str, entries: Sequence[Entry], journal_id: str = JOURNAL) -> None:
    async with make_pool(PoolSettings(database, role="ess_service")) as pool:
        sink = PostgresSink(pool, "host-a")
        await sink.position(journal_id)
        await sink.write(entries)


def take(database: str, **plan: Any) -> RetentionReport:
    return retire(database, RetentionPlan(**{"keep_weeks": 2, **plan}), now=lambda: NOW)


def rows(database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query.encode()).fetchall()


def three_weeks() -> list[Record]:
    """Weeks 0, 1 and 2, not quite in the order of time where they meet, with what always stays in between."""
    border_ns = int(week_start(week_of(MOMENT_NS) + 1).timestamp()) * 10**9
    first = selection()
    return [
        first,
        reference(),
        operation(),
        selection(created_at_ns=border_ns + 5),
        outcome(first, created_at_ns=border_ns - 5),
        selection(created_at_ns=border_ns + 6),
        first,  # journaled twice: set aside, and never taken away
        selection(created_at_ns=MOMENT_NS + 1),
        selection(created_at_ns=MOMENT_NS + 2 * WEEK_NS),
    ]


async def test_old_weeks_go_and_the_chain_can_still_be_checked(database: str) -> None:
    entries = entries_of(JOURNAL, three_weeks())
    await drained(database, entries)
    heads = [KnownHead(JOURNAL, entry.sequence, entry.chain_hash, "kept") for entry in entries]
    report = take(database)
    assert [(week.week.date().isoformat(), week.rows, week.runs) for week in report.retired] == [
        ("2025-06-16", 4, 4)
    ]
    kept = "SELECT sequence FROM strategy_selections ORDER BY sequence"
    assert rows(database, kept) == [(4,), (6,), (9,)]
    runs = "SELECT first_sequence, last_sequence FROM retired_partitions ORDER BY first_sequence"
    assert rows(database, runs) == [(1, 1), (3, 3), (5, 5), (8, 8)]
    after = audit(database, heads)
    assert (after.findings, after.heads_checked, after.heads_retired) == ((), len(entries), 0)
    assert rows(database, "SELECT count(*) FROM reference_data") == [(1,)]
    assert (
        retire(database, RetentionPlan(1), now=lambda: NOW).retired[0].week.date().isoformat() == "2025-06-23"
    )
    assert audit(database).is_sound


async def test_what_follows_and_what_comes_late_is_chained_on(database: str, tmp_path: Path) -> None:
    entries = entries_of(JOURNAL, [selection() for _ in range(5)])
    await drained(database, entries)
    take(database, archive_dir=tmp_path)
    assert audit(database).is_sound
    late: list[Record] = [selection(), selection(created_at_ns=MOMENT_NS + 3 * WEEK_NS), operation()]
    await drained(database, entries_of(JOURNAL, late, entries[-1]))
    assert rows(database, "SELECT count(*) FROM strategy_selections") == [(2,)]
    assert audit(database).is_sound
    assert take(database, archive_dir=tmp_path, drop=True).dropped != ()
    assert rows(database, "SELECT first_sequence, last_sequence FROM retired_partitions") == [
        (1, 5),
        (6, 6),
        (8, 8),
    ]
    report = audit(database)
    assert report.is_sound
    assert report.journals[0].sequence == 8


async def test_a_journal_that_went_altogether_keeps_its_head(database: str, tmp_path: Path) -> None:
    entries = entries_of(JOURNAL, [selection() for _ in range(5)])
    await drained(database, entries)
    take(database, archive_dir=tmp_path, drop=True)
    middle = KnownHead(JOURNAL, 3, bytes(32), "kept")
    last = KnownHead(JOURNAL, 5, entries[-1].chain_hash, "kept")
    report = audit(database, [middle, last])
    assert (report.is_sound, report.heads_checked, report.heads_retired) == (True, 1, 1)
    assert not audit(database, [KnownHead(JOURNAL, 5, bytes(32), "kept")]).is_sound


async def test_rows_that_vanish_are_not_excused_by_retention(database: str) -> None:
    entries = entries_of(JOURNAL, three_weeks())
    await drained(database, entries)
    take(database)
    with psycopg.connect(database) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM strategy_selections WHERE sequence = 6")
    assert [(found.problem, found.sequence) for found in audit(database).findings] == [(Problem.MISSING, 6)]
    with psycopg.connect(database) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE retired_partitions SET last_sequence = 6 WHERE first_sequence = 5")
    assert not audit(database).is_sound


async def test_nothing_goes_where_the_audit_finds_something(database: str) -> None:
    await drained(database, entries_of(JOURNAL, three_weeks()))
    with psycopg.connect(database) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE operations SET reason = 'none'")
    with pytest.raises(RetentionRefused, match="EDITED at journal-a 3"):
        take(database)
    assert rows(database, "SELECT count(*) FROM operations") == [(1,)]


async def test_a_week_stays_until_every_relay_has_delivered_it(database: str) -> None:
    entries = entries_of(JOURNAL, [selection() for _ in range(3)])
    await drained(database, entries)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO relay_cursors VALUES ('nats', 'journal-a', 2, 0)")
        report = take(database)
        assert report.retired == ()
        assert "not delivered by relay nats with journal journal-a" in report.held_back[0]
        connection.execute("UPDATE relay_cursors SET sequence = 3")
        assert len(take(database).retired) == 1
    assert audit(database).is_sound


async def test_a_dry_run_changes_nothing(database: str, tmp_path: Path) -> None:
    await drained(database, entries_of(JOURNAL, three_weeks()))
    report = take(database, dry_run=True, archive_dir=tmp_path)
    assert [week.rows for week in report.retired] == [4]
    assert rows(database, "SELECT count(*) FROM strategy_selections") == [(5,)]
    assert rows(database, "SELECT count(*) FROM retired_partitions") == [(0,)]
    assert os.listdir(tmp_path) == []


async def test_the_archive_holds_the_rows_and_its_hash_is_kept(database: str, tmp_path: Path) -> None:
    await drained(database, entries_of(JOURNAL, three_weeks()))
    query = "SELECT id::text FROM strategy_selections_p20250616 ORDER BY 1"
    before = rows(database, query)
    take(database, archive_dir=tmp_path / "archive", drop=True)
    ((archive,),) = rows(database, "SELECT DISTINCT archive FROM retired_partitions")
    held = archive["strategy_selections_p20250616"]
    content = (tmp_path / "archive" / held["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == held["sha256"]
    assert held["rows"] == len(before) == 2
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TEMP TABLE again (LIKE strategy_selections)")
        with connection.cursor().copy("COPY again FROM STDIN (FORMAT csv, HEADER)") as copy:
            copy.write(gzip.decompress(content))
        assert connection.execute("SELECT id::text FROM again ORDER BY 1").fetchall() == before


def tables(database: str, words: str) -> set[str]:
    """Whose name holds the words."""
    return {str(name) for (name,) in rows(database, f"SELECT relname FROM pg_class WHERE relname ~ '{words}[0-9]+$'")}


async def test_a_week_that_nobody_exported_is_not_dropped(database: str, tmp_path: Path) -> None:
    await drained(database, entries_of(JOURNAL, three_weeks()))
    told = take(database, drop=True, dry_run=True)
    assert (told.dropped, len(told.not_dropped)) == ((), 4)
    report = take(database, drop=True)
    kept = tables(database, "_detached_")
    assert {name.partition("_p")[0] for name in kept} == {"strategy_selections", "outcomes", "operations", "outbox"}
    assert not set(report.dropped) & kept
    assert [line.partition(" ")[0] for line in report.not_dropped] == sorted(kept)
    assert take(database, drop=True).dropped == ()
    assert tables(database, "_detached_") == kept
    folder = tmp_path / "archive"
    would = take(database, archive_dir=folder, drop=True, dry_run=True)
    assert (set(would.dropped), folder.exists(), tables(database, "_detached_")) == (kept, False, kept)
    late = take(database, archive_dir=folder, drop=True)
    assert (set(late.dropped), late.not_dropped, tables(database, "_detached_")) == (kept, (), set())
    files = {table.file: table for table in late.archived}
    assert set(os.listdir(folder)) == set(files)
    (decisions,) = (table for table in late.archived if table.table == "strategy_selections_p20250616")
    assert decisions.rows == 2
    noted = "SELECT archive -> 'strategy_selections_p20250616' ->> 'file' FROM retired_partitions WHERE archive <> '{}'"
    assert (decisions.file,) in rows(database, noted)
    assert audit(database).is_sound


async def test_what_was_exported_before_is_dropped_without_a_folder(database: str, tmp_path: Path) -> None:
    entries = entries_of(JOURNAL, three_weeks())
    await drained(database, entries)
    take(database, archive_dir=tmp_path)
    detached = tables(database, "_detached_")
    # The week comes again: what was exported then does not speak for what came after.
    await drained(database, entries_of(JOURNAL, [selection()], entries[-1]))
    would = take(database, drop=True, dry_run=True)
    assert set(would.dropped) == detached
    report = take(database, drop=True)
    assert detached <= set(report.dropped)
    assert {name.partition("_p")[0] for name in tables(database, "_detached_")} == {"strategy_selections", "outbox"}
    assert audit(database).is_sound


async def test_the_service_goes_on_while_a_week_goes(database: str, tmp_path: Path) -> None:
    entries = entries_of(JOURNAL, three_weeks())
    async with make_pool(PoolSettings(database, role="ess_service")) as pool:
        sink = PostgresSink(pool, "host-a")
        await sink.position(JOURNAL)
        await sink.write(entries)
        take(database, archive_dir=tmp_path, drop=True)
        await sink.write(entries_of(JOURNAL, [selection(), operation()], entries[-1]))
    assert audit(database).is_sound


def ess(database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A finished `ess` with the database as its owner's."""
    parts = conninfo_to_dict(database)
    url = f"postgresql://{parts['user']}@/{parts['dbname']}?host={parts['host']}&port={parts['port']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ESS_")}
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        env={**kept, "ESS_DATABASE_OWNER_URL": url, "ESS_DATABASE_URL": "postgresql://x@127.0.0.1:1/x"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


async def test_at_a_terminal(database: str, tmp_path: Path) -> None:
    entries = entries_of(JOURNAL, three_weeks())
    await drained(database, entries)
    heads = ess(database, "audit", "heads")
    (head,) = database_heads(database)
    expected = {"journal_id": JOURNAL, "sequence": len(entries), "chain_hash": head.chain_hash.hex()}
    assert json.loads(heads.stdout) == expected
    kept = tmp_path / "heads.jsonl"
    kept.write_text(heads.stdout)
    sound = ess(database, "audit", "verify", "--heads", str(kept))
    assert (sound.returncode, sound.stderr) == (0, "")
    assert "sound: everything is as it was written" in sound.stdout
    gone = ess(database, "retention", "--keep-weeks", "2", "--archive", str(tmp_path / "archive"))
    assert gone.returncode == 0, gone.stderr
    assert "the week of 2025-06-16 detached: 4 rows" in gone.stdout
    with psycopg.connect(database) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE reference_data SET kind = 'other'")
    told = ess(database, "audit", "verify", "--heads", str(kept))
    assert told.returncode == 1
    assert "EDITED: journal journal-a, sequence 2: reference_data" in told.stdout
    machine = ess(database, "audit", "verify", "--json")
    assert machine.returncode == 1
    report = json.loads(machine.stdout)
    assert report["sound"] is False
    (found,) = report["findings"]
    ((record_id,),) = rows(database, "SELECT id::text FROM reference_data")
    assert (found["problem"], found["table"], found["id"], found["sequence"]) == (
        "EDITED", "reference_data", record_id, 2
    )  # fmt: skip
    await drained(database, entries_of(JOURNAL, [selection()], entries[-1]))
    refused = ess(database, "retention", "--keep-weeks", "1")
    assert refused.returncode == 1
    assert "nothing is taken away" in refused.stderr


def test_what_is_wrong_at_a_terminal_is_one_line(database: str, tmp_path: Path) -> None:
    bad = tmp_path / "heads.jsonl"
    bad.write_text("no\n")
    for arguments, code in (
        (("audit", "verify", "--heads", str(bad)), 2),
        (("audit", "verify", "--heads", str(tmp_path / "none")), 2),
        (("retention", "--keep-weeks", "0"), 2),
    ):
        done = ess(database, *arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), arguments
    away = ess("user=x dbname=x host=127.0.0.1 port=1", "audit", "verify")
    assert (away.returncode, away.stdout, "Traceback" in away.stderr) == (69, "", False)
