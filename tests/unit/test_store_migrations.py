"""The numbered files, and which pasts of a database are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from store.errors import DatabaseNewer, MigrationChanged, MigrationFilesInvalid
from store.migrate import AppliedMigration, Migration, check_history, read_migrations

NOW = datetime(2025, 6, 21, tzinfo=UTC)


def write(folder: Path, **files: str) -> Path:
    for name, script in files.items():
        (folder / f"{name.removeprefix('m')}.sql").write_text(script)
    return folder


def test_the_shipped_files_are_sound() -> None:
    migrations = read_migrations()
    assert [migration.version for migration in migrations] == list(range(1, len(migrations) + 1))


def test_line_ends_of_a_checkout_do_not_change_the_hash(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_bytes(b"SELECT 1;\nSELECT 2;\n")
    before = read_migrations(tmp_path)
    (tmp_path / "0001_a.sql").write_bytes(b"SELECT 1;\r\nSELECT 2;\r\n")
    assert read_migrations(tmp_path) == before


def test_gaps_repeats_and_bad_names_are_all_told(tmp_path: Path) -> None:
    write(tmp_path, m0001_a="", m0001_b="", m0003_c="", mnumberless="")
    with pytest.raises(MigrationFilesInvalid, match=r"numberless.*\[1, 1, 3\]"):
        read_migrations(tmp_path)


def migration(version: int, sha256: str) -> Migration:
    return Migration(version, "name", sha256, "")


def applied(version: int, sha256: str, usable_from: int | None = None) -> AppliedMigration:
    return AppliedMigration(version, "name", sha256, NOW, usable_from)


FILES = (migration(1, "a"), migration(2, "b"), migration(3, "c"))


def test_a_beginning_of_the_files_is_accepted() -> None:
    for count in range(4):
        check_history(FILES, [applied(number + 1, "abc"[number]) for number in range(count)])


def test_a_newer_database_is_refused() -> None:
    with pytest.raises(DatabaseNewer, match="0004_name"):
        check_history(FILES, [applied(1, "a"), applied(2, "b"), applied(3, "c"), applied(4, "d")])


def test_a_newer_database_that_says_that_these_files_are_enough_is_accepted() -> None:
    ours = [applied(1, "a"), applied(2, "b"), applied(3, "c")]
    check_history(FILES, [*ours, applied(4, "d", usable_from=2), applied(5, "e", usable_from=3)])
    with pytest.raises(DatabaseNewer, match=r"\(0005_name\)"):
        check_history(FILES, [*ours, applied(4, "d", usable_from=3), applied(5, "e", usable_from=4)])
    with pytest.raises(MigrationChanged, match="0003_name"):
        check_history(FILES, [*ours[:2], applied(3, "x"), applied(4, "d", usable_from=3)])
    with pytest.raises(MigrationChanged, match="gaps"):
        check_history(FILES, [*ours, applied(5, "e", usable_from=3)])


@pytest.mark.parametrize("words", ["2", "0000", "0002", "0003", "later", ""])
def test_a_file_says_which_file_before_it_is_enough_or_is_refused(tmp_path: Path, words: str) -> None:
    write(tmp_path, m0001_a="", m0002_b=f"-- usable-from: {words}\nSELECT 1;")
    with pytest.raises(MigrationFilesInvalid, match="0002_b is usable from"):
        read_migrations(tmp_path)
    write(tmp_path, m0002_b="-- usable-from: 0001\nSELECT 1;")
    assert [one.usable_from for one in read_migrations(tmp_path)] == [None, 1]


def test_edited_files_are_all_named() -> None:
    with pytest.raises(MigrationChanged, match=r"0001_name.*0003_name"):
        check_history(FILES, [applied(1, "x"), applied(2, "b"), applied(3, "y")])


def test_a_gap_in_the_past_is_refused() -> None:
    with pytest.raises(MigrationChanged, match="gaps"):
        check_history(FILES, [applied(1, "a"), applied(3, "c")])
