"""A PostgreSQL in the hands of a process of its own, so that it can be stopped and started again while gRPC runs here.

Starting a process as another user forks first; a fork of a process whose gRPC threads run may crash before it gets to
exec. This module is also that process: it does what its standard input says, and ends the server with it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from store.embedded import EmbeddedPostgres, running_conninfo
from tests.helpers.running_host import REPOSITORY


class ServerProcess:
    """`start` and `stop` as EmbeddedPostgres has them; `close` at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._conninfo = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.killing.server", str(folder)],
            cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    @property
    def conninfo(self) -> str:
        return self._conninfo

    def start(self) -> str:
        self._ask("start")
        self._conninfo = running_conninfo(self._folder) or self._conninfo
        return self._conninfo

    def stop(self) -> None:
        self._ask("stop")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60.0)

    def _ask(self, order: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if answer != f"{order}: done":
            raise RuntimeError(f"the database server did not {order}: {answer or 'its process ended'}")


def main(folder: str) -> None:
    server = EmbeddedPostgres(folder)
    try:
        for line in sys.stdin:
            order = line.strip()
            (server.start if order == "start" else server.stop)()
            print(f"{order}: done", flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    main(sys.argv[1])
