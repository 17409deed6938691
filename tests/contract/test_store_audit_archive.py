"""What retention took away is walked over where the archive is at hand; and nothing can be passed off as taken."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from store.audit import AuditReport, audit
from store.audit_walk import KnownHead, Problem
from store.retention import RetentionPlan, retire
from tests.contract.test_store_retention import JOURNAL, NOW, drained, ess, three_weeks
from tests.helpers.chains import MOMENT_NS, entries_of, selection

WEEK = "strategy_selections_p20250616"


def as_superuser(database: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """As somebody who may do everything, triggers off."""
    with psycopg.connect(database) as connection:
        connection.execute("SET session_replication_role = replica")
        done = connection.execute(statement.encode(), values)
        return done.fetchall() if done.description else []


def problems(report: AuditReport) -> list[tuple[Problem, str, int]]:
    return [(found.problem, found.table, found.sequence) for found in report.findings]


@pytest.fixture
async def archived(database: str, tmp_path: Path) -> tuple[str, Path]:
    """Nine entries, of which four went."""
    await drained(database, entries_of(JOURNAL, three_weeks()))
    retire(database, RetentionPlan(keep_weeks=2, archive_dir=tmp_path, drop=True), now=lambda: NOW)
    return database, tmp_path


def rewritten(database: str, folder: Path, change: Callable[[bytes], bytes]) -> None:
    """The file of the week's selections holds something else, and the database says that this is what was exported."""
    ((archive,),) = as_superuser(database, "SELECT archive FROM retired_partitions LIMIT 1")
    content = change((folder / archive[WEEK]["file"]).read_bytes())
    (folder / archive[WEEK]["file"]).write_bytes(content)
    archive[WEEK]["sha256"] = hashlib.sha256(content).hexdigest()
    as_superuser(database, "UPDATE retired_partitions SET archive = %s", Jsonb(archive))


async def test_with_the_archive_everything_is_walked_over(database: str, tmp_path: Path) -> None:
    entries = entries_of(JOURNAL, [*three_weeks(), *(selection() for _ in range(3))])
    await drained(database, entries)
    retire(database, RetentionPlan(keep_weeks=2, archive_dir=tmp_path, drop=True), now=lambda: NOW)
    late = entries_of(JOURNAL, [selection(created_at_ns=MOMENT_NS + 2)], entries[-1])
    await drained(database, late)
    retire(database, RetentionPlan(keep_weeks=1, archive_dir=tmp_path), now=lambda: NOW)
    heads = [KnownHead(JOURNAL, entry.sequence, entry.chain_hash, "kept") for entry in [*entries, *late]]
    without, report = audit(database, heads), audit(database, heads, tmp_path)
    assert (without.findings, report.findings) == ((), ())
    assert (without.journals[0].rows, without.entries_retired, without.heads_retired) == (3, 10, 2)
    assert (report.journals[0].rows, report.entries_retired, report.heads_retired) == (13, 0, 0)
    assert (report.heads_checked, report.archive_files) == (13, len(os.listdir(tmp_path)))
    assert audit(database).is_sound, "the next one sees the tables alone"


async def test_rows_passed_off_as_taken_by_retention_are_told_and_found(archived: tuple[str, Path]) -> None:
    database, folder = archived
    as_superuser(
        database,
        "INSERT INTO retired_partitions (week, journal_id, first_sequence, last_sequence, previous_hash, last_hash)"
        " SELECT '2025-06-23', %s, 4, 4, (SELECT last_hash FROM retired_partitions WHERE last_sequence = 3), chain_hash"
        " FROM strategy_selections WHERE sequence = 4", JOURNAL,
    )  # fmt: skip
    for table in ("strategy_selections", "outbox"):
        as_superuser(database, f"DELETE FROM {table} WHERE sequence = 4")
    believed = audit(database)
    assert (believed.findings, believed.entries_retired) == ((), 5)
    assert "not looked at without --archive: 5 entries" in ess(database, "audit", "verify").stdout
    assert problems(audit(database, (), folder)) == [(Problem.MISSING, "", 4)]
    told = ess(database, "audit", "verify", "--archive", str(folder))
    assert told.returncode == 1
    assert "entry 4 is in no table, and no file of the archive holds it" in told.stdout


async def test_a_file_that_is_not_what_was_exported_is_named(archived: tuple[str, Path]) -> None:
    database, folder = archived
    (file,) = folder.glob(f"{WEEK}.*")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert problems(audit(database, (), folder))[0] == (Problem.EDITED, "retired_partitions", 0)
    file.unlink()
    report = audit(database, (), folder)
    assert problems(report)[:2] == [(Problem.MISSING, "retired_partitions", 0), (Problem.MISSING, "", 1)]
    assert report.findings[0].record_id == file.name


async def test_a_row_edited_in_the_archive_is_found_though_its_hash_was_made_anew(
    archived: tuple[str, Path],
) -> None:
    database, folder = archived
    rewritten(database, folder, lambda held: gzip.compress(gzip.decompress(held).replace(b"MINIMIZE_COST", b"X", 1)))
    ((problem, table, sequence),) = problems(audit(database, (), folder))
    assert (problem, table) == (Problem.EDITED, "strategy_selections")
    assert sequence in (1, 8)


@pytest.mark.parametrize(
    "content", [b"", b"no gzip", gzip.compress(b""), gzip.compress(b"id,nothing\n1,2\n")],
    ids=["empty", "no gzip", "gzip of nothing", "other columns"],
)
async def test_a_file_that_is_no_table_is_named(archived: tuple[str, Path], content: bytes) -> None:
    database, folder = archived
    rewritten(database, folder, lambda _: content)
    report = audit(database, (), folder)
    assert problems(report)[0] == (Problem.EDITED, "retired_partitions", 0)
    assert (Problem.MISSING, "", 1) in problems(report)


async def test_no_file_outside_the_folder_is_read(archived: tuple[str, Path]) -> None:
    database, folder = archived
    (file,) = folder.glob(f"{WEEK}.*")
    file.rename(folder.parent / file.name)
    ((archive,),) = as_superuser(database, "SELECT archive FROM retired_partitions LIMIT 1")
    archive[WEEK]["file"] = f"../{file.name}"
    as_superuser(database, "UPDATE retired_partitions SET archive = %s", Jsonb(archive))
    assert problems(audit(database, (), folder))[0] == (Problem.FORGED, "retired_partitions", 0)
