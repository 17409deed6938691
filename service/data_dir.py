"""What a run of the service leaves in its data folder: the lock, `service.json` and the keeper's socket.

ServeError               `ess serve` can't go on; its text is for people
└── DataDirTakenError    another instance, or what is still stopping of one, has the data folder
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from service.children import HeldDescriptor
from store.embedded_host import socket_folder
from store.errors import EmbeddedServerError

SERVICE_FILE: Final = "service.json"
LOCK_FILE: Final = "service.lock"
KEEPER_SOCKET: Final = "keeper.sock"
# A `service.reference_file.Reference`, for workers and the keeper.
REFERENCE_FILE: Final = "reference.msgpack"


class ServeError(Exception):
    """`ess serve` can't go on; its text is for people."""

    exit_code: int = os.EX_UNAVAILABLE


class BadFilesError(ServeError):
    """Files that the settings name cannot be used, as bad as the settings themselves."""

    exit_code = os.EX_CONFIG


class DataDirTakenError(ServeError):
    """Another instance, or what is still stopping of one, has the data folder."""


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[HeldDescriptor]:
    """Hold the folder, made if need be. Children inherit the lock: it goes when the last of them goes."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ServeError(f"the data folder {data_dir} can't be used: {error.strerror}") from error
    try:
        _lock(descriptor, data_dir)
        yield HeldDescriptor(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, data_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        raise DataDirTakenError(
            f"the data folder {data_dir} is in use by the service with pid {owner or 'unknown'}, "
            "or by its workers that are still stopping; stop it or choose another ESS_DATA_DIR"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """`service.json`: where a running service is found. Present from ready to stopped."""

    data_dir: Path

    @property
    def path(self) -> Path:
        return self.data_dir / SERVICE_FILE

    def write(
        self, grpc_address: str, http_address: str, worker_pids: Sequence[int], instance_id: str
    ) -> None:
        started_at = datetime.now(UTC)
        with contextlib.suppress(OSError, ValueError, KeyError):
            # A worker was replaced: the service itself started when it did.
            started_at = datetime.fromisoformat(json.loads(self.path.read_text())["started_at"])
        content = {
            "pid": os.getpid(),
            "grpc_address": grpc_address,
            "http_address": http_address,
            "workers": list(worker_pids),
            "started_at": started_at.isoformat(timespec="milliseconds"),
            "instance_id": instance_id,
        }
        partial = self.path.with_suffix(".json.partial")
        partial.write_text(json.dumps(content, indent=2) + "\n")
        # Readers see the old file or the new one, never half of one.
        partial.replace(self.path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def keeper_socket_path(data_dir: Path) -> Path:
    """In the data folder; if that path is too long for a socket, in a private folder below the temporary one.

    Raises ServeError where that folder is somebody else's: who can put a socket there could pass for the keeper.
    """
    try:
        return socket_folder(data_dir.resolve(), None) / KEEPER_SOCKET
    except EmbeddedServerError as error:
        raise ServeError(f"the keeper has no place for its socket: {error}") from error


def running_address(data_dir: Path) -> str | None:
    """Where the service of this data folder listens for gRPC, or None while none is ready."""
    try:
        return str(json.loads((data_dir / SERVICE_FILE).read_text())["grpc_address"])
    except (OSError, ValueError, KeyError):
        return None
