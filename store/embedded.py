"""A real PostgreSQL server in the data folder, for whoever brings no database.

Only the wheel's binaries are used, not its Python side: that one opens every parent folder for reading, shares
servers between processes through a list of process ids, and stops them in an exit hook. Here one process owns
the server (a file lock says which), and the rules are few:

- The server listens on a Unix socket only, in a folder that only its own user can enter.
- A server that a killed run left behind is stopped and started again, so that these settings hold.
- PostgreSQL refuses to run as root; as root it runs as the owner of an existing data folder, else as
  `pgserver`. Parents that this user cannot pass get the one bit that is missing (o+x), nothing more.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from store.embedded_host import (
    ServerUser,
    allow_traversal,
    choose_server_user,
    command_line,
    find_binaries,
    socket_folder,
)
from store.errors import EmbeddedServerBusy, EmbeddedServerError

_log = logging.getLogger(__name__)

_SUPERUSER = "postgres"
_PORT = 5432  # only the name of the socket file
_LOG_LIMIT_BYTES = 16 * 1024 * 1024
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """What the embedded server is started with. Durability is not a setting: fsync and synchronous_commit are on."""

    database: str = "ess"
    max_connections: int = 50
    shared_buffers_mib: int = 128
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 30.0


class EmbeddedPostgres:
    """Starts and stops the server of one data folder; as a context manager it gives the conninfo."""

    def __init__(self, data_dir: Path | str, settings: EmbeddedSettings | None = None) -> None:
        self._settings = settings or EmbeddedSettings()
        self._root = Path(data_dir).expanduser().resolve()
        self._data = self._root / "postgres"
        self._log_path = self._root / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._user: ServerUser | None = None
        self._socket_dir: Path | None = None
        self._lock_fd: int | None = None

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def conninfo(self) -> str:
        """How to connect, whether or not the server runs now. The server must have been started once."""
        if self._socket_dir is None:
            raise EmbeddedServerError("the embedded server was not started")
        return _conninfo(self._socket_dir, self._settings.database)

    @property
    def process_id(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._process.pid if self.is_running and self._process is not None else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Starts the server (initialising the folder first where it is new) and waits until it answers."""
        if self.is_running:
            return self.conninfo
        deadline_s = time.monotonic() + self._settings.start_timeout_s
        self._root.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            binaries = find_binaries()
            self._user = choose_server_user(self._data)
            allow_traversal(self._user, (self._data, binaries / "postgres"))
            _stop_leftover(self._data, self._settings.stop_timeout_s)
            self._initialise(binaries)
            self._socket_dir = socket_folder(self._data, self._user)
            self._write_settings(self._socket_dir)
            self._launch(binaries, deadline_s)
            self._ensure_database()
        except BaseException:
            self.stop()
            raise
        return self.conninfo

    def stop(self) -> None:
        """Fast shutdown: open transactions roll back, a checkpoint is written; harder if that takes too long."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            for signal_number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                process.send_signal(signal_number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(self._settings.stop_timeout_s)
                    break
                _log.warning("embedded PostgreSQL did not stop on signal %s", signal_number)
        if self._socket_dir is not None and self._socket_dir != self._data:
            with suppress(OSError):
                self._socket_dir.rmdir()
        self._release_lock()

    def _take_lock(self) -> None:
        if self._lock_fd is not None:  # ours still, from a server that died under us
            return
        descriptor = os.open(self._root / "postgres.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise EmbeddedServerBusy(
                f"another process owns the embedded database of {self._root}; "
                "stop it, or use another data folder or a database of your own"
            ) from None
        self._lock_fd = descriptor

    def _release_lock(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _initialise(self, binaries: Path) -> None:
        """initdb into a folder beside, renamed when whole: a kill halfway leaves nothing that looks ready."""
        version_file = self._data / "PG_VERSION"
        wanted = _major_version(binaries, self._user)
        if version_file.exists():
            found = version_file.read_text().strip()
            if found != wanted:
                raise EmbeddedServerError(
                    f"{self._data} was made by PostgreSQL {found}, the embedded server is {wanted}: "
                    "dump it with the old version and restore it into a new data folder"
                )
            return
        if self._data.exists() and any(self._data.iterdir()):
            raise EmbeddedServerError(f"{self._data} is neither empty nor a PostgreSQL data folder")
        fresh = self._data.with_name("postgres.initialising")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(fresh, self._user.uid, self._user.gid)
        arguments = [
            "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--auth=trust", f"--username={_SUPERUSER}", "--data-checksums", f"--pgdata={fresh}",
        ]  # fmt: skip
        _run(binaries / "initdb", arguments, self._user)
        if self._data.exists():
            self._data.rmdir()
        fresh.rename(self._data)

    def _write_settings(self, socket_dir: Path) -> None:
        """The whole postgresql.conf, on every start: what is not here is PostgreSQL's own default."""
        text = _SETTINGS.format(
            socket_dir=str(socket_dir).replace("'", "''"),
            port=_PORT,
            max_connections=self._settings.max_connections,
            shared_buffers_mib=self._settings.shared_buffers_mib,
        )
        target = self._data / "postgresql.conf"
        fresh = target.with_suffix(".conf.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o600)
        if self._user is not None:
            os.chown(fresh, self._user.uid, self._user.gid)
        fresh.replace(target)

    def _launch(self, binaries: Path, deadline_s: float) -> None:
        if self._log_path.exists() and self._log_path.stat().st_size > _LOG_LIMIT_BYTES:
            self._log_path.replace(self._log_path.with_suffix(".log.1"))
        while not self._launch_once(binaries, deadline_s):
            # Children of a postmaster that was killed hold its shared memory until they notice.
            time.sleep(_POLL_S)

    def _launch_once(self, binaries: Path, deadline_s: float) -> bool:
        """True when the server answers; False when it is worth another try."""
        user = self._user
        with self._log_path.open("ab") as log:
            start_bytes = log.tell()
            self._process = subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(self._data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                cwd="/",
                start_new_session=True,  # an interrupt at the terminal is for the service, which stops us in order
                user=None if user is None else user.uid,
                group=None if user is None else user.gid,
                extra_groups=None if user is None else [],
            )
        assert self._socket_dir is not None
        probe = _conninfo(self._socket_dir, "postgres")
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                tail = _tail(self._log_path, start_bytes)
                if "is still in use" in tail:
                    return False
                raise EmbeddedServerError(f"embedded PostgreSQL ended at its start:\n{tail}")
            with suppress(psycopg.OperationalError):
                psycopg.connect(probe, connect_timeout=2).close()
                return True
            time.sleep(_POLL_S)
        tail = _tail(self._log_path, start_bytes)
        raise EmbeddedServerError(f"embedded PostgreSQL was not ready within its start timeout:\n{tail}")

    def _ensure_database(self) -> None:
        assert self._socket_dir is not None
        name = self._settings.database
        with psycopg.connect(_conninfo(self._socket_dir, "postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def running_conninfo(data_dir: Path | str, database: str = "ess") -> str | None:
    """How to connect to the server that another process runs for this data folder, or None."""
    data = Path(data_dir).expanduser().resolve() / "postgres"
    with suppress(OSError, ValueError, IndexError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        if _is_postmaster(int(lines[0]), data) and lines[7].strip() == "ready":
            return _conninfo(Path(lines[4]), database)
    return None


def _conninfo(socket_dir: Path, database: str) -> str:
    return make_conninfo(host=str(socket_dir), port=_PORT, user=_SUPERUSER, dbname=database)


def _environment() -> dict[str, str]:
    """Nothing of ours: PGDATA, PGPORT and the like would change the server silently."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _run(program: Path, arguments: list[str], user: ServerUser | None) -> str:
    done = subprocess.run(
        [str(program), *arguments],
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env=_environment(),
        cwd="/",
        timeout=120,
        user=None if user is None else user.uid,
        group=None if user is None else user.gid,
        extra_groups=None if user is None else [],
    )
    if done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip()
        raise EmbeddedServerError(f"{program.name} failed ({done.returncode}): {message}")
    return done.stdout.decode()


def _major_version(binaries: Path, user: ServerUser | None) -> str:
    answer = _run(binaries / "postgres", ["--version"], user)  # "postgres (PostgreSQL) 18.1"
    return answer.split(")")[-1].split(".")[0].strip()


def _tail(path: Path, start_bytes: int) -> str:
    with path.open("rb") as log:
        log.seek(start_bytes)
        return log.read()[-4000:].decode(errors="replace").strip()


def _is_postmaster(process_id: int, data: Path) -> bool:
    """A process id is soon given to somebody else, above all in a container: the command line must agree."""
    words = command_line(process_id)
    return len(words) >= 3 and Path(words[0]).name == "postgres" and str(data) in words


def _stop_leftover(data: Path, timeout_s: float) -> None:
    """Stops the postmaster that a killed run left, and removes a lock file that names somebody else."""
    pid_file = data / "postmaster.pid"
    try:
        process_id = int(pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    if not _is_postmaster(process_id, data):
        pid_file.unlink(missing_ok=True)
        return
    _log.warning("stopping the embedded PostgreSQL (process %d) that an earlier run left", process_id)
    for signal_number in (signal.SIGINT, signal.SIGQUIT):
        with suppress(ProcessLookupError):
            os.kill(process_id, signal_number)
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            if not _is_postmaster(process_id, data):
                return
            time.sleep(_POLL_S)
    raise EmbeddedServerError(f"the PostgreSQL that an earlier run left (process {process_id}) does not stop")


_SETTINGS = """# Written anew on every start by the execution strategy service. Do not edit.
listen_addresses = ''
port = {port}
unix_socket_directories = '"{socket_dir}"'
unix_socket_permissions = 0700
max_connections = {max_connections}
shared_buffers = {shared_buffers_mib}MB
fsync = on
synchronous_commit = on
full_page_writes = on
wal_level = replica
max_wal_size = 1GB
checkpoint_timeout = 5min
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, ymd'
lc_messages = 'C'
default_text_search_config = 'pg_catalog.simple'
logging_collector = off
log_destination = 'stderr'
log_line_prefix = '%m [%p] %a '
log_min_messages = warning
idle_in_transaction_session_timeout = 60s
cluster_name = 'ess'
"""
