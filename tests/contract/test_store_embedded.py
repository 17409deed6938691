"""The embedded server: starts, starts again, survives kills, and keeps two owners apart."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from service.prepare import embedded_settings
from service.settings import Settings
from store.embedded import EmbeddedPostgres, running_conninfo
from store.errors import EmbeddedServerBusy, EmbeddedServerError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def initialised() -> Iterator[Path]:
    """The data folder of a server that ran once: initialising takes longer than all the rest."""
    folder = Path(tempfile.mkdtemp(prefix="ess-"))
    with EmbeddedPostgres(folder):
        pass
    yield folder / "postgres"
    shutil.rmtree(folder, ignore_errors=True)


def copy(initialised: Path, target: Path) -> Path:
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", str(initialised), str(target / "postgres")], check=True, timeout=60)
    return target


def value(conninfo: str, query: str) -> object:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_data_outlives_a_restart_and_durability_is_on(short_tmp: Path) -> None:
    with EmbeddedPostgres(short_tmp) as conninfo:
        assert [value(conninfo, f"SHOW {name}") for name in ("fsync", "synchronous_commit")] == ["on", "on"]
        assert value(conninfo, "SHOW listen_addresses") == ""
        assert running_conninfo(short_tmp) == conninfo
        with psycopg.connect(conninfo) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert running_conninfo(short_tmp) is None
    with EmbeddedPostgres(short_tmp) as conninfo:
        assert value(conninfo, "SELECT answer FROM kept") == 42


def test_a_server_of_a_services_own_has_room_for_all_its_workers(short_tmp: Path, initialised: Path) -> None:
    """A worker opens up to a dozen connections; with fifty for everybody the tenth found none."""
    copy(initialised, short_tmp)
    settings = Settings(data_dir=short_tmp, workers=16, database_pool_size=8)
    with EmbeddedPostgres(short_tmp, embedded_settings(settings)) as conninfo, ExitStack() as stack:
        for _ in range(16 * 12 + 2 * 8):
            stack.enter_context(psycopg.connect(conninfo))
    assert embedded_settings(Settings(data_dir=short_tmp)).max_connections == 50


@pytest.mark.parametrize("name", ["with space", 'it\'s "$HOME" `x`, y', "l" * 70 + "/" + "m" * 70])
def test_unusual_folder_names(short_tmp: Path, initialised: Path, name: str) -> None:
    copy(initialised, short_tmp / name)
    with EmbeddedPostgres(short_tmp / name) as conninfo:
        assert value(conninfo, "SELECT 1") == 1
        folder = psycopg.conninfo.conninfo_to_dict(conninfo)["host"]
        assert stat.S_IMODE(os.stat(str(folder)).st_mode) == 0o700


def test_a_second_owner_is_refused_and_does_not_stop_the_first(short_tmp: Path, initialised: Path) -> None:
    copy(initialised, short_tmp)
    with EmbeddedPostgres(short_tmp) as conninfo:
        with pytest.raises(EmbeddedServerBusy, match="another process owns"):
            EmbeddedPostgres(short_tmp).start()
        assert value(conninfo, "SELECT 1") == 1


def test_the_server_of_a_killed_owner_is_taken_over(short_tmp: Path, initialised: Path) -> None:
    copy(initialised, short_tmp)
    code = (
        "import sys, time; from store.embedded import EmbeddedPostgres;"
        f"server = EmbeddedPostgres({str(short_tmp)!r}); server.start();"
        "print(server.process_id, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    left_behind = int(owner.stdout.readline())
    owner.kill()
    owner.communicate()
    assert running_conninfo(short_tmp) is not None
    server = EmbeddedPostgres(short_tmp)
    with server as conninfo:
        assert value(conninfo, "SELECT 1") == 1
        assert server.process_id != left_behind


def test_a_killed_postmaster_is_started_again_with_what_was_committed(
    short_tmp: Path, initialised: Path
) -> None:
    copy(initialised, short_tmp)
    server = EmbeddedPostgres(short_tmp)
    with server as conninfo:
        with psycopg.connect(conninfo) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        assert server.process_id is not None
        os.kill(server.process_id, signal.SIGKILL)
        assert server._process is not None
        server._process.wait(10)
        assert not server.is_running
        assert server.start() == conninfo
        assert value(conninfo, "SELECT answer FROM kept") == 42


def test_a_lock_file_that_names_somebody_else_is_no_obstacle(short_tmp: Path, initialised: Path) -> None:
    copy(initialised, short_tmp)
    pid_file = short_tmp / "postgres" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{short_tmp}/postgres\n0\n5432\n{short_tmp}/postgres\n\n0 0\nready\n")
    assert running_conninfo(short_tmp) is None
    with EmbeddedPostgres(short_tmp) as conninfo:
        assert value(conninfo, "SELECT 1") == 1


def test_half_an_initialisation_is_begun_anew(short_tmp: Path) -> None:
    (short_tmp / "postgres.initialising").mkdir()
    (short_tmp / "postgres.initialising" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(short_tmp) as conninfo:
        assert value(conninfo, "SELECT 1") == 1
    assert not (short_tmp / "postgres.initialising").exists()


def test_a_foreign_folder_or_version_is_refused_with_a_reason(short_tmp: Path) -> None:
    data = short_tmp / "postgres"
    data.mkdir()
    (data / "letter.txt").write_text("dear")
    with pytest.raises(EmbeddedServerError, match="neither empty nor"):
        EmbeddedPostgres(short_tmp).start()
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedServerError, match="made by PostgreSQL 16"):
        EmbeddedPostgres(short_tmp).start()


def test_a_server_that_cannot_start_says_why(short_tmp: Path, initialised: Path) -> None:
    copy(initialised, short_tmp)
    (short_tmp / "postgres" / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedServerError, match="pg_control"):
        EmbeddedPostgres(short_tmp).start()
